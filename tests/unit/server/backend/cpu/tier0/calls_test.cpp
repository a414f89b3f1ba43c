// tier0/call.cpp, call_graph.cpp and runtime_calls.cpp: calls of device functions by name and through pointers,
// recursion and its limit, failed assertions, malloc and free.
#include <cstring>

#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

constexpr const char* kCallHeader =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".extern .func (.param .b64 r) malloc (.param .b64 a);\n.extern .func free (.param .b64 a);\n"
    ".extern .func __assertfail (.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e) "
    ".noreturn;\n";
// A kernel that stores what `body` leaves in %r2, starting from thread index in %r1 and the second argument in %rd2.
std::string KernelAround(const std::string& body) {
  return ".visible .entry k(.param .u64 out, .param .u64 b)\n{ .reg .b32 %r<8>; .reg .b64 %rd<8>; .reg .pred %p<4>;\n"
         "ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [b]; mov.u32 %r1, %tid.x; mov.u32 %r2, 0;\n" +
         body + "\nmad.wide.u32 %rd3, %r1, 4, %rd1; st.global.u32 [%rd3], %r2; ret; }\n";
}
// %r2 = name(%r1)
std::string CallOf(const std::string& name) {
  return "{ .param .b32 a; .param .b32 r; st.param.b32 [a], %r1; call.uni (r), " + name +
         ", (a); ld.param.b32 %r2, [r]; }";
}

class Calls : public testing::Test {
 protected:
  void Load(const std::string& functions, const std::string& body) {
    const Status loaded = machine_.Load(kCallHeader + functions + KernelAround(body));
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  }
  std::optional<Fault> RunThreads(std::uint32_t threads, std::uint64_t argument = 0) {
    out_ = machine_.Allocate(4096);
    return machine_.Run({}, {threads, 1, 1}, {out_, argument});
  }
  std::vector<std::uint32_t> Words(std::uint32_t threads, std::uint64_t argument = 0) {
    const auto fault = RunThreads(threads, argument);
    EXPECT_FALSE(fault.has_value()) << fault->text;
    return {machine_.At<std::uint32_t>(out_), machine_.At<std::uint32_t>(out_) + threads};
  }
  Machine machine_;
  std::uint64_t out_ = 0;
};

TEST_F(Calls, CallsDeviceFunctions) {
  // twice(x) and, through it, both(x, y) = twice(x) + twice(y) + a constant that only lane 5's path sees.
  const std::string text =
      std::string(kCallHeader) +
      ".func (.param .b32 result) twice(.param .b32 x)\n{ .reg .b32 %r<3>; .reg .pred %p<2>;\n"
      "ld.param.u32 %r1, [x]; setp.eq.u32 %p1, %r1, 5; @%p1 bra FIVE; shl.b32 %r2, %r1, 1;\n"
      "st.param.b32 [result], %r2; ret; FIVE: st.param.b32 [result], 1000; ret; }\n"
      ".visible .func (.param .b64 result) both(.param .b32 x, .param .align 8 .b8 y[8])\n{\n"
      ".reg .b32 %r<6>; .reg .b64 %rd<3>; .shared .align 4 .b8 seen[4];\n"
      "ld.param.u32 %r1, [x]; ld.param.u32 %r2, [y+4];\n"
      "{ .param .b32 p0; st.param.b32 [p0], %r1; .param .b32 q0; call.uni (q0), twice, (p0); ld.param.b32 %r3, [q0]; "
      "}\n"
      "{ .param .b32 p0; st.param.b32 [p0], %r2; .param .b32 q0; call (q0), twice, (p0); ld.param.b32 %r4, [q0]; }\n"
      "atom.shared.add.u32 %r5, [seen], 0; add.u32 %r3, %r3, %r4; cvt.u64.u32 %rd1, %r3; st.param.b64 [result], %rd1; "
      "ret; }\n"
      ".visible .entry k(.param .u64 out)\n{ .reg .b32 %r<5>; .reg .b64 %rd<5>; .reg .pred %p<2>;\n"
      "ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; add.u32 %r2, %r1, 1; setp.lt.u32 %p1, %r1, 20; mov.u64 %rd2, "
      "77;\n"
      "{ .param .b32 a; .param .align 8 .b8 b[8]; .param .b64 r; st.param.b32 [a], %r1; st.param.b32 [b+4], %r2;\n"
      "@%p1 call.uni (r), both, (a, b); @%p1 ld.param.b64 %rd2, [r]; }\n"
      "mad.wide.u32 %rd3, %r1, 8, %rd1; st.global.u64 [%rd3], %rd2; ret; }\n";
  const Status loaded = machine_.Load(text);
  ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  EXPECT_EQ(machine_.module().kernels[0].static_shared_bytes, 4u);  // of the function it calls
  const std::uint64_t out = machine_.Allocate(40 * 8);
  const auto fault = machine_.Run({}, {40, 1, 1}, {out});
  ASSERT_FALSE(fault.has_value()) << fault->text;
  const auto twice = [](std::uint64_t x) { return x == 5 ? 1000 : 2 * x; };
  for (std::uint64_t t = 0; t < 40; ++t)
    EXPECT_EQ(machine_.At<std::uint64_t>(out)[t], t < 20 ? twice(t) + twice(t + 1) : 77) << t;
}

std::uint32_t Fibonacci(std::uint32_t n) { return n < 2 ? n : Fibonacci(n - 1) + Fibonacci(n - 2); }

constexpr const char* kFibonacci =
    ".func (.param .b32 r) fib(.param .b32 n)\n{ .reg .b32 %r<8>; .reg .pred %p<2>; ld.param.u32 %r1, [n];\n"
    "mov.u32 %r2, %r1; setp.lt.u32 %p1, %r1, 2; @%p1 bra DONE; sub.u32 %r3, %r1, 1;\n"
    "{ .param .b32 a; st.param.b32 [a], %r3; .param .b32 q; call.uni (q), fib, (a); ld.param.b32 %r4, [q]; }\n"
    "sub.u32 %r3, %r1, 2;\n"
    "{ .param .b32 a; st.param.b32 [a], %r3; .param .b32 q; call.uni (q), fib, (a); ld.param.b32 %r5, [q]; }\n"
    "add.u32 %r2, %r4, %r5; DONE: st.param.b32 [r], %r2; ret; }\n";

// Lanes of a warp are at different depths, and each has registers of its own there.
TEST_F(Calls, Recursion) {
  Load(kFibonacci, CallOf("fib"));
  const auto got = Words(24);
  for (std::uint32_t t = 0; t < 24; ++t) EXPECT_EQ(got[t], Fibonacci(t)) << t;
}

// even(n) = n == 0 or odd(n - 1), and the reverse; the predicate that guards each call holds another value when it
// comes back.
TEST_F(Calls, MutualRecursionUnderAGuard) {
  const auto function = [](const std::string& name, const std::string& other, int at_zero) {
    return ".func (.param .b32 r) " + name +
           "(.param .b32 n)\n{ .reg .b32 %r<4>; .reg .pred %p<3>; ld.param.u32 %r1, [n]; mov.u32 %r2, " +
           std::to_string(at_zero) + "; setp.ne.u32 %p1, %r1, 0; sub.u32 %r3, %r1, 1;\n" +
           "{ .param .b32 a; .param .b32 q; st.param.b32 [a], %r3; @%p1 call (q), " + other +
           ", (a); @%p1 ld.param.b32 %r2, [q]; } st.param.b32 [r], %r2; ret; }\n";
  };
  Load(".func (.param .b32 r) odd(.param .b32 n);\n" + function("even", "odd", 1) + function("odd", "even", 0),
       CallOf("even"));
  const auto got = Words(64);
  for (std::uint32_t t = 0; t < 64; ++t) EXPECT_EQ(got[t], t % 2 == 0 ? 1u : 0u) << t;
}

// Each activation has variables of its own, which those below it reach through pointers.
TEST_F(Calls, FramesAreDistinct) {
  // sum(n, p): own = n + *p; returns own + sum(n - 1, &own), or own at 0, where own of each level adds up.
  const std::string function =
      ".func (.param .b32 r) sum(.param .b32 n, .param .b64 p)\n{ .local .align 8 .b8 depot[16]; .reg .b64 %SP, %SPL;\n"
      ".reg .b32 %r<8>; .reg .b64 %rd<4>; .reg .pred %p<2>; mov.u64 %SPL, depot; cvta.local.u64 %SP, %SPL;\n"
      "ld.param.u32 %r1, [n]; ld.param.u64 %rd1, [p]; ld.u32 %r2, [%rd1]; add.u32 %r2, %r2, %r1;\n"
      "st.local.u32 [%SPL+4], %r2; add.u64 %rd2, %SP, 4; mov.u32 %r4, 0; setp.eq.u32 %p1, %r1, 0; @%p1 bra DONE;\n"
      "sub.u32 %r3, %r1, 1; { .param .b32 a; .param .b64 b; .param .b32 q; st.param.b32 [a], %r3; st.param.b64 [b], "
      "%rd2; call.uni (q), sum, (a, b); ld.param.b32 %r4, [q]; }\n"
      "DONE: ld.local.u32 %r5, [depot+4]; add.u32 %r5, %r5, %r4; st.param.b32 [r], %r5; ret; }\n";
  Load(function,
       "{ .param .b32 a; .param .b64 b; .param .b32 q; st.param.b32 [a], %r1; st.param.b64 [b], %rd2; call.uni (q), "
       "sum, "
       "(a, b); ld.param.b32 %r2, [q]; }");
  const std::uint64_t hundred = machine_.Allocate(4);
  *machine_.At<std::uint32_t>(hundred) = 100;
  const auto got = Words(30, hundred);
  for (std::uint32_t t = 0; t < 30; ++t) {
    std::uint32_t own = 100;
    std::uint32_t sum = 0;
    for (std::uint32_t n = t + 1; n-- > 0;) sum += own += n;
    EXPECT_EQ(got[t], sum) << t;
  }
}

TEST_F(Calls, StackOverflowIsAFault) {
  Load(
      ".func (.param .b32 r) deep(.param .b32 n)\n{ .reg .b32 %r<4>; ld.param.u32 %r1, [n]; add.u32 %r1, %r1, 1;\n"
      "{ .param .b32 a; .param .b32 q; st.param.b32 [a], %r1; call.uni (q), deep, (a); ld.param.b32 %r2, [q]; }\n"
      "st.param.b32 [r], %r2; ret; }\n",
      CallOf("deep"));
  for (const std::uint32_t limit : {1024u, 65536u, 0x7fffffffu}) {
    machine_.set_stack_bytes(limit);
    const auto fault = RunThreads(64);
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->status, kDeviceLaunchFailed);
    EXPECT_NE(fault->text.find("stack overflow"), std::string::npos) << fault->text;
    EXPECT_NE(fault->text.find("in kernel k, block (0,0,0), thread ("), std::string::npos) << fault->text;
    EXPECT_NE(fault->text.find(std::to_string(limit) + " bytes"), std::string::npos) << fault->text;
  }
}

// A limit that is raised allows deeper calls.
TEST_F(Calls, TheStackLimitIsThePrograms) {
  const std::string function =
      ".func (.param .b32 r) count(.param .b32 n)\n{ .local .align 8 .b8 room[256]; .reg .b32 %r<4>; .reg .pred %p<2>; "
      "ld.param.u32 %r1, [n]; st.local.u32 [room+252], %r1; mov.u32 %r2, 0; setp.eq.u32 %p1, %r1, 0; @%p1 bra DONE;\n"
      "sub.u32 %r3, %r1, 1; { .param .b32 a; .param .b32 q; st.param.b32 [a], %r3; call.uni (q), count, (a); "
      "ld.param.b32 %r2, [q]; }\nadd.u32 %r2, %r2, 1; DONE: st.param.b32 [r], %r2; ret; }\n";
  Load(function,
       "{ .param .b32 a; .param .b32 r; cvt.u32.u64 %r3, %rd2; st.param.b32 [a], %r3; call.uni (r), count, "
       "(a); ld.param.b32 %r2, [r]; }");
  EXPECT_TRUE(RunThreads(32, 300).has_value());
  machine_.set_stack_bytes(16384);
  EXPECT_EQ(Words(32, 300)[31], 300u);
}

// Endless recursion that never grows the stack: fib(60) ends only because it is cancelled.
TEST_F(Calls, CallsCountAsJumpsBack) {
  Load(kFibonacci, "mov.u32 %r1, 60;" + CallOf("fib"));
  machine_.cancel().store(true);
  EXPECT_FALSE(RunThreads(32).has_value());
}

constexpr const char* kOperations =
    ".func (.param .b32 r) one(.param .b32 x)\n{ .reg .b32 %r<3>; ld.param.u32 %r1, [x]; add.u32 %r2, %r1, 1; "
    "st.param.b32 [r], %r2; ret; }\n"
    ".func (.param .b32 r) two(.param .b32 x)\n{ .reg .b32 %r<3>; ld.param.u32 %r1, [x]; mul.lo.u32 %r2, %r1, 2; "
    "st.param.b32 [r], %r2; ret; }\n"
    ".func (.param .b32 r) bad(.param .b32 x)\n{ frobnicate; ret; }\n"
    ".func (.param .b64 r) wide(.param .b32 x)\n{ st.param.b64 [r], 7; ret; }\n"
    ".global .align 8 .u64 table[5] = {one, two, bad, wide, one};\n";
constexpr const char* kCallPointer =
    "{ .param .b32 a; .param .b32 r; st.param.b32 [a], %r1; P: .callprototype (.param .b32 _) _ (.param .b32 _);\n"
    "call (r), %rd4, (a), P; ld.param.b32 %r2, [r]; }";

TEST_F(Calls, TablesOfFunctions) {
  Load(kOperations, std::string("mov.u64 %rd5, table; and.b32 %r3, %r1, 1; mad.wide.u32 %rd5, %r3, 8, %rd5; "
                                "ld.global.u64 %rd4, [%rd5];\n") +
                        kCallPointer);
  const auto got = Words(64);
  for (std::uint32_t t = 0; t < 64; ++t) EXPECT_EQ(got[t], t % 2 == 0 ? t + 1 : 2 * t) << t;
}

// A pointer that one kernel made, or the host read, is the same in another.
TEST_F(Calls, PointersOutliveTheirKernel) {
  const std::string text =
      kCallHeader + std::string(kOperations) +
      ".visible .entry take(.param .u64 out)\n{ .reg .b64 %rd<3>; ld.param.u64 %rd1, [out]; mov.u64 "
      "%rd2, two; st.global.u64 [%rd1], %rd2; ret; }\n" +
      KernelAround(std::string("mov.u64 %rd4, %rd2;\n") + kCallPointer);
  ASSERT_TRUE(machine_.Load(text, 0).ok());
  const std::uint64_t place = machine_.Allocate(8);
  ASSERT_FALSE(machine_.Run({}, {}, {place}).has_value());
  const std::uint64_t pointer = *machine_.At<std::uint64_t>(place);
  EXPECT_EQ(pointer, machine_.module().FunctionAddress(machine_.module().function.at("two")));
}

TEST_F(Calls, PointersThatLeadNowhere) {
  Load(kOperations, std::string("mov.u64 %rd4, %rd2;\n") + kCallPointer);
  const ptx::Module& module = machine_.module();
  const auto address = [&](const char* name) { return module.FunctionAddress(module.function.at(name)); };
  EXPECT_EQ(Words(32, address("two"))[20], 40u);
  for (const std::uint64_t wrong :
       {std::uint64_t{0}, std::uint64_t{8}, address("one") + 1, ~std::uint64_t{0}, address("wide")}) {
    const auto fault = RunThreads(32, wrong);
    ASSERT_TRUE(fault.has_value()) << wrong;
    EXPECT_EQ(fault->status, kDeviceInvalidPc) << fault->text;
  }
  // What the software GPU cannot read fails where it is called, not the kernel that might.
  const auto fault = RunThreads(32, address("bad"));
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->status, kDeviceNotSupported);
  EXPECT_NE(fault->text.find("frobnicate"), std::string::npos) << fault->text;
}

// Through a pointer to itself: circles are found there, too.
TEST_F(Calls, RecursionThroughPointers) {
  Load(
      ".func (.param .b32 r) down(.param .b32 n);\n.global .align 8 .u64 self[1] = {down};\n"
      ".func (.param .b32 r) down(.param .b32 n)\n{ .reg .b32 %r<4>; .reg .b64 %rd<2>; .reg .pred %p<2>; ld.param.u32 "
      "%r1, [n]; mov.u32 %r2, 0; setp.eq.u32 %p1, %r1, 0; @%p1 bra DONE; ld.global.u64 %rd1, [self]; sub.u32 %r3, %r1, "
      "1;\n{ .param .b32 a; .param .b32 q; st.param.b32 [a], %r3; P: .callprototype (.param .b32 _) _ (.param .b32 "
      "_);\n"
      "call (q), %rd1, (a), P; ld.param.b32 %r2, [q]; } add.u32 %r2, %r2, %r1; DONE: st.param.b32 [r], %r2; ret; }\n",
      CallOf("down"));
  const auto got = Words(40);
  for (std::uint32_t t = 0; t < 40; ++t) EXPECT_EQ(got[t], t * (t + 1) / 2) << t;
}

TEST_F(Calls, RefusesCallsThatItCannotMake) {
  const std::string kernel = ".visible .entry k()\n{ .reg .b64 %rd<2>; .reg .b32 %r<2>; .param .b32 v;\n";
  const auto refused = [&](const std::string& functions, const std::string& call, const char* why) {
    const Status loaded = machine_.Load(std::string(kCallHeader) + functions + kernel + call + " ret; }\n");
    EXPECT_EQ(loaded.code(), Code::kUnsupported) << call;
    EXPECT_NE(loaded.ToString().find(why), std::string::npos) << loaded.ToString();
  };
  refused(".func a()\n{ frobnicate; ret; }\n", "call a;", "frobnicate");
  // In a circle, found only after its caller was decoded.
  refused(".func b();\n.func a()\n{ call b; ret; }\n.func b()\n{ call a; frobnicate; ret; }\n", "call a;",
          "frobnicate");
  refused("", "call calloc;", "does not define the function");
  refused("", "call malloc;", "the parameters are off");
  refused("", "call malloc, (v);", "the parameters are off");
  refused("", "call %rd1, ();", "needs a prototype");
  refused("", "proto: .callprototype _ (.reg .b32 _); call %rd1, (v), proto;", "prototype cannot be read");
  refused("", "proto: .calltargets k; call %rd1, (v), proto;", "no function that can be called");
  refused("", "proto: .callprototype _ (); call %rd1, (v), proto;", "number of parameters");
  refused("", "proto: .callprototype _ (.param .b32 _); call %rd1, (%r1), proto;", "only .param variables");
  refused("", "call 7, (v);", "an operand is not one of a call");
  refused(".func a(.param .b32 x)\n{ ret; }\n", "call a;", "number of parameters");
  // A function that nobody calls may be as strange as it likes.
  const Status loaded =
      machine_.Load(std::string(kCallHeader) + ".func a()\n{ frobnicate %x; }\n" + kernel + "ret; }\n");
  EXPECT_TRUE(loaded.ok()) << loaded.ToString();
}

// More functions than any stack of ours could follow, one inside the other.
TEST_F(Calls, LongChains) {
  std::string functions = ".func (.param .b32 r) f0(.param .b32 n)\n{ st.param.b32 [r], 5; ret; }\n";
  constexpr int kLength = 2000;
  for (int i = 1; i < kLength; ++i) {
    functions +=
        ".func (.param .b32 r) f" + std::to_string(i) +
        "(.param .b32 n)\n{ .reg .b32 %r<3>; ld.param.u32 %r1, [n]; { .param .b32 a; .param .b32 q; st.param.b32 "
        "[a], %r1; call (q), f" +
        std::to_string(i - 1) +
        ", (a); ld.param.b32 %r2, [q]; } add.u32 %r2, %r2, 1; "
        "st.param.b32 [r], %r2; ret; }\n";
  }
  Load(functions, CallOf("f" + std::to_string(kLength - 1)));
  EXPECT_EQ(Words(1)[0], 5u + kLength - 1);
}

// Every thread that fails says so, in CUDA's words.
TEST_F(Calls, FailedAssertionsAreFaults) {
  Load(
      ".global .align 1 .b8 what[6] = {120, 32, 62, 32, 48, 0};\n.global .align 1 .b8 file[5] = {107, 46, 99, 117, "
      "0};\n"
      ".global .align 1 .b8 function[7] = {118, 111, 105, 100, 32, 102, 0};\n",
      "mov.u32 %r3, %tid.z; mov.u32 %r4, %tid.y; mad.lo.u32 %r3, %r3, 2, %r4; mad.lo.u32 %r3, %r3, 6, %r1; setp.lt.u32 "
      "%p1, %r3, 34; @%p1 bra FINE; mov.u64 %rd4, what; mov.u64 %rd5, file; mov.u64 %rd6, function;\n"
      "{ .param .b64 a; .param .b64 b; .param .b32 c; .param .b64 d; .param .b64 e; st.param.b64 [a], %rd4; "
      "st.param.b64 [b], %rd5; st.param.b32 [c], 42; st.param.b64 [d], %rd6; st.param.b64 [e], 1;\n"
      "call.uni __assertfail, (a, b, c, d, e); } FINE:");
  const auto fault = machine_.Run({2, 1, 1}, {6, 2, 3}, {machine_.Allocate(4096)});
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->status, kDeviceAssert);
  EXPECT_NE(fault->text.find("k.cu:42: assertion `x > 0` failed in kernel k, block (0,0,0), thread (4,1,2)"),
            std::string::npos)
      << fault->text;
  EXPECT_EQ(machine_.complained(),
            "k.cu:42: void f: block: [0,0,0], thread: [4,1,2] Assertion `x > 0` failed.\n"
            "k.cu:42: void f: block: [0,0,0], thread: [5,1,2] Assertion `x > 0` failed.\n");
}

TEST_F(Calls, TrapsAndBreakpoints) {
  for (const char* body : {"trap;", "brkpt;"}) {
    Load("", std::string("setp.eq.u32 %p1, %r1, 40; @%p1 ") + body);
    const auto fault = RunThreads(64);
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->status, kDeviceLaunchFailed);
    EXPECT_NE(fault->text.find("thread (40,0,0)"), std::string::npos) << fault->text;
  }
}

// Pieces of the heap do not overlap, are given out again, and there are no more than there is room for.
TEST_F(Calls, MallocAndFree) {
  const std::string allocate =
      "{ .param .b64 n; .param .b64 q; st.param.b64 [n], %rd2; call.uni (q), malloc, (n); ld.param.b64 %rd4, [q]; }\n";
  const std::string give_back = "{ .param .b64 n; st.param.b64 [n], %rd4; call.uni free, (n); }\n";
  Load("", allocate +
               "st.u32 [%rd4], %r1; bar.sync 0; ld.u32 %r2, [%rd4]; and.b64 %rd5, %rd4, 15; cvt.u32.u64 %r3, %rd5; "
               "add.u32 %r2, %r2, %r3;\n" +
               give_back);
  for (int round = 0; round < 3; ++round) {
    const auto got = Words(256, Machine::kHeapBytes / 256);
    for (std::uint32_t t = 0; t < 256; ++t) ASSERT_EQ(got[t], t);
    machine_.Reset();
  }
  Load("", allocate + "setp.ne.u64 %p1, %rd4, 0; @%p1 add.u32 %r2, %r2, 1;");
  for (const std::uint64_t much : {Machine::kHeapBytes + 1, std::uint64_t{1} << 63, ~std::uint64_t{0}})
    EXPECT_EQ(Words(1, much)[0], 0u) << much;
  EXPECT_EQ(Words(1, Machine::kHeapBytes)[0], 1u);  // all, at last, was given back
  EXPECT_EQ(Words(1, 1)[0], 0u);
  for (const char* pointer : {"add.u64 %rd4, %rd2, 16;", "mov.u64 %rd4, 16;"}) {
    Load("", pointer + give_back);
    const auto fault = RunThreads(1);
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->status, kDeviceLaunchFailed);
  }
  Load("", "mov.u64 %rd4, 0;" + give_back);
  EXPECT_FALSE(RunThreads(32).has_value());
}

}  // namespace
}  // namespace accelmesh::tier0
