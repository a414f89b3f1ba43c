// Arithmetic, logic, comparison, conversion: one row of the table per opcode, one template per shape.
#include <algorithm>
#include <cmath>
#include <limits>

#include "server/backend/cpu/tier0/warp.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

template <typename T>
inline constexpr bool kIsFloat = std::is_floating_point_v<T>;
template <typename T>
using Unsigned = std::make_unsigned_t<T>;

// Functions of lanes. Integers wrap, so they are computed unsigned.
template <typename T>
struct Add {
  static T Do(T a, T b) {
    if constexpr (kIsFloat<T>)
      return a + b;
    else
      return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
  }
};
template <typename T>
struct Sub {
  static T Do(T a, T b) {
    if constexpr (kIsFloat<T>)
      return a - b;
    else
      return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
  }
};
template <typename T>
struct Mul {
  static T Do(T a, T b) {
    if constexpr (kIsFloat<T>)
      return a * b;
    else
      return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
  }
};
template <typename T>
struct MulHigh {
  static T Do(T a, T b) {
    using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
    return static_cast<T>((static_cast<Wide>(a) * static_cast<Wide>(b)) >> (8 * sizeof(T)));
  }
};
// Division does not trap: PTX leaves x/0 unspecified, the processor does not; INT_MIN/-1 wraps.
template <typename T>
struct Div {
  static T Do(T a, T b) {
    if constexpr (kIsFloat<T>) {
      return a / b;
    } else {
      if (b == 0) return static_cast<T>(~T{0});
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return static_cast<T>(Unsigned<T>{0} - static_cast<Unsigned<T>>(a));
      }
      return static_cast<T>(a / b);
    }
  }
};
template <typename T>
struct Rem {
  static T Do(T a, T b) {
    if (b == 0) return a;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    return static_cast<T>(a % b);
  }
};
// Minimum and maximum of floats return the number when one operand is NaN.
template <typename T>
struct Min {
  static T Do(T a, T b) {
    if constexpr (kIsFloat<T>)
      return std::isnan(a) ? b : std::isnan(b) ? a : (a < b || (a == b && std::signbit(a))) ? a : b;
    else
      return std::min(a, b);
  }
};
template <typename T>
struct Max {
  static T Do(T a, T b) {
    if constexpr (kIsFloat<T>)
      return std::isnan(a) ? b : std::isnan(b) ? a : (a > b || (a == b && !std::signbit(a))) ? a : b;
    else
      return std::max(a, b);
  }
};
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
// Shift amounts are 32-bit and clamp at the width.
template <typename T>
struct Shl {
  static T Do(T a, std::uint32_t n) {
    return n >= 8 * sizeof(T) ? T{0} : static_cast<T>(static_cast<Unsigned<T>>(a) << n);
  }
};
template <typename T>
struct Shr {
  static T Do(T a, std::uint32_t n) {
    if (n >= 8 * sizeof(T)) return std::is_signed_v<T> && a < 0 ? static_cast<T>(-1) : T{0};
    return static_cast<T>(a >> n);
  }
};
template <typename T>
struct CopySign {
  static T Do(T a, T b) { return std::copysign(b, a); }
};

template <typename T, template <typename> class F>
void Binary(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  ForLanes(mask, [=](std::uint32_t l) { d[l] = Put<T>(F<T>::Do(Get<T>(a[l]), Get<T>(b[l]))); });
}
template <typename T, template <typename> class F>
void ShiftBy(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  ForLanes(mask, [=](std::uint32_t l) { d[l] = Put<T>(F<T>::Do(Get<T>(a[l]), static_cast<std::uint32_t>(b[l]))); });
}

template <typename T>
struct Neg {
  static T Do(T a) {
    if constexpr (kIsFloat<T>)
      return -a;
    else
      return static_cast<T>(Unsigned<T>{0} - static_cast<Unsigned<T>>(a));
  }
};
template <typename T>
struct Abs {
  static T Do(T a) {
    if constexpr (kIsFloat<T>)
      return std::fabs(a);
    else if constexpr (std::is_signed_v<T>)
      return a < 0 ? Neg<T>::Do(a) : a;
    else
      return a;
  }
};
template <typename T>
struct Not {
  static T Do(T a) { return static_cast<T>(~a); }
};
template <typename T>
struct Move {
  static T Do(T a) { return a; }
};
template <typename T>
struct Sqrt {
  static T Do(T a) { return std::sqrt(a); }
};
template <typename T>
struct Rsqrt {
  static T Do(T a) { return T{1} / std::sqrt(a); }
};
template <typename T>
struct Rcp {
  static T Do(T a) { return T{1} / a; }
};
template <typename T>
struct Ex2 {
  static T Do(T a) { return std::exp2(a); }
};
template <typename T>
struct Lg2 {
  static T Do(T a) { return std::log2(a); }
};
template <typename T>
struct Sin {
  static T Do(T a) { return std::sin(a); }
};
template <typename T>
struct Cos {
  static T Do(T a) { return std::cos(a); }
};
template <typename T>
struct Tanh {
  static T Do(T a) { return std::tanh(a); }
};

template <typename T, template <typename> class F>
void Unary(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  ForLanes(mask, [=](std::uint32_t l) { d[l] = Put<T>(F<T>::Do(Get<T>(a[l]))); });
}

template <typename T>
void MulAdd(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  const std::uint64_t* c = warp.r[op.c].lane;
  ForLanes(mask, [=](std::uint32_t l) {
    if constexpr (kIsFloat<T>) {
      d[l] = Put<T>(std::fma(Get<T>(a[l]), Get<T>(b[l]), Get<T>(c[l])));
    } else {
      d[l] = Put<T>(static_cast<T>(Get<T>(a[l]) * static_cast<std::uint64_t>(Get<T>(b[l])) + c[l]));
    }
  });
}
template <typename T>
void MulAddHigh(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const T high = MulHigh<T>::Do(Get<T>(warp.r[op.a].lane[l]), Get<T>(warp.r[op.b].lane[l]));
    warp.r[op.d].lane[l] = Put<T>(Add<T>::Do(high, Get<T>(warp.r[op.c].lane[l])));
  });
}
// mul.wide, mad.wide: the product has twice the width. mode 1 adds c.
template <typename T>
void MulWide(Warp& warp, const Op& op, std::uint32_t mask) {
  using Wide = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t>,
                                  std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  const std::uint64_t* c = warp.r[op.c].lane;
  const bool add = op.mode == 1;
  ForLanes(mask, [=](std::uint32_t l) {
    const std::uint64_t product = static_cast<std::uint64_t>(static_cast<Wide>(Get<T>(a[l]))) *
                                  static_cast<std::uint64_t>(static_cast<Wide>(Get<T>(b[l])));
    d[l] = Put<Wide>(static_cast<Wide>(product + (add ? c[l] : 0)));
  });
}

// Handlers by type ---------------------------------------------------------------------------------------------------

#define ACCELMESH_PICK_INTEGER(type, ...) \
  switch (type) {                         \
    case Type::kB16:                      \
    case Type::kU16: {                    \
      using T = std::uint16_t;            \
      return __VA_ARGS__;                 \
    }                                     \
    case Type::kS16: {                    \
      using T = std::int16_t;             \
      return __VA_ARGS__;                 \
    }                                     \
    case Type::kB32:                      \
    case Type::kU32: {                    \
      using T = std::uint32_t;            \
      return __VA_ARGS__;                 \
    }                                     \
    case Type::kS32: {                    \
      using T = std::int32_t;             \
      return __VA_ARGS__;                 \
    }                                     \
    case Type::kB64:                      \
    case Type::kU64: {                    \
      using T = std::uint64_t;            \
      return __VA_ARGS__;                 \
    }                                     \
    case Type::kS64: {                    \
      using T = std::int64_t;             \
      return __VA_ARGS__;                 \
    }                                     \
    default: break;                       \
  }
#define ACCELMESH_PICK_FLOAT(type, ...) \
  switch (type) {                       \
    case Type::kF32: {                  \
      using T = float;                  \
      return __VA_ARGS__;               \
    }                                   \
    case Type::kF64: {                  \
      using T = double;                 \
      return __VA_ARGS__;               \
    }                                   \
    default: break;                     \
  }

template <template <typename> class F>
Handler AnyBinary(Type type) {
  ACCELMESH_PICK_INTEGER(type, Binary<T, F>)
  ACCELMESH_PICK_FLOAT(type, Binary<T, F>)
  return nullptr;
}
template <template <typename> class F>
Handler IntegerBinary(Type type) {
  ACCELMESH_PICK_INTEGER(type, Binary<T, F>)
  return nullptr;
}
template <template <typename> class F>
Handler FloatBinary(Type type) {
  ACCELMESH_PICK_FLOAT(type, Binary<T, F>)
  return nullptr;
}
template <template <typename> class F>
Handler AnyUnary(Type type) {
  ACCELMESH_PICK_INTEGER(type, Unary<T, F>)
  ACCELMESH_PICK_FLOAT(type, Unary<T, F>)
  return nullptr;
}
template <template <typename> class F>
Handler IntegerUnary(Type type) {
  ACCELMESH_PICK_INTEGER(type, Unary<T, F>)
  return nullptr;
}
template <template <typename> class F>
Handler FloatUnary(Type type) {
  ACCELMESH_PICK_FLOAT(type, Unary<T, F>)
  return nullptr;
}

using HandlerOf = Handler (*)(Type);
template <HandlerOf kPick, std::size_t kOperands>
Status SimpleRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, kOperands));
  op.handler = kPick(Decoder::LastType(from));
  return op.handler != nullptr ? Status::Ok() : decoder.Refuse(from, "type not supported");
}

// add.cc, addc, sub.cc, subc: the carry of each lane stands in a row of its own. mode: 1 reads it, 2 writes it, 4
// subtract.
template <typename T>
void Carry(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* carry = warp.r[op.rows[0]].lane;
  ForLanes(mask, [&](std::uint32_t l) {
    const T a = Get<T>(warp.r[op.a].lane[l]);
    const T b = Get<T>(warp.r[op.b].lane[l]);
    const unsigned __int128 in = (op.mode & 1) != 0 ? carry[l] & 1 : 0;
    const unsigned __int128 sum =
        (op.mode & 4) != 0 ? static_cast<unsigned __int128>(a) - b - in : static_cast<unsigned __int128>(a) + b + in;
    warp.r[op.d].lane[l] = static_cast<T>(sum);
    if ((op.mode & 2) != 0) carry[l] = static_cast<std::uint64_t>(sum >> (8 * sizeof(T))) & 1;
  });
}
Status CarryRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 3));
  const std::string_view name = from.opcode[0];
  op.mode = static_cast<std::uint8_t>((name.back() == 'c' ? 1 : 0) | (Decoder::Has(from, "cc") ? 2 : 0) |
                                      (name[0] == 's' ? 4 : 0));
  // The carry row is the constant row of a value that no program writes down.
  op.rows[0] = decoder.Constant(0xacce1000c0ffee01u);
  op.handler = ptx::TypeBytes(Decoder::LastType(from)) == 8 ? Carry<std::uint64_t> : Carry<std::uint32_t>;
  return Status::Ok();
}
Status AddRule(Decoder& d, const Instruction& f, Op& o) {
  return Decoder::Has(f, "cc") ? CarryRule(d, f, o) : SimpleRule<AnyBinary<Add>, 3>(d, f, o);
}
Status SubRule(Decoder& d, const Instruction& f, Op& o) {
  return Decoder::Has(f, "cc") ? CarryRule(d, f, o) : SimpleRule<AnyBinary<Sub>, 3>(d, f, o);
}

Handler PickMulAdd(Type type) {
  ACCELMESH_PICK_INTEGER(type, MulAdd<T>)
  ACCELMESH_PICK_FLOAT(type, MulAdd<T>)
  return nullptr;
}
Handler PickMulAddHigh(Type type) {
  ACCELMESH_PICK_INTEGER(type, MulAddHigh<T>)
  return nullptr;
}
Handler PickMulWide(Type type) {
  switch (type) {
    case Type::kU16: return MulWide<std::uint16_t>;
    case Type::kS16: return MulWide<std::int16_t>;
    case Type::kU32: return MulWide<std::uint32_t>;
    case Type::kS32: return MulWide<std::int32_t>;
    default: return nullptr;
  }
}
Status MulRule(Decoder& d, const Instruction& f, Op& o) {
  if (Decoder::Has(f, "wide")) return SimpleRule<PickMulWide, 3>(d, f, o);
  if (Decoder::Has(f, "hi")) return SimpleRule<IntegerBinary<MulHigh>, 3>(d, f, o);
  return SimpleRule<AnyBinary<Mul>, 3>(d, f, o);
}
Status MadRule(Decoder& d, const Instruction& f, Op& o) {
  if (Decoder::Has(f, "cc")) return d.Refuse(f, "carry of a multiply-add is not supported");
  if (Decoder::Has(f, "wide")) {
    o.mode = 1;
    return SimpleRule<PickMulWide, 4>(d, f, o);
  }
  return Decoder::Has(f, "hi") ? SimpleRule<PickMulAddHigh, 4>(d, f, o) : SimpleRule<PickMulAdd, 4>(d, f, o);
}

// Logic on registers or predicates: one truth table for both. mode: 0 and, 1 or, 2 xor, 3 not, 4 mov.
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

// setp ---------------------------------------------------------------------------------------------------------------

enum Comparison : std::uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kEqu, kNeu, kLtu, kLeu, kGtu, kGeu, kNum, kNan };
template <typename T>
bool Compare(std::uint8_t how, T a, T b) {
  bool unordered = false;
  if constexpr (kIsFloat<T>) unordered = std::isnan(a) || std::isnan(b);
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
template <typename T, std::uint8_t kHow>
void SetPredicate(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  std::uint32_t holds = 0;
  for (std::uint32_t l = 0; l < kLanes; ++l)
    holds |= static_cast<std::uint32_t>(Compare<T>(kHow, Get<T>(a[l]), Get<T>(b[l]))) << l;
  std::uint32_t other = ~holds;
  if (op.predicate_negated || op.mode != 0) {
    // Combined with predicate c by and (1), or (2), xor (3).
    const std::uint32_t c = op.predicate_negated ? ~warp.p[op.c] : warp.p[op.c];
    const std::uint32_t plain = holds;
    holds = op.mode == 1 ? plain & c : op.mode == 2 ? plain | c : plain ^ c;
    other = op.mode == 1 ? ~plain & c : op.mode == 2 ? ~plain | c : ~plain ^ c;
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
  ACCELMESH_PICK_INTEGER(type, PickComparison<T>(how))
  ACCELMESH_PICK_FLOAT(type, PickComparison<T>(how))
  return nullptr;
}
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
Status SetpRule(Decoder& decoder, const Instruction& from, Op& op) {
  std::uint8_t how = 0;
  if (from.opcode.size() < 3 || !ParseComparison(from.opcode[1], &how))
    return decoder.Refuse(from, "comparison not supported");
  if (from.operands.size() < 3) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Predicate(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1]));
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2]));
  if (from.operands.size() == 4) {
    ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Predicate(from.operands[3]));
    op.predicate_negated = from.operands[3].negated;
    op.mode = Decoder::Has(from, "and") ? 1 : Decoder::Has(from, "or") ? 2 : 3;
  }
  op.handler = PickSetp(Decoder::LastType(from), how);
  return op.handler != nullptr ? Status::Ok() : decoder.Refuse(from, "type not supported");
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
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1]));
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[2]));
  ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Predicate(from.operands[3]));
  op.predicate_negated = from.operands[3].negated;
  op.handler = SelectByPredicate;
  return Status::Ok();
}

// mov: registers, vectors packed into one register and back, the clock. ----------------------------------------------

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
void ReadClock(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint64_t now = __builtin_ia32_rdtsc();
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = op.bytes == 4 ? now & 0xffffffffu : now; });
}
Status MovRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 2) return decoder.Refuse(from, "the number of operands is off");
  const Operand& to = from.operands[0];
  const Operand& source = from.operands[1];
  const Type type = Decoder::LastType(from);
  if (type == Type::kPred) return LogicRule<AnyUnary<Move>, 2, 4>(decoder, from, op);
  const std::uint32_t bytes = ptx::TypeBytes(type);
  if (to.kind == Operand::Kind::kVector || source.kind == Operand::Kind::kVector) {
    const bool unpack = to.kind == Operand::Kind::kVector;
    const std::vector<Operand>& elements = unpack ? to.elements : source.elements;
    if (elements.empty() || elements.size() > 8 || bytes % elements.size() != 0 || bytes > 8)
      return decoder.Refuse(from, "vector not supported");
    op.count = static_cast<std::uint8_t>(elements.size());
    op.bytes = static_cast<std::uint8_t>(bytes / elements.size());
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
  if (source.kind == Operand::Kind::kSpecial &&
      (source.symbol == "%clock" || source.symbol == "%clock64" || source.symbol == "%globaltimer")) {
    ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(to));
    op.bytes = static_cast<std::uint8_t>(bytes);
    op.handler = ReadClock;
    return Status::Ok();
  }
  return SimpleRule<AnyUnary<Move>, 2>(decoder, from, op);
}

// cvt ----------------------------------------------------------------------------------------------------------------

enum Rounding : std::uint8_t { kDefault, kRni, kRzi, kRmi, kRpi };

float HalfToFloat(std::uint16_t h) {
  const std::uint32_t sign = (h & 0x8000u) << 16;
  const std::uint32_t exponent = h >> 10 & 31;
  const std::uint32_t fraction = h & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  const float magnitude = exponent == 0
                              ? std::ldexp(static_cast<float>(fraction), -24)
                              : std::ldexp(static_cast<float>(fraction | 0x400), static_cast<int>(exponent) - 25);
  return sign != 0 ? -magnitude : magnitude;
}
std::uint16_t FloatToHalf(float f) {
  const std::uint16_t sign = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(f) >> 16 & 0x8000);
  if (std::isnan(f)) return 0x7fff;
  const float a = std::fabs(f);
  if (a >= 65520.0f) return static_cast<std::uint16_t>(sign | 0x7c00);
  int exponent = 0;
  std::frexp(a, &exponent);
  // Units of the last place of a half with this exponent; the sum rounds to nearest even.
  const int shift = std::max(exponent - 11, -24);
  const auto units = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(a, -shift)));
  const std::uint32_t bits = shift == -24 ? units : (static_cast<std::uint32_t>(shift + 24) << 10) + units;
  return static_cast<std::uint16_t>(sign | bits);
}

template <typename T>
T RoundToIntegral(T v, std::uint8_t rounding) {
  switch (rounding) {
    case kRni: return std::nearbyint(v);
    case kRzi: return std::trunc(v);
    case kRmi: return std::floor(v);
    case kRpi: return std::ceil(v);
    default: return v;
  }
}
// Saturates; NaN becomes 0.
template <typename To>
To SaturateTo(double v) {
  if (std::isnan(v)) return 0;
  if (v <= static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (v >= static_cast<double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(v);
}
template <typename To, typename From>
void Convert(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  ForLanes(mask, [=, &op](std::uint32_t l) {
    const From v = Get<From>(a[l]);
    if constexpr (kIsFloat<To>) {
      To result = static_cast<To>(kIsFloat<From> ? static_cast<To>(RoundToIntegral(
                                                       static_cast<std::conditional_t<kIsFloat<From>, From, double>>(v),
                                                       kIsFloat<From> ? op.mode : 0))
                                                 : static_cast<To>(v));
      if constexpr (!kIsFloat<From>) result = static_cast<To>(v);
      if (op.count == 2) result = result > 0 ? std::min(result, To{1}) : To{0};
      d[l] = Put<To>(result);
    } else if constexpr (kIsFloat<From>) {
      d[l] = Put<To>(SaturateTo<To>(
          static_cast<double>(RoundToIntegral(v, op.mode == kDefault ? static_cast<std::uint8_t>(kRzi) : op.mode))));
    } else if (op.count == 2) {
      using Wide = __int128;
      const Wide low = std::numeric_limits<To>::min();
      const Wide high = std::numeric_limits<To>::max();
      d[l] = Put<To>(static_cast<To>(std::clamp(static_cast<Wide>(v), low, high)));
    } else {
      d[l] = Put<To>(static_cast<To>(v));
    }
  });
}
// The value of a narrow integer register as its type says, widened by sign into the 64-bit container where signed.
template <typename To>
Handler PickFrom(Type type) {
  switch (type) {
    case Type::kB8:
    case Type::kU8: return Convert<To, std::uint8_t>;
    case Type::kS8: return Convert<To, std::int8_t>;
    case Type::kB16:
    case Type::kU16: return Convert<To, std::uint16_t>;
    case Type::kS16: return Convert<To, std::int16_t>;
    case Type::kB32:
    case Type::kU32: return Convert<To, std::uint32_t>;
    case Type::kS32: return Convert<To, std::int32_t>;
    case Type::kB64:
    case Type::kU64: return Convert<To, std::uint64_t>;
    case Type::kS64: return Convert<To, std::int64_t>;
    case Type::kF32: return Convert<To, float>;
    case Type::kF64: return Convert<To, double>;
    default: return nullptr;
  }
}
Handler PickConvert(Type to, Type from) {
  switch (to) {
    case Type::kB8:
    case Type::kU8: return PickFrom<std::uint8_t>(from);
    case Type::kS8: return PickFrom<std::int8_t>(from);
    case Type::kB16:
    case Type::kU16: return PickFrom<std::uint16_t>(from);
    case Type::kS16: return PickFrom<std::int16_t>(from);
    case Type::kB32:
    case Type::kU32: return PickFrom<std::uint32_t>(from);
    case Type::kS32: return PickFrom<std::int32_t>(from);
    case Type::kB64:
    case Type::kU64: return PickFrom<std::uint64_t>(from);
    case Type::kS64: return PickFrom<std::int64_t>(from);
    case Type::kF32: return PickFrom<float>(from);
    case Type::kF64: return PickFrom<double>(from);
    default: return nullptr;
  }
}
// cvt.s32.s8 and the like: destinations of 8 bits keep the sign in a wider register.
void ConvertFromHalf(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const float v = HalfToFloat(static_cast<std::uint16_t>(warp.r[op.a].lane[l]));
    warp.r[op.d].lane[l] = op.bytes == 8 ? Put<double>(v) : Put<float>(v);
  });
}
void ConvertToHalf(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) { warp.r[op.d].lane[l] = FloatToHalf(Get<float>(warp.r[op.a].lane[l])); });
}
Status CvtRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 2));
  const Type source = Decoder::LastType(from);
  const Type to = ptx::ParseType(from.opcode[from.opcode.size() - 2]);
  op.mode = Decoder::Has(from, "rni")   ? kRni
            : Decoder::Has(from, "rzi") ? kRzi
            : Decoder::Has(from, "rmi") ? kRmi
            : Decoder::Has(from, "rpi") ? kRpi
                                        : kDefault;
  op.count = Decoder::Has(from, "sat") ? 2 : 1;
  if (source == Type::kF16 && (to == Type::kF32 || to == Type::kF64)) {
    op.bytes = to == Type::kF64 ? 8 : 4;
    op.handler = ConvertFromHalf;
    return Status::Ok();
  }
  if (to == Type::kF16 && source == Type::kF32 && !Decoder::Has(from, "rz")) {
    op.handler = ConvertToHalf;
    return Status::Ok();
  }
  op.handler = PickConvert(to, source);
  return op.handler != nullptr ? Status::Ok() : decoder.Refuse(from, "conversion not supported");
}

// Bits ---------------------------------------------------------------------------------------------------------------

template <typename T>
struct Popc {
  static T Do(T a) { return static_cast<T>(std::popcount(a)); }
};
template <typename T>
struct Clz {
  static T Do(T a) { return static_cast<T>(std::countl_zero(a)); }
};
template <typename T>
struct Brev {
  static T Do(T a) {
    T r = 0;
    for (unsigned i = 0; i < 8 * sizeof(T); ++i) r = static_cast<T>(r << 1 | (a >> i & 1));
    return r;
  }
};
template <template <typename> class F>
Handler BitsUnary(Type type) {
  return ptx::TypeBytes(type) == 8   ? Unary<std::uint64_t, F>
         : ptx::TypeBytes(type) == 4 ? Unary<std::uint32_t, F>
                                     : nullptr;
}
template <typename T>
void BitExtract(Warp& warp, const Op& op, std::uint32_t mask) {
  constexpr std::uint32_t kBits = 8 * sizeof(T);
  ForLanes(mask, [&](std::uint32_t l) {
    const T a = Get<T>(warp.r[op.a].lane[l]);
    const std::uint32_t position = static_cast<std::uint32_t>(warp.r[op.b].lane[l]) & 255;
    const std::uint32_t length = static_cast<std::uint32_t>(warp.r[op.c].lane[l]) & 255;
    std::uint64_t v = position >= kBits ? 0 : static_cast<std::uint64_t>(static_cast<Unsigned<T>>(a)) >> position;
    const std::uint32_t kept = length == 0 ? 0 : std::min(length, position >= kBits ? 0 : kBits - position);
    v = kept >= 64 ? v : v & ((1ull << kept) - 1);
    if constexpr (std::is_signed_v<T>) {
      const std::uint32_t sign_at = std::min(position + length - 1, kBits - 1);
      if (length != 0 && (static_cast<Unsigned<T>>(a) >> sign_at & 1) != 0) v |= kept >= 64 ? 0 : ~0ull << kept;
    }
    warp.r[op.d].lane[l] = Put<T>(static_cast<T>(v));
  });
}
Handler PickBitExtract(Type type) {
  ACCELMESH_PICK_INTEGER(type, BitExtract<T>)
  return nullptr;
}
template <typename T>
void BitInsert(Warp& warp, const Op& op, std::uint32_t mask) {
  constexpr std::uint32_t kBits = 8 * sizeof(T);
  ForLanes(mask, [&](std::uint32_t l) {
    const T a = static_cast<T>(warp.r[op.a].lane[l]);
    const T b = static_cast<T>(warp.r[op.b].lane[l]);
    const std::uint32_t position = static_cast<std::uint32_t>(warp.r[op.c].lane[l]) & 255;
    const std::uint32_t length = static_cast<std::uint32_t>(warp.r[op.rows[0]].lane[l]) & 255;
    T field = position >= kBits || length == 0 ? T{0}
              : length >= kBits                ? static_cast<T>(~T{0})
                                               : static_cast<T>((T{1} << length) - 1);
    field = position >= kBits ? T{0} : static_cast<T>(field << position);
    warp.r[op.d].lane[l] = static_cast<T>(
        (b & ~field) | (static_cast<T>(position >= kBits ? T{0} : static_cast<T>(a << position)) & field));
  });
}
Status BitInsertRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 5) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 5));
  ACCELMESH_ASSIGN_OR_RETURN(op.rows[0], decoder.Source(from.operands[4]));
  op.handler = ptx::TypeBytes(Decoder::LastType(from)) == 8 ? BitInsert<std::uint64_t> : BitInsert<std::uint32_t>;
  return Status::Ok();
}
void Lop3(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t table = static_cast<std::uint32_t>(op.immediate);
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint32_t a = static_cast<std::uint32_t>(warp.r[op.a].lane[l]);
    const std::uint32_t b = static_cast<std::uint32_t>(warp.r[op.b].lane[l]);
    const std::uint32_t c = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    std::uint32_t v = 0;
    for (std::uint32_t i = 0; i < 8; ++i) {
      if ((table >> i & 1) != 0) v |= ((i & 4) != 0 ? a : ~a) & ((i & 2) != 0 ? b : ~b) & ((i & 1) != 0 ? c : ~c);
    }
    warp.r[op.d].lane[l] = v;
  });
}
Status Lop3Rule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 5 || from.operands[4].kind != Operand::Kind::kImmediate)
    return decoder.Refuse(from, "form not supported");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 5));
  op.immediate = from.operands[4].immediate;
  op.handler = Lop3;
  return Status::Ok();
}
// prmt.b32, default mode.
void Permute(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t bytes = (warp.r[op.a].lane[l] & 0xffffffffu) | warp.r[op.b].lane[l] << 32;
    const std::uint32_t select = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    std::uint32_t v = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t s = select >> (4 * i) & 15;
      std::uint32_t byte = static_cast<std::uint32_t>(bytes >> (8 * (s & 7))) & 255;
      if ((s & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
      v |= byte << (8 * i);
    }
    warp.r[op.d].lane[l] = v;
  });
}
Status PermuteRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.opcode.size() != 2) return decoder.Refuse(from, "mode not supported");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 4));
  op.handler = Permute;
  return Status::Ok();
}
// shf.{l,r}.{wrap,clamp}.b32 d, a (low), b (high), c.
void Funnel(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t both = (warp.r[op.a].lane[l] & 0xffffffffu) | warp.r[op.b].lane[l] << 32;
    std::uint32_t n = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    n = (op.mode & 1) != 0 ? n & 31 : std::min(n, 32u);
    warp.r[op.d].lane[l] = (op.mode & 2) != 0 ? static_cast<std::uint32_t>(n == 0 ? both >> 32 : both >> (32 - n))
                                              : static_cast<std::uint32_t>(n == 32 ? both >> 32 : both >> n);
  });
}
Status FunnelRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 4));
  op.mode = static_cast<std::uint8_t>((Decoder::Has(from, "wrap") ? 1 : 0) | (Decoder::Has(from, "l") ? 2 : 0));
  op.handler = Funnel;
  return Status::Ok();
}
// bfind{.shiftamt}: the most significant bit that differs from the sign; 0xffffffff if there is none.
template <typename T>
void FindBit(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const T a = Get<T>(warp.r[op.a].lane[l]);
    const Unsigned<T> bits = static_cast<Unsigned<T>>(std::is_signed_v<T> && a < T{0} ? ~a : a);
    const std::uint32_t zeros = static_cast<std::uint32_t>(std::countl_zero(bits));
    constexpr std::uint32_t kBits = 8 * sizeof(T);
    warp.r[op.d].lane[l] = zeros == kBits ? 0xffffffffu : op.mode == 1 ? zeros : kBits - 1 - zeros;
  });
}
Handler PickFindBit(Type type) {
  ACCELMESH_PICK_INTEGER(type, FindBit<T>)
  return nullptr;
}
Status FindBitRule(Decoder& decoder, const Instruction& from, Op& op) {
  op.mode = Decoder::Has(from, "shiftamt") ? 1 : 0;
  return SimpleRule<PickFindBit, 2>(decoder, from, op);
}
// dp4a.{u32,s32}.{u32,s32} d, a, b, c.
void DotBytes(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    std::uint32_t sum = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    for (unsigned i = 0; i < 4; ++i) {
      const auto a = static_cast<std::uint8_t>(warp.r[op.a].lane[l] >> (8 * i));
      const auto b = static_cast<std::uint8_t>(warp.r[op.b].lane[l] >> (8 * i));
      const std::int32_t x = (op.mode & 1) != 0 ? static_cast<std::int8_t>(a) : a;
      const std::int32_t y = (op.mode & 2) != 0 ? static_cast<std::int8_t>(b) : b;
      sum += static_cast<std::uint32_t>(x * y);
    }
    warp.r[op.d].lane[l] = sum;
  });
}
Status DotBytesRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 4));
  op.mode = static_cast<std::uint8_t>((from.opcode[1] == "s32" ? 1 : 0) | (from.opcode.back() == "s32" ? 2 : 0));
  op.handler = DotBytes;
  return Status::Ok();
}
// testp.{finite,infinite,number,notanumber,normal,subnormal}.
template <typename T>
void TestProperty(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint32_t holds = 0;
  ForLanes(mask, [&](std::uint32_t l) {
    const T v = Get<T>(warp.r[op.a].lane[l]);
    const bool yes[] = {std::isfinite(v), std::isinf(v),    !std::isnan(v),
                        std::isnan(v),    std::isnormal(v), std::fpclassify(v) == FP_SUBNORMAL};
    holds |= yes[op.mode] ? 1u << l : 0;
  });
  warp.p[op.d] = (warp.p[op.d] & ~mask) | holds;
}
Status TestPropertyRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.operands.size() != 2) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Predicate(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.a, decoder.Source(from.operands[1]));
  for (const std::string_view name : {"finite", "infinite", "number", "notanumber", "normal", "subnormal"}) {
    if (Decoder::Has(from, name)) break;
    ++op.mode;
  }
  if (op.mode > 5) return decoder.Refuse(from, "property not supported");
  op.handler = Decoder::LastType(from) == Type::kF64 ? TestProperty<double> : TestProperty<float>;
  return Status::Ok();
}

Handler PickShl(Type type) {
  ACCELMESH_PICK_INTEGER(type, ShiftBy<T, Shl>)
  return nullptr;
}
Handler PickShr(Type type) {
  ACCELMESH_PICK_INTEGER(type, ShiftBy<T, Shr>)
  return nullptr;
}

}  // namespace

DecodeRule FindArithmeticRule(std::string_view opcode) {
  static const std::unordered_map<std::string_view, DecodeRule> kRules{
      {"add", AddRule},
      {"sub", SubRule},
      {"addc", CarryRule},
      {"subc", CarryRule},
      {"mul", MulRule},
      {"mad", MadRule},
      {"fma", SimpleRule<PickMulAdd, 4>},
      {"mul24", SimpleRule<IntegerBinary<Mul>, 3>},
      {"div", SimpleRule<AnyBinary<Div>, 3>},
      {"rem", SimpleRule<IntegerBinary<Rem>, 3>},
      {"min", SimpleRule<AnyBinary<Min>, 3>},
      {"max", SimpleRule<AnyBinary<Max>, 3>},
      {"neg", SimpleRule<AnyUnary<Neg>, 2>},
      {"abs", SimpleRule<AnyUnary<Abs>, 2>},
      {"copysign", SimpleRule<FloatBinary<CopySign>, 3>},
      {"and", LogicRule<IntegerBinary<And>, 3, 0>},
      {"or", LogicRule<IntegerBinary<Or>, 3, 1>},
      {"xor", LogicRule<IntegerBinary<Xor>, 3, 2>},
      {"not", LogicRule<IntegerUnary<Not>, 2, 3>},
      {"mov", MovRule},
      {"setp", SetpRule},
      {"selp", SelpRule},
      {"cvt", CvtRule},
      {"sqrt", SimpleRule<FloatUnary<Sqrt>, 2>},
      {"rsqrt", SimpleRule<FloatUnary<Rsqrt>, 2>},
      {"rcp", SimpleRule<FloatUnary<Rcp>, 2>},
      {"ex2", SimpleRule<FloatUnary<Ex2>, 2>},
      {"lg2", SimpleRule<FloatUnary<Lg2>, 2>},
      {"sin", SimpleRule<FloatUnary<Sin>, 2>},
      {"cos", SimpleRule<FloatUnary<Cos>, 2>},
      {"tanh", SimpleRule<FloatUnary<Tanh>, 2>},
      {"testp", TestPropertyRule},
      {"popc", SimpleRule<BitsUnary<Popc>, 2>},
      {"clz", SimpleRule<BitsUnary<Clz>, 2>},
      {"brev", SimpleRule<BitsUnary<Brev>, 2>},
      {"bfe", SimpleRule<PickBitExtract, 4>},
      {"bfi", BitInsertRule},
      {"bfind", FindBitRule},
      {"lop3", Lop3Rule},
      {"prmt", PermuteRule},
      {"shf", FunnelRule},
      {"dp4a", DotBytesRule},
      {"shl", SimpleRule<PickShl, 3>},
      {"shr", SimpleRule<PickShr, 3>}};
  const auto found = kRules.find(opcode);
  return found == kRules.end() ? nullptr : found->second;
}

}  // namespace accelmesh::tier0
