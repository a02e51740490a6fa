#include "sft/train/batch_builder.h"

#include <numeric>

namespace branchmerge::sft {

Batch BatchBuilder::build(std::span<const uint32_t> packs) {
  segments_ = segments_of(data_, packs);
  const size_t tokens = segments_.back();
  tokens_.clear();
  tokens_.reserve(tokens);
  targets_.assign(tokens, kIgnoredTarget);
  positions_.resize(tokens);
  for (const uint32_t pack : packs)
    for (size_t i = 0; i < data_.document_count(pack); i++) add_document(pack, data_.document(pack, i));
  for (size_t i = 0; i + 1 < segments_.size(); i++)
    std::iota(positions_.begin() + segments_[i], positions_.begin() + segments_[i + 1], uint32_t{0});
  return {tokens_, positions_, targets_, segments_};
}

void BatchBuilder::add_document(uint32_t pack, const PreparedData::Document& document) {
  const size_t begin = tokens_.size();
  tokens_.resize(begin + document.length);
  data_.read_tokens(pack, document, std::span(tokens_).subspan(begin));
  for (const PreparedData::Span& span : data_.spans(pack, document))
    for (size_t t = begin + span.begin; t < begin + span.end; t++) targets_[t - 1] = int32_t(tokens_[t]);
}

uint64_t BatchBuilder::memory_bytes(uint64_t max_tokens) {
  return max_tokens * (3 * sizeof(uint32_t) + sizeof(int32_t));
}

std::vector<uint32_t> segments_of(const PreparedData& data, std::span<const uint32_t> packs) {
  std::vector<uint32_t> segments{0};
  for (const uint32_t pack : packs) {
    if (data.packing() == Packing::kPack) {
      segments.push_back(segments.back() + data.tokens(pack));
      continue;
    }
    for (size_t i = 0; i < data.document_count(pack); i++)
      segments.push_back(segments.back() + data.document(pack, i).length);
  }
  return segments;
}

}  // namespace branchmerge::sft
