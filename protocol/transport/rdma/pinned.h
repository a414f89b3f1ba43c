// Registrations of pinned memory, the program's or a backend's, so that its bodies leave without a copy. Kept by
// allocation, from the note of its pinning to that of its end: an address alone says nothing, for the next allocation
// may get it again. Registered when a body of it is sent for the first time; a registration outlives its allocation
// only while a body is under way.
//
// Threads: any.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"
#include "protocol/transport/rdma/verbs.h"

namespace accelmesh::rdma {

class PinnedMemory {
 public:
  using Register = std::function<Result<std::unique_ptr<Memory>>(MutableByteView)>;
  explicit PinnedMemory(Register registrar) : register_(std::move(registrar)) {}

  void Note(MutableByteView memory);
  void Forget(const std::uint8_t* first);
  void Clear();
  // The registration of the allocation that all of `body` lies in; null if there is none, or it could not be
  // registered: then the body is copied.
  std::shared_ptr<Memory> Find(ByteView body);

 private:
  struct Allocation {
    MutableByteView memory;
    std::shared_ptr<Memory> registration;
    bool has_failed = false;
  };

  const Register register_;
  Mutex mutex_;
  std::map<const std::uint8_t*, Allocation> allocations_ ACCELMESH_GUARDED_BY(mutex_);
};

}  // namespace accelmesh::rdma
