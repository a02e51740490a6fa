#pragma once
#include <functional>
#include <optional>
#include <string>

#include "sft/parallel/parameter_store.h"
#include "sft/train/checkpoint_manifest.h"

namespace branchmerge::sft {

struct FoundCheckpoint {
  std::string path;
  CheckpointManifest manifest;
};

/// Called on rank 0 for a checkpoint that is not what its manifest says.
using OnDamaged = std::function<void(const std::string& path, const std::string& reason)>;

/// Removes what a writer that was cut off left in the directory of checkpoints. Rank 0's alone.
void remove_unfinished_checkpoints(const std::string& directory);

/// The newest checkpoint whose files all have the size and the hash of the manifest; the processes share the
/// reading. A damaged one gets a name that ends in .damaged, and the one before is tried. Throws ERR_RESUME
/// when there are checkpoints and all are damaged. Collective.
std::optional<FoundCheckpoint> find_checkpoint(const std::string& directory, Collectives& collectives,
                                               const OnDamaged& on_damaged);

/// Fills the store with the state of a checkpoint that any number of processes wrote. ERR_RESUME when it is
/// of another model. Collective.
void load_checkpoint(const FoundCheckpoint& checkpoint, ParameterStore& store);

/// The text of process `root` on all.
std::string broadcast_text(Collectives& collectives, std::string text, size_t root);

}  // namespace branchmerge::sft
