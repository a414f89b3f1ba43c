#include "protocol/library/dnn_graph.h"

namespace accelmesh {
namespace {

std::uint64_t Low(std::int64_t word, int bits) {
  return static_cast<std::uint64_t>(word) & ((std::uint64_t{1} << bits) - 1);
}
std::uint64_t High(std::int64_t word) { return static_cast<std::uint64_t>(word) >> 32; }
Status Bad(const char* why) { return {Code::kBadFrame, "ReadDnnPlan", why}; }

}  // namespace

Result<DnnPlan> ReadDnnPlan(std::span<const std::int64_t> words) {
  if (words.size() < 2 || words.size() > kDnnPlanWordsMax) return Bad("too short, or past the limit");
  if (Low(words[0], 32) != static_cast<std::uint64_t>(kDnnPlanVersion))
    return Bad("of another version; client and server must be of one");
  const std::uint64_t descriptors = High(words[0]);
  DnnPlan plan;
  plan.engine = words[1];
  std::size_t at = 2;
  // What is counted is at least a word each, so that nothing grows past what was sent.
  for (std::uint64_t i = 0; i < descriptors; ++i) {
    if (at >= words.size()) return Bad("ends before its last descriptor");
    DnnPlanDescriptor& descriptor = plan.descriptors.emplace_back();
    descriptor.type = static_cast<std::uint32_t>(Low(words[at], 32));
    const std::uint64_t attributes = High(words[at++]);
    for (std::uint64_t k = 0; k < attributes; ++k) {
      if (at >= words.size()) return Bad("ends before its last attribute");
      const std::int64_t head = words[at++];
      const std::uint64_t count = High(head);
      if (count > words.size() - at) return Bad("ends before an attribute's last element");
      const DnnPlanAttribute attribute{static_cast<std::uint32_t>(Low(head, 16)),
                                       static_cast<std::uint32_t>(Low(head, 32) >> 16), words.subspan(at, count)};
      at += count;
      if (attribute.type == kDnnElementDescriptor) {
        for (const std::int64_t index : attribute.words) {
          if (index < 0 || static_cast<std::uint64_t>(index) >= i) return Bad("refers to no earlier descriptor");
        }
      }
      descriptor.attributes.push_back(attribute);
    }
  }
  if (at != words.size() || plan.descriptors.empty()) return Bad("has no descriptors, or words behind the last");
  return plan;
}

}  // namespace accelmesh
