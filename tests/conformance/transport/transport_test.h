// A connection under test, and what is sent over it. The tests of one suite lie in several files, by what they are
// about.
#pragma once

#include <gtest/gtest.h>

#include "tests/conformance/transport/executor.h"

namespace accelmesh::conformance {

class TransportTest : public ::testing::TestWithParam<Transport> {
 protected:
  void SetUp() override {
    if (!GetParam().absent.empty()) GTEST_SKIP() << GetParam().absent;
    pair_ = Open(GetParam());
    ASSERT_NE(pair_.client, nullptr);
    ASSERT_NE(pair_.server, nullptr);
  }
  ClientChannel& client() { return *pair_.client; }
  ServerChannel& server() { return *pair_.server; }
  Status SendText(UpLane lane, const std::string& text) { return client().Send(lane, AsBytes(text), In(10000)); }

  Pair pair_;
};

inline Bytes Pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + (i >> 9) + seed * 17);
  return bytes;
}

// A frame of numbered size and content; lengths cross every boundary of rings and buffers.
inline std::string Numbered(int number) {
  std::string text = std::to_string(number) + ":";
  text.resize(text.size() + static_cast<std::size_t>(number) * 37 % 3001, static_cast<char>('a' + number % 26));
  return text;
}

}  // namespace accelmesh::conformance
