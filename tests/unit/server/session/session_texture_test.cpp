// Texture and surface objects: what a session lets through, and when it lets them go.
#include <gtest/gtest.h>

#include "tests/unit/server/session/session_fixture.h"

namespace accelmesh {
namespace {

class SessionTextureTest : public SessionTest {
 protected:
  struct What {
    std::uint64_t id = 1;
    wire::TextureSource source = wire::TextureSource::Array;
    std::vector<wire::TextureLevel> levels{wire::TextureLevel(kBase, 64, 256, 16, 4, 0)};
    std::uint8_t format = 0x20;
    std::uint8_t channels = 1;
    std::uint8_t mode = 1;
    std::uint32_t device = 0;
    std::optional<wire::TextureView> view = {};
  };
  void Create(const What& what) {
    flatbuffers::FlatBufferBuilder builder;
    const auto levels = builder.CreateVectorOfStructs(what.levels);
    const wire::TextureSampling sampling(0, 0, 0, 0, 0, 0, 0, 0, 0, what.mode, 1, 1, 0, 0, 0, 0);
    builder.Finish(wire::CreateTextureCreate(builder, what.id, what.device, what.source, false, what.format,
                                             what.channels, 0, levels, &sampling,
                                             what.view.has_value() ? &*what.view : nullptr));
    const Bytes frame = FrameOf(++sequence_, static_cast<std::uint16_t>(CommandId::kTextureCreate),
                                {builder.GetBufferPointer(), builder.GetSize()}, {});
    Do([frame](ScriptChannel& c) { c.PushFrame(UpLane::kCommand, frame); });
  }
  void OpenWithMemory() {
    Open();
    Post(wire::MemAlloc(kBase, 4096, 0, 0));
    Post(wire::StreamCreate(1, 0, 0, wire::StreamKind::NonBlocking));
  }
  void ExpectBadFrame() {
    EXPECT_EQ(Run().code(), Code::kBadFrame);
    EXPECT_TRUE(steps_.empty());
  }
  // It does not get to the backend, the client is told, and the session goes on.
  void ExpectRefused(const What& what) {
    OpenWithMemory();
    Create(what);
    Check([this] { EXPECT_EQ(backend_.textures(), 0u); });
    Post(wire::TextureDestroy(what.id));
    Check([this] { EXPECT_EQ(channel_.error(), static_cast<std::uint32_t>(kDeviceInvalidValue)); });
    EXPECT_EQ(Run().code(), Code::kClosed);
  }
};

TEST_F(SessionTextureTest, LivesUntilItIsDestroyed) {
  OpenWithMemory();
  Create({});
  Create({2, wire::TextureSource::Pitched});
  Check([this] { EXPECT_EQ(backend_.textures(), 2u); });
  Post(wire::TextureDestroy(1));
  Check([this] { EXPECT_EQ(backend_.textures(), 1u); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionTextureTest, StaysWhileACommandIsParked) {
  OpenWithMemory();
  Create({});
  Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(9, 0, wire::PlaceKind::Bulk), 10, 1, 0));
  Post(wire::TextureDestroy(1));
  Check([this] { EXPECT_EQ(backend_.textures(), 1u) << "a parked launch could name it"; });
  Do([](ScriptChannel& c) { c.PushBody(9, Bytes(10, 1)); });
  Do([](ScriptChannel&) {});
  Check([this] { EXPECT_EQ(backend_.textures(), 0u); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionTextureTest, CommandsThatCameLaterDoNotHoldIt) {
  const auto copy = [](std::uint32_t stream, std::uint64_t token) {
    return wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(token, 0, wire::PlaceKind::Bulk), 10,
                      stream, 0);
  };
  OpenWithMemory();
  Create({});
  Create({2});
  Post(copy(1, 9));
  Post(wire::TextureDestroy(1));
  Post(wire::StreamCreate(2, 0, 0, wire::StreamKind::NonBlocking));
  Post(copy(2, 10));
  Post(wire::TextureDestroy(2));
  Do([](ScriptChannel& c) { c.PushBody(9, Bytes(10, 1)); });
  Do([](ScriptChannel&) {});
  Check([this] { EXPECT_EQ(backend_.textures(), 1u) << "the second has a copy before it"; });
  Do([](ScriptChannel& c) { c.PushBody(10, Bytes(10, 1)); });
  Do([](ScriptChannel&) {});
  Check([this] { EXPECT_EQ(backend_.textures(), 0u); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionTextureTest, AnIdThatParkedCommandsStillMean) {
  OpenWithMemory();
  Create({});
  Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(9, 0, wire::PlaceKind::Bulk), 10, 1, 0));
  Post(wire::TextureDestroy(1));
  Create({});
  ExpectBadFrame();
}

TEST_F(SessionTextureTest, TheIdIsTheHandle) {
  OpenWithMemory();
  Create({7});
  Post(wire::TextureHandle(7));
  EXPECT_EQ(Run().code(), Code::kClosed);
  const wire::Down& answer = Answer(1);
  EXPECT_EQ(answer.device_status(), 0u);
  ASSERT_NE(answer.body(), nullptr);
  EXPECT_EQ(flatbuffers::GetRoot<wire::TextureHandleInfo>(answer.body()->data())->handle(), 7u);
}

TEST_F(SessionTextureTest, OutsideOfAllocations) {
  What what;
  what.levels = {wire::TextureLevel(kBase + 4096 - 64, 64, 256, 16, 2, 0)};
  ExpectRefused(what);
}
TEST_F(SessionTextureTest, RowsOverOneAnother) {
  What what;
  what.levels = {wire::TextureLevel(kBase, 32, 256, 16, 4, 0)};
  ExpectRefused(what);
}
TEST_F(SessionTextureTest, SizesThatWrapAround) {
  What what;
  what.levels = {wire::TextureLevel(kBase, std::uint64_t{1} << 62, std::uint64_t{1} << 63, 16, 5, 3)};
  ExpectRefused(what);
}
TEST_F(SessionTextureTest, NoSuchFormat) {
  What what;
  what.format = 0x77;
  ExpectRefused(what);
}
TEST_F(SessionTextureTest, NoSuchMode) {
  What what;
  what.mode = 4;
  ExpectRefused(what);
}
TEST_F(SessionTextureTest, AViewOfLevelsThatAreNot) {
  What what;
  what.source = wire::TextureSource::Mipmapped;
  what.view = wire::TextureView(0, 1, 0, 0, 0);
  ExpectRefused(what);
}

TEST_F(SessionTextureTest, AnIdTwice) {
  OpenWithMemory();
  Create({});
  Create({});
  ExpectBadFrame();
}
TEST_F(SessionTextureTest, NoSuchDevice) {
  OpenWithMemory();
  What what;
  what.device = 64;
  Create(what);
  ExpectBadFrame();
}
TEST_F(SessionTextureTest, NoLevels) {
  OpenWithMemory();
  What what;
  what.levels.clear();
  Create(what);
  ExpectBadFrame();
}
TEST_F(SessionTextureTest, DestroyedTwice) {
  OpenWithMemory();
  Create({});
  Post(wire::TextureDestroy(1));
  Post(wire::TextureDestroy(1));
  ExpectBadFrame();
}
TEST_F(SessionTextureTest, TheHandleOfNothing) {
  OpenWithMemory();
  Post(wire::TextureHandle(1));
  ExpectBadFrame();
}

}  // namespace
}  // namespace accelmesh
