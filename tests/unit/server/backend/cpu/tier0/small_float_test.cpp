// tier0/small_float.h and convert.cpp: to and from formats of 19 bits and fewer with every modifier, and cvt.pack.
#include <algorithm>
#include <map>
#include <random>

#include "tests/unit/server/backend/cpu/tier0/machine.h"
#include "tests/unit/server/backend/cpu/tier0/small_reference.h"

namespace accelmesh::tier0 {
namespace {

const std::pair<const char*, Toward> kRoundings[] = {
    {"rn", Toward::kNearest}, {"rz", Toward::kZero}, {"rm", Toward::kDown}, {"rp", Toward::kUp}};

// Singles at and around the middles between neighbours of the format, and the usual ones.
std::vector<Values> Singles(const SmallFormat& format) {
  std::vector<Values> rows = Rows(Kind::kF32, 32);
  const int step = std::max(format.largest / 1500, 1);
  for (int v = 0; v < format.largest; v += step) {
    const double middle = (format.Finite(v) + format.Finite(v + 1)) / 2;
    for (const double factor : {1.0, 1.0 + 0x1p-20, 1.0 - 0x1p-20, -1.0})
      rows.push_back({std::bit_cast<std::uint32_t>(static_cast<float>(middle * factor))});
  }
  const double edge = format.Finite(format.largest);
  for (const double factor : {1.0, 1.001, 1.01, 1.05, 1.2, 2.0, -1.05, -1.2})
    rows.push_back({std::bit_cast<std::uint32_t>(static_cast<float>(edge * factor))});
  return rows;
}
Quad Relu(double x, bool relu) { return relu && !(x > 0) && x == x ? Quad{0} : Quad{x}; }

TEST(SmallFloat, HalvesWithReluAndSaturation) {
  for (const SmallFormat& format : {kF16Format, kBf16Format}) {
    const auto rows = Singles(format);
    auto pairs = rows;
    for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i].b = rows[(i * 7 + 1) % rows.size()].a;
    for (const auto& [rounding, toward] : kRoundings) {
      for (const bool relu : {false, true}) {
        for (const bool finite : {false, true}) {
          if ((relu || finite) && toward != Toward::kNearest && toward != Toward::kZero) continue;
          const std::string modifiers =
              std::string(".") + rounding + (relu ? ".relu" : "") + (finite ? ".satfinite" : "");
          const auto round = [&, how = toward](std::uint64_t v) {
            return format.Round(Relu(FromBits<float>(v), relu), how, 0, finite);
          };
          ExpectRows("cvt" + modifiers + "." + format.name + ".f32 %d, %a;", {16, 32}, rows,
                     [&](auto& v) { return round(v.a); });
          if (toward != Toward::kNearest && toward != Toward::kZero) continue;
          ExpectRows("cvt" + modifiers + "." + format.name + "x2.f32 %d, %a, %b;", {}, pairs,
                     [&](auto& v) { return round(v.a) << 16 | round(v.b); });
        }
      }
    }
  }
}
TEST(SmallFloat, BfloatAndOtherTypes) {
  const auto number = [](std::uint64_t v) { return kBf16Format.Value(v & 0xffff); };
  const auto halves = Rows(Kind::kBf16, 16);
  for (const auto& [rounding, toward] : kRoundings) {
    const std::string r = rounding;
    ExpectRows("cvt." + r + ".bf16.f64 %d, %a;", {16, 64}, Rows(Kind::kF64, 64),
               [&, how = toward](auto& v) { return kBf16Format.Round(FromBits<double>(v.a), how); });
    ExpectRows("cvt." + r + ".bf16.f16 %d, %a;", {16, 16}, Rows(Kind::kF16, 16),
               [&, how = toward](auto& v) { return kBf16Format.Round(kF16Format.Value(v.a), how); });
    ExpectRows("cvt." + r + ".f16.bf16 %d, %a;", {16, 16}, halves,
               [&, how = toward](auto& v) { return kF16Format.Round(number(v.a), how); });
    ExpectRows("cvt." + r + ".bf16.s64 %d, %a;", {16, 64}, Rows(Kind::kInteger, 64),
               [&, how = toward](auto& v) { return kBf16Format.Round(static_cast<std::int64_t>(v.a), how); });
    ExpectRows("cvt." + r + ".bf16.u64 %d, %a;", {16, 64}, Rows(Kind::kInteger, 64),
               [&, how = toward](auto& v) { return kBf16Format.Round(v.a, how); });
    ExpectRows("cvt." + r + ".bf16.u32 %d, %a;", {16, 32}, Rows(Kind::kInteger, 32),
               [&, how = toward](auto& v) { return kBf16Format.Round(v.a, how); });
    ExpectRows("cvt." + r + ".bf16.s8 %d, %a;", {16, 16}, Rows(Kind::kInteger, 16),
               [&, how = toward](auto& v) { return kBf16Format.Round(static_cast<std::int8_t>(v.a), how); });
  }
  ExpectRows("cvt.f64.bf16 %d, %a; testp.notanumber.f64 %p, %d; selp.b64 %d, 0dFFF8000000000000, %d, %p;", {64, 16},
             halves, [&](auto& v) { return ToBits<double>(number(v.a)); });
  for (const auto& [how, rounded] :
       std::map<std::string, double (*)(double)>{{"rzi", [](double x) { return std::trunc(x); }},
                                                 {"rmi", [](double x) { return std::floor(x); }},
                                                 {"rpi", [](double x) { return std::ceil(x); }},
                                                 {"rni", [](double x) { return std::nearbyint(x); }}}) {
    ExpectRows("cvt." + how + ".s32.bf16 %d, %a;", {32, 16}, halves, [&, round = rounded](auto& v) {
      const double x = number(v.a);
      return std::isnan(x)
                 ? 0u
                 : static_cast<std::uint32_t>(static_cast<std::int32_t>(std::clamp(round(x), -0x1p31, 0x1p31 - 1)));
    });
    ExpectRows("cvt." + how + ".u16.bf16 %d, %a;", {16, 16}, halves, [&, round = rounded](auto& v) {
      const double x = number(v.a);
      return std::isnan(x) ? 0u : static_cast<std::uint32_t>(std::clamp(round(x), 0.0, 65535.0));
    });
    ExpectRows("cvt." + how + ".f16.f16 %d, %a;", {16, 16}, Rows(Kind::kF16, 16), [&, round = rounded](auto& v) {
      const double x = kF16Format.Value(v.a & 0xffff);
      return kF16Format.Round(std::isfinite(x) ? std::copysign(round(x), x) : x);
    });
  }
}

TEST(SmallFloat, Tf32) {
  const SmallFormat tf32{"tf32", 10, 127, 19, 0x3fbff, true};
  const auto rows = Singles(tf32);
  const auto word = [](std::uint64_t v) { return v == 0x3ffff ? 0x7fffffffu : v << 13; };
  for (const bool finite : {false, true}) {
    ExpectRows(std::string("cvt.rna") + (finite ? ".satfinite" : "") + ".tf32.f32 %d, %a;", {}, rows, [&](auto& v) {
      const float x = FromBits<float>(v.a);
      if (std::isnan(x)) return word(0x3ffff);
      // To nearest; a tie goes away from zero, which is up in magnitude.
      const std::uint64_t down = tf32.Round(x, Toward::kZero);
      const std::uint64_t away = tf32.Round(x, x < 0 ? Toward::kDown : Toward::kUp);
      const bool tie = !std::isinf(x) && down != away && (v.a & 0x1fff) == 0x1000;
      return word(tie && !(finite && (away & 0x3ffff) > 0x3fbff) ? away : tf32.Round(x, Toward::kNearest, 0, finite));
    });
    for (const std::string rounding : {"rn", "rz"}) {
      for (const bool relu : {false, true}) {
        ExpectRows("cvt." + rounding + (relu ? ".relu" : "") + (finite ? ".satfinite" : "") + ".tf32.f32 %d, %a;", {},
                   rows, [&](auto& v) {
                     return word(tf32.Round(Relu(FromBits<float>(v.a), relu),
                                            rounding == "rn" ? Toward::kNearest : Toward::kZero, 0, finite));
                   });
      }
    }
  }
}

TEST(SmallFloat, EightBits) {
  for (const SmallFormat& format : {kE4m3Format, kE5m2Format}) {
    const std::string type = std::string(format.name) + "x2";
    auto rows = Singles(format);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].b = rows[(i * 7 + 1) % rows.size()].a;
    std::vector<Values> halves, bytes;
    for (std::uint64_t v = 0; v < 65536; v += 7) halves.push_back({v | (65535 - v) << 16});
    for (std::uint64_t v = 0; v < 256; ++v) bytes.push_back({v | (255 - v) << 8});
    for (const bool relu : {false, true}) {
      const std::string r = relu ? ".relu" : "";
      const auto byte = [&](double x) { return format.Round(Relu(x, relu), Toward::kNearest, 0, true); };
      ExpectRows("cvt.rn.satfinite" + r + "." + type + ".f32 %d, %a, %b;", {16, 32, 32}, rows,
                 [&](auto& v) { return byte(FromBits<float>(v.a)) << 8 | byte(FromBits<float>(v.b)); });
      ExpectRows("cvt.rn.satfinite" + r + "." + type + ".f16x2 %d, %a;", {16, 32}, halves, [&](auto& v) {
        return byte(kF16Format.Value(v.a >> 16)) << 8 | byte(kF16Format.Value(v.a & 0xffff));
      });
      ExpectRows("cvt.rn" + r + ".f16x2." + type + " %d, %a;", {32, 16}, bytes, [&](auto& v) {
        const auto half = [&](std::uint64_t b) { return kF16Format.Round(Relu(format.Value(b & 0xff), relu)); };
        return half(v.a >> 8) << 16 | half(v.a);
      });
    }
  }
}

TEST(SmallFloat, Packs) {
  const auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32);
  for (const int bits : {16, 8, 4, 2}) {
    for (const bool is_signed : {false, true}) {
      const std::string type = (is_signed ? ".s" : ".u") + std::to_string(bits) + ".s32";
      const auto part = [&](std::uint64_t v) {
        const std::int64_t low = is_signed ? -(1ll << (bits - 1)) : 0,
                           high = (1ll << (is_signed ? bits - 1 : bits)) - 1;
        return static_cast<std::uint64_t>(std::clamp<std::int64_t>(static_cast<std::int32_t>(v), low, high)) &
               ((1ull << bits) - 1);
      };
      if (bits == 16) {
        ExpectRows("cvt.pack.sat" + type + " %d, %a, %b;", {}, rows,
                   [&](auto& v) { return part(v.a) << 16 | part(v.b); });
        continue;
      }
      auto with_c = rows;
      for (std::size_t i = 0; i < rows.size(); ++i) with_c[i].c = rows[(i * 5 + 2) % rows.size()].a;
      ExpectRows("cvt.pack.sat" + type + ".b32 %d, %a, %b, %c;", {}, with_c,
                 [&](auto& v) { return part(v.a) << bits | part(v.b) | v.c << (2 * bits); });
    }
  }
}

}  // namespace
}  // namespace accelmesh::tier0
