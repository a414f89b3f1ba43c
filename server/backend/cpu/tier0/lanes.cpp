// Control flow, barriers, and operations between the lanes of a warp.
#include <algorithm>

#include "server/backend/cpu/tier0/decoder.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

Status BranchRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 1 || from.operands[0].kind != Operand::Kind::kLabel)
    return decoder.Refuse(from, "a label was expected");
  op.control = Control::kBranch;
  op.immediate = from.operands[0].index;
  return Status::Ok();
}
Status BranchIndexedRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 2 || from.operands[1].kind != Operand::Kind::kTable)
    return decoder.Refuse(from, "a table of branch targets was expected");
  op.control = Control::kBranchIndexed;
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[0]));
  op.targets = decoder.body().branch_tables[from.operands[1].index];
  return Status::Ok();
}
Status ReturnRule(Decoder& decoder, const Instruction& from, Op& op) {
  decoder.EmitGiveBack(from);
  op.control = decoder.return_row() == kNoRow ? Control::kExit : Control::kReturn;
  op.a = decoder.return_row();
  return Status::Ok();
}
Status ExitRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.control = Control::kExit;
  return Status::Ok();
}
// trap; brkpt; A breakpoint that no debugger takes ends the kernel, too.
void Trap(Warp& warp, const Op& op, std::uint32_t mask) {
  RaiseFault(warp, op, FirstLane(mask), kDeviceLaunchFailed,
             op.source->opcode[0] == "brkpt" ? "breakpoint without a debugger" : "trap");
}
Status TrapRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.handler = Trap;
  return Status::Ok();
}
void Nothing(Warp& /*warp*/, const Op& /*op*/, std::uint32_t /*mask*/) {}
Status NanosleepRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.handler = Nothing;
  op.control = Control::kYield;
  return Status::Ok();
}

// Makes the op wait for the lanes of a mask operand.
Status WaitFor(Decoder& decoder, const Operand& members, Op& op) {
  ACCELMESH_ASSIGN_OR_RETURN(op.members, decoder.Source(members));
  op.members_constant = members.kind == Operand::Kind::kImmediate;
  op.control = Control::kLaneSync;
  return Status::Ok();
}

// bar.sync a{, b}; bar.arrive a, b; bar.red.op d, a{, b}, p; bar.warp.sync mask. mode: of bar.red, 1 and, 2 or, 3 popc;
// bytes 1: does not wait.
Status BarrierRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (Decoder::Has(from, "warp")) {
    if (from.operands.size() != 1) return decoder.Refuse(from, "the number of operands is off");
    op.handler = Nothing;
    op.pairs = true;
    return WaitFor(decoder, from.operands[0], op);
  }
  op.control = Control::kBarrier;
  op.b = kNoRow;
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
  if (end < next + (op.bytes == 1 ? 2 : 1) || end > next + 2)
    return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[next++]));
  if (next < end) {
    ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[next]));
  }
  return Status::Ok();
}

// shfl{.sync}.mode.b32 d|p, a, b, c{, members}: the clamp and the segment mask are in c.
enum ShuffleMode : std::uint8_t { kUp, kDown, kButterfly, kIndex };
void Shuffle(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t from[kLanes];
  std::memcpy(from, warp.r[op.a].lane, sizeof(from));
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* amounts = warp.r[op.b].lane;
  const std::uint64_t* clamps = warp.r[op.c].lane;
  std::uint64_t result[kLanes];
  std::uint32_t inside = 0;
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint32_t b = static_cast<std::uint32_t>(amounts[l]) & 31;
    const std::uint32_t clamp = static_cast<std::uint32_t>(clamps[l]) & 31;
    const std::uint32_t segment = static_cast<std::uint32_t>(clamps[l]) >> 8 & 31;
    const std::uint32_t max_lane = (l & segment) | (clamp & ~segment);
    std::uint32_t source = l;
    switch (op.mode) {
      case kUp: source = l - b; break;
      case kDown: source = l + b; break;
      case kButterfly: source = l ^ b; break;
      default: source = (l & segment) | (b & ~segment); break;
    }
    const bool in_range =
        op.mode == kUp ? static_cast<std::int32_t>(source) >= static_cast<std::int32_t>(max_lane) : source <= max_lane;
    result[l] = from[in_range ? source : l];
    inside |= in_range ? 1u << l : 0;
  });
  ForLanes(mask, [&](std::uint32_t l) { d[l] = result[l]; });
  if (op.predicate >= 0) warp.p[op.predicate] = (warp.p[op.predicate] & ~mask) | inside;
}
Status ShuffleRule(Decoder& decoder, const Instruction& from, Op& op) {
  const bool sync = Decoder::Has(from, "sync");
  if (from.operands.size() != (sync ? 5u : 4u)) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1]));
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2]));
  ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Source(from.operands[3]));
  op.mode = Decoder::Has(from, "up")     ? kUp
            : Decoder::Has(from, "down") ? kDown
            : Decoder::Has(from, "bfly") ? kButterfly
                                         : kIndex;
  op.handler = Shuffle;
  return sync ? WaitFor(decoder, from.operands[4], op) : Status::Ok();
}

// vote{.sync}.{all,any,uni}.pred p, q{, members}; vote{.sync}.ballot.b32 d, q{, members}. bytes 1: q is a constant.
enum VoteMode : std::uint8_t { kAll, kAny, kUni, kBallot };
void Vote(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t said = op.bytes == 1 ? (op.immediate != 0 ? kAllLanes : 0) : warp.p[op.a];
  const std::uint32_t p = (op.predicate_negated ? ~said : said) & mask;
  if (op.mode == kBallot) {
    ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = p; });
    return;
  }
  const bool holds = op.mode == kAll ? p == mask : op.mode == kAny ? p != 0 : p == 0 || p == mask;
  warp.p[op.d] = holds ? warp.p[op.d] | mask : warp.p[op.d] & ~mask;
}
Status VoteRule(Decoder& decoder, const Instruction& from, Op& op) {
  const bool sync = Decoder::Has(from, "sync");
  if (from.operands.size() != (sync ? 3u : 2u)) return decoder.Refuse(from, "the number of operands is off");
  op.mode = Decoder::Has(from, "all")   ? kAll
            : Decoder::Has(from, "any") ? kAny
            : Decoder::Has(from, "uni") ? kUni
                                        : kBallot;
  ACCELMESH_ASSIGN_OR_RETURN(
      op.d, op.mode == kBallot ? decoder.Destination(from.operands[0]) : decoder.Predicate(from.operands[0]));
  const Operand& vote = from.operands[1];
  op.predicate_negated = vote.negated;
  if (vote.kind == Operand::Kind::kImmediate) {
    op.bytes = 1;
    op.immediate = vote.immediate;
  } else {
    ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Predicate(vote));
  }
  op.handler = Vote;
  return sync ? WaitFor(decoder, from.operands[2], op) : Status::Ok();
}

void ActiveMask(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = mask; });
}
Status ActiveMaskRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 1));
  op.handler = ActiveMask;
  return Status::Ok();
}

// match.any.sync / match.all.sync d{|p}, a, members: which lanes hold the same value. mode 1: all or none.
template <typename T>
void Match(Warp& warp, const Op& op, std::uint32_t mask) {
  T values[kLanes];
  for (std::uint32_t l = 0; l < kLanes; ++l) values[l] = Get<T>(warp.r[op.a].lane[l]);
  std::uint64_t result[kLanes];
  std::uint32_t all = 0;
  ForLanes(mask, [&](std::uint32_t l) {
    std::uint32_t same = 0;
    for (std::uint32_t k = 0; k < kLanes; ++k) same |= static_cast<std::uint32_t>(values[k] == values[l]) << k;
    same &= mask;
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
  const Type type = Decoder::LastType(from);
  if (type != Type::kB32 && type != Type::kB64) return decoder.Refuse(from, "type not supported");
  op.mode = Decoder::Has(from, "all") ? 1 : 0;
  op.handler = type == Type::kB64 ? Match<std::uint64_t> : Match<std::uint32_t>;
  return WaitFor(decoder, from.operands[2], op);
}

// redux.sync.op.type d, a, members.
enum Reduction : std::uint8_t { kSum, kMin, kMax, kAnd, kOr, kXor };
template <typename T>
void Reduce(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint64_t* a = warp.r[op.a].lane;
  T total = Get<T>(a[FirstLane(mask)]);
  ForLanes(mask & (mask - 1), [&](std::uint32_t l) {
    const T v = Get<T>(a[l]);
    switch (op.mode) {
      case kSum: total = static_cast<T>(static_cast<std::uint32_t>(total) + static_cast<std::uint32_t>(v)); break;
      case kMin: total = std::min(total, v); break;
      case kMax: total = std::max(total, v); break;
      case kAnd: total &= v; break;
      case kOr: total |= v; break;
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
  const Type type = Decoder::LastType(from);
  if (!found || ptx::TypeBytes(type) != 4 || type > Type::kS64) return decoder.Refuse(from, "operation not supported");
  op.handler = type == Type::kS32 ? Reduce<std::int32_t> : Reduce<std::uint32_t>;
  return WaitFor(decoder, from.operands[2], op);
}

// elect.sync d|p, members: one lane is the leader; the lowest.
void Elect(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = FirstLane(mask); });
  if (op.predicate >= 0) warp.p[op.predicate] = (warp.p[op.predicate] & ~mask) | (mask & (~mask + 1));
}
Status ElectRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 2) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  op.handler = Elect;
  return WaitFor(decoder, from.operands[1], op);
}

}  // namespace

const RuleTable& LaneRules() {
  static constexpr std::string_view kBarrier = "cta sync arrive red warp aligned and or popc";
  static const RuleTable kRules{{"bra", {BranchRule, "uni"}},
                                {"brx", {BranchIndexedRule, "idx uni"}},
                                {"ret", {ReturnRule, "uni"}},
                                {"exit", {ExitRule, ""}},
                                {"trap", {TrapRule, ""}},
                                {"brkpt", {TrapRule, ""}},
                                {"bar", {BarrierRule, kBarrier}},
                                {"barrier", {BarrierRule, kBarrier}},
                                {"shfl", {ShuffleRule, "sync up down bfly idx"}},
                                {"vote", {VoteRule, "sync all any uni ballot"}},
                                {"activemask", {ActiveMaskRule, ""}},
                                {"match", {MatchRule, "any all sync"}},
                                {"redux", {ReduceRule, "sync add min max and or xor"}},
                                {"elect", {ElectRule, "sync"}},
                                {"nanosleep", {NanosleepRule, ""}}};
  return kRules;
}

}  // namespace accelmesh::tier0
