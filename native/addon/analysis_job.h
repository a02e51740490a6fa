#pragma once
#include <napi.h>

namespace branchmerge {

/// analyseCheckpoints(plan, onProgress, onTensor), as lib/native/native.ts declares it.
Napi::Value start_analysis(const Napi::CallbackInfo& info);

}  // namespace branchmerge
