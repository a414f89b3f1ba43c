// From instructions to operations. Private to this folder: each source file brings a table of its opcodes.
//
// A kernel's program holds the device functions that it reaches, each once, with registers of its own. How they are
// called and where their frames lie is told in call.cpp.
#pragma once

#include "server/backend/cpu/tier0/call_graph.h"
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
const RuleTable& StackRules();
const RuleTable& LaneRules();
const RuleTable& AtomicRules();
const RuleTable& AsyncRules();
const RuleTable& VideoRules();
const RuleTable& MatrixRules();
const RuleTable& WmmaRules();
// Of instructions whose last type is f16, bf16 or a pair of them.
const RuleTable& HalfRules();
// What is known and refused, with a reason each.
const RuleTable& RefusedRules();
// The row of the opcode tables for an instruction; null if none has it.
const Rule* FindRule(const ptx::Instruction& from);
// All tables, in the order in which they are looked at.
std::vector<const RuleTable*> AllRules();
// video.cpp: add, min, max of u16x2 and s16x2.
bool IsPackedInteger(const ptx::Instruction& from);
Status PackedIntegerRule(Decoder& decoder, const ptx::Instruction& from, Op& op);
const RuleTable& TextureRules();
const RuleTable& SurfaceRules();
// call.cpp, for decode.cpp: what a function begins with where calls go in circles.
Op StackCheck(std::uint32_t frame_row, std::uint32_t stack_row, const ptx::Instruction& source);
// stack.cpp: whether a body takes memory of a size that is known at run time only; and what keeps, or brings back,
// where that begins.
bool UsesStack(const ptx::Kernel& body);
Op StackCopy(std::uint32_t to, std::uint32_t from, const ptx::Instruction& source);

// Whether an operand may be a part of a register (%r1.h0), or -%r1: the rule then looks at that itself.
enum class Part : std::uint8_t { kRefused, kAllowed };

class Decoder {
 public:
  Decoder(const ptx::Module& module, const ptx::Kernel& kernel, const SymbolLookup& symbols, Program* program)
      : module_(module), kernel_(kernel), symbols_(symbols), program_(program), graph_(module, kernel) {}
  Status Run();

  // The row of a source operand; immediates, symbols and special registers get rows of their own. `type` says what a
  // decimal constant becomes.
  Result<std::uint32_t> Source(const ptx::Operand& operand, ptx::Type type = ptx::Type::kNone,
                               Part part = Part::kRefused);
  Result<std::uint32_t> Destination(const ptx::Operand& operand, Part part = Part::kRefused);
  // The row of the upper 64 bits of a register of 128.
  Result<std::uint32_t> HighRow(const ptx::Operand& operand);
  Result<std::uint32_t> Predicate(const ptx::Operand& operand);
  std::uint32_t Constant(std::uint64_t value);
  // A row that no register has: the carry of extended-precision arithmetic.
  std::uint32_t CarryRow();
  std::uint32_t NewPredicate() { return program_->predicates++; }
  // d, a, b, c from the first four of exactly `count` operands.
  Status Rows(const ptx::Instruction& from, Op& op, std::size_t count);
  // Puts an op in front of the one that is being decoded, under the same guard.
  void Emit(Op op);
  // As Emit, once it is known how large the body's frame is: immediate becomes that.
  void EmitWithFrame(Op op);
  // As Emit, once it is known which rows the body has: SaveRows and RestoreRows (call.cpp) get them.
  void EmitWithRows(Op op);
  // Lanes that the guard of `from` excludes go on behind it; what is emitted next needs no guard.
  void BranchAround(const ptx::Instruction& from);

  Status Refuse(const ptx::Instruction& from, const char* why) const;
  // Whether an opcode has the modifier; the last part is usually the type.
  static bool Has(const ptx::Instruction& from, std::string_view modifier);
  static ptx::Type LastType(const ptx::Instruction& from);

  // The address of what a symbol or variable operand names, without the operand's offset; of what is kLocal, the offset
  // in the frame.
  Result<std::uint64_t> Address(const ptx::Operand& operand, ptx::Space* space);
  const ptx::Kernel& body() const { return *body_; }
  // The row that says where the frame of the body begins.
  std::uint32_t FrameRow() { return body_->is_function ? program_->frame_row : Constant(0); }
  // The row that a call moves on from frame to frame; also in the kernel, whose own frame is known to begin at 0.
  std::uint32_t moving_frame_row() const { return program_->frame_row; }
  // Of the function that is being decoded; kNoRow in the kernel.
  std::uint32_t return_row() const { return return_row_; }
  // kNoRow if nothing that the kernel reaches takes memory of the stack.
  std::uint32_t stack_row() const { return program_->stack_row; }
  // Gives back what the function that is being decoded has taken of it.
  void EmitGiveBack(const ptx::Instruction& from);
  const CallGraph& graph() const { return graph_; }

  struct Function {
    std::uint32_t index = 0;  // in Module::functions
    const ptx::Kernel* body = nullptr;
    std::uint32_t entry = 0;
    std::uint32_t return_row = 0;
    Status status;  // why it cannot be run, if so
  };
  // Whether the module has a function of that name, with a body.
  bool IsFunction(std::string_view name) const { return module_.function.contains(name); }
  // Fails as the function does.
  Result<const Function*> FindFunction(const ptx::Instruction& from, std::string_view name);

 private:
  void DecodeFunctions();
  Status DecodeBody(const ptx::Kernel& body, std::uint32_t return_row);
  Status DecodeInstructions(const ptx::Kernel& body);
  void CompleteFrame(const ptx::Kernel& body);  // call.cpp
  std::uint32_t FrameAlignment() const;         // call.cpp
  void LinkCalls();
  Status DecodeOne(const ptx::Instruction& from, Op& op);
  std::uint32_t RegisterRow(std::uint32_t index);
  std::uint32_t SpecialRow(Special special);

  const ptx::Module& module_;
  const ptx::Kernel& kernel_;
  const SymbolLookup& symbols_;
  Program* program_;
  std::unordered_map<std::uint64_t, std::uint32_t> constants_;
  std::unordered_map<int, std::uint32_t> special_rows_;
  CallGraph graph_;
  std::unordered_map<std::uint32_t, Function> functions_;             // by index
  static constexpr std::uint32_t kKernelFrame = 0xffffffffu;          // among the frames of functions
  std::unordered_map<std::uint32_t, std::uint32_t> frame_bytes_;      // by index
  std::vector<std::pair<std::uint32_t, std::uint32_t>> named_calls_;  // caller, callee
  std::uint32_t frame_alignment_ = 0;
  std::uint32_t sink_row_ = kNoRow;
  std::uint32_t carry_row_ = kNoRow;

  // Of the body that is being decoded.
  const ptx::Kernel* body_ = nullptr;
  const ptx::Instruction* source_ = nullptr;
  std::vector<std::uint32_t> register_rows_;
  std::unordered_map<std::uint32_t, std::uint32_t> high_rows_;  // by register
  std::uint32_t predicate_base_ = 0;
  std::vector<std::size_t> frame_ops_;  // in Program::ops
  std::vector<std::size_t> row_ops_;
  std::uint32_t return_row_ = kNoRow;
  std::uint32_t kept_stack_row_ = kNoRow;  // where the stack was when the function began
  std::int32_t guard_ = -1;
  bool guard_negated_ = false;
};

}  // namespace accelmesh::tier0
