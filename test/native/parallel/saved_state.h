#pragma once
#include <map>
#include <string>
#include <vector>

#include "sft/parallel/parameter_store.h"

namespace branchmerge::sft {

struct SavedPiece {
  std::string parameter;
  uint64_t offset, count;
  std::vector<float> weight, first_moment, second_moment;
};

/// A checkpoint in memory: the pieces of every process.
class SavedState {
 public:
  /// Adds what this process saves.
  void add(const ParameterStore& store);
  /// Fills a store of any number of processes; collective.
  void load(ParameterStore& store) const;

  uint64_t updates() const { return updates_; }
  /// Makes the pieces of all processes known to each; collective.
  void exchange(Collectives& collectives);

  /// Whether each element of the regression is there exactly once.
  bool is_complete() const;
  /// Whether both hold the same elements, however they are cut.
  bool operator==(const SavedState& other) const;

 private:
  using Elements = std::map<std::pair<std::string, uint64_t>, std::vector<float>>;
  Elements elements() const;

  std::vector<SavedPiece> pieces_;
  uint64_t updates_ = 0;
};

}  // namespace branchmerge::sft
