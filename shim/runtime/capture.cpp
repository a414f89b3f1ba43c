// Stream capture.
#include "shim/core/capture.h"

#include "shim/gen_face.h"
#include "shim/runtime/capture.h"
#include "shim/runtime/graph.h"

namespace accelmesh {

cudaError_t RefuseForCapture(CaptureRule rule) {
  ClientSession* session = Runtime::Get().SessionIfOpen();
  if (session == nullptr) return cudaSuccess;
  Captures& captures = session->captures();
  DeviceResult refused = 0;
  switch (rule) {
    case CaptureRule::kUnsafe: break;
    case CaptureRule::kLegacyStream:
      // With per-thread default streams it works on the thread's own.
      if (!CurrentThread().per_thread_default) refused = captures.CheckLegacy(CurrentDevice());
      break;
    case CaptureRule::kDevice: refused = captures.CheckDevice(CurrentDevice()); break;
  }
  if (refused == 0) refused = captures.CheckUnsafe();
  return Fail(static_cast<cudaError_t>(refused));
}

namespace face {
namespace {

bool IsMode(cudaStreamCaptureMode mode) {
  return mode == cudaStreamCaptureModeGlobal || mode == cudaStreamCaptureModeThreadLocal ||
         mode == cudaStreamCaptureModeRelaxed;
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (!IsMode(mode)) return Fail(cudaErrorInvalidValue);
  return Done(session, session.captures().Begin(stream_object, static_cast<CaptureMode>(mode), nullptr, {}));
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                          const cudaGraphEdgeData* data, size_t count, cudaStreamCaptureMode mode) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (!IsMode(mode) || graph == nullptr) return Fail(cudaErrorInvalidValue);
  std::vector<GraphLink> links;
  if (const cudaError_t error = ReadLinks(dependencies, data, count, &links); error != cudaSuccess) return Fail(error);
  return Done(session, session.captures().Begin(stream_object, static_cast<CaptureMode>(mode), ToGraph(graph), links));
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (graph == nullptr) return Fail(cudaErrorInvalidValue);
  *graph = nullptr;
  Graph* captured = nullptr;
  if (const DeviceResult ended = session.captures().End(stream_object, &captured); ended != 0)
    return Done(session, ended);
  *graph = ToHandle(captured);
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (status == nullptr) return Fail(cudaErrorInvalidValue);
  Captures::Info info;
  if (const DeviceResult result = session.captures().Query(*stream_object, &info); result != 0)
    return Done(session, result);
  *status = static_cast<cudaStreamCaptureStatus>(info.status);
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** data, size_t* count) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (status == nullptr || (data != nullptr && dependencies == nullptr)) return Fail(cudaErrorInvalidValue);
  Captures::Info info;
  if (const DeviceResult result = session.captures().Query(*stream_object, &info); result != 0)
    return Done(session, result);
  *status = static_cast<cudaStreamCaptureStatus>(info.status);
  if (info.status != CaptureStatus::kActive) return cudaSuccess;
  // The edges in CUDA's words live as long as the thread does not ask again.
  thread_local std::vector<cudaGraphEdgeData> edges;
  edges.clear();
  for (std::size_t i = 0; i < info.count; ++i) {
    if (dependencies != nullptr && data == nullptr && info.edges[i] != GraphEdgeData{})
      return Fail(cudaErrorLossyQuery);
    edges.push_back(ToEdgeData(info.edges[i]));
  }
  if (id != nullptr) *id = info.id;
  if (graph != nullptr) *graph = ToHandle(info.graph);
  if (dependencies != nullptr) *dependencies = reinterpret_cast<const cudaGraphNode_t*>(info.nodes);
  if (data != nullptr) *data = edges.data();
  if (count != nullptr) *count = info.count;
  return cudaSuccess;
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t* dependencies,
                                                const cudaGraphEdgeData* data, size_t count, unsigned int flags) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (flags > cudaStreamSetCaptureDependencies) return Fail(cudaErrorInvalidValue);
  std::vector<GraphLink> links;
  if (const cudaError_t error = ReadLinks(dependencies, data, count, &links); error != cudaSuccess) return Fail(error);
  return Done(session,
              session.captures().UpdateDependencies(*stream_object, links, flags == cudaStreamSetCaptureDependencies));
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  if (mode == nullptr || !IsMode(*mode)) return Fail(cudaErrorInvalidValue);
  *mode = static_cast<cudaStreamCaptureMode>(Captures::ExchangeThreadMode(static_cast<CaptureMode>(*mode)));
  return cudaSuccess;
}

}  // namespace face
}  // namespace accelmesh
