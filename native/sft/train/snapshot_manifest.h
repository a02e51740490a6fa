#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sft/train/data_position.h"
#include "sft/train/json_line.h"
#include "sft/train/run_file.h"

namespace branchmerge::sft {

/// Elements [offset, offset + count) of a parameter.
struct SavedPiece {
  std::string parameter;
  uint64_t offset, count;
};

/// What one process saved: for each piece its weights, then its first, then its second moments, as
/// little-endian float32, one piece behind the other.
struct SavedFile {
  std::string name;
  uint64_t bytes;
  std::string hash;  // XXH64 over the little-endian XXH64 of each 64 KiB, in hexadecimal
  std::vector<SavedPiece> pieces;
};

/// Name and value of each field of a run that shapes its weights.
using RunFields = std::vector<std::pair<std::string, std::string>>;

/// What a snapshot says beside its weights and moments.
struct SnapshotHead {
  DataPosition position;
  uint64_t updates;           // of the optimizer; steps less skipped ones
  uint64_t skipped_in_a_row;  // steps before this one
  uint64_t processes;
  uint64_t seed;
  std::string data_key;
  RunFields run;
};

struct SnapshotManifest {
  SnapshotHead head;
  std::vector<SavedFile> files;
};

inline constexpr std::string_view kManifestName = "manifest.json";

/// The fields of a run that may differ when it goes on, but then change what comes of it.
RunFields run_fields(const RunFile& run);

JsonLine file_json(const SavedFile& file);
/// `files`: the file_json of each.
JsonLine manifest_json(const SnapshotHead& head, const std::vector<std::string>& files);

/// Throws ERR_RESUME, or what reading the file throws.
SnapshotManifest read_manifest(const std::string& path);

/// "step-00000200": sorts as the steps do.
std::string snapshot_name(uint64_t step);

}  // namespace branchmerge::sft
