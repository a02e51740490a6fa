#include "sft/train/prepared_data.h"

#include <doctest/doctest.h>

#include <functional>
#include <random>

#include "../error_code.h"
#include "prepared_directory.h"

namespace branchmerge::sft {
namespace {

template <typename Value>
std::string with(std::string bytes, size_t at, Value value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
  return bytes;
}

// Where the sections of three_packs() begin: 6 documents, 5 spans, 3 packs, 6 documents of packs, 18 tokens.
constexpr size_t kDocuments = 64, kSpans = kDocuments + 6 * 32, kPacks = kSpans + 5 * 8,
                 kList = kPacks + 3 * 8, kTokens = kList + 6 * 4;

TEST_CASE("what was written is read, over several shards") {
  const auto packs = three_packs();
  const TemporaryDirectory directory;
  MetaCounts counts = counts_of(packs);
  counts.shards = 2;
  directory.write("meta.json", meta_of(counts));
  directory.write("shard-00000.bin", shard_of({packs[0]}));
  directory.write("shard-00001.bin", shard_of({packs[1], packs[2]}));
  const PreparedData data(directory.file("."), 0, 1);

  CHECK(data.packing() == Packing::kNeat);
  CHECK(data.key() == "k");
  CHECK(data.vocabulary_size() == 100);
  CHECK(data.sources() == std::vector<std::string>{"math", "code"});
  REQUIRE(data.packs() == packs.size());
  for (size_t pack = 0; pack < packs.size(); pack++) {
    CAPTURE(pack);
    const MetaCounts expected = counts_of({packs[pack]});
    CHECK(data.tokens(pack) == expected.tokens);
    CHECK(data.trained_tokens(pack) == expected.trained);
    REQUIRE(data.document_count(pack) == packs[pack].size());
    for (size_t i = 0; i < packs[pack].size(); i++) {
      const auto& document = data.document(pack, i);
      std::vector<uint32_t> tokens(document.length);
      data.read_tokens(pack, document, tokens);
      CHECK(tokens == packs[pack][i].tokens);
      CHECK(data.samples(pack)[i] == PreparedData::Sample{packs[pack][i].source, packs[pack][i].row});
      const auto spans = data.spans(pack, document);
      REQUIRE(spans.size() == packs[pack][i].spans.size());
      for (size_t j = 0; j < spans.size(); j++)
        CHECK(std::pair(spans[j].begin, spans[j].end) == packs[pack][i].spans[j]);
    }
  }
}

TEST_CASE("every odd field is refused with the byte where it is") {
  const std::string good = shard_of(three_packs());
  const struct {
    const char* name;
    std::string bytes;
    size_t position;
  } cases[] = {
      {"no header", good.substr(0, 40), 40},
      {"another magic", with(good, 0, 'X'), 0},
      {"more documents than bytes", with(good, 8, uint64_t{1} << 60), 8},
      {"a section count off by one", with(good, 24, uint64_t{4}), good.size()},
      {"a reserved byte", with(good, 50, 'x'), 50},
      {"one byte short", good.substr(0, good.size() - 1), good.size() - 1},
      {"eight bytes too many", good + std::string(8, '\0'), good.size()},
      {"tokens of a document outside", with(good, kDocuments + 32, uint64_t{16}), kDocuments + 32},
      {"a document without tokens", with(good, kDocuments + 8, uint32_t{0}), kDocuments},
      {"spans of a document outside", with(good, kDocuments + 2 * 32 + 12, uint32_t{4}), kDocuments + 2 * 32},
      {"a source that is not listed", with(good, kDocuments + 20, uint32_t{2}), kDocuments},
      {"a span that begins at 0", with(good, kSpans, uint32_t{0}), kSpans},
      {"a span that is empty", with(good, kSpans + 4, uint32_t{2}), kSpans},
      {"a span behind its document", with(good, kSpans + 4, uint32_t{5}), kSpans},
      {"a span that overlaps the one before", with(good, kSpans + 3 * 8, uint32_t{1}), kSpans + 3 * 8},
      {"a pack without documents", with(good, kPacks + 4, uint32_t{0}), kPacks},
      {"documents of a pack outside", with(good, kPacks + 2 * 8, uint32_t{4}), kPacks + 2 * 8},
      {"a document that is not there", with(good, kList + 4, uint32_t{6}), kList + 4},
      {"a token beyond the vocabulary", with(good, kTokens + 3 * 4, uint32_t{100}), kTokens + 3 * 4},
  };
  for (const auto& item : cases) {
    CAPTURE(item.name);
    const PreparedDirectory directory(three_packs());
    directory.write("shard-00000.bin", item.bytes);
    const auto open = [&] { PreparedData(directory.path(), 0, 1); };
    CHECK(error_code(open) == "ERR_PREPARED_DATA");
    const std::string message = error_message(open);
    CAPTURE(message);
    CHECK(message.find("shard-00000.bin: at byte " + std::to_string(item.position) + ":") !=
          std::string::npos);
  }
}

TEST_CASE("padding that is not zero is refused") {
  const std::vector<TestPack> packs{{{{1, 2, 3}, {{1, 3}}, 0, 0}}};
  const PreparedDirectory directory(packs);
  const std::string good = shard_of(packs);
  directory.write("shard-00000.bin", with(good, good.size() - 1, '\1'));
  CHECK(error_message([&] {
          PreparedData(directory.path(), 0, 1);
        }).find("at byte " + std::to_string(good.size() - 1)) != std::string::npos);
}

TEST_CASE("a pack longer than the packs' length is refused") {
  TestDocument document{std::vector<uint32_t>(17, 1), {{1, 2}}, 0, 0};
  const PreparedDirectory directory({{document}});
  CHECK(error_message([&] { PreparedData(directory.path(), 0, 1); }).find("at most 16 tokens") !=
        std::string::npos);
}

TEST_CASE("counts of meta.json that the shards do not have are refused") {
  for (uint64_t MetaCounts::*count :
       {&MetaCounts::packs, &MetaCounts::documents, &MetaCounts::tokens, &MetaCounts::trained}) {
    const PreparedDirectory directory(three_packs());
    MetaCounts counts = counts_of(three_packs());
    counts.*count += 1;
    directory.write("meta.json", meta_of(counts));
    CHECK(error_code([&] { PreparedData(directory.path(), 0, 1); }) == "ERR_PREPARED_DATA");
  }
}

TEST_CASE("each process checks its part of the token ids") {
  std::vector<TestPack> packs((3 << 18) / 16, {{std::vector<uint32_t>(16, 7), {{1, 16}}, 0, 0}});
  packs[(2 << 18) / 16][0].tokens[3] = 100;  // in the third chunk of 2^18
  const PreparedDirectory directory(packs);
  CHECK(error_code([&] { PreparedData(directory.path(), 0, 3); }).empty());
  CHECK(error_code([&] { PreparedData(directory.path(), 1, 3); }).empty());
  CHECK(error_code([&] { PreparedData(directory.path(), 2, 3); }) == "ERR_PREPARED_DATA");
}

/// Uses everything that the data says: memory errors show under the sanitizers.
uint64_t read_all(const PreparedData& data) {
  uint64_t sum = 0;
  for (uint64_t pack = 0; pack < data.packs(); pack++)
    for (size_t i = 0; i < data.document_count(pack); i++) {
      const auto& document = data.document(pack, i);
      std::vector<uint32_t> tokens(document.length);
      data.read_tokens(pack, document, tokens);
      for (const auto& span : data.spans(pack, document))
        for (uint32_t t = span.begin; t < span.end; t++)
          sum += tokens[t] + data.sources()[document.source].size();
    }
  return sum;
}

TEST_CASE("any damaged file is refused or can be used in full") {
  const std::string good = shard_of(three_packs());
  std::mt19937_64 random(1);
  int refused = 0;
  const PreparedDirectory directory(three_packs());
  for (int i = 0; i < 3000; i++) {
    std::string bytes = good;
    for (uint64_t changes = 1 + random() % 3; changes > 0; changes--) {
      const size_t at = random() % bytes.size();
      // Small numbers make more plausible files than any byte.
      bytes[at] = char(random() % 2 ? random() % 256 : random() % 8);
    }
    if (random() % 8 == 0) bytes.resize(random() % (bytes.size() + 1));
    directory.write("shard-00000.bin", bytes);
    const std::string code = error_code([&] { read_all(PreparedData(directory.path(), 0, 1)); });
    const bool known = code.empty() || code == "ERR_PREPARED_DATA";
    CHECK(known);
    refused += code.empty() ? 0 : 1;
  }
  CHECK(refused > 1000);
}

TEST_CASE("a file that changes below a run is an error") {
  const PreparedDirectory directory(three_packs());
  const PreparedData data(directory.path(), 0, 1);
  const std::string good = shard_of(three_packs());
  directory.write("shard-00000.bin", with(good, kTokens, uint32_t{1000}));
  CHECK(error_code([&] { read_all(data); }) == "ERR_FILE_CHANGED");
  directory.write("shard-00000.bin", good.substr(0, kTokens + 8));
  CHECK(error_code([&] { read_all(data); }) == "ERR_FILE_CHANGED");
}

}  // namespace
}  // namespace branchmerge::sft
