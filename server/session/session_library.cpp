// Session: functions of NVIDIA's libraries. They are commands of their stream like launches; what they read and write
// is checked by whoever runs them, as it is with kernels.
#include "protocol/base/log.h"
#include "protocol/library/dnn_graph.h"
#include "protocol/library/library.h"
#include "protocol/library/packed_words.h"
#include "server/session/session_inl.h"

namespace accelmesh {
namespace {

using RememberedTables = std::vector<flatbuffers::Offset<wire::LibraryRemembered>>;

// As many as a client may be handed, the last that was asked first.
RememberedTables WriteRemembered(flatbuffers::FlatBufferBuilder& builder,
                                 const std::vector<LibraryMemory::Remembered>& all) {
  constexpr std::size_t kTableBytes = 48;  // or less, beside the two vectors
  RememberedTables tables;
  std::size_t room = limits::kRememberedBytesMax;
  PackedWords packed;
  for (const LibraryMemory::Remembered& one : all) {
    const ByteView question = PackWords(one.question, packed);
    const std::size_t bytes = kTableBytes + question.size() + one.answer.results.size();
    if (bytes > room) break;
    room -= bytes;
    const auto results = builder.CreateVector(one.answer.results.data(), one.answer.results.size());
    tables.push_back(wire::CreateLibraryRemembered(builder, one.function, one.answer.status,
                                                   builder.CreateVector(question.data(), question.size()), results));
  }
  return tables;
}

}  // namespace

Status Session::On(const wire::LibraryOpen& command, const RecordView& record) {
  const std::uint32_t library = command.library();
  const std::uint32_t device = command.device();
  if (LibraryFunctions(library) == 0 || device >= devices_.size())
    return {Code::kBadFrame, "LibraryOpen", "no such library or device"};
  backend_.LibraryOpen(library, device, [this, library, device, sequence = record.sequence](Result<Bytes> functions) {
    if (!functions.ok()) {
      log::Warning("library", functions.status().ToString());
      Reply(sequence, kDeviceNotSupported, Code::kOk, functions.status().text(), {});
      return;
    }
    std::string identity;
    if (library_memory_ != nullptr) identity = backend_.LibraryIdentity(library, device);
    flatbuffers::FlatBufferBuilder builder(256);
    RememberedTables remembered;
    if (!identity.empty()) remembered = WriteRemembered(builder, library_memory_->All(identity));
    const auto answers = builder.CreateVector(remembered);
    builder.Finish(
        wire::CreateLibraryInfo(builder, builder.CreateVector(functions->data(), functions->size()), answers));
    {
      const std::lock_guard lock(libraries_mu_);
      libraries_[{library, device}] = {*std::move(functions), std::move(identity)};
    }
    Reply(sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
  });
  return Status::Ok();
}

Status Session::On(const wire::LibrarySettings& command, const RecordView& record) {
  if (LibraryFunctions(command.library()) == 0) return {Code::kBadFrame, "LibrarySettings.library", "no such library"};
  std::vector<std::shared_ptr<const Bytes>>& settings = library_settings_[command.library()];
  // Those of cuDNN are plans: fewer, and longer.
  const bool are_plans = command.library() == kLibraryDnn;
  const std::size_t most = are_plans ? kDnnPlansMax : limits::kLibrarySettingsMax;
  const std::size_t most_bytes =
      are_plans ? kDnnPlanWordsMax * sizeof(std::uint64_t) : limits::kLibrarySettingsBytesMax;
  if (command.settings() != settings.size() || settings.size() >= most)
    return {Code::kBadFrame, "LibrarySettings.settings", "not the next number"};
  if (record.payload.size() > most_bytes || record.payload.size() % sizeof(std::uint64_t) != 0)
    return {Code::kBadFrame, "LibrarySettings.words", "past the limit, or no words"};
  settings.push_back(std::make_shared<const Bytes>(record.payload.begin(), record.payload.end()));
  return Status::Ok();
}

Status Session::CheckLibraryFunction(std::uint32_t library, std::uint32_t function, std::uint32_t device,
                                     ByteView arguments) {
  {
    const std::lock_guard lock(libraries_mu_);
    const auto open = libraries_.find({library, device});
    if (open == libraries_.end() || !HasBit(open->second.functions, function))
      return {Code::kBadFrame, "LibraryCall.function", "none that the client was told of"};
  }
  if (!HasLibraryShape(library, function, arguments))
    return {Code::kBadFrame, "LibraryCall.arguments", "not the shape of the function's"};
  return Status::Ok();
}

Result<LibraryJob> Session::ReadLibraryCall(std::uint32_t library, std::uint32_t function, std::uint32_t stream,
                                            std::uint32_t settings, ByteView arguments) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(stream));
  LibraryJob job;
  if (IsPacked(arguments)) {
    ACCELMESH_ASSIGN_OR_RETURN(job.arguments, UnpackWords(arguments));
  } else {
    job.arguments.assign(arguments.begin(), arguments.end());
  }
  job.device = streams_[stream].device;
  job.library = library;
  job.function = function;
  ACCELMESH_RETURN_IF_ERROR(CheckLibraryFunction(library, function, job.device, job.arguments));
  if (IsAsked(library, function)) return Status(Code::kBadFrame, "LibraryCall.function", "nothing for a stream");
  const auto known = library_settings_.find(library);
  if (known == library_settings_.end() || settings >= known->second.size())
    return Status(Code::kBadFrame, "LibraryCall.settings", "no such settings");
  job.settings = known->second[settings];
  return job;
}

Status Session::RunLibrary(std::uint32_t stream, std::uint64_t sequence, LibraryJob job,
                           std::function<void(LibraryAnswer)> answer) {
  return RunOrPark(stream, sequence, 0, nullptr,
                   [this, stream, sequence, job = std::move(job), answer = std::move(answer)]() mutable {
                     return backend_.LibraryCall(stream, sequence, std::move(job), std::move(answer));
                   });
}

Status Session::On(const wire::LibraryCall& command, const RecordView& record) {
  ACCELMESH_ASSIGN_OR_RETURN(LibraryJob job, ReadLibraryCall(command.library(), command.function(), command.stream(),
                                                             command.settings(), record.payload));
  return RunLibrary(command.stream(), record.sequence, std::move(job), nullptr);
}

Status Session::On(const wire::LibraryQuery& command, const RecordView& record) {
  ACCELMESH_ASSIGN_OR_RETURN(LibraryJob job, ReadLibraryCall(command.library(), command.function(), command.stream(),
                                                             command.settings(), record.payload));
  return RunLibrary(
      command.stream(), record.sequence, std::move(job),
      [this, sequence = record.sequence](const LibraryAnswer& answer) { ReplyLibrary(sequence, answer); });
}

Status Session::On(const wire::LibraryAsk& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(
      CheckLibraryFunction(command.library(), command.function(), command.device(), record.payload));
  if (!IsAsked(command.library(), command.function()))
    return {Code::kBadFrame, "LibraryAsk.function", "one that runs in a stream"};
  LibraryJob job;
  job.device = command.device();
  job.library = command.library();
  job.function = command.function();
  job.arguments.assign(record.payload.begin(), record.payload.end());
  const std::string identity = IdentityOf(job.library, job.device);
  // What looks packed would be unpacked by whoever is handed it, and be another question's.
  const bool is_remembered = !identity.empty() && !IsPacked(job.arguments);
  if (is_remembered) {
    if (const std::optional<LibraryAnswer> known = library_memory_->Find(identity, job.function, job.arguments)) {
      ReplyLibrary(record.sequence, *known);
      return Status::Ok();
    }
  }
  Bytes question = is_remembered ? job.arguments : Bytes();
  backend_.LibraryAsk(std::move(job),
                      [this, is_remembered, identity, question = std::move(question), library = command.library(),
                       function = command.function(), sequence = record.sequence](const Result<LibraryAnswer>& answer) {
                        if (!answer.ok()) {
                          Reply(sequence, kDeviceNotSupported, Code::kOk, answer.status().text(), {});
                          return;
                        }
                        // First: who hears the answer may open the next session.
                        if (is_remembered && IsLasting(library, answer->status))
                          library_memory_->Keep(identity, function, question, *answer);
                        ReplyLibrary(sequence, *answer);
                      });
  return Status::Ok();
}

std::string Session::IdentityOf(std::uint32_t library, std::uint32_t device) {
  const std::lock_guard lock(libraries_mu_);
  const auto open = libraries_.find({library, device});
  return open == libraries_.end() ? std::string() : open->second.identity;
}

void Session::ReplyLibrary(std::uint64_t sequence, const LibraryAnswer& answer) {
  flatbuffers::FlatBufferBuilder builder(128);
  builder.Finish(wire::CreateLibraryResult(builder, answer.status,
                                           builder.CreateVector(answer.results.data(), answer.results.size())));
  Reply(sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
}

}  // namespace accelmesh
