#include "shim/dnn/normalization_call.h"

namespace accelmesh::dnn {
namespace {

bool Activates(const DnnNorm& norm) { return norm.operations != CUDNN_NORM_OPS_NORM; }

void Describe(Call& call, const cudnnActivationStruct* activation, DnnNorm* norm) {
  call.Require(norm->operations >= CUDNN_NORM_OPS_NORM && norm->operations <= CUDNN_NORM_OPS_NORM_ADD_ACTIVATION);
  if (!Activates(*norm)) return;
  call.Require(activation != nullptr);
  if (activation != nullptr) norm->activation = activation->activation;
}

// What all directions ask.
void Check(Call& call, const DnnNorm& norm, const DnnTensor& x, std::initializer_list<const DnnTensor*> others,
           const DnnTensor& parameters, const DnnTensor& moments, double epsilon) {
  call.Require(epsilon >= CUDNN_BN_MIN_EPSILON);
  for (const DnnTensor* other : others) call.Require(other->rank == 0 || SameDims(x, *other));
  if (call.status() != CUDNN_STATUS_SUCCESS) return;
  const DnnTensor wanted = NormParametersOf(x, norm.mode == CUDNN_NORM_PER_ACTIVATION);
  for (const DnnTensor* tensor : {&parameters, &moments})
    call.Require(SameDims(*tensor, wanted) && tensor->type == wanted.type);
  call.SupportTensors({x, parameters, moments});
  for (const DnnTensor* other : others) call.SupportTensors({*other});
}

void CheckSpace(Call& call, DnnNormSizes question, NormSize what, const DnnSpace& space) {
  question.what = static_cast<std::int64_t>(what);
  DnnSize size;
  call.Fail(call.Ask(question, &size));
  call.Require(size.bytes == 0 || (space.address != 0 && space.bytes >= size.bytes));
}

template <typename Words>
void CheckReserve(Call& call, const Words& words) {
  DnnNormSizes question;
  question.norm = words.norm;
  question.x = words.x.tensor;
  CheckSpace(call, question, NormSize::kReserve, words.reserve);
}

DnnSpace SpaceOf(const NormSpace& space) { return {AddressOf(space.memory), space.bytes}; }

template <typename Words>
void SetParameters(Call& call, const NormParameters& parameters, Words* words) {
  words->parameters = call.Tensor(parameters.descriptor);
  words->moments = call.Tensor(parameters.moments);
  words->scale = AddressOf(parameters.scale);
  words->bias = AddressOf(parameters.bias);
}

}  // namespace

bool Adds(const DnnNorm& norm) { return norm.operations == CUDNN_NORM_OPS_NORM_ADD_ACTIVATION; }

DnnTensor NormParametersOf(const DnnTensor& x, bool per_activation) {
  DnnTensor parameters;
  parameters.type = x.type == CUDNN_DATA_DOUBLE ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
  parameters.rank = x.rank;
  std::int32_t stride = 1;
  for (int d = x.rank - 1; d >= 0; --d) {
    parameters.dims[d] = d == 1 || (d > 1 && per_activation) ? x.dims[d] : 1;
    parameters.strides[d] = stride;
    stride *= parameters.dims[d];
  }
  return parameters;
}

DnnNorm BatchNorm(Call& call, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t operations,
                  const cudnnActivationStruct* activation) {
  DnnNorm norm;
  norm.is_batch = 1;
  norm.mode = mode;
  norm.operations = operations;
  call.Require(mode >= CUDNN_BATCHNORM_PER_ACTIVATION && mode <= CUDNN_BATCHNORM_SPATIAL_PERSISTENT);
  Describe(call, activation, &norm);
  return norm;
}

DnnNorm Norm(Call& call, cudnnNormMode_t mode, cudnnNormOps_t operations, cudnnNormAlgo_t algorithm,
             const cudnnActivationStruct* activation, int groups) {
  DnnNorm norm;
  norm.mode = mode;
  norm.operations = operations;
  norm.algorithm = algorithm;
  norm.groups = groups;
  call.Require((mode == CUDNN_NORM_PER_ACTIVATION || mode == CUDNN_NORM_PER_CHANNEL) &&
               (algorithm == CUDNN_NORM_ALGO_STANDARD || algorithm == CUDNN_NORM_ALGO_PERSIST));
  Describe(call, activation, &norm);
  call.Support(groups == 1, "there are no groups of channels yet");
  return norm;
}

cudnnStatus_t AskNormSize(Call& call, NormSize what, const DnnNorm& norm, NormTensors tensors, size_t* bytes) {
  if (!Adds(norm)) tensors.z = nullptr;
  // Only the way back looks at what was activated.
  if (what == NormSize::kBackward && !Activates(norm)) tensors.y = nullptr;
  const auto optional = [&](const cudnnTensorStruct* descriptor) {
    return descriptor == nullptr ? DnnTensor{} : call.Tensor(descriptor);
  };
  DnnNormSizes words;
  words.what = static_cast<std::int64_t>(what);
  words.norm = norm;
  words.x = call.Tensor(tensors.x);
  words.y = optional(tensors.y);
  words.z = optional(tensors.z);
  words.dy = optional(tensors.dy);
  words.dx = optional(tensors.dx);
  words.parameters = optional(tensors.parameters);
  words.moments = optional(tensors.moments);
  call.Require(bytes != nullptr);
  DnnSize size;
  const cudnnStatus_t status = call.Ask(words, &size);
  if (status == CUDNN_STATUS_SUCCESS) *bytes = size.bytes;
  return status;
}

DnnOperand OptionalOperand(Call& call, bool is_needed, const NormOperand& operand) {
  return is_needed ? call.Operand(operand.descriptor, operand.memory) : DnnOperand{};
}

cudnnStatus_t PostNorm(Call& call, const DnnNorm& norm, const NormTraining& given) {
  DnnNormForwardTraining words;
  words.norm = norm;
  words.x = call.Operand(given.x.descriptor, given.x.memory);
  words.z = OptionalOperand(call, Adds(norm), given.z);
  words.y = call.Operand(given.y.descriptor, given.y.memory);
  SetParameters(call, given.parameters, &words);
  Set(given.kept, &words);
  words.epsilon = given.epsilon;
  words.blend = call.Blend(given.blend.alpha, given.blend.beta, words.y.tensor);
  words.workspace = SpaceOf(given.workspace);
  words.reserve = SpaceOf(given.reserve);
  call.Require(AreTraining(words));
  Check(call, words.norm, words.x.tensor, {&words.y.tensor, &words.z.tensor}, words.parameters, words.moments,
        words.epsilon);
  const DnnNormSizes question{0,  words.norm, words.x.tensor,   words.y.tensor, words.z.tensor,
                              {}, {},         words.parameters, words.moments};
  CheckSpace(call, question, NormSize::kForward, words.workspace);
  CheckReserve(call, words);
  return call.Post(words);
}

cudnnStatus_t PostNorm(Call& call, const DnnNormForwardInference& words) {
  call.Require(AreInference(words));
  Check(call, words.norm, words.x.tensor, {&words.y.tensor, &words.z.tensor}, words.parameters, words.moments,
        words.epsilon);
  if (Activates(words.norm))
    call.Support(words.norm.activation.mode == CUDNN_ACTIVATION_RELU, "it is followed by no activation but ReLU");
  return call.Post(words);
}

cudnnStatus_t PostNorm(Call& call, const DnnNorm& norm, const NormBackward& given) {
  DnnNormBackward words;
  words.norm = norm;
  words.x = call.Operand(given.x.descriptor, given.x.memory);
  words.y = OptionalOperand(call, Activates(norm), given.y);
  words.dy = call.Operand(given.dy.descriptor, given.dy.memory);
  words.dz = OptionalOperand(call, Adds(norm), given.dz);
  words.dx = call.Operand(given.dx.descriptor, given.dx.memory);
  SetParameters(call, given.parameters, &words);
  Set(given.gradients, &words);
  words.epsilon = given.epsilon;
  words.data = call.Blend(given.data.alpha, given.data.beta, words.dx.tensor);
  words.parameter = call.Blend(given.parameter.alpha, given.parameter.beta, words.parameters);
  words.workspace = SpaceOf(given.workspace);
  words.reserve = SpaceOf(given.reserve);
  call.Require(AreBackward(words) && (!Activates(norm) || words.bias != 0));
  Check(call, words.norm, words.x.tensor, {&words.y.tensor, &words.dy.tensor, &words.dz.tensor, &words.dx.tensor},
        words.parameters, words.moments, words.epsilon);
  const DnnNormSizes question{0,
                              words.norm,
                              words.x.tensor,
                              words.y.tensor,
                              words.dz.tensor,
                              words.dy.tensor,
                              words.dx.tensor,
                              words.parameters,
                              words.moments};
  CheckSpace(call, question, NormSize::kBackward, words.workspace);
  CheckReserve(call, words);
  return call.Post(words);
}

}  // namespace accelmesh::dnn
