// Memory of graphs: what a device has of it, and what nodes say of theirs.
#include "shim/core/graph_memory.h"

#include "shim/gen_face.h"
#include "shim/runtime/graph.h"

namespace accelmesh::face {
namespace {

bool IsDevice(const ClientSession& session, int device) {
  return device >= 0 && static_cast<std::size_t>(device) < session.devices().size();
}

}  // namespace

cudaError_t cudaDeviceGetGraphMemAttribute(int device, cudaGraphMemAttributeType attribute, void* value) {
  ACCELMESH_BEGIN_CALL();
  if (!IsDevice(session, device)) return Fail(cudaErrorInvalidDevice);
  if (value == nullptr) return Fail(cudaErrorInvalidValue);
  const GraphMemoryUse use = session.GraphMemoryOf(static_cast<std::uint32_t>(device));
  auto* const bytes = static_cast<std::uint64_t*>(value);
  switch (attribute) {
    case cudaGraphMemAttrUsedMemCurrent: *bytes = use.used; return cudaSuccess;
    case cudaGraphMemAttrUsedMemHigh: *bytes = use.used_high; return cudaSuccess;
    case cudaGraphMemAttrReservedMemCurrent: *bytes = use.reserved; return cudaSuccess;
    case cudaGraphMemAttrReservedMemHigh: *bytes = use.reserved_high; return cudaSuccess;
  }
  return Fail(cudaErrorInvalidValue);
}
cudaError_t cudaDeviceSetGraphMemAttribute(int device, cudaGraphMemAttributeType attribute, void* value) {
  ACCELMESH_BEGIN_CALL();
  if (!IsDevice(session, device)) return Fail(cudaErrorInvalidDevice);
  const bool is_used = attribute == cudaGraphMemAttrUsedMemHigh;
  // High watermarks are reset, which is all that can be set.
  if (value == nullptr || (!is_used && attribute != cudaGraphMemAttrReservedMemHigh) ||
      *static_cast<const std::uint64_t*>(value) != 0)
    return Fail(cudaErrorInvalidValue);
  session.ResetGraphMemoryHigh(static_cast<std::uint32_t>(device), is_used);
  return cudaSuccess;
}
cudaError_t cudaDeviceGraphMemTrim(int device) {
  ACCELMESH_BEGIN_CALL();
  if (!IsDevice(session, device)) return Fail(cudaErrorInvalidDevice);
  return Done(session, session.TrimGraphMemory(static_cast<std::uint32_t>(device)));
}

cudaError_t cudaGraphMemAllocNodeGetParams(cudaGraphNode_t node, cudaMemAllocNodeParams* params) {
  const GraphNode* ours = ToNode(node);
  if (ours == nullptr || ours->kind() != GraphNodeKind::kAlloc || params == nullptr) return Fail(cudaErrorInvalidValue);
  const auto& memory = *std::get<GraphAlloc>(ours->payload).memory;
  if (const auto* kept = dynamic_cast<const AllocFace*>(ours->face.get())) {
    *params = kept->params;
    return cudaSuccess;
  }
  *params = {};
  params->poolProps.allocType = cudaMemAllocationTypePinned;
  params->poolProps.location.type = cudaMemLocationTypeDevice;
  params->poolProps.location.id = static_cast<int>(memory.device);
  params->bytesize = memory.bytes;
  params->dptr = reinterpret_cast<void*>(memory.address);
  return cudaSuccess;
}
cudaError_t cudaGraphMemFreeNodeGetParams(cudaGraphNode_t node, void* pointer) {
  const GraphNode* ours = ToNode(node);
  if (ours == nullptr || ours->kind() != GraphNodeKind::kFree || pointer == nullptr) return Fail(cudaErrorInvalidValue);
  *static_cast<void**>(pointer) = reinterpret_cast<void*>(std::get<GraphFree>(ours->payload).memory->address);
  return cudaSuccess;
}

}  // namespace accelmesh::face
