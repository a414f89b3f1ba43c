// The executor over a channel that plays a script and a backend that checks what it is asked (the fuzzer's).
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include "server/session/session.h"
#include "tests/fuzz/fake_session.h"

namespace accelmesh {

using fuzz::CheckingBackend;
using fuzz::ScriptChannel;

inline constexpr std::uint64_t kBase = 0x200000000000;
// Where sanitizers leave room, too.
inline constexpr std::uint64_t kHostBase = 0x7ec000000000;
inline constexpr std::uint64_t kHostBytes = limits::kGiB;

class SessionTest : public ::testing::Test {
 public:
  // A frame of one record, numbered by itself.
  template <typename T>
  static Bytes Frame(std::uint64_t sequence, const T& body, ByteView payload = {}) {
    return FrameOf(sequence, static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body), payload);
  }
  static Bytes FrameOf(std::uint64_t sequence, std::uint16_t command, ByteView body, ByteView payload) {
    FrameHeaderValue header;
    header.records = 1;
    header.first_sequence = sequence;
    RecordHeaderValue record;
    record.bytes = static_cast<std::uint32_t>(RecordBytes(body.size(), payload.size()));
    record.body_bytes = static_cast<std::uint32_t>(body.size());
    record.payload_bytes = static_cast<std::uint32_t>(payload.size());
    record.command = command;
    Bytes frame;
    for (const ByteView part : {AsBytes(header), AsBytes(record), body, payload}) {
      frame.insert(frame.end(), part.begin(), part.end());
    }
    frame.resize(sizeof(header) + record.bytes);
    return frame;
  }
  static Bytes OpenFrame(std::uint64_t sequence, std::uint64_t base = kBase, std::uint64_t bytes = limits::kGiB) {
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(wire::CreateOpenSession(builder, base, bytes));
    return FrameOf(sequence, static_cast<std::uint16_t>(CommandId::kOpenSession),
                   {builder.GetBufferPointer(), builder.GetSize()}, {});
  }

 protected:
  using Step = std::function<void(ScriptChannel&)>;

  // The commands after the opening, numbered in order.
  template <typename T>
  void Post(const T& body, ByteView payload = {}) {
    const Bytes frame = Frame(++sequence_, body, payload);
    Do([frame](ScriptChannel& c) { c.PushFrame(UpLane::kCommand, frame); });
  }
  template <typename T>
  void PostSide(const T& body) {
    const Bytes frame = Frame(++side_sequence_, body);
    Do([frame](ScriptChannel& c) { c.PushFrame(UpLane::kSide, frame); });
  }
  void Open() {
    sequence_ = 1;
    Do([](ScriptChannel& c) { c.PushFrame(UpLane::kCommand, OpenFrame(1)); });
  }
  void OpenWithHostWindow() {
    sequence_ = 1;
    Do([](ScriptChannel& c) {
      flatbuffers::FlatBufferBuilder builder;
      builder.Finish(wire::CreateOpenSession(builder, kBase, limits::kGiB, kHostBase, kHostBytes));
      c.PushFrame(UpLane::kCommand, FrameOf(1, static_cast<std::uint16_t>(CommandId::kOpenSession),
                                            {builder.GetBufferPointer(), builder.GetSize()}, {}));
    });
  }
  void Do(Step step) { steps_.push_back(std::move(step)); }
  void Check(std::function<void()> check) {
    Do([check = std::move(check)](ScriptChannel&) { check(); });
  }
  void WaitForAnswers(std::size_t count) {
    Do([count](ScriptChannel& c) {
      for (int i = 0; i < 2000 && c.frames_sent() < count; ++i) poll(nullptr, 0, 1);
    });
  }
  Status Run() {
    Session session(channel_, backend_, false, nullptr, memory_);
    return session.Run();
  }
  const wire::Down& Answer(std::size_t index) {
    answers_ = channel_.sent();
    return *flatbuffers::GetRoot<wire::Down>(answers_.at(index).data());
  }

  std::deque<Step> steps_;
  CheckingBackend backend_;
  LibraryMemory* memory_ = nullptr;
  ScriptChannel channel_{[this](ScriptChannel& c) {
    if (steps_.empty()) return false;
    const Step step = std::move(steps_.front());
    steps_.pop_front();
    step(c);
    return true;
  }};
  std::uint64_t sequence_ = 0;
  std::uint64_t side_sequence_ = 0;
  std::vector<Bytes> answers_;
};

}  // namespace accelmesh
