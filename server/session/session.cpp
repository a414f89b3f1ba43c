#include "server/session/session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "protocol/base/log.h"
#include "server/session/session_inl.h"

namespace accelmesh {
namespace {

constexpr std::chrono::milliseconds kReceiveSlice{500};
// How long others come first when a replay has had its share of the executor.
constexpr std::chrono::milliseconds kYield{1};
// How often it looks at events of other sessions that streams have stopped for.
constexpr std::chrono::microseconds kLeaseSlice{100};
// A body that ShortDown() takes.
constexpr std::size_t kShortBodyBytes = 64;
constexpr std::size_t kReplyPartBytes = limits::kFrameBytesMax / 2;
static_assert(kReplyPartBytes + limits::kTextBytesMax + 4096 < limits::kFrameBytesMax);

}  // namespace

Session::Session(ServerChannel& channel, Backend& backend, bool client_is_here, Lease* lease, LibraryMemory* memory)
    : channel_(channel), backend_(backend), host_(client_is_here), lease_(lease), library_memory_(memory) {}

Session::~Session() {
  // Threads of the backend that wait for room to the client have nothing to wait for.
  channel_.Close();
  {
    const std::lock_guard lock(service_mu_);
    service_stop_ = true;
  }
  service_cv_.notify_one();
  if (service_.joinable()) service_.join();
  for (StreamState& stream : streams_) stream.parked.clear();
  events_.clear();
  past_.clear();
  modules_.clear();
  backend_.Close();
  open_imports_.clear();
}

Status Session::Run() {
  Deadline slice = Deadline::After(kReceiveSlice);
  while (!goodbye_) {
    const bool accept = parked_commands_ < limits::kParkedCommandsMax;
    const bool looks_only = backend_.WantsInputDrained();
    const bool goes_on = std::exchange(has_yielded_, false);
    ++round_;
    Result<ReceivedFrame> received = channel_.Receive(accept, looks_only         ? Deadline::Poll()
                                                              : has_lease_work() ? Deadline::After(kLeaseSlice)
                                                              : goes_on          ? Deadline::After(kYield)
                                                                                 : slice);
    if (!received.ok()) {
      if (received.code() != Code::kDeadlineExceeded) return received.status();
      if (looks_only) {
        backend_.InputDrained();
      } else {
        slice = Deadline::After(kReceiveSlice);
      }
      if (!goes_on && !has_lease_work()) continue;
    } else if (received->kind == ReceivedFrame::Kind::kFrame) {
      ACCELMESH_RETURN_IF_ERROR(
          HandleFrame(received->frame, received->lane == UpLane::kSide ? CommandLane::kSide : CommandLane::kCommand));
    }
    if (has_lease_work()) ACCELMESH_RETURN_IF_ERROR(DoLeaseWork());
    if (!collecting_.empty()) ACCELMESH_RETURN_IF_ERROR(CollectImages());
    if (parked_commands_ != 0) ACCELMESH_RETURN_IF_ERROR(Unpark());
    if (!past_.empty()) ACCELMESH_RETURN_IF_ERROR(EndPast());
  }
  return Status::Ok();
}

Status Session::HandleFrame(ByteView frame, CommandLane lane) {
  ACCELMESH_ASSIGN_OR_RETURN(FrameReader reader, FrameReader::Open(frame));
  std::uint64_t& expected = lane == CommandLane::kCommand ? next_sequence_ : next_side_sequence_;
  if (reader.first_sequence() != expected) {
    return {Code::kBadFrame, "Session::HandleFrame.first_sequence",
            "expected " + std::to_string(expected) + ", got " + std::to_string(reader.first_sequence()) +
                (reader.first_sequence() < expected ? " (a replay)" : " (a gap)")};
  }
  // The frame lies in memory of ours: none of it needs resending, and the answers it causes carry the acknowledgement.
  if (lane == CommandLane::kCommand) channel_.PublishAcknowledged(reader.first_sequence() + reader.records_left() - 1);
  while (!reader.at_end()) {
    const Result<RecordView> record = reader.Next();
    if (!record.ok()) return record.status();
    ++expected;
    if (!open_ && record->command != static_cast<std::uint16_t>(CommandId::kOpenSession) &&
        lane == CommandLane::kCommand) {
      return {Code::kBadFrame, "Session::HandleFrame.command", "the first command is not OpenSession"};
    }
    ACCELMESH_RETURN_IF_ERROR(GenDispatch(*record, lane, *this));
  }
  return Status::Ok();
}

// Parking ------------------------------------------------------------------------------------------------------------

bool Session::HasBody(std::uint64_t token) {
  if (bodies_.contains(token)) return true;
  Result<std::unique_ptr<BulkBody>> body = channel_.TakeBulk(token);
  if (!body.ok()) return false;
  bodies_.emplace(token, *std::move(body));
  return true;
}

std::unique_ptr<BulkBody> Session::TakeBody(std::uint64_t token) {
  const auto found = bodies_.find(token);
  std::unique_ptr<BulkBody> body = std::move(found->second);
  bodies_.erase(found);
  return body;
}

bool Session::LegacyRuleParks(const StreamState& state, std::uint32_t stream, std::uint64_t sequence) const {
  if (state.kind == wire::StreamKind::NonBlocking) return false;
  return std::any_of(parked_streams_.begin(), parked_streams_.end(), [&](std::uint32_t s) {
    const StreamState& other = streams_[s];
    if (s == stream || other.parked.empty() || other.device != state.device) return false;
    if (other.parked.front().sequence > sequence) return false;
    // Legacy waits for blocking streams and they for it; two blocking streams do not wait for each other.
    return (state.kind == wire::StreamKind::Legacy) != (other.kind == wire::StreamKind::Legacy) &&
           other.kind != wire::StreamKind::NonBlocking;
  });
}

void Session::Park(std::uint32_t stream, Parked parked) {
  // All nodes of a launch stand where it stands, whatever sequence they complete with.
  if (replayed_sequence_ != 0) parked.sequence = replayed_sequence_;
  const bool has_yielded = parked.yielded_in != 0;
  streams_[stream].parked.push_back(std::move(parked));
  parked_streams_.insert(stream);
  ++parked_commands_;
  anything_parked_.store(true, std::memory_order_seq_cst);
  // A completion between the look and the flag would not have woken us.
  if (!has_yielded) channel_.Interrupt();
}

bool Session::MayRun(const StreamState& state, std::uint32_t stream, std::uint64_t sequence, std::uint64_t token,
                     const EventState* wait_event) {
  if (wait_event != nullptr && wait_event->record_is_parked) return false;
  if (LegacyRuleParks(state, stream, sequence)) return false;
  if (token != 0 && !HasBody(token)) return false;
  return backend_.InFlight(stream) < limits::kStreamInFlightMax;
}

Status Session::Unpark() {
  bool progress = true;
  while (progress && parked_commands_ != 0) {
    progress = false;
    for (auto slot = parked_streams_.begin(); slot != parked_streams_.end();) {
      const std::uint32_t s = *slot;
      StreamState& state = streams_[s];
      while (!state.parked.empty()) {
        const Parked& next = state.parked.front();
        if (!next.own_order_only && !MayRun(state, s, next.sequence, next.token, next.wait_event.get())) break;
        if (next.needs_drained && (backend_.InFlight(s) != 0 || next.yielded_in == round_)) break;
        const Parked running = std::move(state.parked.front());
        state.parked.pop_front();
        --parked_commands_;
        progress = true;
        ACCELMESH_RETURN_IF_ERROR(running.run());
      }
      slot = state.parked.empty() ? parked_streams_.erase(slot) : std::next(slot);
    }
  }
  anything_parked_.store(parked_commands_ != 0, std::memory_order_seq_cst);
  return Status::Ok();
}

// Completions (any thread) -------------------------------------------------------------------------------------------

void Session::Publish(std::uint32_t stream, std::uint64_t sequence,
                      void (ServerChannel::*publish)(std::uint32_t, std::uint64_t)) {
  if (any_leased_record_.load(std::memory_order_acquire)) [[unlikely]]
    CompleteLeased(stream, sequence);
  (channel_.*publish)(stream, sequence);
  if (anything_parked_.load(std::memory_order_relaxed)) channel_.Interrupt();
}

void Session::Drained(std::uint32_t /*stream*/) {
  if (anything_parked_.load(std::memory_order_relaxed)) channel_.Interrupt();
}

void Session::Failed(std::uint32_t /*stream*/, std::uint64_t sequence, DeviceStatus status, bool sticky,
                     std::string_view text) {
  if (sticky) is_broken_.store(true, std::memory_order_relaxed);
  channel_.PublishError(status, sticky, sequence);
  SendDown(wire::DownKind::ErrorText, sequence, status, Code::kOk, text, {});
}

Status Session::SendToClient(std::uint64_t token, std::uint64_t offset, ByteView bytes) {
  return channel_.SendBulk(token, offset, bytes, Deadline::Never());
}

void Session::Output(std::uint64_t sequence, std::string_view text) {
  SendDown(wire::DownKind::Output, sequence, 0, Code::kOk, text.substr(0, limits::kTextBytesMax), {});
}

void Session::Complaint(std::uint64_t sequence, std::string_view text) {
  SendDown(wire::DownKind::Output, sequence, kDeviceAssert, Code::kOk, text.substr(0, limits::kTextBytesMax), {});
}

Status Session::CallerError(std::uint32_t stream, std::uint64_t sequence, std::uint64_t token, DeviceStatus status,
                            std::string_view text) {
  log::Warning("session", text);
  Failed(stream, sequence, status, false, text);
  replay_failed_ = replayed_sequence_ != 0;
  return RunNothing(stream, sequence, token);
}

Status Session::RunNothing(std::uint32_t stream, std::uint64_t sequence, std::uint64_t token) {
  if (!nothing_.has_value()) {
    nothing_ = next_backend_event_++;
    ACCELMESH_RETURN_IF_ERROR(backend_.EventCreate(*nothing_, false));
  }
  // A body that was sent for it is taken, so that it does not stay.
  return RunOrPark(stream, sequence, token, nullptr, [this, stream, sequence, token] {
    if (token != 0) TakeBody(token).reset();
    return backend_.StreamWaitEvent(stream, sequence, *nothing_);
  });
}

void Session::Reply(std::uint64_t sequence, DeviceStatus device_status, Code code, std::string_view text,
                    ByteView body) {
  // A frame bounds a part; the last one carries what is left.
  for (; body.size() > kReplyPartBytes; body = body.subspan(kReplyPartBytes)) {
    SendDown(wire::DownKind::ReplyPart, sequence, device_status, code, "", body.first(kReplyPartBytes));
  }
  SendDown(wire::DownKind::Reply, sequence, device_status, code, text, body);
}

namespace {

// Most answers are short and say the same but for a few numbers. Building a table costs several times what writing
// those into one that stands does; so there is one for each size of body, with every field in its place.
ByteView ShortDown(wire::DownKind kind, std::uint64_t sequence, std::uint32_t device_status, Code code, ByteView body) {
  thread_local std::array<Bytes, kShortBodyBytes + 1> frames;
  Bytes& frame = frames[body.size()];
  if (frame.empty()) {
    flatbuffers::FlatBufferBuilder builder(256);
    builder.ForceDefaults(true);
    const auto body_offset = body.empty() ? 0 : builder.CreateVector(body.data(), body.size());
    builder.Finish(wire::CreateDown(builder, kind, 0, 0, 0, 0, body_offset));
    frame.assign(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
  }
  flatbuffers::Table* const down = flatbuffers::GetMutableRoot<flatbuffers::Table>(frame.data());
  down->SetField<std::uint8_t>(wire::Down::VT_KIND, static_cast<std::uint8_t>(kind), 0);
  down->SetField<std::uint64_t>(wire::Down::VT_SEQUENCE, sequence, 0);
  down->SetField<std::uint32_t>(wire::Down::VT_DEVICE_STATUS, device_status, 0);
  down->SetField<std::uint16_t>(wire::Down::VT_CODE, static_cast<std::uint16_t>(code), 0);
  if (!body.empty()) {
    auto* const bytes = down->GetPointer<flatbuffers::Vector<std::uint8_t>*>(wire::Down::VT_BODY);
    std::memcpy(bytes->Data(), body.data(), body.size());
  }
  return frame;
}

}  // namespace

void Session::SendDown(wire::DownKind kind, std::uint64_t sequence, std::uint32_t device_status, Code code,
                       std::string_view text, ByteView body) {
  // Kept by each thread: an answer is on somebody's way.
  thread_local flatbuffers::FlatBufferBuilder builder(4096);
  ByteView frame;
  if (text.empty() && body.size() <= kShortBodyBytes) {
    frame = ShortDown(kind, sequence, device_status, code, body);
  } else {
    builder.Clear();
    flatbuffers::Offset<flatbuffers::String> text_offset;
    flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>> body_offset;
    if (!text.empty()) text_offset = builder.CreateString(text.data(), std::min(text.size(), limits::kTextBytesMax));
    if (!body.empty()) body_offset = builder.CreateVector(body.data(), body.size());
    builder.Finish(wire::CreateDown(builder, kind, sequence, device_status, static_cast<std::uint16_t>(code),
                                    text_offset, body_offset));
    frame = {builder.GetBufferPointer(), builder.GetSize()};
  }
  // A client that is stopped (a debugger, a terminal) reads again some day; one that has ended ends the wait.
  const Status sent = channel_.Send(frame, Deadline::Never());
  if (sent.ok() || sent.code() == Code::kClosed) return;
  // Whoever waits for this must not wait for ever.
  log::Error("session", "cannot answer, so the session ends: " + sent.ToString());
  channel_.Close();
}

// Session and side lane ----------------------------------------------------------------------------------------------

Status Session::On(const wire::OpenSession& command, const RecordView& record) {
  if (open_) return {Code::kBadFrame, "OpenSession", "the session is open already"};
  if (command.window_bytes() == 0 || command.window_bytes() % limits::kPageBytes != 0 ||
      command.window_bytes() > 8192 * limits::kGiB || command.window_base() % (2 * limits::kMiB) != 0) {
    return {Code::kBadFrame, "OpenSession.window", "not a window"};
  }
  Status reserved;
  if (command.host_window_bytes() != 0) {
    reserved = host_.Reserve(command.host_window_base(), command.host_window_bytes());
    if (reserved.code() == Code::kBadFrame) return reserved;
  }
  backend_.UseDirect(channel_.direct());
  if (lease_ != nullptr) backend_.UseFile(lease_->fd(), LeaseTable::kBytes);
  Result<std::vector<DeviceDescription>> devices =
      reserved.ok() ? backend_.Open(command.window_base(), command.window_bytes(), this) : reserved;
  if (!devices.ok()) {
    host_.Release();
    Reply(record.sequence, kDeviceOk, devices.code(), devices.status().text(), {});
    return Status::Ok();
  }
  open_ = true;
  devices_ = *std::move(devices);
  PartImports();
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<wire::DeviceInfo>> infos;
  for (std::uint32_t d = 0; d < devices_.size(); ++d) {
    DeviceDescription& device = devices_[d];
    if (quota_ != nullptr && quota_->limit() != 0) device.memory_bytes = std::min(device.memory_bytes, quota_->limit());
    std::vector<wire::DeviceAttribute> attributes;
    for (const auto& [id, value] : device.attributes) attributes.emplace_back(id, value);
    std::vector<wire::PeerInfo> peers;
    for (const PeerDescription& peer : device.peers) {
      peers.emplace_back(peer.device, peer.native_atomics, peer.array_access, peer.partial_atomics, 0,
                         peer.performance_rank);
    }
    infos.push_back(wire::CreateDeviceInfo(
        builder, builder.CreateString(device.name), builder.CreateVector(device.uuid.data(), device.uuid.size()),
        device.memory_bytes, device.window_base, device.window_bytes, builder.CreateVectorOfStructs(attributes),
        builder.CreateString(device.pci_bus_id), builder.CreateVectorOfStructs(peers), device.import_bytes,
        device.import_unit_bytes));
    memory_.emplace_back(device.window_base, device.window_bytes, device.memory_bytes, quota_);
    host_.AllowTwins(device.memory_bytes);
    StreamState& legacy = streams_.emplace_back();
    legacy.exists = true;
    legacy.device = d;
    legacy.kind = wire::StreamKind::Legacy;
    ACCELMESH_RETURN_IF_ERROR(backend_.StreamCreate(d, d, static_cast<std::uint8_t>(wire::StreamKind::Legacy), 0));
  }
  constexpr int kDriverVersion = 13000;  // The runtime this protocol version was made for.
  builder.Finish(wire::CreateSessionInfo(builder, builder.CreateVector(infos), builder.CreateString(backend_.name()),
                                         kDriverVersion, host_.client_is_here(), backend_.has_texture_handles(),
                                         backend_.knows_occupancy(), backend_.has_conditions(),
                                         !backend_.places_variables()));
  Reply(record.sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
  return Status::Ok();
}

Status Session::On(const wire::Ping& /*command*/, const RecordView& record) {
  Reply(record.sequence, kDeviceOk, Code::kOk, "", {});
  return Status::Ok();
}
Status Session::On(const wire::Goodbye& /*command*/, const RecordView& /*record*/) {
  goodbye_ = true;
  return Status::Ok();
}
Status Session::On(const wire::Heartbeat& /*command*/, const RecordView& /*record*/) { return Status::Ok(); }
Status Session::On(const wire::Hold& command, const RecordView& /*record*/) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  const Status held = backend_.Hold(command.stream(), command.on() != 0);
  if (!held.ok()) log::Warning("session", held.ToString());
  return Status::Ok();
}

// Host functions -----------------------------------------------------------------------------------------------------

Status Session::On(const wire::HostCall& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  if (command.call() >= kOwnCall) return {Code::kBadFrame, "HostCall.call", "out of range"};
  return RunOrPark(command.stream(), record.sequence, 0, nullptr,
                   [this, stream = command.stream(), sequence = record.sequence, call = command.call()]() -> Status {
                     if (!host_calls_.insert(call).second)
                       return {Code::kBadFrame, "HostCall.call", "the number is in use"};
                     ACCELMESH_RETURN_IF_ERROR(backend_.HostWait(stream, sequence, call));
                     return early_host_dones_.erase(call) != 0 ? EndHostCall(call) : Status::Ok();
                   });
}
Status Session::On(const wire::HostDone& command, const RecordView& /*record*/) {
  if (host_calls_.contains(command.call())) return EndHostCall(command.call());
  // The counter of the command before the call said it all to the client, and the side lane is the faster one.
  if (early_host_dones_.size() >= limits::kParkedCommandsMax || !early_host_dones_.insert(command.call()).second)
    return {Code::kBadFrame, "HostDone.call", "no stream waits for it"};
  return Status::Ok();
}
Status Session::EndHostCall(std::uint64_t call) {
  host_calls_.erase(call);
  return backend_.HostDone(call);
}

// Streams and events -------------------------------------------------------------------------------------------------

Status Session::CheckStream(std::uint32_t stream) const {
  if (stream < streams_.size() && streams_[stream].exists && !streams_[stream].is_ended) return Status::Ok();
  // The destruction is behind the launch whose nodes these are.
  if (replayed_sequence_ != 0) return Status::Ok();
  return {Code::kBadFrame, "Session::CheckStream", "no stream has slot " + std::to_string(stream)};
}

Status Session::On(const wire::StreamCreate& command, const RecordView& record) {
  if (command.stream() >= limits::kStreamsMax || command.device() >= devices_.size() ||
      command.kind() > wire::StreamKind::NonBlocking || command.kind() == wire::StreamKind::Legacy) {
    return {Code::kBadFrame, "StreamCreate", "slot, device or kind out of range"};
  }
  if (command.stream() >= streams_.size()) streams_.resize(command.stream() + 1);
  StreamState& state = streams_[command.stream()];
  if (state.exists) return {Code::kBadFrame, "StreamCreate.stream", "the slot is taken"};
  state.exists = true;
  state.device = command.device();
  state.kind = command.kind();
  ACCELMESH_RETURN_IF_ERROR(backend_.StreamCreate(command.stream(), command.device(),
                                                  static_cast<std::uint8_t>(command.kind()), command.priority()));
  Completed(command.stream(), record.sequence);
  return Status::Ok();
}

Status Session::On(const wire::StreamDestroy& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  if (command.stream() < devices_.size()) return {Code::kBadFrame, "StreamDestroy.stream", "a legacy stream"};
  const std::uint32_t stream = command.stream();
  streams_[stream].is_ended = true;
  const auto destroy = [this, stream] {
    streams_[stream].exists = streams_[stream].is_ended = false;
    return backend_.StreamDestroy(stream);
  };
  // In the order of its own stream only: the client gives the slot out again as soon as the commands before have
  // completed, whatever other streams wait for.
  if (streams_[stream].parked.empty()) return destroy();
  Park(stream, {record.sequence, 0, nullptr, true, destroy});
  return Status::Ok();
}

Result<std::shared_ptr<Session::EventState>> Session::MakeEvent(bool timing) {
  const std::uint32_t id = next_backend_event_++;
  ACCELMESH_RETURN_IF_ERROR(backend_.EventCreate(id, timing));
  return std::make_shared<EventState>(&backend_, id, timing);
}

Status Session::On(const wire::EventCreate& command, const RecordView& /*record*/) {
  if (command.event() >= limits::kEventsMax || command.device() >= devices_.size()) {
    return {Code::kBadFrame, "EventCreate", "event or device out of range"};
  }
  if (events_.contains(command.event())) return {Code::kBadFrame, "EventCreate.event", "the id is taken"};
  ACCELMESH_ASSIGN_OR_RETURN(std::shared_ptr<EventState> event, MakeEvent(command.timing() != 0));
  events_.emplace(command.event(), std::move(event));
  return Status::Ok();
}

Status Session::On(const wire::EventDestroy& command, const RecordView& /*record*/) {
  if (events_.erase(command.event()) == 0) return {Code::kBadFrame, "EventDestroy.event", "no such event"};
  return Status::Ok();
}

Status Session::On(const wire::EventRecord& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  const auto found = events_.find(command.event());
  if (found == events_.end()) return {Code::kBadFrame, "EventRecord.event", "no such event"};
  if (found->second->leased != nullptr) return RecordLeased(command.stream(), record.sequence, found->second);
  if (found->second.use_count() > 1) {
    // Parked commands mean the record before this one.
    ACCELMESH_ASSIGN_OR_RETURN(found->second, MakeEvent(found->second->timing));
  }
  std::shared_ptr<EventState> event = found->second;
  const std::uint32_t stream = command.stream();
  const std::uint64_t sequence = record.sequence;
  // Until it has run; nobody else looks before this function is through.
  event->record_is_parked = true;
  return RunOrPark(stream, sequence, 0, nullptr, [this, stream, sequence, event] {
    event->record_is_parked = false;
    return backend_.EventRecord(stream, sequence, event->backend_id);
  });
}

Status Session::On(const wire::StreamWaitEvent& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  const auto found = events_.find(command.event());
  if (found == events_.end()) return {Code::kBadFrame, "StreamWaitEvent.event", "no such event"};
  std::shared_ptr<EventState> event = found->second;
  if (event->leased != nullptr) return WaitLeased(command.stream(), record.sequence, event->leased);
  const std::uint32_t stream = command.stream();
  const std::uint64_t sequence = record.sequence;
  return RunOrPark(stream, sequence, 0, event, [this, stream, sequence, event] {
    return backend_.StreamWaitEvent(stream, sequence, event->backend_id);
  });
}

Status Session::On(const wire::EventElapsed& command, const RecordView& record) {
  const auto start = events_.find(command.start());
  const auto end = events_.find(command.end());
  if (start == events_.end() || end == events_.end()) return {Code::kBadFrame, "EventElapsed", "no such event"};
  const Result<float> elapsed = backend_.EventElapsedMs(start->second->backend_id, end->second->backend_id);
  if (!elapsed.ok()) {
    Reply(record.sequence, kDeviceInvalidHandle, Code::kOk, elapsed.status().text(), {});
    return Status::Ok();
  }
  thread_local flatbuffers::FlatBufferBuilder builder(64);
  builder.Clear();
  builder.Finish(wire::CreateElapsedTime(builder, *elapsed));
  Reply(record.sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
  return Status::Ok();
}

}  // namespace accelmesh
