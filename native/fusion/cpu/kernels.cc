// Compiled once for each instruction set (BRANCHMERGE_ISA). Plain loops over independent lanes: the compiler
// vectorises them as they stand, without leave to reorder anything.
#include "fusion/cpu/kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "fusion/arithmetic.h"
#include "fusion/formats.h"
#include "fusion/row_sums.h"

namespace branchmerge::cpu {
namespace {

using namespace branchmerge::arithmetic;
using namespace branchmerge::formats;
using Bytes = const unsigned char*;

// Tensors start where their file puts them: loads must do without alignment.
typedef uint16_t Unaligned16 __attribute__((aligned(1), may_alias));
typedef uint32_t Unaligned32 __attribute__((aligned(1), may_alias));
typedef uint64_t Unaligned64 __attribute__((aligned(1), may_alias));

template <class Stored>
struct UnalignedOf;
template <>
struct UnalignedOf<uint16_t> {
  using Type = Unaligned16;
};
template <>
struct UnalignedOf<uint32_t> {
  using Type = Unaligned32;
};
template <>
struct UnalignedOf<uint64_t> {
  using Type = Unaligned64;
};
template <class Format>
using Raw = typename UnalignedOf<typename Format::Stored>::Type;

// kLanes raw elements of both sides; the last block of a run is padded with zeros, whose results are not
// used.
template <class Format>
struct Block {
  Bytes a;
  Bytes b;
  alignas(64) unsigned char padded[2][kLanes * sizeof(typename Format::Stored)];

  BRANCHMERGE_INLINE void pad(Block& block, Bytes from_a, Bytes from_b, size_t n) {
    for (size_t i = 0; i < sizeof block.padded[0]; i++) {
      const bool inside = i < n * sizeof(typename Format::Stored);
      block.padded[0][i] = inside ? from_a[i] : 0;
      block.padded[1][i] = inside ? from_b[i] : 0;
    }
    block.a = block.padded[0];
    block.b = block.padded[1];
  }
};

template <class Format>
BRANCHMERGE_INLINE typename Format::Bits bits_at(Bytes bytes, size_t i) {
  return reinterpret_cast<const Raw<Format>*>(bytes)[i];
}

/// body(a, b, n): n is kLanes but in the last block.
template <class Format, class Body>
BRANCHMERGE_INLINE void for_blocks(Bytes a, Bytes b, size_t n, Body body) {
  constexpr size_t kBytes = kLanes * sizeof(typename Format::Stored);
  const size_t whole = n / kLanes;
  for (size_t i = 0; i < whole; i++) body(a + i * kBytes, b + i * kBytes, i * kLanes, kLanes);
  if (n % kLanes == 0) return;
  Block<Format> last;
  Block<Format>::pad(last, a + whole * kBytes, b + whole * kBytes, n % kLanes);
  body(last.a, last.b, whole * kLanes, n % kLanes);
}

#define BRANCHMERGE_BODY [&](Bytes a, Bytes b, size_t at, size_t count) __attribute__((always_inline))

template <class Real>
BRANCHMERGE_INLINE Real fold(Real (&lanes)[kLanes]) {
  for (size_t width = kLanes / 2; width > 0; width /= 2)
    for (size_t l = 0; l < width; l++) lanes[l] += lanes[l + width];
  return lanes[0];
}

template <class Real>
BRANCHMERGE_INLINE Real largest(const Real (&lanes)[kLanes]) {
  Real m = lanes[0];
  for (size_t l = 1; l < kLanes; l++) m = larger(m, lanes[l]);
  return m;
}

/// Bit l: scores[l] <= bound. The one thing that plain loops do not give: a mask of lanes in a register.
BRANCHMERGE_INLINE uint32_t lanes_at_most(const float (&scores)[kLanes], float bound) {
  uint32_t lanes = 0;
#if defined(__AVX512F__)
  const __m512 b = _mm512_set1_ps(bound);
  for (size_t l = 0; l < kLanes; l += 16)
    lanes |= uint32_t(_mm512_cmp_ps_mask(_mm512_load_ps(scores + l), b, _CMP_LE_OQ)) << l;
#elif defined(__AVX2__)
  const __m256 b = _mm256_set1_ps(bound);
  for (size_t l = 0; l < kLanes; l += 8)
    lanes |= uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(_mm256_load_ps(scores + l), b, _CMP_LE_OQ))) << l;
#else
  for (size_t l = 0; l < kLanes; l++) lanes |= uint32_t(scores[l] <= bound) << l;
#endif
  return lanes;
}
BRANCHMERGE_INLINE uint32_t lanes_at_most(const double (&scores)[kLanes], double bound) {
  uint32_t lanes = 0;
  for (size_t l = 0; l < kLanes; l++) lanes |= uint32_t(scores[l] <= bound) << l;
  return lanes;
}

/// Adds term(x, y, first, second) of every element of a segment into two sums of fixed shape.
template <class Format, class Real, class Term>
BRANCHMERGE_INLINE void sum_pairs(Bytes p, Bytes q, size_t n, double* sums, Term term) {
  constexpr size_t kBytes = kSegment * sizeof(typename Format::Stored);
  for (size_t s = 0; s * kSegment < n; s++) {
    const size_t size = n - s * kSegment < kSegment ? n - s * kSegment : kSegment;
    alignas(64) Real first[kLanes] = {}, second[kLanes] = {};
    for_blocks<Format>(
        p + s * kBytes, q + s * kBytes,
        size, [&](Bytes a, Bytes b, size_t, size_t count) __attribute__((always_inline)) {
          alignas(64) Real one[kLanes], two[kLanes];
          for (size_t l = 0; l < kLanes; l++)
            term(Real(Format::widen(bits_at<Format>(a, l))), Real(Format::widen(bits_at<Format>(b, l))),
                 one[l], two[l]);
          if (count == kLanes) {
            for (size_t l = 0; l < kLanes; l++) first[l] += one[l];
            for (size_t l = 0; l < kLanes; l++) second[l] += two[l];
            return;
          }
          for (size_t l = 0; l < count; l++) first[l] += one[l];
          for (size_t l = 0; l < count; l++) second[l] += two[l];
        });
    sums[2 * s] = double(fold(first));
    sums[2 * s + 1] = double(fold(second));
  }
}

/// The same for one sum.
template <class Format, class Real, class Term>
BRANCHMERGE_INLINE void sum_single(Bytes p, Bytes q, size_t n, double* sums, Term term) {
  constexpr size_t kBytes = kSegment * sizeof(typename Format::Stored);
  for (size_t s = 0; s * kSegment < n; s++) {
    const size_t size = n - s * kSegment < kSegment ? n - s * kSegment : kSegment;
    alignas(64) Real sum[kLanes] = {};
    for_blocks<Format>(
        p + s * kBytes, q + s * kBytes,
        size, [&](Bytes a, Bytes b, size_t, size_t count) __attribute__((always_inline)) {
          alignas(64) Real one[kLanes];
          for (size_t l = 0; l < kLanes; l++)
            one[l] =
                term(Real(Format::widen(bits_at<Format>(a, l))), Real(Format::widen(bits_at<Format>(b, l))));
          if (count == kLanes) {
            for (size_t l = 0; l < kLanes; l++) sum[l] += one[l];
            return;
          }
          for (size_t l = 0; l < count; l++) sum[l] += one[l];
        });
    sums[s] = double(fold(sum));
  }
}

template <class Format, class Real>
struct Implementation {
  using Bits = typename Format::Bits;

  /// Lane by lane, what both kernels that look at a run keep.
  struct ExtentLanes {
    alignas(64) Real max_difference[kLanes] = {};
    alignas(64) Bits magnitude[kLanes] = {}, difference[kLanes] = {}, changed[kLanes] = {};

    BRANCHMERGE_INLINE void look(ExtentLanes& lanes, size_t l, Bits left_bits, Bits right_bits, Real x,
                                 Real y) {
      const Bits left_magnitude = left_bits & Format::kMagnitude;
      const Bits right_magnitude = right_bits & Format::kMagnitude;
      const Bits m = left_magnitude > right_magnitude ? left_magnitude : right_magnitude;
      lanes.magnitude[l] = lanes.magnitude[l] > m ? lanes.magnitude[l] : m;
      lanes.max_difference[l] = larger(lanes.max_difference[l], absolute(x - y));
      lanes.difference[l] |= left_bits ^ right_bits;
      lanes.changed[l] += x != y;
    }

    BRANCHMERGE_INLINE Extent<Real> collect(const ExtentLanes& lanes) {
      Extent<Real> e{0, 0, 0, largest(lanes.max_difference), 0, false, false};
      const Bits largest_magnitude = largest(lanes.magnitude);
      e.max_magnitude = Format::widen(largest_magnitude);
      e.non_finite = largest_magnitude >= Format::kInfinity;
      Bits any = 0;
      for (size_t l = 0; l < kLanes; l++) {
        any |= lanes.difference[l];
        e.changed += lanes.changed[l];
      }
      e.bits_differ = any != 0;
      return e;
    }
  };

  static Extent<Real> extent(Bytes left, Bytes right, size_t n) {
    const Real lowest = -__builtin_huge_val();
    alignas(64) Real max_left[kLanes], max_right[kLanes];
    for (size_t l = 0; l < kLanes; l++) max_left[l] = max_right[l] = lowest;
    ExtentLanes lanes;
    const auto look = [&](Bytes a, Bytes b, size_t count) __attribute__((always_inline)) {
      for (size_t l = 0; l < count; l++) {
        const Bits left_bits = bits_at<Format>(a, l), right_bits = bits_at<Format>(b, l);
        const Real x = Format::widen(left_bits), y = Format::widen(right_bits);
        max_left[l] = larger(max_left[l], x);
        max_right[l] = larger(max_right[l], y);
        ExtentLanes::look(lanes, l, left_bits, right_bits, x, y);
      }
    };
    for_blocks<Format>(
        left, right, n, BRANCHMERGE_BODY {
          (void)at;
          if (count == kLanes)
            look(a, b, kLanes);
          else
            look(a, b, count);
        });
    Extent<Real> e = ExtentLanes::collect(lanes);
    e.max_left = largest(max_left);
    e.max_right = largest(max_right);
    return e;
  }

  static Extent<Real> slight_sums(Bytes p, Bytes q, size_t n, double* sums) {
    constexpr size_t kBytes = kSegment * sizeof(typename Format::Stored);
    ExtentLanes lanes;
    for (size_t s = 0; s * kSegment < n; s++) {
      const size_t size = n - s * kSegment < kSegment ? n - s * kSegment : kSegment;
      alignas(64) Real sum[kSlightSums][kLanes] = {};
      const auto add = [&](Bytes a, Bytes b, size_t count) __attribute__((always_inline)) {
        for (size_t l = 0; l < count; l++) {
          const Bits p_bits = bits_at<Format>(a, l), q_bits = bits_at<Format>(b, l);
          const Real x = Format::widen(p_bits), y = Format::widen(q_bits);
          ExtentLanes::look(lanes, l, p_bits, q_bits, x, y);
          const SlightTerms<Real> t = slight_terms(x, y);
          sum[0][l] += t.e;
          sum[1][l] = fma(t.e, t.d, sum[1][l]);
          sum[2][l] = fma(t.e, t.even - t.odd, sum[2][l]);
          sum[3][l] += t.d;
          sum[4][l] += t.even + t.odd;
        }
      };
      for_blocks<Format>(
          p + s * kBytes, q + s * kBytes, size, BRANCHMERGE_BODY {
            (void)at;
            if (count == kLanes)
              add(a, b, kLanes);
            else
              add(a, b, count);
          });
      for (size_t i = 0; i < kSlightSums; i++) sums[kSlightSums * s + i] = double(fold(sum[i]));
    }
    return ExtentLanes::collect(lanes);
  }

  template <Pass kPass>
  static void pass(Bytes p, Bytes q, size_t n, const RowConstants<Real>& row, double* sums) {
    const RowConstants<Real> c = row;
    if constexpr (has_two_sums(kPass)) {
      sum_pairs<Format, Real>(
          p, q, n, sums, [=](Real x, Real y, Real & first, Real & second) __attribute__((always_inline)) {
            add_terms<kPass>(x, y, c, first, second);
          });
    } else {
      sum_single<Format, Real>(
          p, q, n, sums, [=](Real x, Real y) __attribute__((always_inline)) {
            Real first, unused;
            add_terms<kPass>(x, y, c, first, unused);
            return first;
          });
    }
  }

  template <bool kSigned>
  BRANCHMERGE_INLINE Real score(Real left, Real right, Real kl) {
    return arithmetic::score<kSigned>(left, right, kl);
  }

  static void sample(Bytes left, Bytes right, const uint32_t* offsets, size_t count, Real kl, bool is_signed,
                     Real* out) {
    for (size_t i = 0; i < count; i++) {
      const Real x = Format::widen(bits_at<Format>(left, offsets[i]));
      const Real y = Format::widen(bits_at<Format>(right, offsets[i]));
      out[i] = is_signed ? score<true>(x, y, kl) : score<false>(x, y, kl);
    }
  }

  static void bracket(Bytes left, Bytes right, size_t n, Real kl, Brackets<Real>& brackets) {
    size_t done = 0;
#if defined(__AVX512F__)
    if constexpr (sizeof(Real) == sizeof(float))
      done = bracket_without_branches(left, right, n, kl, brackets);
#endif
    constexpr size_t kBytes = sizeof(typename Format::Stored);
    for_blocks<Format>(
        left + done * kBytes, right + done * kBytes, n - done, BRANCHMERGE_BODY {
          (void)at;
          alignas(64) Real scores[kLanes];
          score_block(a, b, kl, scores);
          const uint32_t valid = count == kLanes ? ~0u : (1u << count) - 1;
          for (int j = 0; j < brackets.count; j++) {
            const uint32_t low = lanes_at_most(scores, brackets.low[j]) & valid;
            uint32_t inside = lanes_at_most(scores, brackets.high[j]) & valid & ~low;
            brackets.at_most_low[j] += size_t(__builtin_popcount(low));
            size_t size = brackets.inside_size[j];
            brackets.inside_size[j] = size + size_t(__builtin_popcount(inside));
            if (brackets.inside_size[j] > brackets.capacity) continue;
            for (; inside != 0; inside &= inside - 1)
              brackets.inside[j][size++] = scores[__builtin_ctz(inside)];
          }
        });
  }

  BRANCHMERGE_INLINE void score_block(Bytes a, Bytes b, Real kl, Real (&scores)[kLanes]) {
    for (size_t l = 0; l < kLanes; l++)
      scores[l] =
          score<false>(Format::widen(bits_at<Format>(a, l)), Format::widen(bits_at<Format>(b, l)), kl);
  }

#if defined(__AVX512F__)
  /// Whole blocks as long as there is room for all of one; returns how many elements that was. Which scores
  /// lie inside is as good as random: packing every vector costs less than guessing which have any.
  static size_t bracket_without_branches(Bytes left, Bytes right, size_t n, float kl,
                                         Brackets<float>& brackets) {
    constexpr size_t kBytes = kLanes * sizeof(typename Format::Stored), kVector = 16;
    __m512 low[kMaxBrackets], high[kMaxBrackets];
    __m512i at_most_low[kMaxBrackets];
    float *begin[kMaxBrackets], *to[kMaxBrackets];
    size_t room = brackets.capacity;
    float unused[kLanes];
    for (int j = 0; j < kMaxBrackets; j++) {
      const bool used = j < brackets.count;
      low[j] = _mm512_set1_ps(used ? brackets.low[j] : __builtin_huge_valf());
      high[j] = _mm512_set1_ps(used ? brackets.high[j] : __builtin_huge_valf());
      at_most_low[j] = _mm512_setzero_si512();
      begin[j] = to[j] = used ? brackets.inside[j] + brackets.inside_size[j] : unused;
      const size_t size = used ? brackets.inside_size[j] : 0;
      const size_t left_here = brackets.capacity > size ? brackets.capacity - size : 0;
      room = room < left_here ? room : left_here;
    }
    size_t done = 0;
    // A block adds at most kLanes scores, so `room` for the fullest bracket is looked at once in a while
    // only.
    while (n - done >= kLanes && room >= kLanes) {
      size_t blocks = (n - done) / kLanes < room / kLanes ? (n - done) / kLanes : room / kLanes;
      for (; blocks > 0; blocks--, done += kLanes, left += kBytes, right += kBytes) {
        alignas(64) float scores[kLanes];
        score_block(left, right, kl, scores);
        for (size_t v = 0; v < kLanes; v += kVector) {
          const __m512 s = _mm512_load_ps(scores + v);
          for (int j = 0; j < kMaxBrackets; j++) {
            const __mmask16 below = _mm512_cmp_ps_mask(s, low[j], _CMP_LE_OQ);
            const __mmask16 inside = _mm512_mask_cmp_ps_mask(__mmask16(~below), s, high[j], _CMP_LE_OQ);
            at_most_low[j] =
                _mm512_mask_sub_epi32(at_most_low[j], below, at_most_low[j], _mm512_set1_epi32(-1));
            _mm512_storeu_ps(to[j], _mm512_maskz_compress_ps(inside, s));
            to[j] += __builtin_popcount(inside);
          }
        }
      }
      room = brackets.capacity;
      for (int j = 0; j < brackets.count; j++) {
        const size_t size = brackets.inside_size[j] + size_t(to[j] - begin[j]);
        room = room < brackets.capacity - size ? room : brackets.capacity - size;
      }
    }
    for (int j = 0; j < brackets.count; j++) {
      brackets.inside_size[j] += size_t(to[j] - begin[j]);
      brackets.at_most_low[j] += uint32_t(_mm512_reduce_add_epi32(at_most_low[j]));
    }
    return done;
  }
#endif

  template <bool kSigned>
  static uint64_t histogram_of(Bytes left, Bytes right, size_t n, Real kl, uint32_t* counts) {
    using Key = decltype(order_key(Real(0)));
    constexpr int kShift = sizeof(Key) * 8 - 16;
    uint64_t below_zero = 0;
    for_blocks<Format>(
        left, right, n, BRANCHMERGE_BODY {
          (void)at;
          alignas(64) uint32_t bins[kLanes];
          for (size_t l = 0; l < kLanes; l++) {
            const Real x = Format::widen(bits_at<Format>(a, l)), y = Format::widen(bits_at<Format>(b, l));
            bins[l] = uint32_t(order_key(score<kSigned>(x, y, kl)) >> kShift);
          }
          if (kSigned)
            for (size_t l = 0; l < count; l++) below_zero += bins[l] < 0x8000;
          if (count == kLanes) {
        // Two tables, so that runs of equal scores do not wait for the same counter.
#pragma GCC unroll 16
            for (size_t l = 0; l < kLanes; l += 2) {
              counts[2 * bins[l]]++;
              counts[2 * bins[l + 1] + 1]++;
            }
            return;
          }
          for (size_t l = 0; l < count; l++) counts[2 * bins[l]]++;
        });
    return below_zero;
  }

  static uint64_t histogram(Bytes left, Bytes right, size_t n, Real kl, bool is_signed, uint32_t* counts) {
    return is_signed ? histogram_of<true>(left, right, n, kl, counts)
                     : histogram_of<false>(left, right, n, kl, counts);
  }

  template <bool kSigned>
  static void refine_of(Bytes left, Bytes right, size_t n, Real kl, const Refinement& refinement) {
    using Key = decltype(order_key(Real(0)));
    const int shift = refinement.shift;
    for_blocks<Format>(
        left, right, n, BRANCHMERGE_BODY {
          (void)at;
          alignas(64) Key keys[kLanes];
          for (size_t l = 0; l < kLanes; l++) {
            const Real x = Format::widen(bits_at<Format>(a, l)), y = Format::widen(bits_at<Format>(b, l));
            keys[l] = order_key(score<kSigned>(x, y, kl));
          }
          for (int t = 0; t < refinement.targets; t++) {
            const Key prefix = Key(refinement.prefix[t]);
            Key hits = 0;
            for (size_t l = 0; l < kLanes; l++) hits |= Key(((keys[l] >> shift) >> 16) == prefix);
            if (hits == 0) continue;
            uint32_t* counts = refinement.counts[t];
            for (size_t l = 0; l < count; l++)
              if (((keys[l] >> shift) >> 16) == prefix) counts[(keys[l] >> shift) & 0xffff]++;
          }
        });
  }

  static void refine(Bytes left, Bytes right, size_t n, Real kl, bool is_signed,
                     const Refinement& refinement) {
    is_signed ? refine_of<true>(left, right, n, kl, refinement)
              : refine_of<false>(left, right, n, kl, refinement);
  }

  template <bool kSigned, bool kChangedOnly>
  static uint64_t hard_gate_of(Bytes left, Bytes right, size_t n, Real kl, Real threshold,
                               unsigned char* out) {
    uint64_t taken = 0;
    const auto choose = [&](Bytes a, Bytes b, Raw<Format> * to, size_t count) __attribute__((always_inline)) {
      Bits right_count = 0;
      for (size_t l = 0; l < count; l++) {
        const Bits left_bits = bits_at<Format>(a, l), right_bits = bits_at<Format>(b, l);
        const Real x = Format::widen(left_bits), y = Format::widen(right_bits);
        const Real s = score<kSigned>(x, y, kl);
        // & and not &&: a lane has no branches
        const bool take = kChangedOnly ? (s >= threshold) & (x != y) : s >= threshold;
        to[l] = static_cast<Raw<Format>>(take ? right_bits : left_bits);
        right_count += take;
      }
      taken += right_count;
    };
    for_blocks<Format>(
        left, right, n, BRANCHMERGE_BODY {
          Raw<Format>* to = reinterpret_cast<Raw<Format>*>(out) + at;
          if (count == kLanes)
            choose(a, b, to, kLanes);
          else
            choose(a, b, to, count);
        });
    return taken;
  }

  static uint64_t hard_gate(Bytes left, Bytes right, size_t n, Real kl, ScoreOptions<Real> options,
                            Real threshold, unsigned char* out) {
    if (options.is_signed)
      return options.changed_only ? hard_gate_of<true, true>(left, right, n, kl, threshold, out)
                                  : hard_gate_of<true, false>(left, right, n, kl, threshold, out);
    return options.changed_only ? hard_gate_of<false, true>(left, right, n, kl, threshold, out)
                                : hard_gate_of<false, false>(left, right, n, kl, threshold, out);
  }

  static uint64_t soft_gate(Bytes left, Bytes right, size_t n, Real kl, ScoreOptions<Real> options,
                            double threshold, double* out) {
    uint64_t taken = 0;
    for (size_t i = 0; i < n; i++) {
      const Real x = Format::widen(bits_at<Format>(left, i)), y = Format::widen(bits_at<Format>(right, i));
      const Real s = options.is_signed ? score<true>(x, y, kl) : score<false>(x, y, kl);
      const double weight = double(s) - threshold;
      const bool take = (weight > 0) & !(options.changed_only & (x == y));
      out[i] = take ? arithmetic::fma(double(y) - double(x), weight, double(x)) : double(x);
      taken += take;
    }
    return taken;
  }

  static constexpr Kernels<Real> table() {
    return {
        extent,
        slight_sums,
        {pass<Pass::kNearSums>, pass<Pass::kMixedSums>, pass<Pass::kFarSums>, pass<Pass::kNearDivergence>,
         pass<Pass::kMixedDivergence>, pass<Pass::kFarDivergence>, pass<Pass::kFarDivergenceWithoutEpsilon>},
        sample,
        bracket,
        histogram,
        refine,
        hard_gate,
        soft_gate};
  }
};

}  // namespace

#define BRANCHMERGE_STRING2(name) #name
#define BRANCHMERGE_STRING(name) BRANCHMERGE_STRING2(name)

namespace BRANCHMERGE_ISA {
extern const InstructionSet kInstructionSet;
const InstructionSet kInstructionSet = {
    BRANCHMERGE_STRING(BRANCHMERGE_ISA),
    {Implementation<BF16, float>::table(), Implementation<F16, float>::table(),
     Implementation<F32, float>::table(), Kernels<float>{}},
    {Implementation<BF16, double>::table(), Implementation<F16, double>::table(),
     Implementation<F32, double>::table(), Implementation<F64, double>::table()},
};
}  // namespace BRANCHMERGE_ISA

}  // namespace branchmerge::cpu
