// Memory and events between the processes of a lease.
#include <cstring>

#include "protocol/base/log.h"
#include "shim/entry.h"
#include "shim/gen_face.h"
#include "shim/runtime/range.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

// What the opaque handles hold; the rest of one is zeros.
constexpr std::uint64_t kMemoryMagic = 0x6d656d2d68736d61;
constexpr std::uint64_t kEventMagic = 0x7665652d68736d61;
struct HandleFields {
  std::uint64_t magic = 0;
  std::uint64_t session = 0;
  std::uint64_t generation = 0;
  std::uint64_t bytes = 0;
  std::uint32_t slot = 0;
  std::uint32_t device = 0;
  std::uint64_t lead = 0;
  std::uint64_t span = 0;
};
static_assert(sizeof(HandleFields) <= sizeof(cudaIpcMemHandle_t) &&
              sizeof(HandleFields) <= sizeof(cudaIpcEventHandle_t));

template <typename Handle>
void WriteHandle(const HandleFields& fields, Handle* handle) {
  *handle = {};
  std::memcpy(handle->reserved, &fields, sizeof(fields));
}
template <typename Handle>
bool ReadHandle(const Handle& handle, std::uint64_t magic, HandleFields* fields) {
  std::memcpy(fields, handle.reserved, sizeof(*fields));
  return fields->magic == magic;
}

cudaError_t RefuseHere(const char* function) {
  SayRefused(function,
             "this session shares nothing: the program runs outside of a lease (mesh-run makes one), or the "
             "server's backend cannot");
  return cudaErrorNotSupported;
}

}  // namespace

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* pointer) {
  ACCELMESH_BEGIN_CALL();
  if (handle == nullptr || pointer == nullptr) return Fail(cudaErrorInvalidValue);
  if (!session.facts().shares_memory) return RefuseHere("cudaIpcGetMemHandle");
  LeasedMemory memory;
  if (const DeviceResult result = session.ExportMemory(Address(pointer), &memory); result != 0)
    return Done(session, result);
  WriteHandle({kMemoryMagic, memory.name.session(), memory.name.generation(), memory.bytes, memory.name.slot(),
               memory.device, memory.lead, memory.span},
              handle);
  return cudaSuccess;
}

cudaError_t cudaIpcOpenMemHandle(void** pointer, cudaIpcMemHandle_t handle, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  HandleFields fields;
  if (pointer == nullptr || flags != cudaIpcMemLazyEnablePeerAccess || !ReadHandle(handle, kMemoryMagic, &fields))
    return Fail(cudaErrorInvalidValue);
  if (!session.facts().shares_memory) return RefuseHere("cudaIpcOpenMemHandle");
  std::uint64_t address = 0;
  const DeviceResult result = session.OpenMemory({wire::LeaseName(fields.session, fields.generation, fields.slot, 0),
                                                  fields.device, fields.bytes, fields.lead, fields.span},
                                                 &address);
  if (result != 0) return Done(session, result);
  *pointer = reinterpret_cast<void*>(address);
  return cudaSuccess;
}

cudaError_t cudaIpcCloseMemHandle(void* pointer) {
  ACCELMESH_BEGIN_CALL();
  return Done(session, session.CloseMemory(Address(pointer)));
}

cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t* handle, cudaEvent_t event) {
  ACCELMESH_BEGIN_CALL();
  if (handle == nullptr) return Fail(cudaErrorInvalidValue);
  const Event* ours = reinterpret_cast<const Event*>(event);
  if (!session.IsEvent(ours) || !ours->is_leased || ours->is_opened) return Fail(cudaErrorInvalidResourceHandle);
  WriteHandle({kEventMagic, ours->name.session(), ours->name.generation(), 0, ours->name.slot(), ours->device, 0, 0},
              handle);
  return cudaSuccess;
}

cudaError_t cudaIpcOpenEventHandle(cudaEvent_t* event, cudaIpcEventHandle_t handle) {
  ACCELMESH_BEGIN_CALL();
  HandleFields fields;
  if (event == nullptr || !ReadHandle(handle, kEventMagic, &fields) || fields.device >= session.devices().size())
    return Fail(cudaErrorInvalidValue);
  if (!session.facts().shares_memory) return RefuseHere("cudaIpcOpenEventHandle");
  Event* made = nullptr;
  const DeviceResult result =
      session.OpenLeasedEvent(fields.device, wire::LeaseName(fields.session, fields.generation, fields.slot, 0), &made);
  // What CUDA says of an event that is none any more.
  if (result == cudaErrorInvalidResourceHandle) return Fail(cudaErrorMapBufferObjectFailed);
  if (result != 0) return Done(session, result);
  *event = reinterpret_cast<cudaEvent_t>(made);
  return cudaSuccess;
}

}  // namespace accelmesh::face
