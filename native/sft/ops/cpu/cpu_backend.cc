#include "sft/ops/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/worker_pool.h"
#include "sft/ops/cpu/attention.h"
#include "sft/ops/cpu/kernels.h"
#include "sft/ops/cpu/matrix_product.h"

namespace branchmerge::sft {
namespace {

constexpr std::align_val_t kAlignment{64};
/// Floats that a worker takes at a time: 64 KiB, some 10 µs of the cheapest operation.
constexpr size_t kFloatsPerTask = 1 << 14;

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(size_t threads) : kernels_(cpu::best_kernels()), pool_(threads) {
    cpu::use_calling_thread_only();
  }

  void* allocate(uint64_t bytes) override {
    void* const memory = ::operator new(bytes, kAlignment, std::nothrow);
    if (!memory) {
      throw Error("ERR_OUT_OF_MEMORY", "Expected " + std::to_string((bytes + (1 << 20) - 1) >> 20) +
                                           " MiB of memory for training but could not get them");
    }
    return memory;
  }
  void deallocate(void* memory) noexcept override { ::operator delete(memory, kAlignment); }
  void upload(void* to, const void* host, size_t bytes) override { copy_bytes(to, host, bytes); }
  void download(void* host, const void* from, size_t bytes) override { copy_bytes(host, from, bytes); }

  void fill_zero(float* x, size_t n) override {
    for_each_run(n, 1, [&](size_t begin, size_t end) { std::fill(x + begin, x + end, 0.0F); });
  }
  void copy_rows(size_t rows, size_t width, const float* from, size_t from_stride, float* to,
                 size_t to_stride) override {
    for_each_run(rows, width, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++)
        std::copy_n(from + row * from_stride, width, to + row * to_stride);
    });
  }

  void matrix_product(Operand a_is, Operand b_is, size_t m, size_t n, size_t k, const float* a,
                      size_t a_stride, const float* b, size_t b_stride, Target target, float* c,
                      size_t c_stride) override {
    cpu::multiply_matrices(pool_, m, n, k, {a, a_stride, a_is}, {b, b_stride, b_is}, target, c, c_stride);
  }

  void rms_norm(const HeadRows& shape, const float* x, size_t x_stride, const float* weight, float epsilon,
                float* y, size_t y_stride, float* inverse_rms) override {
    for_each_vector(shape, [&](size_t row, size_t head) {
      const size_t column = head * shape.width;
      inverse_rms[row * shape.heads + head] = kernels_.rms_norm(shape.width, x + row * x_stride + column,
                                                                weight, epsilon, y + row * y_stride + column);
    });
  }

  void rms_norm_backward(const HeadRows& shape, const float* x, size_t x_stride, const float* weight,
                         const float* inverse_rms, const float* dy, size_t dy_stride, Target target,
                         float* dx, size_t dx_stride, float* dweight) override {
    add_weight_gradient(shape, x, x_stride, inverse_rms, dy, dy_stride, dweight);
    for_each_vector(shape, [&](size_t row, size_t head) {
      const size_t column = head * shape.width;
      kernels_.rms_norm_backward(shape.width, x + row * x_stride + column, weight,
                                 inverse_rms[row * shape.heads + head], dy + row * dy_stride + column,
                                 target == Target::kAccumulate, dx + row * dx_stride + column);
    });
  }

  /// The angle is a float32 product, as Hugging Face's models compute it; its cosine and sine are exact to
  /// the last digit.
  void rope_tables(size_t count, const uint32_t* positions, size_t half, const float* inverse_frequencies,
                   float factor, float* cosines, float* sines) override {
    for_each_run(count, half, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++) {
        for (size_t i = 0; i < half; i++) {
          const double angle = float(positions[row]) * inverse_frequencies[i];
          cosines[row * half + i] = float(std::cos(angle) * double(factor));
          sines[row * half + i] = float(std::sin(angle) * double(factor));
        }
      }
    });
  }

  void rope(const HeadRows& shape, float* x, size_t stride, const float* cosines, const float* sines,
            Rotation rotation) override {
    const size_t half = shape.width / 2;
    const float sign = rotation == Rotation::kForward ? 1.0F : -1.0F;
    for_each_vector(shape, [&](size_t row, size_t head) {
      kernels_.rope(half, x + row * stride + head * shape.width, cosines + row * half, sines + row * half,
                    sign);
    });
  }

  void add_bias(size_t rows, size_t width, const float* bias, float* y, size_t stride) override {
    for_each_run(rows, width, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++) kernels_.add(width, bias, y + row * stride);
    });
  }

  void add_bias_backward(size_t rows, size_t width, const float* dy, size_t stride, float* dbias) override {
    for_each_columns(width, [&](size_t begin, size_t columns) {
      kernels_.column_sums(rows, columns, dy + begin, stride, dbias + begin);
    });
  }

  uint64_t attention_scratch_bytes(size_t max_rows, size_t heads, size_t key_value_heads,
                                   size_t head_dim) const override {
    return cpu::attention_scratch_bytes(max_rows, heads, key_value_heads, head_dim, pool_.workers());
  }
  void attention(const AttentionShape& shape, const float* qkv, float* output, float* log_sums,
                 void* scratch) override {
    cpu::attention(shape, qkv, output, log_sums, scratch, kernels_, pool_);
  }
  void attention_backward(const AttentionShape& shape, const float* qkv, const float* output,
                          const float* log_sums, const float* doutput, float* dqkv, void* scratch) override {
    cpu::attention_backward(shape, qkv, output, log_sums, doutput, dqkv, scratch, kernels_, pool_);
  }

  void swiglu(size_t rows, size_t width, const float* gate_up, float* y) override {
    for_each_run(rows, width, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++) {
        const float* const gate = gate_up + row * 2 * width;
        kernels_.swiglu(width, gate, gate + width, y + row * width);
      }
    });
  }

  void swiglu_backward(size_t rows, size_t width, float* gate_up, const float* dy) override {
    for_each_run(rows, width, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++) {
        float* const gate = gate_up + row * 2 * width;
        kernels_.swiglu_backward(width, gate, gate + width, dy + row * width);
      }
    });
  }

  void gather_rows(size_t count, size_t width, const uint32_t* indices, const float* from,
                   float* to) override {
    for_each_run(count, width, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) std::copy_n(from + indices[i] * width, width, to + i * width);
    });
  }

  void scatter_rows(size_t count, size_t width, const uint32_t* indices, const float* from,
                    float* to) override {
    for_each_run(count, width, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) std::copy_n(from + i * width, width, to + indices[i] * width);
    });
  }

  void add_grouped_rows(const RowGroups& groups, size_t width, const float* from, float* to) override {
    for_each_run(groups.groups, width, [&](size_t begin, size_t end) {
      for (size_t group = begin; group < end; group++) {
        float* const sum = to + groups.indices[group] * width;
        for (size_t i = groups.starts[group]; i < groups.starts[group + 1]; i++)
          kernels_.add(width, from + groups.order[i] * width, sum);
      }
    });
  }

  void cross_entropy(size_t rows, size_t width, const float* logits, const uint32_t* targets,
                     float* losses) override {
    for_each_run(rows, width, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++)
        losses[row] = kernels_.cross_entropy(width, logits + row * width, targets[row]);
    });
  }

  void cross_entropy_backward(size_t rows, size_t width, float* logits, const uint32_t* targets, float scale,
                              float* losses) override {
    for_each_run(rows, width, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++)
        losses[row] = kernels_.cross_entropy_backward(width, logits + row * width, targets[row], scale);
    });
  }

 private:
  /// Nothing may have no address, which memcpy does not allow.
  static void copy_bytes(void* to, const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }

  /// Calls body(begin, end) for runs of rows of about kFloatsPerTask floats.
  template <class Body>
  void for_each_run(size_t rows, size_t width, const Body& body) {
    const size_t run = std::max<size_t>(1, kFloatsPerTask / std::max<size_t>(1, width));
    pool_.for_each((rows + run - 1) / run,
                   [&](size_t, size_t i) { body(i * run, std::min(rows, (i + 1) * run)); });
  }

  template <class Body>
  void for_each_vector(const HeadRows& shape, const Body& body) {
    for_each_run(shape.rows, shape.heads * shape.width, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++)
        for (size_t head = 0; head < shape.heads; head++) body(row, head);
    });
  }

  /// Calls body(begin, columns) for columns in groups that the reductions take.
  template <class Body>
  void for_each_columns(size_t width, const Body& body) {
    pool_.for_each((width + cpu::kColumns - 1) / cpu::kColumns, [&](size_t, size_t i) {
      const size_t begin = i * cpu::kColumns;
      body(begin, std::min(cpu::kColumns, width - begin));
    });
  }

  /// dweight += Σ dy ⊙ x̂. Heads are summed apart, on different workers, and then added in order.
  void add_weight_gradient(const HeadRows& shape, const float* x, size_t x_stride, const float* inverse_rms,
                           const float* dy, size_t dy_stride, float* dweight) {
    head_sums_.assign(shape.heads * shape.width, 0.0F);
    const size_t groups = (shape.width + cpu::kColumns - 1) / cpu::kColumns;
    pool_.for_each(shape.heads * groups, [&](size_t, size_t task) {
      const size_t head = task / groups, begin = task % groups * cpu::kColumns;
      const size_t column = head * shape.width + begin;
      kernels_.rms_norm_weight_gradient(shape.rows, std::min(cpu::kColumns, shape.width - begin), x + column,
                                        x_stride, inverse_rms + head, shape.heads, dy + column, dy_stride,
                                        head_sums_.data() + column);
    });
    for (size_t head = 0; head < shape.heads; head++)
      kernels_.add(shape.width, head_sums_.data() + head * shape.width, dweight);
  }

  const cpu::Kernels& kernels_;
  WorkerPool pool_;
  std::vector<float> head_sums_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(size_t threads) { return std::make_unique<CpuBackend>(threads); }

}  // namespace branchmerge::sft
