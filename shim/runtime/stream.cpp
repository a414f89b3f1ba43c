// Streams.
#include <algorithm>

#include "shim/core/capture.h"
#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"
#include "shim/runtime/stream_attribute.h"

namespace accelmesh::face {
namespace {

// One level until a backend says more of its priorities than whether it has them.
constexpr int kLeastPriority = 0;
constexpr int kGreatestPriority = 0;

// Handles that name a default stream and no object.
bool IsDefaultStream(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread;
}

}  // namespace

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int flags, int priority) {
  ACCELMESH_BEGIN_CALL();
  if (stream == nullptr || flags > cudaStreamNonBlocking) return Fail(cudaErrorInvalidValue);
  Stream* made = nullptr;
  const auto kind = flags == cudaStreamNonBlocking ? wire::StreamKind::NonBlocking : wire::StreamKind::Blocking;
  // A priority outside of the range is moved to its nearest end.
  const int level = std::clamp(priority, kGreatestPriority, kLeastPriority);
  if (const DeviceResult result = session.CreateStream(CurrentDevice(), kind, flags, level, &made); result != 0)
    return Done(session, result);
  *stream = reinterpret_cast<cudaStream_t>(made);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  return face::cudaStreamCreateWithPriority(stream, flags, kLeastPriority);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return face::cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  ACCELMESH_BEGIN_CALL();
  Stream* ours = reinterpret_cast<Stream*>(stream);
  if (IsDefaultStream(stream) || !session.IsStream(ours) || ours->kind == wire::StreamKind::Legacy)
    return Fail(cudaErrorInvalidResourceHandle);
  ForgetStreamAttributes(*ours);
  return Done(session, session.DestroyStream(ours));
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (const DeviceResult refused = session.captures().CheckWait(*stream_object); refused != 0)
    return Done(session, refused);
  if (const DeviceResult waited = session.Synchronize(*stream_object); waited != 0) return Done(session, waited);
  return Done(session, session.TakeAsyncError());
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (const DeviceResult refused = session.captures().CheckWait(*stream_object); refused != 0)
    return Done(session, refused);
  if (!session.Idle(*stream_object)) {
    if (session.commands().Flush().ok()) session.commands().Poll();
    // Not an error of the program: it is not remembered as the last one. A lost server is one.
    if (session.StickyError() == 0 && !session.Idle(*stream_object)) return cudaErrorNotReady;
  }
  if (const DeviceResult settled = session.Settle(); settled != 0) return Done(session, settled);
  return Done(session, session.TakeAsyncError());
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
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (device == nullptr) return Fail(cudaErrorInvalidValue);
  *device = static_cast<int>(stream_object->device);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least != nullptr) *least = kLeastPriority;
  if (greatest != nullptr) *greatest = kGreatestPriority;
  return cudaSuccess;
}

}  // namespace accelmesh::face
