#pragma once

namespace branchmerge::sft {

/// What signals asked for, in ascending urgency.
enum class StopRequest {
  kNone,
  kRequeue,    // SIGTERM, SIGUSR1, nobody listens: save and end, to be started again
  kInterrupt,  // SIGINT: save and end
};

inline constexpr int kExitRequeue = 85;
inline constexpr int kExitInterrupted = 130;

/// From now on these signals only leave a request, but for a second SIGINT, which ends the process at once
/// with kExitInterrupted. A closed pipe and a limit on the size of files are errors of the write, not
/// signals.
void catch_stop_signals();

/// As SIGTERM does.
void request_requeue();

StopRequest stop_request();

}  // namespace branchmerge::sft
