// Every row of tier0/arithmetic.cpp against what the PTX ISA says of it.
#include <algorithm>
#include <cstring>

#include "tests/unit/server/backend/cpu/tier0/exact.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

template <typename T>
std::string TypeName() {
  const std::string bits = std::to_string(8 * sizeof(T));
  return (std::is_floating_point_v<T> ? "f" : std::is_signed_v<T> ? "s" : "u") + bits;
}
template <typename T>
constexpr int kBits = 8 * sizeof(T);
template <typename T>
constexpr Kind kKind = std::is_same_v<T, float>    ? Kind::kF32
                       : std::is_same_v<T, double> ? Kind::kF64
                                                   : Kind::kInteger;
template <typename T>
constexpr Widths kSame{kBits<T>, kBits<T>, kBits<T>, kBits<T>, kBits<T>};
// Exact integer arithmetic; the low bits are the result.
template <typename T>
__int128 Wide(std::uint64_t v) {
  return static_cast<__int128>(static_cast<T>(v));
}
std::uint64_t Low(__int128 v) { return static_cast<std::uint64_t>(v); }
// mnemonic + ".type"
template <typename T>
std::string With(const char* mnemonic, const char* operands) {
  return std::string(mnemonic) + "." + TypeName<T>() + " " + operands + ";";
}

template <typename T>
class Integers : public testing::Test {};
using IntegerTypes =
    testing::Types<std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, std::uint64_t, std::int64_t>;
TYPED_TEST_SUITE(Integers, IntegerTypes);

TYPED_TEST(Integers, WrapAround) {
  using T = TypeParam;
  const auto rows = Rows(Kind::kInteger, kBits<T>, Kind::kInteger, kBits<T>);
  ExpectRows(With<T>("add", "%d, %a, %b"), kSame<T>, rows, [](auto& v) { return Low(Wide<T>(v.a) + Wide<T>(v.b)); });
  ExpectRows(With<T>("sub", "%d, %a, %b"), kSame<T>, rows, [](auto& v) { return Low(Wide<T>(v.a) - Wide<T>(v.b)); });
  ExpectRows(With<T>("mul.lo", "%d, %a, %b"), kSame<T>, rows,
             [](auto& v) { return Low(Wide<T>(v.a)) * Low(Wide<T>(v.b)); });
  ExpectRows(With<T>("min", "%d, %a, %b"), kSame<T>, rows,
             [](auto& v) { return Low(std::min(Wide<T>(v.a), Wide<T>(v.b))); });
  ExpectRows(With<T>("max", "%d, %a, %b"), kSame<T>, rows,
             [](auto& v) { return Low(std::max(Wide<T>(v.a), Wide<T>(v.b))); });
  if (std::is_signed_v<T>) {
    ExpectRows(With<T>("neg", "%d, %a"), kSame<T>, rows, [](auto& v) { return Low(-Wide<T>(v.a)); });
    ExpectRows(With<T>("abs", "%d, %a"), kSame<T>, rows,
               [](auto& v) { return Low(Wide<T>(v.a) < 0 ? -Wide<T>(v.a) : Wide<T>(v.a)); });
  }
}

TYPED_TEST(Integers, HighHalvesAndWideProducts) {
  using T = TypeParam;
  const auto rows = Rows(Kind::kInteger, kBits<T>, Kind::kInteger, kBits<T>);
  // The product of two unsigned 64-bit values needs the unsigned type.
  const auto product = [](const Values& v) {
    return std::is_signed_v<T> ? static_cast<unsigned __int128>(Wide<T>(v.a) * Wide<T>(v.b))
                               : static_cast<unsigned __int128>(static_cast<T>(v.a)) * static_cast<T>(v.b);
  };
  ExpectRows(With<T>("mul.hi", "%d, %a, %b"), kSame<T>, rows,
             [&](auto& v) { return static_cast<std::uint64_t>(product(v) >> kBits<T>); });
  if (kBits<T> == 64) return;
  Widths twice = kSame<T>;
  twice.d = twice.c = 2 * kBits<T>;
  ExpectRows(With<T>("mul.wide", "%d, %a, %b"), twice, rows,
             [&](auto& v) { return Low(static_cast<__int128>(product(v))); });
  ExpectRows(With<T>("mad.wide", "%d, %a, %b, %c"), twice,
             Rows(Kind::kInteger, kBits<T>, Kind::kInteger, kBits<T>, Kind::kInteger, 64),
             [&](auto& v) { return Low(static_cast<__int128>(product(v))) + v.c; });
}

TYPED_TEST(Integers, MultiplyAdd) {
  using T = TypeParam;
  const auto rows = Rows(Kind::kInteger, kBits<T>, Kind::kInteger, kBits<T>, Kind::kInteger, kBits<T>);
  ExpectRows(With<T>("mad.lo", "%d, %a, %b, %c"), kSame<T>, rows, [](auto& v) {
    return static_cast<std::uint64_t>(Wide<T>(v.a)) * static_cast<std::uint64_t>(Wide<T>(v.b)) + v.c;
  });
  ExpectRows(With<T>("mad.hi", "%d, %a, %b, %c"), kSame<T>, rows, [](auto& v) {
    const unsigned __int128 product = std::is_signed_v<T>
                                          ? static_cast<unsigned __int128>(Wide<T>(v.a) * Wide<T>(v.b))
                                          : static_cast<unsigned __int128>(static_cast<T>(v.a)) * static_cast<T>(v.b);
    return static_cast<std::uint64_t>(product >> kBits<T>) + v.c;
  });
  ExpectRows(With<T>("sad", "%d, %a, %b, %c"), kSame<T>, rows, [](auto& v) {
    const __int128 difference = Wide<T>(v.a) - Wide<T>(v.b);
    return Low((difference < 0 ? -difference : difference) + static_cast<__int128>(v.c));
  });
}

TYPED_TEST(Integers, DivisionTruncatesAndNeverTraps) {
  using T = TypeParam;
  auto rows = Rows(Kind::kInteger, kBits<T>, Kind::kInteger, kBits<T>);
  // Must not end the process; the value is unspecified.
  RunRows(With<T>("div", "%d, %a, %b"), kSame<T>, rows);
  RunRows(With<T>("rem", "%d, %a, %b"), kSame<T>, rows);
  std::erase_if(rows, [](const Values& v) { return static_cast<T>(v.b) == 0; });
  ExpectRows(With<T>("div", "%d, %a, %b"), kSame<T>, rows, [](auto& v) { return Low(Wide<T>(v.a) / Wide<T>(v.b)); });
  ExpectRows(With<T>("rem", "%d, %a, %b"), kSame<T>, rows, [](auto& v) { return Low(Wide<T>(v.a) % Wide<T>(v.b)); });
}

TEST(Arithmetic, SaturatesSigned32) {
  const auto clamp = [](__int128 v) {
    return Low(
        std::clamp<__int128>(v, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()));
  };
  using T = std::int32_t;
  const auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32, Kind::kInteger, 32);
  ExpectRows("add.sat.s32 %d, %a, %b;", {}, rows, [&](auto& v) { return clamp(Wide<T>(v.a) + Wide<T>(v.b)); });
  ExpectRows("sub.sat.s32 %d, %a, %b;", {}, rows, [&](auto& v) { return clamp(Wide<T>(v.a) - Wide<T>(v.b)); });
  ExpectRows("mad.hi.sat.s32 %d, %a, %b, %c;", {}, rows,
             [&](auto& v) { return clamp((Wide<T>(v.a) * Wide<T>(v.b) >> 32) + Wide<T>(v.c)); });
}

TEST(Arithmetic, TwentyFourBitProducts) {
  const auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32, Kind::kInteger, 32);
  const auto u24 = [](std::uint64_t v) { return static_cast<__int128>(v & 0xffffff); };
  const auto s24 = [](std::uint64_t v) { return static_cast<__int128>((v & 0xffffff) ^ 0x800000) - 0x800000; };
  ExpectRows("mul24.lo.u32 %d, %a, %b;", {}, rows, [&](auto& v) { return Low(u24(v.a) * u24(v.b)); });
  ExpectRows("mul24.hi.u32 %d, %a, %b;", {}, rows, [&](auto& v) { return Low(u24(v.a) * u24(v.b) >> 16); });
  ExpectRows("mul24.lo.s32 %d, %a, %b;", {}, rows, [&](auto& v) { return Low(s24(v.a) * s24(v.b)); });
  ExpectRows("mul24.hi.s32 %d, %a, %b;", {}, rows, [&](auto& v) { return Low(s24(v.a) * s24(v.b) >> 16); });
  ExpectRows("mad24.lo.s32 %d, %a, %b, %c;", {}, rows, [&](auto& v) { return Low(s24(v.a) * s24(v.b)) + v.c; });
  ExpectRows("mad24.hi.u32 %d, %a, %b, %c;", {}, rows, [&](auto& v) { return Low(u24(v.a) * u24(v.b) >> 16) + v.c; });
}

// 128-bit sums and differences of (a, b) and (c, e), word by word; %d is word `which`.
TEST(Arithmetic, CarryChains) {
  const auto rows = Rows(Kind::kInteger, 64, Kind::kInteger, 64, Kind::kInteger, 64);
  const Widths all{64, 64, 64, 64, 64};
  const std::string split =
      ".reg .b32 %al<5>; .reg .b32 %bl<5>; mov.b64 {%al0, %al1}, %a; mov.b64 {%al2, %al3}, %b;\n"
      "mov.b64 {%bl0, %bl1}, %c; mov.b64 {%bl2, %bl3}, %e;\n";
  const auto join = [](const Values& v) {
    return std::pair{static_cast<unsigned __int128>(v.b) << 64 | v.a, static_cast<unsigned __int128>(v.e) << 64 | v.c};
  };
  const std::string sum = split +
                          "add.cc.u32 %al0, %al0, %bl0; addc.cc.u32 %al1, %al1, %bl1;\n"
                          "addc.cc.u32 %al2, %al2, %bl2; addc.u32 %al3, %al3, %bl3;\n";
  const std::string difference = split +
                                 "sub.cc.u32 %al0, %al0, %bl0; subc.cc.u32 %al1, %al1, %bl1;\n"
                                 "subc.cc.u32 %al2, %al2, %bl2; subc.u32 %al3, %al3, %bl3;\n";
  const auto word = [](unsigned __int128 v, int which) { return static_cast<std::uint64_t>(v >> (64 * which)); };
  for (int which : {0, 1}) {
    const std::string take = which == 0 ? "mov.b64 %d, {%al0, %al1};" : "mov.b64 %d, {%al2, %al3};";
    ExpectRows(sum + take, all, rows, [&](auto& v) { return word(join(v).first + join(v).second, which); });
    ExpectRows(difference + take, all, rows, [&](auto& v) { return word(join(v).first - join(v).second, which); });
  }
  ExpectRows("add.cc.u64 %d, %a, %c; addc.u64 %d, %b, %e;", all, rows,
             [&](auto& v) { return word(join(v).first + join(v).second, 1); });
  ExpectRows("sub.cc.s64 %d, %a, %c; subc.s64 %d, %b, %e;", all, rows,
             [&](auto& v) { return word(join(v).first - join(v).second, 1); });
}

// The 128-bit product of two 64-bit values from 32-bit multiply-adds with carry, as compilers write it.
TEST(Arithmetic, MultiplyAddWithCarry) {
  const auto rows = Rows(Kind::kInteger, 64, Kind::kInteger, 64);
  const Widths all{64, 64, 64, 64, 64};
  const std::string product =
      ".reg .b32 %m<2>; .reg .b32 %n<2>; .reg .b32 %w<4>; mov.b64 {%m0, %m1}, %a; mov.b64 {%n0, %n1}, %b;\n"
      "mul.lo.u32 %w0, %m0, %n0; mul.hi.u32 %w1, %m0, %n0;\n"
      "mad.lo.cc.u32 %w1, %m0, %n1, %w1; madc.hi.u32 %w2, %m0, %n1, 0;\n"
      "mad.lo.cc.u32 %w1, %m1, %n0, %w1; madc.hi.cc.u32 %w2, %m1, %n0, %w2; madc.hi.u32 %w3, 0, 0, 0;\n"
      "mad.lo.cc.u32 %w2, %m1, %n1, %w2; madc.hi.u32 %w3, %m1, %n1, %w3;\n";
  const auto exact = [](const Values& v) { return static_cast<unsigned __int128>(v.a) * v.b; };
  ExpectRows(product + "mov.b64 %d, {%w0, %w1};", all, rows,
             [&](auto& v) { return static_cast<std::uint64_t>(exact(v)); });
  ExpectRows(product + "mov.b64 %d, {%w2, %w3};", all, rows,
             [&](auto& v) { return static_cast<std::uint64_t>(exact(v) >> 64); });
  // Signed high halves, and the carry of 64-bit ones.
  ExpectRows("mad.hi.cc.s32 %t0, %a, %b, %c; addc.u32 %d, 0, 0;", {},
             Rows(Kind::kInteger, 32, Kind::kInteger, 32, Kind::kInteger, 32), [](auto& v) {
               const auto high = static_cast<std::uint32_t>(
                   static_cast<std::int64_t>(static_cast<std::int32_t>(v.a)) * static_cast<std::int32_t>(v.b) >> 32);
               return (std::uint64_t{high} + v.c) >> 32;
             });
  ExpectRows("mad.lo.cc.u64 %d, %a, %b, %c; addc.u64 %d, 0, 0;", all,
             Rows(Kind::kInteger, 64, Kind::kInteger, 64, Kind::kInteger, 64), [&](auto& v) {
               return static_cast<std::uint64_t>((static_cast<unsigned __int128>(v.a * v.b) + v.c) >> 64);
             });
}

// Floats -------------------------------------------------------------------------------------------------------------

template <typename T>
class Floats : public testing::Test {};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(Floats, FloatTypes);

// Runs an instruction and compares; NaNs of double precision are equal whatever their bits.
template <typename T, typename F>
void ExpectFloats(const std::string& body, const std::vector<Values>& rows, F reference) {
  std::string text = body;
  if (sizeof(T) == 8) text += " testp.notanumber.f64 %p, %d; selp.b64 %d, 0dFFF8000000000000, %d, %p;";
  ExpectRows(text, kSame<T>, rows, [&](const Values& v) {
    return ToBits<T>(reference(FromBits<T>(v.a), FromBits<T>(v.b), FromBits<T>(v.c)));
  });
}
constexpr std::pair<const char*, Toward> kRoundings[] = {
    {".rn", Toward::kNearest}, {".rz", Toward::kZero}, {".rm", Toward::kDown}, {".rp", Toward::kUp}};

TYPED_TEST(Floats, RoundEachWay) {
  using T = TypeParam;
  const std::string type = "." + TypeName<T>();
  const auto rows = Rows(kKind<T>, kBits<T>, kKind<T>, kBits<T>);
  const auto triples = Rows(kKind<T>, kBits<T>, kKind<T>, kBits<T>, kKind<T>, kBits<T>);
  for (const auto& [rounding, toward] : kRoundings) {
    const auto named = [&](const char* name) { return std::string(name) + rounding + type + " "; };
    ExpectFloats<T>(named("add") + "%d, %a, %b;", rows, [&](T a, T b, T) { return ExactAdd(a, b, toward); });
    ExpectFloats<T>(named("sub") + "%d, %a, %b;", rows, [&](T a, T b, T) { return ExactAdd(a, -b, toward); });
    ExpectFloats<T>(named("mul") + "%d, %a, %b;", rows, [&](T a, T b, T) { return ExactMul(a, b, toward); });
    ExpectFloats<T>(named("div") + "%d, %a, %b;", rows, [&](T a, T b, T) { return ExactDiv(a, b, toward); });
    ExpectFloats<T>(named("rcp") + "%d, %a;", rows, [&](T a, T, T) { return ExactDiv(T{1}, a, toward); });
    ExpectFloats<T>(named("sqrt") + "%d, %a;", rows, [&](T a, T, T) { return ExactSqrt(a, toward); });
    ExpectFloats<T>(named("fma") + "%d, %a, %b, %c;", triples,
                    [&](T a, T b, T c) { return ExactFma(a, b, c, toward); });
  }
}

// Without a rounding modifier, add, sub and mul round to nearest, and mad of floats is fma.
TYPED_TEST(Floats, DefaultRounding) {
  using T = TypeParam;
  const auto rows = Rows(kKind<T>, kBits<T>, kKind<T>, kBits<T>);
  ExpectFloats<T>(With<T>("add", "%d, %a, %b"), rows, [](T a, T b, T) { return ExactAdd(a, b, Toward::kNearest); });
  ExpectFloats<T>(With<T>("mul", "%d, %a, %b"), rows, [](T a, T b, T) { return ExactMul(a, b, Toward::kNearest); });
  // Two operations, not one: nothing is contracted.
  ExpectFloats<T>(With<T>("mul", "%d, %a, %b") + With<T>("add", "%d, %d, %a"), rows,
                  [](T a, T b, T) { return ExactAdd(ExactMul(a, b, Toward::kNearest), a, Toward::kNearest); });
  ExpectFloats<T>(With<T>("mad.rn", "%d, %a, %b, %c"), rows,
                  [](T a, T b, T c) { return ExactFma(a, b, c, Toward::kNearest); });
}

TYPED_TEST(Floats, MinimumAndMaximum) {
  using T = TypeParam;
  const auto rows = Rows(kKind<T>, kBits<T>, kKind<T>, kBits<T>);
  const auto minimum = [](T a, T b, T) {
    if (std::isnan(a)) return b;
    if (std::isnan(b)) return a;
    if (a == 0 && b == 0) return std::signbit(a) ? a : b;
    return a < b ? a : b;
  };
  const auto maximum = [](T a, T b, T) {
    if (std::isnan(a)) return b;
    if (std::isnan(b)) return a;
    if (a == 0 && b == 0) return std::signbit(a) ? b : a;
    return a > b ? a : b;
  };
  const auto either = [](T a, T b) { return std::isnan(a) || std::isnan(b); };
  const T nan = std::numeric_limits<T>::quiet_NaN();
  ExpectFloats<T>(With<T>("min", "%d, %a, %b"), rows, minimum);
  ExpectFloats<T>(With<T>("max", "%d, %a, %b"), rows, maximum);
  if (sizeof(T) != 4) return;
  ExpectFloats<T>("min.NaN.f32 %d, %a, %b;", rows,
                  [&](T a, T b, T c) { return either(a, b) ? nan : minimum(a, b, c); });
  ExpectFloats<T>("max.NaN.f32 %d, %a, %b;", rows,
                  [&](T a, T b, T c) { return either(a, b) ? nan : maximum(a, b, c); });
}

TYPED_TEST(Floats, Signs) {
  using T = TypeParam;
  const auto rows = Rows(kKind<T>, kBits<T>, kKind<T>, kBits<T>);
  const std::uint64_t sign = 1ull << (kBits<T> - 1);
  ExpectFloats<T>(With<T>("neg", "%d, %a"), rows, [](T a, T, T) { return -a; });
  ExpectFloats<T>(With<T>("abs", "%d, %a"), rows, [](T a, T, T) { return std::fabs(a); });
  // The sign of a on the value of b; NaNs are bits like any other.
  ExpectRows(With<T>("copysign", "%d, %a, %b"), kSame<T>, rows, [&](auto& v) { return (v.a & sign) | (v.b & ~sign); });
  ExpectFloats<T>(With<T>("add.sat", "%d, %a, %b"), Rows(kKind<T>, kBits<T>, kKind<T>, kBits<T>), [](T a, T b, T) {
    const T sum = ExactAdd(a, b, Toward::kNearest);
    return sum > 0 ? std::min(sum, T{1}) : T{0};
  });
}

TEST(Arithmetic, FlushesDenormalsToSignedZeros) {
  const auto rows = Rows(Kind::kF32, 32, Kind::kF32, 32);
  const Toward nearest = Toward::kNearest;
  const auto binary = [&](const char* body, auto f) {
    // Whether a result that rounds up to the least normal number was denormal is a matter of the order of two
    // roundings.
    auto clear = rows;
    std::erase_if(clear, [f](const Values& v) {
      return std::fabs(f(Ftz(FromBits<float>(v.a)), Ftz(FromBits<float>(v.b)))) == std::numeric_limits<float>::min();
    });
    ExpectFloats<float>(body, clear, [f](float a, float b, float) { return Ftz(f(Ftz(a), Ftz(b))); });
  };
  binary("add.ftz.f32 %d, %a, %b;", [&](float a, float b) { return ExactAdd(a, b, nearest); });
  binary("mul.ftz.f32 %d, %a, %b;", [&](float a, float b) { return ExactMul(a, b, nearest); });
  binary("div.rn.ftz.f32 %d, %a, %b;", [&](float a, float b) { return ExactDiv(a, b, nearest); });
  binary("fma.rn.ftz.f32 %d, %a, %b, %a;", [&](float a, float b) { return ExactFma(a, b, a, nearest); });
  binary("neg.ftz.f32 %d, %a;", [](float a, float) { return -a; });
  binary("abs.ftz.f32 %d, %a;", [](float a, float) { return std::fabs(a); });
  binary("min.ftz.f32 %d, %a, %b;", [](float a, float b) {
    return std::isnan(a) ? b : std::isnan(b) ? a : a == b ? (std::signbit(a) ? a : b) : std::min(a, b);
  });
  binary("max.ftz.f32 %d, %a, %b;", [](float a, float b) {
    return std::isnan(a) ? b : std::isnan(b) ? a : a == b ? (std::signbit(a) ? b : a) : std::max(a, b);
  });
  binary("sqrt.rn.ftz.f32 %d, %a;", [&](float a, float) { return ExactSqrt(a, nearest); });
  // A denormal is zero for the logarithm, too.
  const auto logs = RunRows("lg2.approx.ftz.f32 %d, %a;", {}, {{0x00000001}, {0x807fffff}});
  for (const std::uint64_t bits : logs) EXPECT_EQ(bits & 0xffffffffu, 0xff800000u);
}

// The bounds are those of the ISA's tables for full-range implementations, in units of the result's last place or
// absolute where it says so.
TEST(Arithmetic, ApproximationsKeepTheirErrorBounds) {
  std::vector<Values> rows;
  for (std::uint32_t i = 0; i < 4000; ++i) rows.push_back({std::uint64_t{0x3a000000} + i * 0x4001u});  // 0.0005 to 300
  const auto check = [&rows](const char* body, double (*exact)(double), double relative, double absolute) {
    const auto got = RunRows(body, {}, rows);
    ASSERT_EQ(got.size(), rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double x = FromBits<float>(rows[i].a);
      const double wanted = exact(x);
      const double value = FromBits<float>(got[i]);
      if (!std::isfinite(static_cast<float>(wanted))) continue;
      ASSERT_LE(std::fabs(value - wanted), std::fabs(wanted) * relative + absolute) << body << " of " << x;
    }
  };
  check("rcp.approx.f32 %d, %a;", [](double x) { return 1 / x; }, 0x1p-23, 0);
  check("rsqrt.approx.f32 %d, %a;", [](double x) { return 1 / std::sqrt(x); }, 0x1p-22, 0);
  check("sqrt.approx.f32 %d, %a;", [](double x) { return std::sqrt(x); }, 0x1p-23, 0);
  check("ex2.approx.ftz.f32 %d, %a;", [](double x) { return std::exp2(x); }, 0x1p-22, 0);
  check("lg2.approx.f32 %d, %a;", [](double x) { return std::log2(x); }, 0x1p-22, 0x1p-22);
  check("sin.approx.f32 %d, %a;", [](double x) { return std::sin(x); }, 0, 0x1p-20);
  check("cos.approx.ftz.f32 %d, %a;", [](double x) { return std::cos(x); }, 0, 0x1p-20);
  check("tanh.approx.f32 %d, %a;", [](double x) { return std::tanh(x); }, 0x1p-11, 0);
  check("div.approx.f32 %d, 0f3F800000, %a;", [](double x) { return 1 / x; }, 0x1p-22, 0);
  check("div.full.ftz.f32 %d, 0f3F800000, %a;", [](double x) { return 1 / x; }, 0x1p-22, 0);
}

TEST(Arithmetic, GrossReciprocalsOfDoublesWorkOnHighWords) {
  const Widths wide{64, 64, 64, 64, 64};
  std::vector<Values> rows;
  for (std::uint64_t i = 1; i < 2000; ++i) rows.push_back({0x3ff0000000000000u + i * 0x123456789abcdu});
  const auto rcp = RunRows("rcp.approx.ftz.f64 %d, %a;", wide, rows);
  const auto rsqrt = RunRows("rsqrt.approx.ftz.f64 %d, %a;", wide, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double x = FromBits<double>(rows[i].a);
    EXPECT_EQ(rcp[i] & 0xffffffffu, 0u);
    EXPECT_NEAR(FromBits<double>(rcp[i]) * x, 1.0, 0x1p-19);
    EXPECT_EQ(rsqrt[i] & 0xffffffffu, 0u);
    EXPECT_NEAR(FromBits<double>(rsqrt[i]) * std::sqrt(x), 1.0, 0x1p-19);
  }
  const auto zeros = RunRows("rcp.approx.ftz.f64 %d, %a;", wide, {{1ull << 63}, {5}, {0x7ff0000000000000u}});
  EXPECT_EQ(zeros[0], 0xfff0000000000000u);
  EXPECT_EQ(zeros[1], 0x7ff0000000000000u);
  EXPECT_EQ(zeros[2], 0u);
}

TEST(Arithmetic, ConstantsOfEachNotation) {
  const auto got = [](const std::string& body, Widths widths) { return RunRows(body, widths, {{0}}).at(0); };
  EXPECT_EQ(got("mov.f32 %d, 1.5;", {}) & 0xffffffffu, 0x3fc00000u);
  EXPECT_EQ(got("add.f32 %d, 0f40000000, -0.5e1;", {}) & 0xffffffffu, 0xc0400000u);
  EXPECT_EQ(got("mov.f64 %d, 1e-3;", {64}), std::bit_cast<std::uint64_t>(1e-3));
  EXPECT_EQ(got("mov.b64 %d, -1;", {64}), ~0ull);
  EXPECT_EQ(got("mov.b64 %d, 0xFFFFFFFFFFFFFFFF;", {64}), ~0ull);
  EXPECT_EQ(got("mov.b32 %d, 0b101;", {}) & 0xffffffffu, 5u);
  EXPECT_EQ(got("mov.b32 %d, 017;", {}) & 0xffffffffu, 15u);
  EXPECT_EQ(got("mov.u32 %d, 4000000000U;", {}) & 0xffffffffu, 4000000000u);
}

// What is not known is refused by line and text, not run as something else.
TEST(Arithmetic, RefusesWhatItDoesNotKnow) {
  for (const char* instruction :
       {"add.rn.f32x2 %d, %a, %b", "min.xorsign.f32 %d, %a, %b", "fma.rn.relu.f32 %d, %a, %b, %c", "frob.u32 %d, %a",
        "add.u32 %d, %a", "mad.lo.sat.s32 %d, %a, %b, %c", "madc.wide.u32 %d, %a, %b, %c", "mul24.lo.u16 %d, %a, %b"}) {
    Machine machine;
    const std::string text = KernelText(std::string(".reg .b32 %d, %a, %b, %c;\n") + instruction + ";");
    const Status loaded = machine.Load(text);
    ASSERT_FALSE(loaded.ok()) << instruction;
    EXPECT_EQ(loaded.code(), Code::kUnsupported);
    EXPECT_NE(loaded.ToString().find(instruction), std::string::npos) << loaded.ToString();
    EXPECT_NE(loaded.ToString().find("ptx line 10"), std::string::npos) << loaded.ToString();
  }
}

TEST(Arithmetic, SaturatedMad24) {
  const auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32, Kind::kInteger, 32);
  ExpectRows("mad24.hi.sat.s32 %d, %a, %b, %c;", {}, rows, [](auto& v) {
    const auto narrow = [](std::uint64_t x) { return (static_cast<std::int64_t>(x) << 40) >> 40; };
    const std::int64_t sum =
        static_cast<std::int32_t>(narrow(v.a) * narrow(v.b) >> 16) + std::int64_t{static_cast<std::int32_t>(v.c)};
    return static_cast<std::uint64_t>(std::clamp<std::int64_t>(sum, INT32_MIN, INT32_MAX));
  });
}
// The lesser or greater magnitude with the product's sign.
TEST(Arithmetic, ExtremesOfMagnitudes) {
  const auto rows = Rows(Kind::kF32, 32, Kind::kF32, 32);
  for (const bool least : {true, false}) {
    for (const bool nan : {false, true}) {
      for (const bool ftz : {false, true}) {
        const std::string form =
            std::string(least ? "min" : "max") + (ftz ? ".ftz" : "") + (nan ? ".NaN" : "") + ".xorsign.abs.f32";
        ExpectRows(form + " %d, %a, %b;", {}, rows, [&](auto& v) {
          float a = FromBits<float>(v.a), b = FromBits<float>(v.b);
          const float sign = std::signbit(a) != std::signbit(b) ? -1.0f : 1.0f;
          if (ftz) a = Ftz(a), b = Ftz(b);
          const bool a_nan = std::isnan(a), b_nan = std::isnan(b);
          if ((a_nan && b_nan) || (nan && (a_nan || b_nan))) return std::uint64_t{0x7fffffff};
          const float x = std::fabs(a), y = std::fabs(b);
          const float d = a_nan ? y : b_nan ? x : (x < y) == least ? x : y;
          return std::uint64_t{ToBits<float>(std::copysign(d, sign))};
        });
      }
    }
  }
}

}  // namespace
}  // namespace accelmesh::tier0
