// The addon: what lib/native/native.ts declares, and nothing of it knows how to fuse.
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>

#include "addon/analysis_job.h"
#include "addon/copy_job.h"
#include "addon/job.h"
#include "addon/values.h"
#include "base/hash.h"
#include "io/io_queue.h"
#include "merge/equal_operator.h"
#include "merge/step.h"
#include "safetensors/hash_tensors.h"
#include "safetensors/index.h"

namespace branchmerge {
namespace {

#if defined(__clang__)
constexpr char kCompiler[] = __VERSION__;  // "Clang 14.0.6"
#else
constexpr char kCompiler[] = "GCC " __VERSION__;
#endif

Napi::Value version(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), BRANCHMERGE_VERSION);
}

Napi::Value describe_build(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Array sets = Napi::Array::New(env);
  for (const char* name : {"scalar", "avx2", "avx512"})
    if (cpu::instruction_set(name)) sets.Set(sets.Length(), name);
  Napi::Object o = Napi::Object::New(env);
  o.Set("compiler", kCompiler);
  o.Set("instructionSets", sets);
  o.Set("bestInstructionSet", cpu::best_instruction_set().name);
  o.Set("ioUring", io_uring_available());
  return o;
}

// devices(memory)
Napi::Value find_devices_of(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&] {
    const bool memory = info[0].ToBoolean().Value();
    return Job::start(info.Env(), {}, [memory](Job&) -> Job::Result {
      const cuda::Devices devices = cuda::find_devices(memory);
      return [devices](Napi::Env env) { return write_devices(env, devices); };
    });
  });
}

Napi::Value read_header_of(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&] {
    const std::string path = read_string(info[0], "path");
    return Job::start(info.Env(), {}, [path](Job&) -> Job::Result {
      auto file = std::make_shared<HeaderFile>(read_header(path));
      return [path, file](Napi::Env env) { return write_header_file(env, path, *file); };
    });
  });
}

// lockFile(descriptor): false where another process has the lock
Napi::Value lock_file(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsNumber()) throw Error("ERR_INVALID_ARGUMENT", "Expected a number for descriptor");
    const int descriptor = info[0].As<Napi::Number>().Int32Value();
    int status = ::flock(descriptor, LOCK_EX | LOCK_NB);
    while (status != 0 && errno == EINTR) status = ::flock(descriptor, LOCK_EX | LOCK_NB);
    if (status != 0 && errno != EWOULDBLOCK)
      throw Error("ERR_OUTPUT_WRITE", std::string("Cannot lock a file: ") + std::strerror(errno));
    return Napi::Boolean::New(info.Env(), status == 0);
  });
}

Napi::Value parse_index_text(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&]() -> Napi::Value {
    Napi::Env env = info.Env();
    const std::string path = read_string(info[0], "path");
    if (!info[1].IsTypedArray()) throw Error("ERR_INVALID_ARGUMENT", "Expected a Uint8Array for text");
    const auto text = info[1].As<Napi::Uint8Array>();
    const Index index = parse_index(path, std::as_bytes(std::span(text.Data(), text.ElementLength())));
    Napi::Array map = Napi::Array::New(env, index.weight_map.size());
    for (size_t i = 0; i < index.weight_map.size(); i++) {
      Napi::HandleScope scope(env);
      Napi::Array entry = Napi::Array::New(env, 2);
      entry.Set(uint32_t(0), index.weight_map[i].first);
      entry.Set(uint32_t(1), index.weight_map[i].second);
      map.Set(uint32_t(i), entry);
    }
    Napi::Object o = Napi::Object::New(env);
    o.Set("weightMap", map);
    o.Set("totalSize",
          index.total_size ? Napi::Number::New(env, double(*index.total_size)) : env.Undefined());
    return o;
  });
}

// hashFile(path, threads)
Napi::Value hash_file(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&] {
    const std::string path = read_string(info[0], "path");
    const uint64_t threads = read_count(info[1], "threads");
    if (threads < 1 || threads > 1024) throw Error("ERR_INVALID_ARGUMENT", "Expected 1 to 1024 threads");
    return Job::start(info.Env(), {}, [path, threads](Job& job) -> Job::Result {
      auto file = std::make_shared<HeaderFile>(read_header(path));
      auto hashes =
          std::make_shared<std::vector<uint64_t>>(hash_tensors(path, *file, threads, job.cancelled()));
      return [file, hashes](Napi::Env env) {
        Napi::Object o = Napi::Object::New(env);
        o.Set("bytes", double(file->bytes));
        o.Set("headerHash", hash_text(file->header_hash));
        Napi::Array tensors = Napi::Array::New(env, hashes->size());
        for (size_t i = 0; i < hashes->size(); i++) {
          Napi::HandleScope scope(env);
          Napi::Array entry = Napi::Array::New(env, 2);
          entry.Set(uint32_t(0), file->header.tensors[i].name);
          entry.Set(uint32_t(1), hash_text((*hashes)[i]));
          tensors.Set(uint32_t(i), entry);
        }
        o.Set("tensors", tensors);
        return o;
      };
    });
  });
}

// hashRanges(path, [[begin, end], ...], threads)
Napi::Value hash_byte_ranges(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&] {
    const std::string path = read_string(info[0], "path");
    if (!info[1].IsArray()) throw Error("ERR_INVALID_ARGUMENT", "Expected an array for ranges");
    const Napi::Array list = info[1].As<Napi::Array>();
    std::vector<FileRange> ranges(list.Length());
    for (uint32_t i = 0; i < list.Length(); i++) {
      Napi::HandleScope scope(info.Env());
      const Napi::Value entry = list.Get(i);
      if (!entry.IsArray()) throw Error("ERR_INVALID_ARGUMENT", "Expected [begin, end] in ranges");
      ranges[i] = {read_count(entry.As<Napi::Array>().Get(uint32_t(0)), "begin"),
                   read_count(entry.As<Napi::Array>().Get(uint32_t(1)), "end")};
      if (ranges[i].begin > ranges[i].end)
        throw Error("ERR_INVALID_ARGUMENT", "Expected begin up to end in ranges");
    }
    const uint64_t threads = read_count(info[2], "threads");
    if (threads < 1 || threads > 1024) throw Error("ERR_INVALID_ARGUMENT", "Expected 1 to 1024 threads");
    return Job::start(info.Env(), {}, [path, ranges, threads](Job& job) -> Job::Result {
      auto hashes =
          std::make_shared<std::vector<uint64_t>>(hash_ranges(path, ranges, threads, job.cancelled()));
      return [hashes](Napi::Env env) {
        Napi::Array texts = Napi::Array::New(env, hashes->size());
        for (size_t i = 0; i < hashes->size(); i++) {
          Napi::HandleScope scope(env);
          texts.Set(uint32_t(i), hash_text((*hashes)[i]));
        }
        return texts;
      };
    });
  });
}

struct PathRange {
  std::string path;
  uint64_t begin, end;
};

PathRange read_path_range(const Napi::Value& value) {
  if (!value.IsObject()) throw Error("ERR_INVALID_ARGUMENT", "Expected an object for a byte range");
  const Napi::Object o = value.As<Napi::Object>();
  return {read_string(o.Get("path"), "path"), read_count(o.Get("begin"), "begin"),
          read_count(o.Get("end"), "end")};
}

bool equal_ranges(const PathRange& left, const PathRange& right, const std::atomic<bool>& cancelled) {
  if (left.end - left.begin != right.end - right.begin) return false;
  const File left_file = File::open_for_reading(left.path), right_file = File::open_for_reading(right.path);
  constexpr uint64_t kChunk = 4 << 20;
  std::vector<std::byte> a(kChunk), b(kChunk);
  for (uint64_t at = 0, size = left.end - left.begin; at < size; at += kChunk) {
    if (cancelled) throw Error("ERR_CANCELLED", "The operation was cancelled");
    const size_t n = std::min(kChunk, size - at);
    left_file.read_exactly(std::span(a).first(n), left.begin + at);
    right_file.read_exactly(std::span(b).first(n), right.begin + at);
    if (std::memcmp(a.data(), b.data(), n) != 0) return false;
  }
  return true;
}

Napi::Value compare_ranges(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&] {
    const PathRange left = read_path_range(info[0]), right = read_path_range(info[1]);
    return Job::start(info.Env(), {}, [left, right](Job& job) -> Job::Result {
      const bool equal = equal_ranges(left, right, job.cancelled());
      return [equal](Napi::Env env) { return Napi::Boolean::New(env, equal); };
    });
  });
}

/// A tensor in memory: everything is there already.
class MemoryReader final : public TensorReader {
 public:
  MemoryReader(const std::byte* bytes, const std::atomic<bool>& cancelled)
      : bytes_(bytes), cancelled_(cancelled) {}
  const std::byte* fetch(size_t, uint64_t begin, uint64_t) override {
    if (cancelled_) throw Error("ERR_CANCELLED", "The operation was cancelled");
    return bytes_ + begin;
  }

 private:
  const std::byte* bytes_;
  const std::atomic<bool>& cancelled_;
};

/// Elements that a worker writes between two reports of progress.
constexpr uint64_t kStretch = 1 << 18;

std::span<std::byte> bytes_of(const Napi::Value& value, const char* name) {
  if (value.IsTypedArray()) {
    const auto array = value.As<Napi::TypedArray>();
    return {static_cast<std::byte*>(array.ArrayBuffer().Data()) + array.ByteOffset(), array.ByteLength()};
  }
  if (value.IsDataView()) {
    const auto view = value.As<Napi::DataView>();
    return {static_cast<std::byte*>(view.ArrayBuffer().Data()) + view.ByteOffset(), view.ByteLength()};
  }
  throw Error("ERR_INVALID_ARGUMENT", std::string("Expected a typed array for ") + name);
}

struct MemoryInput {
  OperandInfo info;
  DType output_dtype;
  std::vector<std::span<std::byte>> operands;
  std::span<std::byte> out;
  std::vector<Napi::Value> keep;  // whose memory that is
};

void check_size(std::span<std::byte> data, DType dtype, uint64_t elements) {
  const uint64_t size = dtype_bits(dtype) / 8;
  if (data.size() / size != elements || data.size() % size != 0)
    throw Error("ERR_TENSOR_SIZE", "The data do not fit the shape");
}

MemoryInput read_memory_input(const Napi::Value& value) {
  if (!value.IsObject()) throw Error("ERR_INVALID_ARGUMENT", "Expected an object for input");
  const Napi::Object o = value.As<Napi::Object>();
  MemoryInput input{
      {read_string(o.Get("name"), "name"), read_dtype(o.Get("dtype")), read_shape(o.Get("shape")), 1},
      read_dtype(o.Get("outputDtype")),
      {},
      bytes_of(o.Get("out"), "out"),
      {o.Get("out")}};
  uint64_t& elements = input.info.elements;
  for (const uint64_t size : input.info.shape)
    if (__builtin_mul_overflow(elements, size, &elements))
      throw Error("ERR_TENSOR_OVERFLOW", "The shape is too large");
  check_size(input.out, input.output_dtype, elements);
  if (!o.Get("operands").IsArray()) throw Error("ERR_INVALID_ARGUMENT", "Expected an array for operands");
  const Napi::Array operands = o.Get("operands").As<Napi::Array>();
  if (operands.Length() == 0) throw Error("ERR_INVALID_ARGUMENT", "Expected at least one operand");
  for (uint32_t i = 0; i < operands.Length(); i++) {
    input.operands.push_back(bytes_of(operands.Get(i), "an operand"));
    input.keep.push_back(operands.Get(i));
    check_size(input.operands.back(), input.info.dtype, elements);
  }
  return input;
}

// mergeTensor(input, step, threads, instructionSet, onProgress)
Napi::Value merge_in_memory(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&] {
    const MemoryInput input = read_memory_input(info[0]);
    const Step step = read_step(info[1]);
    const uint64_t threads = read_count(info[2], "threads");
    if (threads < 1 || threads > 1024) throw Error("ERR_INVALID_ARGUMENT", "Expected 1 to 1024 threads");
    const cpu::InstructionSet* instruction_set = &read_instruction_set(info[3]);
    const Callback on_progress(info[4]);

    const auto work = [operand = input.info, output_dtype = input.output_dtype, inputs = input.operands,
                       out = input.out, step, threads, instruction_set,
                       on_progress](Job& job) -> Job::Result {
      WorkerPool pool(threads);
      FusionScratch scratch;
      const std::unique_ptr<TensorOperator> merge =
          dtype_is_float(operand.dtype)
              ? make_step_operator(step, inputs.size(), operand, output_dtype, *instruction_set, scratch)
              : std::make_unique<EqualOperator>(operand);
      std::deque<MemoryReader> readers;
      std::vector<TensorReader*> operands;
      operands.reserve(inputs.size());
      for (const std::span<std::byte> bytes : inputs)
        operands.push_back(&readers.emplace_back(bytes.data(), job.cancelled()));
      const uint64_t elements = operand.elements, output_size = dtype_bits(output_dtype) / 8;
      if (elements > 0) merge->prepare(operands, pool);

      std::mutex progress_mutex;
      MergeProgress progress{0, out.size(), 0, 1};
      std::atomic<uint64_t> kept{0};
      pool.for_each((elements + kStretch - 1) / kStretch, [&](size_t worker, size_t i) {
        const uint64_t begin = i * kStretch, end = std::min(elements, begin + kStretch);
        kept += merge->apply(worker, begin, end, operands, out.data() + begin * output_size);
        std::lock_guard lock(progress_mutex);  // counted and sent in one order
        progress.bytes_done += (end - begin) * output_size;
        if (on_progress)
          on_progress(job, [now = progress](Napi::Env env) { return write_progress(env, now); });
      });
      StepStats stats{merge->stats(), kept};
      if (elements == 0) stats.tensor.identical = true;
      return [operand, stats](Napi::Env env) {
        return write_stats(env, operand.name, operand.dtype, operand.shape, operand.elements, stats);
      };
    };
    return Job::start(info.Env(), input.keep, work);
  });
}

Napi::Value write_merged(Napi::Env env, const MergePlan::Tensor& tensor, const MergedTensor& merged) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("name", tensor.name);
  o.Set("output", double(tensor.output));
  Napi::Array steps = Napi::Array::New(env), hashes = Napi::Array::New(env);
  for (const StepStats& step : merged.steps)
    steps.Set(steps.Length(),
              write_stats(env, tensor.name, tensor.dtype, tensor.shape, merged.elements, step));
  for (const std::string& hash : merged.model_hashes) hashes.Set(hashes.Length(), hash);
  o.Set("steps", steps);
  o.Set("modelHashes", hashes);
  o.Set("outputEnd", double(merged.output_end));
  o.Set("hash", merged.hash);
  return o;
}

// mergeCheckpoints(plan, onProgress, onTensor, onWritten, onFailure)
Napi::Value merge_checkpoint_files(const Napi::CallbackInfo& info) {
  return with_js_errors(info.Env(), [&] {
    auto plan = std::make_shared<MergePlan>(read_plan(info[0]));
    const DeviceRequest request = read_device_request(info[0].As<Napi::Object>().Get("device"));
    const Callback on_progress(info[1]), on_tensor(info[2]), on_written(info[3]), on_failure(info[4]);
    return Job::start(info.Env(), {}, [=](Job& job) -> Job::Result {
      MergeCallbacks callbacks;
      if (on_written)
        callbacks.on_written = [&](size_t output, uint64_t bytes) {
          on_written(job, [output, bytes](Napi::Env env) {
            Napi::Object o = Napi::Object::New(env);
            o.Set("output", double(output));
            o.Set("bytes", double(bytes));
            return o;
          });
        };
      if (on_failure)
        callbacks.on_failure = [&](size_t output) {
          on_failure(job, [output](Napi::Env env) { return Napi::Number::New(env, double(output)); });
        };
      if (on_progress)
        callbacks.on_progress = [&](const MergeProgress& progress) {
          on_progress(job, [progress](Napi::Env env) { return write_progress(env, progress); });
        };
      if (on_tensor)
        callbacks.on_tensor = [&](const MergePlan::Tensor& tensor, const MergedTensor& merged) {
          on_tensor(job,
                    [plan, &tensor, merged](Napi::Env env) { return write_merged(env, tensor, merged); });
        };
      const DeviceChoice choice = choose_devices(request, *plan);
      plan->devices = choice.devices;
      plan->continue_on_cpu = request.kind == DeviceRequest::Kind::kAuto;
      const MergeTotals totals = merge_checkpoints(*plan, callbacks, job.cancelled());
      return [totals, choice](Napi::Env env) { return write_totals(env, totals, choice.reason); };
    });
  });
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("version", Napi::Function::New<version>(env, "version"));
  exports.Set("info", Napi::Function::New<describe_build>(env, "info"));
  exports.Set("devices", Napi::Function::New<find_devices_of>(env, "devices"));
  exports.Set("readHeader", Napi::Function::New<read_header_of>(env, "readHeader"));
  exports.Set("parseIndex", Napi::Function::New<parse_index_text>(env, "parseIndex"));
  exports.Set("lockFile", Napi::Function::New<lock_file>(env, "lockFile"));
  exports.Set("hashRanges", Napi::Function::New<hash_byte_ranges>(env, "hashRanges"));
  exports.Set("hashFile", Napi::Function::New<hash_file>(env, "hashFile"));
  exports.Set("equalRanges", Napi::Function::New<compare_ranges>(env, "equalRanges"));
  exports.Set("copyTensors", Napi::Function::New<start_copy>(env, "copyTensors"));
  exports.Set("analyseCheckpoints", Napi::Function::New<start_analysis>(env, "analyseCheckpoints"));
  exports.Set("mergeTensor", Napi::Function::New<merge_in_memory>(env, "mergeTensor"));
  exports.Set("mergeCheckpoints", Napi::Function::New<merge_checkpoint_files>(env, "mergeCheckpoints"));
  return exports;
}

}  // namespace
}  // namespace branchmerge

static Napi::Object initialise_addon(Napi::Env env, Napi::Object exports) {
  return branchmerge::initialise(env, exports);
}
NODE_API_MODULE(NODE_GYP_MODULE_NAME, initialise_addon)
