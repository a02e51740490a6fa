#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sft/parallel/parameter_store.h"

namespace branchmerge::sft {

/// Fills a store with the state that any number of processes saved. Every process looks at every saved piece:
///
///   StateLoader loader(store);
///   for (each saved piece) if (const auto target = loader.claim(parameter, offset, count)) read into
///   *target; loader.finish(updates);
class StateLoader {
 public:
  explicit StateLoader(ParameterStore& store);

  /// The part of the saved elements [offset, offset + count) of a parameter that belongs on this process, for
  /// the caller to fill: its first element is the saved piece's element target.offset - offset. Nothing when
  /// all of them belong elsewhere. Throws ERR_RESUME for a parameter or a range that the model has not.
  std::optional<StatePiece> claim(const std::string& parameter, uint64_t offset, uint64_t count);

  /// Throws ERR_RESUME unless every element of this process was claimed, and none twice. Then the store goes
  /// on from `updates` updates. Collective.
  void finish(uint64_t updates);

 private:
  struct Expected {
    StatePiece piece;
    std::vector<std::pair<uint64_t, uint64_t>> claimed;  // begin and end
  };

  ParameterStore& store_;
  std::unordered_map<std::string, const Parameter*> parameters_;
  std::unordered_map<const Parameter*, Expected> expected_;
};

}  // namespace branchmerge::sft
