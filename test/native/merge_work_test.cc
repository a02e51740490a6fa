#include "merge/merge_work.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <filesystem>
#include <fstream>

#include "temporary_directory.h"

namespace branchmerge {
namespace {

using Kind = Operand::Kind;

Step fuse(Operand left, Operand right, FusionOptions options = {}) {
  return {"fuse", {left, right}, options, {}};
}

/// Three models of 4 MiB, files of holes; "a & b" and "(a & b) & c".
class Plans {
 public:
  static constexpr uint64_t kBytes = 4 << 20;
  Plans() {
    for (const char* name : {"a", "b", "c"}) {
      std::filesystem::resize_file(directory_.write(name, ""), kBytes);
      plan.inputs.push_back({directory_.file(name), kBytes});
    }
    plan.programs.push_back({fuse({Kind::kModel, 0}, {Kind::kModel, 1})});
    plan.programs.push_back(
        {fuse({Kind::kModel, 0}, {Kind::kModel, 1}), fuse({Kind::kStep, 0}, {Kind::kModel, 2})});
  }
  /// Elements [begin, begin + elements) of every model.
  MergePlan::Tensor& add(const std::string& name, DType dtype, uint64_t begin, uint64_t elements,
                         size_t program = 0) {
    const uint64_t size = dtype_bits(dtype) / 8, from = begin * size, until = from + elements * size;
    std::vector<ByteRange> models{{0, from, until}, {1, from, until}};
    if (program == 1) models.push_back({2, from, until});
    plan.tensors.push_back({name, dtype, dtype, {elements}, models, program, 0});
    return plan.tensors.back();
  }
  MergeWork work() const { return count_work(plan, InputFiles(plan.inputs)); }

  MergePlan plan{};

 private:
  TemporaryDirectory directory_;
};

TEST_CASE("a fusion reads both sides and writes one; a sequence reads three and fuses twice") {
  Plans plans;
  plans.add("w", DType::BF16, 0, 1000);
  CHECK(plans.work().read == 4000);
  CHECK(plans.work().copied == 4000);
  CHECK(plans.work().fused == 4000);
  CHECK(plans.work().written == 2000);
  plans.add("v", DType::F32, 1000, 100, 1);
  const MergeWork work = plans.work();
  CHECK(work.read == 4000 + 1200);
  CHECK(work.copied == work.read);
  CHECK(work.fused == 4000 + 1600);
  CHECK(work.written == 2000 + 400);
}

TEST_CASE("dtypes: as stored for reading, as merged for copying and fusing, as written for writing") {
  Plans plans;
  MergePlan::Tensor& tensor = plans.add("w", DType::F32, 0, 1000, 1);
  tensor.stored.assign(3, DType::F32);
  tensor.dtype = DType::BF16;
  tensor.output_dtype = DType::F64;
  tensor.float_intermediates = true;
  const MergeWork work = plans.work();
  CHECK(work.read == 12'000);
  CHECK(work.copied == 6'000);
  CHECK(work.fused == 4'000 + 8'000);  // the second step's operands are float32
  CHECK(work.written == 8'000);
}

TEST_CASE("what outputs of one name share is read once; what is done or not for devices does not count") {
  Plans plans;
  plans.add("w", DType::BF16, 0, 1000);
  plans.add("w", DType::BF16, 0, 1000, 1);
  CHECK(plans.work().read == 3 * 2000);
  CHECK(plans.work().fused == 3 * 4000);
  CHECK(plans.work().written == 2 * 2000);
  plans.add("tied", DType::BF16, 0, 1000);
  CHECK(plans.work().read == 5 * 2000);
  const uint64_t read = plans.work().read;
  plans.add("done", DType::BF16, 5000, 1000).done = true;
  plans.add("integers", DType::I64, 5000, 10);
  plans.add("embedding", DType::BF16, 6000, 10).tail = MergePlan::Tail{0, 1};
  CHECK(plans.work().read == read);
  CHECK(any_for_devices(plans.plan));
  for (MergePlan::Tensor& tensor : plans.plan.tensors) tensor.done = true;
  CHECK(!any_for_devices(plans.plan));
}

TEST_CASE("the kind of fusion is that of the most bytes") {
  Plans plans;
  plans.add("w", DType::BF16, 0, 1000);
  plans.add("v", DType::F64, 1000, 200);
  CHECK(main_fusion(plans.plan) == FusionKind{DType::BF16, DType::BF16});
  plans.add("u", DType::F64, 2000, 100);
  CHECK(main_fusion(plans.plan) == FusionKind{DType::F64, DType::F64});
  FusionOptions soft;
  soft.gate = Gate::kSoft;
  plans.plan.programs.push_back({fuse({Kind::kModel, 0}, {Kind::kModel, 1}, soft)});
  plans.add("t", DType::F32, 3000, 900, 2).output_dtype = DType::BF16;
  CHECK(main_fusion(plans.plan) == FusionKind{DType::F32, DType::BF16, soft});
}

TEST_CASE("the largest reads of what is not in the page cache") {
  Plans plans;
  for (const InputFiles::Input& input : plans.plan.inputs)
    if (InputFiles(plans.plan.inputs).cached(size_t(&input - plans.plan.inputs.data()))) return;  // in memory
  plans.add("small", DType::BF16, 0, 10);
  plans.add("large", DType::BF16, 1000, 1000);
  plans.add("large", DType::BF16, 1000, 1000);
  plans.add("middle", DType::BF16, 3000, 100, 1);
  InputFiles cold(plans.plan.inputs);
  const auto reads = largest_cold_reads(plans.plan, cold, 2);
  REQUIRE(reads.size() == 2);
  CHECK(reads[0].size() == 2);
  CHECK(reads[0][0].begin == 2000);
  CHECK(reads[1].size() == 3);
  CHECK(reads[1][2].input == 2);
  CHECK(plans.work().cold == plans.work().read);

  // Now a and c are in the page cache.
  for (const size_t input : {0, 2}) {
    std::ifstream file(plans.plan.inputs[input].path, std::ios::binary);
    file.ignore(std::numeric_limits<std::streamsize>::max());
  }
  const InputFiles warm(plans.plan.inputs);
  if (!warm.cached(0)) return;                                  // a kernel that cannot tell
  CHECK(count_work(plans.plan, warm).cold == 20 + 2000 + 200);  // b
  for (const std::vector<ByteRange>& read : largest_cold_reads(plans.plan, warm, 9)) {
    CHECK(read.size() == 1);
    CHECK(read[0].input == 1);
  }
}

}  // namespace
}  // namespace branchmerge
