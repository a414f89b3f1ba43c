// tier0/video.cpp: the ISA's pseudo-code of video instructions, and packed 16-bit integers.
#include <algorithm>

#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

using Wide = __int128;

Wide Sign(std::uint64_t v, int bits, bool is_signed) {
  v &= bits == 64 ? ~0ull : (1ull << bits) - 1;
  return static_cast<Wide>(v) - (is_signed && (v >> (bits - 1) & 1) != 0 ? Wide{1} << bits : 0);
}
Wide Saturate(Wide v, int bits, bool is_signed) {
  const Wide low = is_signed ? -(Wide{1} << (bits - 1)) : 0, high = (Wide{1} << (is_signed ? bits - 1 : bits)) - 1;
  return v < low ? low : v > high ? high : v;
}
// "b2", "h0", "": the part of a register.
struct Selector {
  std::string text;
  int bits() const { return text.empty() ? 32 : text[1] == 'b' ? 8 : 16; }
  int shift() const { return text.empty() ? 0 : (text[2] - '0') * bits(); }
};
const Selector kSelectors[] = {{""}, {".b0"}, {".b3"}, {".h0"}, {".h1"}};

std::vector<Values> Sample() {
  auto rows = Rows(Kind::kInteger, 32, Kind::kInteger, 32);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].c = rows[(i * 31 + 7) % rows.size()].a;
  return rows;
}
struct Operation {
  const char* name;
  Wide (*apply)(Wide, Wide);
};
const Operation kOperations[] = {{"vadd", [](Wide a, Wide b) { return a + b; }},
                                 {"vsub", [](Wide a, Wide b) { return a - b; }},
                                 {"vabsdiff", [](Wide a, Wide b) { return a < b ? b - a : a - b; }},
                                 {"vmin", [](Wide a, Wide b) { return std::min(a, b); }},
                                 {"vmax", [](Wide a, Wide b) { return std::max(a, b); }}};

TEST(Video, ScalarSumsAndExtremes) {
  const auto rows = Sample();
  for (const Operation& operation : kOperations) {
    int turn = 0;
    for (const bool d_signed : {false, true}) {
      for (const bool a_signed : {false, true}) {
        for (const bool b_signed : {false, true}) {
          for (const std::string second : {"", ".add", ".min", ".max"}) {
            for (const bool sat : {false, true}) {
              const Selector a = kSelectors[turn % 5], b = kSelectors[turn * 3 % 5];
              ++turn;
              const auto type = [](bool is_signed) { return is_signed ? ".s32" : ".u32"; };
              const std::string body = std::string(operation.name) + type(d_signed) + type(a_signed) + type(b_signed) +
                                       (sat ? ".sat" : "") + second + " %d, %a" + a.text + ", %b" + b.text +
                                       (second.empty() ? ";" : ", %c;");
              ExpectRows(body, {}, rows, [&](auto& v) {
                Wide t = operation.apply(Sign(v.a >> a.shift(), a.bits(), a_signed),
                                         Sign(v.b >> b.shift(), b.bits(), b_signed));
                if (sat) t = Saturate(t, 32, d_signed);
                const Wide x = Sign(static_cast<std::uint64_t>(t), 32, d_signed), c = Sign(v.c, 32, d_signed);
                if (second == ".add") return static_cast<std::uint64_t>(x + c);
                if (second == ".min") return static_cast<std::uint64_t>(std::min(x, c));
                if (second == ".max") return static_cast<std::uint64_t>(std::max(x, c));
                return static_cast<std::uint64_t>(x);
              });
            }
          }
        }
      }
    }
  }
}
TEST(Video, MergesIntoAPart) {
  const auto rows = Sample();
  for (const std::string part : {".b0", ".b2", ".h0", ".h1"}) {
    const Selector d{part};
    for (const bool is_signed : {false, true}) {
      const std::string type = is_signed ? ".s32" : ".u32";
      ExpectRows("vadd" + type + type + type + ".sat %d" + part + ", %a.h1, %b.b1, %c;", {}, rows, [&](auto& v) {
        const Wide t = Saturate(Sign(v.a >> 16, 16, is_signed) + Sign(v.b >> 8, 8, is_signed), d.bits(), is_signed);
        const std::uint64_t mask = ((1ull << d.bits()) - 1) << d.shift();
        return (v.c & ~mask) | (static_cast<std::uint64_t>(t) << d.shift() & mask);
      });
    }
  }
}
TEST(Video, Shifts) {
  const auto rows = Rows(Kind::kInteger, 32, Kind::kShift, 32);
  for (const bool a_signed : {false, true}) {
    for (const bool wrap : {false, true}) {
      for (const bool sat : {false, true}) {
        const std::string type = a_signed ? ".s32" : ".u32";
        const std::string tail =
            type + type + ".u32" + (sat ? ".sat" : "") + (wrap ? ".wrap" : ".clamp") + " %d, %a, %b;";
        const auto amount = [wrap](std::uint64_t b) { return wrap ? b & 31 : std::min<std::uint64_t>(b, 32); };
        const auto done = [&](Wide t) { return static_cast<std::uint64_t>(sat ? Saturate(t, 32, a_signed) : t); };
        ExpectRows("vshl" + tail, {}, rows,
                   [&](auto& v) { return done(Sign(v.a, 32, a_signed) * (Wide{1} << amount(v.b))); });
        ExpectRows("vshr" + tail, {}, rows, [&](auto& v) { return done(Sign(v.a, 32, a_signed) >> amount(v.b)); });
      }
    }
  }
}
TEST(Video, MultiplyAdd) {
  const auto rows = Sample();
  for (const bool is_signed : {false, true}) {
    const std::string type = is_signed ? ".s32" : ".u32";
    for (const std::string scale : {"", ".shr7", ".shr15"}) {
      const int shift = scale.empty() ? 0 : scale == ".shr7" ? 7 : 15;
      for (const std::string sat : {"", ".sat"}) {
        const auto done = [&, shift](Wide sum, bool final_signed) {
          const Wide t = sum >> shift;
          return static_cast<std::uint64_t>(sat.empty() ? t : Saturate(t, 32, final_signed));
        };
        ExpectRows("vmad" + type + type + type + sat + scale + " %d, %a, %b.h0, %c;", {}, rows, [&](auto& v) {
          return done(Sign(v.a, 32, is_signed) * Sign(v.b, 16, is_signed) + Sign(v.c, 32, is_signed), is_signed);
        });
        ExpectRows("vmad" + type + type + type + ".po" + sat + scale + " %d, %a, %b, %c;", {}, rows, [&](auto& v) {
          return done(Sign(v.a, 32, is_signed) * Sign(v.b, 32, is_signed) + Sign(v.c, 32, is_signed) + 1, is_signed);
        });
        ExpectRows("vmad" + type + type + type + sat + scale + " %d, -%a, %b, %c;", {}, rows, [&](auto& v) {
          return done(Sign(v.c, 32, true) - Sign(v.a, 32, is_signed) * Sign(v.b, 32, is_signed), true);
        });
      }
    }
  }
}
bool Compared(const std::string& how, Wide a, Wide b) {
  return how == "eq"   ? a == b
         : how == "ne" ? a != b
         : how == "lt" ? a < b
         : how == "le" ? a <= b
         : how == "gt" ? a > b
                       : a >= b;
}
TEST(Video, Sets) {
  const auto rows = Sample();
  for (const std::string how : {"eq", "ne", "lt", "le", "gt", "ge"}) {
    for (const bool a_signed : {false, true}) {
      for (const bool b_signed : {false, true}) {
        const std::string types = std::string(a_signed ? ".s32" : ".u32") + (b_signed ? ".s32." : ".u32.") + how;
        const auto holds = [&](const Values& v) {
          return Compared(how, Sign(v.a >> 8, 8, a_signed), Sign(v.b, 32, b_signed));
        };
        ExpectRows("vset" + types + " %d, %a.b1, %b;", {}, rows, [&](auto& v) { return holds(v); });
        ExpectRows("vset" + types + ".add %d, %a.b1, %b, %c;", {}, rows, [&](auto& v) { return holds(v) + v.c; });
      }
    }
  }
}

// Of two and four lanes: with selectors that mix both sources, and masks.
TEST(Video, Lanes) {
  auto rows = Sample();
  const Operation average{"vavrg", [](Wide a, Wide b) { return (a + b + (a + b >= 0 ? 1 : 0)) >> 1; }};
  std::vector<Operation> operations(std::begin(kOperations), std::end(kOperations));
  operations.push_back(average);
  struct Choice {
    int lanes;
    const char *d, *a, *b;
    std::vector<int> a_parts, b_parts;
    int mask;
  };
  const Choice choices[] = {{2, "", "", "", {0, 1}, {2, 3}, 3},
                            {2, ".h1", ".h03", ".h12", {3, 0}, {2, 1}, 2},
                            {4, "", "", "", {0, 1, 2, 3}, {4, 5, 6, 7}, 15},
                            {4, ".b20", ".b7014", ".b2366", {4, 1, 0, 7}, {6, 6, 3, 2}, 5}};
  for (const Choice& choice : choices) {
    const int bits = 32 / choice.lanes;
    const auto expect = [&](const std::string& name, bool d_signed, bool a_signed, bool b_signed, bool sat, bool add,
                            bool sets, const std::function<Wide(Wide, Wide)>& apply) {
      const auto type = [](bool is_signed) { return is_signed ? ".s32" : ".u32"; };
      const std::size_t dot = name.find('.');
      const std::string body = name.substr(0, dot) + std::to_string(choice.lanes) + (sets ? "" : type(d_signed)) +
                               type(a_signed) + type(b_signed) + (dot == std::string::npos ? "" : name.substr(dot)) +
                               (sat ? ".sat" : "") + (add ? ".add" : "") + " %d" + choice.d + ", %a" + choice.a +
                               ", %b" + choice.b + ", %c;";
      ExpectRows(body, {}, rows, [&](auto& v) {
        const std::uint64_t both = (v.a & 0xffffffff) | v.b << 32;
        std::uint64_t d = add ? v.c : 0;
        for (int i = 0; i < choice.lanes; ++i) {
          const auto at = static_cast<std::size_t>(i);
          Wide t = apply(Sign(both >> (choice.a_parts[at] * bits), bits, a_signed),
                         Sign(both >> (choice.b_parts[at] * bits), bits, b_signed));
          if (sat) t = Saturate(t, bits, d_signed);
          const bool chosen = (choice.mask >> i & 1) != 0;
          const std::uint64_t part = (1ull << bits) - 1;
          if (add) d += chosen ? static_cast<std::uint64_t>(t) : 0;
          if (!add) d |= ((chosen ? static_cast<std::uint64_t>(t) : v.c >> (i * bits)) & part) << (i * bits);
        }
        return d;
      });
    };
    for (const Operation& operation : operations) {
      for (const bool is_signed : {false, true}) {
        for (const bool sat : {false, true}) {
          for (const bool add : {false, true}) {
            if (sat && add) continue;
            expect(operation.name, is_signed, is_signed, !is_signed, sat, add, false, operation.apply);
            expect(operation.name, is_signed, is_signed, is_signed, sat, add, false, operation.apply);
          }
        }
      }
    }
    for (const std::string how : {"eq", "ne", "lt", "le", "gt", "ge"}) {
      for (const bool add : {false, true}) {
        expect("vset." + how, false, true, false, false, add, true,
               [&](Wide a, Wide b) { return Wide{Compared(how, a, b)}; });
      }
    }
  }
}

TEST(Video, PackedIntegers) {
  const auto rows = Sample();
  for (const bool is_signed : {false, true}) {
    const std::string type = is_signed ? ".s16x2" : ".u16x2";
    const auto each = [&](const Values& v, Wide (*apply)(Wide, Wide)) {
      std::uint64_t d = 0;
      for (int i = 0; i < 32; i += 16)
        d |= (static_cast<std::uint64_t>(apply(Sign(v.a >> i, 16, is_signed), Sign(v.b >> i, 16, is_signed))) & 0xffff)
             << i;
      return d;
    };
    ExpectRows("add" + type + " %d, %a, %b;", {}, rows,
               [&](auto& v) { return each(v, [](Wide a, Wide b) { return a + b; }); });
    ExpectRows("min" + type + " %d, %a, %b;", {}, rows,
               [&](auto& v) { return each(v, [](Wide a, Wide b) { return std::min(a, b); }); });
    ExpectRows("max" + type + " %d, %a, %b;", {}, rows,
               [&](auto& v) { return each(v, [](Wide a, Wide b) { return std::max(a, b); }); });
    if (!is_signed) continue;
    ExpectRows("min.relu.s16x2 %d, %a, %b;", {}, rows,
               [&](auto& v) { return each(v, [](Wide a, Wide b) { return std::max<Wide>(std::min(a, b), 0); }); });
    ExpectRows("max.relu.s16x2 %d, %a, %b;", {}, rows,
               [&](auto& v) { return each(v, [](Wide a, Wide b) { return std::max<Wide>(std::max(a, b), 0); }); });
  }
  ExpectRows("min.relu.s32 %d, %a, %b;", {}, rows, [](auto& v) {
    return static_cast<std::uint64_t>(std::max<Wide>(std::min(Sign(v.a, 32, true), Sign(v.b, 32, true)), 0));
  });
  ExpectRows("max.relu.s32 %d, %a, %b;", {}, rows, [](auto& v) {
    return static_cast<std::uint64_t>(std::max<Wide>(std::max(Sign(v.a, 32, true), Sign(v.b, 32, true)), 0));
  });
}

}  // namespace
}  // namespace accelmesh::tier0
