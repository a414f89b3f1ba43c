// The runtime face's state: one client, created at the first call that needs a device and never destroyed, and what
// CUDA keeps per thread.
//
// Threads: Runtime's methods are safe from any thread; ThreadState is the thread's own.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "shim/core/session.h"

namespace accelmesh {

// A kernel as the program knows it: one stable object per registered host function, for all devices and the life of the
// process (nvcc's stubs keep the handle).
struct Fatbin;
struct RegisteredKernel {
  Fatbin* fatbin = nullptr;
  std::string name;
};
struct RegisteredVariable {
  Fatbin* fatbin = nullptr;
  std::string name;
  std::uint64_t bytes = 0;
};
// One registered module image; loaded on a device when something of it is first used there.
struct Fatbin {
  const void* image = nullptr;
  std::size_t image_bytes = 0;
  std::mutex mu;
  std::unordered_map<int, std::shared_ptr<const LoadedModule>> loaded;  // by device
};

struct ThreadState {
  int device = 0;
  cudaError_t last_error = cudaSuccess;
  bool per_thread_default = false;
  Stream* own_stream = nullptr;  // the per-thread default stream, made at first use
  struct Configuration {
    dim3 grid;
    dim3 block;
    std::size_t shared_bytes;
    cudaStream_t stream;
  };
  std::vector<Configuration> configurations;
};
ThreadState& CurrentThread();

class Runtime {
 public:
  static Runtime& Get();

  // The session, connected at first use; null if there is none, with the error that every call then returns.
  ClientSession* Session(cudaError_t* error);
  // The session if there is one already.
  ClientSession* SessionIfOpen() { return session_.load(std::memory_order_acquire); }

  Fatbin* RegisterFatbin(const void* wrapper);
  void RegisterKernel(Fatbin* fatbin, const void* host_function, const char* name);
  void RegisterVariable(Fatbin* fatbin, const void* host_variable, const char* name, std::size_t bytes);
  RegisteredKernel* FindKernel(const void* host_function_or_handle);
  RegisteredVariable* FindVariable(const void* host_variable);
  // The module of `fatbin` on the current thread's device, loading it if need be.
  std::shared_ptr<const LoadedModule> Load(ClientSession& session, Fatbin& fatbin);
  // In the child of fork(): every later call fails with cudaErrorInitializationError.
  void MarkForked() { forked_.store(true, std::memory_order_relaxed); }

 private:
  Runtime() = default;
  cudaError_t Connect();

  std::atomic<ClientSession*> session_{nullptr};
  std::mutex connect_mu_;
  bool tried_ = false;
  cudaError_t connect_error_ = cudaSuccess;
  std::atomic<bool> forked_{false};

  std::mutex registry_mu_;
  std::vector<std::unique_ptr<Fatbin>> fatbins_;
  std::unordered_map<const void*, std::unique_ptr<RegisteredKernel>> kernels_;  // by host function
  std::unordered_map<const void*, RegisteredKernel*> handles_;                  // by handle
  std::unordered_map<const void*, std::unique_ptr<RegisteredVariable>> variables_;
};

// Remembers an error as the thread's last one and returns it.
cudaError_t Fail(cudaError_t error);
inline cudaError_t Done(DeviceResult result) {
  return result == 0 ? cudaSuccess : Fail(static_cast<cudaError_t>(result));
}

// A call's session and the asynchronous errors that CUDA lets it return. `session` is null if `error` is set.
struct CallScope {
  ClientSession* session = nullptr;
  cudaError_t error = cudaSuccess;
};
CallScope BeginCall();
// The stream a handle means: 0, cudaStreamLegacy, cudaStreamPerThread or one of ours; null if it is none.
Stream* ResolveStream(ClientSession& session, cudaStream_t stream);

}  // namespace accelmesh

// Opens a face's body: `session` in scope, or an early return with the error.
#define ACCELMESH_BEGIN_CALL()                                                 \
  const ::accelmesh::CallScope call = ::accelmesh::BeginCall();                \
  if (call.session == nullptr || call.error != cudaSuccess) return call.error; \
  ::accelmesh::ClientSession& session = *call.session
// The same for a body that works on a stream: `stream_object`.
#define ACCELMESH_BEGIN_STREAM_CALL(handle)                                               \
  ACCELMESH_BEGIN_CALL();                                                                 \
  ::accelmesh::Stream* const stream_object = ::accelmesh::ResolveStream(session, handle); \
  if (stream_object == nullptr) return ::accelmesh::Fail(cudaErrorInvalidResourceHandle)
