// tier0/matrix.cpp and wmma.cpp: products against a plain triple loop, with fragments laid out as the PTX ISA lists
// them for each shape.
#include <cstring>
#include <random>

#include "tests/unit/server/backend/cpu/tier0/machine.h"
#include "tests/unit/server/backend/cpu/tier0/small_reference.h"

namespace accelmesh::tier0 {
namespace {

struct Place {
  int row, column;
};
using PlaceOf = Place (*)(int lane, int i);  // i: the number of the element in the lane's fragment
struct Elements {
  const char* name;
  int bits;
  bool is_signed;
};
constexpr Elements kElements[] = {{"f16", 16, true}, {"bf16", 16, true}, {"tf32", 32, true}, {"f64", 64, true},
                                  {"s8", 8, true},   {"u8", 8, false},   {"s4", 4, true},    {"u4", 4, false},
                                  {"b1", 1, false},  {"e4m3", 8, true},  {"e5m2", 8, true},  {"f32", 32, true},
                                  {"s32", 32, true}};
const Elements& Named(const std::string& name) {
  for (const Elements& elements : kElements) {
    if (name == elements.name) return elements;
  }
  ADD_FAILURE() << name;
  return kElements[0];
}
// Small whole numbers and halves: sums of them are exact in every format, so that the order does not matter.
double Draw(std::mt19937& random, const Elements& of) {
  const std::string name = of.name;
  if (name == "b1") return random() & 1;
  if (of.bits == 4) return of.is_signed ? static_cast<int>(random() % 16) - 8 : static_cast<int>(random() % 16);
  if (name == "s8") return static_cast<int>(random() % 256) - 128;
  if (name == "u8") return static_cast<int>(random() % 256);
  if (name == "s32") return static_cast<int>(random() % 20001) - 10000;
  return (static_cast<int>(random() % 17) - 8) * (name[0] == 'e' ? 1.0 : 0.5);
}
std::uint64_t Encode(double v, const Elements& of) {
  const std::string name = of.name;
  if (name == "f16") return kF16Format.Round(v);
  if (name == "bf16") return kBf16Format.Round(v);
  if (name == "e4m3") return kE4m3Format.Round(v);
  if (name == "e5m2") return kE5m2Format.Round(v);
  if (name == "tf32" || name == "f32") return std::bit_cast<std::uint32_t>(static_cast<float>(v));
  if (name == "f64") return std::bit_cast<std::uint64_t>(v);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(v)) & ((1ull << of.bits) - 1);
}

struct Matrix {
  int rows, columns;
  std::vector<double> values;
  double& At(Place p) { return values[static_cast<std::size_t>(p.row * columns + p.column)]; }
};
Matrix Random(int rows, int columns, const Elements& of, std::mt19937& random) {
  Matrix m{rows, columns, std::vector<double>(static_cast<std::size_t>(rows * columns))};
  for (double& v : m.values) v = Draw(random, of);
  return m;
}
Matrix Multiplied(Matrix a, Matrix b, Matrix c, const std::string& bit_operation) {
  for (int i = 0; i < c.rows; ++i) {
    for (int j = 0; j < c.columns; ++j) {
      for (int k = 0; k < a.columns; ++k) {
        const double x = a.At({i, k}), y = b.At({k, j});
        c.At({i, j}) += bit_operation == ".xor" ? (x != y) : x * y;
      }
    }
  }
  return c;
}

// Layouts from the ISA, a function for each figure.
constexpr int G(int lane) { return lane >> 2; }
constexpr int T(int lane) { return lane % 4; }
Place SumsOf16(int l, int i) { return {i < 2 ? G(l) : G(l) + 8, T(l) * 2 + (i & 1)}; }
Place SumsOf8(int l, int i) { return {G(l), T(l) * 2 + i}; }

class Matrices : public testing::Test {
 protected:
  // Registers of a lane for a fragment, `register_bits` each.
  static std::vector<std::uint64_t> Fragment(Matrix& m, const Elements& of, PlaceOf place, int lane) {
    const int per_lane = m.rows * m.columns / 32;
    const int register_bits = of.bits == 64 ? 64 : 32;
    const int per = register_bits / of.bits;
    std::vector<std::uint64_t> registers(static_cast<std::size_t>(std::max(per_lane / per, 1)));
    for (int i = 0; i < per_lane; ++i)
      registers[static_cast<std::size_t>(i / per)] |= Encode(m.At(place(lane, i)), of) << (of.bits * (i % per));
    return registers;
  }
  // Runs the instruction with the registers of each lane loaded from memory; the results, lane by lane.
  std::vector<std::vector<std::uint64_t>> Run(const std::string& opcode, std::size_t d_count, int d_bits, int a_bits,
                                              int c_bits, const std::vector<std::vector<std::uint64_t>>& a,
                                              const std::vector<std::vector<std::uint64_t>>& b,
                                              const std::vector<std::vector<std::uint64_t>>& c) {
    machine_.Reset();
    std::string body = "mad.wide.u32 %rd5, %r1, 512, %rd1; mad.wide.u32 %rd6, %r1, 128, %rd2;\n";
    std::string lists[4];
    const auto declare = [&](int which, char letter, std::size_t count, int bits) {
      body += ".reg .b" + std::to_string(bits) + " %m" + letter + "<" + std::to_string(count) + ">;\n";
      for (std::size_t i = 0; i < count; ++i) lists[which] += (i == 0 ? "%m" : ", %m") + (letter + std::to_string(i));
      lists[which] = "{" + lists[which] + "}";
    };
    declare(0, 'd', d_count, d_bits);
    declare(1, 'a', a[0].size(), a_bits);
    declare(2, 'b', b[0].size(), a_bits);
    declare(3, 'c', c[0].size(), c_bits);
    const auto load = [&](char letter, std::size_t count, int bits, int offset) {
      for (std::size_t i = 0; i < count; ++i)
        body += "ld.global.b" + std::to_string(bits) + " %m" + letter + std::to_string(i) + ", [%rd5+" +
                std::to_string(offset + 8 * static_cast<int>(i)) + "];\n";
    };
    load('a', a[0].size(), a_bits, 0);
    load('b', b[0].size(), a_bits, 128);
    load('c', c[0].size(), c_bits, 256);
    body += opcode + " " + lists[0] + ", " + lists[1] + ", " + lists[2] + ", " + lists[3] + ";\n";
    for (std::size_t i = 0; i < d_count; ++i)
      body += "st.global.b" + std::to_string(d_bits) + " [%rd6+" + std::to_string(8 * i) + "], %md" +
              std::to_string(i) + ";\n";
    const Status loaded = machine_.Load(KernelText(body));
    EXPECT_TRUE(loaded.ok()) << loaded.ToString();
    if (!loaded.ok()) return {};
    const std::uint64_t in = machine_.Allocate(32 * 512), out = machine_.Allocate(32 * 128);
    for (std::size_t l = 0; l < 32; ++l) {
      std::uint64_t* to = machine_.At<std::uint64_t>(in) + 64 * l;
      std::copy(a[l].begin(), a[l].end(), to);
      std::copy(b[l].begin(), b[l].end(), to + 16);
      std::copy(c[l].begin(), c[l].end(), to + 32);
    }
    const auto fault = machine_.Run({}, {32, 1, 1}, {in, out});
    EXPECT_FALSE(fault.has_value()) << fault->text;
    std::vector<std::vector<std::uint64_t>> d(32);
    for (std::size_t l = 0; l < 32; ++l) {
      const std::uint64_t* from = machine_.At<std::uint64_t>(out) + 16 * l;
      d[l].assign(from, from + d_count);
    }
    return d;
  }
  void Check(const std::string& shape, int m, int n, int k, const std::string& d, const std::string& a,
             const std::string& b, const std::string& c, PlaceOf a_place, PlaceOf b_place, PlaceOf c_place,
             const std::string& bit_operation = "", const std::string& modifier = "") {
    std::mt19937 random(static_cast<unsigned>(m * n * k) + static_cast<unsigned>(a[0]));
    Matrix am = Random(m, k, Named(a), random), bm = Random(k, n, Named(b), random),
           cm = Random(m, n, Named(c), random);
    std::vector<std::vector<std::uint64_t>> fragments[3];
    for (int l = 0; l < 32; ++l) {
      fragments[0].push_back(Fragment(am, Named(a), a_place, l));
      fragments[1].push_back(Fragment(bm, Named(b), b_place, l));
      fragments[2].push_back(Fragment(cm, Named(c), c_place, l));
    }
    const std::string opcode = "mma.sync.aligned." + shape + ".row.col" + modifier + "." + d + "." + a + "." + b + "." +
                               c + bit_operation + (bit_operation.empty() ? "" : ".popc");
    Matrix wanted = Multiplied(am, bm, cm, bit_operation);
    const int bits = Named(a).bits == 64 ? 64 : 32;
    const auto got = Run(opcode, Fragment(wanted, Named(d), c_place, 0).size(), bits, bits, bits, fragments[0],
                         fragments[1], fragments[2]);
    for (std::size_t l = 0; l < got.size(); ++l)
      ASSERT_EQ(got[l], Fragment(wanted, Named(d), c_place, static_cast<int>(l))) << opcode << " lane " << l;
  }
  Machine machine_;
};

TEST_F(Matrices, Halves) {
  for (const std::string type : {"f16", "bf16"}) {
    for (const std::string sum : {"f32", "f16"}) {
      if (type == "bf16" && sum == "f16") continue;
      Check(
          "m16n8k8", 16, 8, 8, sum, type, type, sum,
          [](int l, int i) { return Place{i < 2 ? G(l) : G(l) + 8, T(l) * 2 + (i & 1)}; },
          [](int l, int i) { return Place{T(l) * 2 + i, G(l)}; }, SumsOf16);
      Check(
          "m16n8k16", 16, 8, 16, sum, type, type, sum,
          [](int l, int i) {
            return Place{i < 2 || (i >= 4 && i < 6) ? G(l) : G(l) + 8, T(l) * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
          },
          [](int l, int i) { return Place{T(l) * 2 + (i & 1) + (i >= 2 ? 8 : 0), G(l)}; }, SumsOf16);
    }
  }
}
TEST_F(Matrices, SingleAndDouble) {
  const PlaceOf k4 = [](int l, int i) { return Place{i == 0 ? G(l) : G(l) + 8, T(l)}; };
  const PlaceOf k8 = [](int l, int i) { return Place{i == 0 || i == 2 ? G(l) : G(l) + 8, i < 2 ? T(l) : T(l) + 4}; };
  const PlaceOf b4 = [](int l, int) { return Place{T(l), G(l)}; };
  const PlaceOf b8 = [](int l, int i) { return Place{i == 0 ? T(l) : T(l) + 4, G(l)}; };
  Check("m16n8k4", 16, 8, 4, "f32", "tf32", "tf32", "f32", k4, b4, SumsOf16);
  Check("m16n8k8", 16, 8, 8, "f32", "tf32", "tf32", "f32", k8, b8, SumsOf16);
  Check("m8n8k4", 8, 8, 4, "f64", "f64", "f64", "f64", [](int l, int) { return Place{G(l), T(l)}; }, b4, SumsOf8);
  Check("m16n8k4", 16, 8, 4, "f64", "f64", "f64", "f64", k4, b4, SumsOf16);
  Check("m16n8k8", 16, 8, 8, "f64", "f64", "f64", "f64", k8, b8, SumsOf16);
  Check(
      "m16n8k16", 16, 8, 16, "f64", "f64", "f64", "f64",
      [](int l, int i) { return Place{i % 2 == 0 ? G(l) : G(l) + 8, i % 2 == 0 ? i * 2 + T(l) : i * 2 - 2 + T(l)}; },
      [](int l, int i) { return Place{T(l) + i * 4, G(l)}; }, SumsOf16);
}
TEST_F(Matrices, Bytes) {
  const PlaceOf a32 = [](int l, int i) {
    return Place{i < 4 || (i >= 8 && i < 12) ? G(l) : G(l) + 8, T(l) * 4 + (i & 3) + (i >= 8 ? 16 : 0)};
  };
  const PlaceOf b32 = [](int l, int i) { return Place{T(l) * 4 + (i & 3) + (i >= 4 ? 16 : 0), G(l)}; };
  const PlaceOf a16 = [](int l, int i) { return Place{i < 4 ? G(l) : G(l) + 8, T(l) * 4 + (i & 3)}; };
  const PlaceOf b16 = [](int l, int i) { return Place{T(l) * 4 + i, G(l)}; };
  for (const std::string a : {"s8", "u8"}) {
    for (const std::string b : {"s8", "u8"}) {
      for (const std::string modifier : {"", ".satfinite"}) {
        Check(
            "m8n8k16", 8, 8, 16, "s32", a, b, "s32", [](int l, int i) { return Place{G(l), T(l) * 4 + i}; }, b16,
            SumsOf8, "", modifier);
        Check("m16n8k16", 16, 8, 16, "s32", a, b, "s32", a16, b16, SumsOf16, "", modifier);
        Check("m16n8k32", 16, 8, 32, "s32", a, b, "s32", a32, b32, SumsOf16, "", modifier);
      }
    }
  }
  for (const std::string a : {"e4m3", "e5m2"}) {
    for (const std::string b : {"e4m3", "e5m2"}) {
      for (const std::string sum : {"f32", "f16"}) {
        Check("m16n8k32", 16, 8, 32, sum, a, b, sum, a32, b32, SumsOf16);
        Check("m16n8k16", 16, 8, 16, sum, a, b, sum, a16, b16, SumsOf16);
      }
    }
  }
}
TEST_F(Matrices, NibblesAndBits) {
  for (const std::string a : {"s4", "u4"}) {
    for (const std::string b : {"s4", "u4"}) {
      Check(
          "m8n8k32", 8, 8, 32, "s32", a, b, "s32", [](int l, int i) { return Place{G(l), T(l) * 8 + i}; },
          [](int l, int i) { return Place{T(l) * 8 + i, G(l)}; }, SumsOf8);
      Check(
          "m16n8k32", 16, 8, 32, "s32", a, b, "s32",
          [](int l, int i) { return Place{i < 8 ? G(l) : G(l) + 8, T(l) * 8 + (i & 7)}; },
          [](int l, int i) { return Place{T(l) * 8 + i, G(l)}; }, SumsOf16);
      Check(
          "m16n8k64", 16, 8, 64, "s32", a, b, "s32",
          [](int l, int i) {
            return Place{i < 8 || (i >= 16 && i < 24) ? G(l) : G(l) + 8, T(l) * 8 + (i & 7) + (i >= 16 ? 32 : 0)};
          },
          [](int l, int i) { return Place{T(l) * 8 + (i & 7) + (i >= 8 ? 32 : 0), G(l)}; }, SumsOf16);
    }
  }
  for (const std::string operation : {".xor", ".and"}) {
    Check(
        "m8n8k128", 8, 8, 128, "s32", "b1", "b1", "s32", [](int l, int i) { return Place{G(l), T(l) * 32 + i}; },
        [](int l, int i) { return Place{T(l) * 32 + i, G(l)}; }, SumsOf8, operation);
    Check(
        "m16n8k128", 16, 8, 128, "s32", "b1", "b1", "s32",
        [](int l, int i) { return Place{i < 32 ? G(l) : G(l) + 8, T(l) * 32 + (i & 31)}; },
        [](int l, int i) { return Place{T(l) * 32 + i, G(l)}; }, SumsOf16, operation);
    Check(
        "m16n8k256", 16, 8, 256, "s32", "b1", "b1", "s32",
        [](int l, int i) {
          return Place{i < 32 || (i >= 64 && i < 96) ? G(l) : G(l) + 8, T(l) * 32 + (i & 31) + (i >= 64 ? 128 : 0)};
        },
        [](int l, int i) { return Place{T(l) * 32 + (i & 31) + (i >= 32 ? 128 : 0), G(l)}; }, SumsOf16, operation);
  }
}
// m8n8k4 of f16: four products, each by lanes 4 q to 4 q + 3 and 16 more.
TEST_F(Matrices, FourProductsOfEight) {
  for (const std::string a_layout : {"row", "col"}) {
    for (const std::string b_layout : {"row", "col"}) {
      for (const auto& [d, c] : {std::pair<std::string, std::string>{"f32", "f32"}, {"f16", "f16"}, {"f32", "f16"}}) {
        std::mt19937 random(3);
        Matrix as[4], bs[4], cs[4];
        std::vector<std::vector<std::uint64_t>> fragments[3];
        for (int q = 0; q < 4; ++q) {
          as[q] = Random(8, 4, Named("f16"), random);
          bs[q] = Random(4, 8, Named("f16"), random);
          cs[q] = Random(8, 8, Named(c), random);
        }
        const auto sum_place = [](const std::string& type, int l, int i) {
          const int low = l < 16 ? 0 : 4;
          if (type == "f16") return Place{l % 4 + low, i};
          return Place{(l & 1) + (i & 2) + low, (i & 4) + (l & 2) + (i & 1)};
        };
        const auto pack = [](std::vector<std::uint64_t>& to, int i, std::uint64_t v) {
          to.resize(static_cast<std::size_t>(i / 2 + 1));
          to[static_cast<std::size_t>(i / 2)] |= v << (16 * (i % 2));
        };
        const auto sums = [&](Matrix& m, const std::string& type, int l) {
          std::vector<std::uint64_t> registers;
          for (int i = 0; i < 8; ++i) {
            const std::uint64_t v = Encode(m.At(sum_place(type, l, i)), Named(type));
            if (type == "f16") pack(registers, i, v);
            if (type == "f32") registers.push_back(v);
          }
          return registers;
        };
        for (int l = 0; l < 32; ++l) {
          const int q = l % 16 / 4, low = l < 16 ? 0 : 4;
          std::vector<std::uint64_t> a, b;
          for (int i = 0; i < 4; ++i) {
            pack(a, i,
                 Encode(as[q].At(a_layout == "row" ? Place{l % 4 + low, i} : Place{i + low, l % 4}), Named("f16")));
            pack(b, i,
                 Encode(bs[q].At(b_layout == "row" ? Place{l % 4, i + low} : Place{i, l % 4 + low}), Named("f16")));
          }
          fragments[0].push_back(a);
          fragments[1].push_back(b);
          fragments[2].push_back(sums(cs[q], c, l));
        }
        const std::string opcode = "mma.sync.aligned.m8n8k4." + a_layout + "." + b_layout + "." + d + ".f16.f16." + c;
        const auto got = Run(opcode, d == "f16" ? 4 : 8, 32, 32, 32, fragments[0], fragments[1], fragments[2]);
        for (int l = 0; l < static_cast<int>(got.size()); ++l) {
          const int q = l % 16 / 4;
          Matrix wanted = Multiplied(as[q], bs[q], cs[q], "");
          ASSERT_EQ(got[static_cast<std::size_t>(l)], sums(wanted, d, l)) << opcode << " lane " << l;
        }
      }
    }
  }
}
// Sums that are not exact: rounded once, at the end.
TEST_F(Matrices, SumsAreRoundedOnce) {
  std::vector<std::vector<std::uint64_t>> a(32, std::vector<std::uint64_t>(4, 0x3c003c00)),
      b(32, std::vector<std::uint64_t>(2, 0x3c003c00));
  std::vector<std::vector<std::uint64_t>> c(32,
                                            std::vector<std::uint64_t>(4, std::bit_cast<std::uint32_t>(16777216.0f)));
  const auto got = Run("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 4, 32, 32, 32, a, b, c);
  for (const auto& lane : got) {
    for (const std::uint64_t v : lane) EXPECT_EQ(v, std::bit_cast<std::uint32_t>(16777232.0f));
  }
}

// Copies from and to shared memory: rows 16 bytes long, 32 bytes apart in two columns.
TEST_F(Matrices, LoadStoreMove) {
  for (const int count : {1, 2, 4}) {
    for (const bool transposed : {false, true}) {
      const std::string form =
          ".sync.aligned.m8n8.x" + std::to_string(count) + (transposed ? ".trans" : "") + ".shared.b16";
      std::string list = "{%r4";
      for (int i = 1; i < count; ++i) list += ", %r" + std::to_string(4 + i);
      list += "}";
      std::string body =
          ".shared .align 16 .b8 window[1024]; mov.u32 %r2, window; mad.lo.u32 %r3, %r1, 16, %r2; mad.wide.u32 %rd5, "
          "%r1, 16, %rd1;\n"
          "ld.global.v2.u64 {%rd6, %rd7}, [%rd5]; st.shared.v2.u64 [%r3], {%rd6, %rd7}; bar.sync 0;\n"
          // The matrices' rows from the last to the first.
          "xor.b32 %r8, %r1, 7; mad.lo.u32 %r9, %r8, 16, %r2;\n"
          "ldmatrix" +
          form + " " + list + ", [%r9]; bar.sync 0; mad.wide.u32 %rd8, %r1, 16, %rd2;\n";
      for (int i = 0; i < count; ++i)
        body += "st.global.u32 [%rd8+" + std::to_string(4 * i) + "], %r" + std::to_string(4 + i) + ";\n";
      // What has been loaded is stored at another place, and read row by row.
      body += "add.u32 %r10, %r3, 512; stmatrix" + form + " [%r10], " + list +
              "; bar.sync 0;\n"
              "ld.shared.v2.u64 {%rd6, %rd7}, [%r10]; mad.wide.u32 %rd9, %r1, 16, %rd3; st.global.v2.u64 [%rd9], "
              "{%rd6, %rd7};";
      machine_.Reset();
      const Status loaded = machine_.Load(KernelText(body));
      ASSERT_TRUE(loaded.ok()) << loaded.ToString();
      const std::uint64_t in = machine_.Allocate(512), out = machine_.Allocate(512), stored = machine_.Allocate(512);
      auto* values = machine_.At<std::uint16_t>(in);
      for (int i = 0; i < 256; ++i) values[i] = static_cast<std::uint16_t>(1000 + i);
      const auto fault = machine_.Run({}, {32, 1, 1}, {in, out, stored});
      ASSERT_FALSE(fault.has_value()) << fault->text;
      const auto element = [&](int matrix, int row, int column) {
        return static_cast<std::uint32_t>(1000 + (matrix * 8 + 7 - row) * 8 + column);
      };
      for (int l = 0; l < 32; ++l) {
        for (int i = 0; i < count; ++i) {
          const int g = l / 4, t = l % 4 * 2;
          const std::uint32_t wanted = transposed ? element(i, t, g) | element(i, t + 1, g) << 16
                                                  : element(i, g, t) | element(i, g, t + 1) << 16;
          ASSERT_EQ(machine_.At<std::uint32_t>(out)[4 * l + i], wanted) << form << " lane " << l;
        }
      }
      // Stored as loaded, so every row comes back.
      for (int row = 0; row < 8 * count; ++row) {
        for (int column = 0; column < 8; ++column)
          ASSERT_EQ(machine_.At<std::uint16_t>(stored)[row * 8 + column], element(row / 8, row % 8, column)) << form;
      }
    }
  }
  std::vector<Values> rows;
  for (std::uint64_t l = 0; l < 64; ++l) rows.push_back({(l * 2 + 1) << 16 | l * 2});
  ExpectRows("movmatrix.sync.aligned.m8n8.trans.b16 %d, %a;", {}, rows, [](auto& v) {
    // Element (row, column) of warp w has the value 64 w + 8 row + column.
    const std::uint64_t w = (v.a & 0xffff) / 64, g = (v.a & 0xffff) % 64 / 8, t = (v.a & 0xffff) % 8;
    return (64 * w + 8 * t + g) | (64 * w + 8 * (t + 1) + g) << 16;
  });
}
TEST_F(Matrices, RowsMustBeThereAndAligned) {
  for (const char* address : {"4096", "8"}) {
    machine_.Reset();
    ASSERT_TRUE(machine_
                    .Load(KernelText(".shared .align 16 .b8 window[512]; mov.u32 %r2, window; add.u32 %r2, %r2, " +
                                     std::string(address) + "; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r3}, [%r2];"))
                    .ok());
    const auto fault = machine_.Run({}, {32, 1, 1});
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->status, address[0] == '8' ? kDeviceMisaligned : kDeviceIllegalAddress);
  }
}

// wmma: matrices in memory, every layout, with and without a stride.
struct WmmaCase {
  std::string shape;
  int m, n, k;
  std::string d, a, c;
};
TEST_F(Matrices, Wmma) {
  std::vector<WmmaCase> cases;
  for (const auto& [shape, m, n] :
       {std::tuple<std::string, int, int>{"m16n16k16", 16, 16}, {"m8n32k16", 8, 32}, {"m32n8k16", 32, 8}}) {
    for (const std::string d : {"f32", "f16"}) {
      for (const std::string c : {"f32", "f16"}) cases.push_back({shape, m, n, 16, d, "f16", c});
    }
    cases.push_back({shape, m, n, 16, "f32", "bf16", "f32"});
    cases.push_back({shape, m, n, 16, "s32", "s8", "s32"});
    cases.push_back({shape, m, n, 16, "s32", "u8", "s32"});
  }
  cases.push_back({"m16n16k8", 16, 16, 8, "f32", "tf32", "f32"});
  cases.push_back({"m8n8k4", 8, 8, 4, "f64", "f64", "f64"});
  cases.push_back({"m8n8k32", 8, 8, 32, "s32", "s4", "s32"});
  cases.push_back({"m8n8k32", 8, 8, 32, "s32", "u4", "s32"});
  for (const WmmaCase& w : cases) {
    const bool nibbles = w.a == "s4" || w.a == "u4";
    for (const std::string& layouts : nibbles ? std::vector<std::string>{"row.col"}
                                              : std::vector<std::string>{"row.row", "row.col", "col.row", "col.col"}) {
      const std::string a_layout = layouts.substr(0, 3), b_layout = layouts.substr(4), sums = a_layout;
      const int extra = nibbles ? 0 : 8;  // of the stride
      const auto count = [](const std::string& type, int elements, bool factor) {
        if (factor && type == "f16") return 8;
        return std::max(elements * Named(type).bits / (Named(type).bits == 64 ? 2048 : 1024), 1);
      };
      const bool wide = w.a == "f64";
      std::string body, lists[4];
      const auto declare = [&](int which, char letter, int n) {
        body += std::string(".reg .b") + (wide ? "64" : "32") + " %m" + letter + "<8>;\n";
        for (int i = 0; i < n; ++i) lists[which] += (i == 0 ? "%m" : ", %m") + (letter + std::to_string(i));
        lists[which] = "{" + lists[which] + "}";
      };
      declare(0, 'd', count(w.d, w.m * w.n, false));
      declare(1, 'a', count(w.a, w.m * w.k, true));
      declare(2, 'b', count(w.a, w.k * w.n, true));
      declare(3, 'c', count(w.c, w.m * w.n, false));
      const auto stride = [&](const std::string& layout, int rows, int columns) {
        return std::to_string((layout == "row" ? columns : rows) + extra);
      };
      const std::string head = ".sync.aligned.";
      body += "wmma.load.a" + head + a_layout + "." + w.shape + ".global." + w.a + " " + lists[1] + ", [%rd1], " +
              stride(a_layout, w.m, w.k) + ";\n";
      body += "wmma.load.b" + head + b_layout + "." + w.shape + ".global." + w.a + " " + lists[2] + ", [%rd2], " +
              stride(b_layout, w.k, w.n) + ";\n";
      body += "wmma.load.c" + head + sums + "." + w.shape + ".global." + w.c + " " + lists[3] + ", [%rd3], " +
              stride(sums, w.m, w.n) + ";\n";
      const std::string types = w.a == "f16" ? w.d + "." + w.c : w.d + "." + w.a + "." + w.a + "." + w.c;
      body += "wmma.mma" + head + layouts + "." + w.shape + (wide ? ".rn." : ".") + types + " " + lists[0] + ", " +
              lists[1] + ", " + lists[2] + ", " + lists[3] + ";\n";
      body += "wmma.store.d" + head + sums + "." + w.shape + ".global." + w.d + " [%rd4], " + lists[0] + ", " +
              stride(sums, w.m, w.n) + ";\n";
      machine_.Reset();
      const Status loaded = machine_.Load(KernelText(body));
      ASSERT_TRUE(loaded.ok()) << loaded.ToString();
      std::mt19937 random(11);
      Matrix am = Random(w.m, w.k, Named(w.a), random), bm = Random(w.k, w.n, Named(w.a), random),
             cm = Random(w.m, w.n, Named(w.c), random);
      std::vector<std::uint64_t> addresses;
      for (int i = 0; i < 4; ++i) addresses.push_back(machine_.Allocate(16384));
      const auto each = [&](Matrix& m, const std::string& layout,
                            const std::function<void(std::uint64_t bit, double& v)>& visit, int bits) {
        for (int r = 0; r < m.rows; ++r) {
          for (int col = 0; col < m.columns; ++col) {
            const int s = (layout == "row" ? m.columns : m.rows) + extra;
            visit(static_cast<std::uint64_t>((layout == "row" ? r * s + col : col * s + r) * bits), m.At({r, col}));
          }
        }
      };
      const auto put = [&](std::uint64_t to, Matrix& m, const std::string& layout, const std::string& type) {
        const int bits = Named(type).bits;
        each(
            m, layout,
            [&](std::uint64_t bit, double& v) {
              const std::uint64_t word = Encode(v, Named(type)) << bit % 8;
              for (int byte = 0; byte < std::max(bits / 8, 1); ++byte)
                machine_.At<std::uint8_t>(to)[bit / 8 + static_cast<std::uint64_t>(byte)] |=
                    static_cast<std::uint8_t>(word >> (8 * byte));
            },
            bits);
      };
      put(addresses[0], am, a_layout, w.a);
      put(addresses[1], bm, b_layout, w.a);
      put(addresses[2], cm, sums, w.c);
      const auto fault = machine_.Run({}, {32, 1, 1}, addresses);
      ASSERT_FALSE(fault.has_value()) << fault->text;
      Matrix wanted = Multiplied(am, bm, cm, "");
      each(
          wanted, sums,
          [&](std::uint64_t bit, double& v) {
            std::uint64_t got = 0;
            std::memcpy(&got, machine_.At<std::uint8_t>(addresses[3]) + bit / 8,
                        static_cast<std::size_t>(Named(w.d).bits / 8));
            ASSERT_EQ(got, Encode(v, Named(w.d))) << w.shape << " " << types << " " << layouts;
          },
          Named(w.d).bits);
    }
  }
}

}  // namespace
}  // namespace accelmesh::tier0
