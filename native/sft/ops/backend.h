#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace branchmerge::sft {

/// Rows of `heads` vectors each: row t, head j is at data[t · stride + j · width]. A plain matrix has one
/// head.
struct HeadRows {
  size_t rows, heads, width;
};

/// Attention over the rows of `qkv`: heads queries, key_value_heads keys and key_value_heads values, head_dim
/// floats each, one behind the other. Query head j reads key-value head j / (heads / key_value_heads).
/// A row sees the rows of its own segment up to itself.
struct AttentionShape {
  std::span<const uint32_t> segments;  // ascending starts; the last is the number of rows. In host memory
  size_t heads, key_value_heads, head_dim;
  float scale;  // of the scores

  size_t rows() const { return segments.back(); }
  size_t stride() const { return (heads + 2 * key_value_heads) * head_dim; }
};

/// Rows grouped by an index: group g is the rows order[starts[g]] … order[starts[g + 1] − 1], all of index
/// indices[g]. No index is in two groups.
struct RowGroups {
  size_t groups;
  const uint32_t* indices;
  const uint32_t* starts;  // groups + 1
  const uint32_t* order;
};

enum class Operand { kPlain, kTransposed };
enum class Rotation { kForward, kBackward };
enum class Target { kOverwrite, kAccumulate };

/// The operations of a decoder on one device. Every pointer is to memory of the device (see allocate) unless
/// said otherwise; matrices are row-major, elements are float32, and `stride` counts the floats from one row
/// to the next. Operations take effect in the order of the calls. The result of each depends on its arguments
/// alone: never on scheduling, nor on the other calls.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Memory of the device, aligned to 64 bytes; ERR_OUT_OF_MEMORY.
  virtual void* allocate(uint64_t bytes) = 0;
  virtual void deallocate(void* memory) noexcept = 0;
  virtual void upload(void* to, const void* host, size_t bytes) = 0;
  virtual void download(void* host, const void* from, size_t bytes) = 0;

  virtual void fill_zero(float* x, size_t n) = 0;
  virtual void copy_rows(size_t rows, size_t width, const float* from, size_t from_stride, float* to,
                         size_t to_stride) = 0;

  /// C (m × n) = op(A) op(B), or added to C. op(A) is m × k.
  virtual void matrix_product(Operand a_is, Operand b_is, size_t m, size_t n, size_t k, const float* a,
                              size_t a_stride, const float* b, size_t b_stride, Target target, float* c,
                              size_t c_stride) = 0;

  /// y = w ⊙ x · r with r = 1 / sqrt(mean(x²) + epsilon), which goes to inverse_rms[row · heads + head].
  /// x and y may be the same.
  virtual void rms_norm(const HeadRows& shape, const float* x, size_t x_stride, const float* weight,
                        float epsilon, float* y, size_t y_stride, float* inverse_rms) = 0;
  /// dx = r (g − x̂ mean(g ⊙ x̂)) with g = dy ⊙ w and x̂ = x r; dweight += Σ dy ⊙ x̂. dx and dy may be the same.
  virtual void rms_norm_backward(const HeadRows& shape, const float* x, size_t x_stride, const float* weight,
                                 const float* inverse_rms, const float* dy, size_t dy_stride, Target target,
                                 float* dx, size_t dx_stride, float* dweight) = 0;

  /// cosines and sines (count × half) of the angles positions[i] · inverse_frequencies[j], all times
  /// `factor`.
  virtual void rope_tables(size_t count, const uint32_t* positions, size_t half,
                           const float* inverse_frequencies, float factor, float* cosines, float* sines) = 0;
  /// Rotates each vector in place: its element i with its element i + half by the angle of its row, or back.
  /// shape.width is 2 · half.
  virtual void rope(const HeadRows& shape, float* x, size_t stride, const float* cosines, const float* sines,
                    Rotation rotation) = 0;

  /// Adds `bias` to each row.
  virtual void add_bias(size_t rows, size_t width, const float* bias, float* y, size_t stride) = 0;
  /// dbias += the sum of the rows.
  virtual void add_bias_backward(size_t rows, size_t width, const float* dy, size_t stride, float* dbias) = 0;

  /// Bytes of scratch memory that either pass of an attention of up to `max_rows` rows needs.
  virtual uint64_t attention_scratch_bytes(size_t max_rows, size_t heads, size_t key_value_heads,
                                           size_t head_dim) const = 0;
  /// output (rows × heads · head_dim) = softmax(scale q kᵀ) v; log_sums[head · rows + row] = ln Σ exp(score).
  virtual void attention(const AttentionShape& shape, const float* qkv, float* output, float* log_sums,
                         void* scratch) = 0;
  /// dqkv from doutput and what the forward pass left.
  virtual void attention_backward(const AttentionShape& shape, const float* qkv, const float* output,
                                  const float* log_sums, const float* doutput, float* dqkv,
                                  void* scratch) = 0;

  /// y = silu(gate) ⊙ up; a row of gate_up is `width` gates and `width` ups.
  virtual void swiglu(size_t rows, size_t width, const float* gate_up, float* y) = 0;
  /// Overwrites gate_up with its gradient.
  virtual void swiglu_backward(size_t rows, size_t width, float* gate_up, const float* dy) = 0;

  /// Row i of `to` = row indices[i] of `from`.
  virtual void gather_rows(size_t count, size_t width, const uint32_t* indices, const float* from,
                           float* to) = 0;
  /// Row indices[i] of `to` = row i of `from`; no index appears twice.
  virtual void scatter_rows(size_t count, size_t width, const uint32_t* indices, const float* from,
                            float* to) = 0;
  /// Row indices[g] of `to` += the rows of group g of `from`, in their order.
  virtual void add_grouped_rows(const RowGroups& groups, size_t width, const float* from, float* to) = 0;

  /// losses[i] = −ln softmax(row i)[targets[i]].
  virtual void cross_entropy(size_t rows, size_t width, const float* logits, const uint32_t* targets,
                             float* losses) = 0;
  /// The same, and overwrites each row with the gradient of `scale` times its loss.
  virtual void cross_entropy_backward(size_t rows, size_t width, float* logits, const uint32_t* targets,
                                      float scale, float* losses) = 0;
};

}  // namespace branchmerge::sft
