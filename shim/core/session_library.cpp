// Session: functions of NVIDIA's libraries.
#include "protocol/base/log.h"
#include "protocol/library/dnn_graph.h"
#include "protocol/library/packed_words.h"
#include "shim/core/session_inl.h"
#include "shim/core/work_counts.h"

namespace accelmesh {
namespace {

// Opening a library for the first time may read hundreds of megabytes.
constexpr std::chrono::minutes kOpenPatience{5};
// A function with results waits for its stream, which may be busy for days.
constexpr std::chrono::hours kQueryPatience{24 * 365};
// What is asked of a library may be the first thing that it does on its device.
constexpr std::chrono::minutes kAskPatience{5};

Status ReadResult(const Reply& reply, std::uint32_t* status, Bytes* results) {
  flatbuffers::Verifier verifier(reply.body.data(), reply.body.size());
  if (!verifier.VerifyBuffer<wire::LibraryResult>(nullptr))
    return {Code::kBadFrame, "ReadResult", "LibraryResult does not verify"};
  const auto& answer = *flatbuffers::GetRoot<wire::LibraryResult>(reply.body.data());
  *status = answer.status();
  results->clear();
  if (answer.results() != nullptr) results->assign(answer.results()->begin(), answer.results()->end());
  return Status::Ok();
}

}  // namespace

DeviceResult ClientSession::OpenLibrary(std::uint32_t library, std::uint32_t device,
                                        std::shared_ptr<const Bytes>* functions) {
  if ((*functions = libraries_.Functions(library, device)) != nullptr) return 0;
  // Two threads may ask at a time, and hear the same.
  const auto reply = commands_->Call(wire::LibraryOpen(library, device), Deadline::After(kOpenPatience));
  if (!reply.ok()) return Lost(reply.status());
  if (reply->device_status != 0) {
    log::Warning("library", reply->text);
    return reply->device_status;
  }
  flatbuffers::Verifier verifier(reply->body.data(), reply->body.size());
  if (!verifier.VerifyBuffer<wire::LibraryInfo>(nullptr))
    return Lost(Status(Code::kBadFrame, "ClientSession::OpenLibrary", "LibraryInfo does not verify"));
  *functions = libraries_.Add(library, device, *flatbuffers::GetRoot<wire::LibraryInfo>(reply->body.data()));
  return 0;
}

DeviceResult ClientSession::LibrarySettings(std::uint32_t library, ByteView words, std::uint32_t* settings) {
  const Result<std::uint32_t> number = libraries_.Settings(
      library, Bytes(words.begin(), words.end()), library == kLibraryDnn ? kDnnPlansMax : limits::kLibrarySettingsMax,
      [this, library, words](std::uint32_t next) {
        return commands_->Post(wire::LibrarySettings(library, next), words).status();
      });
  if (number.code() == Code::kLimitExceeded) {
    log::Warning("library", number.status().text());
    return kOutOfMemory;
  }
  if (!number.ok()) return Lost(number.status());
  *settings = *number;
  return 0;
}

DeviceResult ClientSession::PostLibrary(Stream* stream, std::uint32_t library, std::uint32_t function,
                                        std::uint32_t settings, ByteView arguments) {
  NoteLibraryCall(library, function, arguments);
  if (DeviceResult captured = 0; Diverts(*stream, &captured)) [[unlikely]] {
    if (captured != 0) return captured;
    GraphLibrary node{stream->device, library, function, settings, {arguments.begin(), arguments.end()}};
    {
      const MutexLock lock(memory_mu_);
      node.life = lives_[node.device];
    }
    return captures_->Capture(*stream, std::move(node));
  }
  if (const DeviceResult ready = BeforeKernel(stream, arguments); ready != 0) return ready;
  std::uint64_t sequence = 0;
  PackedWords packed;
  const DeviceResult posted = PostOn(stream, wire::LibraryCall(library, function, stream->slot, settings),
                                     PackWords(arguments, packed), &sequence);
  if (posted == 0) NoteDeviceWork(stream->slot, sequence);
  return posted;
}

DeviceResult ClientSession::QueryLibrary(Stream* stream, std::uint32_t library, std::uint32_t function,
                                         std::uint32_t settings, ByteView arguments, std::uint32_t* status,
                                         Bytes* results) {
  // It waits for the stream, which ends a capture.
  if (const DeviceResult refused = captures_->CheckWait(*stream); refused != 0) return refused;
  if (const DeviceResult ready = BeforeKernel(stream, arguments); ready != 0) return ready;
  const Result<std::uint64_t> sequence =
      commands_->BeginCall(wire::LibraryQuery(library, function, stream->slot, settings), arguments);
  if (!sequence.ok()) return Lost(sequence.status());
  StoreMax(stream->last_sequence, *sequence);
  NoteDeviceWork(stream->slot, *sequence);
  const Result<Reply> reply = commands_->FinishCall(*sequence, Deadline::After(kQueryPatience));
  if (!reply.ok()) return Lost(reply.status());
  if (reply->device_status != 0) return reply->device_status;
  const Status read = ReadResult(*reply, status, results);
  return read.ok() ? 0 : Lost(read);
}

DeviceResult ClientSession::AskLibrary(std::uint32_t library, std::uint32_t function, std::uint32_t device,
                                       ByteView arguments, std::uint32_t* status, Bytes* results) {
  if (libraries_.FindAnswer(library, function, device, arguments, status, results)) return 0;
  const Result<std::uint64_t> sequence =
      commands_->BeginCall(wire::LibraryAsk(library, function, device, 0), arguments);
  if (!sequence.ok()) return Lost(sequence.status());
  const Result<Reply> reply = commands_->FinishCall(*sequence, Deadline::After(kAskPatience));
  if (!reply.ok()) return Lost(reply.status());
  if (reply->device_status != 0) {
    log::Warning("library", reply->text);
    return reply->device_status;
  }
  const Status read = ReadResult(*reply, status, results);
  return read.ok() ? 0 : Lost(read);
}

}  // namespace accelmesh
