// Memory of a lane's stack whose size is known at run time only: alloca, stacksave, stackrestore.
//
// It is taken from the end of the lane's local memory downwards; frames of functions grow from its beginning upwards
// (call.cpp). Row `stack_row` of the program holds where what is taken begins, lane by lane. A function gives back what
// it took when it returns.
#include <algorithm>
#include <bit>

#include "server/backend/cpu/tier0/calls.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

constexpr std::uint64_t kAlignmentMin = 8;
constexpr std::uint64_t kAlignmentMax = 1u << 23;

// d: the address; a: bytes; b: the stack; c: where the frame begins, whose bytes are `immediate`. mode: the logarithm
// of the alignment, which is that of the generic address. bytes: of the operands.
void Allocate(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint64_t low = ~std::uint64_t{0} << op.mode;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const auto base = reinterpret_cast<std::uint64_t>(warp.local + std::size_t{l} * warp.local_stride);
    const std::uint64_t size = op.bytes == 4 ? static_cast<std::uint32_t>(warp.r[op.a].lane[l]) : warp.r[op.a].lane[l];
    const std::uint64_t end = StackEnd(warp, op.b, l);
    const std::uint64_t place = size > end ? end + 1 : ((base + end - size) & low) - base;
    // What lies before the lane's memory is behind the end, too.
    if (place > end || place < warp.r[op.c].lane[l] + op.immediate) return RaiseStackOverflow(warp, op, l, "alloca");
    warp.r[op.b].lane[l] = place;
    warp.r[op.d].lane[l] = place;
  }
}
Status AllocateRule(Decoder& decoder, const Instruction& from, Op& op) {
  const std::size_t count = from.operands.size();
  const Type type = Decoder::LastType(from);
  if (count != 2 && count != 3) return decoder.Refuse(from, "the number of operands is off");
  if (type != Type::kU32 && type != Type::kU64) return decoder.Refuse(from, "type not supported");
  std::uint64_t alignment = kAlignmentMin;
  if (count == 3) {
    if (from.operands[2].kind != Operand::Kind::kImmediate) return decoder.Refuse(from, "an alignment was expected");
    alignment = std::max(alignment, from.operands[2].immediate);
  }
  if (!std::has_single_bit(alignment) || alignment > kAlignmentMax) return decoder.Refuse(from, "not an alignment");
  Op allocate;
  allocate.source = &from;
  allocate.handler = Allocate;
  allocate.mode = static_cast<std::uint8_t>(std::countr_zero(alignment));
  allocate.bytes = static_cast<std::uint8_t>(ptx::TypeBytes(type));
  ACCELMESH_ASSIGN_OR_RETURN(allocate.d, decoder.Destination(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(allocate.a, decoder.Source(from.operands[1], type));
  allocate.b = decoder.stack_row();
  allocate.c = decoder.FrameRow();
  decoder.EmitWithFrame(std::move(allocate));
  op.handler = nullptr;  // all is said
  return Status::Ok();
}

// d = a, of `bytes`.
void MoveStack(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t kept = op.bytes == 4 ? 0xffffffffu : ~std::uint64_t{0};
  ForLanes(mask, [=](std::uint32_t l) { d[l] = a[l] & kept; });
}
Status MoveStackRule(Decoder& decoder, const Instruction& from, Op& op) {
  const bool save = from.opcode[0] == "stacksave";
  const Type type = Decoder::LastType(from);
  if (from.operands.size() != 1) return decoder.Refuse(from, "the number of operands is off");
  if (type != Type::kU32 && type != Type::kU64) return decoder.Refuse(from, "type not supported");
  op.d = op.a = decoder.stack_row();
  if (save) {
    ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  } else {
    ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[0], type));
  }
  op.bytes = static_cast<std::uint8_t>(ptx::TypeBytes(type));
  op.handler = MoveStack;
  return Status::Ok();
}

}  // namespace

std::uint64_t StackEnd(const Warp& warp, std::uint32_t stack_row, std::uint32_t lane) {
  if (stack_row == kNoRow) return warp.local_stride;
  return std::min<std::uint64_t>(warp.r[stack_row].lane[lane], warp.local_stride);
}

void RaiseStackOverflow(Warp& warp, const Op& op, std::uint32_t lane, std::string_view what) {
  RaiseFault(warp, op, lane, kDeviceLaunchFailed,
             "stack overflow: " + std::string(what) + " needs more than the limit of " +
                 std::to_string(warp.block->launch->stack_bytes) + " bytes a thread (cudaLimitStackSize) allows");
}

Op StackCopy(std::uint32_t to, std::uint32_t from, const Instruction& source) {
  Op op;
  op.handler = MoveStack;
  op.d = to;
  op.a = from;
  op.bytes = 8;
  op.source = &source;
  return op;
}

void Decoder::EmitGiveBack(const Instruction& from) {
  if (kept_stack_row_ != kNoRow) Emit(StackCopy(stack_row(), kept_stack_row_, from));
}

const RuleTable& StackRules() {
  static const RuleTable kRules{
      {"alloca", {AllocateRule, ""}}, {"stacksave", {MoveStackRule, ""}}, {"stackrestore", {MoveStackRule, ""}}};
  return kRules;
}

bool UsesStack(const ptx::Kernel& body) {
  return std::any_of(body.instructions.begin(), body.instructions.end(), [](const Instruction& instruction) {
    return !instruction.opcode.empty() && StackRules().contains(instruction.opcode[0]);
  });
}

}  // namespace accelmesh::tier0
