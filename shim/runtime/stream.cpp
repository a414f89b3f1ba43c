// Streams and events.
#include "gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

constexpr int kGreatestPriority = 0;  // the software GPU has one level

std::uint32_t Device() { return static_cast<std::uint32_t>(CurrentThread().device); }

Event* ResolveEvent(ClientSession& session, cudaEvent_t event) {
  Event* ours = reinterpret_cast<Event*>(event);
  return session.IsEvent(ours) ? ours : nullptr;
}

}  // namespace

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int flags, int priority) {
  ACCELMESH_BEGIN_CALL();
  if (stream == nullptr || flags > cudaStreamNonBlocking) return Fail(cudaErrorInvalidValue);
  Stream* made = nullptr;
  const auto kind = flags == cudaStreamNonBlocking ? wire::StreamKind::NonBlocking : wire::StreamKind::Blocking;
  if (const DeviceResult result = session.CreateStream(Device(), kind, flags, priority, &made); result != 0)
    return Done(result);
  *stream = reinterpret_cast<cudaStream_t>(made);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  return face::cudaStreamCreateWithPriority(stream, flags, kGreatestPriority);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return face::cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  ACCELMESH_BEGIN_CALL();
  Stream* ours = reinterpret_cast<Stream*>(stream);
  if (!session.IsStream(ours) || ours == session.Legacy(ours->device)) return Fail(cudaErrorInvalidResourceHandle);
  return Done(session.DestroyStream(ours));
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (const DeviceResult waited = session.Synchronize(*stream_object); waited != 0) return Done(waited);
  return Done(session.TakeAsyncError());
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (!session.Idle(*stream_object)) {
    if (session.commands().Flush().ok()) session.commands().Poll();
    // Not an error of the program: it is not remembered as the last one.
    if (!session.Idle(*stream_object)) return cudaErrorNotReady;
  }
  return Done(session.TakeAsyncError());
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int /*flags*/) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  Event* ours = ResolveEvent(session, event);
  return ours == nullptr ? Fail(cudaErrorInvalidResourceHandle) : Done(session.WaitEvent(stream_object, ours));
}
cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned int* flags) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (flags == nullptr) return Fail(cudaErrorInvalidValue);
  *flags = stream_object->flags;
  return cudaSuccess;
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (priority == nullptr) return Fail(cudaErrorInvalidValue);
  *priority = stream_object->priority;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = kGreatestPriority;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (event == nullptr || (flags & cudaEventInterprocess) != 0)
    return Fail(event == nullptr ? cudaErrorInvalidValue : cudaErrorNotSupported);
  Event* made = nullptr;
  if (const DeviceResult result = session.CreateEvent(Device(), (flags & cudaEventDisableTiming) == 0, &made);
      result != 0)
    return Done(result);
  *event = reinterpret_cast<cudaEvent_t>(made);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return face::cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  Event* ours = ResolveEvent(session, event);
  return ours == nullptr ? Fail(cudaErrorInvalidResourceHandle) : Done(session.DestroyEvent(ours));
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  Event* ours = ResolveEvent(session, event);
  return ours == nullptr ? Fail(cudaErrorInvalidResourceHandle) : Done(session.RecordEvent(ours, stream_object));
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  Event* ours = ResolveEvent(session, event);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  return session.EventDone(*ours) ? Done(session.TakeAsyncError()) : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  Event* ours = ResolveEvent(session, event);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (const DeviceResult waited = session.SynchronizeEvent(*ours); waited != 0) return Done(waited);
  return Done(session.TakeAsyncError());
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  ACCELMESH_BEGIN_CALL();
  Event* from = ResolveEvent(session, start);
  Event* to = ResolveEvent(session, end);
  if (milliseconds == nullptr) return Fail(cudaErrorInvalidValue);
  if (from == nullptr || to == nullptr || !from->timing || !to->timing || from->sequence == 0 || to->sequence == 0)
    return Fail(cudaErrorInvalidResourceHandle);
  if (!session.EventDone(*from) || !session.EventDone(*to)) return cudaErrorNotReady;
  return Done(session.EventElapsed(*from, *to, milliseconds));
}

}  // namespace accelmesh::face
