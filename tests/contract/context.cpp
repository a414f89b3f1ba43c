// Contexts: made and primary ones, and each thread's stack of them.
#include <cstdio>

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr int kStreamPriorityGreatest = -5;

thread_local std::vector<std::shared_ptr<Context>> stack;

// Of the devices' primary contexts.
std::mutex& PrimaryMutex() {
  static std::mutex* const made = new std::mutex;
  return *made;
}

bool IsDevice(CUdevice device) { return device >= 0 && static_cast<std::size_t>(device) < state().devices.size(); }
Device& DeviceOf(CUdevice device) { return *state().devices[static_cast<std::size_t>(device)]; }

std::shared_ptr<Context> MakeContext(CUdevice device, unsigned flags, bool primary) {
  auto context = std::make_shared<Context>();
  context->device = device;
  context->flags = flags;
  context->primary = primary;
  context->limits = {{CU_LIMIT_STACK_SIZE, 1024},
                     {CU_LIMIT_PRINTF_FIFO_SIZE, std::size_t{1} << 20},
                     {CU_LIMIT_MALLOC_HEAP_SIZE, std::size_t{8} << 20},
                     {CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH, 2},
                     {CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT, 2048},
                     {CU_LIMIT_MAX_L2_FETCH_GRANULARITY, 128},
                     {CU_LIMIT_PERSISTING_L2_CACHE_SIZE, 0}};
  context->handle = AsHandle<CUcontext>(state().contexts.Add(context));
  context->legacy = MakeStream(context, 0, 0, true);
  const std::lock_guard lock(state().mu);
  context->id = state().next_id++;
  return context;
}

template <typename T>
std::string Open(const Table<T>& table, const Context& context) {
  std::size_t open = 0;
  for (const auto& object : table.All()) open += object->context.get() == &context ? 1 : 0;
  return open == 0 ? "" : " " + std::to_string(open) + " x " + table.kind_name();
}
// What is open when the context goes; empty if it was left clean.
std::string Leaks(const Context& context) {
  std::string text = Open(state().streams, context) + Open(state().events, context) + Open(state().arrays, context) +
                     Open(state().execs, context) + Open(state().mipmapped_arrays, context) +
                     Open(state().textures, context);
  std::size_t modules = 0;
  for (const auto& module : state().modules.All())
    modules += module->context.get() == &context && !module->of_library ? 1 : 0;
  if (modules != 0) text += " " + std::to_string(modules) + " x module";
  std::size_t memory = 0;
  const std::lock_guard lock(state().mu);
  for (const auto& [address, region] : state().regions)
    memory += region.context == &context && region.kind != Region::Kind::kGlobal && region.kind != Region::Kind::kHeap
                  ? 1
                  : 0;
  if (memory != 0) text += " " + std::to_string(memory) + " x memory";
  return text;
}

void DropMemory(Context& context) {
  const std::lock_guard lock(state().mu);
  std::vector<std::pair<std::uint64_t, Region>> of_it;
  for (const auto& [address, region] : state().regions) {
    if (region.context == &context && region.kind != Region::Kind::kGlobal) of_it.emplace_back(address, region);
  }
  for (const auto& [address, region] : of_it) {
    RemoveRegion(address);
    if (region.kind == Region::Kind::kRegistered) continue;
    if (!region.host() && region.kind != Region::Kind::kHeap) DeviceOf(region.device).used_bytes -= region.bytes;
    UnmapMemory(address, region.bytes);
  }
}

// Ends what runs, tells what was left open, frees it all.
void EndContext(const Call& call, const std::shared_ptr<Context>& context) {
  WriteOut(*context);
  const bool failed = context->sticky.load() != CUDA_SUCCESS;
  EndStreams(context);
  // After a sticky error nothing can be destroyed one by one.
  if (const std::string leaks = Leaks(*context); !leaks.empty() && !failed)
    (void)call.Break(CONTRACT_RULE_LEAK, CUDA_SUCCESS, "open when the context was destroyed:" + leaks);
  const auto of_it = [&context](const auto& object) { return object.context == context; };
  state().streams.RemoveIf(of_it);
  state().events.RemoveIf(of_it);
  state().textures.RemoveIf(of_it);
  state().mipmapped_arrays.RemoveIf(of_it);
  state().arrays.RemoveIf(of_it);
  state().execs.RemoveIf(of_it);
  state().functions.RemoveIf([&context](const FunctionRef& ref) { return ref.module->context == context; });
  state().modules.RemoveIf(of_it);
  for (const auto& library : state().libraries.All()) {
    const std::lock_guard lock(library->mu);
    library->modules.erase(context.get());
  }
  DropMemory(*context);
  state().contexts.Remove(reinterpret_cast<std::uint64_t>(context->handle));
  const std::lock_guard lock(state().mu);
  context->destroyed = true;
  context->legacy.reset();
  context->per_thread.clear();
}

std::shared_ptr<Context> FindContext(const Call& call, CUcontext handle) {
  return handle == nullptr ? call.context : call.Find(state().contexts, handle);
}

}  // namespace

void ForgetCurrentContexts() { stack.clear(); }

std::shared_ptr<Context> CurrentContext() { return stack.empty() ? nullptr : stack.back(); }

void WriteOut(Context& context) {
  std::string text;
  {
    const std::lock_guard lock(state().mu);
    text.swap(context.printed);
  }
  if (text.empty()) return;
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuCtxCreate(CUcontext* made, CUctxCreateParams* parameters, unsigned int flags, CUdevice device) {
  return Enter(Function::k_cuCtxCreate, [&](Call& call) -> CUresult {
    if (made == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    if (parameters != nullptr && (parameters->numExecAffinityParams != 0 || parameters->cigParams != nullptr))
      return call.Break(CONTRACT_RULE_WRONG_SIZE, CUDA_ERROR_NOT_SUPPORTED, "parameters that this device has not");
    if ((flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) != 0) return CUDA_ERROR_INVALID_VALUE;
    stack.push_back(MakeContext(device, flags, false));
    *made = stack.back()->handle;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxDestroy(CUcontext handle) {
  return Enter(Function::k_cuCtxDestroy, [&](Call& call) -> CUresult {
    const auto context = call.Find(state().contexts, handle);
    if (context == nullptr || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    EndContext(call, context);
    if (!stack.empty() && stack.back() == context) stack.pop_back();
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxPushCurrent(CUcontext handle) {
  return Enter(Function::k_cuCtxPushCurrent, [&](Call& call) -> CUresult {
    const auto context = call.Find(state().contexts, handle);
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    stack.push_back(context);
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxPopCurrent(CUcontext* handle) {
  return Enter(Function::k_cuCtxPopCurrent, [&](Call&) -> CUresult {
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (handle != nullptr) *handle = stack.back()->handle;
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxSetCurrent(CUcontext handle) {
  return Enter(Function::k_cuCtxSetCurrent, [&](Call& call) -> CUresult {
    const auto context = handle == nullptr ? nullptr : call.Find(state().contexts, handle);
    if (handle != nullptr && context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (!stack.empty()) stack.pop_back();
    if (context != nullptr) stack.push_back(context);
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxGetCurrent(CUcontext* handle) {
  return Enter(Function::k_cuCtxGetCurrent, [&](Call& call) -> CUresult {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *handle = call.context == nullptr ? nullptr : call.context->handle;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxGetDevice(CUdevice* device) {
  return Enter(Function::k_cuCtxGetDevice, [&](Call& call) -> CUresult {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = call.context->device;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxGetFlags(unsigned int* flags) {
  return Enter(Function::k_cuCtxGetFlags, [&](Call& call) -> CUresult {
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = call.context->flags;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxGetId(CUcontext handle, unsigned long long* id) {
  return Enter(Function::k_cuCtxGetId, [&](Call& call) -> CUresult {
    const auto context = FindContext(call, handle);
    if (context == nullptr || id == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    *id = context->id;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxGetApiVersion(CUcontext handle, unsigned int* version) {
  return Enter(Function::k_cuCtxGetApiVersion, [&](Call& call) -> CUresult {
    const auto context = FindContext(call, handle);
    if (context == nullptr || version == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    *version = CUDA_VERSION / 10;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxSynchronize() {
  return Enter(Function::k_cuCtxSynchronize, [&](Call& call) -> CUresult {
    const CUresult result = DrainAll(call.context);
    WriteOut(*call.context);
    return result;
  });
}
CONTRACT_API CUresult cuCtxSetLimit(CUlimit limit, std::size_t value) {
  return Enter(Function::k_cuCtxSetLimit, [&](Call& call) -> CUresult {
    const std::lock_guard lock(state().mu);
    const auto found = call.context->limits.find(limit);
    if (found == call.context->limits.end()) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    found->second = value;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxGetLimit(std::size_t* value, CUlimit limit) {
  return Enter(Function::k_cuCtxGetLimit, [&](Call& call) -> CUresult {
    const std::lock_guard lock(state().mu);
    const auto found = call.context->limits.find(limit);
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (found == call.context->limits.end()) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *value = found->second;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxGetCacheConfig(CUfunc_cache* config) {
  return Enter(Function::k_cuCtxGetCacheConfig, [&](Call&) -> CUresult {
    *config = CU_FUNC_CACHE_PREFER_NONE;  // the device has no choice
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxSetCacheConfig(CUfunc_cache) {
  return Enter(Function::k_cuCtxSetCacheConfig, [&](Call&) -> CUresult { return CUDA_SUCCESS; });
}
CONTRACT_API CUresult cuCtxResetPersistingL2Cache() {
  return Enter(Function::k_cuCtxResetPersistingL2Cache, [&](Call&) -> CUresult { return CUDA_SUCCESS; });
}
CONTRACT_API CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return Enter(Function::k_cuCtxGetStreamPriorityRange, [&](Call&) -> CUresult {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = kStreamPriorityGreatest;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxEnablePeerAccess(CUcontext handle, unsigned int flags) {
  return Enter(Function::k_cuCtxEnablePeerAccess, [&](Call& call) -> CUresult {
    const auto peer = call.Find(state().contexts, handle);
    if (peer == nullptr || peer == call.context) return CUDA_ERROR_INVALID_CONTEXT;
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const std::lock_guard lock(state().mu);
    if (!call.context->peers.insert(peer.get()).second) return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
    // Of mapped memory cuMemSetAccess decides.
    for (auto& [address, region] : state().regions) {
      if (region.context == peer.get())
        SetAccess(address, region, region.access | 1u << static_cast<unsigned>(call.context->device));
    }
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuCtxDisablePeerAccess(CUcontext handle) {
  return Enter(Function::k_cuCtxDisablePeerAccess, [&](Call& call) -> CUresult {
    const auto peer = call.Find(state().contexts, handle);
    if (peer == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    const std::lock_guard lock(state().mu);
    if (call.context->peers.erase(peer.get()) == 0) return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
    for (auto& [address, region] : state().regions) {
      if (region.context == peer.get() && !region.host())
        SetAccess(address, region, region.access & ~(1u << static_cast<unsigned>(call.context->device)));
    }
    return CUDA_SUCCESS;
  });
}

// Primary contexts ---------------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuDevicePrimaryCtxRetain(CUcontext* handle, CUdevice device) {
  return Enter(Function::k_cuDevicePrimaryCtxRetain, [&](Call&) -> CUresult {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    const std::lock_guard lock(PrimaryMutex());
    Device& of = DeviceOf(device);
    if (of.primary == nullptr) of.primary = MakeContext(device, of.primary_flags, true);
    ++of.primary_users;
    *handle = of.primary->handle;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  return Enter(Function::k_cuDevicePrimaryCtxRelease, [&](Call& call) -> CUresult {
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    const std::lock_guard lock(PrimaryMutex());
    Device& of = DeviceOf(device);
    if (of.primary_users == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--of.primary_users != 0) return CUDA_SUCCESS;
    EndContext(call, of.primary);
    of.primary.reset();
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDevicePrimaryCtxReset(CUdevice device) {
  return Enter(Function::k_cuDevicePrimaryCtxReset, [&](Call& call) -> CUresult {
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    const std::lock_guard lock(PrimaryMutex());
    Device& of = DeviceOf(device);
    if (of.primary != nullptr) EndContext(call, of.primary);
    of.primary.reset();
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned int flags) {
  return Enter(Function::k_cuDevicePrimaryCtxSetFlags, [&](Call&) -> CUresult {
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    const std::lock_guard lock(PrimaryMutex());
    DeviceOf(device).primary_flags = flags;
    if (DeviceOf(device).primary != nullptr) DeviceOf(device).primary->flags = flags;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int* flags, int* active) {
  return Enter(Function::k_cuDevicePrimaryCtxGetState, [&](Call&) -> CUresult {
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    const std::lock_guard lock(PrimaryMutex());
    if (flags != nullptr) *flags = DeviceOf(device).primary_flags;
    if (active != nullptr) *active = DeviceOf(device).primary != nullptr ? 1 : 0;
    return CUDA_SUCCESS;
  });
}
