#pragma once
// Kernels that go through a tensor element by element, 16 bytes at a time where both sides and the output are
// aligned alike: the gate, counts of scores, conversions. A thread has two loads of 16 bytes under way; with
// as many threads as a multiprocessor holds that is the 48 KiB and more that its memory needs to be kept
// busy.
#include <type_traits>

#include "fusion/cuda/kernels.h"
#include "fusion/cuda/launch.h"
#include "fusion/cuda/scoring.cuh"
#include "fusion/formats.h"
#include "tensor/rounding.h"

namespace branchmerge::cuda {
namespace {

inline constexpr unsigned kElementThreads = 256;

/// n elements as a head, vectors of 16 bytes and a tail. Item i is a vector for i < vectors, a single element
/// beyond.
struct Items {
  unsigned head, vectors, per_vector, n;
  BRANCHMERGE_HOST_DEVICE unsigned count() const { return vectors + n - vectors * per_vector; }
  BRANCHMERGE_HOST_DEVICE unsigned vector_at(unsigned i) const { return head + i * per_vector; }
  BRANCHMERGE_HOST_DEVICE unsigned single_at(unsigned i) const {
    const unsigned k = i - vectors;
    return k < head ? k : k + vectors * per_vector;
  }
};

/// Vectors where all of the `pointers`, to elements of `size` bytes, reach a multiple of 16 at the same
/// element.
template <class... Pointers>
Items items_of(size_t size, uint64_t n, const Pointers*... pointers) {
  const auto elements_until_aligned = [&](const void* pointer) {
    return unsigned((16 - reinterpret_cast<uintptr_t>(pointer) % 16) % 16 / size);
  };
  const unsigned heads[] = {elements_until_aligned(pointers)...};
  Items items{heads[0], 0, unsigned(16 / size), unsigned(n)};
  for (const unsigned head : heads)
    if (head != items.head || head >= items.n) items.head = items.n;
  items.vectors = (items.n - items.head) / items.per_vector;
  return items;
}

/// Which row an element is in: a division of 32-bit numbers by one that is known beforehand, as Granlund and
/// Montgomery have it.
struct RowIndex {
  unsigned row_length = 0, offset = 0;  // row_length 0: one row
  unsigned multiplier = 0, shift = 0;

  RowIndex(unsigned length, unsigned offset_in_row) : row_length(length), offset(offset_in_row) {
    if (length == 0) return;
    while (uint64_t(1) << shift < length) shift++;
    multiplier = unsigned(((uint64_t(1) << 32) * ((uint64_t(1) << shift) - length)) / length + 1);
  }
  /// Of element i; `left_in_row`: elements from it to the end of its row.
  __device__ __forceinline__ unsigned row_of(unsigned i, unsigned& left_in_row) const {
    if (row_length == 0) {
      left_in_row = ~0u;
      return 0;
    }
    const unsigned x = offset + i, t = __umulhi(multiplier, x);
    const unsigned row = shift == 0 ? x : (t + ((x - t) >> 1)) >> (shift - 1);
    left_in_row = (row + 1) * row_length - x;
    return row;
  }
};

template <class Format>
constexpr DType dtype_of() {
  return std::is_same_v<Format, formats::BF16>  ? DType::BF16
         : std::is_same_v<Format, formats::F16> ? DType::F16
         : std::is_same_v<Format, formats::F32> ? DType::F32
                                                : DType::F64;
}

template <class Format>
inline constexpr unsigned kPerVector = 16 / sizeof(typename Format::Stored);

template <class Format>
__device__ __forceinline__ void load_vector(const typename Format::Stored* from,
                                            typename Format::Bits (&bits)[kPerVector<Format>]) {
  const uint4 raw = __ldcs(reinterpret_cast<const uint4*>(from));
  const uint32_t words[] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (unsigned e = 0; e < kPerVector<Format>; e++) {
    if constexpr (sizeof(typename Format::Stored) == 2)
      bits[e] = words[e / 2] >> (16 * (e % 2)) & 0xffff;
    else if constexpr (sizeof(typename Format::Stored) == 4)
      bits[e] = words[e];
    else
      bits[e] = uint64_t(words[2 * e + 1]) << 32 | words[2 * e];
  }
}

template <class Format>
__device__ __forceinline__ void store_vector(typename Format::Stored* to,
                                             const typename Format::Bits (&bits)[kPerVector<Format>]) {
  uint32_t words[4];
#pragma unroll
  for (unsigned w = 0; w < 4; w++) {
    if constexpr (sizeof(typename Format::Stored) == 2)
      words[w] = bits[2 * w] | bits[2 * w + 1] << 16;
    else if constexpr (sizeof(typename Format::Stored) == 4)
      words[w] = bits[w];
    else
      words[w] = uint32_t(bits[w / 2] >> (32 * (w % 2)));
  }
  __stcs(reinterpret_cast<uint4*>(to), uint4{words[0], words[1], words[2], words[3]});
}

/// A float64 rounded once to a format: its bits.
template <class Format>
__device__ __forceinline__ typename Format::Bits round_to(double value) {
  if constexpr (std::is_same_v<Format, formats::BF16>)
    return round_to_bf16(value);
  else if constexpr (std::is_same_v<Format, formats::F16>)
    return round_to_16_bits<5, 10>(value);
  else if constexpr (std::is_same_v<Format, formats::F32>)
    return arithmetic::bit_cast<uint32_t>(float(value));
  else
    return arithmetic::bit_cast<uint64_t>(value);
}

/// Rounds a float64 into element i of an output.
__device__ __forceinline__ void store_rounded(void* out, uint64_t i, double value, DType dtype) {
  switch (dtype) {
    case DType::BF16:
      static_cast<uint16_t*>(out)[i] = uint16_t(round_to<formats::BF16>(value));
      break;
    case DType::F16:
      static_cast<uint16_t*>(out)[i] = uint16_t(round_to<formats::F16>(value));
      break;
    case DType::F32:
      static_cast<uint32_t*>(out)[i] = round_to<formats::F32>(value);
      break;
    default:
      static_cast<uint64_t*>(out)[i] = round_to<formats::F64>(value);
  }
}

/// body(i, count, left bits, right bits, divergences) for every item of a thread: `count` elements from
/// element i.
template <class Format, class Real, class Body>
__device__ __forceinline__ void for_scored_items(const ScoresTask<Real>& task, const Items& items,
                                                 const RowIndex& rows, const Body& body) {
  using Bits = typename Format::Bits;
  constexpr unsigned kCount = kPerVector<Format>;
  const auto* left = static_cast<const typename Format::Stored*>(task.left);
  const auto* right = static_cast<const typename Format::Stored*>(task.right);
  for (unsigned item = blockIdx.x * blockDim.x + threadIdx.x; item < items.count();
       item += gridDim.x * blockDim.x) {
    Bits left_bits[kCount], right_bits[kCount];
    Real kl[kCount];
    unsigned left_in_row;
    if (item < items.vectors) {
      const unsigned i = items.vector_at(item);
      load_vector<Format>(left + i, left_bits);
      load_vector<Format>(right + i, right_bits);
      const unsigned row = rows.row_of(i, left_in_row);
      const Real first = task.kl[row];
#pragma unroll
      for (unsigned e = 0; e < kCount; e++) kl[e] = first;
      if (left_in_row < kCount) {
#pragma unroll
        for (unsigned e = 1; e < kCount; e++) kl[e] = task.kl[rows.row_of(i + e, left_in_row)];
      }
      body(i, std::integral_constant<unsigned, kCount>(), left_bits, right_bits, kl);
    } else {
      const unsigned i = items.single_at(item);
      left_bits[0] = left[i];
      right_bits[0] = right[i];
      kl[0] = task.kl[rows.row_of(i, left_in_row)];
      body(i, std::integral_constant<unsigned, 1>(), left_bits, right_bits, kl);
    }
  }
}

/// Adds the counts of a block's threads to *total.
__device__ __forceinline__ void add_block_count(unsigned count, unsigned long long* total) {
  BRANCHMERGE_SHARED(unsigned[kElementThreads / kWarp], of_warps);
  const unsigned of_warp = sum_of_warp(count);
  if (lane_index() == 0) of_warps[warp_index()] = of_warp;
  __syncthreads();
  if (threadIdx.x != 0) return;
  unsigned long long sum = 0;
  for (const unsigned part : of_warps) sum += part;
  if (sum > 0) atomicAdd(total, sum);
}

template <class Format, class Real, bool kSoft, bool kSameType>
__global__ void __launch_bounds__(kElementThreads)
    gate_kernel(const __grid_constant__ GateTask<Real> task, const Items items, const RowIndex rows) {
  using Bits = typename Format::Bits;
  auto* out = static_cast<typename Format::Stored*>(task.out);
  unsigned taken = 0;
  for_scored_items<Format>(
      task.scores, items, rows,
      [&](unsigned i, auto count, const auto& left_bits, const auto& right_bits, const auto& kl) {
        Bits chosen[kPerVector<Format>];
#pragma unroll
        for (unsigned e = 0; e < decltype(count)::value; e++) {
          const Real x = Format::widen(left_bits[e]), y = Format::widen(right_bits[e]);
          const Real s = score_of(x, y, kl[e], task.scores.is_signed);
          const bool changed = !task.changed_only | (x != y);
          double value = 0;
          if constexpr (kSoft) {
            const double weight = double(s) - task.threshold;
            const bool take = (weight > 0) & changed;
            value = take ? arithmetic::fma(double(y) - double(x), weight, double(x)) : double(x);
            taken += take;
            if (kSameType) chosen[e] = round_to<Format>(value);
          } else {
            const bool take = (s >= task.least) & changed;
            chosen[e] = take ? right_bits[e] : left_bits[e];
            taken += take;
            if (!kSameType) value = double(Format::widen(chosen[e]));
          }
          if (!kSameType) store_rounded(task.out, i + e, value, task.output_dtype);
        }
        if constexpr (kSameType) {
          if constexpr (decltype(count)::value == kPerVector<Format>)
            store_vector<Format>(out + i, chosen);
          else
            out[i] = typename Format::Stored(chosen[0]);
        }
      });
  if (task.taken != nullptr) add_block_count(taken, task.taken);
}

template <class Format, class Real>
__global__ void __launch_bounds__(kElementThreads)
    count_scores_kernel(const __grid_constant__ ScoresTask<Real> task, const Items items, const RowIndex rows,
                        const __grid_constant__ Digits digits) {
  BRANCHMERGE_DYNAMIC_SHARED(memory);
  DigitCounts counts(digits, reinterpret_cast<unsigned*>(memory));
  counts.begin();
  __syncthreads();
  for_scored_items<Format>(
      task, items, rows,
      [&](unsigned, auto count, const auto& left_bits, const auto& right_bits, const auto& kl) {
#pragma unroll
        for (unsigned e = 0; e < decltype(count)::value; e++)
          counts.count(arithmetic::order_key(score_of(
              Real(Format::widen(left_bits[e])), Real(Format::widen(right_bits[e])), kl[e], task.is_signed)));
      });
  __syncthreads();
  counts.finish();
}

template <class Format>
__global__ void __launch_bounds__(kElementThreads)
    find_non_finite_kernel(const typename Format::Stored* left, const typename Format::Stored* right,
                           uint64_t n, unsigned long long base, unsigned long long* first) {
  unsigned long long found = ~0ull;
  for (uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n && found == ~0ull;
       i += uint64_t(gridDim.x) * blockDim.x) {
    if ((right[i] & Format::kMagnitude) >= Format::kInfinity) found = base + 2 * i + 1;
    if ((left[i] & Format::kMagnitude) >= Format::kInfinity) found = base + 2 * i;
  }
  if (found != ~0ull) atomicMin(first, found);
}

/// What the CPU makes of a NaN on its way through float64: the payload's leading bits stay, and it becomes
/// quiet. A GPU's own conversions would forget sign and payload.
template <class Format>
__device__ __forceinline__ void store_nan(void* out, uint64_t i, typename Format::Bits bits, DType to) {
  constexpr int kSignBit = int(sizeof(typename Format::Stored)) * 8 - 1;
  const uint64_t sign = uint64_t(bits) >> kSignBit & 1;
  const uint64_t mantissa = (uint64_t(bits) << (52 - Format::kMantissaBits) & 0xfffffffffffff) | uint64_t(1)
                                                                                                     << 51;
  switch (to) {
    case DType::BF16:
      static_cast<uint16_t*>(out)[i] = uint16_t(sign << 15 | 0x7fc0);
      break;
    case DType::F16:
      static_cast<uint16_t*>(out)[i] = uint16_t(sign << 15 | 0x7e00);
      break;
    case DType::F32:
      static_cast<uint32_t*>(out)[i] = uint32_t(sign << 31 | 0x7f800000 | mantissa >> 29);
      break;
    default:
      static_cast<uint64_t*>(out)[i] = sign << 63 | uint64_t(0x7ff) << 52 | mantissa;
  }
}

template <class Format>
__global__ void __launch_bounds__(kElementThreads)
    convert_kernel(const typename Format::Stored* in, uint64_t n, DType to, void* out) {
  for (uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += uint64_t(gridDim.x) * blockDim.x) {
    const typename Format::Bits bits = in[i];
    const auto magnitude = bits & Format::kMagnitude;
    if (magnitude > Format::kInfinity) {
      store_nan<Format>(out, i, bits, to);
      continue;
    }
    // The widening of F16 does not know infinity.
    const double infinity = bits == magnitude ? HUGE_VAL : -HUGE_VAL;
    const double value = magnitude == Format::kInfinity ? infinity : double(Format::widen(bits));
    store_rounded(out, i, value, to);
  }
}

template <class Kernel>
unsigned element_blocks(Kernel* kernel, uint64_t items, size_t shared_bytes) {
  const uint64_t wanted = (items + kElementThreads - 1) / kElementThreads;
  const unsigned resident = resident_blocks(kernel, kElementThreads, shared_bytes);
  return unsigned(wanted < resident ? wanted : resident);
}

template <class Format, class Real, bool kSoft>
void gate(const GateTask<Real>& task, cudaStream_t stream) {
  const ScoresTask<Real>& scores = task.scores;
  const RowIndex rows(scores.row_length, scores.offset_in_row);
  const size_t size = sizeof(typename Format::Stored);
  const auto run = [&](auto kernel, const Items& items) {
    launch("apply the gate", kernel, element_blocks(kernel, items.count(), 0), kElementThreads, 0, stream,
           task, items, rows);
  };
  task.output_dtype == dtype_of<Format>()
      ? run(gate_kernel<Format, Real, kSoft, true>,
            items_of(size, scores.elements, scores.left, scores.right, task.out))
      : run(gate_kernel<Format, Real, kSoft, false>,
            items_of(size, scores.elements, scores.left, scores.right));
}

template <class Format, class Real>
void count_scores(const ScoresTask<Real>& task, const Digits& digits, cudaStream_t stream) {
  const RowIndex rows(task.row_length, task.offset_in_row);
  const Items items = items_of(sizeof(typename Format::Stored), task.elements, task.left, task.right);
  const auto kernel = count_scores_kernel<Format, Real>;
  const size_t shared = digit_count_bytes(digits);
  launch("count scores", kernel, element_blocks(kernel, items.count(), shared), kElementThreads, shared,
         stream, task, items, rows, digits);
}

template <class Format>
void find_non_finite(const void* left, const void* right, uint64_t n, unsigned long long base,
                     unsigned long long* first, cudaStream_t stream) {
  using Stored = typename Format::Stored;
  const auto kernel = find_non_finite_kernel<Format>;
  launch("find what is not finite", kernel, element_blocks(kernel, n, 0), kElementThreads, 0, stream,
         static_cast<const Stored*>(left), static_cast<const Stored*>(right), n, base, first);
}

template <class Format>
void convert(const void* in, uint64_t n, DType to, void* out, cudaStream_t stream) {
  const auto kernel = convert_kernel<Format>;
  launch("convert elements", kernel, element_blocks(kernel, n, 0), kElementThreads, 0, stream,
         static_cast<const typename Format::Stored*>(in), n, to, out);
}

}  // namespace
}  // namespace branchmerge::cuda
