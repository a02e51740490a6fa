#pragma once
#include <napi.h>

namespace branchmerge {

/// copyTensors(plan, header, onProgress), as lib/native/native.ts declares it.
Napi::Value start_copy(const Napi::CallbackInfo& info);

}  // namespace branchmerge
