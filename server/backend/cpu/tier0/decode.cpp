#include <xmmintrin.h>

#include <algorithm>

#include "protocol/base/limits.h"
#include "server/backend/cpu/tier0/decoder.h"
#include "server/backend/cpu/tier0/small_float.h"

namespace accelmesh::tier0 {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

namespace {

constexpr std::uint32_t kRowsMax = 1u << 18;
constexpr std::uint32_t kLocalBytesMax = 512 * limits::kKiB;
constexpr std::uint32_t kSharedBytesMax = 16 * limits::kMiB;

// Whether `word` is one of the words of a list with spaces between them.
bool Lists(std::string_view list, std::string_view word) {
  for (std::size_t at = list.find(word); at != std::string_view::npos; at = list.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || list[at - 1] == ' ') && (end == list.size() || list[end] == ' ')) return true;
  }
  return false;
}

}  // namespace

std::vector<const RuleTable*> AllRules() {
  return {&ArithmeticRules(), &CompareRules(), &ConvertRules(), &BitRules(),    &MemoryRules(), &CallRules(),
          &StackRules(),      &LaneRules(),    &AtomicRules(),  &AsyncRules(),  &VideoRules(),  &MatrixRules(),
          &WmmaRules(),       &TextureRules(), &SurfaceRules(), &RefusedRules()};
}

const Rule* FindRule(const Instruction& from) {
  static const std::vector<const RuleTable*> kTables = AllRules();
  const std::string_view opcode = from.opcode[0];
  if (IsHalfType(ptx::ParseType(from.opcode.back()))) {
    if (const auto found = HalfRules().find(opcode); found != HalfRules().end()) return &found->second;
  }
  if (from.opcode.back() == "f32x2") return &RefusedRules().at("f32x2");
  for (const RuleTable* table : kTables) {
    if (const auto found = table->find(opcode); found != table->end()) return &found->second;
  }
  return nullptr;
}

bool Decoder::Has(const Instruction& from, std::string_view modifier) {
  for (std::size_t i = 1; i < from.opcode.size(); ++i) {
    if (from.opcode[i] == modifier) return true;
  }
  return false;
}

Type Decoder::LastType(const Instruction& from) { return ptx::ParseType(from.opcode.back()); }

Status Decoder::Refuse(const Instruction& from, const char* why) const {
  return {Code::kUnsupported, "kernel " + kernel_.name + ", ptx line " + std::to_string(from.line),
          std::string(why) + ": " + std::string(from.text)};
}

std::uint32_t Decoder::Constant(std::uint64_t value) {
  const auto [found, added] = constants_.emplace(value, program_->rows);
  if (added) program_->constants.emplace_back(program_->rows++, value);
  return found->second;
}

std::uint32_t Decoder::SpecialRow(Special special) {
  const auto [found, added] = special_rows_.emplace(static_cast<int>(special), program_->rows);
  if (added) program_->specials.emplace_back(program_->rows++, special);
  return found->second;
}

std::uint32_t Decoder::CarryRow() {
  if (carry_row_ == kNoRow) carry_row_ = program_->rows++;
  return carry_row_;
}

// Only registers that some instruction names get a row.
std::uint32_t Decoder::RegisterRow(std::uint32_t index) {
  std::uint32_t& row = register_rows_[index];
  if (row == kNoRow) row = program_->rows++;
  return row;
}

Result<std::uint64_t> Decoder::Address(const Operand& operand, ptx::Space* space) {
  if (operand.kind == Operand::Kind::kVariable) {
    const ptx::Variable& variable = body_->variables[operand.index];
    const bool shared = variable.space == ptx::Space::kShared;
    *space = shared ? ptx::Space::kShared : ptx::Space::kLocal;
    return variable.address;
  }
  const std::string_view name = operand.symbol;
  if (!body_->is_function) {
    for (const ptx::Parameter& parameter : kernel_.parameters) {
      if (parameter.name != name) continue;
      *space = ptx::Space::kParam;
      return std::uint64_t{parameter.offset};
    }
  }
  if (const auto shared = module_.module_shared.find(std::string(name)); shared != module_.module_shared.end()) {
    *space = ptx::Space::kShared;
    if (shared->second.is_extern) return std::uint64_t{program_->dynamic_shared_at};
    if (const auto place = kernel_.shared_addresses.find(name); place != kernel_.shared_addresses.end())
      return place->second;
  }
  *space = ptx::Space::kGlobal;
  if (const auto function = module_.function.find(name); function != module_.function.end())
    return module_.FunctionAddress(function->second);
  const std::uint64_t address = symbols_(name);
  if (address != 0) return address;
  for (const ptx::Kernel& other : module_.kernels) {
    if (other.name != name) continue;
    return Status(Code::kUnsupported, "kernel " + kernel_.name,
                  "kernels that launch kernels (dynamic parallelism) are not supported: it names " + other.name);
  }
  return Status(Code::kUnsupported, "kernel " + kernel_.name, "no symbol is named " + std::string(name));
}

namespace {

// d = a + immediate: a place in the frame as an address of local memory.
void FrameAddress(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  ForLanes(mask, [&](std::uint32_t l) { d[l] = a[l] + op.immediate; });
}

}  // namespace

Result<std::uint32_t> Decoder::Source(const Operand& operand, Type type, Part part) {
  static const std::unordered_map<std::string_view, Special> kSpecials{{"%tid.x", Special::kTidX},
                                                                       {"%tid.y", Special::kTidY},
                                                                       {"%tid.z", Special::kTidZ},
                                                                       {"%ntid.x", Special::kNtidX},
                                                                       {"%ntid.y", Special::kNtidY},
                                                                       {"%ntid.z", Special::kNtidZ},
                                                                       {"%ctaid.x", Special::kCtaidX},
                                                                       {"%ctaid.y", Special::kCtaidY},
                                                                       {"%ctaid.z", Special::kCtaidZ},
                                                                       {"%nctaid.x", Special::kNctaidX},
                                                                       {"%nctaid.y", Special::kNctaidY},
                                                                       {"%nctaid.z", Special::kNctaidZ},
                                                                       {"%laneid", Special::kLaneid},
                                                                       {"%warpid", Special::kWarpid},
                                                                       {"%nwarpid", Special::kNwarpid},
                                                                       {"%lanemask_eq", Special::kMaskEq},
                                                                       {"%lanemask_lt", Special::kMaskLt},
                                                                       {"%lanemask_le", Special::kMaskLe},
                                                                       {"%lanemask_gt", Special::kMaskGt},
                                                                       {"%lanemask_ge", Special::kMaskGe},
                                                                       {"%smid", Special::kSmid},
                                                                       {"%nsmid", Special::kNsmid},
                                                                       {"%gridid", Special::kGridid},
                                                                       {"%dynamic_smem_size", Special::kDynamicShared},
                                                                       {"%total_smem_size", Special::kTotalShared},
                                                                       {"%aggr_smem_size", Special::kTotalShared},
                                                                       {"%clusterid.x", Special::kClusteridX},
                                                                       {"%clusterid.y", Special::kClusteridY},
                                                                       {"%clusterid.z", Special::kClusteridZ},
                                                                       {"%nclusterid.x", Special::kNclusteridX},
                                                                       {"%nclusterid.y", Special::kNclusteridY},
                                                                       {"%nclusterid.z", Special::kNclusteridZ},
                                                                       {"%cluster_ctaid.x", Special::kClusterCtaidX},
                                                                       {"%cluster_ctaid.y", Special::kClusterCtaidY},
                                                                       {"%cluster_ctaid.z", Special::kClusterCtaidZ},
                                                                       {"%cluster_nctaid.x", Special::kClusterNctaidX},
                                                                       {"%cluster_nctaid.y", Special::kClusterNctaidY},
                                                                       {"%cluster_nctaid.z", Special::kClusterNctaidZ},
                                                                       {"%cluster_ctarank", Special::kClusterCtarank},
                                                                       {"%cluster_nctarank", Special::kClusterNctarank},
                                                                       {"%envreg1", Special::kWorkspaceHigh},
                                                                       {"%envreg2", Special::kWorkspaceLow}};
  static const std::unordered_map<std::string_view, std::uint64_t> kConstantSpecials{{"%reserved_smem_offset_begin", 0},
                                                                                     {"%reserved_smem_offset_end", 0},
                                                                                     {"%reserved_smem_offset_cap", 0},
                                                                                     {"%current_graph_exec", 0}};
  if (operand.kind == Operand::Kind::kRegister && part == Part::kRefused &&
      (operand.negated || !operand.selector.empty()))
    return Status(Code::kUnsupported, "kernel " + kernel_.name, "a part or the negative of a register");
  switch (operand.kind) {
    case Operand::Kind::kRegister: return RegisterRow(operand.index);
    case Operand::Kind::kImmediate: {
      if (!operand.is_double || type != Type::kF32) return Constant(operand.immediate);
      return Constant(Put<float>(static_cast<float>(std::bit_cast<double>(operand.immediate))));
    }
    case Operand::Kind::kSink: return Constant(0);
    case Operand::Kind::kVariable:
    case Operand::Kind::kSymbol: {
      if (operand.symbol == "WARP_SZ") return Constant(kLanes);
      ptx::Space space{};
      ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t value, Address(operand, &space));
      if (space != ptx::Space::kLocal || !body_->is_function) return Constant(value + operand.immediate);
      Op place;
      place.handler = FrameAddress;
      place.d = program_->rows++;
      place.a = FrameRow();
      place.immediate = value + operand.immediate;
      const std::uint32_t row = place.d;
      Emit(std::move(place));
      return row;
    }
    case Operand::Kind::kSpecial: {
      const auto found = kSpecials.find(operand.symbol);
      if (found != kSpecials.end()) return SpecialRow(found->second);
      const auto constant = kConstantSpecials.find(operand.symbol);
      if (constant != kConstantSpecials.end()) return Constant(constant->second);
      // Performance counters that nobody has set up, and words that no driver fills in.
      for (const std::string_view family : {"%pm", "%envreg"}) {
        if (operand.symbol.substr(0, family.size()) == family) return Constant(0);
      }
      break;
    }
    default: break;
  }
  return Status(Code::kUnsupported, "kernel " + kernel_.name, "cannot read operand " + std::string(operand.symbol));
}

Result<std::uint32_t> Decoder::HighRow(const Operand& operand) {
  if (operand.kind == Operand::Kind::kSink) return Destination(operand);
  if (operand.kind != Operand::Kind::kRegister)
    return Status(Code::kUnsupported, "kernel " + kernel_.name, "an operand is no register of 128 bits");
  const auto [found, added] = high_rows_.emplace(operand.index, program_->rows);
  if (added) ++program_->rows;
  return found->second;
}

Result<std::uint32_t> Decoder::Destination(const Operand& operand, Part part) {
  if (operand.kind == Operand::Kind::kRegister && (part == Part::kAllowed || operand.selector.empty()))
    return RegisterRow(operand.index);
  // A result that nobody wants still needs a row to go to.
  if (operand.kind == Operand::Kind::kSink) {
    if (sink_row_ == kNoRow) sink_row_ = program_->rows++;
    return sink_row_;
  }
  return Status(Code::kUnsupported, "kernel " + kernel_.name, "a destination is no register");
}

Result<std::uint32_t> Decoder::Predicate(const Operand& operand) {
  if (operand.kind == Operand::Kind::kPredicate) return predicate_base_ + operand.index;
  if (operand.kind == Operand::Kind::kSink) return NewPredicate();
  return Status(Code::kUnsupported, "kernel " + kernel_.name, "an operand is no predicate");
}

Status Decoder::Rows(const Instruction& from, Op& op, std::size_t count) {
  if (from.operands.size() != count) return Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, Destination(from.operands[0]));
  std::uint32_t* rows[] = {&op.a, &op.b, &op.c};
  for (std::size_t i = 1; i < count && i <= 3; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(*rows[i - 1], Source(from.operands[i], LastType(from)));
  }
  return Status::Ok();
}

void Decoder::Emit(Op op) {
  op.guard = guard_;
  op.guard_negated = guard_negated_;
  if (op.source == nullptr) op.source = source_;
  program_->ops.push_back(std::move(op));
}
void Decoder::EmitWithFrame(Op op) {
  frame_ops_.push_back(program_->ops.size());
  Emit(std::move(op));
}
void Decoder::EmitWithRows(Op op) {
  row_ops_.push_back(program_->ops.size());
  Emit(std::move(op));
}
void Decoder::BranchAround(const Instruction& from) {
  if (guard_ < 0) return;
  Op skip;
  skip.control = Control::kBranch;
  skip.immediate = static_cast<std::uint64_t>(&from - body_->instructions.data()) + 1;
  Emit(std::move(skip));
  program_->ops.back().guard_negated = !guard_negated_;
  guard_ = -1;
}

Status Decoder::DecodeOne(const Instruction& from, Op& op) {
  op.source = source_ = &from;
  guard_ = from.guard < 0 ? -1 : static_cast<std::int32_t>(predicate_base_) + from.guard;
  guard_negated_ = from.guard_negated;
  op.guard = guard_;
  op.guard_negated = guard_negated_;
  const Rule* rule = FindRule(from);
  if (rule == nullptr) return Refuse(from, "instruction not supported");
  for (std::size_t i = 1; i < from.opcode.size(); ++i) {
    const std::string_view part = from.opcode[i];
    const bool hint = part.substr(0, 4) == "L1::" || part.substr(0, 4) == "L2::";
    if (ptx::ParseType(part) != Type::kNone || rule->modifiers == "*" || Lists(rule->modifiers, part) ||
        (hint && Lists(rule->modifiers, "hint")))
      continue;
    return Refuse(from, std::string("modifier .").append(part).append(" is not supported").c_str());
  }
  for (const Operand& operand : from.operands) {
    if (operand.paired >= 0) op.predicate = static_cast<std::int32_t>(predicate_base_) + operand.paired;
  }
  const Type type = LastType(from);
  if (Has(from, "rz")) op.mxcsr = _MM_MASK_MASK | _MM_ROUND_TOWARD_ZERO;
  if (Has(from, "rm")) op.mxcsr = _MM_MASK_MASK | _MM_ROUND_DOWN;
  if (Has(from, "rp")) op.mxcsr = _MM_MASK_MASK | _MM_ROUND_UP;
  // Flush results, take denormal operands for zero.
  if (Has(from, "ftz")) op.mxcsr |= _MM_MASK_MASK | 0x8040;
  if (op.mxcsr != 0) op.extras |= kRounding;
  if (Has(from, "sat") && from.opcode[0] != "cvt") {
    if (type == Type::kF32) op.extras |= kSaturateF32;
    if (type == Type::kF64) op.extras |= kSaturateF64;
  }
  return rule->decode(*this, from, op);
}

Status Decoder::DecodeInstructions(const ptx::Kernel& body) {
  const std::size_t first = program_->ops.size();
  static const Instruction kNowhere{};
  source_ = body.instructions.empty() ? &kNowhere : body.instructions.data();
  guard_ = -1;
  if (body.is_function && graph_.has_cycles()) EmitWithFrame(StackCheck(program_->frame_row, stack_row(), *source_));
  kept_stack_row_ = kNoRow;
  if (body.is_function && UsesStack(body)) {
    kept_stack_row_ = program_->rows++;
    Emit(StackCopy(kept_stack_row_, stack_row(), kNowhere));
  }
  std::vector<std::uint32_t> op_at(body.instructions.size() + 1);
  for (std::size_t i = 0; i < body.instructions.size(); ++i) {
    op_at[i] = static_cast<std::uint32_t>(program_->ops.size());
    const Instruction& from = body.instructions[i];
    Op op;
    const Status decoded = DecodeOne(from, op);
    if (!decoded.ok()) {
      if (decoded.where().find("ptx line") != std::string::npos) return decoded;
      return Refuse(from, decoded.text().c_str());
    }
    op.whole = from.opcode[0] != "set";  // which is a comparison and a choice
    // What is all said by the ops in front of it has none of its own.
    if (op.handler != nullptr || op.control != Control::kNone) program_->ops.push_back(std::move(op));
    if (program_->rows > kRowsMax) return Refuse(from, "too many registers and constants");
  }
  // Running off the end is a return.
  op_at.back() = static_cast<std::uint32_t>(program_->ops.size());
  guard_ = -1;
  EmitGiveBack(kNowhere);
  Op end;
  end.control = body.is_function ? Control::kReturn : Control::kExit;
  end.a = return_row_;
  end.source = &kNowhere;
  program_->ops.push_back(std::move(end));
  for (std::size_t i = first; i < program_->ops.size(); ++i) {
    Op& op = program_->ops[i];
    if (op.control == Control::kBranch) op.immediate = op_at[op.immediate];
    if (op.control != Control::kBranchIndexed) continue;
    for (std::uint32_t& target : op.targets) target = op_at[target];
  }
  return Status::Ok();
}

Status Decoder::DecodeBody(const ptx::Kernel& body, std::uint32_t return_row) {
  ACCELMESH_RETURN_IF_ERROR(body.unsupported);
  body_ = &body;
  register_rows_.assign(body.registers, kNoRow);
  high_rows_.clear();
  predicate_base_ = program_->predicates;
  program_->predicates += body.predicates;
  return_row_ = return_row;
  frame_ops_.clear();
  row_ops_.clear();
  const std::size_t first = program_->ops.size();
  Status decoded = DecodeInstructions(body);
  if (!decoded.ok()) {
    program_->ops.resize(first);
    return decoded;
  }
  CompleteFrame(body);
  return Status::Ok();
}

Result<const Decoder::Function*> Decoder::FindFunction(const Instruction& from, std::string_view name) {
  const std::uint32_t index = module_.function.find(name)->second;
  const auto found = functions_.find(index);
  if (found == functions_.end()) return Refuse(from, "a function that the kernel does not reach");
  ACCELMESH_RETURN_IF_ERROR(found->second.status);
  if (body_->is_function)
    named_calls_.emplace_back(static_cast<std::uint32_t>(body_ - module_.functions.data()), index);
  return &found->second;
}

// Callees come before callers: lanes inside of a call have lower pcs than lanes that have passed it, run first, and so
// meet them again behind it. A function that cannot be decoded fails those that call it by name; one that only a
// pointer may lead to fails when it is called.
void Decoder::DecodeFunctions() {
  for (const std::uint32_t index : graph_.functions()) {
    Function& function = functions_[index];
    function.index = index;
    function.body = &module_.functions[index];
    function.return_row = program_->rows++;
  }
  for (const std::uint32_t index : graph_.functions()) {
    Function& function = functions_[index];
    function.entry = static_cast<std::uint32_t>(program_->ops.size());
    function.status = DecodeBody(*function.body, function.return_row);
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (const auto& [caller, callee] : named_calls_) {
      Function& function = functions_[caller];
      if (!function.status.ok() || functions_[callee].status.ok()) continue;
      function.status = functions_[callee].status;
      changed = true;
    }
  }
}

// All functions have their places: calls learn where to go.
void Decoder::LinkCalls() {
  for (Op& op : program_->ops) {
    if (op.control == Control::kCall) op.immediate = functions_.at(static_cast<std::uint32_t>(op.immediate)).entry;
  }
  for (const std::uint32_t index : module_.addressed) {
    const auto found = functions_.find(index);
    if (found == functions_.end()) continue;
    const Function& function = found->second;
    program_->entries.push_back({module_.FunctionAddress(index), function.entry, function.return_row,
                                 function.status.ok() ? std::string() : function.status.ToString()});
  }
}

Status Decoder::Run() {
  static std::atomic<std::uint64_t> next_id{1};
  program_->id = next_id.fetch_add(1, std::memory_order_relaxed);
  program_->kernel = &kernel_;
  if (kernel_.static_shared_bytes > kSharedBytesMax) {
    return {Code::kUnsupported, "kernel " + kernel_.name, "it needs more shared memory than there is"};
  }
  program_->dynamic_shared_at =
      static_cast<std::uint32_t>(AlignUp(kernel_.static_shared_bytes, kernel_.dynamic_shared_alignment));
  ACCELMESH_RETURN_IF_ERROR(kernel_.unsupported);
  if (!graph_.functions().empty()) program_->frame_row = program_->rows++;
  if (UsesStack(kernel_) || std::any_of(graph_.functions().begin(), graph_.functions().end(),
                                        [&](std::uint32_t index) { return UsesStack(module_.functions[index]); }))
    program_->stack_row = program_->rows++;
  frame_alignment_ = FrameAlignment();
  DecodeFunctions();
  program_->entry = static_cast<std::uint32_t>(program_->ops.size());
  ACCELMESH_RETURN_IF_ERROR(DecodeBody(kernel_, kNoRow));
  LinkCalls();
  program_->has_circular_calls = graph_.has_cycles();
  const std::uint64_t local = graph_.LongestWay(frame_bytes_, frame_bytes_[kKernelFrame]);
  if (local > kLocalBytesMax) {
    return {Code::kUnsupported, "kernel " + kernel_.name, "it needs more local memory than there is"};
  }
  program_->local_bytes = static_cast<std::uint32_t>(local);
  return Status::Ok();
}

Result<std::unique_ptr<DecodedKernel>> Decode(const ptx::Module& module, const ptx::Kernel& kernel,
                                              const SymbolLookup& symbols) {
  ptx::ReadBodies(module, kernel);
  auto program = std::make_unique<Program>();
  Decoder decoder(module, kernel, symbols, program.get());
  ACCELMESH_RETURN_IF_ERROR(decoder.Run());
  return std::make_unique<DecodedKernel>(std::move(program));
}

DecodedKernel::DecodedKernel(std::unique_ptr<Program> program) : program_(std::move(program)) {}
DecodedKernel::~DecodedKernel() = default;

}  // namespace accelmesh::tier0
