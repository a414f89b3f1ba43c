// The driver itself: initialisation, errors' names, the devices and what they are, addresses of functions.
#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr int kVersion = CUDA_VERSION;
constexpr int kPciBusFirst = 0x17;

// Numbers of a small device, besides those of its compute capability. What is not listed, it has not (0).
const std::map<int, int>& Attributes() {
  static const std::map<int, int>* const table = new std::map<int, int>{
      {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
      {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
      {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
      {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
      {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 0x7fffffff},
      {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
      {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 49152},
      {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, 65536},
      {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
      {CU_DEVICE_ATTRIBUTE_MAX_PITCH, 0x7fffffff},
      {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
      {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1410000},
      {CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, 512},
      {CU_DEVICE_ATTRIBUTE_GPU_OVERLAP, 1},
      {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, kProcessors},
      {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
      {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_WIDTH, 131072},
      {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_WIDTH, 131072},
      {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_HEIGHT, 65536},
      {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_WIDTH, 16384},
      {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_HEIGHT, 16384},
      {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_DEPTH, 16384},
      {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
      {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1215000},
      {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 5120},
      {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 41943040},
      {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048},
      {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 2},
      {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
      {CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT, 32},
      {CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_GLOBAL_L1_CACHE_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_LOCAL_L1_CACHE_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 167936},
      {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 65536},
      {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 1},
      {CU_DEVICE_ATTRIBUTE_SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO, 2},
      {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 1},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1},
      {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR, 1},
      {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, 1},
      {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 166912},
      {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 32},
      {CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, 1024},
      {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_NUMA_ID, -1},
      {CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, -1},
  };
  return *table;
}

struct NamedError {
  CUresult code;
  const char* name;
  const char* text;
};
// Those that this library returns or that a test may inject.
#define CONTRACT_ERROR(name, text) {name, #name, text}
constexpr NamedError kErrors[] = {
    CONTRACT_ERROR(CUDA_SUCCESS, "no error"),
    CONTRACT_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    CONTRACT_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    CONTRACT_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    CONTRACT_ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
    CONTRACT_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    CONTRACT_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    CONTRACT_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    CONTRACT_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    CONTRACT_ERROR(CUDA_ERROR_ALREADY_MAPPED, "already mapped"),
    CONTRACT_ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"),
    CONTRACT_ERROR(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered"),
    CONTRACT_ERROR(CUDA_ERROR_UNSUPPORTED_LIMIT, "limit is not supported on this architecture"),
    CONTRACT_ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    CONTRACT_ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the provided PTX was compiled with an unsupported toolchain."),
    CONTRACT_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    CONTRACT_ERROR(CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state"),
    CONTRACT_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    CONTRACT_ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    CONTRACT_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    CONTRACT_ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    CONTRACT_ERROR(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
    CONTRACT_ERROR(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is already enabled"),
    CONTRACT_ERROR(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "peer access has not been enabled"),
    CONTRACT_ERROR(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, "cannot set while device is active in this process"),
    CONTRACT_ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    CONTRACT_ERROR(CUDA_ERROR_ASSERT, "device-side assert triggered"),
    CONTRACT_ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
                   "part or all of the requested memory range is already mapped"),
    CONTRACT_ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region"),
    CONTRACT_ERROR(CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error"),
    CONTRACT_ERROR(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
    CONTRACT_ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    CONTRACT_ERROR(CUDA_ERROR_INVALID_ADDRESS_SPACE, "operation not supported on global/shared address space"),
    CONTRACT_ERROR(CUDA_ERROR_INVALID_PC, "invalid program counter"),
    CONTRACT_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    CONTRACT_ERROR(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "too many blocks in cooperative launch"),
    CONTRACT_ERROR(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
    CONTRACT_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    CONTRACT_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"),
    CONTRACT_ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"),
    CONTRACT_ERROR(CUDA_ERROR_STREAM_CAPTURE_MERGE, "operation would result in a merge of separate capture sequences"),
    CONTRACT_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "capture was not ended in the same stream as it began"),
    CONTRACT_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work"),
    CONTRACT_ERROR(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream"),
    CONTRACT_ERROR(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
                   "operation would make the legacy stream depend on a capturing blocking stream"),
    CONTRACT_ERROR(CUDA_ERROR_CAPTURED_EVENT,
                   "operation not permitted on an event last recorded in a capturing stream"),
    CONTRACT_ERROR(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
                   "attempt to terminate a thread-local capture sequence from another thread"),
    CONTRACT_ERROR(CUDA_ERROR_TIMEOUT, "wait operation timed out"),
    CONTRACT_ERROR(CUDA_ERROR_INVALID_CLUSTER_SIZE, "cluster misconfiguration"),
    CONTRACT_ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};
#undef CONTRACT_ERROR

const NamedError* FindError(CUresult code) {
  for (const NamedError& error : kErrors) {
    if (error.code == code) return &error;
  }
  return nullptr;
}

struct Address {
  const char* name;
  void* function;
};
const std::vector<Address>& Addresses() {
  static const std::vector<Address>* const table = new std::vector<Address>{
#define CONTRACT_FUNCTION(name, needs, waits) {#name, reinterpret_cast<void*>(&name)},
#include "tests/contract/functions.inc"
#undef CONTRACT_FUNCTION
  };
  return *table;
}

State* current_state = new State;

// A forked child begins anew, where a driver would refuse to work: the conformance tests fork their servers. Nothing of
// what the child leaves behind is under way while the process is copied.
void LockForFork() { current_state->mu.lock(); }
void UnlockAfterFork() { current_state->mu.unlock(); }
void StartAnew() {
  current_state = new State;
  ForgetCurrentContexts();
}

bool IsDevice(CUdevice device) { return device >= 0 && static_cast<std::size_t>(device) < state().devices.size(); }

}  // namespace

State& state() {
  static const int registered = ::pthread_atfork(LockForFork, UnlockAfterFork, StartAnew);
  (void)registered;
  return *current_state;
}

}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuInit(unsigned int flags) {
  return Enter(Function::k_cuInit, [&](Call& call) -> CUresult {
    if (flags != 0) return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "flags are not 0");
    const std::lock_guard lock(state().mu);
    if (state().initialized) return CUDA_SUCCESS;
    if (const char* directives = std::getenv("ACCELMESH_CONTRACT"); directives != nullptr) {
      if (contract_configure(directives) != 0) return CUDA_ERROR_INVALID_VALUE;
    }
    if (settings().devices == 0) return CUDA_ERROR_NO_DEVICE;
    for (unsigned i = 0; i < settings().devices; ++i) {
      auto device = std::make_unique<Device>();
      device->memory_bytes = settings().memory_bytes;
      state().devices.push_back(std::move(device));
    }
    state().initialized = true;
    return CUDA_SUCCESS;
  });
}

CONTRACT_API CUresult cuDriverGetVersion(int* version) {
  return Enter(Function::k_cuDriverGetVersion, [&](Call&) -> CUresult {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = kVersion;
    return CUDA_SUCCESS;
  });
}

CONTRACT_API CUresult cuGetErrorName(CUresult error, const char** text) {
  return Enter(Function::k_cuGetErrorName, [&](Call&) -> CUresult {
    const NamedError* found = FindError(error);
    *text = found == nullptr ? nullptr : found->name;
    return found == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuGetErrorString(CUresult error, const char** text) {
  return Enter(Function::k_cuGetErrorString, [&](Call&) -> CUresult {
    const NamedError* found = FindError(error);
    *text = found == nullptr ? nullptr : found->text;
    return found == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}

CONTRACT_API CUresult cuGetProcAddress(const char* symbol, void** address, int version, cuuint64_t flags,
                                       CUdriverProcAddressQueryResult* status) {
  return Enter(Function::k_cuGetProcAddress, [&](Call& call) -> CUresult {
    if (symbol == nullptr || address == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0)
      return call.Break(CONTRACT_RULE_WRONG_SIZE, CUDA_ERROR_NOT_SUPPORTED, "per-thread variants are not here");
    *address = nullptr;
    const auto& all = Addresses();
    const auto found =
        std::find_if(all.begin(), all.end(), [symbol](const Address& a) { return std::strcmp(a.name, symbol) == 0; });
    // Only the functions of CUDA 13's names are here, not those that older programs mean by the same name.
    const bool old = version < 13000;
    if (found != all.end() && !old) *address = found->function;
    if (status != nullptr) {
      *status = found == all.end() ? CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND
                : old              ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                                   : CU_GET_PROC_ADDRESS_SUCCESS;
    }
    return *address == nullptr ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
  });
}

CONTRACT_API CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return Enter(Function::k_cuDeviceGet, [&](Call&) -> CUresult {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDeviceGetCount(int* count) {
  return Enter(Function::k_cuDeviceGetCount, [&](Call&) -> CUresult {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<int>(state().devices.size());
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  return Enter(Function::k_cuDeviceGetName, [&](Call&) -> CUresult {
    if (name == nullptr || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    std::snprintf(name, static_cast<std::size_t>(length), "Contract GPU");
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  return Enter(Function::k_cuDeviceGetUuid, [&](Call&) -> CUresult {
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    std::memcpy(uuid->bytes, "contract-gpu-00", sizeof(uuid->bytes));
    uuid->bytes[sizeof(uuid->bytes) - 1] = static_cast<char>(device);
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDeviceTotalMem(std::size_t* bytes, CUdevice device) {
  return Enter(Function::k_cuDeviceTotalMem, [&](Call&) -> CUresult {
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = state().devices[static_cast<std::size_t>(device)]->memory_bytes;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return Enter(Function::k_cuDeviceGetAttribute, [&](Call&) -> CUresult {
    if (value == nullptr || attribute <= 0 || attribute >= CU_DEVICE_ATTRIBUTE_MAX) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    if (attribute == CU_DEVICE_ATTRIBUTE_PCI_BUS_ID) {
      *value = kPciBusFirst + device;
      return CUDA_SUCCESS;
    }
    const int capability = static_cast<int>(settings().capability);
    if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) *value = capability / 10;
    if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) *value = capability % 10;
    if (attribute == CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH) *value = HasClusters() ? 1 : 0;
    if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ||
        attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR || attribute == CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH)
      return CUDA_SUCCESS;
    if (attribute == CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED) {
      *value = settings().dma_buf ? 1 : 0;
      return CUDA_SUCCESS;
    }
    if (attribute == CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS) {
      *value = settings().peer_memory ? CU_FLUSH_GPU_DIRECT_RDMA_WRITES_OPTION_HOST : 0;
      return CUDA_SUCCESS;
    }
    const auto found = Attributes().find(attribute);
    *value = found == Attributes().end() ? 0 : found->second;
    // Devices before 6.0 cannot fault: the processor has managed memory or the device does.
    if (attribute == CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS && capability < 60) *value = 0;
    return CUDA_SUCCESS;
  });
}
// Writes of network cards: of this process's memory, so that they are there.
CONTRACT_API CUresult cuFlushGPUDirectRDMAWrites(CUflushGPUDirectRDMAWritesTarget target,
                                                 CUflushGPUDirectRDMAWritesScope scope) {
  return Enter(Function::k_cuFlushGPUDirectRDMAWrites, [&](Call&) -> CUresult {
    if (target != CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX ||
        (scope != CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_OWNER && scope != CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_ALL_DEVICES))
      return CUDA_ERROR_INVALID_VALUE;
    return settings().peer_memory ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
  });
}
CONTRACT_API CUresult cuDeviceGetPCIBusId(char* id, int length, CUdevice device) {
  return Enter(Function::k_cuDeviceGetPCIBusId, [&](Call&) -> CUresult {
    if (id == nullptr || length < 13) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    std::snprintf(id, static_cast<std::size_t>(length), "0000:%02x:00.0", kPciBusFirst + device);
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDeviceGetByPCIBusId(CUdevice* device, const char* id) {
  return Enter(Function::k_cuDeviceGetByPCIBusId, [&](Call&) -> CUresult {
    if (device == nullptr || id == nullptr) return CUDA_ERROR_INVALID_VALUE;
    unsigned domain = 0;
    unsigned bus = 0;
    if (std::sscanf(id, "%x:%x:", &domain, &bus) != 2 || domain != 0 || !IsDevice(static_cast<int>(bus) - kPciBusFirst))
      return CUDA_ERROR_INVALID_DEVICE;
    *device = static_cast<int>(bus) - kPciBusFirst;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  return Enter(Function::k_cuDeviceCanAccessPeer, [&](Call&) -> CUresult {
    if (can == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(device) || !IsDevice(peer)) return CUDA_ERROR_INVALID_DEVICE;
    *can = device != peer ? 1 : 0;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice device,
                                              CUdevice peer) {
  return Enter(Function::k_cuDeviceGetP2PAttribute, [&](Call&) -> CUresult {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!IsDevice(device) || !IsDevice(peer) || device == peer) return CUDA_ERROR_INVALID_DEVICE;
    *value = attribute == CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED ? 1 : 0;
    return CUDA_SUCCESS;
  });
}
