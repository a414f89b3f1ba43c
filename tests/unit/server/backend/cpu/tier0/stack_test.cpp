// tier0/stack.cpp: alloca, stacksave and stackrestore, as the ISA describes them.
#include <cstring>
#include <set>

#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

constexpr std::uint32_t kThreads = 64;
constexpr std::uint32_t kWordsEach = 8;  // of 64 bits, that a thread leaves

// Each thread has its row of memory in %rd3; %rd2 is the second argument.
std::string OwnRow(const std::string& body) { return "mad.wide.u32 %rd3, %r1, 64, %rd1;\n" + body; }

class Stack : public testing::Test {
 protected:
  void Load(const std::string& body) { LoadText(KernelText(OwnRow(body))); }
  void LoadText(const std::string& text) {
    const Status loaded = machine_.Load(text);
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  }
  std::optional<Fault> Run(std::uint64_t argument = 0) {
    out_ = machine_.Allocate(kThreads * kWordsEach * 8);
    return machine_.Run({}, {kThreads, 1, 1}, {out_, argument});
  }
  void RunWell(std::uint64_t argument = 0) {
    const auto fault = Run(argument);
    ASSERT_FALSE(fault.has_value()) << fault->text;
  }
  std::uint64_t Word(std::uint32_t thread, std::uint32_t i) const {
    return machine_.At<std::uint64_t>(out_)[thread * kWordsEach + i];
  }
  void ExpectOverflow(std::uint64_t argument = 0) {
    const auto fault = Run(argument);
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->status, kDeviceLaunchFailed);
    EXPECT_NE(fault->text.find("stack overflow"), std::string::npos) << fault->text;
    EXPECT_NE(fault->text.find("in kernel k, block (0,0,0), thread ("), std::string::npos) << fault->text;
  }
  Machine machine_;
  std::uint64_t out_ = 0;
};

// "The returned pointer ptr points to local memory"; it is "the lowest address of the memory allocated", and the stack
// "grows down".
TEST_F(Stack, MemoryOfEachLaneLiesBelowWhatItHas) {
  // 8 * (tid + 1) bytes, filled from end to end, then 24 more, filled with something else.
  Load(
      "add.u32 %r2, %r1, 1; mul.wide.u32 %rd4, %r2, 8; alloca.u64 %rd5, %rd4; mov.u64 %rd6, 0;\n"
      "FILL: add.u64 %rd7, %rd5, %rd6; shl.b64 %rd8, %rd6, 8; cvt.u64.u32 %rd9, %r1; add.u64 %rd8, %rd8, %rd9;\n"
      "st.local.u64 [%rd7], %rd8; add.u64 %rd6, %rd6, 8; setp.lt.u64 %p1, %rd6, %rd4; @%p1 bra FILL;\n"
      "mov.u64 %rd10, 24; alloca.u64 %rd11, %rd10; mov.u64 %rd12, -1; st.local.u64 [%rd11], %rd12; "
      "st.local.u64 [%rd11+8], %rd12; st.local.u64 [%rd11+16], %rd12;\n"
      "cvta.local.u64 %rd13, %rd5; mov.u64 %rd6, 0; mov.u64 %rd14, 0;\n"
      "SUM: add.u64 %rd7, %rd13, %rd6; ld.u64 %rd8, [%rd7]; mad.lo.u64 %rd14, %rd14, 3, %rd8; add.u64 %rd6, %rd6, 8; "
      "setp.lt.u64 %p1, %rd6, %rd4; @%p1 bra SUM;\n"
      "st.global.u64 [%rd3], %rd14; sub.u64 %rd15, %rd5, %rd11; st.global.u64 [%rd3+8], %rd15; "
      "st.global.u64 [%rd3+16], %rd13;\n");
  RunWell();
  std::set<std::uint64_t> places;
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i <= t; ++i) sum = sum * 3 + (i * 8 << 8) + t;
    EXPECT_EQ(Word(t, 0), sum) << t;
    EXPECT_GE(Word(t, 1), 24u) << t;
    EXPECT_LT(Word(t, 1), 64u) << t;
    places.insert(Word(t, 2));
  }
  EXPECT_EQ(places.size(), kThreads);  // each lane's own
}

// "a = max(immAlign, frame_align)"; the default is 8, "the minimum guaranteed alignment"; at most 2^23.
TEST_F(Stack, Alignment) {
  for (const std::uint32_t alignment : {0u, 1u, 4u, 8u, 16u, 64u, 256u, 4096u}) {
    const std::string given = alignment == 0 ? "" : ", " + std::to_string(alignment);
    Load("alloca.u64 %rd4, 5" + given + "; cvta.local.u64 %rd5, %rd4; alloca.u64 %rd6, %rd2" + given +
         "; cvta.local.u64 %rd7, %rd6; st.global.u64 [%rd3], %rd5; st.global.u64 [%rd3+8], %rd7; st.local.u8 [%rd4+4], "
         "%r1; st.local.u8 [%rd6], %r1;");
    RunWell(3);
    for (std::uint32_t t = 0; t < kThreads; ++t) {
      const std::uint64_t unit = std::max(alignment, 8u);
      EXPECT_EQ(Word(t, 0) % unit, 0u) << alignment;
      EXPECT_EQ(Word(t, 1) % unit, 0u) << alignment;
      EXPECT_GE(Word(t, 0) - Word(t, 1), 3u);
    }
    machine_.Reset();
  }
  for (const char* wrong : {"alloca.u64 %rd4, 8, 24;", "alloca.u64 %rd4, 8, 16777216;", "alloca.u64 %rd4, 8, %r1;",
                            "alloca.b64 %rd4, 8;", "alloca.u64 %rd4;", "stacksave.f64 %rd4;", "stackrestore.u64;"})
    EXPECT_EQ(machine_.Load(KernelText(wrong)).code(), Code::kUnsupported) << wrong;
}

// "stacksave copies the current value of stack pointer", which alloca has returned; stackrestore sets it: what was
// taken since is free again.
TEST_F(Stack, SaveAndRestore) {
  Load(
      "alloca.u64 %rd4, 40; stacksave.u64 %rd5; alloca.u64 %rd6, 16; stacksave.u64 %rd7; stackrestore.u64 %rd5; "
      "stacksave.u64 %rd8; alloca.u64 %rd9, 16; st.global.u64 [%rd3], %rd4; st.global.u64 [%rd3+8], %rd5; "
      "st.global.u64 [%rd3+16], %rd6; st.global.u64 [%rd3+24], %rd7; st.global.u64 [%rd3+32], %rd8; "
      "st.global.u64 [%rd3+40], %rd9;");
  RunWell();
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    EXPECT_EQ(Word(t, 1), Word(t, 0));
    EXPECT_EQ(Word(t, 3), Word(t, 2));
    EXPECT_EQ(Word(t, 4), Word(t, 0));
    EXPECT_EQ(Word(t, 5), Word(t, 2));
    EXPECT_EQ(Word(t, 0) - Word(t, 2), 16u);
  }
  // As long as it likes, where it gives back; without that the stack ends.
  const std::string loop =
      "mov.u32 %r2, 0; L: stacksave.u64 %rd5; alloca.u64 %rd6, 1000; st.local.u32 [%rd6], %r2; setp.ne.u64 %p2, %rd2, "
      "0; "
      "@%p2 stackrestore.u64 %rd5; add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, 1000; @%p1 bra L; st.global.u64 [%rd3], "
      "%rd5;";
  Load(loop);
  RunWell(1);
  Load(loop);
  ExpectOverflow(0);
}

// Addresses of 32 bits: the same of narrower registers.
TEST_F(Stack, ThirtyTwoBits) {
  // What lies there first differs from what is stored, whatever an earlier kernel has left.
  Load(
      "cvt.u32.u64 %r2, %rd2; alloca.u32 %r3, %r2, 16; stacksave.u32 %r4; alloca.u32 %r5, 20; st.local.b32 [%r5+16], "
      "-1; st.local.u32 [%r5+16], %r1; stackrestore.u32 %r4; stacksave.u32 %r6; alloca.u32 %r7, 20; ld.local.u32 %r8, "
      "[%r5+16];\n"
      "cvt.u64.u32 %rd4, %r3; cvt.u64.u32 %rd5, %r4; st.global.u64 [%rd3], %rd4; st.global.u64 [%rd3+8], %rd5; "
      "cvt.u64.u32 %rd4, %r5; cvt.u64.u32 %rd5, %r6; st.global.u64 [%rd3+16], %rd4; st.global.u64 [%rd3+24], %rd5; "
      "cvt.u64.u32 %rd4, %r7; cvt.u64.u32 %rd5, %r8; st.global.u64 [%rd3+32], %rd4; st.global.u64 [%rd3+40], %rd5;");
  RunWell(100);
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    EXPECT_EQ(Word(t, 0) % 16, 0u);
    EXPECT_EQ(Word(t, 1), Word(t, 0));
    EXPECT_EQ(Word(t, 0) - Word(t, 2), 24u);
    EXPECT_EQ(Word(t, 3), Word(t, 0));
    EXPECT_EQ(Word(t, 4), Word(t, 2));
    EXPECT_EQ(Word(t, 5), t);
  }
}

TEST_F(Stack, LanesThatAGuardExcludesTakeNothing) {
  Load(
      "stacksave.u64 %rd4; mov.u64 %rd5, 0; and.b32 %r2, %r1, 1; setp.eq.u32 %p1, %r2, 0; @%p1 alloca.u64 %rd5, 64; "
      "stacksave.u64 %rd6; setp.lt.u32 %p2, %r1, 32; @%p2 stackrestore.u64 %rd4; stacksave.u64 %rd7;\n"
      "sub.u64 %rd6, %rd4, %rd6; sub.u64 %rd7, %rd4, %rd7; st.global.u64 [%rd3], %rd5; st.global.u64 [%rd3+8], %rd6; "
      "st.global.u64 [%rd3+16], %rd7;");
  RunWell();
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    EXPECT_EQ(Word(t, 0) != 0, t % 2 == 0) << t;
    EXPECT_EQ(Word(t, 1), t % 2 == 0 ? 64u : 0u) << t;
    EXPECT_EQ(Word(t, 2), t % 2 == 0 && t >= 32 ? 64u : 0u) << t;
  }
}

TEST_F(Stack, OverflowIsAFault) {
  for (const std::uint64_t size : {std::uint64_t{1} << 20, std::uint64_t{1} << 32, std::uint64_t{1} << 63,
                                   ~std::uint64_t{0}, ~std::uint64_t{0} - 9}) {
    Load("alloca.u64 %rd4, %rd2; st.local.u32 [%rd4], %r1;");
    ExpectOverflow(size);
    Load("cvt.u32.u64 %r2, %rd2; setp.eq.u32 %p1, %r1, 40; @%p1 alloca.u32 %r3, -5;");
    ExpectOverflow(size);
    Load("alloca.u64 %rd4, 8, 8388608; add.u64 %rd4, %rd4, %rd2; alloca.u64 %rd5, %rd4, 8388608;");
    ExpectOverflow(size);
  }
  // What the program asks for.
  Load("alloca.u64 %rd4, %rd2; add.u64 %rd5, %rd4, %rd2; st.local.u8 [%rd5+-1], %r1; st.local.u8 [%rd4], %r1;");
  machine_.set_stack_bytes(8192);
  RunWell(8000);
  // A stack pointer that nobody saved.
  for (const std::uint64_t wrong : {std::uint64_t{0}, std::uint64_t{7}}) {
    Load("stackrestore.u64 %rd2; alloca.u64 %rd4, 64; st.local.u32 [%rd4], %r1;");
    ExpectOverflow(wrong);
  }
  Load("stackrestore.u64 %rd2; alloca.u64 %rd4, 64; st.local.u32 [%rd4+60], %r1;");
  RunWell(~std::uint64_t{0});
}

// Variables of frames, and frames of functions, are not what alloca gives.
TEST_F(Stack, FunctionsGiveBackWhatTheyTook) {
  constexpr const char* kFunctions =
      ".version 8.0\n.target sm_80\n.address_size 64\n"
      // Takes n words, fills them, returns their sum; early for 0 and, by its end, for 1.
      ".func (.param .b32 r) sum(.param .b32 n)\n{ .local .align 8 .b8 own[8]; .reg .b32 %r<8>; .reg .b64 %rd<8>; "
      ".reg .pred %p<3>; ld.param.u32 %r1, [n]; st.local.u32 [own], %r1; mul.wide.u32 %rd1, %r1, 4; alloca.u64 %rd2, "
      "%rd1; mov.u32 %r2, 0; st.param.b32 [r], %r2; setp.eq.u32 %p1, %r1, 0; @%p1 ret; mov.u64 %rd3, %rd2;\n"
      "F: st.local.u32 [%rd3], %r2; add.u64 %rd3, %rd3, 4; add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, %r1; @%p1 bra "
      "F;\n"
      "mov.u32 %r3, 0; S: sub.u64 %rd3, %rd3, 4; ld.local.u32 %r4, [%rd3]; add.u32 %r3, %r3, %r4; sub.u32 %r2, %r2, 1; "
      "setp.ne.u32 %p1, %r2, 0; @%p1 bra S; ld.local.u32 %r5, [own]; add.u32 %r3, %r3, %r5; st.param.b32 [r], %r3;\n"
      "setp.eq.u32 %p2, %r1, 1; @%p2 bra END; ret; END: }\n"
      // nest(n): takes n words with n in the last, and returns that and nest(n - 1).
      ".func (.param .b32 r) nest(.param .b32 n)\n{ .reg .b32 %r<8>; .reg .b64 %rd<8>; .reg .pred %p<3>; ld.param.u32 "
      "%r1, [n]; mov.u32 %r4, 0; setp.eq.u32 %p1, %r1, 0; @%p1 bra DONE; mul.wide.u32 %rd1, %r1, 4; alloca.u64 %rd2, "
      "%rd1; add.u64 %rd3, %rd2, %rd1; st.local.u32 [%rd3+-4], %r1; sub.u32 %r2, %r1, 1;\n"
      "{ .param .b32 a; st.param.b32 [a], %r2; .param .b32 q; call.uni (q), nest, (a); ld.param.b32 %r3, [q]; }\n"
      "ld.local.u32 %r4, [%rd3+-4]; add.u32 %r4, %r4, %r3; DONE: st.param.b32 [r], %r4; ret; }\n";
  const auto kernel = [&](const std::string& body) {
    std::string text = KernelText(OwnRow(body));
    return kFunctions + text.substr(text.find(".visible"));
  };
  // Many calls: none leaves anything behind; and the kernel's own memory stays as it was.
  LoadText(kernel(
      "alloca.u64 %rd4, 16; st.local.u32 [%rd4+12], %r1; stacksave.u64 %rd5; mov.u32 %r2, 0; mov.u32 %r3, 0;\n"
      "L: and.b32 %r4, %r1, 7; { .param .b32 a; .param .b32 q; st.param.b32 [a], %r4; call.uni (q), sum, (a); "
      "ld.param.b32 %r5, [q]; } add.u32 %r3, %r3, %r5; add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, 2000; @%p1 bra L;\n"
      "stacksave.u64 %rd6; sub.u64 %rd6, %rd5, %rd6; ld.local.u32 %r6, [%rd4+12]; cvt.u64.u32 %rd7, %r3; cvt.u64.u32 "
      "%rd8, %r6; st.global.u64 [%rd3], %rd7; st.global.u64 [%rd3+8], %rd6; st.global.u64 [%rd3+16], %rd8;"));
  RunWell();
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    const std::uint32_t n = t % 8;
    EXPECT_EQ(Word(t, 0), 2000 * (n == 0 ? 0 : n * (n - 1) / 2 + n)) << t;
    EXPECT_EQ(Word(t, 1), 0u) << t;
    EXPECT_EQ(Word(t, 2), t);
  }
  const std::string nest =
      "add.u32 %r4, %r1, %r9; { .param .b32 a; .param .b32 q; st.param.b32 [a], %r4; call.uni (q), nest, (a); "
      "ld.param.b32 %r5, [q]; } cvt.u64.u32 %rd7, %r5; st.global.u64 [%rd3], %rd7;";
  LoadText(kernel("cvt.u32.u64 %r9, %rd2; stacksave.u64 %rd5; " + nest +
                  "stacksave.u64 %rd6; sub.u64 %rd6, %rd5, %rd6; st.global.u64 [%rd3+8], %rd6;"));
  RunWell();
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    EXPECT_EQ(Word(t, 0), t * (t + 1) / 2) << t;
    EXPECT_EQ(Word(t, 1), 0u) << t;
  }
  ExpectOverflow(1000);
  // Frames do not grow into what was taken.
  LoadText(kernel("mov.u32 %r9, 20; stackrestore.u64 %rd2; " + nest));
  ExpectOverflow(64);
}

}  // namespace
}  // namespace accelmesh::tier0
