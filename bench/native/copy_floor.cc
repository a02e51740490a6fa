// The least that fusing a pair costs in moved bytes: both inputs read, one output of Left's size written and
// synced, by the fastest plain copies there are. The benchmark divides by the best of them.
//
//   copy_floor --cold OUTPUT LEFT... -- RIGHT...   inputs dropped from the page cache before each copy
//   copy_floor --warm OUTPUT LEFT... -- RIGHT...   inputs in the page cache before each copy
//   copy_floor --evict FILE...                     only drops files from the page cache
//   copy_floor --load FILE...                      only reads files into it
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "submission_ring.h"

namespace branchmerge::bench {
namespace {

constexpr uint64_t kAlignment = 4096;  // of O_DIRECT positions and buffers; every common device takes it

uint64_t align_up(uint64_t value) { return (value + kAlignment - 1) / kAlignment * kAlignment; }

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : value_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (value_ < 0) fail("cannot open " + path);
  }
  ~Descriptor() { close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

struct Input {
  std::string path;
  uint64_t bytes;
};

std::vector<Input> stat_inputs(std::span<char* const> paths) {
  std::vector<Input> inputs;
  for (const char* path : paths) {
    struct stat status = {};
    if (stat(path, &status) != 0) fail(std::string("cannot stat ") + path);
    inputs.push_back({path, static_cast<uint64_t>(status.st_size)});
  }
  return inputs;
}

/// A part of one input. Its copy goes to `output_offset`, which is aligned although sizes of files are not.
struct Block {
  size_t input;
  uint64_t offset;
  size_t bytes;
  uint64_t output_offset;
};

struct Job {
  std::vector<Input> left;
  std::vector<Input> right;
  std::string output;

  uint64_t input_bytes() const {
    uint64_t bytes = 0;
    for (const Input& input : left) bytes += input.bytes;
    for (const Input& input : right) bytes += input.bytes;
    return bytes;
  }
  uint64_t output_bytes() const {
    uint64_t bytes = 0;
    for (const Input& input : left) bytes += align_up(input.bytes);
    return bytes;
  }
};

std::vector<Block> cut_blocks(const std::vector<Input>& inputs, size_t block_bytes) {
  std::vector<Block> blocks;
  uint64_t output_offset = 0;
  for (size_t input = 0; input < inputs.size(); input++) {
    for (uint64_t offset = 0; offset < inputs[input].bytes; offset += block_bytes) {
      const size_t bytes = std::min<uint64_t>(block_bytes, inputs[input].bytes - offset);
      blocks.push_back({input, offset, bytes, output_offset});
      output_offset += align_up(bytes);
    }
  }
  return blocks;
}

/// The same step of Left and of Right; either can run out first.
struct Step {
  const Block* left;
  const Block* right;
};

class Steps {
 public:
  Steps(const Job& job, size_t block_bytes)
      : left_(cut_blocks(job.left, block_bytes)), right_(cut_blocks(job.right, block_bytes)) {}
  size_t size() const { return std::max(left_.size(), right_.size()); }
  Step operator[](size_t index) const {
    return {index < left_.size() ? &left_[index] : nullptr, index < right_.size() ? &right_[index] : nullptr};
  }

 private:
  std::vector<Block> left_;
  std::vector<Block> right_;
};

using Descriptors = std::vector<std::unique_ptr<Descriptor>>;

Descriptors open_inputs(const std::vector<Input>& inputs, int flags) {
  Descriptors descriptors;
  descriptors.reserve(inputs.size());
  for (const Input& input : inputs)
    descriptors.push_back(std::make_unique<Descriptor>(input.path, O_RDONLY | flags));
  return descriptors;
}

std::unique_ptr<Descriptor> create_output(const Job& job) {
  auto output = std::make_unique<Descriptor>(job.output, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT);
  if (const int error = posix_fallocate(output->get(), 0, static_cast<off_t>(job.output_bytes()))) {
    errno = error;
    fail("cannot allocate " + job.output);
  }
  return output;
}

/// Anonymous memory in 2 MiB pages, touched, so that no page fault is timed.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) fail("cannot allocate a buffer");
    data_ = static_cast<std::byte*>(address);
    madvise(data_, bytes, MADV_HUGEPAGE);
    std::memset(data_, 1, bytes);
  }
  ~Buffer() { munmap(data_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::byte* data() const { return data_; }

 private:
  size_t bytes_;
  std::byte* data_;
};

class Mapping {
 public:
  Mapping(const Descriptor& descriptor, uint64_t bytes) : bytes_(bytes) {
    void* address = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor.get(), 0);
    if (address == MAP_FAILED) fail("cannot map an input");
    data_ = static_cast<std::byte*>(address);
  }
  ~Mapping() { munmap(data_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::byte* data() const { return data_; }

 private:
  uint64_t bytes_;
  std::byte* data_;
};

void read_block(const Descriptors& descriptors, const Block& block, std::byte* buffer, bool direct) {
  const size_t request = direct ? align_up(block.bytes) : block.bytes;
  for (size_t done = 0; done < block.bytes;) {
    const ssize_t count = pread(descriptors[block.input]->get(), buffer + done, request - done,
                                static_cast<off_t>(block.offset + done));
    if (count <= 0) fail("cannot read");
    done += static_cast<size_t>(count);
  }
}

void write_block(const Descriptor& output, const Block& block, const std::byte* data) {
  const size_t bytes = align_up(block.bytes);
  for (size_t done = 0; done < bytes;) {
    const ssize_t count =
        pwrite(output.get(), data + done, bytes - done, static_cast<off_t>(block.output_offset + done));
    if (count <= 0) fail("cannot write");
    done += static_cast<size_t>(count);
  }
}

/// Reads every byte of memory, in whole cache lines and without letting the compiler drop it.
void touch(const std::byte* data, size_t bytes) {
  uint64_t lanes[8] = {};
  for (size_t i = 0; i + sizeof lanes <= bytes; i += sizeof lanes) {
    uint64_t line[8];
    std::memcpy(line, data + i, sizeof line);
    for (int lane = 0; lane < 8; lane++) lanes[lane] ^= line[lane];
  }
  uint64_t folded = 0;
  for (const uint64_t lane : lanes) folded ^= lane;
  asm volatile("" : : "r"(folded));
}

void for_each_step(size_t steps, int threads, const std::function<void(size_t, int)>& body) {
  std::atomic<size_t> next = 0;
  std::exception_ptr error;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::vector<std::thread> pool;
  pool.reserve(static_cast<size_t>(threads));
  for (int thread = 0; thread < threads; thread++) {
    pool.emplace_back([&, thread] {
      try {
        for (size_t step = next++; step < steps; step = next++) body(step, thread);
      } catch (...) {
        if (!failed.test_and_set()) error = std::current_exception();
      }
    });
  }
  for (std::thread& thread : pool) thread.join();
  if (error) std::rethrow_exception(error);
}

void sync_output(const Descriptor& output) {
  if (fdatasync(output.get()) != 0) fail("cannot sync");
}

/// Threads that read, by way of the page cache or around it, and write around it.
class ThreadedCopy {
 public:
  ThreadedCopy(const Job& job, int threads, size_t block_bytes, bool direct_input)
      : job_(job),
        threads_(threads),
        block_bytes_(block_bytes),
        direct_input_(direct_input),
        steps_(job, block_bytes),
        buffers_(2 * static_cast<size_t>(threads) * block_bytes) {}

  void operator()() const {
    const int flags = direct_input_ ? O_DIRECT : 0;
    const Descriptors left = open_inputs(job_.left, flags);
    const Descriptors right = open_inputs(job_.right, flags);
    const auto output = create_output(job_);
    for_each_step(steps_.size(), threads_, [&](size_t index, int thread) {
      std::byte* const buffer = buffers_.data() + 2 * static_cast<size_t>(thread) * block_bytes_;
      const Step step = steps_[index];
      if (step.right) read_block(right, *step.right, buffer + block_bytes_, direct_input_);
      if (!step.left) return;
      read_block(left, *step.left, buffer, direct_input_);
      write_block(*output, *step.left, buffer);
    });
    sync_output(*output);
  }

 private:
  const Job& job_;
  int threads_;
  size_t block_bytes_;
  bool direct_input_;
  Steps steps_;
  Buffer buffers_;
};

/// Threads that look at the page cache through mappings: Left's pages go to the device as they are.
class MappedCopy {
 public:
  MappedCopy(const Job& job, int threads, size_t block_bytes)
      : job_(job), threads_(threads), steps_(job, block_bytes) {}

  void operator()() const {
    const Descriptors left = open_inputs(job_.left, 0);
    const Descriptors right = open_inputs(job_.right, 0);
    const auto output = create_output(job_);
    const auto left_memory = map(job_.left, left);
    const auto right_memory = map(job_.right, right);
    for_each_step(steps_.size(), threads_, [&](size_t index, int) {
      const Step step = steps_[index];
      if (step.right) {
        const std::byte* const data = populate(*right_memory[step.right->input], *step.right);
        touch(data, step.right->bytes);
      }
      if (step.left) write_block(*output, *step.left, populate(*left_memory[step.left->input], *step.left));
    });
    sync_output(*output);
  }

 private:
  static std::vector<std::unique_ptr<Mapping>> map(const std::vector<Input>& inputs,
                                                   const Descriptors& descriptors) {
    std::vector<std::unique_ptr<Mapping>> mappings;
    mappings.reserve(inputs.size());
    for (size_t i = 0; i < inputs.size(); i++) {
      // To the end of the last page, of which an aligned write of the last block sends the rest, zeros,
      // along.
      mappings.push_back(std::make_unique<Mapping>(*descriptors[i], align_up(inputs[i].bytes)));
    }
    return mappings;
  }

  static const std::byte* populate(const Mapping& mapping, const Block& block) {
    std::byte* const data = mapping.data() + block.offset;
    madvise(data, align_up(block.bytes), MADV_POPULATE_READ);
    return data;
  }

  const Job& job_;
  int threads_;
  Steps steps_;
};

/// One thread that keeps `slots` steps in flight on the device through io_uring.
class RingCopy {
 public:
  RingCopy(const Job& job, unsigned slots, size_t block_bytes)
      : job_(job),
        slots_(slots),
        block_bytes_(block_bytes),
        steps_(job, block_bytes),
        buffers_(2 * size_t{slots} * block_bytes),
        ring_(2 * slots) {}

  void operator()() {
    const Descriptors left = open_inputs(job_.left, O_DIRECT);
    const Descriptors right = open_inputs(job_.right, O_DIRECT);
    const auto output = create_output(job_);
    std::vector<Slot> slots(slots_);
    size_t next = 0;
    size_t running = 0;
    const auto start = [&](unsigned index) {
      if (next == steps_.size()) return;
      slots[index] = {steps_[next++], 0, false};
      running++;
      read(index, slots[index].step.left, left, 0, slots[index]);
      read(index, slots[index].step.right, right, block_bytes_, slots[index]);
    };
    for (unsigned index = 0; index < slots_; index++) start(index);
    while (running > 0) {
      const SubmissionRing::Completion completion = ring_.wait();
      const auto index = static_cast<unsigned>(completion.tag / kOperations);
      Slot& slot = slots[index];
      check(completion, slot);
      if (--slot.pending > 0) continue;
      if (slot.step.left && !slot.written) {
        slot.written = true;
        slot.pending = 1;
        ring_.write(output->get(), {buffer(index), align_up(slot.step.left->bytes)},
                    slot.step.left->output_offset, index * kOperations + kWrite);
        continue;
      }
      running--;
      start(index);
    }
    sync_output(*output);
  }

 private:
  enum Operation : uint64_t { kReadLeft, kReadRight, kWrite, kOperations };
  struct Slot {
    Step step;
    int pending;
    bool written;
  };

  std::byte* buffer(unsigned slot) const { return buffers_.data() + 2 * size_t{slot} * block_bytes_; }

  void read(unsigned index, const Block* block, const Descriptors& inputs, size_t buffer_offset, Slot& slot) {
    if (!block) return;
    slot.pending++;
    const Operation operation = buffer_offset == 0 ? kReadLeft : kReadRight;
    ring_.read(inputs[block->input]->get(), {buffer(index) + buffer_offset, align_up(block->bytes)},
               block->offset, index * kOperations + operation);
  }

  static void check(const SubmissionRing::Completion& completion, const Slot& slot) {
    const uint64_t operation = completion.tag % kOperations;
    const Block& block = operation == kReadRight ? *slot.step.right : *slot.step.left;
    const size_t expected = operation == kWrite ? align_up(block.bytes) : block.bytes;
    if (completion.result < 0) {
      errno = -completion.result;
      fail("io_uring request failed");
    }
    if (static_cast<size_t>(completion.result) != expected)
      throw std::runtime_error("io_uring moved too little");
  }

  const Job& job_;
  unsigned slots_;
  size_t block_bytes_;
  Steps steps_;
  Buffer buffers_;
  SubmissionRing ring_;
};

void evict(const std::string& path) {
  const Descriptor file(path, O_RDONLY);
  sync_output(file);  // only clean pages can be dropped
  if (const int error = posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED)) {
    errno = error;
    fail("cannot drop " + path);
  }
}

void load(const std::string& path) {
  const Descriptor file(path, O_RDONLY);
  const Buffer buffer(4 << 20);
  ssize_t count = 0;
  while ((count = read(file.get(), buffer.data(), 4 << 20)) > 0) continue;
  if (count < 0) fail("cannot read " + path);
}

struct Strategy {
  const char* name;
  std::function<std::function<void()>(const Job&)> prepare;  // allocates; what it returns is timed
};

template <class Copy, class... Arguments>
Strategy strategy(const char* name, Arguments... arguments) {
  return {name, [=](const Job& job) -> std::function<void()> {
            return [copy = std::make_shared<Copy>(job, arguments...)] { (*copy)(); };
          }};
}

constexpr size_t kMiB = 1 << 20;

std::vector<Strategy> cold_strategies() {
  return {strategy<RingCopy>("io_uring direct, 8 x 1 MiB", 8U, kMiB),
          strategy<RingCopy>("io_uring direct, 4 x 2 MiB", 4U, 2 * kMiB),
          strategy<ThreadedCopy>("4 threads, direct pread and pwrite, 1 MiB", 4, kMiB, true),
          strategy<ThreadedCopy>("8 threads, direct pread and pwrite, 4 MiB", 8, 4 * kMiB, true)};
}

std::vector<Strategy> warm_strategies() {
  return {strategy<MappedCopy>("2 threads, mmap and direct pwrite, 4 MiB", 2, 4 * kMiB),
          strategy<MappedCopy>("4 threads, mmap and direct pwrite, 4 MiB", 4, 4 * kMiB),
          strategy<MappedCopy>("8 threads, mmap and direct pwrite, 1 MiB", 8, kMiB),
          strategy<ThreadedCopy>("4 threads, cached pread and direct pwrite, 1 MiB", 4, kMiB, false)};
}

std::string quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char character : text) {
    if (character == '"' || character == '\\') quoted += '\\';
    quoted += character;
  }
  return quoted + "\"";
}

double time_copy(const Job& job, const Strategy& strategy, bool cold) {
  unlink(job.output.c_str());
  for (const auto* inputs : {&job.left, &job.right}) {
    for (const Input& input : *inputs) cold ? evict(input.path) : load(input.path);
  }
  const std::function<void()> copy = strategy.prepare(job);
  const auto begin = std::chrono::steady_clock::now();
  copy();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return seconds;
}

/// A strategy that this machine forbids (O_DIRECT by the file system, io_uring by a container) says so in its
/// place.
void report(const Job& job, bool cold) {
  const double gigabytes = static_cast<double>(job.input_bytes() + job.output_bytes()) / 1e9;
  std::string entries;
  std::string best;
  double best_seconds = std::numeric_limits<double>::infinity();
  for (const Strategy& strategy : cold ? cold_strategies() : warm_strategies()) {
    std::string entry = "{\"name\":" + quote(strategy.name);
    double seconds = std::numeric_limits<double>::infinity();
    try {
      seconds = time_copy(job, strategy, cold);
      entry += ",\"seconds\":" + std::to_string(seconds) +
               ",\"gigabytesPerSecond\":" + std::to_string(gigabytes / seconds) + "}";
    } catch (const std::runtime_error& error) {
      entry += ",\"error\":" + quote(error.what()) + "}";
    }
    if (seconds < best_seconds) best = entry;
    best_seconds = std::min(best_seconds, seconds);
    entries += (entries.empty() ? "" : ",") + entry;
  }
  if (best.empty()) throw std::runtime_error("no strategy works here: " + entries);
  std::printf(R"({"inputs":"%s","bytesRead":%llu,"bytesWritten":%llu,"strategies":[%s],"best":%s})"
              "\n",
              cold ? "cold" : "warm", static_cast<unsigned long long>(job.input_bytes()),
              static_cast<unsigned long long>(job.output_bytes()), entries.c_str(), best.c_str());
}

int run(std::span<char* const> arguments) {
  const std::string mode = arguments.empty() ? "" : arguments[0];
  if (mode == "--evict" || mode == "--load") {
    for (const char* path : arguments.subspan(1)) mode == "--evict" ? evict(path) : load(path);
    return 0;
  }
  const auto separator = std::find_if(arguments.begin(), arguments.end(),
                                      [](const char* argument) { return std::strcmp(argument, "--") == 0; });
  const auto left_count = separator - arguments.begin() - 2;
  const auto right_count = arguments.end() - separator - 1;
  if ((mode != "--cold" && mode != "--warm") || left_count < 1 || right_count < 1) {
    std::fprintf(stderr,
                 "Usage: copy_floor --cold|--warm OUTPUT LEFT... -- RIGHT...\n"
                 "       copy_floor --evict|--load FILE...\n");
    return 2;
  }
  const Job job = {stat_inputs(arguments.subspan(2, static_cast<size_t>(left_count))),
                   stat_inputs(arguments.last(static_cast<size_t>(right_count))), arguments[1]};
  report(job, mode == "--cold");
  return 0;
}

}  // namespace
}  // namespace branchmerge::bench

int main(int argc, char** argv) {
  try {
    return branchmerge::bench::run(std::span(argv, static_cast<size_t>(argc)).subspan(1));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "copy_floor: %s\n", error.what());
    return 1;
  }
}
