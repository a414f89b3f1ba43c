// Graphs as text in the language of Graphviz.
#include <cerrno>
#include <cstdio>
#include <string>

#include "protocol/base/log.h"
#include "protocol/base/result.h"
#include "protocol/library/library.h"
#include "shim/gen_face.h"
#include "shim/runtime/graph.h"

namespace accelmesh::face {
namespace {

const char* NameOf(GraphNodeKind kind) {
  switch (kind) {
    case GraphNodeKind::kKernel:
    case GraphNodeKind::kLibrary: return "KERNEL";
    case GraphNodeKind::kCopy: return "MEMCPY";
    case GraphNodeKind::kFill: return "MEMSET";
    case GraphNodeKind::kHost: return "HOST";
    case GraphNodeKind::kChild: return "GRAPH";
    case GraphNodeKind::kEmpty: return "EMPTY";
    case GraphNodeKind::kEventWait: return "EVENT_WAIT";
    case GraphNodeKind::kEventRecord: return "EVENT_RECORD";
    case GraphNodeKind::kAlloc: return "MEM_ALLOC";
    case GraphNodeKind::kFree: return "MEM_FREE";
    case GraphNodeKind::kConditional: return "CONDITIONAL";
  }
  return "";
}

std::string Hex(std::uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}
std::string Numbers(const std::uint32_t (&three)[3]) {
  return "(" + std::to_string(three[0]) + "," + std::to_string(three[1]) + "," + std::to_string(three[2]) + ")";
}

// Behind the kind of a node, as far as `flags` ask for it.
std::string Details(const GraphNode& node, unsigned flags) {
  const auto wants = [flags](unsigned flag) { return (flags & (flag | cudaGraphDebugDotFlagsVerbose)) != 0; };
  std::string text;
  if (wants(cudaGraphDebugDotFlagsHandles)) text += "\\n" + Hex(reinterpret_cast<std::uint64_t>(&node));
  if (const auto* kernel = std::get_if<GraphKernel>(&node.payload);
      kernel != nullptr && wants(cudaGraphDebugDotFlagsKernelNodeParams)) {
    text += "\\ngrid " + Numbers(kernel->geometry.grid) + " block " + Numbers(kernel->geometry.block) + " shared " +
            std::to_string(kernel->geometry.shared_bytes);
  } else if (const auto* call = std::get_if<GraphLibrary>(&node.payload);
             call != nullptr && wants(cudaGraphDebugDotFlagsKernelNodeParams)) {
    text += std::string("\\n") + LibraryFunctionName(call->library, call->function);
  } else if (const auto* copy = std::get_if<GraphCopy>(&node.payload);
             copy != nullptr && wants(cudaGraphDebugDotFlagsMemcpyNodeParams)) {
    text += "\\ndst " + Hex(copy->dst.address) + " src " + Hex(copy->src.address) + " extent (" +
            std::to_string(copy->width) + "," + std::to_string(copy->height) + "," + std::to_string(copy->depth) + ")";
  } else if (const auto* fill = std::get_if<GraphFill>(&node.payload);
             fill != nullptr && wants(cudaGraphDebugDotFlagsMemsetNodeParams)) {
    text += "\\ndst " + Hex(fill->fill.address()) + " value " + std::to_string(fill->fill.value()) + " elements " +
            std::to_string(fill->fill.width()) + " x " + std::to_string(fill->fill.height());
  } else if (const auto* host = std::get_if<GraphHost>(&node.payload);
             host != nullptr && wants(cudaGraphDebugDotFlagsHostNodeParams)) {
    text += "\\nfn " + Hex(reinterpret_cast<std::uint64_t>(host->function)) + " data " +
            Hex(reinterpret_cast<std::uint64_t>(host->data));
  } else if (const auto* conditional = std::get_if<GraphConditional>(&node.payload);
             conditional != nullptr && wants(cudaGraphDebugDotFlagsConditionalNodeParams)) {
    constexpr const char* kKinds[] = {"IF", "WHILE", "SWITCH"};
    text += std::string("\\n") + kKinds[static_cast<std::size_t>(conditional->kind)] + " handle " +
            Hex(conditional->condition->handle) + " bodies " + std::to_string(conditional->bodies.size());
  }
  return text;
}

void Print(const Graph& graph, unsigned flags, std::string* text) {
  const std::string name = "graph_" + std::to_string(graph.id());
  *text += "subgraph cluster_" + name + " {\nlabel=\"" + name + "\";\n";
  for (const auto& node : graph.nodes()) {
    const std::string id = "\"node_" + std::to_string(node->id) + "\"";
    *text += id + "[label=\"" + std::to_string(node->id) + "\\n" + NameOf(node->kind()) + Details(*node, flags) +
             "\" shape=\"record\"];\n";
  }
  for (const auto& node : graph.nodes()) {
    for (const GraphLink& link : node->dependents)
      *text += "\"node_" + std::to_string(node->id) + "\" -> \"node_" + std::to_string(link.node->id) + "\";\n";
  }
  *text += "}\n";
  for (const auto& node : graph.nodes()) {
    for (const Graph* inner : GraphsOf(node->payload)) Print(*inner, flags, text);
  }
}

}  // namespace

cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned int flags) {
  if (graph == nullptr || path == nullptr) return Fail(cudaErrorInvalidValue);
  std::string text = "digraph dot {\n";
  Print(*ToGraph(graph), flags, &text);
  text += "}\n";
  std::FILE* const file = std::fopen(path, "w");
  if (file == nullptr) {
    log::Warning("cudaGraphDebugDotPrint", Status::System(errno, path, path).text());
    return Fail(cudaErrorOperatingSystem);
  }
  const bool is_written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && is_written ? cudaSuccess : Fail(cudaErrorOperatingSystem);
}

}  // namespace accelmesh::face
