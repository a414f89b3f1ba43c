// Where bodies from the server go: the client half of the bulk lane, shared by all transports.
//
// A destination is the caller's memory; it stays valid until its expectation has ended (Landed() said true, or Cancel()
// returned). Threads: every method from any thread. Copies run outside the lock, so that a large body does not hold up
// a thread that announces another.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"
#include "protocol/base/result.h"

namespace accelmesh {

class BulkExpectations {
 public:
  // kInvalidArgument if `token` is expected already.
  Status Expect(std::uint64_t token, MutableByteView destination);
  // True once all bytes have landed; forgets the token then.
  bool Landed(std::uint64_t token);
  // Forgets the token; waits for a copy in progress.
  void Cancel(std::uint64_t token);
  // Copies a piece to its destination. A token nobody expects (cancelled) is dropped: kOk. A piece outside of its
  // destination, or more bytes than it has: kBadFrame, nothing written.
  Status Land(std::uint64_t token, std::uint64_t offset, ByteView piece);

  // The same for a transport that receives in place. A piece begins: kBadFrame as for Land(); false if nobody expects
  // it, and it is to be dropped.
  Result<bool> Begin(std::uint64_t token, std::uint64_t offset, std::size_t size);
  // Where its bytes from `offset` on go, to be written before Leave(), without waiting; null if nobody expects them any
  // more.
  std::uint8_t* Enter(std::uint64_t token, std::uint64_t offset);
  void Leave(std::uint64_t token);
  // All bytes of the piece have landed.
  void End(std::uint64_t token, std::size_t size);

 private:
  struct Expectation {
    MutableByteView destination;
    std::size_t claimed = 0;  // bytes of pieces that were accepted
    std::size_t landed = 0;   // bytes of pieces whose copy has finished
    int copying = 0;
  };

  static Status Claim(Expectation& expectation, std::uint64_t offset, std::size_t piece);

  Mutex mutex_;
  CondVar idle_;
  std::unordered_map<std::uint64_t, Expectation> expected_ ACCELMESH_GUARDED_BY(mutex_);
};

}  // namespace accelmesh
