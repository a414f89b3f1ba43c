// What the transport needs of RDMA, and no more: one reliable connection, memory that is registered with it, work that
// is posted to it and completions that come back. The real one (real_link.h) is libibverbs and librdmacm; the tests
// bring one that works inside a process and fails on demand, so that the transport's states can be tested on every
// machine.
//
// Threads: a Link's functions are called by one thread at a time (End's mutex); its descriptors may be polled by any.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh::rdma {

// How a piece of work ended.
enum class Outcome : std::uint8_t {
  kOk,
  kFlushed,        // the connection had failed before its turn came
  kRemoteAccess,   // the key or the range is none of the peer's
  kRetryExceeded,  // the peer did not acknowledge it: gone, or cut off
  kRnrExceeded,    // the peer had no receive posted for it
  kOther
};
std::string_view OutcomeText(Outcome outcome);

struct Work {
  enum class Op : std::uint8_t {
    kWrite,
    kWriteWake,  // with an immediate: takes a receive of the peer's, completes there
    kRead
  };
  Op op = Op::kWrite;
  bool is_signaled = false;
  bool is_inline = false;  // the bytes are taken when it is posted
  const std::uint8_t* local = nullptr;
  std::uint32_t bytes = 0;
  std::uint32_t local_key = 0;
  std::uint64_t remote = 0;
  std::uint32_t remote_key = 0;
  std::uint64_t id = 0;  // comes back with the completion
};

struct Completion {
  std::uint64_t id = 0;
  Outcome outcome = Outcome::kOk;
  bool is_wake = false;  // the peer wrote with an immediate; `id` says nothing
};

// Memory that is registered until this is destroyed; from then on its keys are worth nothing to the peer.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual std::uint32_t local_key() const = 0;
  virtual std::uint32_t remote_key() const = 0;
};

// What the peer may do with it.
enum class Access : std::uint8_t { kNone, kRemoteRead, kRemoteWrite };

struct LinkLimits {
  std::uint32_t work_max = 0;      // pieces of work under way at a time
  std::uint32_t receives_max = 0;  // receives posted at a time
  std::uint32_t inline_bytes_max = 0;
};

class Link {
 public:
  virtual ~Link() = default;

  virtual const LinkLimits& limits() const = 0;
  // kOutOfMemory with the remedy if the process may not lock so much.
  virtual Result<std::unique_ptr<Memory>> Register(MutableByteView memory, Access access) = 0;  // any thread

  // The same of a device's memory that its driver exports: `bytes` of it, from the dma-buf's start on, which work and
  // the peer name by addresses from `address` on. kUnsupported if the library or the device takes none. Any thread.
  virtual Result<std::unique_ptr<Memory>> RegisterDmaBuf(int fd, std::uint64_t address, std::size_t bytes,
                                                         Access access) = 0;

  // Hands `work` over in order, with one doorbell. There is room for it: the caller counts.
  virtual Status Post(std::span<const Work> work) = 0;
  virtual Status PostReceives(std::uint32_t count) = 0;
  // Takes completions; how many. Never waits.
  virtual std::size_t Poll(std::span<Completion> completions) = 0;

  // The next completion makes completion_fd() readable, until TakeEvents().
  virtual Status Arm() = 0;
  virtual void TakeEvents() = 0;
  virtual int completion_fd() const = 0;
  // Readable when HasEnded() has something to learn.
  virtual int connection_fd() const = 0;
  // Whether the peer has disconnected, or its process has ended.
  virtual bool HasEnded() = 0;
  // Ends the connection; what is under way is flushed.
  virtual void Disconnect() = 0;
};

}  // namespace accelmesh::rdma
