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
#include <poll.h>

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
    open_first_ = (input_.Number<std::uint8_t>() & 1) != 0;
  }

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
  bool open_first_ = false;
  Bytes frame_;
  std::uint32_t records_ = 0;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t next_side_sequence_ = 1;
  std::size_t replies_expected_ = 0;
};

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
    Session session(channel, backend);
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
