// What an operation of tier 0 does, as far as compiled code must know: which kind of code stands for it, and which rows
// and predicates it reads and writes. Private to this folder.
#pragma once

#include <vector>

#include "server/backend/cpu/tier0/warp.h"

namespace accelmesh::tier1 {

enum class Kind : std::uint8_t {
  kCalled,   // the handler is called
  kControl,  // tier 0 does it: the code ends there
  kExit,
  kBarrier,  // of all threads, without a result
  kNothing,
  kFence,
  kBranch,
  kMove,
  kPredicateLogic,
  kPredicateConstant,
  kAdd,
  kSub,
  kMul,
  kMulHigh,
  kMulWide,
  kMulAdd,
  kMulAddHigh,
  kMulAddWide,
  kFma,
  kDiv,
  kRem,
  kMin,
  kMax,
  kNeg,
  kAbs,
  kSqrt,
  kRsqrt,
  kRcp,
  kAnd,
  kOr,
  kXor,
  kNot,
  kShl,
  kShr,
  kCompare,
  kSelect,
  kConvert,
  kConvertAddress,
  kPopc,
  kClz,
  kLop3,
  kFunnel,
  kPack,
  kUnpack,
  kLoad,
  kStore,
  kLoadParameter,
  kAtomicAdd,
  kShuffle,
  kVote,
  kActiveMask,
  kBallot
};

// tier0/comparison.h's order.
enum class Comparison : std::uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kEqu, kNeu, kLtu, kLeu, kGtu, kGeu, kNum, kNan };

struct RowUse {
  std::uint32_t row = 0;
  std::uint32_t bits = 64;  // that matter; as many as a container of the row must have
};

struct Shape {
  Kind kind = Kind::kCalled;
  ptx::Type type = ptx::Type::kNone;    // of the operation; of a conversion, the destination's
  ptx::Type source = ptx::Type::kNone;  // of a conversion
  Comparison comparison = Comparison::kEq;
  std::vector<RowUse> uses;
  std::vector<RowUse> defs;
  std::vector<std::uint32_t> predicate_uses;  // the guard's among them
  std::vector<std::uint32_t> predicate_defs;
  bool flush = false;       // .ftz of single precision: denormal operands and results are zeros of their sign
  bool saturate = false;    // .sat of a float: into [0, 1], NaN becomes 0
  bool pure = false;        // the result depends on the rows alone
  bool lane_sync = false;   // its lanes must all have come
  bool everything = false;  // tier 0 may look at any row afterwards (calls)
};

Shape ShapeOf(const tier0::Program& program, const tier0::Op& op);

// Loads of shared memory that Emitter::WindowOf() is for.
inline bool FitsWindow(const tier0::Op& op) {
  return op.space == ptx::Space::kShared && op.bytes == 4 && op.count == 1 && op.immediate % 4 == 0;
}

inline std::uint32_t Bits(ptx::Type type) { return 8 * ptx::TypeBytes(type); }
inline bool IsFloat(ptx::Type type) { return type == ptx::Type::kF32 || type == ptx::Type::kF64; }
inline bool IsSigned(ptx::Type type) { return type >= ptx::Type::kS8 && type <= ptx::Type::kS64; }
inline bool IsInteger(ptx::Type type) {
  return type >= ptx::Type::kB8 && type <= ptx::Type::kS64 && type != ptx::Type::kB128;
}

}  // namespace accelmesh::tier1
