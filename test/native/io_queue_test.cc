#include "io/io_queue.h"

#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <thread>
#include <vector>

namespace branchmerge {
namespace {

/// Writes and reads back through a queue, many requests in flight, and looks at how errors come back.
void exercise(IoQueue& queue) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  const int descriptor = fileno(file);
  constexpr size_t kRequests = 100, kBytes = 1000;
  std::vector<std::vector<std::byte>> buffers(kRequests, std::vector<std::byte>(kBytes));

  for (const bool write : {true, false}) {
    std::map<uint64_t, int64_t> results;
    size_t submitted = 0;
    while (results.size() < kRequests) {
      while (submitted < kRequests && queue.pending() < queue.depth()) {
        std::memset(buffers[submitted].data(), write ? int(submitted) : 0xff, kBytes);
        queue.submit({descriptor, write, buffers[submitted].data(), kBytes, submitted * kBytes, submitted});
        submitted++;
      }
      const IoQueue::Completion completion = queue.wait();
      results[completion.tag] = completion.result;
    }
    CHECK(queue.pending() == 0);
    for (const auto& [tag, result] : results) CHECK(result == int64_t(kBytes));
  }
  for (size_t i = 0; i < kRequests; i++) CHECK(buffers[i] == std::vector<std::byte>(kBytes, std::byte(i)));

  queue.submit({descriptor, false, buffers[0].data(), kBytes, kRequests * kBytes, 1});
  CHECK(queue.wait().result == 0);  // past the end
  queue.submit({-1, false, buffers[0].data(), kBytes, 0, 2});
  const IoQueue::Completion bad = queue.wait();
  CHECK(bad.tag == 2);
  CHECK(bad.result == -EBADF);
  std::fclose(file);
}

TEST_CASE("a queue of threads transfers everything and reports errors") { exercise(*make_thread_queue(8)); }

TEST_CASE("io_uring, where the kernel has it, does the same as threads") {
  const std::unique_ptr<IoQueue> queue = make_io_uring_queue(8);
  CHECK((queue != nullptr) == io_uring_available());
  if (queue) exercise(*queue);
}

#ifdef __NR_io_uring_enter
/// For the calling thread, for good, as the filters of some containers do.
void forbid_io_uring_enter() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof program / sizeof *program, program};
  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0);
}

TEST_CASE("where io_uring may be set up and not entered, threads do it") {
  std::thread([] {
    forbid_io_uring_enter();
    CHECK(!io_uring_available());
    exercise(*make_io_queue(4));
  }).join();
}

TEST_CASE("io_uring that is forbidden later gives errors, and does not hang") {
  std::thread([] {
    const std::unique_ptr<IoQueue> queue = make_io_uring_queue(4);
    if (!queue) return;  // nothing to forbid
    forbid_io_uring_enter();
    std::byte buffer[8];
    for (uint64_t tag = 0; tag < 3; tag++) queue->submit({0, false, buffer, sizeof buffer, 0, tag});
    for (uint64_t tag = 0; tag < 3; tag++) {
      const IoQueue::Completion completion = queue->wait();
      CHECK(completion.tag == tag);
      CHECK(completion.result == -EPERM);
    }
    CHECK(queue->pending() == 0);
  }).join();
}
#endif

}  // namespace
}  // namespace branchmerge
