// What an executable graph does at a launch: its nodes, in an order that keeps every dependency, as the records of a
// definition that the server holds, and the steps of a launch between which the program's own side has its turn.
//
// A copy with memory of the program's that the server cannot reach travels with each launch: as pieces under tokens
// that the launch names. What is sent must be read when CUDA reads it, so a copy behind something of the same launch
// that may write the program's memory (a host function, a copy to it) is sent late, when the stream has come that far.
// A conditional node is branches (wire::GraphBranch) among the records, in one step with all of its bodies.
// Threads: none; pure.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "shim/core/graph.h"

namespace accelmesh {

// Bytes of the program that one record of the definition sends or receives.
struct GraphPiece {
  std::uint32_t record = 0;  // in the definition
  bool is_dst = false;       // from the device
  std::uint64_t address = 0;
  std::uint64_t width = 0;  // bytes of a row; rows are packed on their way
  std::uint64_t rows = 1;
  std::uint64_t pitch = 0;
};

struct GraphStep {
  enum class Kind : std::uint8_t { kRecords, kHost, kCopyOnHost, kEventRecord, kEventWait };
  Kind kind = Kind::kRecords;
  // kRecords: what one command launches.
  std::uint32_t first = 0;
  std::uint32_t records = 0;
  std::vector<GraphPiece> pieces;  // by record
  bool sends_late = false;
  const GraphNode* node = nullptr;  // the other kinds
};

struct GraphProgram {
  std::vector<Bytes> records;  // as protocol/base/command.h frames them
  std::vector<GraphStep> steps;
  std::vector<const GraphNode*> memory_nodes;  // allocations and frees, in order
  std::vector<const GraphNode*> device_nodes;  // those with records
  std::uint64_t sent_bytes = 0;                // early, by one launch
  bool writes_host = false;                    // of the program's memory, shared or not
  std::uint64_t cost() const;                  // against limits::kGraphBytesMax
};

struct GraphCompileOptions {
  // Where the server finds this memory of the program's; nothing if it cannot.
  std::function<std::optional<wire::Place>(std::uint64_t address, std::uint64_t bytes)> find_shared;
  // Makes it possible to find, if it is memory that the device may reach. For the bodies of conditional nodes, which
  // run any number of times: no bytes can be sent along with a launch for them.
  std::function<DeviceResult(std::uint64_t address)> make_shared;
  std::uint64_t piece_bytes = limits::kBulkBytesMax;
};

// Sets where the nodes' records are. kInvalidValue, and a node of a cycle, if there is no order; kOutOfMemory past the
// limits; kUnsupported, and the node, for what a body cannot have.
DeviceResult CompileGraph(const Graph& image, const GraphCompileOptions& options, GraphProgram* program,
                          GraphNode** offending);
// The one record of a node whose work is one record and has no pieces; nothing for any other.
std::optional<Bytes> CompileSingle(const GraphPayload& payload, const GraphCompileOptions& options);
// Copies between two places of the program's own memory.
void CopyOnHost(const GraphCopy& copy);

}  // namespace accelmesh
