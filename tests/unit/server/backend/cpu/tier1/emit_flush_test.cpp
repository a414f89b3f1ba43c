// .ftz and .sat in compiled code against tier 0, where the processor does it: bit by bit, on values whose results are
// near the smallest normal number, and that no operation of it is a call of tier 0's handler.
#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "server/backend/cpu/jit.h"
#include "server/backend/cpu/tier1.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh {
namespace {

using tier0::KernelText;
using tier0::Machine;

struct Operands {
  std::uint32_t a = 0, b = 0, c = 0, pad = 0;
  double wide = 0;
  std::uint64_t result = 0;
};

std::uint32_t BitsOf(float v) { return std::bit_cast<std::uint32_t>(v); }
std::uint32_t BitsOf(double v) { return BitsOf(static_cast<float>(v)); }

std::vector<Operands> Edges() {
  std::vector<Operands> all;
  std::mt19937 random(11);
  const auto ulps = [&](std::uint32_t bits) { return bits + random() % 9 - 4; };
  const auto any = [&] { return static_cast<std::uint32_t>(random()); };
  // Of either sign, between 2^low and 2^high.
  const auto between = [&](int low, int high) {
    const int exponent = low + static_cast<int>(random() % static_cast<unsigned>(high - low));
    const std::uint32_t mantissa = random() % 4 == 0 ? random() % 3 : random() & 0x7fffff;
    return (any() & 0x80000000u) | static_cast<std::uint32_t>(exponent + 127) << 23 | mantissa;
  };
  const auto number = [](std::uint32_t bits) { return static_cast<double>(std::bit_cast<float>(bits)); };
  const std::vector<std::uint64_t> singles = tier0::Interesting(tier0::Kind::kF32, 32);
  for (const std::uint64_t a : singles) {
    for (const std::uint64_t b : singles) {
      for (const std::uint64_t c : {std::uint64_t{0}, std::uint64_t{0x80000000}, std::uint64_t{0x00800000},
                                    std::uint64_t{0x80800001}, std::uint64_t{0x007fffff}, b})
        all.push_back({static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(c)});
    }
  }
  for (int i = 0; i < 20000; ++i) {
    // Products and quotients near 2^-126.
    Operands row;
    row.a = between(-100, -20);
    row.b = ulps(BitsOf(0x1p-126 / number(row.a)));
    all.push_back(row);
    row.a = between(-60, 60);
    row.b = ulps(BitsOf(number(row.a) * 0x1p126));
    all.push_back(row);
    // Sums: of a normal number near 2^-126 and a small product, and of two that nearly cancel.
    row.a = ulps(BitsOf(0x1p-75)) | (any() & 0x80000000u);
    row.b = ulps(BitsOf(random() % 2 != 0 ? 0x1p-76 : 0x1p-75)) | (any() & 0x80000000u);
    row.c = (0x00800000u + random() % 3) | (any() & 0x80000000u);
    all.push_back(row);
    row.a = between(-90, -40);
    row.b = BitsOf(0x1p-125 / number(row.a));
    row.c = ulps(BitsOf(-number(row.a) * number(row.b) + (random() % 2 != 0 ? 0x1p-126 : -0x1p-126)));
    all.push_back(row);
    row.a = between(-127, -124);
    row.b = between(-127, -124);
    row.c = between(-127, -124);
    all.push_back(row);
    // By itself: reciprocals, comparisons, conversions.
    row.a = ulps(BitsOf(random() % 2 != 0 ? 0x1p126 : 0x1p127)) | (any() & 0x80000000u);
    row.b = any();
    row.c = any();
    all.push_back(row);
    row.a = any() & 0x80ffffffu;
    row.b = random() % 2 != 0 ? row.a ^ (random() & 1) : any() & 0x80ffffffu;
    all.push_back(row);
  }
  // Sums so near the middle between 2^-126 and what comes before it that doubles do not show on which side they are.
  for (int i = 0; i < 400; ++i) {
    Operands row;
    row.c = 0x00800000u + static_cast<std::uint32_t>(i % 3);
    const double wanted = -0x1p-151 * (4 * (i % 3) + 1);
    for (int tries = 0; tries < 400; ++tries) {
      row.a = between(-80, -70);
      row.b = ulps(BitsOf(wanted / number(row.a)));
      const double apart = number(row.a) * number(row.b) - wanted;
      if (apart != 0 && std::fabs(apart) < 0x1p-180) break;
    }
    if (i % 2 != 0) {
      row.a ^= 0x80000000u;
      row.c ^= 0x80000000u;
    }
    all.push_back(row);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    // Near where rounding to 24 bits makes 2^-126, and where it makes 2^-149.
    const double base = i % 3 == 0   ? 0x1p-126 - 0x1p-151
                        : i % 3 == 1 ? 0x1p-126 - 0x1p-150
                                     : std::ldexp(1.0, -152 + static_cast<int>(i % 30));
    const auto near = std::bit_cast<std::uint64_t>(base) + i % 5 - 2;
    all[i].wide = std::bit_cast<double>(near | (i % 2 != 0 ? 1ull << 63 : 0));
  }
  return all;
}

// The body makes %rd8, or %r4, of %f1 to %f3 and %fd1.
void ExpectSame(const std::string& body, const std::vector<Operands>& rows) {
  std::vector<Operands> left[2];
  for (const int tier : {0, 1}) {
    Jit jit({JitMode::kAlways, ACCELMESH_TIER1_PATH, "off"});
    Machine machine;
    if (tier == 1) machine.set_compiler(&jit);
    const Status loaded = machine.Load(KernelText(
        "mov.u32 %r2, %ctaid.x; mov.u32 %r5, %ntid.x; mad.lo.s32 %r3, %r2, %r5, %r1; cvt.u32.u64 %r6, %rd2;\n"
        "setp.ge.s32 %p1, %r3, %r6; @%p1 bra END; mul.wide.s32 %rd6, %r3, 32; add.s64 %rd7, %rd1, %rd6;\n"
        "ld.global.v4.f32 {%f1, %f2, %f3, %f7}, [%rd7]; ld.global.f64 %fd1, [%rd7+16];\n" +
        body + "\nst.global.u64 [%rd7+24], %rd8; END:"));
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    const std::uint64_t memory = machine.Allocate(rows.size() * sizeof(Operands));
    std::memcpy(machine.At<void>(memory), rows.data(), rows.size() * sizeof(Operands));
    const auto blocks = static_cast<std::uint32_t>((rows.size() + 127) / 128);
    ASSERT_FALSE(machine.Run({blocks, 1, 1}, {128, 1, 1}, {memory, rows.size()}).has_value());
    left[tier].assign(machine.At<Operands>(memory), machine.At<Operands>(memory) + rows.size());
    if (tier == 1) {
      EXPECT_EQ(machine.compiled(true)->called, 0u) << body;
    }
  }
  int shown = 0;
  for (std::size_t i = 0; i < rows.size() && shown < 3; ++i) {
    if (left[0][i].result == left[1][i].result) continue;
    ++shown;
    ADD_FAILURE() << body << "\n"
                  << std::hex << rows[i].a << " " << rows[i].b << " " << rows[i].c << " "
                  << std::bit_cast<std::uint64_t>(rows[i].wide) << ": tier 0 " << left[0][i].result << ", tier 1 "
                  << left[1][i].result;
  }
}
std::string Single(const std::string& operation) { return operation + "; mov.b32 %r7, %f4; cvt.u64.u32 %rd8, %r7;"; }

TEST(Flush, OneOperation) {
  const std::vector<Operands> rows = Edges();
  for (const char* name :
       {"add.ftz.f32", "sub.ftz.f32", "mul.ftz.f32", "mul.rn.ftz.f32", "div.rn.ftz.f32", "div.full.ftz.f32",
        "div.approx.ftz.f32", "min.ftz.f32", "max.ftz.f32", "add.sat.f32", "mul.ftz.sat.f32", "sub.rn.ftz.sat.f32"})
    ExpectSame(Single(std::string(name) + " %f4, %f1, %f2"), rows);
  for (const char* name : {"fma.rn.ftz.f32", "mad.rn.ftz.f32", "fma.rn.ftz.sat.f32", "fma.rn.sat.f32"})
    ExpectSame(Single(std::string(name) + " %f4, %f1, %f2, %f3"), rows);
  for (const char* name :
       {"neg.ftz.f32", "abs.ftz.f32", "sqrt.rn.ftz.f32", "sqrt.approx.ftz.f32", "rsqrt.approx.ftz.f32",
        "rcp.rn.ftz.f32", "rcp.approx.ftz.f32", "cvt.ftz.f32.f32", "cvt.sat.f32.f32", "cvt.ftz.sat.f32.f32"})
    ExpectSame(Single(std::string(name) + " %f4, %f1"), rows);
}
TEST(Flush, Conversions) {
  const std::vector<Operands> rows = Edges();
  ExpectSame(Single("cvt.rn.ftz.f32.f64 %f4, %fd1"), rows);
  ExpectSame(Single("cvt.rn.ftz.sat.f32.f64 %f4, %fd1"), rows);
  ExpectSame("cvt.ftz.f64.f32 %fd2, %f1; mov.b64 %rd8, %fd2;", rows);
  ExpectSame("cvt.rzi.ftz.s32.f32 %r7, %f1; cvt.u64.u32 %rd8, %r7;", rows);
}
TEST(Flush, Comparisons) {
  const std::vector<Operands> rows = Edges();
  for (const char* name : {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"})
    ExpectSame(std::string("setp.") + name +
                   ".ftz.f32 %p2|%p3, %f1, %f2; selp.u32 %r7, 1, 2, %p2; selp.u32 %r8, 4, 8, "
                   "%p3; add.u32 %r7, %r7, %r8; cvt.u64.u32 %rd8, %r7;",
               rows);
}
TEST(Flush, WhatIsFlushedAlreadyAndWhatIsNot) {
  const std::vector<Operands> rows = Edges();
  // One after the other, through a choice and a move; and of a row that something else writes, too.
  ExpectSame(Single("mul.ftz.f32 %f5, %f1, %f2; setp.gt.f32 %p2, %f1, %f3; mov.f32 %f6, %f5; selp.f32 %f6, %f5, %f6, "
                    "%p2; fma.rn.ftz.f32 %f4, %f6, 0f3F400000, %f5"),
             rows);
  ExpectSame(Single("mul.ftz.f32 %f5, %f1, %f2; setp.gt.f32 %p2, %f1, %f3; @%p2 mul.f32 %f5, %f1, %f2; "
                    "fma.rn.ftz.f32 %f4, %f5, 0f3F800000, %f5"),
             rows);
  ExpectSame(Single("setp.gt.f32 %p2, %f1, %f3; abs.ftz.f32 %f6, %f1; selp.f32 %f5, %f6, 0f00000001, %p2; mul.ftz.f32 "
                    "%f4, %f5, 0f4B800000"),
             rows);
  ExpectSame(Single("mul.ftz.f32 %f4, %f1, 0f00400000"), rows);
  // Of one value for all threads, which is computed once.
  ExpectSame(Single("cvt.u32.u64 %r8, %rd1; shr.u32 %r8, %r8, 9; mov.b32 %f5, %r8; mul.ftz.f32 %f6, %f5, 0f3F000000; "
                    "add.ftz.f32 %f4, %f6, %f1; sub.ftz.f32 %f4, %f4, %f6"),
             rows);
}

}  // namespace
}  // namespace accelmesh
