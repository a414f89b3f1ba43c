// What a peer of an rdma session writes: its greeting, and then anything into the ring, at any time, with any tail and
// head. The first bytes are the greeting's, the rest are steps: a byte says what, the next ones with what.
#include <array>

#include "protocol/transport/rdma/layout.h"
#include "protocol/transport/rdma/units.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  using namespace accelmesh::rdma;
  constexpr std::size_t kCapacity = 512;
  constexpr std::size_t kRecordMax = 200;
  std::array<std::uint8_t, 16> mark{};
  const ByteView input(data, size);
  const Result<Greeting> greeting = ReadGreeting(input.first(std::min(size, sizeof(Greeting))), mark);
  fuzz::Require(greeting.ok() || !greeting.status().text().empty(), "a refusal says why");
  alignas(8) std::array<std::uint8_t, kCapacity> ring{};
  alignas(8) std::array<std::uint8_t, kCapacity> staging{};
  std::array<std::uint8_t, kRecordMax + 8> to{};
  RingIn in(ring.data(), ring.size());
  RingOut out(staging.data(), staging.size());
  UnitAllocator units;
  ByteReader reader(input, "fuzz");
  while (reader.left() >= 9) {
    const std::uint8_t step = *reader.Read<std::uint8_t>();
    const std::uint64_t value = *reader.Read<std::uint64_t>();
    switch (step % 8) {
      case 0: {
        const std::size_t at = value % (kCapacity / 8) * 8;
        std::memcpy(ring.data() + at, &value, sizeof(value));
        break;
      }
      case 1:
        (void)in.Learn(step < 128 ? in.head() + value % 1024 : value);
        fuzz::Require(in.tail() - in.head() <= kCapacity, "no more is there than the ring holds");
        break;
      case 2: {
        if (!in.Available()) break;
        to.fill(0xee);
        Kind kind = Kind::kFrame;
        std::size_t bytes = 0;
        const std::uint64_t before = in.head();
        if (!in.Pop(to.data(), kRecordMax, kind, bytes)) {
          fuzz::Require(in.head() == before, "what is none is not taken");
          return 0;
        }
        fuzz::Require(bytes <= kRecordMax && in.head() <= in.tail(), "a record lies within what is there");
        for (std::size_t i = bytes; i < to.size(); ++i) fuzz::Require(to[i] == 0xee, "nothing is written behind it");
        break;
      }
      case 3:
        (void)out.Learn(value);
        fuzz::Require(out.unread() <= kCapacity, "room is never more than the ring");
        break;
      case 4: {
        const std::size_t bytes = value % kRecordMax;
        if (!out.HasRoom(bytes)) break;
        Stretch stretches[2];
        const std::size_t count = out.Place(Kind::kFrame, ByteView(to).first(bytes), stretches);
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < count; ++i) {
          sum += stretches[i].bytes;
          fuzz::Require(stretches[i].at + stretches[i].bytes <= kCapacity, "a stretch lies within the ring");
        }
        fuzz::Require(sum == RecordBytes(bytes), "the stretches are the record");
        break;
      }
      case 5: {
        units.Learn(value % kUnitWords, value);
        const auto first = units.Allocate(1 + step % 16);
        fuzz::Require(!first.has_value() || *first + 1 + step % 16 <= kUnits, "a run lies within the arena");
        break;
      }
      case 6: {
        const std::size_t bytes = value % kRecordMax;
        if (!out.HasRoomForLone(bytes)) break;
        const Stretch stretch = out.PlaceLone(Kind::kFrame, ByteView(to).first(bytes), {value, value});
        fuzz::Require(stretch.at + stretch.bytes <= kCapacity, "a lone record lies within the ring");
        std::memcpy(ring.data() + stretch.at, staging.data() + stretch.at, stretch.bytes);
        break;
      }
      case 7: {
        Told told;
        const std::uint64_t before = in.tail();
        const bool is_there = in.Look(told);
        fuzz::Require(is_there == (in.tail() != before), "what is not there is not taken for there");
        fuzz::Require(in.tail() - in.head() <= kCapacity, "no more is there than the ring holds");
        break;
      }
      default: break;
    }
  }
  return 0;
}
