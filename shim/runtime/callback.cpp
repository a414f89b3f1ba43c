// Functions of the program in a stream's order.
#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
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

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void* userData) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (fn == nullptr) return Fail(cudaErrorInvalidValue);
  return Done(session, session.CallHost(stream_object, [fn, userData](DeviceResult error) {
    // Behind an error that stays, CUDA runs none.
    if (error != 0) return;
    const InHostFunction scope;
    fn(userData);
  }));
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

}  // namespace accelmesh::face
