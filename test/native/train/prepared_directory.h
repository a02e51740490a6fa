#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "../temporary_directory.h"

namespace branchmerge::sft {

struct TestDocument {
  std::vector<uint32_t> tokens;
  std::vector<std::pair<uint32_t, uint32_t>> spans;
  uint32_t source = 0;
  uint64_t row = 0;
};
using TestPack = std::vector<TestDocument>;

template <typename Value>
void append(std::string& bytes, Value value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

inline void pad(std::string& bytes) { bytes.append((8 - bytes.size() % 8) % 8, '\0'); }

/// A shard as docs/formats.md describes it, written apart from what reads it.
inline std::string shard_of(const std::vector<TestPack>& packs) {
  std::string documents, spans, ranges, list, tokens;
  uint64_t document_count = 0, span_count = 0, token_count = 0;
  for (const TestPack& pack : packs) {
    append(ranges, uint32_t(document_count));
    append(ranges, uint32_t(pack.size()));
    for (const TestDocument& document : pack) {
      append(documents, token_count);
      append(documents, uint32_t(document.tokens.size()));
      append(documents, uint32_t(span_count));
      append(documents, uint32_t(document.spans.size()));
      append(documents, document.source);
      append(documents, document.row);
      for (const auto& [begin, end] : document.spans) {
        append(spans, begin);
        append(spans, end);
      }
      for (const uint32_t token : document.tokens) append(tokens, token);
      append(list, uint32_t(document_count++));
      span_count += document.spans.size();
      token_count += document.tokens.size();
    }
  }
  std::string bytes = "BMPACKS1";
  for (const uint64_t count :
       {document_count, span_count, uint64_t(packs.size()), document_count, token_count})
    append(bytes, count);
  bytes.append(16, '\0');
  for (const std::string* section : {&documents, &spans, &ranges, &list, &tokens}) {
    bytes += *section;
    pad(bytes);
  }
  return bytes;
}

struct MetaCounts {
  uint64_t shards = 0, packs = 0, documents = 0, tokens = 0, trained = 0;
};

inline MetaCounts counts_of(const std::vector<TestPack>& packs) {
  MetaCounts counts{1, packs.size(), 0, 0, 0};
  for (const TestPack& pack : packs)
    for (const TestDocument& document : pack) {
      counts.documents++;
      counts.tokens += document.tokens.size();
      for (const auto& [begin, end] : document.spans) counts.trained += end - begin;
    }
  return counts;
}

inline std::string meta_of(const MetaCounts& counts, const std::string& packing = "neat") {
  return R"({"format":1,"key":"k","packing":")" + packing +
         R"(","packLength":16,"vocabularySize":100,"shards":)" + std::to_string(counts.shards) +
         R"(,"packs":)" + std::to_string(counts.packs) + R"(,"documents":)" +
         std::to_string(counts.documents) + R"(,"tokens":)" + std::to_string(counts.tokens) +
         R"(,"trainedTokens":)" + std::to_string(counts.trained) +
         R"(,"sources":["math","code"],"template":{"name":"x"}})";
}

/// Three packs of one to three documents.
inline std::vector<TestPack> three_packs() {
  return {{{{5, 6, 7, 8}, {{2, 4}}, 0, 11}, {{9, 10, 11}, {{1, 2}}, 1, 3}},
          {{{20, 21, 22, 23, 24}, {{1, 2}, {3, 5}}, 0, 12}},
          {{{30}, {}, 1, 4}, {{31, 32}, {{1, 2}}, 1, 5}, {{33, 34, 35}, {}, 0, 13}}};
}

/// Prepared data of one shard in a directory.
class PreparedDirectory {
 public:
  explicit PreparedDirectory(const std::vector<TestPack>& packs, const std::string& packing = "neat") {
    directory_.write("meta.json", meta_of(counts_of(packs), packing));
    directory_.write("shard-00000.bin", shard_of(packs));
  }
  std::string path() const { return directory_.file("."); }
  void write(const std::string& name, const std::string& bytes) const { directory_.write(name, bytes); }

 private:
  TemporaryDirectory directory_;
};

}  // namespace branchmerge::sft
