// A whole Session fed with whatever a client may send, on both lanes and the bulk lane, over a backend that checks what
// the session asks of it. The input is a script:
//
//     flags:u8  step*
//     step := 0 records:u8 record*       a frame with a right header; record := command:u8 body:counted payload:counted
//           | 1 lane:u8 frame:counted    a frame as it is
//           | 2 token:u8 body:counted    a body
//           | 3 stream:u8 count:u8       the backend completes some of a stream's commands
//           | 4 on:u8                    from now on the backend completes nothing by itself, or all again
//           | 5 command:u8 ...           like 0 with one record, on the side lane
//
// flags bit 0: an OpenSession with good windows comes first, so that scripts need not find it.
// flags bit 1: the session has a seat in a lease, in which session kOther exports 8192 bytes, 8192 bytes in other
// files, and an event. flags bit 2: the words of conditions are fetched by commands. flags bit 3: the backend has no
// libraries.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/base/log.h"
#include "server/session/session.h"
#include "tests/fuzz/fake_session.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

constexpr std::uint64_t kWindowBase = 0x200000000000;
constexpr std::uint64_t kHostWindowBase = 0x7ec000000000;  // where sanitizers leave room
constexpr int kLoadPatienceMs = 2;

class Script {
 public:
  Script(Input input, CheckingBackend& backend) : input_(input), backend_(backend) {
    flags_ = input_.Number<std::uint8_t>();
    open_first_ = (flags_ & 1) != 0;
  }
  bool has_seat() const { return (flags_ & 2) != 0; }
  bool fetches() const { return (flags_ & 4) != 0; }
  bool has_libraries() const { return (flags_ & 8) == 0; }

  bool Next(ScriptChannel& channel) {
    // Loads run on the session's own thread; waiting for their replies keeps a run the same every time.
    for (int i = 0; i < kLoadPatienceMs && channel.frames_sent() < replies_expected_; ++i) poll(nullptr, 0, 1);
    if (open_first_) {
      open_first_ = false;
      flatbuffers::FlatBufferBuilder builder;
      builder.Finish(
          wire::CreateOpenSession(builder, kWindowBase, 1 * limits::kGiB, kHostWindowBase, 1 * limits::kGiB));
      Begin();
      Append(static_cast<std::uint16_t>(CommandId::kOpenSession), {builder.GetBufferPointer(), builder.GetSize()}, {});
      channel.PushFrame(UpLane::kCommand, Finish(&next_sequence_));
      return true;
    }
    if (input_.empty()) return false;
    Step(channel);
    return true;
  }

 private:
  void Step(ScriptChannel& channel) {
    switch (input_.Number<std::uint8_t>() % 6) {
      case 0: {
        const unsigned records = input_.Number<std::uint8_t>();
        Begin();
        for (unsigned i = 0; i < records && !input_.empty(); ++i) Record(channel);
        channel.PushFrame(UpLane::kCommand, Finish(&next_sequence_));
        break;
      }
      case 1: {
        const UpLane lane = input_.Number<std::uint8_t>() % 2 == 0 ? UpLane::kCommand : UpLane::kSide;
        const ByteView frame = input_.Counted();
        channel.PushFrame(lane, Bytes(frame.begin(), frame.end()));
        break;
      }
      case 2: {
        const std::uint64_t token = input_.Number<std::uint8_t>();
        channel.PushBody(token, input_.Counted());
        break;
      }
      case 3: {
        const std::uint32_t stream = input_.Number<std::uint8_t>();
        backend_.CompleteSome(stream, input_.Number<std::uint8_t>());
        break;
      }
      case 4: backend_.HoldAll(input_.Number<std::uint8_t>() % 2 != 0); break;
      case 5: {
        Begin();
        Record(channel);
        channel.PushFrame(UpLane::kSide, Finish(&next_side_sequence_));
        break;
      }
    }
  }

  void Record(const ScriptChannel& channel) {
    const std::uint16_t command = input_.Number<std::uint8_t>();
    const ByteView body = input_.Counted();
    if (command == static_cast<std::uint16_t>(CommandId::kModuleLoad)) replies_expected_ = channel.frames_sent() + 1;
    Append(command, body, input_.Counted());
  }
  void Begin() {
    frame_.assign(sizeof(FrameHeaderValue), 0);
    records_ = 0;
  }
  void Append(std::uint16_t command, ByteView body, ByteView payload) {
    RecordHeaderValue header;
    header.bytes = static_cast<std::uint32_t>(RecordBytes(body.size(), payload.size()));
    header.body_bytes = static_cast<std::uint32_t>(body.size());
    header.payload_bytes = static_cast<std::uint32_t>(payload.size());
    header.command = command;
    const std::size_t start = frame_.size();
    const ByteView head = AsBytes(header);
    frame_.insert(frame_.end(), head.begin(), head.end());
    frame_.insert(frame_.end(), body.begin(), body.end());
    frame_.insert(frame_.end(), payload.begin(), payload.end());
    frame_.resize(start + header.bytes);
    ++records_;
  }
  Bytes Finish(std::uint64_t* sequence) {
    FrameHeaderValue header;
    header.records = records_;
    header.first_sequence = *sequence;
    std::memcpy(frame_.data(), &header, sizeof(header));
    *sequence += records_;
    return frame_;
  }

  Input input_;
  CheckingBackend& backend_;
  std::uint8_t flags_ = 0;
  bool open_first_ = false;
  Bytes frame_;
  std::uint32_t records_ = 0;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t next_side_sequence_ = 1;
  std::size_t replies_expected_ = 0;
};

// The lease: two files, which every run finds as the first one did.
constexpr std::uint64_t kOwn = 1;
constexpr std::uint64_t kOther = 2;
constexpr std::uint64_t kFileBytes = LeaseTable::kBytes + 1 * limits::kGiB;

std::unique_ptr<Lease> TakeSeat() {
  const auto make = [] {
    const int fd = ::memfd_create("lease", MFD_CLOEXEC);
    Require(fd >= 0 && ::ftruncate(fd, kFileBytes) == 0, "a file");
    return fd;
  };
  static const int own = make();
  static const int other = make();
  Require(::fallocate(own, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, LeaseTable::kBytes) == 0, "an empty table");
  const Result<std::shared_ptr<LeaseFile>> file = LeaseFile::Open(::dup(other));
  Require(file.ok(), "a table");
  LeaseTable::Memory& memory = (*file)->table().memory[0];
  memory.generation = 1;
  memory.offset = LeaseTable::kBytes + limits::kPageBytes;
  memory.bytes = memory.span = 8192;
  LeaseTable::Memory& offered = (*file)->table().memory[1];
  offered.generation = 1;
  offered.bytes = 8192;
  offered.span = limits::kPageBytes + 65536;
  offered.lead = limits::kPageBytes;
  offered.pieces = 2;
  for (LeaseTable::Memory* exported : {&memory, &offered}) {
    for (auto& holder : exported->holders) holder = 0;  // as the supervisor does behind a session that has ended
  }
  LeaseTable::Event& event = (*file)->table().events[0];
  event.generation = 1;
  event.recorded = 2;
  event.completed = 1;
  class Supervisor final : public LeaseKeeper {
   public:
    Result<int> FileOf(std::uint64_t session) override {
      if (session == kOther) return ::dup(other);
      return Status(Code::kNotFound, "session_fuzz", "no session of this lease");
    }
    Status Offer(const LeaseName& /*name*/, std::uint32_t /*index*/, const SharedPiece& piece) override {
      Require(piece.fd >= 0 && piece.id != 0, "a file of its own is offered");
      return Status::Ok();
    }
    void EndOffer(const LeaseName& /*name*/) override {}
    Result<SharedPiece> PieceOf(const LeaseName& name, std::uint32_t index) override {
      Require(name.session == kOther && name.slot == 1 && index < 2, "what is offered is asked for");
      return SharedPiece{index + 1, 0, index == 0 ? limits::kPageBytes : 65536, ::dup(other)};
    }
  };
  Result<std::unique_ptr<Lease>> seat = Lease::Take(::dup(own), 0, kOwn, std::make_unique<Supervisor>());
  Require(seat.ok(), "a seat");
  return *std::move(seat);
}

void Drop(log::Level /*level*/, std::string_view /*line*/) {}

void Run(Input input) {
  static const bool quiet = [] {
    log::SetSink(&Drop);
    return true;
  }();
  (void)quiet;
  CheckingBackend backend;
  Script script(input, backend);
  ScriptChannel channel([&script](ScriptChannel& c) { return script.Next(c); });
  {
    backend.FetchByCommand(script.fetches());
    backend.HaveLibraries(script.has_libraries());
    const std::unique_ptr<Lease> seat = script.has_seat() ? TakeSeat() : nullptr;
    Session session(channel, backend, false, seat.get());
    const Status ended = session.Run();
    Require(ended.ok() || ended.code() == Code::kClosed || ended.code() == Code::kBadFrame ||
                ended.code() == Code::kNotFound || ended.code() == Code::kLimitExceeded,
            "a session ends in order or for bad bytes");
    Require(ended.ok() || !ended.text().empty(), "and says why");
  }
  Require(backend.closed(), "the backend is closed");
}

}  // namespace
}  // namespace accelmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run({data, size});
  return 0;
}
