// What of the graph API goes to the server: a question a graph, a plan once, and executions.
#include <bit>
#include <cstring>

#include "shim/dnn/call.h"
#include "shim/dnn/graph.h"
#include "shim/dnn/graph_descriptor.h"
#include "shim/dnn/report.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

std::span<const std::int32_t> AsTail(std::span<const std::int64_t> words) {
  return {reinterpret_cast<const std::int32_t*>(words.data()), 2 * words.size()};
}

// The pairs of an execution (DnnGraphExecute).
cudnnStatus_t Bind(const GraphState& plan, const GraphState& pack, std::vector<std::int64_t>* pairs) {
  const std::vector<std::int64_t>& uids = pack.Words(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const std::vector<std::int64_t>& pointers = pack.Words(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  for (const GraphState::Binding& binding : plan.bindings) {
    std::size_t at = 0;
    while (at < uids.size() && uids[at] != binding.uid) ++at;
    if (at == uids.size()) return CUDNN_STATUS_BAD_PARAM;
    std::int64_t word = pointers[at];
    if (word == 0) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (binding.value_bytes != 0) {
      std::int64_t value = 0;
      std::memcpy(&value, reinterpret_cast<const void*>(word), binding.value_bytes);
      word = value;
    }
    pairs->insert(pairs->end(), {binding.uid, word});
  }
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

cudnnStatus_t AskGraph(const GraphState& graph, DnnGraphAnswer* answer) {
  constexpr int kGraphHandle = 800;
  const auto ask = [&](cudnnHandle_t handle) {
    Call call(handle, "cudnnBackendFinalize");
    return call.Ask(DnnGraphQuery{}, AsTail(graph.plan), answer);
  };
  if (graph.Number(kGraphHandle) != 0) return ask(std::bit_cast<cudnnHandle_t>(graph.Number(kGraphHandle)));
  cudnnHandle_t own = nullptr;
  if (const cudnnStatus_t status = face::cudnnCreate(&own); status != CUDNN_STATUS_SUCCESS) return status;
  const cudnnStatus_t status = ask(own);
  face::cudnnDestroy(own);
  return status;
}

}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t executionPlan,
                                  cudnnBackendDescriptor_t variantPack) {
  Call call(handle, "cudnnBackendExecute");
  call.Require(executionPlan != nullptr && variantPack != nullptr);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  const GraphState &plan = *StateOf(executionPlan), &pack = *StateOf(variantPack);
  if (plan.type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR || pack.type != CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
    return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
  if (!plan.is_final || !pack.is_final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  std::vector<std::int64_t> pairs;
  if (const cudnnStatus_t status = Bind(plan, pack, &pairs); status != CUDNN_STATUS_SUCCESS) return status;
  DnnGraphExecute words;
  words.workspace = static_cast<std::uint64_t>(pack.Number(CUDNN_ATTR_VARIANT_PACK_WORKSPACE));
  const std::span<const std::int64_t> plan_words(plan.plan);
  return call.PostPlan({reinterpret_cast<const std::uint8_t*>(plan_words.data()), plan_words.size_bytes()}, words,
                       AsTail(pairs));
}

// The graph of a plan's kernels is cuDNN's own to make: there are none of them here.
cudnnStatus_t cudnnBackendPopulateCudaGraph(cudnnHandle_t /*handle*/, cudnnBackendDescriptor_t /*executionPlan*/,
                                            cudnnBackendDescriptor_t /*variantPack*/, cudaGraph_t /*graph*/) {
  SayRefused("cudnnBackendPopulateCudaGraph", "no engine has the note of CUDA graphs; capture the execution instead");
  return CUDNN_STATUS_NOT_SUPPORTED_CUDA_GRAPH_NATIVE_API;
}
cudnnStatus_t cudnnBackendUpdateCudaGraph(cudnnHandle_t /*handle*/, cudnnBackendDescriptor_t /*executionPlan*/,
                                          cudnnBackendDescriptor_t /*variantPack*/, cudaGraph_t /*graph*/) {
  SayRefused("cudnnBackendUpdateCudaGraph", "no engine has the note of CUDA graphs; capture the execution instead");
  return CUDNN_STATUS_NOT_SUPPORTED_CUDA_GRAPH_NATIVE_API;
}

}  // namespace accelmesh::face
