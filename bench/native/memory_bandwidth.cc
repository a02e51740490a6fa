// What one and two threads read and copy in a second, from memory in 2 MiB pages: the yardstick of the
// kernels. With --touch GIBIBYTES: how long a first touch takes. Prints one JSON object. Read counts the
// bytes read; copy the bytes copied (each is read once and written once).
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

namespace {

constexpr size_t kBytes = size_t{256} << 20;  // far beyond any last-level cache, for each thread and buffer
constexpr int kRounds = 9;

std::byte* allocate_huge() {
  void* address = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    std::perror("memory_bandwidth: cannot allocate");
    std::exit(1);
  }
  madvise(address, kBytes, MADV_HUGEPAGE);
  std::memset(address, 1, kBytes);
  return static_cast<std::byte*>(address);
}

void read_all(const std::byte* data) {
  // Four cache lines at a time: enough independent chains to hide the latency of the adds.
  std::array<uint64_t, 32> lanes = {};
  for (size_t i = 0; i < kBytes; i += sizeof lanes) {
    std::array<uint64_t, 32> block;
    std::memcpy(block.data(), data + i, sizeof block);
    for (size_t lane = 0; lane < lanes.size(); lane++) lanes[lane] += block[lane];
  }
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  asm volatile("" : : "r"(sum));
}

/// Median over the rounds of bytes a second, all threads together.
double gigabytes_per_second(size_t threads, const std::function<void(size_t)>& pass) {
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; round++) {
    std::barrier ready(static_cast<std::ptrdiff_t>(threads) + 1);
    std::vector<std::thread> pool;
    for (size_t thread = 0; thread < threads; thread++) {
      pool.emplace_back([&, thread] {
        ready.arrive_and_wait();
        pass(thread);
      });
    }
    ready.arrive_and_wait();
    const auto begin = std::chrono::steady_clock::now();
    for (std::thread& thread : pool) thread.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    rounds.push_back(static_cast<double>(threads * kBytes) / 1e9 / seconds);
  }
  std::sort(rounds.begin(), rounds.end());
  return rounds[kRounds / 2];
}

}  // namespace

/// Touches so many GiB of fresh memory and tells how long that took: on a virtual machine whose host takes
/// unused memory back, far longer than zeroing it.
int touch(double gibibytes) {
  const auto bytes = static_cast<size_t>(gibibytes * 0x1p30);
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    std::perror("memory_bandwidth: cannot allocate");
    return 1;
  }
  madvise(address, bytes, MADV_HUGEPAGE);
  const auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < bytes; i += 4096) static_cast<volatile char*>(address)[i] = 1;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::printf(R"({"touchedGibibytes":%.2f,"seconds":%.3f})"
              "\n",
              gibibytes, seconds.count());
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--touch") == 0) return touch(std::strtod(argv[2], nullptr));
  const std::array<const std::byte*, 2> sources = {allocate_huge(), allocate_huge()};
  const std::array<std::byte*, 2> targets = {allocate_huge(), allocate_huge()};
  std::printf("{\"memory\":[");
  for (size_t threads = 1; threads <= sources.size(); threads++) {
    const double read = gigabytes_per_second(threads, [&](size_t thread) { read_all(sources[thread]); });
    const double copy = gigabytes_per_second(
        threads, [&](size_t thread) { std::memcpy(targets[thread], sources[thread], kBytes); });
    std::printf(R"(%s{"threads":%zu,"readGigabytesPerSecond":%.2f,"copyGigabytesPerSecond":%.2f})",
                threads > 1 ? "," : "", threads, read, copy);
  }
  std::printf("]}\n");
}
