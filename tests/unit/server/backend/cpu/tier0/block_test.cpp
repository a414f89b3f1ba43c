// tier0/block.cpp in slices: blocks that wait for one another, on one thread.
#include <cstring>

#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

// The barrier of a grid as nvcc 13 writes cooperative groups' grid.sync(): thread 0 of each block adds to a word of the
// workspace, block 0 so much more that the sign turns when all have come, and spins until it has.
std::string GridSync(const std::string& label) {
  return "barrier.sync 0; setp.ne.u32 %p2, %r1, 0; @%p2 bra " + label +
         "_ALL; mov.u32 %r9, %nctaid.x; mov.u32 %r10, %ctaid.x; setp.eq.u32 %p3, %r10, 0; mov.u32 %r11, -2147483647; "
         "sub.u32 %r11, %r11, %r9; selp.b32 %r11, %r11, 1, %p3;\n"
         "atom.add.release.gpu.u32 %r12, [%rd9+4], %r11;\n" +
         label +
         "_SPIN: ld.acquire.gpu.u32 %r13, [%rd9+4]; xor.b32 %r13, %r13, %r12; setp.gt.s32 %p3, %r13, -1; @%p3 bra " +
         label + "_SPIN;\n" + label + "_ALL: barrier.sync 0;\n";
}
constexpr const char* kWorkspace =
    "mov.u32 %r9, %envreg2; cvt.u64.u32 %rd8, %r9; mov.u32 %r10, %envreg1; cvt.u64.u32 %rd9, %r10; "
    "bfi.b64 %rd9, %rd9, %rd8, 32, 32;\n";

class Together : public testing::Test {
 protected:
  void Load(const std::string& body) {
    const Status loaded = machine_.Load(KernelText(body));
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  }
  Machine machine_;
};

// Each round every block reads what its neighbour wrote in the round before.
TEST_F(Together, GridSync) {
  Load(
      std::string(kWorkspace) +
      "mov.u32 %r2, %ctaid.x; mov.u32 %r3, %nctaid.x; mov.u32 %r4, 0;\n"
      "add.u32 %r5, %r2, 1; setp.eq.u32 %p1, %r5, %r3; selp.b32 %r5, 0, %r5, %p1;\n"
      "ROUND: mad.lo.u32 %r6, %r4, %r3, %r2; mad.wide.u32 %rd5, %r6, 4, %rd1; mul.lo.u32 %r7, %r4, 100; add.u32 %r7, "
      "%r7, %r2; setp.eq.u32 %p1, %r1, 0; @%p1 st.global.u32 [%rd5], %r7;\n" +
      GridSync("A") +
      "mad.lo.u32 %r6, %r4, %r3, %r5; mad.wide.u32 %rd5, %r6, 4, %rd1; ld.global.u32 %r7, [%rd5]; mul.lo.u32 %r8, %r4, "
      "100; add.u32 %r8, %r8, %r5; setp.ne.u32 %p1, %r7, %r8; @%p1 red.global.add.u32 [%rd2], 1;\n"
      "red.global.add.u32 [%rd2+4], 1; add.u32 %r4, %r4, 1; setp.lt.u32 %p1, %r4, 20; @%p1 bra ROUND;");
  for (const std::uint32_t blocks : {1u, 2u, 16u, 33u}) {
    machine_.Reset();
    const std::uint64_t words = machine_.Allocate(20 * blocks * 4);
    std::memset(machine_.At<void>(words), 0xff, 20 * blocks * 4);
    const std::uint64_t counts = machine_.Allocate(8);
    const auto fault = machine_.RunTogether({blocks, 1, 1}, {70, 1, 1}, {words, counts});
    ASSERT_FALSE(fault.has_value()) << fault->text;
    EXPECT_EQ(machine_.At<std::uint32_t>(counts)[0], 0u);
    EXPECT_EQ(machine_.At<std::uint32_t>(counts)[1], blocks * 70 * 20);
  }
}

// Without a cooperative launch there is no workspace, and what cooperative groups do then is a trap.
TEST_F(Together, TheWorkspaceIsOfCooperativeLaunches) {
  Load(std::string(kWorkspace) + "setp.eq.u64 %p1, %rd9, 0; @%p1 trap;");
  EXPECT_FALSE(machine_.RunTogether({2, 1, 1}, {32, 1, 1}).has_value());
  EXPECT_TRUE(machine_.Run({2, 1, 1}, {32, 1, 1}).has_value());
}

// The last block opens what the first spins on, with and without sleep.
TEST_F(Together, ABlockWaitsForALaterOne) {
  for (const char* sleep : {"", "nanosleep.u32 100;"}) {
    Load(std::string(
             "mov.u32 %r2, %ctaid.x; mov.u32 %r3, %nctaid.x; sub.u32 %r3, %r3, 1; setp.ne.u32 %p1, %r2, %r3; @%p1 "
             "bra WAIT; st.release.gpu.global.u32 [%rd1], 1; bra DONE;\nWAIT: ") +
         sleep + " ld.acquire.gpu.global.u32 %r4, [%rd1]; setp.eq.u32 %p1, %r4, 0; @%p1 bra WAIT; DONE:");
    machine_.Reset();
    EXPECT_FALSE(machine_.RunTogether({9, 1, 1}, {64, 1, 1}, {machine_.Allocate(4)}).has_value());
  }
}

// A lock between the lanes of a warp, and of all blocks, where those that wait sleep: the lane that holds it gets its
// turn although the slices are short.
TEST_F(Together, SpinLocks) {
  for (const char* sleep : {"", "nanosleep.u32 100;"}) {
    Load(std::string("SPIN: ") + sleep +
         " atom.global.cas.b32 %r2, [%rd1], 0, 1; setp.ne.u32 %p1, %r2, 0; @%p1 bra SPIN;\n"
         "ld.volatile.global.u32 %r3, [%rd1+8]; add.u32 %r3, %r3, 1; st.volatile.global.u32 [%rd1+8], %r3; membar.gl; "
         "atom.global.exch.b32 %r2, [%rd1], 0;");
    machine_.Reset();
    const std::uint64_t lock = machine_.Allocate(16);
    const auto fault = machine_.RunTogether({4, 1, 1}, {64, 1, 1}, {lock});
    ASSERT_FALSE(fault.has_value()) << fault->text;
    EXPECT_EQ(machine_.At<std::uint32_t>(lock)[2], 256u);
    const auto alone = machine_.Run({4, 1, 1}, {64, 1, 1}, {lock});
    ASSERT_FALSE(alone.has_value()) << alone->text;
    EXPECT_EQ(machine_.At<std::uint32_t>(lock)[2], 512u);
  }
}

// Blocks keep their shared memory and locals while they are put aside.
TEST_F(Together, StateOutlivesTheSlice) {
  Load(std::string(kWorkspace) +
       ".shared .align 4 .b8 mine[128]; .local .align 4 .b8 own[4]; mov.u32 %r2, %ctaid.x; mad.lo.u32 %r3, %r2, 1000, "
       "%r1; st.local.u32 [own], %r3; mul.wide.u32 %rd5, %r1, 4; mov.u64 %rd6, mine; add.u64 %rd6, %rd6, %rd5; "
       "st.shared.u32 [%rd6], %r3;\n" +
       GridSync("A") + GridSync("B") +
       "ld.local.u32 %r4, [own]; ld.shared.u32 %r5, [%rd6]; add.u32 %r4, %r4, %r5; mad.lo.u32 %r6, %r2, 32, %r1; "
       "mad.wide.u32 %rd5, %r6, 4, %rd1; st.global.u32 [%rd5], %r4;");
  const std::uint64_t out = machine_.Allocate(8 * 32 * 4);
  ASSERT_FALSE(machine_.RunTogether({8, 1, 1}, {32, 1, 1}, {out}).has_value());
  for (std::uint32_t i = 0; i < 8 * 32; ++i)
    EXPECT_EQ(machine_.At<std::uint32_t>(out)[i], 2 * (i / 32 * 1000 + i % 32)) << i;
}

}  // namespace
}  // namespace accelmesh::tier0
