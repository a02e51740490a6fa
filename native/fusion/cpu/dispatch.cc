#include <cstring>
#include <initializer_list>

#include "fusion/cpu/kernels.h"

namespace branchmerge::cpu {
namespace scalar {
extern const InstructionSet kInstructionSet;
}
#if BRANCHMERGE_X86
namespace avx2 {
extern const InstructionSet kInstructionSet;
}
namespace avx512 {
extern const InstructionSet kInstructionSet;
}
#endif

namespace {
#if BRANCHMERGE_X86
bool runs_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}
bool runs_avx512() {
  return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif
}  // namespace

const InstructionSet* instruction_set(const char* name) {
  if (!std::strcmp(name, "scalar")) return &scalar::kInstructionSet;
#if BRANCHMERGE_X86
  if (!std::strcmp(name, "avx2") && runs_avx2()) return &avx2::kInstructionSet;
  if (!std::strcmp(name, "avx512") && runs_avx512()) return &avx512::kInstructionSet;
#endif
  return nullptr;
}

const InstructionSet& best_instruction_set() {
  for (const char* name : {"avx512", "avx2"})
    if (const InstructionSet* found = instruction_set(name)) return *found;
  return scalar::kInstructionSet;
}

}  // namespace branchmerge::cpu
