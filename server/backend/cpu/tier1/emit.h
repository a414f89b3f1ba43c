// From a plan to LLVM's intermediate representation: one function, tier1::Code. Private to this folder.
//
// Rows and predicates are variables of the function (slots), which LLVM turns into registers: 32 lanes of 32 or 64
// bits, one scalar where all lanes are the same or count up, a mask for a predicate. A block of the plan has these
// pieces of code:
//
//     enter    loads what is live from the warp's files; tier 0 comes here
//     resume   the same, for a warp whose turn it is again behind a barrier
//     arrive   jumps from within come here; lanes that must meet others leave, or take them along
//     body     the operations
//     leave    stores what is live, and returns
//
// Lanes outside of the group's mask hold anything in the slots, unless they wait on the stack for their turn and need
// it; stores to the files and to memory leave them out.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <map>

#include "server/backend/cpu/tier1.h"
#include "server/backend/cpu/tier1/analysis.h"
#include "server/backend/cpu/tier1/sweep.h"

namespace accelmesh::tier1 {

inline constexpr const char* kFunctionName = "accelmesh_run";
inline constexpr const char* kSweepName = "accelmesh_sweep";

class Emitter {
 public:
  // wide: the processor permutes 16 lanes by a vector (AVX-512).
  Emitter(llvm::Module& module, const tier0::Program& program, const Plan& plan, bool wide);
  void Run();
  // Another function, tier1::SweepCode; program and plan are the sweep's.
  void RunSweep(const Sweep& sweep);

 private:
  using Value = llvm::Value;

  // emit_flow.cpp, and emit_lanes.cpp for the ends of blocks and their edges: the function and its flow.
  void Prologue();
  void MakeSlots();
  void EmitBlock(std::uint32_t index);
  // The rest of a block. Where many loads go by one row's window, twice: as if it held, without further tests, and as
  // if not.
  void EmitFrom(const Block& block, std::uint32_t pc);
  bool WorthTwoVersions(const Block& block, std::uint32_t pc) const;
  void EmitOp(std::uint32_t pc);
  void EmitBranch(std::uint32_t pc);
  void EmitExit(std::uint32_t pc);
  void EmitBarrier(std::uint32_t pc);
  void EmitLaneSync(std::uint32_t pc);
  llvm::BasicBlock* NewBlock(const char* name);
  llvm::BasicBlock* Arrive(std::uint32_t block);
  llvm::BasicBlock* ArriveFromBehind(std::uint32_t block);
  llvm::BasicBlock* Meet(std::uint32_t block);
  llvm::BasicBlock* Leave(std::uint32_t block);
  llvm::BasicBlock* Edge(std::uint32_t from_pc, std::uint64_t target_pc);
  // Code that stores what is live before pc, for tier 0 to go on there.
  llvm::BasicBlock* Interpret(std::uint32_t pc);
  void EmitEntries();
  void EmitNextWarp();
  void EmitNextBlock();
  void FindBlockRows();
  void NextBlock();   // its coordinates; there is one
  void StoreBlock();  // into the frame
  // After a warp has arrived at the barrier or has gone: whether no other is yet to arrive. If so all may run.
  Value* Release();
  void EmitFlush();
  void EmitReturn();
  // Ends the code here: with what lanes on the stack need in the files, if there can be any.
  void Return(std::uint64_t value, bool may_wait);
  void Branch(Value* condition, llvm::BasicBlock* yes, llvm::BasicBlock* no, bool likely = true);

  // emit_lanes.cpp: lanes that wait. The top of the stack is the group with the lowest pc, which is the limit.
  Value* StackField(Value* index, std::size_t offset);
  // Parts the group: the lanes of `waits` wait at a block, the others go on. Where that cannot be: `out`.
  void Push(std::uint32_t block, Value* waits, llvm::BasicBlock* out);
  Value* Pop();  // the lanes
  bool MayWait(const Block& block) const;

  // emit.cpp: variables of the flow.
  Value* Get(llvm::AllocaInst* slot) { return b_.CreateLoad(slot->getAllocatedType(), slot); }
  void Set(llvm::AllocaInst* slot, Value* value) { b_.CreateStore(value, slot); }
  Value* Mask() { return Get(mask_); }

  // emit.cpp: slots.
  void StoreLive(const Live& live, const Live& dirty, Value* mask);
  // looks: whether rows that should have something in common do not, in lanes of the mask.
  Value* LoadLive(const Live& live, bool looks);
  void StoreRow(std::uint32_t row, Value* mask);
  // Of a full warp with plain stores: masked ones are slow, and what reads them waits.
  void StoreRows(const std::vector<std::uint32_t>& rows, Value* mask);
  void LoadRow(std::uint32_t row, bool blend);
  void StorePredicate(std::uint32_t predicate, Value* mask);
  void LoadPredicate(std::uint32_t predicate, bool blend);
  Value* Differs(std::uint32_t row);  // lanes whose value in the file is not what the slot says
  Value* FirstLane(Value* mask);
  bool IsScalar(std::uint32_t row) const;
  Value* Expand(Value* base, std::int64_t stride);  // what all lanes have
  Value* RowAddress(std::uint32_t row);
  bool HasSlot(std::uint32_t row) const;
  // The low bits of a row: a scalar if it is uniform, else a vector. Where `bases_` is set, an affine row is its base.
  Value* Read(std::uint32_t row, std::uint32_t bits);
  Value* Slot(std::uint32_t row, bool any_nan);
  Value* ReadFloat(std::uint32_t row, ptx::Type type, bool flush = false);
  // Of the lanes that are active. Narrower values are extended to the container.
  void Write(std::uint32_t row, Value* value, bool extend_sign = false);
  Value* ReadPredicate(std::uint32_t predicate, bool negated);
  void WritePredicate(std::uint32_t predicate, Value* mask);
  void CallHandler(std::uint32_t pc);
  void StoreWarp();  // into the frame, for what is called: which one runs, and its lanes
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
  // An affine row that is made wider: its lanes must not wrap. Tier 0 does it where they would.
  void ExpectNoWrap(std::uint32_t pc, std::uint32_t row, bool sign);
  void EmitNative(std::uint32_t pc);
  void EmitResult(std::uint32_t pc);
  Value* IntegerOp(const Shape& shape, Value* a, Value* b, Value* c);
  Value* FloatOp(const Shape& shape, Value* a, Value* b, Value* c);
  Value* Divide(const Shape& shape, Value* a, Value* b, bool remainder);
  Value* Shift(const Shape& shape, Value* a, Value* amount);
  Value* LesserFloat(Value* a, Value* b, bool lesser);
  Value* OneNan(Value* v);  // of single precision; as an integer
  // emit_flush.cpp
  Value* Flush(Value* v);  // of single precision
  // A result of operands that are flushed.
  Value* FlushResult(const Shape& shape, Value* result, Value* a, Value* b, Value* c);
  Value* Saturate(Value* v);
  void EmitConvert(const tier0::Op& op, const Shape& shape);
  Value* Compare(const Shape& shape, Value* a, Value* b);
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
  // Lanes that are known to access memory one behind the other: one check, one vector.
  bool CountsUp(const tier0::Op& op) const;
  void EmitCountingLoad(std::uint32_t pc);
  void EmitCountingStore(std::uint32_t pc);
  // The elements of a vector access, lane by lane: one vector for each, of `lanes` lanes; and back.
  std::vector<Value*> TakeApart(Value* all, std::uint32_t count, std::uint32_t lanes);
  Value* PutTogether(const std::vector<Value*>& parts, std::uint32_t lanes);
  void EmitLoadFromWindow(std::uint32_t pc);
  void EmitLocalAccess(std::uint32_t pc);
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
  void EmitAtomicAdd(std::uint32_t pc);  // emit_atomic.cpp

  // emit_sweep.cpp
  void BeginFunction(const char* name, llvm::FunctionType* type);  // emit_flow.cpp
  void SweepPrologue();
  void EmitOnce(std::uint32_t pc);
  // What the block's last thread has of a row that counts up; goes to missed_ where it wraps on the way there.
  Value* LastOf(std::uint32_t row, std::uint32_t bits, bool sign);
  void ExpectSameThroughout(std::uint32_t pc);
  // All that the block's threads will touch by an access; goes to missed_ if that is not allowed or not aligned.
  void ResolveForBlock(std::uint32_t pc);
  void EmitWarps(const Sweep& sweep);
  void EmitSweptAccess(std::uint32_t pc, Value* thread);
  std::int64_t StrideOf(std::uint32_t row) const;

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
  llvm::BasicBlock* dispatch_ = nullptr;  // to the place in place_
  llvm::BasicBlock* next_ = nullptr;      // the next warp's turn
  llvm::BasicBlock* done_ = nullptr;      // the next block, if one follows
  llvm::BasicBlock* flush_ = nullptr;
  llvm::BasicBlock* return_ = nullptr;
  Value* frame_ = nullptr;
  Value* together_ = nullptr;  // whether all warps of the block are in this
  Value* base_limit_ = nullptr;
  Value* full_budget_ = nullptr;
  llvm::AllocaInst *blocks_ = nullptr, *block_[3] = {};
  // Variables of the flow: of the warp, of its group, of all warps.
  llvm::AllocaInst *rows_ = nullptr, *predicates_ = nullptr, *warp_ = nullptr, *alive_ = nullptr;
  llvm::AllocaInst *mask_ = nullptr, *limit_ = nullptr, *depth_ = nullptr, *budget_ = nullptr;
  llvm::AllocaInst *gone_ = nullptr, *arrived_ = nullptr, *turn_ = nullptr, *turns_ = nullptr;
  llvm::AllocaInst *place_ = nullptr, *result_ = nullptr;
  llvm::AllocaInst *window_base_ = nullptr, *window_bytes_ = nullptr;
  Value* shared_ = nullptr;
  Value* shared_bytes_ = nullptr;
  Value* arguments_ = nullptr;
  Value* argument_bytes_ = nullptr;
  // Of a sweep: threads of a block, and where to go if it cannot be swept.
  Value* threads_ = nullptr;
  llvm::BasicBlock* missed_ = nullptr;
  std::vector<Value*> accesses_;  // where thread 0's is, by pc
  std::vector<llvm::AllocaInst*> row_slots_;
  std::vector<llvm::AllocaInst*> predicate_slots_;
  std::vector<Value*> fixed_;                                             // rows of RowKind::kFixed
  std::map<std::pair<std::uint64_t, std::uint32_t>, Value*> parameters_;  // by offset and bytes: loaded in the prologue
  std::map<std::uint32_t, llvm::AllocaInst*> block_rows_;                 // those that are a coordinate of the block
  std::vector<llvm::BasicBlock*> body_, arrive_, behind_, meet_, leave_;
  bool parts_ = false;       // somewhere lanes may part
  Live needed_;              // by lanes that may wait while the block that is being emitted runs
  std::vector<bool> waits_;  // blocks at which lanes may wait
  bool wide_;
  bool uses_windows_ = true;
  std::map<std::uint32_t, Window> windows_;  // by row, of the block that is being emitted
  // Of the operation that is being emitted.
  Value* active_ = nullptr;
  bool guarded_ = false;
  bool bases_ = false;
};

}  // namespace accelmesh::tier1
