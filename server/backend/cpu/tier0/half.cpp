// Arithmetic and comparison of half-precision floats (f16, bf16) and of pairs of them.
//
// Every operation is computed exactly in double, or rounded to odd there, and rounded once to the format. The rows of
// this table are looked at before others where an instruction's last type is one of these.
#include <algorithm>

#include "server/backend/cpu/tier0/comparison.h"
#include "server/backend/cpu/tier0/decoder.h"
#include "server/backend/cpu/tier0/small_float.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Type;

// Op::mode of arithmetic.
enum Option : std::uint8_t { kFtz = 1, kSat = 2, kRelu = 4, kNanWins = 8, kXorSign = 16 };
enum class Function : std::uint8_t { kAdd, kSub, kMul, kFma, kNeg, kAbs, kMin, kMax, kEx2, kTanh };

constexpr std::uint32_t kSign = 0x8000;
constexpr std::uint32_t kNan = 0x7fff;

std::uint32_t FlushSmall(std::uint32_t v, const Format& format, std::uint8_t options) {
  const bool subnormal = (v & 0x7fffu) >> format.fraction_bits == 0;
  return (options & kFtz) != 0 && subnormal ? v & kSign : v;
}

std::uint32_t Lesser(std::uint32_t a, std::uint32_t b, bool want_less, const Format& format, std::uint8_t options) {
  std::uint32_t sign = 0;
  if ((options & kXorSign) != 0) {
    sign = (a ^ b) & kSign;
    a &= 0x7fff;
    b &= 0x7fff;
  }
  const double x = FromSmall(a, format), y = FromSmall(b, format);
  const bool a_nan = std::isnan(x), b_nan = std::isnan(y);
  if ((a_nan && b_nan) || ((options & kNanWins) != 0 && (a_nan || b_nan))) return kNan;
  // -0 is less than +0.
  const bool a_less = x < y || (x == y && (a & kSign) != 0);
  const std::uint32_t chosen = a_nan ? b : b_nan ? a : a_less == want_less ? a : b;
  return (options & kXorSign) != 0 ? chosen | sign : chosen;
}

template <Function kFunction>
double Exact(double a, double b, double c) {
  switch (kFunction) {
    case Function::kAdd: return AddToOdd(a, b);
    case Function::kSub: return AddToOdd(a, -b);
    case Function::kMul: return a * b;
    case Function::kFma: return AddToOdd(a * b, c);
    case Function::kEx2: return std::exp2(a);
    default: return std::tanh(a);
  }
}
template <Function kFunction>
std::uint32_t Compute(std::uint32_t a, std::uint32_t b, std::uint32_t c, const Format& format, std::uint8_t options) {
  a = FlushSmall(a, format, options);
  b = FlushSmall(b, format, options);
  c = FlushSmall(c, format, options);
  if constexpr (kFunction == Function::kNeg) return a ^ kSign;
  if constexpr (kFunction == Function::kAbs) return a & ~kSign;
  std::uint32_t result = 0;
  if constexpr (kFunction == Function::kMin || kFunction == Function::kMax) {
    result = Lesser(a, b, kFunction == Function::kMin, format, options);
  } else {
    double v = Exact<kFunction>(FromSmall(a, format), FromSmall(b, format), FromSmall(c, format));
    if ((options & kSat) != 0) v = v > 0 ? std::min(v, 1.0) : 0.0;  // NaN becomes 0
    result = FlushSmall(ToSmall(v, format, kNearest), format, options);
  }
  if ((options & kRelu) != 0 && (result & kSign) != 0) result = 0;
  return result;
}

template <Function kFunction, bool kIsBrain>
void HalfArithmetic(Warp& warp, const Op& op, std::uint32_t mask) {
  static constexpr Format kFormat = kIsBrain ? kBrain : kHalf;
  const std::uint8_t options = op.mode;
  ForLanes(mask, [&](std::uint32_t l) {
    const auto a = static_cast<std::uint32_t>(warp.r[op.a].lane[l]);
    const auto b = static_cast<std::uint32_t>(warp.r[op.b].lane[l]);
    const auto c = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    std::uint32_t d = Compute<kFunction>(a & 0xffff, b & 0xffff, c & 0xffff, kFormat, options);
    if (op.count == 2) d |= Compute<kFunction>(a >> 16, b >> 16, c >> 16, kFormat, options) << 16;
    warp.r[op.d].lane[l] = d;
  });
}

// Other types than the last, as in add.f32.f16, make it another instruction.
bool HasOneType(const Instruction& from) {
  const auto types = std::count_if(from.opcode.begin() + 1, from.opcode.end(),
                                   [](std::string_view part) { return ptx::ParseType(part) != Type::kNone; });
  return types == 1;
}
template <Function kFunction, std::size_t kOperands>
Status HalfRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (!HasOneType(from)) return decoder.Refuse(from, "operands of several types are not supported");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, kOperands));
  const Type type = Decoder::LastType(from);
  op.mode =
      static_cast<std::uint8_t>((Decoder::Has(from, "ftz") ? kFtz : 0) | (Decoder::Has(from, "sat") ? kSat : 0) |
                                (Decoder::Has(from, "relu") ? kRelu : 0) | (Decoder::Has(from, "NaN") ? kNanWins : 0) |
                                (Decoder::Has(from, "xorsign") ? kXorSign : 0));
  op.extras = 0;  // rounding and flushing are done here
  op.count = IsPairType(type) ? 2 : 1;
  op.handler = IsBrainType(type) ? HalfArithmetic<kFunction, true> : HalfArithmetic<kFunction, false>;
  return Status::Ok();
}

// setp, set. mode: the combination; bytes: the comparison; count 2: pairs; immediate: 1 flushes, 2 bfloat16.
enum CompareOption : std::uint8_t { kFlushOperands = 1, kIsBrain = 2 };
// Bit 0: low halves, bit 1: high halves.
std::uint32_t CompareHalves(const Warp& warp, const Op& op, std::uint32_t l) {
  const Format& format = (op.immediate & kIsBrain) != 0 ? kBrain : kHalf;
  const std::uint8_t options = (op.immediate & kFlushOperands) != 0 ? kFtz : 0;
  std::uint32_t result = 0;
  for (std::uint32_t i = 0; i < op.count; ++i) {
    const auto read = [&](std::uint32_t row) {
      const auto v = static_cast<std::uint32_t>(warp.r[row].lane[l]) >> (16 * i) & 0xffff;
      return FromSmall(FlushSmall(v, format, options), format);
    };
    result |= static_cast<std::uint32_t>(Compare<double>(op.bytes, read(op.a), read(op.b))) << i;
  }
  return result;
}
std::uint32_t CombineWith(const Warp& warp, const Op& op, std::uint32_t holds) {
  const std::uint32_t c = op.mode == kAlone ? 0 : op.predicate_negated ? ~warp.p[op.c] : warp.p[op.c];
  return op.mode == kAnd ? holds & c : op.mode == kOr ? holds | c : op.mode == kXor ? holds ^ c : holds;
}
void SetHalfPredicates(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint32_t result = CompareHalves(warp, op, l);
    low |= (result & 1) << l;
    high |= (result >> 1) << l;
  });
  // Of a single comparison, the second predicate is its opposite.
  if (op.count == 1) high = ~low;
  const std::uint32_t first = CombineWith(warp, op, low);
  const std::uint32_t second = CombineWith(warp, op, high);
  warp.p[op.d] = (warp.p[op.d] & ~mask) | (first & mask);
  if (op.predicate >= 0) warp.p[op.predicate] = (warp.p[op.predicate] & ~mask) | (second & mask);
}
// rows[0]: what true is, of a half.
void SetHalves(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t truth = op.rows[0];
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint32_t result = CompareHalves(warp, op, l);
    const auto holds = [&](std::uint32_t half) {
      return (CombineWith(warp, op, (result >> half & 1) << l) >> l & 1) != 0;
    };
    std::uint32_t d = holds(0) ? truth : 0;
    if (op.count == 2) d |= holds(1) ? truth << 16 : 0;
    warp.r[op.d].lane[l] = d;
  });
}
Status DecodeHalfComparison(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(DecodeComparisonOperands(decoder, from, op, &op.bytes));
  const Type type = Decoder::LastType(from);
  op.extras = 0;
  op.count = IsPairType(type) ? 2 : 1;
  op.immediate = (Decoder::Has(from, "ftz") ? kFlushOperands : 0) | (IsBrainType(type) ? kIsBrain : 0);
  return Status::Ok();
}
Status HalfSetpRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.empty() || !HasOneType(from)) return decoder.Refuse(from, "form not supported");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Predicate(from.operands[0]));
  op.handler = SetHalfPredicates;
  return DecodeHalfComparison(decoder, from, op);
}
Status HalfSetRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.empty() || from.opcode.size() < 4) return decoder.Refuse(from, "form not supported");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  ACCELMESH_RETURN_IF_ERROR(DecodeHalfComparison(decoder, from, op));
  const Type to = ptx::ParseType(from.opcode[from.opcode.size() - 2]);
  const bool number = IsHalfType(to);
  const bool wide = to == Type::kU32 || to == Type::kS32;
  const bool known = op.count == 2 ? wide || to == Decoder::LastType(from)
                                   : wide || to == Type::kU16 || to == Type::kS16 || (number && !IsPairType(to));
  if (!known) return decoder.Refuse(from, "type not supported");
  op.rows[0] = number ? (IsBrainType(to) ? 0x3f80 : 0x3c00) : op.count == 1 && wide ? 0xffffffffu : 0xffff;
  op.handler = SetHalves;
  return Status::Ok();
}

}  // namespace

const RuleTable& HalfRules() {
  static constexpr std::string_view kComparisons =
      "eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu num nan and or xor ftz";
  static const RuleTable kRules{{"add", {HalfRule<Function::kAdd, 3>, "rn ftz sat"}},
                                {"sub", {HalfRule<Function::kSub, 3>, "rn ftz sat"}},
                                {"mul", {HalfRule<Function::kMul, 3>, "rn ftz sat"}},
                                {"fma", {HalfRule<Function::kFma, 4>, "rn ftz sat relu"}},
                                {"neg", {HalfRule<Function::kNeg, 2>, "ftz"}},
                                {"abs", {HalfRule<Function::kAbs, 2>, "ftz"}},
                                {"min", {HalfRule<Function::kMin, 3>, "ftz NaN xorsign abs"}},
                                {"max", {HalfRule<Function::kMax, 3>, "ftz NaN xorsign abs"}},
                                {"ex2", {HalfRule<Function::kEx2, 2>, "approx ftz"}},
                                {"tanh", {HalfRule<Function::kTanh, 2>, "approx"}},
                                {"setp", {HalfSetpRule, kComparisons}},
                                {"set", {HalfSetRule, kComparisons}}};
  return kRules;
}

}  // namespace accelmesh::tier0
