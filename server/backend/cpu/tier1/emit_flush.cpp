// .ftz and .sat: what tier 0 leaves to the processor's modes, as code that needs none.
//
// The processor flushes a result if it is tiny after rounding: rounded to 24 bits, as if exponents had no end, it is
// below the smallest normal number. Where the result in its denormal form is denormal or zero, that is so. Where it is
// the smallest normal number, it has to be found out from what was not rounded yet:
//
//     add, sub             no: sums in this range are exact
//     div, rcp             no: two numbers of 24 bits have no quotient that close below a power of two
//     sqrt, rsqrt          no: never that small
//     mul, fma, cvt        yes
#include <llvm/IR/Intrinsics.h>

#include <bit>

#include "server/backend/cpu/tier1/emit.h"

namespace accelmesh::tier1 {

using llvm::BasicBlock;

namespace {

constexpr std::uint32_t kSmallestNormal = 0x00800000;
// From here on what is rounded to 24 bits is the smallest normal number (in the middle, to the even one).
constexpr double kTinyBelow = 0x1p-126 - 0x1p-151;

}  // namespace

llvm::Value* Emitter::Flush(Value* v) {
  Value* bits = b_.CreateBitCast(v, Like(v, b_.getInt32Ty()));
  Value* none = b_.CreateICmpEQ(b_.CreateAnd(bits, Constant(bits, 0x7f800000)), Constant(bits, 0));
  return b_.CreateBitCast(b_.CreateSelect(none, b_.CreateAnd(bits, Constant(bits, 0x80000000)), bits), v->getType());
}

llvm::Value* Emitter::FlushResult(const Shape& shape, Value* result, Value* a, Value* b, Value* c) {
  Value* flushed = Flush(result);
  if (shape.kind != Kind::kMul && shape.kind != Kind::kFma && shape.kind != Kind::kConvert) return flushed;
  Value* bits = b_.CreateBitCast(result, Like(result, b_.getInt32Ty()));
  Value* smallest = b_.CreateICmpEQ(b_.CreateAnd(bits, Constant(bits, 0x7fffffff)), Constant(bits, kSmallestNormal));
  BasicBlock* before = b_.GetInsertBlock();
  BasicBlock* look = NewBlock("look");
  BasicBlock* known = NewBlock("known");
  Branch(b_.CreateICmpEQ(MaskOf(smallest), Bits32(0)), known, look);
  b_.SetInsertPoint(look);
  // In doubles products are exact, and what a sum lost is known.
  llvm::Type* wide = Like(result, b_.getDoubleTy());
  const auto widen = [&](Value* v) {
    if (IsVector(result) && !IsVector(v)) v = Splat(v);
    return v->getType() == wide ? v : b_.CreateFPExt(v, wide);
  };
  Value* exact = widen(a);
  if (b != nullptr) exact = b_.CreateFMul(exact, widen(b));
  Value* lost = nullptr;
  if (c != nullptr) {
    Value* add = widen(c);
    Value* sum = b_.CreateFAdd(exact, add);
    Value* added = b_.CreateFSub(sum, exact);
    lost = b_.CreateFAdd(b_.CreateFSub(exact, b_.CreateFSub(sum, added)), b_.CreateFSub(add, added));
    exact = sum;
  }
  Value* limit = llvm::ConstantFP::get(wide, kTinyBelow);
  Value* zero = llvm::ConstantFP::get(wide, 0.0);
  Value* size = b_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, exact);
  Value* tiny = b_.CreateFCmpOLT(size, limit);
  if (lost != nullptr) {
    Value* toward = b_.CreateSelect(b_.CreateFCmpOLT(exact, zero), b_.CreateFNeg(lost), lost);
    tiny = b_.CreateOr(tiny, b_.CreateAnd(b_.CreateFCmpOEQ(size, limit), b_.CreateFCmpOLT(toward, zero)));
  }
  Value* sign = b_.CreateBitCast(b_.CreateAnd(bits, Constant(bits, 0x80000000)), result->getType());
  Value* found = b_.CreateSelect(b_.CreateAnd(smallest, tiny), sign, flushed);
  BasicBlock* looked = b_.GetInsertBlock();
  b_.CreateBr(known);
  b_.SetInsertPoint(known);
  llvm::PHINode* phi = b_.CreatePHI(result->getType(), 2);
  phi->addIncoming(flushed, before);
  phi->addIncoming(found, looked);
  return phi;
}

llvm::Value* Emitter::Saturate(Value* v) {
  Value* one = llvm::ConstantFP::get(v->getType(), 1.0);
  Value* zero = llvm::ConstantFP::get(v->getType(), 0.0);
  Value* bounded = b_.CreateSelect(b_.CreateFCmpOLT(one, v), one, v);
  return b_.CreateSelect(b_.CreateFCmpOGT(v, zero), bounded, zero);
}

}  // namespace accelmesh::tier1
