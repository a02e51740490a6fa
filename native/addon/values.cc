#include "addon/values.h"

#include <cmath>

#include "base/error.h"
#include "base/hash.h"

namespace branchmerge {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error("ERR_INVALID_ARGUMENT", what); }

double read_number(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) refuse(std::string("Expected a number for ") + name);
  return value.As<Napi::Number>().DoubleValue();
}

template <class Choice>
struct Named {
  const char* name;
  Choice choice;
};
template <class Choice, size_t kCount>
Choice read_choice(const Napi::Value& value, const char* field, const Named<Choice> (&choices)[kCount]) {
  const std::string text = read_string(value, field);
  for (const Named<Choice>& named : choices)
    if (text == named.name) return named.choice;
  refuse("Unknown " + std::string(field) + " '" + text + "'");
}

Napi::Array write_shape(Napi::Env env, const std::vector<uint64_t>& shape) {
  Napi::Array array = Napi::Array::New(env, shape.size());
  for (size_t i = 0; i < shape.size(); i++) array.Set(uint32_t(i), double(shape[i]));
  return array;
}

Napi::String write_text(Napi::Env env, std::string_view text) {
  return Napi::String::New(env, text.data(), text.size());
}

Napi::Array write_metadata(Napi::Env env, const Metadata& metadata) {
  Napi::Array array = Napi::Array::New(env, metadata.size());
  for (size_t i = 0; i < metadata.size(); i++) {
    Napi::Array entry = Napi::Array::New(env, 2);
    entry.Set(uint32_t(0), metadata[i].first);
    entry.Set(uint32_t(1), metadata[i].second);
    array.Set(uint32_t(i), entry);
  }
  return array;
}

Metadata read_metadata(const Napi::Value& value) {
  const Napi::Array array = read_array(value, "metadata");
  Metadata metadata;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Array entry = read_array(array.Get(i), "a metadata entry");
    metadata.emplace_back(read_string(entry.Get(uint32_t(0)), "a metadata key"),
                          read_string(entry.Get(uint32_t(1)), "a metadata value"));
  }
  return metadata;
}

ByteRange read_range(const Napi::Value& value) {
  const Napi::Object range = read_object(value, "a byte range");
  return {size_t(read_count(range.Get("input"), "input")), read_count(range.Get("begin"), "begin"),
          read_count(range.Get("end"), "end")};
}

MergePlan::Tensor read_plan_tensor(const Napi::Value& value) {
  const Napi::Object tensor = read_object(value, "a tensor of the plan");
  MergePlan::Tensor read{read_string(tensor.Get("name"), "name"),
                         read_dtype(tensor.Get("dtype")),
                         read_dtype(tensor.Get("outputDtype")),
                         read_shape(tensor.Get("shape")),
                         {},
                         size_t(read_count(tensor.Get("program"), "program")),
                         size_t(read_count(tensor.Get("output"), "output")),
                         tensor.Get("done").ToBoolean().Value()};
  const Napi::Array models = read_array(tensor.Get("models"), "models");
  for (uint32_t i = 0; i < models.Length(); i++) {
    read.models.push_back(read_range(models.Get(i)));
    read.stored.push_back(read_dtype(models.Get(i).As<Napi::Object>().Get("dtype")));
  }
  if (const Napi::Value tail = tensor.Get("tail"); !tail.IsUndefined()) {
    const Napi::Object rows = read_object(tail, "a tail");
    read.tail = {size_t(read_count(rows.Get("model"), "model")), read_count(rows.Get("rows"), "rows")};
  }
  read.float_intermediates = tensor.Get("floatIntermediates").ToBoolean().Value();
  return read;
}

Operand read_operand(const Napi::Value& value) {
  const Napi::Object operand = read_object(value, "an operand");
  if (operand.Has("model")) return {Operand::Kind::kModel, size_t(read_count(operand.Get("model"), "model"))};
  return {Operand::Kind::kStep, size_t(read_count(operand.Get("step"), "step"))};
}

FusionOptions read_options(const Napi::Value& value) {
  const Napi::Object o = read_object(value, "options");
  FusionOptions options;
  options.scope =
      read_choice<Scope>(o.Get("scope"), "scope", {{"row", Scope::kRow}, {"tensor", Scope::kTensor}});
  options.divergence = read_choice<Divergence>(
      o.Get("divergence"), "divergence",
      {{"right||left", Divergence::kRightLeft}, {"left||right", Divergence::kLeftRight}});
  options.score =
      read_choice<Score>(o.Get("score"), "score", {{"abs", Score::kAbsolute}, {"signed", Score::kSigned}});
  options.gate = read_choice<Gate>(
      o.Get("gate"), "gate", {{"ge", Gate::kGreaterEqual}, {"gt", Gate::kGreater}, {"soft", Gate::kSoft}});
  options.quantile = read_choice<Quantile>(o.Get("quantile"), "quantile",
                                           {{"lower", Quantile::kLower}, {"linear", Quantile::kLinear}});
  options.population = read_choice<Population>(
      o.Get("population"), "population", {{"all", Population::kAll}, {"changed", Population::kChanged}});
  options.non_finite = read_choice<NonFinite>(
      o.Get("nonFinite"), "nonFinite",
      {{"error", NonFinite::kError}, {"left", NonFinite::kLeft}, {"right", NonFinite::kRight}});
  options.lambda = read_number(o.Get("lambda"), "lambda");
  options.epsilon = read_number(o.Get("epsilon"), "epsilon");
  if (!std::isfinite(options.lambda) || options.lambda < 0) refuse("Expected a finite lambda, 0 or more");
  if (!(options.epsilon == 0 || (options.epsilon >= 1e-30 && options.epsilon <= 1)))
    refuse("Expected an epsilon of 0, or between 1e-30 and 1");
  return options;
}

MethodParameters read_parameters(const Napi::Value& value) {
  const Napi::Object object = read_object(value, "parameters");
  const Napi::Array names = object.GetPropertyNames();
  MethodParameters parameters;
  for (uint32_t i = 0; i < names.Length(); i++) {
    const std::string name = read_string(names.Get(i), "a parameter's name");
    const Napi::Array values = read_array(object.Get(name), name.c_str());
    for (uint32_t j = 0; j < values.Length(); j++)
      parameters[name].push_back(read_number(values.Get(j), name.c_str()));
  }
  return parameters;
}

std::vector<Step> read_program(const Napi::Value& value) {
  const Napi::Array steps = read_array(value, "a program");
  std::vector<Step> program;
  for (uint32_t i = 0; i < steps.Length(); i++) {
    program.push_back(read_step(steps.Get(i)));
    const Napi::Array operands = read_array(steps.Get(i).As<Napi::Object>().Get("operands"), "operands");
    for (uint32_t j = 0; j < operands.Length(); j++)
      program.back().operands.push_back(read_operand(operands.Get(j)));
  }
  return program;
}

}  // namespace

Napi::Object read_object(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) refuse(std::string("Expected an object for ") + name);
  return value.As<Napi::Object>();
}

Napi::Array read_array(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) refuse(std::string("Expected an array for ") + name);
  return value.As<Napi::Array>();
}

std::string read_string(const Napi::Value& value, const char* name) {
  if (!value.IsString()) refuse(std::string("Expected a string for ") + name);
  return value.As<Napi::String>().Utf8Value();
}

uint64_t read_count(const Napi::Value& value, const char* name) {
  const double number = read_number(value, name);
  if (!(number >= 0 && number <= 9007199254740991.0) || number != std::floor(number))
    refuse(std::string("Expected a whole number for ") + name);
  return uint64_t(number);
}

DType read_dtype(const Napi::Value& value) {
  const std::string name = read_string(value, "dtype");
  const std::optional<DType> dtype = dtype_from_name(name);
  if (!dtype || !(dtype_is_float(*dtype) || dtype_is_integer(*dtype)))
    throw Error("ERR_DTYPE_UNSUPPORTED", "dtype " + name + " cannot be fused");
  return *dtype;
}

std::vector<uint64_t> read_shape(const Napi::Value& value) {
  const Napi::Array array = read_array(value, "shape");
  std::vector<uint64_t> shape;
  for (uint32_t i = 0; i < array.Length(); i++) shape.push_back(read_count(array.Get(i), "a dimension"));
  return shape;
}

Step read_step(const Napi::Value& value) {
  const Napi::Object object = read_object(value, "a step");
  Step step;
  step.method = read_string(object.Get("method"), "method");
  if (step.method == "fuse")
    step.fusion = read_options(object.Get("fusion"));
  else
    step.parameters = read_parameters(object.Get("parameters"));
  return step;
}

const cpu::InstructionSet& read_instruction_set(const Napi::Value& value) {
  if (value.IsUndefined()) return cpu::best_instruction_set();
  const std::string name = read_string(value, "instructionSet");
  if (const cpu::InstructionSet* found = cpu::instruction_set(name.c_str())) return *found;
  throw Error("ERR_UNAVAILABLE", "This CPU or build does not run the instruction set '" + name + "'");
}

MergePlan read_plan(const Napi::Value& value) {
  const Napi::Object o = read_object(value, "plan");
  MergePlan plan;
  const Napi::Array inputs = read_array(o.Get("inputs"), "inputs");
  for (uint32_t i = 0; i < inputs.Length(); i++) {
    const Napi::Object input = read_object(inputs.Get(i), "an input");
    plan.inputs.push_back({read_string(input.Get("path"), "path"), read_count(input.Get("bytes"), "bytes")});
  }
  const Napi::Array outputs = read_array(o.Get("outputs"), "outputs");
  for (uint32_t i = 0; i < outputs.Length(); i++) {
    const Napi::Object output = read_object(outputs.Get(i), "an output");
    plan.outputs.push_back({read_string(output.Get("path"), "path"), read_metadata(output.Get("metadata")),
                            read_count(output.Get("written"), "written")});
  }
  const Napi::Array tensors = read_array(o.Get("tensors"), "tensors");
  for (uint32_t i = 0; i < tensors.Length(); i++) plan.tensors.push_back(read_plan_tensor(tensors.Get(i)));
  const Napi::Array programs = read_array(o.Get("programs"), "programs");
  for (uint32_t i = 0; i < programs.Length(); i++) plan.programs.push_back(read_program(programs.Get(i)));
  plan.memory = read_count(o.Get("memory"), "memory");
  plan.threads = size_t(read_count(o.Get("threads"), "threads"));
  if (plan.threads < 1 || plan.threads > 1024) refuse("Expected 1 to 1024 threads");
  plan.instruction_set = &read_instruction_set(o.Get("instructionSet"));
  return plan;
}

DeviceRequest read_device_request(const Napi::Value& value) {
  using Kind = DeviceRequest::Kind;
  const Napi::Object request = read_object(value, "device");
  DeviceRequest read{read_choice<Kind>(request.Get("kind"), "device",
                                       {{"auto", Kind::kAuto}, {"cpu", Kind::kCpu}, {"cuda", Kind::kCuda}})};
  const Napi::Array indices = read_array(request.Get("indices"), "indices");
  for (uint32_t i = 0; i < indices.Length(); i++)
    read.indices.push_back(size_t(read_count(indices.Get(i), "an index")));
  return read;
}

Napi::Value write_header_file(Napi::Env env, const std::string& path, const HeaderFile& file) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("path", path);
  o.Set("bytes", double(file.bytes));
  o.Set("dataBegin", double(file.header.data_begin));
  o.Set("headerHash", hash_text(file.header_hash));
  o.Set("metadata", write_metadata(env, file.header.metadata));
  Napi::Array tensors = Napi::Array::New(env, file.header.tensors.size());
  for (size_t i = 0; i < file.header.tensors.size(); i++) {
    Napi::HandleScope scope(env);
    const TensorInfo& info = file.header.tensors[i];
    Napi::Object tensor = Napi::Object::New(env);
    tensor.Set("name", info.name);
    tensor.Set("dtype", write_text(env, dtype_name(info.dtype)));
    tensor.Set("shape", write_shape(env, info.shape));
    tensor.Set("elements", double(info.elements));
    tensor.Set("begin", double(info.begin));
    tensor.Set("end", double(info.end));
    tensors.Set(uint32_t(i), tensor);
  }
  o.Set("tensors", tensors);
  return o;
}

Napi::Object write_stats(Napi::Env env, const std::string& name, DType dtype,
                         const std::vector<uint64_t>& shape, uint64_t elements, const StepStats& step) {
  const TensorStats& stats = step.tensor;
  Napi::Object o = Napi::Object::New(env);
  o.Set("name", name);
  o.Set("dtype", write_text(env, dtype_name(dtype)));
  o.Set("shape", write_shape(env, shape));
  o.Set("elements", double(elements));
  o.Set("kept", double(step.kept));
  o.Set("identical", stats.identical);
  o.Set("degenerate", stats.degenerate);
  o.Set("nonFinite",
        stats.kept_operand ? write_text(env, *stats.kept_operand == 0 ? "left" : "right") : env.Undefined());
  o.Set("threshold", stats.threshold);
  o.Set("q1", stats.q1);
  o.Set("median", stats.median);
  o.Set("q3", stats.q3);
  Napi::Object kl = Napi::Object::New(env);
  kl.Set("min", stats.kl_min);
  kl.Set("median", stats.kl_median);
  kl.Set("max", stats.kl_max);
  o.Set("kl", kl);
  return o;
}

Napi::Value write_devices(Napi::Env env, const cuda::Devices& devices) {
  const auto text_or_nothing = [&](const std::string& text) -> Napi::Value {
    return text.empty() ? env.Undefined() : write_text(env, text);
  };
  Napi::Array found = Napi::Array::New(env);
  for (const cuda::Device& device : devices.found) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("index", double(device.index));
    o.Set("name", device.name);
    o.Set("computeCapability", std::to_string(device.major) + "." + std::to_string(device.minor));
    o.Set("memoryBytes", double(device.memory_bytes));
    o.Set("freeMemoryBytes", double(device.free_bytes));
    o.Set("unusable", text_or_nothing(device.unusable));
    found.Set(found.Length(), o);
  }
  Napi::Object o = Napi::Object::New(env);
  o.Set("compiled", devices.compiled);
  o.Set("runtime", text_or_nothing(devices.runtime));
  o.Set("driver", text_or_nothing(devices.driver));
  o.Set("unavailable", text_or_nothing(devices.unavailable));
  o.Set("devices", found);
  return o;
}

Napi::Value write_totals(Napi::Env env, const MergeTotals& totals, const std::string& device_reason) {
  Napi::Array devices = Napi::Array::New(env), warnings = Napi::Array::New(env);
  for (const DeviceShare& share : totals.devices) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("index", double(share.device));
    device.Set("bytes", double(share.bytes));
    devices.Set(devices.Length(), device);
  }
  for (const std::string& warning : totals.warnings) warnings.Set(warnings.Length(), warning);
  Napi::Object o = Napi::Object::New(env);
  o.Set("bytesRead", double(totals.bytes_read));
  o.Set("bytesWritten", double(totals.bytes_written));
  o.Set("seconds", totals.seconds);
  o.Set("inputAccess", totals.direct_input ? "direct" : "buffered");
  o.Set("outputAccess", totals.direct_output ? "direct" : "buffered");
  o.Set("devices", devices);
  o.Set("deviceReason", device_reason);
  o.Set("warnings", warnings);
  return o;
}

Napi::Value write_progress(Napi::Env env, const MergeProgress& progress) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("bytesDone", double(progress.bytes_done));
  o.Set("bytesTotal", double(progress.bytes_total));
  o.Set("tensorsDone", double(progress.tensors_done));
  o.Set("tensorsTotal", double(progress.tensors_total));
  return o;
}

}  // namespace branchmerge
