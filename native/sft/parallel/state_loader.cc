#include "sft/parallel/state_loader.h"

#include <algorithm>

#include "base/error.h"

namespace branchmerge::sft {
namespace {

std::string range(uint64_t begin, uint64_t end) {
  return "[" + std::to_string(begin) + ", " + std::to_string(end) + ")";
}

/// Throws ERR_RESUME unless the claims are the piece, one behind the other.
void check_claims(const StatePiece& piece, std::vector<std::pair<uint64_t, uint64_t>>& claims) {
  std::ranges::sort(claims);
  const uint64_t end = piece.offset + piece.count;
  uint64_t next = piece.offset;
  size_t in_line = 0;
  for (; in_line < claims.size() && claims[in_line].first == next; in_line++) next = claims[in_line].second;
  if (next != end || in_line != claims.size())
    throw Error("ERR_RESUME", "Expected the saved state of " + piece.parameter->name + " to hold elements " +
                                  range(piece.offset, end) + " once each but it is wrong from element " +
                                  std::to_string(next) + ". Resume from an older training checkpoint.");
}

}  // namespace

StateLoader::StateLoader(ParameterStore& store) : store_(store) {
  for (const Parameter& parameter : store.layout().parameters) parameters_[parameter.name] = &parameter;
  for (const StatePiece& piece : store.state()) expected_[piece.parameter] = {piece, {}};
}

std::optional<StatePiece> StateLoader::claim(const std::string& parameter, uint64_t offset, uint64_t count) {
  const auto found = parameters_.find(parameter);
  if (found == parameters_.end())
    throw Error("ERR_RESUME", "Expected the saved state of the model's parameters but it has " + parameter +
                                  ". Resume with the model that the run began with.");
  const uint64_t elements = found->second->elements();
  if (offset > elements || count > elements - offset)
    throw Error("ERR_RESUME", "Expected saved elements below " + std::to_string(elements) + " of " +
                                  parameter + " but received " + std::to_string(count) + " from " +
                                  std::to_string(offset) +
                                  ". Resume with the model that the run began with.");

  const auto expected = expected_.find(found->second);
  if (expected == expected_.end()) return std::nullopt;
  const StatePiece& own = expected->second.piece;
  const uint64_t begin = std::max(offset, own.offset);
  const uint64_t end = std::min(offset + count, own.offset + own.count);
  if (begin >= end) return std::nullopt;
  expected->second.claimed.emplace_back(begin, end);
  const uint64_t at = begin - own.offset;
  return StatePiece{.parameter = own.parameter,
                    .offset = begin,
                    .count = end - begin,
                    .weight = own.weight + at,
                    .first_moment = own.first_moment + at,
                    .second_moment = own.second_moment + at};
}

void StateLoader::finish(uint64_t updates) {
  for (const StatePiece& piece : store_.state()) check_claims(piece, expected_.at(piece.parameter).claimed);
  store_.share_state(updates);
}

}  // namespace branchmerge::sft
