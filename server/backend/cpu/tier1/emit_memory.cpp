// Code of loads and stores. Lanes whose addresses follow one another, or are all the same, in each half of the warp,
// are read and written as vectors, others are gathered; what is left, and every fault, is the handler's.
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>

#include <cstddef>
#include <numeric>

#include "server/backend/cpu/tier1/emit.h"

namespace accelmesh::tier1 {

using llvm::BasicBlock;
using ptx::Space;
using tier0::kAllLanes;
using tier0::kLanes;
using tier0::Op;

namespace {

constexpr std::uint32_t kHalf = 16;

}  // namespace

llvm::Value* Emitter::Part(Value* vector, std::uint32_t first, std::uint32_t count) {
  std::vector<int> lanes(count);
  std::iota(lanes.begin(), lanes.end(), static_cast<int>(first));
  return b_.CreateShuffleVector(vector, lanes);
}
llvm::Value* Emitter::Together(Value* low, Value* high) {
  std::vector<int> lanes(2 * kHalf);
  std::iota(lanes.begin(), lanes.end(), 0);
  return b_.CreateShuffleVector(low, high, lanes);
}

llvm::Value* Emitter::Address(const Op& op, bool with_offset) {
  const bool wide = op.space == Space::kGlobal;
  Value* address = Read(op.a, wide ? 64 : 32);
  const std::uint64_t offset = wide ? op.immediate : static_cast<std::uint32_t>(op.immediate);
  return with_offset ? b_.CreateAdd(address, Constant(address, offset)) : address;
}

llvm::Value* Emitter::Resolve(const Op& op, Value* address, Value* bytes, std::uint32_t alignment, BasicBlock* slow) {
  const bool shared = op.space == Space::kShared;
  BasicBlock* inside = NewBlock("inside");
  if (shared) {
    Value* room = b_.CreateSub(shared_bytes_, address);
    Value* fits = b_.CreateAnd(b_.CreateICmpULE(address, shared_bytes_), b_.CreateICmpUGE(room, bytes));
    Value* aligned = b_.CreateICmpEQ(b_.CreateAnd(address, Constant(address, alignment - 1)), Constant(address, 0));
    Branch(b_.CreateAnd(fits, aligned), inside, slow);
    b_.SetInsertPoint(inside);
    return b_.CreateGEP(b_.getInt8Ty(), shared_, b_.CreateZExt(address, b_.getInt64Ty()));
  }
  BasicBlock* outside = NewBlock("outside");
  BasicBlock* aligned = NewBlock("aligned");
  Value* wide = b_.CreateZExt(bytes, b_.getInt64Ty());
  Value* offset = b_.CreateSub(address, Get(window_base_));
  Value* size = Get(window_bytes_);
  Value* fits = b_.CreateAnd(b_.CreateICmpULT(offset, size), b_.CreateICmpUGE(b_.CreateSub(size, offset), wide));
  Branch(fits, inside, outside);
  b_.SetInsertPoint(outside);
  StoreWarp();
  auto* type = llvm::FunctionType::get(b_.getInt8Ty(), {b_.getPtrTy(), b_.getInt64Ty(), b_.getInt64Ty()}, false);
  Value* allowed = b_.CreateCall(type, FrameField(offsetof(Frame, allow), b_.getPtrTy()), {frame_, address, wide});
  Set(window_base_, FrameField(offsetof(Frame, window_base), b_.getInt64Ty()));
  Set(window_bytes_, FrameField(offsetof(Frame, window_bytes), b_.getInt64Ty()));
  b_.CreateCondBr(b_.CreateTrunc(allowed, b_.getInt1Ty()), inside, slow);
  b_.SetInsertPoint(inside);
  Value* low = b_.CreateAnd(address, Constant(address, alignment - 1));
  Branch(b_.CreateICmpEQ(low, Constant(low, 0)), aligned, slow);
  b_.SetInsertPoint(aligned);
  return b_.CreateIntToPtr(address, b_.getPtrTy());
}

Emitter::Half Emitter::HalfOf(const Op& op, Value* addresses, std::uint32_t half, std::uint32_t stride) {
  Value* part = Part(addresses, half * kHalf, kHalf);
  Value* base = b_.CreateExtractElement(addresses, std::uint64_t{half} * kHalf);
  Value* delta = b_.CreateSub(part, Splat(base, kHalf));
  std::vector<llvm::Constant*> steps;
  for (std::uint32_t i = 0; i < kHalf; ++i)
    steps.push_back(llvm::ConstantInt::get(base->getType(), std::uint64_t{i} * stride));
  const auto all = [&](Value* truth) {
    Value* bits = b_.CreateBitCast(truth, b_.getInt16Ty());
    return b_.CreateICmpEQ(bits, b_.getInt16(0xffff));
  };
  Half result;
  result.contiguous = all(b_.CreateICmpEQ(delta, llvm::ConstantVector::get(steps)));
  result.uniform = all(b_.CreateICmpEQ(delta, llvm::Constant::getNullValue(delta->getType())));
  result.base = b_.CreateAdd(
      base, Constant(base, op.space == Space::kShared ? static_cast<std::uint32_t>(op.immediate) : op.immediate));
  return result;
}

void Emitter::FinishSlow(std::uint32_t pc, BasicBlock* slow, BasicBlock* done) {
  b_.CreateBr(done);
  HandleRest(pc, slow, done);
}
void Emitter::HandleRest(std::uint32_t pc, BasicBlock* slow, BasicBlock* done) {
  b_.SetInsertPoint(slow);
  if (guarded_) {
    BasicBlock* some = NewBlock("some");
    Branch(b_.CreateICmpNE(active_, Bits32(0)), some, done, false);
    b_.SetInsertPoint(some);
  }
  CallHandler(pc);
  b_.CreateBr(done);
  b_.SetInsertPoint(done);
}

const Emitter::Window& Emitter::WindowOf(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const auto found = windows_.find(op.a);
  if (found != windows_.end()) return found->second;
  // All that will be read by this row: one check is for all of it.
  std::int32_t low = 0;
  std::int32_t high = 0;
  bool first = true;
  for (std::uint32_t i = pc; i < BlockOf(plan_, pc).end; ++i) {
    const Op& other = program_.ops[i];
    const Shape& shape = plan_.shapes[i];
    if (shape.kind == Kind::kLoad && FitsWindow(other) && other.a == op.a) {
      const auto offset = static_cast<std::int32_t>(other.immediate);
      low = first ? offset : std::min(low, offset);
      high = first ? offset + 4 : std::max(high, offset + 4);
      first = false;
    }
    if (std::any_of(shape.defs.begin(), shape.defs.end(), [&](const RowUse& def) { return def.row == op.a; })) break;
  }
  Window window;
  Value* addresses = Address(op, false);
  Value* holds = b_.CreateICmpEQ(Mask(), Bits32(kAllLanes));
  llvm::Type* wide = b_.getInt64Ty();
  for (std::uint32_t h = 0; h < 2; ++h) {
    Value* base = b_.CreateExtractElement(addresses, std::uint64_t{h} * kHalf);
    Value* delta = b_.CreateSub(Part(addresses, h * kHalf, kHalf), Splat(base, kHalf));
    Value* near = b_.CreateAnd(b_.CreateICmpULE(delta, Constant(delta, 60)),
                               b_.CreateICmpEQ(b_.CreateAnd(delta, Constant(delta, 3)), Constant(delta, 0)));
    holds = b_.CreateAnd(holds, b_.CreateICmpEQ(b_.CreateBitCast(near, b_.getInt16Ty()), b_.getInt16(0xffff)));
    holds = b_.CreateAnd(holds, b_.CreateICmpEQ(b_.CreateAnd(base, Bits32(3)), Bits32(0)));
    Value* farthest = b_.CreateIntMaxReduce(delta, false);
    Value* from = b_.CreateAdd(b_.CreateZExt(base, wide), b_.getInt64(static_cast<std::uint64_t>(std::int64_t{low})));
    Value* to = b_.CreateAdd(b_.CreateAdd(b_.CreateZExt(base, wide), b_.CreateZExt(farthest, wide)),
                             b_.getInt64(static_cast<std::uint64_t>(std::int64_t{high})));
    holds = b_.CreateAnd(holds, b_.CreateICmpSGE(from, b_.getInt64(0)));
    holds = b_.CreateAnd(holds, b_.CreateICmpSLE(to, b_.CreateZExt(shared_bytes_, wide)));
    window.base[h] = b_.CreateGEP(b_.getInt8Ty(), shared_, b_.CreateZExt(base, wide));
    window.index[h] = b_.CreateLShr(delta, 2);
  }
  window.holds = holds;
  return windows_[op.a] = window;
}

void Emitter::EmitLoadFromWindow(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const Window window = WindowOf(pc);
  const auto load = [&] {
    Value* parts[2];
    for (int h = 0; h < 2; ++h) {
      const std::int64_t offset = static_cast<std::int32_t>(op.immediate);
      Value* at = b_.CreateGEP(b_.getInt8Ty(), window.base[h], b_.getInt64(static_cast<std::uint64_t>(offset)));
      Value* all = b_.CreateAlignedLoad(llvm::FixedVectorType::get(b_.getInt32Ty(), kHalf), at, llvm::Align(4));
      parts[h] = b_.CreateIntrinsic(llvm::Intrinsic::x86_avx512_permvar_si_512, {}, {all, window.index[h]});
    }
    Write(op.rows[0], Together(parts[0], parts[1]), op.mode == 1);
  };
  // Lanes that a guard excludes would read what they may, too.
  if (window.sure) return load();
  BasicBlock* fast = NewBlock("fast");
  BasicBlock* apart = NewBlock("apart");
  BasicBlock* slow = NewBlock("slow");
  BasicBlock* done = NewBlock("done");
  Value* holds = window.holds;
  if (guarded_) holds = b_.CreateAnd(holds, b_.CreateICmpEQ(active_, Bits32(kAllLanes)));
  Branch(holds, fast, apart);
  b_.SetInsertPoint(fast);
  load();
  b_.CreateBr(done);
  b_.SetInsertPoint(apart);
  GatherOrScatter(pc, slow, done);
  HandleRest(pc, slow, done);
}

void Emitter::GatherOrScatter(std::uint32_t pc, BasicBlock* slow, BasicBlock* done) {
  const Op& op = program_.ops[pc];
  const bool load = plan_.shapes[pc].kind == Kind::kLoad;
  if (op.count != 1 || op.bytes < 4) {
    b_.CreateBr(slow);
    return;
  }
  const bool shared = op.space == Space::kShared;
  llvm::Type* vector = llvm::FixedVectorType::get(b_.getIntNTy(8u * op.bytes), kLanes);
  Value* addresses = Address(op, true);
  if (!IsVector(addresses)) addresses = Splat(addresses);
  Value* size = shared ? shared_bytes_ : Get(window_bytes_);
  Value* offsets = addresses;
  if (!shared) offsets = b_.CreateSub(addresses, Splat(Get(window_base_)));
  Value* last = b_.CreateSub(size, Constant(size, op.bytes));
  Value* bad =
      b_.CreateOr(b_.CreateICmpUGT(offsets, Splat(last)),
                  b_.CreateICmpNE(b_.CreateAnd(addresses, Constant(addresses, op.bytes - 1u)), Constant(addresses, 0)));
  Value* fine = b_.CreateAnd(b_.CreateICmpEQ(b_.CreateAnd(MaskOf(bad), active_), Bits32(0)),
                             b_.CreateICmpUGE(size, Constant(size, op.bytes)));
  BasicBlock* gather = NewBlock("gather");
  b_.CreateCondBr(fine, gather, slow);
  b_.SetInsertPoint(gather);
  Value* at = shared ? b_.CreateGEP(b_.getInt8Ty(), shared_, b_.CreateZExt(addresses, Like(addresses, b_.getInt64Ty())))
                     : b_.CreateIntToPtr(addresses, Like(addresses, b_.getPtrTy()));
  if (load) {
    Value* got = b_.CreateMaskedGather(vector, at, llvm::Align(op.bytes), Lanes(active_));
    Write(op.rows[0], got, op.mode == 1);
  } else {
    Value* value = Read(op.rows[0], 8u * op.bytes);
    b_.CreateMaskedScatter(IsVector(value) ? value : Splat(value), at, llvm::Align(op.bytes), Lanes(active_));
  }
  b_.CreateBr(done);
}

// The lanes' memories lie one behind the other, each aligned for every access.
void Emitter::EmitLocalAccess(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const bool load = plan_.shapes[pc].kind == Kind::kLoad;
  const std::uint32_t bytes = std::uint32_t{op.bytes} * op.count;
  llvm::Type* wide = b_.getInt64Ty();
  llvm::Type* vector = llvm::FixedVectorType::get(b_.getIntNTy(8u * op.bytes), kLanes);
  BasicBlock* direct = NewBlock("direct");
  BasicBlock* slow = NewBlock("slow");
  BasicBlock* done = NewBlock("done");
  Value* warp = b_.CreateGEP(b_.getInt8Ty(), FrameField(offsetof(Frame, warps), b_.getPtrTy()),
                             b_.CreateMul(b_.CreateZExt(Get(warp_), wide), b_.getInt64(sizeof(tier0::Warp))));
  const auto field = [&](llvm::Type* type, std::size_t offset) {
    return b_.CreateLoad(type, b_.CreateConstGEP1_64(b_.getInt8Ty(), warp, offset));
  };
  Value* stride = field(b_.getInt32Ty(), offsetof(tier0::Warp, local_stride));
  Value* offsets = Address(op, true);
  if (!IsVector(offsets)) offsets = Splat(offsets);
  Value* bad = b_.CreateOr(b_.CreateICmpUGT(offsets, Splat(b_.CreateSub(stride, Bits32(bytes)))),
                           b_.CreateICmpNE(b_.CreateAnd(offsets, Constant(offsets, bytes - 1)), Constant(offsets, 0)));
  Value* fine = b_.CreateAnd(b_.CreateICmpEQ(b_.CreateAnd(MaskOf(bad), active_), Bits32(0)),
                             b_.CreateICmpUGE(stride, Bits32(bytes)));
  Branch(fine, direct, slow);
  b_.SetInsertPoint(direct);
  std::vector<llvm::Constant*> lanes;
  for (std::uint32_t l = 0; l < kLanes; ++l) lanes.push_back(b_.getInt64(l));
  Value* own = b_.CreateMul(llvm::ConstantVector::get(lanes), Splat(b_.CreateZExt(stride, wide)));
  Value* places = b_.CreateAdd(own, b_.CreateZExt(offsets, Like(offsets, wide)));
  Value* local = field(b_.getPtrTy(), offsetof(tier0::Warp, local));
  std::vector<Value*> values;
  for (std::uint32_t i = 0; i < op.count; ++i) {
    Value* at =
        b_.CreateGEP(b_.getInt8Ty(), local, b_.CreateAdd(places, Constant(places, std::uint64_t{i} * op.bytes)));
    if (load) {
      values.push_back(b_.CreateMaskedGather(vector, at, llvm::Align(op.bytes), Lanes(active_)));
    } else {
      Value* value = Read(op.rows[i], 8u * op.bytes);
      b_.CreateMaskedScatter(IsVector(value) ? value : Splat(value), at, llvm::Align(op.bytes), Lanes(active_));
    }
  }
  for (std::uint32_t i = 0; i < op.count && load; ++i) Write(op.rows[i], values[i], op.mode == 1);
  FinishSlow(pc, slow, done);
}

std::vector<llvm::Value*> Emitter::TakeApart(Value* all, std::uint32_t count, std::uint32_t lanes) {
  if (count == 1) return {all};
  std::vector<Value*> parts;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::vector<int> places;
    for (std::uint32_t l = 0; l < lanes; ++l) places.push_back(static_cast<int>(l * count + i));
    parts.push_back(b_.CreateShuffleVector(all, places));
  }
  return parts;
}
// Two at a time: a, b, c, d become a0 b0 c0 d0 a1 ...
llvm::Value* Emitter::PutTogether(const std::vector<Value*>& values, std::uint32_t lanes) {
  std::vector<Value*> parts = values;
  while (parts.size() > 1) {
    std::vector<Value*> pairs;
    for (std::size_t i = 0; i < parts.size(); i += 2) {
      const auto size = static_cast<int>(llvm::cast<llvm::FixedVectorType>(parts[i]->getType())->getNumElements());
      std::vector<int> places(static_cast<std::size_t>(2 * size));
      std::iota(places.begin(), places.end(), 0);
      pairs.push_back(b_.CreateShuffleVector(parts[i], parts[i + 1], places));
    }
    parts = std::move(pairs);
  }
  if (values.size() == 1) return parts[0];
  std::vector<int> places;
  for (std::uint32_t l = 0; l < lanes; ++l) {
    for (std::uint32_t i = 0; i < values.size(); ++i) places.push_back(static_cast<int>(i * lanes + l));
  }
  return b_.CreateShuffleVector(parts[0], places);
}

bool Emitter::CountsUp(const Op& op) const {
  const RowFacts& facts = plan_.rows[op.a];
  return facts.kind == RowKind::kAffine && facts.stride == std::int64_t{op.bytes} * op.count &&
         facts.bits == (op.space == Space::kShared ? 32u : 64u);
}

void Emitter::EmitCountingLoad(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const std::uint32_t stride = std::uint32_t{op.bytes} * op.count;
  BasicBlock* fast = NewBlock("fast");
  BasicBlock* part = NewBlock("part");
  BasicBlock* slow = NewBlock("slow");
  BasicBlock* done = NewBlock("done");
  bases_ = true;
  Value* base = Address(op, true);
  bases_ = false;
  Value* at = Resolve(op, base, Bits32(stride * kLanes), stride, slow);
  llvm::Type* vector = llvm::FixedVectorType::get(b_.getIntNTy(8u * op.bytes), kLanes * op.count);
  Branch(b_.CreateICmpEQ(active_, Bits32(kAllLanes)), fast, op.count == 1 ? part : slow);
  b_.SetInsertPoint(fast);
  const std::vector<Value*> parts = TakeApart(b_.CreateAlignedLoad(vector, at, llvm::Align(stride)), op.count, kLanes);
  for (std::uint32_t i = 0; i < op.count; ++i) Write(op.rows[i], parts[i], op.mode == 1);
  b_.CreateBr(done);
  b_.SetInsertPoint(part);
  if (op.count == 1) {
    Write(op.rows[0], b_.CreateMaskedLoad(vector, at, llvm::Align(stride), Lanes(active_)), op.mode == 1);
    b_.CreateBr(done);
  } else {
    b_.CreateUnreachable();
  }
  b_.SetInsertPoint(slow);
  slow = NewBlock("slower");
  GatherOrScatter(pc, slow, done);
  HandleRest(pc, slow, done);
}

void Emitter::EmitCountingStore(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const std::uint32_t stride = std::uint32_t{op.bytes} * op.count;
  BasicBlock* fast = NewBlock("fast");
  BasicBlock* part = NewBlock("part");
  BasicBlock* slow = NewBlock("slow");
  BasicBlock* done = NewBlock("done");
  bases_ = true;
  Value* base = Address(op, true);
  bases_ = false;
  Value* at = Resolve(op, base, Bits32(stride * kLanes), stride, slow);
  std::vector<Value*> values;
  for (std::uint32_t i = 0; i < op.count; ++i) {
    Value* value = Read(op.rows[i], 8u * op.bytes);
    values.push_back(IsVector(value) ? value : Splat(value));
  }
  Branch(b_.CreateICmpEQ(active_, Bits32(kAllLanes)), fast, op.count == 1 ? part : slow);
  b_.SetInsertPoint(fast);
  b_.CreateAlignedStore(PutTogether(values, kLanes), at, llvm::Align(stride));
  b_.CreateBr(done);
  b_.SetInsertPoint(part);
  if (op.count == 1) {
    b_.CreateMaskedStore(values[0], at, llvm::Align(stride), Lanes(active_));
    b_.CreateBr(done);
  } else {
    b_.CreateUnreachable();
  }
  b_.SetInsertPoint(slow);
  slow = NewBlock("slower");
  GatherOrScatter(pc, slow, done);
  HandleRest(pc, slow, done);
}

void Emitter::EmitLoad(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  if (op.space == Space::kLocal) return EmitLocalAccess(pc);
  if (CountsUp(op)) return EmitCountingLoad(pc);
  if (uses_windows_ && FitsWindow(op) && IsVector(Address(op, false))) return EmitLoadFromWindow(pc);
  const std::uint32_t stride = std::uint32_t{op.bytes} * op.count;
  llvm::Type* element = b_.getIntNTy(8u * op.bytes);
  const llvm::Align align(stride);
  BasicBlock* fast = NewBlock("fast");
  BasicBlock* slow = NewBlock("slow");
  BasicBlock* done = NewBlock("done");
  const auto scalar = [&](Value* at, std::uint32_t i) {
    return b_.CreateAlignedLoad(element, b_.CreateConstGEP1_64(element, at, i), llvm::Align(op.bytes));
  };
  Value* addresses = Address(op, false);
  std::vector<Value*> results;
  if (!IsVector(addresses)) {
    Branch(b_.CreateICmpNE(active_, Bits32(0)), fast, slow);
    b_.SetInsertPoint(fast);
    Value* at = Resolve(op, Address(op, true), Bits32(stride), stride, slow);
    for (std::uint32_t i = 0; i < op.count; ++i) results.push_back(scalar(at, i));
  } else {
    Branch(b_.CreateICmpEQ(active_, Bits32(kAllLanes)), fast, slow);
    b_.SetInsertPoint(fast);
    const Half halves[] = {HalfOf(op, addresses, 0, stride), HalfOf(op, addresses, 1, stride)};
    BasicBlock* regular = NewBlock("regular");
    Branch(b_.CreateAnd(b_.CreateOr(halves[0].contiguous, halves[0].uniform),
                        b_.CreateOr(halves[1].contiguous, halves[1].uniform)),
           regular, slow);
    b_.SetInsertPoint(regular);
    Value* at[2];
    for (int h = 0; h < 2; ++h) {
      Value* bytes = b_.CreateSelect(halves[h].contiguous, Bits32(stride * kHalf), Bits32(stride));
      at[h] = Resolve(op, halves[h].base, bytes, stride, slow);
    }
    std::vector<Value*> parts[2];
    for (int h = 0; h < 2; ++h) {
      BasicBlock* vector = NewBlock("vector");
      BasicBlock* same = NewBlock("same");
      BasicBlock* loaded = NewBlock("loaded");
      b_.CreateCondBr(halves[h].contiguous, vector, same);
      b_.SetInsertPoint(vector);
      Value* all = b_.CreateAlignedLoad(llvm::FixedVectorType::get(element, kHalf * op.count), at[h], align);
      const std::vector<Value*> wide = TakeApart(all, op.count, kHalf);
      b_.CreateBr(loaded);
      b_.SetInsertPoint(same);
      std::vector<Value*> splat;
      for (std::uint32_t i = 0; i < op.count; ++i) splat.push_back(Splat(scalar(at[h], i), kHalf));
      b_.CreateBr(loaded);
      b_.SetInsertPoint(loaded);
      for (std::uint32_t i = 0; i < op.count; ++i) {
        llvm::PHINode* phi = b_.CreatePHI(llvm::FixedVectorType::get(element, kHalf), 2);
        phi->addIncoming(wide[i], vector);
        phi->addIncoming(splat[i], same);
        parts[h].push_back(phi);
      }
    }
    for (std::uint32_t i = 0; i < op.count; ++i) results.push_back(Together(parts[0][i], parts[1][i]));
  }
  for (std::uint32_t i = 0; i < op.count; ++i) Write(op.rows[i], results[i], op.mode == 1);
  b_.CreateBr(done);
  b_.SetInsertPoint(slow);
  slow = NewBlock("slower");
  GatherOrScatter(pc, slow, done);
  HandleRest(pc, slow, done);
}

void Emitter::EmitStore(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  if (op.space == Space::kLocal) return EmitLocalAccess(pc);
  if (CountsUp(op)) return EmitCountingStore(pc);
  const std::uint32_t stride = std::uint32_t{op.bytes} * op.count;
  BasicBlock* slow = NewBlock("slow");
  BasicBlock* done = NewBlock("done");
  Value* addresses = Address(op, false);
  if (IsVector(addresses)) {
    BasicBlock* fast = NewBlock("fast");
    Branch(b_.CreateICmpEQ(active_, Bits32(kAllLanes)), fast, slow);
    b_.SetInsertPoint(fast);
    const Half halves[] = {HalfOf(op, addresses, 0, stride), HalfOf(op, addresses, 1, stride)};
    BasicBlock* regular = NewBlock("regular");
    Branch(b_.CreateAnd(halves[0].contiguous, halves[1].contiguous), regular, slow);
    b_.SetInsertPoint(regular);
    Value* at[2];
    for (int h = 0; h < 2; ++h) at[h] = Resolve(op, halves[h].base, Bits32(stride * kHalf), stride, slow);
    std::vector<Value*> values;
    for (std::uint32_t i = 0; i < op.count; ++i) {
      Value* value = Read(op.rows[i], 8u * op.bytes);
      values.push_back(IsVector(value) ? value : Splat(value));
    }
    for (std::uint32_t h = 0; h < 2; ++h) {
      std::vector<Value*> parts;
      for (Value* value : values) parts.push_back(Part(value, h * kHalf, kHalf));
      b_.CreateAlignedStore(PutTogether(parts, kHalf), at[h], llvm::Align(stride));
    }
    b_.CreateBr(done);
    b_.SetInsertPoint(slow);
  } else {
    b_.CreateBr(slow);
    b_.SetInsertPoint(slow);
  }
  slow = NewBlock("slower");
  GatherOrScatter(pc, slow, done);
  HandleRest(pc, slow, done);
}

// What runs the code has seen that a launch has so many.
void Emitter::EmitLoadParameter(std::uint32_t pc) {
  constexpr std::size_t kEarlyMax = 32;
  const Op& op = program_.ops[pc];
  const std::uint64_t offset = plan_.rows[op.a].constant + op.immediate;
  llvm::Type* element = b_.getIntNTy(8u * op.bytes);
  std::vector<Value*> values;
  for (std::uint32_t i = 0; i < op.count; ++i) {
    const std::uint64_t at = offset + std::uint64_t{i} * op.bytes;
    Value*& value = parameters_[{at, op.bytes}];
    if (value == nullptr) {
      // Once for all warps and blocks; of very many, each where it is used.
      const llvm::IRBuilderBase::InsertPointGuard guard(b_);
      const bool early = parameters_.size() <= kEarlyMax;
      if (early) b_.SetInsertPoint(prologue_->getTerminator());
      llvm::LoadInst* load =
          b_.CreateAlignedLoad(element, b_.CreateGEP(b_.getInt8Ty(), arguments_, b_.getInt64(at)), llvm::Align(1));
      load->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(context_, {}));
      values.push_back(load);
      if (early) value = load;
    } else {
      values.push_back(value);
    }
  }
  for (std::uint32_t i = 0; i < op.count; ++i) Write(op.rows[i], values[i], op.mode == 1);
}

}  // namespace accelmesh::tier1
