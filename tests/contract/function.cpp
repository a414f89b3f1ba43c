// Functions and kernels: what they are, and what may be set of them.
#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr int kSharedBytes = 49152;
constexpr int kSharedBytesMax = 166912;
constexpr int kRegistersMax = 255;
constexpr std::uint64_t kPortableBlocksMax = 8;  // of a cluster
constexpr std::uint64_t kClusterBlocksMax = 16;

CUresult GetAttribute(const Call& call, const ptx::Module& module, const ptx::Kernel& source, const Kernel* kernel,
                      CUfunction_attribute attribute, int* value) {
  if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const int fixed = static_cast<int>(source.static_shared_bytes);
  const auto required = [&](int dimension) {
    const int compiled = static_cast<int>(source.required_cluster[dimension]);
    return compiled == 0 && kernel != nullptr ? kernel->required_cluster[dimension] : compiled;
  };
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = static_cast<int>(source.max_threads); break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *value = fixed; break;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES: *value = 0; break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: *value = static_cast<int>(source.local_bytes); break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = std::min(kRegistersMax, static_cast<int>(source.registers)); break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION: *value = static_cast<int>(module.target); break;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = static_cast<int>(settings().capability); break;
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA: *value = 0; break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = kernel != nullptr && kernel->dynamic_shared_max != 0 ? kernel->dynamic_shared_max : kSharedBytes - fixed;
      break;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT: *value = kernel == nullptr ? -1 : kernel->carveout; break;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET: *value = source.needs_cluster ? 1 : 0; break;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH: *value = required(0); break;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT: *value = required(1); break;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH: *value = required(2); break;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      *value = kernel != nullptr && kernel->large_clusters ? 1 : 0;
      break;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      *value = kernel == nullptr ? 0 : kernel->cluster_policy;
      break;
    default:
      return call.Break(CONTRACT_RULE_WRONG_SIZE, CUDA_ERROR_INVALID_VALUE,
                        "no function attribute " + std::to_string(attribute));
  }
  return CUDA_SUCCESS;
}

CUresult SetAttribute(Kernel& kernel, CUfunction_attribute attribute, int value) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      if (value < 0 || value > kSharedBytesMax - static_cast<int>(kernel.source->static_shared_bytes))
        return CUDA_ERROR_INVALID_VALUE;
      kernel.dynamic_shared_max = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      if (value < -1 || value > 100) return CUDA_ERROR_INVALID_VALUE;
      kernel.carveout = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
      if (value < 0) return CUDA_ERROR_INVALID_VALUE;
      if (kernel.source->required_cluster[0] != 0) return CUDA_ERROR_NOT_PERMITTED;
      kernel.required_cluster[attribute - CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH] = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED: kernel.large_clusters = value != 0; return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      if (value < CU_CLUSTER_SCHEDULING_POLICY_DEFAULT || value > CU_CLUSTER_SCHEDULING_POLICY_LOAD_BALANCING)
        return CUDA_ERROR_INVALID_VALUE;
      kernel.cluster_policy = value;
      return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult ParamInfo(const ptx::Kernel& source, std::size_t index, std::size_t* offset, std::size_t* bytes) {
  if (offset == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (index >= source.parameters.size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = source.parameters[index].offset;
  if (bytes != nullptr) *bytes = source.parameters[index].bytes;
  return CUDA_SUCCESS;
}

const ptx::Kernel& SourceOf(const KernelRef& kernel) { return kernel.library->source->kernels[kernel.index]; }

// Blocks of one multiprocessor that run at a time.
CUresult Occupancy(const Call& call, CUfunction handle, int threads, std::size_t shared_bytes, int* blocks) {
  const auto function = FindKernel(call, handle);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (blocks == nullptr || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
  *blocks = BlocksPerProcessor(*function->kernel, static_cast<unsigned>(threads), shared_bytes);
  return CUDA_SUCCESS;
}

}  // namespace

int BlocksPerProcessor(const Kernel& kernel, unsigned threads, std::uint64_t shared_bytes) {
  if (threads > kernel.source->max_threads) return 0;
  const std::uint64_t shared = kernel.source->static_shared_bytes + shared_bytes;
  const std::uint64_t by_shared = 167936 / (shared + 1024);
  return static_cast<int>(std::min({std::uint64_t{32}, std::uint64_t{2048 / threads}, by_shared}));
}

Dim3 ClusterOf(const Kernel& kernel) {
  const std::uint32_t* compiled = kernel.source->required_cluster;
  const auto extent = [&](int d) {
    return compiled[d] != 0 ? compiled[d] : static_cast<std::uint32_t>(kernel.required_cluster[d]);
  };
  return {extent(0), extent(1), extent(2)};
}

CUresult CheckCluster(const Call& call, const Kernel& kernel, const LaunchRequest& request) {
  const Dim3& size = request.cluster;
  const Dim3& preferred = request.preferred;
  const Dim3 own = ClusterOf(kernel);
  const auto is_none = [](const Dim3& d) { return d.x == 0 && d.y == 0 && d.z == 0; };
  const auto divides = [](const Dim3& d, const Dim3& all) {
    return all.x % d.x == 0 && all.y % d.y == 0 && all.z % d.z == 0;
  };
  if (is_none(size) && is_none(own))
    return kernel.source->needs_cluster ? CUDA_ERROR_INVALID_CLUSTER_SIZE : CUDA_SUCCESS;
  const Dim3& had = is_none(size) ? own : size;
  if (had.count() == 0)
    return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_CLUSTER_SIZE, "a cluster of 0 blocks");
  const bool is_other = !is_none(own) && (had.x != own.x || had.y != own.y || had.z != own.z);
  const std::uint64_t most = !HasClusters() ? 1 : kernel.large_clusters ? kClusterBlocksMax : kPortableBlocksMax;
  if (is_other || had.count() > most || !divides(had, request.grid)) return CUDA_ERROR_INVALID_CLUSTER_SIZE;
  if (is_none(preferred)) return CUDA_SUCCESS;
  const bool is_multiple = preferred.count() != 0 && divides(had, preferred) && preferred.z == had.z;
  return is_multiple && divides(preferred, request.grid) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CLUSTER_SIZE;
}

std::uint64_t DynamicSharedMax(const Kernel& kernel) {
  if (kernel.dynamic_shared_max != 0) return static_cast<std::uint64_t>(kernel.dynamic_shared_max);
  return kSharedBytes - std::min<std::uint64_t>(kSharedBytes, kernel.source->static_shared_bytes);
}

}  // namespace accelmesh::contract

using namespace accelmesh;
using namespace accelmesh::contract;

CONTRACT_API CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  return Enter(Function::k_cuFuncGetAttribute, [&](Call& call) -> CUresult {
    const auto function = FindKernel(call, handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return GetAttribute(call, *function->module->source, *function->kernel->source, function->kernel, attribute, value);
  });
}
CONTRACT_API CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  return Enter(Function::k_cuFuncSetAttribute, [&](Call& call) -> CUresult {
    const auto function = FindKernel(call, handle);
    return function == nullptr ? CUDA_ERROR_INVALID_HANDLE : SetAttribute(*function->kernel, attribute, value);
  });
}
CONTRACT_API CUresult cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache) {
  return Enter(Function::k_cuFuncSetCacheConfig, [&](Call& call) -> CUresult {
    return FindKernel(call, handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuFuncGetModule(CUmodule* module, CUfunction handle) {
  return Enter(Function::k_cuFuncGetModule, [&](Call& call) -> CUresult {
    const auto function = FindKernel(call, handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *module = function->module->handle;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuFuncGetName(const char** name, CUfunction handle) {
  return Enter(Function::k_cuFuncGetName, [&](Call& call) -> CUresult {
    const auto function = FindKernel(call, handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *name = function->kernel->source->name.c_str();
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuFuncGetParamInfo(CUfunction handle, std::size_t index, std::size_t* offset,
                                         std::size_t* bytes) {
  return Enter(Function::k_cuFuncGetParamInfo, [&](Call& call) -> CUresult {
    const auto function = FindKernel(call, handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return ParamInfo(*function->kernel->source, index, offset, bytes);
  });
}
CONTRACT_API CUresult cuFuncIsLoaded(CUfunctionLoadingState* loaded, CUfunction handle) {
  return Enter(Function::k_cuFuncIsLoaded, [&](Call& call) -> CUresult {
    if (FindKernel(call, handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *loaded = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuFuncLoad(CUfunction handle) {
  return Enter(Function::k_cuFuncLoad, [&](Call& call) -> CUresult {
    return FindKernel(call, handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
  });
}

// Kernels of libraries -----------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuKernelGetFunction(CUfunction* function, CUkernel handle) {
  return Enter(Function::k_cuKernelGetFunction, [&](Call& call) -> CUresult {
    if (call.Find(state().kernels, handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const auto found = FindKernel(call, reinterpret_cast<CUfunction>(handle));
    if (found == nullptr) return CUDA_ERROR_NOT_FOUND;
    *function = found->kernel->handle;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuKernelGetLibrary(CUlibrary* library, CUkernel handle) {
  return Enter(Function::k_cuKernelGetLibrary, [&](Call& call) -> CUresult {
    const auto kernel = call.Find(state().kernels, handle);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *library = kernel->library->handle;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuKernelGetName(const char** name, CUkernel handle) {
  return Enter(Function::k_cuKernelGetName, [&](Call& call) -> CUresult {
    const auto kernel = call.Find(state().kernels, handle);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *name = SourceOf(*kernel).name.c_str();
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuKernelGetParamInfo(CUkernel handle, std::size_t index, std::size_t* offset,
                                           std::size_t* bytes) {
  return Enter(Function::k_cuKernelGetParamInfo, [&](Call& call) -> CUresult {
    const auto kernel = call.Find(state().kernels, handle);
    return kernel == nullptr ? CUDA_ERROR_INVALID_HANDLE : ParamInfo(SourceOf(*kernel), index, offset, bytes);
  });
}
CONTRACT_API CUresult cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel handle, CUdevice) {
  return Enter(Function::k_cuKernelGetAttribute, [&](Call& call) -> CUresult {
    const auto kernel = call.Find(state().kernels, handle);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return GetAttribute(call, *kernel->library->source, SourceOf(*kernel), nullptr, attribute, value);
  });
}
CONTRACT_API CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel handle, CUdevice) {
  return Enter(Function::k_cuKernelSetAttribute, [&](Call& call) -> CUresult {
    if (call.Find(state().kernels, handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (call.context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    const auto function = FindKernel(call, reinterpret_cast<CUfunction>(handle));
    return function == nullptr ? CUDA_ERROR_INVALID_HANDLE : SetAttribute(*function->kernel, attribute, value);
  });
}
CONTRACT_API CUresult cuKernelSetCacheConfig(CUkernel handle, CUfunc_cache, CUdevice) {
  return Enter(Function::k_cuKernelSetCacheConfig, [&](Call& call) -> CUresult {
    return call.Find(state().kernels, handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
  });
}

// Occupancy ----------------------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int threads,
                                                                  std::size_t shared_bytes) {
  return Enter(Function::k_cuOccupancyMaxActiveBlocksPerMultiprocessor,
               [&](Call& call) -> CUresult { return Occupancy(call, function, threads, shared_bytes, blocks); });
}
CONTRACT_API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function,
                                                                           int threads, std::size_t shared_bytes,
                                                                           unsigned int flags) {
  return Enter(Function::k_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, [&](Call& call) -> CUresult {
    if (flags > CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE) return CUDA_ERROR_INVALID_VALUE;
    return Occupancy(call, function, threads, shared_bytes, blocks);
  });
}
CONTRACT_API CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction handle,
                                                       CUoccupancyB2DSize shared_of_block, std::size_t shared_bytes,
                                                       int limit) {
  return Enter(Function::k_cuOccupancyMaxPotentialBlockSize, [&](Call& call) -> CUresult {
    const auto function = FindKernel(call, handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    int best = 0;
    const int most = static_cast<int>(function->kernel->source->max_threads);
    for (int threads = limit > 0 ? std::min(limit, most) : most; threads > 0; threads -= 32) {
      const std::size_t shared = shared_of_block != nullptr ? shared_of_block(threads) : shared_bytes;
      const int blocks = BlocksPerProcessor(*function->kernel, static_cast<unsigned>(threads), shared);
      if (blocks * threads <= best) continue;
      best = blocks * threads;
      *block = threads;
      *grid = blocks * kProcessors;
    }
    return best == 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuOccupancyAvailableDynamicSMemPerBlock(std::size_t* bytes, CUfunction handle, int blocks,
                                                              int threads) {
  return Enter(Function::k_cuOccupancyAvailableDynamicSMemPerBlock, [&](Call& call) -> CUresult {
    const auto function = FindKernel(call, handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (bytes == nullptr || blocks <= 0 || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    const std::uint64_t each = 167936 / static_cast<unsigned>(blocks);
    const std::uint64_t taken = function->kernel->source->static_shared_bytes + 1024;
    *bytes = each > taken ? std::min<std::uint64_t>(each - taken, DynamicSharedMax(*function->kernel)) : 0;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuOccupancyMaxActiveClusters(int* clusters, CUfunction handle, const CUlaunchConfig* config) {
  return Enter(Function::k_cuOccupancyMaxActiveClusters, [&](Call& call) -> CUresult {
    const auto function = FindKernel(call, handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (clusters == nullptr || config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    LaunchRequest request;
    if (const CUresult result = ReadConfig(call, *config, &request); result != CUDA_SUCCESS) return result;
    const Kernel& kernel = *function->kernel;
    const Dim3 size = request.cluster.count() != 0 ? request.cluster : ClusterOf(kernel);
    if (size.count() == 0) return CUDA_ERROR_INVALID_CLUSTER_SIZE;
    if (const CUresult result = CheckCluster(call, kernel, request); result != CUDA_SUCCESS) return result;
    const int blocks = BlocksPerProcessor(kernel, static_cast<unsigned>(request.block.count()), request.shared_bytes);
    *clusters = blocks * kProcessors / static_cast<int>(size.count());
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuOccupancyMaxPotentialClusterSize(int* blocks, CUfunction handle, const CUlaunchConfig* config) {
  return Enter(Function::k_cuOccupancyMaxPotentialClusterSize, [&](Call& call) -> CUresult {
    const auto function = FindKernel(call, handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (blocks == nullptr || config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    LaunchRequest request;
    if (const CUresult result = ReadConfig(call, *config, &request); result != CUDA_SUCCESS) return result;
    const Kernel& kernel = *function->kernel;
    const std::uint64_t most = !HasClusters() ? 1 : kernel.large_clusters ? kClusterBlocksMax : kPortableBlocksMax;
    const std::uint64_t own = ClusterOf(kernel).count();
    *blocks = static_cast<int>(own != 0 ? own : most);
    return CUDA_SUCCESS;
  });
}
