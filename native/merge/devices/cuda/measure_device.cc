#include "merge/devices/measure_device.h"

#include <algorithm>

#include "cuda/runtime.h"
#include "fusion/cuda/device_fusion.h"
#include "merge/devices/best_seconds.h"

namespace branchmerge {
namespace {

using namespace cuda;

/// The largest tensor that is fused: 2^24 elements, beside which launches and waits are short.
constexpr uint64_t kMostRows = (1 << 24) / FusionSample::kColumns;
/// The smallest, and how many times larger the next one is. A round that takes kLongEnough is the last:
/// whoever takes so long for so little has no need of a larger one.
constexpr uint64_t kLeastRows = kMostRows / 256, kGrowth = 16;
constexpr double kLongEnough = 5e-3;

/// A tensor that lies on the device.
class ResidentReader final : public DeviceReader {
 public:
  ResidentReader(const DeviceMemory& memory, DType dtype)
      : memory_(memory), element_bytes_(dtype_bits(dtype) / 8) {}
  const std::byte* fetch(uint64_t begin, uint64_t) override {
    return memory_.data() + begin * element_bytes_;
  }

 private:
  const DeviceMemory& memory_;
  const uint64_t element_bytes_;
};

/// So many rows of one side on the device: the sample's, again and again.
DeviceMemory upload(const FusionSample& sample, size_t side, uint64_t rows, const Stream& stream) {
  DeviceMemory memory(rows * sample.row_bytes());
  for (uint64_t row = 0; row < rows; row += sample.rows())
    check(cudaMemcpyAsync(memory.data() + row * sample.row_bytes(), sample.side(side),
                          std::min(sample.rows(), rows - row) * sample.row_bytes(), cudaMemcpyHostToDevice,
                          stream),
          "copy to it");
  return memory;
}

/// Seconds for a fusion of so many rows.
double fusion_seconds(const FusionSample& sample, uint64_t rows, DeviceFusionScratch& scratch,
                      const Stream& stream) {
  const OperandInfo info = sample.info(rows);
  const FusionKind& kind = sample.kind();
  const DeviceMemory left = upload(sample, 0, rows, stream), right = upload(sample, 1, rows, stream);
  const DeviceMemory result(rows * sample.result_row_bytes());
  ResidentReader left_reader(left, info.dtype), right_reader(right, info.dtype);
  return best_seconds([&] {
    DeviceFusion fusion(info, kind.result, kind.options, info.elements, scratch, stream);
    fusion.prepare(left_reader, right_reader);
    fusion.apply(0, info.elements, left.data(), right.data(), result.data(), nullptr);
    stream.synchronize();
  });
}

/// Bytes of operands a second.
double measure_fusions(const FusionSample& sample, const Stream& stream) {
  DeviceFusionScratch scratch;
  for (uint64_t rows = kLeastRows;; rows *= kGrowth) {
    const double seconds = fusion_seconds(sample, rows, scratch, stream);
    if (seconds >= kLongEnough || rows == kMostRows) return double(2 * rows * sample.row_bytes()) / seconds;
  }
}

/// Bytes a second.
template <class Copy>
double measure_copies(const Stream& stream, size_t bytes, const Copy& copy) {
  constexpr int kCopies = 4;
  return double(kCopies * bytes) / best_seconds([&] {
           for (int i = 0; i < kCopies; i++) copy();
           stream.synchronize();
         });
}

}  // namespace

DeviceRates measure_device(size_t device, const FusionSample& sample) {
  constexpr size_t kBytes = 4 << 20;  // as a merge copies (upload.h)
  start_device(device);
  const Stream stream;
  DeviceRates rates{};
  {
    const PinnedMemory host(kBytes);
    const DeviceMemory there(kBytes);
    rates.to_device = measure_copies(stream, kBytes, [&] {
      check(cudaMemcpyAsync(there.data(), host.data(), kBytes, cudaMemcpyHostToDevice, stream), "copy to it");
    });
    rates.from_device = measure_copies(stream, kBytes, [&] {
      check(cudaMemcpyAsync(host.data(), there.data(), kBytes, cudaMemcpyDeviceToHost, stream),
            "copy from it");
    });
  }
  rates.fuse = measure_fusions(sample, stream);
  return rates;
}

}  // namespace branchmerge
