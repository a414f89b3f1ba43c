// The runtime face's state: one session, opened at the first call that needs a device and never destroyed; and how
// every face begins and ends.
//
// Threads: everything may be called from any thread.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>

#include "protocol/base/mutex.h"
#include "shim/core/session.h"
#include "shim/runtime/registry.h"
#include "shim/runtime/thread_state.h"

namespace accelmesh {

// A leased device as calls need it; constant once the session is open.
struct DeviceFacts {
  const LeasedDevice* lease = nullptr;
  Stream* legacy = nullptr;
  DeviceLimits limits;
};

class Runtime {
 public:
  static Runtime& Get();

  // The session, opened at first use; null if there is none, with the error that every call then returns.
  ClientSession* Session(cudaError_t* error) {
    if (ClientSession* session = session_.load(std::memory_order_acquire)) return session;
    return OpenSession(error);
  }
  // The session if there is one already.
  ClientSession* SessionIfOpen() { return session_.load(std::memory_order_acquire); }
  const DeviceFacts& device(std::uint32_t index) const { return devices_[index]; }

  // From now on every call fails with `error`: the child of a fork, the end of the process, a program that cannot be
  // served. What was open stays untouched.
  void Refuse(cudaError_t error);
  // In the child of a process that has a session.
  void BecomeForkedChild();
  // How many devices the parent of such a child had; less than 0 in any other process.
  int DevicesOfParent() const { return devices_of_parent_.load(std::memory_order_relaxed); }

  // An error that the device reported. A sticky one is every thread's last error from then on; only what a call has
  // returned counts, so that cudaGetLastError right behind a launch does not depend on how fast the device is.
  void NoteDeviceError(ClientSession& session) {
    if (const DeviceResult sticky = session.StickyError(); sticky != 0)
      sticky_seen_.store(static_cast<int>(sticky), std::memory_order_relaxed);
  }
  cudaError_t sticky_seen() const { return static_cast<cudaError_t>(sticky_seen_.load(std::memory_order_relaxed)); }

  // Asynchronous copies into host memory may be on their way: what waits for the device implicitly must really wait.
  // Counted: to be called behind the post. What a thread has waited for is settled for all, and no more than that.
  void NoteHostWrite() { host_writes_.fetch_add(1, std::memory_order_release); }
  std::uint64_t HostWrites() const { return host_writes_.load(std::memory_order_acquire); }
  bool HostWritesSettled(std::uint64_t writes) const {
    return host_writes_settled_.load(std::memory_order_acquire) >= writes;
  }
  void SettleHostWrites(std::uint64_t writes) { StoreMax(host_writes_settled_, writes); }

  // Around fork().
  void LockForFork() ACCELMESH_THREAD_ATTRIBUTE(acquire_capability(connect_mu_)) { connect_mu_.lock(); }
  void UnlockAfterFork() ACCELMESH_THREAD_ATTRIBUTE(release_capability(connect_mu_)) { connect_mu_.unlock(); }

 private:
  ClientSession* OpenSession(cudaError_t* error);
  cudaError_t Connect() ACCELMESH_REQUIRES(connect_mu_);

  std::atomic<ClientSession*> session_{nullptr};
  ClientSession* ended_ = nullptr;  // a session that is refused now; never freed, a thread may be inside it
  std::atomic<int> sticky_seen_{0};
  std::atomic<std::uint64_t> host_writes_{0};
  std::atomic<std::uint64_t> host_writes_settled_{0};
  std::atomic<int> devices_of_parent_{-1};
  DeviceFacts* devices_ = nullptr;  // written before session_, never freed
  Mutex connect_mu_;
  bool settled_ ACCELMESH_GUARDED_BY(connect_mu_) = false;  // opened, failed or refused: not tried again
  cudaError_t error_ ACCELMESH_GUARDED_BY(connect_mu_) = cudaSuccess;
};

// A call's session; null with the thread's last error set if there is none, or if an asynchronous error is to be
// returned by this call instead of doing its work.
inline ClientSession* BeginCall(cudaError_t* error) {
  if (CurrentThread().in_host_function) [[unlikely]] {
    *error = Fail(cudaErrorNotPermitted);
    return nullptr;
  }
  Runtime& runtime = Runtime::Get();
  ClientSession* session = runtime.Session(error);
  if (session == nullptr) {
    Fail(*error);
    return nullptr;
  }
  const DeviceResult pending = session->TakeAsyncError();
  if (pending == 0) return session;
  runtime.NoteDeviceError(*session);
  *error = Fail(static_cast<cudaError_t>(pending));
  return nullptr;
}
// The same for queries that never return asynchronous errors.
inline ClientSession* BeginQuery(cudaError_t* error) {
  ClientSession* session = Runtime::Get().Session(error);
  if (session == nullptr) Fail(*error);
  return session;
}
inline cudaError_t Done(ClientSession& session, DeviceResult result) {
  if (result == 0) return cudaSuccess;
  Runtime::Get().NoteDeviceError(session);
  return Fail(static_cast<cudaError_t>(result));
}

inline std::uint32_t CurrentDevice() { return static_cast<std::uint32_t>(CurrentThread().device); }

// The thread's own default stream on its current device; null if it cannot be made.
Stream* OwnStream(ClientSession& session);
// The stream a handle means: 0, cudaStreamLegacy, cudaStreamPerThread or one of ours; null if it is none.
inline Stream* ResolveStream(ClientSession& session, cudaStream_t stream) {
  const ThreadState& thread = CurrentThread();
  if ((stream == nullptr && !thread.per_thread_default) || stream == cudaStreamLegacy)
    return Runtime::Get().device(CurrentDevice()).legacy;
  if (stream == nullptr || stream == cudaStreamPerThread) return OwnStream(session);
  Stream* ours = reinterpret_cast<Stream*>(stream);
  return session.IsStream(ours) ? ours : nullptr;
}
// The stream that a library's handle was set to: null is the legacy stream of the handle's device, whichever is
// current.
inline Stream* StreamOfHandle(ClientSession& session, std::uint32_t device, cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy) return Runtime::Get().device(device).legacy;
  return ResolveStream(session, stream);
}

}  // namespace accelmesh

// Opens a face's body: `session` in scope, or an early return with the error.
#define ACCELMESH_BEGIN(begin)                                          \
  cudaError_t begin_error = cudaSuccess;                                \
  ::accelmesh::ClientSession* const open_session = begin(&begin_error); \
  if (open_session == nullptr) return begin_error;                      \
  [[maybe_unused]] ::accelmesh::ClientSession& session = *open_session
#define ACCELMESH_BEGIN_CALL() ACCELMESH_BEGIN(::accelmesh::BeginCall)
#define ACCELMESH_BEGIN_QUERY() ACCELMESH_BEGIN(::accelmesh::BeginQuery)
// The same for a body that works on a stream: `stream_object`.
#define ACCELMESH_BEGIN_STREAM_CALL(handle)                                               \
  ACCELMESH_BEGIN_CALL();                                                                 \
  ::accelmesh::Stream* const stream_object = ::accelmesh::ResolveStream(session, handle); \
  if (stream_object == nullptr) return ::accelmesh::Fail(cudaErrorInvalidResourceHandle)
