#include "sft/train/snapshot_reader.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "io/file.h"
#include "sft/parallel/shared_text.h"
#include "sft/parallel/state_loader.h"
#include "sft/train/durable_files.h"
#include "sft/train/snapshot_writer.h"

namespace branchmerge::sft {
namespace {

constexpr std::string_view kDamaged = ".damaged";
constexpr size_t kReadBytes = 4 << 20;
static_assert(kReadBytes % kHashPieceBytes == 0);

/// What a process found of a snapshot.
struct Finding {
  std::string damage;      // other bytes than the manifest tells of
  std::string unreadable;  // it could not be told
};

/// What is wrong with a file that can be read, or nothing.
std::string find_damage(const std::string& directory, const SavedFile& saved) {
  const File file = File::open_for_reading(directory + "/" + saved.name);
  if (file.size() != saved.bytes)
    return file.path() + ": expected " + std::to_string(saved.bytes) + " bytes but the file has " +
           std::to_string(file.size());
  PlacedHash hash(0, saved.bytes);
  std::vector<std::byte> buffer(std::min<uint64_t>(kReadBytes, saved.bytes));
  for (uint64_t at = 0; at < saved.bytes; at += buffer.size()) {
    const auto part = std::span(buffer).first(std::min<uint64_t>(buffer.size(), saved.bytes - at));
    file.read_exactly(part, at);
    hash.add(at, at + part.size(), part.data());
  }
  if (hash_text(hash.value()) == saved.hash) return {};
  return file.path() + ": expected the hash " + saved.hash + " but the file has " + hash_text(hash.value());
}

/// Reads the manifest, and of the files those from `first` on in steps of `step`.
Finding examine(const std::string& path, size_t first, size_t step, SnapshotManifest& manifest) {
  try {
    manifest = read_manifest(path + "/" + std::string(kManifestName));
    for (size_t i = first; i < manifest.files.size(); i += step) {
      std::string damage = find_damage(path, manifest.files[i]);
      if (!damage.empty()) return {std::move(damage), {}};
    }
    return {};
  } catch (const Error& error) {
    // A manifest that is none, or a file that is gone; anything else says nothing about the bytes on the
    // disk.
    const std::string_view code = error.code;
    if (code == "ERR_RESUME" || code == "ERR_CHECKPOINT_NOT_FOUND") return {error.what(), {}};
    return {{}, error.what()};
  }
}

[[noreturn]] void throw_unreadable(const std::string& path, const std::string& why) {
  throw Error("ERR_FILE_READ",
              why + ". The snapshot " + path +
                  " was left as it is. Repair the disk, mount or permissions and start again, or remove "
                  "that snapshot to continue from the one before it");
}

/// What all processes together found, the same on all: damage is what process 0 sees as well. Where it does
/// not, a process sees another file system.
std::string agree_on_damage(const std::string& path, Collectives& collectives, SnapshotManifest& manifest) {
  const Finding own = examine(path, collectives.rank(), collectives.size(), manifest);
  const std::string unreadable = first_text(collectives, own.unreadable);
  if (!unreadable.empty()) throw_unreadable(path, unreadable);
  const std::string damage = first_text(collectives, own.damage);
  if (damage.empty()) return {};
  Finding all;
  SnapshotManifest again;
  if (collectives.rank() == 0) all = examine(path, 0, 1, again);
  if (const std::string why = first_text(collectives, all.unreadable); !why.empty())
    throw_unreadable(path, why);
  if (std::string confirmed = first_text(collectives, all.damage); !confirmed.empty()) return confirmed;
  throw_unreadable(path,
                   damage +
                       ", on one process, while process 0 finds the snapshot whole: they do not see the "
                       "same file system");
}

/// Rank 0's list: on a network file system, others might see another one.
std::vector<uint64_t> agree_on_steps(const std::string& directory, Collectives& collectives) {
  std::vector<uint64_t> steps;
  if (collectives.rank() == 0) steps = list_snapshots(directory);
  uint64_t count = steps.size();
  collectives.broadcast(std::as_writable_bytes(std::span(&count, 1)), 0);
  steps.resize(count);
  if (count > 0) collectives.broadcast(std::as_writable_bytes(std::span(steps)), 0);
  return steps;
}

void set_aside(const std::string& path) {
  remove_path(path + std::string(kDamaged));
  rename_path(path, path + std::string(kDamaged));
}

/// On rank 0: one that was set aside, or nothing.
std::string name_of_damaged(const std::string& directory, const Collectives& collectives) {
  if (collectives.rank() != 0) return {};
  const std::vector<std::string> names = list_names(directory);
  const auto found = std::find_if(names.begin(), names.end(),
                                  [](const std::string& name) { return name.ends_with(kDamaged); });
  return found == names.end() ? std::string() : directory + "/" + *found;
}

/// Reads the part of a saved piece that a target has. `begin`: where the piece lies in the file.
void read_piece(const File& file, uint64_t begin, const SavedPiece& piece, const StatePiece& target) {
  uint64_t at = begin + (target.offset - piece.offset) * sizeof(float);
  for (float* const values : {target.weight, target.first_moment, target.second_moment}) {
    file.read_exactly(std::as_writable_bytes(std::span(values, target.count)), at);
    at += piece.count * sizeof(float);
  }
}

}  // namespace

void remove_unfinished_snapshots(const std::string& directory) {
  std::vector<std::string> unfinished;
  for (const std::string& name : list_names(directory)) {
    const std::string path = std::string(directory).append("/").append(name);
    if (name.ends_with(".partial") ||
        (name.starts_with("step-") && !name.ends_with(kDamaged) && !has_manifest(path)))
      unfinished.push_back(path);
  }
  for (const std::string& path : unfinished) remove_path(path);
}

std::optional<FoundSnapshot> find_snapshot(const std::string& directory, Collectives& collectives,
                                           const OnDamaged& on_damaged) {
  std::string last_damage;
  for (const uint64_t step : agree_on_steps(directory, collectives)) {
    FoundSnapshot found{directory + "/" + snapshot_name(step), {}};
    last_damage = agree_on_damage(found.path, collectives, found.manifest);
    if (last_damage.empty()) return found;
    if (collectives.rank() == 0) {
      on_damaged(found.path, last_damage);
      set_aside(found.path);
    }
  }
  // Also those that an earlier start set aside: a run that had come so far must not begin again unasked.
  if (last_damage.empty()) last_damage = first_text(collectives, name_of_damaged(directory, collectives));
  if (last_damage.empty()) return std::nullopt;
  throw Error("ERR_RESUME", directory + ": expected a snapshot that is whole but all are damaged, at last " +
                                last_damage + ". Remove " + directory + " to begin again");
}

void load_snapshot(const FoundSnapshot& snapshot, ParameterStore& store) {
  StateLoader loader(store);
  for (const SavedFile& saved : snapshot.manifest.files) {
    const File file = File::open_for_reading(snapshot.path + "/" + saved.name);
    uint64_t begin = 0;
    for (const SavedPiece& piece : saved.pieces) {
      if (const auto target = loader.claim(piece.parameter, piece.offset, piece.count))
        read_piece(file, begin, piece, *target);
      begin += piece.count * 3 * sizeof(float);
    }
  }
  loader.finish(snapshot.manifest.head.updates);
}

}  // namespace branchmerge::sft
