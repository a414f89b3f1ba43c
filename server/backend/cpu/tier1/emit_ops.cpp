// Code of arithmetic, comparison, conversion and of operations between lanes. What comes out is what tier 0's handlers
// make, bit by bit: no reassociation, no contraction, one NaN of single precision.
#include <llvm/IR/Intrinsics.h>

#include "server/backend/cpu/tier1/emit.h"

namespace accelmesh::tier1 {

using llvm::Intrinsic::ID;
using ptx::Type;
using tier0::kLanes;
using tier0::Op;

namespace {

bool IsUnary(Kind kind) {
  return kind == Kind::kMove || kind == Kind::kNeg || kind == Kind::kAbs || kind == Kind::kSqrt ||
         kind == Kind::kRsqrt || kind == Kind::kRcp || kind == Kind::kNot || kind == Kind::kPopc || kind == Kind::kClz;
}
bool IsTernary(Kind kind) {
  return kind == Kind::kMulAdd || kind == Kind::kMulAddHigh || kind == Kind::kMulAddWide || kind == Kind::kFma;
}

}  // namespace

void Emitter::ExpectNoWrap(std::uint32_t pc, std::uint32_t row, bool sign) {
  const RowFacts& facts = plan_.rows[row];
  if (facts.kind != RowKind::kAffine) return;
  const std::int64_t far = facts.stride * (kLanes - 1);
  constexpr std::int64_t kMax = 0x7fffffff;
  constexpr std::int64_t kWide = 0xffffffff;
  Value* base = Slot(row, false);
  Value* fits = nullptr;
  if (far > 0) {
    fits = sign ? b_.CreateICmpSLE(base, Bits32(static_cast<std::uint32_t>(kMax - far)))
                : b_.CreateICmpULE(base, Bits32(static_cast<std::uint32_t>(kWide - far)));
  } else {
    fits = sign ? b_.CreateICmpSGE(base, Bits32(static_cast<std::uint32_t>(-kMax - 1 - far)))
                : b_.CreateICmpUGE(base, Bits32(static_cast<std::uint32_t>(-far)));
  }
  llvm::BasicBlock* go = NewBlock("straight");
  Branch(fits, go, Interpret(pc));
  b_.SetInsertPoint(go);
}

void Emitter::EmitNative(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const Shape& shape = plan_.shapes[pc];
  // What counts up in both operands may be gone from their difference.
  bases_ = shape.defs.size() == 1 && IsScalar(shape.defs[0].row);
  if (bases_ && Bits(shape.type) == 32 && (shape.kind == Kind::kMulWide || shape.kind == Kind::kMulAddWide)) {
    ExpectNoWrap(pc, op.a, IsSigned(shape.type));
    ExpectNoWrap(pc, op.b, IsSigned(shape.type));
  }
  if (bases_ && shape.kind == Kind::kConvert && Bits(shape.type) == 64 && Bits(shape.source) == 32)
    ExpectNoWrap(pc, op.a, IsSigned(shape.source));
  EmitResult(pc);
  bases_ = false;
}

void Emitter::EmitResult(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const Shape& shape = plan_.shapes[pc];
  switch (shape.kind) {
    case Kind::kPredicateLogic: return EmitLogic(op);
    case Kind::kPredicateConstant: return WritePredicate(op.d, Bits32(op.immediate != 0 ? ~0u : 0));
    case Kind::kCompare: return EmitCompare(op, shape);
    case Kind::kConvert: return EmitConvert(op, shape);
    case Kind::kLop3: return EmitLop3(op);
    case Kind::kFunnel: return EmitFunnel(op);
    case Kind::kPack: return EmitPack(op, shape);
    case Kind::kUnpack: return EmitUnpack(op, shape);
    case Kind::kShuffle: return EmitShuffle(op);
    case Kind::kVote:
    case Kind::kBallot: return EmitVote(op, shape);
    case Kind::kActiveMask: return Write(op.d, active_);
    case Kind::kSelect: {
      Value* a = Read(op.a, Bits(shape.type));
      Value* b = Read(op.b, Bits(shape.type));
      if (IsScalar(op.d)) {
        Value* takes = b_.CreateICmpNE(ReadPredicate(op.c, op.predicate_negated), Bits32(0));
        return Write(op.d, b_.CreateSelect(takes, a, b));
      }
      if (!IsVector(a)) a = Splat(a);
      if (!IsVector(b)) b = Splat(b);
      return Write(op.d, b_.CreateSelect(Lanes(ReadPredicate(op.c, op.predicate_negated)), a, b));
    }
    case Kind::kConvertAddress: {
      Value* a = Read(op.a, 64);
      if (op.space == ptx::Space::kShared) {
        Value* base = b_.CreatePtrToInt(shared_, b_.getInt64Ty());
        Match(a, base);
        a = op.mode == 2 ? b_.CreateSub(a, base) : b_.CreateAdd(a, base);
      }
      return Write(op.d, a);
    }
    default: break;
  }
  if (IsFloat(shape.type) && shape.kind != Kind::kMove) {
    Value* a = ReadFloat(op.a, shape.type, shape.flush);
    Value* b = IsUnary(shape.kind) ? nullptr : ReadFloat(op.b, shape.type, shape.flush);
    Value* c = IsTernary(shape.kind) ? ReadFloat(op.c, shape.type, shape.flush) : nullptr;
    Value* result = FloatOp(shape, a, b, c);
    if (shape.flush) result = FlushResult(shape, result, a, b, c);
    if (shape.saturate) result = Saturate(result);
    return Write(op.d, plan_.rows[op.d].any_nan ? result : OneNan(result));
  }
  const bool wide = shape.kind == Kind::kMulWide || shape.kind == Kind::kMulAddWide;
  const bool shift = shape.kind == Kind::kShl || shape.kind == Kind::kShr;
  if (shape.kind == Kind::kMove && plan_.rows[op.d].any_nan) return Write(op.d, ReadFloat(op.a, shape.type));
  Value* a = Read(op.a, Bits(shape.type));
  Value* b = IsUnary(shape.kind) ? nullptr : Read(op.b, shift ? 32 : Bits(shape.type));
  Value* c = IsTernary(shape.kind) ? Read(op.c, wide ? 2 * Bits(shape.type) : Bits(shape.type)) : nullptr;
  if (b != nullptr) Match(a, b);
  Write(op.d, shift ? Shift(shape, a, b) : IntegerOp(shape, a, b, c));
}

llvm::Value* Emitter::IntegerOp(const Shape& shape, Value* a, Value* b, Value* c) {
  const std::uint32_t bits = Bits(shape.type);
  const bool sign = IsSigned(shape.type);
  const auto plus = [&](Value* v) {
    Match(v, c);
    return b_.CreateAdd(v, c);
  };
  switch (shape.kind) {
    case Kind::kMove: return a;
    case Kind::kAdd: return b_.CreateAdd(a, b);
    case Kind::kSub: return b_.CreateSub(a, b);
    case Kind::kMul: return b_.CreateMul(a, b);
    case Kind::kMulAdd: return plus(b_.CreateMul(a, b));
    case Kind::kMulWide:
    case Kind::kMulAddWide: {
      Value* product = b_.CreateMul(Resize(a, 2 * bits, sign), Resize(b, 2 * bits, sign));
      return shape.kind == Kind::kMulWide ? product : plus(product);
    }
    case Kind::kMulHigh:
    case Kind::kMulAddHigh: {
      Value* product = b_.CreateMul(Resize(a, 2 * bits, sign), Resize(b, 2 * bits, sign));
      Value* high = Resize(b_.CreateLShr(product, bits), bits, false);
      return shape.kind == Kind::kMulHigh ? high : plus(high);
    }
    case Kind::kDiv: return Divide(shape, a, b, false);
    case Kind::kRem: return Divide(shape, a, b, true);
    case Kind::kMin: return b_.CreateBinaryIntrinsic(sign ? llvm::Intrinsic::smin : llvm::Intrinsic::umin, a, b);
    case Kind::kMax: return b_.CreateBinaryIntrinsic(sign ? llvm::Intrinsic::smax : llvm::Intrinsic::umax, a, b);
    case Kind::kNeg: return b_.CreateNeg(a);
    case Kind::kAbs: return sign ? b_.CreateBinaryIntrinsic(llvm::Intrinsic::abs, a, b_.getFalse()) : a;
    case Kind::kAnd: return b_.CreateAnd(a, b);
    case Kind::kOr: return b_.CreateOr(a, b);
    case Kind::kXor: return b_.CreateXor(a, b);
    case Kind::kNot: return b_.CreateNot(a);
    case Kind::kPopc: return Resize(b_.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, a), 32, false);
    case Kind::kClz: return Resize(b_.CreateBinaryIntrinsic(llvm::Intrinsic::ctlz, a, b_.getFalse()), 32, false);
    default: return a;
  }
}

// Division that does not trap: x/0 gives ones, x%0 gives x; the smallest number by -1 wraps.
llvm::Value* Emitter::Divide(const Shape& shape, Value* a, Value* b, bool remainder) {
  const bool sign = IsSigned(shape.type);
  Value* one = Constant(b, 1);
  Value* zero_divisor = b_.CreateICmpEQ(b, Constant(b, 0));
  Value* divisor = b_.CreateSelect(zero_divisor, one, b);
  Value* minus_one = nullptr;
  if (sign) {
    minus_one = b_.CreateICmpEQ(b, llvm::Constant::getAllOnesValue(b->getType()));
    divisor = b_.CreateSelect(minus_one, one, divisor);
  }
  if (remainder) {
    // By 1 instead of -1 the remainder is 0 as well.
    Value* result = sign ? b_.CreateSRem(a, divisor) : b_.CreateURem(a, divisor);
    return b_.CreateSelect(zero_divisor, a, result);
  }
  Value* result = sign ? b_.CreateSDiv(a, divisor) : b_.CreateUDiv(a, divisor);
  if (sign) result = b_.CreateSelect(minus_one, b_.CreateNeg(a), result);
  return b_.CreateSelect(zero_divisor, llvm::Constant::getAllOnesValue(a->getType()), result);
}

// Amounts have 32 bits and clamp at the width.
llvm::Value* Emitter::Shift(const Shape& shape, Value* a, Value* amount) {
  const std::uint32_t bits = Bits(shape.type);
  const bool sign = IsSigned(shape.type) && shape.kind == Kind::kShr;
  Value* over = b_.CreateICmpUGE(amount, Constant(amount, bits));
  Value* kept = b_.CreateSelect(over, Constant(amount, bits - 1), amount);
  Value* by = Resize(kept, bits, false);
  if (sign) return b_.CreateAShr(a, by);
  Value* moved = shape.kind == Kind::kShl ? b_.CreateShl(a, by) : b_.CreateLShr(a, by);
  return b_.CreateSelect(over, Constant(moved, 0), moved);
}

llvm::Value* Emitter::OneNan(Value* v) {
  if (v->getType()->getScalarType()->isDoubleTy()) return v;
  Value* nan = b_.CreateFCmpUNO(v, v);
  Value* bits = b_.CreateBitCast(v, Like(v, b_.getInt32Ty()));
  return b_.CreateSelect(nan, Constant(bits, 0x7fffffff), bits);
}

// The number if one is NaN; -0 is less than +0.
llvm::Value* Emitter::LesserFloat(Value* a, Value* b, bool lesser) {
  const std::uint32_t width = a->getType()->getScalarSizeInBits();
  Value* bits = b_.CreateBitCast(a, Like(a, b_.getIntNTy(width)));
  Value* negative = b_.CreateICmpSLT(bits, Constant(bits, 0));
  Value* first = lesser ? negative : b_.CreateNot(negative);
  Value* takes_a = b_.CreateOr(lesser ? b_.CreateFCmpOLT(a, b) : b_.CreateFCmpOGT(a, b),
                               b_.CreateAnd(b_.CreateFCmpOEQ(a, b), first));
  Value* number = b_.CreateSelect(takes_a, a, b);
  number = b_.CreateSelect(b_.CreateFCmpUNO(b, b), a, number);
  return b_.CreateSelect(b_.CreateFCmpUNO(a, a), b, number);
}

llvm::Value* Emitter::FloatOp(const Shape& shape, Value* a, Value* b, Value* c) {
  if (b != nullptr) Match(a, b);
  if (c != nullptr) {
    Match(a, c);
    if (IsVector(a) && !IsVector(b)) b = Splat(b);
  }
  Value* one = llvm::ConstantFP::get(a->getType(), 1.0);
  const auto root = [&](Value* v) { return b_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, v); };
  switch (shape.kind) {
    case Kind::kAdd: return b_.CreateFAdd(a, b);
    case Kind::kSub: return b_.CreateFSub(a, b);
    case Kind::kMul: return b_.CreateFMul(a, b);
    case Kind::kDiv: return b_.CreateFDiv(a, b);
    case Kind::kFma: return b_.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, b, c});
    case Kind::kMin: return LesserFloat(a, b, true);
    case Kind::kMax: return LesserFloat(a, b, false);
    case Kind::kNeg: return b_.CreateFNeg(a);
    case Kind::kAbs: return b_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, a);
    case Kind::kSqrt: return root(a);
    case Kind::kRsqrt: return b_.CreateFDiv(one, root(a));
    case Kind::kRcp: return b_.CreateFDiv(one, a);
    default: return a;
  }
}

void Emitter::EmitConvert(const Op& op, const Shape& shape) {
  const Type to = shape.type;
  const Type from = shape.source;
  llvm::Type* element = to == Type::kF32   ? b_.getFloatTy()
                        : to == Type::kF64 ? b_.getDoubleTy()
                                           : b_.getIntNTy(Bits(to));
  if (!IsFloat(from)) {
    Value* a = Read(op.a, Bits(from));
    if (!IsFloat(to)) return Write(op.d, Resize(a, Bits(to), IsSigned(from)), IsSigned(to));
    return Write(op.d, IsSigned(from) ? b_.CreateSIToFP(a, Like(a, element)) : b_.CreateUIToFP(a, Like(a, element)));
  }
  // Not as it may be in its slot: a NaN's bits go on into the double.
  Value* a = Read(op.a, Bits(from));
  a = b_.CreateBitCast(a, Like(a, from == Type::kF32 ? b_.getFloatTy() : b_.getDoubleTy()));
  if (IsFloat(to)) {
    if (shape.flush && from == Type::kF32) a = Flush(a);
    Value* result = to == from         ? a
                    : to == Type::kF64 ? b_.CreateFPExt(a, Like(a, element))
                                       : b_.CreateFPTrunc(a, Like(a, element));
    if (shape.flush && from == Type::kF64) result = FlushResult(shape, result, a, nullptr, nullptr);
    if (shape.saturate) result = Saturate(result);
    return Write(op.d, to == Type::kF32 ? OneNan(result) : result);
  }
  // Clamps; NaN gives 0, but the top bit alone where 64 bits are involved.
  const ID convert = IsSigned(to) ? llvm::Intrinsic::fptosi_sat : llvm::Intrinsic::fptoui_sat;
  Value* result = b_.CreateIntrinsic(convert, {Like(a, element), a->getType()}, {a});
  if (Bits(to) == 64 || Bits(from) == 64)
    result = b_.CreateSelect(b_.CreateFCmpUNO(a, a), Constant(result, 1ull << (Bits(to) - 1)), result);
  Write(op.d, result, IsSigned(to));
}

llvm::Value* Emitter::Compare(const Shape& shape, Value* a, Value* b) {
  using P = llvm::CmpInst::Predicate;
  static constexpr P kFloat[] = {P::FCMP_OEQ, P::FCMP_ONE, P::FCMP_OLT, P::FCMP_OLE, P::FCMP_OGT,
                                 P::FCMP_OGE, P::FCMP_UEQ, P::FCMP_UNE, P::FCMP_ULT, P::FCMP_ULE,
                                 P::FCMP_UGT, P::FCMP_UGE, P::FCMP_ORD, P::FCMP_UNO};
  static constexpr P kSigned[] = {P::ICMP_EQ, P::ICMP_NE, P::ICMP_SLT, P::ICMP_SLE, P::ICMP_SGT, P::ICMP_SGE};
  static constexpr P kUnsigned[] = {P::ICMP_EQ, P::ICMP_NE, P::ICMP_ULT, P::ICMP_ULE, P::ICMP_UGT, P::ICMP_UGE};
  const auto how = static_cast<std::size_t>(shape.comparison);
  Match(a, b);
  if (IsFloat(shape.type)) return b_.CreateFCmp(kFloat[how], a, b);
  return b_.CreateICmp(IsSigned(shape.type) ? kSigned[how] : kUnsigned[how], a, b);
}

void Emitter::EmitCompare(const Op& op, const Shape& shape) {
  const auto read = [&](std::uint32_t row) {
    return IsFloat(shape.type) ? ReadFloat(row, shape.type, shape.flush) : Read(row, Bits(shape.type));
  };
  Value* a = read(op.a);
  Value* holds = MaskOf(Compare(shape, a, read(op.b)));
  Value* other = b_.CreateNot(holds);
  if (op.mode != 0) {
    Value* c = ReadPredicate(op.c, op.predicate_negated);
    const auto combine = [&](Value* v) {
      return op.mode == 1 ? b_.CreateAnd(v, c) : op.mode == 2 ? b_.CreateOr(v, c) : b_.CreateXor(v, c);
    };
    holds = combine(holds);
    other = combine(other);
  }
  WritePredicate(op.d, holds);
  if (op.predicate >= 0) WritePredicate(static_cast<std::uint32_t>(op.predicate), other);
}

void Emitter::EmitLogic(const Op& op) {
  Value* a = ReadPredicate(op.a, op.predicate_negated);
  Value* b = ReadPredicate(op.b, op.count == 2);
  Value* result = op.mode == 0   ? b_.CreateAnd(a, b)
                  : op.mode == 1 ? b_.CreateOr(a, b)
                  : op.mode == 2 ? b_.CreateXor(a, b)
                  : op.mode == 3 ? b_.CreateNot(a)
                                 : a;
  WritePredicate(op.d, result);
}

// The min-terms of the table.
void Emitter::EmitLop3(const Op& op) {
  Value* values[3] = {Read(op.a, 32), Read(op.b, 32), Read(op.c, 32)};
  Value* result = nullptr;
  for (std::uint32_t term = 0; term < 8; ++term) {
    if ((op.immediate >> term & 1) == 0) continue;
    Value* product = nullptr;
    for (std::uint32_t i = 0; i < 3; ++i) {
      Value* factor = (term >> (2 - i) & 1) != 0 ? values[i] : b_.CreateNot(values[i]);
      if (product != nullptr) Match(product, factor);
      product = product == nullptr ? factor : b_.CreateAnd(product, factor);
    }
    if (result != nullptr) Match(result, product);
    result = result == nullptr ? product : b_.CreateOr(result, product);
  }
  Write(op.d, result == nullptr ? Bits32(0) : result);
}

// mode: 1 wrap, 2 left.
void Emitter::EmitFunnel(const Op& op) {
  Value* low = Read(op.a, 32);
  Value* high = Read(op.b, 32);
  Value* n = Read(op.c, 32);
  Match(low, high);
  Match(low, n);
  if (IsVector(low) && !IsVector(high)) high = Splat(high);
  Value* both = b_.CreateOr(Resize(low, 64, false), b_.CreateShl(Resize(high, 64, false), 32));
  Value* by = (op.mode & 1) != 0 ? b_.CreateAnd(n, Constant(n, 31))
                                 : b_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, n, Constant(n, 32));
  if ((op.mode & 2) != 0) by = b_.CreateSub(Constant(by, 32), by);
  Write(op.d, Resize(b_.CreateLShr(both, Resize(by, 64, false)), 32, false));
}

void Emitter::EmitPack(const Op& op, const Shape& shape) {
  const std::uint32_t bits = 8u * op.bytes;
  Value* result = nullptr;
  for (std::uint32_t i = 0; i < op.count; ++i) {
    Value* part = Resize(Read(op.rows[i], bits), Bits(shape.type), false);
    part = b_.CreateShl(part, Constant(part, std::uint64_t{i} * bits));
    if (result != nullptr) Match(result, part);
    result = result == nullptr ? part : b_.CreateOr(result, part);
  }
  Write(op.d, result);
}
void Emitter::EmitUnpack(const Op& op, const Shape& shape) {
  const std::uint32_t bits = 8u * op.bytes;
  Value* a = Read(op.a, Bits(shape.type));
  for (std::uint32_t i = 0; i < op.count; ++i)
    Write(op.rows[i], Resize(b_.CreateLShr(a, Constant(a, std::uint64_t{i} * bits)), bits, false));
}

// shfl with a constant amount and segment: a permutation that is known now.
void Emitter::EmitShuffle(const Op& op) {
  enum : std::uint8_t { kUp, kDown, kButterfly };
  const auto amount = static_cast<std::uint32_t>(plan_.rows[op.b].constant) & 31;
  const auto packed = static_cast<std::uint32_t>(plan_.rows[op.c].constant);
  const std::uint32_t clamp = packed & 31;
  const std::uint32_t segment = packed >> 8 & 31;
  std::vector<int> sources;
  std::uint32_t inside = 0;
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    const std::uint32_t max_lane = (l & segment) | (clamp & ~segment);
    const std::uint32_t source = op.mode == kUp          ? l - amount
                                 : op.mode == kDown      ? l + amount
                                 : op.mode == kButterfly ? l ^ amount
                                                         : (l & segment) | (amount & ~segment);
    const bool in_range =
        op.mode == kUp ? static_cast<std::int32_t>(source) >= static_cast<std::int32_t>(max_lane) : source <= max_lane;
    sources.push_back(static_cast<int>(in_range ? source : l));
    inside |= in_range ? 1u << l : 0;
  }
  Value* a = Read(op.a, 32);
  Write(op.d, IsVector(a) ? b_.CreateShuffleVector(a, sources) : a);
  if (op.predicate >= 0) WritePredicate(static_cast<std::uint32_t>(op.predicate), Bits32(inside));
}

// mode: 0 all, 1 any, 2 uni; bytes 1: the vote is a constant.
void Emitter::EmitVote(const Op& op, const Shape& shape) {
  Value* said = op.bytes == 1 ? static_cast<Value*>(Bits32(op.immediate != 0 ? ~0u : 0)) : ReadPredicate(op.a, false);
  if (op.predicate_negated) said = b_.CreateNot(said);
  said = b_.CreateAnd(said, active_);
  if (shape.kind == Kind::kBallot) return Write(op.d, said);
  Value* all = b_.CreateICmpEQ(said, active_);
  Value* none = b_.CreateICmpEQ(said, Bits32(0));
  Value* holds = op.mode == 0 ? all : op.mode == 1 ? b_.CreateNot(none) : b_.CreateOr(all, none);
  WritePredicate(op.d, MaskOf(holds));
}

}  // namespace accelmesh::tier1
