#include "addon/analysis_job.h"

#include <memory>

#include "addon/job.h"
#include "addon/values.h"
#include "analysis/analyse_checkpoints.h"

namespace branchmerge {
namespace {

AnalysisPlan::Range read_analysis_range(const Napi::Value& value) {
  const Napi::Object o = read_object(value, "a byte range");
  return {{size_t(read_count(o.Get("input"), "input")), read_count(o.Get("begin"), "begin"),
           read_count(o.Get("end"), "end")},
          read_dtype(o.Get("dtype"))};
}

std::vector<AnalysisPlan::Range> read_ranges(const Napi::Object& tensor, const char* name) {
  const Napi::Array list = read_array(tensor.Get(name), name);
  std::vector<AnalysisPlan::Range> ranges;
  for (uint32_t i = 0; i < list.Length(); i++) ranges.push_back(read_analysis_range(list.Get(i)));
  return ranges;
}

AnalysisPlan read_analysis_plan(const Napi::Value& value) {
  const Napi::Object o = read_object(value, "plan");
  AnalysisPlan plan{};
  const Napi::Array inputs = read_array(o.Get("inputs"), "inputs");
  for (uint32_t i = 0; i < inputs.Length(); i++) {
    const Napi::Object input = read_object(inputs.Get(i), "an input");
    plan.inputs.push_back({read_string(input.Get("path"), "path"), read_count(input.Get("bytes"), "bytes")});
  }
  const Napi::Array tensors = read_array(o.Get("tensors"), "tensors");
  for (uint32_t i = 0; i < tensors.Length(); i++) {
    Napi::HandleScope scope(value.Env());
    const Napi::Object tensor = read_object(tensors.Get(i), "a tensor");
    plan.tensors.push_back({read_string(tensor.Get("name"), "name"),
                            read_count(tensor.Get("elements"), "elements"), read_ranges(tensor, "base"),
                            read_ranges(tensor, "experts"), read_ranges(tensor, "merged"),
                            read_ranges(tensor, "gradients")});
  }
  plan.memory = read_count(o.Get("memory"), "memory");
  plan.threads = size_t(read_count(o.Get("threads"), "threads"));
  if (plan.threads < 1 || plan.threads > 1024)
    throw Error("ERR_INVALID_ARGUMENT", "Expected 1 to 1024 threads");
  return plan;
}

template <class Numbers>
Napi::Array write_numbers(Napi::Env env, const Numbers& numbers) {
  Napi::Array array = Napi::Array::New(env, numbers.size());
  for (size_t i = 0; i < numbers.size(); i++) array.Set(uint32_t(i), double(numbers[i]));
  return array;
}

/// One object for each item.
template <class Items, class Write>
Napi::Array write_list(Napi::Env env, const Items& items, const Write& write) {
  Napi::Array array = Napi::Array::New(env, items.size());
  for (size_t i = 0; i < items.size(); i++) {
    Napi::Object o = Napi::Object::New(env);
    write(o, items[i]);
    array.Set(uint32_t(i), o);
  }
  return array;
}

Napi::Value write_findings(Napi::Env env, const std::string& name, const TensorFindings& found) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("name", name);
  o.Set("elements", double(found.elements));
  o.Set("baseSquares", found.base_squares);
  o.Set("changes", write_list(env, found.changes, [&](Napi::Object& to, const ChangeFindings& change) {
          to.Set("changed", double(change.changed));
          to.Set("squares", change.squares);
          to.Set("magnitudes", change.magnitudes);
          to.Set("largest", change.largest);
          to.Set("thresholds", write_numbers(env, change.thresholds));
          to.Set("supports", write_numbers(env, change.supports));
        }));
  o.Set("pairs", write_list(env, found.pairs, [&](Napi::Object& to, const PairFindings& pair) {
          to.Set("product", pair.product);
          to.Set("magnitudes", pair.magnitudes);
          to.Set("both", double(pair.both));
          to.Set("opposite", double(pair.opposite));
          to.Set("shared", write_numbers(env, pair.shared));
          to.Set("sharedOpposite", write_numbers(env, pair.shared_opposite));
        }));
  Napi::Object merged = Napi::Object::New(env);
  merged.Set("squares", found.merged.squares);
  merged.Set("changed", double(found.merged.changed));
  merged.Set("fromExperts", double(found.merged.from_experts));
  merged.Set("experts",
             write_list(env, found.merged.experts, [&](Napi::Object& to, const SurvivalFindings& expert) {
               to.Set("product", expert.product);
               to.Set("taken", double(expert.taken));
               to.Set("undone", double(expert.undone));
             }));
  o.Set("merged", merged);
  o.Set("gradientSquares", write_numbers(env, found.gradient_squares));
  o.Set("gradientProducts", write_numbers(env, found.gradient_products));
  return o;
}

Napi::Value write_analysis_progress(Napi::Env env, const AnalysisProgress& progress) {
  return write_progress(
      env, {progress.bytes_done, progress.bytes_total, progress.tensors_done, progress.tensors_total});
}

}  // namespace

Napi::Value start_analysis(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&] {
    const auto plan = std::make_shared<const AnalysisPlan>(read_analysis_plan(info[0]));
    const Callback on_progress(info[1]), on_tensor(info[2]);
    return Job::start(info.Env(), {}, [=](Job& job) -> Job::Result {
      AnalysisCallbacks callbacks;
      if (on_progress)
        callbacks.on_progress = [&](const AnalysisProgress& progress) {
          on_progress(job, [progress](Napi::Env env) { return write_analysis_progress(env, progress); });
        };
      if (on_tensor)
        callbacks.on_tensor = [&](const AnalysisPlan::Tensor& tensor, const TensorFindings& findings) {
          on_tensor(job, [plan, &tensor, findings](Napi::Env env) {
            return write_findings(env, tensor.name, findings);
          });
        };
      const AnalysisTotals totals = analyse_checkpoints(*plan, callbacks, job.cancelled());
      return [totals](Napi::Env env) {
        Napi::Object o = Napi::Object::New(env);
        o.Set("bytesRead", double(totals.bytes_read));
        o.Set("seconds", totals.seconds);
        o.Set("inputAccess", totals.direct ? "direct" : "buffered");
        return o;
      };
    });
  });
}

}  // namespace branchmerge
