// Functions of whole tensors by libcudnn: sums, scales, operations, reductions.
#include "server/backend/cuda/library_dnn_call.h"

namespace accelmesh::cuda {
namespace {

cudnnStatus_t AddTensor(DnnCall& call, const DnnAddTensor& words) {
  const DnnTensor& c = words.c.tensor;
  return call.Do(call.library().AddTensor, call.Scalar(words.blend.alpha, c), call.Tensor(words.a.tensor),
                 call.Address(words.a.address), call.Scalar(words.blend.beta, c), call.Tensor(c),
                 call.Address(words.c.address));
}
cudnnStatus_t OpTensor(DnnCall& call, const DnnOpTensor& words) {
  const DnnTensor& c = words.c.tensor;
  // An operation on A alone looks at no B, but may ask for one.
  const DnnOperand& b = words.b.tensor.rank == 0 ? words.a : words.b;
  return call.Do(call.library().OpTensor, call.Operation(words), call.Scalar(words.alpha1, c),
                 call.Tensor(words.a.tensor), call.Address(words.a.address), call.Scalar(words.alpha2, c),
                 call.Tensor(b.tensor), call.Address(b.address), call.Scalar(words.beta, c), call.Tensor(c),
                 call.Address(words.c.address));
}
// A program's own workspace is not on the wire: other servers need none.
cudnnStatus_t ReduceTensor(DnnCall& call, const DnnReduceTensor& words) {
  const DnnTensor& c = words.c.tensor;
  cudnnReduceTensorDescriptor_t const reduction = call.Reduction(words);
  cudnnTensorDescriptor_t const from = call.Tensor(words.a.tensor), to = call.Tensor(c);
  std::size_t bytes = 0;
  (void)call.Do(call.library().GetReductionWorkspaceSize, reduction, from, to, &bytes);
  void* const room = call.Room(bytes);
  return call.Do(call.library().ReduceTensor, reduction, nullptr, 0, room, bytes, call.Scalar(words.blend.alpha, c),
                 from, call.Address(words.a.address), call.Scalar(words.blend.beta, c), to,
                 call.Address(words.c.address));
}
cudnnStatus_t ScaleTensor(DnnCall& call, const DnnScaleTensor& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().ScaleTensor, call.Tensor(y), call.Address(words.y.address),
                 call.Scalar(words.alpha, y));
}
// Its value has the tensor's type: of sixteen bits there is none on the wire.
cudnnStatus_t SetTensor(DnnCall& call, const DnnSetTensor& words) {
  const DnnTensor& y = words.y.tensor;
  call.Require(y.type == CUDNN_DATA_FLOAT || y.type == CUDNN_DATA_DOUBLE);
  return call.Do(call.library().SetTensor, call.Tensor(y), call.Address(words.y.address), call.Scalar(words.value, y));
}
cudnnStatus_t TransformTensor(DnnCall& call, const DnnTransformTensor& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().TransformTensor, call.Scalar(words.blend.alpha, y), call.Tensor(words.x.tensor),
                 call.Address(words.x.address), call.Scalar(words.blend.beta, y), call.Tensor(y),
                 call.Address(words.y.address));
}

}  // namespace

void AddWholeTensors(DnnTable& table) {
  AddRun<DnnAddTensor, &AddTensor>(table);
  AddRun<DnnOpTensor, &OpTensor>(table);
  AddRun<DnnReduceTensor, &ReduceTensor>(table);
  AddRun<DnnScaleTensor, &ScaleTensor>(table);
  AddRun<DnnSetTensor, &SetTensor>(table);
  AddRun<DnnTransformTensor, &TransformTensor>(table);
}

}  // namespace accelmesh::cuda
