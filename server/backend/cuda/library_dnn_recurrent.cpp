// Dropout and recurrent networks by libcudnn. A network's descriptor names its dropout's, which a handle keeps as long.
#include <algorithm>
#include <limits>

#include "server/backend/cuda/library_dnn_call.h"
#include "server/backend/cuda/library_dnn_element.h"

namespace accelmesh::cuda {
namespace {

constexpr std::int32_t kBatchMax = 2 * static_cast<std::int32_t>(kDnnTailWordsMax);
// Where a weight space would lie that is only asked about.
constexpr std::uintptr_t kNowhere = std::uintptr_t{1} << 40;

// Of layers and directions, batch and vector, without gaps.
DnnTensor StateOf(DnnCall& call, const DnnRnn& rnn, std::int32_t batch, std::int32_t vector) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
  const std::int64_t layers = std::int64_t{rnn.layers} * (rnn.direction == CUDNN_BIDIRECTIONAL ? 2 : 1);
  const std::int64_t stride = std::int64_t{batch} * vector;
  call.Require(layers > 0 && layers <= kMax && stride > 0 && stride <= kMax);
  DnnTensor state;
  state.type = rnn.type;
  state.rank = 3;
  state.dims = {static_cast<std::int32_t>(layers), batch, vector};
  state.strides = {static_cast<std::int32_t>(stride), vector, 1};
  return state;
}
cudnnTensorDescriptor_t Hidden(DnnCall& call, const DnnRnn& rnn, std::int32_t batch) {
  return call.Tensor(StateOf(call, rnn, batch, rnn.projection_size > 0 ? rnn.projection_size : rnn.hidden_size));
}
// Only an LSTM has some.
cudnnTensorDescriptor_t Cells(DnnCall& call, const DnnRnn& rnn, std::int32_t batch) {
  return rnn.cell == CUDNN_LSTM ? call.Tensor(StateOf(call, rnn, batch, rnn.hidden_size)) : nullptr;
}

// Dropout ------------------------------------------------------------------------------------------------------------

cudnnStatus_t DropoutSizes(DnnCall& call, const DnnDropoutSizes&, Bytes* answer) {
  std::size_t bytes = 0;
  const cudnnStatus_t status = call.Do(call.library().DropoutGetStatesSize, &bytes);
  if (status == CUDNN_STATUS_SUCCESS) GiveAnswer(DnnDropoutBytes{bytes}, answer);
  return status;
}
cudnnStatus_t DropoutSeed(DnnCall& call, const DnnDropoutSeed& words) { return call.Seed(words.dropout); }
cudnnStatus_t DropoutForward(DnnCall& call, const DnnDropoutForward& words) {
  return call.Do(call.library().DropoutForward, call.Dropout(words.dropout), call.Tensor(words.x.tensor),
                 call.Address(words.x.address), call.Tensor(words.y.tensor), call.Address(words.y.address),
                 call.Address(words.reserve.address), call.Size(words.reserve));
}
cudnnStatus_t DropoutBackward(DnnCall& call, const DnnDropoutBackward& words) {
  return call.Do(call.library().DropoutBackward, call.Dropout(words.dropout), call.Tensor(words.dy.tensor),
                 call.Address(words.dy.address), call.Tensor(words.dx.tensor), call.Address(words.dx.address),
                 call.Address(words.reserve.address), call.Size(words.reserve));
}

// Networks -----------------------------------------------------------------------------------------------------------

cudnnStatus_t RnnSizes(DnnCall& call, const DnnRnnSizes& words, Bytes* answer) {
  call.Require(words.batch > 0 && words.batch <= kBatchMax);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  DnnSequences data{
      words.type, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, words.steps, words.batch, words.rnn.input_size, 0, 0, 0};
  const std::vector<std::int32_t> lengths(static_cast<std::size_t>(words.batch), words.steps);
  std::size_t workspace = 0, reserve = 0;
  const cudnnStatus_t status =
      call.Do(call.library().GetRNNTempSpaceSizes, call.Network(words.rnn, words.batch), call.Number(words.is_training),
              call.Sequences(data, lengths), &workspace, &reserve);
  if (status == CUDNN_STATUS_SUCCESS) GiveAnswer(DnnRnnBytes{workspace, reserve}, answer);
  return status;
}

int LinearLayersOf(const DnnRnn& rnn) {
  switch (rnn.cell) {
    case CUDNN_LSTM: return rnn.projection_size > 0 && rnn.projection_size < rnn.hidden_size ? 9 : 8;
    case CUDNN_GRU: return 6;
    default: return 2;
  }
}
cudnnStatus_t RnnWeights(DnnCall& call, const DnnRnnWeights& words, Bytes* answer) {
  const DnnLibrary& library = call.library();
  cudnnRNNDescriptor_t const network = call.Network(words.rnn, 1);
  std::size_t bytes = 0;
  cudnnStatus_t status = call.Do(library.GetRNNWeightSpaceSize, network, &bytes);
  DnnRnnPlaces places;
  places.bytes = bytes;
  // Their shapes are not asked for.
  cudnnTensorDescriptor_t matrix_shape = nullptr, bias_shape = nullptr;
  if (status == CUDNN_STATUS_SUCCESS) status = library.CreateTensorDescriptor(&matrix_shape);
  if (status == CUDNN_STATUS_SUCCESS) status = library.CreateTensorDescriptor(&bias_shape);
  for (int id = 0; status == CUDNN_STATUS_SUCCESS && id < LinearLayersOf(words.rnn); ++id) {
    void* matrix = nullptr;
    void* bias = nullptr;
    status = call.Do(library.GetRNNWeightParams, network, call.Number(words.pseudo_layer), bytes,
                     reinterpret_cast<const void*>(kNowhere), id, matrix_shape, &matrix, bias_shape, &bias);
    const auto place = [](const void* there) {
      return there == nullptr ? kDnnNoPlace : reinterpret_cast<std::uintptr_t>(there) - kNowhere;
    };
    places.linear_layers[static_cast<std::size_t>(id)] = {place(matrix), place(bias)};
  }
  for (cudnnTensorDescriptor_t const shape : {matrix_shape, bias_shape}) {
    if (shape != nullptr) (void)library.DestroyTensorDescriptor(shape);
  }
  if (status == CUDNN_STATUS_SUCCESS) GiveAnswer(places, answer);
  return status;
}

// Lengths of sequences are the host's: cuDNN 9 looks at no copy of them on the device.
cudnnStatus_t RnnForward(DnnCall& call, const DnnRnnForward& words, std::span<const std::int32_t> lengths) {
  const std::int32_t batch = words.x.batch;
  return call.Do(call.library().RNNForward, call.Network(words.rnn, batch), call.Number(words.is_training), nullptr,
                 call.Sequences(words.x, lengths), call.Address(words.x.address), call.Sequences(words.y, lengths),
                 call.Address(words.y.address), Hidden(call, words.rnn, batch), call.Address(words.hx),
                 call.Address(words.hy), Cells(call, words.rnn, batch), call.Address(words.cx), call.Address(words.cy),
                 call.Size(words.weights), call.Address(words.weights.address), call.Size(words.workspace),
                 call.Address(words.workspace.address), call.Size(words.reserve), call.Address(words.reserve.address));
}
cudnnStatus_t RnnBackwardData(DnnCall& call, const DnnRnnBackwardData& words, std::span<const std::int32_t> lengths) {
  const std::int32_t batch = words.dx.batch;
  return call.Do(call.library().RNNBackwardData_v8, call.Network(words.rnn, batch), nullptr,
                 call.Sequences(words.y, lengths), call.Address(words.y.address), call.Address(words.dy),
                 call.Sequences(words.dx, lengths), call.Address(words.dx.address), Hidden(call, words.rnn, batch),
                 call.Address(words.hx), call.Address(words.dhy), call.Address(words.dhx),
                 Cells(call, words.rnn, batch), call.Address(words.cx), call.Address(words.dcy),
                 call.Address(words.dcx), call.Size(words.weights), call.Address(words.weights.address),
                 call.Size(words.workspace), call.Address(words.workspace.address), call.Size(words.reserve),
                 call.Address(words.reserve.address));
}
cudnnStatus_t RnnBackwardWeights(DnnCall& call, const DnnRnnBackwardWeights& words,
                                 std::span<const std::int32_t> lengths) {
  return call.Do(call.library().RNNBackwardWeights_v8, call.Network(words.rnn, words.x.batch), call.Number(words.mode),
                 nullptr, call.Sequences(words.x, lengths), call.Address(words.x.address),
                 Hidden(call, words.rnn, words.x.batch), call.Address(words.hx), call.Sequences(words.y, lengths),
                 call.Address(words.y.address), call.Size(words.gradients), call.Address(words.gradients.address),
                 call.Size(words.workspace), call.Address(words.workspace.address), call.Size(words.reserve),
                 call.Address(words.reserve.address));
}

}  // namespace

// Descriptors --------------------------------------------------------------------------------------------------------

cudnnStatus_t DnnCall::Seed(const DnnDropout& words) {
  Mix(words.states != 0 ? 1 : 0);
  if (status_ != CUDNN_STATUS_SUCCESS || handle_ == nullptr) return status_;
  cudnnDropoutDescriptor_t made = nullptr;
  status_ = library_.CreateDropoutDescriptor(&made);
  if (status_ != CUDNN_STATUS_SUCCESS) return status_;
  status_ = library_.SetDropoutDescriptor(made, handle_->handle_, static_cast<float>(words.probability),
                                          reinterpret_cast<void*>(words.states), words.states_bytes, words.seed);
  (void)library_.DestroyDropoutDescriptor(made);
  return status_;
}

cudnnDropoutDescriptor_t DnnCall::Dropout(const DnnDropout& words) {
  return Describe(&DnnDescriptors::dropouts, words, library_.CreateDropoutDescriptor, library_.DestroyDropoutDescriptor,
                  [&](cudnnDropoutDescriptor_t made) {
                    // Without states nothing is initialised; with some, that has been done (DnnDropoutSeed).
                    const auto set =
                        words.states == 0 ? library_.SetDropoutDescriptor : library_.RestoreDropoutDescriptor;
                    return set(made, handle_->handle_, static_cast<float>(words.probability),
                               reinterpret_cast<void*>(words.states), words.states_bytes, words.seed);
                  });
}

cudnnRNNDescriptor_t DnnCall::Network(const DnnRnn& words, std::int32_t batch) {
  struct Key {
    DnnRnn rnn;
    std::int64_t batch;
  };
  const bool is_built = words.algorithm == CUDNN_RNN_ALGO_PERSIST_DYNAMIC;
  cudnnDropoutDescriptor_t const dropout = Dropout(words.dropout);
  return Describe(&DnnDescriptors::networks, Key{words, is_built ? batch : 0}, library_.CreateRNNDescriptor,
                  library_.DestroyRNNDescriptor, [&](cudnnRNNDescriptor_t made) {
                    cudnnStatus_t status = library_.SetRNNDescriptor_v8(
                        made, static_cast<cudnnRNNAlgo_t>(words.algorithm), static_cast<cudnnRNNMode_t>(words.cell),
                        static_cast<cudnnRNNBiasMode_t>(words.bias), static_cast<cudnnDirectionMode_t>(words.direction),
                        static_cast<cudnnRNNInputMode_t>(words.input), static_cast<cudnnDataType_t>(words.type),
                        static_cast<cudnnDataType_t>(words.math_precision),
                        static_cast<cudnnMathType_t>(words.math_type), words.input_size, words.hidden_size,
                        words.projection_size, words.layers, dropout, words.flags);
                    if (status == CUDNN_STATUS_SUCCESS && words.clip_mode != CUDNN_RNN_CLIP_NONE)
                      status = library_.RNNSetClip_v8(made, static_cast<cudnnRNNClipMode_t>(words.clip_mode),
                                                      static_cast<cudnnNanPropagation_t>(words.clip_nan),
                                                      words.clip_low, words.clip_high);
                    if (status == CUDNN_STATUS_SUCCESS && is_built)
                      status = library_.BuildRNNDynamic(handle_->handle_, made, batch);
                    return status;
                  });
}

cudnnRNNDataDescriptor_t DnnCall::Sequences(const DnnSequences& words, std::span<const std::int32_t> lengths) {
  Require(words.batch > 0 && static_cast<std::size_t>(words.batch) <= lengths.size());
  if (status_ != CUDNN_STATUS_SUCCESS) return nullptr;
  lengths = lengths.first(static_cast<std::size_t>(words.batch));
  DnnSequences placeless = words;
  placeless.address = 0;
  std::string key(AsText(AsBytes(placeless)));
  key.append(reinterpret_cast<const char*>(lengths.data()), lengths.size_bytes());
  return DescribeKey(&DnnDescriptors::sequences, key, library_.CreateRNNDataDescriptor,
                     library_.DestroyRNNDataDescriptor, [&](cudnnRNNDataDescriptor_t made) {
                       InType padding(words.type, words.padding);
                       return library_.SetRNNDataDescriptor(made, static_cast<cudnnDataType_t>(words.type),
                                                            static_cast<cudnnRNNDataLayout_t>(words.layout),
                                                            words.steps, words.batch, words.vector, lengths.data(),
                                                            words.has_padding != 0 ? padding.get() : nullptr);
                     });
}

void AddRecurrent(DnnTable& table) {
  AddAsk<DnnDropoutSizes, &DropoutSizes>(table, DnnGroup::kDropout);
  AddRun<DnnDropoutSeed, &DropoutSeed>(table, DnnGroup::kDropout, true);
  AddRun<DnnDropoutForward, &DropoutForward>(table, DnnGroup::kDropout);
  AddRun<DnnDropoutBackward, &DropoutBackward>(table, DnnGroup::kDropout);
  AddAsk<DnnRnnSizes, &RnnSizes>(table, DnnGroup::kRecurrent);
  AddAsk<DnnRnnWeights, &RnnWeights>(table, DnnGroup::kRecurrent);
  AddLongRun<DnnRnnForward, &RnnForward>(table, DnnGroup::kRecurrent);
  AddLongRun<DnnRnnBackwardData, &RnnBackwardData>(table, DnnGroup::kRecurrent);
  AddLongRun<DnnRnnBackwardWeights, &RnnBackwardWeights>(table, DnnGroup::kRecurrent);
}

}  // namespace accelmesh::cuda
