// Messages to slot-market: whatever the bytes and whoever sends them, every one is answered, nobody's credits are made
// or lost, no slot is let beyond what it is, and the registry never has to be read anew. Seeds: make_desk_seeds.
//
//   input := {who:u8 size:u16 bytes}
#include "protocol/base/log.h"
#include "tests/fuzz/desk_world.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  using namespace accelmesh::market;
  log::SetSink([](log::Level, std::string_view) {});
  fuzz_world::DeskWorld world;
  fuzz::Require(world.desk().is_leading(), "the desk leads");
  ByteReader reader(ByteView(data, size), "desk_fuzz");
  for (int i = 0; i < 8; ++i) {
    const Result<std::uint8_t> who = reader.Read<std::uint8_t>();
    const Result<std::uint16_t> length = reader.Read<std::uint16_t>();
    if (!who.ok() || !length.ok()) break;
    const ByteView bytes = *reader.Take(std::min<std::size_t>(*length, reader.left()));
    world.Send(*who, bytes);
    world.RequireSound();
  }
  return 0;
}
