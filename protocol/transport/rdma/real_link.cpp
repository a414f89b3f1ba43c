#include "protocol/transport/rdma/real_link.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "protocol/transport/rdma/layout.h"

namespace accelmesh::rdma {
namespace {

// Some devices take less and say so by refusing.
constexpr std::uint32_t kInlineTries[] = {220, 128, 96};
// 7 means for ever on some devices (Soft-RoCE); six tries of 4.096 us * 2^14 are half a second.
constexpr std::uint8_t kRetries = 6;
constexpr std::uint8_t kRnrRetries = 6;
constexpr std::uint8_t kAckTimeoutExponent = 14;
// What a peer waits before it tries again to wake an end that has no receive posted: 2.56 ms. The connection manager
// would have it be the longest there is, 655 ms.
constexpr std::uint8_t kRnrTimerExponent = 16;
constexpr std::uint8_t kReadsAtATime = 4;
constexpr int kBacklog = 8;

struct Address {
  sockaddr_storage storage{};
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Result<Address> AddressOf(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0 || found == nullptr) {
    return Status(Code::kUnavailable, "rdma", host + " is no host that can be found: " + ::gai_strerror(error));
  }
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  ::freeaddrinfo(found);
  return address;
}

void StopWaiting(int fd) { (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

struct CmEvent {
  ::rdma_cm_event_type type;
  int status = 0;
  ::rdma_cm_id* id = nullptr;
  Bytes greeting;
};

// The next event of a channel that does not wait, acknowledged; nothing if there is none.
std::optional<CmEvent> TakeEvent(const Library& library, ::rdma_event_channel* channel) {
  ::rdma_cm_event* event = nullptr;
  if (library.rdma_get_cm_event(channel, &event) != 0) return std::nullopt;
  CmEvent taken{event->event, event->status, event->id, {}};
  const auto* data = static_cast<const std::uint8_t*>(event->param.conn.private_data);
  const bool has_greeting = event->event == RDMA_CM_EVENT_CONNECT_REQUEST || event->event == RDMA_CM_EVENT_ESTABLISHED;
  if (has_greeting && data != nullptr) taken.greeting.assign(data, data + event->param.conn.private_data_len);
  library.rdma_ack_cm_event(event);
  return taken;
}

Result<CmEvent> AwaitEvent(const Library& library, ::rdma_event_channel* channel, int stop_fd, Deadline deadline) {
  for (;;) {
    if (std::optional<CmEvent> event = TakeEvent(library, channel); event.has_value()) return *std::move(event);
    pollfd fds[2] = {{channel->fd, POLLIN, 0}, {stop_fd, POLLIN, 0}};
    const int ready = ::poll(fds, 2, deadline.left_ms());
    if (ready == 0) return Status(Code::kDeadlineExceeded, "rdma", "the other end did not answer in time");
    if (ready > 0 && fds[1].revents != 0) return Status(Code::kClosed, "rdma", "the wait was ended");
  }
}

// Waits for `wanted`; anything else is what went wrong.
Result<CmEvent> Await(const Library& library, ::rdma_event_channel* channel, ::rdma_cm_event_type wanted,
                      const std::string& whom, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(CmEvent event, AwaitEvent(library, channel, -1, deadline));
  if (event.type == wanted) return event;
  switch (event.type) {
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
      return Status(Code::kUnavailable, "rdma",
                    whom +
                        " cannot be reached by an RDMA device of this machine; `rdma link` lists them. Use tcp:// "
                        "instead");
    case RDMA_CM_EVENT_REJECTED:
      return Status(Code::kUnavailable, "rdma", whom + " turned the connection away; its log says why");
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_CONNECT_ERROR:
      return Status(Code::kUnavailable, "rdma", whom + " does not answer over RDMA; is the port of both sides up?");
    default: break;
  }
  return Status(Code::kUnavailable, "rdma",
                "setting up the connection to " + whom + " failed (event " + std::to_string(event.type) + ", " +
                    std::to_string(event.status) + ")");
}

Status LockedMemoryStatus(std::size_t bytes) {
  rlimit limit{};
  const bool is_known = ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return {Code::kOutOfMemory, "rdma",
          "the device cannot register " + std::to_string(bytes / limits::kKiB) + " KiB" +
              (is_known ? "; this process may lock " + std::to_string(limit.rlim_cur / limits::kKiB) +
                              " KiB (ulimit -l), and a session needs 64 MiB: raise the limit (LimitMEMLOCK= of a "
                              "service, memlock in limits.conf)"
                        : "; the machine has too little free memory, or the device too few translations")};
}

Outcome OutcomeOf(::ibv_wc_status status) {
  switch (status) {
    case IBV_WC_SUCCESS: return Outcome::kOk;
    case IBV_WC_WR_FLUSH_ERR: return Outcome::kFlushed;
    case IBV_WC_REM_ACCESS_ERR: return Outcome::kRemoteAccess;
    case IBV_WC_RETRY_EXC_ERR: return Outcome::kRetryExceeded;
    case IBV_WC_RNR_RETRY_EXC_ERR: return Outcome::kRnrExceeded;
    default: return Outcome::kOther;
  }
}

class RealMemory final : public Memory {
 public:
  RealMemory(const Library& library, ::ibv_mr* region) : library_(library), region_(region) {}
  ~RealMemory() override { library_.ibv_dereg_mr(region_); }
  std::uint32_t local_key() const override { return region_->lkey; }
  std::uint32_t remote_key() const override { return region_->rkey; }

 private:
  const Library& library_;
  ::ibv_mr* const region_;
};

}  // namespace

Result<std::unique_ptr<RealLink>> RealLink::Resolve(const std::string& host, std::uint16_t port, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const Library* const library, OpenLibrary());
  ACCELMESH_ASSIGN_OR_RETURN(Address address, AddressOf(host, port));
  std::unique_ptr<RealLink> link(new RealLink(*library));
  link->channel_ = library->rdma_create_event_channel();
  if (link->channel_ == nullptr) {
    return Status(Code::kUnsupported, "rdma",
                  "this kernel has no RDMA connection manager (/dev/infiniband/rdma_cm): load rdma_ucm, or use tcp://");
  }
  StopWaiting(link->channel_->fd);
  if (library->rdma_create_id(link->channel_, &link->id_, nullptr, RDMA_PS_TCP) != 0)
    return Status::System(errno, "rdma", "rdma_create_id");
  const std::string whom = host + ":" + std::to_string(port);
  const int ms = std::max(1, deadline.left_ms());
  if (library->rdma_resolve_addr(link->id_, nullptr, address.get(), ms) != 0) {
    return Status(Code::kUnavailable, "rdma",
                  whom + " cannot be reached by an RDMA device of this machine (" + std::string(::strerror(errno)) +
                      "); `rdma link` lists them. Use tcp:// instead");
  }
  ACCELMESH_RETURN_IF_ERROR(Await(*library, link->channel_, RDMA_CM_EVENT_ADDR_RESOLVED, whom, deadline).status());
  if (library->rdma_resolve_route(link->id_, ms) != 0) return Status::System(errno, "rdma", "rdma_resolve_route");
  ACCELMESH_RETURN_IF_ERROR(Await(*library, link->channel_, RDMA_CM_EVENT_ROUTE_RESOLVED, whom, deadline).status());
  ACCELMESH_RETURN_IF_ERROR(link->CreateQueues());
  return link;
}

Status RealLink::CreateQueues() {
  constexpr const char* kWhere = "rdma";
  if (id_->verbs == nullptr) return {Code::kUnavailable, kWhere, "no RDMA device of this machine has that address"};
  domain_ = library_.ibv_alloc_pd(id_->verbs);
  if (domain_ == nullptr) return Status::System(errno, kWhere, "ibv_alloc_pd");
  completion_channel_ = library_.ibv_create_comp_channel(id_->verbs);
  if (completion_channel_ == nullptr) return Status::System(errno, kWhere, "ibv_create_comp_channel");
  StopWaiting(completion_channel_->fd);
  completions_ =
      library_.ibv_create_cq(id_->verbs, static_cast<int>(kWorkMax + kReceives), nullptr, completion_channel_, 0);
  if (completions_ == nullptr) return Status::System(errno, kWhere, "ibv_create_cq");
  int failed = 0;
  for (const std::uint32_t inline_bytes : kInlineTries) {
    ::ibv_qp_init_attr attributes{};
    attributes.send_cq = completions_;
    attributes.recv_cq = completions_;
    attributes.qp_type = IBV_QPT_RC;
    attributes.cap.max_send_wr = kWorkMax;
    attributes.cap.max_recv_wr = kReceives;
    attributes.cap.max_send_sge = 1;
    attributes.cap.max_recv_sge = 1;
    attributes.cap.max_inline_data = inline_bytes;
    if (library_.rdma_create_qp(id_, domain_, &attributes) == 0) {
      limits_ = {kWorkMax, kReceives, std::min(attributes.cap.max_inline_data, inline_bytes)};
      // Old kernels do not know it; then a peer's end is found by the heartbeat alone.
      std::uint8_t exponent = kAckTimeoutExponent;
      (void)library_.rdma_set_option(id_, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &exponent, sizeof(exponent));
      return {};
    }
    failed = errno;
  }
  if (failed == ENOMEM) return LockedMemoryStatus(0);
  return Status::System(failed, kWhere, "creating a queue pair");
}

RealLink::~RealLink() {
  Disconnect();
  if (id_ != nullptr && id_->qp != nullptr) library_.rdma_destroy_qp(id_);
  if (completions_ != nullptr) {
    if (events_taken_ != 0) library_.ibv_ack_cq_events(completions_, events_taken_);
    library_.ibv_destroy_cq(completions_);
  }
  if (completion_channel_ != nullptr) library_.ibv_destroy_comp_channel(completion_channel_);
  if (domain_ != nullptr) library_.ibv_dealloc_pd(domain_);
  if (id_ != nullptr) library_.rdma_destroy_id(id_);
  if (channel_ != nullptr) library_.rdma_destroy_event_channel(channel_);
}

namespace {

::rdma_conn_param Parameters(ByteView greeting) {
  ::rdma_conn_param parameters{};
  parameters.private_data = greeting.data();
  parameters.private_data_len = static_cast<std::uint8_t>(greeting.size());
  parameters.responder_resources = kReadsAtATime;
  parameters.initiator_depth = kReadsAtATime;
  parameters.retry_count = kRetries;
  parameters.rnr_retry_count = kRnrRetries;
  return parameters;
}

}  // namespace

Result<Bytes> RealLink::Connect(ByteView greeting, Deadline deadline) {
  ::rdma_conn_param parameters = Parameters(greeting);
  if (library_.rdma_connect(id_, &parameters) != 0) return Status::System(errno, "rdma", "rdma_connect");
  ACCELMESH_ASSIGN_OR_RETURN(CmEvent event,
                             Await(library_, channel_, RDMA_CM_EVENT_ESTABLISHED, "the worker", deadline));
  ACCELMESH_RETURN_IF_ERROR(SetRnrTimer());
  return std::move(event.greeting);
}

Status RealLink::Accept(ByteView greeting, Deadline deadline) {
  ::rdma_conn_param parameters = Parameters(greeting);
  if (library_.rdma_accept(id_, &parameters) != 0) return Status::System(errno, "rdma", "rdma_accept");
  ACCELMESH_RETURN_IF_ERROR(Await(library_, channel_, RDMA_CM_EVENT_ESTABLISHED, "the client", deadline).status());
  return SetRnrTimer();
}

Status RealLink::SetRnrTimer() {
  ::ibv_qp_attr attributes{};
  attributes.min_rnr_timer = kRnrTimerExponent;
  const int error = library_.ibv_modify_qp(id_->qp, &attributes, IBV_QP_MIN_RNR_TIMER);
  return error == 0 ? Status() : Status::System(error, "rdma", "setting the queue pair's timer");
}

namespace {

int RightsOf(Access access) {
  int rights = IBV_ACCESS_LOCAL_WRITE;
  if (access == Access::kRemoteRead) rights |= IBV_ACCESS_REMOTE_READ;
  if (access == Access::kRemoteWrite) rights |= IBV_ACCESS_REMOTE_WRITE;
  return rights;
}

}  // namespace

Result<std::unique_ptr<Memory>> RealLink::RegisterDmaBuf(int fd, std::uint64_t address, std::size_t bytes,
                                                         Access access) {
  constexpr const char* kWhere = "rdma";
  if (library_.ibv_reg_dmabuf_mr == nullptr) {
    return Status(Code::kUnsupported, kWhere, "libibverbs is too old for dma-buf; install rdma-core 34 or later");
  }
  ::ibv_mr* const region = library_.ibv_reg_dmabuf_mr(domain_, 0, bytes, address, fd, RightsOf(access));
  if (region == nullptr) {
    if (errno == ENOMEM || errno == EAGAIN) return LockedMemoryStatus(bytes);
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EPROTONOSUPPORT)
      return Status(Code::kUnsupported, kWhere, "the card's driver takes no dma-buf");
    return Status::System(errno, kWhere, "registering a dma-buf");
  }
  return std::unique_ptr<Memory>(new RealMemory(library_, region));
}

Result<std::unique_ptr<Memory>> RealLink::Register(MutableByteView memory, Access access) {
  ::ibv_mr* const region = library_.ibv_reg_mr(domain_, memory.data(), memory.size(), RightsOf(access));
  if (region == nullptr) {
    if (errno == ENOMEM || errno == EAGAIN) return LockedMemoryStatus(memory.size());
    return Status::System(errno, "rdma", "registering memory");
  }
  return std::unique_ptr<Memory>(new RealMemory(library_, region));
}

Status RealLink::Post(std::span<const Work> work) {
  constexpr std::size_t kMost = 4;
  ::ibv_send_wr requests[kMost] = {};
  ::ibv_sge pieces[kMost] = {};
  for (std::size_t i = 0; i < work.size(); ++i) {
    const Work& from = work[i];
    pieces[i] = {reinterpret_cast<std::uintptr_t>(from.local), from.bytes, from.local_key};
    ::ibv_send_wr& to = requests[i];
    to.wr_id = from.id;
    to.next = i + 1 < work.size() ? &requests[i + 1] : nullptr;
    to.sg_list = &pieces[i];
    to.num_sge = 1;
    switch (from.op) {
      case Work::Op::kWrite: to.opcode = IBV_WR_RDMA_WRITE; break;
      case Work::Op::kWriteWake: to.opcode = IBV_WR_RDMA_WRITE_WITH_IMM; break;
      case Work::Op::kRead: to.opcode = IBV_WR_RDMA_READ; break;
    }
    to.send_flags = (from.is_signaled ? static_cast<unsigned>(IBV_SEND_SIGNALED) : 0U) |
                    (from.is_inline ? static_cast<unsigned>(IBV_SEND_INLINE) : 0U);
    to.wr.rdma.remote_addr = from.remote;
    to.wr.rdma.rkey = from.remote_key;
  }
  ::ibv_send_wr* bad = nullptr;
  const int error = ::ibv_post_send(id_->qp, requests, &bad);
  return error == 0 ? Status() : Status::System(error, "rdma", "posting work");
}

Status RealLink::PostReceives(std::uint32_t count) {
  for (; count != 0; --count) {
    ::ibv_recv_wr request{};
    ::ibv_recv_wr* bad = nullptr;
    if (const int error = ::ibv_post_recv(id_->qp, &request, &bad); error != 0)
      return Status::System(error, "rdma", "posting a receive");
  }
  return {};
}

std::size_t RealLink::Poll(std::span<Completion> completions) {
  ::ibv_wc taken[16];
  const int most = static_cast<int>(std::min(completions.size(), std::size(taken)));
  const int count = ::ibv_poll_cq(completions_, most, taken);
  for (int i = 0; i < count; ++i) {
    const bool is_wake = taken[i].status == IBV_WC_SUCCESS && taken[i].opcode == IBV_WC_RECV_RDMA_WITH_IMM;
    completions[static_cast<std::size_t>(i)] = {taken[i].wr_id, OutcomeOf(taken[i].status), is_wake};
  }
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

Status RealLink::Arm() {
  const int error = ::ibv_req_notify_cq(completions_, 0);
  return error == 0 ? Status() : Status::System(error, "rdma", "asking for an event");
}

void RealLink::TakeEvents() {
  ::ibv_cq* queue = nullptr;
  void* context = nullptr;
  while (library_.ibv_get_cq_event(completion_channel_, &queue, &context) == 0) ++events_taken_;
  // Acknowledging takes a lock of the library's; now and then is enough.
  constexpr std::uint32_t kAcknowledgeEvery = 64;
  if (events_taken_ < kAcknowledgeEvery) return;
  library_.ibv_ack_cq_events(completions_, events_taken_);
  events_taken_ = 0;
}

int RealLink::completion_fd() const { return completion_channel_->fd; }
int RealLink::connection_fd() const { return channel_->fd; }

bool RealLink::HasEnded() {
  while (std::optional<CmEvent> event = TakeEvent(library_, channel_)) {
    switch (event->type) {
      case RDMA_CM_EVENT_DISCONNECTED:
      case RDMA_CM_EVENT_DEVICE_REMOVAL:
      case RDMA_CM_EVENT_CONNECT_ERROR:
      case RDMA_CM_EVENT_TIMEWAIT_EXIT: has_ended_ = true; break;
      default: break;
    }
  }
  return has_ended_;
}

void RealLink::Disconnect() {
  if (has_disconnected_ || id_ == nullptr || id_->qp == nullptr) return;
  has_disconnected_ = true;
  (void)library_.rdma_disconnect(id_);
}

// Listening -----------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<RealListener>> RealListener::Listen(const std::string& host, std::uint16_t port) {
  ACCELMESH_ASSIGN_OR_RETURN(const Library* const library, OpenLibrary());
  ACCELMESH_ASSIGN_OR_RETURN(Address address, AddressOf(host, port));
  std::unique_ptr<RealListener> listener(new RealListener(*library));
  listener->channel_ = library->rdma_create_event_channel();
  if (listener->channel_ == nullptr) {
    return Status(Code::kUnsupported, "rdma",
                  "this kernel has no RDMA connection manager (/dev/infiniband/rdma_cm): load rdma_ucm, or listen on "
                  "tcp://");
  }
  StopWaiting(listener->channel_->fd);
  if (library->rdma_create_id(listener->channel_, &listener->id_, nullptr, RDMA_PS_TCP) != 0)
    return Status::System(errno, "rdma", "rdma_create_id");
  const std::string where = host + ":" + std::to_string(port);
  if (library->rdma_bind_addr(listener->id_, address.get()) != 0) {
    if (errno == EADDRINUSE) return Status(Code::kUnavailable, "rdma", where + " is taken by another program");
    return Status(Code::kUnsupported, "rdma",
                  "no RDMA device of this machine has the address " + host + " (" + std::string(::strerror(errno)) +
                      "); `rdma link` and `ip address` list them");
  }
  if (library->rdma_listen(listener->id_, kBacklog) != 0) {
    if (errno == EADDRINUSE) return Status(Code::kUnavailable, "rdma", where + " is taken by another program");
    return Status::System(errno, "rdma", "rdma_listen");
  }
  listener->port_ = ntohs(library->rdma_get_src_port(listener->id_));
  return listener;
}

RealListener::~RealListener() {
  if (id_ != nullptr) library_.rdma_destroy_id(id_);
  if (channel_ != nullptr) library_.rdma_destroy_event_channel(channel_);
}

Result<RealListener::Request> RealListener::Next(int stop_fd, Deadline deadline) {
  for (;;) {
    ACCELMESH_ASSIGN_OR_RETURN(CmEvent event, AwaitEvent(library_, channel_, stop_fd, deadline));
    if (event.type != RDMA_CM_EVENT_CONNECT_REQUEST) continue;
    std::unique_ptr<RealLink> link(new RealLink(library_));
    link->id_ = event.id;
    link->channel_ = library_.rdma_create_event_channel();
    if (link->channel_ == nullptr) return Status::System(errno, "rdma", "rdma_create_event_channel");
    StopWaiting(link->channel_->fd);
    if (library_.rdma_migrate_id(link->id_, link->channel_) != 0)
      return Status::System(errno, "rdma", "rdma_migrate_id");
    return Request{std::move(link), std::move(event.greeting)};
  }
}

void RealListener::Reject(Request request) { (void)request.link->library_.rdma_reject(request.link->id_, nullptr, 0); }

}  // namespace accelmesh::rdma
