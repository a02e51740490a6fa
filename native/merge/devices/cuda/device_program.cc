#include "merge/devices/cuda/device_program.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/hash.h"
#include "fusion/cpu/kernels.h"
#include "merge/plan_tensor.h"

namespace branchmerge::cuda {
namespace {

uint64_t aligned(uint64_t bytes) { return (bytes + 255) / 256 * 256; }

size_t leaf_of(DeviceProgram& program, const DeviceProgram::Leaf& leaf) {
  const auto found = std::find(program.leaves.begin(), program.leaves.end(), leaf);
  if (found != program.leaves.end()) return size_t(found - program.leaves.begin());
  program.leaves.push_back(leaf);
  return program.leaves.size() - 1;
}

DeviceProgram describe(const MergePlan& plan, const MergePlan::Tensor& tensor) {
  DeviceProgram program;
  program.elements = elements_of(tensor);
  const std::vector<Step>& steps = plan.programs[tensor.program];
  for (size_t i = 0; i < steps.size(); i++) {
    const StepDtypes dtypes = step_dtypes(tensor, steps, i);
    const auto source = [&](const Operand& operand) -> DeviceProgram::Source {
      if (operand.kind == Operand::Kind::kStep) return {false, operand.index};
      return {true, leaf_of(program, {operand.index, stored_dtype(tensor, operand.index), tensor.dtype,
                                      dtypes.operands, 0})};
    };
    program.steps.push_back({{tensor.name, dtypes.operands, tensor.shape, program.elements},
                             dtypes.result,
                             &steps[i].fusion,
                             source(steps[i].operands[0]),
                             source(steps[i].operands[1]),
                             0,
                             0});
  }
  return program;
}

/// Places the buffers for a slice of so many elements.
void place(DeviceProgram& program, uint64_t slice) {
  program.slice = slice;
  program.bytes = program.scratch = 0;
  const auto take = [&](uint64_t bytes) {
    const uint64_t at = program.bytes;
    program.bytes += aligned(bytes);
    return at;
  };
  for (DeviceProgram::Leaf& leaf : program.leaves) leaf.at = take(slice * dtype_bits(leaf.wanted) / 8);
  for (DeviceProgram::Step& step : program.steps) {
    step.at = take(slice * dtype_bits(step.result) / 8);
    step.counter = take(sizeof(unsigned long long));
    program.scratch += DeviceFusion::scratch_bytes(step.info, *step.options, slice);
  }
}

}  // namespace

DeviceProgram lay_out(const MergePlan& plan, const MergePlan::Tensor& tensor, uint64_t budget) {
  DeviceProgram program = describe(plan, tensor);
  const auto fits = [&](uint64_t slice) {
    place(program, slice);
    return program.bytes + program.scratch <= budget;
  };
  if (fits(program.elements)) return program;

  // A slice of the result must hold a piece of its hash, wherever that begins.
  constexpr uint64_t kStep = kSegment;
  const uint64_t piece = kHashPieceBytes / (dtype_bits(tensor.output_dtype) / 8);
  uint64_t least = (piece + kStep - 1) / kStep, beyond = (program.elements + kStep - 1) / kStep;
  if (least >= beyond || !fits(least * kStep))
    throw Error("ERR_DEVICE_MEMORY",
                "Expected " + std::to_string((program.bytes + program.scratch + (1 << 10) - 1) >> 10) +
                    " KiB or more of a device's free memory for tensor '" + tensor.name +
                    "' but a share of it is " + std::to_string(budget >> 10) + " KiB.");
  while (beyond - least > 1) {
    const uint64_t middle = least + (beyond - least) / 2;
    (fits(middle * kStep) ? least : beyond) = middle;
  }
  place(program, least * kStep);
  return program;
}

}  // namespace branchmerge::cuda
