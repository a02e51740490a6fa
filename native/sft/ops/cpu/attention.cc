#include "sft/ops/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "sft/ops/cpu/matrix_product.h"

namespace branchmerge::sft::cpu {
namespace {

/// Scores are computed in tiles of kQueries × kKeys, two of them in the backward pass: 128 KiB, a share of
/// one core's L2. OpenBLAS reaches nine tenths of its speed at this size, and of the tiles on the diagonal
/// only kQueries² / 2 products are in vain. kKeys is a multiple of kQueries: then no tile is above the
/// diagonal.
constexpr size_t kQueries = 64;
constexpr size_t kKeys = 256;
static_assert(kKeys % kQueries == 0);

/// Some queries of one segment, and all keys that any of them sees: rows [keys_begin, queries_end).
struct QueryBlock {
  size_t keys_begin, queries_begin, queries_end;

  size_t queries() const { return queries_end - queries_begin; }
};

/// Keys [begin, begin + count) of a query block's keys. Query i of the block sees the first visible(i) of
/// them.
struct KeyBlock {
  size_t begin, count, queries_begin;

  size_t visible(size_t query) const { return std::min(count, queries_begin + query + 1 - begin); }
};

template <class Body>
void for_each_key_block(const QueryBlock& block, const Body& body) {
  for (size_t begin = block.keys_begin; begin < block.queries_end; begin += kKeys)
    body(KeyBlock{begin, std::min(kKeys, block.queries_end - begin), block.queries_begin});
}

/// The query blocks of a segment, in order.
template <class Body>
void for_each_query_block(size_t segment_begin, size_t segment_end, const Body& body) {
  for (size_t begin = segment_begin; begin < segment_end; begin += kQueries)
    body(QueryBlock{segment_begin, begin, std::min(begin + kQueries, segment_end)});
}

/// One query head with its key and value head in rows of [queries | keys | values].
template <class Float>
struct Head {
  Float *query, *key, *value;
  size_t stride;

  Head(const AttentionShape& shape, Float* rows, size_t head)
      : query(rows + head * shape.head_dim),
        key(rows + (shape.heads + key_value_head(shape, head)) * shape.head_dim),
        value(key + shape.key_value_heads * shape.head_dim),
        stride(shape.stride()) {}

  static size_t key_value_head(const AttentionShape& shape, size_t head) {
    return head / (shape.heads / shape.key_value_heads);
  }
};

/// Forward pass of one query block of one head.
void attend(const AttentionShape& shape, const Head<const float>& head, const QueryBlock& block,
            float* output, float* log_sums, float* scores, const Kernels& kernels) {
  const size_t width = shape.head_dim, output_stride = shape.heads * width;
  float* const sums = output + block.queries_begin * output_stride;
  RunningSoftmax softmax[kQueries];
  std::fill_n(softmax, block.queries(), RunningSoftmax{-std::numeric_limits<float>::infinity(), 0});
  for_each_key_block(block, [&](const KeyBlock& keys) {
    multiply_matrices(block.queries(), keys.count, width,
                      {head.query + block.queries_begin * head.stride, head.stride},
                      {head.key + keys.begin * head.stride, head.stride, Operand::kTransposed},
                      Target::kOverwrite, scores, kKeys);
    for (size_t i = 0; i < block.queries(); i++) {
      float* const row = scores + i * kKeys;
      const size_t visible = keys.visible(i);
      const float correction = kernels.softmax_step(visible, shape.scale, row, &softmax[i]);
      std::fill(row + visible, row + keys.count, 0.0F);
      if (keys.begin > block.keys_begin) kernels.multiply(width, correction, sums + i * output_stride);
    }
    multiply_matrices(block.queries(), width, keys.count, {scores, kKeys},
                      {head.value + keys.begin * head.stride, head.stride},
                      keys.begin == block.keys_begin ? Target::kOverwrite : Target::kAccumulate, sums,
                      output_stride);
  });
  for (size_t i = 0; i < block.queries(); i++) {
    kernels.multiply(width, 1 / softmax[i].sum, sums + i * output_stride);
    log_sums[block.queries_begin + i] = softmax[i].maximum + std::log(softmax[i].sum);
  }
}

/// What the backward pass of one head reads and writes; key and value gradients may lie in other rows than
/// the query's.
struct HeadGradients {
  const float *output, *doutput;  // stride heads · head_dim
  const float* log_sums;
  float *dquery, *dkey, *dvalue;
  size_t dquery_stride, dkey_stride;
};

/// Backward pass of one query block of one head: overwrites its part of dquery, adds to dkey and dvalue.
void attend_backward(const AttentionShape& shape, const Head<const float>& head, const QueryBlock& block,
                     const HeadGradients& gradients, float* scores, float* dscores, const Kernels& kernels) {
  const size_t width = shape.head_dim, output_stride = shape.heads * width, queries = block.queries();
  const float* const output = gradients.output + block.queries_begin * output_stride;
  const Matrix doutput{gradients.doutput + block.queries_begin * output_stride, output_stride};
  const Matrix query{head.query + block.queries_begin * head.stride, head.stride};
  float deltas[kQueries];
  for (size_t i = 0; i < queries; i++)
    deltas[i] = kernels.dot(width, output + i * output_stride, doutput.data + i * output_stride);
  for_each_key_block(block, [&](const KeyBlock& keys) {
    const Matrix key{head.key + keys.begin * head.stride, head.stride};
    const Matrix value{head.value + keys.begin * head.stride, head.stride, Operand::kTransposed};
    multiply_matrices(queries, keys.count, width, query, {key.data, key.stride, Operand::kTransposed},
                      Target::kOverwrite, scores, kKeys);
    multiply_matrices(queries, keys.count, width, doutput, value, Target::kOverwrite, dscores, kKeys);
    for (size_t i = 0; i < queries; i++) {
      float *const row = scores + i * kKeys, *const drow = dscores + i * kKeys;
      const size_t visible = keys.visible(i);
      kernels.softmax_backward(visible, shape.scale, gradients.log_sums[block.queries_begin + i], deltas[i],
                               row, drow);
      std::fill(row + visible, row + keys.count, 0.0F);
      std::fill(drow + visible, drow + keys.count, 0.0F);
    }
    multiply_matrices(keys.count, width, queries, {scores, kKeys, Operand::kTransposed}, doutput,
                      Target::kAccumulate, gradients.dvalue + keys.begin * gradients.dkey_stride,
                      gradients.dkey_stride);
    multiply_matrices(queries, width, keys.count, {dscores, kKeys}, key,
                      keys.begin == block.keys_begin ? Target::kOverwrite : Target::kAccumulate,
                      gradients.dquery + block.queries_begin * gradients.dquery_stride,
                      gradients.dquery_stride);
    multiply_matrices(keys.count, width, queries, {dscores, kKeys, Operand::kTransposed}, query,
                      Target::kAccumulate, gradients.dkey + keys.begin * gradients.dkey_stride,
                      gradients.dkey_stride);
  });
}

size_t tile_floats() { return kQueries * kKeys; }

/// Query heads that share a key head each leave their gradients of its keys and values in rows of their own:
/// [dkeys of all query heads | dvalues of all query heads]. So heads can be computed at once and added in
/// order.
size_t shared_gradient_stride(size_t heads, size_t key_value_heads, size_t head_dim) {
  return heads == key_value_heads ? 0 : 2 * heads * head_dim;
}

/// dqkv's keys and values of a row ← the sums over the query heads that share them.
void add_shared_gradients(const AttentionShape& shape, const float* of_query_heads, float* dqkv_row,
                          const Kernels& kernels) {
  const size_t width = shape.head_dim, group = shape.heads / shape.key_value_heads;
  float* to = dqkv_row + shape.heads * width;
  const float* from = of_query_heads;
  for (size_t key_or_value = 0; key_or_value < 2 * shape.key_value_heads; key_or_value++) {
    std::copy_n(from, width, to);
    for (size_t i = 1; i < group; i++) kernels.add(width, from + i * width, to);
    from += group * width;
    to += width;
  }
}

/// Segments from the longest to the shortest, so that the last ones to be handed out are short.
std::vector<size_t> by_length(std::span<const uint32_t> segments) {
  std::vector<size_t> order(segments.size() - 1);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return segments[a + 1] - segments[a] > segments[b + 1] - segments[b];
  });
  return order;
}

}  // namespace

uint64_t attention_scratch_bytes(size_t max_rows, size_t heads, size_t key_value_heads, size_t head_dim,
                                 size_t workers) {
  return sizeof(float) *
         (workers * 2 * tile_floats() + max_rows * shared_gradient_stride(heads, key_value_heads, head_dim));
}

void attention(const AttentionShape& shape, const float* qkv, float* output, float* log_sums, void* scratch,
               const Kernels& kernels, WorkerPool& pool) {
  std::vector<QueryBlock> blocks;
  for (const size_t segment : by_length(shape.segments))
    for_each_query_block(shape.segments[segment], shape.segments[segment + 1],
                         [&](const QueryBlock& block) { blocks.push_back(block); });
  std::stable_sort(blocks.begin(), blocks.end(), [](const QueryBlock& a, const QueryBlock& b) {
    return a.queries_end - a.keys_begin > b.queries_end - b.keys_begin;
  });
  pool.for_each(blocks.size() * shape.heads, [&](size_t worker, size_t task) {
    const size_t head = task % shape.heads;
    attend(shape, Head<const float>(shape, qkv, head), blocks[task / shape.heads],
           output + head * shape.head_dim, log_sums + head * shape.rows(),
           static_cast<float*>(scratch) + worker * 2 * tile_floats(), kernels);
  });
}

void attention_backward(const AttentionShape& shape, const float* qkv, const float* output,
                        const float* log_sums, const float* doutput, float* dqkv, void* scratch,
                        const Kernels& kernels, WorkerPool& pool) {
  const size_t width = shape.head_dim;
  const size_t shared_stride = shared_gradient_stride(shape.heads, shape.key_value_heads, width);
  float* const tiles = static_cast<float*>(scratch);
  float* const shared = tiles + pool.workers() * 2 * tile_floats();
  const std::vector<size_t> segments = by_length(shape.segments);
  pool.for_each(segments.size() * shape.heads, [&](size_t worker, size_t task) {
    const size_t segment = segments[task / shape.heads], head = task % shape.heads;
    const Head<float> dhead(shape, dqkv, head);
    HeadGradients gradients{output + head * width,
                            doutput + head * width,
                            log_sums + head * shape.rows(),
                            dhead.query,
                            dhead.key,
                            dhead.value,
                            dhead.stride,
                            dhead.stride};
    if (shared_stride > 0) {
      gradients.dkey = shared + head * width;
      gradients.dvalue = gradients.dkey + shape.heads * width;
      gradients.dkey_stride = shared_stride;
    }
    const size_t begin = shape.segments[segment], end = shape.segments[segment + 1];
    for (size_t row = begin; row < end; row++) {
      std::fill_n(gradients.dkey + row * gradients.dkey_stride, width, 0.0F);
      std::fill_n(gradients.dvalue + row * gradients.dkey_stride, width, 0.0F);
    }
    float* const scores = tiles + worker * 2 * tile_floats();
    for_each_query_block(begin, end, [&](const QueryBlock& block) {
      attend_backward(shape, Head<const float>(shape, qkv, head), block, gradients, scores,
                      scores + tile_floats(), kernels);
    });
  });
  if (shared_stride == 0) return;
  pool.for_each((shape.rows() + kQueries - 1) / kQueries, [&](size_t, size_t block) {
    const size_t end = std::min(shape.rows(), (block + 1) * kQueries);
    for (size_t row = block * kQueries; row < end; row++)
      add_shared_gradients(shape, shared + row * shared_stride, dqkv + row * shape.stride(), kernels);
  });
}

}  // namespace branchmerge::sft::cpu
