#include "server/backend/cpu/recycler.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace accelmesh {
namespace {

TEST(Recycler, GivesAgainWhatCameBack) {
  Recycler recycler;
  void* first = recycler.Take(96);
  recycler.GiveBack(first, 96);
  EXPECT_EQ(recycler.Take(96), first);
  recycler.GiveBack(first, 96);
}

TEST(Recycler, KeepsOneSizeOnly) {
  Recycler recycler;
  void* first = recycler.Take(96);
  void* other = recycler.Take(4096);
  recycler.GiveBack(other, 4096);
  recycler.GiveBack(first, 96);
  void* larger = recycler.Take(4096);
  EXPECT_NE(larger, first);  // it would not fit
  recycler.GiveBack(larger, 4096);
}

// As launches do: made by one thread, ended by others.
TEST(Recycler, ObjectsEndOnOtherThreads) {
  struct Thing {
    explicit Thing(int value) : number(value) {}
    int number;
    std::vector<int> held = std::vector<int>(8);
  };
  Recycler recycler;
  for (int round = 0; round < 50; ++round) {
    std::vector<std::shared_ptr<Thing>> things;
    for (int i = 0; i < 40; ++i) things.push_back(std::allocate_shared<Thing>(Recycled<Thing>(recycler), i));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&things, t] {
        for (int i = t; i < 40; i += 4) {
          EXPECT_EQ(things[static_cast<std::size_t>(i)]->number, i);
          things[static_cast<std::size_t>(i)].reset();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

}  // namespace
}  // namespace accelmesh
