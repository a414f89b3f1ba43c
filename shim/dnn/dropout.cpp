// Dropout: its states are the program's memory, and made and used by the server's library.
#include "shim/dnn/recurrent.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

// What cudnnSetDropoutDescriptor and cudnnRestoreDropoutDescriptor have in common. Without states there is none to
// make, and nothing to draw from.
cudnnStatus_t Describe(Call& call, cudnnDropoutDescriptor_t descriptor, const DnnDropout& dropout) {
  call.Require(descriptor != nullptr && dropout.probability >= 0 && dropout.probability <= 1);
  if (call.status() != CUDNN_STATUS_SUCCESS || dropout.states == 0) return call.status();
  DnnDropoutBytes bytes;
  if (const cudnnStatus_t status = call.Ask(DnnDropoutSizes{}, &bytes); status != CUDNN_STATUS_SUCCESS) return status;
  return dropout.states_bytes < bytes.states ? CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT : CUDNN_STATUS_SUCCESS;
}

std::uint64_t Elements(const DnnTensor& tensor) {
  std::uint64_t elements = 1;
  for (int d = 0; d < tensor.rank; ++d) elements *= static_cast<std::uint64_t>(tensor.dims[d]);
  return elements;
}

// What both directions ask of their arguments.
DnnSpace Reserve(Call& call, const DnnOperand& from, const DnnOperand& to, const cudnnDropoutStruct* descriptor,
                 void* reserve, std::size_t bytes) {
  call.Require(descriptor != nullptr && descriptor->is_set && reserve != nullptr);
  if (call.status() != CUDNN_STATUS_SUCCESS) return {};
  call.Require(SameDims(from.tensor, to.tensor) && from.tensor.type == to.tensor.type &&
               bytes >= DnnDropoutReserveBytes(Elements(from.tensor)));
  call.Require(descriptor->dropout.probability == 0 || descriptor->dropout.states != 0);
  call.SupportTensors({from.tensor, to.tensor});
  return {AddressOf(reserve), bytes};
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateDropoutDescriptor(cudnnDropoutDescriptor_t* dropoutDesc) { return Create(dropoutDesc); }
cudnnStatus_t cudnnDestroyDropoutDescriptor(cudnnDropoutDescriptor_t dropoutDesc) { return Destroy(dropoutDesc); }

cudnnStatus_t cudnnDropoutGetStatesSize(cudnnHandle_t handle, size_t* sizeInBytes) {
  Call call(handle, "cudnnDropoutGetStatesSize");
  call.Require(sizeInBytes != nullptr);
  DnnDropoutBytes bytes;
  if (const cudnnStatus_t status = call.Ask(DnnDropoutSizes{}, &bytes); status != CUDNN_STATUS_SUCCESS) return status;
  *sizeInBytes = bytes.states;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDropoutGetReserveSpaceSize(cudnnTensorDescriptor_t xdesc, size_t* sizeInBytes) {
  if (!AreGiven(xdesc, sizeInBytes)) return CUDNN_STATUS_BAD_PARAM;
  *sizeInBytes = DnnDropoutReserveBytes(Elements(xdesc->tensor));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetDropoutDescriptor(cudnnDropoutDescriptor_t dropoutDesc, cudnnHandle_t handle, float dropout,
                                        void* states, size_t stateSizeInBytes, unsigned long long seed) {
  Call call(handle, "cudnnSetDropoutDescriptor");
  const DnnDropout wanted{static_cast<double>(dropout), AddressOf(states), stateSizeInBytes, seed};
  cudnnStatus_t status = Describe(call, dropoutDesc, wanted);
  if (status == CUDNN_STATUS_SUCCESS && states != nullptr) status = call.Post(DnnDropoutSeed{wanted});
  if (status == CUDNN_STATUS_SUCCESS) *dropoutDesc = {wanted, true};
  return status;
}
cudnnStatus_t cudnnRestoreDropoutDescriptor(cudnnDropoutDescriptor_t dropoutDesc, cudnnHandle_t handle, float dropout,
                                            void* states, size_t stateSizeInBytes, unsigned long long seed) {
  Call call(handle, "cudnnRestoreDropoutDescriptor");
  const DnnDropout wanted{static_cast<double>(dropout), AddressOf(states), stateSizeInBytes, seed};
  const cudnnStatus_t status = Describe(call, dropoutDesc, wanted);
  if (status == CUDNN_STATUS_SUCCESS) *dropoutDesc = {wanted, true};
  return status;
}
cudnnStatus_t cudnnGetDropoutDescriptor(cudnnDropoutDescriptor_t dropoutDesc, cudnnHandle_t handle, float* dropout,
                                        void** states, unsigned long long* seed) {
  Call call(handle, "cudnnGetDropoutDescriptor");
  call.Require(AreGiven(dropoutDesc, dropout, states, seed));
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  *dropout = static_cast<float>(dropoutDesc->dropout.probability);
  *states = reinterpret_cast<void*>(dropoutDesc->dropout.states);
  *seed = dropoutDesc->dropout.seed;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDropoutForward(cudnnHandle_t handle, const cudnnDropoutDescriptor_t dropoutDesc,
                                  const cudnnTensorDescriptor_t xdesc, const void* x,
                                  const cudnnTensorDescriptor_t ydesc, void* y, void* reserveSpace,
                                  size_t reserveSpaceSizeInBytes) {
  Call call(handle, "cudnnDropoutForward");
  DnnDropoutForward words;
  words.x = call.Operand(xdesc, x);
  words.y = call.Operand(ydesc, y);
  words.reserve = Reserve(call, words.x, words.y, dropoutDesc, reserveSpace, reserveSpaceSizeInBytes);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  words.dropout = dropoutDesc->dropout;
  return call.Post(words);
}
cudnnStatus_t cudnnDropoutBackward(cudnnHandle_t handle, const cudnnDropoutDescriptor_t dropoutDesc,
                                   const cudnnTensorDescriptor_t dydesc, const void* dy,
                                   const cudnnTensorDescriptor_t dxdesc, void* dx, void* reserveSpace,
                                   size_t reserveSpaceSizeInBytes) {
  Call call(handle, "cudnnDropoutBackward");
  DnnDropoutBackward words;
  words.dy = call.Operand(dydesc, dy);
  words.dx = call.Operand(dxdesc, dx);
  words.reserve = Reserve(call, words.dy, words.dx, dropoutDesc, reserveSpace, reserveSpaceSizeInBytes);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  words.dropout = dropoutDesc->dropout;
  return call.Post(words);
}

}  // namespace accelmesh::face
