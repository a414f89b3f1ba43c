// Instructions that are known and not supported: each is refused by name, with what it would need.
#include "server/backend/cpu/tier0/decoder.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;

Status ClusterRule(Decoder& decoder, const Instruction& from, Op& /*op*/) {
  return decoder.Refuse(from, "clusters of blocks (compute capability 9.0) are not supported");
}
Status BulkRule(Decoder& decoder, const Instruction& from, Op& /*op*/) {
  return decoder.Refuse(from, "bulk and tensor copies (compute capability 9.0) are not supported");
}
Status WarpgroupRule(Decoder& decoder, const Instruction& from, Op& /*op*/) {
  return decoder.Refuse(from, "warpgroup matrix operations (compute capability 9.0a) are not supported");
}
Status TensorMemoryRule(Decoder& decoder, const Instruction& from, Op& /*op*/) {
  return decoder.Refuse(from, "tensor memory (compute capability 10.0) is not supported");
}
Status MultimemRule(Decoder& decoder, const Instruction& from, Op& /*op*/) {
  return decoder.Refuse(from, "multicast memory (compute capability 9.0) is not supported");
}
Status RegistersRule(Decoder& decoder, const Instruction& from, Op& /*op*/) {
  return decoder.Refuse(from, "moving registers between warps (compute capability 9.0a) is not supported");
}

Status PairRule(Decoder& decoder, const Instruction& from, Op& /*op*/) {
  return decoder.Refuse(from, "pairs of f32 (compute capability 10.0) are not supported");
}

}  // namespace

const RuleTable& RefusedRules() {
  // Every modifier is let through, so that the reason is always the rule's.
  static constexpr std::string_view kAny = "*";
  static const RuleTable kRules{{"mapa", {ClusterRule, kAny}},
                                {"getctarank", {ClusterRule, kAny}},
                                {"clusterlaunchcontrol", {ClusterRule, kAny}},
                                {"tensormap", {BulkRule, kAny}},
                                {"wgmma", {WarpgroupRule, kAny}},
                                {"tcgen05", {TensorMemoryRule, kAny}},
                                {"multimem", {MultimemRule, kAny}},
                                {"setmaxnreg", {RegistersRule, kAny}},
                                {"f32x2", {PairRule, kAny}}};  // looked up by the type
  return kRules;
}

}  // namespace accelmesh::tier0
