// Lanes that part, wait and meet; and what ends a block: branches, exits, barriers.
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>

#include <cstddef>

#include "server/backend/cpu/tier1/emit.h"

namespace accelmesh::tier1 {

using llvm::BasicBlock;
using tier0::Op;

void Emitter::Branch(Value* condition, BasicBlock* yes, BasicBlock* no, bool likely) {
  llvm::MDBuilder weights(context_);
  b_.CreateCondBr(condition, yes, no, likely ? weights.createBranchWeights(2000, 1) : nullptr);
}

bool Emitter::MayWait(const Block& block) const {
  for (std::uint32_t i = 0; i < plan_.blocks.size(); ++i) {
    if (block.waiting.Has(i)) return true;
  }
  return false;
}

llvm::Value* Emitter::StackField(Value* index, std::size_t offset) {
  Value* list = b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offsetof(Frame, groups) + offset);
  return b_.CreateGEP(b_.getInt8Ty(), list,
                      b_.CreateMul(b_.CreateZExt(index, b_.getInt64Ty()), b_.getInt64(sizeof(Waiting))));
}

void Emitter::Push(std::uint32_t block, Value* waits, BasicBlock* out) {
  llvm::Type* word = b_.getInt32Ty();
  Value* pc = Bits32(plan_.blocks[block].first);
  BasicBlock* below = NewBlock("below");
  BasicBlock* push = NewBlock("push");
  BasicBlock* at = NewBlock("at");
  BasicBlock* join = NewBlock("join");
  BasicBlock* parted = NewBlock("parted");
  Value* depth = Get(depth_);
  b_.CreateCondBr(b_.CreateICmpULT(pc, Get(limit_)), below, at);
  b_.SetInsertPoint(below);
  Branch(b_.CreateICmpULT(depth, Bits32(kWaitingMax)), push, out);
  b_.SetInsertPoint(push);
  b_.CreateStore(pc, StackField(depth, offsetof(Waiting, pc)));
  b_.CreateStore(waits, StackField(depth, offsetof(Waiting, mask)));
  Set(depth_, b_.CreateAdd(depth, Bits32(1)));
  Set(limit_, pc);
  b_.CreateBr(parted);
  b_.SetInsertPoint(at);
  Branch(b_.CreateAnd(b_.CreateICmpEQ(pc, Get(limit_)), b_.CreateICmpNE(depth, Bits32(0))), join, out);
  b_.SetInsertPoint(join);
  Value* top = StackField(b_.CreateSub(depth, Bits32(1)), offsetof(Waiting, mask));
  b_.CreateStore(b_.CreateOr(b_.CreateLoad(word, top), waits), top);
  b_.CreateBr(parted);
  b_.SetInsertPoint(parted);
  Set(mask_, b_.CreateAnd(Mask(), b_.CreateNot(waits)));
}

llvm::Value* Emitter::Pop() {
  llvm::Type* word = b_.getInt32Ty();
  Value* depth = b_.CreateSub(Get(depth_), Bits32(1));
  Value* lanes = b_.CreateLoad(word, StackField(depth, offsetof(Waiting, mask)));
  Value* last = b_.CreateICmpEQ(depth, Bits32(0));
  Value* below = b_.CreateSelect(last, Bits32(0), b_.CreateSub(depth, Bits32(1)));
  Value* pc = b_.CreateLoad(word, StackField(below, offsetof(Waiting, pc)));
  Set(depth_, depth);
  Set(limit_, b_.CreateSelect(last, base_limit_, pc));
  return lanes;
}

BasicBlock* Emitter::Leave(std::uint32_t block) {
  if (leave_[block] == nullptr) {
    const llvm::IRBuilderBase::InsertPointGuard guard(b_);
    leave_[block] = NewBlock("leave");
    b_.SetInsertPoint(leave_[block]);
    StoreLive(plan_.blocks[block].in, plan_.blocks[block].dirty, Mask());
    Return(plan_.blocks[block].first, parts_);
  }
  return leave_[block];
}

BasicBlock* Emitter::Arrive(std::uint32_t block) {
  if (arrive_[block] == nullptr) {
    arrive_[block] = NewBlock("arrive");
    const llvm::IRBuilderBase::InsertPointGuard guard(b_);
    BasicBlock* meet = Meet(block);
    b_.SetInsertPoint(arrive_[block]);
    Branch(b_.CreateICmpULT(Bits32(plan_.blocks[block].first), Get(limit_)), body_[block], meet,
           !waits_[block] && plan_.blocks[block].behind.empty());
  }
  return arrive_[block];
}

// At the limit or above: lanes that wait here come along; lanes that wait below run first.
BasicBlock* Emitter::Meet(std::uint32_t index) {
  const Block& block = plan_.blocks[index];
  BasicBlock* leave = Leave(index);
  if (!waits_[index] && block.behind.empty()) return leave;
  if (meet_[index] != nullptr) return meet_[index];
  const llvm::IRBuilderBase::InsertPointGuard guard(b_);
  llvm::Type* word = b_.getInt32Ty();
  meet_[index] = NewBlock("meet");
  b_.SetInsertPoint(meet_[index]);
  const auto then = [&](Value* condition, BasicBlock* no) {
    BasicBlock* yes = NewBlock("then");
    b_.CreateCondBr(condition, yes, no);
    b_.SetInsertPoint(yes);
  };
  Value* pc = Bits32(block.first);
  then(b_.CreateICmpNE(Get(depth_), Bits32(0)), leave);
  if (waits_[index]) {
    BasicBlock* other = NewBlock("other");
    then(b_.CreateICmpEQ(Get(limit_), pc), other);
    Value* lanes = Pop();
    Set(mask_, b_.CreateOr(Mask(), lanes));
    b_.CreateBr(Arrive(index));
    b_.SetInsertPoint(other);
  }
  for (const std::uint32_t waiting : block.behind) {
    BasicBlock* other = NewBlock("other");
    then(b_.CreateICmpEQ(Get(limit_), Bits32(plan_.blocks[waiting].first)), other);
    Value* mask = Mask();
    Value* lanes = Pop();
    BasicBlock* swap = NewBlock("swap");
    BasicBlock* join = NewBlock("join");
    BasicBlock* more = NewBlock("more");
    BasicBlock* undo = NewBlock("undo");
    Value* depth = Get(depth_);
    b_.CreateCondBr(b_.CreateICmpULT(pc, Get(limit_)), swap, more);
    b_.SetInsertPoint(swap);
    b_.CreateStore(pc, StackField(depth, offsetof(Waiting, pc)));
    b_.CreateStore(mask, StackField(depth, offsetof(Waiting, mask)));
    Set(depth_, b_.CreateAdd(depth, Bits32(1)));
    Set(limit_, pc);
    Set(mask_, lanes);
    b_.CreateBr(body_[waiting]);
    b_.SetInsertPoint(more);
    b_.CreateCondBr(b_.CreateAnd(b_.CreateICmpEQ(pc, Get(limit_)), b_.CreateICmpNE(depth, Bits32(0))), join, undo);
    b_.SetInsertPoint(join);
    Value* top = StackField(b_.CreateSub(depth, Bits32(1)), offsetof(Waiting, mask));
    b_.CreateStore(b_.CreateOr(b_.CreateLoad(word, top), mask), top);
    Set(mask_, lanes);
    b_.CreateBr(body_[waiting]);
    b_.SetInsertPoint(undo);
    // What was popped is still there.
    Set(depth_, b_.CreateAdd(depth, Bits32(1)));
    b_.CreateBr(leave);
    b_.SetInsertPoint(other);
  }
  b_.CreateBr(leave);
  return meet_[index];
}

BasicBlock* Emitter::ArriveFromBehind(std::uint32_t block) {
  if (behind_[block] == nullptr) {
    behind_[block] = NewBlock("behind");
    const llvm::IRBuilderBase::InsertPointGuard guard(b_);
    BasicBlock* arrive = Arrive(block);
    BasicBlock* leave = Leave(block);
    b_.SetInsertPoint(behind_[block]);
    // Other warps' turns are counted by it, too, so there may be none left already.
    Value* left = b_.CreateIntrinsic(llvm::Intrinsic::usub_sat, {b_.getInt32Ty()}, {Get(budget_), Bits32(1)});
    Set(budget_, left);
    Branch(b_.CreateICmpNE(left, Bits32(0)), arrive, leave);
  }
  return behind_[block];
}

BasicBlock* Emitter::Edge(std::uint32_t from_pc, std::uint64_t target_pc) {
  const std::uint32_t block = plan_.block_at[target_pc];
  if (target_pc <= from_pc) return ArriveFromBehind(block);
  BasicBlock* arrive = Arrive(block);
  const Block& from = BlockOf(plan_, from_pc);
  const auto early = from.early.find(block);
  if (early == from.early.end()) return arrive;
  const llvm::IRBuilderBase::InsertPointGuard guard(b_);
  BasicBlock* store = NewBlock("early");
  b_.SetInsertPoint(store);
  StoreLive(early->second, DirtyBefore(plan_, from, from.end), Mask());
  b_.CreateBr(arrive);
  return store;
}

BasicBlock* Emitter::Interpret(std::uint32_t pc) {
  const llvm::IRBuilderBase::InsertPointGuard guard(b_);
  BasicBlock* out = NewBlock("interpret");
  b_.SetInsertPoint(out);
  const Block& block = BlockOf(plan_, pc);
  StoreLive(LiveBefore(program_, plan_, block, pc), DirtyBefore(plan_, block, pc), Mask());
  Return(pc | kInterpret, MayWait(block));
  return out;
}

// Ends of blocks -----------------------------------------------------------------------------------------------------

void Emitter::EmitBranch(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  BasicBlock* target = Edge(pc, op.immediate);
  if (op.guard < 0) {
    b_.CreateBr(target);
    return;
  }
  const auto guard = static_cast<std::uint32_t>(op.guard);
  BasicBlock* behind = Edge(pc, pc + 1);
  if (plan_.predicates_uniform[guard]) {
    b_.CreateCondBr(b_.CreateICmpNE(ReadPredicate(guard, op.guard_negated), Bits32(0)), target, behind);
    return;
  }
  Value* mask = Mask();
  Value* taken = b_.CreateAnd(ReadPredicate(guard, op.guard_negated), mask);
  BasicBlock* some = NewBlock("some");
  BasicBlock* parting = NewBlock("parting");
  b_.CreateCondBr(b_.CreateICmpEQ(taken, mask), target, some);
  b_.SetInsertPoint(some);
  b_.CreateCondBr(b_.CreateICmpEQ(taken, Bits32(0)), behind, parting);
  b_.SetInsertPoint(parting);
  if (!BlockOf(plan_, pc).parts) {
    b_.CreateBr(Interpret(pc));
    return;
  }
  // The lower go on.
  const bool forward = op.immediate > pc + 1;
  if (op.immediate == pc + 1) {
    b_.CreateBr(target);
  } else {
    Value* waits = forward ? taken : b_.CreateAnd(mask, b_.CreateNot(taken));
    Push(plan_.block_at[forward ? op.immediate : pc + 1], waits, Interpret(pc));
    b_.CreateBr(forward ? behind : target);
  }
}

void Emitter::EmitExit(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const Block& block = BlockOf(plan_, pc);
  Value* mask = Mask();
  Value* taken = mask;
  if (op.guard >= 0) {
    taken = b_.CreateAnd(ReadPredicate(static_cast<std::uint32_t>(op.guard), op.guard_negated), mask);
    BasicBlock* some = NewBlock("some");
    b_.CreateCondBr(b_.CreateICmpEQ(taken, Bits32(0)), Edge(pc, pc + 1), some);
    b_.SetInsertPoint(some);
  }
  BasicBlock* exits = NewBlock("exits");
  b_.CreateCondBr(together_, exits, Interpret(pc));
  b_.SetInsertPoint(exits);
  Set(alive_, b_.CreateAnd(Get(alive_), b_.CreateNot(taken)));
  if (op.guard >= 0) {
    BasicBlock* rest = NewBlock("rest");
    BasicBlock* all = NewBlock("all");
    b_.CreateCondBr(b_.CreateICmpEQ(taken, mask), all, rest);
    b_.SetInsertPoint(rest);
    Set(mask_, b_.CreateAnd(mask, b_.CreateNot(taken)));
    b_.CreateBr(Edge(pc, pc + 1));
    b_.SetInsertPoint(all);
  }
  if (MayWait(block)) {
    BasicBlock* more = NewBlock("more");
    BasicBlock* gone = NewBlock("gone");
    b_.CreateCondBr(b_.CreateICmpEQ(Get(depth_), Bits32(0)), gone, more);
    b_.SetInsertPoint(more);
    Value* pc_of_top = Get(limit_);
    Set(mask_, Pop());
    BasicBlock* nowhere = NewBlock("nowhere");
    llvm::SwitchInst* places = b_.CreateSwitch(pc_of_top, nowhere);
    for (std::uint32_t i = 0; i < plan_.blocks.size(); ++i) {
      if (block.waiting.Has(i)) places->addCase(b_.getInt32(plan_.blocks[i].first), body_[i]);
    }
    b_.SetInsertPoint(nowhere);
    b_.CreateUnreachable();
    b_.SetInsertPoint(gone);
  }
  Set(gone_, b_.CreateAdd(Get(gone_), Bits32(1)));
  Value* warp = b_.CreateZExt(Get(warp_), b_.getInt64Ty());
  Value* places = b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offsetof(Frame, places));
  b_.CreateStore(Bits32(kGone), b_.CreateGEP(b_.getInt32Ty(), places, warp));
  BasicBlock* others = NewBlock("others");
  Value* together = FrameField(offsetof(Frame, together), b_.getInt32Ty());
  b_.CreateCondBr(b_.CreateICmpEQ(Get(gone_), together), done_, others);
  b_.SetInsertPoint(others);
  Release();
  b_.CreateBr(next_);
}

void Emitter::EmitBarrier(std::uint32_t pc) {
  BasicBlock* out = Interpret(pc);
  BasicBlock* together = NewBlock("together");
  b_.CreateCondBr(together_, together, out);
  b_.SetInsertPoint(together);
  if (MayWait(BlockOf(plan_, pc))) {
    BasicBlock* whole = NewBlock("whole");
    Branch(b_.CreateICmpEQ(Get(depth_), Bits32(0)), whole, out);
    b_.SetInsertPoint(whole);
  }
  const std::uint32_t to = plan_.block_at[pc + 1];
  StoreLive(plan_.blocks[to].in, DirtyBefore(plan_, BlockOf(plan_, pc), pc), Mask());
  // The last of them goes on at once.
  Set(arrived_, b_.CreateAdd(Get(arrived_), Bits32(1)));
  BasicBlock* waits = NewBlock("waits");
  b_.CreateCondBr(Release(), ArriveFromBehind(to), waits);
  b_.SetInsertPoint(waits);
  const auto count = static_cast<std::uint32_t>(plan_.blocks.size());
  Value* warp = b_.CreateZExt(Get(warp_), b_.getInt64Ty());
  const auto field = [&](std::size_t offset) {
    return b_.CreateGEP(b_.getInt32Ty(), b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offset), warp);
  };
  Value* place = b_.CreateOr(b_.CreateXor(Get(turn_), Bits32(kTurn)), Bits32(count + to));
  b_.CreateStore(place, field(offsetof(Frame, places)));
  b_.CreateStore(Mask(), field(offsetof(Frame, alives)));
  b_.CreateBr(next_);
}

// Whether all lanes that the operation waits for are here; the others' case is tier 0's.
void Emitter::EmitLaneSync(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  BasicBlock* go = NewBlock("together");
  BasicBlock* out = Interpret(pc);
  Value* mask = Mask();
  if (op.guard >= 0) {
    BasicBlock* whole = NewBlock("whole");
    Branch(b_.CreateICmpEQ(active_, mask), whole, out);
    b_.SetInsertPoint(whole);
  }
  const auto members = static_cast<std::uint32_t>(plan_.rows[op.members].constant);
  Value* missing = b_.CreateAnd(b_.CreateAnd(Bits32(members), Get(alive_)), b_.CreateNot(mask));
  Branch(b_.CreateICmpEQ(missing, Bits32(0)), go, out);
  b_.SetInsertPoint(go);
  active_ = mask;
  guarded_ = false;
}

}  // namespace accelmesh::tier1
