// Host memory that kernels reach: pinned memory at one address, registered memory, managed memory and variables. Where
// the server cannot share the very memory it keeps a twin, so coherence holds at launches and synchronisations.
#include <poll.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>

#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr std::uint64_t kPage = limits::kPageBytes;

class HostMemoryTest : public SessionTest {
 protected:
  // Both sides have the very memory.
  static bool IsCoherent() { return GetParam().name == "loopback" || GetParam().name == "shm"; }

  std::uint32_t* Pinned(std::size_t bytes) {
    void* made = nullptr;
    EXPECT_EQ(session().MallocPinned(bytes, 0, &made), 0u);
    return static_cast<std::uint32_t*>(made);
  }
  std::uint32_t* Managed(std::uint64_t bytes) {
    std::uint64_t made = 0;
    EXPECT_EQ(session().MallocManaged(0, bytes, 1, &made), 0u);
    return reinterpret_cast<std::uint32_t*>(made);
  }
  static std::uint64_t Address(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }
  std::uint64_t DeviceAddress(const void* pointer) {
    std::uint64_t address = 0;
    EXPECT_EQ(session().DeviceAddressOf(pointer, &address), 0u);
    return address;
  }
};

TEST_P(HostMemoryTest, PinnedMemoryHasOneAddressOnBothSides) {
  std::uint32_t* words = Pinned(3 * kPage);
  EXPECT_TRUE(session().IsCommonAddress(Address(words)));
  EXPECT_EQ(DeviceAddress(words), Address(words));
  EXPECT_EQ(DeviceAddress(words + 5), Address(words + 5));
  words[0] = 5;
  Launch(legacy(), "iota", {Address(words + 1), 100}, 700);
  Launch(legacy(), "increment", {Address(words)});
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(words[0], 6u);
  for (std::uint32_t i = 0; i < 700; ++i) ASSERT_EQ(words[1 + i], 100 + i);
  EXPECT_EQ(session().FreePinned(words), 0u);
  EXPECT_EQ(session().FreePinned(words), 1u) << "freed twice";
}

TEST_P(HostMemoryTest, AKernelMayBeGivenPinnedMemoryThatNobodyAskedAbout) {
  std::uint32_t* words = Pinned(64);
  words[3] = 7;
  Launch(legacy(), "increment", {Address(words + 3)});
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(words[3], 8u);
  words[3] = 20;
  Launch(legacy(), "increment", {Address(words + 3)});
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(words[3], 21u);
  EXPECT_EQ(session().FreePinned(words), 0u);
}

TEST_P(HostMemoryTest, AnAsynchronousCopyIntoItReachesTheKernelBehindIt) {
  std::uint32_t* words = Pinned(64);
  const std::uint64_t device = Zeros(4);
  Write32(legacy(), device, 1000);
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  // It may return before the device has the bytes, and what follows is ordered behind nothing of the legacy stream.
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  // The first copy is still on its way when a launch names the range.
  const std::uint64_t gate = Zeros(4);
  Launch(stream, "wait_gate", {gate});
  std::thread opener([&] {
    poll(nullptr, 0, 30);
    Launch(NewStream(wire::StreamKind::NonBlocking), "open_gate", {gate});
    EXPECT_TRUE(session().commands().Flush().ok());
  });
  // The first time the range is plain staging memory when it is copied to, the second time it is known.
  for (std::uint32_t round = 0; round < 2; ++round) {
    ASSERT_EQ(session().CopyToHost(stream, words, device, 4, false), 0u);
    Launch(stream, "increment", {Address(words)});
    ASSERT_EQ(session().CopyToDevice(stream, device, words, 4, false), 0u);
    Launch(stream, "increment", {Address(words)});
  }
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  opener.join();
  EXPECT_EQ(Read32(device), 1002u);
  EXPECT_EQ(words[0], 1003u);
  EXPECT_EQ(session().FreePinned(words), 0u);
}

TEST_P(HostMemoryTest, EachSidesBytesStayItsOwn) {
  std::uint32_t* words = Pinned(kPage);
  DeviceAddress(words);
  std::uint32_t* gate = Pinned(kPage);
  DeviceAddress(gate);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  Launch(stream, "gated_write", {Address(gate), Address(words + 1), 111});
  // Next to what a running kernel is going to write; and what it is waiting for comes with another launch.
  words[0] = 10;
  words[2] = 20;
  Launch(other, "increment", {Address(words)});
  Launch(other, "increment", {Address(words + 2)});
  ASSERT_EQ(session().Synchronize(*other), 0u);
  EXPECT_EQ(words[0], 11u);
  EXPECT_EQ(words[2], 21u);
  EXPECT_EQ(words[1], 0u);
  words[0] = 50;
  std::atomic_ref<std::uint32_t>(*gate).store(1);
  Launch(other, "increment", {Address(words)});
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(words[0], 51u);
  EXPECT_EQ(words[1], 111u);
  EXPECT_EQ(words[2], 21u);
  EXPECT_EQ(session().FreePinned(words), 0u);
  EXPECT_EQ(session().FreePinned(gate), 0u);
}

TEST_P(HostMemoryTest, WhereMemoryIsSharedAKernelAndTheProgramTalkWhileItRuns) {
  if (!IsCoherent()) GTEST_SKIP() << "a twin is coherent at launches and synchronisations only";
  std::uint32_t* words = Pinned(kPage);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  Launch(stream, "gated_write", {Address(words), Address(words + 8), 9});
  ASSERT_TRUE(session().commands().Flush().ok());
  poll(nullptr, 0, 20);
  EXPECT_EQ(std::atomic_ref<std::uint32_t>(words[8]).load(), 0u);
  std::atomic_ref<std::uint32_t>(words[0]).store(1);
  const Deadline deadline = In(5000);
  while (std::atomic_ref<std::uint32_t>(words[8]).load() != 9 && !deadline.passed()) poll(nullptr, 0, 1);
  EXPECT_EQ(std::atomic_ref<std::uint32_t>(words[8]).load(), 9u);
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(session().FreePinned(words), 0u);
}

TEST_P(HostMemoryTest, WhatAQueryFindsDoneIsThere) {
  std::uint32_t* words = Pinned(64);
  DeviceAddress(words);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  Event* event = NewEvent();
  for (std::uint32_t i = 0; i < 20; ++i) {
    Launch(stream, "increment", {Address(words)});
    ASSERT_EQ(session().RecordEvent(event, stream), 0u);
    const Deadline deadline = In(5000);
    while (!session().EventDone(*event) && !deadline.passed()) poll(nullptr, 0, 0);
    ASSERT_EQ(session().Settle(), 0u);
    ASSERT_EQ(words[0], i + 1);
  }
  EXPECT_EQ(session().FreePinned(words), 0u);
}

TEST_P(HostMemoryTest, RegisteredMemoryHasAnotherAddressOnTheDevice) {
  std::vector<std::uint32_t> own(5000, 3);
  std::uint32_t* words = own.data() + 3;  // in the middle of a page
  ASSERT_EQ(session().RegisterHost(words, 4990 * 4, 0), 0u);
  EXPECT_EQ(session().RegisterHost(words, 4, 0), 712u);
  EXPECT_EQ(session().RegisterHost(words - 2, 12, 0), 712u) << "overlaps its beginning";
  EXPECT_EQ(session().RegisterHost(words + 4989, 64, 0), 712u) << "overlaps its end";
  EXPECT_EQ(session().UnregisterHost(words + 1), 1u) << "not the start";
  const std::uint64_t device = DeviceAddress(words);
  EXPECT_NE(device, Address(words));
  EXPECT_EQ(device % kPage, Address(words) % kPage);
  EXPECT_EQ(DeviceAddress(words + 7), device + 28);
  Launch(legacy(), "increment", {device + 4});
  Launch(legacy(), "iota", {device + 400, 7}, 1000);
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(words[0], 3u);
  EXPECT_EQ(words[1], 4u);
  for (std::uint32_t i = 0; i < 1000; ++i) ASSERT_EQ(words[100 + i], 7 + i);
  words[1] = 30;
  Launch(legacy(), "increment", {device + 4});
  EXPECT_EQ(session().UnregisterHost(words), 0u) << "which waits for the device";
  EXPECT_EQ(words[1], 31u);
  EXPECT_EQ(session().UnregisterHost(words), 713u);
  EXPECT_EQ(session().RegisterHost(words, 4, 0), 0u) << "again";
  EXPECT_EQ(session().UnregisterHost(words), 0u);
}

TEST_P(HostMemoryTest, OnlyMemoryThatIsThereCanBeRegistered) {
  void* gone = ::mmap(nullptr, 4 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ::munmap(static_cast<char*>(gone) + kPage, kPage);
  EXPECT_EQ(session().RegisterHost(gone, 4 * kPage, 0), 1u);
  EXPECT_EQ(session().RegisterHost(gone, kPage, 0), 0u);
  EXPECT_EQ(session().UnregisterHost(gone), 0u);
  EXPECT_EQ(session().RegisterHost(nullptr, kPage, 0), 1u);
  EXPECT_EQ(session().RegisterHost(gone, 0, 0), 1u);
  EXPECT_EQ(session().RegisterHost(reinterpret_cast<void*>(Malloc(64)), 64, 0), 1u) << "device memory";
  std::uint32_t* pinned = Pinned(kPage);
  EXPECT_EQ(session().RegisterHost(pinned, 64, 0), 712u) << "pinned already";
  EXPECT_EQ(session().UnregisterHost(pinned), 1u) << "by cudaMallocHost, not by registration";
  EXPECT_EQ(session().FreePinned(pinned), 0u);
  ::munmap(gone, kPage);
  ::munmap(static_cast<char*>(gone) + 2 * kPage, 2 * kPage);
}

TEST_P(HostMemoryTest, CopiesFromRegisteredMemoryAreAsynchronous) {
  std::vector<std::uint32_t> own(1 << 16, 0);
  ASSERT_EQ(session().RegisterHost(own.data(), own.size() * 4, 0), 0u);
  const std::uint64_t device = Malloc(own.size() * 4);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t gate = Zeros(4);
  Launch(stream, "wait_gate", {gate});
  Launch(stream, "iota", {device, 50}, 1000);
  ASSERT_EQ(session().CopyToHost(stream, own.data(), device, 4000, false), 0u);
  EXPECT_FALSE(session().Idle(*stream));
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  Launch(other, "open_gate", {gate});
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  for (std::uint32_t i = 0; i < 1000; ++i) ASSERT_EQ(own[i], 50 + i);
  EXPECT_EQ(session().UnregisterHost(own.data()), 0u);
}

TEST_P(HostMemoryTest, ManagedMemoryIsTheSameOnBothSides) {
  // Larger than what is written at once, so that it goes as bodies.
  const std::uint32_t count = 300000;
  std::uint32_t* words = Managed(count * 4);
  for (std::uint32_t i = 0; i < count; ++i) words[i] = i * 3;
  const std::uint64_t device = Zeros(4);
  Launch(legacy(), "copy_word", {device, Address(words + count - 1)});
  Launch(legacy(), "increment", {Address(words + 1000)});
  Launch(legacy(), "iota", {Address(words + 2000), 5}, 500);
  ASSERT_EQ(session().SynchronizeDevice(0), 0u);
  EXPECT_EQ(Read32(device), (count - 1) * 3);
  EXPECT_EQ(words[1000], 3001u);
  for (std::uint32_t i = 0; i < 500; ++i) ASSERT_EQ(words[2000 + i], 5 + i);
  EXPECT_EQ(words[2500], 7500u);
  EXPECT_EQ(session().Free(Address(words + 1)), 1u) << "not the start";
  EXPECT_EQ(session().Free(Address(words)), 0u);
  EXPECT_EQ(session().Free(Address(words)), 1u) << "freed twice";
}

TEST_P(HostMemoryTest, LaunchesOnOtherStreamsWaitForWhatIsOnItsWay) {
  const std::uint32_t count = 400000;
  std::uint32_t* words = Managed(count * 4);
  std::vector<Stream*> streams;
  for (int i = 0; i < 6; ++i) streams.push_back(NewStream(wire::StreamKind::NonBlocking));
  for (std::uint32_t round = 1; round < 6; ++round) {
    for (std::uint32_t i = 0; i < count; ++i) words[i] = round * 1000 + i;
    const std::uint64_t results = Zeros(6 * 4);
    for (std::uint32_t s = 0; s < 6; ++s)
      Launch(streams[s], "copy_word", {results + s * 4, Address(words + count - 1 - s)});
    ASSERT_EQ(session().SynchronizeDevice(0), 0u);
    for (std::uint32_t s = 0; s < 6; ++s) ASSERT_EQ(Read32(results + s * 4), round * 1000 + count - 1 - s);
  }
  EXPECT_EQ(session().Free(Address(words)), 0u);
}

TEST_P(HostMemoryTest, CopiesAndFillsOfManagedMemoryKeepTheOrderOfTheirStream) {
  std::uint32_t* words = Managed(8192);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  words[0] = 5;
  const std::uint64_t device = Zeros(8192);
  ASSERT_EQ(session().CopyOnDevice(stream, device, Address(words), 4), 0u);
  Launch(stream, "increment", {device});
  ASSERT_EQ(session().CopyOnDevice(stream, Address(words + 1), device, 4), 0u);
  ASSERT_EQ(session().Fill(stream, wire::Fill(Address(words + 2), 0, 0, 8, 1, 1, 0x7f, 1, stream->slot, 0)), 0u);
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(words[0], 5u);
  EXPECT_EQ(words[1], 6u);
  EXPECT_EQ(words[2], 0x7f7f7f7fu);
  EXPECT_EQ(words[3], 0x7f7f7f7fu);
  EXPECT_EQ(words[4], 0u);
  std::vector<std::uint32_t> own(2000, 9);
  ASSERT_EQ(session().CopyToDevice(stream, Address(words), own.data(), 8000, true), 0u);
  EXPECT_EQ(words[1999], 9u) << "a synchronous copy is there when it returns";
  words[7] = 77;
  ASSERT_EQ(session().CopyToHost(stream, own.data(), Address(words), 8000, true), 0u);
  EXPECT_EQ(own[7], 77u);
  EXPECT_EQ(session().Free(Address(words)), 0u);
}

TEST_P(HostMemoryTest, ManagedMemoryCountsForTheQuota) {
  std::uint64_t free_before = 0;
  std::uint64_t free_after = 0;
  std::uint64_t total = 0;
  session().MemoryInfo(0, &free_before, &total);
  std::uint32_t* words = Managed(100 * limits::kMiB);
  session().MemoryInfo(0, &free_after, &total);
  EXPECT_EQ(free_before - free_after, 100 * limits::kMiB);
  std::uint64_t address = 0;
  EXPECT_EQ(session().Malloc(0, 200 * limits::kMiB, &address), 2u);
  EXPECT_EQ(session().MallocManaged(0, 200 * limits::kMiB, 1, &address), 2u);
  EXPECT_EQ(session().Free(Address(words)), 0u);
  EXPECT_EQ(session().MallocManaged(0, 200 * limits::kMiB, 1, &address), 0u);
  EXPECT_EQ(session().Free(address), 0u);
  // The server has come to the end before the connection does: it has refused nothing.
  EXPECT_TRUE(session().commands().Call(wire::Ping(1), In(5000)).ok());
}

TEST_P(HostMemoryTest, FreedRangesAreGivenOutAgainClean) {
  for (int round = 0; round < 20; ++round) {
    std::uint32_t* pinned = Pinned(2 * kPage);
    std::uint32_t* managed = Managed(2 * kPage);
    for (std::uint32_t* words : {pinned, managed}) {
      EXPECT_EQ(words[0], 0u);
      EXPECT_EQ(words[1500], 0u);
      Launch(legacy(), "increment", {Address(words + 1500)});
    }
    pinned[0] = managed[0] = 99;
    ASSERT_EQ(session().SynchronizeDevice(0), 0u);
    EXPECT_EQ(pinned[1500], 1u);
    EXPECT_EQ(managed[1500], 1u);
    EXPECT_EQ(session().Free(Address(managed)), 0u);
    EXPECT_EQ(session().FreePinned(pinned), 0u);
  }
}

TEST_P(HostMemoryTest, AVariableLiesWhereTheClientPutsIt) {
  if (GetParam().backend == "cuda") GTEST_SKIP() << "a driver places managed variables itself: session/variables";
  std::uint32_t* word = Managed(kPage);
  const std::vector<ManagedPlacement> managed{{"managed_word", Address(word), 4, false}};
  const auto first = session().LoadModule(0, TestKernels(), managed);
  ASSERT_EQ(first->error, 0u);
  EXPECT_EQ(first->globals.at("managed_word").address, Address(word));
  EXPECT_EQ(*word, 41u) << "the initial value is there before any launch";
  *word = 10;
  const LaunchGeometry one{{1, 1, 1}, {1, 1, 1}};
  ASSERT_EQ(session().Launch(legacy(), first->kernels.at("increment_managed"), one, nullptr), 0u);
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(*word, 11u);
  // A load for another device leaves the value alone.
  const auto second = session().LoadModule(0, TestKernels(), {{"managed_word", Address(word), 4, true}});
  ASSERT_EQ(second->error, 0u);
  EXPECT_EQ(*word, 11u);
  ASSERT_EQ(session().Launch(legacy(), second->kernels.at("increment_managed"), one, nullptr), 0u);
  ASSERT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(*word, 12u);
  session().UnloadModule(*first);
  session().UnloadModule(*second);
  EXPECT_EQ(session().Free(Address(word)), 0u);
}

TEST_P(HostMemoryTest, AFunctionOfTheProgramSeesAndIsSeen) {
  std::uint32_t* words = Pinned(64);
  DeviceAddress(words);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  std::uint32_t seen = 0;
  Launch(stream, "increment", {Address(words)});
  ASSERT_EQ(session().CallHost(stream,
                               [&](std::uint32_t) {
                                 seen = words[0];
                                 words[0] = 100;
                               }),
            0u);
  Launch(stream, "increment", {Address(words)});
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(seen, 1u);
  EXPECT_EQ(words[0], 101u);
  EXPECT_EQ(session().FreePinned(words), 0u);
}

TEST_P(HostMemoryTest, ASynchronousCopyWaitsForAKernelThatWritesHostMemory) {
  std::uint32_t* words = Pinned(64);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  Stream* other = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t gate = Zeros(4);
  const std::uint64_t device = Zeros(4);
  Launch(stream, "gated_write", {gate, Address(words), 6});
  std::thread opener([&] {
    poll(nullptr, 0, 30);
    Launch(other, "open_gate", {gate});
    EXPECT_TRUE(session().commands().Flush().ok());
  });
  const std::uint32_t value = 3;
  // CUDA synchronises the stream before it: the program may read what its kernels wrote.
  ASSERT_EQ(session().CopyToDevice(stream, device, &value, 4, true), 0u);
  EXPECT_EQ(words[0], 6u);
  opener.join();
  EXPECT_EQ(session().FreePinned(words), 0u);
}

TEST_P(HostMemoryTest, ManyThreadsUseMemoryOfTheirOwn) {
  module();
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      Stream* stream = NewStream(wire::StreamKind::NonBlocking);
      for (std::uint32_t i = 0; i < 20; ++i) {
        std::uint32_t* words = Pinned(kPage);
        words[0] = t * 1000 + i;
        Launch(stream, "increment", {Address(words)});
        EXPECT_EQ(session().Synchronize(*stream), 0u);
        EXPECT_EQ(words[0], t * 1000 + i + 1);
        EXPECT_EQ(session().FreePinned(words), 0u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(All, HostMemoryTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
