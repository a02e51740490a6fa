#include "sft/parallel/shared_text.h"

#include <cstdint>
#include <span>

namespace branchmerge::sft {

std::string broadcast_text(Collectives& collectives, std::string text, size_t root) {
  uint64_t size = text.size();
  collectives.broadcast(std::as_writable_bytes(std::span(&size, 1)), root);
  text.resize(size);
  if (size > 0) collectives.broadcast(std::as_writable_bytes(std::span(text)), root);
  return text;
}

std::string first_text(Collectives& collectives, const std::string& text) {
  int64_t first = text.empty() ? 0 : int64_t(collectives.size() - collectives.rank());
  collectives.all_reduce_max(std::span(&first, 1));
  if (first == 0) return {};
  return broadcast_text(collectives, text, collectives.size() - size_t(first));
}

}  // namespace branchmerge::sft
