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
constexpr std::size_t kContainerAlignment = 8;
// 1: a fatbin. 2: device code that nvcc -rdc=true linked: `data` holds SASS only, and `prelinked` points to the
// containers that it was linked from, which hold the PTX.
constexpr std::uint32_t kWrapperPlain = 1;
constexpr std::uint32_t kWrapperLinked = 2;

constexpr std::size_t kTakenKept = 32;

// Of each managed variable in their memory: what module globals have.
constexpr std::uint64_t kManagedAlignment = 256;

// Empty if it is no container.
ByteView ContainerAt(const void* pointer) {
  std::uint32_t magic = 0;
  if (pointer != nullptr) std::memcpy(&magic, pointer, sizeof(magic));
  if (magic != kContainerMagic) return {};
  std::uint16_t header_bytes = 0;
  std::uint64_t bytes = 0;
  std::memcpy(&header_bytes, static_cast<const char*>(pointer) + 6, sizeof(header_bytes));
  std::memcpy(&bytes, static_cast<const char*>(pointer) + 8, sizeof(bytes));
  return {static_cast<const std::uint8_t*>(pointer), header_bytes + bytes};
}

void ReadWrapper(const void* pointer, Fatbin* fatbin) {
  FatbinWrapper wrapper;
  std::memcpy(&wrapper, pointer, sizeof(wrapper));
  const bool is_linked = wrapper.version == kWrapperLinked && wrapper.prelinked != nullptr;
  ByteView image;
  if (wrapper.magic == kWrapperMagic && (wrapper.version == kWrapperPlain || is_linked))
    image = ContainerAt(wrapper.data);
  bool is_known = !image.empty();
  if (is_known && is_linked) {
    // A list of pointers that ends with null.
    for (const char* at = static_cast<const char*>(wrapper.prelinked);; at += sizeof(void*)) {
      const void* member = nullptr;
      std::memcpy(&member, at, sizeof(member));
      if (member == nullptr) break;
      fatbin->linked_from.push_back(ContainerAt(member));
      is_known = is_known && !fatbin->linked_from.back().empty();
    }
  }
  if (!is_known) {
    log::Error("accelmesh",
               "a module of this program is in a form that this release does not know; build it with nvcc of CUDA 13. "
               "Its kernels fail with error 209");
    fatbin->refused = cudaErrorNoKernelImageForDevice;
    return;
  }
  fatbin->image = image.data();
  fatbin->image_bytes = image.size();
}

// What the server is sent of a linked image: the container, and behind it those that it was linked from.
Bytes JoinLinked(const Fatbin& fatbin) {
  const auto* image = static_cast<const std::uint8_t*>(fatbin.image);
  Bytes joined(image, image + fatbin.image_bytes);
  for (const ByteView member : fatbin.linked_from) {
    joined.resize(AlignUp(joined.size(), kContainerAlignment));
    joined.insert(joined.end(), member.begin(), member.end());
  }
  return joined;
}

std::shared_ptr<const LoadedModule> Refused(DeviceResult error) {
  auto refused = std::make_shared<LoadedModule>();
  refused->error = error;
  return refused;
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
  auto fatbin = std::make_shared<Fatbin>();
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

Fatbin* Registry::AddLibrary(Bytes image) {
  auto library = std::make_shared<Fatbin>();
  library->is_library = true;
  library->copy = std::move(image);
  library->image = library->copy.data();
  library->image_bytes = library->copy.size();
  Fatbin* handle = library.get();
  const MutexLock lock(mu_);
  fatbins_.emplace(handle, std::move(library));
  return handle;
}

bool Registry::IsLibrary(const Fatbin* library) {
  const MutexLock lock(mu_);
  const auto found = fatbins_.find(const_cast<Fatbin*>(library));
  return found != fatbins_.end() && found->second->is_library;
}

RegisteredKernel* Registry::KernelOfLibrary(Fatbin* library, const std::string& name) {
  const MutexLock lock(mu_);
  for (const auto& kernel : library->kernels) {
    if (kernel->name == name) return kernel.get();
  }
  auto made = std::make_unique<RegisteredKernel>();
  made->fatbin = library;
  made->name = name;
  RegisteredKernel* handle = made.get();
  kernels_.Set(handle, handle);
  library->kernels.push_back(std::move(made));
  return handle;
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

void Registry::AddManaged(Fatbin* fatbin, void** host_variable, const char* name, std::size_t bytes) {
  auto variable = std::make_unique<RegisteredVariable>();
  variable->fatbin = fatbin;
  variable->host_variable = host_variable;
  variable->name = name;
  variable->managed = host_variable;
  variable->bytes = bytes;
  const MutexLock lock(mu_);
  variables_.Set(host_variable, variable.get());
  fatbin->variables.push_back(std::move(variable));
}

bool Registry::HasManaged(const Fatbin* fatbin) {
  const MutexLock lock(mu_);
  return std::any_of(fatbin->variables.begin(), fatbin->variables.end(),
                     [](const auto& variable) { return variable->managed != nullptr; });
}

DeviceResult Registry::PlaceManaged(ClientSession& session, Fatbin& fatbin, std::uint32_t device,
                                    std::vector<ManagedPlacement>* variables) {
  const bool is_first = fatbin.managed.empty();
  std::uint64_t bytes = 0;
  for (ManagedPlacement& variable : *variables) {
    variable.address = bytes;
    variable.keep = !is_first;
    bytes += AlignUp(variable.bytes, kManagedAlignment);
  }
  if (is_first) {
    std::uint64_t made = 0;
    if (const DeviceResult result = session.MallocVariables(device, bytes, &made); result != 0) return result;
    fatbin.managed.push_back(made);
  }
  for (ManagedPlacement& variable : *variables) variable.address += fatbin.managed.front();
  return 0;
}

std::shared_ptr<const LoadedModule> Registry::LoadManaged(ClientSession& session, Fatbin& fatbin, std::uint32_t device,
                                                          ByteView image, std::vector<ManagedPlacement> variables) {
  std::shared_ptr<const LoadedModule> loaded;
  const bool is_first = fatbin.managed.empty();
  if (!session.facts().driver_places_variables) {
    if (const DeviceResult error = PlaceManaged(session, fatbin, device, &variables); error != 0) return Refused(error);
    loaded = session.LoadModule(device, image, variables);
  } else if (is_first) {
    loaded = session.LoadModuleAround(device, image, &variables);
    if (loaded->error == 0) {
      for (const ManagedPlacement& variable : variables) fatbin.managed.push_back(variable.address);
    }
  } else {
    // Natively devices have such a variable in common. By driver calls each load has one of its own.
    log::Error("managed variables", variables.front().name +
                                        " is another device's already; on this server no module "
                                        "with __managed__ variables is on two devices");
    return Refused(cudaErrorNotSupported);
  }
  if (loaded->error == 0) {
    ShowManaged(fatbin, variables);
  } else if (is_first) {
    // The next load begins anew, with the initial values.
    for (const std::uint64_t address : std::exchange(fatbin.managed, {})) session.FreeVariables(address);
  }
  return loaded;
}

void Registry::ShowManaged(Fatbin& fatbin, const std::vector<ManagedPlacement>& placed) {
  const MutexLock lock(mu_);
  auto place = placed.begin();
  for (const auto& variable : fatbin.variables) {
    if (variable->managed == nullptr) continue;
    // Its name in the program means the memory itself: that is what symbols are asked for by.
    if (variables_.Find(*variable->managed) == variable.get()) variables_.Erase(*variable->managed);
    *variable->managed = reinterpret_cast<void*>((place++)->address);
    variables_.Set(*variable->managed, variable.get());
  }
}

void Registry::RemoveFatbin(Fatbin* fatbin, ClientSession* session) {
  std::shared_ptr<Fatbin> gone;
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
      if (variable->managed != nullptr && variables_.Find(*variable->managed) == variable.get())
        variables_.Erase(*variable->managed);
    }
  }
  if (session == nullptr) return;
  const MutexLock lock(gone->mu);
  for (const std::uint64_t address : gone->managed) session->FreeVariables(address);
  for (const auto& [device, module] : gone->loaded) {
    // Launches on their way still need it.
    if (module->error == 0 && session->SynchronizeDevice(device) == 0) session->UnloadModule(*module);
  }
  gone->loaded.clear();
}

std::shared_ptr<const Registry::Taken> Registry::TakeModules(std::uint32_t device) {
  auto taken = std::make_shared<Taken>();
  std::vector<std::shared_ptr<Fatbin>> fatbins;
  {
    const MutexLock lock(mu_);
    for (const auto& [handle, fatbin] : fatbins_) fatbins.push_back(fatbin);
  }
  // Modules first: who then makes a kernel's form for the device finds the module anew.
  for (const auto& fatbin : fatbins) {
    const MutexLock lock(fatbin->mu);
    const auto found = fatbin->loaded.find(device);
    if (found == fatbin->loaded.end()) continue;
    taken->modules.push_back(std::move(found->second));
    fatbin->loaded.erase(found);
    const bool is_elsewhere = std::any_of(fatbin->loaded.begin(), fatbin->loaded.end(),
                                          [](const auto& entry) { return entry.second->error == 0; });
    if (fatbin->managed.empty() || is_elsewhere) continue;
    for (const std::uint64_t address : std::exchange(fatbin->managed, {})) taken->variables.push_back(address);
    // Devices that were refused the module because this one had its variables may have it now.
    for (auto& [other, refused] : fatbin->loaded) taken->modules.push_back(std::move(refused));
    fatbin->loaded.clear();
  }
  const MutexLock lock(mu_);
  for (const auto& [handle, fatbin] : fatbins_) {
    for (const auto& kernel : fatbin->kernels) {
      std::atomic<DeviceKernel*>* list = kernel->on_devices.load(std::memory_order_acquire);
      if (list != nullptr) taken->kernels.emplace_back(list[device].exchange(nullptr, std::memory_order_acq_rel));
    }
  }
  taken_.push_back(taken);
  if (taken_.size() > kTakenKept) taken_.pop_front();
  return taken;
}

const void* Registry::FindFunction(std::uint32_t device, std::uint32_t module, std::uint32_t index) {
  const MutexLock lock(mu_);
  for (const auto& [key, fatbin] : fatbins_) {
    for (const auto& kernel : fatbin->kernels) {
      const DeviceKernel* there = kernel->On(device);
      if (there == nullptr || there->layout->module != module || there->layout->index != index) continue;
      return kernel->host_function != nullptr ? kernel->host_function : kernel.get();
    }
  }
  return nullptr;
}

const LoadedModule& Registry::Load(ClientSession& session, Fatbin& fatbin, std::uint32_t device) {
  const MutexLock lock(fatbin.mu);
  std::shared_ptr<const LoadedModule>& loaded = fatbin.loaded[device];
  if (loaded == nullptr && fatbin.refused != 0) loaded = Refused(fatbin.refused);
  if (loaded == nullptr) {
    ByteView image(static_cast<const std::uint8_t*>(fatbin.image), fatbin.image_bytes);
    Bytes joined;
    if (!fatbin.linked_from.empty()) image = joined = JoinLinked(fatbin);
    std::vector<ManagedPlacement> managed;
    for (const auto& variable : fatbin.variables) {
      if (variable->managed != nullptr) managed.push_back({variable->name, 0, variable->bytes});
    }
    loaded = managed.empty() ? session.LoadModule(device, image)
                             : LoadManaged(session, fatbin, device, image, std::move(managed));
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
  // A reset came between.
  if (const auto loaded = kernel.fatbin->loaded.find(device);
      loaded == kernel.fatbin->loaded.end() || loaded->second.get() != &module) {
    *error = cudaErrorContextIsDestroyed;
    return nullptr;
  }
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
    for (int d = 0; d < 3; ++d)
      made->required_cluster[d].store(static_cast<int>(made->layout->cluster[d]), std::memory_order_relaxed);
    made->cluster_policy.store(made->layout->cluster_policy, std::memory_order_relaxed);
    list[device].store(made, std::memory_order_release);
  }
  return made;
}

}  // namespace accelmesh
