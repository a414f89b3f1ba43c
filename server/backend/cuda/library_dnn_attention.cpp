// Multi-head attention: descriptors for the words of the wire. Windows and lengths of sequences come behind the words;
// the lengths on the device are the program's memory.
#include <algorithm>
#include <array>

#include "protocol/library/dnn_windows.h"
#include "server/backend/cuda/library_dnn_call.h"
#include "server/backend/cuda/library_dnn_element.h"

namespace accelmesh::cuda {
namespace {

// Where weights would lie that are only asked about.
constexpr std::uintptr_t kNowhere = std::uintptr_t{1} << 40;
// What is read of windows, at most.
constexpr std::int32_t kStepsMax = 1 << 20;

std::size_t Dim(const DnnSequenceData& data, cudnnSeqDataAxis_t axis) {
  return static_cast<std::size_t>(data.dims[static_cast<std::size_t>(axis)]);
}

// The tail of a call, taken apart: each has as much as the library reads, whatever a client sent.
struct Tail {
  std::span<const std::int32_t> query_lengths;
  std::span<const std::int32_t> key_lengths;
  DnnWindows windows;  // for as many steps as the attention may have
};
Tail TakeApart(DnnCall& call, const DnnAttention& attention, const DnnSequenceData& queries,
               const DnnSequenceData& keys, std::span<const std::int32_t> all, bool has_windows) {
  Tail tail;
  const auto take = [&](std::size_t count) {
    call.Require(count <= all.size());
    if (call.status() != CUDNN_STATUS_SUCCESS) return std::span<const std::int32_t>{};
    const std::span<const std::int32_t> taken = all.first(count);
    all = all.subspan(count);
    return taken;
  };
  for (const DnnSequenceData* const data : {&queries, &keys})
    call.Require(std::ranges::all_of(data->dims, [](std::int32_t size) { return size > 0 && size <= kStepsMax; }));
  call.Require(attention.query_steps > 0 && attention.query_steps <= kStepsMax);
  if (call.status() != CUDNN_STATUS_SUCCESS) return tail;
  const auto sequences = [](const DnnSequenceData& data) {
    return Dim(data, CUDNN_SEQDATA_BATCH_DIM) * Dim(data, CUDNN_SEQDATA_BEAM_DIM);
  };
  tail.query_lengths = take(sequences(queries));
  tail.key_lengths = take(sequences(keys));
  if (!has_windows) return tail;
  const std::size_t steps = Dim(queries, CUDNN_SEQDATA_TIME_DIM);
  auto windows = UnpackWindows(all, steps);
  call.Require(windows.has_value());
  if (!windows.has_value()) return tail;
  tail.windows = std::move(*windows);
  for (std::vector<std::int32_t>* const numbers : {&tail.windows.begins, &tail.windows.ends})
    numbers->resize(std::max(steps, static_cast<std::size_t>(attention.query_steps)));
  return tail;
}

cudnnStatus_t Sizes(DnnCall& call, const DnnAttentionSizes& words, Bytes* answer) {
  std::size_t weights = 0, workspace = 0, reserve = 0;
  const cudnnStatus_t status = call.Do(call.library().GetMultiHeadAttnBuffers, call.Attention(words.attention),
                                       &weights, &workspace, words.is_training != 0 ? &reserve : nullptr);
  if (status == CUDNN_STATUS_SUCCESS) GiveAnswer(DnnAttentionBytes{weights, workspace, reserve}, answer);
  return status;
}

cudnnStatus_t Weights(DnnCall& call, const DnnAttentionWeights& words, Bytes* answer) {
  const DnnLibrary& library = call.library();
  cudnnAttnDescriptor_t const attention = call.Attention(words.attention);
  std::size_t all = 0, workspace = 0;
  cudnnStatus_t status = call.Do(library.GetMultiHeadAttnBuffers, attention, &all, &workspace, nullptr);
  cudnnTensorDescriptor_t shape = nullptr;
  if (status == CUDNN_STATUS_SUCCESS) status = library.CreateTensorDescriptor(&shape);
  void* begin = nullptr;
  if (status == CUDNN_STATUS_SUCCESS)
    status = call.Do(library.GetMultiHeadAttnWeights, attention, call.Number(words.kind), all,
                     reinterpret_cast<const void*>(kNowhere), shape, &begin);
  DnnAttentionPlace place;
  constexpr int kRank = static_cast<int>(std::tuple_size_v<decltype(place.dims)>);
  if (status == CUDNN_STATUS_SUCCESS && begin != nullptr) {
    cudnnDataType_t type{};
    int rank = 0;
    status = library.GetTensorNdDescriptor(shape, kRank, &type, &rank, place.dims.data(), place.strides.data());
    place.offset = reinterpret_cast<std::uintptr_t>(begin) - kNowhere;
    if (status == CUDNN_STATUS_SUCCESS && rank != kRank) status = CUDNN_STATUS_NOT_SUPPORTED;
  }
  if (shape != nullptr) (void)library.DestroyTensorDescriptor(shape);
  if (status == CUDNN_STATUS_SUCCESS) GiveAnswer(place, answer);
  return status;
}

const int* Lengths(DnnCall& call, std::uint64_t address) { return static_cast<const int*>(call.Address(address)); }

cudnnStatus_t Forward(DnnCall& call, const DnnAttentionForward& words, std::span<const std::int32_t> all) {
  const Tail tail = TakeApart(call, words.attention, words.queries, words.keys, all, true);
  return call.Do(call.library().MultiHeadAttnForward, call.Attention(words.attention), call.Number(words.step),
                 tail.windows.begins.data(), tail.windows.ends.data(), Lengths(call, words.query_lengths),
                 Lengths(call, words.key_lengths), call.SequenceData(words.queries, tail.query_lengths),
                 call.Address(words.queries.address), call.Address(words.residuals),
                 call.SequenceData(words.keys, tail.key_lengths), call.Address(words.keys.address),
                 call.SequenceData(words.values, tail.key_lengths), call.Address(words.values.address),
                 call.SequenceData(words.result, tail.query_lengths), call.Address(words.result.address),
                 call.Size(words.weights), call.Address(words.weights.address), call.Size(words.workspace),
                 call.Address(words.workspace.address), call.Size(words.reserve), call.Address(words.reserve.address));
}

cudnnStatus_t BackwardData(DnnCall& call, const DnnAttentionBackwardData& words, std::span<const std::int32_t> all) {
  const Tail tail = TakeApart(call, words.attention, words.queries, words.keys, all, true);
  return call.Do(call.library().MultiHeadAttnBackwardData, call.Attention(words.attention), tail.windows.begins.data(),
                 tail.windows.ends.data(), Lengths(call, words.query_lengths), Lengths(call, words.key_lengths),
                 call.SequenceData(words.dresult, tail.query_lengths), call.Address(words.dresult.address),
                 call.SequenceData(words.queries, tail.query_lengths), call.Address(words.dqueries),
                 call.Address(words.queries.address), call.SequenceData(words.keys, tail.key_lengths),
                 call.Address(words.dkeys), call.Address(words.keys.address),
                 call.SequenceData(words.values, tail.key_lengths), call.Address(words.dvalues),
                 call.Address(words.values.address), call.Size(words.weights), call.Address(words.weights.address),
                 call.Size(words.workspace), call.Address(words.workspace.address), call.Size(words.reserve),
                 call.Address(words.reserve.address));
}

cudnnStatus_t BackwardWeights(DnnCall& call, const DnnAttentionBackwardWeights& words,
                              std::span<const std::int32_t> all) {
  const Tail tail = TakeApart(call, words.attention, words.queries, words.keys, all, false);
  return call.Do(call.library().MultiHeadAttnBackwardWeights, call.Attention(words.attention), call.Number(words.mode),
                 call.SequenceData(words.queries, tail.query_lengths), call.Address(words.queries.address),
                 call.SequenceData(words.keys, tail.key_lengths), call.Address(words.keys.address),
                 call.SequenceData(words.values, tail.key_lengths), call.Address(words.values.address),
                 call.SequenceData(words.dresult, tail.query_lengths), call.Address(words.dresult.address),
                 call.Size(words.weights), call.Address(words.weights.address), call.Address(words.gradients),
                 call.Size(words.workspace), call.Address(words.workspace.address), call.Size(words.reserve),
                 call.Address(words.reserve.address));
}

}  // namespace

// Descriptors --------------------------------------------------------------------------------------------------------

cudnnAttnDescriptor_t DnnCall::Attention(const DnnAttention& words) {
  // None where nothing is dropped.
  const auto dropout = [this](const DnnDropout& of) { return of.probability == 0 ? nullptr : Dropout(of); };
  cudnnDropoutDescriptor_t const of_weights = dropout(words.dropout);
  cudnnDropoutDescriptor_t const of_result = dropout(words.result_dropout);
  return Describe(&DnnDescriptors::attentions, words, library_.CreateAttnDescriptor, library_.DestroyAttnDescriptor,
                  [&](cudnnAttnDescriptor_t made) {
                    return library_.SetAttnDescriptor(
                        made, words.mode, words.heads, words.scale, static_cast<cudnnDataType_t>(words.type),
                        static_cast<cudnnDataType_t>(words.precision), static_cast<cudnnMathType_t>(words.math_type),
                        of_weights, of_result, words.query_size, words.key_size, words.value_size,
                        words.query_projection, words.key_projection, words.value_projection, words.result_projection,
                        words.query_steps, words.key_steps, words.batch, words.beams);
                  });
}

cudnnSeqDataDescriptor_t DnnCall::SequenceData(const DnnSequenceData& words, std::span<const std::int32_t> lengths) {
  if (status_ != CUDNN_STATUS_SUCCESS) return nullptr;
  DnnSequenceData placeless = words;
  placeless.address = 0;
  std::string key(AsText(AsBytes(placeless)));
  key.append(reinterpret_cast<const char*>(lengths.data()), lengths.size_bytes());
  return DescribeKey(&DnnDescriptors::sequence_data, key, library_.CreateSeqDataDescriptor,
                     library_.DestroySeqDataDescriptor, [&](cudnnSeqDataDescriptor_t made) {
                       InType padding(words.type, words.padding);
                       std::array<cudnnSeqDataAxis_t, CUDNN_SEQDATA_DIM_COUNT> axes{};
                       std::ranges::transform(words.axes, axes.begin(),
                                              [](std::int32_t axis) { return static_cast<cudnnSeqDataAxis_t>(axis); });
                       return library_.SetSeqDataDescriptor(made, static_cast<cudnnDataType_t>(words.type),
                                                            CUDNN_SEQDATA_DIM_COUNT, words.dims.data(), axes.data(),
                                                            lengths.size(), lengths.data(),
                                                            words.has_padding != 0 ? padding.get() : nullptr);
                     });
}

void AddAttention(DnnTable& table) {
  AddAsk<DnnAttentionSizes, &Sizes>(table, DnnGroup::kAttention);
  AddAsk<DnnAttentionWeights, &Weights>(table, DnnGroup::kAttention);
  AddLongRun<DnnAttentionForward, &Forward>(table, DnnGroup::kAttention);
  AddLongRun<DnnAttentionBackwardData, &BackwardData>(table, DnnGroup::kAttention);
  AddLongRun<DnnAttentionBackwardWeights, &BackwardWeights>(table, DnnGroup::kAttention);
}

}  // namespace accelmesh::cuda
