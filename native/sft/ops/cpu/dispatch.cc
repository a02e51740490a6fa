#include <cstring>
#include <initializer_list>

#include "sft/ops/cpu/kernels.h"

namespace branchmerge::sft::cpu {
namespace scalar {
extern const Kernels kKernels;
}
#if BRANCHMERGE_X86
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

const Kernels* kernels_of(const char* instruction_set) {
  if (!std::strcmp(instruction_set, "scalar")) return &scalar::kKernels;
#if BRANCHMERGE_X86
  const bool runs_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool runs_avx512 = runs_avx2 && __builtin_cpu_supports("avx512f") &&
                           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl");
  if (!std::strcmp(instruction_set, "avx2") && runs_avx2) return &avx2::kKernels;
  if (!std::strcmp(instruction_set, "avx512") && runs_avx512) return &avx512::kKernels;
#endif
  return nullptr;
}

const Kernels& best_kernels() {
  for (const char* name : {"avx512", "avx2"})
    if (const Kernels* found = kernels_of(name)) return *found;
  return scalar::kKernels;
}

}  // namespace branchmerge::sft::cpu
