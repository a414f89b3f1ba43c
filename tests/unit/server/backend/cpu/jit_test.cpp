// Tier 1 against tier 0, bit by bit, on kernels whose lanes part and meet; and what is kept on disk.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "server/backend/cpu/jit.h"
#include "server/backend/cpu/tier1.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh {
namespace {

namespace fs = std::filesystem;
using tier0::KernelText;
using tier0::Machine;

constexpr std::uint32_t kThreads = 96;
constexpr std::uint32_t kWords = 4096;

// Runs a kernel on both tiers over the same memory; what it leaves and how it ends must be the same. %rd1 is the
// memory, %rd2 a forbidden address.
void ExpectSame(const std::string& body, const std::string& fault = "") {
  std::vector<std::uint32_t> left[2];
  std::string ended[2];
  for (const int tier : {0, 1}) {
    Machine machine;
    Jit jit({JitMode::kAlways, ACCELMESH_TIER1_PATH, "off"});
    if (tier == 1) machine.set_compiler(&jit);
    const Status loaded = machine.Load(KernelText(body));
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    const std::uint64_t memory = machine.Allocate(kWords * 4);
    for (std::uint32_t i = 0; i < kWords; ++i) machine.At<std::uint32_t>(memory)[i] = i * 2654435761u;
    const std::optional<tier0::Fault> got =
        machine.Run({2, 1, 1}, {kThreads, 1, 1}, {memory, machine.forbidden(), 7, 3}, 1024);
    // Both machines have memory of their own, so addresses in a fault's text differ.
    if (got.has_value())
      ended[tier] = got->text.substr(0, got->text.find(" 0x")) + got->text.substr(got->text.find(" in kernel"));
    left[tier].assign(machine.At<std::uint32_t>(memory), machine.At<std::uint32_t>(memory) + kWords);
  }
  EXPECT_EQ(ended[0], ended[1]);
  EXPECT_EQ(left[0], left[1]) << body;
  EXPECT_NE(ended[1].find(fault), std::string::npos) << ended[1];
  EXPECT_EQ(ended[1].empty(), fault.empty());
}

constexpr const char* kOwnWord =
    "mov.u32 %r2, %ctaid.x; mad.lo.u32 %r3, %r2, 96, %r1; mul.wide.u32 %rd5, %r3, 4; add.u64 %rd5, %rd1, %rd5;\n";
constexpr const char* kStore = "st.global.u32 [%rd5+4096], %r4;\n";

TEST(Tier1, LoopsThatLanesLeaveAtDifferentTimes) {
  ExpectSame(std::string(kOwnWord) +
             "mov.u32 %r4, 0; and.b32 %r5, %r1, 13;\n"
             "L: mad.lo.u32 %r4, %r4, 3, %r5; sub.u32 %r5, %r5, 1; setp.gt.s32 %p1, %r5, 0; @%p1 bra L;\n" +
             kStore);
}
TEST(Tier1, NestedBranches) {
  ExpectSame(std::string(kOwnWord) +
             "mov.u32 %r4, 5; and.b32 %r5, %r1, 3; setp.eq.u32 %p1, %r5, 0; setp.lt.u32 %p2, %r1, 40;\n"
             "@%p1 bra A; add.u32 %r4, %r4, 10; @%p2 bra B; mul.lo.u32 %r4, %r4, 7; bra C;\n"
             "A: add.u32 %r4, %r4, 100; @!%p2 bra C;\nB: xor.b32 %r4, %r4, 0x55;\nC: add.u32 %r4, %r4, %r1;\n" +
             kStore);
}
TEST(Tier1, GuardsKeepOldValues) {
  ExpectSame(std::string(kOwnWord) +
             "mov.u32 %r4, 9; and.b32 %r5, %r1, 1; setp.ne.u32 %p1, %r5, 0;\n"
             "@%p1 add.u32 %r4, %r4, %r1; @!%p1 ld.global.u32 %r4, [%rd5]; @%p1 setp.gt.u32 %p2, %r1, 50;\n"
             "@%p2 popc.b32 %r4, %r4; @%p1 brev.b32 %r4, %r4; @%p1 st.global.u32 [%rd5+8192], %r4;\n" +
             kStore);
}
TEST(Tier1, BarriersInLoops) {
  ExpectSame(std::string(kOwnWord) +
             ".shared .b32 s[96]; mov.u32 %r6, s; shl.b32 %r7, %r1, 2; add.u32 %r6, %r6, %r7;\n"
             "ld.global.u32 %r4, [%rd5]; st.shared.u32 [%r6], %r4; bar.sync 0; mov.u32 %r8, 48;\n"
             "L: setp.ge.u32 %p1, %r1, %r8; @%p1 bra N; shl.b32 %r9, %r8, 2; add.u32 %r9, %r6, %r9;\n"
             "ld.shared.u32 %r10, [%r9]; ld.shared.u32 %r4, [%r6]; add.u32 %r4, %r4, %r10; st.shared.u32 [%r6], %r4;\n"
             "N: bar.sync 0; shr.u32 %r8, %r8, 1; setp.ne.u32 %p2, %r8, 0; @%p2 bra L;\n" +
             kStore);
}
TEST(Tier1, ShufflesAndVotes) {
  ExpectSame(std::string(kOwnWord) +
             "ld.global.u32 %r4, [%rd5]; shfl.sync.down.b32 %r5|%p1, %r4, 3, 0x1f, -1; add.u32 %r4, %r4, %r5;\n"
             "shfl.sync.bfly.b32 %r5, %r4, 5, 0x1f, -1; xor.b32 %r4, %r4, %r5; @%p1 add.u32 %r4, %r4, 1;\n"
             "shfl.sync.up.b32 %r5|%p2, %r4, 2, 0, -1; @%p2 sub.u32 %r4, %r4, %r5;\n"
             "shfl.sync.idx.b32 %r5, %r4, %r1, 0x181f, -1; add.u32 %r4, %r4, %r5; setp.gt.s32 %p3, %r4, 0;\n"
             "vote.sync.ballot.b32 %r5, %p3, -1; add.u32 %r4, %r4, %r5; vote.sync.any.pred %p4, %p3, -1;\n"
             "selp.u32 %r5, 11, 22, %p4; add.u32 %r4, %r4, %r5; activemask.b32 %r6; xor.b32 %r4, %r4, %r6;\n" +
             kStore);
}
TEST(Tier1, ShufflesOfLanesThatHaveParted) {
  ExpectSame(std::string(kOwnWord) +
             "mov.u32 %r4, %r1; and.b32 %r6, %r1, 1; setp.eq.u32 %p1, %r6, 0; @%p1 bra A;\n"
             "shfl.sync.bfly.b32 %r4, %r4, 2, 0x1f, 0xaaaaaaaa; bra B;\n"
             "A: shfl.sync.bfly.b32 %r4, %r4, 4, 0x1f, 0x55555555;\nB: bar.warp.sync -1;\n" +
             kStore);
}
TEST(Tier1, AtomicsInSharedMemory) {
  ExpectSame(
      std::string(kOwnWord) +
      ".shared .b32 s[8]; mov.u32 %r6, s; setp.lt.u32 %p1, %r1, 8; shl.b32 %r7, %r1, 2; add.u32 %r7, %r6, %r7;\n"
      "@%p1 st.shared.u32 [%r7], 0; bar.sync 0; and.b32 %r8, %r1, 7; shl.b32 %r8, %r8, 2; add.u32 %r8, %r6, %r8;\n"
      "mov.u32 %r4, 0; setp.ne.u32 %p2, %r1, 33; @%p2 atom.shared.add.u32 %r4, [%r8], %r1; atom.shared.add.f32 %f1, "
      "[%r6], "
      "0f3F800000;\n"
      "bar.sync 0; ld.shared.u32 %r5, [%r8]; add.u32 %r4, %r4, %r5;\n" +
      kStore);
}
TEST(Tier1, ExitsInTheMiddle) {
  ExpectSame(std::string(kOwnWord) +
             "mov.u32 %r4, 1; setp.eq.u32 %p1, %r1, 17; @%p1 exit; setp.gt.u32 %p2, %r1, 70; @%p2 bra E;\n"
             "bar.sync 0; add.u32 %r4, %r4, 41;\nE: " +
             std::string(kStore));
}
TEST(Tier1, FaultsAreTierZeros) {
  ExpectSame(std::string(kOwnWord) + "mov.u32 %r4, 3; " + kStore +
                 "setp.eq.u32 %p1, %r1, 50; @%p1 ld.global.u32 %r4, [%rd2];\n",
             "illegal address");
  ExpectSame(std::string(kOwnWord) + "add.u64 %rd5, %rd5, 2; ld.global.u32 %r4, [%rd5];\n", "misaligned");
  ExpectSame("mul.wide.u32 %rd5, %r1, 4; add.u64 %rd5, %rd2, %rd5; st.global.u32 [%rd5], %r1;\n", "illegal address");
  ExpectSame("shl.b32 %r5, %r1, 8; st.shared.u32 [%r5], %r1;\n", "shared memory out of bounds");
  ExpectSame("setp.eq.u32 %p1, %r1, 40; @%p1 trap;\n", "trap");
}
TEST(Tier1, LocalMemoryIsEachLanesOwn) {
  // At the same place in all lanes, at places of their own, and by part of the lanes; of 1 to 16 bytes.
  const std::string declare =
      ".local .align 16 .b8 own[128]; mov.u32 %r6, own; shl.b32 %r7, %r1, 4; and.b32 %r7, %r7, "
      "112; add.u32 %r7, %r6, %r7; ld.global.u32 %r8, [%rd5]; mul.lo.u32 %r9, %r8, 77;\n";
  ExpectSame(std::string(kOwnWord) + declare +
             "st.local.v4.u32 [%r7], {%r8, %r9, %r1, %r3}; st.local.u32 [%r6+32], %r9; ld.local.u32 %r4, [%r7+4];\n"
             "ld.local.v2.u32 {%r10, %r11}, [%r7+8]; mad.lo.u32 %r4, %r4, %r10, %r11; ld.local.u32 %r10, [own+32];\n"
             "xor.b32 %r4, %r4, %r10;\n" +
             kStore);
  ExpectSame(std::string(kOwnWord) + declare +
             "and.b32 %r12, %r8, 3; setp.eq.u32 %p1, %r12, 1; mov.u32 %r4, 5; st.local.u64 [%r6+8], %rd3; "
             "@%p1 st.local.u32 [%r6+8], %r9; @%p1 bra N; ld.local.s32 %r4, [%r6+8]; st.local.u8 [%r6+9], %r9;\n"
             "N: @%p1 ld.local.u32 %r4, [%r6+8]; ld.local.s16 %r10, [%r6+8]; ld.local.u64 %rd6, [%r6+8]; cvt.u32.u64 "
             "%r11, %rd6; mad.lo.u32 %r4, %r4, 5, %r10; xor.b32 %r4, %r4, %r11;\n" +
             kStore);
  // In a loop, and what a lane wrote is still there when others have run.
  ExpectSame(std::string(kOwnWord) + declare +
             "mov.u32 %r10, 0; L: shl.b32 %r11, %r10, 2; add.u32 %r11, %r6, %r11; st.local.f32 [%r11], %r8; "
             "add.u32 %r8, %r8, %r9; add.u32 %r10, %r10, 1; and.b32 %r12, %r1, 31; setp.le.u32 %p1, %r10, %r12; "
             "@%p1 bra L; bar.sync 0; mov.u32 %r4, 0;\n"
             "M: sub.u32 %r10, %r10, 1; shl.b32 %r11, %r10, 2; add.u32 %r11, %r6, %r11; ld.local.b32 %r12, [%r11]; "
             "mad.lo.u32 %r4, %r4, 3, %r12; setp.ne.u32 %p1, %r10, 0; @%p1 bra M;\n" +
             kStore);
  ExpectSame(std::string(kOwnWord) + declare +
                 "setp.eq.u32 %p1, %r1, 70; @%p1 add.u32 %r7, %r7, 128; st.local.u32 [%r7], %r1;",
             "local memory out of bounds");
  ExpectSame(std::string(kOwnWord) + declare + "add.u32 %r7, %r7, -16; ld.local.u32 %r4, [%r7];\n",
             "local memory out of bounds");
  ExpectSame(std::string(kOwnWord) + declare + "ld.local.v2.u32 {%r4, %r8}, [%r7+4];\n", "misaligned");
}
TEST(Tier1, LocalMemoryOfWordsNeedsNoHandler) {
  Machine machine;
  Jit jit({JitMode::kAlways, ACCELMESH_TIER1_PATH, "off"});
  machine.set_compiler(&jit);
  ASSERT_TRUE(machine
                  .Load(KernelText(".local .b32 own[4]; and.b32 %r2, %r1, 3; shl.b32 %r2, %r2, 2; mov.u32 %r3, own; "
                                   "add.u32 %r2, %r2, %r3; st.local.u32 [%r2], %r1; ld.local.u32 %r4, [%r2]; "
                                   "mad.wide.u32 %rd5, %r1, 4, %rd1; st.global.u32 [%rd5], %r4;"))
                  .ok());
  const std::uint64_t memory = machine.Allocate(256);
  EXPECT_FALSE(machine.Run({1, 1, 1}, {64, 1, 1}, {memory}).has_value());
  EXPECT_EQ(machine.compiled(true)->called, 0u);
  for (std::uint32_t t = 0; t < 64; ++t) EXPECT_EQ(machine.At<std::uint32_t>(memory)[t], t);
}
TEST(Tier1, AddressesOfEveryPattern) {
  // Contiguous, the same, a half each, backwards, and strided; vectors too.
  for (const char* index : {"mov.u32 %r5, %r1", "mov.u32 %r5, 8", "and.b32 %r5, %r1, 15", "shr.u32 %r5, %r1, 4",
                            "sub.u32 %r5, 95, %r1", "mul.lo.u32 %r5, %r1, 3", "and.b32 %r5, %r1, 7"}) {
    ExpectSame(
        std::string(kOwnWord) + index +
        "; mul.wide.u32 %rd6, %r5, 16; add.u64 %rd6, %rd1, %rd6; ld.global.v4.u32 {%r6, %r7, %r8, %r9}, [%rd6];\n"
        "add.u32 %r4, %r6, %r7; mad.lo.u32 %r4, %r4, %r8, %r9; ld.global.u8 %r10, [%rd6+5]; ld.global.s16 %r11, "
        "[%rd6+6];\n"
        "add.u32 %r4, %r4, %r10; add.u32 %r4, %r4, %r11; st.global.v2.u32 [%rd6+4096], {%r4, %r10}; ld.global.u64 "
        "%rd7, [%rd6+8];\n"
        "st.global.u64 [%rd6+8192], %rd7;\n" +
        kStore);
  }
}
TEST(Tier1, LanesThatPartRunInTierZerosOrder) {
  // An if and its else, a way out of both, and a loop in one of them; who runs together is seen by activemask, and what
  // runs first by the order of additions.
  ExpectSame(
      std::string(kOwnWord) +
      ".shared .b32 s[4]; mov.u32 %r6, s; setp.eq.u32 %p7, %r1, 0; @%p7 st.shared.u32 [%r6], 0; bar.sync 0;\n"
      "and.b32 %r5, %r1, 7; setp.lt.u32 %p1, %r5, 3; setp.eq.u32 %p2, %r5, 1; mov.u32 %r4, 0;\n"
      "@%p1 bra ELSE; atom.shared.add.u32 %r7, [%r6], 3; mad.lo.u32 %r4, %r7, 5, %r5; setp.eq.u32 %p3, %r5, 6;\n"
      "@%p3 bra OUT; L: activemask.b32 %r8; mad.lo.u32 %r4, %r4, 3, %r8; sub.u32 %r5, %r5, 1;\n"
      "setp.gt.s32 %p4, %r5, 2; @%p4 bra L; bra JOIN;\n"
      "ELSE: atom.shared.add.u32 %r7, [%r6], 7; xor.b32 %r4, %r4, %r7; @%p2 bra OUT; add.u32 %r4, %r4, 9;\n"
      "JOIN: activemask.b32 %r8; xor.b32 %r4, %r4, %r8; atom.shared.add.u32 %r7, [%r6], 1; add.u32 %r4, %r4, %r7;\n"
      "OUT: activemask.b32 %r8; mad.lo.u32 %r4, %r4, 7, %r8; bar.sync 0;\n" +
      kStore);
}
TEST(Tier1, WhatIsTheSameInALoopIsNotWhenLanesLeaveIt) {
  // %r6 and %p6 are the same in all lanes that are in the loop; behind it they say when a lane left.
  ExpectSame(
      std::string(kOwnWord) +
      "mov.u32 %r6, 0; and.b32 %r5, %r1, 11; mov.u32 %r4, 0;\n"
      "L: add.u32 %r6, %r6, 1; and.b32 %r7, %r6, 1; setp.ne.u32 %p6, %r7, 0; setp.le.u32 %p1, %r6, %r5; @%p1 bra L;\n"
      "selp.u32 %r8, 1000, 2000, %p6; add.u32 %r4, %r6, %r8;\n" +
      kStore);
  // And where they go round again after some waited.
  ExpectSame(std::string(kOwnWord) +
             "mov.u32 %r6, 0; mov.u32 %r4, 0;\n"
             "L: and.b32 %r5, %r1, 3; setp.ne.u32 %p1, %r5, %r6; @%p1 bra N; mad.lo.u32 %r4, %r6, 100, %r1;\n"
             "N: add.u32 %r6, %r6, 1; mad.lo.u32 %r4, %r4, 3, %r6; setp.lt.u32 %p2, %r6, 4; @%p2 bra L;\n" +
             kStore);
}
TEST(Tier1, APredicateOfALoopSaysWhenLanesLeftIt) {
  ExpectSame(std::string(kOwnWord) +
             "mov.u32 %r6, 0; and.b32 %r5, %r1, 11; mov.u32 %r4, 0; setp.eq.u32 %p6, %r4, 0;\n"
             "L: add.u32 %r6, %r6, 1; not.pred %p6, %p6; setp.le.u32 %p1, %r6, %r5; @%p1 bra L;\n"
             "selp.u32 %r4, 1000, 2000, %p6;\n" +
             kStore);
}
TEST(Tier1, LoopsThatBeginWithABarrier) {
  // What was made before the loop is read behind its barrier, and made anew only there: by code, or by a handler.
  for (const char* made : {"mad.lo.u32 %r4, %r4, 5, %r5", "brev.b32 %r4, %r4"}) {
    ExpectSame(std::string(kOwnWord) +
               "mul.lo.u32 %r4, %r1, 3; mov.u32 %r5, 0; mov.u32 %r7, 0; xor.b32 %r6, %r1, 0x1234;\n"
               "L: bar.sync 0; " +
               made +
               "; mad.lo.u32 %r7, %r7, 7, %r4; add.u32 %r7, %r7, %r6; add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, 5;\n"
               "@%p1 bra L; mov.u32 %r4, %r7;\n" +
               kStore);
  }
}
TEST(Tier1, LanesTakeTurns) {
  // A lane of each warp waits for what another one writes when its loop is over: only turns between them end it.
  ExpectSame(std::string(kOwnWord) +
             ".shared .b32 s[4]; mov.u32 %r6, s; shr.u32 %r7, %r1, 5; shl.b32 %r7, %r7, 2; add.u32 %r6, %r6, %r7;\n"
             "and.b32 %r5, %r1, 31; setp.eq.u32 %p1, %r5, 0; @%p1 st.shared.u32 [%r6], 0; bar.warp.sync -1;\n"
             "mov.u32 %r4, 0; setp.eq.u32 %p2, %r5, 3; @!%p2 bra SET;\n"
             "SPIN: ld.volatile.shared.u32 %r4, [%r6]; setp.eq.u32 %p3, %r4, 0; @%p3 bra SPIN; bra DONE;\n"
             "SET: setp.ne.u32 %p4, %r5, 9; @%p4 bra DONE; st.volatile.shared.u32 [%r6], 77;\nDONE:\n" +
             kStore);
}
TEST(Tier1, AddressesThatWrapAreMadeLaneByLane) {
  // Counts up, but not in 64 bits: the sign changes, or 32 bits are full, in the middle of a warp.
  for (const char* wide : {"cvt.s64.s32 %rd6, %r5", "cvt.u64.u32 %rd6, %r5", "mul.wide.s32 %rd6, %r5, 3",
                           "mul.wide.u32 %rd6, %r5, 3", "mad.wide.s32 %rd6, %r5, -2, %rd1; sub.u64 %rd6, %rd6, %rd1"}) {
    for (const char* base : {"0xfffffff0", "0x7ffffff0", "0", "0x80000000", "0xffffffe1", "0x7fffffe0"}) {
      ExpectSame(
          std::string(kOwnWord) + "add.u32 %r5, %r1, " + base + "; " + wide +
          "; shr.u64 %rd7, %rd6, 32; cvt.u32.u64 %r4, %rd6; cvt.u32.u64 %r6, %rd7; mad.lo.u32 %r4, %r6, 17, %r4;\n" +
          kStore);
    }
  }
}
TEST(Tier1, WhatCountsUpInBothIsTheSameWithout) {
  ExpectSame(
      std::string(kOwnWord) +
      "sub.u32 %r4, %r3, %r1; mul.wide.u32 %rd6, %r1, 4; sub.u64 %rd7, %rd5, %rd6; sub.u64 %rd7, %rd7, %rd1; "
      "cvt.u32.u64 %r6, %rd7; mad.lo.s32 %r7, %r1, -1, %r1; mad.wide.u32 %rd8, %r1, 4, %rd7; sub.u64 %rd8, %rd8, "
      "%rd6; cvt.u32.u64 %r8, %rd8; mad.lo.u32 %r4, %r4, 7, %r6; add.u32 %r4, %r4, %r7; xor.b32 %r4, %r4, %r8;\n" +
      kStore);
}
TEST(Tier1, BarriersThatSomeWarpsComeToMoreOften) {
  // Lanes exit before it, one warp leaves early, and the last that arrives goes on first.
  ExpectSame(
      std::string(kOwnWord) +
      ".shared .b32 s[4]; mov.u32 %r6, s; setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r6], 0; bar.sync 0;\n"
      "mov.u32 %r4, 0; mov.u32 %r5, 0; setp.gt.u32 %p6, %r1, 90; @%p6 exit;\n"
      "L: atom.shared.add.u32 %r7, [%r6], %r1; mad.lo.u32 %r4, %r4, 31, %r7; bar.sync 0;\n"
      "add.u32 %r5, %r5, 1; setp.lt.u32 %p2, %r1, 32; setp.eq.u32 %p3, %r5, 3; and.pred %p3, %p2, %p3; @%p3 bra E;\n"
      "setp.lt.u32 %p4, %r5, 6; @%p4 bra L;\nE: " +
      std::string(kStore));
}
TEST(Tier1, BlocksFollowOneAnother) {
  Machine machine;
  Jit jit({JitMode::kAlways, ACCELMESH_TIER1_PATH, "off"});
  machine.set_compiler(&jit);
  // A handler reads %ctaid.y (brev is none that compiled code knows), and so does a block that part of its lanes leave.
  ASSERT_TRUE(
      machine
          .Load(KernelText("mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ctaid.y; mov.u32 %r4, %ctaid.z; brev.b32 %r5, "
                           "%ctaid.y; mad.lo.u32 %r6, %r4, 2, %r3; mad.lo.u32 %r6, %r6, 3, %r2;\n"
                           "mad.lo.u32 %r7, %r6, 40, %r1; mul.wide.u32 %rd5, %r7, 8; add.u64 %rd5, %rd1, %rd5;\n"
                           "setp.gt.u32 %p1, %r1, %r6; @%p1 bra N; add.u32 %r6, %r6, 100;\n"
                           "N: st.global.v2.u32 [%rd5], {%r6, %r5};"))
          .ok());
  constexpr std::uint32_t kBlocks = 3 * 2 * 4;
  const std::uint64_t memory = machine.Allocate(kBlocks * 40 * 8);
  EXPECT_FALSE(machine.Run({3, 2, 4}, {40, 1, 1}, {memory}).has_value());
  EXPECT_TRUE(machine.compiled(true)->batches);
  for (std::uint32_t i = 0; i < kBlocks * 40; ++i) {
    const std::uint32_t block = i / 40;
    EXPECT_EQ(machine.At<std::uint32_t>(memory)[2 * i], block + (i % 40 > block ? 0 : 100)) << i;
    EXPECT_EQ(machine.At<std::uint32_t>(memory)[2 * i + 1], block / 3 % 2 << 31) << i;
  }
}
TEST(Tier1, AFaultNamesTheBlockThatFollowedOthers) {
  Machine machine;
  Jit jit({JitMode::kAlways, ACCELMESH_TIER1_PATH, "off"});
  machine.set_compiler(&jit);
  ASSERT_TRUE(machine
                  .Load(KernelText("mov.u32 %r2, %ctaid.x; setp.eq.u32 %p1, %r2, 5; setp.eq.u32 %p2, %r1, 33; and.pred "
                                   "%p1, %p1, %p2; @%p1 ld.global.u32 %r4, [%rd2]; st.global.u32 [%rd1], %r4;"))
                  .ok());
  const std::uint64_t memory = machine.Allocate(256);
  const auto fault = machine.Run({9, 1, 1}, {64, 1, 1}, {memory, machine.forbidden()});
  ASSERT_TRUE(fault.has_value());
  EXPECT_NE(fault->text.find("block (5,0,0), thread (33,0,0)"), std::string::npos) << fault->text;
}
TEST(Tier1, CancellationEndsALoop) {
  Machine machine;
  Jit jit({JitMode::kAlways, ACCELMESH_TIER1_PATH, "off"});
  machine.set_compiler(&jit);
  ASSERT_TRUE(machine.Load(KernelText("L: add.u32 %r4, %r4, 1; bra L;")).ok());
  std::thread later([&machine] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    machine.cancel().store(true);
  });
  EXPECT_FALSE(machine.Run({1, 1, 1}, {64, 1, 1}).has_value());
  later.join();
}

class CacheTest : public testing::Test {
 protected:
  CacheTest() {
    std::string path = (fs::temp_directory_path() / "accelmesh_tier1_XXXXXX").string();
    folder_ = ::mkdtemp(path.data());
  }
  ~CacheTest() override { fs::remove_all(folder_); }
  // Whether the kernel came from the cache.
  bool FromCache(const std::string& body) {
    Machine machine;
    Jit jit({JitMode::kAlways, ACCELMESH_TIER1_PATH, folder_});
    machine.set_compiler(&jit);
    const Status loaded = machine.Load(KernelText(body));
    EXPECT_TRUE(loaded.ok()) << loaded.ToString();
    const std::uint64_t memory = machine.Allocate(256);
    EXPECT_FALSE(machine.Run({1, 1, 1}, {32, 1, 1}, {memory}).has_value());
    EXPECT_EQ(machine.At<std::uint32_t>(memory)[0], 42u);
    return machine.compiled(true)->from_cache;
  }
  fs::path OnlyFile() {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_)) files.push_back(entry.path());
    EXPECT_EQ(files.size(), 1u);
    return files.empty() ? fs::path() : files.front();
  }
  std::string folder_;
};
constexpr const char* kFortyTwo = "mov.u32 %r4, 42; st.global.u32 [%rd1], %r4;";

TEST_F(CacheTest, KeepsWhatWasCompiled) {
  EXPECT_FALSE(FromCache(kFortyTwo));
  EXPECT_TRUE(FromCache(kFortyTwo));
  EXPECT_FALSE(FromCache("mov.u32 %r4, 43; sub.u32 %r4, %r4, 1; st.global.u32 [%rd1], %r4;"));
}
TEST_F(CacheTest, ACoordinateIsNotAnother) {
  for (const char* coordinate : {"%ctaid.x", "%ctaid.y", "%ctaid.z", "%nctaid.x"}) {
    EXPECT_FALSE(FromCache(std::string("mov.u32 %r2, ") + coordinate +
                           "; min.u32 %r2, %r2, 0; add.u32 %r4, %r2, 42; st.global.u32 [%rd1], %r4;"))
        << coordinate;
  }
}
TEST_F(CacheTest, ReplacesWhatIsCorrupt) {
  EXPECT_FALSE(FromCache(kFortyTwo));
  const fs::path file = OnlyFile();
  const auto size = fs::file_size(file);
  {
    std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(static_cast<std::streamoff>(size / 2));
    out.put('\x7f').put('\x01').put('\x55');
  }
  EXPECT_FALSE(FromCache(kFortyTwo));
  EXPECT_TRUE(FromCache(kFortyTwo));
  fs::resize_file(OnlyFile(), size / 3);
  EXPECT_FALSE(FromCache(kFortyTwo));
  EXPECT_TRUE(FromCache(kFortyTwo));
}
TEST_F(CacheTest, AnotherKeysObjectIsNotTaken) {
  EXPECT_FALSE(FromCache(kFortyTwo));
  const fs::path first = OnlyFile();
  const fs::path kept = first.string() + ".kept";
  fs::rename(first, kept);
  const char* other = "mov.u32 %r4, 40; add.u32 %r4, %r4, 2; st.global.u32 [%rd1], %r4;";
  EXPECT_FALSE(FromCache(other));
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path() != kept) fs::copy_file(kept, entry.path(), fs::copy_options::overwrite_existing);
  }
  EXPECT_FALSE(FromCache(other));
}

TEST_F(CacheTest, WhatOthersMayWriteIsNotRun) {
  EXPECT_FALSE(FromCache(kFortyTwo));
  fs::permissions(OnlyFile(), fs::perms::group_write, fs::perm_options::add);
  EXPECT_FALSE(FromCache(kFortyTwo));
  EXPECT_TRUE(FromCache(kFortyTwo));
}
TEST_F(CacheTest, ItsFolderIsOfTheUserOnly) {
  folder_ += "/new";
  EXPECT_FALSE(FromCache(kFortyTwo));
  EXPECT_EQ(fs::status(folder_).permissions(), fs::perms::owner_all);
}

TEST(Jit, WithoutTheCompilerKernelsStayOnTierZero) {
  Jit jit({JitMode::kAlways, "/nowhere/libaccelmesh_tier1.so", "off"});
  Machine machine;
  ASSERT_TRUE(machine.Load(KernelText(kFortyTwo)).ok());
  EXPECT_EQ(jit.Compile(machine.kernel(), true).code(), Code::kUnsupported);
  const std::uint64_t memory = machine.Allocate(256);
  EXPECT_FALSE(machine.Run({1, 1, 1}, {32, 1, 1}, {memory}).has_value());
  EXPECT_EQ(machine.At<std::uint32_t>(memory)[0], 42u);
}

}  // namespace
}  // namespace accelmesh
