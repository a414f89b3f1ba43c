// tier0/memory.cpp and runtime_calls.cpp: loads, stores, atomics, address conversion, device printf.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "tests/unit/server/backend/cpu/tier0/exact.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

class Memory : public testing::Test {
 protected:
  // Loads a kernel whose address registers are set up: %rd1 + 32 * thread in %rd5.
  void LoadBody(const std::string& body) {
    const Status loaded = machine_.Load(KernelText("mad.wide.u32 %rd5, %r1, 32, %rd1;\n" + body));
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  }
  void Run(const std::vector<std::uint64_t>& arguments, std::uint32_t threads = 32, std::uint32_t shared = 0) {
    const auto fault = machine_.Run({}, {threads, 1, 1}, arguments, shared);
    ASSERT_FALSE(fault.has_value()) << fault->text;
  }
  Machine machine_;
};

// A load fills the whole of a register that is wider than its type: by the sign, or with zeros.
TEST_F(Memory, NarrowLoadsExtend) {
  struct Case {
    const char* type;
    int bits;
    bool is_signed;
  };
  for (const Case& c : {Case{"u8", 8, false},
                        {"s8", 8, true},
                        {"b8", 8, false},
                        {"u16", 16, false},
                        {"s16", 16, true},
                        {"u32", 32, false},
                        {"s32", 32, true},
                        {"b32", 32, false},
                        {"f32", 32, false},
                        {"u64", 64, false}}) {
    for (const char* order : {"", ".volatile", ".relaxed.gpu", ".acquire.sys"}) {
      LoadBody(std::string("ld") + order + ".global." + c.type + " %rd6, [%rd5]; st.global.u64 [%rd5+8], %rd6;");
      const std::uint64_t data = machine_.Allocate(64 * 32);
      for (std::uint32_t t = 0; t < 40; ++t) machine_.At<std::uint64_t>(data)[4 * t] = 0x8091a2b3c4d5e6f7u * (t + 1);
      Run({data}, 40);
      for (std::uint32_t t = 0; t < 40; ++t) {
        const std::uint64_t all = machine_.At<std::uint64_t>(data)[4 * t];
        std::uint64_t expected = c.bits == 64 ? all : all & ((1ull << c.bits) - 1);
        if (c.is_signed && (expected >> (c.bits - 1) & 1) != 0) expected |= ~0ull << c.bits;
        ASSERT_EQ(machine_.At<std::uint64_t>(data)[4 * t + 1], expected) << order << c.type;
      }
      machine_.Reset();
    }
  }
}

// Each lane with its own bytes: nothing beside the width of the type may change.
TEST_F(Memory, StoresWriteTheirWidthOnly) {
  for (const int bits : {8, 16, 32, 64}) {
    for (const char* order : {"", ".volatile", ".release.gpu"}) {
      LoadBody("mov.b64 %rd6, 0x1122334455667788; st" + std::string(order) + ".global.b" + std::to_string(bits) +
               " [%rd5+8], %rd6;");
      const std::uint64_t data = machine_.Allocate(33 * 32);
      std::memset(machine_.At<void>(data), 0xee, 33 * 32);
      Run({data}, 33);
      std::vector<std::uint8_t> expected(33 * 32, 0xee);
      const std::uint64_t value = 0x1122334455667788;
      for (int t = 0; t < 33; ++t)
        std::memcpy(&expected[static_cast<std::size_t>(32 * t + 8)], &value, static_cast<std::size_t>(bits / 8));
      EXPECT_EQ(std::memcmp(machine_.At<void>(data), expected.data(), expected.size()), 0) << order << bits;
      machine_.Reset();
    }
  }
}

// Contiguous, uniform, strided and reversed addresses give the same as lane by lane, full warps and partial ones.
TEST_F(Memory, EveryPatternOfAddresses) {
  const std::uint32_t count = 50;
  for (const auto& [bytes, vector] : {std::pair{4u, 1u}, {8u, 1u}, {4u, 2u}, {4u, 4u}, {8u, 2u}, {8u, 4u}}) {
    const std::uint32_t total = bytes * vector;
    const std::string type = (vector > 1 ? ".v" + std::to_string(vector) : "") + ".b" + std::to_string(8 * bytes);
    std::string list;
    for (std::uint32_t i = 0; i < vector; ++i) list += (i != 0 ? ", %rd" : "%rd") + std::to_string(8 + i);
    if (vector > 1) list = "{" + list + "}";
    for (const std::string space : {"global", "shared"}) {
      for (const std::string index :
           {"mov.u32 %r2, %r1;", "mov.u32 %r2, 3;", "sub.u32 %r2, 49, %r1;", "xor.b32 %r2, %r1, 1;"}) {
        // In shared memory the input is copied by thread 0 first.
        std::string body = index + " mul.wide.u32 %rd6, %r2, " + std::to_string(total) + "; mul.wide.u32 %rd7, %r1, " +
                           std::to_string(total) + "; add.u64 %rd7, %rd2, %rd7;\n";
        if (space == "shared") {
          body +=
              ".shared .align 32 .b8 window[2048]; mov.u64 %rd15, window; setp.ne.u32 %p1, %r1, 0; @%p1 bra COPIED;\n"
              "mov.u32 %r3, 0; LOOP: cvt.u64.u32 %rd12, %r3; add.u64 %rd13, %rd1, %rd12; ld.global.b32 %r4, [%rd13];\n"
              "add.u64 %rd14, %rd15, %rd12; st.shared.b32 [%rd14], %r4; add.u32 %r3, %r3, 4; setp.lt.u32 %p2, %r3, "
              "1600;\n"
              "@%p2 bra LOOP; COPIED: bar.sync 0; add.u64 %rd6, %rd6, %rd15;\n";
        } else {
          body += "add.u64 %rd6, %rd6, %rd1;\n";
        }
        body += "ld." + space + type + " " + list + ", [%rd6]; st.global" + type + " [%rd7], " + list + ";";
        LoadBody(body);
        const std::uint64_t in = machine_.Allocate(2048);
        const std::uint64_t out = machine_.Allocate(2048);
        std::iota(machine_.At<std::uint8_t>(in), machine_.At<std::uint8_t>(in) + 2048, 1);
        Run({in, out}, count);
        for (std::uint32_t t = 0; t < count; ++t) {
          const std::uint32_t from = index.find(", 3;") != std::string::npos  ? 3
                                     : index.find("sub") != std::string::npos ? 49 - t
                                     : index.find("xor") != std::string::npos ? t ^ 1
                                                                              : t;
          ASSERT_EQ(std::memcmp(machine_.At<std::uint8_t>(out) + t * total,
                                machine_.At<std::uint8_t>(in) + from * total, total),
                    0)
              << space << type << index << t;
        }
        machine_.Reset();
      }
    }
  }
}

// A vector load whose destination is its own address.
TEST_F(Memory, AddressMayBeADestination) {
  LoadBody(
      "mov.u64 %rd6, %rd5; ld.global.v2.u64 {%rd6, %rd7}, [%rd6]; add.u64 %rd8, %rd6, %rd7; st.global.u64 [%rd5], "
      "%rd8;");
  const std::uint64_t data = machine_.Allocate(32 * 32);
  for (std::uint64_t t = 0; t < 32; ++t) {
    machine_.At<std::uint64_t>(data)[4 * t] = t;
    machine_.At<std::uint64_t>(data)[4 * t + 1] = 100 * t;
  }
  Run({data});
  for (std::uint64_t t = 0; t < 32; ++t) EXPECT_EQ(machine_.At<std::uint64_t>(data)[4 * t], 101 * t);
}

TEST_F(Memory, ParametersByRegisterAndSign) {
  // Lane t reads word t of a 64-byte parameter: each its own.
  const std::string text =
      ".version 8.0\n.target sm_80\n.address_size 64\n"
      ".visible .entry k(.param .align 4 .b8 table[128], .param .u64 .ptr .global .align 256 out, .param .s8 "
      "small)\n{\n"
      ".reg .b64 %rd<9>; .reg .b32 %r<5>; mov.u32 %r1, %tid.x; mov.b64 %rd1, table; mad.wide.u32 %rd2, %r1, 4, %rd1;\n"
      "ld.param.s32 %rd3, [%rd2]; ld.param.u64 %rd4, [out]; mad.wide.u32 %rd5, %r1, 8, %rd4; ld.param.s8 %rd6, "
      "[small];\n"
      "add.s64 %rd3, %rd3, %rd6; st.global.u64 [%rd5], %rd3; ret; }\n";
  const Status loaded = machine_.Load(text);
  ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  // .align behind .ptr is about what it points to.
  EXPECT_EQ(machine_.module().kernels[0].parameters[1].offset, 128u);
  const std::uint64_t out = machine_.Allocate(32 * 8);
  std::vector<std::uint8_t> arguments(137);
  for (int t = 0; t < 32; ++t) {
    const std::int32_t value = t * t - 100;
    std::memcpy(&arguments[static_cast<std::size_t>(4 * t)], &value, 4);
  }
  std::memcpy(&arguments[128], &out, 8);
  arguments[136] = 0xff;
  ASSERT_FALSE(machine_.Run({}, {32, 1, 1}, arguments).has_value());
  for (int t = 0; t < 32; ++t) EXPECT_EQ(machine_.At<std::int64_t>(out)[t], t * t - 101);
  // A launch with fewer bytes than the kernel reads is the caller's fault, and found.
  const auto fault = machine_.Run({}, {32, 1, 1}, ByteView(arguments).first(64));
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->status, kDeviceIllegalAddress);
}

// Atomics: every operation and type in one lane, against the ISA's definition; the old value comes back.
template <typename T>
void CheckAtomic(Machine& machine, const std::string& name, const std::string& type, T (*wanted)(T old, T b, T c)) {
  const int bits = 8 * sizeof(T);
  const Kind kind = std::is_same_v<T, float> ? Kind::kF32 : std::is_same_v<T, double> ? Kind::kF64 : Kind::kInteger;
  for (const std::string space : {"global", "shared"}) {
    machine.Reset();
    const std::string b = std::to_string(bits);
    const std::string operands = name == "cas" ? "%b, %c" : "%b";
    const std::string at = space == "shared" ? "[word]" : "[%rd5]";
    std::string body = "mad.wide.u32 %rd5, %r1, 32, %rd1; .shared .align 8 .b8 word[8]; .reg .b" + b +
                       " %a, %b, %c;\n" + "ld.global.b" + b + " %b, [%rd5+8]; ld.global.b" + b + " %c, [%rd5+16];\n";
    if (space == "shared") body += "ld.global.b" + b + " %a, [%rd5]; st.shared.b" + b + " [word], %a;\n";
    body += "atom." + space + "." + name + "." + type + " %a, " + at + ", " + operands + "; st.global.b" + b +
            " [%rd5+24], %a;\n";
    if (space == "shared") body += "ld.shared.b" + b + " %a, [word]; st.global.b" + b + " [%rd5], %a;\n";
    const Status loaded = machine.Load(KernelText(body));
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    std::vector<Values> rows;
    for (const std::uint64_t x : Interesting(kind, bits)) {
      for (const std::uint64_t y : Interesting(kind, bits)) rows.push_back({x, y, ~y, 0}), rows.push_back({x, x, y, 0});
    }
    rows.resize(1000);
    const std::uint64_t data = machine.Allocate(rows.size() * 32);
    std::memcpy(machine.At<void>(data), rows.data(), rows.size() * 32);
    // One thread a block, so that each has shared memory to itself.
    for (std::uint64_t i = 0; i < rows.size(); ++i) {
      const auto fault = machine.Run({}, {1, 1, 1}, {data + 32 * i});
      ASSERT_FALSE(fault.has_value()) << fault->text;
    }
    const std::uint64_t mask = bits == 64 ? ~0ull : (1ull << bits) - 1;
    for (std::uint64_t i = 0; i < rows.size(); ++i) {
      const auto* words = machine.At<std::uint64_t>(data + 32 * i);
      const std::uint64_t old = rows[i].a & mask;
      EXPECT_EQ(words[3] & mask, old) << name << type;
      const T result = wanted(FromBits<T>(rows[i].a), FromBits<T>(rows[i].b), FromBits<T>(rows[i].c));
      if (result != result && FromBits<T>(words[0]) != FromBits<T>(words[0])) continue;  // some NaN
      ASSERT_EQ(words[0] & mask, ToBits<T>(result) & mask) << name << type << " " << rows[i].a << " " << rows[i].b;
    }
  }
}
template <typename T>
void CheckIntegerAtomics(Machine& m, const std::string& type) {
  using U = std::make_unsigned_t<T>;
  CheckAtomic<T>(m, "add", type, [](T a, T b, T) { return static_cast<T>(static_cast<U>(a) + static_cast<U>(b)); });
  CheckAtomic<T>(m, "min", type, [](T a, T b, T) { return b < a ? b : a; });
  CheckAtomic<T>(m, "max", type, [](T a, T b, T) { return b > a ? b : a; });
}
TEST_F(Memory, Atomics) {
  CheckIntegerAtomics<std::uint32_t>(machine_, "u32");
  CheckIntegerAtomics<std::int32_t>(machine_, "s32");
  CheckIntegerAtomics<std::uint64_t>(machine_, "u64");
  CheckIntegerAtomics<std::int64_t>(machine_, "s64");
  CheckAtomic<float>(machine_, "add", "f32", [](float a, float b, float) { return a + b; });
  CheckAtomic<double>(machine_, "add", "f64", [](double a, double b, double) { return a + b; });
  using W = std::uint32_t;
  CheckAtomic<W>(machine_, "and", "b32", [](W a, W b, W) { return a & b; });
  CheckAtomic<W>(machine_, "or", "b32", [](W a, W b, W) { return a | b; });
  CheckAtomic<W>(machine_, "xor", "b32", [](W a, W b, W) { return a ^ b; });
  CheckAtomic<W>(machine_, "exch", "b32", [](W, W b, W) { return b; });
  CheckAtomic<W>(machine_, "cas", "b32", [](W a, W b, W c) { return a == b ? c : a; });
  CheckAtomic<W>(machine_, "inc", "u32", [](W a, W b, W) { return a >= b ? 0 : a + 1; });
  CheckAtomic<W>(machine_, "dec", "u32", [](W a, W b, W) { return a == 0 || a > b ? b : a - 1; });
  using L = std::uint64_t;
  CheckAtomic<L>(machine_, "and", "b64", [](L a, L b, L) { return a & b; });
  CheckAtomic<L>(machine_, "or", "b64", [](L a, L b, L) { return a | b; });
  CheckAtomic<L>(machine_, "xor", "b64", [](L a, L b, L) { return a ^ b; });
  CheckAtomic<L>(machine_, "exch", "b64", [](L, L b, L) { return b; });
  CheckAtomic<L>(machine_, "cas", "b64", [](L a, L b, L c) { return a == b ? c : a; });
}

TEST_F(Memory, ReductionsAndAtomicsOfAllLanesAtOneAddress) {
  LoadBody(
      "red.global.add.u32 [%rd1], 3; atom.relaxed.gpu.global.add.u32 %r2, [%rd1+4], 1; red.global.add.f32 [%rd1+8], "
      "0.5;\n"
      "mul.wide.u32 %rd6, %r2, 4; add.u64 %rd7, %rd2, %rd6; st.global.u32 [%rd7], %r1; red.max.s32 [%rd1+12], %r1;");
  const std::uint64_t words = machine_.Allocate(16);
  const std::uint64_t tickets = machine_.Allocate(256 * 4);
  Run({words, tickets}, 256);
  EXPECT_EQ(machine_.At<std::uint32_t>(words)[0], 768u);
  EXPECT_EQ(machine_.At<std::uint32_t>(words)[1], 256u);
  EXPECT_EQ(machine_.At<float>(words)[2], 128.0f);
  EXPECT_EQ(machine_.At<std::int32_t>(words)[3], 255);
  // Each thread drew a ticket of its own.
  auto* drawn = machine_.At<std::uint32_t>(tickets);
  std::sort(drawn, drawn + 256);
  for (std::uint32_t t = 0; t < 256; ++t) EXPECT_EQ(drawn[t], t);
}

TEST_F(Memory, GenericAddressesReachEveryWindow) {
  // local and shared memory through generic addresses and back; %rd6 shared, %rd7 local, %rd1 global.
  LoadBody(
      ".shared .align 8 .b8 cell[512]; .local .align 8 .b8 depot[16];\n"
      "mov.u64 %rd6, cell; mad.wide.u32 %rd6, %r1, 8, %rd6; cvta.shared.u64 %rd8, %rd6; cvta.to.shared.u64 %rd9, "
      "%rd8;\n"
      "mov.u64 %rd7, depot; cvta.local.u64 %rd10, %rd7; cvta.to.local.u64 %rd11, %rd10;\n"
      "cvt.u64.u32 %rd12, %r1; st.u64 [%rd8], %rd12; ld.shared.u64 %rd13, [%rd9]; st.u64 [%rd10+8], %rd13; "
      "ld.local.u64 %rd14, [%rd11+8];\n"
      "isspacep.shared %p1, %rd8; isspacep.local %p2, %rd10; isspacep.global %p3, %rd1; isspacep.global %p4, %rd8; "
      "isspacep.shared %p5, %rd10;\n"
      "and.pred %p1, %p1, %p2; and.pred %p1, %p1, %p3; not.pred %p4, %p4; and.pred %p1, %p1, %p4; not.pred %p5, %p5; "
      "and.pred %p1, %p1, %p5;\n"
      "selp.u64 %rd15, 1000, 0, %p1; add.u64 %rd14, %rd14, %rd15; cvta.to.global.u64 %rd3, %rd5; st.global.u64 [%rd3], "
      "%rd14;");
  const std::uint64_t data = machine_.Allocate(64 * 32);
  Run({data}, 64);
  for (std::uint64_t t = 0; t < 64; ++t) EXPECT_EQ(machine_.At<std::uint64_t>(data)[4 * t], 1000 + t);
}

TEST_F(Memory, DynamicSharedMemoryLiesBehindTheStatic) {
  const std::string text =
      ".version 8.0\n.target sm_80\n.address_size 64\n.extern .shared .align 64 .b8 dynamic[];\n"
      ".shared .align 4 .b8 common[4];\n"
      ".visible .entry k(.param .u64 out)\n{ .reg .b64 %rd<4>; .reg .b32 %r<6>; .shared .align 4 .b8 own[12];\n"
      "ld.param.u64 %rd1, [out]; mov.u32 %r1, dynamic; mov.u32 %r2, own; mov.u32 %r3, common; mov.u32 %r4, "
      "%dynamic_smem_size;\n"
      "st.global.v4.u32 [%rd1], {%r1, %r2, %r3, %r4}; st.shared.u32 [%r1+96], %r4; ret; }\n";
  const Status loaded = machine_.Load(text);
  ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  EXPECT_EQ(machine_.module().kernels[0].static_shared_bytes, 16u);
  const std::uint64_t out = machine_.Allocate(16);
  Run({out}, 1, 100);
  const auto* words = machine_.At<std::uint32_t>(out);
  EXPECT_EQ(words[0], 64u);
  EXPECT_EQ(words[1], 0u);
  EXPECT_EQ(words[2], 12u);
  EXPECT_EQ(words[3], 100u);
  const auto fault = machine_.Run({}, {}, {out}, 96);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->status, kDeviceIllegalAddress);
}

TEST_F(Memory, FaultsNameLaneLineAndAddress) {
  const auto fault_of = [this](const std::string& body, std::uint64_t address) {
    LoadBody(body);
    const auto fault = machine_.Run({}, {64, 1, 1}, {address});
    EXPECT_TRUE(fault.has_value()) << body;
    return fault.value_or(Fault{});
  };
  const std::uint64_t data = machine_.Allocate(4096);
  const Fault wild = fault_of("setp.eq.u32 %p1, %r1, 37;\n@%p1 st.global.u32 [%rd5], 1;", machine_.forbidden());
  EXPECT_EQ(wild.status, kDeviceIllegalAddress);
  EXPECT_NE(wild.text.find("thread (37,0,0)"), std::string::npos) << wild.text;
  EXPECT_NE(wild.text.find("ptx line 11"), std::string::npos) << wild.text;
  EXPECT_NE(wild.text.find("st.global.u32 [%rd5], 1"), std::string::npos) << wild.text;
  for (const char* access : {"ld.global.u32 %r2, [%rd5];", "ld.u8 %r2, [%rd5];", "ld.volatile.global.u64 %rd6, [%rd5];",
                             "ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd5];", "st.release.gpu.global.u32 [%rd5], %r1;",
                             "atom.global.add.u32 %r2, [%rd5], 1;", "red.global.add.f64 [%rd5], 0d3FF0000000000000;"}) {
    EXPECT_EQ(fault_of(access, machine_.forbidden()).status, kDeviceIllegalAddress) << access;
    EXPECT_EQ(fault_of(access, 0).status, kDeviceIllegalAddress) << access;
    EXPECT_EQ(fault_of(access, 0xfffffffffffffff0u).status, kDeviceIllegalAddress) << access;
    if (std::string(access).find("u8") == std::string::npos) {
      EXPECT_EQ(fault_of(access, data + 1).status, kDeviceMisaligned) << access;
    }
  }
  EXPECT_EQ(fault_of("ld.global.v2.u32 {%r2, %r3}, [%rd5];", data + 4).status, kDeviceMisaligned);
  EXPECT_EQ(fault_of("ld.shared.u32 %r2, [%r1];", data).status, kDeviceIllegalAddress);
  EXPECT_EQ(fault_of(".shared .b32 s; ld.shared.u16 %r2, [s+1];", data).status, kDeviceMisaligned);
  EXPECT_EQ(fault_of(".local .b32 s; mov.u64 %rd7, s; ld.local.u64 %rd6, [%rd7+4096];", data).status,
            kDeviceIllegalAddress);
  EXPECT_EQ(fault_of("trap;", data).status, kDeviceLaunchFailed);
}

TEST_F(Memory, VolatileVectorsAreWhole) {
  LoadBody(
      "mov.u64 %rd6, 7; mov.u64 %rd7, 9; st.relaxed.gpu.global.v2.u64 [%rd5], {%rd6, %rd7}; "
      "ld.acquire.gpu.global.v2.u64 {%rd8, %rd9}, [%rd5];\n"
      "ld.relaxed.gpu.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd5]; cvt.u64.u32 %rd10, %r4; add.u64 %rd9, %rd9, %rd10; "
      "st.volatile.global.v2.u64 [%rd5+16], {%rd9, %rd8};");
  const std::uint64_t data = machine_.Allocate(32 * 32);
  Run({data});
  for (int t = 0; t < 32; ++t) {
    EXPECT_EQ(machine_.At<std::uint64_t>(data)[4 * t], 7u);
    EXPECT_EQ(machine_.At<std::uint64_t>(data)[4 * t + 1], 9u);
    EXPECT_EQ(machine_.At<std::uint64_t>(data)[4 * t + 2], 18u);
    EXPECT_EQ(machine_.At<std::uint64_t>(data)[4 * t + 3], 7u);
  }
}

// Printing
// --------------------------------------------------------------------------------------------------------------

constexpr const char* kCallHeader =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);\n"
    ".global .align 1 .b8 fmt[128];\n";

class Printf : public Memory {
 protected:
  // What one thread prints with the format and the words of its argument buffer.
  std::string Print(const std::string& format, const std::vector<std::uint64_t>& words,
                    std::int32_t* result = nullptr) {
    machine_.Reset();
    const Status loaded = machine_.Load(
        std::string(kCallHeader) +
        ".visible .entry k(.param .u64 format, .param .u64 in, .param .u64 out)\n{\n"
        ".local .align 8 .b8 depot[64]; .reg .b64 %rd<9>; .reg .b32 %r<3>;\n"
        "ld.param.u64 %rd1, [format]; ld.param.u64 %rd2, [in]; ld.param.u64 %rd3, [out]; mov.u64 %rd4, depot; "
        "cvta.local.u64 %rd5, %rd4;\n"
        "ld.global.u64 %rd6, [%rd2]; st.local.u64 [%rd4], %rd6; ld.global.u64 %rd6, [%rd2+8]; st.local.u64 [%rd4+8], "
        "%rd6;\n"
        "ld.global.u64 %rd6, [%rd2+16]; st.local.u64 [%rd4+16], %rd6;\n"
        "{ .param .b64 p0; st.param.b64 [p0+0], %rd1; .param .b64 p1; st.param.b64 [p1+0], %rd5; .param .b32 retval0;\n"
        "call.uni (retval0), vprintf, (p0, p1); ld.param.b32 %r1, [retval0+0]; } st.global.u32 [%rd3], %r1; ret; }\n");
    EXPECT_TRUE(loaded.ok()) << loaded.ToString();
    const std::uint64_t text = machine_.Allocate(256);
    std::memcpy(machine_.At<void>(text), format.c_str(), format.size() + 1);
    const std::uint64_t in = machine_.Allocate(24);
    std::copy(words.begin(), words.end(), machine_.At<std::uint64_t>(in));
    const std::uint64_t out = machine_.Allocate(4);
    Run({text, in, out}, 1);
    if (result != nullptr) *result = *machine_.At<std::int32_t>(out);
    return machine_.printed();
  }
};

TEST_F(Printf, FormatsAsTheHostDoes) {
  std::int32_t conversions = 0;
  // Two 4-byte values share a word.
  EXPECT_EQ(Print("%d and %u\n", {0xfffffffeffffffffu}, &conversions), "-1 and 4294967294\n");
  EXPECT_EQ(conversions, 2);
  // An 8-byte value is 8-aligned behind a 4-byte one.
  EXPECT_EQ(Print("%d %.3f %lld", {7, std::bit_cast<std::uint64_t>(1.5), ~0ull}), "7 1.500 -1");
  EXPECT_EQ(Print("[%5d|%-5d]%%", {0x0000000300000002}), "[    2|3    ]%");
  EXPECT_EQ(Print("%*d|%.*f", {0x0000000900000004, 2, std::bit_cast<std::uint64_t>(0.125)}), "   9|0.12");
  EXPECT_EQ(Print("%x %#lx %c", {0xabc, 0xdef, 'z'}), "abc 0xdef z");
  EXPECT_EQ(Print("%hhd %hd", {0x0001ffff000001ff}), "-1 -1");
  EXPECT_EQ(Print("plain", {}, &conversions), "plain");
  EXPECT_EQ(conversions, 0);
}

// Formats come from a client: nothing in them may reach memory or fail.
TEST_F(Printf, HostileFormatsAreText) {
  EXPECT_EQ(Print("%n%1$d%", {1, 2, 3}), "%n%1$d%");
  EXPECT_EQ(Print("%9999999999999d", {1}).size(), 1024u);
  EXPECT_EQ(Print("%s|%s", {0, 0xfffffffffffffff0u}), "|");
  EXPECT_EQ(Print("%.99999f", {std::bit_cast<std::uint64_t>(1e300)}).size(), 301u + 1 + 1024);
  EXPECT_EQ(Print("%Lf %q", {1}), "%Lf %q");
}

// Whoever returns early writes nothing more; ldu reads as ld does.
TEST_F(Memory, UniformLoadsAndEarlyReturns) {
  LoadBody("ldu.global.b32 %r2, [%rd2]; setp.lt.u32 %p1, %r1, 20; @%p1 ret; st.global.u32 [%rd5], %r2;");
  const std::uint64_t data = machine_.Allocate(32 * 32), one = machine_.Allocate(4);
  *machine_.At<std::uint32_t>(one) = 41;
  Run({data, one});
  for (std::uint32_t t = 0; t < 32; ++t) EXPECT_EQ(machine_.At<std::uint32_t>(data)[8 * t], t < 20 ? 0u : 41u);
}

}  // namespace
}  // namespace accelmesh::tier0
