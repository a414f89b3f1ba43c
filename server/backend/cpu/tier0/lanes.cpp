// Control flow, barriers, and operations between the lanes of a warp.
#include "server/backend/cpu/tier0/warp.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

Status BranchRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 1) return decoder.Refuse(from, "the number of operands is off");
  op.control = Control::kBranch;
  ACCELMESH_ASSIGN_OR_RETURN(op.immediate, decoder.Label(from.operands[0]));
  return Status::Ok();
}
Status BranchIndexedRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 2) return decoder.Refuse(from, "the number of operands is off");
  op.control = Control::kBranchIndexed;
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[0]));
  const auto table = decoder.kernel().branch_targets.find(from.operands[1].symbol);
  if (table == decoder.kernel().branch_targets.end()) return decoder.Refuse(from, "no table of branch targets");
  for (const std::string_view label : table->second) {
    Operand operand;
    operand.kind = Operand::Kind::kSymbol;
    operand.symbol = label;
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t target, decoder.Label(operand));
    op.targets.push_back(target);
  }
  return Status::Ok();
}
Status ExitRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.control = Control::kExit;
  return Status::Ok();
}
void Trap(Warp& warp, const Op& op, std::uint32_t mask) {
  RaiseFault(warp, op, static_cast<std::uint32_t>(std::countr_zero(mask)), kDeviceLaunchFailed, "trap");
}
Status TrapRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.handler = Trap;
  return Status::Ok();
}

// bar.sync a{, b}; bar.arrive a, b; bar.red.op d, a{, b}, p; bar.warp.sync mask.
Status BarrierRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (Decoder::Has(from, "warp")) {
    op.control = Control::kWarpBarrier;
    return Status::Ok();
  }
  op.control = Control::kBarrier;
  op.b = 0xffffffffu;
  std::size_t next = 0;
  if (Decoder::Has(from, "red")) {
    op.mode = Decoder::Has(from, "and") ? 1 : Decoder::Has(from, "or") ? 2 : 3;
    if (from.operands.size() < 3) return decoder.Refuse(from, "the number of operands is off");
    ACCELMESH_ASSIGN_OR_RETURN(
        op.d, op.mode == 3 ? decoder.Destination(from.operands[0]) : decoder.Predicate(from.operands[0]));
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t predicate, decoder.Predicate(from.operands.back()));
    op.predicate = static_cast<std::int32_t>(predicate);
    op.predicate_negated = from.operands.back().negated;
    next = 1;
  }
  op.bytes = Decoder::Has(from, "arrive") ? 1 : 0;
  const std::size_t end = from.operands.size() - (op.mode != 0 ? 1 : 0);
  if (next >= end) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[next++]));
  if (next < end) {
    ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[next]));
  }
  return Status::Ok();
}

// shfl.sync.mode.b32 d|p, a, b, c, membermask (PTX ISA, shfl.sync).
void Shuffle(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t from[kLanes];
  std::memcpy(from, warp.r[op.a].lane, sizeof(from));
  std::uint64_t* d = warp.r[op.d].lane;
  std::uint64_t result[kLanes];
  std::uint32_t inside = 0;
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint32_t b = static_cast<std::uint32_t>(warp.r[op.b].lane[l]) & 31;
    const std::uint32_t c = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    const std::uint32_t clamp = c & 31;
    const std::uint32_t segment = (c >> 8) & 31;
    const std::uint32_t max_lane = (l & segment) | (clamp & ~segment);
    const std::uint32_t min_lane = l & segment;
    std::uint32_t source = l;
    bool in_range = false;
    switch (op.mode) {
      case 0:
        source = l - b;
        in_range = static_cast<std::int32_t>(source) >= static_cast<std::int32_t>(max_lane);
        break;  // up
      case 1:
        source = l + b;
        in_range = source <= max_lane;
        break;  // down
      case 2:
        source = l ^ b;
        in_range = source <= max_lane;
        break;  // bfly
      default:
        source = min_lane | (b & ~segment);
        in_range = source <= max_lane;
        break;  // idx
    }
    if (!in_range) source = l;
    result[l] = from[source & 31];
    inside |= in_range ? 1u << l : 0;
  });
  ForLanes(mask, [&](std::uint32_t l) { d[l] = result[l]; });
  if (op.predicate >= 0) warp.p[op.predicate] = (warp.p[op.predicate] & ~mask) | inside;
}
Status ShuffleRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() < 4) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1]));
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2]));
  ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Source(from.operands[3]));
  op.mode = Decoder::Has(from, "up") ? 0 : Decoder::Has(from, "down") ? 1 : Decoder::Has(from, "bfly") ? 2 : 3;
  op.handler = Shuffle;
  return Status::Ok();
}

// vote.sync.{all,any,uni}.pred p, q, mask; vote.sync.ballot.b32 d, q, mask.
void Vote(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t p = (op.predicate_negated ? ~warp.p[op.a] : warp.p[op.a]) & mask;
  if (op.mode == 3) {
    ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = p; });
    return;
  }
  const bool holds = op.mode == 0 ? p == mask : op.mode == 1 ? p != 0 : p == 0 || p == mask;
  warp.p[op.d] = holds ? warp.p[op.d] | mask : warp.p[op.d] & ~mask;
}
Status VoteRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() < 2) return decoder.Refuse(from, "the number of operands is off");
  op.mode = Decoder::Has(from, "all") ? 0 : Decoder::Has(from, "any") ? 1 : Decoder::Has(from, "uni") ? 2 : 3;
  ACCELMESH_ASSIGN_OR_RETURN(
      op.d, op.mode == 3 ? decoder.Destination(from.operands[0]) : decoder.Predicate(from.operands[0]));
  const Operand& vote = from.operands[1];
  if (vote.kind != Operand::Kind::kPredicate) return decoder.Refuse(from, "a constant vote is not supported");
  op.a = vote.index;
  op.predicate_negated = vote.negated;
  op.handler = Vote;
  return Status::Ok();
}

void ActiveMask(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = mask; });
}
Status ActiveMaskRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 1));
  op.handler = ActiveMask;
  return Status::Ok();
}

// match.any / match.all: which lanes of the group hold the same value.
void Match(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint64_t* a = warp.r[op.a].lane;
  std::uint64_t result[kLanes];
  std::uint32_t all = 0;
  ForLanes(mask, [&](std::uint32_t l) {
    std::uint32_t same = 0;
    ForLanes(mask, [&](std::uint32_t k) { same |= a[k] == a[l] ? 1u << k : 0; });
    if (op.mode == 1) {
      all |= same == mask ? 1u << l : 0;
      same = same == mask ? mask : 0;
    }
    result[l] = same;
  });
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = result[l]; });
  if (op.predicate >= 0) warp.p[op.predicate] = (warp.p[op.predicate] & ~mask) | all;
}
Status MatchRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 3));
  op.mode = Decoder::Has(from, "all") ? 1 : 0;
  op.handler = Match;
  return Status::Ok();
}

// redux.sync.op.type d, a, mask.
template <typename T>
void Reduce(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint64_t* a = warp.r[op.a].lane;
  T total = Get<T>(a[std::countr_zero(mask)]);
  ForLanes(mask & (mask - 1), [&](std::uint32_t l) {
    const T v = Get<T>(a[l]);
    switch (op.mode) {
      case 0: total = static_cast<T>(total + v); break;
      case 1: total = std::min(total, v); break;
      case 2: total = std::max(total, v); break;
      case 3: total &= v; break;
      case 4: total |= v; break;
      default: total ^= v; break;
    }
  });
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = Put<T>(total); });
}
Status ReduceRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 3));
  std::uint8_t mode = 0;
  bool found = false;
  for (const std::string_view name : {"add", "min", "max", "and", "or", "xor"}) {
    if (Decoder::Has(from, name)) {
      op.mode = mode;
      found = true;
    }
    ++mode;
  }
  if (!found) return decoder.Refuse(from, "operation not supported");
  op.handler = Decoder::LastType(from) == Type::kS32 ? Reduce<std::int32_t> : Reduce<std::uint32_t>;
  return Status::Ok();
}

void Nothing(Warp& /*warp*/, const Op& /*op*/, std::uint32_t /*mask*/) {}
Status NanosleepRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.handler = Nothing;
  op.control = Control::kYield;  // another warp of the block gets a turn
  return Status::Ok();
}

}  // namespace

DecodeRule FindLaneRule(std::string_view opcode) {
  static const std::unordered_map<std::string_view, DecodeRule> kRules{
      {"bra", BranchRule},         {"brx", BranchIndexedRule},     {"ret", ExitRule},        {"exit", ExitRule},
      {"trap", TrapRule},          {"bar", BarrierRule},           {"barrier", BarrierRule}, {"shfl", ShuffleRule},
      {"vote", VoteRule},          {"activemask", ActiveMaskRule}, {"match", MatchRule},     {"redux", ReduceRule},
      {"nanosleep", NanosleepRule}};
  const auto found = kRules.find(opcode);
  return found == kRules.end() ? nullptr : found->second;
}

}  // namespace accelmesh::tier0
