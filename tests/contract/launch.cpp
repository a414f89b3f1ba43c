// Launches: their arguments and geometry as they are given, and the grid as the interpreter runs it.
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr std::uint32_t kBlockThreadsMax = 1024;
constexpr std::uint32_t kBlockZMax = 64;
constexpr std::uint32_t kGridYzMax = 65535;
constexpr std::uint32_t kWorkspaceBytes = 256;
constexpr auto kSlice = std::chrono::microseconds(500);
constexpr std::size_t kResidentBlocksMax = 16;

// Where kernels' malloc takes from: made when the first kernel of the context runs.
tier0::Heap* HeapOf(Context& context) {
  const std::lock_guard lock(state().mu);
  if (context.heap != nullptr) return context.heap.get();
  Region region;
  region.kind = Region::Kind::kHeap;
  region.bytes = context.limits[CU_LIMIT_MALLOC_HEAP_SIZE];
  region.device = context.device;
  region.access = 1u << static_cast<unsigned>(context.device);
  region.context = &context;
  const std::uint64_t address = MapMemory(region.bytes);
  if (address == 0) return nullptr;
  AddRegion(address, region);
  context.heap = std::make_unique<tier0::Heap>(address, region.bytes);
  return context.heap.get();
}

std::uint32_t StackBytesOf(Context& context) {
  const std::lock_guard lock(state().mu);
  return static_cast<std::uint32_t>(context.limits[CU_LIMIT_STACK_SIZE]);
}

void DecodeOnce(const Module& module, Kernel& kernel) {
  std::call_once(kernel.once, [&] {
    kernel.decoded = tier0::Decode(*module.source, *kernel.source, [&module](std::string_view name) {
      const auto found = module.globals.find(std::string(name));
      return found == module.globals.end() ? std::uint64_t{0} : found->second.address;
    });
  });
}

// Runs the grid on this thread, a slice of a block after the other. One block runs at a time until it shows that it
// waits for others; those of a cooperative launch all do.
std::optional<tier0::Fault> RunGrid(const tier0::GridLaunch& launch) {
  thread_local std::vector<std::unique_ptr<tier0::BlockContext>> idle;
  std::vector<std::unique_ptr<tier0::BlockContext>> running;
  const std::uint64_t blocks = launch.grid.count();
  const std::size_t resident_max = launch.cooperative ? blocks : kResidentBlocksMax;
  std::size_t resident = launch.cooperative ? blocks : 1;
  std::uint64_t next = 0;
  while ((next < blocks || !running.empty()) && !launch.cancel->load()) {
    while (next < blocks && running.size() < resident) {
      if (idle.empty()) idle.push_back(std::make_unique<tier0::BlockContext>());
      running.push_back(std::move(idle.back()));
      idle.pop_back();
      if (auto fault = tier0::BeginBlock(launch, next++, *running.back())) return fault;
    }
    const std::size_t before = running.size();
    for (std::size_t i = 0; i < running.size();) {
      tier0::Slice slice = tier0::RunSlice(*running[i], Clock::now() + kSlice);
      if (slice.fault.has_value()) return std::move(slice.fault);
      if (slice.done) {
        idle.push_back(std::move(running[i]));
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
    if (running.size() == before) resident = std::min(resident + 1, resident_max);
  }
  return std::nullopt;
}

bool GeometryIsRight(const Dim3& grid, const Dim3& block) {
  return grid.x <= 0x7fffffff && grid.y <= kGridYzMax && grid.z <= kGridYzMax && block.x <= kBlockThreadsMax &&
         block.y <= kBlockThreadsMax && block.z <= kBlockZMax && block.count() <= kBlockThreadsMax;
}

CUresult TakeArguments(const Call& call, const ptx::Kernel& source, void** parameters, void** extra, Bytes* arguments) {
  arguments->resize(source.parameter_bytes);
  if (extra != nullptr) {
    const void* buffer = nullptr;
    const std::size_t* bytes = nullptr;
    for (void** entry = extra; *entry != CU_LAUNCH_PARAM_END; entry += 2) {
      if (*entry == CU_LAUNCH_PARAM_BUFFER_POINTER) {
        buffer = entry[1];
      } else if (*entry == CU_LAUNCH_PARAM_BUFFER_SIZE) {
        bytes = static_cast<const std::size_t*>(entry[1]);
      } else {
        return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "an entry of `extra` is none");
      }
    }
    if (parameters != nullptr || buffer == nullptr || bytes == nullptr || *bytes < arguments->size())
      return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "the buffer of arguments is too short");
    std::memcpy(arguments->data(), buffer, arguments->size());
    return CUDA_SUCCESS;
  }
  if (source.parameters.empty()) return CUDA_SUCCESS;
  if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < source.parameters.size(); ++i) {
    if (parameters[i] == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(arguments->data() + source.parameters[i].offset, parameters[i], source.parameters[i].bytes);
  }
  return CUDA_SUCCESS;
}

CUresult Launch(const Call& call, const LaunchRequest& request, CUstream handle, void** parameters, void** extra) {
  const auto stream = call.FindStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->context != call.context) {
    return call.Break(CONTRACT_RULE_WRONG_CONTEXT, CUDA_ERROR_INVALID_HANDLE,
                      "the stream is of another context than the current one");
  }
  std::shared_ptr<KernelCall> launch;
  const CUresult result = PrepareLaunch(call, request, parameters, extra, &launch);
  if (result != CUDA_SUCCESS) return result;
  WriteOut(*call.context);
  return Submit(call, stream, LaunchWork(call.context, std::move(launch)));
}

}  // namespace

// Of the attributes, those that only advise do nothing here, as the manual allows.
CUresult ReadConfig(const Call& call, const CUlaunchConfig& config, LaunchRequest* request) {
  if (config.numAttrs != 0 && config.attrs == nullptr) return CUDA_ERROR_INVALID_VALUE;
  request->grid = {config.gridDimX, config.gridDimY, config.gridDimZ};
  request->block = {config.blockDimX, config.blockDimY, config.blockDimZ};
  request->shared_bytes = config.sharedMemBytes;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const CUlaunchAttributeValue& value = config.attrs[i].value;
    switch (config.attrs[i].id) {
      case CU_LAUNCH_ATTRIBUTE_IGNORE:
      case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      case CU_LAUNCH_ATTRIBUTE_PRIORITY:
      case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT: break;
      case CU_LAUNCH_ATTRIBUTE_COOPERATIVE: request->cooperative = value.cooperative != 0; break;
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        request->cluster = {value.clusterDim.x, value.clusterDim.y, value.clusterDim.z};
        if (request->cluster.count() == 0)
          return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_CLUSTER_SIZE, "a cluster of 0 blocks");
        break;
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
        request->preferred = {value.preferredClusterDim.x, value.preferredClusterDim.y, value.preferredClusterDim.z};
        break;
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        if (value.clusterSchedulingPolicyPreference > CU_CLUSTER_SCHEDULING_POLICY_LOAD_BALANCING)
          return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "no such policy of clusters");
        break;
      default:
        return call.Break(CONTRACT_RULE_WRONG_SIZE, CUDA_ERROR_NOT_SUPPORTED,
                          "launch attribute " + std::to_string(config.attrs[i].id) + " is not here");
    }
  }
  return CUDA_SUCCESS;
}

CUresult PrepareLaunch(const Call& call, const LaunchRequest& request, void** parameters, void** extra,
                       std::shared_ptr<KernelCall>* launch) {
  const auto found = FindKernel(call, request.function);
  if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (found->module->context != call.context) {
    return call.Break(CONTRACT_RULE_WRONG_CONTEXT, CUDA_ERROR_INVALID_HANDLE,
                      "the function is of another context than the current one");
  }
  const Dim3& grid = request.grid;
  const Dim3& block = request.block;
  if (grid.count() == 0 || block.count() == 0)
    return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "a grid or block of 0");
  if (!GeometryIsRight(grid, block)) return CUDA_ERROR_INVALID_VALUE;
  Kernel& kernel = *found->kernel;
  if (block.count() > kernel.source->max_threads) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  if (request.shared_bytes > DynamicSharedMax(kernel)) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult result = CheckCluster(call, kernel, request); result != CUDA_SUCCESS) return result;
  const auto threads = static_cast<unsigned>(block.count());
  if (request.cooperative &&
      grid.count() >
          static_cast<std::uint64_t>(BlocksPerProcessor(kernel, threads, request.shared_bytes) * kProcessors))
    return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
  auto made = std::make_shared<KernelCall>();
  made->module = found->module;
  made->kernel = &kernel;
  made->handle = kernel.handle;
  made->grid = grid;
  made->block = block;
  made->shared_bytes = request.shared_bytes;
  made->cooperative = request.cooperative;
  if (const Dim3 own = ClusterOf(kernel); own.count() != 0) made->cluster = own;
  if (request.cluster.count() != 0) made->cluster = request.cluster;
  const CUresult result = TakeArguments(call, *kernel.source, parameters, extra, &made->arguments);
  if (result == CUDA_SUCCESS) *launch = std::move(made);
  return result;
}

Work LaunchWork(const std::shared_ptr<Context>& context, std::shared_ptr<const KernelCall> launch) {
  Work work;
  work.type = CU_GRAPH_NODE_TYPE_KERNEL;
  // What a kernel touches is not known; what its arguments point at has to stay.
  for (const ptx::Parameter& parameter : launch->kernel->source->parameters) {
    if (parameter.bytes % sizeof(std::uint64_t) != 0) continue;
    for (std::uint32_t at = 0; at < parameter.bytes; at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, launch->arguments.data() + parameter.offset + at, sizeof(word));
      if (word != 0) work.touches.push_back({word, 1});
    }
  }
  work.run = [context, launch] { return RunKernel(context, *launch); };
  work.launch = std::move(launch);
  return work;
}

CUresult RunKernel(const std::shared_ptr<Context>& context, const KernelCall& call) {
  if (const unsigned delay_us = settings().launch_delay_us; delay_us != 0)
    std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
  Kernel& kernel = *call.kernel;
  if (const int fault = InjectedFault(kernel.source->name); fault != 0) return static_cast<CUresult>(fault);
  DecodeOnce(*call.module, kernel);
  if (!kernel.decoded.ok()) {
    std::fprintf(stderr, "contract libcuda: %s\n", kernel.decoded.status().ToString().c_str());
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  std::function<void(std::string_view)> print = [&context](std::string_view text) {
    const std::lock_guard lock(state().mu);
    context->printed += text;
  };
  std::function<void(std::string_view)> complain = [](std::string_view text) {
    (void)!::write(2, text.data(), text.size());
  };
  alignas(16) std::uint8_t workspace[kWorkspaceBytes] = {};
  tier0::GridLaunch launch;
  launch.kernel = kernel.decoded->get();
  launch.memory = &state().devices[static_cast<std::size_t>(context->device)]->memory;
  launch.grid = call.grid;
  launch.block = call.block;
  launch.cluster = call.cluster;
  launch.dynamic_shared_bytes = call.shared_bytes;
  launch.arguments = call.arguments;
  launch.cancel = &context->cancel;
  launch.print = &print;
  launch.complain = &complain;
  launch.heap = HeapOf(*context);
  launch.stack_bytes = StackBytesOf(*context);
  launch.cooperative = call.cooperative;
  launch.workspace = workspace;
  const tier0::TextureTable textures = TexturesOf(*context);
  launch.textures = &textures;
  const auto fault = RunGrid(launch);
  if (!fault.has_value()) return CUDA_SUCCESS;
  std::fprintf(stderr, "contract libcuda: %s\n", fault->text.c_str());
  return static_cast<CUresult>(fault->status);
}

}  // namespace accelmesh::contract

using namespace accelmesh;
using namespace accelmesh::contract;

CONTRACT_API CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                                     unsigned int block_x, unsigned int block_y, unsigned int block_z,
                                     unsigned int shared_bytes, CUstream stream, void** parameters, void** extra) {
  return Enter(Function::k_cuLaunchKernel, [&](Call& call) -> CUresult {
    LaunchRequest request;
    request.function = function;
    request.grid = {grid_x, grid_y, grid_z};
    request.block = {block_x, block_y, block_z};
    request.shared_bytes = shared_bytes;
    return Launch(call, request, stream, parameters, extra);
  });
}
CONTRACT_API CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                                                unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                                unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                                                void** parameters) {
  return Enter(Function::k_cuLaunchCooperativeKernel, [&](Call& call) -> CUresult {
    LaunchRequest request;
    request.function = function;
    request.grid = {grid_x, grid_y, grid_z};
    request.block = {block_x, block_y, block_z};
    request.shared_bytes = shared_bytes;
    request.cooperative = true;
    return Launch(call, request, stream, parameters, nullptr);
  });
}
CONTRACT_API CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** parameters,
                                       void** extra) {
  return Enter(Function::k_cuLaunchKernelEx, [&](Call& call) -> CUresult {
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    LaunchRequest request;
    request.function = function;
    if (const CUresult result = ReadConfig(call, *config, &request); result != CUDA_SUCCESS) return result;
    return Launch(call, request, config->hStream, parameters, extra);
  });
}
