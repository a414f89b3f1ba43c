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
    return machine.compiled()->from_cache;
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
  EXPECT_EQ(jit.Compile(machine.kernel()).code(), Code::kUnsupported);
  const std::uint64_t memory = machine.Allocate(256);
  EXPECT_FALSE(machine.Run({1, 1, 1}, {32, 1, 1}, {memory}).has_value());
  EXPECT_EQ(machine.At<std::uint32_t>(memory)[0], 42u);
}

}  // namespace
}  // namespace accelmesh
