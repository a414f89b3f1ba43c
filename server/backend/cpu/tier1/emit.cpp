#include "server/backend/cpu/tier1/emit.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>

#include <cstddef>

namespace accelmesh::tier1 {

using llvm::BasicBlock;
using tier0::Control;
using tier0::kLanes;
using tier0::Op;

Emitter::Emitter(llvm::Module& module, const tier0::Program& program, const Plan& plan, bool wide)
    : module_(module),
      context_(module.getContext()),
      program_(program),
      plan_(plan),
      b_(module.getContext()),
      wide_(wide) {}

void Emitter::Run() {
  llvm::Type* pointer = b_.getPtrTy();
  auto* type = llvm::FunctionType::get(b_.getInt64Ty(), {pointer, b_.getInt32Ty(), b_.getInt32Ty()}, false);
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, kFunctionName, module_);
  function_->addFnAttr(llvm::Attribute::NoUnwind);
  function_->addFnAttr("min-legal-vector-width", "512");
  function_->addFnAttr("prefer-vector-width", "512");
  frame_ = function_->getArg(0);
  mask_ = function_->getArg(2);
  Prologue();
  const std::size_t count = plan_.blocks.size();
  body_.resize(count);
  arrive_.resize(count);
  behind_.resize(count);
  leave_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (plan_.blocks[i].reached) body_[i] = NewBlock("body");
  }
  BasicBlock* nowhere = NewBlock("nowhere");
  b_.SetInsertPoint(prologue_);
  llvm::SwitchInst* entries = b_.CreateSwitch(function_->getArg(1), nowhere, static_cast<unsigned>(count));
  b_.SetInsertPoint(nowhere);
  b_.CreateUnreachable();
  fault_ = NewBlock("fault");
  b_.SetInsertPoint(fault_);
  Return(0);
  for (std::size_t i = 0; i < count; ++i) {
    if (body_[i] == nullptr) continue;
    BasicBlock* enter = NewBlock("enter");
    entries->addCase(b_.getInt32(static_cast<std::uint32_t>(i)), enter);
    b_.SetInsertPoint(enter);
    LoadLive(plan_.blocks[i].in);
    b_.CreateBr(body_[i]);
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
  b_.SetInsertPoint(prologue_);
  llvm::Type* pointer = b_.getPtrTy();
  llvm::Type* word = b_.getInt32Ty();
  rows_ = FrameField(offsetof(Frame, rows), pointer);
  predicates_ = FrameField(offsetof(Frame, predicates), pointer);
  shared_ = FrameField(offsetof(Frame, shared), pointer);
  shared_bytes_ = FrameField(offsetof(Frame, shared_bytes), word);
  arguments_ = FrameField(offsetof(Frame, arguments), pointer);
  argument_bytes_ = FrameField(offsetof(Frame, argument_bytes), b_.getInt64Ty());
  alive_ = FrameField(offsetof(Frame, alive), word);
  limit_ = FrameField(offsetof(Frame, limit), word);
  budget_ = b_.CreateAlloca(word);
  b_.CreateStore(FrameField(offsetof(Frame, budget), word), budget_);
  mask_lanes_ = Lanes(mask_);
  first_lane_ = b_.CreateIntrinsic(llvm::Intrinsic::cttz, {word}, {mask_, b_.getTrue()});
  row_slots_.assign(plan_.rows.size(), nullptr);
  fixed_.assign(plan_.rows.size(), nullptr);
  for (std::uint32_t i = 0; i < plan_.rows.size(); ++i) {
    const RowFacts& row = plan_.rows[i];
    llvm::Type* element = b_.getIntNTy(row.bits);
    if (row.kind == RowKind::kConstant) continue;
    if (row.kind == RowKind::kFixed) {
      fixed_[i] = b_.CreateLoad(b_.getInt64Ty(), RowAddress(i));
      continue;
    }
    llvm::Type* type = row.kind == RowKind::kUniform ? element : llvm::FixedVectorType::get(element, kLanes);
    row_slots_[i] = b_.CreateAlloca(type);
    // What no operation of this run has written may be read by lanes that do not count.
    b_.CreateStore(llvm::Constant::getNullValue(type), row_slots_[i]);
  }
  for (std::size_t i = 0; i < program_.predicates; ++i) {
    predicate_slots_.push_back(b_.CreateAlloca(word));
    b_.CreateStore(Bits32(0), predicate_slots_.back());
  }
}

// Flow ---------------------------------------------------------------------------------------------------------------

void Emitter::Branch(Value* condition, BasicBlock* yes, BasicBlock* no, bool likely) {
  llvm::MDBuilder weights(context_);
  b_.CreateCondBr(condition, yes, no, likely ? weights.createBranchWeights(2000, 1) : nullptr);
}

void Emitter::Return(std::uint64_t value) {
  b_.CreateStore(b_.CreateLoad(b_.getInt32Ty(), budget_),
                 b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offsetof(Frame, budget)));
  b_.CreateRet(b_.getInt64(value));
}

BasicBlock* Emitter::Leave(std::uint32_t block) {
  if (leave_[block] == nullptr) {
    const llvm::IRBuilderBase::InsertPointGuard guard(b_);
    leave_[block] = NewBlock("leave");
    b_.SetInsertPoint(leave_[block]);
    StoreLive(plan_.blocks[block].in, plan_.blocks[block].dirty);
    Return(plan_.blocks[block].first);
  }
  return leave_[block];
}

BasicBlock* Emitter::Arrive(std::uint32_t block) {
  if (arrive_[block] == nullptr) {
    BasicBlock* leave = Leave(block);
    const llvm::IRBuilderBase::InsertPointGuard guard(b_);
    arrive_[block] = NewBlock("arrive");
    b_.SetInsertPoint(arrive_[block]);
    Branch(b_.CreateICmpULT(Bits32(plan_.blocks[block].first), limit_), body_[block], leave);
  }
  return arrive_[block];
}

BasicBlock* Emitter::ArriveFromBehind(std::uint32_t block) {
  if (behind_[block] == nullptr) {
    BasicBlock* arrive = Arrive(block);
    BasicBlock* leave = Leave(block);
    const llvm::IRBuilderBase::InsertPointGuard guard(b_);
    behind_[block] = NewBlock("behind");
    b_.SetInsertPoint(behind_[block]);
    Value* left = b_.CreateSub(b_.CreateLoad(b_.getInt32Ty(), budget_), Bits32(1));
    b_.CreateStore(left, budget_);
    Branch(b_.CreateICmpNE(left, Bits32(0)), arrive, leave);
  }
  return behind_[block];
}

BasicBlock* Emitter::Edge(std::uint32_t from_pc, std::uint64_t target_pc) {
  const std::uint32_t block = plan_.block_at[target_pc];
  return target_pc <= from_pc ? ArriveFromBehind(block) : Arrive(block);
}

BasicBlock* Emitter::Interpret(std::uint32_t pc) {
  const llvm::IRBuilderBase::InsertPointGuard guard(b_);
  BasicBlock* out = NewBlock("interpret");
  b_.SetInsertPoint(out);
  const Block& block = BlockOf(pc);
  StoreLive(LiveBefore(program_, plan_, block, pc), DirtyBefore(plan_, block, pc));
  Return(pc | kInterpret);
  return out;
}

void Emitter::EmitBlock(std::uint32_t index) {
  windows_.clear();
  uses_windows_ = wide_;
  EmitFrom(plan_.blocks[index], plan_.blocks[index].first);
}

bool Emitter::WorthTwoVersions(const Block& block, std::uint32_t pc) const {
  constexpr std::uint32_t kLoadsMin = 4;
  const Op& op = program_.ops[pc];
  if (!uses_windows_ || plan_.shapes[pc].kind != Kind::kLoad || !FitsWindow(op) || windows_.contains(op.a) ||
      plan_.rows[op.a].kind != RowKind::kVarying)
    return false;
  std::uint32_t loads = 0;
  for (std::uint32_t i = pc; i < block.end; ++i) {
    const Shape& shape = plan_.shapes[i];
    loads += shape.kind == Kind::kLoad && program_.ops[i].a == op.a && FitsWindow(program_.ops[i]) ? 1 : 0;
    for (const RowUse& def : shape.defs) {
      if (def.row == op.a) return loads >= kLoadsMin;
    }
  }
  return loads >= kLoadsMin;
}

void Emitter::EmitFrom(const Block& block, std::uint32_t first) {
  for (std::uint32_t pc = first; pc < block.end; ++pc) {
    if (WorthTwoVersions(block, pc)) {
      const Window window = WindowOf(pc);
      BasicBlock* sure = NewBlock("sure");
      BasicBlock* unsure = NewBlock("unsure");
      Branch(window.holds, sure, unsure);
      const std::map<std::uint32_t, Window> windows = windows_;
      b_.SetInsertPoint(unsure);
      windows_.clear();
      uses_windows_ = false;
      EmitFrom(block, pc);
      b_.SetInsertPoint(sure);
      windows_ = windows;
      windows_[program_.ops[pc].a].sure = true;
      uses_windows_ = true;
    }
    const Kind kind = plan_.shapes[pc].kind;
    if (kind == Kind::kBranch) return EmitBranch(pc);
    if (kind == Kind::kControl) {
      // Lanes that a guard keeps from it go on behind it: tier 0 knows.
      b_.CreateBr(Interpret(pc));
      return;
    }
    EmitOp(pc);
  }
  if (block.end >= program_.ops.size()) {
    b_.CreateUnreachable();
    return;
  }
  b_.CreateBr(Arrive(plan_.block_at[block.end]));
}

void Emitter::EmitBranch(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  BasicBlock* target = Edge(pc, op.immediate);
  if (op.guard < 0) {
    b_.CreateBr(target);
    return;
  }
  Value* taken = b_.CreateAnd(ReadPredicate(static_cast<std::uint32_t>(op.guard), op.guard_negated), mask_);
  BasicBlock* all = NewBlock("all");
  BasicBlock* some = NewBlock("some");
  Branch(b_.CreateICmpEQ(taken, mask_), target, some, false);
  b_.SetInsertPoint(some);
  Branch(b_.CreateICmpEQ(taken, Bits32(0)), all, Interpret(pc), false);
  b_.SetInsertPoint(all);
  b_.CreateBr(Edge(pc, pc + 1));
}

// Whether all lanes that the operation waits for are here; the others' case is tier 0's.
void Emitter::EmitLaneSync(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  BasicBlock* go = NewBlock("together");
  BasicBlock* out = Interpret(pc);
  if (op.guard >= 0) {
    BasicBlock* whole = NewBlock("whole");
    Branch(b_.CreateICmpEQ(active_, mask_), whole, out);
    b_.SetInsertPoint(whole);
  }
  const auto members = static_cast<std::uint32_t>(plan_.rows[op.members].constant);
  Value* missing = b_.CreateAnd(b_.CreateAnd(Bits32(members), alive_), b_.CreateNot(mask_));
  Branch(b_.CreateICmpEQ(missing, Bits32(0)), go, out);
  b_.SetInsertPoint(go);
  active_ = mask_;
  guarded_ = false;
}

void Emitter::EmitOp(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const Shape& shape = plan_.shapes[pc];
  guarded_ = op.guard >= 0;
  active_ = mask_;
  if (guarded_) active_ = b_.CreateAnd(ReadPredicate(static_cast<std::uint32_t>(op.guard), op.guard_negated), mask_);
  if (shape.lane_sync) EmitLaneSync(pc);
  switch (shape.kind) {
    case Kind::kNothing: return;
    case Kind::kLoad: return EmitLoad(pc);
    case Kind::kStore: return EmitStore(pc);
    case Kind::kLoadParameter: return EmitLoadParameter(pc);
    case Kind::kAtomicAdd: return EmitAtomicAdd(pc);
    case Kind::kFence: b_.CreateFence(llvm::AtomicOrdering::SequentiallyConsistent); return;
    case Kind::kCalled: {
      BasicBlock* done = nullptr;
      if (guarded_) {
        BasicBlock* some = NewBlock("some");
        done = NewBlock("done");
        Branch(b_.CreateICmpNE(active_, Bits32(0)), some, done, false);
        b_.SetInsertPoint(some);
      }
      CallHandler(pc);
      if (done != nullptr) {
        b_.CreateBr(done);
        b_.SetInsertPoint(done);
      }
      return;
    }
    default: return EmitNative(pc);
  }
}

// Rows and predicates ------------------------------------------------------------------------------------------------

llvm::Value* Emitter::RowAddress(std::uint32_t row) {
  return b_.CreateConstGEP1_64(b_.getInt8Ty(), rows_, std::uint64_t{row} * sizeof(tier0::Row));
}
bool Emitter::HasSlot(std::uint32_t row) const { return row_slots_[row] != nullptr; }

void Emitter::StoreRow(std::uint32_t row, bool all) {
  if (!HasSlot(row) || !plan_.rows[row].assigned) return;
  Value* value = Resize(Slot(row, false), 64, false);
  if (!IsVector(value)) value = Splat(value);
  if (all) {
    b_.CreateAlignedStore(value, RowAddress(row), llvm::Align(64));
  } else {
    b_.CreateMaskedStore(value, RowAddress(row), llvm::Align(64), mask_lanes_);
  }
}
void Emitter::StoreRows(const std::vector<std::uint32_t>& rows) {
  if (rows.empty()) return;
  BasicBlock* whole = NewBlock("whole");
  BasicBlock* part = NewBlock("part");
  BasicBlock* stored = NewBlock("stored");
  b_.CreateCondBr(b_.CreateICmpEQ(mask_, Bits32(tier0::kAllLanes)), whole, part);
  for (const bool all : {true, false}) {
    b_.SetInsertPoint(all ? whole : part);
    for (const std::uint32_t row : rows) StoreRow(row, all);
    b_.CreateBr(stored);
  }
  b_.SetInsertPoint(stored);
}
void Emitter::LoadRow(std::uint32_t row, bool blend) {
  if (!HasSlot(row)) return;
  windows_.erase(row);
  const RowFacts& facts = plan_.rows[row];
  Value* value = nullptr;
  if (facts.kind == RowKind::kUniform) {
    value = b_.CreateLoad(b_.getInt64Ty(),
                          b_.CreateGEP(b_.getInt64Ty(), RowAddress(row), b_.CreateZExt(first_lane_, b_.getInt64Ty())));
  } else {
    value = b_.CreateAlignedLoad(llvm::FixedVectorType::get(b_.getInt64Ty(), kLanes), RowAddress(row), llvm::Align(64));
  }
  value = Resize(value, facts.bits, false);
  if (blend && IsVector(value)) {
    Value* old = b_.CreateLoad(value->getType(), row_slots_[row]);
    value = b_.CreateSelect(Lanes(active_), value, old);
  }
  b_.CreateStore(value, row_slots_[row]);
}
void Emitter::StorePredicate(std::uint32_t predicate) {
  if (!plan_.predicates_assigned[predicate]) return;
  Value* address = b_.CreateConstGEP1_64(b_.getInt32Ty(), predicates_, predicate);
  Value* old = b_.CreateAnd(b_.CreateLoad(b_.getInt32Ty(), address), b_.CreateNot(mask_));
  Value* value = b_.CreateAnd(b_.CreateLoad(b_.getInt32Ty(), predicate_slots_[predicate]), mask_);
  b_.CreateStore(b_.CreateOr(old, value), address);
}
void Emitter::LoadPredicate(std::uint32_t predicate, bool blend) {
  Value* value = b_.CreateLoad(b_.getInt32Ty(), b_.CreateConstGEP1_64(b_.getInt32Ty(), predicates_, predicate));
  if (blend) {
    Value* old = b_.CreateLoad(b_.getInt32Ty(), predicate_slots_[predicate]);
    value = b_.CreateOr(b_.CreateAnd(value, active_), b_.CreateAnd(old, b_.CreateNot(active_)));
  }
  b_.CreateStore(value, predicate_slots_[predicate]);
}
void Emitter::StoreLive(const Live& live, const Live& dirty) {
  std::vector<std::uint32_t> rows;
  for (std::uint32_t i = 0; i < program_.rows; ++i) {
    if (live.rows.Has(i) && dirty.rows.Has(i)) rows.push_back(i);
  }
  StoreRows(rows);
  for (std::uint32_t i = 0; i < program_.predicates; ++i) {
    if (live.predicates.Has(i) && dirty.predicates.Has(i)) StorePredicate(i);
  }
}
const Block& Emitter::BlockOf(std::uint32_t pc) const {
  while (plan_.block_at[pc] == kNoBlock) --pc;
  return plan_.blocks[plan_.block_at[pc]];
}
void Emitter::LoadLive(const Live& live) {
  for (std::uint32_t i = 0; i < program_.rows; ++i) {
    if (live.rows.Has(i)) LoadRow(i, false);
  }
  for (std::uint32_t i = 0; i < program_.predicates; ++i) {
    if (live.predicates.Has(i)) LoadPredicate(i, false);
  }
}

void Emitter::CallHandler(std::uint32_t pc) {
  const Shape& shape = plan_.shapes[pc];
  const Live dirty = DirtyBefore(plan_, BlockOf(pc), pc);
  std::vector<std::uint32_t> rows;
  for (const RowUse& use : shape.uses) {
    if (dirty.rows.Has(use.row)) rows.push_back(use.row);
  }
  StoreRows(rows);
  for (const std::uint32_t p : shape.predicate_uses) {
    if (dirty.predicates.Has(p)) StorePredicate(p);
  }
  auto* type = llvm::FunctionType::get(b_.getInt8Ty(), {b_.getPtrTy(), b_.getInt32Ty(), b_.getInt32Ty()}, false);
  Value* callee = FrameField(offsetof(Frame, execute), b_.getPtrTy());
  Value* faulted = b_.CreateCall(type, callee, {frame_, Bits32(pc), active_});
  BasicBlock* go_on = NewBlock("called");
  Branch(b_.CreateICmpEQ(b_.CreateTrunc(faulted, b_.getInt1Ty()), b_.getFalse()), go_on, fault_);
  b_.SetInsertPoint(go_on);
  for (const RowUse& def : shape.defs) LoadRow(def.row, guarded_);
  for (const std::uint32_t p : shape.predicate_defs) LoadPredicate(p, guarded_);
}

llvm::Value* Emitter::Read(std::uint32_t row, std::uint32_t bits) {
  const RowFacts& facts = plan_.rows[row];
  if (facts.kind == RowKind::kConstant)
    return b_.getIntN(bits, facts.constant & (bits == 64 ? ~0ull : (1ull << bits) - 1));
  if (facts.kind == RowKind::kFixed) return Resize(fixed_[row], bits, false);
  return Resize(Slot(row, false), bits, false);
}
// any_nan: whoever reads it makes no difference between NaNs.
llvm::Value* Emitter::Slot(std::uint32_t row, bool any_nan) {
  Value* value = b_.CreateLoad(row_slots_[row]->getAllocatedType(), row_slots_[row]);
  if (any_nan || !plan_.rows[row].any_nan) return value;
  return OneNan(b_.CreateBitCast(value, Like(value, b_.getFloatTy())));
}
llvm::Value* Emitter::ReadFloat(std::uint32_t row, ptx::Type type) {
  Value* value = HasSlot(row) && plan_.rows[row].any_nan ? Slot(row, true) : Read(row, Bits(type));
  return b_.CreateBitCast(value, Like(value, type == ptx::Type::kF32 ? b_.getFloatTy() : b_.getDoubleTy()));
}
void Emitter::Write(std::uint32_t row, Value* value, bool extend_sign) {
  if (!HasSlot(row)) return;
  windows_.erase(row);
  const RowFacts& facts = plan_.rows[row];
  llvm::Type* element = value->getType()->getScalarType();
  if (element->isFloatingPointTy())
    value = b_.CreateBitCast(value, Like(value, b_.getIntNTy(element->getPrimitiveSizeInBits())));
  value = Resize(value, facts.bits, extend_sign);
  if (facts.kind != RowKind::kUniform) {
    if (!IsVector(value)) value = Splat(value);
    if (guarded_) value = b_.CreateSelect(Lanes(active_), value, b_.CreateLoad(value->getType(), row_slots_[row]));
  }
  b_.CreateStore(value, row_slots_[row]);
}
llvm::Value* Emitter::ReadPredicate(std::uint32_t predicate, bool negated) {
  Value* value = b_.CreateLoad(b_.getInt32Ty(), predicate_slots_[predicate]);
  return negated ? b_.CreateNot(value) : value;
}
void Emitter::WritePredicate(std::uint32_t predicate, Value* mask) {
  if (guarded_) {
    Value* old = b_.CreateLoad(b_.getInt32Ty(), predicate_slots_[predicate]);
    mask = b_.CreateOr(b_.CreateAnd(mask, active_), b_.CreateAnd(old, b_.CreateNot(active_)));
  }
  b_.CreateStore(mask, predicate_slots_[predicate]);
}

// Values -------------------------------------------------------------------------------------------------------------

llvm::Value* Emitter::Splat(Value* scalar, std::uint32_t lanes) { return b_.CreateVectorSplat(lanes, scalar); }
void Emitter::Match(Value*& a, Value*& b) {
  if (IsVector(a) && !IsVector(b)) b = Splat(b);
  if (IsVector(b) && !IsVector(a)) a = Splat(a);
}
llvm::Type* Emitter::Like(Value* value, llvm::Type* element) {
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  return vector == nullptr ? element : llvm::FixedVectorType::get(element, vector->getNumElements());
}
llvm::Value* Emitter::Lanes(Value* mask) {
  return b_.CreateBitCast(mask, llvm::FixedVectorType::get(b_.getInt1Ty(), kLanes));
}
llvm::Value* Emitter::MaskOf(Value* truth) {
  return IsVector(truth) ? b_.CreateBitCast(truth, b_.getInt32Ty()) : b_.CreateSExt(truth, b_.getInt32Ty());
}
llvm::Value* Emitter::Constant(Value* like, std::uint64_t value) {
  return llvm::ConstantInt::get(like->getType(), value);
}
llvm::Value* Emitter::Resize(Value* value, std::uint32_t bits, bool sign) {
  const std::uint32_t has = value->getType()->getScalarSizeInBits();
  if (has == bits) return value;
  llvm::Type* type = Like(value, b_.getIntNTy(bits));
  return has > bits ? b_.CreateTrunc(value, type) : sign ? b_.CreateSExt(value, type) : b_.CreateZExt(value, type);
}

}  // namespace accelmesh::tier1
