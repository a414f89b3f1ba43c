// Session: copies and fills. How bytes travel is chosen by size, direction and pinned or not (SEMANTICS.md 1).
#include <algorithm>
#include <cstring>

#include "protocol/base/log.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

// A synchronous copy from pinned memory up to this size is copied out and posted; beyond it, done in place and awaited.
constexpr std::uint64_t kPinnedCopyOutMax = 64 * limits::kKiB;
// A pageable copy beyond this size waits for its stream first, so that the server never holds more than a few bodies
// for a stream that is not at its turn.
constexpr std::uint64_t kHeldBytesMax = 4 * limits::kMiB;

wire::Place DevicePlace(std::uint64_t address) { return {address, 0, wire::PlaceKind::Device}; }

}  // namespace

bool ClientSession::DivertsCopy(const Stream& stream, const PitchedSide& dst, const PitchedSide& src,
                                std::uint64_t width, std::uint64_t height, std::uint64_t depth, bool wait,
                                DeviceResult* result) {
  if (!Diverts(stream, result)) return false;
  if (*result != 0) return true;
  *result = wait ? captures_->CheckWait(stream) : captures_->Capture(stream, GraphCopy{dst, src, width, height, depth});
  return true;
}

DeviceResult ClientSession::CopyToDevice(Stream* stream, std::uint64_t dst, const void* src, std::uint64_t bytes,
                                         bool wait) {
  if (DeviceResult captured = 0;
      DivertsCopy(*stream, {dst, bytes, bytes, true}, {reinterpret_cast<std::uint64_t>(src), bytes, bytes, false},
                  bytes, 1, 1, wait, &captured))
    return captured;
  if (std::uint64_t twin = 0; HasTwin(src, bytes, &twin)) {
    const DeviceResult result = CopyOnDevice(stream, dst, twin, bytes);
    return result != 0 || !wait ? result : Synchronize(*stream);
  }
  if (IsCommonAddress(dst)) return CopyToHostWindow(stream, dst, static_cast<const std::uint8_t*>(src), bytes, wait);
  return CopyUp(stream, dst, static_cast<const std::uint8_t*>(src), bytes, wait);
}

DeviceResult ClientSession::CopyToHostWindow(Stream* stream, std::uint64_t dst, const std::uint8_t* src,
                                             std::uint64_t bytes, bool wait) {
  if (const DeviceResult ready = BeforeDeviceUse(stream, dst); ready != 0) return ready;
  const DeviceResult result = CopyUp(stream, dst, src, bytes, wait);
  if (result != 0) return result;
  NoteDeviceWork(stream->slot, stream->last_sequence.load(std::memory_order_acquire));
  // The program reads there what the copy has brought.
  return wait ? Synchronize(*stream) : 0;
}

DeviceResult ClientSession::CopyUp(Stream* stream, std::uint64_t dst, const std::uint8_t* from, std::uint64_t bytes,
                                   bool wait) {
  PinnedRange pinned;
  const bool is_pinned = FindPinned(from, &pinned);
  const bool in_place =
      is_pinned && pinned.shared && bytes <= pinned.bytes - static_cast<std::size_t>(from - pinned.address);
  if (in_place && !(wait && bytes <= kPinnedCopyOutMax)) {
    const wire::Place place(static_cast<std::uint64_t>(from - pinned.address), pinned.region, wire::PlaceKind::Shared);
    commands_->statistics().bulk_up_bytes.fetch_add(bytes, std::memory_order_relaxed);
    const DeviceResult posted = PostOn(stream, wire::Copy(DevicePlace(dst), place, bytes, stream->slot, 0));
    return posted != 0 || !wait ? posted : Synchronize(*stream);
  }
  // Copied at the call. Asynchronous results on their way into this very memory must have landed first; and behind a
  // synchronous copy a program may read what its stream has written before.
  if ((is_pinned || wait) && HostWritesPending()) {
    const DeviceResult waited = is_pinned ? SynchronizeDevice(stream->device) : Synchronize(*stream);
    if (waited != 0) return waited;
  }
  if (bytes <= limits::kInlineBytesMax) {
    const wire::Place place(0, 0, wire::PlaceKind::Inline);
    return PostOn(stream, wire::Copy(DevicePlace(dst), place, bytes, stream->slot, 0), {from, bytes});
  }
  if (bytes > kHeldBytesMax && !Idle(*stream)) {
    if (const DeviceResult waited = Synchronize(*stream); waited != 0) return waited;
  }
  return SendPieces(stream, dst, from, bytes);
}

DeviceResult ClientSession::SendPieces(Stream* stream, std::uint64_t dst, const std::uint8_t* from,
                                       std::uint64_t bytes) {
  const std::uint64_t piece_max = commands_->channel().traits().bulk_bytes_preferred;
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t piece = std::min(piece_max, bytes - done);
    const std::uint64_t token = commands_->NextToken();
    if (const Status sent = commands_->SendBulkToDevice(token, {from + done, piece}); !sent.ok()) return Lost(sent);
    const wire::Place place(token, 0, wire::PlaceKind::Bulk);
    if (const DeviceResult posted = PostOn(stream, wire::Copy(DevicePlace(dst + done), place, piece, stream->slot, 0));
        posted != 0) {
      return posted;
    }
    done += piece;
  }
  return 0;
}

DeviceResult ClientSession::CopyToHost(Stream* stream, void* dst, std::uint64_t src, std::uint64_t bytes, bool wait) {
  if (DeviceResult captured = 0; DivertsCopy(*stream, {reinterpret_cast<std::uint64_t>(dst), bytes, bytes, false},
                                             {src, bytes, bytes, true}, bytes, 1, 1, wait, &captured))
    return captured;
  if (std::uint64_t twin = 0; HasTwin(dst, bytes, &twin)) {
    const DeviceResult result = CopyOnDevice(stream, twin, src, bytes);
    return result != 0 || !wait ? result : Synchronize(*stream);
  }
  if (const DeviceResult ready = BeforeDeviceUse(stream, src, false); ready != 0) return ready;
  auto* to = static_cast<std::uint8_t*>(dst);
  PinnedRange pinned;
  const bool is_pinned = FindPinned(dst, &pinned);
  if (is_pinned && pinned.shared && bytes <= pinned.bytes - static_cast<std::size_t>(to - pinned.address)) {
    const wire::Place place(static_cast<std::uint64_t>(to - pinned.address), pinned.region, wire::PlaceKind::Shared);
    commands_->statistics().bulk_down_bytes.fetch_add(bytes, std::memory_order_relaxed);
    std::uint64_t sequence = 0;
    const DeviceResult posted =
        PostOn(stream, wire::Copy(place, DevicePlace(src), bytes, stream->slot, 0), {}, &sequence);
    if (posted != 0 || wait) return posted != 0 ? posted : Synchronize(*stream);
    NotePinnedWrite(stream->slot, sequence);
    return 0;
  }
  const std::uint64_t token = commands_->NextToken();
  if (const Status expected = commands_->channel().ExpectBulk(token, {to, bytes}); !expected.ok())
    return Lost(expected);
  commands_->statistics().bulk_down_bytes.fetch_add(bytes, std::memory_order_relaxed);
  const wire::Place place(token, 0, wire::PlaceKind::Bulk);
  std::uint64_t sequence = 0;
  const DeviceResult result =
      PostOn(stream, wire::Copy(place, DevicePlace(src), bytes, stream->slot, 0), {}, &sequence);
  if (result != 0) return result;
  if (is_pinned && !wait) {
    // Lands while the program goes on; the flusher receives if nobody else does.
    {
      const MutexLock lock(pinned_mu_);
      landing_.push_back({token, stream->slot, sequence});
    }
    landing_count_.fetch_add(1, std::memory_order_release);
    commands_->AddPendingEffects(1);
    return 0;
  }
  bool landed = false;
  return AwaitBody(token, stream->slot, sequence, &landed);
}

DeviceResult ClientSession::AwaitBody(std::uint64_t token, std::uint32_t slot, std::uint64_t sequence, bool* landed) {
  ClientChannel& channel = commands_->channel();
  *landed = false;
  const DeviceResult result = Wait([this, &channel, token, slot, sequence, landed] {
    *landed = *landed || channel.BulkLanded(token);
    // Progress is published behind the bytes, so a command that has passed without them has failed. Another thread may
    // have taken in both since the first look.
    if (!*landed && Passed(slot, sequence)) {
      *landed = channel.BulkLanded(token);
      return true;
    }
    return *landed;
  });
  if (!*landed) channel.CancelBulk(token);
  return result;
}

void ClientSession::NotePinnedWrite(std::uint32_t slot, std::uint64_t sequence) {
  const MutexLock lock(pinned_mu_);
  std::uint64_t& last = pinned_writes_[slot];
  last = std::max(last, sequence);
  any_pinned_write_.store(true, std::memory_order_release);
}

bool ClientSession::PinnedWritesPending() {
  if (!any_pinned_write_.load(std::memory_order_acquire)) return false;
  const MutexLock lock(pinned_mu_);
  std::erase_if(pinned_writes_, [this](const auto& write) { return Passed(write.first, write.second); });
  any_pinned_write_.store(!pinned_writes_.empty(), std::memory_order_release);
  return !pinned_writes_.empty();
}

bool ClientSession::HostWritesPending() {
  return landing_count_.load(std::memory_order_acquire) > 0 || host_calls_.pending() > 0 ||
         any_twin_work_.load(std::memory_order_acquire) || PinnedWritesPending();
}

void ClientSession::ReapLanded() {
  if (landing_count_.load(std::memory_order_acquire) == 0) return;
  const MutexLock lock(pinned_mu_);
  const std::size_t before = landing_.size();
  std::erase_if(landing_, [this](const Landing& landing) {
    ClientChannel& channel = commands_->channel();
    if (channel.BulkLanded(landing.token)) return true;
    // Progress is published behind the bytes: a command that has passed without them has failed.
    if (!Passed(landing.slot, landing.sequence)) return false;
    if (!channel.BulkLanded(landing.token)) channel.CancelBulk(landing.token);
    return true;
  });
  const int gone = static_cast<int>(before - landing_.size());
  landing_count_.fetch_sub(gone, std::memory_order_release);
  commands_->AddPendingEffects(-gone);
}

DeviceResult ClientSession::CopyOnDevice(Stream* stream, std::uint64_t dst, std::uint64_t src, std::uint64_t bytes) {
  if (DeviceResult captured = 0;
      DivertsCopy(*stream, {dst, bytes, bytes, true}, {src, bytes, bytes, true}, bytes, 1, 1, false, &captured))
    return captured;
  if (const DeviceResult ready = BeforeDeviceUse(stream, src, false); ready != 0) return ready;
  if (const DeviceResult ready = BeforeDeviceUse(stream, dst); ready != 0) return ready;
  return PostNoted(stream, wire::Copy(DevicePlace(dst), DevicePlace(src), bytes, stream->slot, 0), dst);
}

DeviceResult ClientSession::CopyPitched(Stream* stream, const PitchedSide& dst, const PitchedSide& src,
                                        std::uint64_t width, std::uint64_t height, std::uint64_t depth, bool wait) {
  if (width == 0 || height == 0 || depth == 0) return 0;
  if (DeviceResult captured = 0; DivertsCopy(*stream, dst, src, width, height, depth, wait, &captured)) return captured;
  for (const PitchedSide* side : {&dst, &src}) {
    if (!side->is_device) continue;
    if (const DeviceResult ready = BeforeDeviceUse(stream, side->address, side == &dst); ready != 0) return ready;
  }
  if (dst.is_device && src.is_device) {
    return PostNoted(stream,
                     wire::CopyPitched(DevicePlace(dst.address), DevicePlace(src.address), dst.pitch, dst.slice,
                                       src.pitch, src.slice, width, height, depth, stream->slot, 0),
                     dst.address);
  }
  if (dst.is_device && HostWritesPending()) {
    if (const DeviceResult waited = SynchronizeDevice(stream->device); waited != 0) return waited;
  }
  // Rows are packed on the way: as many as fit into a body, at least part of one.
  const std::uint64_t piece_max = commands_->channel().traits().bulk_bytes_preferred;
  const std::uint64_t rows_max = width >= piece_max ? 1 : piece_max / width;
  Bytes packed;
  for (std::uint64_t z = 0; z < depth; ++z) {
    for (std::uint64_t y = 0; y < height;) {
      const std::uint64_t rows = std::min(rows_max, height - y);
      const std::uint64_t to = dst.address + z * dst.slice + y * dst.pitch;
      const std::uint64_t from = src.address + z * src.slice + y * src.pitch;
      DeviceResult result = 0;
      if (rows_max == 1 || rows == 1) {
        result = dst.is_device ? CopyToDevice(stream, to, reinterpret_cast<const void*>(from), width, wait)
                               : CopyToHost(stream, reinterpret_cast<void*>(to), from, width, true);
      } else if (dst.is_device) {
        packed.resize(rows * width);
        for (std::uint64_t r = 0; r < rows; ++r) {
          std::memcpy(packed.data() + r * width, reinterpret_cast<const void*>(from + r * src.pitch), width);
        }
        const std::uint64_t token = commands_->NextToken();
        if (const Status sent = commands_->SendBulkToDevice(token, packed); !sent.ok()) return Lost(sent);
        result = PostNoted(stream,
                           wire::CopyPitched(DevicePlace(to), wire::Place(token, 0, wire::PlaceKind::Bulk), dst.pitch,
                                             0, 0, 0, width, rows, 1, stream->slot, 0),
                           to);
      } else {
        packed.assign(rows * width, 0);
        const std::uint64_t token = commands_->NextToken();
        if (const Status expected = commands_->channel().ExpectBulk(token, packed); !expected.ok())
          return Lost(expected);
        commands_->statistics().bulk_down_bytes.fetch_add(packed.size(), std::memory_order_relaxed);
        std::uint64_t sequence = 0;
        result = PostOn(stream,
                        wire::CopyPitched(wire::Place(token, 0, wire::PlaceKind::Bulk), DevicePlace(from), 0, 0,
                                          src.pitch, 0, width, rows, 1, stream->slot, 0),
                        {}, &sequence);
        if (result != 0) return result;
        bool landed = false;
        result = AwaitBody(token, stream->slot, sequence, &landed);
        for (std::uint64_t r = 0; landed && r < rows; ++r) {
          std::memcpy(reinterpret_cast<void*>(to + r * dst.pitch), packed.data() + r * width, width);
        }
      }
      if (result != 0) return result;
      y += rows;
    }
  }
  return 0;
}

DeviceResult ClientSession::Fill(Stream* stream, const wire::Fill& fill) {
  if (DeviceResult captured = 0; Diverts(*stream, &captured)) [[unlikely]] {
    if (captured != 0) return captured;
    return captures_->Capture(
        *stream, GraphFill{wire::Fill(fill.address(), fill.pitch(), fill.slice(), fill.width(), fill.height(),
                                      fill.depth(), fill.value(), fill.element_bytes(), 0, 0)});
  }
  if (const DeviceResult ready = BeforeDeviceUse(stream, fill.address()); ready != 0) return ready;
  return PostNoted(stream, fill, fill.address());
}

}  // namespace accelmesh
