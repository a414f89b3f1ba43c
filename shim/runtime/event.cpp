// Events.
#include "protocol/base/log.h"
#include "shim/core/capture.h"
#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

constexpr unsigned kKnownFlags = cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;

Event* ResolveEvent(ClientSession& session, cudaEvent_t event) {
  Event* ours = reinterpret_cast<Event*>(event);
  return session.IsEvent(ours) ? ours : nullptr;
}

}  // namespace

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  const bool is_untimed = (flags & cudaEventDisableTiming) != 0;
  const bool is_interprocess = (flags & cudaEventInterprocess) != 0;
  if (event == nullptr || (flags & ~kKnownFlags) != 0 || (is_interprocess && !is_untimed))
    return Fail(cudaErrorInvalidValue);
  if (is_interprocess && !session.facts().shares_memory) {
    log::Warning("cudaEventCreateWithFlags",
                 "cudaEventInterprocess needs a lease (mesh-run makes one) and a backend that shares; the call returns "
                 "cudaErrorNotSupported");
    return Fail(cudaErrorNotSupported);
  }
  Event* made = nullptr;
  const DeviceResult result = is_interprocess ? session.CreateLeasedEvent(CurrentDevice(), &made)
                                              : session.CreateEvent(CurrentDevice(), !is_untimed, &made);
  if (result != 0) return Done(session, result);
  *event = reinterpret_cast<cudaEvent_t>(made);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return face::cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  Event* ours = ResolveEvent(session, event);
  return ours == nullptr ? Fail(cudaErrorInvalidResourceHandle) : Done(session, session.DestroyEvent(ours));
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int flags) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  // cudaEventRecordExternal means something only while a graph is captured.
  if (flags > cudaEventRecordExternal) return Fail(cudaErrorInvalidValue);
  Event* ours = ResolveEvent(session, event);
  if (ours == nullptr || ours->device != stream_object->device) return Fail(cudaErrorInvalidResourceHandle);
  return Done(session, session.RecordEvent(ours, stream_object, flags == cudaEventRecordExternal));
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return face::cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (flags > cudaEventWaitExternal) return Fail(cudaErrorInvalidValue);
  Event* ours = ResolveEvent(session, event);
  return ours == nullptr ? Fail(cudaErrorInvalidResourceHandle)
                         : Done(session, session.WaitEvent(stream_object, ours, flags == cudaEventWaitExternal));
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  Event* ours = ResolveEvent(session, event);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (const DeviceResult refused = session.captures().CheckEvent(*ours); refused != 0) return Done(session, refused);
  // Not ready is not an error of the program: it is not remembered as the last one. A lost server is one.
  if (!session.EventDone(*ours) && session.StickyError() == 0) return cudaErrorNotReady;
  if (const DeviceResult settled = session.Settle(); settled != 0) return Done(session, settled);
  return Done(session, session.TakeAsyncError());
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  Event* ours = ResolveEvent(session, event);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  if (const DeviceResult refused = session.captures().CheckEvent(*ours); refused != 0) return Done(session, refused);
  if (const DeviceResult waited = session.SynchronizeEvent(*ours); waited != 0) return Done(session, waited);
  return Done(session, session.TakeAsyncError());
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  ACCELMESH_BEGIN_CALL();
  if (milliseconds == nullptr) return Fail(cudaErrorInvalidValue);
  Event* from = ResolveEvent(session, start);
  Event* to = ResolveEvent(session, end);
  if (from == nullptr || to == nullptr || !from->timing || !to->timing || from->device != to->device ||
      !from->recorded() || !to->recorded())
    return Fail(cudaErrorInvalidResourceHandle);
  if (!session.EventDone(*from) || !session.EventDone(*to)) {
    return session.StickyError() == 0 ? cudaErrorNotReady : Done(session, session.TakeAsyncError());
  }
  return Done(session, session.EventElapsed(*from, *to, milliseconds));
}

}  // namespace accelmesh::face
