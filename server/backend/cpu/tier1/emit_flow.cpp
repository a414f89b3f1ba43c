// The function and its flow: where it begins, goes on and returns, and which lanes run.
#include <llvm/IR/Intrinsics.h>

#include <cstddef>

#include "server/backend/cpu/tier1/emit.h"

namespace accelmesh::tier1 {

using llvm::BasicBlock;
using tier0::kLanes;

Emitter::Emitter(llvm::Module& module, const tier0::Program& program, const Plan& plan, bool wide)
    : module_(module),
      context_(module.getContext()),
      program_(program),
      plan_(plan),
      b_(module.getContext()),
      wide_(wide) {}

void Emitter::BeginFunction(const char* name, llvm::FunctionType* type) {
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, name, module_);
  function_->addFnAttr(llvm::Attribute::NoUnwind);
  function_->addFnAttr("min-legal-vector-width", "512");
  function_->addFnAttr("prefer-vector-width", "512");
  frame_ = function_->getArg(0);
  // A kernel has no way to the frame: its accesses are checked.
  function_->addParamAttr(0, llvm::Attribute::NoAlias);
}

void Emitter::Run() {
  llvm::Type* pointer = b_.getPtrTy();
  BeginFunction(kFunctionName,
                llvm::FunctionType::get(b_.getInt64Ty(), {pointer, b_.getInt32Ty(), b_.getInt32Ty()}, false));
  const std::size_t count = plan_.blocks.size();
  waits_.assign(count, false);
  for (const Block& block : plan_.blocks) {
    parts_ = parts_ || block.parts;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (block.waiting.Has(i)) waits_[i] = true;
    }
  }
  Prologue();
  body_.resize(count);
  arrive_.resize(count);
  behind_.resize(count);
  meet_.resize(count);
  leave_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (plan_.blocks[i].reached) body_[i] = NewBlock("body");
  }
  return_ = NewBlock("return");
  fault_ = NewBlock("fault");
  b_.SetInsertPoint(fault_);
  Return(0, false);
  EmitReturn();
  if (parts_) EmitFlush();
  EmitNextBlock();
  EmitNextWarp();
  EmitEntries();
  for (std::size_t i = 0; i < count; ++i) {
    if (body_[i] == nullptr) continue;
    b_.SetInsertPoint(body_[i]);
    EmitBlock(static_cast<std::uint32_t>(i));
  }
}

BasicBlock* Emitter::NewBlock(const char* name) { return BasicBlock::Create(context_, name, function_); }

llvm::Value* Emitter::FrameField(std::size_t offset, llvm::Type* type) {
  return b_.CreateLoad(type, b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offset));
}

void Emitter::Prologue() {
  prologue_ = NewBlock("prologue");
  dispatch_ = NewBlock("dispatch");
  b_.SetInsertPoint(prologue_);
  llvm::Type* pointer = b_.getPtrTy();
  llvm::Type* word = b_.getInt32Ty();
  llvm::Type* wide = b_.getInt64Ty();
  const auto variable = [&](Value* value) {
    llvm::AllocaInst* slot = b_.CreateAlloca(value->getType());
    Set(slot, value);
    return slot;
  };
  shared_ = FrameField(offsetof(Frame, shared), pointer);
  shared_bytes_ = FrameField(offsetof(Frame, shared_bytes), word);
  arguments_ = FrameField(offsetof(Frame, arguments), pointer);
  argument_bytes_ = FrameField(offsetof(Frame, argument_bytes), wide);
  Value* together = FrameField(offsetof(Frame, together), word);
  together_ = b_.CreateICmpNE(together, Bits32(0));
  base_limit_ = FrameField(offsetof(Frame, limit), word);
  limit_ = variable(base_limit_);
  full_budget_ = FrameField(offsetof(Frame, budget), word);
  budget_ = variable(full_budget_);
  window_base_ = variable(FrameField(offsetof(Frame, window_base), wide));
  window_bytes_ = variable(FrameField(offsetof(Frame, window_bytes), wide));
  gone_ = variable(FrameField(offsetof(Frame, gone), word));
  arrived_ = variable(FrameField(offsetof(Frame, arrived), word));
  turn_ = variable(FrameField(offsetof(Frame, turn), word));
  turns_ = variable(FrameField(offsetof(Frame, turns), word));
  alive_ = variable(FrameField(offsetof(Frame, alive), word));
  warp_ = variable(FrameField(offsetof(Frame, warp), word));
  rows_ = b_.CreateAlloca(pointer);
  predicates_ = b_.CreateAlloca(pointer);
  depth_ = variable(Bits32(0));
  place_ = variable(function_->getArg(1));
  mask_ = variable(function_->getArg(2));
  result_ = variable(b_.getInt64(0));
  blocks_ = variable(FrameField(offsetof(Frame, blocks), wide));
  FindBlockRows();
  // What the warp is makes no difference: these are the same in all.
  Set(rows_, FrameField(offsetof(Frame, rows), pointer));
  MakeSlots();
  b_.CreateBr(dispatch_);
}

void Emitter::FindBlockRows() {
  for (std::uint32_t i = 0; i < 3; ++i) {
    block_[i] = b_.CreateAlloca(b_.getInt32Ty());
    Set(block_[i], FrameField(offsetof(Frame, block) + i * sizeof(std::uint32_t), b_.getInt32Ty()));
  }
  for (const auto& [row, special] : program_.specials) {
    using tier0::Special;
    if (special < Special::kCtaidX || special > Special::kCtaidZ || plan_.rows[row].assigned) continue;
    block_rows_[row] = block_[static_cast<std::size_t>(special) - static_cast<std::size_t>(Special::kCtaidX)];
  }
}

void Emitter::MakeSlots() {
  row_slots_.assign(plan_.rows.size(), nullptr);
  fixed_.assign(plan_.rows.size(), nullptr);
  for (std::uint32_t i = 0; i < plan_.rows.size(); ++i) {
    const RowFacts& row = plan_.rows[i];
    llvm::Type* element = b_.getIntNTy(row.bits);
    if (row.kind == RowKind::kConstant || block_rows_.contains(i)) continue;
    if (row.kind == RowKind::kFixed) {
      fixed_[i] = b_.CreateLoad(b_.getInt64Ty(), RowAddress(i));
      continue;
    }
    llvm::Type* type = IsScalar(i) ? element : llvm::FixedVectorType::get(element, kLanes);
    row_slots_[i] = b_.CreateAlloca(type);
    // What no operation of this run has written may be read by lanes that do not count.
    b_.CreateStore(llvm::Constant::getNullValue(type), row_slots_[i]);
  }
  for (std::size_t i = 0; i < program_.predicates; ++i) {
    predicate_slots_.push_back(b_.CreateAlloca(b_.getInt32Ty()));
    b_.CreateStore(Bits32(0), predicate_slots_.back());
  }
}

// Entries and returns ------------------------------------------------------------------------------------------------

void Emitter::EmitEntries() {
  const auto count = static_cast<std::uint32_t>(plan_.blocks.size());
  BasicBlock* nowhere = NewBlock("nowhere");
  b_.SetInsertPoint(nowhere);
  b_.CreateUnreachable();
  b_.SetInsertPoint(dispatch_);
  // Where the files of the warp are.
  Value* warp = b_.CreateZExt(Get(warp_), b_.getInt64Ty());
  const auto file = [&](std::size_t offset, std::uint64_t bytes) {
    return b_.CreateGEP(b_.getInt8Ty(), FrameField(offset, b_.getPtrTy()), b_.CreateMul(warp, b_.getInt64(bytes)));
  };
  Set(rows_, file(offsetof(Frame, rows), std::uint64_t{program_.rows} * sizeof(tier0::Row)));
  Set(predicates_, file(offsetof(Frame, predicates), std::uint64_t{program_.predicates} * sizeof(std::uint32_t)));
  llvm::SwitchInst* places = b_.CreateSwitch(Get(place_), nowhere, 2 * count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Block& block = plan_.blocks[i];
    if (!block.reached) continue;
    BasicBlock* enter = NewBlock("enter");
    places->addCase(b_.getInt32(i), enter);
    b_.SetInsertPoint(enter);
    if (Value* differ = LoadLive(block.in, true); differ != nullptr) {
      BasicBlock* apart = NewBlock("apart");
      Branch(b_.CreateICmpEQ(differ, Bits32(0)), body_[i], apart);
      b_.SetInsertPoint(apart);
      Return(block.first | kInterpret, false);
    } else {
      b_.CreateBr(body_[i]);
    }
    if (block.first == 0 || plan_.shapes[block.first - 1].kind != Kind::kBarrier) continue;
    BasicBlock* resume = NewBlock("resume");
    places->addCase(b_.getInt32(count + i), resume);
    b_.SetInsertPoint(resume);
    LoadLive(block.in, false);
    b_.CreateBr(body_[i]);
  }
}

llvm::Value* Emitter::Release() {
  if (plan_.barrier == kNoBarrier) return b_.getFalse();  // nobody waits
  Value* together = FrameField(offsetof(Frame, together), b_.getInt32Ty());
  Value* all = b_.CreateICmpEQ(b_.CreateAdd(Get(arrived_), Get(gone_)), together);
  Set(turn_, b_.CreateSelect(all, b_.CreateXor(Get(turn_), Bits32(kTurn)), Get(turn_)));
  Set(arrived_, b_.CreateSelect(all, Bits32(0), Get(arrived_)));
  return all;
}

// The next warp whose turn it is. There is one: not all wait, and not all are gone.
void Emitter::EmitNextWarp() {
  next_ = NewBlock("next");
  BasicBlock* skip = NewBlock("skip");
  BasicBlock* run = NewBlock("run");
  BasicBlock* go = NewBlock("go");
  BasicBlock* between = NewBlock("between");
  llvm::Type* word = b_.getInt32Ty();
  const auto less = [&](Value* a, Value* b) { return b_.CreateIntrinsic(llvm::Intrinsic::usub_sat, {word}, {a, b}); };
  b_.SetInsertPoint(next_);
  Value* used = Bits32(1);
  if (plan_.loops) used = b_.CreateAdd(used, b_.CreateLShr(b_.CreateSub(full_budget_, Get(budget_)), 4));
  Set(turns_, less(Get(turns_), used));
  Set(budget_, full_budget_);
  b_.CreateBr(skip);
  b_.SetInsertPoint(skip);
  Value* more = b_.CreateAdd(Get(warp_), Bits32(1));
  Value* last = b_.CreateICmpEQ(more, FrameField(offsetof(Frame, together), word));
  Set(warp_, b_.CreateSelect(last, Bits32(0), more));
  const auto field = [&](std::size_t offset) {
    Value* list = b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offset);
    return b_.CreateGEP(word, list, b_.CreateZExt(Get(warp_), b_.getInt64Ty()));
  };
  Value* place = b_.CreateLoad(word, field(offsetof(Frame, places)));
  Value* other = b_.CreateAnd(b_.CreateXor(place, Get(turn_)), Bits32(kGone | kTurn));
  Branch(b_.CreateICmpEQ(other, Bits32(0)), run, skip);
  b_.SetInsertPoint(run);
  Branch(b_.CreateICmpNE(Get(turns_), Bits32(0)), go, between);
  b_.SetInsertPoint(go);
  Value* alive = b_.CreateLoad(word, field(offsetof(Frame, alives)));
  Set(alive_, alive);
  Set(mask_, alive);
  Set(place_, b_.CreateAnd(place, Bits32(~kTurn)));
  b_.CreateBr(dispatch_);
  b_.SetInsertPoint(between);
  Return(kBetween, false);
}

void Emitter::NextBlock() {
  BasicBlock* wrap = NewBlock("wrap");
  BasicBlock* begin = NewBlock("begin");
  llvm::Type* word = b_.getInt32Ty();
  Set(blocks_, b_.CreateSub(Get(blocks_), b_.getInt64(1)));
  Value* x = b_.CreateAdd(Get(block_[0]), Bits32(1));
  Set(block_[0], x);
  Branch(b_.CreateICmpNE(x, FrameField(offsetof(Frame, grid), word)), begin, wrap);
  b_.SetInsertPoint(wrap);
  Set(block_[0], Bits32(0));
  Value* y = b_.CreateAdd(Get(block_[1]), Bits32(1));
  Value* last = b_.CreateICmpEQ(y, FrameField(offsetof(Frame, grid) + sizeof(std::uint32_t), word));
  Set(block_[1], b_.CreateSelect(last, Bits32(0), y));
  Set(block_[2], b_.CreateAdd(Get(block_[2]), b_.CreateZExt(last, word)));
  b_.CreateBr(begin);
  b_.SetInsertPoint(begin);
}

void Emitter::StoreBlock() {
  for (std::uint32_t i = 0; i < 3; ++i) {
    const std::size_t offset = offsetof(Frame, block) + i * sizeof(std::uint32_t);
    b_.CreateStore(Get(block_[i]), b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offset));
  }
}

// All warps are gone. If blocks follow, they begin with the next one.
void Emitter::EmitNextBlock() {
  done_ = NewBlock("done");
  b_.SetInsertPoint(done_);
  if (!plan_.batches) {
    Return(kBlockDone, false);
    return;
  }
  BasicBlock* more = NewBlock("more");
  BasicBlock* warp = NewBlock("warp");
  BasicBlock* go = NewBlock("go");
  BasicBlock* over = NewBlock("over");
  llvm::Type* word = b_.getInt32Ty();
  const auto field = [&](std::size_t offset) { return b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offset); };
  Set(turns_, b_.CreateIntrinsic(llvm::Intrinsic::usub_sat, {word}, {Get(turns_), Bits32(1)}));
  Branch(b_.CreateAnd(b_.CreateICmpNE(Get(blocks_), b_.getInt64(0)), b_.CreateICmpNE(Get(turns_), Bits32(0))), more,
         over);
  b_.SetInsertPoint(over);
  Return(kBlockDone, false);
  b_.SetInsertPoint(more);
  NextBlock();
  StoreBlock();
  BasicBlock* begin = b_.GetInsertBlock();
  Value* together = FrameField(offsetof(Frame, together), word);
  Value* entry = FrameField(offsetof(Frame, entry), word);
  Value* lanes_of_last = FrameField(offsetof(Frame, last), word);
  const auto lanes_of = [&](Value* of) {
    return b_.CreateSelect(b_.CreateICmpEQ(b_.CreateAdd(of, Bits32(1)), together), lanes_of_last,
                           Bits32(tier0::kAllLanes));
  };
  b_.CreateBr(warp);
  b_.SetInsertPoint(warp);
  llvm::PHINode* index = b_.CreatePHI(word, 2);
  index->addIncoming(Bits32(0), begin);
  Value* wide = b_.CreateZExt(index, b_.getInt64Ty());
  b_.CreateStore(entry, b_.CreateGEP(word, field(offsetof(Frame, places)), wide));
  b_.CreateStore(lanes_of(index), b_.CreateGEP(word, field(offsetof(Frame, alives)), wide));
  Value* next = b_.CreateAdd(index, Bits32(1));
  index->addIncoming(next, warp);
  b_.CreateCondBr(b_.CreateICmpULT(next, together), warp, go);
  b_.SetInsertPoint(go);
  Set(gone_, Bits32(0));
  Set(arrived_, Bits32(0));
  Set(turn_, Bits32(0));
  Set(warp_, Bits32(0));
  Set(budget_, full_budget_);
  Value* first = lanes_of(Bits32(0));
  Set(alive_, first);
  Set(mask_, first);
  Set(place_, entry);
  b_.CreateBr(dispatch_);
}

// What the lanes on the stack need goes into the files, group by group.
void Emitter::EmitFlush() {
  flush_ = NewBlock("flush");
  BasicBlock* group = NewBlock("group");
  BasicBlock* stored = NewBlock("stored");
  b_.SetInsertPoint(flush_);
  llvm::Type* word = b_.getInt32Ty();
  Value* depth = Get(depth_);
  b_.CreateCondBr(b_.CreateICmpEQ(depth, Bits32(0)), return_, group);
  b_.SetInsertPoint(group);
  llvm::PHINode* index = b_.CreatePHI(word, 2);
  index->addIncoming(Bits32(0), flush_);
  Value* pc = b_.CreateLoad(word, StackField(index, offsetof(Waiting, pc)));
  Value* mask = b_.CreateLoad(word, StackField(index, offsetof(Waiting, mask)));
  llvm::SwitchInst* places = b_.CreateSwitch(pc, stored);
  for (std::uint32_t i = 0; i < plan_.blocks.size(); ++i) {
    if (!waits_[i]) continue;
    BasicBlock* store = NewBlock("store");
    places->addCase(b_.getInt32(plan_.blocks[i].first), store);
    b_.SetInsertPoint(store);
    StoreLive(plan_.blocks[i].in, plan_.blocks[i].dirty, mask);
    b_.CreateBr(stored);
  }
  b_.SetInsertPoint(stored);
  Value* more = b_.CreateAdd(index, Bits32(1));
  index->addIncoming(more, stored);
  b_.CreateCondBr(b_.CreateICmpEQ(more, depth), return_, group);
}

void Emitter::EmitReturn() {
  b_.SetInsertPoint(return_);
  const auto set = [&](std::size_t offset, llvm::AllocaInst* slot) {
    b_.CreateStore(Get(slot), b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offset));
  };
  set(offsetof(Frame, budget), budget_);
  set(offsetof(Frame, mask), mask_);
  StoreWarp();
  set(offsetof(Frame, waiting), depth_);
  set(offsetof(Frame, gone), gone_);
  set(offsetof(Frame, turn), turn_);
  b_.CreateStore(Get(blocks_), b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offsetof(Frame, blocks)));
  b_.CreateRet(Get(result_));
}

void Emitter::Return(std::uint64_t value, bool may_wait) {
  Set(result_, b_.getInt64(value));
  b_.CreateBr(may_wait ? flush_ : return_);
}

}  // namespace accelmesh::tier1
