// The shared ring against a peer that writes what it likes, where it likes, between any two operations of ours: no
// access outside of the ring and of the private buffer (the sanitizer looks), and no record longer than asked for.
#include <memory>

#include "protocol/transport/ring.h"
#include "protocol/transport/shm_layout.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

constexpr std::size_t kCapacity = 512;

void Run(Input input) {
  // Allocated apart, so that each byte beyond is poisoned.
  const auto words = std::make_unique<shm::RingWords>();
  const auto side = std::make_unique<shm::Side>();
  const auto data = std::make_unique<std::uint8_t[]>(kCapacity);
  const auto flags = std::make_unique<shm::ReleasedFlags>();
  shm::RingProducer producer(*words, data.get(), kCapacity, *side);
  shm::RingConsumer consumer(*words, data.get(), kCapacity, *side);
  shm::SlotAllocator slots(*flags);
  Bytes to(kCapacity);
  while (!input.empty()) {
    switch (input.Number<std::uint8_t>() % 8) {
      case 0: (void)producer.TryPush(input.Piece(input.Number<std::uint8_t>())); break;
      case 1: {
        const std::size_t most = input.Number<std::uint16_t>() % kCapacity;
        // A buffer of exactly that size: one byte more would be seen.
        const auto exact = std::make_unique<std::uint8_t[]>(most);
        std::size_t size = 0;
        if (consumer.Available() && consumer.Pop(exact.get(), most, size) == shm::RingStatus::kOk) {
          Require(size <= most, "a record is at most as long as asked for");
          Touch({exact.get(), size});
        }
        break;
      }
      case 2: consumer.Refresh(); break;
      case 3: (void)producer.HasRoom(input.Number<std::uint16_t>()); break;
      case 4: words->head.store(input.Number<std::uint64_t>()); break;
      case 5: words->tail.store(input.Number<std::uint64_t>()); break;
      case 6: {
        const std::size_t at = input.Number<std::uint16_t>() % kCapacity;
        const ByteView bytes = input.Piece(input.Number<std::uint8_t>());
        std::memcpy(data.get() + at, bytes.data(), std::min(bytes.size(), kCapacity - at));
        break;
      }
      case 7: {
        // The slots of bodies: flags that the peer sets for runs it never had.
        flags->unit[input.Number<std::uint16_t>() % shm::kUnits].store(1);
        const std::uint32_t units = 1 + input.Number<std::uint8_t>() % 16;
        if (const auto unit = slots.Allocate(units)) Require(*unit + units <= shm::kUnits, "a run lies in the arena");
        shm::Announcement claim;
        claim.first_unit = input.Number<std::uint32_t>();
        claim.size = input.Number<std::uint32_t>();
        if (shm::IsInArena(claim)) {
          Require(std::uint64_t{claim.first_unit} * shm::kUnitBytes + claim.size <= shm::kArenaBytes, "inside");
        }
        break;
      }
    }
  }
}

}  // namespace
}  // namespace accelmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run({data, size});
  return 0;
}
