// Session: what sessions of a lease share, memory and events.
#include <algorithm>

#include "protocol/base/log.h"
#include "server/session/session_inl.h"

namespace accelmesh {
namespace {

constexpr std::uint32_t kIpcEventSupport = 125;  // the CUdevice_attribute
constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
// The part of a device's window for what it opens of others.
constexpr std::uint64_t kImportPart = 4;
constexpr std::size_t kPendingExportsMax = 64;

DeviceStatus StatusOf(const Status& status) {
  return status.code() == Code::kNotFound          ? kDeviceInvalidHandle
         : status.code() == Code::kInvalidArgument ? kDeviceInvalidValue
                                                   : kDeviceOutOfMemory;
}

LeaseName NameOf(const wire::LeaseName& name) { return {name.session(), name.generation(), name.slot()}; }

Bytes NameReply(const LeaseName& name) {
  flatbuffers::FlatBufferBuilder builder(64);
  const wire::LeaseName wired(name.session, name.generation, name.slot, 0);
  builder.Finish(wire::CreateLeaseNameInfo(builder, &wired));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

}  // namespace

void Session::PartImports() {
  const auto part = [](const DeviceDescription& device) {
    return device.window_bytes / kImportPart / device.import_unit_bytes * device.import_unit_bytes;
  };
  shares_memory_ =
      lease_ != nullptr && backend_.shares_memory() &&
      std::all_of(devices_.begin(), devices_.end(), [&part](const auto& device) { return part(device) != 0; });
  for (DeviceDescription& device : devices_) {
    for (auto& [id, value] : device.attributes) {
      if (id == kIpcEventSupport) value = shares_memory_ ? 1 : 0;
    }
    if (!shares_memory_) continue;
    device.import_bytes = part(device);
    device.window_bytes -= device.import_bytes;
    device.memory_bytes = std::min(device.memory_bytes, device.window_bytes);
    imports_.emplace_back(device.window_base + device.window_bytes, device.import_bytes, kUnlimited);
    import_spans_.push_back(imports_.back());
  }
}

// Memory -------------------------------------------------------------------------------------------------------------

bool Session::TryExport(const wire::IpcExport& command, std::uint64_t sequence) {
  const auto refuse = [this, sequence](DeviceStatus status, std::string_view text) {
    Reply(sequence, status, Code::kOk, text, {});
    return true;
  };
  const std::uint64_t bytes = memory_[command.device()].BytesAt(command.address());
  if (bytes == 0) return refuse(kDeviceInvalidValue, "not the start of an allocation");
  std::optional<Lease::Export> known = lease_->FindExport(command.address());
  if (!known.has_value()) {
    Result<SharedMemory> got = backend_.ExportMemory(command.device(), command.address(), bytes);
    if (got.code() == Code::kFull) return false;
    if (!got.ok()) return refuse(kDeviceOutOfMemory, got.status().text());
    const OwnedMemory memory = Own(*std::move(got));
    const Result<Lease::Export> made = lease_->ExportMemory(command.device(), command.address(), bytes, *memory);
    if (!made.ok()) return refuse(StatusOf(made.status()), made.status().text());
    known = *made;
  }
  flatbuffers::FlatBufferBuilder builder(128);
  const wire::LeaseName name(known->name.session, known->name.generation, known->name.slot, 0);
  builder.Finish(wire::CreateExportInfo(builder, &name, known->lead, known->span));
  Reply(sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
  return true;
}

Status Session::On(const wire::IpcExport& command, const RecordView& record) {
  if (command.device() >= memory_.size()) return {Code::kBadFrame, "IpcExport.device", "out of range"};
  if (!shares_memory_) {
    Reply(record.sequence, kDeviceNotSupported, Code::kOk, "the session shares no memory", {});
  } else if (pending_exports_.size() >= kPendingExportsMax) {
    Reply(record.sequence, kDeviceOutOfMemory, Code::kOk, "too many exports wait for their memory", {});
  } else if (!TryExport(command, record.sequence)) {
    pending_exports_.push_back({command, record.sequence});
  }
  return Status::Ok();
}

Status Session::On(const wire::IpcEndExport& command, const RecordView& record) {
  const bool is_held = shares_memory_ && lease_->EndExport(command.address());
  flatbuffers::FlatBufferBuilder builder(64);
  builder.Finish(wire::CreateExportState(builder, is_held));
  Reply(record.sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
  return Status::Ok();
}

Status Session::On(const wire::IpcOpen& command, const RecordView& record) {
  if (command.device() >= memory_.size()) return {Code::kBadFrame, "IpcOpen.device", "out of range"};
  const auto answer = [this, &record](DeviceStatus status, std::string_view text) {
    Reply(record.sequence, status, Code::kOk, text, {});
    return Status::Ok();
  };
  if (!shares_memory_) return answer(kDeviceNotSupported, "the session shares no memory");
  const LeaseName name = NameOf(command.name());
  if (name.session == lease_->session()) return answer(kDeviceInvalidContext, "the session's own memory");
  // A second hold could not be told from the first.
  if (std::any_of(open_imports_.begin(), open_imports_.end(), [&name](const auto& entry) {
        return entry.second.name.session == name.session && entry.second.name.slot == name.slot;
      })) {
    return answer(kDeviceInvalidHandle, "it is open already");
  }
  const std::uint32_t device = command.device();
  Status added = imports_[device].Add(command.address(), command.bytes());
  if (!added.ok()) return answer(kDeviceInvalidValue, added.text());
  Result<Lease::OpenedMemory> opened = lease_->OpenMemory(name, device, command.bytes());
  Status shared = opened.status();
  if (opened.ok()) {
    const SharedMemory& memory = *opened->memory;
    const std::uint64_t start = command.address() - memory.lead;
    shared = import_spans_[device].Add(start, memory.span());
    if (shared.ok()) {
      shared = backend_.ShareMemory(device, memory, command.address(), command.bytes());
      if (!shared.ok()) (void)import_spans_[device].Remove(start).ok();
    }
    if (!shared.ok()) lease_->CloseMemory(*opened->file, name);
  }
  if (!shared.ok()) {
    (void)imports_[device].Remove(command.address()).ok();
    return answer(StatusOf(shared), shared.text());
  }
  open_imports_[command.address()] = {std::move(opened->file), name, opened->memory->lead, command.bytes()};
  return answer(kDeviceOk, "");
}

Status Session::On(const wire::IpcClose& command, const RecordView& record) {
  const auto found = open_imports_.find(command.address());
  if (command.device() >= imports_.size() || found == open_imports_.end() ||
      !imports_[command.device()].Remove(command.address()).ok()) {
    Reply(record.sequence, kDeviceInvalidValue, Code::kOk, "nothing is open there", {});
    return Status::Ok();
  }
  const Import import = std::move(found->second);
  open_imports_.erase(found);
  ACCELMESH_RETURN_IF_ERROR(backend_.UnshareMemory(command.address(), import.bytes));
  ACCELMESH_RETURN_IF_ERROR(import_spans_[command.device()].Remove(command.address() - import.lead));
  lease_->CloseMemory(*import.file, import.name);
  Reply(record.sequence, kDeviceOk, Code::kOk, "", {});
  return Status::Ok();
}

// Events -------------------------------------------------------------------------------------------------------------

Status Session::CheckNewEvent(std::uint32_t event, std::uint32_t device) const {
  if (event >= limits::kEventsMax || device >= devices_.size())
    return {Code::kBadFrame, "Session::CheckNewEvent", "event or device out of range"};
  if (events_.contains(event)) return {Code::kBadFrame, "Session::CheckNewEvent", "the id is taken"};
  return Status::Ok();
}

Status Session::On(const wire::IpcEventCreate& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckNewEvent(command.event(), command.device()));
  if (!shares_memory_) {
    Reply(record.sequence, kDeviceNotSupported, Code::kOk, "the session shares no events", {});
    return Status::Ok();
  }
  LeaseName name;
  Result<std::shared_ptr<LeasedEvent>> leased = lease_->MakeEvent(&name);
  if (!leased.ok()) {
    Reply(record.sequence, StatusOf(leased.status()), Code::kOk, leased.status().text(), {});
    return Status::Ok();
  }
  ACCELMESH_ASSIGN_OR_RETURN(std::shared_ptr<EventState> event, MakeEvent(false));
  event->leased = *std::move(leased);
  events_.emplace(command.event(), std::move(event));
  Reply(record.sequence, kDeviceOk, Code::kOk, "", NameReply(name));
  return Status::Ok();
}

Status Session::On(const wire::IpcEventOpen& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckNewEvent(command.event(), command.device()));
  const LeaseName name = NameOf(command.name());
  DeviceStatus status = kDeviceOk;
  Result<std::shared_ptr<LeasedEvent>> leased(std::shared_ptr<LeasedEvent>{});
  if (!shares_memory_) {
    status = kDeviceNotSupported;
  } else if (name.session == lease_->session()) {
    status = kDeviceInvalidContext;
  } else {
    leased = lease_->OpenEvent(name);
    if (!leased.ok()) status = StatusOf(leased.status());
  }
  if (status == kDeviceOk) {
    ACCELMESH_ASSIGN_OR_RETURN(std::shared_ptr<EventState> event, MakeEvent(false));
    event->leased = *std::move(leased);
    events_.emplace(command.event(), std::move(event));
  }
  Reply(record.sequence, status, Code::kOk, leased.status().text(), {});
  return Status::Ok();
}

Status Session::On(const wire::IpcEventQuery& command, const RecordView& record) {
  const auto found = events_.find(command.event());
  if (found == events_.end() || found->second->leased == nullptr)
    return {Code::kBadFrame, "IpcEventQuery.event", "no such event"};
  const LeasedEvent& event = *found->second->leased;
  flatbuffers::FlatBufferBuilder builder(64);
  builder.Finish(wire::CreateEventState(builder, event.Passed(event.recorded())));
  Reply(record.sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
  return Status::Ok();
}

Status Session::RecordLeased(std::uint32_t stream, std::uint64_t sequence, std::shared_ptr<EventState> event) {
  // It counts from here on, also where it has to be parked.
  const std::uint64_t ticket = event->leased->Record();
  return RunOrPark(stream, sequence, 0, nullptr, [this, stream, sequence, event, ticket] {
    {
      const std::lock_guard lock(leased_mu_);
      leased_records_.push_back({stream, sequence, event->leased, ticket});
      any_leased_record_.store(true, std::memory_order_release);
    }
    return backend_.EventRecord(stream, sequence, event->backend_id);
  });
}

void Session::CompleteLeased(std::uint32_t stream, std::uint64_t sequence) {
  const std::lock_guard lock(leased_mu_);
  std::erase_if(leased_records_, [stream, sequence](const LeasedRecord& record) {
    if (record.stream != stream || record.sequence > sequence) return false;
    record.event->Complete(record.ticket);
    return true;
  });
  any_leased_record_.store(!leased_records_.empty(), std::memory_order_release);
}

Status Session::WaitLeased(std::uint32_t stream, std::uint64_t sequence, std::shared_ptr<LeasedEvent> event) {
  // The last record so far, whatever comes until the stream is there.
  const std::uint64_t ticket = event->recorded();
  if (event->Passed(ticket)) return RunNothing(stream, sequence, 0);
  return RunOrPark(stream, sequence, 0, nullptr, [this, stream, sequence, event, ticket] {
    // A stop of the stream, as for a function of the program's; the executor's own look ends it.
    const std::uint64_t call = next_leased_call_++;
    leased_waits_.push_back({event, ticket, call});
    return backend_.HostWait(stream, sequence, call);
  });
}

Status Session::DoLeaseWork() {
  std::erase_if(pending_exports_,
                [this](const PendingExport& pending) { return TryExport(pending.command, pending.sequence); });
  std::vector<std::uint64_t> ended;
  std::erase_if(leased_waits_, [&ended](const LeasedWait& wait) {
    if (!wait.event->Passed(wait.ticket)) return false;
    ended.push_back(wait.call);
    return true;
  });
  for (const std::uint64_t call : ended) ACCELMESH_RETURN_IF_ERROR(backend_.HostDone(call));
  return Status::Ok();
}

}  // namespace accelmesh
