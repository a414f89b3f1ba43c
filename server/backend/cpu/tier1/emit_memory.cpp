// Code of loads, stores and atomic additions. Lanes whose addresses follow one another, or are all the same, in each
// half of the warp, are read and written as vectors; every other case, and every fault, is the handler's.
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
  Value* address = Read(op.a, op.space == Space::kShared ? 32 : 64);
  return with_offset ? b_.CreateAdd(address, Constant(address, op.space == Space::kShared
                                                                   ? static_cast<std::uint32_t>(op.immediate)
                                                                   : op.immediate))
                     : address;
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
  Value* offset = b_.CreateSub(address, FrameField(offsetof(Frame, window_base), b_.getInt64Ty()));
  Value* size = FrameField(offsetof(Frame, window_bytes), b_.getInt64Ty());
  Value* fits = b_.CreateAnd(b_.CreateICmpULT(offset, size), b_.CreateICmpUGE(b_.CreateSub(size, offset), wide));
  Branch(fits, inside, outside);
  b_.SetInsertPoint(outside);
  auto* type = llvm::FunctionType::get(b_.getInt8Ty(), {b_.getPtrTy(), b_.getInt64Ty(), b_.getInt64Ty()}, false);
  Value* allowed = b_.CreateCall(type, FrameField(offsetof(Frame, allow), b_.getPtrTy()), {frame_, address, wide});
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
  for (std::uint32_t i = pc; i < BlockOf(pc).end; ++i) {
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
  Value* holds = b_.CreateICmpEQ(mask_, Bits32(kAllLanes));
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
  Value* size = shared ? shared_bytes_ : FrameField(offsetof(Frame, window_bytes), b_.getInt64Ty());
  Value* offsets = addresses;
  if (!shared) offsets = b_.CreateSub(addresses, Splat(FrameField(offsetof(Frame, window_base), b_.getInt64Ty())));
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

void Emitter::EmitLoad(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
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
      std::vector<Value*> wide;
      Value* all = b_.CreateAlignedLoad(llvm::FixedVectorType::get(element, kHalf * op.count), at[h], align);
      for (std::uint32_t i = 0; i < op.count; ++i) {
        std::vector<int> lanes;
        for (std::uint32_t l = 0; l < kHalf; ++l) lanes.push_back(static_cast<int>(l * op.count + i));
        wide.push_back(op.count == 1 ? all : b_.CreateShuffleVector(all, lanes));
      }
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
      Value* all = Part(values[0], h * kHalf, kHalf);
      if (op.count > 1) {
        // Interleaved, two at a time: a, b, c, d become a0 b0 c0 d0 a1 ...
        std::vector<Value*> parts;
        for (Value* value : values) parts.push_back(Part(value, h * kHalf, kHalf));
        while (parts.size() > 1) {
          std::vector<Value*> pairs;
          for (std::size_t i = 0; i < parts.size(); i += 2) {
            const auto size =
                static_cast<int>(llvm::cast<llvm::FixedVectorType>(parts[i]->getType())->getNumElements());
            std::vector<int> lanes(static_cast<std::size_t>(2 * size));
            std::iota(lanes.begin(), lanes.end(), 0);
            pairs.push_back(b_.CreateShuffleVector(parts[i], parts[i + 1], lanes));
          }
          parts = std::move(pairs);
        }
        std::vector<int> lanes;
        for (std::uint32_t l = 0; l < kHalf; ++l) {
          for (std::uint32_t i = 0; i < op.count; ++i) lanes.push_back(static_cast<int>(i * kHalf + l));
        }
        all = b_.CreateShuffleVector(parts[0], lanes);
      }
      b_.CreateAlignedStore(all, at[h], llvm::Align(stride));
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

void Emitter::EmitLoadParameter(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const std::uint64_t offset = plan_.rows[op.a].constant + op.immediate;
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  BasicBlock* fast = NewBlock("fast");
  BasicBlock* slow = NewBlock("slow");
  BasicBlock* done = NewBlock("done");
  Branch(b_.CreateICmpUGE(argument_bytes_, b_.getInt64(offset + total)), fast, slow);
  b_.SetInsertPoint(fast);
  Value* at = b_.CreateGEP(b_.getInt8Ty(), arguments_, b_.getInt64(offset));
  llvm::Type* element = b_.getIntNTy(8u * op.bytes);
  for (std::uint32_t i = 0; i < op.count; ++i) {
    Value* value = b_.CreateAlignedLoad(element, b_.CreateConstGEP1_64(element, at, i), llvm::Align(1));
    Write(op.rows[i], value, op.mode == 1);
  }
  FinishSlow(pc, slow, done);
}

// Shared memory belongs to the thread that runs the block, so an addition needs no lock: a lane after the other.
void Emitter::EmitAtomicAdd(std::uint32_t pc) {
  const Op& op = program_.ops[pc];
  const Shape& shape = plan_.shapes[pc];
  const std::uint32_t bytes = ptx::TypeBytes(shape.type);
  const bool floating = IsFloat(shape.type);
  llvm::Type* element = b_.getIntNTy(8 * bytes);
  BasicBlock* fits = NewBlock("fits");
  BasicBlock* loop = NewBlock("lane");
  BasicBlock* added = NewBlock("added");
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
  llvm::IRBuilder<> front(prologue_, prologue_->begin());
  llvm::Value* offset_array = front.CreateAlloca(llvm::FixedVectorType::get(b_.getInt32Ty(), kLanes));
  llvm::Type* vector = llvm::FixedVectorType::get(element, kLanes);
  llvm::Value* value_array = front.CreateAlloca(vector);
  Value* values = Read(op.b, 8 * bytes);
  if (!IsVector(values)) values = Splat(values);
  b_.CreateStore(offsets, offset_array);
  b_.CreateStore(values, value_array);
  b_.CreateBr(loop);
  b_.SetInsertPoint(loop);
  llvm::PHINode* left = b_.CreatePHI(b_.getInt32Ty(), 2);
  left->addIncoming(active_, fits);
  Value* lane = b_.CreateIntrinsic(llvm::Intrinsic::cttz, {b_.getInt32Ty()}, {left, b_.getTrue()});
  Value* offset = b_.CreateLoad(b_.getInt32Ty(), b_.CreateGEP(b_.getInt32Ty(), offset_array, lane));
  Value* at = b_.CreateGEP(b_.getInt8Ty(), shared_, b_.CreateZExt(offset, b_.getInt64Ty()));
  Value* value_at = b_.CreateGEP(element, value_array, lane);
  Value* old = b_.CreateAlignedLoad(element, at, llvm::Align(bytes));
  Value* value = b_.CreateLoad(element, value_at);
  Value* sum = nullptr;
  if (floating) {
    llvm::Type* number = bytes == 4 ? b_.getFloatTy() : b_.getDoubleTy();
    sum = b_.CreateBitCast(b_.CreateFAdd(b_.CreateBitCast(old, number), b_.CreateBitCast(value, number)), element);
  } else {
    sum = b_.CreateAdd(old, value);
  }
  b_.CreateAlignedStore(sum, at, llvm::Align(bytes));
  b_.CreateStore(old, value_at);
  Value* rest = b_.CreateAnd(left, b_.CreateSub(left, Bits32(1)));
  left->addIncoming(rest, loop);
  b_.CreateCondBr(b_.CreateICmpEQ(rest, Bits32(0)), added, loop);
  b_.SetInsertPoint(added);
  Write(op.d, b_.CreateLoad(vector, value_array));
  FinishSlow(pc, slow, done);
}

}  // namespace accelmesh::tier1
