// Multi-head attention forward and backward. What of its arguments is looked at, and with which status, was looked up
// in the real library (9.19).
#include "protocol/library/dnn_windows.h"
#include "shim/dnn/attention.h"
#include "shim/dnn/recurrent.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

DnnSequenceData At(Call& call, const cudnnSeqDataStruct* descriptor, const void* memory) {
  call.Require(descriptor != nullptr && !descriptor->lengths.empty() && memory != nullptr);
  if (call.status() != CUDNN_STATUS_SUCCESS) return {};
  DnnSequenceData sequences = descriptor->sequences;
  sequences.address = AddressOf(memory);
  return sequences;
}

std::int32_t Dim(const cudnnSeqDataStruct* descriptor, cudnnSeqDataAxis_t axis) {
  return descriptor->sequences.dims[static_cast<std::size_t>(axis)];
}

// What an attention goes from and to, all laid out alike. Types are not compared: who computes reads what the attention
// is of.
void CheckData(Call& call, const DnnAttention& attention, const cudnnSeqDataStruct* q, const cudnnSeqDataStruct* k,
               const cudnnSeqDataStruct* v, const cudnnSeqDataStruct* o) {
  if (call.status() != CUDNN_STATUS_SUCCESS) return;
  constexpr auto kTime = CUDNN_SEQDATA_TIME_DIM, kBatch = CUDNN_SEQDATA_BATCH_DIM, kBeam = CUDNN_SEQDATA_BEAM_DIM,
                 kVector = CUDNN_SEQDATA_VECT_DIM;
  for (const cudnnSeqDataStruct* const other : {k, v, o})
    call.Require(other->sequences.axes == q->sequences.axes && Dim(other, kBatch) == Dim(q, kBatch));
  call.Require(Dim(q, kTime) == Dim(o, kTime) && Dim(q, kBeam) == Dim(o, kBeam) && q->lengths == o->lengths);
  call.Require(Dim(k, kTime) == Dim(v, kTime) && Dim(k, kBeam) == Dim(v, kBeam) && k->lengths == v->lengths);
  call.Require(Dim(q, kTime) <= attention.query_steps && Dim(k, kTime) <= attention.key_steps &&
               Dim(q, kBatch) <= attention.batch && Dim(q, kBeam) <= attention.beams && Dim(k, kBeam) == 1);
  call.Require(Dim(q, kVector) == attention.query_size && Dim(k, kVector) == attention.key_size &&
               Dim(v, kVector) == attention.value_size && Dim(o, kVector) == ResultSizeOf(attention));
}

// Spaces that are as large as the library asks; `weights` are one or two, of the same size.
void CheckSpaces(Call& call, const DnnAttention& attention, bool is_training, std::initializer_list<DnnSpace> weights,
                 const DnnSpace& workspace, const DnnSpace& reserve) {
  const auto holds = [](const DnnSpace& space, std::uint64_t bytes) {
    return bytes == 0 || (space.address != 0 && space.bytes >= bytes);
  };
  DnnAttentionBytes bytes;
  call.Fail(AskBytes(call, attention, is_training, &bytes));
  for (const DnnSpace& space : weights) call.Require(holds(space, bytes.weights));
  call.Require(holds(workspace, bytes.workspace) && holds(reserve, bytes.reserve));
}

DnnSpace Space(const void* memory, std::size_t bytes) { return {AddressOf(memory), bytes}; }

// The tail of a call (dnn_attention.h). Windows are read up to `steps`: of one step alone the program need not have
// more.
std::vector<std::int32_t> Tail(const cudnnSeqDataStruct* q, const cudnnSeqDataStruct* k, const int* low,
                               const int* high, std::size_t steps) {
  std::vector<std::int32_t> tail = q->lengths;
  tail.insert(tail.end(), k->lengths.begin(), k->lengths.end());
  if (low == nullptr) return tail;
  PackWindows({low, steps}, {high, steps}, &tail);
  const std::vector<std::int32_t> others(static_cast<std::size_t>(Dim(q, CUDNN_SEQDATA_TIME_DIM)) - steps);
  PackWindows(others, others, &tail);
  return tail;
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnMultiHeadAttnForward(
    cudnnHandle_t handle, const cudnnAttnDescriptor_t attnDesc, int currIdx, const int loWinIdx[], const int hiWinIdx[],
    const int devSeqLengthsQO[], const int devSeqLengthsKV[], const cudnnSeqDataDescriptor_t qDesc, const void* queries,
    const void* residuals, const cudnnSeqDataDescriptor_t kDesc, const void* keys, const cudnnSeqDataDescriptor_t vDesc,
    const void* values, const cudnnSeqDataDescriptor_t oDesc, void* out, size_t weightSizeInBytes, const void* weights,
    size_t workSpaceSizeInBytes, void* workSpace, size_t reserveSpaceSizeInBytes, void* reserveSpace) {
  Call call(handle, "cudnnMultiHeadAttnForward");
  DnnAttentionForward words;
  words.attention = Attention(call, attnDesc);
  words.is_training = reserveSpaceSizeInBytes != 0 || reserveSpace != nullptr ? 1 : 0;
  words.step = currIdx < 0 ? -1 : currIdx;
  words.queries = At(call, qDesc, queries);
  words.keys = At(call, kDesc, keys);
  words.values = At(call, vDesc, values);
  words.result = At(call, oDesc, out);
  CheckData(call, words.attention, qDesc, kDesc, vDesc, oDesc);
  call.Require(AreGiven(loWinIdx, hiWinIdx, devSeqLengthsQO, devSeqLengthsKV));
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  const std::int32_t steps = Dim(qDesc, CUDNN_SEQDATA_TIME_DIM);
  call.Require(currIdx < 0 || (currIdx < steps && words.is_training == 0));
  call.Require(residuals == nullptr || words.attention.query_size == ResultSizeOf(words.attention));
  words.residuals = AddressOf(residuals);
  words.query_lengths = AddressOf(devSeqLengthsQO);
  words.key_lengths = AddressOf(devSeqLengthsKV);
  words.weights = Space(weights, weightSizeInBytes);
  words.workspace = Space(workSpace, workSpaceSizeInBytes);
  words.reserve = Space(reserveSpace, reserveSpaceSizeInBytes);
  CheckSpaces(call, words.attention, words.is_training != 0, {words.weights}, words.workspace, words.reserve);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  const std::size_t read = static_cast<std::size_t>(currIdx < 0 ? steps : currIdx + 1);
  return call.Post(words, Tail(qDesc, kDesc, loWinIdx, hiWinIdx, read));
}

cudnnStatus_t cudnnMultiHeadAttnBackwardData(cudnnHandle_t handle, const cudnnAttnDescriptor_t attnDesc,
                                             const int loWinIdx[], const int hiWinIdx[], const int devSeqLengthsDQDO[],
                                             const int devSeqLengthsDKDV[], const cudnnSeqDataDescriptor_t doDesc,
                                             const void* dout, const cudnnSeqDataDescriptor_t dqDesc, void* dqueries,
                                             const void* queries, const cudnnSeqDataDescriptor_t dkDesc, void* dkeys,
                                             const void* keys, const cudnnSeqDataDescriptor_t dvDesc, void* dvalues,
                                             const void* values, size_t weightSizeInBytes, const void* weights,
                                             size_t workSpaceSizeInBytes, void* workSpace,
                                             size_t reserveSpaceSizeInBytes, void* reserveSpace) {
  Call call(handle, "cudnnMultiHeadAttnBackwardData");
  DnnAttentionBackwardData words;
  words.attention = Attention(call, attnDesc);
  words.queries = At(call, dqDesc, queries);
  words.keys = At(call, dkDesc, keys);
  words.values = At(call, dvDesc, values);
  words.dresult = At(call, doDesc, dout);
  CheckData(call, words.attention, dqDesc, dkDesc, dvDesc, doDesc);
  call.Require(AreGiven(loWinIdx, hiWinIdx, devSeqLengthsDQDO, devSeqLengthsDKDV, dqueries, dkeys, dvalues));
  words.dqueries = AddressOf(dqueries);
  words.dkeys = AddressOf(dkeys);
  words.dvalues = AddressOf(dvalues);
  words.query_lengths = AddressOf(devSeqLengthsDQDO);
  words.key_lengths = AddressOf(devSeqLengthsDKDV);
  words.weights = Space(weights, weightSizeInBytes);
  words.workspace = Space(workSpace, workSpaceSizeInBytes);
  words.reserve = Space(reserveSpace, reserveSpaceSizeInBytes);
  CheckSpaces(call, words.attention, true, {words.weights}, words.workspace, words.reserve);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  const auto steps = static_cast<std::size_t>(Dim(dqDesc, CUDNN_SEQDATA_TIME_DIM));
  return call.Post(words, Tail(dqDesc, dkDesc, loWinIdx, hiWinIdx, steps));
}

cudnnStatus_t cudnnMultiHeadAttnBackwardWeights(cudnnHandle_t handle, const cudnnAttnDescriptor_t attnDesc,
                                                cudnnWgradMode_t addGrad, const cudnnSeqDataDescriptor_t qDesc,
                                                const void* queries, const cudnnSeqDataDescriptor_t kDesc,
                                                const void* keys, const cudnnSeqDataDescriptor_t vDesc,
                                                const void* values, const cudnnSeqDataDescriptor_t doDesc,
                                                const void* dout, size_t weightSizeInBytes, const void* weights,
                                                void* dweights, size_t workSpaceSizeInBytes, void* workSpace,
                                                size_t reserveSpaceSizeInBytes, void* reserveSpace) {
  Call call(handle, "cudnnMultiHeadAttnBackwardWeights");
  DnnAttentionBackwardWeights words;
  words.attention = Attention(call, attnDesc);
  call.Require(addGrad == CUDNN_WGRAD_MODE_ADD || addGrad == CUDNN_WGRAD_MODE_SET);
  words.mode = addGrad;
  words.queries = At(call, qDesc, queries);
  words.keys = At(call, kDesc, keys);
  words.values = At(call, vDesc, values);
  words.dresult = At(call, doDesc, dout);
  CheckData(call, words.attention, qDesc, kDesc, vDesc, doDesc);
  words.weights = Space(weights, weightSizeInBytes);
  words.gradients = AddressOf(dweights);
  words.workspace = Space(workSpace, workSpaceSizeInBytes);
  words.reserve = Space(reserveSpace, reserveSpaceSizeInBytes);
  CheckSpaces(call, words.attention, true, {words.weights, Space(dweights, weightSizeInBytes)}, words.workspace,
              words.reserve);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  return call.Post(words, Tail(qDesc, kDesc, nullptr, nullptr, 0));
}

}  // namespace accelmesh::face
