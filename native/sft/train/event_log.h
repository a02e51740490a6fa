#pragma once
#include <cstdint>
#include <string>

#include "io/file.h"
#include "sft/train/json_line.h"

namespace branchmerge::sft {

/// The events of a run: one JSON object a line, on standard output and in metrics.jsonl. What is emitted
/// before the file is open goes there first when it is. Rank 0's alone.
class EventLog {
 public:
  /// Opens metrics.jsonl for a run that goes on behind `step`: lines of an earlier run that tell of later
  /// steps, or of the validation that is still to come at this one, and a line that was cut short, are taken
  /// out.
  void open(const std::string& path, uint64_t step);

  /// A reader of standard output that has gone does not stop the run.
  void emit(const JsonLine& event);

  /// What was emitted survives a crash of the machine.
  void sync() const {
    if (file_) file_.sync();
  }

 private:
  File file_;
  uint64_t size_ = 0;
  std::string waiting_;
};

}  // namespace branchmerge::sft
