#pragma once
#include <string>
#include <vector>

namespace branchmerge::sandbox {

/// What was reached, as one line of JSON on the status descriptor.
struct Status {
  bool namespaces = false;
  int landlock = 0;  ///< its version; 0: none
  bool seccomp = false;
  unsigned user_id = 0;            ///< whom programs run as, as seen from outside
  std::vector<std::string> notes;  ///< why a layer is missing

  /// 3: namespaces, Landlock and seccomp; 2: seccomp, and Landlock or namespaces; 1: seccomp and limits; 0:
  /// no seccomp.
  int level() const;
  std::string json() const;
};

/// How far the way to a running interpreter came, told through a pipe.
enum class Progress : char {
  kStarting = 'S',      ///< the status: the interpreter is being executed
  kNoNamespaces = 'N',  ///< why there are none: another way may do
  kLevel = 'L',         ///< the status, which is below the level asked for
  kPython = 'P',        ///< why the interpreter cannot be executed
  kFailure = 'F',       ///< why there is no sandbox at all
};

/// A line of JSON for a start that failed. `kind` is level, python or setup.
std::string failure_json(const std::string& kind, const std::string& message);

/// One report: the byte that says how far, the text, and a zero byte.
void report_progress(int descriptor, Progress progress, const std::string& text);

}  // namespace branchmerge::sandbox
