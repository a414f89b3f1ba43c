// Blocks that run as a sweep (tier1/sweep.h) against tier 0, bit by bit: what is swept, what is not, and where a block
// falls back to the ordinary code.
#include <algorithm>
#include <random>

#include "server/backend/cpu/jit.h"
#include "server/backend/cpu/tier0/compiled.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh {
namespace {

using tier0::KernelText;
using tier0::Machine;

constexpr std::uint64_t kWords = 1 << 15;

struct Shape {
  Dim3 grid;
  Dim3 block;
};
constexpr std::uint32_t kCount = 1000;  // %rd3: elements; some threads of some shapes lie behind them
const std::vector<Shape>& Shapes() {
  static const std::vector<Shape> shapes{
      {{1, 1, 1}, {32, 1, 1}},   {{5, 1, 1}, {64, 1, 1}},    {{4, 1, 1}, {256, 1, 1}}, {{9, 1, 1}, {96, 1, 1}},
      {{2, 1, 1}, {512, 1, 1}},  {{5, 1, 1}, {40, 1, 1}},    {{3, 2, 2}, {64, 1, 1}},  {{3, 1, 1}, {32, 3, 1}},
      {{1, 1, 1}, {1024, 1, 1}}, {{200, 1, 1}, {128, 1, 1}}, {{2, 2, 1}, {16, 16, 1}}};
  return shapes;
}

struct Ending {
  std::vector<std::uint32_t> memory;
  std::string fault;
  bool sweeps = false;
};
// In each shape. The text's parameters: memory, behind all that is allowed, kCount, `flag`.
std::vector<Ending> RunText(int tier, const std::string& text, const std::vector<Shape>& shapes, std::uint64_t flag) {
  static Jit jit({JitMode::kAlways, ACCELMESH_TIER1_PATH, "off"});
  std::vector<Ending> endings;
  Machine machine;
  if (tier == 1) machine.set_compiler(&jit);
  const Status loaded = machine.Load(text);
  EXPECT_TRUE(loaded.ok()) << loaded.ToString() << text;
  for (const Shape& shape : shapes) {
    if (!loaded.ok()) break;
    Ending& ending = endings.emplace_back();
    machine.Reset();
    const std::uint64_t memory = machine.Allocate(2 * kWords * 4);
    for (std::uint64_t i = 0; i < kWords; ++i)
      machine.At<std::uint32_t>(memory)[i] = static_cast<std::uint32_t>(i * 2654435761u);
    // The end of what a kernel may touch.
    const std::uint64_t end = machine.forbidden() - (4 << 20);
    const auto fault = machine.Run(shape.grid, shape.block, {memory, end, kCount, flag});
    if (fault.has_value())
      ending.fault =
          fault->text.substr(0, fault->text.find(" 0x")) + fault->text.substr(fault->text.find(" in kernel"));
    ending.memory.assign(machine.At<std::uint32_t>(memory), machine.At<std::uint32_t>(memory) + kWords);
    if (tier == 1 && machine.compiled(true) != nullptr) ending.sweeps = machine.compiled(true)->sweep != nullptr;
  }
  return endings;
}
// Whether the kernel was compiled for sweeps in one of the shapes.
bool ExpectTiersEqual(const std::string& text, const std::vector<Shape>& shapes, std::uint64_t flag) {
  const std::vector<Ending> expected = RunText(0, text, shapes, flag);
  const std::vector<Ending> got = RunText(1, text, shapes, flag);
  EXPECT_EQ(expected.size(), got.size());
  bool swept = false;
  for (std::size_t i = 0; i < std::min(expected.size(), got.size()); ++i) {
    const std::string where = text + "\nshape " + std::to_string(i);
    EXPECT_EQ(expected[i].fault, got[i].fault) << where;
    for (std::size_t word = 0; word < kWords; ++word) {
      if (expected[i].memory[word] == got[i].memory[word]) continue;
      ADD_FAILURE() << where << ", word " << word << ": " << expected[i].memory[word] << ", " << got[i].memory[word];
      break;
    }
    swept = swept || got[i].sweeps;
  }
  return swept;
}
// Of a body, in which the parameters are %rd1 to %rd4.
void ExpectSame(const std::string& body, bool sweeps = true, std::uint64_t flag = 1) {
  EXPECT_EQ(ExpectTiersEqual(KernelText(body), Shapes(), flag), sweeps) << body;
}

// %r3: the thread's index in the grid, which wraps so that all stay in memory; %rd5: its word; %rd6: another one.
constexpr const char* kIndex = "mov.u32 %r2, %ctaid.x; mov.u32 %r5, %ntid.x; mad.lo.s32 %r3, %r2, %r5, %r1;\n";
constexpr const char* kWord =
    "mul.wide.s32 %rd7, %r3, 4; add.s64 %rd5, %rd1, %rd7; add.s64 %rd6, %rd5, 0x8000; cvt.u32.u64 %r6, %rd3;\n";
std::string Own(const std::string& body) { return std::string(kIndex) + kWord + body; }
constexpr const char* kIfInside = "setp.ge.s32 %p1, %r3, %r6; @%p1 bra END;\n";
constexpr const char* kStore = "st.global.u32 [%rd5], %r4; END:\n";

TEST(Sweep, ReadsComputesAndWrites) {
  ExpectSame(Own(std::string(kIfInside) +
                 "ld.global.f32 %f1, [%rd5]; ld.global.f32 %f2, [%rd6]; fma.rn.f32 %f3, %f1, 0f3FC00000, %f2; "
                 "st.global.f32 [%rd5], %f3; END:\n"));
  ExpectSame(Own(std::string(kIfInside) +
                 "ld.global.u32 %r4, [%rd6]; cvt.rn.f32.s32 %f1, %r3; cvt.rn.f32.u32 %f2, %r4; mul.rn.f32 %f1, %f1, "
                 "%f2; setp.gt.f32 %p2, %f1, 0f4E000000; selp.u32 %r4, %r3, %r4, %p2; shr.u32 %r7, %r4, %r1; "
                 "xor.b32 %r4, %r4, %r7;\n" +
                 kStore));
  // Doubles and 64 bits, from narrower ones.
  ExpectSame(Own(std::string(kIfInside) +
                 "ld.global.s32 %r4, [%rd6]; cvt.s64.s32 %rd8, %r4; mul.lo.s64 %rd8, %rd8, %rd7; cvt.rn.f64.s64 %fd1, "
                 "%rd8; sqrt.rn.f64 %fd1, %fd1; cvt.rzi.s32.f64 %r4, %fd1;\n" +
                 kStore));
}
TEST(Sweep, AccessesOfEveryKind) {
  const std::string inside = kIfInside;
  for (const char* access :
       {"ld.global.u8 %r4, [%rd8]", "ld.global.s8 %r4, [%rd8]", "ld.global.s16 %r4, [%rd8+2]",
        "ld.global.v2.u32 {%r4, %r7}, [%rd8]; add.u32 %r4, %r4, %r7",
        "ld.global.v4.u32 {%r4, %r7, %r8, %r9}, [%rd8+64]; mad.lo.u32 %r4, %r4, %r7, %r8; xor.b32 %r4, %r4, %r9",
        "ld.global.u64 %rd9, [%rd8]; cvt.u32.u64 %r4, %rd9", "ld.global.u32 %r4, [%rd8+4]",
        "mov.u32 %r4, %r3; st.global.u8 [%rd8], %r4", "mov.u32 %r4, 7; st.global.v2.u32 [%rd8], {%r4, %r3}",
        "mov.u32 %r4, %r3; st.global.u64 [%rd8], %rd7"}) {
    for (const int scale : {1, 2, 4, 8, 12, 16, -4, -8}) {
      // What is not a vector, nor can be gathered, is not swept.
      const std::string address = "mad.wide.s32 %rd8, %r3, " + std::to_string(scale) + ", %rd1; add.s64 %rd8, %rd8, " +
                                  std::to_string(scale < 0 ? 0x10000 : 0) + ";\n";
      const std::string body = Own(inside + address + access + ";\n" + kStore);
      ExpectTiersEqual(KernelText(body), {Shapes()[1], Shapes()[2], Shapes()[3]}, 1);
    }
  }
}
TEST(Sweep, OrderOfWarps) {
  // Each warp reads what the one before it has written, and thread 0 writes the word that all read.
  ExpectSame(
      Own("ld.global.u32 %r7, [%rd1]; ld.global.u32 %r4, [%rd5+128]; add.u32 %r4, %r4, %r7; "
          "st.global.u32 [%rd5], %r4;\n"));
  ExpectSame(
      Own("ld.global.u32 %r4, [%rd5]; st.global.u32 [%rd5+128], %r4; ld.global.u32 %r7, [%rd5+64]; "
          "st.global.u32 [%rd6], %r7;\n"));
}
TEST(Sweep, GuardsThatDifferFromLaneToLane) {
  ExpectSame(Own(std::string(kIfInside) +
                 "ld.global.u32 %r4, [%rd6]; and.b32 %r7, %r4, 3; setp.eq.u32 %p2, %r7, 1; mov.u32 %r8, 5;\n"
                 "@%p2 ld.global.u32 %r8, [%rd5+4096]; @!%p2 add.u32 %r4, %r4, %r8; setp.ne.and.u32 %p3, %r7, 2, %p2;\n"
                 "@%p3 st.global.u32 [%rd6+64], %r8; xor.b32 %r4, %r4, %r8;\n" +
                 kStore));
}
TEST(Sweep, GuardsThatAllThreadsHaveInCommon) {
  const std::string compute = "mov.u32 %r4, 9; setp.lt.s32 %p2, %r3, %r6; ";
  ExpectSame(Own(compute + "@%p2 ld.global.u32 %r4, [%rd6]; add.u32 %r4, %r4, 3; @%p2 st.global.u32 [%rd5], %r4;\n"));
  ExpectSame(Own(compute + "@%p2 ld.global.u32 %r4, [%rd6]; @!%p2 add.u32 %r4, %r4, 3; st.global.u32 [%rd5], %r4;\n"));
  ExpectSame(Own("mov.u32 %r4, 9; cvt.u32.u64 %r7, %rd4; setp.ne.u32 %p2, %r7, 0; @!%p2 bra N; add.u32 %r4, %r4, %r3;\n"
                 "mul.lo.u32 %r4, %r4, 7; N: st.global.u32 [%rd5], %r4;\n"),
             true, 0);
}
TEST(Sweep, BranchesOfPartOfABlock) {
  // The first threads, the last, one in the middle, and by more than one comparison.
  for (const char* condition :
       {"setp.lt.u32 %p1, %r3, 70", "setp.gt.s32 %p1, %r3, 900", "setp.le.s32 %p1, %r1, 15",
        "setp.lt.s32 %p2, %r3, 50; setp.gt.s32 %p3, %r3, 400; or.pred %p1, %p2, %p3",
        "setp.gt.s32 %p2, %r3, 50; setp.lt.and.s32 %p1, %r3, 400, %p2",
        "setp.ge.s64 %p2, %rd7, 2000; not.pred %p1, %p2", "add.u32 %r7, %r3, 0xffffff00; setp.lt.u32 %p1, %r7, 5000",
        "add.u32 %r7, %r3, 0x7fffff80; setp.gt.s32 %p1, %r7, 0", "sub.s32 %r7, 300, %r3; setp.lt.s32 %p1, %r7, 0",
        "shl.b32 %r7, %r3, 1; setp.gt.s32 %p1, %r7, %r6", "sub.s32 %r7, 500, %r3; setp.lt.s32 %p1, %r7, %r3"}) {
    ExpectSame(
        Own(std::string(condition) + "; @%p1 bra END; mad.lo.u32 %r4, %r3, 3, 1; xor.b32 %r4, %r4, 5;\n" + kStore));
    ExpectSame(Own(std::string(condition) + "; @!%p1 exit; mad.lo.u32 %r4, %r3, 3, 1;\n" + kStore));
  }
  ExpectSame(Own("setp.eq.s32 %p1, %r3, 70; @%p1 bra END; mov.u32 %r4, 3;\n" + std::string(kStore)), false);
}
TEST(Sweep, WhatWrapsInABlock) {
  // Compared: the ends say the same, and some threads between them do not.
  for (const char* condition : {"add.u32 %r7, %r3, 0xffffff9c; setp.lt.u32 %p1, %r7, 20",
                                "add.s32 %r7, %r3, 0x7fffffa0; setp.gt.s32 %p1, %r7, 0x7ffffff0",
                                "sub.s32 %r7, 0x8000005a, %r3; setp.lt.s32 %p1, %r7, 0x8000000a",
                                "sub.u32 %r7, 90, %r3; setp.gt.u32 %p1, %r7, 0xfffffff0"})
    ExpectSame(Own(std::string(condition) + "; @%p1 bra END; mad.lo.u32 %r4, %r3, 3, 1;\n" + kStore));
  // And made wider.
  for (const char* wide : {"cvt.s64.s32 %rd8, %r7", "cvt.u64.u32 %rd8, %r7", "mul.wide.s32 %rd8, %r7, 3",
                           "mul.wide.u32 %rd8, %r7, 3", "mad.wide.s32 %rd8, %r7, -2, %rd4"}) {
    for (const char* from : {"add.u32 %r7, %r3, 0xffffffb0", "add.u32 %r7, %r3, 0x7fffffb0", "sub.u32 %r7, 70, %r3",
                             "sub.u32 %r7, 0x80000030, %r3"})
      ExpectSame(Own(std::string(from) + "; " + wide +
                     "; shr.u64 %rd9, %rd8, 3; cvt.u32.u64 %r8, %rd9; xor.b32 %r4, %r8, %r3;\n" + kStore));
  }
}
TEST(Sweep, FaultsAreTierZeros) {
  // The last threads of a grid touch what is forbidden; the words are not aligned; both in one of several accesses.
  ExpectSame(Own("sub.s64 %rd9, %rd2, 1280; add.s64 %rd8, %rd9, %rd7; mov.u32 %r4, 1; ld.global.u32 %r7, [%rd8];\n" +
                 std::string(kStore)));
  ExpectSame(
      Own("sub.s64 %rd9, %rd2, 1280; add.s64 %rd8, %rd9, %rd7; st.global.u32 [%rd5], %r3; "
          "st.global.u32 [%rd8], %r3;\n"));
  ExpectSame(Own("st.global.u32 [%rd5], %r3; st.global.u32 [%rd6+2], %r3;\n"));
  ExpectSame(Own("ld.global.u32 %r4, [%rd2]; st.global.u32 [%rd5], %r4;\n"));
}
TEST(Sweep, WhatIsNotForIt) {
  for (const char* body :
       {"mov.u32 %r4, %laneid; st.global.u32 [%rd5], %r4;",  // not the same in all warps
        "st.global.u32 [%rd5], %r9;",                        // never written
        "ld.global.u32 %r4, [%rd5]; and.b32 %r4, %r4, 1023; mul.wide.u32 %rd8, %r4, 4; add.s64 %rd8, "
        "%rd8, %rd1; ld.global.u32 %r4, [%rd8]; st.global.u32 [%rd5], %r4;",  // of each lane alone
        "st.global.u32 [%rd1], %r3;",                                         // all at one place
        "mov.u32 %r4, 3; L: sub.u32 %r4, %r4, 1; setp.ne.u32 %p1, %r4, 0; @%p1 bra L; "
        "st.global.u32 [%rd5], %r4;",
        "bar.sync 0; st.global.u32 [%rd5], %r3;", "st.volatile.global.u32 [%rd5], %r3;"})
    ExpectSame(Own(body), false);
}

// Random kernels that go forward only. --gtest_shuffle --gtest_random_seed=N makes others.
class Maker {
 public:
  explicit Maker(std::uint32_t seed) : random_(seed) {}
  std::string Text() {
    text_ =
        "ld.param.u64 %rd1, [k0]; ld.param.u64 %rd2, [k2]; cvt.u32.u64 %r1, %rd2; mov.u32 %r2, %ctaid.x; mov.u32 %r3, "
        "%ntid.x; mov.u32 %r4, %tid.x; mad.lo.s32 %r5, %r2, %r3, %r4; cvta.to.global.u64 %rd3, %rd1;\n";
    integers_ = {"%r1", "%r2", "%r4", "%r5", "%r5"};
    if (Chance(2)) text_ += "setp.ge.s32 %p1, %r5, %r1; @%p1 bra END;\n";
    Load();
    const std::uint32_t steps = 4 + Below(16);
    for (std::uint32_t i = 0; i < steps; ++i) Step();
    for (std::size_t i = 0; i < 3; ++i)
      Line("", "st.global.u32 " + Address(4, 16384 + 4096 * Below(8)) + ", " + Pick(integers_));
    if (!floats_.empty()) Line("", "st.global.f32 " + Address(4, 8192) + ", " + Pick(floats_));
    return ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 k0, .param .u64 k1, .param "
           ".u64 "
           "k2, .param .u64 k3)\n{ .reg .b32 %r<200>; .reg .b64 %rd<200>; .reg .f32 %f<200>; .reg .pred %p<200>;\n" +
           text_ + "END: ret; }\n";
  }

 private:
  std::uint32_t Below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_()) % bound; }
  bool Chance(std::uint32_t of) { return Below(of) == 0; }
  std::string New(const char* kind) { return kind + std::to_string(++last_); }
  std::string Pick(const std::vector<std::string>& from) {
    return from[Below(static_cast<std::uint32_t>(from.size()))];
  }
  std::string Integer() { return Chance(3) ? std::to_string(Below(70)) : Pick(integers_); }
  // Of a destination: mostly one of its own.
  std::string To(std::vector<std::string>* pool, const char* kind) {
    if (Chance(12) && pool->size() > 6) return pool->back();
    pool->push_back(New(kind));
    return pool->back();
  }
  void Line(const std::string& guard, const std::string& what) { text_ += guard + what + ";\n"; }
  std::string Guard() {
    return Chance(5) && !predicates_.empty() ? (Chance(2) ? "@" : "@!") + Pick(predicates_) + " " : std::string();
  }
  // Of the thread's index, scaled.
  std::string Address(int scale, std::uint32_t offset) {
    const std::string wide = New("%rd");
    const std::string place = New("%rd");
    const bool backwards = Chance(8);
    Line("", std::string(Chance(2) ? "mul.wide.s32 " : "mul.wide.u32 ") + wide + ", %r5, " + std::to_string(scale));
    Line("", (backwards ? "sub.s64 " : "add.s64 ") + place + ", " + (Chance(2) ? "%rd1" : "%rd3") + ", " + wide);
    return "[" + place + "+" + std::to_string(offset + (backwards ? 65536 : 0)) + "]";
  }
  void Load() {
    static constexpr const char* kIntegers[] = {"u32", "s32", "u8", "s8", "u16", "s16", "b32"};
    static constexpr int kBytes[] = {4, 4, 1, 1, 2, 2, 4};
    const std::uint32_t which = Below(9);
    if (which < 7) {
      const int scale = Chance(3) ? 4 << Below(3) : kBytes[which];
      const std::string address =
          Chance(6) ? "[%rd1+" + std::to_string(8 * Below(40)) + "]" : Address(scale, 64 * Below(20));
      const std::string guard = Guard();
      const std::string to = To(&integers_, "%r");
      if (!guard.empty()) Line("", "mov.u32 " + to + ", 3");
      Line(guard, std::string("ld.global.") + kIntegers[which] + " " + to + ", " + address);
    } else if (which == 7) {
      const std::string address = Address(8, 128 * Below(8));
      const std::string one = New("%f"), other = New("%f");
      Line("", "ld.global.v2.f32 {" + one + ", " + other + "}, " + address);
      floats_.insert(floats_.end(), {one, other});
    } else {
      const std::string address = Address(4, 256 * Below(8));
      const std::string to = New("%f");
      Line("", "ld.global.f32 " + to + ", " + address);
      floats_.push_back(to);
    }
  }
  void Step() {
    static constexpr const char* kBinary[] = {"add.s32", "sub.s32", "mul.lo.s32", "and.b32", "or.b32",    "xor.b32",
                                              "min.s32", "max.u32", "shl.b32",    "shr.u32", "mul.hi.u32"};
    static constexpr const char* kFloat[] = {"add.f32", "mul.ftz.f32", "sub.ftz.f32", "max.f32", "mul.f32"};
    static constexpr const char* kCompare[] = {"lt.s32", "ge.s32", "gt.u32", "le.u32", "eq.s32", "ne.u32", "ge.s32"};
    switch (Below(12)) {
      case 0:
      case 1:
      case 2: {
        const std::string a = Integer(), b = Integer(), guard = Guard();
        const std::string to = guard.empty() ? To(&integers_, "%r") : Pick(integers_);
        return Line(guard, std::string(kBinary[Below(11)]) + " " + to + ", " + (a[0] == '%' ? a : "%r5") + ", " + b);
      }
      case 3: return Load();
      case 4: {
        const std::string address = Address(4 << Below(2), 4096 + 2048 * Below(8));
        return Line(Guard(), "st.global.u32 " + address + ", " + Pick(integers_));
      }
      case 5: {
        const std::string a = Pick(integers_), b = Integer();
        predicates_.push_back(New("%p"));
        return Line("", std::string("setp.") + kCompare[Below(7)] + " " + predicates_.back() + ", " + a + ", " + b);
      }
      case 6: {
        if (predicates_.empty()) return;
        const std::string a = Pick(predicates_), b = Pick(predicates_);
        predicates_.push_back(New("%p"));
        return Line("", (Chance(2) ? "and.pred " : "or.pred ") + predicates_.back() + ", " + a + ", " + b);
      }
      case 7: {
        if (predicates_.empty()) return;
        const std::string a = Integer(), b = Integer(), p = Pick(predicates_);
        return Line("", "selp.u32 " + To(&integers_, "%r") + ", " + a + ", " + b + ", " + p);
      }
      case 8:
        if (!predicates_.empty() && Chance(3)) Line((Chance(2) ? "@" : "@!") + Pick(predicates_) + " ", "bra END");
        return;
      case 9: {
        const std::string a = Pick(integers_);
        floats_.push_back(New("%f"));
        return Line("", "cvt.rn.f32.s32 " + floats_.back() + ", " + a);
      }
      case 10: {
        if (floats_.empty()) return;
        const std::string a = Pick(floats_), b = Pick(floats_);
        return Line("", std::string(kFloat[Below(5)]) + " " + To(&floats_, "%f") + ", " + a + ", " + b);
      }
      default: {
        const std::string a = Pick(integers_), wide = New("%rd"), shifted = New("%rd");
        Line("", std::string(Chance(2) ? "cvt.s64.s32 " : "cvt.u64.u32 ") + wide + ", " + a);
        Line("", "shr.s64 " + shifted + ", " + wide + ", " + std::to_string(Below(40)));
        return Line("", "cvt.u32.u64 " + To(&integers_, "%r") + ", " + shifted);
      }
    }
  }

  std::mt19937 random_;
  std::string text_;
  std::vector<std::string> integers_, floats_, predicates_;
  std::uint32_t last_ = 9;
};

TEST(Sweep, RandomKernels) {
  const auto first = static_cast<std::uint32_t>(testing::UnitTest::GetInstance()->random_seed()) * 100000;
  constexpr std::uint32_t kKernels = 60;
  std::uint32_t swept = 0;
  for (std::uint32_t seed = first; seed < first + kKernels; ++seed) {
    const std::string text = Maker(seed).Text();
    swept += ExpectTiersEqual(text, {Shapes()[std::size_t{seed} % 5]}, 1) ? 1 : 0;
  }
  EXPECT_GT(swept, kKernels / 4);
}

// How many blocks, and where it stops.
TEST(Sweep, RunsBlocksUntilOneIsNotForIt) {
  Jit jit({JitMode::kAlways, ACCELMESH_TIER1_PATH, "off"});
  Machine machine;
  ASSERT_TRUE(
      machine.Load(KernelText(Own(std::string(kIfInside) + "mov.u32 %r4, 1; add.u32 %r4, %r4, %r3;\n" + kStore))).ok());
  ASSERT_TRUE(jit.Compile(machine.kernel(), true).ok());
  std::vector<std::uint32_t> words(4096);
  tier0::MemoryMap memory;
  const auto address = reinterpret_cast<std::uint64_t>(words.data());
  memory.Reset(address, words.size() * 4);
  memory.Allow(address, words.size() * 4);
  const std::uint64_t arguments[] = {address, 0, kCount, 0};
  tier0::GridLaunch launch;
  launch.kernel = &machine.kernel();
  launch.memory = &memory;
  launch.grid = {20, 1, 1};
  launch.block = {64, 1, 1};
  launch.arguments = {reinterpret_cast<const std::uint8_t*>(arguments), sizeof(arguments)};
  for (const std::uint64_t first : {0, 7, 15, 16}) {
    tier0::BlockContext context;
    ASSERT_FALSE(tier0::BeginBlocks(launch, first, 20 - first, context).has_value());
    tier1::Frame frame;
    tier0::FillFrame(context.state(), frame);
    frame.together = 2;
    frame.warp = 0;
    frame.grid[0] = 20;
    frame.grid[1] = 1;
    frame.blocks = 19 - first;
    // Block 15 has threads 960 to 1023.
    const std::uint64_t swept = first <= 15 ? 15 - first : 0;
    EXPECT_EQ(launch.kernel->program().compiled[1].load()->sweep(&frame), swept);
    EXPECT_EQ(frame.block[0], first + swept);
    EXPECT_EQ(frame.blocks, 19 - first - swept);
  }
  for (std::uint32_t i = 0; i < 960; ++i) EXPECT_EQ(words[i], i + 1);
  for (std::uint32_t i = 960; i < words.size(); ++i) EXPECT_EQ(words[i], 0u);
}

}  // namespace
}  // namespace accelmesh
