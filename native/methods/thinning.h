#pragma once
#include "methods/passes.h"

namespace branchmerge {

/// Which elements of each input's difference are kept (docs/methods/README.md, Task vectors).
class Thinning {
 public:
  virtual ~Thinning() = default;
  /// Once, before anything else.
  virtual void prepare(Passes&) {}
  /// Before thin() is called for elements of [begin, end), at most kBlock of them, by the same worker.
  virtual void enter(size_t /*worker*/, OperandTiles&, const Readers&, uint64_t /*begin*/, uint64_t /*end*/) {
  }
  virtual bool keeps_everything(size_t input) const = 0;
  /// Sets to 0 what is dropped of elements [begin, begin + n).
  virtual void thin(size_t worker, size_t input, uint64_t begin, double* difference, size_t n) const = 0;
};

}  // namespace branchmerge
