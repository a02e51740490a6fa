#include "saved_state.h"

#include <algorithm>

#include "regression.h"
#include "sft/parallel/state_loader.h"

namespace branchmerge::sft {
namespace {

template <class T>
void broadcast_list(Collectives& collectives, T& list, size_t root) {
  auto length = static_cast<uint64_t>(list.size());
  collectives.broadcast(std::as_writable_bytes(std::span(&length, 1)), root);
  list.resize(length);
  collectives.broadcast(std::as_writable_bytes(std::span(list)), root);
}

SavedPiece broadcast_piece(Collectives& collectives, SavedPiece piece, size_t root) {
  broadcast_list(collectives, piece.parameter, root);
  for (uint64_t* number : {&piece.offset, &piece.count})
    collectives.broadcast(std::as_writable_bytes(std::span(number, 1)), root);
  for (std::vector<float>* list : {&piece.weight, &piece.first_moment, &piece.second_moment})
    broadcast_list(collectives, *list, root);
  return piece;
}

}  // namespace

void SavedState::add(const ParameterStore& store) {
  updates_ = store.updates();
  for (const StatePiece& piece : store.state())
    pieces_.push_back({piece.parameter->name,
                       piece.offset,
                       piece.count,
                       {piece.weight, piece.weight + piece.count},
                       {piece.first_moment, piece.first_moment + piece.count},
                       {piece.second_moment, piece.second_moment + piece.count}});
}

void SavedState::load(ParameterStore& store) const {
  StateLoader loader(store);
  for (const SavedPiece& piece : pieces_) {
    const auto target = loader.claim(piece.parameter, piece.offset, piece.count);
    if (!target) continue;
    const uint64_t from = target->offset - piece.offset;
    std::copy_n(piece.weight.begin() + from, target->count, target->weight);
    std::copy_n(piece.first_moment.begin() + from, target->count, target->first_moment);
    std::copy_n(piece.second_moment.begin() + from, target->count, target->second_moment);
  }
  loader.finish(updates_);
}

void SavedState::exchange(Collectives& collectives) {
  const std::vector<SavedPiece> own = std::move(pieces_);
  pieces_.clear();
  for (size_t rank = 0; rank < collectives.size(); rank++) {
    int64_t count = rank == collectives.rank() ? static_cast<int64_t>(own.size()) : 0;
    collectives.all_reduce_max(std::span(&count, 1));
    for (size_t index = 0; index < static_cast<size_t>(count); index++)
      pieces_.push_back(
          broadcast_piece(collectives, rank == collectives.rank() ? own[index] : SavedPiece(), rank));
  }
}

SavedState::Elements SavedState::elements() const {
  Elements elements;
  for (const SavedPiece& piece : pieces_)
    for (uint64_t i = 0; i < piece.count; i++) {
      std::vector<float>& element = elements[{piece.parameter, piece.offset + i}];
      element.insert(element.end(), {piece.weight[i], piece.first_moment[i], piece.second_moment[i]});
    }
  return elements;
}

bool SavedState::is_complete() const {
  const Elements all = elements();
  uint64_t expected = 0;
  for (const Parameter& parameter : regression_layout().parameters) expected += parameter.elements();
  return all.size() == expected &&
         std::all_of(all.begin(), all.end(), [](const auto& element) { return element.second.size() == 3; });
}

bool SavedState::operator==(const SavedState& other) const {
  return updates_ == other.updates_ && elements() == other.elements();
}

}  // namespace branchmerge::sft
