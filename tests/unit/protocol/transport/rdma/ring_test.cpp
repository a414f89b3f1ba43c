#include "protocol/transport/rdma/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
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

// Lone records, and others between them. Whatever order the bytes of one come in, and whatever lay there before, it is
// seen once all of them are there and not before.
TEST(RdmaRing, ALoneRecordIsSeenWhenItIsWhole) {
  Joined ring;
  std::mt19937 random(5);
  for (std::uint8_t& byte : ring.data) byte = static_cast<std::uint8_t>(random());
  int lone = 0;
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes(random() % 90);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() % 3);
    const Kind kind = static_cast<Kind>(1 + random() % 3);
    Told told;
    ASSERT_FALSE(ring.in.Look(told)) << "what is left of a round earlier";
    if (random() % 4 == 0 || !ring.out.HasRoomForLone(bytes.size())) {
      ASSERT_TRUE(ring.Push(kind, bytes));
      ASSERT_FALSE(ring.in.Look(told)) << "it does not announce itself";
      ASSERT_TRUE(ring.in.Learn(ring.out.tail()));
    } else {
      ++lone;
      const Told sent{random(), random()};
      const Stretch stretch = ring.out.PlaceLone(kind, bytes, sent);
      ASSERT_EQ(stretch.bytes, 32 + (bytes.size() + 7) / 8 * 8);
      std::vector<std::size_t> order(stretch.bytes);
      for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
      // Some devices write forwards, one writes backwards, one as it likes.
      if (round % 3 == 1) std::reverse(order.begin(), order.end());
      if (round % 3 == 2) std::shuffle(order.begin(), order.end(), random);
      bool is_seen = false;
      for (const std::size_t i : order) {
        ring.data[stretch.at + i] = ring.staging[stretch.at + i];
        const bool is_whole = std::memcmp(ring.data + stretch.at, ring.staging + stretch.at, stretch.bytes) == 0;
        if (is_seen) continue;
        is_seen = ring.in.Look(told);
        ASSERT_EQ(is_seen, is_whole);
      }
      ASSERT_TRUE(is_seen);
      ASSERT_EQ(told.head, sent.head);
      ASSERT_EQ(told.acknowledged, sent.acknowledged);
    }
    ASSERT_TRUE(ring.in.Available());
    Bytes got(kCapacity);
    Kind got_kind = Kind::kFrame;
    std::size_t size = 0;
    ASSERT_TRUE(ring.in.Pop(got.data(), got.size(), got_kind, size));
    got.resize(size);
    ASSERT_EQ(got_kind, kind);
    ASSERT_EQ(got, bytes);
    ASSERT_FALSE(ring.in.Available());
    ASSERT_TRUE(ring.out.Learn(ring.in.head()));
  }
  EXPECT_GT(lone, 5000);
}

TEST(RdmaRing, ALoneRecordLiesInOnePieceAndNeverOnWhatWasNotTaken) {
  Joined ring;
  EXPECT_TRUE(ring.out.HasRoomForLone(kCapacity - 32));
  EXPECT_FALSE(ring.out.HasRoomForLone(kCapacity - 31));
  ASSERT_TRUE(ring.Push(Kind::kFrame, Bytes(152)));  // 160
  EXPECT_TRUE(ring.out.HasRoomForLone(64));
  EXPECT_FALSE(ring.out.HasRoomForLone(65));
  ASSERT_TRUE(ring.out.Learn(160));
  EXPECT_FALSE(ring.out.HasRoomForLone(65)) << "it would go round the end";
  ASSERT_TRUE(ring.Push(Kind::kFrame, Bytes(88)));  // to the end
  EXPECT_TRUE(ring.out.HasRoomForLone(128));
  EXPECT_FALSE(ring.out.HasRoomForLone(129)) << "behind it lies what was not taken";
}

// Its check word fits, its size does not.
TEST(RdmaRing, ALoneRecordThatLeadsOutOfTheRingIsNone) {
  alignas(8) std::uint8_t staging[kCapacity] = {};
  RingOut larger(staging, kCapacity);
  const Stretch stretch = larger.PlaceLone(Kind::kFrame, Bytes(200), {});
  for (const std::size_t capacity : {std::size_t{64}, std::size_t{128}, kCapacity}) {
    std::vector<std::uint64_t> memory(capacity / 8);
    std::memcpy(memory.data(), staging + stretch.at, std::min<std::size_t>(capacity, stretch.bytes));
    RingIn in(reinterpret_cast<const std::uint8_t*>(memory.data()), capacity);
    Told told;
    EXPECT_EQ(in.Look(told), capacity == kCapacity) << capacity;
    EXPECT_LE(in.tail(), capacity);
  }
}

// One of the ring's beginning, found where a stamp comes again.
TEST(RdmaRing, ALoneRecordOfAnotherPlaceIsNone) {
  constexpr std::size_t kLarge = std::size_t{2} << 20;
  constexpr std::uint64_t kStampsRepeat = std::uint64_t{8} << 23;
  std::vector<std::uint64_t> memory(kLarge / 8);
  std::vector<std::uint64_t> staging(kLarge / 8);
  auto* const data = reinterpret_cast<std::uint8_t*>(memory.data());
  RingIn in(data, kLarge);
  RingOut out(reinterpret_cast<std::uint8_t*>(staging.data()), kLarge);
  const Bytes frame(kLarge / 2 - 8);
  Bytes to(kLarge);
  while (out.tail() < kStampsRepeat) {
    Stretch stretches[2];
    ASSERT_EQ(out.Place(Kind::kFrame, frame, stretches), 1u);
    std::memcpy(data + stretches[0].at, out.staging() + stretches[0].at, stretches[0].bytes);
    ASSERT_TRUE(in.Learn(out.tail()));
    Kind kind = Kind::kFrame;
    std::size_t size = 0;
    ASSERT_TRUE(in.Pop(to.data(), to.size(), kind, size));
    ASSERT_TRUE(out.Learn(in.head()));
  }
  Joined early;
  const Stretch old = early.out.PlaceLone(Kind::kFrame, Bytes(16, 1), {});
  std::memcpy(data, early.staging, old.bytes);
  Told told;
  EXPECT_FALSE(in.Look(told));
  const Stretch now = out.PlaceLone(Kind::kFrame, Bytes(16, 1), {});
  ASSERT_EQ(now.at, 0u);
  std::memcpy(data, out.staging(), now.bytes);
  EXPECT_TRUE(in.Look(told));
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

// Read while it is written, byte by byte, a position may be a mixture that lies within a record.
TEST(RdmaRing, AMixtureOfTwoPositionsEndsNoRecord) {
  alignas(8) std::uint8_t staging[kCapacity] = {};
  RingOut out(staging, kCapacity);
  Stretch stretches[2];
  for (const std::size_t size : {16U, 40U, 40U}) (void)out.Place(Kind::kFrame, Bytes(size, 7), stretches);
  RingIn in(staging, kCapacity);
  std::uint8_t to[64];
  Kind kind = Kind::kFrame;
  std::size_t size = 0;
  std::size_t popped = 0;
  for (std::uint64_t tail = 8; tail <= out.tail(); tail += 8) {
    ASSERT_TRUE(in.Learn(tail));
    while (in.Available()) {
      ASSERT_TRUE(in.Pop(to, sizeof(to), kind, size)) << tail;
      ++popped;
    }
    ASSERT_EQ(popped, tail < 24 ? 0U : tail < 72 ? 1U : tail < 120 ? 2U : 3U) << tail;
    ASSERT_EQ(in.EndsWithin(), in.head() != tail) << tail;
  }
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
      ASSERT_LE(static_cast<std::uint32_t>(kind), static_cast<std::uint32_t>(Kind::kLanding));
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
  EXPECT_FALSE(pops(16, 5, 24));
}

}  // namespace
}  // namespace accelmesh::rdma
