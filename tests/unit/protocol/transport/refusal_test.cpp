#include "protocol/transport/refusal.h"

#include <gtest/gtest.h>

#include <string>

#include "protocol/base/limits.h"
#include "protocol/schema/session_generated.h"

namespace accelmesh {
namespace {

Bytes MakeWelcome(wire::Refusal refusal, const char* text) {
  flatbuffers::FlatBufferBuilder builder;
  const auto words = text != nullptr ? builder.CreateString(text) : flatbuffers::Offset<flatbuffers::String>();
  wire::WelcomeBuilder welcome(builder);
  welcome.add_refusal(refusal);
  if (text != nullptr) welcome.add_text(words);
  welcome.add_session_id(77);
  builder.Finish(welcome.Finish());
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

TEST(StatusOfWelcomeTest, AWelcomeIsOk) {
  EXPECT_TRUE(StatusOfWelcome(MakeWelcome(wire::Refusal::None, nullptr)).ok());
  EXPECT_TRUE(StatusOfWelcome(MakeWelcome(wire::Refusal::None, "nothing to say")).ok());
}

TEST(StatusOfWelcomeTest, ARefusalHasItsCodeAndText) {
  const struct {
    wire::Refusal refusal;
    Code code;
  } cases[] = {
      {wire::Refusal::Version, Code::kVersionMismatch},      {wire::Refusal::Busy, Code::kLimitExceeded},
      {wire::Refusal::Quota, Code::kLimitExceeded},          {wire::Refusal::Permission, Code::kPermissionDenied},
      {wire::Refusal::Malformed, Code::kBadFrame},           {wire::Refusal::Internal, Code::kUnavailable},
      {static_cast<wire::Refusal>(200), Code::kUnavailable},  // a newer server's
  };
  for (const auto& one : cases) {
    const Status status = StatusOfWelcome(MakeWelcome(one.refusal, "all 8 workers are busy; try again"));
    EXPECT_EQ(status.code(), one.code) << static_cast<int>(one.refusal);
    EXPECT_EQ(status.text(), "all 8 workers are busy; try again");
  }
  EXPECT_EQ(StatusOfWelcome(MakeWelcome(wire::Refusal::Busy, nullptr)).text(), "the server refused the session");
  const std::string endless(limits::kTextBytesMax + 1, 'x');
  EXPECT_EQ(StatusOfWelcome(MakeWelcome(wire::Refusal::Busy, endless.c_str())).text(),
            "the server refused the session");
}

TEST(StatusOfWelcomeTest, WhatDoesNotVerifyIsABadFrame) {
  const Bytes whole = MakeWelcome(wire::Refusal::Busy, "text");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    // The last bytes are padding behind the text; without them it is still the same refusal.
    const Code expected = size + 3 < whole.size() ? Code::kBadFrame : Code::kLimitExceeded;
    EXPECT_EQ(StatusOfWelcome(prefix).code(), expected) << size;
  }
  EXPECT_EQ(StatusOfWelcome(AsBytes("HTTP/1.1 400 Bad Request\r\n\r\n")).code(), Code::kBadFrame);
  EXPECT_NE(StatusOfWelcome(AsBytes("?")).text().find("is another program listening there?"), std::string::npos);
  Bytes oversized = whole;
  oversized.resize(limits::kFrameBytesMax + 1);
  EXPECT_EQ(StatusOfWelcome(oversized).code(), Code::kBadFrame);
}

}  // namespace
}  // namespace accelmesh
