#include "protocol/transport/copy.h"

#include <gtest/gtest.h>

#include <vector>

#include "protocol/base/bytes.h"

namespace accelmesh {
namespace {

constexpr std::size_t kSizeMax = 300001;
constexpr std::size_t kFrame = 64;  // untouched bytes before and behind

TEST(CopyBodyTest, CopiesExactlyTheBytesAtEveryAlignment) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, kStreamingBytesMin - 1, kStreamingBytesMin,
        kStreamingBytesMin + 1, kStreamingBytesMin + 63, kStreamingBytesMin + 127, kSizeMax}) {
    for (const std::size_t to_offset : {0, 1, 16, 63}) {
      for (const std::size_t from_offset : {0, 1, 16, 63}) {
        Bytes from(kSizeMax + 2 * kFrame);
        for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::uint8_t>(1 + i * 7 % 251);
        Bytes to(kSizeMax + 2 * kFrame, 0);
        CopyBody(to.data() + to_offset, from.data() + from_offset, size);
        Bytes expected(kSizeMax + 2 * kFrame, 0);
        for (std::size_t i = 0; i < size; ++i) expected[to_offset + i] = from[from_offset + i];
        ASSERT_TRUE(to == expected) << size << " bytes from +" << from_offset << " to +" << to_offset;
      }
    }
  }
}

}  // namespace
}  // namespace accelmesh
