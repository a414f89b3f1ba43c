// tier0/convert.cpp: cvt between every pair of types, against the ISA's rules for range, rounding and NaN.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "tests/unit/server/backend/cpu/tier0/exact.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

struct Integer {
  const char* name;
  int bits;
  bool is_signed;
  // The value of the low bits.
  __int128 Read(std::uint64_t v) const {
    const std::uint64_t low = bits == 64 ? v : v & ((1ull << bits) - 1);
    const bool negative = is_signed && (low >> (bits - 1) & 1) != 0;
    return static_cast<__int128>(low) - (negative ? static_cast<__int128>(1) << bits : 0);
  }
  __int128 Min() const { return is_signed ? -(static_cast<__int128>(1) << (bits - 1)) : 0; }
  __int128 Max() const { return (static_cast<__int128>(1) << (is_signed ? bits - 1 : bits)) - 1; }
  int register_bits() const { return std::max(bits, 16); }
};
constexpr Integer kIntegers[] = {{"u8", 8, false},   {"s8", 8, true},   {"u16", 16, false}, {"s16", 16, true},
                                 {"u32", 32, false}, {"s32", 32, true}, {"u64", 64, false}, {"s64", 64, true}};
constexpr std::pair<const char*, Toward> kRoundings[] = {
    {"rn", Toward::kNearest}, {"rz", Toward::kZero}, {"rm", Toward::kDown}, {"rp", Toward::kUp}};

// Between integers: extended by the sign of the source, chopped to the destination; a wider register is filled by the
// destination's sign. With .sat: clamped.
TEST(Convert, Integers) {
  for (const Integer& to : kIntegers) {
    for (const Integer& from : kIntegers) {
      const std::string types = std::string(to.name) + "." + from.name + " %d, %a;";
      const Widths widths{64, from.register_bits()};
      const auto rows = Rows(Kind::kInteger, from.bits);
      ExpectRows("cvt." + types, widths, rows, [&](auto& v) {
        return static_cast<std::uint64_t>(to.Read(static_cast<std::uint64_t>(from.Read(v.a))));
      });
      ExpectRows("cvt.sat." + types, widths, rows,
                 [&](auto& v) { return static_cast<std::uint64_t>(std::clamp(from.Read(v.a), to.Min(), to.Max())); });
    }
  }
}

// A narrow result in its usual register, read by an instruction of the register's width.
TEST(Convert, NarrowSignedResultsFillTheirRegister) {
  ExpectRows("cvt.s8.s32 %d, %a;", {16, 32}, Rows(Kind::kInteger, 32),
             [](auto& v) { return static_cast<std::uint64_t>(static_cast<std::int8_t>(v.a)); });
  ExpectRows(".reg .b16 %h; cvt.s8.s32 %h, %a; setp.lt.s16 %p, %h, 0; selp.b32 %d, 1, 0, %p;", {},
             Rows(Kind::kInteger, 32), [](auto& v) { return static_cast<std::int8_t>(v.a) < 0; });
}

template <typename T>
void CheckIntegersToFloat(const char* name) {
  for (const Integer& from : kIntegers) {
    for (const auto& [rounding, toward] : kRoundings) {
      ExpectRows("cvt." + std::string(rounding) + "." + name + "." + from.name + " %d, %a;",
                 {8 * sizeof(T), from.register_bits()}, Rows(Kind::kInteger, from.bits),
                 [&](auto& v) { return ToBits<T>(RoundTo<T>(static_cast<Quad>(from.Read(v.a)), 0, toward)); });
    }
  }
}
TEST(Convert, IntegersToFloats) {
  CheckIntegersToFloat<float>("f32");
  CheckIntegersToFloat<double>("f64");
  ExpectRows("cvt.rn.sat.f32.s32 %d, %a;", {}, Rows(Kind::kInteger, 32),
             [](auto& v) { return static_cast<std::int32_t>(v.a) > 0 ? 0x3f800000u : 0; });
}

// To an integer as a number, by the named rule; ties of rni go to even.
template <typename T>
T Integral(T v, const std::string& how) {
  const T down = std::floor(v);
  if (how == "rmi") return down;
  if (how == "rpi") return std::ceil(v);
  if (how == "rzi") return std::trunc(v);
  const T rest = v - down;
  const bool odd = std::fmod(down, T{2}) != 0;
  const T rounded = rest > T{0.5} || (rest == T{0.5} && odd) ? down + 1 : down;
  return std::copysign(rounded, v);
}
template <typename T>
void CheckFloatToIntegers(const char* name, Kind kind) {
  auto rows = Rows(kind, 8 * sizeof(T));
  for (const double v : {-128.5, -129.0, 127.4, 127.6, 255.5, 256.0, -0.5, 0.49, 1.5, 2.5, 3.5, -1.5, -2.5, 32767.5,
                         65535.4, 65535.6, 2147483647.5, 4294967295.5, -32769.0}) {
    rows.push_back({ToBits<T>(static_cast<T>(v))});
  }
  for (const Integer& to : kIntegers) {
    for (const std::string how : {"rni", "rzi", "rmi", "rpi"}) {
      ExpectRows("cvt." + how + "." + to.name + "." + name + " %d, %a;", {64, 8 * sizeof(T)}, rows, [&](auto& v) {
        const T x = FromBits<T>(v.a);
        // Zero, unless a 64-bit type takes part: then the top bit alone.
        if (std::isnan(x)) {
          const bool wide = sizeof(T) == 8 || to.bits == 64;
          return wide ? static_cast<std::uint64_t>(to.Read(1ull << (to.bits - 1))) : 0;
        }
        const T rounded = std::clamp(Integral(x, how), static_cast<T>(-0x1p70), static_cast<T>(0x1p70));
        return static_cast<std::uint64_t>(std::clamp(static_cast<__int128>(rounded), to.Min(), to.Max()));
      });
    }
  }
  for (const std::string how : {"rni", "rzi", "rmi", "rpi"}) {
    ExpectRows("cvt." + how + "." + name + "." + name + " %d, %a; " +
                   (sizeof(T) == 8 ? "testp.notanumber.f64 %p, %d; selp.b64 %d, 0dFFF8000000000000, %d, %p;" : ""),
               {8 * sizeof(T), 8 * sizeof(T)}, rows, [&](auto& v) {
                 const T x = FromBits<T>(v.a);
                 return ToBits<T>(std::isfinite(x) ? std::copysign(Integral(x, how), x) : x);
               });
  }
}
TEST(Convert, FloatsToIntegers) {
  CheckFloatToIntegers<float>("f32", Kind::kF32);
  CheckFloatToIntegers<double>("f64", Kind::kF64);
}

TEST(Convert, BetweenFloats) {
  const auto doubles = Rows(Kind::kF64, 64);
  ExpectRows("cvt.f64.f32 %d, %a; testp.notanumber.f64 %p, %d; selp.b64 %d, 0dFFF8000000000000, %d, %p;", {64, 32},
             Rows(Kind::kF32, 32), [](auto& v) { return ToBits<double>(FromBits<float>(v.a)); });
  for (const auto& [rounding, toward] : kRoundings) {
    const auto convert = [how = toward](double x) {
      if (!std::isfinite(x)) return static_cast<float>(x);
      const float r = RoundTo<float>(static_cast<Quad>(x), 0, how);
      return r == 0 ? std::copysign(0.0f, static_cast<float>(std::copysign(1.0, x))) : r;
    };
    ExpectRows("cvt." + std::string(rounding) + ".f32.f64 %d, %a;", {32, 64}, doubles,
               [&](auto& v) { return ToBits<float>(convert(FromBits<double>(v.a))); });
    // Rounded up from below the least normal number: flushed or not is a matter of the order of two roundings.
    auto clear = doubles;
    std::erase_if(clear, [&](const Values& v) {
      return std::fabs(convert(FromBits<double>(v.a))) == std::numeric_limits<float>::min();
    });
    ExpectRows("cvt." + std::string(rounding) + ".ftz.f32.f64 %d, %a;", {32, 64}, clear,
               [&](auto& v) { return ToBits<float>(Ftz(convert(FromBits<double>(v.a)))); });
  }
  ExpectRows("cvt.sat.f32.f32 %d, %a;", {}, Rows(Kind::kF32, 32), [](auto& v) {
    const float x = FromBits<float>(v.a);
    return ToBits<float>(x > 0 ? std::min(x, 1.0f) : 0.0f);
  });
  ExpectRows("cvt.ftz.f32.f32 %d, %a;", {}, Rows(Kind::kF32, 32),
             [](auto& v) { return ToBits<float>(Ftz(FromBits<float>(v.a))); });
  // A denormal that .ftz takes for zero has no floor of -1.
  ExpectRows("cvt.rmi.ftz.f32.f32 %d, %a;", {}, {{0x80000001}, {0xbf000000}},
             [](auto& v) { return v.a == 0x80000001 ? 0x80000000u : 0xbf800000u; });
}

// Half precision: every finite value by its exact meaning, and rounding by search among neighbours.
struct Small {
  const char* name;
  int fraction_bits;
  int bias;
  int maximum() const { return (0x7fff >> fraction_bits << fraction_bits) - 1; }
  double Value(int bits) const {
    const int exponent = (bits & 0x7fff) >> fraction_bits;
    const int fraction = bits & ((1 << fraction_bits) - 1);
    const double magnitude = exponent == 0
                                 ? fraction * std::pow(2.0, 1 - bias - fraction_bits)
                                 : (fraction + (1 << fraction_bits)) * std::pow(2.0, exponent - bias - fraction_bits);
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
  }
  std::uint64_t Round(double x, Toward toward) const {
    if (std::isnan(x)) return 0x7fff;
    const int sign = std::signbit(x) ? 0x8000 : 0;
    const double m = std::fabs(x);
    const int infinity = maximum() + 1;
    if (std::isinf(x)) return static_cast<std::uint64_t>(sign | infinity);
    int low = 0, high = infinity;  // Value(low) <= m < Value(high), where infinity stands for the next power of two
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (Value(middle) <= m ? low : high) = middle;
    }
    const double below = Value(low), above = Value(high);
    bool up = false;
    if (m > below) {
      if (toward == Toward::kNearest) up = m - below > above - m || (m - below == above - m && (low & 1) != 0);
      if (toward == Toward::kUp) up = sign == 0;
      if (toward == Toward::kDown) up = sign != 0;
    }
    return static_cast<std::uint64_t>(sign | (up ? high : low));
  }
};
constexpr Small kHalf{"f16", 10, 15};
constexpr Small kBrain{"bf16", 7, 127};

TEST(Convert, HalfPrecisionToWider) {
  for (const auto& [format, kind] : {std::pair{kHalf, Kind::kF16}, {kBrain, Kind::kBf16}}) {
    const auto number = [small = format](std::uint64_t v) {
      if ((v & 0x7fff) > static_cast<std::uint64_t>(small.maximum() + 1)) return std::nan("");
      return (v & 0x7fff) == static_cast<std::uint64_t>(small.maximum() + 1)
                 ? std::copysign(std::numeric_limits<double>::infinity(), (v & 0x8000) != 0 ? -1.0 : 1.0)
                 : small.Value(static_cast<int>(v));
    };
    ExpectRows("cvt.f32." + std::string(format.name) + " %d, %a;", {32, 16}, Rows(kind, 16),
               [&](auto& v) { return ToBits<float>(static_cast<float>(number(v.a))); });
    if (kind == Kind::kBf16) continue;
    ExpectRows("cvt.f64.f16 %d, %a; testp.notanumber.f64 %p, %d; selp.b64 %d, 0dFFF8000000000000, %d, %p;", {64, 16},
               Rows(kind, 16), [&](auto& v) { return ToBits<double>(number(v.a)); });
    ExpectRows("cvt.rzi.s32.f16 %d, %a;", {32, 16}, Rows(kind, 16), [&](auto& v) {
      const double x = number(v.a);
      return std::isnan(x)   ? 0
             : std::isinf(x) ? (x > 0 ? 0x7fffffffu : 0x80000000u)
                             : static_cast<std::uint32_t>(static_cast<std::int32_t>(x));
    });
  }
}
TEST(Convert, ToHalfPrecision) {
  auto singles = Rows(Kind::kF32, 32);
  for (int i = 0; i < 3000; ++i) {
    // Values at and around the middles between neighbours, where rounding decides.
    const double middle = (kHalf.Value(i * 10) + kHalf.Value(i * 10 + 1)) / 2;
    for (const double factor : {1.0, 1.0 + 0x1p-20, 1.0 - 0x1p-20})
      singles.push_back({ToBits<float>(static_cast<float>((i % 2 == 0 ? 1 : -1) * middle * factor))});
  }
  for (const auto& [rounding, toward] : kRoundings) {
    const std::string r = rounding;
    ExpectRows("cvt." + r + ".f16.f32 %d, %a;", {16, 32}, singles,
               [&](auto& v) { return kHalf.Round(FromBits<float>(v.a), toward); });
    ExpectRows("cvt." + r + ".f16.f64 %d, %a;", {16, 64}, Rows(Kind::kF64, 64),
               [&](auto& v) { return kHalf.Round(FromBits<double>(v.a), toward); });
    ExpectRows("cvt." + r + ".f16.s32 %d, %a;", {16, 32}, Rows(Kind::kInteger, 32),
               [&](auto& v) { return kHalf.Round(static_cast<std::int32_t>(v.a), toward); });
  }
  ExpectRows("cvt.rn.bf16.f32 %d, %a;", {16, 32}, singles,
             [&](auto& v) { return kBrain.Round(FromBits<float>(v.a), Toward::kNearest); });
  ExpectRows("cvt.rn.sat.f16.f32 %d, %a;", {16, 32}, singles, [&](auto& v) {
    const float x = FromBits<float>(v.a);
    return kHalf.Round(x > 0 ? std::min(x, 1.0f) : 0.0f, Toward::kNearest);
  });
  // Two into one register: the first operand is the high half.
  ExpectRows("cvt.rn.f16x2.f32 %d, %a, %b;", {}, Rows(Kind::kF32, 32, Kind::kF32, 32), [&](auto& v) {
    return kHalf.Round(FromBits<float>(v.a), Toward::kNearest) << 16 |
           kHalf.Round(FromBits<float>(v.b), Toward::kNearest);
  });
}

TEST(Convert, RefusesOtherForms) {
  for (const char* instruction :
       {"cvt.rn.relu.f32.f64 %f1, %fd1;", "cvt.rn.satfinite.f32.f32 %f1, %f2;", "cvt.rn.e4m3x2.f32 %rs1, %f1, %f2;",
        "cvt.rs.f16x2.f32 %r1, %f1, %f2, %r2;", "cvt.u32 %r1, %r2;"}) {
    Machine machine;
    const Status loaded = machine.Load(KernelText(instruction));
    EXPECT_EQ(loaded.code(), Code::kUnsupported) << instruction;
  }
}

}  // namespace
}  // namespace accelmesh::tier0
