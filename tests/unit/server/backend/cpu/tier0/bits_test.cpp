// Every row of tier0/bits.cpp, against the pseudo-code of the PTX ISA, bit by bit.
#include <algorithm>

#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

bool Bit(std::uint64_t v, int i) { return (v >> i & 1) != 0; }
Widths Same(int bits) { return {bits, bits, bits, bits, bits}; }

TEST(Bits, ShiftsClampTheirAmount) {
  for (const int bits : {16, 32, 64}) {
    const std::string n = std::to_string(bits);
    const Widths widths{bits, bits, 32};
    const auto rows = Rows(Kind::kInteger, bits, Kind::kShift, 32);
    const auto moved = [bits](std::uint64_t a, std::uint64_t amount, bool left, bool fill) {
      std::uint64_t d = 0;
      for (int i = 0; i < bits; ++i) {
        const std::int64_t from = left ? i - static_cast<std::int64_t>(amount) : i + static_cast<std::int64_t>(amount);
        const bool bit = from < 0 ? false : from >= bits ? fill : Bit(a, static_cast<int>(from));
        d |= std::uint64_t{bit} << i;
      }
      return d;
    };
    ExpectRows("shl.b" + n + " %d, %a, %b;", widths, rows, [&](auto& v) { return moved(v.a, v.b, true, false); });
    ExpectRows("shr.u" + n + " %d, %a, %b;", widths, rows, [&](auto& v) { return moved(v.a, v.b, false, false); });
    ExpectRows("shr.b" + n + " %d, %a, %b;", widths, rows, [&](auto& v) { return moved(v.a, v.b, false, false); });
    ExpectRows("shr.s" + n + " %d, %a, %b;", widths, rows,
               [&](auto& v) { return moved(v.a, v.b, false, Bit(v.a, bits - 1)); });
  }
}

TEST(Bits, FunnelShifts) {
  const auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32, Kind::kShift, 32);
  for (const bool wrap : {true, false}) {
    const auto amount = [wrap](std::uint64_t c) { return wrap ? c & 31 : std::min<std::uint64_t>(c, 32); };
    const std::string mode = wrap ? "wrap" : "clamp";
    // The middle of b:a, from above or from below.
    ExpectRows("shf.l." + mode + ".b32 %d, %a, %b, %c;", {}, rows, [&](auto& v) -> std::uint64_t {
      const std::uint64_t n = amount(v.c);
      return n == 32 ? v.a : v.b << n | (n == 0 ? 0 : v.a >> (32 - n));
    });
    ExpectRows("shf.r." + mode + ".b32 %d, %a, %b, %c;", {}, rows, [&](auto& v) -> std::uint64_t {
      const std::uint64_t n = amount(v.c);
      return n == 32 ? v.b : (n == 0 ? 0 : v.b << (32 - n)) | v.a >> n;
    });
  }
}

TEST(Bits, CountsAndSearches) {
  for (const int bits : {32, 64}) {
    const std::string n = std::to_string(bits);
    const auto rows = Rows(Kind::kInteger, bits);
    const Widths widths{32, bits};
    ExpectRows("popc.b" + n + " %d, %a;", widths, rows, [&](auto& v) {
      std::uint64_t count = 0;
      for (int i = 0; i < bits; ++i) count += Bit(v.a, i);
      return count;
    });
    ExpectRows("clz.b" + n + " %d, %a;", widths, rows, [&](auto& v) {
      std::uint64_t count = 0;
      for (int i = bits - 1; i >= 0 && !Bit(v.a, i); --i) ++count;
      return count;
    });
    ExpectRows("brev.b" + n + " %d, %a;", Same(bits), rows, [&](auto& v) {
      std::uint64_t d = 0;
      for (int i = 0; i < bits; ++i) d |= std::uint64_t{Bit(v.a, bits - 1 - i)} << i;
      return d;
    });
    for (const bool is_signed : {false, true}) {
      const auto find = [bits, is_signed](std::uint64_t a) -> std::uint64_t {
        const bool flip = is_signed && Bit(a, bits - 1);
        for (int i = bits - 1; i >= 0; --i) {
          if (Bit(a, i) != flip) return static_cast<std::uint64_t>(i);
        }
        return 0xffffffffu;
      };
      const std::string type = (is_signed ? ".s" : ".u") + n + " %d, %a;";
      ExpectRows("bfind" + type, widths, rows, [&](auto& v) { return find(v.a); });
      ExpectRows("bfind.shiftamt" + type, widths, rows, [&](auto& v) {
        const std::uint64_t found = find(v.a);
        return found == 0xffffffffu ? found : static_cast<std::uint64_t>(bits - 1) - found;
      });
    }
  }
}

TEST(Bits, Fields) {
  for (const int bits : {32, 64}) {
    const std::string n = std::to_string(bits);
    const Widths widths{bits, bits, 32, 32, 32};
    const auto rows = Rows(Kind::kInteger, bits, Kind::kShift, 32, Kind::kShift, 32);
    for (const bool is_signed : {false, true}) {
      ExpectRows("bfe." + std::string(is_signed ? "s" : "u") + n + " %d, %a, %b, %c;", widths, rows, [&](auto& v) {
        const int position = static_cast<int>(v.b & 255), length = static_cast<int>(v.c & 255), top = bits - 1;
        const bool fill = is_signed && length != 0 && Bit(v.a, std::min(position + length - 1, top));
        std::uint64_t d = 0;
        for (int i = 0; i <= top; ++i)
          d |= std::uint64_t{i < length && position + i <= top ? Bit(v.a, position + i) : fill} << i;
        return d;
      });
    }
    // bfi takes the field from a, the rest from b; here %b is a constant pattern.
    ExpectRows(".reg .b" + n + " %g; mov.b" + n + " %g, 0x5a5a5a5a; bfi.b" + n + " %d, %a, %g, %b, %c;", widths, rows,
               [&](auto& v) {
                 const int position = static_cast<int>(v.b & 255), length = static_cast<int>(v.c & 255), top = bits - 1;
                 std::uint64_t f = 0x5a5a5a5a;
                 for (int i = 0; i < length && position + i <= top; ++i) {
                   f &= ~(1ull << (position + i));
                   f |= std::uint64_t{Bit(v.a, i)} << (position + i);
                 }
                 return f;
               });
  }
}

TEST(Bits, Masks) {
  const auto rows = Rows(Kind::kShift, 32, Kind::kShift, 32);
  const auto mask = [](std::uint64_t position, std::uint64_t width) {
    std::uint64_t d = 0;
    for (std::uint64_t i = position; i < 32 && i - position < width; ++i) d |= 1ull << i;
    return d;
  };
  ExpectRows("bmsk.clamp.b32 %d, %a, %b;", {}, rows, [&](auto& v) { return mask(v.a, v.b); });
  ExpectRows("bmsk.wrap.b32 %d, %a, %b;", {}, rows, [&](auto& v) { return mask(v.a & 31, v.b & 31); });
}

TEST(Bits, ExtendedFields) {
  const auto rows = Rows(Kind::kInteger, 32, Kind::kShift, 32);
  for (const bool wrap : {true, false}) {
    for (const bool is_signed : {true, false}) {
      const std::string form = std::string("szext.") + (wrap ? "wrap" : "clamp") + (is_signed ? ".s32" : ".u32");
      ExpectRows(form + " %d, %a, %b;", {}, rows, [&](auto& v) {
        const int n = static_cast<int>(wrap ? v.b & 31 : std::min<std::uint64_t>(v.b, 32));
        std::uint64_t d = 0;
        for (int i = 0; i < 32; ++i)
          d |= std::uint64_t{i < n ? Bit(v.a, i) : is_signed && n != 0 && Bit(v.a, n - 1)} << i;
        return d;
      });
    }
  }
}

// The offset-th bit that is set, from base on.
TEST(Bits, NthSetBit) {
  std::vector<Values> rows;
  for (const std::uint64_t mask : {0x0ull, 0x1ull, 0x80000000ull, 0xf0f0ull, 0xffffffffull, 0x80010010ull}) {
    for (std::uint64_t base = 0; base < 32; ++base) {
      for (const std::int64_t offset : {0, 1, 2, 5, 32, 33, -1, -2, -7, -33})
        rows.push_back({mask, base, static_cast<std::uint32_t>(offset)});
    }
  }
  ExpectRows("fns.b32 %d, %a, %b, %c;", {}, rows, [](auto& v) -> std::uint64_t {
    const auto offset = static_cast<std::int32_t>(v.c);
    if (offset == 0) return Bit(v.a, static_cast<int>(v.b)) ? v.b : 0xffffffffu;
    int count = 0;
    for (int at = static_cast<int>(v.b); at >= 0 && at < 32; at += offset > 0 ? 1 : -1) {
      if (Bit(v.a, at) && ++count == std::abs(offset)) return static_cast<std::uint64_t>(at);
    }
    return 0xffffffffu;
  });
}

TEST(Bits, ThreeWayLogicWithAPredicate) {
  const auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32);
  for (const std::string how : {"or", "and"}) {
    ExpectRows("and.b32 %t1, %b, 1; setp.ne.u32 %q, %t1, 0; lop3." + how +
                   ".b32 %t2|%p, %a, %b, %a, 0x80, !%q; selp.u32 %d, 1, 0, %p; @%q xor.b32 %d, %d, %t2;",
               {}, rows, [&](auto& v) {
                 const bool odd = (v.b & 1) != 0, set = (v.a & v.b) != 0;
                 const bool p = how == "or" ? set || !odd : set && !odd;
                 return std::uint64_t{p} ^ (odd ? v.a & v.b : 0);
               });
  }
}

TEST(Bits, ThreeWayLogic) {
  const auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32, Kind::kInteger, 32);
  for (const int table : {0x00, 0x01, 0x1a, 0x3c, 0x80, 0x96, 0xc6, 0xe8, 0xf0, 0xfe, 0xff}) {
    ExpectRows("lop3.b32 %d, %a, %b, %c, " + std::to_string(table) + ";", {}, rows, [&](auto& v) {
      std::uint64_t d = 0;
      for (int i = 0; i < 32; ++i) {
        const int row = Bit(v.a, i) * 4 + Bit(v.b, i) * 2 + Bit(v.c, i);
        d |= std::uint64_t{Bit(static_cast<std::uint64_t>(table), row)} << i;
      }
      return d;
    });
  }
}

TEST(Bits, BytePermutations) {
  auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32, Kind::kInteger, 32);
  for (std::uint64_t c = 0; c < 65536; c += 251) rows.push_back({0x83726150, 0x04f5e6d7, c});
  const auto byte = [](const Values& v, int i) { return (i < 4 ? v.a >> (8 * i) : v.b >> (8 * (i - 4))) & 255; };
  ExpectRows("prmt.b32 %d, %a, %b, %c;", {}, rows, [&](auto& v) {
    std::uint64_t d = 0;
    for (int i = 0; i < 4; ++i) {
      const int selector = static_cast<int>(v.c >> (4 * i) & 15);
      const std::uint64_t b = byte(v, selector & 7);
      d |= (selector >= 8 ? (b >= 128 ? 255 : 0) : b) << (8 * i);
    }
    return d;
  });
  // Result byte i for selector s, as the ISA's tables list them.
  const std::pair<const char*, int (*)(int, int)> modes[] = {
      {"f4e", [](int s, int i) { return s + i; }},
      {"b4e", [](int s, int i) { return (s - i) & 7; }},
      {"rc8", [](int s, int) { return s; }},
      {"ecl", [](int s, int i) { return std::max(s, i); }},
      {"ecr", [](int s, int i) { return std::min(s, i); }},
      {"rc16", [](int s, int i) { return (s & 1) * 2 + (i & 1); }}};
  for (const auto& [name, byte_of] : modes) {
    ExpectRows("prmt.b32." + std::string(name) + " %d, %a, %b, %c;", {}, rows, [&, from = byte_of](auto& v) {
      std::uint64_t d = 0;
      for (int i = 0; i < 4; ++i) d |= byte(v, from(static_cast<int>(v.c & 3), i)) << (8 * i);
      return d;
    });
  }
}

TEST(Bits, DotProducts) {
  const auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32, Kind::kInteger, 32);
  const auto part = [](std::uint64_t v, int at, int bits, bool is_signed) {
    const std::int64_t raw = static_cast<std::int64_t>(v >> at & ((1ull << bits) - 1));
    return is_signed && raw >> (bits - 1) != 0 ? raw - (std::int64_t{1} << bits) : raw;
  };
  for (const bool a_signed : {false, true}) {
    for (const bool b_signed : {false, true}) {
      const std::string types =
          std::string(a_signed ? ".s32" : ".u32") + (b_signed ? ".s32" : ".u32") + " %d, %a, %b, %c;";
      ExpectRows("dp4a" + types, {}, rows, [&](auto& v) {
        std::int64_t d = static_cast<std::int64_t>(v.c);
        for (int i = 0; i < 4; ++i) d += part(v.a, 8 * i, 8, a_signed) * part(v.b, 8 * i, 8, b_signed);
        return static_cast<std::uint64_t>(d);
      });
      for (const int high : {0, 1}) {
        ExpectRows(std::string(high != 0 ? "dp2a.hi" : "dp2a.lo") + types, {}, rows, [&](auto& v) {
          std::int64_t d = static_cast<std::int64_t>(v.c);
          for (int i = 0; i < 2; ++i) d += part(v.a, 16 * i, 16, a_signed) * part(v.b, 16 * high + 8 * i, 8, b_signed);
          return static_cast<std::uint64_t>(d);
        });
      }
    }
  }
}

}  // namespace
}  // namespace accelmesh::tier0
