#include "sft/model/batch_rows.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>

#include "base/error.h"

namespace branchmerge::sft {
namespace {

void expect(bool holds, const std::string& message) {
  if (!holds) throw Error("ERR_INVALID_ARGUMENT", message);
}

void check_batch(const Batch& batch, size_t vocabulary_size, size_t max_tokens) {
  const size_t tokens = batch.tokens.size();
  expect(tokens >= 1 && tokens <= max_tokens, "Expected 1 to " + std::to_string(max_tokens) +
                                                  " tokens in a batch but received " +
                                                  std::to_string(tokens));
  expect(batch.positions.size() == tokens && batch.targets.size() == tokens,
         "Expected a position and a target for each token of a batch");
  expect(batch.segments.size() >= 2 && batch.segments.front() == 0 && batch.segments.back() == tokens &&
             std::adjacent_find(batch.segments.begin(), batch.segments.end(), std::greater_equal<>()) ==
                 batch.segments.end(),
         "Expected the segments of a batch to ascend from 0 to its number of tokens");
  for (size_t row = 0; row < tokens; row++) {
    const uint32_t token = batch.tokens[row];
    const int32_t target = batch.targets[row];
    expect(token < vocabulary_size, "Expected a token below the vocabulary's size, " +
                                        std::to_string(vocabulary_size) + ", but received " +
                                        std::to_string(token));
    expect(target == kIgnoredTarget || (target >= 0 && size_t(target) < vocabulary_size),
           "Expected a target below the vocabulary's size, " + std::to_string(vocabulary_size) +
               ", or -100, but received " + std::to_string(target));
  }
}

}  // namespace

BatchRows::BatchRows(const Batch& batch, size_t vocabulary_size, size_t max_tokens) {
  check_batch(batch, vocabulary_size, max_tokens);
  for (size_t row = 0; row < batch.tokens.size(); row++) {
    if (batch.targets[row] == kIgnoredTarget) continue;
    trained_rows.push_back(uint32_t(row));
    trained_targets.push_back(uint32_t(batch.targets[row]));
  }
  group_order.resize(batch.tokens.size());
  std::iota(group_order.begin(), group_order.end(), 0U);
  std::stable_sort(group_order.begin(), group_order.end(),
                   [&](uint32_t a, uint32_t b) { return batch.tokens[a] < batch.tokens[b]; });
  for (size_t i = 0; i < group_order.size(); i++) {
    const uint32_t token = batch.tokens[group_order[i]];
    if (!group_indices.empty() && group_indices.back() == token) continue;
    group_indices.push_back(token);
    group_starts.push_back(uint32_t(i));
  }
  group_starts.push_back(uint32_t(group_order.size()));
}

}  // namespace branchmerge::sft
