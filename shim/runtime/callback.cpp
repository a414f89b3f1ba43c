// Functions of the program in a stream's order.
#include "shim/core/capture.h"
#include "shim/gen_face.h"
#include "shim/runtime/host_function.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {
namespace {

// While it lives, calls of this thread are refused: a function that runs in a stream's order must not wait for streams.
class InHostFunction {
 public:
  InHostFunction() { CurrentThread().in_host_function = true; }
  ~InHostFunction() { CurrentThread().in_host_function = false; }
  InHostFunction(const InHostFunction&) = delete;
  InHostFunction& operator=(const InHostFunction&) = delete;
};

}  // namespace

HostCalls::Function InStreamOrder(cudaHostFn_t function, void* data) {
  return [function, data](std::uint32_t error) {
    if (error != 0) return;
    const InHostFunction scope;
    function(data);
  };
}

namespace face {

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void* userData) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (fn == nullptr) return Fail(cudaErrorInvalidValue);
  HostCalls::Function run = InStreamOrder(fn, userData);
  if (DeviceResult captured = 0; session.captures().Active() && session.captures().Diverts(*stream_object, &captured)) {
    if (captured == 0) captured = session.captures().Capture(*stream_object, GraphHost{fn, userData, std::move(run)});
    return Done(session, captured);
  }
  return Done(session, session.CallHost(stream_object, std::move(run)));
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* userData,
                                  unsigned int flags) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (callback == nullptr || flags != 0) return Fail(cudaErrorInvalidValue);
  return Done(session, session.CallHost(stream_object, [stream, callback, userData](DeviceResult error) {
    const InHostFunction scope;
    callback(stream, static_cast<cudaError_t>(error), userData);
  }));
}

}  // namespace face
}  // namespace accelmesh
