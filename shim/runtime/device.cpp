// Devices and versions: answered from client state; and waiting for a device.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/graph.h"
#include "shim/runtime/runtime.h"
#include "shim/runtime/settings.h"
#include "shim/runtime/stream_attribute.h"

namespace accelmesh::face {
namespace {

bool ValidDevice(ClientSession& session, int device) {
  return device >= 0 && static_cast<std::size_t>(device) < session.devices().size();
}

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  if (count == nullptr) return Fail(cudaErrorInvalidValue);
  *count = std::max(Runtime::Get().DevicesOfParent(), 0);
  if (*count > 0) return cudaSuccess;
  ACCELMESH_BEGIN_QUERY();
  *count = static_cast<int>(session.devices().size());
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  if (device == nullptr) return Fail(cudaErrorInvalidValue);
  ACCELMESH_BEGIN_QUERY();
  *device = CurrentThread().device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  ACCELMESH_BEGIN_QUERY();
  if (!ValidDevice(session, device)) return Fail(cudaErrorInvalidDevice);
  CurrentThread().device = device;
  CurrentThread().has_chosen_device = true;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (value == nullptr) return Fail(cudaErrorInvalidValue);
  ACCELMESH_BEGIN_QUERY();
  if (!ValidDevice(session, device)) return Fail(cudaErrorInvalidDevice);
  // A backend describes every attribute that the CUDA version has; what is missing is none.
  const auto& attributes = session.devices()[static_cast<std::size_t>(device)].attributes;
  const auto found = attributes.find(static_cast<std::uint32_t>(attribute));
  if (found == attributes.end()) return Fail(cudaErrorInvalidValue);
  *value = found->second;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int bytes, int device) {
  ACCELMESH_BEGIN_QUERY();
  if (id == nullptr || bytes <= 0) return Fail(cudaErrorInvalidValue);
  if (!ValidDevice(session, device)) return Fail(cudaErrorInvalidDevice);
  const std::string& from = session.devices()[static_cast<std::size_t>(device)].pci_bus_id;
  if (from.size() >= static_cast<std::size_t>(bytes)) return Fail(cudaErrorInvalidValue);
  std::memcpy(id, from.c_str(), from.size() + 1);
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  if (version == nullptr) return Fail(cudaErrorInvalidValue);
  cudaError_t error = cudaSuccess;
  ClientSession* session = Runtime::Get().Session(&error);
  // Without a driver CUDA answers 0, not an error; for a program no server is no driver.
  *version = session != nullptr ? session->facts().driver_version : 0;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return Fail(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  ACCELMESH_BEGIN_CALL();
  if (const DeviceResult waited = session.SynchronizeDevice(CurrentDevice()); waited != 0) return Done(session, waited);
  return Done(session, session.TakeAsyncError());
}

namespace {

// What may be set at any time is told to the server's device as well; its heap and what printf writes to are as the
// first kernel that used them found them.
constexpr cudaLimit kAnyTime[] = {cudaLimitStackSize, cudaLimitDevRuntimePendingLaunchCount,
                                  cudaLimitMaxL2FetchGranularity, cudaLimitPersistingL2CacheSize};

DeviceResult ResetSettings(ClientSession& session, std::uint32_t device) {
  const DeviceSettings fresh;
  DeviceSettings& settings = g_device_settings[device];
  DeviceResult result = 0;
  for (const cudaLimit limit : kAnyTime) {
    const std::uint64_t first = fresh.limits[limit].load(std::memory_order_relaxed);
    if (result == 0 && settings.limits[limit].load(std::memory_order_relaxed) != first)
      result = session.SetLimit(device, static_cast<std::uint32_t>(limit), first);
  }
  settings.Reset();
  for (DeviceSettings& other : g_device_settings)
    other.peers.fetch_and(~(std::uint64_t{1} << device), std::memory_order_relaxed);
  return result;
}

DeviceResult Reset(ClientSession& session, std::uint32_t device) {
  std::vector<std::unique_ptr<GraphExec>> execs = TakeExecsOf(session, device);
  const std::shared_ptr<const Registry::Taken> modules = Registry::Get().TakeModules(device);
  const DeviceResult reset = session.ResetDevice(device, [&] {
    for (std::unique_ptr<GraphExec>& exec : execs) session.EndGraph(std::move(exec));
    for (const std::uint64_t address : modules->variables) session.FreeVariables(address);
    for (const auto& module : modules->modules) {
      if (module->error == 0) session.UnloadModule(*module);
    }
  });
  ForgetStreamAttributesOf(device);
  return reset != 0 ? reset : ResetSettings(session, device);
}

}  // namespace

cudaError_t cudaDeviceReset() {
  if (CurrentThread().in_host_function) return Fail(cudaErrorNotPermitted);
  ACCELMESH_BEGIN_QUERY();
  const DeviceResult waited = session.SynchronizeDevice(CurrentDevice());
  if (session.StickyError() != 0) {
    // As on a real device: the reset succeeds, and this process gets no device any more.
    Runtime::Get().Refuse(cudaErrorDevicesUnavailable);
    return cudaSuccess;
  }
  if (waited != 0) return Done(session, waited);
  if (const DeviceResult reset = Reset(session, CurrentDevice()); reset != 0) return Done(session, reset);
  // What failed before is said here for the last time.
  return Done(session, session.TakeAsyncError());
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  if (attributes == nullptr) return Fail(cudaErrorInvalidValue);
  ACCELMESH_BEGIN_QUERY();
  *attributes = {};
  AddressSpace::Range range;
  std::uint32_t device = 0;
  ReachableMemory memory;
  void* address = const_cast<void*>(pointer);
  if (session.FindHost(pointer, &memory)) {
    // Registered memory has two addresses, and is known by both.
    const auto at = reinterpret_cast<std::uint64_t>(pointer);
    const auto own = reinterpret_cast<std::uint64_t>(memory.memory);
    const std::uint64_t offset = at - own < memory.bytes ? at - own : at - memory.device_address;
    attributes->type = memory.kind == HostKind::kManaged ? cudaMemoryTypeManaged : cudaMemoryTypeHost;
    attributes->device = memory.kind == HostKind::kManaged ? static_cast<int>(memory.device) : CurrentThread().device;
    attributes->hostPointer = memory.memory + offset;
    std::uint64_t device_address = 0;
    if (const DeviceResult result = session.DeviceAddressOf(memory.memory, &device_address, false); result != 0)
      return Done(session, result);
    attributes->devicePointer = reinterpret_cast<void*>(device_address + offset);
  } else if (session.FindDeviceRange(reinterpret_cast<std::uint64_t>(pointer), &range, &device)) {
    attributes->type = cudaMemoryTypeDevice;
    attributes->device = static_cast<int>(device);
    attributes->devicePointer = address;
  } else {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = cudaInvalidDeviceId;
    attributes->hostPointer = address;
  }
  return cudaSuccess;
}

}  // namespace accelmesh::face
