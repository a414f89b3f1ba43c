// Copies and fills: every way that bytes travel, at the sizes where the way changes.
#include <numeric>

#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr std::uint64_t kSizes[] = {
    1,
    4,
    4095,
    4096,
    4097,
    64 * limits::kKiB,
    64 * limits::kKiB + 1,
    256 * limits::kKiB - 1,
    256 * limits::kKiB,
    256 * limits::kKiB + 1,
    limits::kMiB - 1,
    limits::kMiB,
    limits::kMiB + 1,
    5 * limits::kMiB,
};

Bytes Pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + (i >> 8) * 3 + seed);
  return bytes;
}

class CopyTest : public SessionTest {
 protected:
  // Host memory of the kind asked for.
  std::uint8_t* Pinned(std::size_t bytes) {
    void* address = nullptr;
    EXPECT_EQ(session().MallocPinned(bytes, 0, &address), 0u);
    return static_cast<std::uint8_t*>(address);
  }
};

TEST_P(CopyTest, PageableThereAndBack) {
  Stream* stream = NewStream(wire::StreamKind::Blocking);
  const std::uint64_t device = Malloc(5 * limits::kMiB + 64);
  for (const std::uint64_t bytes : kSizes) {
    SCOPED_TRACE(bytes);
    Bytes from = Pattern(bytes, 1);
    ASSERT_EQ(session().CopyToDevice(stream, device + 3, from.data(), bytes, true), 0u);
    const Bytes expected = from;
    std::fill(from.begin(), from.end(), 0xaa);  // a synchronous copy has read its source
    Bytes to(bytes + 2, 0x55);
    ASSERT_EQ(session().CopyToHost(stream, to.data() + 1, device + 3, bytes, true), 0u);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), to.begin() + 1));
    EXPECT_EQ(to.front(), 0x55);
    EXPECT_EQ(to.back(), 0x55);
  }
}

TEST_P(CopyTest, PinnedThereAndBackAsynchronously) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t device = Malloc(5 * limits::kMiB);
  std::uint8_t* from = Pinned(5 * limits::kMiB);
  std::uint8_t* to = Pinned(5 * limits::kMiB);
  for (const std::uint64_t bytes : kSizes) {
    for (const bool wait : {false, true}) {
      SCOPED_TRACE(std::to_string(bytes) + (wait ? " waiting" : ""));
      const Bytes expected = Pattern(bytes, wait ? 2 : 3);
      std::copy(expected.begin(), expected.end(), from);
      std::fill(to, to + bytes, 0);
      ASSERT_EQ(session().CopyToDevice(stream, device, from, bytes, wait), 0u);
      ASSERT_EQ(session().CopyToHost(stream, to, device, bytes, wait), 0u);
      ASSERT_EQ(session().Synchronize(*stream), 0u);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), to));
    }
  }
  EXPECT_EQ(session().FreePinned(from), 0u);
  EXPECT_EQ(session().FreePinned(to), 0u);
}

TEST_P(CopyTest, OnTheDevice) {
  const std::uint64_t a = Malloc(5 * limits::kMiB);
  const std::uint64_t b = Malloc(5 * limits::kMiB);
  for (const std::uint64_t bytes : kSizes) {
    SCOPED_TRACE(bytes);
    const Bytes expected = Pattern(bytes, 4);
    ASSERT_EQ(session().CopyToDevice(legacy(), a, expected.data(), bytes, true), 0u);
    ASSERT_EQ(session().CopyOnDevice(legacy(), b, a, bytes), 0u);
    Bytes to(bytes);
    ASSERT_EQ(session().CopyToHost(legacy(), to.data(), b, bytes, true), 0u);
    EXPECT_EQ(to, expected);
  }
}

TEST_P(CopyTest, CompletionIsToldOnlyAfterTheBytesLanded) {
  constexpr std::size_t kBytes = 300 * limits::kKiB;
  constexpr int kRounds = 40;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t device = Malloc(kBytes);
  std::uint8_t* to = Pinned(kBytes);
  for (int round = 1; round <= kRounds; ++round) {
    const auto value = static_cast<std::uint32_t>(round);
    ASSERT_EQ(session().Fill(stream, wire::Fill(device, kBytes, kBytes, kBytes, 1, 1, value, 1, stream->slot, 0)), 0u);
    ASSERT_EQ(session().CopyToHost(stream, to, device, kBytes, false), 0u);
    ASSERT_TRUE(IdleWithin(*stream, 20000));
    ASSERT_EQ(std::count(to, to + kBytes, static_cast<std::uint8_t>(round)), static_cast<long>(kBytes)) << round;
  }
}

TEST_P(CopyTest, FillsOfEveryElementSize) {
  const std::uint64_t device = Malloc(4096);
  for (const std::uint32_t element : {1u, 2u, 4u}) {
    SCOPED_TRACE(element);
    Bytes expected(4096, 0xff);
    ASSERT_EQ(session().CopyToDevice(legacy(), device, expected.data(), 4096, true), 0u);
    // 3 slices of 5 rows of 7 elements, 64 bytes from row to row, 512 from slice to slice.
    const std::uint32_t value = 0x04030201;
    ASSERT_EQ(session().Fill(legacy(), wire::Fill(device + 16, 64, 512, 7, 5, 3, value, element, 0, 0)), 0u);
    for (int z = 0; z < 3; ++z) {
      for (int y = 0; y < 5; ++y) {
        for (std::uint32_t x = 0; x < 7 * element; ++x) {
          expected[16 + static_cast<std::size_t>(z * 512 + y * 64) + x] = static_cast<std::uint8_t>(x % element + 1);
        }
      }
    }
    Bytes to(4096);
    ASSERT_EQ(session().CopyToHost(legacy(), to.data(), device, 4096, true), 0u);
    EXPECT_EQ(to, expected);
  }
}

// A box in host memory to a box on the device, to another one there, and back, rows small and larger than a body.
TEST_P(CopyTest, PitchedBoxes) {
  struct Box {
    std::uint64_t width, height, depth;
  };
  for (const Box& box : {Box{1, 1, 1}, Box{13, 7, 3}, Box{1000, 300, 2}, Box{limits::kMiB + 5, 2, 2}, Box{64, 1, 5}}) {
    SCOPED_TRACE(std::to_string(box.width) + "x" + std::to_string(box.height) + "x" + std::to_string(box.depth));
    const std::uint64_t host_pitch = box.width + 3;
    const std::uint64_t host_slice = host_pitch * (box.height + 1);
    const std::uint64_t pitch = AlignUp(box.width, 512);
    const std::uint64_t slice = pitch * (box.height + 2);
    const Bytes from = Pattern(host_slice * box.depth, 9);
    Bytes to(host_slice * box.depth, 0);
    const std::uint64_t a = Malloc(slice * box.depth);
    const std::uint64_t b = Malloc(slice * box.depth);
    const auto host = [&](const std::uint8_t* at) {
      return PitchedSide{reinterpret_cast<std::uint64_t>(at), host_pitch, host_slice, false};
    };
    const auto device = [&](std::uint64_t at) { return PitchedSide{at, pitch, slice, true}; };
    const auto copy = [&](const PitchedSide& dst, const PitchedSide& src) {
      ASSERT_EQ(session().CopyPitched(legacy(), dst, src, box.width, box.height, box.depth, true), 0u);
    };
    copy(device(a), host(from.data()));
    copy(device(b), device(a));
    copy(host(to.data()), device(b));
    ASSERT_EQ(session().Synchronize(*legacy()), 0u);
    for (std::uint64_t at = 0; at < to.size(); ++at) {
      const bool inside = at % host_pitch < box.width && at % host_slice / host_pitch < box.height;
      ASSERT_EQ(to[at], inside ? from[at] : 0) << at;
    }
    ASSERT_EQ(session().Free(a), 0u);
    ASSERT_EQ(session().Free(b), 0u);
  }
}

// The bodies of a large pageable copy hold up no other stream's commands.
TEST_P(CopyTest, LaunchesFinishDuringALargeUpload) {
  constexpr std::uint64_t kBytes = 128 * limits::kMiB;
  Stream* upload = NewStream(wire::StreamKind::NonBlocking);
  Stream* launches = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t device = Malloc(kBytes);
  const std::uint64_t word = Zeros(4);
  module();
  std::atomic<bool> uploading{true};
  const Bytes from(kBytes, 0x3c);
  std::thread uploader([&] {
    EXPECT_EQ(session().CopyToDevice(upload, device, from.data(), kBytes, true), 0u);
    EXPECT_EQ(session().Synchronize(*upload), 0u);
    uploading = false;
  });
  std::uint32_t finished = 0;
  std::uint32_t finished_meanwhile = 0;
  while (uploading) {
    Launch(launches, "increment", {word});
    ASSERT_EQ(session().Synchronize(*launches), 0u);
    ++finished;
    if (uploading) ++finished_meanwhile;
  }
  uploader.join();
  EXPECT_GE(finished_meanwhile, 1u) << "every launch waited for the upload";
  EXPECT_EQ(Read32(word), finished);
  Bytes last(16);
  ASSERT_EQ(session().CopyToHost(upload, last.data(), device + kBytes - 16, 16, true), 0u);
  EXPECT_EQ(last, Bytes(16, 0x3c));
}

// What is uploaded is what the program would read: results that are on their way into that memory come first.
TEST_P(CopyTest, RowsOfPinnedMemoryAreUploadedBehindTheResultsInIt) {
  constexpr std::uint64_t kRow = 64;
  constexpr std::uint64_t kRows = 16 * 1024;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t from = Malloc(kRow * kRows);
  const std::uint64_t to = Malloc(2 * kRow * kRows);
  const Bytes pattern = Pattern(kRow * kRows, 5);
  std::uint8_t* pinned = Pinned(kRow * kRows);
  for (int round = 0; round < 5; ++round) {
    std::memset(pinned, 0, kRow * kRows);
    ASSERT_EQ(session().CopyToDevice(stream, from, pattern.data(), pattern.size(), true), 0u);
    ASSERT_EQ(session().CopyToHost(stream, pinned, from, kRow * kRows, false), 0u);
    const PitchedSide dst{to, 2 * kRow, 2 * kRow * kRows, true};
    const PitchedSide src{reinterpret_cast<std::uint64_t>(pinned), kRow, kRow * kRows, false};
    ASSERT_EQ(session().CopyPitched(stream, dst, src, kRow, kRows, 1, false), 0u);
    Bytes all(2 * kRow * kRows);
    ASSERT_EQ(session().CopyToHost(stream, all.data(), to, all.size(), true), 0u);
    for (std::uint64_t r = 0; r < kRows; ++r) {
      ASSERT_TRUE(std::equal(pattern.begin() + r * kRow, pattern.begin() + (r + 1) * kRow, all.begin() + 2 * r * kRow))
          << "row " << r << " of round " << round;
    }
  }
}

// Behind a synchronous copy the program may read what its stream wrote before.
TEST_P(CopyTest, ASynchronousUploadIsBehindEarlierResultsOfItsStream) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  constexpr std::size_t kBytes = 4 * limits::kMiB;
  const std::uint64_t device = Malloc(kBytes);
  const std::uint64_t other = Malloc(4096);
  const Bytes pattern = Pattern(kBytes, 6);
  const Bytes small(4096, 1);
  std::uint8_t* pinned = Pinned(kBytes);
  for (int round = 0; round < 5; ++round) {
    std::memset(pinned, 0, kBytes);
    ASSERT_EQ(session().CopyToDevice(stream, device, pattern.data(), kBytes, true), 0u);
    ASSERT_EQ(session().CopyToHost(stream, pinned, device, kBytes, false), 0u);
    ASSERT_EQ(session().CopyToDevice(stream, other, small.data(), small.size(), true), 0u);
    ASSERT_TRUE(std::equal(pattern.begin(), pattern.end(), pinned)) << "round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(All, CopyTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
