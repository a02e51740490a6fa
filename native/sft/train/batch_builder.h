#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "sft/model/decoder.h"
#include "sft/train/prepared_data.h"

namespace branchmerge::sft {

/// Makes a batch of packs, without padding. Unless the packing is `pack`, each document is an attention
/// segment with positions from 0; else each pack is. A token's target is the next one of its document where
/// that is trained.
class BatchBuilder {
 public:
  explicit BatchBuilder(const PreparedData& data) : data_(data) {}

  /// The batch is valid until the next call.
  Batch build(std::span<const uint32_t> packs);

  /// What a builder holds for batches of up to `max_tokens` tokens.
  static uint64_t memory_bytes(uint64_t max_tokens);

 private:
  void add_document(uint32_t pack, const PreparedData::Document& document);

  const PreparedData& data_;
  std::vector<uint32_t> tokens_, positions_, segments_;
  std::vector<int32_t> targets_;
};

/// The attention segments of these packs, as in Batch.
std::vector<uint32_t> segments_of(const PreparedData& data, std::span<const uint32_t> packs);

}  // namespace branchmerge::sft
