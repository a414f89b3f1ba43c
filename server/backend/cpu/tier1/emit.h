// From a plan to LLVM's intermediate representation: one function, tier1::Code. Private to this folder.
//
// Rows and predicates are variables of the function (slots), which LLVM turns into registers: 32 lanes of 32 or 64
// bits, one scalar where all lanes are the same, a mask for a predicate. A block of the plan has these pieces of code:
//
//     enter    loads what is live from the warp's files; tier 0 comes here
//     arrive   jumps from within come here; lanes that must meet others leave
//     body     the operations
//     leave    stores what is live, and returns
//
// Lanes outside of the group's mask hold anything in the slots; stores to the files and to memory leave them out.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <map>

#include "server/backend/cpu/tier1.h"
#include "server/backend/cpu/tier1/analysis.h"

namespace accelmesh::tier1 {

inline constexpr const char* kFunctionName = "accelmesh_run";

class Emitter {
 public:
  // wide: the processor permutes 16 lanes by a vector (AVX-512).
  Emitter(llvm::Module& module, const tier0::Program& program, const Plan& plan, bool wide);
  void Run();

 private:
  using Value = llvm::Value;

  // emit.cpp: the function and its flow.
  void Prologue();
  void EmitBlock(std::uint32_t index);
  // The rest of a block. Where many loads go by one row's window, twice: as if it held, without further tests, and as
  // if not.
  void EmitFrom(const Block& block, std::uint32_t pc);
  bool WorthTwoVersions(const Block& block, std::uint32_t pc) const;
  void EmitOp(std::uint32_t pc);
  void EmitBranch(std::uint32_t pc);
  void EmitLaneSync(std::uint32_t pc);
  llvm::BasicBlock* NewBlock(const char* name);
  llvm::BasicBlock* Arrive(std::uint32_t block);
  llvm::BasicBlock* ArriveFromBehind(std::uint32_t block);
  llvm::BasicBlock* Leave(std::uint32_t block);
  llvm::BasicBlock* Edge(std::uint32_t from_pc, std::uint64_t target_pc);
  // Code that stores what is live before pc, for tier 0 to go on there.
  llvm::BasicBlock* Interpret(std::uint32_t pc);
  void StoreLive(const Live& live, const Live& dirty);
  void LoadLive(const Live& live);
  void Return(std::uint64_t value);
  void Branch(Value* condition, llvm::BasicBlock* yes, llvm::BasicBlock* no, bool likely = true);

  // emit.cpp: slots.
  void StoreRow(std::uint32_t row, bool all);
  // Of a full warp with plain stores: masked ones are slow, and what reads them waits.
  void StoreRows(const std::vector<std::uint32_t>& rows);
  void LoadRow(std::uint32_t row, bool blend);
  void StorePredicate(std::uint32_t predicate);
  void LoadPredicate(std::uint32_t predicate, bool blend);
  Value* RowAddress(std::uint32_t row);
  bool HasSlot(std::uint32_t row) const;
  // The low bits of a row: a scalar if it is uniform, else a vector.
  Value* Read(std::uint32_t row, std::uint32_t bits);
  Value* Slot(std::uint32_t row, bool any_nan);
  Value* ReadFloat(std::uint32_t row, ptx::Type type);
  // Of the lanes that are active. Narrower values are extended to the container.
  void Write(std::uint32_t row, Value* value, bool extend_sign = false);
  Value* ReadPredicate(std::uint32_t predicate, bool negated);
  void WritePredicate(std::uint32_t predicate, Value* mask);
  void CallHandler(std::uint32_t pc);
  const Block& BlockOf(std::uint32_t pc) const;
  Value* FrameField(std::size_t offset, llvm::Type* type);

  // emit.cpp: values.
  bool IsVector(Value* value) const { return value->getType()->isVectorTy(); }
  Value* Splat(Value* scalar, std::uint32_t lanes = tier0::kLanes);
  // Makes vectors of both if one is.
  void Match(Value*& a, Value*& b);
  llvm::Type* Like(Value* value, llvm::Type* element);  // vector of as many, or the scalar
  Value* Lanes(Value* mask);                            // bits to truth values
  Value* MaskOf(Value* truth);                          // and back; a scalar becomes all or nothing
  Value* Constant(Value* like, std::uint64_t value);    // of like's type
  Value* Resize(Value* value, std::uint32_t bits, bool sign);
  Value* Bits32(std::uint32_t value) { return b_.getInt32(value); }

  // emit_ops.cpp
  void EmitNative(std::uint32_t pc);
  Value* IntegerOp(const Shape& shape, Value* a, Value* b, Value* c);
  Value* FloatOp(const Shape& shape, Value* a, Value* b, Value* c);
  Value* Divide(const Shape& shape, Value* a, Value* b, bool remainder);
  Value* Shift(const Shape& shape, Value* a, Value* amount);
  Value* LesserFloat(Value* a, Value* b, bool lesser);
  Value* OneNan(Value* v);  // of single precision; as an integer
  void EmitConvert(const tier0::Op& op, const Shape& shape);
  void EmitCompare(const tier0::Op& op, const Shape& shape);
  void EmitLogic(const tier0::Op& op);
  void EmitLop3(const tier0::Op& op);
  void EmitFunnel(const tier0::Op& op);
  void EmitPack(const tier0::Op& op, const Shape& shape);
  void EmitUnpack(const tier0::Op& op, const Shape& shape);
  void EmitShuffle(const tier0::Op& op);
  void EmitVote(const tier0::Op& op, const Shape& shape);

  // emit_memory.cpp
  void EmitLoad(std::uint32_t pc);
  void EmitLoadFromWindow(std::uint32_t pc);
  void EmitStore(std::uint32_t pc);
  // Where the lanes of either half of the warp lie within 64 bytes of shared memory, wherever in them.
  struct Window {
    Value* holds = nullptr;
    bool sure = false;  // in this version of the code it holds
    Value* base[2] = {};
    Value* index[2] = {};
  };
  const Window& WindowOf(std::uint32_t pc);
  // Reads or writes lane by lane, but at once, if all addresses are allowed; then goes to `done`, else to `slow`.
  void GatherOrScatter(std::uint32_t pc, llvm::BasicBlock* slow, llvm::BasicBlock* done);
  void EmitLoadParameter(std::uint32_t pc);
  void EmitAtomicAdd(std::uint32_t pc);
  // Runs the handler in `slow`, for whatever lanes are active, and goes on in `done`.
  void HandleRest(std::uint32_t pc, llvm::BasicBlock* slow, llvm::BasicBlock* done);
  void FinishSlow(std::uint32_t pc, llvm::BasicBlock* slow, llvm::BasicBlock* done);
  // The address of an access: 64 bits, or 32 in shared memory, with its offset; without it if asked.
  Value* Address(const tier0::Op& op, bool with_offset);
  // The host address of `bytes` at an address; goes to `slow` if that is not allowed or not aligned.
  Value* Resolve(const tier0::Op& op, Value* address, Value* bytes, std::uint32_t alignment, llvm::BasicBlock* slow);
  // How the addresses of 16 lanes lie.
  struct Half {
    Value* base = nullptr;  // of the first lane, with the offset
    Value* contiguous = nullptr;
    Value* uniform = nullptr;
  };
  Half HalfOf(const tier0::Op& op, Value* addresses, std::uint32_t half, std::uint32_t stride);
  Value* Part(Value* vector, std::uint32_t first, std::uint32_t count);
  Value* Together(Value* low, Value* high);

  llvm::Module& module_;
  llvm::LLVMContext& context_;
  const tier0::Program& program_;
  const Plan& plan_;
  llvm::IRBuilder<> b_;
  llvm::Function* function_ = nullptr;
  llvm::BasicBlock* prologue_ = nullptr;
  llvm::BasicBlock* fault_ = nullptr;
  Value* frame_ = nullptr;
  Value* mask_ = nullptr;        // the group's lanes
  Value* mask_lanes_ = nullptr;  // as truth values
  Value* first_lane_ = nullptr;
  Value* rows_ = nullptr;
  Value* predicates_ = nullptr;
  Value* shared_ = nullptr;
  Value* shared_bytes_ = nullptr;
  Value* arguments_ = nullptr;
  Value* argument_bytes_ = nullptr;
  Value* alive_ = nullptr;
  Value* limit_ = nullptr;
  llvm::AllocaInst* budget_ = nullptr;
  std::vector<llvm::AllocaInst*> row_slots_;
  std::vector<llvm::AllocaInst*> predicate_slots_;
  std::vector<Value*> fixed_;  // rows of RowKind::kFixed
  std::vector<llvm::BasicBlock*> body_, arrive_, behind_, leave_;
  bool wide_;
  bool uses_windows_ = true;
  std::map<std::uint32_t, Window> windows_;  // by row, of the block that is being emitted
  // Of the operation that is being emitted.
  Value* active_ = nullptr;
  bool guarded_ = false;
};

}  // namespace accelmesh::tier1
