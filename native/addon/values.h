#pragma once
#include <napi.h>

#include "cuda/devices.h"
#include "merge/devices/choose_devices.h"
#include "merge/merge_checkpoints.h"
#include "safetensors/read_header.h"

// JavaScript values ↔ the core's types, as lib/native/native.ts declares them. Reading throws
// ERR_INVALID_ARGUMENT.
namespace branchmerge {

/// Without its operands.
Step read_step(const Napi::Value& value);
/// Without its devices, which are chosen from what was asked for.
MergePlan read_plan(const Napi::Value& value);
DeviceRequest read_device_request(const Napi::Value& value);
const cpu::InstructionSet& read_instruction_set(const Napi::Value& value);
DType read_dtype(const Napi::Value& value);
std::vector<uint64_t> read_shape(const Napi::Value& value);
uint64_t read_count(const Napi::Value& value, const char* name);
std::string read_string(const Napi::Value& value, const char* name);
Napi::Object read_object(const Napi::Value& value, const char* name);
Napi::Array read_array(const Napi::Value& value, const char* name);

Napi::Value write_header_file(Napi::Env env, const std::string& path, const HeaderFile& file);
Napi::Object write_stats(Napi::Env env, const std::string& name, DType dtype,
                         const std::vector<uint64_t>& shape, uint64_t elements, const StepStats& step);
Napi::Value write_progress(Napi::Env env, const MergeProgress& progress);
Napi::Value write_devices(Napi::Env env, const cuda::Devices& devices);
Napi::Value write_totals(Napi::Env env, const MergeTotals& totals, const std::string& device_reason);

}  // namespace branchmerge
