#include "shim/runtime/registry.h"

#include <algorithm>
#include <cstring>

#include "protocol/base/log.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {
namespace {

// nvcc's wrapper around an image (24 bytes) and the image's own header.
struct FatbinWrapper {
  std::uint32_t magic;
  std::uint32_t version;
  const void* data;
  const void* prelinked;
};
constexpr std::uint32_t kWrapperMagic = 0x466243b1;
constexpr std::uint32_t kContainerMagic = 0xba55ed50;
// 1: a fatbin. 2: device code that nvcc -rdc=true linked; it holds SASS only, and its PTX lies in relocatable pieces.
constexpr std::uint32_t kWrapperPlain = 1;
constexpr std::uint32_t kWrapperLinked = 2;

void ReadWrapper(const void* pointer, Fatbin* fatbin) {
  FatbinWrapper wrapper;
  std::memcpy(&wrapper, pointer, sizeof(wrapper));
  if (wrapper.magic == kWrapperMagic && wrapper.version == kWrapperLinked) {
    log::Error("accelmesh",
               "a module of this program is relocatable device code (nvcc -rdc=true or -dlto), which this release "
               "cannot run; build it without -rdc. Its kernels fail with error 209");
    fatbin->refused = cudaErrorNoKernelImageForDevice;
    return;
  }
  std::uint32_t magic = 0;
  if (wrapper.magic == kWrapperMagic && wrapper.version == kWrapperPlain && wrapper.data != nullptr)
    std::memcpy(&magic, wrapper.data, sizeof(magic));
  if (magic != kContainerMagic) {
    log::Error("accelmesh",
               "a module of this program is in a form that this release does not know; build it with nvcc of CUDA 13. "
               "Its kernels fail with error 209");
    fatbin->refused = cudaErrorNoKernelImageForDevice;
    return;
  }
  std::uint16_t header_bytes = 0;
  std::uint64_t bytes = 0;
  std::memcpy(&header_bytes, static_cast<const char*>(wrapper.data) + 6, sizeof(header_bytes));
  std::memcpy(&bytes, static_cast<const char*>(wrapper.data) + 8, sizeof(bytes));
  fatbin->image = wrapper.data;
  fatbin->image_bytes = header_bytes + bytes;
}

}  // namespace

RegisteredKernel::~RegisteredKernel() {
  std::atomic<DeviceKernel*>* list = on_devices.load(std::memory_order_relaxed);
  if (list == nullptr) return;
  for (std::size_t d = 0; d < limits::kDevicesMax; ++d) delete list[d].load(std::memory_order_relaxed);
  delete[] list;
}

Registry& Registry::Get() {
  static Registry* registry = new Registry;  // never destroyed
  return *registry;
}

Fatbin* Registry::AddFatbin(const void* wrapper) {
  auto fatbin = std::make_unique<Fatbin>();
  ReadWrapper(wrapper, fatbin.get());
  Fatbin* handle = fatbin.get();
  const MutexLock lock(mu_);
  fatbins_.emplace(handle, std::move(fatbin));
  return handle;
}

void Registry::AddKernel(Fatbin* fatbin, const void* host_function, const char* name) {
  auto kernel = std::make_unique<RegisteredKernel>();
  kernel->fatbin = fatbin;
  kernel->host_function = host_function;
  kernel->name = name;
  const MutexLock lock(mu_);
  kernels_.Set(host_function, kernel.get());
  kernels_.Set(kernel.get(), kernel.get());
  fatbin->kernels.push_back(std::move(kernel));
}

void Registry::AddVariable(Fatbin* fatbin, const void* host_variable, const char* name) {
  auto variable = std::make_unique<RegisteredVariable>();
  variable->fatbin = fatbin;
  variable->host_variable = host_variable;
  variable->name = name;
  const MutexLock lock(mu_);
  variables_.Set(host_variable, variable.get());
  fatbin->variables.push_back(std::move(variable));
}

void Registry::RemoveFatbin(Fatbin* fatbin, ClientSession* session) {
  std::unique_ptr<Fatbin> gone;
  {
    const MutexLock lock(mu_);
    const auto found = fatbins_.find(fatbin);
    if (found == fatbins_.end()) return;
    gone = std::move(found->second);
    fatbins_.erase(found);
    for (const auto& kernel : gone->kernels) {
      // Another library may have been loaded at this address meanwhile; its kernel is not ours to remove.
      if (kernels_.Find(kernel->host_function) == kernel.get()) kernels_.Erase(kernel->host_function);
      kernels_.Erase(kernel.get());
    }
    for (const auto& variable : gone->variables) {
      if (variables_.Find(variable->host_variable) == variable.get()) variables_.Erase(variable->host_variable);
    }
  }
  if (session == nullptr) return;
  const MutexLock lock(gone->mu);
  for (const auto& [device, module] : gone->loaded) {
    // Launches on their way still need it.
    if (module->error == 0 && session->SynchronizeDevice(device) == 0) session->UnloadModule(*module);
  }
}

const LoadedModule& Registry::Load(ClientSession& session, Fatbin& fatbin, std::uint32_t device) {
  const MutexLock lock(fatbin.mu);
  std::shared_ptr<const LoadedModule>& loaded = fatbin.loaded[device];
  if (loaded == nullptr && fatbin.refused != 0) {
    auto refused = std::make_shared<LoadedModule>();
    refused->error = fatbin.refused;
    loaded = std::move(refused);
  }
  if (loaded == nullptr) {
    loaded = session.LoadModule(device, {static_cast<const std::uint8_t*>(fatbin.image), fatbin.image_bytes});
  }
  return *loaded;
}

DeviceKernel* Registry::Prepare(ClientSession& session, RegisteredKernel& kernel, std::uint32_t device,
                                cudaError_t* error) {
  const LoadedModule& module = Load(session, *kernel.fatbin, device);
  if (module.error != 0) {
    *error = static_cast<cudaError_t>(module.error);
    return nullptr;
  }
  const auto found = module.kernels.find(kernel.name);
  if (found == module.kernels.end()) {
    *error = cudaErrorInvalidDeviceFunction;
    return nullptr;
  }
  const MutexLock lock(kernel.fatbin->mu);
  std::atomic<DeviceKernel*>* list = kernel.on_devices.load(std::memory_order_relaxed);
  if (list == nullptr) {
    list = new std::atomic<DeviceKernel*>[limits::kDevicesMax]();
    kernel.on_devices.store(list, std::memory_order_release);
  }
  DeviceKernel* made = list[device].load(std::memory_order_relaxed);
  if (made == nullptr) {
    made = new DeviceKernel;
    made->layout = &found->second;
    made->limits = &Runtime::Get().device(device).limits;
    // The usual limit is for static and dynamic shared memory together.
    made->dynamic_shared_bytes_max.store(
        made->limits->shared_bytes - std::min(made->limits->shared_bytes, made->layout->static_shared_bytes),
        std::memory_order_relaxed);
    list[device].store(made, std::memory_order_release);
  }
  return made;
}

}  // namespace accelmesh
