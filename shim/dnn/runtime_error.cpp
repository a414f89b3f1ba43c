// What kernels tell of themselves while they run, which those of no backend do.
#include "shim/dnn/call.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnQueryRuntimeError(cudnnHandle_t handle, cudnnStatus_t* rstatus, cudnnErrQueryMode_t mode,
                                     cudnnRuntimeTag_t*) {
  Call call(handle, "cudnnQueryRuntimeError");
  call.Require(rstatus != nullptr && mode >= CUDNN_ERRQUERY_RAWCODE && mode <= CUDNN_ERRQUERY_BLOCKING);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  if (mode == CUDNN_ERRQUERY_BLOCKING) {
    if (const cudnnStatus_t status = call.Wait(); status != CUDNN_STATUS_SUCCESS) return status;
  }
  *rstatus = CUDNN_STATUS_SUCCESS;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
