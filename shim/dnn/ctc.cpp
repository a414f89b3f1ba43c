// CTC loss. cudnnCTCLoss has its labels and lengths on the host, which are checked and copied by the call;
// cudnnCTCLoss_v8 in device memory, where only the server sees them.
#include <algorithm>
#include <span>
#include <vector>

#include "shim/dnn/call.h"
#include "shim/dnn/layer_descriptors.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

constexpr int kLabelLengthMax = 255;

cudnnStatus_t Set(cudnnCTCLossDescriptor_t descriptor, cudnnDataType_t type, int normalization, int gradient_mode,
                  int label_length_max) {
  if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM;
  if (type != CUDNN_DATA_FLOAT && type != CUDNN_DATA_DOUBLE) return CUDNN_STATUS_NOT_SUPPORTED;
  descriptor->ctc = {type, normalization, gradient_mode, label_length_max};
  return CUDNN_STATUS_SUCCESS;
}

// As cuDNN's, which lets results be null.
template <typename To>
void Tell(To* to, std::int32_t value) {
  if (to != nullptr) *to = static_cast<To>(value);
}

// What the losses and the queries ask of their tensors: steps, sequences, symbols.
struct Problem {
  Problem(Call& call, const cudnnTensorStruct* probabilities_descriptor, const cudnnTensorStruct* gradients_descriptor,
          const cudnnCTCLossStruct* descriptor, cudnnCTCLossAlgo_t algorithm) {
    call.Require(descriptor != nullptr && (algorithm == CUDNN_CTC_LOSS_ALGO_DETERMINISTIC ||
                                           algorithm == CUDNN_CTC_LOSS_ALGO_NON_DETERMINISTIC));
    probabilities = call.Tensor(probabilities_descriptor);
    if (gradients_descriptor != nullptr) gradients = call.Tensor(gradients_descriptor);
    if (call.status() != CUDNN_STATUS_SUCCESS) return;
    ctc = descriptor->ctc;
    call.Require(probabilities.rank == 3 && (gradients_descriptor == nullptr || SameDims(probabilities, gradients)));
    call.Support(probabilities.type == ctc.type && (gradients_descriptor == nullptr || gradients.type == ctc.type),
                 "its tensors are of another type than the loss");
    call.SupportTensors({probabilities, gradients});
    call.Require(ctc.normalization == CUDNN_LOSS_NORMALIZATION_NONE ||
                 ctc.normalization == CUDNN_LOSS_NORMALIZATION_SOFTMAX);
  }
  DnnTensor probabilities;
  DnnTensor gradients;
  DnnCtc ctc;
};

// The host's arrays, checked. Empty if the call has failed.
struct Labels {
  Labels(Call& call, const DnnTensor& probabilities, const int* symbols_given, const int* lengths_given,
         const int* inputs_given) {
    call.Require(AreGiven(symbols_given, lengths_given, inputs_given));
    if (call.status() != CUDNN_STATUS_SUCCESS) return;
    const auto batch = static_cast<std::size_t>(probabilities.dims[1]);
    lengths = {lengths_given, batch};
    inputs = {inputs_given, batch};
    std::size_t sum = 0;
    for (std::size_t i = 0; i < batch; ++i) {
      call.Require(lengths[i] >= 0 && lengths[i] <= kLabelLengthMax && inputs[i] >= 0 &&
                   inputs[i] <= probabilities.dims[0]);
      if (call.status() != CUDNN_STATUS_SUCCESS) return;
      longest = std::max(longest, lengths[i]);
      sum += static_cast<std::size_t>(lengths[i]);
    }
    symbols = {symbols_given, sum};
    // 0 is the blank.
    call.Require(std::all_of(symbols.begin(), symbols.end(),
                             [&](int symbol) { return symbol > 0 && symbol < probabilities.dims[2]; }));
  }
  std::span<const int> lengths;
  std::span<const int> inputs;
  std::span<const int> symbols;
  int longest = 0;
};

cudnnStatus_t WorkspaceBytes(Call& call, const Problem& problem, cudnnCTCLossAlgo_t algorithm, bool is_version_8,
                             int longest, std::uint64_t* bytes) {
  DnnSize size;
  const DnnCtcSizes words{
      problem.probabilities, problem.gradients, problem.ctc, algorithm, is_version_8 ? 1 : 0, longest};
  const cudnnStatus_t status = call.Ask(words, &size);
  if (status == CUDNN_STATUS_SUCCESS) *bytes = size.bytes;
  return status;
}

// All but the labels.
DnnCtcLoss Loss(Call& call, const Problem& problem, cudnnCTCLossAlgo_t algorithm, bool is_version_8, int longest,
                const void* probabilities, void* costs, void* gradients, void* workspace, size_t workspace_bytes) {
  DnnCtcLoss words;
  call.Require(AreGiven(probabilities, costs) && (gradients == nullptr || problem.gradients.rank != 0));
  words.algorithm = algorithm;
  words.is_version_8 = is_version_8 ? 1 : 0;
  words.ctc = problem.ctc;
  words.probabilities = {problem.probabilities, AddressOf(probabilities)};
  if (gradients != nullptr) words.gradients = {problem.gradients, AddressOf(gradients)};
  words.costs = AddressOf(costs);
  words.workspace = {AddressOf(workspace), workspace_bytes};
  std::uint64_t needed = 0;
  call.Fail(WorkspaceBytes(call, problem, algorithm, is_version_8, longest, &needed));
  call.Require(needed == 0 || (workspace != nullptr && workspace_bytes >= needed));
  return words;
}

// The part of a tensor that sequences [first, first + count) are.
DnnOperand Part(DnnOperand operand, std::size_t first, std::size_t count) {
  if (operand.tensor.rank == 0) return operand;
  const std::size_t bytes = operand.tensor.type == CUDNN_DATA_DOUBLE ? sizeof(double) : sizeof(float);
  operand.address += first * static_cast<std::size_t>(operand.tensor.strides[1]) * bytes;
  operand.tensor.dims[1] = static_cast<std::int32_t>(count);
  return operand;
}

// In as many calls as the labels need: sequences have nothing to do with one another.
cudnnStatus_t PostInParts(Call& call, const DnnCtcLoss& whole, const Labels& labels) {
  constexpr std::size_t kNumbersMax = 2 * kDnnTailWordsMax;
  std::size_t first = 0, first_symbol = 0;
  const std::size_t batch = labels.lengths.size();
  while (first < batch) {
    std::size_t last = first, symbols = 0;
    while (last < batch) {
      const std::size_t with = symbols + static_cast<std::size_t>(labels.lengths[last]);
      if (2 * (last + 1 - first) + with > kNumbersMax) break;
      symbols = with;
      ++last;
    }
    const std::size_t count = last - first;
    std::vector<std::int32_t> tail(labels.lengths.begin() + first, labels.lengths.begin() + last);
    tail.insert(tail.end(), labels.inputs.begin() + first, labels.inputs.begin() + last);
    tail.insert(tail.end(), labels.symbols.begin() + first_symbol, labels.symbols.begin() + first_symbol + symbols);
    DnnCtcLoss part = whole;
    part.probabilities = Part(whole.probabilities, first, count);
    part.gradients = Part(whole.gradients, first, count);
    part.costs += first * (whole.ctc.type == CUDNN_DATA_DOUBLE ? sizeof(double) : sizeof(float));
    if (const cudnnStatus_t status = call.Post(part, tail); status != CUDNN_STATUS_SUCCESS) return status;
    first = last;
    first_symbol += symbols;
  }
  return call.status();
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateCTCLossDescriptor(cudnnCTCLossDescriptor_t* ctcLossDesc) { return Create(ctcLossDesc); }
cudnnStatus_t cudnnDestroyCTCLossDescriptor(cudnnCTCLossDescriptor_t ctcLossDesc) { return Destroy(ctcLossDesc); }

cudnnStatus_t cudnnSetCTCLossDescriptor(cudnnCTCLossDescriptor_t ctcLossDesc, cudnnDataType_t compType) {
  return Set(ctcLossDesc, compType, CUDNN_LOSS_NORMALIZATION_NONE, CUDNN_CTC_ZERO_OOB_GRADIENTS, 0);
}
cudnnStatus_t cudnnSetCTCLossDescriptorEx(cudnnCTCLossDescriptor_t ctcLossDesc, cudnnDataType_t compType,
                                          cudnnLossNormalizationMode_t normMode, cudnnNanPropagation_t gradMode) {
  return Set(ctcLossDesc, compType, normMode, gradMode, 0);
}
cudnnStatus_t cudnnSetCTCLossDescriptor_v8(cudnnCTCLossDescriptor_t ctcLossDesc, cudnnDataType_t compType,
                                           cudnnLossNormalizationMode_t normMode, cudnnNanPropagation_t gradMode,
                                           int maxLabelLength) {
  return Set(ctcLossDesc, compType, normMode, gradMode, maxLabelLength);
}
cudnnStatus_t cudnnSetCTCLossDescriptor_v9(cudnnCTCLossDescriptor_t ctcLossDesc, cudnnDataType_t compType,
                                           cudnnLossNormalizationMode_t normMode, cudnnCTCGradMode_t ctcGradMode,
                                           int maxLabelLength) {
  return Set(ctcLossDesc, compType, normMode, ctcGradMode, maxLabelLength);
}
cudnnStatus_t cudnnGetCTCLossDescriptor(cudnnCTCLossDescriptor_t ctcLossDesc, cudnnDataType_t* compType) {
  if (ctcLossDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  Tell(compType, ctcLossDesc->ctc.type);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetCTCLossDescriptorEx(cudnnCTCLossDescriptor_t ctcLossDesc, cudnnDataType_t* compType,
                                          cudnnLossNormalizationMode_t* normMode, cudnnNanPropagation_t* gradMode) {
  if (ctcLossDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  Tell(normMode, ctcLossDesc->ctc.normalization);
  Tell(gradMode, ctcLossDesc->ctc.gradient_mode);
  return face::cudnnGetCTCLossDescriptor(ctcLossDesc, compType);
}
cudnnStatus_t cudnnGetCTCLossDescriptor_v8(cudnnCTCLossDescriptor_t ctcLossDesc, cudnnDataType_t* compType,
                                           cudnnLossNormalizationMode_t* normMode, cudnnNanPropagation_t* gradMode,
                                           int* maxLabelLength) {
  if (ctcLossDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  Tell(maxLabelLength, ctcLossDesc->ctc.label_length_max);
  return face::cudnnGetCTCLossDescriptorEx(ctcLossDesc, compType, normMode, gradMode);
}
cudnnStatus_t cudnnGetCTCLossDescriptor_v9(cudnnCTCLossDescriptor_t ctcLossDesc, cudnnDataType_t* compType,
                                           cudnnLossNormalizationMode_t* normMode, cudnnCTCGradMode_t* ctcGradMode,
                                           int* maxLabelLength) {
  if (ctcLossDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  Tell(ctcGradMode, ctcLossDesc->ctc.gradient_mode);
  return face::cudnnGetCTCLossDescriptor_v8(ctcLossDesc, compType, normMode, nullptr, maxLabelLength);
}

cudnnStatus_t cudnnGetCTCLossWorkspaceSize(cudnnHandle_t handle, const cudnnTensorDescriptor_t probsDesc,
                                           const cudnnTensorDescriptor_t gradientsDesc, const int* labels,
                                           const int* labelLengths, const int* inputLengths, cudnnCTCLossAlgo_t algo,
                                           cudnnCTCLossDescriptor_t ctcLossDesc, size_t* sizeInBytes) {
  Call call(handle, "cudnnGetCTCLossWorkspaceSize");
  const Problem problem(call, probsDesc, gradientsDesc, ctcLossDesc, algo);
  call.Require(sizeInBytes != nullptr);
  const Labels checked(call, problem.probabilities, labels, labelLengths, inputLengths);
  return WorkspaceBytes(call, problem, algo, false, checked.longest, sizeInBytes);
}
cudnnStatus_t cudnnGetCTCLossWorkspaceSize_v8(cudnnHandle_t handle, cudnnCTCLossAlgo_t algo,
                                              cudnnCTCLossDescriptor_t ctcLossDesc,
                                              const cudnnTensorDescriptor_t probsDesc,
                                              const cudnnTensorDescriptor_t gradientsDesc, size_t* sizeInBytes) {
  Call call(handle, "cudnnGetCTCLossWorkspaceSize_v8");
  const Problem problem(call, probsDesc, gradientsDesc, ctcLossDesc, algo);
  call.Require(sizeInBytes != nullptr);
  return WorkspaceBytes(call, problem, algo, true, problem.ctc.label_length_max, sizeInBytes);
}

cudnnStatus_t cudnnCTCLoss(cudnnHandle_t handle, const cudnnTensorDescriptor_t probsDesc, const void* probs,
                           const int hostLabels[], const int hostLabelLengths[], const int hostInputLengths[],
                           void* costs, const cudnnTensorDescriptor_t gradientsDesc, void* gradients,
                           cudnnCTCLossAlgo_t algo, cudnnCTCLossDescriptor_t ctcLossDesc, void* workspace,
                           size_t workSpaceSizeInBytes) {
  Call call(handle, "cudnnCTCLoss");
  const Problem problem(call, probsDesc, gradientsDesc, ctcLossDesc, algo);
  const Labels labels(call, problem.probabilities, hostLabels, hostLabelLengths, hostInputLengths);
  const DnnCtcLoss words =
      Loss(call, problem, algo, false, labels.longest, probs, costs, gradients, workspace, workSpaceSizeInBytes);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  return PostInParts(call, words, labels);
}
cudnnStatus_t cudnnCTCLoss_v8(cudnnHandle_t handle, cudnnCTCLossAlgo_t algo, cudnnCTCLossDescriptor_t ctcLossDesc,
                              const cudnnTensorDescriptor_t probsDesc, const void* probs, const int labels[],
                              const int labelLengths[], const int inputLengths[], void* costs,
                              const cudnnTensorDescriptor_t gradientsDesc, void* gradients, size_t workSpaceSizeInBytes,
                              void* workspace) {
  Call call(handle, "cudnnCTCLoss_v8");
  const Problem problem(call, probsDesc, gradientsDesc, ctcLossDesc, algo);
  call.Require(AreGiven(labels, labelLengths, inputLengths));
  DnnCtcLoss words = Loss(call, problem, algo, true, problem.ctc.label_length_max, probs, costs, gradients, workspace,
                          workSpaceSizeInBytes);
  words.labels = AddressOf(labels);
  words.label_lengths = AddressOf(labelLengths);
  words.input_lengths = AddressOf(inputLengths);
  return call.Post(words, {});
}

}  // namespace accelmesh::face
