#include "shim/core/session.h"

#include <algorithm>
#include <bit>

#include "protocol/base/log.h"
#include "protocol/base/tsan.h"
#include "shim/core/capture.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

constexpr std::chrono::seconds kOpenPatience{30};

}  // namespace

ClientSession::ClientSession(std::unique_ptr<CommandStream> commands, Window window, Window host_window)
    : commands_(std::move(commands)),
      captures_(std::make_unique<Captures>()),
      host_calls_(*commands_, [this] { return StickyError(); }),
      window_(std::move(window)),
      host_window_(std::move(host_window)),
      host_space_(host_window_.base(), host_window_.bytes(), host_window_.bytes()) {}

ClientSession::~ClientSession() {
  commands_->Close();
  host_calls_.Stop();
}

Result<std::unique_ptr<ClientSession>> ClientSession::Open(std::unique_ptr<ClientChannel> channel,
                                                           std::function<void(std::string_view)> output) {
  auto commands = std::make_unique<CommandStream>(std::move(channel), std::move(output));
  std::string reasons;
  for (const WindowCandidate& candidate : WindowCandidates()) {
    Result<Window> window = Window::Reserve(candidate);
    Result<Window> host_window = window.ok() ? Window::Reserve(candidate.Host()) : window.status();
    if (!host_window.ok()) {
      reasons += host_window.status().text() + "; ";
      continue;
    }
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(wire::CreateOpenSession(builder, candidate.base, candidate.bytes, candidate.Host().base,
                                           candidate.Host().bytes));
    ACCELMESH_ASSIGN_OR_RETURN(
        const Reply reply, commands->CallTable(CommandId::kOpenSession, {builder.GetBufferPointer(), builder.GetSize()},
                                               Deadline::After(kOpenPatience)));
    if (reply.code == static_cast<std::uint16_t>(Code::kFull)) {
      reasons += "the worker: " + reply.text + "; ";
      continue;
    }
    if (reply.code != 0 || reply.device_status != 0) {
      return Status(Code::kUnavailable, "ClientSession::Open", "the server refused the session: " + reply.text);
    }
    std::unique_ptr<ClientSession> session(
        new ClientSession(std::move(commands), *std::move(window), *std::move(host_window)));
    ACCELMESH_RETURN_IF_ERROR(session->ReadInfo(reply));
    return session;
  }
  return Status(Code::kOutOfMemory, "ClientSession::Open.window",
                "no window of device addresses could be had: " + reasons);
}

Status ClientSession::ReadInfo(const Reply& reply) {
  constexpr const char* kWhere = "ClientSession::ReadInfo";
  flatbuffers::Verifier verifier(reply.body.data(), reply.body.size());
  if (!verifier.VerifyBuffer<wire::SessionInfo>(nullptr))
    return {Code::kBadFrame, kWhere, "SessionInfo does not verify"};
  const auto& info = *flatbuffers::GetRoot<wire::SessionInfo>(reply.body.data());
  if (info.devices() == nullptr || info.devices()->size() == 0 || info.devices()->size() > limits::kDevicesMax) {
    return {Code::kBadFrame, kWhere, "no devices, or too many"};
  }
  if (info.backend() != nullptr) facts_.backend = info.backend()->str();
  facts_.driver_version = info.driver_version();
  facts_.client_is_here = info.client_is_here();
  facts_.textures_have_handles = info.textures_have_handles();
  facts_.occupancy_is_asked = info.occupancy_is_asked();
  facts_.has_conditions = info.has_conditions();
  facts_.driver_places_variables = info.driver_places_variables();
  for (const wire::DeviceInfo* from : *info.devices()) {
    LeasedDevice device;
    if (from->name() != nullptr) device.name = from->name()->str();
    if (from->pci_bus_id() != nullptr) device.pci_bus_id = from->pci_bus_id()->str();
    if (from->uuid() != nullptr && from->uuid()->size() == 16) {
      std::copy(from->uuid()->begin(), from->uuid()->end(), device.uuid.begin());
    }
    device.memory_bytes = from->memory_bytes();
    if (from->attributes() != nullptr) {
      for (const wire::DeviceAttribute* a : *from->attributes()) device.attributes[a->id()] = a->value();
    }
    if (from->peers() != nullptr) {
      for (const wire::PeerInfo* peer : *from->peers()) device.peers[peer->device()] = *peer;
    }
    const std::uint64_t offset = from->window_base() - window_.base();
    if (offset > window_.bytes() || from->window_bytes() > window_.bytes() - offset) {
      return {Code::kBadFrame, kWhere, "a device lies outside the window"};
    }
    const std::uint64_t import_base = from->window_base() + from->window_bytes();
    if (from->import_bytes() > window_.base() + window_.bytes() - import_base ||
        import_base % limits::kPageBytes != 0 ||
        (from->import_bytes() != 0 && !std::has_single_bit(from->import_unit()))) {
      return {Code::kBadFrame, kWhere, "what a device opens lies outside the window"};
    }
    facts_.shares_memory = from->import_bytes() != 0;
    const MutexLock memory_lock(memory_mu_);
    const MutexLock stream_lock(stream_mu_);
    leased_.space.emplace_back(import_base, from->import_bytes(), from->import_bytes());
    leased_.unit.push_back(from->import_unit());
    memory_.emplace_back(from->window_base(), from->window_bytes(), from->memory_bytes());
    pools_.AddDevice();
    graph_use_.emplace_back();
    lives_.push_back(0);
    free_marks_.push_back(nullptr);
    auto legacy = std::make_unique<Stream>();
    legacy->slot = static_cast<std::uint32_t>(streams_.size());
    legacy->device = legacy->slot;
    legacy_.push_back(legacy.get());
    streams_.push_back(std::move(legacy));
    devices_.push_back(std::move(device));
  }
  return Status::Ok();
}

DeviceResult ClientSession::Lost(const Status& status) {
  // Said once; every later call fails with the same number, whichever part of the connection gave way.
  commands_->End();
  // The server may have said why before it went, and that stays the answer.
  if (const DeviceResult said = StickyError(); said != 0 && !lost_.load(std::memory_order_relaxed)) return said;
  if (!lost_.exchange(true)) {
    log::Error("session",
               "the gpu-server is lost (" + status.text() +
                   "); every CUDA call of this program now fails. The server's log says why; run the program "
                   "again once it serves");
  }
  return kUnknown;
}

DeviceResult ClientSession::StickyError() const {
  if (lost_.load(std::memory_order_relaxed)) return kUnknown;
  const ProgressPage& page = commands_->progress();
  const std::uint32_t error = page.error.load(std::memory_order_acquire);
  return error != 0 && page.error_is_sticky.load(std::memory_order_relaxed) != 0 ? error : 0;
}

DeviceResult ClientSession::TakeAsyncError() {
  const std::uint32_t error = commands_->progress().error.load(std::memory_order_acquire);
  if (error == 0) return lost_.load(std::memory_order_relaxed) ? kUnknown : 0;
  if (const DeviceResult sticky = StickyError(); sticky != 0) return sticky;
  return error_taken_.exchange(true) ? 0 : error;
}

bool ClientSession::Passed(std::uint32_t slot, std::uint64_t sequence) const {
  return commands_->progress().completed[slot].load(std::memory_order_acquire) >= sequence;
}

bool ClientSession::OwnWorkPassed(const Stream& stream) const {
  return Passed(stream.slot, stream.last_sequence.load(std::memory_order_acquire));
}

std::vector<ClientSession::Point> ClientSession::WorkBefore(const Stream& stream) const {
  std::vector<Point> work;
  const MutexLock lock(stream_mu_);
  for (const auto& other : streams_) {
    if (other == nullptr) continue;
    // The legacy stream is behind everything in the blocking streams of its device.
    const bool counts =
        other.get() == &stream || (stream.kind == wire::StreamKind::Legacy &&
                                   other->kind == wire::StreamKind::Blocking && other->device == stream.device);
    if (counts) work.push_back({other->slot, other->last_sequence.load(std::memory_order_acquire)});
  }
  return work;
}

bool ClientSession::Passed(const std::vector<Point>& work) const {
  return std::all_of(work.begin(), work.end(), [this](const Point& p) { return Passed(p.slot, p.sequence); });
}

bool ClientSession::Idle(const Stream& stream) const {
  if (!OwnWorkPassed(stream)) return false;
  if (stream.kind == wire::StreamKind::Legacy && !Passed(WorkBefore(stream))) return false;
  TsanAcquireFromPeer();
  host_calls_.Join();
  return true;
}

bool ClientSession::AnythingPending() const {
  const MutexLock lock(stream_mu_);
  return std::any_of(streams_.begin(), streams_.end(),
                     [this](const auto& s) { return s != nullptr && !OwnWorkPassed(*s); });
}

std::uint64_t ClientSession::PassedByAll() const {
  const MutexLock lock(stream_mu_);
  std::uint64_t passed = ~std::uint64_t{0};
  for (const auto& stream : streams_) {
    if (stream == nullptr) continue;
    const std::uint64_t completed = commands_->progress().completed[stream->slot].load(std::memory_order_acquire);
    if (completed < stream->last_sequence.load(std::memory_order_acquire)) passed = std::min(passed, completed);
  }
  return passed;
}

// Streams ------------------------------------------------------------------------------------------------------------

DeviceResult ClientSession::CreateStream(std::uint32_t device, wire::StreamKind kind, unsigned flags, int priority,
                                         Stream** stream, bool outlives_reset) {
  auto made = std::make_unique<Stream>();
  made->outlives_reset = outlives_reset;
  made->device = device;
  made->kind = kind;
  made->flags = flags;
  made->priority = priority;
  {
    const MutexLock lock(stream_mu_);
    const auto free_slot =
        std::find(streams_.begin() + static_cast<std::ptrdiff_t>(devices_.size()), streams_.end(), nullptr);
    made->slot = static_cast<std::uint32_t>(free_slot - streams_.begin());
    if (made->slot >= limits::kStreamsMax) {
      log::Error("cudaStreamCreate", "more than " + std::to_string(limits::kStreamsMax) + " streams at a time");
      return kOutOfMemory;
    }
    *stream = made.get();
    if (free_slot == streams_.end()) {
      streams_.push_back(std::move(made));
    } else {
      *free_slot = std::move(made);
    }
  }
  // Not work of the stream: a new one is idle.
  const auto posted = commands_->Post(wire::StreamCreate((*stream)->slot, device, priority, kind));
  return posted.ok() ? 0 : Lost(posted.status());
}

DeviceResult ClientSession::DestroyStream(Stream* stream) {
  captures_->ForgetStream(stream);
  std::unique_ptr<Stream> gone;
  {
    const MutexLock lock(stream_mu_);
    const auto found =
        std::find_if(streams_.begin(), streams_.end(), [stream](const auto& s) { return s.get() == stream; });
    if (found == streams_.end()) return kInvalidHandle;  // another thread was first
    gone = TakeStream(&*found);
    handle_generation_.Renew();
  }
  return EndStream(gone->slot);
}

// Its work goes on, as it does natively: quarantine and device synchronise still see it, and nobody else counts on the
// slot's counter.
std::unique_ptr<Stream> ClientSession::TakeStream(std::unique_ptr<Stream>* place) {
  auto rest = std::make_unique<Stream>();
  rest->slot = (*place)->slot;
  rest->device = (*place)->device;
  rest->kind = (*place)->kind;
  rest->outlives_reset = true;
  rest->last_sequence.store((*place)->last_sequence.load(std::memory_order_acquire));
  return std::exchange(*place, std::move(rest));
}

DeviceResult ClientSession::EndStream(std::uint32_t ended) {
  const auto posted = commands_->Post(wire::StreamDestroy(ended, 0));
  if (!posted.ok()) return Lost(posted.status());
  const MutexLock lock(stream_mu_);
  zombies_.push_back(ended);
  std::erase_if(zombies_, [this](std::uint32_t slot) ACCELMESH_REQUIRES(stream_mu_) {
    if (!OwnWorkPassed(*streams_[slot])) return false;
    streams_[slot] = nullptr;
    return true;
  });
  return 0;
}

bool ClientSession::IsStream(const Stream* stream) {
  thread_local KnownHandle known;
  const std::uint64_t generation = handle_generation_.now();
  if (known.handle == stream && known.generation == generation) return true;
  const MutexLock lock(stream_mu_);
  const bool found =
      std::any_of(streams_.begin(), streams_.end(), [stream](const auto& s) { return s.get() == stream; });
  if (found) known = {generation, stream};
  return found;
}

DeviceResult ClientSession::Synchronize(const Stream& stream) {
  const std::vector<Point> work = WorkBefore(stream);
  const DeviceResult waited = Wait([this, &work] { return Passed(work); });
  ReapLanded();
  TidyPools();
  ReapGraphs();
  return waited != 0 ? waited : Settle();
}

DeviceResult ClientSession::SynchronizeDevice(std::uint32_t device) {
  std::vector<Point> work;
  {
    const MutexLock lock(stream_mu_);
    for (const auto& s : streams_) {
      if (s != nullptr && s->device == device) work.push_back({s->slot, s->last_sequence.load()});
    }
  }
  const DeviceResult waited = Wait([this, &work] { return Passed(work); });
  ReapLanded();
  TidyPools();
  ReapGraphs();
  return waited != 0 ? waited : Settle();
}

DeviceResult ClientSession::SetLimit(std::uint32_t device, std::uint32_t limit, std::uint64_t value) {
  const auto posted = commands_->Post(wire::DeviceLimit(value, device, limit));
  return posted.ok() ? 0 : Lost(posted.status());
}

// Host functions -----------------------------------------------------------------------------------------------------

HostCalls::Function ClientSession::AroundHostCall(HostCalls::Function function) {
  return [this, function = std::move(function)](std::uint32_t error) {
    // It sees what kernels before it wrote into the program's memory, and those behind it see what it writes.
    if (any_twin_.load(std::memory_order_acquire)) Settle();
    function(error);
    if (any_twin_.load(std::memory_order_acquire)) PushForHostCall();
  };
}

DeviceResult ClientSession::CallHost(Stream* stream, HostCalls::Function function) {
  std::uint64_t call = 0;
  if (!host_calls_.Begin(&call)) return kOutOfMemory;
  std::uint64_t sequence = 0;
  const DeviceResult posted = PostOn(stream, wire::HostCall(call, stream->slot, 0), {}, &sequence);
  if (posted != 0) {
    host_calls_.Abandon();
    return posted;
  }
  host_calls_.Add(call, stream->slot, sequence, AroundHostCall(std::move(function)));
  return 0;
}

// Events -------------------------------------------------------------------------------------------------------------

DeviceResult ClientSession::AddEvent(std::uint32_t device, bool timing, bool outlives_reset, Event** event) {
  auto made = std::make_unique<Event>();
  made->outlives_reset = outlives_reset;
  made->device = device;
  made->timing = timing;
  {
    const MutexLock lock(stream_mu_);
    const std::optional<std::uint32_t> id = event_ids_.Take();
    if (!id.has_value()) return kOutOfMemory;
    made->id = *id;
    *event = made.get();
    events_.emplace(made.get(), std::move(made));
  }
  return 0;
}

DeviceResult ClientSession::CreateEvent(std::uint32_t device, bool timing, Event** event, bool outlives_reset) {
  if (const DeviceResult added = AddEvent(device, timing, outlives_reset, event); added != 0) return added;
  const auto posted = commands_->Post(wire::EventCreate((*event)->id, device, timing ? 1 : 0, 0));
  return posted.ok() ? 0 : Lost(posted.status());
}

DeviceResult ClientSession::DestroyEvent(Event* event) {
  captures_->ForgetEvent(event);
  std::unique_ptr<Event> gone;
  {
    const MutexLock lock(stream_mu_);
    const auto found = events_.find(event);
    if (found == events_.end()) return kInvalidHandle;  // another thread was first
    gone = std::move(found->second);
    events_.erase(found);
    handle_generation_.Renew();
  }
  return EndEvent(gone->id);
}

DeviceResult ClientSession::EndEvent(std::uint32_t id) {
  const auto posted = commands_->Post(wire::EventDestroy(id, 0));
  if (!posted.ok()) return Lost(posted.status());
  const MutexLock lock(stream_mu_);
  event_ids_.GiveBack(id);
  return 0;
}

bool ClientSession::IsEvent(const Event* event) {
  // Two: events come in pairs, a start and an end.
  thread_local KnownHandle known[2];
  const std::uint64_t generation = handle_generation_.now();
  for (const KnownHandle& one : known) {
    if (one.handle == event && one.generation == generation) return true;
  }
  const MutexLock lock(stream_mu_);
  if (!events_.contains(event)) return false;
  known[1] = known[0];
  known[0] = {generation, event};
  return true;
}

DeviceResult ClientSession::RecordEvent(Event* event, Stream* stream) { return RecordEvent(event, stream, false); }

DeviceResult ClientSession::RecordEvent(Event* event, Stream* stream, bool external) {
  if (captures_->Active() || captures_->KnowsEvents()) [[unlikely]] {
    if (DeviceResult captured = 0; captures_->DivertsRecord(*stream, event, external, &captured)) return captured;
  }
  std::uint64_t sequence = 0;
  const DeviceResult posted = PostRecord(event->id, stream, &sequence);
  if (posted == 0) NoteRecord(event, *stream, sequence);
  return posted == 0 && event->is_leased ? CommitRecord() : posted;
}

void ClientSession::NoteRecord(Event* event, const Stream& stream, std::uint64_t sequence) {
  const std::uint64_t record = std::uint64_t{stream.slot} << Event::kSequenceBits | sequence;
  // Of two threads that record one event at a time the server sees the higher sequence last.
  std::uint64_t last = event->record.load(std::memory_order_relaxed);
  while (sequence > Event::SequenceOf(last) &&
         !event->record.compare_exchange_weak(last, record, std::memory_order_release)) {
  }
}

DeviceResult ClientSession::WaitEvent(Stream* stream, Event* event) { return WaitEvent(stream, event, false); }

DeviceResult ClientSession::WaitEvent(Stream* stream, Event* event, bool external) {
  if (captures_->Active() || captures_->KnowsEvents()) {
    if (DeviceResult captured = 0; captures_->DivertsWait(stream, event, external, &captured)) return captured;
  }
  if (!event->recorded() && !event->is_leased) return 0;  // Nothing to wait for.
  return PostWait(stream, event->id);
}

bool ClientSession::EventDone(const Event& event) {
  if (event.is_leased) {
    bool is_done = false;
    return AskLeasedEvent(event, &is_done) == 0 && is_done;
  }
  const std::uint64_t record = event.record.load(std::memory_order_acquire);
  const std::uint32_t slot = Event::SlotOf(record);
  const std::uint64_t sequence = Event::SequenceOf(record);
  // A program that polls must make progress: send what is gathered, take in what has come.
  if (!Passed(slot, sequence) && commands_->Flush().ok()) commands_->Poll();
  if (!Passed(slot, sequence)) return false;
  TsanAcquireFromPeer();
  host_calls_.Join();
  return true;
}

DeviceResult ClientSession::SynchronizeEvent(const Event& event) {
  if (event.is_leased) {
    const DeviceResult asked = WaitForLeased(event);
    return asked != 0 ? asked : Settle();
  }
  const std::uint64_t record = event.record.load(std::memory_order_acquire);
  const std::uint32_t slot = Event::SlotOf(record);
  const std::uint64_t sequence = Event::SequenceOf(record);
  const DeviceResult waited = Wait([this, slot, sequence] { return Passed(slot, sequence); });
  ReapLanded();
  TidyPools();
  ReapGraphs();
  return waited != 0 ? waited : Settle();
}

DeviceResult ClientSession::EventElapsed(const Event& start, const Event& end, float* milliseconds) {
  const auto reply = commands_->Call(wire::EventElapsed(start.id, end.id), Deadline::After(kOpenPatience));
  if (!reply.ok()) return Lost(reply.status());
  if (reply->device_status != 0) return reply->device_status;
  flatbuffers::Verifier verifier(reply->body.data(), reply->body.size());
  if (!verifier.VerifyBuffer<wire::ElapsedTime>(nullptr)) {
    return Lost(Status(Code::kBadFrame, "ClientSession::EventElapsed", "the reply does not verify"));
  }
  *milliseconds = flatbuffers::GetRoot<wire::ElapsedTime>(reply->body.data())->milliseconds();
  return 0;
}

}  // namespace accelmesh
