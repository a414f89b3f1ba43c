// Operation graphs of cuDNN (cudnn_graph.h) as they cross the wire (dnn_calls.h).
//
// A plan is words of 64 bits: the engine that was chosen, and the graph's descriptors as the program set them, each
// behind those that it refers to. Whoever has a cuDNN makes the same descriptors again, attribute by attribute.
//
//     plan       := version | descriptors << 32, engine, descriptor*
//     descriptor := type | attributes << 32, attribute*
//     attribute  := name | type << 16 | words << 32, word*
//
// A word is an element: a number, an enumerator or the bits of a double in 64 bits, a float as a double, a descriptor
// by its place in the plan; a fraction is two. The last descriptor is the graph. A plan is posted once as the settings
// of calls (wire::LibrarySettings) and named by their number from then on; the server keeps it for the session.
//
// Threads: values; a plan that was read is a view of its words. Errors: only of ReadDnnPlan, whose words are a peer's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "protocol/base/result.h"

namespace accelmesh {

inline constexpr std::int64_t kDnnPlanVersion = 1;
inline constexpr std::size_t kDnnPlanWordsMax = 3840;  // as many as a tail has
inline constexpr std::uint32_t kDnnPlansMax = 2048;    // of a session

// The elements' types that the wire treats differently: numbers of cudnnBackendAttributeType_t.
inline constexpr std::uint32_t kDnnElementDescriptor = 15;

struct DnnPlanAttribute {
  std::uint32_t name = 0;
  std::uint32_t type = 0;
  std::span<const std::int64_t> words;
};
struct DnnPlanDescriptor {
  std::uint32_t type = 0;
  std::vector<DnnPlanAttribute> attributes;
  // Empty if it was not set.
  std::span<const std::int64_t> Find(int name) const {
    for (const DnnPlanAttribute& attribute : attributes) {
      if (attribute.name == static_cast<std::uint32_t>(name)) return attribute.words;
    }
    return {};
  }
};
struct DnnPlan {
  std::int64_t engine = 0;
  std::vector<DnnPlanDescriptor> descriptors;
};
// kBadFrame unless the words are whole and every descriptor refers to earlier ones only.
Result<DnnPlan> ReadDnnPlan(std::span<const std::int64_t> words);

// Whether a plan can be run, and with what. Asked once a plan; it is the tail. The answer is DnnGraphAnswer, or the
// library's status and why not.
struct DnnGraphQuery {
  std::uint64_t tail_words = 0;
};
struct DnnGraphAnswer {
  std::int64_t engines = 0;
  std::uint64_t workspace_bytes = 0;
  std::uint64_t numerical_notes = 0;  // a bit each
  std::uint64_t behavior_notes = 0;
};
// Runs the plan that is the call's settings. The tail is pairs: a tensor's unique id, and its address or, of one that
// is by value, the value's bytes from the lowest on.
struct DnnGraphExecute {
  std::uint64_t tail_words = 0;
  std::uint64_t workspace = 0;
};

}  // namespace accelmesh
