// Findings of tensors that are longer than a block, against long double and plain counting; the same to the
// bit whatever the workers, the memory and the way the bytes come.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <random>
#include <string>

#include "analysis/analyse_checkpoints.h"
#include "analysis/analyse_tensor.h"
#include "error_code.h"
#include "temporary_directory.h"
#include "tensor/convert.h"

namespace branchmerge {
namespace {

/// A tensor of each version as it is stored, and its values.
struct Version {
  DType dtype;
  std::vector<std::byte> bytes;
  std::vector<double> values;
};

Version stored(DType dtype, const std::vector<double>& values) {
  Version version{dtype, std::vector<std::byte>(values.size() * dtype_bits(dtype) / 8),
                  std::vector<double>(values.size())};
  (void)round_to_dtype(values.data(), dtype, version.bytes.data(), values.size());
  widen_elements(dtype, version.bytes.data(), version.values.data(), values.size());
  return version;
}

/// base, two experts that agree in some elements, a merged model, two gradients.
std::vector<Version> versions_of(DType dtype, size_t n) {
  std::mt19937_64 random(n);
  std::normal_distribution<double> normal;
  std::vector<std::vector<double>> values(6, std::vector<double>(n));
  for (size_t i = 0; i < n; i++) {
    values[0][i] = 0.02 * normal(random);
    const double shared = 2e-4 * normal(random);
    values[1][i] = values[0][i] + (random() % 3 == 0 ? 0 : shared + 1e-4 * normal(random));
    values[2][i] = values[0][i] + (random() % 2 == 0 ? 0 : shared - 3e-4 * normal(random));
    const uint64_t choice = random() % 4;
    values[3][i] = choice < 3 ? values[choice][i] : (values[1][i] + values[2][i]) / 2;
    values[4][i] = normal(random);
    values[5][i] = values[4][i] + normal(random);
  }
  std::vector<Version> versions;
  for (size_t i = 0; i < 6; i++) versions.push_back(stored(i < 4 ? dtype : DType::F32, values[i]));
  return versions;
}

/// A file of all versions, one after the other, behind some bytes: tensors need not be aligned.
AnalysisPlan plan_of(const std::vector<Version>& versions, const TemporaryDirectory& directory,
                     const std::string& name) {
  std::string bytes = "12345";
  std::vector<AnalysisPlan::Range> ranges;
  for (const Version& version : versions) {
    const uint64_t begin = bytes.size();
    bytes.append(reinterpret_cast<const char*>(version.bytes.data()), version.bytes.size());
    ranges.push_back({{0, begin, bytes.size()}, version.dtype});
  }
  AnalysisPlan plan{{{directory.write(name, bytes), bytes.size()}}, {}, uint64_t(1) << 40, 1};
  plan.tensors.push_back({"w",
                          versions[0].values.size(),
                          {ranges[0]},
                          {ranges[1], ranges[2]},
                          {ranges[3]},
                          {ranges[4], ranges[5]}});
  return plan;
}

TensorFindings run(const AnalysisPlan& plan) {
  const std::atomic<bool> cancelled{false};
  TensorFindings found;
  AnalysisCallbacks callbacks;
  callbacks.on_tensor = [&](const AnalysisPlan::Tensor&, const TensorFindings& findings) {
    found = findings;
  };
  analyse_checkpoints(plan, callbacks, cancelled);
  return found;
}

using Values = std::vector<double>;

Values changes(const Version& x, const Version& base) {
  Values change(x.values.size());
  for (size_t i = 0; i < change.size(); i++)
    change[i] = x.dtype == DType::F64 ? x.values[i] - base.values[i]
                                      : double(float(x.values[i]) - float(base.values[i]));
  return change;
}

/// Of a sum: as near as the header says.
void check_sum(double found, const Values& x, const Values& y, bool magnitude = false) {
  long double sum = 0, terms = 0;
  for (size_t i = 0; i < x.size(); i++) {
    const long double term = static_cast<long double>(x[i]) * y[i];
    sum += magnitude ? std::fabs(term) : term;
    terms += std::fabs(term);
  }
  CHECK(std::fabs(double(found - sum)) <= double(terms) * 160 * 0x1p-53);
}

TEST_CASE("findings are those of the definitions") {
  const TemporaryDirectory directory;
  for (const DType dtype : {DType::BF16, DType::F16, DType::F32, DType::F64}) {
    const size_t n = 3 * kAnalysisBlock + 1500;
    const std::vector<Version> versions = versions_of(dtype, n);
    const TensorFindings found = run(plan_of(versions, directory, std::string(dtype_name(dtype))));
    const Values one(n, 1);
    const Values delta[] = {changes(versions[1], versions[0]), changes(versions[2], versions[0]),
                            changes(versions[3], versions[0])};
    CHECK(found.elements == n);
    check_sum(found.base_squares, versions[0].values, versions[0].values);

    std::array<std::vector<std::vector<bool>>, 2> supports;
    for (size_t expert = 0; expert < 2; expert++) {
      const Values& change = delta[expert];
      const ChangeFindings& got = found.changes[expert];
      check_sum(got.squares, change, change);
      check_sum(got.magnitudes, change, one, true);
      Values sorted;
      for (const double value : change) sorted.push_back(std::fabs(value));
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      CHECK(got.largest == sorted[0]);
      CHECK(got.changed ==
            uint64_t(std::count_if(change.begin(), change.end(), [](double x) { return x != 0; })));
      for (size_t level = 0; level < kSupportLevels; level++) {
        const size_t size = (n * kSupportPercents[level] + 99) / 100;
        const double threshold = sorted[size - 1];
        CHECK(got.thresholds[level] == threshold);
        std::vector<bool> in(n);
        for (size_t i = 0; i < n; i++) in[i] = change[i] != 0 && std::fabs(change[i]) >= threshold;
        CHECK(got.supports[level] == uint64_t(std::count(in.begin(), in.end(), true)));
        supports[expert].push_back(in);
      }
    }
    const PairFindings& pair = found.pairs[0];
    check_sum(pair.product, delta[0], delta[1]);
    check_sum(pair.magnitudes, delta[0], delta[1], true);
    uint64_t both = 0, opposite = 0;
    std::array<uint64_t, kSupportLevels> shared{}, shared_opposite{};
    uint64_t taken[2] = {}, undone[2] = {}, changed = 0, from_experts = 0;
    for (size_t i = 0; i < n; i++) {
      const bool is_both = delta[0][i] != 0 && delta[1][i] != 0;
      const bool is_opposite = is_both && (delta[0][i] < 0) != (delta[1][i] < 0);
      both += is_both;
      opposite += is_opposite;
      for (size_t level = 0; level < kSupportLevels; level++) {
        const bool in = supports[0][level][i] && supports[1][level][i];
        shared[level] += in;
        shared_opposite[level] += in && is_opposite;
      }
      const double base = versions[0].values[i], merged = versions[3].values[i];
      bool is_expert = false;
      for (size_t expert = 0; expert < 2; expert++) {
        const double value = versions[1 + expert].values[i];
        taken[expert] += value != base && merged == value;
        undone[expert] += value != base && merged == base;
        is_expert = is_expert || (value != base && merged == value);
      }
      changed += merged != base;
      from_experts += is_expert;
    }
    CHECK(pair.both == both);
    CHECK(pair.opposite == opposite);
    CHECK(pair.shared == shared);
    CHECK(pair.shared_opposite == shared_opposite);
    check_sum(found.merged.squares, delta[2], delta[2]);
    CHECK(found.merged.changed == changed);
    CHECK(found.merged.from_experts == from_experts);
    for (size_t expert = 0; expert < 2; expert++) {
      check_sum(found.merged.experts[expert].product, delta[2], delta[expert]);
      CHECK(found.merged.experts[expert].taken == taken[expert]);
      CHECK(found.merged.experts[expert].undone == undone[expert]);
    }
    check_sum(found.gradient_squares[0], versions[4].values, versions[4].values);
    check_sum(found.gradient_squares[1], versions[5].values, versions[5].values);
    check_sum(found.gradient_products[0], versions[4].values, versions[5].values);
  }
}

/// All that is in it, so that two can be compared to the bit.
std::vector<double> numbers_of(const TensorFindings& found) {
  std::vector<double> numbers{double(found.elements), found.base_squares};
  const auto add = [&](const auto& values) {
    for (const auto& value : values) numbers.push_back(double(value));
  };
  for (const ChangeFindings& change : found.changes) {
    add(std::array{double(change.changed), change.squares, change.magnitudes, change.largest});
    add(change.thresholds);
    add(change.supports);
  }
  for (const PairFindings& pair : found.pairs) {
    add(std::array{pair.product, pair.magnitudes, double(pair.both), double(pair.opposite)});
    add(pair.shared);
    add(pair.shared_opposite);
  }
  add(std::array{found.merged.squares, double(found.merged.changed), double(found.merged.from_experts)});
  for (const SurvivalFindings& expert : found.merged.experts)
    add(std::array{expert.product, double(expert.taken), double(expert.undone)});
  add(found.gradient_squares);
  add(found.gradient_products);
  return numbers;
}

void drop_from_cache(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY);
  fsync(descriptor);
  posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  close(descriptor);
}

TEST_CASE("findings are the same to the bit whatever the workers, the memory and the page cache") {
  const TemporaryDirectory directory;
  AnalysisPlan plan = plan_of(versions_of(DType::BF16, 5 * kAnalysisBlock + 77), directory, "file");
  const std::vector<double> expected = numbers_of(run(plan));
  for (const size_t threads : {2, 5})
    for (const uint64_t memory : {uint64_t(1), uint64_t(1) << 40}) {
      drop_from_cache(plan.inputs[0].path);
      plan.threads = threads;
      plan.memory = memory;
      CHECK(numbers_of(run(plan)) == expected);
    }
}

TEST_CASE("changes without an opposite sign have a product that is exactly their magnitude") {
  const TemporaryDirectory directory;
  std::vector<Version> versions = versions_of(DType::BF16, 70'000);
  versions[2] = versions[1];
  PairFindings pair = run(plan_of(versions, directory, "equal")).pairs[0];
  CHECK(pair.product == pair.magnitudes);
  CHECK(pair.opposite == 0);
  std::vector<double> opposite(70'000);
  const Version zero = stored(DType::BF16, opposite);
  for (size_t i = 0; i < opposite.size(); i++) opposite[i] = -versions[1].values[i];
  versions[0] = zero;
  versions[2] = stored(DType::BF16, opposite);
  pair = run(plan_of(versions, directory, "opposite")).pairs[0];
  CHECK(pair.product == -pair.magnitudes);
  CHECK(pair.opposite == pair.both);
}

TEST_CASE("what is not finite is named, the first of a file") {
  const TemporaryDirectory directory;
  std::vector<Version> versions = versions_of(DType::F32, 3 * kAnalysisBlock);
  for (const size_t at : {size_t(100'000), size_t(190'000)}) {
    const float infinity = -INFINITY;
    std::memcpy(&versions[2].bytes[4 * at], &infinity, 4);
  }
  AnalysisPlan plan = plan_of(versions, directory, "infinite");
  plan.threads = 3;
  CHECK_THROWS_WITH(run(plan), doctest::Contains("tensor 'w' holds -Infinity at element 100000."));
}

TEST_CASE("products beyond float64 are refused") {
  const TemporaryDirectory directory;
  std::vector<Version> versions = versions_of(DType::F64, 10);
  versions[1] = stored(DType::F64, std::vector<double>(10, 1e200));
  CHECK(error_code([&] { run(plan_of(versions, directory, "large")); }) == "ERR_NON_FINITE");
}

TEST_CASE("a plan that does not fit its inputs is refused, and a cancelled one ends") {
  const TemporaryDirectory directory;
  const AnalysisPlan good = plan_of(versions_of(DType::BF16, 100), directory, "file");
  const auto refused = [&](const auto& spoil) {
    AnalysisPlan plan = good;
    spoil(plan.tensors[0]);
    return error_code([&] { run(plan); });
  };
  CHECK(refused([](auto& tensor) { tensor.elements = 99; }) == "ERR_INVALID_ARGUMENT");
  CHECK(refused([](auto& tensor) { tensor.base.clear(); }) == "ERR_INVALID_ARGUMENT");
  CHECK(refused([](auto& tensor) { tensor.experts[0].bytes.input = 1; }) == "ERR_INVALID_ARGUMENT");
  CHECK(refused([](auto& tensor) { tensor.merged[0].bytes.end += 1 << 20; }) == "ERR_INVALID_ARGUMENT");
  CHECK(refused([](auto& tensor) { tensor.gradients[0].dtype = DType::I32; }) == "ERR_INVALID_ARGUMENT");
  const std::atomic<bool> cancelled{true};
  CHECK(error_code([&] { analyse_checkpoints(good, {}, cancelled); }) == "ERR_CANCELLED");
}

}  // namespace
}  // namespace branchmerge
