#include "addon/copy_job.h"

#include <memory>

#include "addon/job.h"
#include "addon/values.h"
#include "safetensors/copy_tensors.h"

namespace branchmerge {
namespace {

TensorCopy read_copy(const Napi::Value& value) {
  const Napi::Object o = read_object(value, "a tensor");
  return {read_string(o.Get("name"), "name"),
          size_t(read_count(o.Get("input"), "input")),
          read_count(o.Get("begin"), "begin"),
          read_count(o.Get("end"), "end"),
          read_dtype(o.Get("dtype")),
          read_dtype(o.Get("outputDtype")),
          read_count(o.Get("outputBegin"), "outputBegin"),
          read_count(o.Get("headRows"), "headRows"),
          read_count(o.Get("rowElements"), "rowElements")};
}

CopyPlan read_copy_plan(const Napi::Value& value) {
  const Napi::Object o = read_object(value, "plan");
  CopyPlan plan{
      read_string(o.Get("output"), "output"), read_count(o.Get("outputBytes"), "outputBytes"), {}, {}};
  const Napi::Array inputs = read_array(o.Get("inputs"), "inputs"),
                    tensors = read_array(o.Get("tensors"), "tensors");
  for (uint32_t i = 0; i < inputs.Length(); i++) {
    const Napi::Object input = read_object(inputs.Get(i), "an input");
    plan.inputs.push_back({read_string(input.Get("path"), "path"), read_count(input.Get("bytes"), "bytes")});
  }
  for (uint32_t i = 0; i < tensors.Length(); i++) plan.tensors.push_back(read_copy(tensors.Get(i)));
  return plan;
}

}  // namespace

Napi::Value start_copy(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&] {
    const auto plan = std::make_shared<const CopyPlan>(read_copy_plan(info[0]));
    if (!info[1].IsTypedArray()) throw Error("ERR_INVALID_ARGUMENT", "Expected a Uint8Array for header");
    const auto header = info[1].As<Napi::Uint8Array>();
    const std::span bytes = std::as_bytes(std::span(header.Data(), header.ElementLength()));
    const Callback on_progress(info[2]);
    return Job::start(info.Env(), {info[1]}, [plan, bytes, on_progress](Job& job) -> Job::Result {
      const auto report = [&](uint64_t written) {
        if (on_progress)
          on_progress(job, [written](Napi::Env env) { return Napi::Number::New(env, double(written)); });
      };
      copy_tensors(*plan, bytes, report, job.cancelled());
      return [](Napi::Env env) { return env.Undefined(); };
    });
  });
}

}  // namespace branchmerge
