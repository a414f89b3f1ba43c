// Whole sessions over rdma whose bodies go between the network card and the device's memory by each of the means there
// are: the client core, the executor, the cuda backend on the contract libcuda, and verbs that are inside this process.
// That bytes are right over every way that a program has to copy them, the other suites show (rdma_fake_cuda).
#include <cstdlib>
#include <random>

#include "protocol/transport/rdma/lane.h"
#include "tests/conformance/session/world.h"
#include "tests/unit/protocol/transport/rdma/captured_log.h"
#include "tests/unit/protocol/transport/rdma/fake_session.h"

namespace accelmesh::conformance {
namespace {

struct Means {
  const char* name;
  bool takes_dma_buf;
  bool takes_device_memory;
  const char* said;
};
void PrintTo(const Means& means, std::ostream* out) { *out << means.name; }

class DirectTest : public ::testing::TestWithParam<Means> {
 protected:
  void SetUp() override {
    ::unsetenv("ACCELMESH_GPUDIRECT");
    fabric_->takes_dma_buf = GetParam().takes_dma_buf;
    if (!GetParam().takes_device_memory)
      fabric_->refuses = [](MutableByteView memory) { return memory.size() == rdma::kLandingBytes; };
    Transport transport{"rdma_fake", nullptr, nullptr, nullptr, [this] {
                          rdma::Channels channels = rdma::OpenSession(*fabric_);
                          server_ = channels.server.get();
                          return LoopbackPair{std::move(channels.client), std::move(channels.server)};
                        }};
    BackendOptions options;
    options.memory_bytes = kMemory;
    world_.Start(Setting(std::move(transport), "cuda"), options);
    ASSERT_NE(world_.session, nullptr);
    ASSERT_EQ(session().CreateStream(0, wire::StreamKind::NonBlocking, 0, 0, &stream_), 0u);
  }
  void TearDown() override {
    if (world_.session != nullptr) {
      EXPECT_EQ(session().SynchronizeDevice(0), 0u);
      EXPECT_EQ(session().TakeAsyncError(), 0u);
      EXPECT_TRUE(session().commands().Call(wire::Ping(0), In(20000)).ok());
    }
    world_.Stop();
    EXPECT_FALSE(world_.broke_contract());
    EXPECT_EQ(world_.server_code(), Code::kOk) << CodeName(world_.server_code());
    EXPECT_EQ(fabric_->registered(rdma::kServerSide), 0u) << "keys end with the session";
  }

  ClientSession& session() { return *world_.session; }
  bool is_direct() const { return GetParam().takes_dma_buf || GetParam().takes_device_memory; }
  // By the server's processor: bodies, and what it reads and writes of the rings.
  std::uint64_t ServerCopies() const { return rdma::CountsOf(*server_).bytes_copied; }
  Bytes Random(std::size_t size) {
    Bytes bytes(size);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random_());
    return bytes;
  }
  // A copy from pageable memory is done for the program when it is under way: `wait` is for the device.
  void Write(std::uint64_t to, ByteView from, bool wait) {
    ASSERT_EQ(session().CopyToDevice(stream_, to, from.data(), from.size(), wait), 0u);
    if (wait) {
      ASSERT_EQ(session().Synchronize(*stream_), 0u);
    }
  }
  Bytes Read(std::uint64_t from, std::size_t size) {
    Bytes to(size);
    EXPECT_EQ(session().CopyToHost(stream_, to.data(), from, size, true), 0u);
    return to;
  }
  // The arena is pinned on a thread of the backend's, soon after the session's beginning.
  void AwaitPinnedArena(std::uint64_t address) {
    const Bytes body = Random(limits::kMiB);
    const Deadline deadline = In(20000);
    for (std::uint64_t before = ServerCopies();; before = ServerCopies()) {
      Write(address, body, true);
      if (ServerCopies() - before < body.size() / 4) return;
      ASSERT_FALSE(deadline.passed()) << "bodies are copied";
    }
  }

  static constexpr std::uint64_t kMemory = 256 * limits::kMiB;
  const rdma::CapturedLog log_;
  std::mt19937 random_{5};
  std::shared_ptr<rdma::FakeFabric> fabric_ = rdma::FakeFabric::Make();
  ServerChannel* server_ = nullptr;
  World world_;
  Stream* stream_ = nullptr;
};

TEST_P(DirectTest, TheMeansIsChosenAndSaidOnce) {
  std::vector<std::string> said;
  for (const std::string& line : rdma::CapturedLog::Take()) {
    if (line.find("bodies go to the device") != std::string::npos) said.push_back(line);
  }
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find(GetParam().said), std::string::npos) << said[0];
  EXPECT_EQ(said[0].find("has never run on hardware") != std::string::npos, is_direct()) << said[0];
}

TEST_P(DirectTest, BytesAreRightAndTheServersProcessorCopiesNone) {
  constexpr std::uint64_t kBytes = 24 * limits::kMiB;
  std::uint64_t address = 0;
  ASSERT_EQ(session().Malloc(0, kBytes, &address), 0u);
  Bytes content = Random(kBytes);
  Write(address, content, true);
  ASSERT_NO_FATAL_FAILURE(AwaitPinnedArena(address));
  Write(address, ByteView(content).first(limits::kMiB), true);
  std::uint64_t before = ServerCopies();
  std::uint64_t moved = 0;
  for (int round = 0; round < 60; ++round) {
    // Whole pieces: what is left of one may be small, and small bodies are copied where that is cheaper. So are those
    // that come while many wait for the device, so that each is waited for here.
    const std::uint64_t size = (1 + random_() % 4) * 256 * limits::kKiB;
    const std::uint64_t at = random_() % (kBytes - size);
    const Bytes part = Random(size);
    std::copy(part.begin(), part.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
    Write(address + at, part, true);
    moved += size;
  }
  ASSERT_EQ(session().Synchronize(*stream_), 0u);
  EXPECT_LT(ServerCopies() - before, moved / 1000) << "up: records only";
  before = ServerCopies();
  moved = 0;
  for (int round = 0; round < 60; ++round) {
    const std::uint64_t size = (1 + random_() % 8) * 256 * limits::kKiB;
    const std::uint64_t at = random_() % (kBytes - size);
    const Bytes got = Read(address + at, size);
    ASSERT_EQ(std::memcmp(got.data(), content.data() + at, size), 0) << at << " " << size;
    moved += size;
  }
  EXPECT_LT(ServerCopies() - before, moved / 1000) << "down: records only";
  // Odd ones, of which the small ones are copied.
  for (int round = 0; round < 100; ++round) {
    const std::uint64_t size = 1 + random_() % 600'000;
    const std::uint64_t at = random_() % (kBytes - size);
    if (round % 2 == 0) {
      const Bytes part = Random(size);
      std::copy(part.begin(), part.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
      Write(address + at, part, false);
    } else {
      const Bytes got = Read(address + at, size);
      ASSERT_EQ(std::memcmp(got.data(), content.data() + at, size), 0) << at << " " << size;
    }
  }
  EXPECT_TRUE(Read(address, kBytes) == content);
  ASSERT_EQ(session().Free(address), 0u);
}

TEST_P(DirectTest, WhatIsQueuedBehindADownloadDoesNotChangeIt) {
  constexpr std::uint64_t kBytes = 2 * limits::kMiB;
  std::uint64_t address = 0;
  ASSERT_EQ(session().Malloc(0, kBytes, &address), 0u);
  void* pinned = nullptr;
  ASSERT_EQ(session().MallocPinned(kBytes, 0, &pinned), 0u);
  for (int round = 0; round < 20; ++round) {
    Write(address, Bytes(kBytes, static_cast<std::uint8_t>(round)), false);
    ASSERT_EQ(session().CopyToHost(stream_, pinned, address, kBytes, false), 0u);
    Write(address, Bytes(kBytes, 0xff), false);
    ASSERT_EQ(session().Synchronize(*stream_), 0u);
    const ByteView got{static_cast<const std::uint8_t*>(pinned), kBytes};
    ASSERT_EQ(std::count(got.begin(), got.end(), round), static_cast<std::ptrdiff_t>(kBytes));
  }
  ASSERT_EQ(session().FreePinned(pinned), 0u);
}

// More memory comes and goes than there is, so that the same addresses are backed anew.
TEST_P(DirectTest, MemoryThatIsFreedAndUsedAgainIsNotReachedThroughWhatWasRegistered) {
  const std::size_t registered = fabric_->registered(rdma::kServerSide);
  for (int round = 0; round < 24; ++round) {
    const std::uint64_t bytes = (round % 3 + 3) * 32 * limits::kMiB + 4096 * static_cast<std::uint64_t>(round);
    std::uint64_t address = 0;
    ASSERT_EQ(session().Malloc(0, bytes, &address), 0u);
    const Bytes part = Random(limits::kMiB);
    for (const std::uint64_t at : {std::uint64_t{0}, bytes / 2, bytes - part.size()}) {
      Write(address + at, part, true);
      ASSERT_TRUE(Read(address + at, part.size()) == part) << round << " at " << at;
    }
    ASSERT_EQ(session().Free(address), 0u);
    EXPECT_LE(fabric_->registered(rdma::kServerSide), registered + kMemory / (32 * limits::kMiB) + 4);
  }
}

INSTANTIATE_TEST_SUITE_P(All, DirectTest,
                         ::testing::Values(Means{"dma_buf", true, true, "GPUDirect (dma-buf)"},
                                           Means{"peer_memory", false, true, "GPUDirect (peer memory)"},
                                           Means{"pinned", false, false, "through pinned memory"}),
                         [](const auto& means) { return means.param.name; });

}  // namespace
}  // namespace accelmesh::conformance
