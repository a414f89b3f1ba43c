// Video instructions (scalar, and of two and four lanes), and arithmetic of packed 16-bit integers.
//
// Each is: parts of a and b, chosen by selectors and extended; an operation that loses nothing; saturation; and a
// second step that adds, compares or merges with c.
#include <algorithm>

#include "server/backend/cpu/tier0/comparison.h"
#include "server/backend/cpu/tier0/decoder.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

enum Function : std::uint8_t {
  kSum,
  kDifference,
  kAbsDifference,
  kLeast,
  kGreatest,
  kLeft,
  kRight,
  kMulAdd,
  kSet,
  kAverage
};
enum Second : std::uint8_t { kNoSecond, kSecondAdd, kSecondMin, kSecondMax, kMerge };
// Of Op::immediate, besides the comparison in its low byte.
enum Flag : std::uint64_t {
  kASigned = 1 << 8,
  kBSigned = 1 << 9,
  kDSigned = 1 << 10,
  kSaturated = 1 << 11,
  kWrap = 1 << 12,
  kNegateProduct = 1 << 13,
  kNegateC = 1 << 14,
  kPlusOne = 1 << 15
};
// What Op::rows hold, apart from the registers d, a, b, c.
enum Slot : std::uint8_t { kASelector, kBSelector, kDSelector, kScale };

// A selector: how many bits a part has in the upper half of the word, the index of the part for each lane in the lower
// one, four bits each.
std::uint32_t PartOf(std::uint64_t both, std::uint32_t index, std::uint32_t bits) {
  const std::uint64_t v = both >> (index * bits);
  return static_cast<std::uint32_t>(bits == 32 ? v : v & ((1u << bits) - 1));
}
__int128 Extended(std::uint32_t v, std::uint32_t bits, bool is_signed) {
  const bool negative = is_signed && (v >> (bits - 1) & 1) != 0;
  return static_cast<__int128>(v) - (negative ? static_cast<__int128>(1) << bits : 0);
}
__int128 Clamp(__int128 v, std::uint32_t bits, bool is_signed) {
  const __int128 low = is_signed ? -(static_cast<__int128>(1) << (bits - 1)) : 0;
  const __int128 high = (static_cast<__int128>(1) << (is_signed ? bits - 1 : bits)) - 1;
  return std::clamp(v, low, high);
}

__int128 MulAdd(const Op& op, __int128 a, __int128 b, std::uint32_t c) {
  const std::uint64_t flags = op.immediate;
  const bool is_signed = (flags & (kASigned | kBSigned | kNegateProduct | kNegateC)) != 0;
  __int128 product = a * b;
  __int128 last = 0;
  __int128 addend = Extended(c, 32, is_signed);
  if ((flags & kPlusOne) != 0) {
    last = 1;
  } else if ((flags & kNegateProduct) != 0) {
    product = -product;
  } else if ((flags & kNegateC) != 0) {
    addend = -addend;
  }
  const __int128 sum = (product + addend + last) >> op.rows[kScale];
  return (flags & kSaturated) != 0 ? Clamp(sum, 32, is_signed) : sum;
}
__int128 Apply(const Op& op, __int128 a, __int128 b, std::uint32_t c) {
  switch (op.mode) {
    case kSum: return a + b;
    case kDifference: return a - b;
    case kAbsDifference: return a < b ? b - a : a - b;
    case kLeast: return std::min(a, b);
    case kGreatest: return std::max(a, b);
    case kLeft:
    case kRight: {
      const auto amount = static_cast<std::uint32_t>(b);
      const std::uint32_t n = (op.immediate & kWrap) != 0 ? amount & 31 : std::min(amount, 32u);
      return op.mode == kLeft ? a * (static_cast<__int128>(1) << n) : a >> n;
    }
    case kMulAdd: return MulAdd(op, a, b, c);
    case kSet:
      return Compare<std::int64_t>(static_cast<std::uint8_t>(op.immediate), static_cast<std::int64_t>(a),
                                   static_cast<std::int64_t>(b));
    default: return (a + b + (a + b >= 0 ? 1 : 0)) >> 1;
  }
}
// Of one part of a register.
__int128 Operate(const Op& op, std::uint32_t a, std::uint32_t b, std::uint32_t a_bits, std::uint32_t b_bits,
                 std::uint32_t d_bits, std::uint32_t c) {
  const __int128 result = Apply(op, Extended(a, a_bits, (op.immediate & kASigned) != 0),
                                Extended(b, b_bits, (op.immediate & kBSigned) != 0), c);
  const bool clamp = (op.immediate & kSaturated) != 0 && op.mode != kMulAdd && op.mode != kSet;
  return clamp ? Clamp(result, d_bits, (op.immediate & kDSigned) != 0) : result;
}

// op.bytes: the second step.
void ScalarVideo(Warp& warp, const Op& op, std::uint32_t mask) {
  const auto bits_of = [&](Slot slot) { return op.rows[slot] >> 16; };
  const auto index_of = [&](Slot slot) { return op.rows[slot] & 15; };
  const std::uint32_t d_bits = bits_of(kDSelector);
  const std::uint32_t part = d_bits == 32 ? ~0u : ((1u << d_bits) - 1) << (index_of(kDSelector) * d_bits);
  ForLanes(mask, [&](std::uint32_t l) {
    const auto c = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    const std::uint32_t a = PartOf(warp.r[op.a].lane[l], index_of(kASelector), bits_of(kASelector));
    const std::uint32_t b = PartOf(warp.r[op.b].lane[l], index_of(kBSelector), bits_of(kBSelector));
    const auto v = static_cast<std::uint32_t>(Operate(op, a, b, bits_of(kASelector), bits_of(kBSelector), d_bits, c));
    const bool is_signed = (op.immediate & kDSigned) != 0;
    const bool less = is_signed ? static_cast<std::int32_t>(v) < static_cast<std::int32_t>(c) : v < c;
    std::uint32_t d = v;
    switch (op.bytes) {
      case kSecondAdd: d = v + c; break;
      case kSecondMin: d = less ? v : c; break;
      case kSecondMax: d = less ? c : v; break;
      case kMerge: d = (c & ~part) | (v << (index_of(kDSelector) * d_bits) & part); break;
      default: break;
    }
    warp.r[op.d].lane[l] = d;
  });
}
// op.count lanes. kDSelector: which of them take part.
void PackedVideo(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t bits = 32u / op.count;
  const std::uint32_t part = (1u << bits) - 1;
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t both = (warp.r[op.a].lane[l] & 0xffffffffu) | warp.r[op.b].lane[l] << 32;
    const auto c = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    std::uint32_t d = op.bytes == kSecondAdd ? c : 0;
    for (std::uint32_t i = 0; i < op.count; ++i) {
      const std::uint32_t a = PartOf(both, op.rows[kASelector] >> (4 * i) & 15, bits);
      const std::uint32_t b = PartOf(both, op.rows[kBSelector] >> (4 * i) & 15, bits);
      const auto v = static_cast<std::uint32_t>(Operate(op, a, b, bits, bits, bits, 0));
      const bool chosen = (op.rows[kDSelector] >> i & 1) != 0;
      if (op.bytes == kSecondAdd) {
        d += chosen ? v : 0;
      } else {
        d |= (chosen ? v & part : c >> (i * bits) & part) << (i * bits);
      }
    }
    warp.r[op.d].lane[l] = d;
  });
}

// Decoding -----------------------------------------------------------------------------------------------------------

// "b2", "h1": bits and index of a part; the whole register without one.
bool ParseScalarSelector(std::string_view name, std::uint32_t* selector) {
  *selector = 32u << 16;
  if (name.empty()) return true;
  const std::uint32_t bits = name[0] == 'b' ? 8 : 16;
  if (name.size() != 2 || (name[0] != 'b' && name[0] != 'h')) return false;
  const auto index = static_cast<std::uint32_t>(name[1] - '0');
  *selector = bits << 16 | index;
  return index < 32 / bits;
}
// "h10", "b3210": for each lane, from the lowest, which part of b:a. Empty: what `whole` says.
bool ParseLanesSelector(std::string_view name, std::uint32_t lanes, std::uint32_t whole, std::uint32_t* selector) {
  *selector = whole;
  if (name.empty()) return true;
  if (name.size() != lanes + 1 || name[0] != (lanes == 2 ? 'h' : 'b')) return false;
  *selector = 0;
  for (std::uint32_t i = 0; i < lanes; ++i) {
    const auto index = static_cast<std::uint32_t>(name[lanes - i] - '0');
    if (index >= 2 * lanes) return false;
    *selector |= index << (4 * i);
  }
  return true;
}
// "b20": the lanes that take part.
bool ParseMask(std::string_view name, std::uint32_t lanes, std::uint32_t* mask) {
  *mask = (1u << lanes) - 1;
  if (name.empty()) return true;
  if (name[0] != (lanes == 2 ? 'h' : 'b') || name.size() < 2 || name.size() > lanes + 1) return false;
  *mask = 0;
  for (const char digit : name.substr(1)) {
    const auto index = static_cast<std::uint32_t>(digit - '0');
    if (index >= lanes) return false;
    *mask |= 1u << index;
  }
  return true;
}

// Types and options that all video instructions have. Whether they are as the function wants them.
bool DecodeOptions(const Instruction& from, Function function, Op& op) {
  std::vector<Type> types;
  for (std::size_t i = 1; i < from.opcode.size(); ++i) {
    if (const Type type = ptx::ParseType(from.opcode[i]); type != Type::kNone) types.push_back(type);
  }
  // d, a, b; set has no type of d.
  if (function == kSet) types.insert(types.begin(), Type::kU32);
  if (types.size() != 3) return false;
  for (const Type type : types) {
    if (type != Type::kU32 && type != Type::kS32) return false;
  }
  const auto add = [&op](bool holds, Flag flag) {
    if (holds) op.immediate |= flag;
  };
  add(types[0] == Type::kS32, kDSigned);
  add(types[1] == Type::kS32, kASigned);
  add(types[2] == Type::kS32, kBSigned);
  add(Decoder::Has(from, "sat"), kSaturated);
  add(Decoder::Has(from, "wrap"), kWrap);
  add(Decoder::Has(from, "po"), kPlusOne);
  if (function != kSet) return true;
  for (const std::string_view name : {"eq", "ne", "lt", "le", "gt", "ge"}) {
    std::uint8_t how = 0;
    if (!Decoder::Has(from, name) || !ParseComparison(name, &how)) continue;
    op.immediate |= how;
    return true;
  }
  return false;
}
Status DecodeRegisters(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0], Part::kAllowed));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1], Type::kNone, Part::kAllowed));
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2], Type::kNone, Part::kAllowed));
  if (from.operands.size() == 4) {
    ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Source(from.operands[3], Type::kNone, Part::kAllowed));
  }
  return Status::Ok();
}

template <Function kFunction>
Status ScalarRule(Decoder& decoder, const Instruction& from, Op& op) {
  op.extras = 0;
  op.mode = kFunction;
  if (!DecodeOptions(from, kFunction, op)) return decoder.Refuse(from, "form not supported");
  const std::size_t count = from.operands.size();
  if (count != 4 && (count != 3 || kFunction == kMulAdd)) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_RETURN_IF_ERROR(DecodeRegisters(decoder, from, op));
  const std::vector<Operand>& operands = from.operands;
  if (!ParseScalarSelector(operands[0].selector, &op.rows[kDSelector]) ||
      !ParseScalarSelector(operands[1].selector, &op.rows[kASelector]) ||
      !ParseScalarSelector(operands[2].selector, &op.rows[kBSelector]))
    return decoder.Refuse(from, "no such part of a register");
  op.bytes = kNoSecond;
  if (kFunction == kMulAdd) {
    if (operands[1].negated != operands[2].negated) op.immediate |= kNegateProduct;
    if (operands[3].negated) op.immediate |= kNegateC;
    op.rows[kScale] = Decoder::Has(from, "shr7") ? 7 : Decoder::Has(from, "shr15") ? 15 : 0;
  } else if (count == 4) {
    op.bytes = !operands[0].selector.empty() ? kMerge
               : Decoder::Has(from, "add")   ? kSecondAdd
               : Decoder::Has(from, "min")   ? kSecondMin
               : Decoder::Has(from, "max")   ? kSecondMax
                                             : kNoSecond;
  }
  if (kFunction != kMulAdd && (op.bytes == kNoSecond) != (count == 3))
    return decoder.Refuse(from, "the number of operands is off");
  op.handler = ScalarVideo;
  return Status::Ok();
}
template <Function kFunction, std::uint8_t kParts>
Status PackedRule(Decoder& decoder, const Instruction& from, Op& op) {
  op.extras = 0;
  op.mode = kFunction;
  op.count = kParts;
  if (!DecodeOptions(from, kFunction, op)) return decoder.Refuse(from, "form not supported");
  if (from.operands.size() != 4) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_RETURN_IF_ERROR(DecodeRegisters(decoder, from, op));
  const std::vector<Operand>& operands = from.operands;
  const std::uint32_t own = kParts == 2 ? 0x10 : 0x3210;
  const std::uint32_t other = kParts == 2 ? 0x32 : 0x7654;
  if (!ParseMask(operands[0].selector, kParts, &op.rows[kDSelector]) ||
      !ParseLanesSelector(operands[1].selector, kParts, own, &op.rows[kASelector]) ||
      !ParseLanesSelector(operands[2].selector, kParts, other, &op.rows[kBSelector]))
    return decoder.Refuse(from, "no such parts of a register");
  op.bytes = Decoder::Has(from, "add") ? kSecondAdd : kMerge;
  op.handler = PackedVideo;
  return Status::Ok();
}

// add, min, max of u16x2 and s16x2. mode: 0 add, 1 min, 2 max; bytes: 1 signed, 2 .relu.
void PackedInteger(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    std::uint32_t d = 0;
    for (std::uint32_t i = 0; i < 32; i += 16) {
      const auto read = [&](std::uint32_t row) {
        const auto v = static_cast<std::uint16_t>(warp.r[row].lane[l] >> i);
        return (op.bytes & 1) != 0 ? std::int32_t{static_cast<std::int16_t>(v)} : std::int32_t{v};
      };
      const std::int32_t a = read(op.a), b = read(op.b);
      std::int32_t v = op.mode == 0 ? a + b : op.mode == 1 ? std::min(a, b) : std::max(a, b);
      if ((op.bytes & 2) != 0) v = std::max(v, 0);
      d |= (static_cast<std::uint32_t>(v) & 0xffff) << i;
    }
    warp.r[op.d].lane[l] = d;
  });
}

}  // namespace

bool IsPackedInteger(const Instruction& from) { return from.opcode.back() == "u16x2" || from.opcode.back() == "s16x2"; }
Status PackedIntegerRule(Decoder& decoder, const Instruction& from, Op& op) {
  op.mode = from.opcode[0] == "add" ? 0 : from.opcode[0] == "min" ? 1 : 2;
  op.bytes = static_cast<std::uint8_t>((from.opcode.back() == "s16x2" ? 1 : 0) | (Decoder::Has(from, "relu") ? 2 : 0));
  const bool relu_fits = (op.bytes & 2) == 0 || (op.mode != 0 && op.bytes == 3);
  if (from.opcode.size() != ((op.bytes & 2) != 0 ? 3u : 2u) || !relu_fits)
    return decoder.Refuse(from, "form not supported");
  op.extras = 0;
  op.handler = PackedInteger;
  return decoder.Rows(from, op, 3);
}

const RuleTable& VideoRules() {
  static const RuleTable kRules{{"vadd", {ScalarRule<kSum>, "sat add min max"}},
                                {"vsub", {ScalarRule<kDifference>, "sat add min max"}},
                                {"vabsdiff", {ScalarRule<kAbsDifference>, "sat add min max"}},
                                {"vmin", {ScalarRule<kLeast>, "sat add min max"}},
                                {"vmax", {ScalarRule<kGreatest>, "sat add min max"}},
                                {"vshl", {ScalarRule<kLeft>, "sat clamp wrap add min max"}},
                                {"vshr", {ScalarRule<kRight>, "sat clamp wrap add min max"}},
                                {"vmad", {ScalarRule<kMulAdd>, "sat shr7 shr15 po"}},
                                {"vset", {ScalarRule<kSet>, "eq ne lt le gt ge add min max"}},
                                {"vadd2", {PackedRule<kSum, 2>, "sat add"}},
                                {"vsub2", {PackedRule<kDifference, 2>, "sat add"}},
                                {"vavrg2", {PackedRule<kAverage, 2>, "sat add"}},
                                {"vabsdiff2", {PackedRule<kAbsDifference, 2>, "sat add"}},
                                {"vmin2", {PackedRule<kLeast, 2>, "sat add"}},
                                {"vmax2", {PackedRule<kGreatest, 2>, "sat add"}},
                                {"vset2", {PackedRule<kSet, 2>, "eq ne lt le gt ge add"}},
                                {"vadd4", {PackedRule<kSum, 4>, "sat add"}},
                                {"vsub4", {PackedRule<kDifference, 4>, "sat add"}},
                                {"vavrg4", {PackedRule<kAverage, 4>, "sat add"}},
                                {"vabsdiff4", {PackedRule<kAbsDifference, 4>, "sat add"}},
                                {"vmin4", {PackedRule<kLeast, 4>, "sat add"}},
                                {"vmax4", {PackedRule<kGreatest, 4>, "sat add"}},
                                {"vset4", {PackedRule<kSet, 4>, "eq ne lt le gt ge add"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
