#pragma once
#include <atomic>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/page_buffer.h"
#include "sft/parallel/parameter_store.h"
#include "sft/train/snapshot_manifest.h"

namespace branchmerge::sft {

/// Writes snapshots of a store. Every process writes its own state into a directory of a temporary name;
/// when all are done, rank 0 adds the manifest and gives the directory its name, then removes the oldest. At
/// no moment is there a directory of that name that is not whole, and files and names are synced in this
/// order.
class SnapshotWriter {
 public:
  struct Options {
    std::string directory;  // of all snapshots; it exists
    uint64_t keep;          // how many of them stay
    bool in_background;     // start() is used: memory for the copy is reserved
  };

  SnapshotWriter(const Options& options, const ParameterStore& store, Collectives& collectives,
                 WorkerPool& workers);
  /// Waits for the write that is under way, but not for other processes.
  ~SnapshotWriter();
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  /// Before start() or save(), the snapshot before is to be taken with take_completed(true).
  ///
  /// Copies the state and writes the copy while training goes on. Collective.
  void start(const SnapshotHead& head);
  /// Writes the state and returns when the snapshot is whole. Collective.
  void save(const SnapshotHead& head);

  struct Completed {
    uint64_t step;
    std::string path;
  };
  /// The snapshot that was completed since the last call; what failed is thrown: ERR_DISK_FULL,
  /// ERR_OUTPUT_WRITE. With `wait`, the one that is under way is completed first.
  std::optional<Completed> take_completed(bool wait = false);

  /// Memory of one process's writer that has the copy.
  static uint64_t memory_bytes(const ParameterLayout& layout, uint64_t processes);

 private:
  void prepare(const SnapshotHead& head);
  void copy_state();
  void write_in_thread(std::vector<std::span<const std::byte>> contents, const SnapshotHead& head);
  void write(const std::vector<std::span<const std::byte>>& contents, const SnapshotHead& head);
  void write_state_file(const std::string& path, const std::vector<std::span<const std::byte>>& contents);
  void publish(const SnapshotHead& head);
  std::string await_file_json(const std::string& path) const;
  void remove_old(uint64_t step) const;
  std::string partial_path(uint64_t step) const;

  const Options options_;
  Collectives& collectives_;
  WorkerPool& workers_;
  const std::vector<StatePiece> pieces_;
  uint64_t bytes_ = 0;
  std::optional<PageBuffer> snapshot_;

  std::thread thread_;
  std::atomic<bool> done_{false}, abandoned_{false};
  std::exception_ptr failure_;
  std::optional<Completed> completed_;  // the thread's until done_
};

/// Whether there is a manifest in a directory; ERR_FILE_READ where that cannot be told.
bool has_manifest(const std::string& snapshot);

/// Snapshots in a directory that have a manifest: their steps, newest first. ERR_FILE_READ.
std::vector<uint64_t> list_snapshots(const std::string& directory);

}  // namespace branchmerge::sft
