// Which device functions a kernel can reach, directly and through pointers. Private to this folder.
#pragma once

#include <unordered_map>
#include <vector>

#include "server/backend/cpu/ptx/module.h"

namespace accelmesh::tier0 {

class CallGraph {
 public:
  CallGraph(const ptx::Module& module, const ptx::Kernel& kernel);

  // What can be reached, as indices in Module::functions: callees before callers, but for functions that call one
  // another in a circle.
  const std::vector<std::uint32_t>& functions() const { return functions_; }
  // The functions that a call through a pointer can reach: their address is taken, their parameters are of these sizes.
  const std::vector<std::uint32_t>& Candidates(const ptx::Prototype& prototype) const;
  // Whether a call in `caller` may lead back to `caller` before it returns.
  bool LeadsBack(const ptx::Kernel& caller, std::uint32_t callee) const;
  bool LeadsBack(const ptx::Kernel& caller, const ptx::Prototype& prototype) const;
  // Whether any function may be entered again before it has returned.
  bool has_cycles() const { return has_cycles_; }
  // Bytes of the frames on the longest way through the calls, each circle gone through once. frame_bytes: of
  // Module::functions.
  std::uint64_t LongestWay(const std::unordered_map<std::uint32_t, std::uint32_t>& frame_bytes,
                           std::uint32_t kernel_frame_bytes) const;

 private:
  // A body, or all the functions that one kind of prototype reaches: a node of its own keeps the edges few.
  struct Node {
    std::vector<std::uint32_t> next;
    std::uint32_t circle = 0;  // nodes that reach one another have the same
  };
  std::uint32_t SignatureNode(const std::string& signature);
  void AddEdges(std::uint32_t node, const ptx::Kernel& body);
  void FindCircles();
  std::uint32_t NodeOf(const ptx::Kernel& body) const;

  const ptx::Module& module_;
  std::vector<Node> nodes_;           // the functions, the kernel, signatures
  std::vector<std::uint32_t> order_;  // nodes that the kernel reaches, callees first
  std::vector<std::uint32_t> functions_;
  std::unordered_map<std::string, std::vector<std::uint32_t>> by_signature_;
  std::unordered_map<std::string, std::uint32_t> signature_nodes_;
  bool has_cycles_ = false;
};

}  // namespace accelmesh::tier0
