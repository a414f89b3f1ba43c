// Memory of graphs: what a device has of it.
#include "shim/core/graph_memory.h"

#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

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

}  // namespace accelmesh::face
