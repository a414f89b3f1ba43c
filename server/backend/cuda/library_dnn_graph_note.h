// What is remembered of a plan of cuDNN's graphs from one session to the next: the engine that was chosen, and the
// library's own form of the plan where it has one (of engines that compile).
//
//     note := version, workspace_bytes, numerical_notes, behavior_notes, engine, knobs, (type, value)*     text
//
// Words of 64 bits, then characters. A note is this backend's, never a client's to say: the library loads machine code
// from a plan's text. It comes from a file, and is checked like anything from there.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/library/dnn_graph.h"

namespace accelmesh::cuda {

struct GraphNote {
  static constexpr std::size_t kKnobsMax = 64;
  static constexpr std::size_t kTextBytesMax = 248 << 10;  // a longer one is not remembered, its engine is

  struct Knob {
    std::int32_t type = 0;
    std::int64_t value = 0;
  };

  DnnGraphAnswer answer;
  std::int64_t engine = -1;  // the library's number of it; -1: it could not be told
  std::vector<Knob> knobs;   // that were set
  std::string text;          // empty if there is none
};

Bytes WriteGraphNote(const GraphNote& note);
std::optional<GraphNote> ReadGraphNote(ByteView bytes);

}  // namespace accelmesh::cuda
