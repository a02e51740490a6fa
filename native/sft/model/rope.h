#pragma once
#include <cstddef>
#include <vector>

#include "sft/model/config.h"

namespace branchmerge::sft {

/// The frequency of each of the head_dim / 2 rotated pairs: the angle at position p is p times it. A dynamic
/// embedding's depend on the length of the sequence (its last position plus 1); the others' do not.
std::vector<float> inverse_frequencies(const RopeConfig& rope, size_t head_dim, size_t sequence_length);

}  // namespace branchmerge::sft
