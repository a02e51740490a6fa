#include "sft/train/snapshot_writer.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/hash.h"
#include "base/start_thread.h"
#include "io/file.h"
#include "sft/parallel/sharding.h"
#include "sft/train/durable_files.h"
#include "sft/train/json_fields.h"

namespace branchmerge::sft {
namespace {

// Whole pieces of the hash, and few system calls.
constexpr size_t kWriteBytes = 4 << 20;
static_assert(kWriteBytes % kHashPieceBytes == 0);

// How often rank 0 looks whether the others are done.
constexpr std::chrono::milliseconds kPoll{10};

std::string state_name(size_t rank) {
  const std::string digits = std::to_string(rank);
  return "state-" + std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
}

std::string read_text(const std::string& path) {
  const File file = File::open_for_reading(path);
  std::string text(file.size(), '\0');
  file.read_exactly(std::as_writable_bytes(std::span(text)), 0);
  return text;
}

/// Writes one file from many stretches of memory and hashes it on the way.
class HashedFile {
 public:
  HashedFile(const std::string& path, uint64_t bytes)
      : file_(File::create(path)), hash_(0, bytes), buffer_(kWriteBytes) {
    try {
      file_.reserve(bytes);
    } catch (const Error& error) {
      // Reserving only shows early that there is no room; of anything else the writes tell.
      if (std::string_view(error.code) == "ERR_DISK_FULL")
        throw Error("ERR_DISK_FULL",
                    path + ": cannot reserve " + std::to_string((bytes + (1 << 20) - 1) >> 20) +
                        " MiB for a snapshot. Free some space, and resume from the last snapshot, "
                        "which is complete");
    }
  }

  void append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const size_t count = std::min(bytes.size(), buffer_.size() - filled_);
      std::memcpy(buffer_.data() + filled_, bytes.data(), count);
      filled_ += count;
      bytes = bytes.subspan(count);
      if (filled_ == buffer_.size()) flush();
    }
  }

  uint64_t finish() {
    flush();
    file_.sync();
    return hash_.value();
  }

 private:
  void flush() {
    hash_.add(position_, position_ + filled_, buffer_.data());
    file_.write_all(std::span(buffer_).first(filled_), position_);
    position_ += filled_;
    filled_ = 0;
  }

  File file_;
  PlacedHash hash_;
  std::vector<std::byte> buffer_;
  size_t filled_ = 0;
  uint64_t position_ = 0;
};

std::span<const std::byte> bytes_at(const float* values, uint64_t count) {
  return std::as_bytes(std::span(values, count));
}

}  // namespace

SnapshotWriter::SnapshotWriter(const Options& options, const ParameterStore& store, Collectives& collectives,
                               WorkerPool& workers)
    : options_(options), collectives_(collectives), workers_(workers), pieces_(store.state()) {
  for (const StatePiece& piece : pieces_) bytes_ += piece.count * 3 * sizeof(float);
  if (options.in_background && bytes_ > 0) snapshot_.emplace(bytes_);
}

SnapshotWriter::~SnapshotWriter() {
  abandoned_ = true;
  if (thread_.joinable()) thread_.join();
}

uint64_t SnapshotWriter::memory_bytes(const ParameterLayout& layout, uint64_t processes) {
  const Sharding sharding(layout.block_floats, 0, 0, processes);
  uint64_t floats = 0;
  for (const uint64_t slice : sharding.slices()) floats += slice;
  return floats * 3 * sizeof(float) + kWriteBytes;
}

std::string SnapshotWriter::partial_path(uint64_t step) const {
  return options_.directory + "/" + snapshot_name(step) + ".partial";
}

void SnapshotWriter::start(const SnapshotHead& head) {
  prepare(head);
  copy_state();
  std::vector<std::span<const std::byte>> contents;
  if (snapshot_) contents.emplace_back(snapshot_->data(), bytes_);
  write_in_thread(std::move(contents), head);
}

void SnapshotWriter::save(const SnapshotHead& head) {
  prepare(head);
  std::vector<std::span<const std::byte>> contents;
  for (const StatePiece& piece : pieces_)
    for (const float* values : {piece.weight, piece.first_moment, piece.second_moment})
      contents.push_back(bytes_at(values, piece.count));
  write_in_thread(std::move(contents), head);
  thread_.join();
  if (failure_) std::rethrow_exception(failure_);
  collectives_.barrier();
}

/// Rank 0's thread ends when the snapshot is whole: behind the barrier none is under way.
void SnapshotWriter::prepare(const SnapshotHead& head) {
  if (thread_.joinable()) thread_.join();
  if (failure_) std::rethrow_exception(failure_);
  collectives_.barrier();
  if (collectives_.rank() == 0) {
    remove_path(partial_path(head.position.step));
    make_directories(partial_path(head.position.step));
  }
  collectives_.barrier();
}

void SnapshotWriter::copy_state() {
  if (!snapshot_) return;
  std::vector<uint64_t> begins;
  uint64_t at = 0;
  for (const StatePiece& piece : pieces_) {
    begins.push_back(at);
    at += piece.count * 3 * sizeof(float);
  }
  workers_.for_each(pieces_.size(), [&](size_t, size_t i) {
    const StatePiece& piece = pieces_[i];
    std::byte* out = snapshot_->data() + begins[i];
    for (const float* values : {piece.weight, piece.first_moment, piece.second_moment}) {
      std::memcpy(out, values, piece.count * sizeof(float));
      out += piece.count * sizeof(float);
    }
  });
}

void SnapshotWriter::write_in_thread(std::vector<std::span<const std::byte>> contents,
                                     const SnapshotHead& head) {
  done_ = false;
  thread_ = start_thread([this, contents = std::move(contents), head] {
    try {
      write(contents, head);
    } catch (...) {
      failure_ = std::current_exception();
    }
    done_ = true;
  });
}

void SnapshotWriter::write(const std::vector<std::span<const std::byte>>& contents,
                           const SnapshotHead& head) {
  const std::string path = partial_path(head.position.step) + "/" + state_name(collectives_.rank());
  try {
    write_state_file(path, contents);
    if (collectives_.rank() == 0) publish(head);
  } catch (const Error&) {
    std::error_code ignored;
    std::filesystem::remove(path + ".bin", ignored);  // makes room; what failed is told below
    throw;
  }
}

void SnapshotWriter::write_state_file(const std::string& path,
                                      const std::vector<std::span<const std::byte>>& contents) {
  SavedFile saved{state_name(collectives_.rank()) + ".bin", bytes_, "", {}};
  HashedFile file(path + ".bin", bytes_);
  for (const auto& bytes : contents) file.append(bytes);
  saved.hash = hash_text(file.finish());
  for (const StatePiece& piece : pieces_)
    saved.pieces.push_back({piece.parameter->name, piece.offset, piece.count});
  replace_file(path + ".json", file_json(saved).json(), true);
}

void SnapshotWriter::publish(const SnapshotHead& head) {
  const std::string partial = partial_path(head.position.step);
  std::vector<std::string> files;
  for (size_t rank = 0; rank < collectives_.size(); rank++)
    files.push_back(await_file_json(partial + "/" + state_name(rank) + ".json"));
  // The manifest is what makes the directory a snapshot; it also holds what the small files say.
  replace_file(partial + "/" + std::string(kManifestName), manifest_json(head, files).json() + "\n", true);
  for (size_t rank = 0; rank < files.size(); rank++) remove_path(partial + "/" + state_name(rank) + ".json");
  const std::string path = options_.directory + "/" + snapshot_name(head.position.step);
  remove_path(path);
  rename_path(partial, path);
  sync_directory(options_.directory);
  remove_old(head.position.step);
  completed_ = Completed{head.position.step, path};
}

/// A process's description of its file appears when the file is whole and synced.
std::string SnapshotWriter::await_file_json(const std::string& path) const {
  while (!std::filesystem::exists(path)) {
    if (abandoned_) throw Error("ERR_CANCELLED", path + ": the snapshot was given up");
    std::this_thread::sleep_for(kPoll);
  }
  return read_text(path);
}

/// The manifest goes first: what is left of a removal that was cut off is no snapshot.
void SnapshotWriter::remove_old(uint64_t step) const {
  std::vector<uint64_t> steps = list_snapshots(options_.directory);
  std::erase_if(steps, [&](uint64_t other) { return other > step; });
  for (size_t i = options_.keep; i < steps.size(); i++) {
    const std::string path = options_.directory + "/" + snapshot_name(steps[i]);
    remove_path(path + "/" + std::string(kManifestName));
    remove_path(path);
  }
}

std::optional<SnapshotWriter::Completed> SnapshotWriter::take_completed(bool wait) {
  if (thread_.joinable() && (wait || done_)) thread_.join();
  if (thread_.joinable()) return std::nullopt;
  if (failure_) std::rethrow_exception(failure_);
  return std::exchange(completed_, std::nullopt);
}

bool has_manifest(const std::string& snapshot) {
  const std::string path = snapshot + "/" + std::string(kManifestName);
  std::error_code error;
  const bool exists = std::filesystem::exists(path, error);
  if (error) throw Error("ERR_FILE_READ", path + ": cannot look for the file: " + error.message());
  return exists;
}

std::vector<uint64_t> list_snapshots(const std::string& directory) {
  std::vector<uint64_t> steps;
  for (const std::string& name : list_names(directory)) {
    if (!name.starts_with("step-")) continue;
    const auto step = parse_integer(std::string_view(name).substr(5));
    if (!step || name != snapshot_name(*step)) continue;
    if (has_manifest(std::string(directory).append("/").append(name))) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end(), std::greater<>());
  return steps;
}

}  // namespace branchmerge::sft
