// The server's way between the network card and a device's memory (protocol/transport/direct.h): how it is chosen, and
// what of the device's memory is registered with the card. lane.h has the way itself.
//
//     dma-buf       the driver exports memory as a dma-buf, and the card's driver takes one
//     peer memory   the card's driver asks a kernel module (nvidia_peermem) for the pages behind the driver's
//                   addresses; nothing says whether there is one, so it is tried
//     bounce        neither: the card reaches this process's pinned memory, the device's copy engine the rest
//
// With the first two, bodies that go up land in a block of the device's memory, the landing, and the device copies them
// from there; large ones that come down are read by the card where they lie. Both have been built and tested on a fake
// and on Soft-RoCE with a contract libcuda, and have never run on hardware.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "protocol/base/mutex.h"
#include "protocol/transport/direct.h"
#include "protocol/transport/rdma/verbs.h"

namespace accelmesh::rdma {

// How each way went when it was tried; kOk if it is there.
struct DirectTried {
  Status dma_buf;
  Status peer_memory;
};
DirectMeans ChooseDirect(const DirectTried& tried);
// For the log, once a session.
std::string DirectText(DirectMeans means, const DirectTried& tried);

// What of the device's memory is registered, by allocation and epoch. A block that is backed anew is another one: its
// registration replaces the old one. At most kBlocksMax are kept, those used last. Threads: any.
class DeviceRegistrations {
 public:
  static constexpr std::size_t kBlocksMax = 64;
  using Register = std::function<Result<std::unique_ptr<Memory>>(const DirectBlock&)>;
  explicit DeviceRegistrations(Register registrar) : register_(std::move(registrar)) {}

  // Null if it could not be registered, which is tried once for a block and said once.
  std::shared_ptr<Memory> Find(const DirectBlock& block);
  void Forget(const DirectBlock& block);
  void Clear();
  std::size_t size() const;

 private:
  struct Entry {
    std::uint64_t epoch = 0;
    std::shared_ptr<Memory> memory;  // null: it could not be
    std::list<std::uint64_t>::iterator use;
  };
  using Entries = std::map<std::uint64_t, Entry>;
  std::shared_ptr<Memory> DropLocked(Entries::iterator entry) ACCELMESH_REQUIRES(mutex_);

  const Register register_;
  mutable Mutex mutex_;
  Entries entries_ ACCELMESH_GUARDED_BY(mutex_);                // by allocation
  std::list<std::uint64_t> uses_ ACCELMESH_GUARDED_BY(mutex_);  // the last one first
  bool has_complained_ ACCELMESH_GUARDED_BY(mutex_) = false;
};

}  // namespace accelmesh::rdma
