#include <immintrin.h>

#include "base/xxh64_lanes.h"

namespace branchmerge {
namespace {

__m512i load_two(const void* low, const void* high) {
  const __m256i first = _mm256_loadu_si256(static_cast<const __m256i*>(low));
  return _mm512_inserti64x4(_mm512_castsi256_si512(first),
                            _mm256_loadu_si256(static_cast<const __m256i*>(high)), 1);
}

}  // namespace

void xxh64_stripes_avx512(const std::byte* bytes, size_t size, uint64_t (*lanes)[4]) {
  constexpr size_t kVectors = kXxhWidePieces / 2;  // two pieces share a vector of eight lanes
  const __m512i prime1 = _mm512_set1_epi64(int64_t(kXxhPrime1)),
                prime2 = _mm512_set1_epi64(int64_t(kXxhPrime2));
  __m512i wide[kVectors];
  for (size_t v = 0; v < kVectors; v++) wide[v] = _mm512_loadu_si512(lanes[2 * v]);
  for (size_t at = 0; at < size; at += kXxhStripeBytes)
    for (size_t v = 0; v < kVectors; v++) {
      const std::byte* const here = bytes + 2 * v * size + at;
      const __m512i sum = _mm512_add_epi64(wide[v], _mm512_mullo_epi64(load_two(here, here + size), prime2));
      wide[v] = _mm512_mullo_epi64(_mm512_rol_epi64(sum, 31), prime1);
    }
  for (size_t v = 0; v < kVectors; v++) _mm512_storeu_si512(lanes[2 * v], wide[v]);
}

}  // namespace branchmerge
