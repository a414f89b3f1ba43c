// Integer and floating-point arithmetic: one row of the table per opcode, one template per shape.
#include <algorithm>
#include <cmath>
#include <limits>

#include "server/backend/cpu/tier0/handlers.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Type;

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
// Division does not trap: PTX leaves x/0 unspecified (hardware gives ones), the processor does not; INT_MIN/-1 wraps.
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
// Minimum and maximum of floats return the number when one operand is NaN; -0 is less than +0.
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
struct MinNan {
  static T Do(T a, T b) {
    return std::isnan(a) || std::isnan(b) ? std::numeric_limits<T>::quiet_NaN() : Min<T>::Do(a, b);
  }
};
template <typename T>
struct MaxNan {
  static T Do(T a, T b) {
    return std::isnan(a) || std::isnan(b) ? std::numeric_limits<T>::quiet_NaN() : Max<T>::Do(a, b);
  }
};
// .xorsign.abs: of magnitudes; the signs' exclusive or is the result's. Of single precision alone.
template <template <typename> class F>
struct OfMagnitudes {
  template <typename T>
  struct Of {
    static T Do(T a, T b) {
      const T v = F<T>::Do(std::fabs(a), std::fabs(b));
      return std::isnan(v) ? v : std::copysign(v, std::signbit(a) != std::signbit(b) ? T{-1} : T{1});
    }
  };
};
// min.relu, max.relu of integers: nothing below zero.
template <template <typename> class F>
struct NotNegative {
  template <typename T>
  struct Of {
    static T Do(T a, T b) { return std::max(F<T>::Do(a, b), T{0}); }
  };
};
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
// rcp.approx.ftz.f64 and rsqrt.approx.ftz.f64 work on the high words alone; the low word of the result is zero.
double HighWord(double v) { return std::bit_cast<double>(std::bit_cast<std::uint64_t>(v) & ~0xffffffffull); }
template <typename T>
struct RcpHigh {
  static T Do(T a) { return static_cast<T>(HighWord(1.0 / HighWord(a))); }
};
template <typename T>
struct RsqrtHigh {
  static T Do(T a) { return static_cast<T>(HighWord(1.0 / std::sqrt(HighWord(a)))); }
};
// The difference's magnitude plus c: sad.
template <typename T>
struct SumOfDifference {
  static T Do(T a, T b, T c) { return Add<T>::Do(c, a < b ? Sub<T>::Do(b, a) : Sub<T>::Do(a, b)); }
};
template <typename T>
struct MulAddHigh {
  static T Do(T a, T b, T c) { return Add<T>::Do(MulHigh<T>::Do(a, b), c); }
};

template <typename T>
void MulAdd(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  const std::uint64_t* c = warp.r[op.c].lane;
  ForLanes(mask, [=](std::uint32_t l) {
    if constexpr (kIsFloat<T>) {
      d[l] = PutResult<T>(std::fma(Get<T>(a[l]), Get<T>(b[l]), Get<T>(c[l])));
    } else {
      d[l] = Put<T>(
          static_cast<T>(static_cast<std::uint64_t>(Get<T>(a[l])) * static_cast<std::uint64_t>(Get<T>(b[l])) + c[l]));
    }
  });
}
// The same where the processor has the instruction: without it, fma is a call into libm for every lane.
template <typename T>
inline __attribute__((always_inline, target("avx2,fma"))) T Fused(T a, T b, T c) {
  if constexpr (sizeof(T) == 4) {
    return __builtin_fmaf(a, b, c);
  } else {
    return __builtin_fma(a, b, c);
  }
}
template <typename T>
__attribute__((target("avx2,fma"))) void MulAddFused(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  const std::uint64_t* c = warp.r[op.c].lane;
  if (mask == kAllLanes) {
    for (std::uint32_t l = 0; l < kLanes; ++l) d[l] = PutResult<T>(Fused(Get<T>(a[l]), Get<T>(b[l]), Get<T>(c[l])));
    return;
  }
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    d[l] = PutResult<T>(Fused(Get<T>(a[l]), Get<T>(b[l]), Get<T>(c[l])));
  }
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
  const std::uint64_t add = op.mode == 1 ? ~0ull : 0;
  ForLanes(mask, [=](std::uint32_t l) {
    const std::uint64_t product = static_cast<std::uint64_t>(static_cast<Wide>(Get<T>(a[l]))) *
                                  static_cast<std::uint64_t>(static_cast<Wide>(Get<T>(b[l])));
    d[l] = Put<Wide>(static_cast<Wide>(product + (c[l] & add)));
  });
}

// mul24, mad24: products of 24-bit values. mode: 1 the high 32 of the 48 bits, 2 adds c, 4
// saturates the sum (.sat.s32).
template <typename T>
void Mul24(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const auto narrow = [](std::uint64_t v) {
      const std::uint32_t shifted = static_cast<std::uint32_t>(v) << 8;
      return static_cast<std::int64_t>(static_cast<T>(shifted) >> 8);
    };
    const std::int64_t product = narrow(warp.r[op.a].lane[l]) * narrow(warp.r[op.b].lane[l]);
    const std::uint32_t part = static_cast<std::uint32_t>((op.mode & 1) != 0 ? product >> 16 : product);
    const std::uint32_t add = (op.mode & 2) != 0 ? static_cast<std::uint32_t>(warp.r[op.c].lane[l]) : 0;
    warp.r[op.d].lane[l] = part + add;
    if ((op.mode & 4) == 0) return;
    const std::int64_t sum = std::int64_t{static_cast<std::int32_t>(part)} + static_cast<std::int32_t>(add);
    warp.r[op.d].lane[l] = Put<std::int32_t>(static_cast<std::int32_t>(std::clamp<std::int64_t>(
        sum, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max())));
  });
}
Status Mul24Rule(Decoder& decoder, const Instruction& from, Op& op) {
  const bool add = from.opcode[0] == "mad24";
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, add ? 4 : 3));
  op.mode = static_cast<std::uint8_t>((Decoder::Has(from, "hi") ? 1 : 0) | (add ? 2 : 0) |
                                      (Decoder::Has(from, "sat") ? 4 : 0));
  const Type type = Decoder::LastType(from);
  if ((op.mode & 4) != 0 && (op.mode != 7 || type != Type::kS32)) return decoder.Refuse(from, "form not supported");
  if (type != Type::kS32 && type != Type::kU32) return decoder.Refuse(from, "type not supported");
  op.handler = type == Type::kS32 ? Mul24<std::int32_t> : Mul24<std::uint32_t>;
  return Status::Ok();
}

// add.sat.s32, sub.sat.s32, mad.hi.sat.s32. mode: 0, 1, 2.
void SaturatedS32(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const std::int64_t a = Get<std::int32_t>(warp.r[op.a].lane[l]);
    const std::int64_t b = Get<std::int32_t>(warp.r[op.b].lane[l]);
    const std::int64_t v = op.mode == 0   ? a + b
                           : op.mode == 1 ? a - b
                                          : (a * b >> 32) + Get<std::int32_t>(warp.r[op.c].lane[l]);
    constexpr std::int64_t kMin = std::numeric_limits<std::int32_t>::min();
    constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
    warp.r[op.d].lane[l] = Put<std::int32_t>(static_cast<std::int32_t>(std::clamp(v, kMin, kMax)));
  });
}
template <std::uint8_t kMode>
Status SaturatedRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (Decoder::LastType(from) != Type::kS32) return decoder.Refuse(from, "type not supported");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, kMode == 2 ? 4 : 3));
  op.mode = kMode;
  op.handler = SaturatedS32;
  return Status::Ok();
}
// .sat of an integer: that of a float is applied to the result (Extra).
bool SaturatesInteger(const Instruction& from) {
  const Type type = Decoder::LastType(from);
  return Decoder::Has(from, "sat") && type != Type::kF32 && type != Type::kF64;
}

// Extended precision: add.cc, addc, sub.cc, subc, mad.cc, madc. Each lane's carry, or borrow, stands in a row of its
// own. mode: 1 reads it, 2 writes it, 4 subtracts, 8 multiplies a and b and adds c, 16 takes the product's high half.
template <typename T>
void Carry(Warp& warp, const Op& op, std::uint32_t mask) {
  using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
  std::uint64_t* carry = warp.r[op.rows[0]].lane;
  ForLanes(mask, [&](std::uint32_t l) {
    unsigned __int128 x = Get<Unsigned<T>>(warp.r[op.a].lane[l]);
    unsigned __int128 y = Get<Unsigned<T>>(warp.r[op.b].lane[l]);
    if ((op.mode & 8) != 0) {
      const Wide product =
          static_cast<Wide>(Get<T>(warp.r[op.a].lane[l])) * static_cast<Wide>(Get<T>(warp.r[op.b].lane[l]));
      x = static_cast<Unsigned<T>>((op.mode & 16) != 0 ? product >> (8 * sizeof(T)) : product);
      y = Get<Unsigned<T>>(warp.r[op.c].lane[l]);
    }
    const unsigned __int128 in = (op.mode & 1) != 0 ? carry[l] & 1 : 0;
    const unsigned __int128 sum = (op.mode & 4) != 0 ? x - y - in : x + y + in;
    warp.r[op.d].lane[l] = static_cast<Unsigned<T>>(sum);
    if ((op.mode & 2) != 0) carry[l] = static_cast<std::uint64_t>(sum >> (8 * sizeof(T))) & 1;
  });
}
Handler PickCarry(Type type) {
  switch (type) {
    case Type::kU32: return Carry<std::uint32_t>;
    case Type::kS32: return Carry<std::int32_t>;
    case Type::kU64: return Carry<std::uint64_t>;
    case Type::kS64: return Carry<std::int64_t>;
    default: return nullptr;
  }
}
Status CarryRule(Decoder& decoder, const Instruction& from, Op& op) {
  const std::string_view name = from.opcode[0];
  const bool multiply = name[0] == 'm';
  op.mode =
      static_cast<std::uint8_t>((name.back() == 'c' ? 1 : 0) | (Decoder::Has(from, "cc") ? 2 : 0) |
                                (name[0] == 's' ? 4 : 0) | (multiply ? 8 : 0) | (Decoder::Has(from, "hi") ? 16 : 0));
  if (multiply && Decoder::Has(from, "wide")) return decoder.Refuse(from, "form not supported");
  op.rows[0] = decoder.CarryRow();
  return multiply ? SimpleRule<PickCarry, 4>(decoder, from, op) : SimpleRule<PickCarry, 3>(decoder, from, op);
}

Status AddRule(Decoder& d, const Instruction& f, Op& o) {
  if (IsPackedInteger(f)) return PackedIntegerRule(d, f, o);
  if (Decoder::Has(f, "cc")) return CarryRule(d, f, o);
  return SaturatesInteger(f) ? SaturatedRule<0>(d, f, o) : SimpleRule<AnyBinary<Add>, 3>(d, f, o);
}
Status SubRule(Decoder& d, const Instruction& f, Op& o) {
  if (Decoder::Has(f, "cc")) return CarryRule(d, f, o);
  return SaturatesInteger(f) ? SaturatedRule<1>(d, f, o) : SimpleRule<AnyBinary<Sub>, 3>(d, f, o);
}

Handler PickFma(Type type) {
  const bool fused = __builtin_cpu_supports("fma") != 0 && __builtin_cpu_supports("avx2") != 0;
  if (type == Type::kF32) return fused ? MulAddFused<float> : MulAdd<float>;
  if (type == Type::kF64) return fused ? MulAddFused<double> : MulAdd<double>;
  return nullptr;
}
Handler PickMulAdd(Type type) {
  ACCELMESH_PICK_INTEGER(type, MulAdd<T>)
  return PickFma(type);
}
Handler PickMulAddHigh(Type type) {
  ACCELMESH_PICK_INTEGER(type, Ternary<T, MulAddHigh>)
  return nullptr;
}
Handler PickSumOfDifference(Type type) {
  ACCELMESH_PICK_INTEGER(type, Ternary<T, SumOfDifference>)
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
  if (Decoder::Has(f, "cc")) return CarryRule(d, f, o);
  if (SaturatesInteger(f)) {
    return Decoder::Has(f, "hi") ? SaturatedRule<2>(d, f, o) : d.Refuse(f, "form not supported");
  }
  if (Decoder::Has(f, "wide")) {
    o.mode = 1;
    return SimpleRule<PickMulWide, 4>(d, f, o);
  }
  return Decoder::Has(f, "hi") ? SimpleRule<PickMulAddHigh, 4>(d, f, o) : SimpleRule<PickMulAdd, 4>(d, f, o);
}

// Functions that compare, select bits or come from libm do not see the processor's flush mode: .ftz is applied to
// operands and result here.
template <template <typename> class F>
struct Flushed {
  template <typename T>
  struct Of {
    static T Do(T a) { return Flush(F<T>::Do(Flush(a))); }
    static T Do(T a, T b) { return Flush(F<T>::Do(Flush(a), Flush(b))); }
  };
};
template <template <typename> class F, HandlerOf kPick, std::size_t kOperands>
Status FlushingRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (!Decoder::Has(from, "ftz") || Decoder::LastType(from) != Type::kF32) {
    return SimpleRule<kPick, kOperands>(decoder, from, op);
  }
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, kOperands));
  op.extras &= static_cast<std::uint8_t>(~kRounding);
  if constexpr (kOperands == 2) {
    op.handler = Unary<float, Flushed<F>::template Of>;
  } else {
    op.handler = Binary<float, Flushed<F>::template Of>;
  }
  return Status::Ok();
}
template <template <typename> class F, template <typename> class N>
Status LesserRule(Decoder& decoder, const Instruction& from, Op& op) {
  const Type type = Decoder::LastType(from);
  if (IsPackedInteger(from)) return PackedIntegerRule(decoder, from, op);
  if (Decoder::Has(from, "relu")) {
    if (type != Type::kS32) return decoder.Refuse(from, "type not supported");
    op.handler = Binary<std::int32_t, NotNegative<F>::template Of>;
    return decoder.Rows(from, op, 3);
  }
  if (Decoder::Has(from, "xorsign") != Decoder::Has(from, "abs")) return decoder.Refuse(from, "form not supported");
  if (Decoder::Has(from, "xorsign")) {
    if (type != Type::kF32) return decoder.Refuse(from, "type not supported");
    return Decoder::Has(from, "NaN")
               ? FlushingRule<OfMagnitudes<N>::template Of, FloatBinary<OfMagnitudes<N>::template Of>, 3>(decoder, from,
                                                                                                          op)
               : FlushingRule<OfMagnitudes<F>::template Of, FloatBinary<OfMagnitudes<F>::template Of>, 3>(decoder, from,
                                                                                                          op);
  }
  return Decoder::Has(from, "NaN") ? FlushingRule<N, FloatBinary<N>, 3>(decoder, from, op)
                                   : FlushingRule<F, AnyBinary<F>, 3>(decoder, from, op);
}
bool IsGrossF64(const Instruction& from) {
  return Decoder::LastType(from) == Type::kF64 && Decoder::Has(from, "approx") && Decoder::Has(from, "ftz");
}
Status RcpRule(Decoder& d, const Instruction& f, Op& o) {
  return IsGrossF64(f) ? SimpleRule<FloatUnary<RcpHigh>, 2>(d, f, o) : SimpleRule<FloatUnary<Rcp>, 2>(d, f, o);
}
Status RsqrtRule(Decoder& d, const Instruction& f, Op& o) {
  return IsGrossF64(f) ? SimpleRule<FloatUnary<RsqrtHigh>, 2>(d, f, o) : SimpleRule<FloatUnary<Rsqrt>, 2>(d, f, o);
}

}  // namespace

const RuleTable& ArithmeticRules() {
  static const RuleTable kRules{{"add", {AddRule, "rn rz rm rp ftz sat cc u16x2 s16x2"}},
                                {"sub", {SubRule, "rn rz rm rp ftz sat cc"}},
                                {"addc", {CarryRule, "cc"}},
                                {"subc", {CarryRule, "cc"}},
                                {"mul", {MulRule, "lo hi wide rn rz rm rp ftz sat"}},
                                {"mad", {MadRule, "lo hi wide cc rn rz rm rp ftz sat"}},
                                {"madc", {CarryRule, "lo hi cc"}},
                                {"fma", {SimpleRule<PickFma, 4>, "rn rz rm rp ftz sat"}},
                                {"mul24", {Mul24Rule, "lo hi"}},
                                {"mad24", {Mul24Rule, "lo hi sat"}},
                                {"sad", {SimpleRule<PickSumOfDifference, 4>, ""}},
                                {"div", {SimpleRule<AnyBinary<Div>, 3>, "rn rz rm rp approx full ftz"}},
                                {"rem", {SimpleRule<IntegerBinary<Rem>, 3>, ""}},
                                {"min", {LesserRule<Min, MinNan>, "ftz NaN xorsign abs relu u16x2 s16x2"}},
                                {"max", {LesserRule<Max, MaxNan>, "ftz NaN xorsign abs relu u16x2 s16x2"}},
                                {"neg", {FlushingRule<Neg, AnyUnary<Neg>, 2>, "ftz"}},
                                {"abs", {FlushingRule<Abs, AnyUnary<Abs>, 2>, "ftz"}},
                                {"sqrt", {SimpleRule<FloatUnary<Sqrt>, 2>, "rn rz rm rp approx ftz"}},
                                {"rsqrt", {RsqrtRule, "approx ftz"}},
                                {"rcp", {RcpRule, "rn rz rm rp approx ftz"}},
                                {"ex2", {FlushingRule<Ex2, FloatUnary<Ex2>, 2>, "approx ftz"}},
                                {"lg2", {FlushingRule<Lg2, FloatUnary<Lg2>, 2>, "approx ftz"}},
                                {"sin", {FlushingRule<Sin, FloatUnary<Sin>, 2>, "approx ftz"}},
                                {"cos", {FlushingRule<Cos, FloatUnary<Cos>, 2>, "approx ftz"}},
                                {"tanh", {FlushingRule<Tanh, FloatUnary<Tanh>, 2>, "approx"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
