// Verbs on a device: a reliable connection that librdmacm sets up.
//
// A RealLink is made resolved (RealLink::Resolve) or by a listener, has its memory registered, and is then connected or
// accepted with this end's greeting. Threads: setting up, one; afterwards those of Link.
#pragma once

#include <memory>
#include <string>

#include "protocol/base/clock.h"
#include "protocol/transport/rdma/library.h"
#include "protocol/transport/rdma/verbs.h"

namespace accelmesh::rdma {

class RealLink final : public Link {
 public:
  // Finds the device by which `host` is reached. kUnavailable if there is none.
  static Result<std::unique_ptr<RealLink>> Resolve(const std::string& host, std::uint16_t port, Deadline deadline);
  ~RealLink() override;
  RealLink(const RealLink&) = delete;

  // Completion queue and queue pair, on the device that the request came by; Resolve() has made them already.
  Status CreateQueues();
  // Connects; the peer's greeting.
  Result<Bytes> Connect(ByteView greeting, Deadline deadline);
  // The passive side's.
  Status Accept(ByteView greeting, Deadline deadline);

  const LinkLimits& limits() const override { return limits_; }
  Result<std::unique_ptr<Memory>> Register(MutableByteView memory, Access access) override;
  Result<std::unique_ptr<Memory>> RegisterDmaBuf(int fd, std::uint64_t address, std::size_t bytes,
                                                 Access access) override;
  Status Post(std::span<const Work> work) override;
  Status PostReceives(std::uint32_t count) override;
  std::size_t Poll(std::span<Completion> completions) override;
  Status Arm() override;
  void TakeEvents() override;
  int completion_fd() const override;
  int connection_fd() const override;
  bool HasEnded() override;
  void Disconnect() override;

 private:
  friend class RealListener;
  explicit RealLink(const Library& library) : library_(library) {}
  Status SetRnrTimer();

  const Library& library_;
  ::rdma_event_channel* channel_ = nullptr;
  ::rdma_cm_id* id_ = nullptr;
  ::ibv_pd* domain_ = nullptr;
  ::ibv_comp_channel* completion_channel_ = nullptr;
  ::ibv_cq* completions_ = nullptr;
  LinkLimits limits_;
  std::uint32_t events_taken_ = 0;
  bool has_ended_ = false;
  bool has_disconnected_ = false;
};

// Hears requests on one port.
class RealListener {
 public:
  // `port` 0: any. kUnavailable if it is taken, kUnsupported if no device has the address.
  static Result<std::unique_ptr<RealListener>> Listen(const std::string& host, std::uint16_t port);
  ~RealListener();
  RealListener(const RealListener&) = delete;

  std::uint16_t port() const { return port_; }
  // A request: its link, with queues, and the greeting that came with it. Reject() or Accept() it.
  struct Request {
    std::unique_ptr<RealLink> link;
    Bytes greeting;
  };
  // kClosed once `stop_fd` is readable.
  Result<Request> Next(int stop_fd, Deadline deadline);
  static void Reject(Request request);

 private:
  explicit RealListener(const Library& library) : library_(library) {}

  const Library& library_;
  ::rdma_event_channel* channel_ = nullptr;
  ::rdma_cm_id* id_ = nullptr;
  std::uint16_t port_ = 0;
};

}  // namespace accelmesh::rdma
