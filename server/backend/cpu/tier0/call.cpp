// Calls of the module's device functions, by name and through pointers.
//
// A function's parameters, results and local variables lie in its frame, which follows the caller's in the local memory
// of the lane; row `frame_row` of the program holds where the frame of the running function begins, lane by lane. A
// function's registers are rows of its own. Where a call may lead back to its caller, those are kept in the caller's
// frame meanwhile. A call is these operations:
//
//     save the caller's rows (only if the call may lead back)
//     copy the arguments to where the new frame begins, and move there
//     call
//     move back, and copy the results
//     restore the rows (as above)
#include <algorithm>

#include "server/backend/cpu/tier0/call_graph.h"
#include "server/backend/cpu/tier0/calls.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;

std::uint8_t* Frame(const Warp& warp, std::uint32_t frame_row, std::uint32_t lane) {
  return warp.local + std::size_t{lane} * warp.local_stride + warp.r[frame_row].lane[lane];
}

// immediate: bytes of the caller's frame. targets: offset in it, offset in the new frame and bytes of each copy.
// rows[0]: bytes of the new frame that the copies in and out need. c: the stack.
void EnterFunction(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    std::uint64_t& frame = warp.r[op.a].lane[l];
    if (frame + op.immediate + op.rows[0] > StackEnd(warp, op.c, l)) return RaiseStackOverflow(warp, op, l, "a call");
    std::uint8_t* here = Frame(warp, op.a, l);
    std::uint8_t* there = here + op.immediate;
    for (std::size_t i = 0; i + 2 < op.targets.size(); i += 3)
      std::memcpy(there + op.targets[i + 1], here + op.targets[i], op.targets[i + 2]);
    frame += op.immediate;
  }
}
void LeaveFunction(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const std::uint8_t* there = Frame(warp, op.a, l);
    warp.r[op.a].lane[l] -= op.immediate;
    std::uint8_t* here = Frame(warp, op.a, l);
    for (std::size_t i = 0; i + 2 < op.targets.size(); i += 3)
      std::memcpy(here + op.targets[i], there + op.targets[i + 1], op.targets[i + 2]);
  }
}
// The first thing that a function does where calls go in circles. immediate: bytes of its frame. c: the stack.
void CheckStack(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    if (warp.r[op.a].lane[l] + op.immediate > StackEnd(warp, op.c, l)) return RaiseStackOverflow(warp, op, l, "a call");
  }
}
// targets: op.b rows, then predicates. immediate: where they are kept, from the beginning of the frame.
void SaveRows(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    std::uint8_t* to = Frame(warp, op.a, l) + op.immediate;
    for (std::size_t i = 0; i < op.b; ++i, to += 8) std::memcpy(to, &warp.r[op.targets[i]].lane[l], 8);
    for (std::size_t i = op.b; i < op.targets.size(); ++i, ++to)
      *to = static_cast<std::uint8_t>(warp.p[op.targets[i]] >> l & 1);
  }
}
void RestoreRows(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const std::uint8_t* from = Frame(warp, op.a, l) + op.immediate;
    for (std::size_t i = 0; i < op.b; ++i, from += 8) std::memcpy(&warp.r[op.targets[i]].lane[l], from, 8);
    for (std::size_t i = op.b; i < op.targets.size(); ++i, ++from) {
      std::uint32_t& p = warp.p[op.targets[i]];
      p = (p & ~(1u << l)) | std::uint32_t{*from} << l;
    }
  }
}

// The copies between the variables that a call names and the parameters at the front of the function's frame.
Status Copies(Decoder& decoder, const Instruction& from, const Operand* names,
              const std::vector<ptx::Parameter>& parameters, Op& op) {
  if ((names == nullptr ? 0 : names->elements.size()) != parameters.size())
    return decoder.Refuse(from, "the number of parameters is off");
  op.source = &from;
  op.a = decoder.moving_frame_row();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    std::uint32_t here = 0;
    std::uint32_t bytes = 0;
    ACCELMESH_RETURN_IF_ERROR(CallVariable(decoder, from, names->elements[i], &here, &bytes));
    op.targets.insert(op.targets.end(), {here, parameters[i].offset, std::min(bytes, parameters[i].bytes)});
  }
  return Status::Ok();
}
std::uint32_t EndOf(const std::vector<ptx::Parameter>& parameters) {
  return parameters.empty() ? 0 : parameters.back().offset + parameters.back().bytes;
}

// jump: the call itself. leads_back: its caller's rows must be kept.
Status FunctionCall(Decoder& decoder, const Instruction& from, const Call& call,
                    const std::vector<ptx::Parameter>& results, const std::vector<ptx::Parameter>& parameters, Op jump,
                    bool leads_back, Op& op) {
  Op in;
  Op out;
  ACCELMESH_RETURN_IF_ERROR(Copies(decoder, from, call.arguments, parameters, in));
  ACCELMESH_RETURN_IF_ERROR(Copies(decoder, from, call.results, results, out));
  in.handler = EnterFunction;
  in.c = decoder.stack_row();
  in.rows[0] = std::max(EndOf(results), EndOf(parameters));
  out.handler = LeaveFunction;
  Op save;
  save.source = &from;
  save.a = decoder.moving_frame_row();
  Op restore = save;
  save.handler = SaveRows;
  restore.handler = RestoreRows;
  // Lanes that the guard keeps from the call go around all of it: its predicate may be another's when they come back.
  decoder.BranchAround(from);
  if (leads_back) decoder.EmitWithRows(std::move(save));
  decoder.EmitWithFrame(std::move(in));
  jump.source = &from;
  decoder.Emit(std::move(jump));
  decoder.EmitWithFrame(std::move(out));
  if (leads_back) decoder.EmitWithRows(std::move(restore));
  op.handler = nullptr;  // all is said
  return Status::Ok();
}

Status CallByName(Decoder& decoder, const Instruction& from, const Call& call, Op& op) {
  ACCELMESH_ASSIGN_OR_RETURN(const Decoder::Function* function, decoder.FindFunction(from, call.name));
  Op jump;
  jump.control = Control::kCall;
  jump.immediate = function->index;  // until all functions have their place
  jump.d = function->return_row;
  return FunctionCall(decoder, from, call, function->body->results, function->body->parameters, std::move(jump),
                      decoder.graph().LeadsBack(decoder.body(), function->index), op);
}

Status CallByPointer(Decoder& decoder, const Instruction& from, const Call& call, Op& op) {
  if (call.prototype == nullptr) return decoder.Refuse(from, "a call through a pointer needs a prototype");
  const ptx::Prototype& prototype = decoder.body().prototypes[call.prototype->index];
  if (!prototype.unsupported.ok())
    return decoder.Refuse(from, ("its prototype cannot be read: " + prototype.unsupported.text()).c_str());
  Op jump;
  jump.control = Control::kCallIndirect;
  ACCELMESH_ASSIGN_OR_RETURN(jump.a, decoder.Source(*call.pointer));
  return FunctionCall(decoder, from, call, prototype.results, prototype.parameters, std::move(jump),
                      decoder.graph().LeadsBack(decoder.body(), prototype), op);
}

// call{.uni} {(results),} name{, (arguments)};  call{.uni} {(results),} pointer, (arguments), prototype;
Status CallRule(Decoder& decoder, const Instruction& from, Op& op) {
  Call call;
  for (const Operand& operand : from.operands) {
    const bool target_known = !call.name.empty() || call.pointer != nullptr;
    if (operand.kind == Operand::Kind::kVector) {
      (target_known ? call.arguments : call.results) = &operand;
    } else if (operand.kind == Operand::Kind::kSymbol && !target_known) {
      call.name = operand.symbol;
    } else if (operand.kind == Operand::Kind::kRegister && !target_known) {
      call.pointer = &operand;
    } else if (operand.kind == Operand::Kind::kPrototype) {
      call.prototype = &operand;
    } else {
      return decoder.Refuse(from, "an operand is not one of a call");
    }
  }
  if (call.pointer != nullptr) return CallByPointer(decoder, from, call, op);
  if (decoder.IsFunction(call.name)) return CallByName(decoder, from, call, op);
  if (IsRuntimeFunction(call.name)) return RuntimeCall(decoder, from, call, op);
  if (call.name.starts_with("__cudaCDP2") || call.name.starts_with("cudaLaunchDevice"))
    return decoder.Refuse(from, "kernels that launch kernels (dynamic parallelism) are not supported");
  return decoder.Refuse(from, "the module does not define the function that is called");
}

}  // namespace

Status CallVariable(Decoder& decoder, const Instruction& from, const Operand& operand, std::uint32_t* offset,
                    std::uint32_t* bytes) {
  if (operand.kind != Operand::Kind::kVariable) return decoder.Refuse(from, "only .param variables can be passed");
  ptx::Space space{};
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t address, decoder.Address(operand, &space));
  if (space != ptx::Space::kLocal) return decoder.Refuse(from, "only .param variables can be passed");
  *offset = static_cast<std::uint32_t>(address);
  *bytes = static_cast<std::uint32_t>(decoder.body().variables[operand.index].bytes);
  return Status::Ok();
}

Op StackCheck(std::uint32_t frame_row, std::uint32_t stack_row, const Instruction& source) {
  Op op;
  op.handler = CheckStack;
  op.a = frame_row;
  op.c = stack_row;
  op.source = &source;
  return op;
}

// Of all frames, as one begins where another ends: what their variables need, and what a lane's memory has.
std::uint32_t Decoder::FrameAlignment() const {
  std::uint64_t alignment = 16;
  const auto raise = [&alignment](const ptx::Kernel& body) {
    for (const ptx::Variable& variable : body.variables) {
      if (variable.space != ptx::Space::kShared) alignment = std::max(alignment, variable.alignment);
    }
    for (const std::vector<ptx::Parameter>* list : {&body.results, &body.parameters}) {
      for (const ptx::Parameter& parameter : *list) alignment = std::max<std::uint64_t>(alignment, parameter.alignment);
    }
  };
  raise(kernel_);
  for (const std::uint32_t index : graph_.functions()) raise(module_.functions[index]);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(alignment, sizeof(Chunk)));
}

// Now that the body's rows and variables are known: where they are kept, and where the frame ends.
void Decoder::CompleteFrame(const ptx::Kernel& body) {
  std::uint64_t bytes = body.local_bytes;
  if (!row_ops_.empty()) {
    std::vector<std::uint32_t> kept{return_row_};
    for (const std::uint32_t row : register_rows_) {
      if (row != kNoRow) kept.push_back(row);
    }
    for (const auto& [index, row] : high_rows_) kept.push_back(row);
    if (kept_stack_row_ != kNoRow) kept.push_back(kept_stack_row_);
    const auto rows = static_cast<std::uint32_t>(kept.size());
    for (std::uint32_t p = 0; p < body.predicates; ++p) kept.push_back(predicate_base_ + p);
    const std::uint64_t at = AlignUp(bytes, 8);
    for (const std::size_t index : row_ops_) {
      Op& op = program_->ops[index];
      op.immediate = at;
      op.b = rows;
      op.targets = kept;
    }
    bytes = at + 8ull * rows + body.predicates;
  }
  const std::uint32_t index =
      body.is_function ? static_cast<std::uint32_t>(&body - module_.functions.data()) : kKernelFrame;
  frame_bytes_[index] = static_cast<std::uint32_t>(AlignUp(bytes, frame_alignment_));
  for (const std::size_t op : frame_ops_) program_->ops[op].immediate = frame_bytes_[index];
}

const RuleTable& CallRules() {
  static const RuleTable kRules{{"call", {CallRule, "uni"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
