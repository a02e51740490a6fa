#include "block.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <vector>

#include "fiber.h"

namespace cuda_emulation {
namespace {

constexpr int kPoison = 0xcd;
constexpr size_t kWarp = 32;

uint64_t order_seed = 0;

/// A barrier in the source.
struct Site {
  std::string name;
  bool dropped;
};
std::map<std::pair<const char*, unsigned>, Site> sites;  // those reached so far
std::string dropped_site;
const Site kExchange{"an exchange", false};

const Site* last_site = nullptr;  // the one that the next thread is most likely to reach, too
std::pair<const char*, unsigned> last_key;

const Site& site_of(const char* file, unsigned line) {
  const std::pair<const char*, unsigned> key{file, line};
  if (last_site != nullptr && key == last_key) return *last_site;
  auto found = sites.find(key);
  if (found == sites.end()) {
    const std::string path = file;
    const std::string name = path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
    found = sites.emplace(key, Site{name, name == dropped_site}).first;
  }
  last_key = key;
  last_site = &found->second;
  return *last_site;
}

enum class State : uint8_t { kReady, kAtBlockBarrier, kAtWarpBarrier, kAtExchange, kFinished };

struct Copy {
  void* shared;
  const void* global;
  size_t bytes;
};

struct ThreadRecord {
  Thread visible;
  State state = State::kReady;
  unsigned mask = 0;
  uint64_t value = 0;
  const Site* site = nullptr;  // of the last barrier
  std::vector<Copy> open_copies;
  std::vector<std::vector<Copy>> committed_copies;
  std::vector<Copy> landing_copies;  // waited for; others may see them after the next barrier
};

struct Warp {
  uint64_t published[kWarp];
};

// The grid that runs. One at a time in a process: whoever launches holds the runtime library's lock.
class Grid {
 public:
  Grid(dim3 grid, dim3 threads, size_t dynamic_shared_bytes, const std::function<void()>& body)
      : body_(body),
        block_{{}, threads, grid},
        records_(size_t(threads.x) * threads.y * threads.z),
        warps_((records_.size() + kWarp - 1) / kWarp),
        order_(records_.size()),
        dynamic_bytes_(dynamic_shared_bytes),
        dynamic_(static_cast<std::byte*>(::operator new(dynamic_bytes_, kAlignment))),
        random_(order_seed * 0x9e3779b97f4a7c15 + 1) {
    std::iota(order_.begin(), order_.end(), size_t(0));
  }

  void run() {
    const uint64_t blocks = uint64_t(block_.grid.x) * block_.grid.y * block_.grid.z;
    std::vector<uint64_t> order(blocks);
    std::iota(order.begin(), order.end(), uint64_t(0));
    arrange(order);
    for (const uint64_t b : order) run_block(b);
  }

  ThreadRecord& current() { return records_[current_]; }
  int current_lane() const { return int(current_ % kWarp); }
  Block& block() { return block_; }
  void* dynamic() { return dynamic_.get(); }

  void* static_variable(const void* site, size_t size, size_t alignment) {
    if (alignment > size_t(kAlignment)) fail("a shared variable's alignment exceeds 16");
    StaticVariable& variable = statics_[site];
    if (variable.memory == nullptr) {
      variable.memory.reset(static_cast<std::byte*>(::operator new(size, kAlignment)));
      variable.size = size;
      std::memset(variable.memory.get(), kPoison, size);
    }
    return variable.memory.get();
  }

  void wait_at_block_barrier(const Site& site) {
    land_copies();
    wait(State::kAtBlockBarrier, site);
    if (++at_block_barrier_ == records_.size())
      release_block();
    else
      yield();
  }

  void wait_for_warp(State state, unsigned mask, uint64_t value, const Site& site) {
    ThreadRecord& own = current();
    if ((mask >> current_lane() & 1) == 0) fail("a thread is not in the mask it synchronises with");
    if (state == State::kAtWarpBarrier) land_copies();
    wait(state, site);
    own.mask = mask;
    own.value = value;
    if (all_arrived(state, mask))
      release_warp(mask);
    else
      yield();
  }

  const uint64_t* published() const { return warps_[current_ / kWarp].published; }

  void enter() { fibers().enter(); }
  void finish() {
    current().state = State::kFinished;
    unfinished_--;
    fibers().yield(current_, true);
  }
  void run_body() { body_(); }

  /// The thread never goes on, and nothing that it holds is destroyed: the scheduler makes up the message.
  [[noreturn]] void fail(const char* what) {
    failure_ = what;
    for (;;) fibers().yield(current_, true);
  }

 private:
  static constexpr std::align_val_t kAlignment{16};
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, kAlignment); }
  };
  struct StaticVariable {
    std::unique_ptr<std::byte, Free> memory;
    size_t size = 0;
  };

  static Fibers& fibers() {
    static Fibers all;
    return all;
  }

  void run_block(uint64_t b);

  /// Lets those threads of order_[first, last) that can go on do so, until each waits again; whether there
  /// were any.
  bool run_ready(size_t first, size_t last) {
    bool any = false;
    for (size_t i = first; i < last; i++) {
      if (records_[order_[i]].state != State::kReady) continue;
      any = true;
      current_ = order_[i];
      fibers().resume(current_);
      if (failure_ != nullptr) throw KernelError(failure_ + place());
    }
    return any;
  }

  void begin_block(uint64_t b) {
    const dim3 grid = block_.grid, threads = block_.threads;
    block_.index = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
    for (size_t i = 0; i < records_.size(); i++) {
      records_[i] = {};
      records_[i].visible.index = {unsigned(i % threads.x), unsigned(i / threads.x % threads.y),
                                   unsigned(i / threads.x / threads.y)};
    }
    std::memset(dynamic_.get(), kPoison, dynamic_bytes_);
    for (auto& [site, variable] : statics_) std::memset(variable.memory.get(), kPoison, variable.size);
    at_block_barrier_ = 0;
    unfinished_ = records_.size();
  }

  template <class Index>
  void arrange(std::vector<Index>& order) {
    if (order_seed == 1 && order.front() < order.back()) std::reverse(order.begin(), order.end());
    if (order_seed < 2) return;
    for (size_t i = order.size(); i > 1; i--) {
      random_ = random_ * 6364136223846793005 + 1442695040888963407;
      std::swap(order[i - 1], order[(random_ >> 33) % i]);
    }
  }

  void land_copies() {
    for (const Copy& copy : current().landing_copies) std::memcpy(copy.shared, copy.global, copy.bytes);
    current().landing_copies.clear();
  }
  void wait(State state, const Site& site) {
    current().state = state;
    current().site = &site;
  }
  void yield() { fibers().yield(current_, false); }

  void release_block() {
    for (const ThreadRecord& record : records_)
      if (record.site != current().site) fail("threads wait at two barriers");
    at_block_barrier_ = 0;
    for (ThreadRecord& record : records_) record.state = State::kReady;
  }

  bool all_arrived(State state, unsigned mask) {
    const size_t first = current_ / kWarp * kWarp;
    for (size_t l = 0; l < kWarp; l++) {
      if ((mask >> l & 1) == 0) continue;
      if (first + l >= records_.size()) fail("the mask names a lane beyond the block");
      const ThreadRecord& record = records_[first + l];
      if (record.state == State::kFinished) fail("the mask names a lane that has ended");
      if (record.state != state || record.mask != mask) return false;
    }
    return true;
  }

  void release_warp(unsigned mask) {
    const size_t first = current_ / kWarp * kWarp;
    for (size_t l = 0; l < kWarp; l++) {
      if ((mask >> l & 1) == 0) continue;
      warps_[current_ / kWarp].published[l] = records_[first + l].value;
      records_[first + l].state = State::kReady;
    }
  }

  std::string place() const {
    const Site* site = records_[current_].site;
    return " (thread " + std::to_string(current_) + " of block " + std::to_string(block_.index.x) +
           ", last barrier: " + (site == nullptr ? "none" : site->name) + ")";
  }

  const std::function<void()>& body_;
  Block block_;
  std::vector<ThreadRecord> records_;
  std::vector<Warp> warps_;
  std::vector<size_t> order_;
  size_t dynamic_bytes_;
  std::unique_ptr<std::byte, Free> dynamic_;
  std::map<const void*, StaticVariable> statics_;
  uint64_t random_;
  size_t current_ = 0, at_block_barrier_ = 0, unfinished_ = 0;
  const char* failure_ = nullptr;
};

Grid* running = nullptr;

/// Names the grid that runs, and no longer than it exists.
struct Running {
  explicit Running(Grid* grid) { running = grid; }
  ~Running() { running = nullptr; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
};

void run_fiber() {
  running->enter();
  running->run_body();
  running->finish();
}

void Grid::run_block(uint64_t b) {
  begin_block(b);
  fibers().begin(records_.size(), run_fiber);
  while (unfinished_ > 0) {
    arrange(order_);
    bool any_ready = false;
    for (size_t i = 0; i < order_.size();) {
      const size_t warp = order_[i] / kWarp;
      size_t end = i + 1;
      while (order_seed < 2 && end < order_.size() && order_[end] / kWarp == warp) end++;
      while (run_ready(i, end)) {
        any_ready = true;
        if (order_seed >= 2) break;
      }
      i = end;
    }
    if (any_ready) continue;
    current_ = size_t(std::find_if(records_.begin(), records_.end(),
                                   [](const ThreadRecord& r) { return r.state != State::kFinished; }) -
                      records_.begin());
    throw KernelError("threads wait for others that never come" + place());
  }
}

}  // namespace

void set_thread_order(uint64_t seed) { order_seed = seed; }

std::set<std::string> reached_barriers() {
  std::set<std::string> names;
  for (const auto& [key, site] : sites) names.insert(site.name);
  return names;
}

void forget_barriers() {
  sites.clear();
  last_site = nullptr;
}

void drop_barrier(const std::string& name) {
  dropped_site = name;
  for (auto& [key, site] : sites) site.dropped = site.name == name;
}

void run_grid(dim3 grid, dim3 threads, size_t dynamic_shared_bytes, const std::function<void()>& body) {
  Grid all(grid, threads, dynamic_shared_bytes, body);
  const Running while_it_runs(&all);
  all.run();
}

Thread& current_thread() { return running->current().visible; }
Block& current_block() { return running->block(); }
int lane() { return running->current_lane(); }

void* dynamic_shared() { return running->dynamic(); }
void* static_shared(const void* site, size_t size, size_t alignment) {
  return running->static_variable(site, size, alignment);
}

void synchronize_block(const char* file, unsigned line) {
  const Site& site = site_of(file, line);
  if (!site.dropped) running->wait_at_block_barrier(site);
}

void synchronize_warp(unsigned mask, const char* file, unsigned line) {
  const Site& site = site_of(file, line);
  if (!site.dropped) running->wait_for_warp(State::kAtWarpBarrier, mask, 0, site);
}

const uint64_t* publish(unsigned mask, uint64_t value) {
  running->wait_for_warp(State::kAtExchange, mask, value, kExchange);
  return running->published();
}

void require_lane(unsigned mask, int lane) {
  if ((mask >> lane & 1) == 0) running->fail("a shuffle reads a lane outside of its mask");
}

void copy_later(void* shared, const void* global, size_t bytes) {
  const bool aligned = uintptr_t(shared) % bytes == 0 && uintptr_t(global) % bytes == 0;
  if ((bytes != 4 && bytes != 8 && bytes != 16) || !aligned)
    running->fail("an asynchronous copy is of 4, 8 or 16 bytes at multiples of that");
  if (order_seed % 2 == 1)
    std::memcpy(shared, global, bytes);
  else
    running->current().open_copies.push_back({shared, global, bytes});
}

void commit_copies() {
  ThreadRecord& own = running->current();
  own.committed_copies.push_back(std::move(own.open_copies));
  own.open_copies.clear();
}

void wait_for_copies(size_t batches) {
  ThreadRecord& own = running->current();
  std::vector<std::vector<Copy>>& all = own.committed_copies;
  if (all.size() <= batches) return;
  const auto done = all.end() - std::ptrdiff_t(batches);
  for (auto batch = all.begin(); batch != done; ++batch)
    own.landing_copies.insert(own.landing_copies.end(), batch->begin(), batch->end());
  all.erase(all.begin(), done);
}

}  // namespace cuda_emulation
