#include "protocol/transport/rdma/lane.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "protocol/base/log.h"

namespace accelmesh::rdma {
namespace {

// How long the client may take to have room for the record that tells of the landing.
constexpr Duration kTellPatience = std::chrono::seconds(2);

MutableByteView ViewOf(std::uint64_t address, std::uint64_t bytes) {
  return {reinterpret_cast<std::uint8_t*>(static_cast<std::uintptr_t>(address)), bytes};
}

}  // namespace

ServerLane::ServerLane(std::shared_ptr<End> end) : end_(std::move(end)) {}

Result<std::unique_ptr<Memory>> ServerLane::Register(const DirectBlock& block, Access access) {
  if (means_.load(std::memory_order_acquire) == DirectMeans::kPeerMemory)
    return end_->link().Register(ViewOf(block.address, block.bytes), access);
  ACCELMESH_ASSIGN_OR_RETURN(const int fd, memory_->ExportDmaBuf(block));
  Result<std::unique_ptr<Memory>> registered = end_->link().RegisterDmaBuf(fd, block.address, block.bytes, access);
  // The registration holds what it needs of it.
  ::close(fd);
  return registered;
}

DirectMeans ServerLane::Join(DirectMemory& memory) {
  memory_ = &memory;
  const char* const wanted = std::getenv("ACCELMESH_GPUDIRECT");
  Result<DirectBlock> landing = Status(Code::kUnsupported, "rdma", "ACCELMESH_GPUDIRECT=off");
  if (wanted == nullptr || std::string_view(wanted) != "off") landing = memory.Landing(kLandingBytes);
  DirectTried tried{landing.status(), landing.status()};
  if (landing.ok()) {
    for (const DirectMeans means : {DirectMeans::kDmaBuf, DirectMeans::kPeerMemory}) {
      means_.store(means, std::memory_order_release);
      Result<std::unique_ptr<Memory>> registered = Register(*landing, Access::kRemoteWrite);
      (means == DirectMeans::kDmaBuf ? tried.dma_buf : tried.peer_memory) = registered.status();
      if (!registered.ok()) continue;
      landing_ = *std::move(registered);
      break;
    }
  }
  const DirectMeans means = ChooseDirect(tried);
  means_.store(means, std::memory_order_release);
  log::Info("rdma", DirectText(means, tried));
  if (landing_ == nullptr) return means;
  landing_address_ = landing->address;
  const LandingPlace place{landing->address, landing_->remote_key(), 0};
  const Status told = end_->Send(kDownRing, Kind::kLanding, AsBytes(place), Deadline::After(kTellPatience));
  // A client that was not told uses the arena.
  if (!told.ok()) log::Warning("rdma", "bodies do not land in the device's memory: " + told.text());
  return means;
}

void ServerLane::Leave() {
  means_.store(DirectMeans::kNone, std::memory_order_release);
  blocks_.Clear();
  pinned_.Clear();
  landing_.reset();
  memory_ = nullptr;
}

void ServerLane::Abandon() {
  // Where nobody takes it for lost.
  static Mutex mutex;
  static auto* const kept = new std::vector<std::shared_ptr<ServerLane>>;
  const MutexLock lock(mutex);
  kept->push_back(shared_from_this());
}

Status ServerLane::SendDevice(std::uint64_t token, std::uint64_t offset, const DirectBlock& block,
                              std::uint64_t address, std::uint64_t bytes, Deadline deadline) {
  constexpr const char* kWhere = "SendDevice";
  const DirectMeans means = means_.load(std::memory_order_acquire);
  if (means != DirectMeans::kDmaBuf && means != DirectMeans::kPeerMemory)
    return {Code::kUnsupported, kWhere, "the card does not reach the device's memory"};
  if (address < block.address || address - block.address > block.bytes ||
      bytes > block.bytes - (address - block.address))
    return {Code::kInvalidArgument, kWhere, "outside of the block"};
  const std::shared_ptr<Memory> registered = blocks_.Find(block);
  if (registered == nullptr) return {Code::kUnsupported, kWhere, "the card could not register the device's memory"};
  Status sent;
  std::uint64_t posted = 0;
  for (std::uint64_t at = 0; at < bytes && sent.ok(); at += limits::kBulkBytesMax) {
    const MutableByteView piece = ViewOf(address + at, std::min<std::uint64_t>(bytes - at, limits::kBulkBytesMax));
    const Result<std::uint64_t> last = end_->PostBody(kDownRing, token, offset + at, piece, deadline, registered.get());
    if (last.ok()) posted = *last;
    sent = last.status();
  }
  // The card reads the device's memory until it is done; then that may change.
  const Status done = posted != 0 ? end_->Await(posted) : Status();
  return sent.ok() ? done : sent;
}

}  // namespace accelmesh::rdma
