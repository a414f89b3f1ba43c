#include "protocol/transport/rdma/client.h"

#include "protocol/transport/bulk_expectations.h"
#include "protocol/transport/messages.h"
#include "protocol/transport/rdma/pinned.h"

namespace accelmesh::rdma {
namespace {

// Records are gathered: one costs a doorbell and two work requests, however small it is.
constexpr ChannelTraits kTraits{"rdma", false, 512 * limits::kKiB, false};

class RdmaClient final : public ClientChannel {
 public:
  RdmaClient(std::unique_ptr<End> end, const Thresholds& thresholds)
      : end_(std::move(end)),
        thresholds_(thresholds),
        frame_(new std::uint64_t[limits::kFrameBytesMax / sizeof(std::uint64_t)]) {}

  const ChannelTraits& traits() const override { return kTraits; }

  Status Send(UpLane lane, ByteView frame, Deadline deadline) override {
    if (frame.size() > limits::kFrameBytesMax) {
      return {Code::kLimitExceeded, "Send.frame",
              "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
    }
    return end_->Send(lane == UpLane::kSide ? kSideRing : kCommandRing, Kind::kFrame, frame, deadline);
  }
  Status SendBulk(std::uint64_t token, ByteView body, Deadline deadline) override {
    return SendBody(token, body, deadline, End::BodyTo::kArena);
  }
  Status SendBulkToDevice(std::uint64_t token, ByteView body, Deadline deadline) override {
    return SendBody(token, body, deadline, End::BodyTo::kLanding);
  }

  Status ExpectBulk(std::uint64_t token, MutableByteView destination) override {
    return expectations_.Expect(token, destination);
  }
  bool BulkLanded(std::uint64_t token) override { return expectations_.Landed(token); }
  void CancelBulk(std::uint64_t token) override { expectations_.Cancel(token); }

  Status Pump(FrameSink& sink, Deadline deadline) override;
  const ProgressPage& progress() const override { return progress_; }

  Status ShareMemory(std::uint32_t, int, std::size_t) override {
    return {Code::kUnsupported, "ShareMemory",
            "rdma maps no memory of this process at the server; use SendBulk and ExpectBulk"};
  }
  void NotePinned(MutableByteView memory) override { pinned_.Note(memory); }
  void NoteUnpinned(const std::uint8_t* memory) override { pinned_.Forget(memory); }
  void Interrupt() override {
    interrupted_.store(true, std::memory_order_seq_cst);
    end_->Interrupt();
  }
  void Close() override { end_->Close({}); }

  Counts counts() const { return end_->counts(); }

 private:
  Status SendBody(std::uint64_t token, ByteView body, Deadline deadline, End::BodyTo to) {
    if (body.size() > limits::kBulkBytesMax) {
      return {Code::kLimitExceeded, "SendBulk.body",
              "a body has at most 1 MiB, this one " + std::to_string(body.size())};
    }
    const std::shared_ptr<Memory> registered =
        body.size() >= thresholds_.direct_bytes_min ? pinned_.Find(body) : nullptr;
    return end_->SendBody(kBodyRing, token, 0, body, deadline, registered.get(), to);
  }
  Status TakeRecord(FrameSink& sink);
  Status LandBody(ByteView record);
  Status LearnLanding(ByteView record);
  Status Bad(const char* what) {
    end_->Close({Code::kBadFrame, "rdma::Pump", what});
    return end_->ClosedStatus();
  }

  const std::unique_ptr<End> end_;
  const Thresholds thresholds_;
  PinnedMemory pinned_{[this](MutableByteView memory) { return end_->RegisterOwn(memory); }};
  BulkExpectations expectations_;
  std::atomic<bool> interrupted_{false};
  ProgressPage progress_;  // written by the pumping thread only

  // The pumping thread's.
  bool has_landed_ = false;
  const std::unique_ptr<std::uint64_t[]> frame_;
};

Status RdmaClient::Pump(FrameSink& sink, Deadline deadline) {
  const auto acknowledged = [&] { return end_->acknowledged(); };
  const auto ready = [&] {
    return interrupted_.load(std::memory_order_seq_cst) || end_->Arrived(kDownRing) ||
           acknowledged() > progress_.acknowledged.load(std::memory_order_relaxed);
  };
  switch (end_->WaitForData(deadline, [] { return Heart::kBeat; }, ready)) {
    case shm::Waited::kReady: break;
    case shm::Waited::kDeadline: return {Code::kDeadlineExceeded, "rdma::Pump", "nothing arrived by the deadline"};
    case shm::Waited::kGone: return end_->ClosedStatus();
  }
  if (interrupted_.load(std::memory_order_relaxed)) interrupted_.exchange(false, std::memory_order_seq_cst);
  StoreMax(progress_.acknowledged, acknowledged());
  // What is known to be there, and no more, so that the caller gets to look at what it waits for.
  (void)end_->Arrived(kDownRing);
  has_landed_ = false;
  while (end_->in(kDownRing).Available()) ACCELMESH_RETURN_IF_ERROR(TakeRecord(sink));
  end_->Publish(/*now=*/has_landed_);
  return {};
}

// The server puts frames, bodies and progress into one ring, so that taking them in order is the rule of landing.
Status RdmaClient::TakeRecord(FrameSink& sink) {
  auto* const to = reinterpret_cast<std::uint8_t*>(frame_.get());
  Kind kind = Kind::kFrame;
  std::size_t size = 0;
  ACCELMESH_RETURN_IF_ERROR(end_->Take(kDownRing, {to, limits::kFrameBytesMax}, kind, size));
  switch (kind) {
    case Kind::kFrame: sink.OnFrame({to, size}); return {};
    case Kind::kBody: return LandBody({to, size});
    case Kind::kLanding: return LearnLanding({to, size});
    case Kind::kProgress: break;
  }
  Status applied = ApplyProgress({to, size}, progress_);
  if (!applied.ok()) end_->Close(applied);
  return applied;
}

Status RdmaClient::LearnLanding(ByteView record) {
  LandingPlace place;
  if (record.size() != sizeof(place)) return Bad("the server told of a landing with something else");
  std::memcpy(&place, record.data(), sizeof(place));
  return end_->SetLanding(place) ? Status() : Bad("the server told of two landings");
}

Status RdmaClient::LandBody(ByteView record) {
  Announcement piece;
  if (record.size() != sizeof(piece)) return Bad("the server announced a body with something else");
  std::memcpy(&piece, record.data(), sizeof(piece));
  if (!IsInArena(piece)) return Bad("the server announced a body outside of the arena");
  Status landed =
      expectations_.Land(piece.token, piece.offset, end_->arena().subspan(piece.first_unit * kUnitBytes, piece.size));
  if (!landed.ok()) {
    end_->Close(landed);
    return landed;
  }
  end_->NoteCopied(piece.size);
  end_->Release(piece.first_unit);
  has_landed_ = true;
  return {};
}

}  // namespace

std::unique_ptr<ClientChannel> MakeClient(std::unique_ptr<End> end, const Thresholds& thresholds) {
  return std::make_unique<RdmaClient>(std::move(end), thresholds);
}

Counts CountsOf(const ClientChannel& channel) { return static_cast<const RdmaClient&>(channel).counts(); }

}  // namespace accelmesh::rdma
