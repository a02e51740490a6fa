#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"

namespace branchmerge::sft {

enum class Packing { kNone, kPack, kNeat };

/// Prepared training data: packs of tokenized documents in a directory of shards (docs/sft-trainer.md has
/// the layout). The index is held in memory, tokens are read when they are needed: a file that is cut short
/// while training goes on is an error, not a signal.
class PreparedData {
 public:
  struct Document {
    uint64_t first_token;
    uint32_t length, first_span, span_count, source;
    uint64_t row;
  };
  static_assert(sizeof(Document) == 32);
  /// Trained tokens [begin, end) of a document.
  struct Span {
    uint32_t begin, end;
  };
  /// Where a document came from.
  struct Sample {
    uint32_t source;
    uint64_t row;
    bool operator==(const Sample&) const = default;
  };

  /// Opens and validates: every index of every shard, and token ids in the chunks that this process of
  /// `size` checks, so that together they check all. ERR_PREPARED_DATA names file and byte;
  /// ERR_CHECKPOINT_NOT_FOUND, ERR_FILE_READ.
  PreparedData(const std::string& directory, size_t rank, size_t size);

  Packing packing() const { return packing_; }
  /// Identifies the data: whatever determines them determines it.
  const std::string& key() const { return key_; }
  uint64_t pack_length() const { return pack_length_; }
  uint64_t vocabulary_size() const { return vocabulary_size_; }
  const std::vector<std::string>& sources() const { return sources_; }

  uint64_t packs() const { return pack_totals_.size(); }
  uint32_t tokens(uint64_t pack) const { return pack_totals_[pack].tokens; }
  /// Trained tokens, which are the valid targets.
  uint32_t trained_tokens(uint64_t pack) const { return pack_totals_[pack].trained; }
  size_t document_count(uint64_t pack) const;
  const Document& document(uint64_t pack, size_t index) const;
  std::span<const Span> spans(uint64_t pack, const Document& document) const;
  /// tokens.size() is the document's length. Throws ERR_FILE_CHANGED when the file is not as it was opened.
  void read_tokens(uint64_t pack, const Document& document, std::span<uint32_t> tokens) const;
  std::vector<Sample> samples(uint64_t pack) const;

  /// Of the index.
  uint64_t memory_bytes() const;

 private:
  struct PackRange {
    uint32_t first, count;
  };
  struct Shard {
    File file;
    uint64_t tokens_begin;  // byte position
    uint64_t tokens;
    uint64_t first_pack;  // of all shards
    std::vector<Document> documents;
    std::vector<Span> spans;
    std::vector<PackRange> packs;
    std::vector<uint32_t> pack_documents;
  };
  struct PackTotals {
    uint32_t tokens, trained;
  };
  class ShardReader;

  struct Counts {
    uint64_t packs, documents, tokens, trained;
  };

  Counts read_meta(const std::string& path);
  void read_shard(const std::string& path, Counts& counts);
  void check_token_ids(size_t rank, size_t size) const;
  const Shard& shard_of(uint64_t pack) const;

  Packing packing_ = Packing::kNone;
  std::string key_;
  uint64_t pack_length_ = 0, vocabulary_size_ = 0, shard_count_ = 0;
  std::vector<std::string> sources_;
  std::vector<Shard> shards_;
  std::vector<PackTotals> pack_totals_;
};

}  // namespace branchmerge::sft
