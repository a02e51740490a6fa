#include "sft/train/listener_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "sft/train/stop_signals.h"

namespace branchmerge::sft {

ListenerWatch::ListenerWatch(int descriptor)
    : descriptor_(descriptor), stop_{::eventfd(0, EFD_CLOEXEC)}, threads_([this] {
        ::eventfd_write(stop_.descriptor, 1);
      }) {
  if (stop_.descriptor < 0) throw Error("ERR_INTERNAL", "Cannot make an eventfd");
  threads_.start([this] { watch(); });
}

ListenerWatch::Event::~Event() { ::close(descriptor); }

void ListenerWatch::watch() const {
  std::array<pollfd, 2> events{{{descriptor_, POLLIN, 0}, {stop_.descriptor, POLLIN, 0}}};
  for (;;) {
    if (::poll(events.data(), events.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (events[1].revents != 0) return;
    std::array<char, 4096> dropped;
    const ssize_t count = ::read(descriptor_, dropped.data(), dropped.size());
    if (count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN))) continue;
    request_requeue();
    return;
  }
}

}  // namespace branchmerge::sft
