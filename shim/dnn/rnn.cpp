// Descriptors of recurrent networks and of their data, and what is asked of them. Which of NVIDIA's statuses a wrong
// argument gets was looked up in the real library (9.19), whose descriptors need no device.
#include "shim/dnn/recurrent.h"

#include <algorithm>
#include <cmath>

#include "shim/dnn/element.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

template <typename Enumerator>
bool IsUpTo(Enumerator value, Enumerator last) {
  return value >= Enumerator{} && value <= last;
}

// NaN, too, is no lower bound.
bool IsRange(double low, double high) { return low <= high; }

bool IsData(int type) {
  return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_DOUBLE || type == CUDNN_DATA_HALF ||
         type == CUDNN_DATA_BFLOAT16;
}
// What data of a type may be computed with.
bool IsPrecision(int type, int precision) {
  if (type == CUDNN_DATA_DOUBLE) return precision == CUDNN_DATA_DOUBLE;
  return precision == CUDNN_DATA_FLOAT || (type == CUDNN_DATA_HALF && precision == CUDNN_DATA_HALF);
}

cudnnStatus_t SetClip(cudnnRNNDescriptor_t descriptor, cudnnRNNClipMode_t mode, cudnnNanPropagation_t nan, double low,
                      double high) {
  if (descriptor == nullptr || !IsRange(low, high)) return CUDNN_STATUS_BAD_PARAM;
  descriptor->rnn.clip_mode = mode;
  descriptor->rnn.clip_nan = nan;
  descriptor->rnn.clip_low = low;
  descriptor->rnn.clip_high = high;
  return CUDNN_STATUS_SUCCESS;
}

template <typename T, typename From>
void Tell(T* to, From value) {
  if (to != nullptr) *to = static_cast<T>(value);
}

// As the weights of a linear layer are described: one matrix or vector without gaps.
DnnTensor Described(int type, int rows, int columns) {
  DnnTensor tensor;
  tensor.type = type;
  tensor.rank = 3;
  tensor.dims = {1, rows, columns};
  tensor.strides = {rows * columns, columns, 1};
  return tensor;
}

int LinearLayersOf(const DnnRnn& rnn) {
  switch (rnn.cell) {
    case CUDNN_LSTM: return kDnnLinearLayersMax;
    case CUDNN_GRU: return 6;
    default: return 2;
  }
}

// Rows and columns of a linear layer's matrix.
DnnTensor MatrixOf(const DnnRnn& rnn, int pseudo_layer, int linear_layer) {
  const int directions = DirectionsOf(rnn);
  if (linear_layer == kDnnLinearLayersMax - 1) return Described(rnn.type, rnn.projection_size, rnn.hidden_size);
  const bool is_of_state = linear_layer >= (rnn.cell == CUDNN_LSTM ? 4 : LinearLayersOf(rnn) / 2);
  if (is_of_state) return Described(rnn.type, rnn.hidden_size, rnn.projection_size);
  return Described(rnn.type, rnn.hidden_size,
                   pseudo_layer < directions ? rnn.input_size : rnn.projection_size * directions);
}

// Without what is not a network's: its states of random numbers.
DnnRnn Asked(DnnRnn rnn, double probability) {
  rnn.dropout = {};
  rnn.dropout.probability = probability;
  return rnn;
}

}  // namespace

cudnnStatus_t AskPlaces(Call& call, const DnnRnn& rnn, std::int64_t pseudo_layer, DnnRnnPlaces* places) {
  return call.Ask(DnnRnnWeights{Asked(rnn, 0), pseudo_layer}, places);
}
cudnnStatus_t AskBytes(Call& call, const DnnRnn& rnn, const DnnSequences& data, bool is_training, DnnRnnBytes* bytes) {
  return call.Ask(
      DnnRnnSizes{Asked(rnn, rnn.dropout.probability), is_training ? 1 : 0, data.type, data.steps, data.batch}, bytes);
}

}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateRNNDescriptor(cudnnRNNDescriptor_t* rnnDesc) { return Create(rnnDesc); }
cudnnStatus_t cudnnDestroyRNNDescriptor(cudnnRNNDescriptor_t rnnDesc) { return Destroy(rnnDesc); }

cudnnStatus_t cudnnSetRNNDescriptor_v8(cudnnRNNDescriptor_t rnnDesc, cudnnRNNAlgo_t algo, cudnnRNNMode_t cellMode,
                                       cudnnRNNBiasMode_t biasMode, cudnnDirectionMode_t dirMode,
                                       cudnnRNNInputMode_t inputMode, cudnnDataType_t dataType,
                                       cudnnDataType_t mathPrec, cudnnMathType_t mathType, int32_t inputSize,
                                       int32_t hiddenSize, int32_t projSize, int32_t numLayers,
                                       cudnnDropoutDescriptor_t dropoutDesc, uint32_t auxFlags) {
  if (rnnDesc == nullptr || !IsUpTo(algo, CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H) || !IsUpTo(cellMode, CUDNN_GRU) ||
      !IsUpTo(biasMode, CUDNN_RNN_SINGLE_REC_BIAS) || !IsUpTo(dirMode, CUDNN_BIDIRECTIONAL) ||
      !IsUpTo(inputMode, CUDNN_SKIP_INPUT) || !IsUpTo(mathType, CUDNN_FMA_MATH) || inputSize < 1 || hiddenSize < 1 ||
      projSize < 1 || numLayers < 1 || auxFlags > CUDNN_RNN_PADDED_IO_ENABLED)
    return CUDNN_STATUS_BAD_PARAM;
  const bool projects = projSize != hiddenSize;
  if (!IsData(dataType) || !IsPrecision(dataType, mathPrec) || projSize > hiddenSize ||
      (projects && (cellMode != CUDNN_LSTM || algo != CUDNN_RNN_ALGO_STANDARD)))
    return CUDNN_STATUS_NOT_SUPPORTED;
  DnnRnn rnn;
  rnn.algorithm = algo;
  rnn.cell = cellMode;
  rnn.bias = biasMode;
  rnn.direction = dirMode;
  rnn.input = inputMode;
  rnn.type = dataType;
  rnn.math_precision = mathPrec;
  rnn.math_type = mathType;
  rnn.input_size = inputSize;
  rnn.hidden_size = hiddenSize;
  rnn.projection_size = projSize;
  rnn.layers = numLayers;
  rnn.flags = auxFlags;
  // Between layers there is none where there is one layer.
  if (dropoutDesc != nullptr && numLayers > 1) rnn.dropout = dropoutDesc->dropout;
  *rnnDesc = {rnn, dropoutDesc, true};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetRNNDescriptor_v8(cudnnRNNDescriptor_t rnnDesc, cudnnRNNAlgo_t* algo, cudnnRNNMode_t* cellMode,
                                       cudnnRNNBiasMode_t* biasMode, cudnnDirectionMode_t* dirMode,
                                       cudnnRNNInputMode_t* inputMode, cudnnDataType_t* dataType,
                                       cudnnDataType_t* mathPrec, cudnnMathType_t* mathType, int32_t* inputSize,
                                       int32_t* hiddenSize, int32_t* projSize, int32_t* numLayers,
                                       cudnnDropoutDescriptor_t* dropoutDesc, uint32_t* auxFlags) {
  if (rnnDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  if (!rnnDesc->is_set) return CUDNN_STATUS_NOT_INITIALIZED;
  const DnnRnn& rnn = rnnDesc->rnn;
  Tell(algo, rnn.algorithm);
  Tell(cellMode, rnn.cell);
  Tell(biasMode, rnn.bias);
  Tell(dirMode, rnn.direction);
  Tell(inputMode, rnn.input);
  Tell(dataType, rnn.type);
  Tell(mathPrec, rnn.math_precision);
  Tell(mathType, rnn.math_type);
  Tell(inputSize, rnn.input_size);
  Tell(hiddenSize, rnn.hidden_size);
  Tell(projSize, rnn.projection_size);
  Tell(numLayers, rnn.layers);
  Tell(dropoutDesc, rnnDesc->dropout);
  Tell(auxFlags, rnn.flags);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnRNNSetClip_v8(cudnnRNNDescriptor_t rnnDesc, cudnnRNNClipMode_t clipMode,
                                 cudnnNanPropagation_t clipNanOpt, double lclip, double rclip) {
  return SetClip(rnnDesc, clipMode, clipNanOpt, lclip, rclip);
}
cudnnStatus_t cudnnRNNSetClip_v9(cudnnRNNDescriptor_t rnnDesc, cudnnRNNClipMode_t clipMode, double lclip,
                                 double rclip) {
  return SetClip(rnnDesc, clipMode, CUDNN_PROPAGATE_NAN, lclip, rclip);
}
cudnnStatus_t cudnnRNNGetClip_v8(cudnnRNNDescriptor_t rnnDesc, cudnnRNNClipMode_t* clipMode,
                                 cudnnNanPropagation_t* clipNanOpt, double* lclip, double* rclip) {
  if (rnnDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  Tell(clipMode, rnnDesc->rnn.clip_mode);
  Tell(clipNanOpt, rnnDesc->rnn.clip_nan);
  Tell(lclip, rnnDesc->rnn.clip_low);
  Tell(rclip, rnnDesc->rnn.clip_high);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnRNNGetClip_v9(cudnnRNNDescriptor_t rnnDesc, cudnnRNNClipMode_t* clipMode, double* lclip,
                                 double* rclip) {
  return face::cudnnRNNGetClip_v8(rnnDesc, clipMode, nullptr, lclip, rclip);
}

// Who runs the network builds it (dnn_recurrent.h).
cudnnStatus_t cudnnBuildRNNDynamic(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc, int miniBatch) {
  Call call(handle, "cudnnBuildRNNDynamic");
  const DnnRnn& rnn = Network(call, rnnDesc);
  call.Require(miniBatch > 0 && rnn.algorithm == CUDNN_RNN_ALGO_PERSIST_DYNAMIC);
  return call.status();
}

cudnnStatus_t cudnnCreateRNNDataDescriptor(cudnnRNNDataDescriptor_t* rnnDataDesc) { return Create(rnnDataDesc); }
cudnnStatus_t cudnnDestroyRNNDataDescriptor(cudnnRNNDataDescriptor_t rnnDataDesc) { return Destroy(rnnDataDesc); }

cudnnStatus_t cudnnSetRNNDataDescriptor(cudnnRNNDataDescriptor_t rnnDataDesc, cudnnDataType_t dataType,
                                        cudnnRNNDataLayout_t layout, int maxSeqLength, int batchSize, int vectorSize,
                                        const int seqLengthArray[], void* paddingFill) {
  if (rnnDataDesc == nullptr || seqLengthArray == nullptr || maxSeqLength < 1 || batchSize < 1 || vectorSize < 1 ||
      !IsUpTo(layout, CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED))
    return CUDNN_STATUS_BAD_PARAM;
  if (!IsData(dataType)) return IsKnown(dataType) ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_BAD_PARAM;
  const bool is_packed = layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED;
  const std::vector<std::int32_t> lengths(seqLengthArray, seqLengthArray + batchSize);
  for (const std::int32_t length : lengths) {
    if (length < (is_packed ? 1 : 0) || length > maxSeqLength) return CUDNN_STATUS_BAD_PARAM;
  }
  if (is_packed && (lengths[0] != maxSeqLength || !std::is_sorted(lengths.rbegin(), lengths.rend())))
    return CUDNN_STATUS_BAD_PARAM;
  DnnSequences sequences;
  sequences.type = dataType;
  sequences.layout = layout;
  sequences.steps = maxSeqLength;
  sequences.batch = batchSize;
  sequences.vector = vectorSize;
  sequences.has_padding = paddingFill != nullptr ? 1 : 0;
  if (paddingFill != nullptr) sequences.padding = ReadElement(dataType, paddingFill);
  *rnnDataDesc = {sequences, lengths};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetRNNDataDescriptor(cudnnRNNDataDescriptor_t rnnDataDesc, cudnnDataType_t* dataType,
                                        cudnnRNNDataLayout_t* layout, int* maxSeqLength, int* batchSize,
                                        int* vectorSize, int arrayLengthRequested, int seqLengthArray[],
                                        void* paddingFill) {
  if (!AreGiven(rnnDataDesc, dataType, layout, maxSeqLength, batchSize, vectorSize, paddingFill) ||
      arrayLengthRequested < 0 || (arrayLengthRequested > 0 && seqLengthArray == nullptr))
    return CUDNN_STATUS_BAD_PARAM;
  const DnnSequences& sequences = rnnDataDesc->sequences;
  *dataType = static_cast<cudnnDataType_t>(sequences.type);
  *layout = static_cast<cudnnRNNDataLayout_t>(sequences.layout);
  *maxSeqLength = sequences.steps;
  *batchSize = sequences.batch;
  *vectorSize = sequences.vector;
  std::copy_n(rnnDataDesc->lengths.begin(),
              std::min(rnnDataDesc->lengths.size(), static_cast<std::size_t>(arrayLengthRequested)), seqLengthArray);
  if (sequences.has_padding != 0) WriteElement(sequences.type, sequences.padding, paddingFill);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetRNNTempSpaceSizes(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc, cudnnForwardMode_t fwdMode,
                                        cudnnRNNDataDescriptor_t xDesc, size_t* workSpaceSize,
                                        size_t* reserveSpaceSize) {
  Call call(handle, "cudnnGetRNNTempSpaceSizes");
  const DnnRnn& rnn = Network(call, rnnDesc);
  call.Require(xDesc != nullptr && IsUpTo(fwdMode, CUDNN_FWD_MODE_TRAINING));
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  call.Require(xDesc->sequences.batch > 0 && xDesc->sequences.type == rnn.type);
  DnnRnnBytes bytes;
  if (const cudnnStatus_t status = AskBytes(call, rnn, xDesc->sequences, fwdMode == CUDNN_FWD_MODE_TRAINING, &bytes);
      status != CUDNN_STATUS_SUCCESS)
    return status;
  Tell(workSpaceSize, bytes.workspace);
  Tell(reserveSpaceSize, bytes.reserve);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetRNNWeightSpaceSize(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc, size_t* weightSpaceSize) {
  Call call(handle, "cudnnGetRNNWeightSpaceSize");
  const DnnRnn& rnn = Network(call, rnnDesc);
  call.Require(weightSpaceSize != nullptr);
  DnnRnnPlaces places;
  if (const cudnnStatus_t status = AskPlaces(call, rnn, 0, &places); status != CUDNN_STATUS_SUCCESS) return status;
  *weightSpaceSize = places.bytes;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetRNNWeightParams(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc, int32_t pseudoLayer,
                                      size_t weightSpaceSize, const void* weightSpace, int32_t linLayerID,
                                      cudnnTensorDescriptor_t mDesc, void** mAddr, cudnnTensorDescriptor_t bDesc,
                                      void** bAddr) {
  Call call(handle, "cudnnGetRNNWeightParams");
  const DnnRnn& rnn = Network(call, rnnDesc);
  call.Require(AreGiven(weightSpace, mDesc, mAddr, bDesc, bAddr) && pseudoLayer >= 0 &&
               pseudoLayer < rnn.layers * DirectionsOf(rnn) && linLayerID >= 0 && linLayerID < LinearLayersOf(rnn));
  DnnRnnPlaces places;
  if (const cudnnStatus_t status = AskPlaces(call, rnn, pseudoLayer, &places); status != CUDNN_STATUS_SUCCESS)
    return status;
  if (weightSpaceSize < places.bytes) return CUDNN_STATUS_BAD_PARAM;
  // As the library names what is not there: no dimensions and no address.
  const DnnRnnPlaces::Place place = places.linear_layers[static_cast<std::size_t>(linLayerID)];
  const auto tell = [&](std::uint64_t offset, const DnnTensor& shape, cudnnTensorDescriptor_t descriptor,
                        void** address) {
    const bool is_there = offset != kDnnNoPlace;
    descriptor->tensor = is_there ? shape : DnnTensor{};
    *address = is_there ? reinterpret_cast<void*>(AddressOf(weightSpace) + offset) : nullptr;
  };
  tell(place.matrix, MatrixOf(rnn, pseudoLayer, linLayerID), mDesc, mAddr);
  tell(place.bias, Described(rnn.type, rnn.hidden_size, 1), bDesc, bAddr);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
