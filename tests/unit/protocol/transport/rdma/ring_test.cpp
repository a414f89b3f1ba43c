#include "protocol/transport/rdma/ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace accelmesh::rdma {
namespace {

constexpr std::size_t kCapacity = 256;

// Both halves, and the network between: stretches are copied to the same place of the consumer's memory.
class Joined {
 public:
  bool Push(Kind kind, const Bytes& bytes) {
    if (!out.HasRoom(bytes.size())) return false;
    Stretch stretches[2];
    const std::size_t count = out.Place(kind, bytes, stretches);
    for (std::size_t i = 0; i < count; ++i)
      std::memcpy(data + stretches[i].at, staging + stretches[i].at, stretches[i].bytes);
    return true;
  }
  alignas(8) std::uint8_t staging[kCapacity] = {};
  alignas(8) std::uint8_t data[kCapacity] = {};
  RingOut out{staging, kCapacity};
  RingIn in{data, kCapacity};
};

TEST(RdmaRing, RecordsOfAllSizesComeInOrderRoundTheEnd) {
  Joined ring;
  std::mt19937 random(7);
  std::deque<std::pair<Kind, Bytes>> model;
  std::size_t model_bytes = 0;
  int popped = 0;
  for (int round = 0; round < 20000; ++round) {
    if (random() % 2 == 0) {
      Bytes bytes(random() % 120);
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
      const Kind kind = static_cast<Kind>(1 + random() % 3);
      const std::size_t need = 8 + (bytes.size() + 7) / 8 * 8;
      const bool fits = model_bytes + need <= kCapacity;
      ASSERT_EQ(ring.Push(kind, bytes), fits);
      if (!fits) continue;
      model_bytes += need;
      model.emplace_back(kind, bytes);
      continue;
    }
    ASSERT_TRUE(ring.in.Learn(ring.out.tail()));
    ASSERT_EQ(ring.in.Available(), !model.empty());
    if (model.empty()) continue;
    Bytes got(kCapacity);
    Kind kind = Kind::kFrame;
    std::size_t size = 0;
    ASSERT_TRUE(ring.in.Pop(got.data(), got.size(), kind, size));
    got.resize(size);
    ASSERT_EQ(kind, model.front().first);
    ASSERT_EQ(got, model.front().second);
    model_bytes -= 8 + (size + 7) / 8 * 8;
    model.pop_front();
    ++popped;
    ASSERT_TRUE(ring.out.Learn(ring.in.head()));
  }
  EXPECT_GT(popped, 1000);
}

TEST(RdmaRing, AConsumersClaimIsBelievedOnlyIfItCanBe) {
  Joined ring;
  ASSERT_TRUE(ring.Push(Kind::kFrame, Bytes(200)));
  EXPECT_FALSE(ring.out.HasRoom(100));
  EXPECT_FALSE(ring.out.Learn(ring.out.tail() + 8)) << "more than was ever sent";
  EXPECT_FALSE(ring.out.HasRoom(100));
  EXPECT_TRUE(ring.out.Learn(ring.out.tail()));
  EXPECT_TRUE(ring.out.HasRoom(100));
  EXPECT_TRUE(ring.out.Learn(0)) << "an old value, or a mixture";
  EXPECT_TRUE(ring.out.HasRoom(100)) << "room that was given is not taken back";
}

TEST(RdmaRing, AProducersClaimIsBelievedOnlyIfItCanBe) {
  alignas(8) std::uint8_t data[kCapacity] = {};
  RingIn in(data, kCapacity);
  EXPECT_FALSE(in.Learn(kCapacity + 8));
  EXPECT_FALSE(in.Learn(12));
  EXPECT_FALSE(in.Learn(~std::uint64_t{0} - 7));
  EXPECT_FALSE(in.Available());
  EXPECT_TRUE(in.Learn(8));
  EXPECT_TRUE(in.Available());
  EXPECT_TRUE(in.Learn(0));
  EXPECT_TRUE(in.Available());
}

TEST(RdmaRing, NothingThatAPeerWritesLeadsOutOfTheRing) {
  std::mt19937 random(11);
  for (int round = 0; round < 20000; ++round) {
    alignas(8) std::uint8_t data[kCapacity];
    for (std::uint8_t& byte : data) byte = static_cast<std::uint8_t>(random() % 4 == 0 ? random() : random() % 3);
    RingIn in(data, kCapacity);
    (void)in.Learn(random() % 40 * 8);
    std::uint8_t to[64 + 8];
    std::memset(to, 0xee, sizeof(to));
    for (int record = 0; record < 50 && in.Available(); ++record) {
      Kind kind = Kind::kFrame;
      std::size_t size = 0;
      if (!in.Pop(to, 64, kind, size)) break;
      ASSERT_LE(size, 64u);
      ASSERT_LE(in.head(), in.tail());
      ASSERT_GE(static_cast<std::uint32_t>(kind), 1u);
      ASSERT_LE(static_cast<std::uint32_t>(kind), 3u);
    }
    for (std::size_t i = 64; i < sizeof(to); ++i) ASSERT_EQ(to[i], 0xee);
  }
}

TEST(RdmaRing, ARecordIsNoneIfItsHeaderSaysMoreThanIsThere) {
  const auto pops = [](std::uint32_t size, std::uint32_t kind, std::uint64_t tail) {
    alignas(8) std::uint8_t data[kCapacity] = {};
    const std::uint32_t header[2] = {size, kind};
    std::memcpy(data, header, sizeof(header));
    RingIn in(data, kCapacity);
    EXPECT_TRUE(in.Learn(tail));
    std::uint8_t to[64];
    Kind got = Kind::kFrame;
    std::size_t bytes = 0;
    return in.Pop(to, sizeof(to), got, bytes);
  };
  EXPECT_TRUE(pops(16, 1, 24));
  EXPECT_FALSE(pops(17, 1, 24));
  EXPECT_FALSE(pops(65, 1, 200)) << "longer than the reader takes";
  EXPECT_FALSE(pops(0xffffffff, 1, 200));
  EXPECT_FALSE(pops(16, 0, 24));
  EXPECT_FALSE(pops(16, 4, 24));
}

}  // namespace
}  // namespace accelmesh::rdma
