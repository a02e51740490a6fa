#include "sandbox/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <vector>

#include "sandbox/descriptors.h"
#include "sandbox/failure.h"
#include "sandbox/file_tree.h"
#include "sandbox/identity.h"
#include "sandbox/interpreter.h"
#include "sandbox/namespaces.h"
#include "sandbox/status.h"

namespace branchmerge::sandbox {
namespace {

constexpr int kExitFailure = 1;

enum class Way {
  kRoot,  ///< namespaces, made by root; then the program's user
  kUser,  ///< namespaces with one of users
  kNone,  ///< no namespaces
};

int exit_status(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

/// Process 1 of a namespace: takes leave of what ends until the interpreter does. With it everything in the
/// namespace ends.
[[noreturn]] void reap_until(pid_t interpreter) {
  for (;;) {
    int wait_status = 0;
    const pid_t ended = ::waitpid(-1, &wait_status, 0);
    if (ended == interpreter) ::_exit(exit_status(wait_status));
    if (ended < 0 && errno != EINTR) ::_exit(kExitFailure);
  }
}

void unblock_signals() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::vector<std::string> shown_paths(const Options& options) {
  std::vector<std::string> paths = library_paths();
  paths.insert(paths.end(), options.readable.begin(), options.readable.end());
  paths.push_back(options.python);
  return paths;
}

/// From here on as the user of the programs.
void leave_root(const Options& options) {
  if (::geteuid() != 0) return;
  drop_identity(options.user_id);
  ::prctl(PR_SET_DUMPABLE, 1, 0, 0,
          0);  // else the files below /proc/self would not be its own, and users could not be mapped
}

/// Process 1 of new namespaces.
[[noreturn]] void run_in_namespaces(const Options& options, Way way, uid_t user, gid_t group, int progress) {
  // The parent's number cannot be seen from here: it is 0.
  try {
    if (way == Way::kUser) map_user(user, group);
    enter_file_tree(shown_paths(options));
    hide_host_name();
    drop_identity(options.user_id);
  } catch (const Failure& failure) {
    report_progress(progress, Progress::kNoNamespaces, failure.what());
    ::_exit(kExitFailure);
  }
  die_with(0);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  unblock_signals();
  const pid_t self = ::getpid();
  const pid_t interpreter = ::fork();
  if (interpreter == 0) {
    die_with(self);
    // Root may be a name only, whose id has stayed.
    const bool is_other = way == Way::kRoot && ::getuid() == options.user_id;
    become_interpreter(options, true, {}, is_other ? options.user_id : unsigned(user), progress);
  }
  if (interpreter < 0) {
    report_progress(progress, Progress::kFailure, failed("fork").what());
    ::_exit(kExitFailure);
  }
  // Nothing of the outside stays open here: the ends of pipes are the interpreter's.
  close_descriptors_from(0);
  reap_until(interpreter);
}

/// How far a child came: the last that it told.
struct Attempt {
  pid_t child;
  Progress progress;
  std::string text;
};

Attempt last_report(pid_t child, const std::string& reports) {
  if (reports.empty()) return {child, Progress::kFailure, "The process ended before it was confined"};
  const size_t begin = reports.rfind('\0', reports.size() - 2) + 1;  // npos + 1 is 0
  return {child, Progress(reports[begin]), reports.substr(begin + 1, reports.size() - begin - 2)};
}

Attempt attempt(const Options& options, Way way, const std::vector<std::string>& notes) {
  std::array<int, 2> progress;
  require(::pipe2(progress.data(), O_CLOEXEC) == 0, "pipe");
  const uid_t user = ::getuid();
  const gid_t group = ::getgid();
  const pid_t self = ::getpid();
  const pid_t child = way == Way::kNone ? ::fork() : fork_into_namespaces(way == Way::kUser);
  if (child == 0) {
    ::close(progress[0]);
    if (way != Way::kNone) run_in_namespaces(options, way, user, group, progress[1]);
    die_with(self);
    unblock_signals();
    become_interpreter(options, false, notes, user, progress[1]);
  }
  const Failure failure = failed(way == Way::kNone ? "fork" : "clone");
  ::close(progress[1]);
  const std::string reports = child < 0 ? "" : read_to_end(progress[0]);
  ::close(progress[0]);
  if (child >= 0) return last_report(child, reports);
  return {child, way == Way::kNone ? Progress::kFailure : Progress::kNoNamespaces, failure.what()};
}

/// Tries one way after the other. What a refused one has started has ended.
Attempt start(const Options& options) {
  std::vector<std::string> notes;
  for (const Way way : {Way::kRoot, Way::kUser}) {
    if (way == Way::kRoot && ::geteuid() != 0) continue;
    if (way == Way::kUser) leave_root(options);
    Attempt result = attempt(options, way, notes);
    if (result.progress != Progress::kNoNamespaces) return result;
    if (result.child > 0) ::waitpid(result.child, nullptr, 0);
    notes.push_back((way == Way::kRoot ? "namespaces as root: " : "namespaces: ") + result.text);
  }
  return attempt(options, Way::kNone, notes);
}

/// Until the interpreter ends, the other end of descriptor 0 is closed, or somebody says to end.
int wait_for_end(pid_t child, int signals) {
  std::array<pollfd, 2> watched{pollfd{STDIN_FILENO, 0, 0}, pollfd{signals, POLLIN, 0}};
  for (;;) {
    if (::poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return kExitFailure;
    int wait_status = 0;
    for (pid_t ended; (ended = ::waitpid(-1, &wait_status, WNOHANG)) > 0;) {
      if (ended == child) return exit_status(wait_status);
    }
    if ((watched[1].revents & POLLIN) != 0) {
      signalfd_siginfo information{};
      if (::read(signals, &information, sizeof information) > 0 && information.ssi_signo != SIGCHLD)
        return kExitFailure;
    }
    if ((watched[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return 0;
  }
}

/// All that is left of the interpreter and its programs.
void kill_children(pid_t child) {
  ::kill(child, SIGKILL);
  while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) continue;
}

}  // namespace

int supervise(const Options& options, int status) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  sigset_t watched;
  ::sigemptyset(&watched);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&watched, number);
  ::sigprocmask(SIG_BLOCK, &watched, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const int signals = ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);

  const Attempt started = start(options);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (started.progress == Progress::kStarting) {
    write_all(status, started.text + "\n");
    ::close(status);
    const int result = wait_for_end(started.child, signals);
    kill_children(started.child);
    return result;
  }
  if (started.child > 0) kill_children(started.child);
  if (started.progress == Progress::kLevel) {
    write_all(status, "{\"failed\":\"level\",\"reached\":" + started.text + "}\n");
  } else {
    write_all(status,
              failure_json(started.progress == Progress::kPython ? "python" : "setup", started.text) + "\n");
  }
  return kExitFailure;
}

}  // namespace branchmerge::sandbox
