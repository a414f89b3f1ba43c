// tier0/run.cpp, block.cpp and decode.cpp: control flow, fairness, special registers, cancelling, what one kernel
// leaves for the next.
#include <chrono>
#include <thread>

#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

class Run : public testing::Test {
 protected:
  void Load(const std::string& body) {
    const Status loaded = machine_.Load(KernelText("mul.wide.u32 %rd5, %r1, 4; add.u64 %rd6, %rd1, %rd5;\n" + body));
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  }
  // Runs one block of the kernel loaded; thread t's word of the result.
  std::vector<std::uint32_t> Words(std::uint32_t threads) {
    const std::uint64_t out = machine_.Allocate(4096);
    const auto fault = machine_.Run({}, {threads, 1, 1}, {out});
    EXPECT_FALSE(fault.has_value()) << fault->text;
    return {machine_.At<std::uint32_t>(out), machine_.At<std::uint32_t>(out) + threads};
  }
  Machine machine_;
};

// Lanes loop as often as their number says; the results must not mix.
TEST_F(Run, DivergentLoops) {
  Load(
      "mov.u32 %r2, 0; mov.u32 %r3, 0; LOOP: setp.ge.u32 %p1, %r3, %r1; @%p1 bra DONE; add.u32 %r2, %r2, %r3; add.u32 "
      "%r3, %r3, 1; bra LOOP; DONE: st.global.u32 [%rd6], %r2;");
  const auto got = Words(100);
  for (std::uint32_t t = 0; t < 100; ++t) EXPECT_EQ(got[t], t * (t - 1) / 2);
}

TEST_F(Run, NestedBranchesAndGuards) {
  Load(
      "and.b32 %r2, %r1, 1; and.b32 %r3, %r1, 2; setp.eq.u32 %p1, %r2, 0; setp.eq.u32 %p2, %r3, 0; mov.u32 %r4, 0;\n"
      "@%p1 bra EVEN; @%p2 bra ONE; mov.u32 %r4, 3; bra DONE; ONE: mov.u32 %r4, 1; bra DONE;\n"
      "EVEN: @%p2 add.u32 %r4, %r4, 10; @!%p2 add.u32 %r4, %r4, 12; DONE: st.global.u32 [%rd6], %r4;");
  const auto got = Words(64);
  const std::uint32_t expected[] = {10, 1, 12, 3};
  for (std::uint32_t t = 0; t < 64; ++t) EXPECT_EQ(got[t], expected[t % 4]);
}

TEST_F(Run, IndexedBranches) {
  Load(
      "and.b32 %r2, %r1, 3; T: .branchtargets A, B, C, A;\nbrx.idx %r2, T;\n"
      "A: mov.u32 %r3, 100; bra DONE; B: mov.u32 %r3, 200; bra DONE; C: mov.u32 %r3, 300; DONE: st.global.u32 [%rd6], "
      "%r3;");
  const auto got = Words(64);
  const std::uint32_t expected[] = {100, 200, 300, 100};
  for (std::uint32_t t = 0; t < 64; ++t) EXPECT_EQ(got[t], expected[t % 4]);
}

// Inline assembly brings scopes with registers and labels of the same names.
TEST_F(Run, ScopesShadowNames) {
  Load(
      "mov.u32 %r2, 5;\n"
      "{ .reg .b32 %r2; .reg .pred p; mov.u32 %r2, 1; setp.eq.u32 p, %r2, 1; @p bra SKIP; st.global.u32 [%rd6], 0; "
      "SKIP: st.global.u32 [%rd6], %r2; }\n"
      "{ .reg .pred p; setp.ne.u32 p, %r2, 5; @p bra SKIP; add.u32 %r2, %r2, 1; SKIP: }\n"
      "{ .reg .b32 t; ld.global.u32 t, [%rd6]; add.u32 %r2, %r2, t; { .reg .b32 t; mov.u32 t, 1000; bra OUTER; } "
      "OUTER: st.global.u32 [%rd6], %r2; }");
  for (const std::uint32_t word : Words(40)) EXPECT_EQ(word, 7u);
}

TEST_F(Run, SpecialRegisters) {
  const char* names[] = {"%tid.x",       "%tid.y",       "%tid.z",       "%ntid.x",      "%ntid.y",
                         "%ntid.z",      "%ctaid.x",     "%ctaid.y",     "%ctaid.z",     "%nctaid.x",
                         "%nctaid.y",    "%nctaid.z",    "%laneid",      "%warpid",      "%nwarpid",
                         "%lanemask_eq", "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge"};
  std::string body =
      "mov.u32 %r2, %ntid.x; mov.u32 %r3, %ntid.y; mov.u32 %r4, %tid.z; mov.u32 %r5, %tid.y; mad.lo.u32 %r4, %r4, %r3, "
      "%r5; mad.lo.u32 %r4, %r4, %r2, %r1;\n"
      "mov.u32 %r7, %ctaid.z; mov.u32 %r8, %nctaid.y; mov.u32 %r9, %ctaid.y; mad.lo.u32 %r7, %r7, %r8, %r9; mov.u32 "
      "%r8, %nctaid.x; mov.u32 %r9, %ctaid.x; mad.lo.u32 %r7, %r7, %r8, %r9;\n"
      "mad.lo.u32 %r4, %r7, 60, %r4; mul.wide.u32 %rd5, %r4, 80; add.u64 %rd6, %rd1, %rd5;\n";
  for (std::size_t i = 0; i < std::size(names); ++i)
    body += std::string("mov.u32 %r6, ") + names[i] + "; st.global.u32 [%rd6+" + std::to_string(4 * i) + "], %r6;\n";
  Load(body);
  const Dim3 block{5, 3, 4}, grid{3, 2, 2};
  const std::uint64_t out = machine_.Allocate(12 * 60 * 80);
  // Twice: the second time the rows of constants are warm.
  for (int round = 0; round < 2; ++round) {
    ASSERT_FALSE(machine_.Run(grid, block, {out}).has_value());
    for (std::uint32_t b = 0; b < 12; ++b) {
      for (std::uint32_t t = 0; t < 60; ++t) {
        const std::uint32_t lane = t % 32;
        const std::uint64_t below = (1ull << lane) - 1;
        const std::uint32_t expected[] = {t % 5,
                                          t / 5 % 3,
                                          t / 15,
                                          5,
                                          3,
                                          4,
                                          b % 3,
                                          b / 3 % 2,
                                          b / 6,
                                          3,
                                          2,
                                          2,
                                          lane,
                                          t / 32,
                                          2,
                                          1u << lane,
                                          static_cast<std::uint32_t>(below),
                                          static_cast<std::uint32_t>(below | 1ull << lane),
                                          static_cast<std::uint32_t>(~(below | 1ull << lane)),
                                          static_cast<std::uint32_t>(~below)};
        const auto* got = machine_.At<std::uint32_t>(out + (b * 60 + t) * 80);
        for (std::size_t i = 0; i < std::size(names); ++i)
          ASSERT_EQ(got[i], expected[i]) << names[i] << " block " << b << " thread " << t;
      }
    }
    std::memset(machine_.At<void>(out), 0, 12 * 60 * 80);
  }
}

// Constants of one kernel must not be seen by another, also one of another block size that comes in between.
TEST_F(Run, KernelsDoNotSeeEachOthersConstants) {
  for (int round = 0; round < 3; ++round) {
    for (const std::uint32_t value : {11u, 22u, 33u}) {
      Load("mov.u32 %r2, " + std::to_string(value) +
           "; mov.u32 %r3, %ntid.x; add.u32 %r2, %r2, %r3; st.global.u32 [%rd6], %r2;");
      for (const std::uint32_t threads : {1u, 40u, 7u, 100u}) {
        for (const std::uint32_t word : Words(threads)) ASSERT_EQ(word, value + threads);
      }
      machine_.Reset();
    }
  }
}

// A lane holds a lock that its fellows spin on: it must get its turn (independent thread scheduling promises that).
TEST_F(Run, SpinLocksInsideAWarp) {
  Load(
      "add.u64 %rd7, %rd1, 8; \n"
      "SPIN: atom.global.cas.b32 %r2, [%rd1], 0, 1; setp.ne.u32 %p1, %r2, 0; @%p1 bra SPIN;\n"
      "ld.volatile.global.u32 %r3, [%rd7]; add.u32 %r3, %r3, 1; st.volatile.global.u32 [%rd7], %r3; membar.gl; "
      "atom.global.exch.b32 %r2, [%rd1], 0;");
  const std::uint64_t lock = machine_.Allocate(16);
  const auto fault = machine_.Run({4, 1, 1}, {64, 1, 1}, {lock});
  ASSERT_FALSE(fault.has_value()) << fault->text;
  EXPECT_EQ(machine_.At<std::uint32_t>(lock)[2], 256u);
  EXPECT_EQ(machine_.At<std::uint32_t>(lock)[0], 0u);
}
// One warp spins on what another writes; in either order.
TEST_F(Run, SpinningBetweenWarps) {
  Load(
      "setp.lt.u32 %p1, %r1, 32; @!%p1 bra WRITE; FIRST: ld.volatile.global.u32 %r2, [%rd1]; setp.eq.u32 %p2, %r2, 0; "
      "@%p2 bra FIRST; st.volatile.global.u32 [%rd1+4], 1; bra DONE;\n"
      "WRITE: st.volatile.global.u32 [%rd1], 1; SECOND: ld.volatile.global.u32 %r2, [%rd1+4]; setp.eq.u32 %p2, %r2, 0; "
      "@%p2 bra SECOND; DONE:");
  const std::uint64_t flags = machine_.Allocate(16);
  ASSERT_FALSE(machine_.Run({}, {64, 1, 1}, {flags}).has_value());
  EXPECT_EQ(machine_.At<std::uint32_t>(flags)[1], 1u);
}

TEST_F(Run, EndlessKernelsAreCancelled) {
  for (const char* body : {"LOOP: bra LOOP;", "LOOP: nanosleep.u32 1; bra LOOP;",
                           "setp.lt.u32 %p1, %r1, 5; LOOP: @%p1 bra LOOP; bra LOOP;",
                           "T: .branchtargets LOOP, LOOP; LOOP: and.b32 %r2, %r1, 1; brx.idx %r2, T;"}) {
    Load(body);
    machine_.cancel().store(false);
    std::thread stopper([this] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      machine_.cancel().store(true);
    });
    const auto fault = machine_.Run({}, {64, 1, 1});
    stopper.join();
    EXPECT_FALSE(fault.has_value()) << body;
  }
}

TEST_F(Run, RefusesBlocksPastTheLimits) {
  Load("");
  for (const Dim3 block : {Dim3{1025, 1, 1}, Dim3{0, 1, 1}, Dim3{65536, 65536, 65536}}) {
    const auto fault = machine_.Run({}, block);
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->status, kDeviceLaunchOutOfResources);
  }
  EXPECT_TRUE(machine_.Run({}, {}, std::vector<std::uint64_t>{}, 0xffffffffu).has_value());
  EXPECT_FALSE(machine_.Run({}, {1024, 1, 1}).has_value());
}

// Host code of the process may have changed nothing, and nor may kernels: rounding ends with the instruction.
TEST_F(Run, RoundingModesEndWithTheirInstruction) {
  Load(
      "mov.f32 %f1, 1.0; mov.f32 %f2, 0f30000000; add.rp.f32 %f3, %f1, %f2; add.f32 %f4, %f1, %f2; sub.f32 %f5, %f3, "
      "%f4; st.global.f32 [%rd6], %f5;");
  const float before = 1.0f + 0x1p-31f;
  const auto got = Words(1);
  EXPECT_EQ(got[0], 0x34000000u);  // 2^-23
  volatile float one = 1.0f, little = 0x1p-31f;
  EXPECT_EQ(one + little, before);
}

TEST_F(Run, RefusalsNameKernelLineAndText) {
  const std::string header = ".version 8.0\n.target sm_80\n.address_size 64\n";
  const std::string good = ".visible .entry good()\n{ ret; }\n";
  for (const std::string bad :
       {"wgmma.mma_async.sync.aligned %r1;", "mov.u32 %r1, %nosuch;", "mov.u32 %undeclared, 1;", "bra NOWHERE;",
        "ld.global.u32 %r1, [nosuch];", "st.param.u32 [p], 1;", "ld.shared.u32 %r1, [p];", "add.u32 %r1, %r1, [p];;"}) {
    const std::string text =
        header + ".visible .entry bad(.param .u32 p)\n{ .reg .b32 %r<2>;\n" + bad + "\nret; }\n" + good;
    const Status loaded = machine_.Load(text, 0);
    EXPECT_EQ(loaded.code(), Code::kUnsupported) << bad;
    EXPECT_NE(loaded.ToString().find("line 6"), std::string::npos) << loaded.ToString();
    // The kernel beside it is as good as ever.
    EXPECT_TRUE(machine_.Load(text, 1).ok()) << bad;
  }
}

}  // namespace
}  // namespace accelmesh::tier0
