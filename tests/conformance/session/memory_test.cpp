// Device memory: addresses chosen by the client, quarantine of freed ranges, the quota.
#include <unistd.h>

#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

class MemoryTest : public SessionTest {};

TEST_P(MemoryTest, OpenTellsOfTheDevice) {
  ASSERT_EQ(session().devices().size(), 1u);
  const LeasedDevice& device = session().devices()[0];
  EXPECT_FALSE(device.name.empty());
  EXPECT_EQ(device.memory_bytes, 256 * limits::kMiB);
  EXPECT_GT(device.Attribute(1), 0) << "CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK";
  EXPECT_EQ(session().facts().backend, GetParam().backend);
  EXPECT_GE(session().facts().driver_version, 13000);
}

TEST_P(MemoryTest, AllocationsAreDistinctAndCostNoRoundTrip) {
  const std::uint64_t calls = session().commands().statistics().calls;
  std::vector<std::uint64_t> addresses;
  for (int i = 0; i < 500; ++i) addresses.push_back(Malloc(1 + static_cast<std::uint64_t>(i) * 97));
  std::vector<std::uint64_t> sorted = addresses;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end());
  for (const std::uint64_t address : addresses) {
    EXPECT_EQ(address % 512, 0u);
    EXPECT_TRUE(session().IsDeviceAddress(reinterpret_cast<void*>(address)));
    EXPECT_EQ(session().Free(address), 0u);
  }
  EXPECT_EQ(session().commands().statistics().calls, calls);
  EXPECT_EQ(session().Free(addresses[0]), 1u) << "freed twice";
  EXPECT_EQ(session().Free(addresses[0] + 4096 * 4096), 1u) << "never allocated";
}

TEST_P(MemoryTest, FreedUnderARunningKernelAndReallocatedAtOnce) {
  Stream* running = NewStream(wire::StreamKind::NonBlocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t gate = Zeros(4);
  for (const std::uint64_t bytes : {std::uint64_t{512}, 3 * limits::kMiB}) {
    const std::uint64_t old = Zeros(bytes);
    Launch(running, "gated_write", {gate, old, 0xbad});
    ASSERT_EQ(session().Free(old), 0u);
    std::vector<std::uint64_t> again;
    for (int i = 0; i < 8; ++i) {
      again.push_back(Malloc(bytes));
      Write32(other, again.back(), 1000 + static_cast<std::uint32_t>(i));
    }
    ASSERT_EQ(session().Synchronize(*other), 0u);
    Launch(other, "open_gate", {gate});
    ASSERT_EQ(session().Synchronize(*running), 0u);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(Read32(again[static_cast<std::size_t>(i)]), 1000u + static_cast<unsigned>(i));
    for (const std::uint64_t address : again) ASSERT_EQ(session().Free(address), 0u);
    Write32(other, gate, 0);
    ASSERT_EQ(session().Synchronize(*other), 0u);
  }
}

TEST_P(MemoryTest, OutOfMemoryIsSaidByTheMallocItself) {
  std::uint64_t address = 0;
  EXPECT_EQ(session().Malloc(0, 257 * limits::kMiB, &address), 2u);
  const std::uint64_t most = Malloc(200 * limits::kMiB);
  EXPECT_EQ(session().Malloc(0, 100 * limits::kMiB, &address), 2u);
  std::uint64_t free_bytes = 0;
  std::uint64_t total = 0;
  session().MemoryInfo(0, &free_bytes, &total);
  EXPECT_EQ(total, 256 * limits::kMiB);
  EXPECT_LE(free_bytes, 56 * limits::kMiB);
  ASSERT_EQ(session().Free(most), 0u);
  ASSERT_EQ(session().Malloc(0, 100 * limits::kMiB, &address), 0u);
  Write32(legacy(), address + 100 * limits::kMiB - 4, 42);
  EXPECT_EQ(Read32(address + 100 * limits::kMiB - 4), 42u);
}

TEST_P(MemoryTest, AMallocThatOnlyQuarantineCanSatisfyWaits) {
  Stream* running = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t gate = Zeros(4);
  const std::uint64_t old = Malloc(200 * limits::kMiB);
  Launch(running, "gated_write", {gate, old, 5});
  ASSERT_EQ(session().Free(old), 0u);
  std::atomic<bool> opened{false};
  std::thread opener([&] {
    usleep(50000);
    opened = true;
    Stream* other = NewStream(wire::StreamKind::NonBlocking);
    Launch(other, "open_gate", {gate});
    EXPECT_TRUE(session().commands().Flush().ok());
  });
  std::uint64_t address = 0;
  EXPECT_EQ(session().Malloc(0, 200 * limits::kMiB, &address), 0u);
  EXPECT_TRUE(opened) << "given out while a kernel could still write there";
  opener.join();
}

// Stream-ordered pools ------------------------------------------------------------------------------------------------

TEST_P(MemoryTest, APoolGivesOutWhatItHoldsWithoutAMessage) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  std::uint64_t first = 0;
  ASSERT_EQ(session().MallocFromPool(nullptr, stream, 1000, &first), 0u);
  ASSERT_EQ(session().FreeInOrder(stream, first), 0u);  // the first of all makes the event that marks them
  ASSERT_EQ(session().MallocFromPool(nullptr, stream, 1000, &first), 0u);
  const std::uint64_t posts = session().commands().statistics().posts;
  for (int i = 0; i < 100; ++i) {
    std::uint64_t block = 0;
    ASSERT_EQ(session().MallocFromPool(nullptr, stream, 1000 + static_cast<std::uint64_t>(i), &block), 0u);
    EXPECT_NE(block, first);
    Write32(stream, block, 5);
    ASSERT_EQ(session().FreeInOrder(stream, block), 0u);
  }
  EXPECT_EQ(session().commands().statistics().posts - posts, 200u) << "a write and a free each";
  AddressSpace::Range range;
  std::uint32_t device = 9;
  ASSERT_TRUE(session().FindDeviceRange(first + 1023, &range, &device));
  EXPECT_EQ(range.address, first);
  EXPECT_EQ(range.bytes, 1024u);
  EXPECT_FALSE(session().FindDeviceRange(first + 1024, &range, &device)) << "freed";
  EXPECT_EQ(session().FreeInOrder(stream, first + 512), 1u);
  EXPECT_EQ(session().FreeInOrder(stream, first), 0u);
  EXPECT_EQ(session().FreeInOrder(stream, first), 1u) << "freed twice";
  EXPECT_EQ(session().Free(first), 1u);
}

TEST_P(MemoryTest, PooledMemoryIsNotGivenToAnotherStreamTooEarly) {
  Stream* running = NewStream(wire::StreamKind::NonBlocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t gate = Zeros(4);
  std::uint64_t old = 0;
  ASSERT_EQ(session().MallocFromPool(nullptr, running, 3 * limits::kMiB, &old), 0u);
  Launch(running, "gated_write", {gate, old, 0xbad});
  ASSERT_EQ(session().FreeInOrder(running, old), 0u);
  std::uint64_t there = 0;
  std::uint64_t here = 0;
  ASSERT_EQ(session().MallocFromPool(nullptr, other, 3 * limits::kMiB, &there), 0u);
  ASSERT_EQ(session().MallocFromPool(nullptr, running, 3 * limits::kMiB, &here), 0u);
  EXPECT_EQ(here, old) << "its own stream has it at once";
  EXPECT_NE(there, old);
  Write32(other, there, 77);
  ASSERT_EQ(session().FreeInOrder(running, here), 0u);
  // A dependency is enough, though nothing has passed.
  Event* event = NewEvent();
  ASSERT_EQ(session().RecordEvent(event, running), 0u);
  ASSERT_EQ(session().WaitEvent(other, event), 0u);
  std::uint64_t ordered = 0;
  ASSERT_EQ(session().MallocFromPool(nullptr, other, 3 * limits::kMiB, &ordered), 0u);
  EXPECT_EQ(ordered, old);
  Write32(other, ordered, 88);
  Stream* opener = NewStream(wire::StreamKind::NonBlocking);
  Launch(opener, "open_gate", {gate});
  ASSERT_EQ(session().Synchronize(*other), 0u);
  EXPECT_EQ(Read32(there), 77u);
  EXPECT_EQ(Read32(ordered), 88u);
}

TEST_P(MemoryTest, PooledMemoryFreedByAPlainFreeIsQuarantined) {
  Stream* running = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t gate = Zeros(4);
  std::uint64_t old = 0;
  std::uint64_t next = 0;
  ASSERT_EQ(session().MallocFromPool(nullptr, running, limits::kMiB, &old), 0u);
  Launch(running, "gated_write", {gate, old, 1});
  ASSERT_EQ(session().Free(old), 0u);
  ASSERT_EQ(session().MallocFromPool(nullptr, running, 2 * limits::kMiB, &next), 0u);
  EXPECT_NE(next, old) << "a free of no stream has passed when everything has";
  Stream* opener = NewStream(wire::StreamKind::NonBlocking);
  Launch(opener, "open_gate", {gate});
  ASSERT_EQ(session().Synchronize(*running), 0u);
  ASSERT_EQ(session().FreeInOrder(running, next), 0u);
}

TEST_P(MemoryTest, PoolsGiveWayUnderPressureAndWaitBeforeTheyFail) {
  Stream* running = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t gate = Zeros(4);
  session().WithPool(session().DefaultPool(0),
                     [](MemoryPool& pool) { pool.policy().release_threshold = ~std::uint64_t{0}; });
  // Twice this does not fit.
  const std::uint64_t most = session().devices()[0].memory_bytes / 4 * 3;
  std::uint64_t pooled = 0;
  ASSERT_EQ(session().MallocFromPool(nullptr, running, most, &pooled), 0u);
  ASSERT_EQ(session().FreeInOrder(running, pooled), 0u);
  ASSERT_EQ(session().Synchronize(*running), 0u);
  std::uint64_t free_bytes = 0;
  std::uint64_t total = 0;
  session().MemoryInfo(0, &free_bytes, &total);
  EXPECT_LT(free_bytes, total - most + 1) << "the threshold keeps it";
  // Plain memory takes what the pool keeps for nobody.
  const std::uint64_t plain = Malloc(most);
  Launch(running, "gated_write", {gate, plain, 5});
  ASSERT_EQ(session().Free(plain), 0u);
  std::atomic<bool> opened{false};
  std::thread opener([&] {
    usleep(50000);
    opened = true;
    Stream* other = NewStream(wire::StreamKind::NonBlocking);
    Launch(other, "open_gate", {gate});
    EXPECT_TRUE(session().commands().Flush().ok());
  });
  // A pool waits for quarantined memory, and plain memory for a pool's pending free.
  ASSERT_EQ(session().MallocFromPool(nullptr, running, most, &pooled), 0u);
  EXPECT_TRUE(opened);
  opener.join();
  std::uint64_t too_much = 0;
  EXPECT_EQ(session().MallocFromPool(nullptr, running, most / 2, &too_much), 2u);
  EXPECT_EQ(session().Malloc(0, most / 2, &too_much), 2u);
  ASSERT_EQ(session().FreeInOrder(running, pooled), 0u);
  EXPECT_EQ(session().Free(Malloc(most)), 0u);
}

// Under load from many threads every address is in one hand at a time: what its owner writes is what it reads.
TEST_P(MemoryTest, ManyThreadsAllocateWriteAndFree) {
  module();
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      Stream* stream = NewStream(wire::StreamKind::NonBlocking);
      for (unsigned i = 0; i < 100; ++i) {
        const std::uint64_t bytes = 4 * (1 + (i * 37 + t) % 1000);
        const std::uint64_t address = Malloc(bytes);
        Launch(stream, "iota", {address, t * 1000000 + i}, static_cast<std::uint32_t>(bytes / 4));
        std::uint32_t last = 0;
        EXPECT_EQ(session().CopyToHost(stream, &last, address + bytes - 4, 4, true), 0u);
        EXPECT_EQ(last, t * 1000000 + i + bytes / 4 - 1);
        EXPECT_EQ(session().Free(address), 0u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(All, MemoryTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
