// Graphs as the runtime names them: handles, and the parameters of nodes in CUDA's words and in the core's.
//
// Threads: as CUDA has it for graphs, one at a time for each graph. Errors: what returns cudaError_t has not set the
// thread's last error.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <vector>

#include "shim/core/graph_exec.h"
#include "shim/runtime/kernel.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {

inline Graph* ToGraph(cudaGraph_t graph) { return reinterpret_cast<Graph*>(graph); }
inline cudaGraph_t ToHandle(Graph* graph) { return reinterpret_cast<cudaGraph_t>(graph); }
inline GraphNode* ToNode(cudaGraphNode_t node) { return reinterpret_cast<GraphNode*>(node); }
inline cudaGraphNode_t ToHandle(GraphNode* node) { return reinterpret_cast<cudaGraphNode_t>(node); }
inline bool IsKernel(const GraphNode& node) { return ToldKind(node.kind()) == GraphNodeKind::kKernel; }
// Null if it is none, or was destroyed.
GraphExec* ToExec(cudaGraphExec_t exec);
// Takes those that work on the device from the program.
std::vector<std::unique_ptr<GraphExec>> TakeExecsOf(ClientSession& session, std::uint32_t device);

// What a node was given beyond what the core keeps.
class KernelFace final : public GraphFaceData {
 public:
  std::map<int, cudaLaunchAttributeValue> attributes;
  std::vector<void*> arguments;  // into the node's block
};
class CopyFace final : public GraphFaceData {
 public:
  cudaMemcpy3DParms params{};
};
class AllocFace final : public GraphFaceData {
 public:
  cudaMemAllocNodeParams params{};
  std::vector<cudaMemAccessDesc> access;
};

// A node's work, from its parameters.
struct NodeWork {
  GraphPayload payload;
  std::shared_ptr<const GraphFaceData> face;
};
// `now` is the kernel whose attributes it keeps, null for a new node.
cudaError_t MakeKernel(ClientSession& session, const cudaKernelNodeParams& params, const GraphKernel* now,
                       NodeWork* work);
// The node's clusters as attributes ask for them.
cudaError_t SetCluster(ClientSession& session, GraphKernel* kernel, const ClusterRequest& asked);
cudaError_t MakeCopy(ClientSession& session, const cudaMemcpy3DParms& params, NodeWork* work);
cudaError_t MakeFill(ClientSession& session, const cudaMemsetParams& params, NodeWork* work);
cudaError_t MakeHost(const cudaHostNodeParams& params, NodeWork* work);
cudaError_t MakeEvent(ClientSession& session, cudaEvent_t event, bool is_record, NodeWork* work);
// Whether it is a kernel that `caller` may read or change with what it was given. What a library's function runs nobody
// here knows; that is said. Sets the thread's last error.
cudaError_t CheckKernel(const GraphNode* node, const void* given, const char* caller);
// One of the kinds that cudaGraphNodeSetParams() can set anew. `now` is what it is set for, null for a new node.
cudaError_t MakeWork(ClientSession& session, const cudaGraphNodeParams& params, const GraphNode* now, NodeWork* work);
// A node that decides at each launch what runs; sets `params->phGraph_out`. Sets the thread's last error.
cudaError_t AddConditional(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                           const cudaGraphEdgeData* data, std::size_t count, cudaConditionalNodeParams* params);
// A linear copy in the words of a box copy.
cudaMemcpy3DParms LinearCopy(void* dst, const void* src, std::size_t count, cudaMemcpyKind kind);
// A copy to or from a module's variable.
cudaError_t SymbolCopy(const void* symbol, void* other, std::size_t count, std::size_t offset, cudaMemcpyKind kind,
                       bool to_symbol, cudaMemcpy3DParms* params);

// The parameters of a node of that kind. Pointers in them live as long as the node.
void ReadKernel(GraphNode* node, cudaKernelNodeParams* params);
void ReadCopy(const GraphNode& node, cudaMemcpy3DParms* params);
void ReadFill(const GraphNode& node, cudaMemsetParams* params);

// Dependencies as calls name them. `links` is theirs.
cudaError_t ReadLinks(const cudaGraphNode_t* nodes, const cudaGraphEdgeData* data, std::size_t count,
                      std::vector<GraphLink>* links);
cudaError_t ReadEdge(const cudaGraphEdgeData& data, GraphEdgeData* edge);
cudaGraphEdgeData ToEdgeData(const GraphEdgeData& edge);

}  // namespace accelmesh
