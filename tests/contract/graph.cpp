// Graphs: captured from streams, made executable, launched. A launch runs the nodes one after the other, in an order
// that keeps the edges, which is one of those that CUDA allows.
#include "tests/contract/capture.h"
#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

// All under State::mu.
void LeaveCapture(const Context& context, const std::shared_ptr<Capture>& capture) {
  for (const auto& stream : context.streams) {
    if (stream->capture != capture) continue;
    stream->capture = nullptr;
    stream->capture_tips.clear();
  }
}
// Whether everything that was captured comes before one of the tips.
bool AllJoined(const Graph& graph, const std::set<std::size_t>& tips) {
  std::set<std::size_t> joined;
  std::vector<std::size_t> left(tips.begin(), tips.end());
  while (!left.empty()) {
    const std::size_t node = left.back();
    left.pop_back();
    if (!joined.insert(node).second) continue;
    left.insert(left.end(), graph.nodes[node]->after.begin(), graph.nodes[node]->after.end());
  }
  return joined.size() == graph.nodes.size();
}

std::optional<std::size_t> IndexOf(const Graph& graph, CUgraphNode handle) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i]->handle == handle) return i;
  }
  return std::nullopt;
}

void ForgetNodes(const Graph& graph) {
  for (const auto& node : graph.nodes) state().nodes.Remove(reinterpret_cast<std::uint64_t>(node->handle));
}

}  // namespace

CUresult AddToCapture(Stream& stream, Work work) {
  Capture& capture = *stream.capture;
  if (capture.broken != CUDA_SUCCESS) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  auto node = std::make_shared<Node>();
  node->work = std::move(work);
  node->after = stream.capture_tips;
  node->handle = AsHandle<CUgraphNode>(state().nodes.Add(node));
  stream.capture_tips = {capture.graph->nodes.size()};
  capture.graph->nodes.push_back(std::move(node));
  return CUDA_SUCCESS;
}

CUresult BreakCapture(Stream& stream) {
  stream.capture->broken = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult JoinCapture(Stream& stream, const Event& event) {
  if (stream.legacy) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  if (stream.capture != nullptr && stream.capture != event.capture) return CUDA_ERROR_STREAM_CAPTURE_MERGE;
  stream.capture = event.capture;
  stream.capture_tips.insert(event.capture_tips.begin(), event.capture_tips.end());
  return CUDA_SUCCESS;
}

}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode mode) {
  return Enter(Function::k_cuStreamBeginCapture, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (mode != CU_STREAM_CAPTURE_MODE_RELAXED)
      return call.Break(CONTRACT_RULE_CAPTURE_MODE, CUDA_ERROR_NOT_PERMITTED, "a mode other than RELAXED");
    const std::lock_guard lock(state().mu);
    if (stream->legacy) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (stream->capture != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    stream->capture = std::make_shared<Capture>();
    stream->capture->graph = std::make_shared<Graph>();
    stream->capture->origin = stream;
    stream->capture_tips.clear();
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph) {
  return Enter(Function::k_cuStreamEndCapture, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const std::lock_guard lock(state().mu);
    const std::shared_ptr<Capture> capture = stream->capture;
    if (capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->origin != stream) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    const bool joined = AllJoined(*capture->graph, stream->capture_tips);
    LeaveCapture(*stream->context, capture);
    capture->origin = nullptr;  // events may hold the capture for long
    *graph = nullptr;
    if (capture->broken != CUDA_SUCCESS || !joined) {
      ForgetNodes(*capture->graph);
      return capture->broken != CUDA_SUCCESS ? capture->broken : CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    }
    *graph = AsHandle<CUgraph>(state().graphs.Add(capture->graph));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
  return Enter(Function::k_cuStreamIsCapturing, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const std::lock_guard lock(state().mu);
    *status = stream->capture == nullptr                ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream->capture->broken != CUDA_SUCCESS ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                                        : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return Enter(Function::k_cuThreadExchangeStreamCaptureMode, [&](Call& call) -> CUresult {
    if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (*mode != CU_STREAM_CAPTURE_MODE_RELAXED)
      return call.Break(CONTRACT_RULE_CAPTURE_MODE, CUDA_ERROR_NOT_PERMITTED, "a mode other than RELAXED");
    thread_local CUstreamCaptureMode of_thread = CU_STREAM_CAPTURE_MODE_GLOBAL;
    std::swap(*mode, of_thread);
    return CUDA_SUCCESS;
  });
}

// Graphs -------------------------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuGraphCreate(CUgraph* graph, unsigned int flags) {
  return Enter(Function::k_cuGraphCreate, [&](Call&) -> CUresult {
    if (graph == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    *graph = AsHandle<CUgraph>(state().graphs.Add(std::make_shared<Graph>()));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuGraphDestroy(CUgraph handle) {
  return Enter(Function::k_cuGraphDestroy, [&](Call& call) -> CUresult {
    const auto graph = call.Find(state().graphs, handle);
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    ForgetNodes(*graph);
    state().graphs.Remove(reinterpret_cast<std::uint64_t>(handle));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode* nodes, std::size_t* count) {
  return Enter(Function::k_cuGraphGetNodes, [&](Call& call) -> CUresult {
    const auto graph = call.Find(state().graphs, handle);
    if (graph == nullptr || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (nodes != nullptr) {
      for (std::size_t i = 0; i < *count; ++i) nodes[i] = i < graph->nodes.size() ? graph->nodes[i]->handle : nullptr;
    }
    *count = nodes == nullptr ? graph->nodes.size() : std::min(*count, graph->nodes.size());
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType* type) {
  return Enter(Function::k_cuGraphNodeGetType, [&](Call& call) -> CUresult {
    const auto node = call.Find(state().nodes, handle);
    if (node == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *type = node->work.type;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuGraphKernelNodeGetParams(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS* params) {
  return Enter(Function::k_cuGraphKernelNodeGetParams, [&](Call& call) -> CUresult {
    const auto node = call.Find(state().nodes, handle);
    if (node == nullptr || node->work.launch == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const KernelCall& launch = *node->work.launch;
    node->argument_pointers.clear();
    for (const accelmesh::ptx::Parameter& parameter : launch.kernel->source->parameters)
      node->argument_pointers.push_back(const_cast<std::uint8_t*>(launch.arguments.data()) + parameter.offset);
    *params = {};
    params->func = launch.handle;
    params->gridDimX = launch.grid.x;
    params->gridDimY = launch.grid.y;
    params->gridDimZ = launch.grid.z;
    params->blockDimX = launch.block.x;
    params->blockDimY = launch.block.y;
    params->blockDimZ = launch.block.z;
    params->sharedMemBytes = launch.shared_bytes;
    params->kernelParams = node->argument_pointers.data();
    return CUDA_SUCCESS;
  });
}

// Executable graphs --------------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuGraphInstantiate(CUgraphExec* made, CUgraph handle, unsigned long long flags) {
  return Enter(Function::k_cuGraphInstantiate, [&](Call& call) -> CUresult {
    const auto graph = call.Find(state().graphs, handle);
    if (graph == nullptr || made == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & ~static_cast<unsigned long long>(CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH)) != 0)
      return CUDA_ERROR_NOT_SUPPORTED;
    auto exec = std::make_shared<GraphExec>();
    exec->context = call.context;
    exec->source = graph;
    for (const auto& node : graph->nodes) exec->nodes.push_back(node->work);
    *made = AsHandle<CUgraphExec>(state().execs.Add(std::move(exec)));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec_handle, CUgraphNode node_handle,
                                                     const CUDA_KERNEL_NODE_PARAMS* params) {
  return Enter(Function::k_cuGraphExecKernelNodeSetParams, [&](Call& call) -> CUresult {
    const auto exec = call.Find(state().execs, exec_handle);
    if (exec == nullptr || params == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto index = IndexOf(*exec->source, node_handle);
    if (!index.has_value() || exec->nodes[*index].launch == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<KernelCall> launch;
    LaunchRequest request;
    request.function = params->func;
    request.grid = {params->gridDimX, params->gridDimY, params->gridDimZ};
    request.block = {params->blockDimX, params->blockDimY, params->blockDimZ};
    request.shared_bytes = params->sharedMemBytes;
    request.cooperative = exec->nodes[*index].launch->cooperative;
    request.cluster = exec->nodes[*index].launch->cluster;
    const CUresult result = PrepareLaunch(call, request, params->kernelParams, params->extra, &launch);
    if (result != CUDA_SUCCESS) return result;
    const std::lock_guard lock(state().mu);
    exec->nodes[*index] = LaunchWork(exec->context, std::move(launch));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle) {
  return Enter(Function::k_cuGraphLaunch, [&](Call& call) -> CUresult {
    const auto exec = call.Find(state().execs, handle);
    const auto stream = call.FindStream(stream_handle);
    if (exec == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->context != exec->context) {
      return call.Break(CONTRACT_RULE_WRONG_CONTEXT, CUDA_ERROR_INVALID_HANDLE,
                        "the stream is of another context than the graph");
    }
    Work work;
    work.type = CU_GRAPH_NODE_TYPE_GRAPH;
    // A copy: the next update of the graph is not for this launch.
    std::vector<Work> nodes;
    {
      const std::lock_guard lock(state().mu);
      nodes = exec->nodes;
    }
    for (const Work& node : nodes) work.touches.insert(work.touches.end(), node.touches.begin(), node.touches.end());
    work.run = [nodes = std::move(nodes)] {
      CUresult result = CUDA_SUCCESS;
      for (auto node = nodes.begin(); node != nodes.end() && result == CUDA_SUCCESS; ++node) result = node->run();
      return result;
    };
    return Submit(call, stream, std::move(work));
  });
}
CONTRACT_API CUresult cuGraphExecDestroy(CUgraphExec handle) {
  return Enter(Function::k_cuGraphExecDestroy, [&](Call& call) -> CUresult {
    if (call.Find(state().execs, handle) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    state().execs.Remove(reinterpret_cast<std::uint64_t>(handle));
    return CUDA_SUCCESS;
  });
}
