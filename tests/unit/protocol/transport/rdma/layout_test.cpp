#include "protocol/transport/rdma/layout.h"

#include <gtest/gtest.h>

#include <array>

namespace accelmesh::rdma {
namespace {

TEST(RdmaGreeting, IsCheckedBeforeAnythingOfItIsUsed) {
  Greeting greeting;
  std::array<std::uint8_t, 16> mark{};
  for (std::size_t i = 0; i < mark.size(); ++i) greeting.mark[i] = mark[i] = static_cast<std::uint8_t>(i * 3 + 1);
  greeting.inbox = 0x1000;
  greeting.inbox_key = 77;
  Bytes bytes(AsBytes(greeting).begin(), AsBytes(greeting).end());
  bytes.resize(56);  // a request is padded
  const auto read = ReadGreeting(bytes, mark);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->inbox, 0x1000u);
  EXPECT_EQ(read->inbox_key, 77u);
  EXPECT_EQ(ReadGreeting(ByteView(bytes).first(sizeof(Greeting) - 1), mark).code(), Code::kBadFrame);
  EXPECT_EQ(ReadGreeting({}, mark).code(), Code::kBadFrame);
  for (std::size_t i = 0; i < mark.size(); ++i) {
    auto other = mark;
    other[i] ^= 0x40;
    EXPECT_EQ(ReadGreeting(bytes, other).code(), Code::kPermissionDenied) << i;
  }
  bytes[0] ^= 1;
  EXPECT_EQ(ReadGreeting(bytes, mark).code(), Code::kVersionMismatch);
}

TEST(RdmaLayout, PartsLieApartAndInsideTheirInbox) {
  for (const Role owner : {Role::kClient, Role::kServer}) {
    std::size_t end = kWordsBytes;
    for (std::size_t ring = 0; ring < RingsOf(owner); ++ring) {
      EXPECT_EQ(RingOffset(ring), end);
      EXPECT_EQ(RingBytes(ring) & (RingBytes(ring) - 1), 0u) << "a power of two";
      end += RingBytes(ring);
    }
    EXPECT_EQ(ArenaOffset(owner), end);
    EXPECT_EQ(InboxBytes(owner), end + kArenaBytes);
  }
  auto block = Block::Create(Role::kServer);
  ASSERT_TRUE(block.ok());
  EXPECT_EQ((*block)->inbox().size(), InboxBytes(Role::kServer));
  EXPECT_EQ((*block)->staging().size(), InboxBytes(Role::kClient));
  EXPECT_EQ((*block)->inbox().data(), (*block)->outbox().data() + (*block)->outbox().size());
  EXPECT_EQ((*block)->staging().data(), (*block)->inbox().data() + (*block)->inbox().size());
  EXPECT_TRUE(IsInArena({1, 0, 127, 65536}));
  EXPECT_FALSE(IsInArena({1, 0, 127, 65537}));
  EXPECT_FALSE(IsInArena({1, 0, 128, 0}));
  EXPECT_FALSE(IsInArena({1, 0, 0xffffffff, 1}));
  EXPECT_FALSE(IsInArena({1, 0, 0, limits::kBulkBytesMax + 1}));
}

}  // namespace
}  // namespace accelmesh::rdma
