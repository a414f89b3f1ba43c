// Asynchronous copies, mbarriers, and hints about caches and dependent launches.
//
// A copy is made at once, so that groups of copies are always complete. An mbarrier is a word of shared memory:
//
//     bits 0 to 19   arrivals still missing in the current phase
//     bits 20 to 39  arrivals that a phase needs
//     bits 40 to 62  bytes still to come, plus 2^22
//     bit 63         parity of the current phase
//
// The state that an arrival returns is the word as it was before. A block is run by one thread at a time, so the word
// needs no atomics.
#include <algorithm>

#include "server/backend/cpu/tier0/memory.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Space;
using ptx::Type;

void Nothing(Warp& /*warp*/, const Op& /*op*/, std::uint32_t /*mask*/) {}

// cp.async -----------------------------------------------------------------------------------------------------------

// rows[0]: the source's address; rows[1]: bytes to read of it, the rest are zeros; bytes: of the copy. predicate: the
// source is not read.
void CopyAsync(Warp& warp, const Op& op, std::uint32_t mask) {
  Op from;
  from.source = op.source;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    std::uint8_t* to = Resolve(warp, op, l, op.bytes);
    if (to == nullptr) return;
    std::uint32_t read = std::min<std::uint32_t>(static_cast<std::uint32_t>(warp.r[op.rows[1]].lane[l]), op.bytes);
    if (op.predicate >= 0) {
      const std::uint32_t p = op.predicate_negated ? ~warp.p[op.predicate] : warp.p[op.predicate];
      if ((p >> l & 1) != 0) read = 0;
    }
    std::uint8_t data[16] = {};
    if (read != 0) {
      const std::uint64_t address = warp.r[op.rows[0]].lane[l] + (std::uint64_t{op.rows[3]} << 32 | op.rows[2]);
      const std::uint8_t* source = ResolveAt(warp, from, l, address, op.bytes);
      if (source == nullptr) return;
      std::memcpy(data, source, read);
    }
    std::memcpy(to, data, op.bytes);
  }
}
Status CopyRule(Decoder& decoder, const Instruction& from, Op& op) {
  const std::size_t policy = Decoder::Has(from, "L2::cache_hint") ? 1 : 0;
  const std::size_t count = from.operands.size() - std::min(policy, from.operands.size());
  if (count < 3 || count > 4 || Decoder::Has(from, "ca") == Decoder::Has(from, "cg"))
    return decoder.Refuse(from, "form not supported");
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, from, from.operands[0], op));
  op.space = Space::kShared;  // the first space; the second is always global
  Op source;
  Instruction global = from;
  global.opcode = {"cp", "global"};
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, global, from.operands[1], source));
  const Operand& size = from.operands[2];
  const std::uint64_t bytes = size.immediate;
  if (size.kind != Operand::Kind::kImmediate || (bytes != 4 && bytes != 8 && bytes != 16) ||
      (Decoder::Has(from, "cg") && bytes != 16))
    return decoder.Refuse(from, "size not supported");
  op.bytes = static_cast<std::uint8_t>(bytes);
  op.rows[0] = source.a;
  op.rows[1] = decoder.Constant(bytes);
  op.rows[2] = static_cast<std::uint32_t>(source.immediate);
  op.rows[3] = static_cast<std::uint32_t>(source.immediate >> 32);
  if (count == 4 && from.operands[3].kind == Operand::Kind::kPredicate) {
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t predicate, decoder.Predicate(from.operands[3]));
    op.predicate = static_cast<std::int32_t>(predicate);
    op.predicate_negated = from.operands[3].negated;
  } else if (count == 4) {
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[1], decoder.Source(from.operands[3]));
  }
  op.handler = CopyAsync;
  return Status::Ok();
}

// mbarrier -----------------------------------------------------------------------------------------------------------

constexpr std::uint64_t kCountMax = (1u << 20) - 1;
constexpr std::uint64_t kNoBytes = 1u << 22;

struct Phase {
  std::uint64_t missing = 0;
  std::uint64_t needed = 0;
  std::uint64_t bytes = kNoBytes;
  bool parity = false;

  static Phase Of(std::uint64_t word) {
    return {word & kCountMax, word >> 20 & kCountMax, word >> 40 & ((1u << 23) - 1), (word >> 63) != 0};
  }
  std::uint64_t Word() const {
    return (missing & kCountMax) | (needed & kCountMax) << 20 | (bytes & ((1u << 23) - 1)) << 40 |
           (parity ? 1ull << 63 : 0);
  }
  void CompleteIfDone() {
    if (missing != 0 || bytes != kNoBytes) return;
    parity = !parity;
    missing = needed;
  }
};

enum BarrierKind : std::uint8_t {
  kInit,
  kInvalidate,
  kArrive,
  kDrop,
  kExpect,
  kCompleteBytes,
  kTest,
  kTestParity,
  kPending
};
// mode: the kind; b: the count, or the state or parity that is tested; c: bytes expected; d: the state, or a predicate.
void MemoryBarrier(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    auto* word = reinterpret_cast<std::uint64_t*>(Resolve(warp, op, l, 8));
    if (word == nullptr) return;
    Phase phase = Phase::Of(*word);
    const std::uint64_t before = *word;
    const std::uint64_t b = warp.r[op.b].lane[l];
    const std::uint64_t count = static_cast<std::uint32_t>(b);
    const std::uint64_t bytes = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    if (op.mode == kInit && (count == 0 || count > kCountMax))
      return RaiseFault(warp, op, l, kDeviceLaunchFailed, "an mbarrier for 0 arrivals or too many");
    if ((op.mode == kArrive || op.mode == kDrop) && count > phase.missing)
      return RaiseFault(warp, op, l, kDeviceLaunchFailed, "more arrivals at an mbarrier than its phase expects");
    switch (op.mode) {
      case kInit: phase = {count, count, kNoBytes, false}; break;
      case kInvalidate: phase = {0, 0, 0, false}; break;
      case kArrive:
      case kDrop:
        phase.bytes += bytes;
        if (op.mode == kDrop) phase.needed -= std::min(count, phase.needed);
        phase.missing -= count;
        phase.CompleteIfDone();
        break;
      case kExpect: phase.bytes += bytes; break;
      case kCompleteBytes:
        phase.bytes -= bytes;
        phase.CompleteIfDone();
        break;
      default: {
        const bool wanted = op.mode == kTest ? (b >> 63) != 0 : (b & 1) != 0;
        const std::uint32_t bit = 1u << l;
        warp.p[op.d] = phase.parity != wanted ? warp.p[op.d] | bit : warp.p[op.d] & ~bit;
        continue;
      }
    }
    *word = phase.Word();
    if (op.mode == kArrive || op.mode == kDrop) warp.r[op.d].lane[l] = before;
  }
}
// mbarrier.pending_count: of a state.
void PendingCount(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = warp.r[op.a].lane[l] & kCountMax; });
}

BarrierKind KindOf(const Instruction& from) {
  const std::string_view name = from.opcode.size() > 1 ? from.opcode[1] : std::string_view();
  const bool parity = Decoder::Has(from, "parity");
  return name == "init"                              ? kInit
         : name == "inval"                           ? kInvalidate
         : name == "arrive"                          ? kArrive
         : name == "arrive_drop"                     ? kDrop
         : name == "expect_tx"                       ? kExpect
         : name == "complete_tx"                     ? kCompleteBytes
         : name != "test_wait" && name != "try_wait" ? kPending
         : parity                                    ? kTestParity
                                                     : kTest;
}
Status BarrierRule(Decoder& decoder, const Instruction& from, Op& op) {
  const BarrierKind kind = KindOf(from);
  const std::vector<Operand>& operands = from.operands;
  op.mode = kind;
  if (Decoder::LastType(from) != Type::kB64) return decoder.Refuse(from, "form not supported");
  if (kind == kPending) {
    if (!Decoder::Has(from, "pending_count")) return decoder.Refuse(from, "form not supported");
    op.handler = PendingCount;
    return decoder.Rows(from, op, 2);
  }
  // Where the address stands: behind what the instruction returns.
  const bool tests = kind == kTest || kind == kTestParity;
  const bool arrives = kind == kArrive || kind == kDrop;
  const bool expects = Decoder::Has(from, "expect_tx");
  const std::size_t at = tests || (arrives && !operands.empty() && !operands[0].is_address) ? 1 : 0;
  const std::size_t rest = operands.size() - std::min(operands.size(), at + 1);
  const bool fits = operands.size() > at && (kind == kInvalidate ? rest == 0
                                             : tests   ? rest == 1 || (rest == 2 && from.opcode[1] == "try_wait")
                                             : arrives ? rest == 1 || (rest == 0 && !expects)
                                                       : rest == 1);
  if (!fits) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, from, operands[at], op));
  op.b = decoder.Constant(1);
  op.c = decoder.Constant(0);
  if (rest != 0) {
    const bool is_bytes = expects || kind == kExpect || kind == kCompleteBytes;
    ACCELMESH_ASSIGN_OR_RETURN((is_bytes ? op.c : op.b), decoder.Source(operands[at + 1]));
  }
  if (tests) {
    ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Predicate(operands[0]));
  } else {
    ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(at == 1 ? operands[0] : Operand{}));
  }
  op.handler = MemoryBarrier;
  if (from.opcode[1] != "try_wait") return Status::Ok();
  // Who waits for others lets them run.
  decoder.Emit(std::move(op));
  op = Op{};
  op.source = &from;
  op.handler = Nothing;
  op.control = Control::kYield;
  return Status::Ok();
}

// cp.async and what belongs to it: commit_group, wait_group, wait_all, mbarrier.arrive.
Status CopyAsyncRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.opcode.size() < 3 || from.opcode[1] != "async" || Decoder::Has(from, "bulk"))
    return decoder.Refuse(from, "bulk copies need compute capability 9.0, which is not supported");
  const std::string_view what = from.opcode[2];
  op.handler = Nothing;
  if (what == "commit_group" || what == "wait_all") {
    return from.operands.empty() ? Status::Ok() : decoder.Refuse(from, "the number of operands is off");
  }
  if (what == "wait_group") {
    const bool fits = from.operands.size() == 1 && from.operands[0].kind == Operand::Kind::kImmediate;
    return fits ? Status::Ok() : decoder.Refuse(from, "a number was expected");
  }
  if (what != "mbarrier") return CopyRule(decoder, from, op);
  if (from.operands.size() != 1 || !Decoder::Has(from, "arrive") || Decoder::LastType(from) != Type::kB64)
    return decoder.Refuse(from, "form not supported");
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, from, from.operands[0], op));
  // All copies are done, so this is an arrival; without .noinc it is one that it has itself announced.
  op.mode = Decoder::Has(from, "noinc") ? kArrive : kExpect;
  op.b = decoder.Constant(1);
  op.c = decoder.Constant(0);
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(Operand{}));
  op.handler = MemoryBarrier;
  return Status::Ok();
}

// Hints --------------------------------------------------------------------------------------------------------------

Status HintRule(Decoder& /*decoder*/, const Instruction& /*from*/, Op& op) {
  op.handler = Nothing;
  return Status::Ok();
}
// discard.L2, applypriority: nothing happens to 128 bytes that must be there.
void Check128(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    if (Resolve(warp, op, FirstLane(m), 128) == nullptr) return;
  }
}
Status LineRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 2 || from.operands[1].kind != Operand::Kind::kImmediate ||
      from.operands[1].immediate != 128)
    return decoder.Refuse(from, "form not supported");
  op.handler = Check128;
  return AccessSpace(decoder, from, from.operands[0], op);
}
// createpolicy: a policy that says nothing; who uses one does not look at it.
void NoPolicy(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = 0; });
}
Status PolicyRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.empty() || Decoder::LastType(from) != Type::kB64) return decoder.Refuse(from, "form not supported");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  op.handler = NoPolicy;
  return Status::Ok();
}

}  // namespace

const RuleTable& AsyncRules() {
  static const RuleTable kRules{
      {"cp",
       {CopyAsyncRule,
        "async ca cg shared shared::cta global commit_group wait_group wait_all mbarrier arrive noinc bulk hint"}},
      {"mbarrier",
       {BarrierRule,
        "init inval arrive arrive_drop expect_tx complete_tx test_wait try_wait parity pending_count noComplete "
        "release "
        "relaxed acquire cta cluster shared shared::cta"}},
      {"griddepcontrol", {HintRule, "launch_dependents wait"}},
      {"createpolicy", {PolicyRule, "fractional range cvt global L2 hint"}},
      {"applypriority", {LineRule, "global hint"}},
      {"discard", {LineRule, "global L2"}},
      {"pmevent", {HintRule, "mask"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
