#pragma once
#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace branchmerge {

inline Napi::Error to_js_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

/// Runs a synchronous binding, turning the core's errors into JavaScript's.
template <class Body>
Napi::Value with_js_errors(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const Error& error) {
    throw to_js_error(env, error.code, error.what());
  } catch (const std::bad_alloc&) {
    throw to_js_error(env, "ERR_OUT_OF_MEMORY", "Out of memory");
  }
}

/// One piece of work off the JavaScript thread, seen there as { promise, cancel() }. Events reach JavaScript
/// in the order in which they were sent, and the promise settles after the last of them.
class Job : public Napi::AsyncProgressQueueWorker<std::function<void(Napi::Env)>> {
 public:
  using Event = std::function<void(Napi::Env)>;
  using Result = std::function<Napi::Value(Napi::Env)>;
  /// Runs on a worker thread; what it returns is called on the JavaScript thread.
  using Work = std::function<Result(Job&)>;

  /// keep: JavaScript values whose memory the work uses.
  static Napi::Value start(Napi::Env env, const std::vector<Napi::Value>& keep, Work work) {
    Job* job = new Job(env, keep, std::move(work));
    Napi::Object handle = Napi::Object::New(env);
    handle.Set("promise", job->deferred_.Promise());
    handle.Set("cancel",
               Napi::Function::New(
                   env, [flag = job->cancelled_](const Napi::CallbackInfo&) { *flag = true; }, "cancel"));
    job->Queue();
    return handle;
  }

  const std::atomic<bool>& cancelled() const { return *cancelled_; }
  /// From any thread, while the work runs.
  void send(const Event& event) { progress_->Send(&event, 1); }

 protected:
  void Execute(const ExecutionProgress& progress) override {
    progress_ = &progress;
    try {
      result_ = work_(*this);
    } catch (const Error& error) {
      fail(error.code, error.what());
    } catch (const std::bad_alloc&) {
      fail("ERR_OUT_OF_MEMORY", "Out of memory");
    } catch (const std::exception& error) {
      fail("ERR_INTERNAL", error.what());
    }
    // The work stays until the job goes, on the JavaScript thread: it may hold references to callbacks, which
    // no other thread may drop.
  }
  void OnProgress(const Event* events, size_t count) override {
    Napi::HandleScope scope(Env());
    for (size_t i = 0; i < count; i++) events[i](Env());
  }
  void OnOK() override {
    Napi::HandleScope scope(Env());
    deferred_.Resolve(result_(Env()));
  }
  void OnError(const Napi::Error& error) override {
    Napi::HandleScope scope(Env());
    deferred_.Reject(to_js_error(Env(), code_, error.Message()).Value());
  }

 private:
  Job(Napi::Env env, const std::vector<Napi::Value>& keep, Work work)
      : AsyncProgressQueueWorker(env, "branchmerge.Job"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        cancelled_(std::make_shared<std::atomic<bool>>(false)) {
    for (const Napi::Value& value : keep) kept_.push_back(Napi::Persistent(value.As<Napi::Object>()));
  }
  void fail(const char* code, const std::string& message) {
    code_ = code;
    SetError(message);
  }

  Napi::Promise::Deferred deferred_;
  Work work_;
  Result result_;
  std::vector<Napi::ObjectReference> kept_;
  const ExecutionProgress* progress_ = nullptr;
  std::shared_ptr<std::atomic<bool>> cancelled_;
  const char* code_ = "ERR_INTERNAL";
};

/// A JavaScript callback that worker threads may call through a Job, or nothing when it is undefined.
class Callback {
 public:
  explicit Callback(const Napi::Value& value) {
    if (value.IsFunction())
      reference_ = std::make_shared<Napi::FunctionReference>(Napi::Persistent(value.As<Napi::Function>()));
  }
  explicit operator bool() const { return reference_ != nullptr; }
  void operator()(Job& job, std::function<Napi::Value(Napi::Env)> argument) const {
    job.send([reference = reference_, argument = std::move(argument)](Napi::Env env) {
      reference->Call({argument(env)});
    });
  }

 private:
  std::shared_ptr<Napi::FunctionReference> reference_;
};

}  // namespace branchmerge
