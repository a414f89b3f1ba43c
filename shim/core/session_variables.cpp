// Session: __managed__ variables. They lie where the client says, in managed memory of the host window, or where the
// server's driver has put them; then the program gets memory of its own at the driver's address.
#include "protocol/base/log.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

constexpr DeviceResult kMapFailed = 205;

}  // namespace

DeviceResult ClientSession::MallocVariables(std::uint32_t device, std::uint64_t bytes, std::uint64_t* address) {
  return MallocManaged(device, bytes, kVariables, address);
}

void ClientSession::FreeVariables(std::uint64_t address) {
  if (RemoveHostRange(address) != 0) log::Debug("session", "managed variables had ended before");
}

DeviceResult ClientSession::AdoptVariable(std::uint32_t device, const LoadedModule& module,
                                          ManagedPlacement* variable) {
  const auto found = module.globals.find(variable->name);
  if (found == module.globals.end() || !found->second.is_managed || found->second.bytes < variable->bytes) {
    log::Error("managed variables", variable->name + " is not where the server's driver has managed memory");
    return kUnsupported;
  }
  const std::uint64_t address = found->second.address;
  if (const Status added = foreign_.Add(address, variable->bytes, facts_.client_is_here); !added.ok()) {
    log::Error("managed variables", "the server's driver has placed " + variable->name +
                                        " where this program cannot have it (" + added.text() +
                                        "); start the program again: it will lie elsewhere");
    return added.code() == Code::kFull ? kMapFailed : kOutOfMemory;
  }
  HostRange range;
  range.kind = HostKind::kManaged;
  range.memory = reinterpret_cast<std::uint8_t*>(address);
  range.bytes = range.requested_bytes = variable->bytes;
  range.device_address = address;
  range.is_foreign = range.is_mapped = range.is_reached = true;
  range.device = device;
  range.flags = kVariables;
  if (!facts_.client_is_here && !range.MakeTwin()) {
    foreign_.Remove(address);
    return kOutOfMemory;
  }
  std::shared_ptr<ReachedTwin> twin = range.twin;
  {
    const MutexLock lock(pinned_mu_);
    AddHostRange(std::move(range));
  }
  variable->address = address;
  const DeviceResult added = AddReached(std::move(twin));
  if (added != 0) FreeVariables(address);
  return added;
}

std::shared_ptr<const LoadedModule> ClientSession::LoadModuleAround(std::uint32_t device, ByteView image,
                                                                    std::vector<ManagedPlacement>* variables) {
  std::shared_ptr<const LoadedModule> loaded = LoadModule(device, image);
  if (loaded->error != 0) return loaded;
  DeviceResult result = 0;
  std::size_t adopted = 0;
  while (adopted < variables->size() && result == 0) {
    result = AdoptVariable(device, *loaded, &(*variables)[adopted]);
    if (result == 0) ++adopted;
  }
  if (result == 0) {
    // The initial values: the driver has put them there.
    NoteTwinWork(legacy_[device]->slot, 0);
    result = Settle();
  }
  if (result == 0) return loaded;
  for (std::size_t i = 0; i < adopted; ++i) FreeVariables((*variables)[i].address);
  UnloadModule(*loaded);
  auto refused = std::make_shared<LoadedModule>();
  refused->error = result;
  return refused;
}

}  // namespace accelmesh
