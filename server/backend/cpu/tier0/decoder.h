// From instructions to operations. Private to this folder: each source file brings a table of its opcodes.
//
// A kernel's program holds the device functions that it reaches, each once, with registers and a local frame of its
// own. That is enough because calls that lead back to a function already called are refused (decode.cpp).
#pragma once

#include "server/backend/cpu/tier0/warp.h"

namespace accelmesh::tier0 {

class Decoder;
using DecodeRule = Status (*)(Decoder& decoder, const ptx::Instruction& from, Op& op);

// A row of the opcode table: what fills the op (handler and operands), and the modifiers it knows, apart from types. An
// instruction with any other modifier is refused, so that none is ignored.
struct Rule {
  DecodeRule decode = nullptr;
  std::string_view modifiers;
};
using RuleTable = std::unordered_map<std::string_view, Rule>;
const RuleTable& ArithmeticRules();
const RuleTable& CompareRules();
const RuleTable& ConvertRules();
const RuleTable& BitRules();
const RuleTable& MemoryRules();
const RuleTable& CallRules();
const RuleTable& LaneRules();

class Decoder {
 public:
  Decoder(const ptx::Module& module, const ptx::Kernel& kernel, const SymbolLookup& symbols, Program* program)
      : module_(module), kernel_(kernel), symbols_(symbols), program_(program) {}
  Status Run();

  // The row of a source operand; immediates, symbols and special registers get rows of their own. `type` says what a
  // decimal constant becomes.
  Result<std::uint32_t> Source(const ptx::Operand& operand, ptx::Type type = ptx::Type::kNone);
  Result<std::uint32_t> Destination(const ptx::Operand& operand);
  Result<std::uint32_t> Predicate(const ptx::Operand& operand);
  std::uint32_t Constant(std::uint64_t value);
  // A row that no register has: the carry of extended-precision arithmetic.
  std::uint32_t CarryRow();
  std::uint32_t NewPredicate() { return program_->predicates++; }
  // d, a, b, c from the first four of exactly `count` operands.
  Status Rows(const ptx::Instruction& from, Op& op, std::size_t count);
  // Puts an op in front of the one that is being decoded, under the same guard.
  void Emit(Op op);

  Status Refuse(const ptx::Instruction& from, const char* why) const;
  // Whether an opcode has the modifier; the last part is usually the type.
  static bool Has(const ptx::Instruction& from, std::string_view modifier);
  static ptx::Type LastType(const ptx::Instruction& from);

  // The address of what a symbol or variable operand names, without the operand's offset.
  Result<std::uint64_t> Address(const ptx::Operand& operand, ptx::Space* space);
  const ptx::Kernel& body() const { return *body_; }
  // Of the function that is being decoded; kNoRow in the kernel.
  std::uint32_t return_row() const { return return_row_; }

  struct Function {
    const ptx::Kernel* body = nullptr;
    std::uint32_t entry = 0;
    std::uint32_t frame = 0;
    std::uint32_t return_row = 0;
  };
  // Null if no function of that name has a body.
  const Function* FindFunction(std::string_view name) const;

 private:
  Status DecodeFunctions(const ptx::Kernel& body, std::uint32_t depth);
  Status DecodeBody(const ptx::Kernel& body);
  Status DecodeOne(const ptx::Instruction& from, Op& op);
  std::uint32_t RegisterRow(std::uint32_t index);
  std::uint32_t SpecialRow(Special special);

  const ptx::Module& module_;
  const ptx::Kernel& kernel_;
  const SymbolLookup& symbols_;
  Program* program_;
  std::unordered_map<std::uint64_t, std::uint32_t> constants_;
  std::unordered_map<int, std::uint32_t> special_rows_;
  std::unordered_map<std::string_view, Function> functions_;
  std::vector<std::string_view> calling_;  // names on the way to the function being decoded
  std::uint32_t sink_row_ = kNoRow;
  std::uint32_t carry_row_ = kNoRow;

  // Of the body that is being decoded.
  const ptx::Kernel* body_ = nullptr;
  std::vector<std::uint32_t> register_rows_;
  std::uint32_t predicate_base_ = 0;
  std::uint32_t frame_ = 0;
  std::uint32_t return_row_ = kNoRow;
  std::int32_t guard_ = -1;
  bool guard_negated_ = false;
};

}  // namespace accelmesh::tier0
