#include "protocol/transport/messages.h"

#include "protocol/schema/session_generated.h"

namespace accelmesh {
namespace {

// Compares without telling by its duration how much was right.
bool SameSecret(ByteView a, ByteView b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

Status ApplyProgress(ByteView message, ProgressPage& page) {
  constexpr const char* kWhere = "ApplyProgress";
  const Bytes aligned(message.begin(), message.end());
  flatbuffers::Verifier verifier(aligned.data(), aligned.size());
  if (!verifier.VerifyBuffer<wire::Progress>(nullptr)) {
    return {Code::kBadFrame, kWhere, "the server's progress does not verify"};
  }
  const auto* update = flatbuffers::GetRoot<wire::Progress>(aligned.data());
  const bool first = page.error.load(std::memory_order_relaxed) == 0;
  const bool worse = update->error_is_sticky() && page.error_is_sticky.load(std::memory_order_relaxed) == 0;
  if (update->error() != 0 && (first || worse)) {
    page.error_sequence.store(update->error_sequence(), std::memory_order_relaxed);
    page.error_is_sticky.store(update->error_is_sticky() ? 1 : 0, std::memory_order_relaxed);
    page.error.store(update->error(), std::memory_order_release);
  }
  StoreMax(page.acknowledged, update->acknowledged());
  if (update->streams() == nullptr) return {};
  for (flatbuffers::uoffset_t i = 0; i < update->streams()->size(); ++i) {
    // Copied: the verifier does not look at the alignment of structs in a vector.
    wire::StreamProgress stream;
    std::memcpy(&stream, update->streams()->Data() + i * sizeof(stream), sizeof(stream));
    if (stream.stream() >= limits::kStreamsMax) {
      return {Code::kBadFrame, kWhere, "the server's progress names an unknown stream"};
    }
    StoreMax(page.completed[stream.stream()], stream.completed());
  }
  return {};
}

bool AttachFits(ByteView message, std::uint8_t lane, ByteView secret) {
  const Bytes aligned(message.begin(), message.end());
  flatbuffers::Verifier verifier(aligned.data(), aligned.size());
  if (!verifier.VerifyBuffer<wire::Attach>(nullptr)) return false;
  const auto* attach = flatbuffers::GetRoot<wire::Attach>(aligned.data());
  return attach->lane() == lane && attach->secret() != nullptr &&
         SameSecret({attach->secret()->data(), attach->secret()->size()}, secret);
}

}  // namespace accelmesh
