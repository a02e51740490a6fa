#pragma once
#include <functional>
#include <optional>
#include <string>

#include "sft/parallel/parameter_store.h"
#include "sft/train/snapshot_manifest.h"

namespace branchmerge::sft {

struct FoundSnapshot {
  std::string path;
  SnapshotManifest manifest;
};

/// Called on rank 0 for a snapshot whose bytes are not those that its manifest tells of.
using OnDamaged = std::function<void(const std::string& path, const std::string& reason)>;

/// Removes what a writer that was cut off left in the directory of snapshots. Rank 0's alone.
/// ERR_FILE_READ.
void remove_unfinished_snapshots(const std::string& directory);

/// The newest snapshot whose files all have the size and the hash of the manifest; the processes share the
/// reading. One that was read, by process 0 too, and has other bytes is damaged: it gets a name that ends in
/// .damaged, and the one before is tried. One that cannot be read, or that not all processes see alike, is
/// not: nothing is renamed, and all processes throw ERR_FILE_READ. ERR_RESUME where all that there were are
/// damaged, in this start or an earlier one. Collective.
std::optional<FoundSnapshot> find_snapshot(const std::string& directory, Collectives& collectives,
                                           const OnDamaged& on_damaged);

/// Fills the store with the state of a snapshot that any number of processes wrote. ERR_RESUME when it is
/// of another model. Collective.
void load_snapshot(const FoundSnapshot& snapshot, ParameterStore& store);

}  // namespace branchmerge::sft
