// Who comes next, when many have sent much.
#include "market/slot_market/turnstile.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace accelmesh::market {
namespace {

Turnstile::Arrival From(const std::string& identity, const std::string& peer = "p", std::size_t bytes = 10) {
  return {peer, identity, Bytes(bytes, 'x')};
}
bool Enter(Turnstile& turnstile, Turnstile::Arrival arrival) { return turnstile.Enter(arrival); }

TEST(TurnstileTest, AFloodDelaysAnotherByOneMessage) {
  Turnstile turnstile;
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(Enter(turnstile, From("flood", "c" + std::to_string(i % 100))));
  ASSERT_TRUE(Enter(turnstile, From("other")));
  int before = 0;
  while (turnstile.Next()->identity != "other") ++before;
  EXPECT_LE(before, 1);
}

// A program that goes wrong does not keep the same user's others from renewing.
TEST(TurnstileTest, AConnectionDelaysAnotherOfItsIdentityByOneMessage) {
  Turnstile turnstile;
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(Enter(turnstile, From("one", "flood")));
  ASSERT_TRUE(Enter(turnstile, From("one", "renewal")));
  int before = 0;
  while (turnstile.Next()->peer != "renewal") ++before;
  EXPECT_LE(before, 1);
}

TEST(TurnstileTest, ALineThatIsFullIsFullForItselfOnly) {
  Turnstile turnstile;
  for (std::size_t i = 0; i < Turnstile::kLineMax; ++i) ASSERT_TRUE(Enter(turnstile, From("flood", "c")));
  Turnstile::Arrival more = From("flood", "c", 7);
  EXPECT_FALSE(turnstile.Enter(more));
  EXPECT_EQ(more.bytes.size(), 7U) << "it is still there, to be answered";
  EXPECT_TRUE(Enter(turnstile, From("flood", "d")));
  EXPECT_TRUE(Enter(turnstile, From("other", "c")));
  // By bytes, of all connections together.
  constexpr std::size_t kLarge = 1 << 20;
  for (std::size_t i = 0; i < Turnstile::kBytesMax / kLarge; ++i)
    ASSERT_TRUE(Enter(turnstile, From("large", "c" + std::to_string(i), kLarge)));
  EXPECT_FALSE(Enter(turnstile, From("large", "c0", 1)));
  EXPECT_TRUE(Enter(turnstile, From("large", "d", 1))) << "its other programs are not kept out";
  EXPECT_FALSE(Enter(turnstile, From("large", "d", 1)));
  EXPECT_TRUE(Enter(turnstile, From("larger", "c", 2 * Turnstile::kBytesMax))) << "one is always let in";
}

// Against lists: every message comes out once, each connection's in their order, and between two messages of one
// identity each other one that waits has had its turn; so with the connections of an identity.
TEST(TurnstileTest, TakesTurnsInEveryOrderOfComing) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    Turnstile turnstile;
    std::map<std::string, std::map<std::string, std::deque<std::size_t>>> waiting;
    // Turns of others since it began to wait, or had its turn.
    std::map<std::string, std::size_t> passed;
    std::map<std::pair<std::string, std::string>, std::size_t> passed_inside;
    std::size_t sent = 0;
    std::size_t all = 0;
    for (int step = 0; step < 400; ++step) {
      if (random() % 2 == 0) {
        const std::string identity(1, static_cast<char>('a' + random() % 5));
        const std::string peer(1, static_cast<char>('p' + random() % 3));
        ASSERT_TRUE(Enter(turnstile, From(identity, peer, ++sent)));
        if (waiting[identity].empty()) passed[identity] = 0;
        if (waiting[identity][peer].empty()) passed_inside[{identity, peer}] = 0;
        waiting[identity][peer].push_back(sent);
        ASSERT_EQ(turnstile.size(), ++all);
        continue;
      }
      const auto next = turnstile.Next();
      ASSERT_EQ(next.has_value(), all > 0);
      if (!next) continue;
      ASSERT_EQ(turnstile.size(), --all);
      auto& lines = waiting[next->identity];
      ASSERT_EQ(next->bytes.size(), lines[next->peer].front());
      lines[next->peer].pop_front();
      if (lines[next->peer].empty()) lines.erase(next->peer);
      for (const auto& [peer, line] : lines) {
        if (peer == next->peer) continue;
        ASSERT_LE(++passed_inside[std::make_pair(next->identity, peer)], 2U);
      }
      passed_inside[{next->identity, next->peer}] = 0;
      for (const auto& [identity, others] : waiting) {
        if (identity == next->identity || others.empty()) continue;
        ASSERT_LE(++passed[identity], 4U);
      }
      passed[next->identity] = 0;
    }
  }
}

}  // namespace
}  // namespace accelmesh::market
