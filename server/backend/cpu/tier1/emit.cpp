// Operations in their order, and the slots of rows and predicates.
#include "server/backend/cpu/tier1/emit.h"

#include <llvm/IR/Intrinsics.h>

#include <cstddef>

namespace accelmesh::tier1 {

using llvm::BasicBlock;
using tier0::kLanes;
using tier0::Op;

void Emitter::EmitBlock(std::uint32_t index) {
  const Block& block = plan_.blocks[index];
  windows_.clear();
  uses_windows_ = wide_;
  needed_ = {Bits64(program_.rows), Bits64(program_.predicates)};
  for (std::uint32_t i = 0; i < plan_.blocks.size(); ++i) {
    if (!block.waiting.Has(i)) continue;
    needed_.rows.AddAll(plan_.blocks[i].in.rows);
    needed_.predicates.AddAll(plan_.blocks[i].in.predicates);
  }
  EmitFrom(block, block.first);
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
    if (kind == Kind::kExit) return EmitExit(pc);
    if (kind == Kind::kBarrier) return EmitBarrier(pc);
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
  b_.CreateBr(Edge(block.end - 1, block.end));
}

void Emitter::EmitOp(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const Shape& shape = plan_.shapes[pc];
  guarded_ = op.guard >= 0;
  active_ = Mask();
  if (guarded_) active_ = b_.CreateAnd(ReadPredicate(static_cast<std::uint32_t>(op.guard), op.guard_negated), active_);
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
  return b_.CreateConstGEP1_64(b_.getInt8Ty(), Get(rows_), std::uint64_t{row} * sizeof(tier0::Row));
}
bool Emitter::HasSlot(std::uint32_t row) const { return row_slots_[row] != nullptr; }
bool Emitter::IsScalar(std::uint32_t row) const {
  return plan_.rows[row].kind == RowKind::kUniform || plan_.rows[row].kind == RowKind::kAffine;
}
llvm::Value* Emitter::FirstLane(Value* mask) {
  return b_.CreateIntrinsic(llvm::Intrinsic::cttz, {b_.getInt32Ty()}, {mask, b_.getTrue()});
}
llvm::Value* Emitter::Expand(Value* base, std::int64_t stride) {
  std::vector<llvm::Constant*> steps;
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    steps.push_back(llvm::ConstantInt::get(base->getType(), static_cast<std::uint64_t>(std::int64_t{l} * stride)));
  }
  return b_.CreateAdd(Splat(base), llvm::ConstantVector::get(steps));
}

void Emitter::StoreRow(std::uint32_t row, Value* mask) {
  if (!HasSlot(row) || !plan_.rows[row].assigned) return;
  Value* value = Slot(row, false);
  if (plan_.rows[row].kind == RowKind::kAffine) value = Expand(value, plan_.rows[row].stride);
  value = Resize(value, 64, false);
  if (!IsVector(value)) value = Splat(value);
  if (mask == nullptr) {
    b_.CreateAlignedStore(value, RowAddress(row), llvm::Align(64));
  } else {
    b_.CreateMaskedStore(value, RowAddress(row), llvm::Align(64), Lanes(mask));
  }
}
void Emitter::StoreRows(const std::vector<std::uint32_t>& rows, Value* mask) {
  if (rows.empty()) return;
  BasicBlock* whole = NewBlock("whole");
  BasicBlock* part = NewBlock("part");
  BasicBlock* stored = NewBlock("stored");
  b_.CreateCondBr(b_.CreateICmpEQ(mask, Bits32(tier0::kAllLanes)), whole, part);
  for (const bool all : {true, false}) {
    b_.SetInsertPoint(all ? whole : part);
    for (const std::uint32_t row : rows) StoreRow(row, all ? nullptr : mask);
    b_.CreateBr(stored);
  }
  b_.SetInsertPoint(stored);
}
void Emitter::LoadRow(std::uint32_t row, bool blend) {
  if (!HasSlot(row)) return;
  windows_.erase(row);
  const RowFacts& facts = plan_.rows[row];
  Value* value = nullptr;
  if (IsScalar(row) && !facts.assigned) {
    // There for all lanes.
    value = Resize(b_.CreateLoad(b_.getInt64Ty(), RowAddress(row)), facts.bits, false);
  } else if (IsScalar(row)) {
    Value* lane = b_.CreateZExt(FirstLane(Mask()), b_.getInt64Ty());
    value =
        Resize(b_.CreateLoad(b_.getInt64Ty(), b_.CreateGEP(b_.getInt64Ty(), RowAddress(row), lane)), facts.bits, false);
    if (facts.kind == RowKind::kAffine)
      value = b_.CreateSub(value, b_.CreateMul(Resize(lane, facts.bits, false),
                                               Constant(value, static_cast<std::uint64_t>(facts.stride))));
  } else {
    value = b_.CreateAlignedLoad(llvm::FixedVectorType::get(b_.getInt64Ty(), kLanes), RowAddress(row), llvm::Align(64));
    value = Resize(value, facts.bits, false);
    if (blend) value = b_.CreateSelect(Lanes(active_), value, b_.CreateLoad(value->getType(), row_slots_[row]));
  }
  b_.CreateStore(value, row_slots_[row]);
}
llvm::Value* Emitter::Differs(std::uint32_t row) {
  const RowFacts& facts = plan_.rows[row];
  Value* there =
      b_.CreateAlignedLoad(llvm::FixedVectorType::get(b_.getInt64Ty(), kLanes), RowAddress(row), llvm::Align(64));
  return MaskOf(b_.CreateICmpNE(Resize(there, facts.bits, false), Expand(Slot(row, false), facts.stride)));
}
void Emitter::StorePredicate(std::uint32_t predicate, Value* mask) {
  if (!plan_.predicates_assigned[predicate]) return;
  Value* address = b_.CreateConstGEP1_64(b_.getInt32Ty(), Get(predicates_), predicate);
  Value* old = b_.CreateAnd(b_.CreateLoad(b_.getInt32Ty(), address), b_.CreateNot(mask));
  Value* value = b_.CreateAnd(b_.CreateLoad(b_.getInt32Ty(), predicate_slots_[predicate]), mask);
  b_.CreateStore(b_.CreateOr(old, value), address);
}
void Emitter::LoadPredicate(std::uint32_t predicate, bool blend) {
  Value* value = b_.CreateLoad(b_.getInt32Ty(), b_.CreateConstGEP1_64(b_.getInt32Ty(), Get(predicates_), predicate));
  if (plan_.predicates_uniform[predicate]) {
    value = MaskOf(b_.CreateICmpNE(b_.CreateAnd(value, Mask()), Bits32(0)));
  } else if (blend) {
    Value* old = b_.CreateLoad(b_.getInt32Ty(), predicate_slots_[predicate]);
    value = b_.CreateOr(b_.CreateAnd(value, active_), b_.CreateAnd(old, b_.CreateNot(active_)));
  }
  b_.CreateStore(value, predicate_slots_[predicate]);
}
void Emitter::StoreLive(const Live& live, const Live& dirty, Value* mask) {
  std::vector<std::uint32_t> rows;
  for (std::uint32_t i = 0; i < program_.rows; ++i) {
    if (live.rows.Has(i) && dirty.rows.Has(i)) rows.push_back(i);
  }
  StoreRows(rows, mask);
  for (std::uint32_t i = 0; i < program_.predicates; ++i) {
    if (live.predicates.Has(i) && dirty.predicates.Has(i)) StorePredicate(i, mask);
  }
}
llvm::Value* Emitter::LoadLive(const Live& live, bool looks) {
  Value* differ = nullptr;
  const auto note = [&](Value* lanes) { differ = differ == nullptr ? lanes : b_.CreateOr(differ, lanes); };
  for (std::uint32_t i = 0; i < program_.rows; ++i) {
    if (!live.rows.Has(i)) continue;
    LoadRow(i, false);
    if (looks && HasSlot(i) && IsScalar(i) && plan_.rows[i].assigned) note(Differs(i));
  }
  for (std::uint32_t i = 0; i < program_.predicates; ++i) {
    if (!live.predicates.Has(i)) continue;
    LoadPredicate(i, false);
    if (!looks || !plan_.predicates_uniform[i]) continue;
    Value* there = b_.CreateLoad(b_.getInt32Ty(), b_.CreateConstGEP1_64(b_.getInt32Ty(), Get(predicates_), i));
    note(b_.CreateXor(there, ReadPredicate(i, false)));
  }
  return differ == nullptr ? nullptr : b_.CreateAnd(differ, Mask());
}

void Emitter::StoreWarp() {
  b_.CreateStore(Get(alive_), b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offsetof(Frame, alive)));
  b_.CreateStore(Get(warp_), b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offsetof(Frame, warp)));
}

void Emitter::CallHandler(std::uint32_t pc) {
  const Shape& shape = plan_.shapes[pc];
  const Live dirty = DirtyBefore(plan_, BlockOf(plan_, pc), pc);
  std::vector<std::uint32_t> rows;
  for (const RowUse& use : shape.uses) {
    if (dirty.rows.Has(use.row)) rows.push_back(use.row);
  }
  Value* mask = Mask();
  for (const RowUse& use : shape.uses) {
    // Blocks follow one another without tier 0.
    const auto block = block_rows_.find(use.row);
    if (block != block_rows_.end())
      b_.CreateAlignedStore(Splat(b_.CreateZExt(Get(block->second), b_.getInt64Ty())), RowAddress(use.row),
                            llvm::Align(64));
  }
  StoreRows(rows, mask);
  for (const std::uint32_t p : shape.predicate_uses) {
    if (dirty.predicates.Has(p)) StorePredicate(p, mask);
  }
  StoreWarp();
  auto* type = llvm::FunctionType::get(b_.getInt8Ty(), {b_.getPtrTy(), b_.getInt32Ty(), b_.getInt32Ty()}, false);
  Value* callee = FrameField(offsetof(Frame, execute), b_.getPtrTy());
  Value* faulted = b_.CreateCall(type, callee, {frame_, Bits32(pc), active_});
  BasicBlock* go_on = NewBlock("called");
  Branch(b_.CreateICmpEQ(b_.CreateTrunc(faulted, b_.getInt1Ty()), b_.getFalse()), go_on, fault_);
  b_.SetInsertPoint(go_on);
  for (const RowUse& def : shape.defs) LoadRow(def.row, guarded_ || needed_.rows.Has(def.row));
  for (const std::uint32_t p : shape.predicate_defs) LoadPredicate(p, guarded_ || needed_.predicates.Has(p));
}

llvm::Value* Emitter::Read(std::uint32_t row, std::uint32_t bits) {
  const RowFacts& facts = plan_.rows[row];
  if (facts.kind == RowKind::kConstant)
    return b_.getIntN(bits, facts.constant & (bits == 64 ? ~0ull : (1ull << bits) - 1));
  if (const auto block = block_rows_.find(row); block != block_rows_.end())
    return Resize(Get(block->second), bits, false);
  if (facts.kind == RowKind::kFixed) return Resize(fixed_[row], bits, false);
  Value* value = Slot(row, false);
  if (facts.kind == RowKind::kAffine && !bases_) value = Expand(value, facts.stride);
  return Resize(value, bits, false);
}
// any_nan: whoever reads it makes no difference between NaNs.
llvm::Value* Emitter::Slot(std::uint32_t row, bool any_nan) {
  Value* value = b_.CreateLoad(row_slots_[row]->getAllocatedType(), row_slots_[row]);
  if (any_nan || !plan_.rows[row].any_nan) return value;
  return OneNan(b_.CreateBitCast(value, Like(value, b_.getFloatTy())));
}
llvm::Value* Emitter::ReadFloat(std::uint32_t row, ptx::Type type, bool flush) {
  Value* value = HasSlot(row) && plan_.rows[row].any_nan ? Slot(row, true) : Read(row, Bits(type));
  value = b_.CreateBitCast(value, Like(value, type == ptx::Type::kF32 ? b_.getFloatTy() : b_.getDoubleTy()));
  return flush && !plan_.rows[row].flushed ? Flush(value) : value;
}
void Emitter::Write(std::uint32_t row, Value* value, bool extend_sign) {
  if (!HasSlot(row)) return;
  windows_.erase(row);
  const RowFacts& facts = plan_.rows[row];
  llvm::Type* element = value->getType()->getScalarType();
  if (element->isFloatingPointTy())
    value = b_.CreateBitCast(value, Like(value, b_.getIntNTy(element->getPrimitiveSizeInBits())));
  value = Resize(value, facts.bits, extend_sign);
  if (IsScalar(row)) {
    if (guarded_) {
      Value* old = b_.CreateLoad(value->getType(), row_slots_[row]);
      value = b_.CreateSelect(b_.CreateICmpNE(active_, Bits32(0)), value, old);
    }
  } else {
    if (!IsVector(value)) value = Splat(value);
    if (guarded_ || needed_.rows.Has(row))
      value = b_.CreateSelect(Lanes(active_), value, b_.CreateLoad(value->getType(), row_slots_[row]));
  }
  b_.CreateStore(value, row_slots_[row]);
}
llvm::Value* Emitter::ReadPredicate(std::uint32_t predicate, bool negated) {
  Value* value = b_.CreateLoad(b_.getInt32Ty(), predicate_slots_[predicate]);
  return negated ? b_.CreateNot(value) : value;
}
void Emitter::WritePredicate(std::uint32_t predicate, Value* mask) {
  if (plan_.predicates_uniform[predicate]) {
    Value* old = b_.CreateLoad(b_.getInt32Ty(), predicate_slots_[predicate]);
    if (guarded_) mask = b_.CreateSelect(b_.CreateICmpNE(active_, Bits32(0)), mask, old);
  } else if (guarded_ || needed_.predicates.Has(predicate)) {
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
