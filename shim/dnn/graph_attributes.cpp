// Descriptors of the graph API: made, set and read by their table.
#include <algorithm>
#include <bit>
#include <cstring>

#include "shim/dnn/graph.h"
#include "shim/dnn/graph_descriptor.h"
#include "shim/dnn/graph_table.h"
#include "shim/dnn/report.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

template <typename T>
T Load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// An element of the program's as words of the wire.
void Take(int type, const std::uint8_t* from, std::vector<std::int64_t>* words) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN: words->push_back(*from != 0 ? 1 : 0); break;
    case CUDNN_TYPE_CHAR: words->push_back(*from); break;
    case CUDNN_TYPE_FLOAT: words->push_back(std::bit_cast<std::int64_t>(double{Load<float>(from)})); break;
    case CUDNN_TYPE_FRACTION:
      words->push_back(Load<std::int64_t>(from));
      words->push_back(Load<std::int64_t>(from + sizeof(std::int64_t)));
      break;
    default:
      words->push_back(ElementBytes(type) == sizeof(std::int64_t) ? Load<std::int64_t>(from)
                                                                  : Load<std::int32_t>(from));
  }
}

void Give(int type, const std::int64_t* words, std::uint8_t* to) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR: *to = static_cast<std::uint8_t>(*words); break;
    case CUDNN_TYPE_FLOAT: {
      const auto value = static_cast<float>(std::bit_cast<double>(*words));
      std::memcpy(to, &value, sizeof(value));
      break;
    }
    default: {
      // Little-endian: numbers of 32 bits are the lower half.
      std::memcpy(to, words, ElementBytes(type));
    }
  }
}

std::size_t WordsOf(int type) { return type == CUDNN_TYPE_FRACTION ? 2 : 1; }

cudnnStatus_t SetReferences(const AttributeRow& row, std::span<const cudnnBackendDescriptor_t> from,
                            GraphState::Value* value) {
  for (const cudnnBackendDescriptor_t descriptor : from) {
    if (descriptor == nullptr) {
      const cudnnStatus_t status = NullReference(row);
      return status == CUDNN_STATUS_SUCCESS && from.size() != 1 ? CUDNN_STATUS_BAD_PARAM : status;
    }
    const auto& state = StateOf(descriptor);
    if (!state->is_final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    value->references.push_back(state);
    value->words.push_back(0);
  }
  return CUDNN_STATUS_SUCCESS;
}

// Which types of descriptors an attribute refers to.
bool Fits(int attribute, int referred) {
  switch (attribute) {
    case CUDNN_ATTR_OPERATIONGRAPH_OPS: return IsOperation(referred);
    case CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH:
    case CUDNN_ATTR_ENGINE_OPERATION_GRAPH: return referred == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR;
    case CUDNN_ATTR_ENGINECFG_ENGINE: return referred == CUDNN_BACKEND_ENGINE_DESCRIPTOR;
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES: return referred == CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR;
    case CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG: return referred == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
    case CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR: return referred == CUDNN_BACKEND_POINTWISE_DESCRIPTOR;
    case CUDNN_ATTR_OPERATION_MATMUL_DESC: return referred == CUDNN_BACKEND_MATMUL_DESCRIPTOR;
    case CUDNN_ATTR_OPERATION_REDUCTION_DESC: return referred == CUDNN_BACKEND_REDUCTION_DESCRIPTOR;
    case CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC:
    case CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC: return referred == CUDNN_BACKEND_RESAMPLE_DESCRIPTOR;
    case CUDNN_ATTR_OPERATION_RNG_DESC: return referred == CUDNN_BACKEND_RNG_DESCRIPTOR;
    case CUDNN_ATTR_ENGINE_DEVICEPROP:
    case CUDNN_ATTR_ENGINEHEUR_DEVICEPROP:
    case CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP: return referred == CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR;
    case CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC: return referred == CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR;
    default: return referred == CUDNN_BACKEND_TENSOR_DESCRIPTOR;
  }
}

cudnnStatus_t NoRow(const char* name, int descriptor, int attribute) {
  // An attribute of another descriptor's is a mistake, and so is one that the header has not.
  for (int other = 0; other <= CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR; ++other) {
    if (other != descriptor && FindRow(other, attribute) != nullptr) return CUDNN_STATUS_BAD_PARAM;
  }
  if (!IsAttributeOfHeader(attribute)) return CUDNN_STATUS_BAD_PARAM;
  SayRefused(name, "an attribute that is not remoted");
  return CUDNN_STATUS_NOT_SUPPORTED;
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t descriptorType,
                                           cudnnBackendDescriptor_t* descriptor) {
  if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  if (descriptorType < 0 || descriptorType > CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR ||
      descriptorType == CUDNN_BACKEND_INTERMEDIATE_INFO_DESCRIPTOR)
    return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;  // so NVIDIA's library says of a type that it has not
  if (RowsOf(descriptorType).empty()) {
    SayRefused("cudnnBackendCreateDescriptor", "a descriptor that is not remoted");
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  *descriptor = new GraphDescriptor{std::make_shared<GraphState>(descriptorType)};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  delete static_cast<GraphDescriptor*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendInitialize(cudnnBackendDescriptor_t descriptor) {
  if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM;
  auto& state = StateOf(descriptor);
  state = std::make_shared<GraphState>(state->type);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  GraphState& state = *StateOf(descriptor);
  if (state.is_final) return CUDNN_STATUS_BAD_PARAM;
  for (const AttributeRow& row : RowsOf(state.type)) {
    if (row.need != Need::kRequired) continue;
    const GraphState::Value* const value = state.Find(row.name);
    if (value == nullptr || value->words.empty()) return Missing(row);
  }
  const cudnnStatus_t status = FinalizeState(state);
  if (status == CUDNN_STATUS_SUCCESS) state.is_final = true;
  return status;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t attributeName,
                                       cudnnBackendAttributeType_t attributeType, int64_t elementCount,
                                       const void* arrayOfElements) {
  if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  GraphState& state = *StateOf(descriptor);
  if (state.is_final) return CUDNN_STATUS_BAD_PARAM;
  const AttributeRow* const row = FindRow(state.type, attributeName);
  if (row == nullptr) return NoRow("cudnnBackendSetAttribute", state.type, attributeName);
  if (arrayOfElements == nullptr && elementCount != 0) return CUDNN_STATUS_BAD_PARAM;
  const std::size_t bytes = ElementBytes(attributeType);
  if (row->need == Need::kAnswer) return WrongAnswer(*row);
  if (bytes == 0 || (row->types & MaskOf(attributeType)) == 0) return WrongType(*row);
  if (!CountFits(*row, elementCount)) return WrongCount(*row, elementCount);
  GraphState::Value value{attributeName, attributeType, {}, {}};
  if (attributeType == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    const std::span from(static_cast<const cudnnBackendDescriptor_t*>(arrayOfElements),
                         static_cast<std::size_t>(elementCount));
    if (const cudnnStatus_t status = SetReferences(*row, from, &value); status != CUDNN_STATUS_SUCCESS) return status;
    for (const auto& reference : value.references) {
      if (!Fits(attributeName, reference->type)) return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    }
  } else {
    const auto* const from = static_cast<const std::uint8_t*>(arrayOfElements);
    for (std::size_t i = 0; i < static_cast<std::size_t>(elementCount); ++i)
      Take(attributeType, from + i * bytes, &value.words);
  }
  std::erase_if(state.values, [&](const GraphState::Value& old) { return old.name == attributeName; });
  if (!value.words.empty()) state.values.push_back(std::move(value));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                       cudnnBackendAttributeName_t attributeName,
                                       cudnnBackendAttributeType_t attributeType, int64_t requestedElementCount,
                                       int64_t* elementCount, void* arrayOfElements) {
  if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  GraphState& state = *StateOf(descriptor);
  if (!state.is_final) return CUDNN_STATUS_NOT_INITIALIZED;
  const AttributeRow* const row = FindRow(state.type, attributeName);
  if (row == nullptr) return NoRow("cudnnBackendGetAttribute", state.type, attributeName);
  if (ElementBytes(attributeType) == 0 || (row->types & MaskOf(attributeType)) == 0)
    return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
  if (requestedElementCount < 0) return CUDNN_STATUS_BAD_PARAM;
  if (arrayOfElements == nullptr) requestedElementCount = 0;
  if (attributeName == CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT && state.Find(attributeName) == nullptr) {
    DnnGraphAnswer said;
    if (const cudnnStatus_t status = AskGraph(state, &said); status != CUDNN_STATUS_SUCCESS) return status;
    if (requestedElementCount > 0) std::memcpy(arrayOfElements, &said.engines, sizeof(said.engines));
    if (elementCount != nullptr) *elementCount = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  static const GraphState::Value none;
  const GraphState::Value* value = state.Find(attributeName);
  if (value == nullptr) value = &none;
  if (value != &none && value->type != attributeType) return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
  const std::size_t words = WordsOf(attributeType), count = value->words.size() / words;
  const std::size_t given = std::min(count, static_cast<std::size_t>(requestedElementCount));
  if (attributeType == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    const std::span to(static_cast<const cudnnBackendDescriptor_t*>(arrayOfElements), given);
    for (std::size_t i = 0; i < given; ++i) {
      if (to[i] == nullptr) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
      if (StateOf(to[i])->type != value->references[i]->type) return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    }
    for (std::size_t i = 0; i < given; ++i) StateOf(to[i]) = value->references[i];
  } else {
    auto* const to = static_cast<std::uint8_t*>(arrayOfElements);
    for (std::size_t i = 0; i < given; ++i)
      Give(attributeType, value->words.data() + i * words, to + i * ElementBytes(attributeType));
  }
  if (elementCount != nullptr) *elementCount = static_cast<std::int64_t>(requestedElementCount == 0 ? count : given);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
