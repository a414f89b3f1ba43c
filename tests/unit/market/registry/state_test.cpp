#include "market/registry/state.h"

#include <gtest/gtest.h>

#include <random>

namespace accelmesh::registry {
namespace {

Txn Of(std::vector<Operation> then) {
  Txn txn;
  txn.then = std::move(then);
  return txn;
}

// Puts, deletes, copies and moves in any order: what is found is what a plain map has.
TEST(StateTest, FindsWhatAPlainMapHas) {
  std::mt19937 random(3);
  State state;
  std::map<std::string, std::string> reference;
  for (int step = 0; step < 5000; ++step) {
    const std::string key = "/k" + std::to_string(random() % 50);
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const std::string value = std::to_string(step);
        ASSERT_TRUE(state.Apply(Of({Operation::Put(key, value)})).ok());
        reference[key] = value;
        break;
      }
      case 4:
      case 5:
        ASSERT_TRUE(state.Apply(Of({Operation::Delete(key)})).ok());
        reference.erase(key);
        break;
      case 6: {
        const State copy(state);
        State other;
        other = copy;
        ASSERT_TRUE(state.Apply(Of({Operation::Put("/only", "x")})).ok());
        EXPECT_EQ(other.Find("/only"), nullptr);
        state = other;
        break;
      }
      default: {
        State moved(std::move(state));
        state = std::move(moved);
      }
    }
    const Entry* found = state.Find(key);
    const auto expected = reference.find(key);
    ASSERT_EQ(found != nullptr, expected != reference.end()) << key << " in step " << step;
    if (found != nullptr) {
      ASSERT_EQ(found->value, expected->second);
      ASSERT_EQ(found, &state.entries().at(key));
    }
  }
  ASSERT_EQ(state.entries().size(), reference.size());
}

// A key that a lease takes with it is not found any more.
TEST(StateTest, ALeaseTakesItsKeysWithIt) {
  State state;
  const LeaseResult lease = state.GrantLease(std::chrono::seconds(5), Instant{});
  ASSERT_TRUE(state.Apply(Of({Operation::Put("/a", "1", lease.id), Operation::Put("/b", "2")})).ok());
  ASSERT_TRUE(state.RevokeLease(lease.id).ok());
  EXPECT_EQ(state.Find("/a"), nullptr);
  EXPECT_NE(state.Find("/b"), nullptr);
}

}  // namespace
}  // namespace accelmesh::registry
