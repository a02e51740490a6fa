#include "sft/train/prepared_data.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "sft/train/json_fields.h"

namespace branchmerge::sft {
namespace {

constexpr uint64_t kMaxMetaBytes = 16 << 20;
constexpr uint64_t kMaxShards = 100'000;
// Ids and lengths are 32-bit, and a target is a signed one.
constexpr uint64_t kMaxIds = uint64_t{1} << 31;
constexpr size_t kHeaderBytes = 64;
constexpr std::string_view kMagic = "BMPACKS1";
constexpr size_t kTokensAtOnce = 1 << 18;

[[noreturn]] void fail(const std::string& file, uint64_t position, const std::string& message) {
  throw Error("ERR_PREPARED_DATA",
              file + ": at byte " + std::to_string(position) + ": " + message + ". Prepare the data again");
}

std::string shard_name(uint64_t index) {
  const std::string digits = std::to_string(index);
  return "shard-" + std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits + ".bin";
}

uint64_t padded(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

}  // namespace

/// Reads and validates one shard, section by section. `position_` is the byte that the next section begins
/// at.
class PreparedData::ShardReader {
 public:
  ShardReader(const PreparedData& data, const std::string& path)
      : data_(data), path_(path), shard_{File::open_for_reading(path), 0, 0, 0, {}, {}, {}, {}} {}

  Shard read() {
    read_header();
    read_section(shard_.documents, counts_[0]);
    read_section(shard_.spans, counts_[1]);
    read_section(shard_.packs, counts_[2]);
    read_section(shard_.pack_documents, counts_[3]);
    shard_.tokens_begin = position_;
    shard_.tokens = counts_[4];
    check_padding(position_ + shard_.tokens * sizeof(uint32_t), size_);
    check_documents();
    check_packs();
    return std::move(shard_);
  }

 private:
  static constexpr std::array<const char*, 5> kSections{"documents", "spans", "packs", "documents of packs",
                                                        "tokens"};
  static constexpr std::array<uint64_t, 5> kElementBytes{sizeof(Document), sizeof(Span), sizeof(PackRange),
                                                         sizeof(uint32_t), sizeof(uint32_t)};

  void read_header() {
    size_ = shard_.file.size();
    if (size_ < kHeaderBytes) fail(path_, size_, "expected a header of 64 bytes but the file ends here");
    std::array<char, kHeaderBytes> header;
    shard_.file.read_exactly(std::as_writable_bytes(std::span(header)), 0);
    if (std::string_view(header.data(), kMagic.size()) != kMagic)
      fail(path_, 0, "expected the mark " + std::string(kMagic) + " of a shard of prepared data");
    std::memcpy(counts_.data(), header.data() + kMagic.size(), sizeof counts_);
    for (size_t i = kMagic.size() + sizeof counts_; i < kHeaderBytes; i++)
      if (header[i] != 0) fail(path_, i, "expected zero in the reserved bytes of the header");
    check_size();
    position_ = kHeaderBytes;
  }

  void check_size() const {
    uint64_t end = kHeaderBytes;
    for (size_t i = 0; i < counts_.size(); i++) {
      const uint64_t field = kMagic.size() + i * sizeof(uint64_t);
      if (counts_[i] > size_ / kElementBytes[i])
        fail(path_, field,
             "expected fewer " + std::string(kSections[i]) + " than " + std::to_string(counts_[i]) +
                 " in a file of " + std::to_string(size_) + " bytes");
      if (i < 4 && counts_[i] > UINT32_MAX)
        fail(path_, field,
             "expected at most 2^32 - 1 " + std::string(kSections[i]) + " in a shard but received " +
                 std::to_string(counts_[i]));
      end += padded(counts_[i] * kElementBytes[i]);
    }
    if (end != size_)
      fail(path_, std::min(end, size_),
           "expected a file of " + std::to_string(end) + " bytes, as its header says, but it has " +
               std::to_string(size_));
  }

  template <typename Element>
  void read_section(std::vector<Element>& elements, uint64_t count) {
    section_begin_[sections_read_++] = position_;
    elements.resize(count);
    shard_.file.read_exactly(std::as_writable_bytes(std::span(elements)), position_);
    const uint64_t end = position_ + count * sizeof(Element);
    position_ += padded(count * sizeof(Element));
    check_padding(end, position_);
  }

  void check_padding(uint64_t begin, uint64_t end) const {
    std::array<char, 8> padding{};
    shard_.file.read_exactly(std::as_writable_bytes(std::span(padding).first(end - begin)), begin);
    for (uint64_t at = begin; at < end; at++)
      if (padding[at - begin] != 0) fail(path_, at, "expected zero between two sections");
  }

  [[noreturn]] void fail_element(size_t section, uint64_t index, const std::string& message) const {
    fail(path_, section_begin_[section] + index * kElementBytes[section], message);
  }

  void check_documents() const {
    for (uint64_t i = 0; i < shard_.documents.size(); i++) {
      const Document& document = shard_.documents[i];
      const std::string name = "document " + std::to_string(i);
      if (document.length == 0) fail_element(0, i, "expected " + name + " to have a token");
      if (document.first_token > shard_.tokens || document.length > shard_.tokens - document.first_token)
        fail_element(0, i, "expected the tokens of " + name + " to lie within the shard's");
      if (uint64_t(document.first_span) + document.span_count > shard_.spans.size())
        fail_element(0, i, "expected the spans of " + name + " to lie within the shard's");
      if (document.source >= data_.sources_.size())
        fail_element(0, i,
                     "expected " + name + " to be of one of the " + std::to_string(data_.sources_.size()) +
                         " sources of meta.json but received " + std::to_string(document.source));
      check_spans(document, name);
    }
  }

  void check_spans(const Document& document, const std::string& name) const {
    uint32_t least = 1;
    for (uint64_t i = document.first_span; i < uint64_t(document.first_span) + document.span_count; i++) {
      const Span& span = shard_.spans[i];
      if (span.begin < least || span.begin >= span.end || span.end > document.length)
        fail_element(1, i,
                     "expected a span of " + name + " to begin at " + std::to_string(least) +
                         " or later and to end after it, at " + std::to_string(document.length) +
                         " or before, but received [" + std::to_string(span.begin) + ", " +
                         std::to_string(span.end) + ")");
      least = span.end;
    }
  }

  void check_packs() const {
    for (uint64_t i = 0; i < shard_.packs.size(); i++) {
      const PackRange& pack = shard_.packs[i];
      const std::string name = "pack " + std::to_string(i);
      if (pack.count == 0) fail_element(2, i, "expected " + name + " to have a document");
      const uint64_t end = uint64_t(pack.first) + pack.count;
      if (end > shard_.pack_documents.size())
        fail_element(2, i, "expected the documents of " + name + " to lie within the shard's list");
      uint64_t tokens = 0;
      for (uint64_t j = pack.first; j < end; j++) {
        const uint32_t document = shard_.pack_documents[j];
        if (document >= shard_.documents.size())
          fail_element(3, j,
                       "expected one of the shard's " + std::to_string(shard_.documents.size()) +
                           " documents but received " + std::to_string(document));
        tokens += shard_.documents[document].length;
      }
      if (tokens > data_.pack_length_)
        fail_element(2, i,
                     "expected " + name + " to have at most " + std::to_string(data_.pack_length_) +
                         " tokens but its documents have " + std::to_string(tokens));
    }
  }

  const PreparedData& data_;
  const std::string path_;
  Shard shard_;
  uint64_t size_ = 0, position_ = 0;
  std::array<uint64_t, 5> counts_{};
  std::array<uint64_t, 5> section_begin_{};
  size_t sections_read_ = 0;
};

PreparedData::PreparedData(const std::string& directory, size_t rank, size_t size) {
  const std::string meta = directory + "/meta.json";
  const Counts expected = read_meta(meta);
  Counts found{};
  for (uint64_t i = 0; i < shard_count_; i++) read_shard(directory + "/" + shard_name(i), found);
  pack_totals_.shrink_to_fit();
  const auto check = [&](const char* name, uint64_t wanted, uint64_t got) {
    if (got != wanted)
      throw Error("ERR_PREPARED_DATA", meta + ": expected " + std::to_string(wanted) + " " + name +
                                           ", as the file says, but the shards have " + std::to_string(got) +
                                           ". Prepare the data again");
  };
  check("packs", expected.packs, found.packs);
  check("documents", expected.documents, found.documents);
  check("tokens", expected.tokens, found.tokens);
  check("trainedTokens", expected.trained, found.trained);
  check_token_ids(rank, size);
}

PreparedData::Counts PreparedData::read_meta(const std::string& path) {
  const JsonNode root = read_json_file(path, kMaxMetaBytes, "ERR_PREPARED_DATA");
  JsonFields fields(root, path, "ERR_PREPARED_DATA");
  fields.integer("format", 1, 1);
  key_ = fields.string("key");
  packing_ = Packing(fields.choice("packing", {"none", "pack", "neat"}));
  pack_length_ = fields.integer("packLength", 1, kMaxIds);
  vocabulary_size_ = fields.integer("vocabularySize", 1, kMaxIds);
  shard_count_ = fields.integer("shards", 1, kMaxShards);
  const auto& names = fields.array("sources");
  for (const JsonNode& name : names) {
    if (name.kind != JsonToken::kString) fields.fail("sources", "an array of strings");
    sources_.push_back(name.text);
  }
  return {fields.integer("packs", 1), fields.integer("documents", 1), fields.integer("tokens", 1),
          fields.integer("trainedTokens", 0)};
}

void PreparedData::read_shard(const std::string& path, Counts& counts) {
  shards_.push_back(ShardReader(*this, path).read());
  Shard& shard = shards_.back();
  shard.first_pack = counts.packs;
  counts.packs += shard.packs.size();
  counts.documents += shard.documents.size();
  counts.tokens += shard.tokens;
  for (uint64_t pack = shard.first_pack; pack < counts.packs; pack++) {
    PackTotals totals{};
    for (size_t i = 0; i < document_count(pack); i++) {
      const Document& each = document(pack, i);
      totals.tokens += each.length;
      for (const Span& span : spans(pack, each)) totals.trained += span.end - span.begin;
    }
    counts.trained += totals.trained;
    pack_totals_.push_back(totals);
  }
}

/// Each process reads every size-th chunk: together they read all, and none holds the others up.
void PreparedData::check_token_ids(size_t rank, size_t size) const {
  std::vector<uint32_t> tokens;
  uint64_t chunk = 0;
  for (const Shard& shard : shards_) {
    for (uint64_t first = 0; first < shard.tokens; first += kTokensAtOnce) {
      if (chunk++ % size != rank) continue;
      tokens.resize(std::min<uint64_t>(kTokensAtOnce, shard.tokens - first));
      shard.file.read_exactly(std::as_writable_bytes(std::span(tokens)),
                              shard.tokens_begin + first * sizeof(uint32_t));
      const auto odd = std::find_if(tokens.begin(), tokens.end(),
                                    [&](uint32_t token) { return token >= vocabulary_size_; });
      if (odd != tokens.end())
        fail(shard.file.path(),
             shard.tokens_begin + (first + uint64_t(odd - tokens.begin())) * sizeof(uint32_t),
             "expected token ids below " + std::to_string(vocabulary_size_) +
                 ", the vocabularySize of meta.json, " + "but received " + std::to_string(*odd));
    }
  }
}

const PreparedData::Shard& PreparedData::shard_of(uint64_t pack) const {
  const auto after =
      std::upper_bound(shards_.begin(), shards_.end(), pack,
                       [](uint64_t value, const Shard& shard) { return value < shard.first_pack; });
  return *std::prev(after);
}

size_t PreparedData::document_count(uint64_t pack) const {
  const Shard& shard = shard_of(pack);
  return shard.packs[pack - shard.first_pack].count;
}

const PreparedData::Document& PreparedData::document(uint64_t pack, size_t index) const {
  const Shard& shard = shard_of(pack);
  return shard.documents[shard.pack_documents[shard.packs[pack - shard.first_pack].first + index]];
}

std::span<const PreparedData::Span> PreparedData::spans(uint64_t pack, const Document& document) const {
  return std::span(shard_of(pack).spans).subspan(document.first_span, document.span_count);
}

void PreparedData::read_tokens(uint64_t pack, const Document& document, std::span<uint32_t> tokens) const {
  const Shard& shard = shard_of(pack);
  shard.file.read_exactly(std::as_writable_bytes(tokens),
                          shard.tokens_begin + document.first_token * sizeof(uint32_t));
  for (const uint32_t token : tokens)
    if (token >= vocabulary_size_)
      throw Error("ERR_FILE_CHANGED", shard.file.path() + ": the tokens at byte " +
                                          std::to_string(shard.tokens_begin + document.first_token * 4) +
                                          " have changed since the run began");
}

std::vector<PreparedData::Sample> PreparedData::samples(uint64_t pack) const {
  std::vector<Sample> samples;
  for (size_t i = 0; i < document_count(pack); i++) {
    const Document& each = document(pack, i);
    samples.push_back({each.source, each.row});
  }
  return samples;
}

uint64_t PreparedData::memory_bytes() const {
  uint64_t bytes = pack_totals_.size() * sizeof(PackTotals);
  for (const Shard& shard : shards_)
    bytes += shard.documents.size() * sizeof(Document) + shard.spans.size() * sizeof(Span) +
             shard.packs.size() * sizeof(PackRange) + shard.pack_documents.size() * sizeof(uint32_t);
  return bytes;
}

}  // namespace branchmerge::sft
