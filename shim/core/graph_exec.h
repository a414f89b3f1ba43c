// A graph that can be launched: a copy of its nodes as they were, what the server holds of them, and what has changed
// since. ClientSession works on it (session_graph.cpp).
//
// Threads: none, but for what the session locks; CUDA's executable graphs are not thread-safe.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "shim/core/graph_program.h"

namespace accelmesh {

class GraphExec {
 public:
  // The numbers are those of cudaGraphInstantiateFlags.
  static constexpr std::uint64_t kAutoFree = 1;
  static constexpr std::uint64_t kUpload = 2;
  static constexpr std::uint64_t kDeviceLaunch = 4;
  static constexpr std::uint64_t kNodePriority = 8;

  // `executables` is the count of the graph that `image` is a copy of.
  GraphExec(std::unique_ptr<Graph> image, std::uint64_t flags, std::shared_ptr<std::atomic<int>> executables);
  ~GraphExec() { executables_->fetch_sub(1); }
  GraphExec(const GraphExec&) = delete;
  GraphExec& operator=(const GraphExec&) = delete;

  const Graph& image() const { return *image_; }
  std::uint64_t flags() const { return flags_; }
  const GraphProgram& program() const { return program_; }
  // The node that stands for `original`, a node of the graph it was made from or of a child of that; null if none does.
  GraphNode* Find(const GraphNode& original) const;

 private:
  friend class ClientSession;
  void Index(const Graph& graph);

  std::unique_ptr<Graph> image_;
  std::uint64_t flags_;
  std::shared_ptr<std::atomic<int>> executables_;
  std::unordered_map<std::uint64_t, GraphNode*> by_origin_;
  GraphProgram program_;
  std::uint32_t id_ = 0;
  bool is_defined_ = false;           // the server holds a definition
  bool is_stale_ = false;             // all of it is to be compiled and defined anew before the next launch
  std::vector<std::uint32_t> stale_;  // records that the server is to be told of
  std::uint64_t cost_ = 0;            // against limits::kGraphBytesMax
  Stream* last_stream_ = nullptr;     // of the last launch
  std::uint32_t last_slot_ = 0;
  std::uint64_t last_sequence_ = 0;
  Event* order_ = nullptr;  // what a launch on another stream waits for, once there was one
};

}  // namespace accelmesh
