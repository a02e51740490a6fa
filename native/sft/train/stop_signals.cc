#include "sft/train/stop_signals.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace branchmerge::sft {
namespace {

std::atomic<int> request{int(StopRequest::kNone)};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler needs it so");

void note_signal(int signal) {
  if (signal == SIGINT) {
    if (request.exchange(int(StopRequest::kInterrupt)) == int(StopRequest::kInterrupt))
      _exit(kExitInterrupted);
    return;
  }
  request_requeue();
}

}  // namespace

void request_requeue() {
  int none = int(StopRequest::kNone);
  request.compare_exchange_strong(none, int(StopRequest::kRequeue));
}

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) sigaction(signal, &action, nullptr);
  for (const int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

StopRequest stop_request() { return StopRequest(request.load()); }

}  // namespace branchmerge::sft
