// Layers of cuDNN's older interface by libcudnn: local response and divisive normalisation, spatial transformers, CTC
// loss, transforms of tensors and filters.
#include <algorithm>
#include <numeric>

#include "server/backend/cuda/library_dnn_call.h"

namespace accelmesh::cuda {
namespace {

// Of a question about a CTC loss: all of its labels.
constexpr std::int64_t kLabelsMax = 1 << 22;

cudnnStatus_t LrnForward(DnnCall& call, const DnnLrnForward& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().LRNCrossChannelForward, call.Lrn(words.lrn), CUDNN_LRN_CROSS_CHANNEL_DIM1,
                 call.Scalar(words.blend.alpha, y), call.Tensor(words.x.tensor), call.Address(words.x.address),
                 call.Scalar(words.blend.beta, y), call.Tensor(y), call.Address(words.y.address));
}
cudnnStatus_t LrnBackward(DnnCall& call, const DnnLrnBackward& words) {
  const DnnTensor& dx = words.dx.tensor;
  return call.Do(call.library().LRNCrossChannelBackward, call.Lrn(words.lrn), CUDNN_LRN_CROSS_CHANNEL_DIM1,
                 call.Scalar(words.blend.alpha, dx), call.Tensor(words.y.tensor), call.Address(words.y.address),
                 call.Tensor(words.dy.tensor), call.Address(words.dy.address), call.Tensor(words.x.tensor),
                 call.Address(words.x.address), call.Scalar(words.blend.beta, dx), call.Tensor(dx),
                 call.Address(words.dx.address));
}
cudnnStatus_t DivisiveForward(DnnCall& call, const DnnDivisiveForward& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().DivisiveNormalizationForward, call.Lrn(words.lrn), CUDNN_DIVNORM_PRECOMPUTED_MEANS,
                 call.Scalar(words.blend.alpha, y), call.Tensor(words.x.tensor), call.Address(words.x.address),
                 call.Address(words.means), call.Address(words.temporary), call.Address(words.temporary2),
                 call.Scalar(words.blend.beta, y), call.Tensor(y), call.Address(words.y.address));
}
cudnnStatus_t DivisiveBackward(DnnCall& call, const DnnDivisiveBackward& words) {
  const DnnTensor& dx = words.dx.tensor;
  return call.Do(call.library().DivisiveNormalizationBackward, call.Lrn(words.lrn), CUDNN_DIVNORM_PRECOMPUTED_MEANS,
                 call.Scalar(words.blend.alpha, dx), call.Tensor(words.x.tensor), call.Address(words.x.address),
                 call.Address(words.means), call.Address(words.dy), call.Address(words.temporary),
                 call.Address(words.temporary2), call.Scalar(words.blend.beta, dx), call.Tensor(dx),
                 call.Address(words.dx.address), call.Address(words.means_gradient));
}

cudnnStatus_t GridForward(DnnCall& call, const DnnGridForward& words) {
  return call.Do(call.library().SpatialTfGridGeneratorForward, call.Transformer(words.transformer),
                 call.Address(words.theta), call.Address(words.grid));
}
cudnnStatus_t GridBackward(DnnCall& call, const DnnGridBackward& words) {
  return call.Do(call.library().SpatialTfGridGeneratorBackward, call.Transformer(words.transformer),
                 call.Address(words.grid_gradient), call.Address(words.theta_gradient));
}
cudnnStatus_t SamplerForward(DnnCall& call, const DnnSamplerForward& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().SpatialTfSamplerForward, call.Transformer(words.transformer),
                 call.Scalar(words.blend.alpha, y), call.Tensor(words.x.tensor), call.Address(words.x.address),
                 call.Address(words.grid), call.Scalar(words.blend.beta, y), call.Tensor(y),
                 call.Address(words.y.address));
}
cudnnStatus_t SamplerBackward(DnnCall& call, const DnnSamplerBackward& words) {
  const DnnTensor& dx = words.dx.tensor;
  return call.Do(call.library().SpatialTfSamplerBackward, call.Transformer(words.transformer),
                 call.Scalar(words.data.alpha, dx), call.Tensor(words.x.tensor), call.Address(words.x.address),
                 call.Scalar(words.data.beta, dx), call.Tensor(dx), call.Address(words.dx.address),
                 call.Scalar(words.of_grid.alpha, dx), call.Tensor(words.dy.tensor), call.Address(words.dy.address),
                 call.Address(words.grid), call.Scalar(words.of_grid.beta, dx), call.Address(words.grid_gradient));
}

// CTC loss -----------------------------------------------------------------------------------------------------------

cudnnStatus_t CtcSizes(DnnCall& call, const DnnCtcSizes& words, Bytes* answer) {
  std::size_t bytes = 0;
  const DnnLibrary& library = call.library();
  if (words.is_version_8 != 0) {
    (void)call.Do(library.GetCTCLossWorkspaceSize_v8, call.Number(words.algorithm), call.Ctc(words.ctc),
                  call.Tensor(words.probabilities), call.Optional(words.gradients), &bytes);
  } else {
    // As long as any may be.
    const std::int64_t steps = words.probabilities.dims[0], batch = words.probabilities.dims[1];
    const std::int64_t length = words.label_length_max;
    call.Require(batch > 0 && batch <= kLabelsMax && length >= 0 && length <= kLabelsMax &&
                 batch * length <= kLabelsMax);
    if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
    const std::vector<int> labels(static_cast<std::size_t>(batch * length), 1);
    const std::vector<int> label_lengths(static_cast<std::size_t>(batch), static_cast<int>(length));
    const std::vector<int> input_lengths(static_cast<std::size_t>(batch), static_cast<int>(steps));
    (void)call.Do(library.GetCTCLossWorkspaceSize, call.Tensor(words.probabilities), call.Optional(words.gradients),
                  labels.data(), label_lengths.data(), input_lengths.data(), call.Number(words.algorithm),
                  call.Ctc(words.ctc), &bytes);
  }
  if (call.status() == CUDNN_STATUS_SUCCESS) GiveAnswer(DnnSize{bytes}, answer);
  return call.status();
}

const int* Numbers(std::uint64_t address) { return reinterpret_cast<const int*>(address); }

cudnnStatus_t CtcLoss(DnnCall& call, const DnnCtcLoss& words, std::span<const std::int32_t> tail) {
  const DnnLibrary& library = call.library();
  if (words.is_version_8 != 0)
    return call.Do(
        library.CTCLoss_v8, call.Number(words.algorithm), call.Ctc(words.ctc), call.Tensor(words.probabilities.tensor),
        call.Address(words.probabilities.address), Numbers(words.labels), Numbers(words.label_lengths),
        Numbers(words.input_lengths), call.Address(words.costs), call.Optional(words.gradients.tensor),
        call.Address(words.gradients.address), call.Size(words.workspace), call.Address(words.workspace.address));
  const std::int64_t batch = words.probabilities.tensor.dims[1];
  call.Require(batch > 0 && static_cast<std::size_t>(batch) <= tail.size() / 2);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  const auto label_lengths = tail.first(static_cast<std::size_t>(batch));
  const auto input_lengths = tail.subspan(label_lengths.size(), label_lengths.size());
  const auto labels = tail.subspan(2 * label_lengths.size());
  const bool are_lengths = std::all_of(label_lengths.begin(), label_lengths.end(), [](int n) { return n >= 0; });
  const std::int64_t all = std::accumulate(label_lengths.begin(), label_lengths.end(), std::int64_t{0});
  call.Require(are_lengths && static_cast<std::uint64_t>(all) <= labels.size());
  return call.Do(library.CTCLoss, call.Tensor(words.probabilities.tensor), call.Address(words.probabilities.address),
                 labels.data(), label_lengths.data(), input_lengths.data(), call.Address(words.costs),
                 call.Optional(words.gradients.tensor), call.Address(words.gradients.address),
                 call.Number(words.algorithm), call.Ctc(words.ctc), call.Address(words.workspace.address),
                 call.Size(words.workspace));
}

// Transforms ---------------------------------------------------------------------------------------------------------

cudnnStatus_t TransformEx(DnnCall& call, const DnnTransformEx& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().TransformTensorEx, call.Transform(words.transform), call.Scalar(words.blend.alpha, y),
                 call.Tensor(words.x.tensor), call.Address(words.x.address), call.Scalar(words.blend.beta, y),
                 call.Tensor(y), call.Address(words.y.address));
}
cudnnStatus_t TransformFilter(DnnCall& call, const DnnTransformFilter& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().TransformFilter, call.Transform(words.transform), call.Scalar(words.blend.alpha, y),
                 call.Filter(words.x.tensor), call.Address(words.x.address), call.Scalar(words.blend.beta, y),
                 call.Filter(y), call.Address(words.y.address));
}
cudnnStatus_t Im2Col(DnnCall& call, const DnnIm2Col& words) {
  return call.Do(call.library().Im2Col, call.Tensor(words.x.tensor), call.Address(words.x.address),
                 call.Filter(words.w), call.Convolution(words.convolution), call.Address(words.columns));
}

}  // namespace

// Descriptors --------------------------------------------------------------------------------------------------------

cudnnLRNDescriptor_t DnnCall::Lrn(const DnnLrn& words) {
  return Describe(&DnnDescriptors::lrns, words, library_.CreateLRNDescriptor, library_.DestroyLRNDescriptor,
                  [&](cudnnLRNDescriptor_t made) {
                    // One that no unsigned number is, the library refuses.
                    return library_.SetLRNDescriptor(made, static_cast<unsigned>(words.window), words.alpha, words.beta,
                                                     words.k);
                  });
}

cudnnSpatialTransformerDescriptor_t DnnCall::Transformer(const DnnSpatialTransformer& words) {
  Require(words.rank >= 0 && words.rank <= kDnnDimensionsMax);
  return Describe(&DnnDescriptors::transformers, words, library_.CreateSpatialTransformerDescriptor,
                  library_.DestroySpatialTransformerDescriptor, [&](cudnnSpatialTransformerDescriptor_t made) {
                    return library_.SetSpatialTransformerNdDescriptor(
                        made, static_cast<cudnnSamplerType_t>(words.sampler), static_cast<cudnnDataType_t>(words.type),
                        words.rank, words.dims.data());
                  });
}

cudnnCTCLossDescriptor_t DnnCall::Ctc(const DnnCtc& words) {
  return Describe(&DnnDescriptors::ctcs, words, library_.CreateCTCLossDescriptor, library_.DestroyCTCLossDescriptor,
                  [&](cudnnCTCLossDescriptor_t made) {
                    return library_.SetCTCLossDescriptor_v9(
                        made, static_cast<cudnnDataType_t>(words.type),
                        static_cast<cudnnLossNormalizationMode_t>(words.normalization),
                        static_cast<cudnnCTCGradMode_t>(words.gradient_mode), words.label_length_max);
                  });
}

cudnnTensorTransformDescriptor_t DnnCall::Transform(const DnnTransform& words) {
  Require(words.rank >= 0 && words.rank <= kDnnDimensionsMax);
  return Describe(&DnnDescriptors::transforms, words, library_.CreateTensorTransformDescriptor,
                  library_.DestroyTensorTransformDescriptor, [&](cudnnTensorTransformDescriptor_t made) {
                    std::array<std::uint32_t, kDnnDimensionsMax> folds{};
                    std::copy(words.folds.begin(), words.folds.end(), folds.begin());
                    const bool has_folds = folds != std::array<std::uint32_t, kDnnDimensionsMax>{};
                    return library_.SetTensorTransformDescriptor(
                        made, static_cast<std::uint32_t>(words.rank), static_cast<cudnnTensorFormat_t>(words.format),
                        words.before.data(), words.after.data(), has_folds ? folds.data() : nullptr,
                        static_cast<cudnnFoldingDirection_t>(words.direction));
                  });
}

void AddOlder(DnnTable& table) {
  AddRun<DnnLrnForward, &LrnForward>(table, DnnGroup::kLrn);
  AddRun<DnnLrnBackward, &LrnBackward>(table, DnnGroup::kLrn);
  AddRun<DnnDivisiveForward, &DivisiveForward>(table, DnnGroup::kLrn);
  AddRun<DnnDivisiveBackward, &DivisiveBackward>(table, DnnGroup::kLrn);
  AddRun<DnnGridForward, &GridForward>(table, DnnGroup::kSpatial);
  AddRun<DnnGridBackward, &GridBackward>(table, DnnGroup::kSpatial);
  AddRun<DnnSamplerForward, &SamplerForward>(table, DnnGroup::kSpatial);
  AddRun<DnnSamplerBackward, &SamplerBackward>(table, DnnGroup::kSpatial);
  AddAsk<DnnCtcSizes, &CtcSizes>(table, DnnGroup::kCtc);
  AddLongRun<DnnCtcLoss, &CtcLoss>(table, DnnGroup::kCtc);
  AddRun<DnnTransformEx, &TransformEx>(table, DnnGroup::kTransforms);
  AddRun<DnnTransformFilter, &TransformFilter>(table, DnnGroup::kTransforms);
  AddRun<DnnIm2Col, &Im2Col>(table, DnnGroup::kTransforms);
}

}  // namespace accelmesh::cuda
