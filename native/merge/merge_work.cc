#include "merge/merge_work.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "merge/devices/device_lane.h"
#include "merge/plan_tensor.h"

namespace branchmerge {
namespace {

/// Calls visit(tensor) for what is left to do and can be done on devices.
template <class Visit>
void for_device_tensors(const MergePlan& plan, const Visit& visit) {
  for (const MergePlan::Tensor& tensor : plan.tensors)
    if (!tensor.done && merges_on_devices(plan, tensor)) visit(tensor);
}

uint64_t bytes_in(const MergePlan::Tensor& tensor, DType dtype) {
  return elements_of(tensor) * dtype_bits(dtype) / 8;
}

/// visit(kind, bytes of both operands) for the steps of a tensor.
template <class Visit>
void for_fusions(const MergePlan& plan, const MergePlan::Tensor& tensor, const Visit& visit) {
  const std::vector<Step>& program = plan.programs[tensor.program];
  for (size_t i = 0; i < program.size(); i++) {
    const StepDtypes dtypes = step_dtypes(tensor, program, i);
    visit(FusionKind{dtypes.operands, dtypes.result, program[i].fusion},
          2 * bytes_in(tensor, dtypes.operands));
  }
}

bool same_range(const ByteRange& a, const ByteRange& b) {
  return a.input == b.input && a.begin == b.begin && a.end == b.end;
}

uint64_t bytes_of(const std::vector<ByteRange>& ranges) {
  uint64_t bytes = 0;
  for (const ByteRange& range : ranges) bytes += range.size();
  return bytes;
}

}  // namespace

bool merges_on_devices(const MergePlan& plan, const MergePlan::Tensor& tensor) {
  if (!dtype_is_float(tensor.dtype) || elements_of(tensor) == 0 || tensor.tail) return false;
  const std::vector<Step>& program = plan.programs[tensor.program];
  return std::all_of(program.begin(), program.end(), [](const Step& step) { return step.method == "fuse"; });
}

bool any_for_devices(const MergePlan& plan) {
  return std::any_of(plan.tensors.begin(), plan.tensors.end(), [&](const MergePlan::Tensor& tensor) {
    return !tensor.done && merges_on_devices(plan, tensor);
  });
}

MergeWork count_work(const MergePlan& plan, const InputFiles& inputs) {
  MergeWork work;
  std::set<std::tuple<size_t, uint64_t, uint64_t>> seen;  // of the tensors of one name
  const std::string* name = nullptr;
  for_device_tensors(plan, [&](const MergePlan::Tensor& tensor) {
    if (name == nullptr || *name != tensor.name) seen.clear();
    name = &tensor.name;
    for (const ByteRange& range : tensor.models) {
      if (!seen.emplace(range.input, range.begin, range.end).second) continue;
      work.read += range.size();
      if (!inputs.cached(range.input)) work.cold += range.size();
      work.copied += bytes_in(tensor, tensor.dtype);
    }
    for_fusions(plan, tensor, [&](const FusionKind&, uint64_t bytes) { work.fused += bytes; });
    work.written += bytes_in(tensor, tensor.output_dtype);
  });
  return work;
}

FusionKind main_fusion(const MergePlan& plan) {
  std::vector<std::pair<FusionKind, uint64_t>> kinds;
  for_device_tensors(plan, [&](const MergePlan::Tensor& tensor) {
    for_fusions(plan, tensor, [&](const FusionKind& kind, uint64_t bytes) {
      const auto same = [&](const auto& known) { return known.first == kind; };
      const auto found = std::find_if(kinds.begin(), kinds.end(), same);
      if (found == kinds.end())
        kinds.emplace_back(kind, bytes);
      else
        found->second += bytes;
    });
  });
  const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
  return std::max_element(kinds.begin(), kinds.end(), fewer)->first;
}

std::vector<std::vector<ByteRange>> largest_cold_reads(const MergePlan& plan, const InputFiles& inputs,
                                                       size_t count) {
  std::vector<std::vector<ByteRange>> reads;
  const auto larger = [](const auto& a, const auto& b) { return bytes_of(a) > bytes_of(b); };
  for_device_tensors(plan, [&](const MergePlan::Tensor& tensor) {
    std::vector<ByteRange> cold;
    std::copy_if(tensor.models.begin(), tensor.models.end(), std::back_inserter(cold),
                 [&](const ByteRange& range) { return !inputs.cached(range.input); });
    const auto known = [&](const auto& read) { return same_range(read[0], cold[0]); };
    if (cold.empty() || std::any_of(reads.begin(), reads.end(), known)) return;
    reads.insert(std::upper_bound(reads.begin(), reads.end(), cold, larger), std::move(cold));
    if (reads.size() > count) reads.pop_back();
  });
  return reads;
}

}  // namespace branchmerge
