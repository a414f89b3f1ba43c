// What the nodes of a graph do, in CUDA's words and in the core's.
#include <cstring>

#include "shim/entry.h"
#include "shim/gen_face.h"
#include "shim/runtime/copy.h"
#include "shim/runtime/graph.h"
#include "shim/runtime/host_function.h"
#include "shim/runtime/kernel.h"

namespace accelmesh {
namespace {

// The keys of cudaKernelNodeParams.extra (CU_LAUNCH_PARAM_*).
void* const kExtraEnd = nullptr;
void* const kExtraPointer = reinterpret_cast<void*>(1);
void* const kExtraSize = reinterpret_cast<void*>(2);

// Arguments that come as one block.
cudaError_t ReadExtra(void** extra, std::size_t bytes, Bytes* arguments) {
  const void* block = nullptr;
  std::size_t size = 0;
  for (; *extra != kExtraEnd; extra += 2) {
    if (extra[0] == kExtraPointer) {
      block = extra[1];
    } else if (extra[0] == kExtraSize) {
      size = *static_cast<const std::size_t*>(extra[1]);
    } else {
      return cudaErrorInvalidValue;
    }
  }
  if (size < bytes || (block == nullptr && bytes != 0)) return cudaErrorInvalidValue;
  arguments->resize(bytes);
  if (bytes != 0) std::memcpy(arguments->data(), block, bytes);
  return cudaSuccess;
}

cudaPitchedPtr ToPitched(const PitchedSide& side, const GraphCopy& copy) {
  const std::size_t rows = side.pitch != 0 && side.slice != 0 ? side.slice / side.pitch : copy.height;
  return {reinterpret_cast<void*>(side.address), side.pitch, copy.width, rows};
}

}  // namespace

// To the core --------------------------------------------------------------------------------------------------------

cudaError_t MakeKernel(ClientSession& session, const cudaKernelNodeParams& params, const GraphKernel* now,
                       NodeWork* work) {
  // Errors of finding it are not the last error of a thread that only builds a graph: whoever calls sets that.
  RegisteredKernel* registered = Registry::Get().FindKernel(params.func);
  if (registered == nullptr) return cudaErrorInvalidResourceHandle;
  cudaError_t error = cudaSuccess;
  const std::uint32_t device = CurrentDevice();
  const DeviceKernel* kernel = registered->On(device);
  if (kernel == nullptr) kernel = Registry::Get().Prepare(session, *registered, device, &error);
  if (kernel == nullptr) return error;
  LaunchRequest request{params.gridDim, params.blockDim, params.sharedMemBytes, false, {}};
  if (now != nullptr) {
    request.is_cooperative = (now->geometry.attributes & kCooperative) != 0;
    request.cluster = RequestOf(now->geometry.cluster);
  }
  GraphKernel made;
  error = CheckLaunch(session, *kernel, request, &made.geometry);
  if (error != cudaSuccess) return error;
  const KernelLayout& layout = *kernel->layout;
  made.device = device;
  made.module = layout.module;
  made.index = layout.index;
  made.load = layout.load;
  made.function = params.func;
  made.parameters = layout.parameters;
  if (params.kernelParams != nullptr && params.extra != nullptr) return cudaErrorInvalidValue;
  if (params.extra != nullptr) {
    error = ReadExtra(params.extra, layout.argument_bytes, &made.arguments);
    if (error != cudaSuccess) return error;
  } else {
    if (params.kernelParams == nullptr && !layout.parameters.empty()) return cudaErrorInvalidValue;
    made.arguments.resize(layout.argument_bytes);
    for (std::size_t i = 0; i < layout.parameters.size(); ++i) {
      if (params.kernelParams[i] == nullptr) return cudaErrorInvalidValue;
      std::memcpy(made.arguments.data() + layout.parameters[i].offset(), params.kernelParams[i],
                  layout.parameters[i].bytes());
    }
  }
  work->payload = std::move(made);
  return cudaSuccess;
}

cudaMemcpy3DParms LinearCopy(void* dst, const void* src, std::size_t count, cudaMemcpyKind kind) {
  cudaMemcpy3DParms params{};
  params.dstPtr = {dst, count, count, 1};
  params.srcPtr = {const_cast<void*>(src), count, count, 1};
  params.extent = {count, 1, 1};
  params.kind = kind;
  return params;
}

cudaError_t SymbolCopy(const void* symbol, void* other, std::size_t count, std::size_t offset, cudaMemcpyKind kind,
                       bool to_symbol, cudaMemcpy3DParms* params) {
  const cudaMemcpyKind with_host = to_symbol ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
  if (kind != with_host && kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault)
    return cudaErrorInvalidMemcpyDirection;
  void* address = nullptr;
  std::size_t bytes = 0;
  cudaError_t error = face::cudaGetSymbolAddress(&address, symbol);
  if (error == cudaSuccess) error = face::cudaGetSymbolSize(&bytes, symbol);
  if (error != cudaSuccess) return error;
  if (offset > bytes || count > bytes - offset) return cudaErrorInvalidValue;
  void* inside = static_cast<std::uint8_t*>(address) + offset;
  *params = to_symbol ? LinearCopy(inside, other, count, kind) : LinearCopy(other, inside, count, kind);
  return cudaSuccess;
}

cudaError_t MakeCopy(ClientSession& session, const cudaMemcpy3DParms& params, NodeWork* work) {
  if (params.extent.width == 0 || params.extent.height == 0 || params.extent.depth == 0) return cudaErrorInvalidValue;
  BoxSide dst;
  BoxSide src;
  cudaExtent bytes{};
  cudaError_t error = ResolveBox(session, params, &dst, &src, &bytes);
  if (error == cudaSuccess) error = CheckBox(session, &dst, &src, bytes, params.kind);
  if (error != cudaSuccess) return error;
  work->payload = GraphCopy{dst.place, src.place, bytes.width, bytes.height, bytes.depth};
  auto kept = std::make_shared<CopyFace>();
  kept->params = params;
  work->face = std::move(kept);
  return cudaSuccess;
}

cudaError_t MakeFill(ClientSession& session, const cudaMemsetParams& params, NodeWork* work) {
  const std::uint32_t element = params.elementSize;
  if ((element != 1 && element != 2 && element != 4) || params.width == 0 || params.height == 0)
    return cudaErrorInvalidValue;
  std::uint64_t width = 0;
  std::uint64_t extent = 0;
  if (__builtin_mul_overflow(params.width, std::size_t{element}, &width)) return cudaErrorInvalidValue;
  const std::uint64_t pitch = params.height == 1 ? width : params.pitch;
  if (pitch < width || Address(params.dst) % element != 0 || (params.height > 1 && pitch % element != 0) ||
      !BoxExtent(pitch, 0, width, params.height, 1, &extent) || !IsDeviceMemory(session, params.dst, extent))
    return cudaErrorInvalidValue;
  const std::uint32_t mask = element == 4 ? ~std::uint32_t{0} : (std::uint32_t{1} << (8 * element)) - 1;
  work->payload = GraphFill{
      wire::Fill(Address(params.dst), pitch, 0, params.width, params.height, 1, params.value & mask, element, 0, 0)};
  return cudaSuccess;
}

cudaError_t MakeHost(const cudaHostNodeParams& params, NodeWork* work) {
  if (params.fn == nullptr) return cudaErrorInvalidValue;
  work->payload = GraphHost{params.fn, params.userData, InStreamOrder(params.fn, params.userData)};
  return cudaSuccess;
}

cudaError_t MakeEvent(ClientSession& session, cudaEvent_t event, bool is_record, NodeWork* work) {
  auto* ours = reinterpret_cast<Event*>(event);
  if (ours == nullptr || !session.IsEvent(ours)) return cudaErrorInvalidValue;
  if (is_record) {
    work->payload = GraphEventRecord{ours};
  } else {
    work->payload = GraphEventWait{ours};
  }
  return cudaSuccess;
}

cudaError_t CheckKernel(const GraphNode* node, const void* given, const char* caller) {
  if (node == nullptr || given == nullptr || !IsKernel(*node)) return Fail(cudaErrorInvalidValue);
  if (node->kind() == GraphNodeKind::kKernel) return cudaSuccess;
  SayRefused(caller, "the node is a function of a library, whose kernels are the server's");
  return cudaErrorNotSupported;
}

cudaError_t SetCluster(ClientSession& session, GraphKernel* kernel, const ClusterRequest& asked) {
  const void* function = kernel->function;
  if (function == nullptr) function = Registry::Get().FindFunction(kernel->device, kernel->module, kernel->index);
  const RegisteredKernel* registered = Registry::Get().FindKernel(function);
  const DeviceKernel* there = registered == nullptr ? nullptr : registered->On(kernel->device);
  if (there == nullptr) return cudaErrorInvalidResourceHandle;
  LaunchGeometry geometry = kernel->geometry;
  const cudaError_t error = SettleCluster(session, *there, asked, &geometry);
  if (error == cudaSuccess) kernel->geometry = geometry;
  return error;
}

cudaError_t MakeWork(ClientSession& session, const cudaGraphNodeParams& params, const GraphNode* now, NodeWork* work) {
  switch (params.type) {
    case cudaGraphNodeTypeKernel: {
      const cudaKernelNodeParamsV2& p = params.kernel;
      const auto* kernel = now == nullptr ? nullptr : std::get_if<GraphKernel>(&now->payload);
      return MakeKernel(session, {p.func, p.gridDim, p.blockDim, p.sharedMemBytes, p.kernelParams, p.extra}, kernel,
                        work);
    }
    case cudaGraphNodeTypeMemcpy:
      return params.memcpy.flags != 0 ? cudaErrorInvalidValue : MakeCopy(session, params.memcpy.copyParams, work);
    case cudaGraphNodeTypeMemset: {
      const cudaMemsetParamsV2& p = params.memset;
      return MakeFill(session, {p.dst, p.pitch, p.value, p.elementSize, p.width, p.height}, work);
    }
    case cudaGraphNodeTypeHost: return MakeHost({params.host.fn, params.host.userData}, work);
    case cudaGraphNodeTypeEventRecord: return MakeEvent(session, params.eventRecord.event, true, work);
    case cudaGraphNodeTypeWaitEvent: return MakeEvent(session, params.eventWait.event, false, work);
    case cudaGraphNodeTypeEmpty: work->payload = GraphEmpty{}; return cudaSuccess;
    case cudaGraphNodeTypeExtSemaphoreSignal:
    case cudaGraphNodeTypeExtSemaphoreWait:
    case cudaGraphNodeTypeConditional:  // what it is given once stays
      return cudaErrorNotSupported;
    default: return cudaErrorInvalidValue;
  }
}

// To CUDA ------------------------------------------------------------------------------------------------------------

void ReadKernel(GraphNode* node, cudaKernelNodeParams* params) {
  auto& kernel = std::get<GraphKernel>(node->payload);
  auto made = std::make_shared<KernelFace>();
  if (const auto* before = dynamic_cast<const KernelFace*>(node->face.get())) made->attributes = before->attributes;
  for (const wire::KernelParameter& parameter : kernel.parameters)
    made->arguments.push_back(kernel.arguments.data() + parameter.offset());
  const void* function = kernel.function;
  if (function == nullptr) function = Registry::Get().FindFunction(kernel.device, kernel.module, kernel.index);
  const LaunchGeometry& g = kernel.geometry;
  *params = {const_cast<void*>(function),
             dim3(g.grid[0], g.grid[1], g.grid[2]),
             dim3(g.block[0], g.block[1], g.block[2]),
             g.shared_bytes,
             made->arguments.empty() ? nullptr : made->arguments.data(),
             nullptr};
  node->face = std::move(made);
}

void ReadCopy(const GraphNode& node, cudaMemcpy3DParms* params) {
  if (const auto* kept = dynamic_cast<const CopyFace*>(node.face.get())) {
    *params = kept->params;
    return;
  }
  const auto& copy = std::get<GraphCopy>(node.payload);
  *params = {};
  params->dstPtr = ToPitched(copy.dst, copy);
  params->srcPtr = ToPitched(copy.src, copy);
  params->extent = {copy.width, copy.height, copy.depth};
  params->kind = copy.dst.is_device ? (copy.src.is_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                                    : (copy.src.is_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
}

void ReadFill(const GraphNode& node, cudaMemsetParams* params) {
  const wire::Fill& fill = std::get<GraphFill>(node.payload).fill;
  *params = {reinterpret_cast<void*>(fill.address()),
             fill.pitch(),
             fill.value(),
             fill.element_bytes(),
             fill.width(),
             fill.height()};
}

}  // namespace accelmesh
