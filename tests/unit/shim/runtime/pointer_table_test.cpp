#include "shim/runtime/pointer_table.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <unordered_map>

namespace accelmesh {
namespace {

const void* Key(std::uintptr_t number) { return reinterpret_cast<const void*>(number); }

TEST(PointerTable, AnEmptyOneHoldsNothing) {
  PointerTable<int> table;
  EXPECT_EQ(table.Find(Key(8)), nullptr);
  EXPECT_EQ(table.Find(nullptr), nullptr);
  table.Erase(Key(8));
}

TEST(PointerTable, FollowsAMapThroughGrowthAndErasure) {
  PointerTable<int> table;
  std::unordered_map<const void*, int*> expected;
  std::vector<int> values(512);
  std::mt19937 random(2);
  for (int step = 0; step < 40000; ++step) {
    // Addresses as they are: aligned, in a few neighbourhoods.
    const void* key = Key(0x550000000000 + (random() % 4) * 0x10000000 + (random() % 600) * 16);
    if (random() % 3 == 0) {
      table.Erase(key);
      expected.erase(key);
    } else {
      int* value = &values[random() % values.size()];
      table.Set(key, value);
      expected[key] = value;
    }
    if (step % 100 != 0) continue;
    for (const auto& [k, v] : expected) ASSERT_EQ(table.Find(k), v);
  }
  for (std::uintptr_t n = 0; n < 4 * 600; ++n) {
    const void* key = Key(0x550000000000 + n / 600 * 0x10000000 + n % 600 * 16);
    const auto found = expected.find(key);
    ASSERT_EQ(table.Find(key), found == expected.end() ? nullptr : found->second);
  }
}

TEST(PointerTable, ReadersSeeWhatIsThereWhileItGrows) {
  PointerTable<int> table;
  std::vector<int> values(5000);
  table.Set(&values[0], &values[0]);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        if (table.Find(&values[0]) != &values[0]) wrong.fetch_add(1);
        for (std::size_t i = 1; i < values.size(); i += 97) {
          int* found = table.Find(&values[i]);
          if (found != nullptr && found != &values[i]) wrong.fetch_add(1);
        }
      }
    });
  }
  for (int& value : values) table.Set(&value, &value);
  for (std::size_t i = 1; i < values.size(); i += 2) table.Erase(&values[i]);
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0);
  for (std::size_t i = 1; i < values.size(); ++i) {
    ASSERT_EQ(table.Find(&values[i]), i % 2 == 1 ? nullptr : &values[i]);
  }
}

}  // namespace
}  // namespace accelmesh
