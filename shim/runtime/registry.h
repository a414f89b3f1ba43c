// The program's modules as nvcc's host stubs registered them: images, kernels, variables, and what each became on a
// device.
//
// Threads: every method from any thread. Finding a kernel and its form on a device takes no lock once it was used
// there; registering, unregistering and loading lock.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/base/mutex.h"
#include "shim/core/session.h"
#include "shim/runtime/pointer_table.h"

namespace accelmesh {

// What a launch is checked against; read from the lease once.
struct DeviceLimits {
  std::uint32_t block[3] = {};
  std::uint32_t threads = 0;
  std::uint32_t grid[3] = {};
  std::uint32_t shared_bytes = 0;        // per block without asking
  std::uint32_t shared_bytes_optin = 0;  // with cudaFuncSetAttribute
  bool has_clusters = false;
};

// A kernel on one device. Lives until its module is unregistered, or its device is reset.
struct DeviceKernel {
  const KernelLayout* layout = nullptr;
  const DeviceLimits* limits = nullptr;
  // What cudaFuncSetAttribute consented to.
  std::atomic<std::uint32_t> dynamic_shared_bytes_max{0};
  // What else it set: hints, and the cluster of launches that name none, 0 for none.
  std::atomic<int> shared_carveout{-1};
  std::atomic<int> required_cluster[3] = {0, 0, 0};
  std::atomic<int> non_portable_cluster_allowed{0};
  std::atomic<int> cluster_policy{cudaClusterSchedulingPolicyDefault};
};

struct Fatbin;
// A kernel as the program knows it: one stable object per registered host function, or per name that was asked of a
// library, for all devices (nvcc's stubs keep its address as their handle).
struct RegisteredKernel {
  Fatbin* fatbin = nullptr;
  const void* host_function = nullptr;  // null for a library's
  std::string name;
  // By device; the array is made at first use.
  std::atomic<std::atomic<DeviceKernel*>*> on_devices{nullptr};

  ~RegisteredKernel();
  DeviceKernel* On(std::uint32_t device) const {
    const std::atomic<DeviceKernel*>* list = on_devices.load(std::memory_order_acquire);
    return list == nullptr ? nullptr : list[device].load(std::memory_order_acquire);
  }
};
struct RegisteredVariable {
  Fatbin* fatbin = nullptr;
  const void* host_variable = nullptr;
  std::string name;
  // Of a __managed__ variable: where the program keeps its address (host_variable), and its size. Null for any other.
  void** managed = nullptr;
  std::size_t bytes = 0;
};
// One module image, registered or of a library; loaded on a device when something of it is first used there.
struct Fatbin {
  const void* image = nullptr;
  std::size_t image_bytes = 0;
  // Of device code that nvcc linked: the containers of what it was linked from, for devices that run PTX.
  std::vector<ByteView> linked_from;
  // Why nothing of it can run, 0 if it can.
  DeviceResult refused = 0;
  bool is_library = false;
  Bytes copy;  // the image of a library: the program may free its own
  std::vector<std::unique_ptr<RegisteredKernel>> kernels;
  std::vector<std::unique_ptr<RegisteredVariable>> variables;
  Mutex mu;
  std::unordered_map<std::uint32_t, std::shared_ptr<const LoadedModule>> loaded ACCELMESH_GUARDED_BY(mu);  // by device
  // Memory of its managed variables, from the first load on: what FreeVariables() ends.
  std::vector<std::uint64_t> managed ACCELMESH_GUARDED_BY(mu);
};

class Registry {
 public:
  static Registry& Get();

  Fatbin* AddFatbin(const void* wrapper);
  // The library that holds the image is going away. `session` is null if there is none.
  void RemoveFatbin(Fatbin* fatbin, ClientSession* session);
  void AddKernel(Fatbin* fatbin, const void* host_function, const char* name);
  void AddVariable(Fatbin* fatbin, const void* host_variable, const char* name);

  // `host_variable` is set to the variable's address when the module is loaded.
  void AddManaged(Fatbin* fatbin, void** host_variable, const char* name, std::size_t bytes);
  bool HasManaged(const Fatbin* fatbin);

  // A library of the program's: what cudaLibraryLoad* made, and RemoveFatbin() ends.
  Fatbin* AddLibrary(Bytes image);
  bool IsLibrary(const Fatbin* library);
  // The kernel of that name, one object however often it is asked for. Whether there is such a kernel the caller knows.
  RegisteredKernel* KernelOfLibrary(Fatbin* library, const std::string& name);

  // By host function or by handle; null if it is neither.
  RegisteredKernel* FindKernel(const void* key) const { return kernels_.Find(key); }
  RegisteredVariable* FindVariable(const void* host_variable) const { return variables_.Find(host_variable); }

  // What the program names the kernel by that is number `index` of module `module` on `device`; null if nothing.
  const void* FindFunction(std::uint32_t device, std::uint32_t module, std::uint32_t index);

  // The module on `device`, loaded if need be; its `error` says why it could not be. Stays valid until RemoveFatbin(),
  // and beyond TakeModules().
  const LoadedModule& Load(ClientSession& session, Fatbin& fatbin, std::uint32_t device);
  // What a reset of the device ends: its modules, also those that did not load, and the memory of managed variables
  // that no other device has. The program's next use of a module loads it anew.
  struct Taken {
    std::vector<std::shared_ptr<const LoadedModule>> modules;
    std::vector<std::unique_ptr<DeviceKernel>> kernels;
    std::vector<std::uint64_t> variables;
  };
  // Kept beyond many more of them: a thread may be in a call with it.
  std::shared_ptr<const Taken> TakeModules(std::uint32_t device);

  // The kernel on `device`. Null with a CUDA error in `*error` if its module does not load or does not hold it.
  DeviceKernel* Prepare(ClientSession& session, RegisteredKernel& kernel, std::uint32_t device, cudaError_t* error);

  // Around fork(): nobody may be halfway through a change when the child's copy is made.
  void LockForFork() ACCELMESH_THREAD_ATTRIBUTE(acquire_capability(mu_)) { mu_.lock(); }
  void UnlockAfterFork() ACCELMESH_THREAD_ATTRIBUTE(release_capability(mu_)) { mu_.unlock(); }

 private:
  // Loads a module with its managed variables, all of them in order.
  std::shared_ptr<const LoadedModule> LoadManaged(ClientSession& session, Fatbin& fatbin, std::uint32_t device,
                                                  ByteView image, std::vector<ManagedPlacement> variables)
      ACCELMESH_REQUIRES(fatbin.mu);
  // Where they lie, if the client says it. 0, or why they cannot lie anywhere.
  DeviceResult PlaceManaged(ClientSession& session, Fatbin& fatbin, std::uint32_t device,
                            std::vector<ManagedPlacement>* variables) ACCELMESH_REQUIRES(fatbin.mu);
  // The module is loaded: the program finds them.
  void ShowManaged(Fatbin& fatbin, const std::vector<ManagedPlacement>& placed) ACCELMESH_REQUIRES(fatbin.mu);

  Mutex mu_;
  std::unordered_map<Fatbin*, std::shared_ptr<Fatbin>> fatbins_ ACCELMESH_GUARDED_BY(mu_);
  std::deque<std::shared_ptr<const Taken>> taken_ ACCELMESH_GUARDED_BY(mu_);
  // Changed under the lock, read without.
  PointerTable<RegisteredKernel> kernels_;  // by host function and by handle
  PointerTable<RegisteredVariable> variables_;
};

}  // namespace accelmesh
