// Code of a sweep: what a block's threads have in common once, and then its warps, one after the other.
#include <llvm/IR/Intrinsics.h>

#include <cstddef>
#include <map>
#include <tuple>

#include "server/backend/cpu/tier1/emit.h"

namespace accelmesh::tier1 {

using llvm::BasicBlock;
using tier0::kAllLanes;
using tier0::kLanes;
using tier0::Op;

std::int64_t Emitter::StrideOf(std::uint32_t row) const {
  return plan_.rows[row].kind == RowKind::kAffine ? plan_.rows[row].stride : 0;
}

void Emitter::SweepPrologue() {
  prologue_ = NewBlock("prologue");
  b_.SetInsertPoint(prologue_);
  llvm::Type* word = b_.getInt32Ty();
  llvm::Type* wide = b_.getInt64Ty();
  const auto variable = [&](Value* value) {
    llvm::AllocaInst* slot = b_.CreateAlloca(value->getType());
    Set(slot, value);
    return slot;
  };
  arguments_ = FrameField(offsetof(Frame, arguments), b_.getPtrTy());
  threads_ = b_.CreateMul(FrameField(offsetof(Frame, together), word), Bits32(kLanes));
  window_base_ = variable(FrameField(offsetof(Frame, window_base), wide));
  window_bytes_ = variable(FrameField(offsetof(Frame, window_bytes), wide));
  warp_ = variable(Bits32(0));
  alive_ = variable(Bits32(kAllLanes));
  mask_ = variable(Bits32(kAllLanes));
  rows_ = variable(FrameField(offsetof(Frame, rows), b_.getPtrTy()));
  blocks_ = variable(FrameField(offsetof(Frame, blocks), wide));
  FindBlockRows();
  MakeSlots();
  needed_ = {Bits64(program_.rows), Bits64(program_.predicates)};
}

void Emitter::RunSweep(const Sweep& sweep) {
  BeginFunction(kSweepName, llvm::FunctionType::get(b_.getInt64Ty(), {b_.getPtrTy()}, false));
  SweepPrologue();
  BasicBlock* begin = NewBlock("begin");
  BasicBlock* more = NewBlock("more");
  BasicBlock* over = NewBlock("over");
  missed_ = NewBlock("missed");
  llvm::AllocaInst* swept = b_.CreateAlloca(b_.getInt64Ty());
  Set(swept, b_.getInt64(0));
  b_.CreateBr(begin);

  b_.SetInsertPoint(begin);
  for (std::uint32_t i = 0; i < plan_.rows.size(); ++i) {
    // Thread 0's: what counts up and is there before the kernel begins is the thread's index.
    if (HasSlot(i) && !plan_.rows[i].assigned && IsScalar(i))
      b_.CreateStore(llvm::Constant::getNullValue(row_slots_[i]->getAllocatedType()), row_slots_[i]);
  }
  for (std::uint32_t pc = 0; pc < program_.ops.size(); ++pc) {
    if (sweep.once[pc]) EmitOnce(pc);
  }
  for (const Sweep::Expected& expected : sweep.expected) {
    BasicBlock* holds = NewBlock("holds");
    Value* predicate = b_.CreateICmpNE(ReadPredicate(expected.predicate, !expected.holds), Bits32(0));
    Branch(predicate, holds, missed_);
    b_.SetInsertPoint(holds);
  }
  accesses_.assign(program_.ops.size(), nullptr);
  for (std::uint32_t pc = 0; pc < program_.ops.size(); ++pc) {
    if (plan_.shapes[pc].kind == Kind::kLoad || plan_.shapes[pc].kind == Kind::kStore) ResolveForBlock(pc);
  }
  EmitWarps(sweep);
  Set(swept, b_.CreateAdd(Get(swept), b_.getInt64(1)));
  Branch(b_.CreateICmpNE(Get(blocks_), b_.getInt64(0)), more, over);

  b_.SetInsertPoint(more);
  NextBlock();
  b_.CreateBr(begin);
  b_.SetInsertPoint(missed_);
  b_.CreateBr(over);
  b_.SetInsertPoint(over);
  b_.CreateStore(Get(blocks_), b_.CreateConstGEP1_64(b_.getInt8Ty(), frame_, offsetof(Frame, blocks)));
  StoreBlock();
  b_.CreateRet(Get(swept));
}

// Once for a block ---------------------------------------------------------------------------------------------------

llvm::Value* Emitter::LastOf(std::uint32_t row, std::uint32_t bits, bool sign) {
  bases_ = true;
  Value* base = Read(row, bits);
  const std::int64_t stride = StrideOf(row);
  if (stride == 0) return base;
  using ID = llvm::Intrinsic::ID;
  // Both are below 2^31: see the bound on strides, and a block has 1,024 threads at most.
  Value* last = b_.CreateSub(threads_, Bits32(1));
  const auto size = static_cast<std::uint32_t>(stride > 0 ? stride : -stride);
  Value* way = Resize(b_.CreateMul(last, Bits32(size)), bits, false);
  const ID up = sign ? llvm::Intrinsic::sadd_with_overflow : llvm::Intrinsic::uadd_with_overflow;
  const ID down = sign ? llvm::Intrinsic::ssub_with_overflow : llvm::Intrinsic::usub_with_overflow;
  Value* both = b_.CreateBinaryIntrinsic(stride > 0 ? up : down, base, way);
  BasicBlock* straight = NewBlock("straight");
  Branch(b_.CreateNot(b_.CreateExtractValue(both, 1)), straight, missed_);
  b_.SetInsertPoint(straight);
  return b_.CreateExtractValue(both, 0);
}

void Emitter::ExpectSameThroughout(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const Shape& shape = plan_.shapes[pc];
  if (StrideOf(op.a) == 0 && StrideOf(op.b) == 0) return;
  const std::uint32_t bits = Bits(shape.type);
  const bool sign = IsSigned(shape.type);
  bases_ = true;
  Value* first = Compare(shape, Read(op.a, bits), Read(op.b, bits));
  Value* last_a = LastOf(op.a, bits, sign);
  Value* last_b = LastOf(op.b, bits, sign);
  BasicBlock* same = NewBlock("same");
  Branch(b_.CreateICmpEQ(first, Compare(shape, last_a, last_b)), same, missed_);
  b_.SetInsertPoint(same);
}

void Emitter::EmitOnce(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const Shape& shape = plan_.shapes[pc];
  guarded_ = false;
  active_ = Mask();
  bases_ = true;
  const bool widens = shape.kind == Kind::kMulWide || shape.kind == Kind::kMulAddWide;
  if (widens) {
    LastOf(op.a, Bits(shape.type), IsSigned(shape.type));
    LastOf(op.b, Bits(shape.type), IsSigned(shape.type));
  }
  if (shape.kind == Kind::kConvert && StrideOf(op.a) != 0 && Bits(shape.type) > Bits(shape.source))
    LastOf(op.a, Bits(shape.source), IsSigned(shape.source));
  if (shape.kind == Kind::kCompare) ExpectSameThroughout(pc);
  if (shape.kind == Kind::kLoadParameter) {
    EmitLoadParameter(pc);
  } else {
    EmitResult(pc);
  }
  bases_ = false;
}

void Emitter::ResolveForBlock(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  for (std::uint32_t other = 0; other < pc; ++other) {
    const Op& seen = program_.ops[other];
    // Its row is written once.
    if (accesses_[other] == nullptr || seen.a != op.a || seen.immediate != op.immediate || seen.bytes != op.bytes ||
        seen.count != op.count)
      continue;
    accesses_[pc] = accesses_[other];
    return;
  }
  const std::uint32_t bytes = std::uint32_t{op.bytes} * op.count;
  const std::int64_t stride = StrideOf(op.a);
  bases_ = true;
  Value* first = Address(op, true);
  bases_ = false;
  Value* last = b_.CreateSub(threads_, Bits32(1));
  Value* way = b_.CreateMul(last, Bits32(static_cast<std::uint32_t>(stride > 0 ? stride : -stride)));
  Value* lowest = stride < 0 ? b_.CreateSub(first, b_.CreateZExt(way, b_.getInt64Ty())) : first;
  Resolve(op, lowest, b_.CreateAdd(way, Bits32(bytes)), bytes, missed_);
  accesses_[pc] = b_.CreateIntToPtr(first, b_.getPtrTy());
}

// Once for a warp ----------------------------------------------------------------------------------------------------

void Emitter::EmitWarps(const Sweep& sweep) {
  BasicBlock* before = b_.GetInsertBlock();
  BasicBlock* warp = NewBlock("warp");
  BasicBlock* done = NewBlock("done");
  std::map<std::uint32_t, Value*> bases;
  for (std::uint32_t i = 0; i < plan_.rows.size(); ++i) {
    if (HasSlot(i) && plan_.rows[i].kind == RowKind::kAffine) bases[i] = Get(row_slots_[i]);
  }
  Value* threads = b_.CreateZExt(threads_, b_.getInt64Ty());
  b_.CreateBr(warp);
  b_.SetInsertPoint(warp);
  llvm::PHINode* thread = b_.CreatePHI(b_.getInt64Ty(), 2);
  thread->addIncoming(b_.getInt64(0), before);
  for (const auto& [row, base] : bases) {
    Value* way = Resize(b_.CreateMul(thread, b_.getInt64(static_cast<std::uint64_t>(StrideOf(row)))),
                        plan_.rows[row].bits, false);
    b_.CreateStore(b_.CreateAdd(base, way), row_slots_[row]);
  }
  for (std::uint32_t pc = 0; pc < program_.ops.size(); ++pc) {
    if (sweep.once[pc]) continue;
    const Op& op = program_.ops[pc];
    guarded_ = op.guard >= 0;
    active_ = guarded_ ? ReadPredicate(static_cast<std::uint32_t>(op.guard), op.guard_negated) : Mask();
    switch (plan_.shapes[pc].kind) {
      case Kind::kLoad:
      case Kind::kStore: EmitSweptAccess(pc, thread); break;
      case Kind::kLoadParameter: EmitLoadParameter(pc); break;
      default: EmitResult(pc); break;
    }
  }
  Value* next = b_.CreateAdd(thread, b_.getInt64(kLanes));
  thread->addIncoming(next, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpNE(next, threads), warp, done);
  b_.SetInsertPoint(done);
}

void Emitter::EmitSweptAccess(std::uint32_t pc, Value* thread) {
  const Op& op = program_.ops[pc];
  const bool load = plan_.shapes[pc].kind == Kind::kLoad;
  const std::uint32_t bytes = std::uint32_t{op.bytes} * op.count;
  const std::int64_t stride = StrideOf(op.a);
  llvm::Type* element = b_.getIntNTy(8u * op.bytes);
  Value* way = b_.CreateMul(thread, b_.getInt64(static_cast<std::uint64_t>(stride)));
  Value* at = b_.CreateGEP(b_.getInt8Ty(), accesses_[pc], way);
  std::vector<Value*> values;
  for (std::uint32_t i = 0; i < op.count && !load; ++i) {
    Value* value = Read(op.rows[i], 8u * op.bytes);
    values.push_back(IsVector(value) ? value : Splat(value));
  }
  if (stride == 0) {
    for (std::uint32_t i = 0; i < op.count; ++i)
      values.push_back(b_.CreateAlignedLoad(element, b_.CreateConstGEP1_64(element, at, i), llvm::Align(op.bytes)));
  } else if (stride == std::int64_t{bytes}) {
    llvm::Type* vector = llvm::FixedVectorType::get(element, kLanes * op.count);
    const llvm::Align align(bytes);
    if (load && guarded_) {
      values.push_back(b_.CreateMaskedLoad(vector, at, align, Lanes(active_)));
    } else if (load) {
      values = TakeApart(b_.CreateAlignedLoad(vector, at, align), op.count, kLanes);
    } else if (guarded_) {
      b_.CreateMaskedStore(values[0], at, align, Lanes(active_));
    } else {
      b_.CreateAlignedStore(PutTogether(values, kLanes), at, align);
    }
  } else {
    Value* lanes = b_.CreateGEP(b_.getInt8Ty(), at, Expand(b_.getInt64(0), stride));
    const llvm::Align align(bytes);
    if (load) {
      values.push_back(
          b_.CreateMaskedGather(llvm::FixedVectorType::get(element, kLanes), lanes, align, Lanes(active_)));
    } else {
      b_.CreateMaskedScatter(values[0], lanes, align, Lanes(active_));
    }
  }
  for (std::uint32_t i = 0; i < op.count && load; ++i) Write(op.rows[i], values[i], op.mode == 1);
}

}  // namespace accelmesh::tier1
