// Arithmetic and comparison of floats of all sizes.
#include <limits>

#include "tests/differential/small_number.h"
#include "tests/differential/table.h"
#include "tests/unit/server/backend/cpu/tier0/exact.h"

namespace accelmesh::differential {
namespace {

using tier0::Ftz;
using tier0::Quad;
using tier0::Toward;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

struct Mode {
  const char* name;
  Toward toward;
};
constexpr Mode kModes[] = {{"", Toward::kNearest},
                           {".rn", Toward::kNearest},
                           {".rz", Toward::kZero},
                           {".rm", Toward::kDown},
                           {".rp", Toward::kUp}};

// .ftz before and after, .sat last.
struct Options {
  bool flush = false;
  bool saturate = false;
  std::string name() const { return std::string(flush ? ".ftz" : "") + (saturate ? ".sat" : ""); }
  template <typename T>
  T In(T v) const {
    if constexpr (std::is_same_v<T, float>) return flush ? Ftz(v) : v;
    return v;
  }
  template <typename T>
  T Out(T v) const {
    v = In(v);
    if (!saturate) return v;
    return v >= 1 ? T{1} : v > 0 ? v : T{0};
  }
  // Whether what rounds up to the smallest normal number counts as subnormal, the ISA does not say. Here it does, if
  // it were smaller in a format with more exponents: what processors mean by an underflow. `exact` gives the number.
  template <typename T, typename F>
  T Out(T v, Toward to, F exact) const {
    if constexpr (std::is_same_v<T, float>) {
      constexpr float kSmallest = std::numeric_limits<float>::min();
      if (flush && std::fabs(v) == kSmallest &&
          std::fabs(tier0::RoundTo<float>(exact() * static_cast<Quad>(0x1p64), 0, to)) < kSmallest * 0x1p64f)
        v = std::copysign(0.0f, v);
    }
    return Out(v);
  }
};
template <typename T>
std::vector<Options> AllOptions() {
  if (std::is_same_v<T, double>) return {{}};
  return {{false, false}, {true, false}, {false, true}, {true, true}};
}
template <typename T>
constexpr Family FamilyOf() {
  return std::is_same_v<T, double> ? Family::kF64 : Family::kF32;
}

template <typename T>
void AddArithmetic(Table& table) {
  const auto f = FamilyOf<T>();
  const std::string type = std::string(".") + Name<T>();
  for (const Mode& mode : kModes) {
    const Toward to = mode.toward;
    const bool nearest = to == Toward::kNearest;
    for (const Options& o : AllOptions<T>()) {
      const std::string rest = mode.name + o.name() + type;
      table.Add<T(T, T)>(f, "add" + rest, [=](T a, T b) {
        a = o.In(a), b = o.In(b);
        return o.Out(nearest ? a + b : tier0::ExactAdd(a, b, to));
      });
      table.Add<T(T, T)>(f, "sub" + rest, [=](T a, T b) {
        a = o.In(a), b = o.In(b);
        return o.Out(nearest ? a - b : tier0::ExactAdd(a, -b, to));
      });
      table.Add<T(T, T)>(f, "mul" + rest, [=](T a, T b) {
        a = o.In(a), b = o.In(b);
        return o.Out(nearest ? a * b : tier0::ExactMul(a, b, to), to,
                     [=] { return static_cast<Quad>(a) * static_cast<Quad>(b); });
      });
      if (mode.name[0] == 0) continue;
      for (const char* name : {"fma", "mad"}) {
        table.Add<T(T, T, T)>(f, name + rest, [=](T a, T b, T c) {
          a = o.In(a), b = o.In(b), c = o.In(c);
          return o.Out(nearest ? std::fma(a, b, c) : tier0::ExactFma(a, b, c, to), to,
                       [=] { return static_cast<Quad>(a) * static_cast<Quad>(b) + static_cast<Quad>(c); });
        });
      }
      if (o.saturate) continue;
      table.Add<T(T, T)>(f, "div" + rest, [=](T a, T b) {
        a = o.In(a), b = o.In(b);
        return o.Out(nearest ? a / b : tier0::ExactDiv(a, b, to), to,
                     [=] { return static_cast<Quad>(a) / static_cast<Quad>(b); });
      });
      table.Add<T(T)>(f, "rcp" + rest, [=](T a) {
        a = o.In(a);
        return o.Out(nearest ? T{1} / a : tier0::ExactDiv(T{1}, a, to), to, [=] { return 1 / static_cast<Quad>(a); });
      });
      table.Add<T(T)>(f, "sqrt" + rest, [=](T a) {
        a = o.In(a);
        return o.Out(nearest ? std::sqrt(a) : tier0::ExactSqrt(a, to));
      });
    }
  }
}

// Of the numbers; a NaN only if both are, or where it is asked for. -0 is less than +0.
template <typename T>
T Extreme(T a, T b, bool least, bool nan_wins) {
  if (std::isnan(a)) return nan_wins || std::isnan(b) ? a : b;
  if (std::isnan(b)) return nan_wins ? b : a;
  const bool a_less = a < b || (a == b && std::signbit(a));
  return a_less == least ? a : b;
}

template <typename T>
void AddRest(Table& table) {
  const auto f = FamilyOf<T>();
  const std::string type = std::string(".") + Name<T>();
  const std::string one_nan = std::is_same_v<T, double> ? kOneNan64 : kOneNan32;
  constexpr T kSmallest = std::numeric_limits<T>::min();
  for (const Options& o : AllOptions<T>()) {
    if (o.saturate) continue;
    const std::string rest = o.name() + type;
    // Which NaN comes of a NaN is open.
    table.Add<T(T)>(f, "abs" + rest + " $0, #0" + (sizeof(T) == 4 ? one_nan : ""),
                    [=](T a) { return std::fabs(o.In(a)); });
    table.Add<T(T)>(f, "neg" + rest + " $0, #0" + (sizeof(T) == 4 ? one_nan : ""), [=](T a) { return -o.In(a); });
    for (const bool least : {false, true}) {
      for (const bool nan_wins : {false, true}) {
        if (nan_wins && sizeof(T) == 8) continue;
        const std::string opcode = std::string(least ? "min" : "max") + o.name() + (nan_wins ? ".NaN" : "") + type;
        // Of two NaNs, too.
        table.Add<T(T, T)>(f, opcode, [=](T a, T b) { return Extreme(o.In(a), o.In(b), least, nan_wins); });
      }
    }
    using Holds = bool (*)(T, T);
    const std::pair<const char*, Holds> kComparisons[] = {
        {"eq", [](T a, T b) { return a == b; }},
        {"ne", [](T a, T b) { return a < b || a > b; }},
        {"lt", [](T a, T b) { return a < b; }},
        {"le", [](T a, T b) { return a <= b; }},
        {"gt", [](T a, T b) { return a > b; }},
        {"ge", [](T a, T b) { return a >= b; }},
        {"equ", [](T a, T b) { return !(a < b || a > b); }},
        {"neu", [](T a, T b) { return !(a == b); }},
        {"ltu", [](T a, T b) { return !(a >= b); }},
        {"leu", [](T a, T b) { return !(a > b); }},
        {"gtu", [](T a, T b) { return !(a <= b); }},
        {"geu", [](T a, T b) { return !(a < b); }},
        {"num", [](T a, T b) { return !std::isnan(a) && !std::isnan(b); }},
        {"nan", [](T a, T b) { return std::isnan(a) || std::isnan(b); }}};
    for (const auto& [name, comparison] : kComparisons) {
      const Holds holds = comparison;
      table.Add<bool(T, T)>(Family::kCompare, std::string("setp.") + name + rest,
                            [=](T a, T b) { return holds(o.In(a), o.In(b)); });
      table.Add<U32(T, T)>(Family::kCompare, std::string("set.") + name + o.name() + ".u32" + type,
                           [=](T a, T b) { return holds(o.In(a), o.In(b)) ? 0xffffffffu : 0u; });
      table.Add<float(T, T)>(Family::kCompare, std::string("set.") + name + o.name() + ".f32" + type,
                             [=](T a, T b) { return holds(o.In(a), o.In(b)) ? 1.0f : 0.0f; });
    }
  }
  const auto subnormal = [](T a) { return a != 0 && std::fabs(a) < kSmallest; };
  table.Add<bool(T)>(f, "testp.finite" + type, [](T a) { return std::isfinite(a); });
  table.Add<bool(T)>(f, "testp.infinite" + type, [](T a) { return std::isinf(a); });
  table.Add<bool(T)>(f, "testp.number" + type, [](T a) { return !std::isnan(a); });
  table.Add<bool(T)>(f, "testp.notanumber" + type, [](T a) { return std::isnan(a); });
  table.Add<bool(T)>(f, "testp.subnormal" + type, subnormal);
  // Zeros are normal, as the ISA has it.
  table.Add<bool(T)>(f, "testp.normal" + type, [=](T a) { return std::isfinite(a) && !subnormal(a); });
}

void AddBitwise(Table& table) {
  table.Add<U32(U32, U32)>(Family::kF32, "copysign.f32",
                           [](U32 a, U32 b) { return (a & 0x80000000u) | (b & 0x7fffffffu); });
  table.Add<U64(U64, U64)>(Family::kF64, "copysign.f64",
                           [](U64 a, U64 b) { return (a & 0x8000000000000000u) | (b & 0x7fffffffffffffffu); });
  table.Add<U32(U32, U32, float)>(Family::kCompare, "slct.b32.f32",
                                  [](U32 a, U32 b, float c) { return c >= 0 ? a : b; });
  table.Add<U64(U64, U64, float)>(Family::kCompare, "slct.ftz.b64.f32",
                                  [](U64 a, U64 b, float c) { return Ftz(c) >= 0 ? a : b; });
  for (Operation* added : {&table.last(), &table.last(1), &table.last(2), &table.last(3)}) {
    for (Source& source : added->sources) source.immediate = false;
  }
}

// Halves -------------------------------------------------------------------------------------------------------------

struct HalfOptions {
  const SmallFormat* format;
  bool flush = false, saturate = false, relu = false, nan_wins = false;
  U32 In(U32 v) const {
    const bool subnormal = (v & 0x7fff) >> (format->precision - 1) == 0;
    return flush && subnormal ? v & 0x8000 : v;
  }
  double Number(U32 v) const { return SmallToDouble(In(v & 0xffff), *format); }
  U32 Out(double exact) const {
    if (saturate) exact = exact >= 1 ? 1.0 : exact > 0 ? exact : 0.0;
    const U32 v = In(DoubleToSmall(exact, *format, Rounding::kNearest));
    return relu && (v & 0x8000) != 0 ? 0 : v;
  }
  std::string name() const {
    return std::string(flush ? ".ftz" : "") + (saturate ? ".sat" : "") + (nan_wins ? ".NaN" : "") +
           (relu ? ".relu" : "");
  }
};

// `f` of one half, as an instruction on one and on pairs.
template <std::size_t kOperands, typename F>
void AddHalves(Table& table, const std::string& opcode, const std::string& type, F f) {
  const Source half = SourceOf<Half>();
  const Source pair{Class::k32, Kind::kHalf, false, false};
  std::string operands = " $0";
  for (std::size_t i = 0; i < kOperands; ++i) operands += ", #" + std::to_string(i);
  table.Raw(Family::kHalf, opcode + "." + type + operands, {Class::k16}, std::vector<Source>(kOperands, half),
            [f](const U64* in, U64* out) { out[0] = f(in, 0); });
  table.Raw(Family::kHalf, opcode + "." + type + "x2" + operands, {Class::k32}, std::vector<Source>(kOperands, pair),
            [f](const U64* in, U64* out) { out[0] = f(in, 0) | f(in, 16) << 16; });
}

void AddHalfOperations(Table& table, bool brain) {
  const std::string type = brain ? "bf16" : "f16";
  const SmallFormat* format = brain ? &kBf16 : &kF16;
  const auto of = [](const HalfOptions& o, const U64* in, int operand, int shift) {
    return o.Number(static_cast<U32>(in[operand] >> shift));
  };
  for (const bool flush : {false, true}) {
    if (flush && brain) continue;
    for (const bool saturate : {false, true}) {
      if (brain) continue;  // add, sub and mul of bfloat16: compute capability 9.0
      const HalfOptions o{format, flush, saturate};
      AddHalves<2>(table, "add.rn" + o.name(), type,
                   [=](const U64* in, int s) { return o.Out(SumToOdd(of(o, in, 0, s), of(o, in, 1, s))); });
      AddHalves<2>(table, "sub" + o.name(), type,
                   [=](const U64* in, int s) { return o.Out(SumToOdd(of(o, in, 0, s), -of(o, in, 1, s))); });
      AddHalves<2>(table, "mul" + o.name(), type,
                   [=](const U64* in, int s) { return o.Out(of(o, in, 0, s) * of(o, in, 1, s)); });
    }
    for (const int how : {0, 1, 2}) {
      if (how == 1 && brain) continue;
      const HalfOptions o{format, flush, how == 1, how == 2};
      AddHalves<3>(table, "fma.rn" + o.name(), type, [=](const U64* in, int s) {
        return o.Out(SumToOdd(of(o, in, 0, s) * of(o, in, 1, s), of(o, in, 2, s)));
      });
    }
    for (const bool nan_wins : {false, true}) {
      for (const bool least : {false, true}) {
        const HalfOptions o{format, flush, false, false, nan_wins};
        AddHalves<2>(table, (least ? "min" : "max") + o.name(), type, [=](const U64* in, int s) {
          return o.Out(Extreme(of(o, in, 0, s), of(o, in, 1, s), least, nan_wins));
        });
      }
    }
  }
  const std::string one_nan = "\nmax.NaN." + type + " $0, $0, $0";
  const auto unless_nan = [format](U32 v) { return std::isnan(SmallToDouble(v, *format)) ? kSmallNan : v; };
  table.Add<Half(Half)>(Family::kHalf, "abs." + type + " $0, #0" + one_nan,
                        [=](Half a) { return Half{static_cast<std::uint16_t>(unless_nan(a.bits & 0x7fff))}; });
  table.Add<Half(Half)>(Family::kHalf, "neg." + type + " $0, #0" + one_nan,
                        [=](Half a) { return Half{static_cast<std::uint16_t>(unless_nan(a.bits ^ 0x8000))}; });
  if (brain) return;  // comparisons, too: 9.0
  const std::pair<const char*, bool (*)(double, double)> kComparisons[] = {
      {"eq", [](double a, double b) { return a == b; }},     {"ne", [](double a, double b) { return a < b || a > b; }},
      {"lt", [](double a, double b) { return a < b; }},      {"ge", [](double a, double b) { return a >= b; }},
      {"gtu", [](double a, double b) { return !(a <= b); }}, {"neu", [](double a, double b) { return !(a == b); }}};
  for (const auto& [name, comparison] : kComparisons) {
    const auto holds = comparison;
    const HalfOptions o{format};
    table.Add<bool(Half, Half)>(Family::kCompare, std::string("setp.") + name + "." + type,
                                [=](Half a, Half b) { return holds(o.Number(a.bits), o.Number(b.bits)); });
    const Source pair{Class::k32, Kind::kHalf, false, false};
    table.Raw(Family::kCompare, std::string("setp.") + name + "." + type + "x2 $0|$1, #0, #1",
              {Class::kPredicate, Class::kPredicate}, {pair, pair}, [=](const U64* in, U64* out) {
                for (const int i : {0, 1}) out[i] = holds(of(o, in, 0, 16 * i), of(o, in, 1, 16 * i)) ? 1 : 0;
              });
  }
}

}  // namespace

void AddFloatOperations(Table& table) {
  AddArithmetic<float>(table);
  AddArithmetic<double>(table);
  AddRest<float>(table);
  AddRest<double>(table);
  AddBitwise(table);
  AddHalfOperations(table, false);
  AddHalfOperations(table, true);
}

}  // namespace accelmesh::differential
