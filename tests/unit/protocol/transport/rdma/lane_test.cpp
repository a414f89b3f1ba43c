// Bodies between the network card and a device's memory, on the fake. The device's memory are files that lie nowhere in
// this process by the addresses that the transport names: whatever touched them but the card would fault.
#include "protocol/transport/rdma/lane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <future>
#include <random>
#include <thread>

#include "tests/unit/protocol/transport/rdma/captured_log.h"
#include "tests/unit/protocol/transport/rdma/fake_session.h"

namespace accelmesh::rdma {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Nothing final : FrameSink {
  void OnFrame(ByteView) override {}
};

// What backs a block: a file, as a dma-buf is one.
class Backing {
 public:
  explicit Backing(std::size_t bytes) : bytes_(bytes), fd_(::memfd_create("device", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(fd_, static_cast<off_t>(bytes)), 0);
    view_ = static_cast<std::uint8_t*>(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
  }
  ~Backing() {
    ::munmap(view_, bytes_);
    ::close(fd_);
  }
  Backing(const Backing&) = delete;
  int fd() const { return fd_; }
  std::uint8_t* data() { return view_; }

 private:
  const std::size_t bytes_;
  const int fd_;
  std::uint8_t* view_ = nullptr;
};

// Of peer memory the addresses are real, for there is no file to go by: the fake's mapping is this process's.
class FakeDevice final : public DirectMemory {
 public:
  static constexpr std::uint64_t kNowhere = 0x6000'0000'0000;

  DirectBlock Add(std::uint64_t allocation, std::uint64_t epoch, std::size_t bytes, bool is_real = false) {
    auto& backing = backings_[{allocation, epoch}] = std::make_unique<Backing>(bytes);
    DirectBlock block{allocation, epoch, kNowhere + allocation * limits::kGiB, bytes};
    if (is_real) block.address = reinterpret_cast<std::uintptr_t>(backing->data());
    return block;
  }
  std::uint8_t* At(const DirectBlock& block) { return backings_.at({block.allocation, block.epoch})->data(); }

  Result<DirectBlock> Landing(std::uint64_t bytes) override {
    if (!can_land) return Status(Code::kUnsupported, "FakeDevice", "nobody knows when it sees what was written");
    if (landing.bytes == 0) landing = Add(1000, 1, bytes, has_real_addresses);
    return landing;
  }
  Result<int> ExportDmaBuf(const DirectBlock& block) override {
    ++exports;
    if (before_export) before_export();
    if (!can_export) return Status(Code::kUnsupported, "FakeDevice", "the driver exports nothing");
    return ::dup(backings_.at({block.allocation, block.epoch})->fd());
  }

  bool can_land = true;
  bool can_export = true;
  bool has_real_addresses = false;
  int exports = 0;
  std::function<void()> before_export;
  DirectBlock landing;

 private:
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::unique_ptr<Backing>> backings_;
};

// Sessions ------------------------------------------------------------------------------------------------------------

class RdmaDirect : public ::testing::Test {
 protected:
  RdmaDirect() { ::unsetenv("ACCELMESH_GPUDIRECT"); }
  ~RdmaDirect() override { ::unsetenv("ACCELMESH_GPUDIRECT"); }

  DirectMeans Open() {
    channels_ = OpenSession(*fabric_);
    // The server has its client once it takes something of it.
    EXPECT_TRUE(channels_.client->Send(UpLane::kCommand, AsBytes("hello"), In(1000)).ok());
    EXPECT_TRUE(channels_.server->Receive(true, In(10000)).ok());
    registered_before_ = fabric_->registered(kServerSide);
    lane_ = channels_.server->direct();
    EXPECT_NE(lane_, nullptr);
    const DirectMeans means = lane_->Join(device_);
    Nothing sink;
    (void)channels_.client->Pump(sink, In(lane_ != nullptr && means != DirectMeans::kBounce ? 10000 : 1));
    return means;
  }
  std::unique_ptr<BulkBody> Take(std::uint64_t token) {
    for (;;) {
      Result<std::unique_ptr<BulkBody>> body = channels_.server->TakeBulk(token);
      if (body.ok()) return *std::move(body);
      if (!channels_.server->Receive(true, In(10000)).ok()) return nullptr;
    }
  }
  // The bytes of a body, wherever it lies.
  ByteView BytesOf(const BulkBody& body) {
    if (body.device_address() == 0) return body.bytes();
    EXPECT_TRUE(body.bytes().empty());
    return {device_.At(device_.landing) + (body.device_address() - device_.landing.address), body.size()};
  }
  Bytes Random(std::size_t size) {
    Bytes bytes(size);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random_());
    return bytes;
  }
  Bytes Download(const DirectBlock& block, std::uint64_t at, std::uint64_t size) {
    const std::uint64_t token = next_token_++;
    Bytes to(size);
    EXPECT_TRUE(channels_.client->ExpectBulk(token, to).ok());
    Status sent;
    std::thread mover([&] { sent = lane_->SendDevice(token, 0, block, block.address + at, size, In(20000)); });
    Nothing sink;
    while (!channels_.client->BulkLanded(token)) {
      if (const Status pumped = channels_.client->Pump(sink, In(20000)); !pumped.ok()) {
        ADD_FAILURE() << pumped.ToString();
        break;
      }
    }
    mover.join();
    EXPECT_TRUE(sent.ok()) << sent.ToString();
    return to;
  }
  std::uint64_t ServerCopies() { return CountsOf(*channels_.server).bytes_copied; }

  const CapturedLog log_;
  std::mt19937 random_{11};
  std::shared_ptr<FakeFabric> fabric_ = FakeFabric::Make();
  FakeDevice device_;  // before the channels: they use it
  Channels channels_;
  DirectLane* lane_ = nullptr;
  std::size_t registered_before_ = 0;
  std::uint64_t next_token_ = 1;
};

bool IsLandingSized(MutableByteView memory) { return memory.size() == kLandingBytes; }

TEST_F(RdmaDirect, DmaBufIsChosenWhereDriverAndCardHaveIt) {
  EXPECT_EQ(Open(), DirectMeans::kDmaBuf);
  const auto said = CapturedLog::Take();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_THAT(said[0], AllOf(HasSubstr("GPUDirect (dma-buf)"), HasSubstr("has never run on hardware")));
}

TEST_F(RdmaDirect, PeerMemoryIsTriedWhereTheDriverExportsNothing) {
  device_.can_export = false;
  device_.has_real_addresses = true;
  EXPECT_EQ(Open(), DirectMeans::kPeerMemory);
  const auto said = CapturedLog::Take();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_THAT(said[0], AllOf(HasSubstr("GPUDirect (peer memory)"), HasSubstr("the driver exports nothing"),
                             HasSubstr("has never run on hardware")));
}

TEST_F(RdmaDirect, PeerMemoryIsTriedWhereTheCardTakesNoDmaBuf) {
  fabric_->takes_dma_buf = false;
  device_.has_real_addresses = true;
  EXPECT_EQ(Open(), DirectMeans::kPeerMemory);
  EXPECT_EQ(CapturedLog::Take().size(), 1U);
}

TEST_F(RdmaDirect, WithoutEitherBodiesGoThroughPinnedMemory) {
  fabric_->takes_dma_buf = false;
  fabric_->refuses = IsLandingSized;
  EXPECT_EQ(Open(), DirectMeans::kBounce);
  EXPECT_EQ(fabric_->registered(kServerSide), registered_before_);
  const auto said = CapturedLog::Take();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_THAT(said[0], AllOf(HasSubstr("through pinned memory"), HasSubstr("takes no dma-buf"),
                             HasSubstr("no such pages"), Not(HasSubstr("hardware"))));
  const DirectBlock block = device_.Add(1, 1, limits::kMiB);
  EXPECT_EQ(lane_->SendDevice(1, 0, block, block.address, 100, In(1000)).code(), Code::kUnsupported);
}

TEST_F(RdmaDirect, ADeviceThatCannotSayWhatItSeesGetsNothingDirectly) {
  device_.can_land = false;
  EXPECT_EQ(Open(), DirectMeans::kBounce);
  EXPECT_EQ(device_.exports, 0);
  EXPECT_THAT(CapturedLog::Take().at(0), HasSubstr("nobody knows when it sees"));
}

TEST_F(RdmaDirect, AnOperatorTurnsItOff) {
  ::setenv("ACCELMESH_GPUDIRECT", "off", 1);
  EXPECT_EQ(Open(), DirectMeans::kBounce);
  EXPECT_EQ(device_.exports, 0);
  EXPECT_THAT(CapturedLog::Take().at(0), HasSubstr("ACCELMESH_GPUDIRECT=off"));
}

TEST_F(RdmaDirect, BodiesThatGoUpLandInTheDevicesMemoryWithoutACopy) {
  ASSERT_EQ(Open(), DirectMeans::kDmaBuf);
  Bytes pinned = Random(2 * limits::kMiB);
  channels_.client->NotePinned(pinned);
  const std::uint64_t client_before = CountsOf(*channels_.client).bytes_copied;
  const std::uint64_t before = ServerCopies();
  std::vector<std::unique_ptr<BulkBody>> held;
  std::uint64_t small = 0;  // a client that has measured nothing copies what is small
  std::size_t pieces = 0;
  for (; pieces < 300; ++pieces) {
    const std::size_t size = 1 + random_() % (pieces % 10 == 0 ? limits::kMiB : 70000);
    const std::size_t at = random_() % (pinned.size() - size);
    if (size < Thresholds().direct_bytes_min) small += size;
    const std::uint64_t token = next_token_++;
    ASSERT_TRUE(channels_.client->SendBulkToDevice(token, ByteView(pinned).subspan(at, size), In(10000)).ok());
    std::unique_ptr<BulkBody> body = Take(token);
    ASSERT_NE(body, nullptr);
    ASSERT_NE(body->device_address(), 0U);
    const ByteView bytes = BytesOf(*body);
    ASSERT_EQ(bytes.size(), size);
    ASSERT_EQ(std::memcmp(bytes.data(), pinned.data() + at, size), 0);
    // Some stay for a while: copies that are queued.
    held.push_back(std::move(body));
    if (held.size() > 3) held.erase(held.begin() + static_cast<std::ptrdiff_t>(random_() % held.size()));
    if (held.size() == 3) held.clear();
  }
  EXPECT_EQ(ServerCopies() - before, pieces * sizeof(Announcement)) << "the records, and of the bodies nothing";
  EXPECT_EQ(CountsOf(*channels_.client).bytes_copied - client_before, pieces * sizeof(Announcement) + small);
}

TEST_F(RdmaDirect, WhatIsNotPinnedIsCopiedOnceByTheClientAndLandsAllTheSame) {
  ASSERT_EQ(Open(), DirectMeans::kDmaBuf);
  const std::uint64_t before = ServerCopies();
  for (const std::size_t size : {std::size_t{1}, kUnitBytes, kUnitBytes + 1, limits::kBulkBytesMax}) {
    const Bytes from = Random(size);
    const std::uint64_t token = next_token_++;
    ASSERT_TRUE(channels_.client->SendBulkToDevice(token, from, In(10000)).ok());
    const std::unique_ptr<BulkBody> body = Take(token);
    ASSERT_NE(body, nullptr);
    EXPECT_NE(body->device_address(), 0U);
    EXPECT_EQ(std::memcmp(BytesOf(*body).data(), from.data(), size), 0);
  }
  EXPECT_EQ(ServerCopies() - before, 4 * sizeof(Announcement));
  // What the server itself reads does not go there.
  const std::uint64_t token = next_token_++;
  ASSERT_TRUE(channels_.client->SendBulk(token, AsBytes("an image"), In(1000)).ok());
  const std::unique_ptr<BulkBody> body = Take(token);
  ASSERT_NE(body, nullptr);
  EXPECT_EQ(body->device_address(), 0U);
  EXPECT_EQ(AsText(body->bytes()), "an image");
}

TEST_F(RdmaDirect, AFullLandingKeepsNobodyWaiting) {
  ASSERT_EQ(Open(), DirectMeans::kDmaBuf);
  const Bytes body = Random(limits::kBulkBytesMax);
  std::vector<std::unique_ptr<BulkBody>> held;
  // Four fill the landing, and eight the arena.
  for (int i = 0; i < 12; ++i) {
    const std::uint64_t token = next_token_++;
    ASSERT_TRUE(channels_.client->SendBulkToDevice(token, body, In(10000)).ok());
    held.push_back(Take(token));
    ASSERT_NE(held.back(), nullptr);
    EXPECT_EQ(held.back()->device_address() != 0, i < 4) << i;
    EXPECT_EQ(std::memcmp(BytesOf(*held.back()).data(), body.data(), body.size()), 0);
  }
  EXPECT_EQ(channels_.client->SendBulkToDevice(next_token_++, body, In(20)).code(), Code::kDeadlineExceeded);
  held.erase(held.begin());
  EXPECT_TRUE(channels_.client->SendBulkToDevice(next_token_, body, In(10000)).ok());
  EXPECT_NE(Take(next_token_)->device_address(), 0U) << "the landing has room first";
}

TEST_F(RdmaDirect, BodiesThatComeDownAreReadWhereTheyLie) {
  ASSERT_EQ(Open(), DirectMeans::kDmaBuf);
  const DirectBlock block = device_.Add(1, 1, 8 * limits::kMiB);
  const Bytes content = Random(block.bytes);
  std::memcpy(device_.At(block), content.data(), content.size());
  const std::uint64_t before = ServerCopies();
  std::uint64_t pieces = 0;
  for (int i = 0; i < 40; ++i) {
    const std::uint64_t size = 1 + random_() % (i % 8 == 0 ? 4 * limits::kMiB : 200000);
    const std::uint64_t at = random_() % (block.bytes - size);
    const Bytes got = Download(block, at, size);
    ASSERT_EQ(std::memcmp(got.data(), content.data() + at, size), 0);
    pieces += (size + limits::kBulkBytesMax - 1) / limits::kBulkBytesMax;
  }
  EXPECT_EQ(ServerCopies() - before, pieces * sizeof(Announcement));
  EXPECT_EQ(device_.exports, 2) << "the landing and the block, once each";
  EXPECT_EQ(lane_->SendDevice(99, 0, block, block.address + block.bytes - 1, 2, In(1000)).code(),
            Code::kInvalidArgument);
}

TEST_F(RdmaDirect, PeerMemoryCarriesBytesBothWays) {
  fabric_->takes_dma_buf = false;
  device_.has_real_addresses = true;
  ASSERT_EQ(Open(), DirectMeans::kPeerMemory);
  const DirectBlock block = device_.Add(1, 1, limits::kMiB, /*is_real=*/true);
  const Bytes content = Random(block.bytes);
  std::memcpy(device_.At(block), content.data(), content.size());
  EXPECT_EQ(Download(block, 0, block.bytes), content);
  ASSERT_TRUE(channels_.client->SendBulkToDevice(next_token_, content, In(10000)).ok());
  const std::unique_ptr<BulkBody> body = Take(next_token_++);
  ASSERT_NE(body, nullptr);
  EXPECT_NE(body->device_address(), 0U);
  EXPECT_EQ(std::memcmp(BytesOf(*body).data(), content.data(), content.size()), 0);
}

TEST_F(RdmaDirect, AnAddressThatIsUsedAgainIsAnotherBlock) {
  ASSERT_EQ(Open(), DirectMeans::kDmaBuf);
  const DirectBlock old = device_.Add(1, 1, limits::kMiB);
  std::memset(device_.At(old), 0xaa, old.bytes);
  EXPECT_EQ(Download(old, 0, 1000), Bytes(1000, 0xaa));
  lane_->Forget(old);
  const DirectBlock next = device_.Add(1, 2, limits::kMiB);
  ASSERT_EQ(next.address, old.address);
  std::memset(device_.At(next), 0xbb, next.bytes);
  EXPECT_EQ(Download(next, 0, 1000), Bytes(1000, 0xbb));
  // Nor if nobody was told that the old one went.
  const DirectBlock last = device_.Add(1, 3, limits::kMiB);
  std::memset(device_.At(last), 0xcc, last.bytes);
  EXPECT_EQ(Download(last, 0, 1000), Bytes(1000, 0xcc));
}

TEST_F(RdmaDirect, NothingIsRegisteredAnyMoreOnceTheBackendLeaves) {
  ASSERT_EQ(Open(), DirectMeans::kDmaBuf);
  const DirectBlock block = device_.Add(1, 1, limits::kMiB);
  (void)Download(block, 0, 1000);
  EXPECT_EQ(fabric_->registered(kServerSide), registered_before_ + 2);
  lane_->Leave();
  EXPECT_EQ(fabric_->registered(kServerSide), registered_before_);
  EXPECT_EQ(lane_->SendDevice(50, 0, block, block.address, 100, In(1000)).code(), Code::kUnsupported);
  // A client that writes there all the same has its connection ended by the device.
  const Bytes body(1000);
  (void)channels_.client->SendBulkToDevice(next_token_++, body, In(1000));
  Nothing sink;
  Status ended;
  while (ended.ok() || ended.code() == Code::kDeadlineExceeded) ended = channels_.client->Pump(sink, In(100));
  EXPECT_THAT(ended.text(), HasSubstr("refused access"));
}

// The process ends, and its channel before the thread has come back from the driver.
TEST_F(RdmaDirect, WhatAThreadThatDoesNotComeBackMayUseStays) {
  ASSERT_EQ(Open(), DirectMeans::kDmaBuf);
  const DirectBlock block = device_.Add(1, 1, limits::kMiB);
  std::promise<void> is_there;
  std::promise<void> goes_on;
  device_.before_export = [&] {
    is_there.set_value();
    goes_on.get_future().wait();
  };
  Status sent;
  std::thread stuck([&] { sent = lane_->SendDevice(1, 0, block, block.address, 1000, Deadline::Never()); });
  is_there.get_future().wait();
  lane_->Abandon();
  channels_.server->Close();
  channels_.server.reset();
  EXPECT_GT(fabric_->registered(kServerSide), 0u);
  goes_on.set_value();
  stuck.join();
  EXPECT_EQ(sent.code(), Code::kClosed) << sent.ToString();
}

TEST_F(RdmaDirect, PinnedMemoryOfTheServerIsSentWithoutACopy) {
  fabric_->takes_dma_buf = false;
  fabric_->refuses = IsLandingSized;
  ASSERT_EQ(Open(), DirectMeans::kBounce);
  const Bytes pinned = Random(3 * limits::kMiB);
  lane_->NotePinned({const_cast<std::uint8_t*>(pinned.data()), pinned.size()});
  const std::uint64_t before = ServerCopies();
  const std::uint64_t token = next_token_++;
  Bytes to(limits::kMiB);
  ASSERT_TRUE(channels_.client->ExpectBulk(token, to).ok());
  ASSERT_TRUE(channels_.server->SendBulk(token, 0, ByteView(pinned).subspan(777, to.size()), In(10000)).ok());
  Nothing sink;
  while (!channels_.client->BulkLanded(token)) ASSERT_TRUE(channels_.client->Pump(sink, In(10000)).ok());
  EXPECT_EQ(std::memcmp(to.data(), pinned.data() + 777, to.size()), 0);
  EXPECT_EQ(ServerCopies() - before, sizeof(Announcement));
}

TEST_F(RdmaDirect, TooLittleLockableMemoryIsSaidOnceAndCopiesGoOn) {
  fabric_->takes_dma_buf = false;
  fabric_->refuses = IsLandingSized;
  ASSERT_EQ(Open(), DirectMeans::kBounce);
  (void)CapturedLog::Take();
  fabric_->lockable_bytes = 1;
  const Bytes pinned = Random(limits::kMiB);
  lane_->NotePinned({const_cast<std::uint8_t*>(pinned.data()), pinned.size()});
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t token = next_token_++;
    Bytes to(limits::kMiB);
    ASSERT_TRUE(channels_.client->ExpectBulk(token, to).ok());
    ASSERT_TRUE(channels_.server->SendBulk(token, 0, pinned, In(10000)).ok());
    Nothing sink;
    while (!channels_.client->BulkLanded(token)) ASSERT_TRUE(channels_.client->Pump(sink, In(10000)).ok());
    EXPECT_EQ(to, pinned);
  }
  const auto said = CapturedLog::Take();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_THAT(said[0], HasSubstr("may not lock so much memory"));
}

// What a client claims ------------------------------------------------------------------------------------------------

class RdmaDirectClaims : public RdmaDirect {
 protected:
  // Puts a record of the body ring's where the server takes it for the client's.
  Status Announce(End& client, std::uint32_t first_unit, std::uint32_t size) {
    const Announcement claim{77, 0, first_unit, size};
    return client.Send(kBodyRing, Kind::kBody, AsBytes(claim), In(1000));
  }
  Code Claim(bool has_landing, std::uint32_t first_unit, std::uint32_t size) {
    const auto fabric = FakeFabric::Make();
    fabric->takes_dma_buf = has_landing;
    fabric->refuses = IsLandingSized;
    Ends ends = Join(*fabric).value();
    const std::unique_ptr<ServerChannel> server = Serve(std::move(ends.server));
    EXPECT_TRUE(ends.client->Send(kCommandRing, Kind::kFrame, AsBytes("hello"), In(1000)).ok());
    EXPECT_TRUE(server->Receive(true, In(10000)).ok());
    FakeDevice device;
    EXPECT_EQ(server->direct()->Join(device), has_landing ? DirectMeans::kDmaBuf : DirectMeans::kBounce);
    EXPECT_TRUE(Announce(*ends.client, first_unit, size).ok());
    const Code code = server->Receive(true, In(10000)).code();
    server->direct()->Leave();
    return code;
  }
};

TEST_F(RdmaDirectClaims, ABodyLiesInTheLandingIfThereIsOneAndNowhereBeyond) {
  EXPECT_EQ(Claim(true, kUnits, 1), Code::kOk);
  EXPECT_EQ(Claim(true, kUnits + kLandingUnits - 1, kUnitBytes), Code::kOk);
  EXPECT_EQ(Claim(false, kUnits, 1), Code::kBadFrame);
  EXPECT_EQ(Claim(true, kUnits + kLandingUnits, 1), Code::kBadFrame);
  EXPECT_EQ(Claim(true, kUnits + kLandingUnits - 1, kUnitBytes + 1), Code::kBadFrame);
  EXPECT_EQ(Claim(true, kUnits - 1, 2 * kUnitBytes), Code::kBadFrame) << "of both";
  EXPECT_EQ(Claim(true, UINT32_MAX, 1), Code::kBadFrame);
}

TEST_F(RdmaDirectClaims, AServerHasOneLanding) {
  const auto fabric = FakeFabric::Make();
  Ends ends = Join(*fabric).value();
  const std::unique_ptr<ClientChannel> client = MakeClient(std::move(ends.client));
  Nothing sink;
  const LandingPlace place{4096, 1, 0};
  EXPECT_TRUE(ends.server->Send(kDownRing, Kind::kLanding, AsBytes(place), In(1000)).ok());
  EXPECT_TRUE(client->Pump(sink, In(10000)).ok());
  EXPECT_TRUE(ends.server->Send(kDownRing, Kind::kLanding, AsBytes(place), In(1000)).ok());
  EXPECT_EQ(client->Pump(sink, In(10000)).code(), Code::kBadFrame);
}

}  // namespace
}  // namespace accelmesh::rdma
