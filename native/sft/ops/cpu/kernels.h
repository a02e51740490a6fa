#pragma once
// The element-wise work of the CPU backend, one table for each instruction set. Every kernel works on one row
// or a few, on the calling thread; the backend and attention divide the rows.
#include <cstddef>

namespace branchmerge::sft::cpu {

/// Sums over a row are kept in kLanes partial sums, which fold into a float64.
inline constexpr size_t kLanes = 32;

/// A running softmax of one row: the largest score so far, and the sum of exp(score − maximum).
struct RunningSoftmax {
  float maximum, sum;
};

struct Kernels {
  /// y = w ⊙ x · r; returns r.
  float (*rms_norm)(size_t n, const float* x, const float* weight, float epsilon, float* y);
  /// dx = r (g − x̂ mean(g ⊙ x̂)), or added to dx; dx may be dy.
  void (*rms_norm_backward)(size_t n, const float* x, const float* weight, float inverse_rms, const float* dy,
                            bool accumulate, float* dx);
  /// sums[c] += Σ over rows of dy[c] · x[c] · r, for up to kColumns columns; r's are inverse_rms_stride
  /// apart.
  void (*rms_norm_weight_gradient)(size_t rows, size_t columns, const float* x, size_t x_stride,
                                   const float* inverse_rms, size_t inverse_rms_stride, const float* dy,
                                   size_t dy_stride, float* sums);
  /// sums[c] += Σ over rows of x[c], for up to kColumns columns.
  void (*column_sums)(size_t rows, size_t columns, const float* x, size_t stride, float* sums);

  /// (x_i, x_{i + half}) ← its rotation; sign −1 turns it back.
  void (*rope)(size_t half, float* x, const float* cosines, const float* sines, float sign);

  void (*add)(size_t n, const float* x, float* y);     // y += x
  void (*multiply)(size_t n, float factor, float* y);  // y *= factor
  float (*dot)(size_t n, const float* x, const float* y);

  void (*swiglu)(size_t n, const float* gate, const float* up, float* y);
  void (*swiglu_backward)(size_t n, float* gate, float* up, const float* dy);

  /// Takes n more scores (times scale) into the running softmax and overwrites them with exp(score −
  /// maximum). Returns exp(old maximum − new maximum), by which what was summed before is to be multiplied.
  float (*softmax_step)(size_t n, float scale, float* scores, RunningSoftmax* state);
  /// scores ← P = exp(scale · score − log_sum); dscores ← P (dP − delta) scale, with dP in dscores.
  void (*softmax_backward)(size_t n, float scale, float log_sum, float delta, float* scores, float* dscores);

  /// −ln softmax(logits)[target].
  float (*cross_entropy)(size_t n, const float* logits, size_t target);
  /// The same, and logits ← scale (softmax(logits) − onehot(target)).
  float (*cross_entropy_backward)(size_t n, float* logits, size_t target, float scale);

  /// y[i] = exp(x[i]); for tests of the exponential that the others share.
  void (*exponential)(size_t n, const float* x, float* y);
};

/// Columns that the reductions over rows take at a time.
inline constexpr size_t kColumns = 128;

/// The kernels of an instruction set, "scalar", "avx2" or "avx512"; null when this build or CPU has not got
/// it.
const Kernels* kernels_of(const char* instruction_set);
/// The widest that this CPU has.
const Kernels& best_kernels();

}  // namespace branchmerge::sft::cpu
