#include "sft/train/checkpoint_reader.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <vector>

#include "checkpoint/file.h"
#include "checkpoint/hash.h"
#include "error.h"
#include "sft/parallel/state_loader.h"
#include "sft/train/checkpoint_writer.h"
#include "sft/train/durable_files.h"

namespace branchmerge::sft {
namespace {

constexpr size_t kReadBytes = 4 << 20;
static_assert(kReadBytes % kHashPieceBytes == 0);

/// What is wrong with a file, or nothing.
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

/// Reads the manifest and this process's share of the files; what is wrong with them, or nothing.
std::string examine(const std::string& path, const Collectives& collectives, CheckpointManifest& manifest) {
  try {
    manifest = read_manifest(path + "/" + std::string(kManifestName));
    for (size_t i = collectives.rank(); i < manifest.files.size(); i += collectives.size()) {
      std::string damage = find_damage(path, manifest.files[i]);
      if (!damage.empty()) return damage;
    }
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

/// What the first process that found something says, on all.
std::string agree_on_damage(const std::string& damage, Collectives& collectives) {
  int64_t first = damage.empty() ? 0 : int64_t(collectives.size() - collectives.rank());
  collectives.all_reduce_max(std::span(&first, 1));
  if (first == 0) return {};
  return broadcast_text(collectives, damage, collectives.size() - size_t(first));
}

/// Rank 0's list: on a network file system, others might see another one.
std::vector<uint64_t> agree_on_steps(const std::string& directory, Collectives& collectives) {
  std::vector<uint64_t> steps;
  if (collectives.rank() == 0) steps = list_checkpoints(directory);
  uint64_t count = steps.size();
  collectives.broadcast(std::as_writable_bytes(std::span(&count, 1)), 0);
  steps.resize(count);
  if (count > 0) collectives.broadcast(std::as_writable_bytes(std::span(steps)), 0);
  return steps;
}

void set_aside(const std::string& path) {
  remove_path(path + ".damaged");
  rename_path(path, path + ".damaged");
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

void remove_unfinished_checkpoints(const std::string& directory) {
  std::vector<std::string> unfinished;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    const bool whole = std::filesystem::exists(entry.path() / kManifestName);
    if (name.ends_with(".partial") || (name.starts_with("step-") && !whole && !name.ends_with(".damaged")))
      unfinished.push_back(entry.path().string());
  }
  for (const std::string& path : unfinished) remove_path(path);
}

std::optional<FoundCheckpoint> find_checkpoint(const std::string& directory, Collectives& collectives,
                                               const OnDamaged& on_damaged) {
  std::string last_damage;
  for (const uint64_t step : agree_on_steps(directory, collectives)) {
    FoundCheckpoint found{directory + "/" + checkpoint_name(step), {}};
    last_damage = agree_on_damage(examine(found.path, collectives, found.manifest), collectives);
    if (last_damage.empty()) return found;
    if (collectives.rank() == 0) {
      on_damaged(found.path, last_damage);
      set_aside(found.path);
    }
  }
  if (last_damage.empty()) return std::nullopt;
  throw Error("ERR_RESUME", directory +
                                ": expected a checkpoint that is whole but all are damaged, at last " +
                                last_damage + ". Remove " + directory + " to begin again");
}

void load_checkpoint(const FoundCheckpoint& checkpoint, ParameterStore& store) {
  StateLoader loader(store);
  for (const SavedFile& saved : checkpoint.manifest.files) {
    const File file = File::open_for_reading(checkpoint.path + "/" + saved.name);
    uint64_t begin = 0;
    for (const SavedPiece& piece : saved.pieces) {
      if (const auto target = loader.claim(piece.parameter, piece.offset, piece.count))
        read_piece(file, begin, piece, *target);
      begin += piece.count * 3 * sizeof(float);
    }
  }
  loader.finish(checkpoint.manifest.head.updates);
}

std::string broadcast_text(Collectives& collectives, std::string text, size_t root) {
  uint64_t size = text.size();
  collectives.broadcast(std::as_writable_bytes(std::span(&size, 1)), root);
  text.resize(size);
  if (size > 0) collectives.broadcast(std::as_writable_bytes(std::span(text)), root);
  return text;
}

}  // namespace branchmerge::sft
