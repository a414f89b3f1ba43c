// Whole sessions over rdma whose bodies go between the network card and the device's memory by each of the means there
// are: the client core, the executor, the cuda backend on the contract libcuda, and verbs that are inside this process.
// That bytes are right over every way that a program has to copy them, the other suites show (rdma_fake_cuda).
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
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

constexpr unsigned kTestSeconds = 60;

class DirectSession : public ::testing::Test {
 protected:
  void Start(const Means& means, const std::string& contract = "") {
    alarm(kTestSeconds);
    ::unsetenv("ACCELMESH_GPUDIRECT");
    fabric_->takes_dma_buf = means.takes_dma_buf;
    if (!means.takes_device_memory)
      fabric_->refuses = [](MutableByteView memory) { return memory.size() == rdma::kLandingBytes; };
    Transport transport{"rdma_fake", nullptr, nullptr, nullptr, [this] {
                          rdma::Channels channels = rdma::OpenSession(*fabric_);
                          server_ = channels.server.get();
                          return LoopbackPair{std::move(channels.client), std::move(channels.server)};
                        }};
    BackendOptions options;
    options.memory_bytes = kMemory;
    Setting setting(std::move(transport), "cuda");
    if (!contract.empty()) setting.contract = contract;
    world_.Start(setting, options);
    ASSERT_NE(world_.session, nullptr);
    ASSERT_EQ(session().CreateStream(0, wire::StreamKind::NonBlocking, 0, 0, &stream_), 0u);
  }
  void Stop() {
    if (world_.session != nullptr) {
      EXPECT_EQ(session().SynchronizeDevice(0), 0u);
      EXPECT_EQ(session().TakeAsyncError(), 0u);
      EXPECT_TRUE(session().commands().Call(wire::Ping(0), In(20000)).ok());
    }
    world_.Stop();
    EXPECT_FALSE(world_.broke_contract());
    EXPECT_EQ(world_.server_code(), Code::kOk) << CodeName(world_.server_code());
    EXPECT_EQ(fabric_->registered(rdma::kServerSide), 0u) << "keys end with the session";
    alarm(0);
  }

  ClientSession& session() { return *world_.session; }
  // What the server's log says of the means.
  static std::vector<std::string> Said() {
    std::vector<std::string> said;
    for (const std::string& line : rdma::CapturedLog::Take()) {
      if (line.find("bodies go to the device") != std::string::npos) said.push_back(line);
    }
    return said;
  }
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

class DirectTest : public DirectSession, public ::testing::WithParamInterface<Means> {
 protected:
  void SetUp() override { Start(GetParam()); }
  void TearDown() override { Stop(); }
  bool is_direct() const { return GetParam().takes_dma_buf || GetParam().takes_device_memory; }
};

TEST_P(DirectTest, TheMeansIsChosenAndSaidOnce) {
  const std::vector<std::string> said = Said();
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

// A small body takes a whole unit of the arena.
TEST_P(DirectTest, SmallBodiesOfAStreamThatStandsStillLeaveRoomForAnother) {
  constexpr std::uint64_t kBody = 16 * limits::kKiB;
  constexpr std::uint64_t kBodies = rdma::kUnits + rdma::kLandingUnits + 32;
  constexpr std::uint64_t kOther = kBodies * kBody;
  constexpr std::uint64_t kGate = kOther + limits::kMiB;
  std::uint64_t address = 0;
  ASSERT_EQ(session().Malloc(0, kGate + 4, &address), 0u);
  ASSERT_NO_FATAL_FAILURE(AwaitPinnedArena(address));
  Write(address + kGate, Bytes(4, 0), true);
  const std::shared_ptr<const LoadedModule> module = session().LoadModule(0, TestKernels());
  ASSERT_EQ(module->error, 0u);
  std::uint64_t gate = address + kGate;
  void* arguments[] = {&gate};
  ASSERT_EQ(session().Launch(stream_, module->kernels.at("wait_gate"), {{1, 1, 1}, {1, 1, 1}}, arguments), 0u);
  const Bytes content = Random(kBodies * kBody);
  for (std::uint64_t at = 0; at < content.size(); at += kBody)
    Write(address + at, ByteView(content).subspan(at, kBody), false);
  Stream* const still = stream_;
  ASSERT_EQ(session().CreateStream(0, wire::StreamKind::NonBlocking, 0, 0, &stream_), 0u);
  const Bytes other = Random(limits::kMiB);
  Write(address + kOther, other, true);
  EXPECT_TRUE(Read(address + kOther, other.size()) == other);
  EXPECT_FALSE(session().Idle(*still));
  Write(address + kGate, Bytes(4, 1), true);
  ASSERT_EQ(session().Synchronize(*still), 0u);
  EXPECT_TRUE(Read(address, content.size()) == content);
}

// Each in a process of its own: a driver says once how many devices there are.
class DirectDevicesTest : public DirectSession {
 protected:
  // What the log says, with bytes that went to two devices and back.
  void Run(const std::string& contract, const std::string& said) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      Start(Means{"", true, true, ""}, contract);
      if (!HasFatalFailure()) Check(said);
      Stop();
      ::_exit(HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }

 private:
  void Check(const std::string& expected) {
    const std::vector<std::string> said = Said();
    ASSERT_EQ(said.size(), 1u);
    EXPECT_NE(said[0].find(expected), std::string::npos) << said[0];
    for (const std::uint32_t device : {0, 1}) {
      constexpr std::uint64_t kBytes = 8 * limits::kMiB;
      std::uint64_t address = 0;
      ASSERT_EQ(session().Malloc(device, kBytes, &address), 0u);
      ASSERT_EQ(session().CreateStream(device, wire::StreamKind::NonBlocking, 0, 0, &stream_), 0u);
      ASSERT_NO_FATAL_FAILURE(AwaitPinnedArena(address));
      Bytes content = Random(kBytes);
      Write(address, content, true);
      EXPECT_TRUE(Read(address, kBytes) == content) << "of device " << device;
      for (int round = 0; round < 50; ++round) {
        const std::uint64_t size = 1 + random_() % 600'000;
        const std::uint64_t at = random_() % (kBytes - size);
        const Bytes part = Random(size);
        std::copy(part.begin(), part.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
        Write(address + at, part, false);
      }
      EXPECT_TRUE(Read(address, kBytes) == content) << "of device " << device;
    }
  }
};

TEST_F(DirectDevicesTest, BodiesForAllLandAtTheFirstIfTheyReachIt) { Run("devices=2;dma-buf", "GPUDirect (dma-buf)"); }

TEST_F(DirectDevicesTest, BodiesGoThroughPinnedMemoryIfOneDoesNotReachTheFirst) {
  const std::string none_reaches = "error=cuDeviceCanAccessPeer:1:101;error=cuDeviceCanAccessPeer:2:101";
  Run("devices=2;dma-buf;" + none_reaches,
      "through pinned memory: no dma-buf, not every device reaches the memory of device 0");
}

INSTANTIATE_TEST_SUITE_P(All, DirectTest,
                         ::testing::Values(Means{"dma_buf", true, true, "GPUDirect (dma-buf)"},
                                           Means{"peer_memory", false, true, "GPUDirect (peer memory)"},
                                           Means{"pinned", false, false, "through pinned memory"}),
                         [](const auto& means) { return means.param.name; });

}  // namespace
}  // namespace accelmesh::conformance
