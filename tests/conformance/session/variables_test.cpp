// Managed variables that a driver has placed: the program has them at the driver's addresses, next to others' that it
// must not touch, and with a server that believes nobody.
#include <poll.h>
#include <sys/mman.h>

#include <cstring>

#include "shim/core/capture.h"
#include "shim/core/graph_exec.h"
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr const char* kManagedPtx = R"ptx(
.version 8.0
.target sm_80
.address_size 64
.global .align 4 .u32 plain = 5;
.global .attribute(.managed) .align 1 .b8 before[5] = {1, 2, 3, 4, 5};
.global .attribute(.managed) .align 4 .u32 word = 41;
.global .attribute(.managed) .align 1 .b8 behind[3] = {7, 8, 9};
.global .attribute(.managed) .align 8 .u64 where = word;
.global .attribute(.managed) .align 4 .b8 table[12000];

.visible .entry raise()
{
  .reg .b32 %r<3>;
  ld.global.u32 %r1, [word];
  add.s32 %r2, %r1, 1;
  st.global.u32 [word], %r2;
  ret;
}
// All bytes around the word, and a word of the table.
.visible .entry write_around()
{
  .reg .b16 %h<2>;
  .reg .b32 %r<2>;
  mov.u16 %h1, 200;
  st.global.u8 [before+4], %h1;
  st.global.u8 [behind], %h1;
  mov.u32 %r1, 77;
  st.global.u32 [table+8192], %r1;
  ret;
}
// Spins until *gate is not 0, then raises the word.
.visible .entry raise_behind(.param .u64 gate)
{
  .reg .pred %p<2>;
  .reg .b32 %r<4>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [gate];
$again:
  atom.global.add.u32 %r1, [%rd1], 0;
  setp.eq.u32 %p1, %r1, 0;
  @%p1 bra $again;
  ld.global.u32 %r2, [word];
  add.s32 %r3, %r2, 1;
  st.global.u32 [word], %r3;
  ret;
}
)ptx";
constexpr DeviceResult kMapFailed = 205;
constexpr DeviceResult kNotSupported = 801;

class VariablesTest : public SessionTest {
 protected:
  struct Loaded {
    std::shared_ptr<const LoadedModule> module;
    std::vector<ManagedPlacement> variables;
    std::uint8_t* before = nullptr;
    std::uint32_t* word = nullptr;
    std::uint8_t* behind = nullptr;
    std::uint32_t* table = nullptr;
  };
  static ByteView Image() { return AsBytes(std::string_view(kManagedPtx)); }
  static std::vector<ManagedPlacement> All() {
    return {{"before", 0, 5}, {"word", 0, 4}, {"behind", 0, 3}, {"where", 0, 8}, {"table", 0, 12000}};
  }
  template <typename T>
  static T* At(const ManagedPlacement& variable) {
    return reinterpret_cast<T*>(variable.address);
  }
  Loaded Load() {
    Loaded made;
    made.variables = All();
    made.module = session().LoadModuleAround(0, Image(), &made.variables);
    EXPECT_EQ(made.module->error, 0u);
    made.before = At<std::uint8_t>(made.variables[0]);
    made.word = At<std::uint32_t>(made.variables[1]);
    made.behind = At<std::uint8_t>(made.variables[2]);
    made.table = At<std::uint32_t>(made.variables[4]);
    return made;
  }
  void Unload(const Loaded& loaded) {
    for (const ManagedPlacement& variable : loaded.variables) session().FreeVariables(variable.address);
    session().UnloadModule(*loaded.module);
  }
  void Run(Stream* stream, const Loaded& loaded, const char* kernel, void* const* arguments = nullptr) {
    EXPECT_EQ(session().Launch(stream, loaded.module->kernels.at(kernel), {{1, 1, 1}, {1, 1, 1}}, arguments), 0u);
  }
  // The server is this very process.
  static bool IsHere() { return GetParam().listen == nullptr; }
};

TEST_P(VariablesTest, BothSidesReadAndWriteThem) {
  ASSERT_TRUE(session().facts().driver_places_variables);
  const Loaded loaded = Load();
  EXPECT_EQ(*loaded.word, 41u) << "the initial value is there before any launch";
  EXPECT_EQ(std::memcmp(loaded.before, "\1\2\3\4\5", 5), 0);
  EXPECT_EQ(std::memcmp(loaded.behind, "\7\10\11", 3), 0);
  EXPECT_EQ(*At<std::uint64_t>(loaded.variables[3]), loaded.variables[1].address) << "the device's address is another";
  EXPECT_EQ(loaded.table[2999], 0u);
  *loaded.word = 10;
  Run(legacy(), loaded, "raise");
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(*loaded.word, 11u);
  *loaded.word += 5;
  Run(legacy(), loaded, "raise");
  Run(legacy(), loaded, "raise");
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(*loaded.word, 18u);
  Unload(loaded);
}

TEST_P(VariablesTest, ANeighboursBytesAreLeftAlone) {
  const Loaded loaded = Load();
  const Loaded other = Load();
  ASSERT_NE(loaded.variables[1].address, other.variables[1].address);
  for (std::uint32_t round = 1; round <= 20; ++round) {
    // The program writes one variable, the kernel those around it.
    *loaded.word = *other.word = 1000 + round;
    loaded.before[0] = static_cast<std::uint8_t>(round);
    Run(legacy(), loaded, "write_around");
    Run(legacy(), other, "raise");
    ASSERT_EQ(session().SynchronizeDevice(0), 0u);
    EXPECT_EQ(*loaded.word, 1000 + round);
    EXPECT_EQ(*other.word, 1001 + round);
    EXPECT_EQ(loaded.before[0], round);
    EXPECT_EQ(loaded.before[4], 200);
    EXPECT_EQ(loaded.behind[0], 200);
    EXPECT_EQ(loaded.behind[1], 8);
    EXPECT_EQ(loaded.table[2048], 77u);
    EXPECT_EQ(other.before[0], 1);
    EXPECT_EQ(other.before[4], 5);
    EXPECT_EQ(other.table[2048], 0u);
  }
  Unload(loaded);
  // The pages that both had lie on.
  Run(legacy(), other, "raise");
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(*other.word, 1022u);
  Unload(other);
}

TEST_P(VariablesTest, TheyAreManagedMemoryOfTheSession) {
  const Loaded loaded = Load();
  const std::uint64_t word = loaded.variables[1].address;
  ReachableMemory found;
  ASSERT_TRUE(session().FindHost(At<void>(loaded.variables[1]), &found));
  EXPECT_TRUE(found.kind == HostKind::kManaged);
  EXPECT_EQ(found.bytes, 4u);
  EXPECT_EQ(found.device_address, word);
  EXPECT_TRUE(session().IsCommonAddress(word));
  EXPECT_EQ(session().Free(word), 1u) << "it is the module's";
  bool visited = false;
  EXPECT_TRUE(session().WithAdvice(At<void>(loaded.variables[1]), 4, [&](AdviceMap&) { visited = true; }));
  EXPECT_TRUE(visited);
  AddressSpace::Range range;
  std::uint32_t device = 9;
  ASSERT_TRUE(session().FindDeviceRange(word + 3, &range, &device));
  EXPECT_EQ(range.bytes, 4u);
  EXPECT_EQ(device, 0u);
  // Copies and fills, in stream order.
  std::uint32_t value = 500;
  ASSERT_EQ(session().CopyToDevice(legacy(), word, &value, 4, true), 0u);
  EXPECT_EQ(*loaded.word, 500u);
  Run(legacy(), loaded, "raise");
  ASSERT_EQ(session().CopyToHost(legacy(), &value, word, 4, true), 0u);
  EXPECT_EQ(value, 501u);
  ASSERT_EQ(session().Fill(legacy(), wire::Fill(loaded.variables[4].address, 12000, 12000, 3000, 1, 1, 8, 4, 0, 0)),
            0u);
  ASSERT_EQ(session().CopyOnDevice(legacy(), word, loaded.variables[4].address + 11996, 4), 0u);
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(*loaded.word, 8u);
  EXPECT_EQ(loaded.table[0], 8u);
  EXPECT_EQ(loaded.table[2999], 8u);
  Unload(loaded);
  EXPECT_FALSE(session().IsCommonAddress(word));
}

TEST_P(VariablesTest, GraphsUseThem) {
  const Loaded loaded = Load();
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  ASSERT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, nullptr, {}), 0u);
  Run(stream, loaded, "raise");
  ASSERT_EQ(session().CopyOnDevice(stream, loaded.variables[4].address + 4, loaded.variables[1].address, 4), 0u);
  Graph* captured = nullptr;
  ASSERT_EQ(session().captures().End(stream, &captured), 0u);
  const std::unique_ptr<Graph> graph(captured);
  std::unique_ptr<GraphExec> exec;
  GraphNode* offending = nullptr;
  ASSERT_EQ(session().InstantiateGraph(*graph, 0, &exec, &offending), 0u);
  for (std::uint32_t round = 1; round <= 5; ++round) {
    *loaded.word = 100 * round;
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    EXPECT_EQ(*loaded.word, 100 * round + 1);
    EXPECT_EQ(loaded.table[1], 100 * round + 1);
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
  Unload(loaded);
}

TEST_P(VariablesTest, ALoadBeginsAnew) {
  for (int round = 0; round < 10; ++round) {
    const Loaded loaded = Load();
    EXPECT_EQ(*loaded.word, 41u);
    EXPECT_EQ(loaded.table[0], 0u);
    Run(legacy(), loaded, "raise");
    loaded.table[0] = 6;
    ASSERT_EQ(session().SynchronizeDevice(0), 0u);
    EXPECT_EQ(*loaded.word, 42u);
    Unload(loaded);
  }
}

// They end while the kernel runs that uses them: it is waited for.
TEST_P(VariablesTest, TheirEndWaitsForTheDevice) {
  const Loaded loaded = Load();
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  std::uint64_t gate = Zeros(4);
  void* arguments[] = {&gate};
  Run(stream, loaded, "raise_behind", arguments);
  std::thread opener([&] {
    poll(nullptr, 0, 50);
    Write32(NewStream(wire::StreamKind::NonBlocking), gate, 1);
  });
  Unload(loaded);
  EXPECT_TRUE(session().Idle(*stream));
  opener.join();
}

TEST_P(VariablesTest, AnAddressThatTheProgramUsesIsRefused) {
  if (IsHere()) GTEST_SKIP() << "the memory is the driver's own";
  const Loaded before = Load();
  Unload(before);
  const std::uint64_t page = before.variables[1].address / limits::kPageBytes * limits::kPageBytes;
  void* const wish = reinterpret_cast<void*>(page);
  void* const taken = ::mmap(wish, limits::kPageBytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(taken, wish);
  std::memset(taken, 6, limits::kPageBytes);
  // The server unloads a module when it comes to it; from then on the address is given out again.
  std::vector<Loaded> others;
  DeviceResult error = 0;
  for (int attempt = 0; attempt < 100 && error == 0; ++attempt) {
    Loaded& loaded = others.emplace_back();
    loaded.variables = All();
    loaded.module = session().LoadModuleAround(0, Image(), &loaded.variables);
    error = loaded.module->error;
  }
  EXPECT_EQ(error, kMapFailed);
  EXPECT_EQ(static_cast<std::uint8_t*>(taken)[100], 6);
  ::munmap(taken, limits::kPageBytes);
  others.pop_back();
  for (const Loaded& loaded : others) Unload(loaded);
  // Nothing of the attempt is left, on either side.
  const Loaded after = Load();
  EXPECT_EQ(*after.word, 41u);
  Unload(after);
}

TEST_P(VariablesTest, WhatTheDriverHasNotPlacedSoIsRefused) {
  for (const ManagedPlacement& wrong :
       {ManagedPlacement{"plain", 0, 4}, ManagedPlacement{"nobody", 0, 4}, ManagedPlacement{"word", 0, 8}}) {
    std::vector<ManagedPlacement> variables{{"before", 0, 5}, wrong};
    EXPECT_EQ(session().LoadModuleAround(0, Image(), &variables)->error, kNotSupported) << wrong.name;
  }
  Unload(Load());
}

// A hostile client: the server ends the session.
TEST_P(VariablesTest, OnlyVariablesAreWritten) {
  expect_errors_ = true;
  const Loaded loaded = Load();
  const Bytes bytes(5, 1);
  // A byte more than the variable.
  ASSERT_TRUE(session().commands().Post(wire::HostWrite(loaded.variables[1].address), bytes).ok());
  EXPECT_FALSE(session().commands().Call(wire::Ping(0), In(5000)).ok());
  world_.Stop();
  EXPECT_EQ(world_.server_code(), Code::kBadFrame);
}
TEST_P(VariablesTest, PlainVariablesAreNotWritten) {
  expect_errors_ = true;
  const Loaded loaded = Load();
  const Bytes bytes(4, 1);
  const std::uint64_t plain = loaded.module->globals.at("plain").address;
  ASSERT_TRUE(session().commands().Post(wire::HostWrite(plain), bytes).ok());
  EXPECT_FALSE(session().commands().Call(wire::Ping(0), In(5000)).ok());
  world_.Stop();
  EXPECT_EQ(world_.server_code(), Code::kBadFrame);
}
TEST_P(VariablesTest, NobodyWritesThemOnceTheirModuleHasGone) {
  expect_errors_ = true;
  const Loaded loaded = Load();
  Unload(loaded);
  const Bytes bytes(4, 1);
  ASSERT_TRUE(session().commands().Post(wire::HostWrite(loaded.variables[1].address), bytes).ok());
  EXPECT_FALSE(session().commands().Call(wire::Ping(0), In(5000)).ok());
  world_.Stop();
  EXPECT_EQ(world_.server_code(), Code::kBadFrame);
}
TEST_P(VariablesTest, TheClientDoesNotPlaceThem) {
  expect_errors_ = true;
  std::uint64_t memory = 0;
  ASSERT_EQ(session().MallocManaged(0, 4096, 1, &memory), 0u);
  const wire::ManagedVariable command(memory, 4, 7, 0);
  ASSERT_TRUE(session().commands().Post(command, AsBytes(std::string_view("word"))).ok());
  EXPECT_FALSE(session().commands().Call(wire::Ping(0), In(5000)).ok());
  world_.Stop();
  EXPECT_EQ(world_.server_code(), Code::kBadFrame);
}

// Backends that run kernels and do not place variables.
std::vector<Setting> WithDriver() {
  std::vector<Setting> settings = AllSettings();
  std::erase_if(settings, [](const Setting& setting) { return setting.backend != "cuda"; });
  return settings;
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(VariablesTest);  // of a build without the cuda backend
INSTANTIATE_TEST_SUITE_P(Transports, VariablesTest, ::testing::ValuesIn(WithDriver()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
