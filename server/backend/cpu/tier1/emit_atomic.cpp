// Code of atomic additions.
#include <llvm/IR/Intrinsics.h>

#include "server/backend/cpu/tier1/emit.h"

namespace accelmesh::tier1 {

using llvm::BasicBlock;
using tier0::kAllLanes;
using tier0::kLanes;
using tier0::Op;

// Shared memory belongs to the thread that runs the block, so an addition needs no lock: a lane after the other.
void Emitter::EmitAtomicAdd(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const std::uint32_t bytes = ptx::TypeBytes(plan_.shapes[pc].type);
  BasicBlock* fits = NewBlock("fits");
  BasicBlock* slow = NewBlock("slow");
  BasicBlock* done = NewBlock("done");
  Value* offsets = Address(op, true);
  if (!IsVector(offsets)) offsets = Splat(offsets);
  Value* room = b_.CreateSub(shared_bytes_, Bits32(bytes));
  Value* bad = b_.CreateOr(b_.CreateICmpUGT(offsets, Splat(room)),
                           b_.CreateICmpNE(b_.CreateAnd(offsets, Constant(offsets, bytes - 1)), Constant(offsets, 0)));
  Value* bad_lanes = b_.CreateAnd(MaskOf(bad), active_);
  Value* fine = b_.CreateAnd(b_.CreateICmpEQ(bad_lanes, Bits32(0)), b_.CreateICmpUGE(shared_bytes_, Bits32(bytes)));
  fine = b_.CreateAnd(fine, b_.CreateICmpNE(active_, Bits32(0)));
  Branch(fine, fits, slow);
  b_.SetInsertPoint(fits);
  llvm::Type* element = b_.getIntNTy(8 * bytes);
  llvm::Type* vector = llvm::FixedVectorType::get(element, kLanes);
  llvm::IRBuilder<> front(prologue_, prologue_->begin());
  llvm::Value* offset_array = front.CreateAlloca(llvm::FixedVectorType::get(b_.getInt32Ty(), kLanes));
  llvm::Value* value_array = front.CreateAlloca(vector);
  Value* values = Read(op.b, 8 * bytes);
  Value* same = IsVector(values) ? nullptr : values;
  b_.CreateStore(offsets, offset_array);
  b_.CreateStore(same == nullptr ? values : Splat(same), value_array);
  const Live after = LiveBefore(program_, plan_, BlockOf(plan_, pc), pc + 1);
  const bool wanted = HasSlot(op.d) && after.rows.Has(op.d);
  const auto add = [&](Value* lane) {
    Value* offset = b_.CreateLoad(b_.getInt32Ty(), b_.CreateGEP(b_.getInt32Ty(), offset_array, lane));
    Value* at = b_.CreateGEP(b_.getInt8Ty(), shared_, b_.CreateZExt(offset, b_.getInt64Ty()));
    Value* value_at = b_.CreateGEP(element, value_array, lane);
    Value* old = b_.CreateAlignedLoad(element, at, llvm::Align(bytes));
    Value* value = same == nullptr ? b_.CreateLoad(element, value_at) : same;
    Value* sum = nullptr;
    if (IsFloat(plan_.shapes[pc].type)) {
      llvm::Type* number = bytes == 4 ? b_.getFloatTy() : b_.getDoubleTy();
      sum = b_.CreateBitCast(b_.CreateFAdd(b_.CreateBitCast(old, number), b_.CreateBitCast(value, number)), element);
    } else {
      sum = b_.CreateAdd(old, value);
    }
    b_.CreateAlignedStore(sum, at, llvm::Align(bytes));
    if (wanted) b_.CreateStore(old, value_at);
  };
  BasicBlock* all = NewBlock("all");
  BasicBlock* loop = NewBlock("lane");
  BasicBlock* added = NewBlock("added");
  b_.CreateCondBr(b_.CreateICmpEQ(active_, Bits32(kAllLanes)), all, loop);
  b_.SetInsertPoint(all);
  for (std::uint32_t l = 0; l < kLanes; ++l) add(Bits32(l));
  b_.CreateBr(added);
  b_.SetInsertPoint(loop);
  llvm::PHINode* left = b_.CreatePHI(b_.getInt32Ty(), 2);
  left->addIncoming(active_, fits);
  add(b_.CreateIntrinsic(llvm::Intrinsic::cttz, {b_.getInt32Ty()}, {left, b_.getTrue()}));
  Value* rest = b_.CreateAnd(left, b_.CreateSub(left, Bits32(1)));
  left->addIncoming(rest, loop);
  b_.CreateCondBr(b_.CreateICmpEQ(rest, Bits32(0)), added, loop);
  b_.SetInsertPoint(added);
  if (wanted) Write(op.d, b_.CreateLoad(vector, value_array));
  FinishSlow(pc, slow, done);
}

}  // namespace accelmesh::tier1
