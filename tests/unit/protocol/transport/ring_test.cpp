// The ring between two processes that do not trust each other: what goes in comes out, and a peer that scribbles on
// anything it can write ends the connection at most. Ring and buffer lie between pages that nobody may touch.
#include "protocol/transport/ring.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace accelmesh::shm {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kCapacity = kPage;
constexpr std::size_t kRecordMax = 1000;
constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

// `bytes` (whole pages) of memory between two pages without access.
class GuardedPages {
 public:
  explicit GuardedPages(std::size_t bytes) : bytes_(bytes) {
    void* got = ::mmap(nullptr, bytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(got, MAP_FAILED);
    base_ = static_cast<std::uint8_t*>(got);
    EXPECT_EQ(::mprotect(data(), bytes, PROT_READ | PROT_WRITE), 0);
  }
  ~GuardedPages() { ::munmap(base_, bytes_ + 2 * kPage); }
  GuardedPages(const GuardedPages&) = delete;
  std::uint8_t* data() { return base_ + kPage; }
  std::uint8_t* end() { return data() + bytes_; }

 private:
  std::size_t bytes_;
  std::uint8_t* base_ = nullptr;
};

class RingTest : public testing::Test {
 protected:
  RingStatus Push(std::size_t size, std::uint8_t first) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(first + i);
    return producer_.TryPush(bytes);
  }
  // Takes the next record; its bytes must count up from `first`.
  void ExpectPop(std::size_t size, std::uint8_t first) {
    ASSERT_TRUE(consumer_.Available());
    std::size_t got = kMax;
    ASSERT_EQ(Pop(got), RingStatus::kOk);
    ASSERT_EQ(got, size);
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(to_[i], static_cast<std::uint8_t>(first + i)) << i;
  }
  RingStatus Pop(std::size_t& size) { return consumer_.Pop(to_, kRecordMax, size); }
  RingStatus Pop() {
    std::size_t size = 0;
    return Pop(size);
  }
  void WriteSize(std::size_t at, std::uint64_t size) { std::memcpy(ring_.data() + at, &size, sizeof(size)); }

  GuardedPages ring_{kCapacity};
  GuardedPages buffer_{kPage};
  std::uint8_t* const to_ = buffer_.end() - kRecordMax;  // one byte past a record is a page without access
  RingWords words_;
  Side producer_side_;
  Side consumer_side_;
  RingProducer producer_{words_, ring_.data(), kCapacity, consumer_side_};
  RingConsumer consumer_{words_, ring_.data(), kCapacity, producer_side_};
};

TEST_F(RingTest, AnEmptyRingHasNothing) {
  EXPECT_FALSE(consumer_.Available());
  EXPECT_FALSE(consumer_.Known());
  EXPECT_EQ(Pop(), RingStatus::kNothing);
}

TEST_F(RingTest, RecordsOfEverySizeComeOutInOrderRoundAndRound) {
  for (std::size_t size = 0; size <= kRecordMax; ++size) {
    ASSERT_EQ(Push(size, static_cast<std::uint8_t>(size)), RingStatus::kOk);
    ASSERT_EQ(Push(size / 3, 1), RingStatus::kOk);
    ExpectPop(size, static_cast<std::uint8_t>(size));
    ExpectPop(size / 3, 1);
    ASSERT_FALSE(consumer_.Available());
  }
}

TEST_F(RingTest, PopSeesOnlyWhatWasLookedFor) {
  ASSERT_EQ(Push(3, 1), RingStatus::kOk);
  EXPECT_EQ(Pop(), RingStatus::kNothing);
  consumer_.Refresh();
  EXPECT_TRUE(consumer_.Known());
  ASSERT_EQ(Push(4, 2), RingStatus::kOk);
  EXPECT_EQ(Pop(), RingStatus::kOk);
  EXPECT_FALSE(consumer_.Known());  // the second came after Refresh()
  EXPECT_EQ(Pop(), RingStatus::kNothing);
  ExpectPop(4, 2);
}

TEST_F(RingTest, AFullRingTakesNoMoreUntilThereIsRoom) {
  // Records of 8 + 504 bytes: exactly eight fill it.
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(producer_.HasRoom(504));
    ASSERT_EQ(Push(504, static_cast<std::uint8_t>(i)), RingStatus::kOk);
  }
  EXPECT_FALSE(producer_.HasRoom(0));
  EXPECT_EQ(Push(0, 0), RingStatus::kNothing);
  for (int i = 0; i < 8; ++i) ExpectPop(504, static_cast<std::uint8_t>(i));
  EXPECT_FALSE(consumer_.Available());  // tells the producer of all room
  EXPECT_TRUE(producer_.HasRoom(kCapacity - 8));
  EXPECT_EQ(Push(504, 77), RingStatus::kOk);
  ExpectPop(504, 77);
}

TEST_F(RingTest, ASleepingPeerIsRung) {
  ASSERT_EQ(Push(1, 1), RingStatus::kOk);
  EXPECT_EQ(consumer_side_.bell.load(), 0U) << "nobody slept";
  consumer_side_.data_waiters = 1;
  ASSERT_EQ(Push(1, 1), RingStatus::kOk);
  EXPECT_EQ(consumer_side_.bell.load(), 1U);
  producer_side_.room_waiters = 1;
  ExpectPop(1, 1);
  ExpectPop(1, 1);
  EXPECT_FALSE(consumer_.Available());
  EXPECT_EQ(producer_side_.bell.load(), 1U);
}

// A producer that lies ------------------------------------------------------------------------------------------------

TEST_F(RingTest, ATailThatIsNoneIsCorruption) {
  for (const std::uint64_t tail : {std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{9}, std::uint64_t{kCapacity + 8},
                                   std::uint64_t{1} << 32, std::uint64_t{1} << 63, kMax - 7, kMax}) {
    words_.tail = tail;
    RingConsumer consumer(words_, ring_.data(), kCapacity, producer_side_);
    std::size_t size = 0;
    EXPECT_TRUE(consumer.Available()) << tail;
    EXPECT_EQ(consumer.Pop(to_, kRecordMax, size), RingStatus::kCorrupt) << tail;
    EXPECT_EQ(consumer.Pop(to_, kRecordMax, size), RingStatus::kCorrupt) << "and stays so: " << tail;
  }
}

TEST_F(RingTest, ATailThatGoesBackIsCorruption) {
  ASSERT_EQ(Push(24, 1), RingStatus::kOk);
  ExpectPop(24, 1);
  words_.tail = 8;
  EXPECT_TRUE(consumer_.Available());
  EXPECT_EQ(Pop(), RingStatus::kCorrupt);
}

TEST_F(RingTest, ASizeThatIsNoneIsCorruption) {
  ASSERT_EQ(Push(24, 1), RingStatus::kOk);
  for (const std::uint64_t size : {std::uint64_t{25}, std::uint64_t{32}, std::uint64_t{kRecordMax},
                                   std::uint64_t{kRecordMax + 1}, std::uint64_t{kCapacity}, std::uint64_t{1} << 32,
                                   std::uint64_t{1} << 63, kMax - 15, kMax - 8, kMax - 7, kMax}) {
    WriteSize(0, size);
    consumer_.Refresh();
    EXPECT_EQ(Pop(), RingStatus::kCorrupt) << size;
  }
  // Nothing was taken: with the right size it is there.
  WriteSize(0, 24);
  ExpectPop(24, 1);
}

TEST_F(RingTest, ARecordLongerThanTheBufferIsCorruptionThoughTheRingHoldsIt) {
  ASSERT_EQ(Push(kRecordMax, 1), RingStatus::kOk);
  ExpectPop(kRecordMax, 1);
  ASSERT_EQ(Push(kRecordMax + 1, 1), RingStatus::kOk);
  ASSERT_TRUE(consumer_.Available());
  EXPECT_EQ(Pop(), RingStatus::kCorrupt);
}

// A consumer that lies ------------------------------------------------------------------------------------------------

TEST_F(RingTest, AHeadThatIsNoneIsCorruption) {
  for (int i = 0; i < 8; ++i) ASSERT_EQ(Push(504, 1), RingStatus::kOk);
  for (const std::uint64_t head :
       {std::uint64_t{kCapacity + 1}, std::uint64_t{2 * kCapacity}, std::uint64_t{1} << 63, kMax}) {
    words_.head = head;
    EXPECT_TRUE(producer_.HasRoom(0)) << "so that a waiting producer tries, and finds out";
    EXPECT_EQ(Push(0, 0), RingStatus::kCorrupt) << head;
  }
}

TEST_F(RingTest, AHeadThatGoesBackIsCorruption) {
  for (int i = 0; i < 8; ++i) ASSERT_EQ(Push(504, 1), RingStatus::kOk);
  words_.head = 1024;
  ASSERT_EQ(Push(504, 1), RingStatus::kOk);  // the producer has seen that head
  ASSERT_EQ(Push(504, 1), RingStatus::kOk);
  words_.head = 512;
  EXPECT_EQ(Push(0, 0), RingStatus::kCorrupt);
}

// Everything at once --------------------------------------------------------------------------------------------------

TEST_F(RingTest, AScribblingPeerNeverLeadsOutside) {
  std::mt19937_64 random(7);
  const auto odd = [&](std::uint64_t near) -> std::uint64_t {
    switch (random() % 6) {
      case 0: return random();
      case 1: return near + random() % (2 * kCapacity);
      case 2: return near - random() % (2 * kCapacity);
      case 3: return (near + random() % kCapacity) & ~std::uint64_t{7};
      case 4: return random() % (2 * kRecordMax);
      default: return kMax - random() % 32;
    }
  };
  int popped = 0;
  int corrupt = 0;
  for (int round = 0; round < 200'000; ++round) {
    // A fresh pair now and then; a real channel ends at the first corruption.
    RingWords words;
    const std::uint64_t begin = 0;
    RingProducer producer(words, ring_.data(), kCapacity, consumer_side_);
    RingConsumer consumer(words, ring_.data(), kCapacity, producer_side_);
    const Bytes record(random() % (kRecordMax + 1), static_cast<std::uint8_t>(random()));
    for (int step = 0; step < 6; ++step) {
      switch (random() % 5) {
        case 0: words.tail = odd(begin); break;
        case 1: words.head = odd(begin); break;
        case 2: {
          const std::uint64_t value = odd(0);
          std::memcpy(ring_.data() + (random() % (kCapacity / 8)) * 8, &value, 8);
          break;
        }
        case 3: (void)producer.TryPush(record); break;
        default: {
          std::size_t size = 0;
          if (consumer.Available()) {
            const RingStatus status = consumer.Pop(to_, kRecordMax, size);
            popped += status == RingStatus::kOk ? 1 : 0;
            corrupt += status == RingStatus::kCorrupt ? 1 : 0;
            ASSERT_LE(size, kRecordMax);
          }
        }
      }
    }
  }
  // The guards held; and both outcomes were there, so that it was a test.
  EXPECT_GT(popped, 1000);
  EXPECT_GT(corrupt, 1000);
}

#if !defined(__SANITIZE_THREAD__)  // the scribbling is a race on purpose
TEST_F(RingTest, ASizeThatChangesWhileItIsReadNeverLeadsOutside) {
  ASSERT_EQ(Push(kRecordMax, 1), RingStatus::kOk);
  std::atomic<bool> done{false};
  std::thread scribbler([&] {
    // As another process would: plain stores that the consumer may see at any moment.
    auto* size = reinterpret_cast<volatile std::uint64_t*>(ring_.data());
    while (!done.load(std::memory_order_relaxed)) {
      *size = kRecordMax;
      *size = kMax - 7;
      *size = kCapacity;
    }
  });
  for (int round = 0; round < 300'000; ++round) {
    RingConsumer consumer(words_, ring_.data(), kCapacity, producer_side_);
    consumer.Refresh();
    std::size_t size = 0;
    if (consumer.Pop(to_, kRecordMax, size) == RingStatus::kOk) {
      ASSERT_EQ(size, kRecordMax);
    }
  }
  done = true;
  scribbler.join();
}
#endif

TEST_F(RingTest, TwoThreadsPassEverythingOn) {
  constexpr int kRecords = 200'000;
  std::thread sender([&] {
    std::mt19937 random(1);
    for (int i = 0; i < kRecords; ++i) {
      const std::size_t size = random() % 200;
      while (Push(size, static_cast<std::uint8_t>(i)) == RingStatus::kNothing) std::this_thread::yield();
    }
  });
  std::mt19937 random(1);
  for (int i = 0; i < kRecords; ++i) {
    while (!consumer_.Available()) std::this_thread::yield();
    ExpectPop(random() % 200, static_cast<std::uint8_t>(i));
    if (HasFatalFailure()) break;
  }
  sender.join();
  EXPECT_FALSE(consumer_.Available());
}

}  // namespace
}  // namespace accelmesh::shm
