// Recurrent networks forward and backward.
#include "shim/dnn/recurrent.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

DnnSequences At(Call& call, const cudnnRNNDataStruct* descriptor, const void* memory) {
  call.Require(descriptor != nullptr && descriptor->sequences.batch > 0 && memory != nullptr);
  if (call.status() != CUDNN_STATUS_SUCCESS) return {};
  DnnSequences sequences = descriptor->sequences;
  sequences.address = AddressOf(memory);
  return sequences;
}

// What a network goes from and to: of the same sequences.
void CheckData(Call& call, const DnnRnn& rnn, cudnnRNNDataDescriptor_t x, cudnnRNNDataDescriptor_t y) {
  if (call.status() != CUDNN_STATUS_SUCCESS) return;
  const DnnSequences &in = x->sequences, &out = y->sequences;
  call.Require(in.type == rnn.type && out.type == rnn.type && in.layout == out.layout && in.steps == out.steps &&
               in.vector == rnn.input_size && out.vector == DirectionsOf(rnn) * rnn.projection_size &&
               x->lengths == y->lengths);
  call.Require(in.layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED || (rnn.flags & CUDNN_RNN_PADDED_IO_ENABLED) != 0);
}

// States of that many numbers a sequence, if any are given: without gaps.
void CheckStates(Call& call, const DnnRnn& rnn, const cudnnTensorStruct* descriptor, std::int32_t batch,
                 std::int32_t vector, bool are_given) {
  if (call.status() != CUDNN_STATUS_SUCCESS || !are_given) return;
  const DnnTensor tensor = call.Tensor(descriptor);
  call.Require(tensor.rank == 3 && tensor.type == rnn.type && tensor.dims[0] == rnn.layers * DirectionsOf(rnn) &&
               tensor.dims[1] == batch && tensor.dims[2] == vector && tensor.strides[2] == 1 &&
               tensor.strides[1] == vector && tensor.strides[0] == batch * vector);
}

// Spaces that are as large as the library asks.
void CheckSpaces(Call& call, const DnnRnn& rnn, const DnnSequences& data, bool is_training, const DnnSpace& weights,
                 const DnnSpace& workspace, const DnnSpace& reserve) {
  const auto holds = [](const DnnSpace& space, std::uint64_t bytes) {
    return bytes == 0 || (space.address != 0 && space.bytes >= bytes);
  };
  DnnRnnPlaces places;
  DnnRnnBytes bytes;
  cudnnStatus_t status = AskPlaces(call, rnn, 0, &places);
  if (status == CUDNN_STATUS_SUCCESS) status = AskBytes(call, rnn, data, is_training, &bytes);
  call.Fail(status);
  call.Require(holds(weights, places.bytes) && holds(workspace, bytes.workspace) && holds(reserve, bytes.reserve));
}

DnnSpace Space(const void* memory, std::size_t bytes) { return {AddressOf(memory), bytes}; }

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

// The lengths on the device are a copy of the descriptor's; cuDNN has not read them since 8.9.1.
cudnnStatus_t cudnnRNNForward(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc, cudnnForwardMode_t fwdMode,
                              const int32_t /*devSeqLengths*/[], cudnnRNNDataDescriptor_t xDesc, const void* x,
                              cudnnRNNDataDescriptor_t yDesc, void* y, cudnnTensorDescriptor_t hDesc, const void* hx,
                              void* hy, cudnnTensorDescriptor_t cDesc, const void* cx, void* cy, size_t weightSpaceSize,
                              const void* weightSpace, size_t workSpaceSize, void* workSpace, size_t reserveSpaceSize,
                              void* reserveSpace) {
  Call call(handle, "cudnnRNNForward");
  DnnRnnForward words;
  words.rnn = Network(call, rnnDesc);
  call.Require(fwdMode == CUDNN_FWD_MODE_INFERENCE || fwdMode == CUDNN_FWD_MODE_TRAINING);
  const bool is_training = fwdMode == CUDNN_FWD_MODE_TRAINING;
  const bool has_cells = words.rnn.cell == CUDNN_LSTM;
  words.is_training = is_training ? 1 : 0;
  words.x = At(call, xDesc, x);
  words.y = At(call, yDesc, y);
  CheckData(call, words.rnn, xDesc, yDesc);
  CheckStates(call, words.rnn, hDesc, words.x.batch, words.rnn.projection_size, hx != nullptr || hy != nullptr);
  CheckStates(call, words.rnn, cDesc, words.x.batch, words.rnn.hidden_size,
              has_cells && (cx != nullptr || cy != nullptr));
  words.hx = AddressOf(hx);
  words.hy = AddressOf(hy);
  words.cx = has_cells ? AddressOf(cx) : 0;
  words.cy = has_cells ? AddressOf(cy) : 0;
  words.weights = Space(weightSpace, weightSpaceSize);
  words.workspace = Space(workSpace, workSpaceSize);
  words.reserve = is_training ? Space(reserveSpace, reserveSpaceSize) : DnnSpace{};
  CheckSpaces(call, words.rnn, words.x, is_training, words.weights, words.workspace, words.reserve);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  return call.Post(words, xDesc->lengths);
}

cudnnStatus_t cudnnRNNBackwardData_v8(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc,
                                      const int32_t /*devSeqLengths*/[], cudnnRNNDataDescriptor_t yDesc, const void* y,
                                      const void* dy, cudnnRNNDataDescriptor_t xDesc, void* dx,
                                      cudnnTensorDescriptor_t hDesc, const void* hx, const void* dhy, void* dhx,
                                      cudnnTensorDescriptor_t cDesc, const void* cx, const void* dcy, void* dcx,
                                      size_t weightSpaceSize, const void* weightSpace, size_t workSpaceSize,
                                      void* workSpace, size_t reserveSpaceSize, void* reserveSpace) {
  Call call(handle, "cudnnRNNBackwardData_v8");
  DnnRnnBackwardData words;
  words.rnn = Network(call, rnnDesc);
  const bool has_cells = words.rnn.cell == CUDNN_LSTM;
  words.y = At(call, yDesc, y);
  words.dx = At(call, xDesc, dx);
  call.Require(dy != nullptr);
  CheckData(call, words.rnn, xDesc, yDesc);
  CheckStates(call, words.rnn, hDesc, words.y.batch, words.rnn.projection_size,
              hx != nullptr || dhy != nullptr || dhx != nullptr);
  CheckStates(call, words.rnn, cDesc, words.y.batch, words.rnn.hidden_size,
              has_cells && (cx != nullptr || dcy != nullptr || dcx != nullptr));
  words.dy = AddressOf(dy);
  words.hx = AddressOf(hx);
  words.dhy = AddressOf(dhy);
  words.dhx = AddressOf(dhx);
  words.cx = has_cells ? AddressOf(cx) : 0;
  words.dcy = has_cells ? AddressOf(dcy) : 0;
  words.dcx = has_cells ? AddressOf(dcx) : 0;
  words.weights = Space(weightSpace, weightSpaceSize);
  words.workspace = Space(workSpace, workSpaceSize);
  words.reserve = Space(reserveSpace, reserveSpaceSize);
  CheckSpaces(call, words.rnn, words.y, true, words.weights, words.workspace, words.reserve);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  return call.Post(words, xDesc->lengths);
}

cudnnStatus_t cudnnRNNBackwardWeights_v8(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc, cudnnWgradMode_t addGrad,
                                         const int32_t /*devSeqLengths*/[], cudnnRNNDataDescriptor_t xDesc,
                                         const void* x, cudnnTensorDescriptor_t hDesc, const void* hx,
                                         cudnnRNNDataDescriptor_t yDesc, const void* y, size_t weightSpaceSize,
                                         void* dweightSpace, size_t workSpaceSize, void* workSpace,
                                         size_t reserveSpaceSize, void* reserveSpace) {
  Call call(handle, "cudnnRNNBackwardWeights_v8");
  DnnRnnBackwardWeights words;
  words.rnn = Network(call, rnnDesc);
  call.Require(addGrad == CUDNN_WGRAD_MODE_ADD || addGrad == CUDNN_WGRAD_MODE_SET);
  words.mode = addGrad;
  words.x = At(call, xDesc, x);
  words.y = At(call, yDesc, y);
  CheckData(call, words.rnn, xDesc, yDesc);
  CheckStates(call, words.rnn, hDesc, words.x.batch, words.rnn.projection_size, hx != nullptr);
  words.hx = AddressOf(hx);
  words.gradients = Space(dweightSpace, weightSpaceSize);
  words.workspace = Space(workSpace, workSpaceSize);
  words.reserve = Space(reserveSpace, reserveSpaceSize);
  CheckSpaces(call, words.rnn, words.x, true, words.gradients, words.workspace, words.reserve);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  return call.Post(words, xDesc->lengths);
}

}  // namespace accelmesh::face
