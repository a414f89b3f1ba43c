// Session: memory and events that the sessions of a lease share. Another session's memory is opened in a part of the
// window of its own, so that no allocation of ours can be taken for it.
#include <algorithm>
#include <thread>

#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

constexpr std::chrono::seconds kPatience{30};
// Between two looks at an event that another session records.
constexpr std::chrono::microseconds kLookFirst{20};
constexpr std::chrono::microseconds kLookLast{1000};

bool IsSame(const wire::LeaseName& a, const wire::LeaseName& b) {
  return a.session() == b.session() && a.generation() == b.generation() && a.slot() == b.slot();
}

template <typename T>
const T* ReadBody(const Reply& reply) {
  flatbuffers::Verifier verifier(reply.body.data(), reply.body.size());
  return verifier.VerifyBuffer<T>(nullptr) ? flatbuffers::GetRoot<T>(reply.body.data()) : nullptr;
}

}  // namespace

template <typename T>
DeviceResult ClientSession::Ask(const T& command, Reply* reply) {
  Result<Reply> got = commands_->Call(command, Deadline::After(kPatience));
  if (!got.ok()) return Lost(got.status());
  *reply = *std::move(got);
  return reply->device_status;
}

template <typename T>
DeviceResult ClientSession::AskName(const T& command, wire::LeaseName* name) {
  Reply reply;
  if (const DeviceResult asked = Ask(command, &reply); asked != 0) return asked;
  const auto* info = ReadBody<wire::LeaseNameInfo>(reply);
  if (info == nullptr || info->name() == nullptr)
    return Lost(Status(Code::kBadFrame, "ClientSession::AskName", "the reply does not verify"));
  *name = *info->name();
  return 0;
}

// Memory that others open --------------------------------------------------------------------------------------------

DeviceResult ClientSession::ExportMemory(std::uint64_t address, LeasedMemory* memory) {
  if (!facts_.shares_memory) return kUnsupported;
  ReapHeld();
  if (FindGraphMemory(address) != nullptr) return kInvalidValue;
  {
    const MutexLock lock(memory_mu_);
    AddressSpace::Range range;
    for (std::uint32_t device = 0; device < memory_.size() && range.bytes == 0; ++device) {
      range = memory_[device].Find(address);
      memory->device = device;
    }
    if (range.bytes == 0 || range.address != address || pools_.Find(address) != nullptr || IsHeld(address))
      return kInvalidValue;
    memory->bytes = range.bytes;
    leased_.exported.insert(address);
    any_export_.store(true, std::memory_order_release);
  }
  Reply reply;
  if (const DeviceResult asked = Ask(wire::IpcExport(address, memory->device, 0), &reply); asked != 0) return asked;
  const auto* info = ReadBody<wire::ExportInfo>(reply);
  if (info == nullptr || info->name() == nullptr)
    return Lost(Status(Code::kBadFrame, "ClientSession::ExportMemory", "the reply does not verify"));
  memory->name = *info->name();
  memory->lead = info->lead();
  memory->span = info->span();
  return 0;
}

bool ClientSession::IsHeld(std::uint64_t address) const { return leased_.held.contains(address); }

DeviceResult ClientSession::EndExport(std::uint64_t address, bool* is_held) {
  *is_held = false;
  ReapHeld();
  std::uint32_t of = 0;
  {
    const MutexLock lock(memory_mu_);
    if (IsHeld(address)) return kInvalidValue;  // freed already
    if (leased_.exported.erase(address) == 0) return 0;
    while (of + 1 < memory_.size() && !memory_[of].Contains(address)) ++of;
    leased_.held[address] = {of, false};
  }
  Reply reply;
  const DeviceResult asked = Ask(wire::IpcEndExport(address, of, 0), &reply);
  const auto* state = asked == 0 ? ReadBody<wire::ExportState>(reply) : nullptr;
  *is_held = state != nullptr && state->is_held();
  const MutexLock lock(memory_mu_);
  if (*is_held) {
    leased_.held[address].is_open = true;
  } else {
    leased_.held.erase(address);
  }
  return asked;
}

bool ClientSession::ReapHeld() {
  if (!any_export_.load(std::memory_order_acquire)) return false;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> open;
  {
    const MutexLock lock(memory_mu_);
    for (const auto& [address, held] : leased_.held) {
      if (held.is_open) open.emplace_back(address, held.device);
    }
  }
  bool any = false;
  for (const auto& [address, device] : open) {
    Reply reply;
    if (Ask(wire::IpcEndExport(address, device, 0), &reply) != 0) return any;
    const auto* state = ReadBody<wire::ExportState>(reply);
    if (state == nullptr || state->is_held()) continue;
    const bool idle = !AnythingPending();
    const MutexLock lock(memory_mu_);
    if (leased_.held.erase(address) == 0) continue;  // another thread was first
    const auto posted = commands_->Post(wire::MemFree(address, device, 0));
    if (!posted.ok()) return any;
    any = memory_[device].Free(address, *posted, idle).ok() || any;
  }
  return any;
}

DeviceResult ClientSession::EndExports(std::uint32_t device) {
  std::vector<std::uint64_t> addresses;
  {
    const MutexLock lock(memory_mu_);
    for (const std::uint64_t address : leased_.exported) {
      if (memory_[device].Contains(address)) addresses.push_back(address);
    }
  }
  for (const std::uint64_t address : addresses) {
    bool is_held = false;
    if (const DeviceResult ended = EndExport(address, &is_held); ended != 0) return ended;
  }
  return 0;
}

// Memory of others ---------------------------------------------------------------------------------------------------

DeviceResult ClientSession::OpenMemory(const LeasedMemory& memory, std::uint64_t* address) {
  if (!facts_.shares_memory) return kUnsupported;
  // What a program hands us as a handle may be anything.
  if (memory.device >= devices_.size() || memory.bytes == 0 || memory.span > limits::kAllocationBytesMax ||
      memory.lead > memory.span || memory.bytes > memory.span - memory.lead)
    return kInvalidValue;
  const MutexLock ipc_lock(ipc_mu_);
  std::uint64_t span = 0;
  {
    const MutexLock lock(memory_mu_);
    for (auto& [start, import] : leased_.opened) {
      if (!IsSame(import.memory.name, memory.name)) continue;
      ++import.uses;
      *address = start;
      return 0;
    }
    // Whole units, so that the next one begins with one.
    const Result<std::uint64_t> got =
        leased_.space[memory.device].Allocate(AlignUp(memory.span, leased_.unit[memory.device]));
    if (!got.ok()) return kOutOfMemory;
    span = *got;
  }
  *address = span + memory.lead;
  Reply reply;
  const DeviceResult opened = Ask(wire::IpcOpen(memory.name, *address, memory.bytes, memory.device, 0), &reply);
  const MutexLock lock(memory_mu_);
  if (opened == 0) {
    leased_.opened[*address] = {memory, 1};
  } else {
    static_cast<void>(leased_.space[memory.device].Free(span, 0, true).ok());
  }
  return opened;
}

DeviceResult ClientSession::CloseMemory(std::uint64_t address) {
  const MutexLock ipc_lock(ipc_mu_);
  LeasedMemory memory;
  {
    const MutexLock lock(memory_mu_);
    const auto found = leased_.opened.find(address);
    if (found == leased_.opened.end()) return kInvalidValue;
    if (--found->second.uses != 0) return 0;
    memory = found->second.memory;
    leased_.opened.erase(found);
  }
  // Whatever was posted may still use it.
  for (std::uint32_t device = 0; device < devices_.size(); ++device) {
    if (const DeviceResult waited = SynchronizeDevice(device); waited != 0) return waited;
  }
  Reply reply;
  const DeviceResult closed = Ask(wire::IpcClose(address, memory.device, 0), &reply);
  const MutexLock lock(memory_mu_);
  static_cast<void>(leased_.space[memory.device].Free(address - memory.lead, 0, true).ok());
  return closed;
}

DeviceResult ClientSession::CloseImports(std::uint32_t device) {
  std::vector<std::uint64_t> addresses;
  {
    const MutexLock lock(memory_mu_);
    for (auto& [address, import] : leased_.opened) {
      if (import.memory.device != device) continue;
      import.uses = 1;
      addresses.push_back(address);
    }
  }
  for (const std::uint64_t address : addresses) {
    if (const DeviceResult closed = CloseMemory(address); closed != 0) return closed;
  }
  return 0;
}

// Events -------------------------------------------------------------------------------------------------------------

DeviceResult ClientSession::CreateLeasedEvent(std::uint32_t device, Event** event) {
  if (!facts_.shares_memory) return kUnsupported;
  if (const DeviceResult added = AddEvent(device, false, false, event); added != 0) return added;
  const DeviceResult made = AskName(wire::IpcEventCreate((*event)->id, device), &(*event)->name);
  (*event)->is_leased = made == 0;
  if (made != 0) ForgetEvent(*event);
  return made;
}

DeviceResult ClientSession::OpenLeasedEvent(std::uint32_t device, const wire::LeaseName& name, Event** event) {
  if (!facts_.shares_memory) return kUnsupported;
  if (const DeviceResult added = AddEvent(device, false, false, event); added != 0) return added;
  Reply reply;
  const DeviceResult opened = Ask(wire::IpcEventOpen(name, (*event)->id, device), &reply);
  (*event)->name = name;
  (*event)->is_leased = (*event)->is_opened = opened == 0;
  if (opened != 0) ForgetEvent(*event);
  return opened;
}

void ClientSession::ForgetEvent(Event* event) {
  const MutexLock lock(stream_mu_);
  const std::uint32_t id = event->id;
  if (events_.erase(event) == 0) return;  // a reset has taken it, and ends it
  event_ids_.GiveBack(id);
  handle_generation_.Renew();
}

DeviceResult ClientSession::CommitRecord() {
  const auto reply = commands_->Call(wire::Ping(0), Deadline::After(kPatience));
  return reply.ok() ? 0 : Lost(reply.status());
}

DeviceResult ClientSession::AskLeasedEvent(const Event& event, bool* is_done) {
  Reply reply;
  if (const DeviceResult asked = Ask(wire::IpcEventQuery(event.id, 0), &reply); asked != 0) return asked;
  const auto* state = ReadBody<wire::EventState>(reply);
  if (state == nullptr)
    return Lost(Status(Code::kBadFrame, "ClientSession::AskLeasedEvent", "the reply does not verify"));
  *is_done = state->is_done();
  if (*is_done) {
    TsanAcquireFromPeer();
    host_calls_.Join();
  }
  return 0;
}

DeviceResult ClientSession::WaitForLeased(const Event& event) {
  for (auto pause = kLookFirst;; pause = std::min(2 * pause, kLookLast)) {
    bool is_done = false;
    if (const DeviceResult asked = AskLeasedEvent(event, &is_done); asked != 0) return asked;
    if (is_done) return 0;
    if (const DeviceResult sticky = StickyError(); sticky != 0) return sticky;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace accelmesh
