// Clients that send what no client sends, to a real gpu-server, while another session runs on the same server: the bad
// session ends with a logged reason; the server and the other session do not notice.
#include <cstddef>
#include <random>

#include "tests/faults/garbage.h"

namespace accelmesh::faults {
namespace {

TEST_P(GarbageTest, FramesThatAreNone) {
  std::mt19937 random(1);
  Bytes noise(70000);
  for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>(random());
  AttackWith("noise", UpLane::kCommand, {noise});
  AttackWith("noise after the opening", UpLane::kCommand, {OpenFrame().bytes(), noise});
  AttackWith("noise on the side lane", UpLane::kSide, {noise});
  AttackWith("an empty frame", UpLane::kCommand, {{}});
  AttackWith("the largest frame, of zeros", UpLane::kCommand, {Bytes(limits::kFrameBytesMax)});
  Bytes other_version = OpenFrame().bytes();
  other_version[3] = '9';
  AttackWith("a frame of another version", UpLane::kCommand, {other_version});
}

TEST_P(GarbageTest, FramesThatDoNotAddUp) {
  for (const std::size_t cut : {1u, 8u, 20u, 40u}) {
    Bytes frame = OpenFrame().bytes();
    frame.resize(frame.size() - cut);
    AttackWith("a truncated frame", UpLane::kCommand, {frame});
  }
  Bytes longer = OpenFrame().bytes();
  longer.resize(longer.size() + 8);
  AttackWith("a frame with bytes behind it", UpLane::kCommand, {longer});
  for (const std::size_t field : {0u, 4u, 8u}) {
    Bytes frame = OpenFrame().Add(wire::Ping(1)).bytes();
    const std::uint32_t huge = 0xfffffff8;
    std::memcpy(frame.data() + sizeof(FrameHeaderValue) + field, &huge, sizeof(huge));
    AttackWith("an oversized record", UpLane::kCommand, {frame});
  }
  Bytes more_records = OpenFrame().bytes();
  more_records[offsetof(FrameHeaderValue, records)] = 200;
  AttackWith("fewer records than announced", UpLane::kCommand, {more_records});
}

TEST_P(GarbageTest, FramesAtTheWrongTime) {
  const Bytes open = OpenFrame().bytes();
  AttackWith("a replay", UpLane::kCommand, {open, open});
  AttackWith("a gap", UpLane::kCommand, {open, Frame(3).Add(wire::Ping(1)).bytes()});
  AttackWith("a command before the opening", UpLane::kCommand, {Frame(1).Add(wire::Ping(1)).bytes()});
  AttackWith("a command of the other lane", UpLane::kSide, {Frame(1).Add(wire::Ping(1)).bytes()});
  AttackWith("an unknown command", UpLane::kCommand, {open, Frame(2).AddRaw(60000, {}).bytes()});
  AttackWith("a stream that is not there", UpLane::kCommand, {open, Frame(2).Add(wire::StreamDestroy(77, 0)).bytes()});
  AttackWith("a copy to the place of an inline payload", UpLane::kCommand,
             {open, Frame(2)
                        .Add(wire::Copy(wire::Place(0, 0, wire::PlaceKind::Inline),
                                        wire::Place(0, 0, wire::PlaceKind::Inline), 100, 0, 0))
                        .bytes()});
}

TEST_P(GarbageTest, ATokenThatComesTwice) {
  const auto channel = Attack();
  ASSERT_NE(channel, nullptr);
  ASSERT_TRUE(channel->Send(UpLane::kCommand, OpenFrame().bytes(), In(kPatienceMs)).ok());
  const Bytes body(1000, 1);
  for (int i = 0; i < 2; ++i) (void)channel->SendBulk(5, body, In(kPatienceMs)).ok();
  ExpectEnded(*channel, "a token twice");
}

TEST_P(GarbageTest, HellosThatAreRefused) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(wire::CreateHello(builder, 40, 41));
  const auto version = Connect(server_->url(), {builder.GetBufferPointer(), builder.GetSize()});
  EXPECT_EQ(version.code(), Code::kVersionMismatch) << version.status().ToString();
  EXPECT_NE(version.status().text().find("install the same release"), std::string::npos);
  const auto noise = Connect(server_->url(), AsBytes("good morning"));
  EXPECT_EQ(noise.code(), Code::kBadFrame) << noise.status().ToString();
  const auto empty = Connect(server_->url(), {});
  EXPECT_FALSE(empty.ok());
}

// A client that is welcomed and never comes must not keep a worker.
TEST_P(GarbageTest, AClientThatLeavesAtOnce) {
  for (int i = 0; i < 5; ++i) {
    const auto channel = Attack();
    ASSERT_NE(channel, nullptr);
  }
  // Session 1 is the other one.
  for (int id = 2; id <= 6; ++id) ExpectLogged("session " + std::to_string(id) + " has ended");
}

INSTANTIATE_TEST_SUITE_P(All, GarbageTest, ::testing::Values("shm", "tcp", "ipc"), NameOf);

}  // namespace
}  // namespace accelmesh::faults
