// What setp and set of all types share: comparisons and how one is combined with a predicate. Private to this folder.
#pragma once

#include "server/backend/cpu/tier0/decoder.h"

namespace accelmesh::tier0 {

enum Comparison : std::uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kEqu, kNeu, kLtu, kLeu, kGtu, kGeu, kNum, kNan };
enum Combination : std::uint8_t { kAlone, kAnd, kOr, kXor };

template <typename T>
bool Compare(std::uint8_t how, T a, T b) {
  bool unordered = false;
  if constexpr (std::is_floating_point_v<T>) unordered = a != a || b != b;
  switch (how) {
    case kEq: return a == b;
    case kNe: return !unordered && a != b;
    case kLt: return a < b;
    case kLe: return a <= b;
    case kGt: return a > b;
    case kGe: return a >= b;
    case kEqu: return unordered || a == b;
    case kNeu: return unordered || a != b;
    case kLtu: return unordered || a < b;
    case kLeu: return unordered || a <= b;
    case kGtu: return unordered || a > b;
    case kGeu: return unordered || a >= b;
    case kNum: return !unordered;
    default: return unordered;
  }
}

// False if no comparison has the name.
bool ParseComparison(std::string_view name, std::uint8_t* how);
// The sources, the predicate that the result is combined with and how (op.mode), and the comparison.
Status DecodeComparisonOperands(Decoder& decoder, const ptx::Instruction& from, Op& op, std::uint8_t* how);

}  // namespace accelmesh::tier0
