// Verbs inside a process: two links that are joined, with memory that is really written, keys that are really checked,
// and every failure that a device reports, on demand. Work is done where it is posted, or held back until it is let go.
//
// Threads: everything from any; the two links have a mutex in common. What is written is visible to the reader as a
// device's writes are, word by word.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "protocol/base/mutex.h"
#include "protocol/transport/rdma/verbs.h"

namespace accelmesh::rdma {

class FakeFabric : public std::enable_shared_from_this<FakeFabric> {
 public:
  static std::shared_ptr<FakeFabric> Make() { return std::make_shared<FakeFabric>(); }
  FakeFabric();
  ~FakeFabric();

  // Side 0 or 1, once each.
  std::unique_ptr<Link> Take(int side);

  // Before Take().
  LinkLimits limits{256, 64, 220};
  std::size_t lockable_bytes = SIZE_MAX;  // per side
  bool takes_dma_buf = true;
  // Memory that the device cannot register, as it could not a driver's without a kernel module; null: none.
  std::function<bool(MutableByteView)> refuses;

  // Work that `side` posts from now on waits; so many pieces of it are done by Let().
  void Hold(int side);
  void Let(int side, std::size_t count = SIZE_MAX);
  std::size_t held(int side);
  // The peer of `side` does not answer any more, and its device never says so.
  void CutOff(int side);
  // The next piece of work of `side` ends like this, and with it the connection.
  void Fail(int side, Outcome outcome);
  // The receives that `side` has posted are gone.
  void LoseReceives(int side);
  // Words are written byte by byte, slowly.
  void TearWords(bool is_on);
  // Whether `side` has got an immediate so far.
  std::uint64_t wakes(int side);
  std::size_t registered(int side);

 private:
  friend class FakeLink;
  struct Area {
    MutableByteView memory;  // by the addresses that work names
    Access access;
    std::uint8_t* bytes;  // where they are: of a dma-buf a mapping of the device's own
    std::uint8_t* At(const std::uint8_t* address) const { return bytes + (address - memory.data()); }
  };
  struct Held {
    Work work;
    Bytes bytes;  // of inline work
  };
  struct Side {
    std::unordered_map<std::uint32_t, Area> areas;
    std::deque<Completion> completions;
    std::deque<Held> held;
    std::uint32_t receives = 0;
    std::uint64_t wakes = 0;
    std::size_t locked_bytes = 0;
    int completion_fd = -1;
    int connection_fd = -1;
    bool is_armed = false;
    bool is_holding = false;
    bool is_cut_off = false;
    bool has_failed = false;
    bool has_ended = false;  // the peer disconnected
    Outcome next = Outcome::kOk;
  };

  void Do(int side, const Work& work, const std::uint8_t* from) ACCELMESH_REQUIRES(mutex_);
  Outcome Try(int side, const Work& work, const std::uint8_t* from) ACCELMESH_REQUIRES(mutex_);
  void Complete(Side& side, const Completion& completion) ACCELMESH_REQUIRES(mutex_);

  Mutex mutex_;
  std::array<Side, 2> sides_ ACCELMESH_GUARDED_BY(mutex_);
  std::uint32_t next_key_ ACCELMESH_GUARDED_BY(mutex_) = 100;
  bool tears_words_ ACCELMESH_GUARDED_BY(mutex_) = false;
};

}  // namespace accelmesh::rdma
