#include <xmmintrin.h>

#include "server/backend/cpu/tier0/warp.h"

namespace accelmesh::tier0 {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

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
  const auto [found, added] = constants_.emplace(value, 0);
  if (added) {
    found->second = program_->rows++;
    program_->constants.emplace_back(found->second, value);
  }
  return found->second;
}

std::uint32_t Decoder::SpecialRow(Special special) {
  const auto [found, added] = special_rows_.emplace(static_cast<int>(special), 0);
  if (added) {
    found->second = program_->rows++;
    program_->specials.emplace_back(found->second, special);
  }
  return found->second;
}

Result<std::uint64_t> Decoder::SymbolValue(std::string_view name, ptx::Space* space) {
  const std::string key(name);
  if (const auto local = kernel_.locals.find(key); local != kernel_.locals.end()) {
    *space = local->second.space == ptx::Space::kParam ? ptx::Space::kLocal : local->second.space;
    return local->second.address;
  }
  for (const ptx::Parameter& parameter : kernel_.parameters) {
    if (parameter.name != name) continue;
    *space = ptx::Space::kParam;
    return std::uint64_t{parameter.offset};
  }
  if (const auto shared = module_.module_shared.find(key); shared != module_.module_shared.end()) {
    *space = ptx::Space::kShared;
    // Dynamic shared memory lies behind everything static.
    if (shared->second.is_extern) return AlignUp(kernel_.static_shared_bytes, 16);
    return shared->second.address;
  }
  const std::uint64_t address = symbols_(name);
  if (address == 0) return Status(Code::kUnsupported, "kernel " + kernel_.name, "no symbol is named " + key);
  *space = ptx::Space::kGlobal;
  return address;
}

Result<std::uint32_t> Decoder::Source(const Operand& operand) {
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
                                                                       {"%total_smem_size", Special::kTotalShared}};
  switch (operand.kind) {
    case Operand::Kind::kRegister: return operand.index;
    case Operand::Kind::kImmediate: return Constant(operand.immediate);
    case Operand::Kind::kSink: return Constant(0);
    case Operand::Kind::kSymbol: {
      if (operand.symbol == "WARP_SZ") return Constant(kLanes);
      ptx::Space space{};
      ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t value, SymbolValue(operand.symbol, &space));
      return Constant(value + operand.immediate);
    }
    case Operand::Kind::kSpecial: {
      const auto found = kSpecials.find(operand.symbol);
      if (found != kSpecials.end()) return SpecialRow(found->second);
      break;
    }
    default: break;
  }
  return Status(Code::kUnsupported, "kernel " + kernel_.name, "cannot read operand " + std::string(operand.symbol));
}

Result<std::uint32_t> Decoder::Destination(const Operand& operand) {
  if (operand.kind == Operand::Kind::kRegister) return operand.index;
  // A result that nobody wants still needs a row to go to: the last register row is one nobody names.
  if (operand.kind == Operand::Kind::kSink) return kernel_.registers;
  return Status(Code::kUnsupported, "kernel " + kernel_.name, "a destination is no register");
}

Result<std::uint32_t> Decoder::Predicate(const Operand& operand) {
  if (operand.kind == Operand::Kind::kPredicate) return operand.index;
  if (operand.kind == Operand::Kind::kSink) return kernel_.predicates;
  return Status(Code::kUnsupported, "kernel " + kernel_.name, "an operand is no predicate");
}

Result<std::uint32_t> Decoder::Label(const Operand& operand) const {
  const auto found = kernel_.labels.find(operand.symbol);
  if (operand.kind != Operand::Kind::kSymbol || found == kernel_.labels.end()) {
    return Status(Code::kUnsupported, "kernel " + kernel_.name, "no label " + std::string(operand.symbol));
  }
  return found->second;
}

Status Decoder::Rows(const Instruction& from, Op& op, std::size_t count) {
  if (from.operands.size() != count) return Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, Destination(from.operands[0]));
  std::uint32_t* rows[] = {&op.a, &op.b, &op.c};
  for (std::size_t i = 1; i < count && i <= 3; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(*rows[i - 1], Source(from.operands[i]));
  }
  return Status::Ok();
}

DecodeRule FindRule(std::string_view opcode) {
  if (const DecodeRule rule = FindArithmeticRule(opcode)) return rule;
  if (const DecodeRule rule = FindMemoryRule(opcode)) return rule;
  return FindLaneRule(opcode);
}

Status Decoder::DecodeOne(const Instruction& from, Op& op) {
  op.source = &from;
  op.guard = from.guard;
  op.guard_negated = from.guard_negated;
  const DecodeRule rule = FindRule(from.opcode[0]);
  if (rule == nullptr) return Refuse(from, "instruction not supported");
  for (const Operand& operand : from.operands) {
    if (operand.paired >= 0) op.predicate = operand.paired;
  }
  // Rounding and flushing of single precision are the processor's own; only what differs from the default is set.
  unsigned csr = 0;
  const bool integer_rounding = Has(from, "rni") || Has(from, "rzi") || Has(from, "rmi") || Has(from, "rpi");
  if (!integer_rounding) {
    if (Has(from, "rz")) csr |= _MM_ROUND_TOWARD_ZERO;
    if (Has(from, "rm")) csr |= _MM_ROUND_DOWN;
    if (Has(from, "rp")) csr |= _MM_ROUND_UP;
  }
  if (Has(from, "ftz")) csr |= 0x8040;  // flush results, treat denormal operands as zero
  if (csr != 0) op.mxcsr = csr | _MM_MASK_MASK;
  op.saturate =
      Has(from, "sat") && (LastType(from) == Type::kF32 || LastType(from) == Type::kF64) && from.opcode[0] != "cvt";
  return rule(*this, from, op);
}

Status Decoder::Run() {
  ACCELMESH_RETURN_IF_ERROR(kernel_.unsupported);
  program_->kernel = &kernel_;
  // One row and one predicate more than the kernel names, for results that go nowhere.
  program_->rows = kernel_.registers + 1;
  program_->predicates = kernel_.predicates + 1;
  program_->first_constant = program_->rows;
  program_->ops.resize(kernel_.instructions.size() + 1);
  for (std::size_t i = 0; i < kernel_.instructions.size(); ++i) {
    Status decoded = DecodeOne(kernel_.instructions[i], program_->ops[i]);
    if (!decoded.ok()) {
      if (decoded.text().find(kernel_.instructions[i].text) != std::string::npos) return decoded;
      return Refuse(kernel_.instructions[i], decoded.text().c_str());
    }
  }
  // Running off the end is a return.
  program_->ops.back().control = Control::kExit;
  static const Instruction kEnd{};
  program_->ops.back().source = &kEnd;
  return Status::Ok();
}

Result<std::unique_ptr<DecodedKernel>> Decode(const ptx::Module& module, const ptx::Kernel& kernel,
                                              const SymbolLookup& symbols) {
  auto program = std::make_unique<Program>();
  Decoder decoder(module, kernel, symbols, program.get());
  ACCELMESH_RETURN_IF_ERROR(decoder.Run());
  return std::make_unique<DecodedKernel>(std::move(program));
}

DecodedKernel::DecodedKernel(std::unique_ptr<Program> program) : program_(std::move(program)) {}
DecodedKernel::~DecodedKernel() = default;

}  // namespace accelmesh::tier0
