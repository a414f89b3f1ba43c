// Descriptors of multi-head attention and of its sequences, and what is asked of them. Which of NVIDIA's statuses a
// wrong argument gets was looked up in the real library (9.19), whose descriptors need no device.
#include "shim/dnn/attention.h"

#include <algorithm>
#include <array>

#include "shim/dnn/element.h"
#include "shim/dnn/recurrent.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

bool IsData(int type) {
  return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_DOUBLE || type == CUDNN_DATA_HALF ||
         type == CUDNN_DATA_BFLOAT16;
}
// What data of a type may be computed with.
bool IsPrecision(int type, int precision) {
  if (type == CUDNN_DATA_DOUBLE) return precision == CUDNN_DATA_DOUBLE;
  return precision == CUDNN_DATA_FLOAT || (type == CUDNN_DATA_HALF && precision == CUDNN_DATA_HALF);
}

template <typename T, typename From>
void Tell(T* to, From value) {
  if (to != nullptr) *to = static_cast<T>(value);
}

// Without what is not the attention's: states of random numbers.
DnnAttention Asked(DnnAttention attention, bool has_dropouts) {
  for (DnnDropout* const dropout : {&attention.dropout, &attention.result_dropout}) {
    const double probability = has_dropouts ? dropout->probability : 0;
    *dropout = {};
    dropout->probability = probability;
  }
  return attention;
}

}  // namespace

std::int64_t ResultSizeOf(const DnnAttention& attention) {
  if (attention.result_projection > 0) return attention.result_projection;
  const std::int64_t of_head = attention.value_projection > 0 ? attention.value_projection : attention.value_size;
  return of_head * attention.heads;
}

cudnnStatus_t AskBytes(Call& call, const DnnAttention& attention, bool is_training, DnnAttentionBytes* bytes) {
  return call.Ask(DnnAttentionSizes{Asked(attention, true), is_training ? 1 : 0}, bytes);
}

}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateSeqDataDescriptor(cudnnSeqDataDescriptor_t* seqDataDesc) { return Create(seqDataDesc); }
cudnnStatus_t cudnnDestroySeqDataDescriptor(cudnnSeqDataDescriptor_t seqDataDesc) { return Destroy(seqDataDesc); }

cudnnStatus_t cudnnSetSeqDataDescriptor(cudnnSeqDataDescriptor_t seqDataDesc, cudnnDataType_t dataType, int nbDims,
                                        const int dimA[], const cudnnSeqDataAxis_t axes[], size_t seqLengthArraySize,
                                        const int seqLengthArray[], void* paddingFill) {
  if (!AreGiven(seqDataDesc, dimA, axes, seqLengthArray) || nbDims < 1 || !IsKnown(dataType))
    return CUDNN_STATUS_BAD_PARAM;
  if (nbDims != CUDNN_SEQDATA_DIM_COUNT) return CUDNN_STATUS_NOT_SUPPORTED;
  DnnSequenceData sequences;
  unsigned seen = 0;
  for (std::size_t d = 0; d < CUDNN_SEQDATA_DIM_COUNT; ++d) {
    const int axis = axes[d];
    if (dimA[d] < 1 || axis < 0 || axis >= CUDNN_SEQDATA_DIM_COUNT) return CUDNN_STATUS_BAD_PARAM;
    seen |= 1u << axis;
    sequences.dims[d] = dimA[d];
    sequences.axes[d] = axis;
  }
  const auto wanted =
      static_cast<std::size_t>(dimA[CUDNN_SEQDATA_BATCH_DIM]) * static_cast<std::size_t>(dimA[CUDNN_SEQDATA_BEAM_DIM]);
  if (seen != 0b1111 || axes[CUDNN_SEQDATA_DIM_COUNT - 1] != CUDNN_SEQDATA_VECT_DIM || seqLengthArraySize != wanted)
    return CUDNN_STATUS_BAD_PARAM;
  for (std::size_t i = 0; i < wanted; ++i) {
    if (seqLengthArray[i] < 1 || seqLengthArray[i] > dimA[CUDNN_SEQDATA_TIME_DIM]) return CUDNN_STATUS_BAD_PARAM;
  }
  if (!IsData(dataType)) return CUDNN_STATUS_INTERNAL_ERROR;
  sequences.type = dataType;
  sequences.has_padding = paddingFill != nullptr ? 1 : 0;
  if (paddingFill != nullptr) sequences.padding = ReadElement(dataType, paddingFill);
  *seqDataDesc = {sequences, {seqLengthArray, seqLengthArray + wanted}};
  return CUDNN_STATUS_SUCCESS;
}
// One that was not set says that all is 0.
cudnnStatus_t cudnnGetSeqDataDescriptor(const cudnnSeqDataDescriptor_t seqDataDesc, cudnnDataType_t* dataType,
                                        int* nbDims, int nbDimsRequested, int dimA[], cudnnSeqDataAxis_t axes[],
                                        size_t* seqLengthArraySize, size_t seqLengthSizeRequested, int seqLengthArray[],
                                        void* paddingFill) {
  if (seqDataDesc == nullptr || nbDimsRequested < 0) return CUDNN_STATUS_BAD_PARAM;
  const DnnSequenceData& sequences = seqDataDesc->sequences;
  Tell(dataType, sequences.type);
  Tell(nbDims, CUDNN_SEQDATA_DIM_COUNT);
  const auto dims = static_cast<std::size_t>(std::min(nbDimsRequested, CUDNN_SEQDATA_DIM_COUNT));
  for (std::size_t d = 0; d < dims; ++d) {
    if (dimA != nullptr) dimA[d] = sequences.dims[d];
    if (axes != nullptr) axes[d] = static_cast<cudnnSeqDataAxis_t>(sequences.axes[d]);
  }
  Tell(seqLengthArraySize, seqDataDesc->lengths.size());
  if (seqLengthArray != nullptr)
    std::copy_n(seqDataDesc->lengths.begin(), std::min(seqDataDesc->lengths.size(), seqLengthSizeRequested),
                seqLengthArray);
  if (paddingFill != nullptr) WriteElement(sequences.type, sequences.padding, paddingFill);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateAttnDescriptor(cudnnAttnDescriptor_t* attnDesc) { return Create(attnDesc); }
cudnnStatus_t cudnnDestroyAttnDescriptor(cudnnAttnDescriptor_t attnDesc) { return Destroy(attnDesc); }

cudnnStatus_t cudnnSetAttnDescriptor(cudnnAttnDescriptor_t attnDesc, unsigned attnMode, int nHeads, double smScaler,
                                     cudnnDataType_t dataType, cudnnDataType_t computePrec, cudnnMathType_t mathType,
                                     cudnnDropoutDescriptor_t attnDropoutDesc, cudnnDropoutDescriptor_t postDropoutDesc,
                                     int qSize, int kSize, int vSize, int qProjSize, int kProjSize, int vProjSize,
                                     int oProjSize, int qoMaxSeqLength, int kvMaxSeqLength, int maxBatchSize,
                                     int maxBeamSize) {
  const bool has_precision =
      computePrec == CUDNN_DATA_FLOAT || computePrec == CUDNN_DATA_DOUBLE || computePrec == CUDNN_DATA_HALF;
  // A scale that is no number is let through, as the library does.
  if (attnDesc == nullptr || attnMode > (kDnnAttentionOneToOne | kDnnAttentionBiases) || smScaler < 0 ||
      !IsData(dataType) || !has_precision || mathType < CUDNN_DEFAULT_MATH || mathType > CUDNN_FMA_MATH)
    return CUDNN_STATUS_BAD_PARAM;
  for (const int size : {nHeads, qSize, kSize, vSize, qoMaxSeqLength, kvMaxSeqLength, maxBatchSize, maxBeamSize}) {
    if (size < 1) return CUDNN_STATUS_BAD_PARAM;
  }
  for (const int size : {qProjSize, kProjSize, vProjSize, oProjSize}) {
    if (size < 0) return CUDNN_STATUS_BAD_PARAM;
  }
  // Queries are multiplied by keys.
  if ((qProjSize > 0 ? qProjSize : qSize) != (kProjSize > 0 ? kProjSize : kSize)) return CUDNN_STATUS_BAD_PARAM;
  const bool is_one_to_one = (attnMode & kDnnAttentionOneToOne) != 0;
  if (!IsPrecision(dataType, computePrec) || (is_one_to_one && maxBeamSize > 1)) return CUDNN_STATUS_NOT_SUPPORTED;
  DnnAttention attention;
  attention.mode = attnMode;
  attention.heads = nHeads;
  attention.scale = smScaler;
  attention.type = dataType;
  attention.precision = computePrec;
  attention.math_type = mathType;
  attention.query_size = qSize;
  attention.key_size = kSize;
  attention.value_size = vSize;
  attention.query_projection = qProjSize;
  attention.key_projection = kProjSize;
  attention.value_projection = vProjSize;
  attention.result_projection = oProjSize;
  attention.query_steps = qoMaxSeqLength;
  attention.key_steps = kvMaxSeqLength;
  attention.batch = maxBatchSize;
  attention.beams = maxBeamSize;
  if (attnDropoutDesc != nullptr) attention.dropout = attnDropoutDesc->dropout;
  if (postDropoutDesc != nullptr) attention.result_dropout = postDropoutDesc->dropout;
  *attnDesc = {attention, attnDropoutDesc, postDropoutDesc, true};
  return CUDNN_STATUS_SUCCESS;
}
// One that was not set says that all is 0.
cudnnStatus_t cudnnGetAttnDescriptor(cudnnAttnDescriptor_t attnDesc, unsigned* attnMode, int* nHeads, double* smScaler,
                                     cudnnDataType_t* dataType, cudnnDataType_t* computePrec, cudnnMathType_t* mathType,
                                     cudnnDropoutDescriptor_t* attnDropoutDesc,
                                     cudnnDropoutDescriptor_t* postDropoutDesc, int* qSize, int* kSize, int* vSize,
                                     int* qProjSize, int* kProjSize, int* vProjSize, int* oProjSize,
                                     int* qoMaxSeqLength, int* kvMaxSeqLength, int* maxBatchSize, int* maxBeamSize) {
  if (attnDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  const DnnAttention& attention = attnDesc->attention;
  Tell(attnMode, attention.mode);
  Tell(nHeads, attention.heads);
  Tell(smScaler, attention.scale);
  Tell(dataType, attention.type);
  Tell(computePrec, attention.precision);
  Tell(mathType, attention.math_type);
  Tell(attnDropoutDesc, attnDesc->dropout);
  Tell(postDropoutDesc, attnDesc->result_dropout);
  Tell(qSize, attention.query_size);
  Tell(kSize, attention.key_size);
  Tell(vSize, attention.value_size);
  Tell(qProjSize, attention.query_projection);
  Tell(kProjSize, attention.key_projection);
  Tell(vProjSize, attention.value_projection);
  Tell(oProjSize, attention.result_projection);
  Tell(qoMaxSeqLength, attention.query_steps);
  Tell(kvMaxSeqLength, attention.key_steps);
  Tell(maxBatchSize, attention.batch);
  Tell(maxBeamSize, attention.beams);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetMultiHeadAttnBuffers(cudnnHandle_t handle, const cudnnAttnDescriptor_t attnDesc,
                                           size_t* weightSizeInBytes, size_t* workSpaceSizeInBytes,
                                           size_t* reserveSpaceSizeInBytes) {
  Call call(handle, "cudnnGetMultiHeadAttnBuffers");
  const DnnAttention& attention = Attention(call, attnDesc);
  call.Require(weightSizeInBytes != nullptr);
  DnnAttentionBytes bytes;
  // Who asks for no reserve goes forward only.
  if (const cudnnStatus_t status = AskBytes(call, attention, reserveSpaceSizeInBytes != nullptr, &bytes);
      status != CUDNN_STATUS_SUCCESS)
    return status;
  Tell(weightSizeInBytes, bytes.weights);
  Tell(workSpaceSizeInBytes, bytes.workspace);
  Tell(reserveSpaceSizeInBytes, bytes.reserve);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetMultiHeadAttnWeights(cudnnHandle_t handle, const cudnnAttnDescriptor_t attnDesc,
                                           cudnnMultiHeadAttnWeightKind_t wKind, size_t weightSizeInBytes,
                                           const void* weights, cudnnTensorDescriptor_t wDesc, void** wAddr) {
  Call call(handle, "cudnnGetMultiHeadAttnWeights");
  const DnnAttention& attention = Attention(call, attnDesc);
  call.Require(wKind >= CUDNN_MH_ATTN_Q_WEIGHTS && wKind <= CUDNN_MH_ATTN_O_BIASES && AreGiven(wDesc, wAddr));
  DnnAttentionBytes bytes;
  DnnAttentionPlace place;
  cudnnStatus_t status = AskBytes(call, attention, false, &bytes);
  if (status == CUDNN_STATUS_SUCCESS) status = call.Ask(DnnAttentionWeights{Asked(attention, false), wKind}, &place);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  if (weightSizeInBytes < bytes.weights || (weights == nullptr && bytes.weights > 0)) return CUDNN_STATUS_BAD_PARAM;
  // As the library names what is not there: no dimensions and no address.
  DnnTensor tensor;
  const bool is_there = place.offset != kDnnNoPlace;
  if (is_there) {
    tensor.type = attention.type;
    tensor.rank = static_cast<std::int32_t>(place.dims.size());
    std::copy(place.dims.begin(), place.dims.end(), tensor.dims.begin());
    std::copy(place.strides.begin(), place.strides.end(), tensor.strides.begin());
  }
  wDesc->tensor = tensor;
  *wAddr = is_there ? reinterpret_cast<void*>(AddressOf(weights) + place.offset) : nullptr;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
