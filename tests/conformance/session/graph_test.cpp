// Captured graphs, launched: the same over every transport and on every backend.
#include <atomic>
#include <numeric>

#include "shim/core/capture.h"
#include "shim/core/graph_exec.h"
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr std::uint32_t kWords = 3000;
constexpr std::uint64_t kBytes = kWords * 4;
constexpr int kWatchMs = 40;

class GraphTest : public SessionTest {
 protected:
  // What `work` puts into a stream, as an executable.
  template <typename Work>
  std::unique_ptr<GraphExec> Capture(Work work) {
    Stream* stream = NewStream(wire::StreamKind::NonBlocking);
    module();  // its load is no part of any stream
    EXPECT_EQ(session().captures().Begin(stream, CaptureMode::kRelaxed, nullptr, {}), 0u);
    work(stream);
    Graph* captured = nullptr;
    EXPECT_EQ(session().captures().End(stream, &captured), 0u);
    const std::unique_ptr<Graph> graph(captured);
    std::unique_ptr<GraphExec> exec;
    GraphNode* offending = nullptr;
    EXPECT_EQ(session().InstantiateGraph(*graph, 0, &exec, &offending), 0u);
    EXPECT_EQ(session().DestroyStream(stream), 0u);
    return exec;
  }
  std::uint64_t Posts() { return session().commands().statistics().posts.load(); }
  // Posted behind the launch and before the return of the count.
  std::uint64_t PostsOf(Stream* stream, GraphExec* exec) {
    const std::uint64_t before = Posts();
    EXPECT_EQ(session().LaunchGraph(stream, exec), 0u);
    return Posts() - before;
  }
};

TEST_P(GraphTest, ALaunchIsOneMessage) {
  const std::uint64_t word = Zeros(4);
  auto exec = Capture([&](Stream* stream) {
    for (int i = 0; i < 100; ++i) Launch(stream, "increment", {word});
  });
  Stream* stream = NewStream(wire::StreamKind::Blocking);
  EXPECT_EQ(Read32(word), 0u) << "a captured launch has run";
  for (std::uint32_t round = 1; round <= 5; ++round) {
    EXPECT_EQ(PostsOf(stream, exec.get()), 1u);
    EXPECT_EQ(session().Synchronize(*stream), 0u);
    EXPECT_EQ(Read32(word), round * 100);
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(GraphTest, PageableMemoryIsReadAndWrittenByEachLaunch) {
  const std::uint64_t device = Zeros(kBytes);
  std::vector<std::uint32_t> in(kWords);
  std::vector<std::uint32_t> out(kWords);
  auto exec = Capture([&](Stream* stream) {
    ASSERT_EQ(session().CopyToDevice(stream, device, in.data(), kBytes, false), 0u);
    Launch(stream, "increment", {device});
    ASSERT_EQ(session().CopyToHost(stream, out.data(), device, kBytes, false), 0u);
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  for (std::uint32_t round = 0; round < 10; ++round) {
    std::iota(in.begin(), in.end(), round * 1000);
    EXPECT_EQ(PostsOf(stream, exec.get()), 1u);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    ++in[0];
    ASSERT_EQ(in, out) << round;
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

// The counter of a launch passes behind its bytes: whoever polls needs no other sign.
TEST_P(GraphTest, BytesLandBeforeALaunchIsThrough) {
  const std::uint64_t device = Zeros(4);
  std::vector<std::uint32_t> out(1);
  auto exec = Capture([&](Stream* stream) {
    Launch(stream, "increment", {device});
    ASSERT_EQ(session().CopyToHost(stream, out.data(), device, 4, false), 0u);
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  for (std::uint32_t round = 1; round <= 50; ++round) {
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_TRUE(IdleWithin(*stream, 20000));
    ASSERT_EQ(out[0], round);
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(GraphTest, PinnedMemoryIsTheVeryMemory) {
  const std::uint64_t device = Zeros(kBytes);
  void* pinned = nullptr;
  ASSERT_EQ(session().MallocPinned(2 * kBytes, 0, &pinned), 0u);
  auto* in = static_cast<std::uint32_t*>(pinned);
  std::uint32_t* out = in + kWords;
  auto exec = Capture([&](Stream* stream) {
    ASSERT_EQ(session().CopyToDevice(stream, device, in, kBytes, false), 0u);
    ASSERT_EQ(session().CopyToHost(stream, out, device, kBytes, false), 0u);
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  for (std::uint32_t round = 0; round < 10; ++round) {
    for (std::uint32_t i = 0; i < kWords; ++i) in[i] = round * 7 + i;
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    ASSERT_EQ(std::memcmp(in, out, kBytes), 0) << round;
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
  EXPECT_EQ(session().FreePinned(pinned), 0u);
}

TEST_P(GraphTest, PitchedCopiesOfPageableMemory) {
  constexpr std::uint64_t kPitch = 512;
  constexpr std::uint64_t kWidth = 300;
  constexpr std::uint64_t kHeight = 40;
  const std::uint64_t device = Zeros(kPitch * kHeight);
  Bytes in(400 * kHeight);
  Bytes out(350 * kHeight, 0xee);
  auto exec = Capture([&](Stream* stream) {
    const PitchedSide on_device{device, kPitch, 0, true};
    ASSERT_EQ(session().CopyPitched(stream, on_device, {reinterpret_cast<std::uint64_t>(in.data()), 400, 0, false},
                                    kWidth, kHeight, 1, false),
              0u);
    ASSERT_EQ(session().CopyPitched(stream, {reinterpret_cast<std::uint64_t>(out.data()), 350, 0, false}, on_device,
                                    kWidth, kHeight, 1, false),
              0u);
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::uint8_t>(i * 7 + round);
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    for (std::uint64_t y = 0; y < kHeight; ++y) {
      ASSERT_EQ(std::memcmp(out.data() + y * 350, in.data() + y * 400, kWidth), 0) << y;
      ASSERT_EQ(out[y * 350 + kWidth], 0xee) << "between the rows";
    }
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

// More than the server holds of bodies, onto a stream that does not come to its turn meanwhile.
TEST_P(GraphTest, LargeCopiesWaitForTheirTurnWithoutHoldingAnybodyUp) {
  constexpr std::uint64_t kLarge = limits::kBulkInFlightBytesMax + 8 * limits::kMiB;
  const std::uint64_t device = Malloc(kLarge);
  const std::uint64_t gate = Zeros(4);
  const std::uint64_t other_word = Zeros(4);
  Bytes in(kLarge, 3);
  auto exec =
      Capture([&](Stream* stream) { ASSERT_EQ(session().CopyToDevice(stream, device, in.data(), kLarge, false), 0u); });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  Launch(stream, "wait_gate", {gate});
  ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  const std::uint32_t value = 77;
  ASSERT_EQ(session().CopyToDevice(other, other_word, &value, 4, true), 0u);
  Launch(other, "open_gate", {gate});
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(Read32(device + kLarge - 4), 0x03030303u);
  EXPECT_EQ(Read32(other_word), 77u);
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

// More nodes than a stream has under way, launched while the stream waits; what changes meanwhile concerns later
// launches.
TEST_P(GraphTest, ParkedNodesAreThoseOfTheirLaunch) {
  constexpr std::uint32_t kNodes = 3 * limits::kStreamInFlightMax;
  const std::uint64_t gate = Zeros(4);
  const std::uint64_t first = Zeros(4);
  const std::uint64_t second = Zeros(4);
  auto exec = Capture([&](Stream* stream) {
    for (std::uint32_t i = 0; i < kNodes; ++i) Launch(stream, "increment", {first});
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  Launch(stream, "wait_gate", {gate});
  ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  // Every node now works on another word.
  for (const auto& node : exec->image().nodes()) {
    GraphNode update;
    GraphKernel kernel = std::get<GraphKernel>(node->payload);
    std::memcpy(kernel.arguments.data(), &second, sizeof(second));
    update.payload = std::move(kernel);
    ASSERT_EQ(session().UpdateGraphNode(exec.get(), node.get(), update), 0u);
  }
  ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  ASSERT_EQ(session().EndGraph(std::move(exec)), 0u) << "its launches go on";
  EXPECT_FALSE(IdleWithin(*stream, kWatchMs));
  Launch(other, "open_gate", {gate});
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(Read32(first), kNodes);
  EXPECT_EQ(Read32(second), kNodes);
}

// The rule of the legacy stream holds for every node of a launch, whatever sequence it completes with.
TEST_P(GraphTest, LaunchesOnTheLegacyStreamKeepItsOrder) {
  const std::uint64_t word = Zeros(4);
  const std::uint64_t seen = Zeros(4);
  auto exec = Capture([&](Stream* stream) {
    for (int i = 0; i < 3; ++i) Launch(stream, "copy_word", {seen, word});
  });
  Stream* blocking = NewStream(wire::StreamKind::Blocking);
  for (std::uint32_t round = 1; round <= 20; ++round) {
    // Parks the blocking stream, and with it the launch that comes next.
    for (int i = 0; i < 2 * static_cast<int>(limits::kStreamInFlightMax); ++i) Launch(blocking, "increment", {word});
    ASSERT_EQ(session().LaunchGraph(legacy(), exec.get()), 0u);
    Launch(blocking, "increment", {word});
    ASSERT_EQ(session().SynchronizeDevice(0), 0u);
    const std::uint32_t each = 2 * limits::kStreamInFlightMax + 1;
    ASSERT_EQ(Read32(word), round * each);
    ASSERT_EQ(Read32(seen), round * each - 1);
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(GraphTest, LaunchesOfOneExecutableKeepTheirOrderAcrossStreams) {
  const std::uint64_t gate = Zeros(4);
  const std::uint64_t word = Zeros(4);
  auto exec = Capture([&](Stream* stream) {
    for (int i = 0; i < 50; ++i) Launch(stream, "increment", {word});
  });
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  Stream* b = NewStream(wire::StreamKind::NonBlocking);
  Stream* opener = NewStream(wire::StreamKind::NonBlocking);
  Launch(a, "wait_gate", {gate});
  ASSERT_EQ(session().LaunchGraph(a, exec.get()), 0u);
  ASSERT_EQ(session().LaunchGraph(b, exec.get()), 0u);
  EXPECT_FALSE(IdleWithin(*b, kWatchMs)) << "did not wait for the launch before";
  Launch(opener, "open_gate", {gate});
  ASSERT_EQ(session().Synchronize(*b), 0u);
  EXPECT_EQ(Read32(word), 100u);
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(GraphTest, AHostFunctionSeesWhatWasBeforeAndIsSeenBehind) {
  const std::uint64_t device = Zeros(4);
  std::vector<std::uint32_t> down(1);
  std::vector<std::uint32_t> up(1);
  std::atomic<int> runs{0};
  auto exec = Capture([&](Stream* stream) {
    Launch(stream, "increment", {device});
    ASSERT_EQ(session().CopyToHost(stream, down.data(), device, 4, false), 0u);
    GraphHost host;
    host.run = [&](std::uint32_t) {
      up[0] = down[0] * 10;
      ++runs;
    };
    ASSERT_EQ(session().captures().Capture(*stream, std::move(host)), 0u);
    ASSERT_EQ(session().CopyToDevice(stream, device, up.data(), 4, false), 0u);
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  std::uint32_t want = 0;
  for (int round = 1; round <= 5; ++round) {
    want = (want + 1) * 10;
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    ASSERT_EQ(Read32(device), want);
    ASSERT_EQ(runs, round);
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(GraphTest, ACopyThatFailsIsToldAndTheRestRuns) {
  expect_errors_ = true;
  const std::uint64_t good = Zeros(4);
  auto exec = Capture([&](Stream* stream) {
    Launch(stream, "increment", {good});
    ASSERT_EQ(session().CopyOnDevice(stream, good, good + 256 * limits::kMiB, 4), 0u);
    Launch(stream, "increment", {good});
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(session().TakeAsyncError(), 1u);
  EXPECT_EQ(Read32(good), 2u);
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(GraphTest, NodesThatAreOffAreNotRun) {
  const std::uint64_t word = Zeros(4);
  auto exec = Capture([&](Stream* stream) {
    for (int i = 0; i < 4; ++i) Launch(stream, "increment", {word});
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  std::uint32_t want = 0;
  for (std::size_t off = 0; off <= 4; ++off) {
    if (off > 0) {
      ASSERT_EQ(session().EnableGraphNode(exec.get(), exec->image().nodes()[off - 1].get(), false), 0u);
    }
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    want += 4 - static_cast<std::uint32_t>(off);
    ASSERT_EQ(Read32(word), want);
  }
  ASSERT_EQ(session().EnableGraphNode(exec.get(), exec->image().nodes()[2].get(), true), 0u);
  ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(Read32(word), want + 1);
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
}

TEST_P(GraphTest, MemoryOfAGraphIsThereBetweenItsNodes) {
  const std::uint64_t out = Zeros(4);
  std::uint64_t own = 0;
  auto exec = Capture([&](Stream* stream) {
    ASSERT_EQ(session().MallocFromPool(nullptr, stream, 4096, &own), 0u);
    ASSERT_EQ(session().Fill(stream, wire::Fill(own, 4, 0, 1, 1, 1, 41, 4, stream->slot, 0)), 0u);
    Launch(stream, "increment", {own});
    Launch(stream, "copy_word", {out, own});
    ASSERT_EQ(session().FreeInOrder(stream, own), 0u);
  });
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_EQ(session().Synchronize(*stream), 0u);
    EXPECT_EQ(Read32(out), 42u);
    EXPECT_EQ(session().Free(own), 1u) << "its graph frees it";
    EXPECT_EQ(session().GraphMemoryOf(0).used, 0u);
    EXPECT_EQ(session().GraphMemoryOf(0).reserved, 4096u);
    ASSERT_EQ(session().TrimGraphMemory(0), 0u);
    EXPECT_EQ(session().GraphMemoryOf(0).reserved, 0u);
  }
  EXPECT_EQ(session().EndGraph(std::move(exec)), 0u);
  AddressSpace::Range range;
  std::uint32_t device = 0;
  EXPECT_FALSE(session().FindDeviceRange(own, &range, &device)) << "the address is still taken";
}

TEST_P(GraphTest, ManyExecutablesComeAndGo) {
  const std::uint64_t word = Zeros(4);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  for (std::uint32_t i = 0; i < 100; ++i) {
    auto exec = Capture([&](Stream* captured) {
      for (std::uint32_t n = 0; n <= i % 3; ++n) Launch(captured, "increment", {word});
    });
    ASSERT_EQ(session().LaunchGraph(stream, exec.get()), 0u);
    ASSERT_EQ(session().EndGraph(std::move(exec)), 0u);
  }
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(Read32(word), 34u * 1 + 33u * 2 + 33u * 3);
}

INSTANTIATE_TEST_SUITE_P(Transports, GraphTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
