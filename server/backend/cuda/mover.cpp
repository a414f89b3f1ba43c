#include "server/backend/cuda/mover.h"

#include <array>
#include <cstring>

#include "protocol/base/log.h"
#include "protocol/transport/copy.h"
#include "server/backend/cuda/transfer.h"

namespace accelmesh::cuda {
namespace {

Side SideOf(const CopySide& side, const std::shared_ptr<const RealArray>& array) {
  const bool on_host = side.kind == CopySide::Kind::kHost;
  return {on_host ? reinterpret_cast<std::uint64_t>(side.host.data()) : side.address, side.pitch, side.slice,
          array.get()};
}

// Copies a piece between packed memory and a place with pitches, both this process's.
template <typename Copy>
void EachRow(const Piece& piece, const Side& side, Copy&& copy) {
  const Side corner = side.At(piece);
  for (std::uint64_t z = 0; z < piece.box.depth; ++z) {
    for (std::uint64_t y = 0; y < piece.box.height; ++y) {
      copy((z * piece.box.height + y) * piece.box.width,
           reinterpret_cast<std::uint8_t*>(corner.address + z * corner.slice + y * corner.pitch));
    }
  }
}

}  // namespace

// Shared regions -----------------------------------------------------------------------------------------------------

SharedRegions::State SharedRegions::Find(const std::uint8_t* start) {
  const MutexLock lock(mu_);
  const auto found = regions_.find(start);
  return found == regions_.end() ? State::kUnknown : found->second;
}

void SharedRegions::Note(const std::uint8_t* start, State state) {
  const MutexLock lock(mu_);
  if (state == State::kUnknown) {
    regions_.erase(start);
  } else {
    regions_[start] = state;
  }
}

SharedRegions::State SharedRegions::Pin(MutableByteView region) {
  const MutexLock lock(driver_mu_);
  if (const State known = Find(region.data()); known != State::kUnknown) return known;
  const CUresult result = driver_.MemHostRegister(region.data(), region.size(), CU_MEMHOSTREGISTER_PORTABLE);
  if (result != CUDA_SUCCESS) {
    log::Warning("cuda backend",
                 "shared memory cannot be pinned, so its copies take a detour: " + driver_.Text(result));
  }
  const State state = result == CUDA_SUCCESS ? State::kPinned : State::kRefused;
  Note(region.data(), state);
  return state;
}

void SharedRegions::Unpin(const std::uint8_t* start) {
  const MutexLock lock(driver_mu_);
  if (Find(start) == State::kPinned) (void)driver_.MemHostUnregister(const_cast<std::uint8_t*>(start));
  Note(start, State::kUnknown);
}

void SharedRegions::UnpinAll() {
  const MutexLock driver_lock(driver_mu_);
  const MutexLock lock(mu_);
  for (const auto& [start, state] : regions_) {
    if (state == State::kPinned) (void)driver_.MemHostUnregister(const_cast<std::uint8_t*>(start));
  }
  regions_.clear();
}

// Movers -------------------------------------------------------------------------------------------------------------

void Mover::Start(CompletionSink* sink) {
  sink_ = sink;
  thread_ = std::thread([this] { Main(); });
}

void Mover::Stop() {
  const MutexLock lock(mu_);
  stop_.store(true, std::memory_order_release);
  work_.NotifyAll();
}

void Mover::Begin(std::shared_ptr<Stream> stream, std::unique_ptr<cuda::Stop> stop) {
  const MutexLock lock(mu_);
  queue_.push_back({std::move(stream), std::move(stop), {}});
  work_.NotifyOne();
}

void Mover::Send(std::shared_ptr<Stream> stream, const Parcel& parcel) {
  const MutexLock lock(mu_);
  queue_.push_back({std::move(stream), nullptr, parcel});
  work_.NotifyOne();
}

void Mover::Main() {
  while (true) {
    Work work;
    {
      MutexLock lock(mu_);
      work_.Wait(mu_, [this] {
        mu_.AssertHeld();
        return stop_ || !queue_.empty();
      });
      if (stop_) break;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    if (work.stop != nullptr) {
      Run(work.stream, *work.stop);
      continue;
    }
    const StagingRange& range = work.parcel.staging;
    (void)SendBytes(*work.stream, 0, work.parcel.token, 0, {staging_ + range.offset, range.bytes});
    progress_.GiveStaging(range);
    progress_.Sent(work.stream);
  }
  ended_.store(true, std::memory_order_release);
}

void Mover::Run(const std::shared_ptr<Stream>& stream, cuda::Stop& stop) {
  const bool is_device_lost = progress_.lost() || progress_.NoteResult(Enter(driver_, *stream->device));
  if (!is_device_lost) {
    const CopyJob& job = *stop.copy;
    const CopySide& host = direction_ == Direction::kUp ? job.src : job.dst;
    if (host.kind == CopySide::Kind::kHost && regions_.Pin(host.region) == SharedRegions::State::kPinned) {
      const CUresult result = CopyPinned(*stream, stop);
      if (result != CUDA_SUCCESS) Fail(*stream, stop.sequence, result);
      progress_.Add(stream, EndOf(*stream, stop.sequence));
      return;
    }
    if (direction_ == Direction::kUp) {
      if (Up(stream, stop)) return;
    } else {
      (void)Down(stream, stop);
    }
  }
  progress_.AddReached(stream, EndOf(*stream, stop.sequence));
}

CUresult Mover::CopyPinned(Stream& stream, const cuda::Stop& stop) {
  const CopyJob& job = *stop.copy;
  return CopyBox(driver_, stream.handle, SideOf(job.dst, stop.dst_array), SideOf(job.src, stop.src_array),
                 {job.width, job.height, job.depth}, stream.device->max_pitch);
}

bool Mover::Up(const std::shared_ptr<Stream>& stream, const cuda::Stop& stop) {
  const CopyJob& job = *stop.copy;
  const Box whole{job.width, job.height, job.depth};
  const Side to = SideOf(job.dst, stop.dst_array);
  const Side from = job.body != nullptr ? Packed(job.body->bytes().data(), whole) : SideOf(job.src, nullptr);
  std::array<std::uint64_t, kBuffers> in_use{};  // the mark that frees a buffer
  PieceCutter cutter(whole, kBufferBytes);
  std::size_t turn = 0;
  while (const std::optional<Piece> piece = cutter.Next()) {
    std::uint8_t* buffer = buffers_ + turn * kBufferBytes;
    if (!progress_.Await(*stream, in_use[turn])) return false;
    EachRow(*piece, from,
            [&](std::uint64_t offset, const std::uint8_t* row) { CopyBody(buffer + offset, row, piece->box.width); });
    const CUresult result = CopyBox(driver_, stream->handle, to.At(*piece), Packed(buffer, piece->box), piece->box,
                                    stream->device->max_pitch);
    if (result != CUDA_SUCCESS) {
      Fail(*stream, stop.sequence, result);
      progress_.Add(stream, EndOf(*stream, stop.sequence));
      return true;
    }
    progress_.Add(stream, cutter.at_end() ? EndOf(*stream, stop.sequence) : Mark{});
    in_use[turn] = stream->last_mark;
    turn = (turn + 1) % kBuffers;
  }
  // The buffers are the next copy's as soon as this returns.
  (void)progress_.Await(*stream, stream->last_mark);
  return true;
}

Status Mover::DownDirect(const cuda::Stop& stop) {
  const CopyJob& job = *stop.copy;
  const bool is_row = job.height == 1 && job.depth == 1;
  if (!send_direct_ || job.dst.kind != CopySide::Kind::kToken || !is_row || stop.src_array != nullptr)
    return {Code::kUnsupported, "Mover::DownDirect", "not a row of memory"};
  return send_direct_(job.dst.token, job.src.address, job.width);
}

bool Mover::Down(const std::shared_ptr<Stream>& stream, const cuda::Stop& stop) {
  if (const Status sent = DownDirect(stop); sent.code() != Code::kUnsupported)
    return NoteSent(*stream, stop.sequence, sent);
  const CopyJob& job = *stop.copy;
  const Box whole{job.width, job.height, job.depth};
  const Side from = SideOf(job.src, stop.src_array);
  struct Flying {
    Piece piece;
    std::uint64_t mark = 0;
    const std::uint8_t* buffer = nullptr;
  };
  std::deque<Flying> flying;
  PieceCutter cutter(whole, kBufferBytes);
  std::size_t turn = 0;
  bool is_good = true;
  while (is_good && !(cutter.at_end() && flying.empty())) {
    while (!cutter.at_end() && flying.size() < kBuffers) {
      const Piece piece = *cutter.Next();
      std::uint8_t* buffer = buffers_ + turn * kBufferBytes;
      turn = (turn + 1) % kBuffers;
      const CUresult result = CopyBox(driver_, stream->handle, Packed(buffer, piece.box), from.At(piece), piece.box,
                                      stream->device->max_pitch);
      if (result != CUDA_SUCCESS) {
        Fail(*stream, stop.sequence, result);
        is_good = false;
        break;
      }
      progress_.Add(stream, Mark{});
      flying.push_back({piece, stream->last_mark, buffer});
    }
    if (flying.empty()) break;
    const Flying first = flying.front();
    flying.pop_front();
    if (!progress_.Await(*stream, first.mark)) return false;
    is_good = is_good && Deliver(*stream, stop, first.piece, first.buffer);
  }
  // Nothing writes to the buffers any more when the next copy takes them.
  for (const Flying& rest : flying) (void)progress_.Await(*stream, rest.mark);
  return is_good;
}

bool Mover::Deliver(const Stream& stream, const cuda::Stop& stop, const Piece& piece, const std::uint8_t* buffer) {
  const CopyJob& job = *stop.copy;
  if (job.dst.kind == CopySide::Kind::kHost) {
    EachRow(piece, SideOf(job.dst, nullptr),
            [&](std::uint64_t offset, std::uint8_t* row) { std::memcpy(row, buffer + offset, piece.box.width); });
    return true;
  }
  const Box whole{job.width, job.height, job.depth};
  return SendBytes(stream, stop.sequence, job.dst.token, piece.PackedOffset(whole), {buffer, piece.box.bytes()});
}

bool Mover::SendBytes(const Stream& stream, std::uint64_t sequence, std::uint64_t token, std::uint64_t offset,
                      ByteView bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += limits::kBulkBytesMax) {
    if (stop_.load(std::memory_order_acquire)) return false;
    const Status sent =
        sink_->SendToClient(token, offset + at, bytes.subspan(at, std::min(limits::kBulkBytesMax, bytes.size() - at)));
    if (!NoteSent(stream, sequence, sent)) return false;
  }
  return true;
}

bool Mover::NoteSent(const Stream& stream, std::uint64_t sequence, const Status& sent) {
  if (sent.ok()) return true;
  if (stop_.load(std::memory_order_acquire)) return false;
  sink_->Failed(stream.slot, sequence, kDeviceUnknown, true,
                "a copy to the client did not get through: " + sent.ToString());
  return false;
}

void Mover::Fail(const Stream& stream, std::uint64_t sequence, CUresult result) {
  if (progress_.NoteResult(result) || stop_.load(std::memory_order_acquire)) return;
  sink_->Failed(stream.slot, sequence, static_cast<DeviceStatus>(result), false, "a copy: " + driver_.Text(result));
}

// Host functions -----------------------------------------------------------------------------------------------------

void HostStops::Expect(std::uint64_t call) {
  const MutexLock lock(mu_);
  calls_[call];
}

void HostStops::Begin(std::shared_ptr<Stream> stream, std::unique_ptr<cuda::Stop> stop) {
  Waiting come;
  {
    const MutexLock lock(mu_);
    Waiting& waiting = calls_[stop->host_call];
    waiting.stream = std::move(stream);
    waiting.sequence = stop->sequence;
    if (!waiting.is_done) return;
    come = std::move(waiting);
    calls_.erase(stop->host_call);
  }
  Release(come);
}

void HostStops::Done(std::uint64_t call) {
  Waiting come;
  {
    const MutexLock lock(mu_);
    const auto found = calls_.find(call);
    if (found == calls_.end()) return;
    found->second.is_done = true;
    if (found->second.stream == nullptr) return;
    come = std::move(found->second);
    calls_.erase(found);
  }
  Release(come);
}

void HostStops::Release(const Waiting& waiting) {
  progress_.AddReached(waiting.stream, EndOf(*waiting.stream, waiting.sequence));
}

}  // namespace accelmesh::cuda
