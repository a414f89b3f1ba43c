#include "server/backend/cpu/tier0/call_graph.h"

#include <algorithm>

namespace accelmesh::tier0 {
namespace {

// Sizes and places of results and parameters. What they are called or typed as does not matter to a call.
std::string Signature(const std::vector<ptx::Parameter>& results, const std::vector<ptx::Parameter>& parameters) {
  std::string signature;
  for (const std::vector<ptx::Parameter>* list : {&results, &parameters}) {
    for (const ptx::Parameter& parameter : *list)
      signature += std::to_string(parameter.offset) + "+" + std::to_string(parameter.bytes) + " ";
    signature += ";";
  }
  return signature;
}

}  // namespace

CallGraph::CallGraph(const ptx::Module& module, const ptx::Kernel& kernel) : module_(module) {
  for (const std::uint32_t index : module.addressed) {
    const ptx::Kernel& function = module.functions[index];
    by_signature_[Signature(function.results, function.parameters)].push_back(index);
  }
  nodes_.resize(module.functions.size() + 1);
  AddEdges(static_cast<std::uint32_t>(module.functions.size()), kernel);
  FindCircles();
  for (const std::uint32_t node : order_) {
    if (node < module.functions.size()) functions_.push_back(node);
  }
}

std::uint32_t CallGraph::NodeOf(const ptx::Kernel& body) const {
  return static_cast<std::uint32_t>(body.is_function ? &body - module_.functions.data() : module_.functions.size());
}

const std::vector<std::uint32_t>& CallGraph::Candidates(const ptx::Prototype& prototype) const {
  static const std::vector<std::uint32_t> kNone;
  const auto found = by_signature_.find(Signature(prototype.results, prototype.parameters));
  return found == by_signature_.end() ? kNone : found->second;
}

std::uint32_t CallGraph::SignatureNode(const std::string& signature) {
  const auto [found, added] = signature_nodes_.emplace(signature, static_cast<std::uint32_t>(nodes_.size()));
  if (added) {
    Node& node = nodes_.emplace_back();
    if (const auto reached = by_signature_.find(signature); reached != by_signature_.end()) node.next = reached->second;
  }
  return found->second;
}

void CallGraph::AddEdges(std::uint32_t node, const ptx::Kernel& body) {
  std::vector<std::uint32_t> next;
  for (const std::string_view name : body.called) {
    if (const auto index = module_.function.find(name); index != module_.function.end()) next.push_back(index->second);
  }
  for (const ptx::Prototype& prototype : body.prototypes)
    next.push_back(SignatureNode(Signature(prototype.results, prototype.parameters)));
  std::sort(next.begin(), next.end());
  next.erase(std::unique(next.begin(), next.end()), next.end());
  nodes_[node].next = std::move(next);
}

// Tarjan's strongly connected components from the kernel on, without recursion: a client's calls may nest deeper than
// our stack.
void CallGraph::FindCircles() {
  struct Visit {
    std::uint32_t node;
    std::size_t next;  // edge
  };
  struct Mark {
    std::uint32_t number = 0;  // 0: not seen
    std::uint32_t lowest = 0;
    bool open = false;
  };
  std::vector<Visit> path;
  std::vector<std::uint32_t> open;
  std::vector<Mark> marks(nodes_.size());
  std::uint32_t numbers = 0;
  const auto enter = [&](std::uint32_t node) {
    // Edges of functions that nobody reaches are never looked for.
    if (node < module_.functions.size()) AddEdges(node, module_.functions[node]);
    marks.resize(nodes_.size());
    marks[node] = {++numbers, numbers, true};
    open.push_back(node);
    path.push_back({node, 0});
  };
  enter(static_cast<std::uint32_t>(module_.functions.size()));
  while (!path.empty()) {
    const std::uint32_t node = path.back().node;
    if (path.back().next < nodes_[node].next.size()) {
      const std::uint32_t next = nodes_[node].next[path.back().next++];
      if (next == node) has_cycles_ = true;
      if (marks[next].number == 0) {
        enter(next);
      } else if (marks[next].open) {
        marks[node].lowest = std::min(marks[node].lowest, marks[next].number);
      }
      continue;
    }
    path.pop_back();
    if (!path.empty()) marks[path.back().node].lowest = std::min(marks[path.back().node].lowest, marks[node].lowest);
    if (marks[node].lowest != marks[node].number) continue;
    has_cycles_ = has_cycles_ || open.back() != node;
    std::uint32_t member = 0;
    do {
      member = open.back();
      open.pop_back();
      marks[member].open = false;
      nodes_[member].circle = marks[node].number;
      order_.push_back(member);
    } while (member != node);
  }
}

bool CallGraph::LeadsBack(const ptx::Kernel& caller, std::uint32_t callee) const {
  return nodes_[NodeOf(caller)].circle == nodes_[callee].circle;
}
bool CallGraph::LeadsBack(const ptx::Kernel& caller, const ptx::Prototype& prototype) const {
  const std::vector<std::uint32_t>& candidates = Candidates(prototype);
  return std::any_of(candidates.begin(), candidates.end(),
                     [&](std::uint32_t callee) { return LeadsBack(caller, callee); });
}

std::uint64_t CallGraph::LongestWay(const std::unordered_map<std::uint32_t, std::uint32_t>& frame_bytes,
                                    std::uint32_t kernel_frame_bytes) const {
  std::vector<std::uint64_t> longest(nodes_.size());
  for (const std::uint32_t node : order_) {
    std::uint64_t behind = 0;
    for (const std::uint32_t next : nodes_[node].next) behind = std::max(behind, longest[next]);
    const auto frame = frame_bytes.find(node);
    longest[node] = behind + (node == module_.functions.size() ? kernel_frame_bytes
                              : frame == frame_bytes.end()     ? 0
                                                               : frame->second);
  }
  return longest[module_.functions.size()];
}

}  // namespace accelmesh::tier0
