#include "sft/train/event_log.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "safetensors/json.h"
#include "sft/train/durable_files.h"
#include "sft/train/json_fields.h"

namespace branchmerge::sft {
namespace {

struct Summary {
  std::string event;
  std::optional<uint64_t> step;
};

/// What a line tells, or nothing when it is no event.
std::optional<Summary> summarize(std::string_view line) {
  try {
    check_json(line);
    JsonReader reader(line);
    if (reader.next() != JsonToken::kObjectBegin) return std::nullopt;
    Summary summary;
    while (reader.next() == JsonToken::kKey) {
      const std::string key(reader.text());
      if (key != "event" && key != "step") {
        reader.skip_value();
      } else {
        reader.next();
        if (key == "event") summary.event = reader.text();
        if (key == "step") summary.step = parse_integer(reader.text());
      }
    }
    return summary;
  } catch (const JsonError&) {
    return std::nullopt;
  }
}

bool belongs_before(std::string_view line, uint64_t step) {
  if (find_invalid_utf8(line)) return false;
  const auto summary = summarize(line);
  if (!summary) return false;
  if (!summary->step) return true;
  return *summary->step < step || (*summary->step == step && summary->event != "validation");
}

std::string read_text(const std::string& path) {
  if (!std::filesystem::exists(path)) return {};
  const File file = File::open_for_reading(path);
  std::string text(file.size(), '\0');
  file.read_exactly(std::as_writable_bytes(std::span(text)), 0);
  return text;
}

}  // namespace

void EventLog::open(const std::string& path, uint64_t step) {
  const std::string before = read_text(path);
  std::string kept;
  for (size_t begin = 0; begin < before.size();) {
    const size_t end = before.find('\n', begin);
    if (end == std::string::npos) break;
    const auto line = std::string_view(before).substr(begin, end - begin);
    if (belongs_before(line, step)) kept.append(line) += '\n';
    begin = end + 1;
  }
  kept += waiting_;
  waiting_.clear();
  replace_file(path, kept, true);
  file_ = File::open_for_writing(path);
  size_ = kept.size();
}

void EventLog::emit(const JsonLine& event) {
  const std::string line = event.json() + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    rest.remove_prefix(size_t(count));
  }
  if (!file_) {
    waiting_ += line;
    return;
  }
  file_.write_all(std::as_bytes(std::span(std::string_view(line))), size_);
  size_ += line.size();
}

}  // namespace branchmerge::sft
