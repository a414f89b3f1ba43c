// tier0/lanes.cpp: shuffles, votes, match, redux, barriers, in full, partial and divergent warps.
#include <bit>
#include <random>

#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

class Lanes : public testing::Test {
 protected:
  // Runs a block; thread t leaves %r2 (and, as 0 or 1, %p1) in words 2t and 2t + 1 of the result.
  std::vector<std::uint32_t> Run(const std::string& body, std::uint32_t threads = 32,
                                 const std::vector<std::uint32_t>& in = {}) {
    machine_.Reset();
    const Status loaded = machine_.Load(KernelText(
        "mul.wide.u32 %rd5, %r1, 8; add.u64 %rd6, %rd2, %rd5; mul.wide.u32 %rd5, %r1, 4; add.u64 %rd7, %rd1, %rd5;\n"
        "mov.pred %p1, 0; mov.u32 %r2, 0; mov.u32 %r15, %laneid; ld.global.u32 %r3, [%rd7];\n" +
        body + "\nOUT: selp.b32 %r14, 1, 0, %p1; st.global.v2.u32 [%rd6], {%r2, %r14};"));
    EXPECT_TRUE(loaded.ok()) << loaded.ToString();
    if (!loaded.ok()) return std::vector<std::uint32_t>(2048);
    const std::uint64_t from = machine_.Allocate(4096);
    const std::uint64_t out = machine_.Allocate(8192);
    std::copy(in.begin(), in.end(), machine_.At<std::uint32_t>(from));
    const auto fault = machine_.Run({}, {threads, 1, 1}, {from, out});
    EXPECT_FALSE(fault.has_value()) << fault->text;
    return {machine_.At<std::uint32_t>(out), machine_.At<std::uint32_t>(out) + 2048};
  }
  static std::vector<std::uint32_t> Random(std::uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::uint32_t> values(1024);
    for (std::uint32_t& v : values) v = random();
    return values;
  }
  Machine machine_;
};

// The ISA's pseudo-code of shfl.
struct Shuffled {
  std::uint32_t value;
  bool in_range;
};
Shuffled ShuffleReference(const std::string& mode, const std::vector<std::uint32_t>& a, int lane, int b, int c) {
  const int bval = b & 31, cval = c & 31, segmask = c >> 8 & 31;
  const int max_lane = (lane & segmask) | (cval & ~segmask & 31);
  const int min_lane = lane & segmask;
  int j = 0;
  bool p = false;
  if (mode == "up") j = lane - bval, p = j >= max_lane;
  if (mode == "down") j = lane + bval, p = j <= max_lane;
  if (mode == "bfly") j = lane ^ bval, p = j <= max_lane;
  if (mode == "idx") j = min_lane | (bval & ~segmask & 31), p = j <= max_lane;
  if (!p) j = lane;
  return {a[static_cast<std::size_t>(j)], p};
}
TEST_F(Lanes, Shuffles) {
  const auto in = Random(1);
  for (const std::string mode : {"up", "down", "bfly", "idx"}) {
    for (const int width : {32, 16, 8, 4, 2, 1}) {
      // As __shfl_*_sync makes it: the segment mask in bits 8 to 12, the clamp in 0 to 4.
      const int c = (32 - width) << 8 | (mode == "up" ? 0 : 31);
      for (const int b : {0, 1, 2, 3, 5, 8, 15, 16, 31, 32, 33}) {
        for (const std::string sync : {".sync", ""}) {
          const auto got = Run("shfl" + sync + "." + mode + ".b32 %r2|%p1, %r3, " + std::to_string(b) + ", " +
                                   std::to_string(c) + (sync.empty() ? ";" : ", 0xffffffff;"),
                               32, in);
          for (int l = 0; l < 32; ++l) {
            const Shuffled wanted = ShuffleReference(mode, in, l, b, c);
            const auto at = static_cast<std::size_t>(2 * l);
            ASSERT_EQ(got[at], wanted.value) << mode << " width " << width << " b " << b << " lane " << l;
            ASSERT_EQ(got[at + 1], wanted.in_range ? 1u : 0u)
                << mode << " width " << width << " b " << b << " lane " << l;
          }
        }
      }
    }
  }
}
TEST_F(Lanes, ShufflesByRegister) {
  const auto in = Random(2);
  // Each lane asks for another one.
  const auto got =
      Run("mad.lo.u32 %r4, %r15, 7, 3; mov.u32 %r5, 31; shfl.sync.idx.b32 %r2, %r3, %r4, %r5, -1;", 32, in);
  for (std::size_t l = 0; l < 32; ++l) EXPECT_EQ(got[2 * l], in[(7 * l + 3) % 32]);
}

TEST_F(Lanes, Votes) {
  for (const std::uint32_t word : {0u, 0xffffffffu, 0x80000001u, 0x0000ffffu, 0x12345678u}) {
    const std::string set =
        "shr.u32 %r4, " + std::to_string(word) + ", %r15; and.b32 %r4, %r4, 1; setp.ne.u32 %p2, %r4, 0;\n";
    for (const std::string sync : {".sync", ""}) {
      const std::string tail = sync.empty() ? ";" : ", 0xffffffff;";
      const auto expect = [&](const std::string& mode, const std::string& vote, bool holds) {
        const auto got = Run(set + "vote" + sync + "." + mode + ".pred %p1, " + vote + tail);
        for (std::size_t l = 0; l < 32; ++l) EXPECT_EQ(got[2 * l + 1], holds ? 1u : 0u) << mode << vote << word;
      };
      expect("all", "%p2", word == 0xffffffffu);
      expect("any", "%p2", word != 0);
      expect("uni", "%p2", word == 0 || word == 0xffffffffu);
      expect("all", "!%p2", word == 0);
      const auto ballot = Run(set + "vote" + sync + ".ballot.b32 %r2, %p2" + tail);
      const auto inverse = Run(set + "vote" + sync + ".ballot.b32 %r2, !%p2" + tail);
      for (std::size_t l = 0; l < 32; ++l) {
        EXPECT_EQ(ballot[2 * l], word);
        EXPECT_EQ(inverse[2 * l], ~word);
      }
    }
  }
  // A block that does not fill its warp: lanes that are not there neither vote nor are waited for.
  const auto got =
      Run("vote.sync.ballot.b32 %r2, 1, 0xffffffff; setp.lt.u32 %p2, %r1, 99; vote.sync.all.pred %p1, %p2, -1;", 20);
  for (std::size_t l = 0; l < 20; ++l) {
    EXPECT_EQ(got[2 * l], (1u << 20) - 1);
    EXPECT_EQ(got[2 * l + 1], 1u);
  }
}

TEST_F(Lanes, Matches) {
  std::vector<std::uint32_t> in(1024);
  for (std::uint32_t l = 0; l < 32; ++l) in[l] = l % 5 == 0 ? 7 : l % 3;
  const auto any = Run("match.any.sync.b32 %r2, %r3, 0xffffffff;", 32, in);
  for (std::uint32_t l = 0; l < 32; ++l) {
    std::uint32_t same = 0;
    for (std::uint32_t k = 0; k < 32; ++k) same |= in[k] == in[l] ? 1u << k : 0;
    EXPECT_EQ(any[2 * l], same);
  }
  const auto none = Run("match.all.sync.b32 %r2|%p1, %r3, 0xffffffff;", 32, in);
  const auto all = Run("mov.u64 %rd8, 0x100000003; match.all.sync.b64 %r2|%p1, %rd8, 0xffffffff;");
  for (std::size_t l = 0; l < 32; ++l) {
    EXPECT_EQ(none[2 * l], 0u);
    EXPECT_EQ(none[2 * l + 1], 0u);
    EXPECT_EQ(all[2 * l], 0xffffffffu);
    EXPECT_EQ(all[2 * l + 1], 1u);
  }
  // Of 32 bits, only those count: one lane's register was filled by a sign.
  const auto narrow =
      Run("setp.eq.u32 %p2, %r15, 4; mov.u64 %rd8, 0xffffff80; @%p2 cvt.s8.s32 %rd8, 0x80; cvt.u32.u64 %r4, %rd8;\n"
          "match.any.sync.b32 %r2, %r4, -1;");
  for (std::size_t l = 0; l < 32; ++l) EXPECT_EQ(narrow[2 * l], 0xffffffffu);
}

TEST_F(Lanes, Reductions) {
  const auto in = Random(3);
  const auto fold = [&in](auto start, auto f) {
    for (std::size_t l = 0; l < 32; ++l) start = f(start, static_cast<decltype(start)>(in[l]));
    return static_cast<std::uint32_t>(start);
  };
  const auto expect = [&](const char* name, std::uint32_t wanted) {
    const auto got = Run(std::string("redux.sync.") + name + " %r2, %r3, 0xffffffff;", 32, in);
    for (std::size_t l = 0; l < 32; ++l) EXPECT_EQ(got[2 * l], wanted) << name;
  };
  expect("add.u32", fold(0u, [](auto a, auto b) { return a + b; }));
  expect("add.s32", fold(0u, [](auto a, auto b) { return a + b; }));
  expect("min.u32", fold(~0u, [](auto a, auto b) { return std::min(a, b); }));
  expect("max.u32", fold(0u, [](auto a, auto b) { return std::max(a, b); }));
  expect("min.s32", fold(0x7fffffff, [](int a, int b) { return std::min(a, b); }));
  expect("max.s32", fold(-0x7fffffff - 1, [](int a, int b) { return std::max(a, b); }));
  expect("and.b32", fold(~0u, [](auto a, auto b) { return a & b; }));
  expect("or.b32", fold(0u, [](auto a, auto b) { return a | b; }));
  expect("xor.b32", fold(0u, [](auto a, auto b) { return a ^ b; }));
}

TEST_F(Lanes, ActiveMaskAndElection) {
  const auto got =
      Run("setp.lt.u32 %p2, %r15, 12; @%p2 bra LOW; activemask.b32 %r2; bra DONE; LOW: activemask.b32 %r2; elect.sync "
          "%r4|%p1, 0xfff; DONE:",
          32);
  for (std::size_t l = 0; l < 32; ++l) {
    EXPECT_EQ(got[2 * l], l < 12 ? 0xfffu : 0xfffff000u);
    EXPECT_EQ(got[2 * l + 1], l == 0 ? 1u : 0u);
  }
}

// The two halves of a warp take different ways to one shuffle: it waits for both.
TEST_F(Lanes, LanesWaitForTheirFellows) {
  const std::string body =
      "setp.lt.u32 %p2, %r15, 16; mov.u32 %r4, %r15; @%p2 bra JOIN; mov.u32 %r6, 0;\n"
      "LOOP: add.u32 %r4, %r4, 100; add.u32 %r6, %r6, 1; setp.lt.u32 %p3, %r6, 5; @%p3 bra LOOP; bra JOIN;\n"
      "JOIN: shfl.sync.bfly.b32 %r2, %r4, 16, 31, 0xffffffff;";
  const auto got = Run(body);
  for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(got[2 * l], l < 16 ? l + 16 + 500 : l - 16);
  // The lanes that wait stand before those they wait for in the text, and after.
  const auto early =
      Run("setp.ge.u32 %p2, %r15, 16; mov.u32 %r4, %r15; @%p2 bra FAR; bra MEET; FAR: mov.u32 %r4, 1000; bra MEET;\n"
          "MEET: vote.sync.ballot.b32 %r2, 1, -1;");
  for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(early[2 * l], 0xffffffffu);
}

// Lanes with different member masks at one instruction are different groups.
TEST_F(Lanes, MemberMasksPartTheWarp) {
  const auto in = Random(4);
  const auto got =
      Run("shl.b32 %r4, 0xff, 0; and.b32 %r5, %r15, 24; shl.b32 %r4, %r4, %r5; redux.sync.add.u32 %r2, %r3, %r4; "
          "mov.pred %p2, 1; vote.sync.all.pred %p1, %p2, %r4;",
          32, in);
  for (std::size_t l = 0; l < 32; ++l) {
    std::uint32_t sum = 0;
    for (std::size_t k = l / 8 * 8; k < l / 8 * 8 + 8; ++k) sum += in[k];
    EXPECT_EQ(got[2 * l], sum);
  }
  // Subsets in divergent code do not wait for the rest.
  const auto half = Run("setp.lt.u32 %p2, %r15, 16; @!%p2 bra OUT; vote.sync.ballot.b32 %r2, 1, 0xffff;");
  for (std::size_t l = 0; l < 32; ++l) EXPECT_EQ(half[2 * l], l < 16 ? 0xffffu : 0u);
}

// Lanes that have exited are not waited for; lanes that cannot come any more are given up.
TEST_F(Lanes, NobodyWaitsForever) {
  const auto exited = Run("setp.ge.u32 %p2, %r15, 8; @%p2 exit; vote.sync.ballot.b32 %r2, 1, 0xffffffff;");
  for (std::size_t l = 0; l < 8; ++l) EXPECT_EQ(exited[2 * l], 0xffu);
  const auto later =
      Run("setp.ge.u32 %p2, %r15, 8; @!%p2 bra MEET; nanosleep.u32 100; exit; MEET: vote.sync.ballot.b32 %r2, 1, "
          "0xffffffff;");
  for (std::size_t l = 0; l < 8; ++l) EXPECT_EQ(later[2 * l], 0xffu);
  const auto stuck =
      Run("setp.ge.u32 %p2, %r15, 8; @%p2 bra BLOCK; vote.sync.ballot.b32 %r2, 1, 0xffffffff; BLOCK: bar.sync 0;");
  for (std::size_t l = 0; l < 8; ++l) EXPECT_EQ(stuck[2 * l], 0xffu);
}

// bar.warp.sync meets across the arms of a branch.
TEST_F(Lanes, WarpBarriersPairUp) {
  const auto got =
      Run(".shared .align 4 .b8 cell[4]; setp.eq.u32 %p2, %r15, 0; @%p2 bra WRITER; bar.warp.sync 0xffffffff; "
          "ld.shared.u32 %r2, [cell]; bra DONE;\n"
          "WRITER: st.shared.u32 [cell], 55; bar.warp.sync -1; mov.u32 %r2, 55; DONE:");
  for (std::size_t l = 0; l < 32; ++l) EXPECT_EQ(got[2 * l], 55u);
}

TEST_F(Lanes, BlockBarriers) {
  // Every thread reads what a thread of another warp wrote before the barrier.
  const auto got =
      Run(".shared .align 4 .b8 cell[4096]; shl.b32 %r4, %r1, 2; mov.u32 %r5, cell; add.u32 %r4, %r4, %r5; "
          "st.shared.u32 [%r4], %r3; barrier.sync.aligned 0;\n"
          "xor.b32 %r6, %r1, 511; shl.b32 %r6, %r6, 2; add.u32 %r6, %r6, %r5; ld.shared.u32 %r2, [%r6];",
          512, Random(5));
  const auto in = Random(5);
  for (std::size_t t = 0; t < 512; ++t) EXPECT_EQ(got[2 * t], in[t ^ 511]);
}

TEST_F(Lanes, BarriersReduce) {
  for (const std::uint32_t limit : {0u, 1u, 77u, 100u}) {
    const std::string set = "setp.lt.u32 %p2, %r1, " + std::to_string(limit) + ";";
    const auto count = Run(set + "bar.red.popc.u32 %r2, 0, %p2; bar.red.or.pred %p1, 0, %p2;", 100);
    const auto all = Run(set + "barrier.red.and.pred %p1, 3, !%p2;", 100);
    for (std::size_t t = 0; t < 100; ++t) {
      EXPECT_EQ(count[2 * t], limit);
      EXPECT_EQ(count[2 * t + 1], limit != 0 ? 1u : 0u);
      EXPECT_EQ(all[2 * t + 1], limit == 0 ? 1u : 0u);
    }
  }
}

// Producer and consumer warps on named barriers with counts.
TEST_F(Lanes, NamedBarriersCount) {
  const auto got =
      Run(".shared .align 4 .b8 cell[4]; setp.lt.u32 %p2, %r1, 32; @%p2 bra PRODUCE; setp.ge.u32 %p3, %r1, 64; @%p3 "
          "bra DONE;\n"
          "bar.sync 1, 64; ld.shared.u32 %r2, [cell]; bra DONE;\n"
          "PRODUCE: st.shared.u32 [cell], 99; barrier.arrive 1, 64; DONE:",
          96);
  for (std::size_t t = 0; t < 96; ++t) EXPECT_EQ(got[2 * t], t >= 32 && t < 64 ? 99u : 0u);
}

TEST_F(Lanes, BarriersInDivergentCodeAndAfterEarlyExits) {
  // Half of each warp exits; the others still meet, twice, in a loop, and in both arms of a branch.
  const auto got =
      Run("and.b32 %r4, %r1, 1; setp.eq.u32 %p2, %r4, 1; @%p2 bra GONE; mov.u32 %r5, 0;\n"
          "LOOP: bar.sync 0; add.u32 %r5, %r5, 1; setp.lt.u32 %p3, %r5, 3; @%p3 bra LOOP; setp.lt.u32 %p4, %r1, 40; "
          "@%p4 bra LEFT;\n"
          "bar.sync 0; mov.u32 %r2, 2; bra OUT; LEFT: bar.sync 0; mov.u32 %r2, 1; bra OUT; GONE: exit;",
          128);
  for (std::size_t t = 0; t < 128; t += 2) EXPECT_EQ(got[2 * t], t < 40 ? 1u : 2u);
}

TEST_F(Lanes, ABarrierThatCannotBeReachedIsAFault) {
  const Status loaded =
      machine_.Load(KernelText("setp.lt.u32 %p1, %r1, 32; @%p1 bar.sync 0, 64; @!%p1 bar.sync 1, 64;"));
  ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  const auto fault = machine_.Run({}, {64, 1, 1});
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->status, kDeviceLaunchFailed);
  EXPECT_NE(fault->text.find("barrier"), std::string::npos);
}

}  // namespace
}  // namespace accelmesh::tier0
