// Logic, comparison, selection, moves, floating-point properties.
#include <time.h>

#include <cmath>

#include "server/backend/cpu/tier0/comparison.h"
#include "server/backend/cpu/tier0/handlers.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

template <typename T>
struct And {
  static T Do(T a, T b) { return a & b; }
};
template <typename T>
struct Or {
  static T Do(T a, T b) { return a | b; }
};
template <typename T>
struct Xor {
  static T Do(T a, T b) { return a ^ b; }
};
template <typename T>
struct Not {
  static T Do(T a) { return static_cast<T>(~a); }
};
// cnot: whether a is zero.
template <typename T>
struct IsZero {
  static T Do(T a) { return a == 0 ? T{1} : T{0}; }
};
template <typename T>
struct Move {
  static T Do(T a) { return a; }
};

// Logic on registers or predicates: one rule for both. mode: 0 and, 1 or, 2 xor, 3 not, 4 mov.
void PredicateLogic(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t a = op.predicate_negated ? ~warp.p[op.a] : warp.p[op.a];
  const std::uint32_t b = op.count == 2 ? ~warp.p[op.b] : warp.p[op.b];
  const std::uint32_t result = op.mode == 0   ? a & b
                               : op.mode == 1 ? a | b
                               : op.mode == 2 ? a ^ b
                               : op.mode == 3 ? ~a
                                              : a;
  warp.p[op.d] = (warp.p[op.d] & ~mask) | (result & mask);
}
void PredicateConstant(Warp& warp, const Op& op, std::uint32_t mask) {
  warp.p[op.d] = op.immediate != 0 ? warp.p[op.d] | mask : warp.p[op.d] & ~mask;
}
template <HandlerOf kPick, std::size_t kOperands, std::uint8_t kMode>
Status LogicRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (Decoder::LastType(from) != Type::kPred) return SimpleRule<kPick, kOperands>(decoder, from, op);
  if (from.operands.size() != kOperands) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Predicate(from.operands[0]));
  if (from.operands[1].kind == Operand::Kind::kImmediate && kMode == 4) {
    op.immediate = from.operands[1].immediate;
    op.handler = PredicateConstant;
    return Status::Ok();
  }
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Predicate(from.operands[1]));
  op.predicate_negated = from.operands[1].negated;
  op.b = op.a;
  if constexpr (kOperands == 3) {
    ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Predicate(from.operands[2]));
    op.count = from.operands[2].negated ? 2 : 1;
  }
  op.mode = kMode;
  op.handler = PredicateLogic;
  return Status::Ok();
}

// setp, set ----------------------------------------------------------------------------------------------------------

template <typename T, std::uint8_t kHow>
void SetPredicate(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  std::uint32_t holds = 0;
  for (std::uint32_t l = 0; l < kLanes; ++l)
    holds |= static_cast<std::uint32_t>(Compare<T>(kHow, Get<T>(a[l]), Get<T>(b[l]))) << l;
  std::uint32_t other = ~holds;
  if (op.mode != kAlone) {
    const std::uint32_t c = op.predicate_negated ? ~warp.p[op.c] : warp.p[op.c];
    holds = op.mode == kAnd ? holds & c : op.mode == kOr ? holds | c : holds ^ c;
    other = op.mode == kAnd ? other & c : op.mode == kOr ? other | c : other ^ c;
  }
  warp.p[op.d] = (warp.p[op.d] & ~mask) | (holds & mask);
  if (op.predicate >= 0) warp.p[op.predicate] = (warp.p[op.predicate] & ~mask) | (other & mask);
}
template <typename T>
Handler PickComparison(std::uint8_t how) {
  static constexpr Handler kHandlers[] = {
      SetPredicate<T, 0>,  SetPredicate<T, 1>,  SetPredicate<T, 2>,  SetPredicate<T, 3>, SetPredicate<T, 4>,
      SetPredicate<T, 5>,  SetPredicate<T, 6>,  SetPredicate<T, 7>,  SetPredicate<T, 8>, SetPredicate<T, 9>,
      SetPredicate<T, 10>, SetPredicate<T, 11>, SetPredicate<T, 12>, SetPredicate<T, 13>};
  return kHandlers[how];
}
Handler PickSetp(Type type, std::uint8_t how) {
  ACCELMESH_PICK_INTEGER(type, how <= kGe ? PickComparison<T>(how) : nullptr)
  ACCELMESH_PICK_FLOAT(type, PickComparison<T>(how))
  return nullptr;
}
Status DecodeComparison(Decoder& decoder, const Instruction& from, Op& op) {
  std::uint8_t how = 0;
  ACCELMESH_RETURN_IF_ERROR(DecodeComparisonOperands(decoder, from, op, &how));
  op.handler = PickSetp(Decoder::LastType(from), how);
  return op.handler != nullptr ? Status::Ok() : decoder.Refuse(from, "type not supported");
}
Status SetpRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.empty()) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Predicate(from.operands[0]));
  return DecodeComparison(decoder, from, op);
}

void SelectByPredicate(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t p = op.predicate_negated ? ~warp.p[op.c] : warp.p[op.c];
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  ForLanes(mask, [=](std::uint32_t l) { d[l] = (p >> l & 1) != 0 ? a[l] : b[l]; });
}
Status SelpRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 4) return decoder.Refuse(from, "the number of operands is off");
  const Type type = Decoder::LastType(from);
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1], type));
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2], type));
  ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Predicate(from.operands[3]));
  op.predicate_negated = from.operands[3].negated;
  op.handler = SelectByPredicate;
  return Status::Ok();
}
// set.cmp.dtype.stype: a comparison into a predicate of its own, and a choice between true and false of dtype.
Status SetRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.empty() || from.opcode.size() < 4) return decoder.Refuse(from, "form not supported");
  const Type type = ptx::ParseType(from.opcode[from.opcode.size() - 2]);
  const std::uint32_t truth = type == Type::kU32 || type == Type::kS32 ? 0xffffffffu
                              : type == Type::kF32                     ? 0x3f800000u
                              : type == Type::kF16                     ? 0x3c00u
                              : type == Type::kBf16                    ? 0x3f80u
                                                                       : 0;
  if (truth == 0) return decoder.Refuse(from, "type not supported");
  Op compare = op;
  compare.d = decoder.NewPredicate();
  ACCELMESH_RETURN_IF_ERROR(DecodeComparison(decoder, from, compare));
  op.extras = 0;
  op.c = compare.d;
  decoder.Emit(std::move(compare));
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  op.a = decoder.Constant(truth);
  op.b = decoder.Constant(0);
  op.handler = SelectByPredicate;
  return Status::Ok();
}
// slct.dtype.ctype d, a, b, c: a where c >= 0.
template <typename C>
void SelectBySign(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    C c = Get<C>(warp.r[op.c].lane[l]);
    if constexpr (kIsFloat<C>) c = op.mode == 1 ? Flush(c) : c;
    warp.r[op.d].lane[l] = warp.r[c >= 0 ? op.a : op.b].lane[l];
  });
}
Status SlctRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 4 || from.opcode.size() < 3) return decoder.Refuse(from, "form not supported");
  const Type type = ptx::ParseType(from.opcode[from.opcode.size() - 2]);
  const Type by = Decoder::LastType(from);
  if (ptx::TypeBytes(type) < 2 || (by != Type::kS32 && by != Type::kF32))
    return decoder.Refuse(from, "type not supported");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1], type));
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2], type));
  ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Source(from.operands[3], by));
  op.extras = 0;
  op.mode = Decoder::Has(from, "ftz") ? 1 : 0;
  op.handler = by == Type::kS32 ? SelectBySign<std::int32_t> : SelectBySign<float>;
  return Status::Ok();
}

// mov: registers, vectors packed into one register and back, clocks. -------------------------------------------------

void Pack(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t bits = op.bytes * 8u;
  const std::uint64_t part = bits == 64 ? ~0ull : (1ull << bits) - 1;
  ForLanes(mask, [&](std::uint32_t l) {
    std::uint64_t v = 0;
    for (std::uint32_t i = 0; i < op.count; ++i) v |= (warp.r[op.rows[i]].lane[l] & part) << (i * bits);
    warp.r[op.d].lane[l] = v;
  });
}
void Unpack(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t bits = op.bytes * 8u;
  const std::uint64_t part = bits == 64 ? ~0ull : (1ull << bits) - 1;
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t v = warp.r[op.a].lane[l];
    for (std::uint32_t i = 0; i < op.count; ++i) warp.r[op.rows[i]].lane[l] = (v >> (i * bits)) & part;
  });
}
// The device says that its clock runs at 1 GHz, so clocks and the global timer count nanoseconds. mode 1: the high
// word.
void ReadClock(Warp& warp, const Op& op, std::uint32_t mask) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::uint64_t ns =
      static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = op.mode == 1 ? ns >> 32 : ns; });
}
// Bits, whatever the type: a float's NaN must arrive as it is.
Handler PickMove(Type type) {
  switch (ptx::TypeBytes(type)) {
    case 2: return Unary<std::uint16_t, Move>;
    case 4: return Unary<std::uint32_t, Move>;
    case 8: return Unary<std::uint64_t, Move>;
    default: return nullptr;
  }
}
Status MoveVector(Decoder& decoder, const Instruction& from, Op& op) {
  const Operand& to = from.operands[0];
  const Operand& source = from.operands[1];
  const std::uint32_t bytes = ptx::TypeBytes(Decoder::LastType(from));
  const bool unpack = to.kind == Operand::Kind::kVector;
  const std::vector<Operand>& elements = unpack ? to.elements : source.elements;
  if (elements.empty() || elements.size() > 8 || bytes % elements.size() != 0 || bytes > 8)
    return decoder.Refuse(from, "vector not supported");
  op.count = static_cast<std::uint8_t>(elements.size());
  op.bytes = static_cast<std::uint8_t>(bytes / elements.size());
  if (op.bytes == 0) return decoder.Refuse(from, "vector not supported");
  for (std::size_t i = 0; i < elements.size(); ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[i], unpack ? decoder.Destination(elements[i]) : decoder.Source(elements[i]));
  }
  if (unpack) {
    ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(source));
  } else {
    ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(to));
  }
  op.handler = unpack ? Unpack : Pack;
  return Status::Ok();
}
// mov.b128: two rows to a register, packed from 64-bit registers or taken apart into them.
Status MoveWide(Decoder& decoder, const Instruction& from, Op& op) {
  const bool unpack = from.operands[0].kind == Operand::Kind::kVector;
  const Operand& wide = from.operands[unpack ? 1 : 0];
  const std::vector<Operand>& parts = from.operands[unpack ? 0 : 1].elements;
  if (parts.size() != 2) return decoder.Refuse(from, "vector not supported");
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t high, decoder.HighRow(wide));
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t low, unpack ? decoder.Source(wide) : decoder.Destination(wide));
  for (std::size_t i = 0; i < 2; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[i], unpack ? decoder.Destination(parts[i]) : decoder.Source(parts[i]));
    op.rows[2 + i] = i == 0 ? low : high;
    if (!unpack) std::swap(op.rows[i], op.rows[2 + i]);
  }
  op.handler = [](Warp& warp, const Op& move, std::uint32_t mask) {
    ForLanes(mask, [&](std::uint32_t l) {
      const std::uint64_t first = warp.r[move.rows[2]].lane[l], second = warp.r[move.rows[3]].lane[l];
      warp.r[move.rows[0]].lane[l] = first;
      warp.r[move.rows[1]].lane[l] = second;
    });
  };
  return Status::Ok();
}
Status MovRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 2) return decoder.Refuse(from, "the number of operands is off");
  if (Decoder::LastType(from) == Type::kPred) return LogicRule<PickMove, 2, 4>(decoder, from, op);
  if (Decoder::LastType(from) == Type::kB128) return MoveWide(decoder, from, op);
  if (from.operands[0].kind == Operand::Kind::kVector || from.operands[1].kind == Operand::Kind::kVector)
    return MoveVector(decoder, from, op);
  const std::string_view name = from.operands[1].symbol;
  const bool high = name == "%clock_hi" || name == "%globaltimer_hi";
  if (high || name == "%clock" || name == "%clock64" || name == "%globaltimer" || name == "%globaltimer_lo") {
    ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
    op.mode = high ? 1 : 0;
    op.handler = ReadClock;
    return Status::Ok();
  }
  return SimpleRule<PickMove, 2>(decoder, from, op);
}

// testp --------------------------------------------------------------------------------------------------------------

template <typename T>
void TestProperty(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint32_t holds = 0;
  ForLanes(mask, [&](std::uint32_t l) {
    const T v = Get<T>(warp.r[op.a].lane[l]);
    // Zeros count as normal.
    const bool yes[] = {std::isfinite(v),
                        std::isinf(v),
                        !std::isnan(v),
                        std::isnan(v),
                        std::isnormal(v) || v == 0,
                        std::fpclassify(v) == FP_SUBNORMAL};
    holds |= yes[op.mode] ? 1u << l : 0;
  });
  warp.p[op.d] = (warp.p[op.d] & ~mask) | holds;
}
Status TestPropertyRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 2) return decoder.Refuse(from, "the number of operands is off");
  const Type type = Decoder::LastType(from);
  if (type != Type::kF32 && type != Type::kF64) return decoder.Refuse(from, "type not supported");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Predicate(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1], type));
  for (const std::string_view name : {"finite", "infinite", "number", "notanumber", "normal", "subnormal"}) {
    if (Decoder::Has(from, name)) break;
    ++op.mode;
  }
  if (op.mode > 5) return decoder.Refuse(from, "property not supported");
  op.handler = type == Type::kF64 ? TestProperty<double> : TestProperty<float>;
  return Status::Ok();
}

}  // namespace

bool ParseComparison(std::string_view name, std::uint8_t* how) {
  static const std::unordered_map<std::string_view, std::uint8_t> kNames{
      {"eq", kEq},   {"ne", kNe},   {"lt", kLt},   {"le", kLe},   {"gt", kGt},   {"ge", kGe},
      {"lo", kLt},   {"ls", kLe},   {"hi", kGt},   {"hs", kGe},   {"equ", kEqu}, {"neu", kNeu},
      {"ltu", kLtu}, {"leu", kLeu}, {"gtu", kGtu}, {"geu", kGeu}, {"num", kNum}, {"nan", kNan}};
  const auto found = kNames.find(name);
  if (found == kNames.end()) return false;
  *how = found->second;
  return true;
}
Status DecodeComparisonOperands(Decoder& decoder, const Instruction& from, Op& op, std::uint8_t* how) {
  if (from.opcode.size() < 3 || !ParseComparison(from.opcode[1], how))
    return decoder.Refuse(from, "comparison not supported");
  op.mode = Decoder::Has(from, "and")   ? kAnd
            : Decoder::Has(from, "or")  ? kOr
            : Decoder::Has(from, "xor") ? kXor
                                        : kAlone;
  if (from.operands.size() != (op.mode == kAlone ? 3u : 4u))
    return decoder.Refuse(from, "the number of operands is off");
  const Type type = Decoder::LastType(from);
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1], type));
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2], type));
  if (op.mode != kAlone) {
    ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Predicate(from.operands[3]));
    op.predicate_negated = from.operands[3].negated;
  }
  return Status::Ok();
}

const RuleTable& CompareRules() {
  static constexpr std::string_view kComparisons =
      "eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu num nan and or xor ftz";
  static const RuleTable kRules{{"and", {LogicRule<IntegerBinary<And>, 3, 0>, ""}},
                                {"or", {LogicRule<IntegerBinary<Or>, 3, 1>, ""}},
                                {"xor", {LogicRule<IntegerBinary<Xor>, 3, 2>, ""}},
                                {"not", {LogicRule<IntegerUnary<Not>, 2, 3>, ""}},
                                {"cnot", {SimpleRule<IntegerUnary<IsZero>, 2>, ""}},
                                {"mov", {MovRule, ""}},
                                {"setp", {SetpRule, kComparisons}},
                                {"set", {SetRule, kComparisons}},
                                {"selp", {SelpRule, ""}},
                                {"slct", {SlctRule, "ftz"}},
                                {"testp", {TestPropertyRule, "finite infinite number notanumber normal subnormal"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
