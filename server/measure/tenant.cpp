#include "server/measure/tenant.h"

#include <sys/mman.h>

#include <unordered_map>

#include "protocol/base/command.h"
#include "protocol/base/limits.h"
#include "protocol/base/window_candidates.h"
#include "server/session/session.h"

namespace accelmesh::measure {
namespace {

// Any single command: loading a library for the first time may read hundreds of megabytes.
constexpr std::chrono::minutes kPatience{2};
constexpr std::uint64_t kAllocationUnit = 2 * limits::kMiB;
constexpr const char* kWhere = "Tenant";

}  // namespace

// Keeps replies until they are asked for, and the text of the last error.
class Tenant::Sink final : public FrameSink {
 public:
  void OnFrame(ByteView frame) override {
    flatbuffers::Verifier verifier(frame.data(), frame.size());
    if (!verifier.VerifyBuffer<wire::Down>(nullptr)) return;
    const auto& down = *flatbuffers::GetRoot<wire::Down>(frame.data());
    const std::string text = down.text() != nullptr ? down.text()->str() : std::string();
    if (down.kind() == wire::DownKind::ErrorText) error_ = text;
    if (down.kind() != wire::DownKind::Reply && down.kind() != wire::DownKind::ReplyPart) return;
    Answer& answer = answers_[down.sequence()];
    if (down.body() != nullptr) answer.body.insert(answer.body.end(), down.body()->begin(), down.body()->end());
    if (down.kind() == wire::DownKind::ReplyPart) return;
    answer.text = text;
    answer.device_status = down.device_status();
    codes_[down.sequence()] = static_cast<Code>(down.code());
  }

  // Null while the reply is not complete.
  const Code* CodeOf(std::uint64_t sequence) const {
    const auto found = codes_.find(sequence);
    return found == codes_.end() ? nullptr : &found->second;
  }
  Answer Take(std::uint64_t sequence) {
    Answer answer = std::move(answers_[sequence]);
    answers_.erase(sequence);
    codes_.erase(sequence);
    return answer;
  }
  const std::string& error() const { return error_; }

 private:
  std::unordered_map<std::uint64_t, Answer> answers_;
  std::unordered_map<std::uint64_t, Code> codes_;
  std::string error_;
};

Result<std::unique_ptr<Tenant>> Tenant::Open(const BackendFactory& make, BackendOptions options) {
  options.window_is_reserved = true;
  std::unique_ptr<Tenant> tenant(new Tenant());
  ACCELMESH_ASSIGN_OR_RETURN(tenant->backend_, make(options));
  ACCELMESH_RETURN_IF_ERROR(tenant->backend_->Prepare());
  LoopbackPair pair = MakeLoopback();
  tenant->server_ = std::move(pair.server);
  tenant->channel_ = std::move(pair.client);
  tenant->sink_ = std::make_unique<Sink>();
  tenant->session_ = std::thread([server = tenant->server_.get(), backend = tenant->backend_.get()] {
    Session session(*server, *backend, true);
    (void)session.Run();
  });
  ACCELMESH_RETURN_IF_ERROR(tenant->OpenSession());
  return tenant;
}

Result<std::unique_ptr<Tenant>> Tenant::Attach(std::unique_ptr<ClientChannel> channel) {
  std::unique_ptr<Tenant> tenant(new Tenant());
  tenant->channel_ = std::move(channel);
  tenant->sink_ = std::make_unique<Sink>();
  ACCELMESH_RETURN_IF_ERROR(tenant->OpenSession());
  return tenant;
}

Tenant::~Tenant() {
  if (channel_ != nullptr) channel_->Close();
  // The backend works in the window, so its session ends first.
  if (session_.joinable()) session_.join();
  backend_.reset();
  if (window_bytes_ != 0) ::munmap(reinterpret_cast<void*>(window_), window_bytes_);
}

Result<bool> Tenant::TryWindow(std::uint64_t base, std::uint64_t bytes) {
  // Where the backend is elsewhere, addresses are only numbers here.
  void* const wanted = reinterpret_cast<void*>(base);
  if (backend_ != nullptr) {
    void* const got =
        ::mmap(wanted, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != wanted) {
      if (got != MAP_FAILED) ::munmap(got, bytes);
      return false;
    }
    window_ = base;
    window_bytes_ = bytes;
  }
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(wire::CreateOpenSession(builder, base, bytes, 0, 0));
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t sequence, Send(static_cast<std::uint16_t>(CommandId::kOpenSession),
                                                                {builder.GetBufferPointer(), builder.GetSize()}, {}));
  Result<Answer> answer = Hear(sequence);
  if (!answer.ok()) {
    if (window_bytes_ != 0) ::munmap(wanted, bytes);
    window_bytes_ = 0;
    if (answer.code() == Code::kFull) return false;
    return answer.status();
  }
  flatbuffers::Verifier verifier(answer->body.data(), answer->body.size());
  if (!verifier.VerifyBuffer<wire::SessionInfo>(nullptr))
    return Status(Code::kBadFrame, kWhere, "SessionInfo does not verify");
  const auto& info = *flatbuffers::GetRoot<wire::SessionInfo>(answer->body.data());
  if (info.backend() != nullptr) backend_name_ = info.backend()->str();
  const auto* const devices = info.devices();
  if (devices == nullptr || devices->size() == 0) return Status(Code::kNotFound, kWhere, "the backend has no device");
  const wire::DeviceInfo& device = *devices->Get(0);
  if (device.name() != nullptr) device_.name = device.name()->str();
  if (device.uuid() != nullptr) {
    constexpr const char* kDigits = "0123456789abcdef";
    for (const std::uint8_t byte : *device.uuid()) device_.uuid += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  device_.memory_bytes = device.memory_bytes();
  device_.base = AlignUp(device.window_base(), kAllocationUnit);
  return true;
}

Status Tenant::OpenSession() {
  for (const WindowCandidate& candidate : kWindowCandidates) {
    ACCELMESH_ASSIGN_OR_RETURN(const bool is_open, TryWindow(candidate.base, candidate.bytes));
    if (is_open) return Status::Ok();
  }
  return {Code::kFull, kWhere, "no window of device addresses is free in this process"};
}

Result<std::uint64_t> Tenant::Send(std::uint16_t command, ByteView body, ByteView payload) {
  const std::size_t record_bytes = RecordBytes(body.size(), payload.size());
  Bytes frame(sizeof(FrameHeaderValue) + record_bytes);
  const FrameHeaderValue header{kFrameMagic, 1, next_sequence_};
  const RecordHeaderValue record{static_cast<std::uint32_t>(record_bytes), static_cast<std::uint32_t>(body.size()),
                                 static_cast<std::uint32_t>(payload.size()), command, 0};
  std::uint8_t* at = frame.data();
  for (const ByteView part : {AsBytes(header), AsBytes(record), body, payload}) {
    if (!part.empty()) std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  ACCELMESH_RETURN_IF_ERROR(channel_->Send(UpLane::kCommand, frame, Deadline::After(kPatience)));
  return next_sequence_++;
}

Result<Tenant::Answer> Tenant::Hear(std::uint64_t sequence) {
  const Deadline deadline = Deadline::After(kPatience);
  while (sink_->CodeOf(sequence) == nullptr) ACCELMESH_RETURN_IF_ERROR(channel_->Pump(*sink_, deadline));
  const Code code = *sink_->CodeOf(sequence);
  Answer answer = sink_->Take(sequence);
  if (code != Code::kOk) return Status(code, kWhere, answer.text);
  return answer;
}

Status Tenant::Wait(std::uint32_t stream, std::uint64_t sequence) {
  const Deadline deadline = Deadline::After(kPatience);
  const ProgressPage& progress = channel_->progress();
  while (progress.completed[stream].load(std::memory_order_acquire) < sequence)
    ACCELMESH_RETURN_IF_ERROR(channel_->Pump(*sink_, deadline));
  return Check();
}

Status Tenant::Check() const {
  const std::uint32_t error = channel_->progress().error.load(std::memory_order_relaxed);
  if (error == 0) return Status::Ok();
  return {Code::kInternal, kWhere,
          "the device says " + std::to_string(error) + (sink_->error().empty() ? "" : ": " + sink_->error())};
}

Result<std::uint64_t> Tenant::Allocate(std::uint64_t bytes) {
  const std::uint64_t rounded = AlignUp(std::max<std::uint64_t>(bytes, 1), kAllocationUnit);
  if (rounded > device_.memory_bytes - std::min(allocated_, device_.memory_bytes))
    return Status(Code::kOutOfMemory, kWhere, "the device has too little memory for this measurement");
  const std::uint64_t address = device_.base + allocated_;
  ACCELMESH_RETURN_IF_ERROR(Post(wire::MemAlloc(address, rounded, 0, 0)).status());
  allocated_ += rounded;
  allocations_.push_back(address);
  return address;
}

Status Tenant::FreeAll() {
  for (const std::uint64_t address : allocations_)
    ACCELMESH_RETURN_IF_ERROR(Post(wire::MemFree(address, 0, 0)).status());
  allocations_.clear();
  allocated_ = 0;
  return Call(wire::Ping(0)).status();
}

Status Tenant::LoadModule(std::uint32_t module, std::string_view ptx) {
  const std::uint64_t token = next_token_++;
  ACCELMESH_RETURN_IF_ERROR(channel_->SendBulk(token, AsBytes(ptx), Deadline::After(kPatience)));
  ACCELMESH_ASSIGN_OR_RETURN(const Answer answer, Call(wire::ModuleLoad(token, ptx.size(), 1, module, 0, 0)));
  if (answer.device_status == 0) return Status::Ok();
  return {Code::kUnsupported, kWhere, "the device does not load the kernels: " + answer.text};
}

}  // namespace accelmesh::measure
