// tier0/async.cpp and atomic.cpp: copies, mbarriers, hints, atomics of every type, registers of 128 bits.
#include <algorithm>
#include <cstring>
#include <random>

#include "tests/unit/server/backend/cpu/tier0/machine.h"
#include "tests/unit/server/backend/cpu/tier0/small_reference.h"

namespace accelmesh::tier0 {
namespace {

class Async : public testing::Test {
 protected:
  void Load(const std::string& body) {
    machine_.Reset();
    const Status loaded = machine_.Load(KernelText(body));
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  }
  void Run(const std::vector<std::uint64_t>& arguments, std::uint32_t threads = 32) {
    const auto fault = machine_.Run({}, {threads, 1, 1}, arguments);
    ASSERT_FALSE(fault.has_value()) << fault->text;
  }
  Machine machine_;
};

// Thread t copies its 16 bytes to shared memory, and reads those of its neighbour.
TEST_F(Async, Copies) {
  struct Case {
    const char* form;
    int bytes;
    const char* size;  // behind the number of bytes
    int read;
  };
  const Case cases[] = {
      {"cp.async.ca.shared.global", 4, "", 4},           {"cp.async.ca.shared.global", 8, "", 8},
      {"cp.async.ca.shared.global", 16, "", 16},         {"cp.async.cg.shared.global", 16, "", 16},
      {"cp.async.cg.shared::cta.global", 16, "", 16},    {"cp.async.cg.shared.global.L2::128B", 16, "", 16},
      {"cp.async.ca.shared.global.L2::64B", 16, "", 16}, {"cp.async.cg.shared.global.L2::cache_hint", 16, ", %rd9", 16},
      {"cp.async.cg.shared.global", 16, ", %r7", 5},     {"cp.async.ca.shared.global", 8, ", 0", 0},
      {"cp.async.ca.shared.global", 8, ", %p1", 0},      {"cp.async.ca.shared.global", 8, ", !%p1", 8}};
  for (const Case& c : cases) {
    Load(
        ".shared .align 16 .b8 window[1024]; mov.u32 %r2, window; mad.lo.u32 %r3, %r1, 16, %r2; mad.wide.u32 %rd5, "
        "%r1, 16, %rd1;\n"
        "mov.b64 %rd9, 0; mov.u32 %r7, 5; setp.eq.u32 %p1, %r2, %r2; mov.b64 %rd6, -1; st.shared.v2.u64 [%r3], {%rd6, "
        "%rd6};\n" +
        std::string(c.form) + " [%r3], [%rd5+512], " + std::to_string(c.bytes) + c.size + ";\n" +
        "cp.async.commit_group; cp.async.wait_group 0; cp.async.wait_all; bar.sync 0;\n"
        "xor.b32 %r4, %r1, 1; mad.lo.u32 %r5, %r4, 16, %r2; ld.shared.v2.u64 {%rd6, %rd7}, [%r5];\n"
        "mad.wide.u32 %rd8, %r1, 16, %rd2; st.global.v2.u64 [%rd8], {%rd6, %rd7};");
    const std::uint64_t in = machine_.Allocate(1536), out = machine_.Allocate(1024);
    for (int i = 0; i < 1536; ++i) machine_.At<std::uint8_t>(in)[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
    Run({in, out}, 64);
    for (int t = 0; t < 64; ++t) {
      for (int i = 0; i < 16; ++i) {
        const std::uint8_t expected = i >= c.bytes  ? 0xff
                                      : i >= c.read ? 0
                                                    : machine_.At<std::uint8_t>(in)[512 + (t ^ 1) * 16 + i];
        ASSERT_EQ(machine_.At<std::uint8_t>(out)[t * 16 + i], expected)
            << c.form << c.size << " thread " << t << " byte " << i;
      }
    }
  }
}
TEST_F(Async, CopiesAreChecked) {
  Load(".shared .align 16 .b8 window[64]; mov.u32 %r2, window; cp.async.cg.shared.global [%r2], [%rd1], 16;");
  const auto fault = machine_.Run({}, {1, 1, 1}, {machine_.forbidden()});
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->status, kDeviceIllegalAddress);
}

// Warps hand a value round: each waits for the phase that the one before completes.
TEST_F(Async, BarriersOrderWarps) {
  for (const std::string wait :
       {"mbarrier.test_wait.shared.b64 %p2, [bar], %rd6;", "mbarrier.try_wait.shared.b64 %p2, [bar], %rd6;",
        "mbarrier.try_wait.shared.b64 %p2, [bar], %rd6, 1000;", "mbarrier.test_wait.parity.shared.b64 %p2, [bar], %r5;",
        "mbarrier.try_wait.parity.shared.b64 %p2, [bar], %r5;",
        "mbarrier.test_wait.acquire.cta.shared::cta.b64 %p2, [bar], %rd6;"}) {
    Load(
        ".shared .align 8 .b64 bar; .shared .align 4 .b32 cell; setp.ne.u32 %p1, %r1, 0; @%p1 bra READY;\n"
        "mbarrier.init.shared.b64 [bar], 96; st.shared.u32 [cell], 0; READY: bar.sync 0; mov.u32 %r4, 0; mov.u32 %r5, "
        "0;\n"
        // Phase r4: warp r4 adds to the cell before it arrives.
        "ROUND: shr.u32 %r6, %r1, 5; setp.ne.u32 %p3, %r6, %r4; @%p3 bra ARRIVE; atom.shared.add.u32 %r7, [cell], 1;\n"
        "ARRIVE: mbarrier.arrive.shared.b64 %rd6, [bar];\n"
        "WAIT: " +
        wait +
        " @!%p2 bra WAIT;\n"
        "ld.volatile.shared.u32 %r8, [cell]; mad.lo.u32 %r9, %r1, 3, %r4; mad.wide.u32 %rd7, %r9, 4, %rd1; "
        "st.global.u32 [%rd7], %r8;\n"
        // Nobody goes on before all have read.
        "bar.sync 0; add.u32 %r4, %r4, 1; xor.b32 %r5, %r5, 1; setp.lt.u32 %p4, %r4, 3; @%p4 bra ROUND;");
    const std::uint64_t out = machine_.Allocate(96 * 12);
    Run({out}, 96);
    for (std::uint32_t t = 0; t < 96; ++t) {
      for (std::uint32_t round = 0; round < 3; ++round)
        ASSERT_EQ(machine_.At<std::uint32_t>(out)[3 * t + round], 32 * (round + 1)) << wait << " thread " << t;
    }
  }
}
// One thread: what each operation does to the counts, seen through the states that arrivals return and through waits.
TEST_F(Async, BarrierCounts) {
  const std::string head = ".shared .align 8 .b64 bar; mbarrier.init.shared.b64 [bar], 3;\n";
  const std::string phase =
      "mbarrier.test_wait.parity.shared.b64 %p2, [bar], 0; selp.u32 %r2, 1, 0, %p2; shl.b32 %r3, %r3, 1; or.b32 %r3, "
      "%r3, %r2;\n";
  const std::string left = "mbarrier.pending_count.b64 %r4, %rd6; shl.b32 %r3, %r3, 4; or.b32 %r3, %r3, %r4;\n";
  struct Case {
    std::string body;
    std::uint32_t expected;
  };
  const Case cases[] = {
      {"mbarrier.arrive.shared.b64 %rd6, [bar];" + left + "mbarrier.arrive.shared.b64 %rd6, [bar], 1;" + left + phase +
           "mbarrier.arrive.shared.b64 %rd6, [bar];" + left + phase,
       (((3u << 4 | 2) << 1) << 4 | 1) << 1 | 1},
      {"mbarrier.arrive.noComplete.shared.b64 %rd6, [bar], 2;" + left + phase +
           "mbarrier.arrive.noComplete.release.cta.shared::cta.b64 %rd6, [bar], 0;" + left,
       (3u << 1) << 4 | 1},
      {"mbarrier.arrive.release.cta.shared::cta.b64 %rd6, [bar], 3;" + phase +
           "mbarrier.arrive.shared.b64 %rd6, [bar];" + left,
       1u << 4 | 3},
      // The next phase needs one arrival less for each that was dropped.
      {"mbarrier.arrive_drop.shared.b64 %rd6, [bar]; mbarrier.arrive.shared.b64 %rd6, [bar], 2;" + phase +
           "mbarrier.arrive.shared.b64 %rd6, [bar];" + left,
       1u << 4 | 2},
      {"mbarrier.arrive_drop.noComplete.shared.b64 %rd6, [bar], 2;" + left +
           "mbarrier.arrive.shared.b64 %rd6, [bar]; mbarrier.arrive.shared.b64 %rd6, [bar];" + left,
       3u << 4 | 1},
      // Bytes that are expected hold the phase back.
      {"mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [bar], 64; mbarrier.arrive.shared.b64 %rd6, [bar], 3;" + phase +
           "mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [bar], 24;" + phase +
           "mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [bar], 40;" + phase,
       1},
      {"mbarrier.arrive.shared.b64 %rd6, [bar], 2; mbarrier.arrive.expect_tx.shared.b64 %rd6, [bar], 8;" + left +
           phase + "mbarrier.complete_tx.shared::cta.b64 [bar], 8;" + phase,
       ((1u << 1) << 1) | 1},
      {"mbarrier.arrive.shared.b64 %rd6, [bar], 2; mbarrier.arrive_drop.expect_tx.shared.b64 %rd6, [bar], 8;" + phase +
           "mbarrier.complete_tx.shared::cta.b64 [bar], 8;" + phase + "mbarrier.arrive.shared.b64 %rd6, [bar];" + left,
       1u << 4 | 2},
      {"cp.async.mbarrier.arrive.shared.b64 [bar]; mbarrier.arrive.shared.b64 %rd6, [bar];" + left, 3},
      {"cp.async.mbarrier.arrive.noinc.shared.b64 [bar]; mbarrier.arrive.shared.b64 %rd6, [bar];" + left, 2},
      // One that is gone may be made anew, with another count.
      {"mbarrier.inval.shared.b64 [bar]; mbarrier.init.shared.b64 [bar], 5; mbarrier.arrive.shared.b64 %rd6, [bar];" +
           left,
       5}};
  for (const Case& c : cases) {
    Load(head + "mov.u32 %r3, 0; " + c.body + " st.global.u32 [%rd1], %r3;");
    const std::uint64_t out = machine_.Allocate(4);
    Run({out}, 1);
    EXPECT_EQ(*machine_.At<std::uint32_t>(out), c.expected) << c.body;
  }
  // A word that is no barrier any more takes no arrivals.
  Load(head + "mbarrier.inval.shared.b64 [bar]; mbarrier.arrive.shared.b64 %rd6, [bar];");
  EXPECT_TRUE(machine_.Run({}, {1, 1, 1}).has_value());
}

TEST_F(Async, HintsChangeNothing) {
  Load(
      "createpolicy.fractional.L2::evict_last.b64 %rd5, 1.0; "
      "createpolicy.fractional.L2::evict_first.L2::evict_unchanged.b64 %rd6, 0.5;\n"
      "createpolicy.range.global.L2::evict_last.L2::evict_unchanged.b64 %rd6, [%rd1], 128, 256;\n"
      "prefetch.global.L1 [%rd1]; prefetch.global.L2 [%rd1]; prefetch.global.L2::evict_last [%rd1]; prefetchu.L1 "
      "[%rd1];\n"
      "applypriority.global.L2::evict_normal [%rd1], 128; discard.global.L2 [%rd1], 128; pmevent 3;\n"
      "griddepcontrol.wait; griddepcontrol.launch_dependents; fence.proxy.alias; membar.cta; membar.gl; membar.sys; "
      "fence.sc.gpu; nanosleep.u32 20;\n"
      "ld.global.L2::cache_hint.u32 %r2, [%rd1], %rd5; ld.global.L1::evict_last.L2::128B.u32 %r3, [%rd1];\n"
      "st.global.L1::no_allocate.u32 [%rd1+8], %r2; st.global.L2::cache_hint.u32 [%rd1+12], %r3, %rd5;");
  const std::uint64_t data = machine_.Allocate(256);
  machine_.At<std::uint32_t>(data)[0] = 77;
  Run({data});
  EXPECT_EQ(machine_.At<std::uint32_t>(data)[0], 77u);
  EXPECT_EQ(machine_.At<std::uint32_t>(data)[2], 77u);
  EXPECT_EQ(machine_.At<std::uint32_t>(data)[3], 77u);
  // A line that is not there, or none at all, is a fault.
  Load("discard.global.L2 [%rd1], 128;");
  EXPECT_TRUE(machine_.Run({}, {1, 1, 1}, {machine_.forbidden()}).has_value());
}

// Atomics: one thread after the other, so each returns what the one before left.
TEST_F(Async, HalfPrecisionAtomics) {
  for (const SmallFormat& format : {kF16Format, kBf16Format}) {
    for (const std::string space : {"global", "shared"}) {
      for (const bool pair : {false, true}) {
        const std::string type = std::string(".noftz.") + format.name + (pair ? "x2" : "");
        const std::string bits = pair ? "b32 %r" : "b16 %rs";
        for (const bool reduces : {false, true}) {
          Load(
              ".shared .align 8 .b8 window[8]; mov.u64 %rd7, window; mad.wide.u32 %rd5, %r1, 4, %rd2; mad.wide.u32 "
              "%rd6, %r1, 4, %rd3;\n"
              "setp.ne.u32 %p1, %r1, 0; ld.global." +
              bits + "5, [%rd1]; @!%p1 st.shared." + bits.substr(0, 4) + "[%rd7], " + bits.substr(4) +
              "5; bar.sync 0;\n"
              "ld.global." +
              bits + "2, [%rd5];\n" +
              (reduces ? "red." + space + ".add" + type + " "
                       : "atom." + space + ".add" + type + " " + bits.substr(4) + "3, ") +
              (space == "global" ? "[%rd1], " : "[%rd7], ") + bits.substr(4) + "2;\n" +
              (reduces ? "" : "st.global." + bits.substr(0, 4) + "[%rd6], " + bits.substr(4) + "3;\n") +
              "bar.sync 0; @%p1 bra END; ld.shared." + bits + "4, [%rd7]; " +
              (space == "shared" ? "st.global." + bits.substr(0, 4) + "[%rd1], " + bits.substr(4) + "4;" : "") +
              " END:");
          const std::uint64_t cell = machine_.Allocate(8), in = machine_.Allocate(128), out = machine_.Allocate(128);
          std::mt19937 random(9);
          for (int t = 0; t < 32; ++t) {
            const auto value = [&] {
              return static_cast<std::uint32_t>(format.Round(static_cast<int>(random() % 2001) / 100.0 - 10));
            };
            machine_.At<std::uint32_t>(in)[t] = value() | value() << 16;
          }
          std::uint64_t state[2] = {format.Round(Quad{3}), format.Round(Quad{-2})};
          *machine_.At<std::uint32_t>(cell) = static_cast<std::uint32_t>(state[0] | state[1] << 16);
          Run({cell, in, out});
          for (int t = 0; t < 32; ++t) {
            const std::uint32_t v = machine_.At<std::uint32_t>(in)[t];
            const std::uint64_t before = pair ? state[0] | state[1] << 16 : state[0];
            if (!reduces) {
              ASSERT_EQ(machine_.At<std::uint32_t>(out)[t], before) << type << " " << space << " thread " << t;
            }
            state[0] = format.Round(Quad{format.Value(state[0])} + Quad{format.Value(v & 0xffff)});
            if (pair) state[1] = format.Round(Quad{format.Value(state[1])} + Quad{format.Value(v >> 16)});
          }
          EXPECT_EQ(*machine_.At<std::uint32_t>(cell), state[0] | state[1] << 16) << type << space << reduces;
        }
      }
    }
  }
}
TEST_F(Async, VectorAtomics) {
  struct Case {
    const char* form;
    int elements;
    const SmallFormat* format;
    bool pair;
    int kind;  // add, min, max
  };
  const Case cases[] = {{"global.add.v2.f32", 2, nullptr, false, 0},
                        {"global.add.v4.f32", 4, nullptr, false, 0},
                        {"global.add.noftz.v2.f16", 2, &kF16Format, false, 0},
                        {"global.add.noftz.v8.bf16", 8, &kBf16Format, false, 0},
                        {"global.add.noftz.v4.f16x2", 4, &kF16Format, true, 0},
                        {"global.min.noftz.v4.f16", 4, &kF16Format, false, 1},
                        {"global.max.noftz.v2.bf16x2", 2, &kBf16Format, true, 2}};
  for (const Case& c : cases) {
    for (const bool reduces : {false, true}) {
      const std::string bits = c.format != nullptr && !c.pair ? "16" : "32";
      std::string from, to, loads, stores;
      for (int i = 0; i < c.elements; ++i) {
        const std::string n = std::to_string(i);
        from += (i == 0 ? "%v" : ", %v") + n;
        to += (i == 0 ? "%w" : ", %w") + n;
        loads += "ld.global.b" + bits + " %v" + n + ", [%rd5+" + std::to_string(i * std::stoi(bits) / 8) + "];\n";
        stores += "st.global.b" + bits + " [%rd6+" + std::to_string(i * std::stoi(bits) / 8) + "], %w" + n + ";\n";
      }
      Load(".reg .b" + bits + " %v<8>; .reg .b" + bits +
           " %w<8>; mad.wide.u32 %rd5, %r1, 16, %rd2; mad.wide.u32 %rd6, %r1, 16, %rd3;\n" + loads +
           (reduces ? "red." + std::string(c.form) + " " : "atom." + std::string(c.form) + " {" + to + "}, ") +
           "[%rd1], {" + from + "};\n" + (reduces ? "" : stores));
      const std::uint64_t cell = machine_.Allocate(16), in = machine_.Allocate(512), out = machine_.Allocate(512);
      const int halves = c.format == nullptr ? c.elements : c.elements * (c.pair ? 2 : 1);
      std::mt19937 random(4);
      std::vector<double> state(static_cast<std::size_t>(halves));
      for (int t = 0; t < 32; ++t) {
        for (int i = 0; i < halves; ++i) {
          const double v = static_cast<int>(random() % 401) / 4.0 - 50;
          auto& sum = state[static_cast<std::size_t>(i)];
          if (c.format == nullptr) {
            machine_.At<float>(in)[4 * t + i] = static_cast<float>(v);
            machine_.At<float>(out)[4 * t + i] = static_cast<float>(sum);
          } else {
            machine_.At<std::uint16_t>(in)[8 * t + i] = static_cast<std::uint16_t>(c.format->Round(v));
            machine_.At<std::uint16_t>(out)[8 * t + i] = static_cast<std::uint16_t>(c.format->Round(sum));
          }
          const double exact = c.format == nullptr ? v : c.format->Value(c.format->Round(v));
          sum = c.kind == 0 ? sum + exact : c.kind == 1 ? std::min(sum, exact) : std::max(sum, exact);
          if (c.format != nullptr) sum = c.format->Value(c.format->Round(sum));
        }
      }
      const std::vector<std::uint8_t> olds(machine_.At<std::uint8_t>(out), machine_.At<std::uint8_t>(out) + 512);
      std::memset(machine_.At<void>(out), 0, 512);
      Run({cell, in, out});
      if (!reduces) {
        EXPECT_EQ(std::memcmp(machine_.At<void>(out), olds.data(), 512), 0) << c.form;
      }
      for (int i = 0; i < halves; ++i) {
        const double got =
            c.format == nullptr ? machine_.At<float>(cell)[i] : c.format->Value(machine_.At<std::uint16_t>(cell)[i]);
        EXPECT_EQ(got, state[static_cast<std::size_t>(i)]) << c.form << reduces;
      }
    }
  }
}
TEST_F(Async, SixteenBits) {
  Load(
      "cvt.u16.u32 %rs1, %r1; add.u16 %rs2, %rs1, 1; atom.global.cas.b16 %rs3, [%rd1+2], %rs1, %rs2; mad.wide.u32 "
      "%rd5, %r1, 2, %rd2; st.global.u16 [%rd5], %rs3;");
  const std::uint64_t cell = machine_.Allocate(8), out = machine_.Allocate(64);
  *machine_.At<std::uint64_t>(cell) = 0x1111111100001111u;
  Run({cell, out});
  EXPECT_EQ(*machine_.At<std::uint64_t>(cell), 0x1111111100201111u);
  for (int t = 0; t < 32; ++t) EXPECT_EQ(machine_.At<std::uint16_t>(out)[t], t);
}
TEST_F(Async, HundredTwentyEightBits) {
  for (const std::string order : {"", ".relaxed.gpu"}) {
    // Each thread exchanges its number and its complement for what is there; then compares and swaps.
    Load(
        ".reg .b128 %q<6>; cvt.u64.u32 %rd5, %r1; not.b64 %rd6, %rd5; mov.b128 %q1, {%rd5, %rd6};\n"
        "atom" +
        order + ".global.exch.b128 %q2, [%rd1], %q1; mad.wide.u32 %rd7, %r1, 16, %rd2; st" + order +
        ".global.b128 [%rd7], %q2;\n"
        "add.u64 %rd8, %rd5, 100; mov.b128 %q3, {%rd8, %rd8}; setp.eq.u32 %p1, %r1, 31; @%p1 atom" +
        order +
        ".global.cas.b128 %q4, [%rd1], %q1, %q3;\n"
        "@!%p1 atom" +
        order + ".global.cas.b128 %q4, [%rd3], %q3, %q1; ld" + order +
        ".global.b128 %q5, [%rd1]; mov.b128 {%rd9, %rd10}, %q5; @%p1 st.global.v2.u64 [%rd4], {%rd9, %rd10};\n"
        "mov.b128 {%rd9, %rd10}, %q4; @%p1 st.global.v2.u64 [%rd4+16], {%rd9, %rd10};");
    const std::uint64_t cell = machine_.Allocate(16), out = machine_.Allocate(512), other = machine_.Allocate(16),
                        last = machine_.Allocate(32);
    machine_.At<std::uint64_t>(cell)[0] = 5000;
    machine_.At<std::uint64_t>(other)[1] = 9;
    Run({cell, out, other, last});
    for (std::uint64_t t = 0; t < 32; ++t) {
      EXPECT_EQ(machine_.At<std::uint64_t>(out)[2 * t], t == 0 ? 5000 : t - 1);
      EXPECT_EQ(machine_.At<std::uint64_t>(out)[2 * t + 1], t == 0 ? 0 : ~(t - 1));
    }
    EXPECT_EQ(machine_.At<std::uint64_t>(cell)[0], 131u);
    EXPECT_EQ(machine_.At<std::uint64_t>(cell)[1], 131u);
    EXPECT_EQ(machine_.At<std::uint64_t>(other)[1], 9u);
    EXPECT_EQ(machine_.At<std::uint64_t>(last)[0], 131u);
    EXPECT_EQ(machine_.At<std::uint64_t>(last)[2], 31u);
    EXPECT_EQ(machine_.At<std::uint64_t>(last)[3], ~31ull);
  }
}

}  // namespace
}  // namespace accelmesh::tier0
