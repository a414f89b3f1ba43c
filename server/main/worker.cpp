#include "server/main/worker.h"

#include <dlfcn.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "protocol/base/log.h"
#include "protocol/transport/rdma/rdma.h"
#include "server/main/ticket.h"
#include "server/session/lease.h"
#include "server/session/library_memory.h"
#include "server/session/plan_memory.h"
#include "server/session/session.h"
#include "server/shares/seat.h"

namespace accelmesh {
namespace {

constexpr std::chrono::seconds kAttachPatience{20};

}  // namespace

Result<std::unique_ptr<Backend>> LoadBackend(const ServerOptions& options, const BackendOptions& device) {
  const std::string path = options.libraries + "/libaccelmesh_backend_" + options.backend + ".so";
  // Threads of OpenBLAS that have nothing to do look for work for as long as 2^26 cycles, which are then no other
  // session's: 2^18 are enough between two calls of one program.
  (void)::setenv("OPENBLAS_THREAD_TIMEOUT", "18", 0);
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Status(Code::kNotFound, "gpu-server --backend",
                  "cannot open backend '" + options.backend + "': " + ::dlerror());
  }
  const auto create = reinterpret_cast<CreateBackendFunction>(::dlsym(library, kCreateBackendSymbol));
  std::unique_ptr<Backend> backend(create != nullptr ? create(kBackendAbi, device) : nullptr);
  if (backend == nullptr) return Status(Code::kVersionMismatch, "gpu-server --backend", path + " is of another build");
  return backend;
}

namespace {

// What the supervisor needs to look into a table.
constexpr std::chrono::seconds kSupervisorPatience{5};

// Asks over the control socket. A descriptor that comes with an answer is the caller's.
class Keeper final : public LeaseKeeper {
 public:
  explicit Keeper(int control) : control_(control) {}

  Result<int> FileOf(std::uint64_t session) override {
    LeaseRequest request;
    request.session_id = session;
    ACCELMESH_ASSIGN_OR_RETURN(const SharedPiece file, Ask(request, -1));
    return file.fd;
  }
  Status Offer(const LeaseName& name, std::uint32_t index, const SharedPiece& piece) override {
    LeaseRequest request = About(LeaseRequest::kOffer, name, index);
    request.piece_id = piece.id;
    request.piece_offset = piece.offset;
    request.piece_bytes = piece.bytes;
    return Ask(request, piece.fd).status();
  }
  void EndOffer(const LeaseName& name) override {
    const LeaseRequest request = About(LeaseRequest::kEndOffer, name, 0);
    if (const Status sent = SendMessage(control_, AsBytes(request), -1); !sent.ok())
      log::Warning("worker", "memory stays offered until the session ends: " + sent.ToString());
  }
  Result<SharedPiece> PieceOf(const LeaseName& name, std::uint32_t index) override {
    return Ask(About(LeaseRequest::kPieceOf, name, index), -1);
  }

 private:
  static LeaseRequest About(LeaseRequest::Kind kind, const LeaseName& name, std::uint32_t index) {
    LeaseRequest request;
    request.kind = kind;
    request.slot = name.slot;
    request.session_id = name.session;
    request.generation = name.generation;
    request.index = index;
    return request;
  }

  Result<SharedPiece> Ask(LeaseRequest request, int fd) {
    constexpr const char* kWhere = "Keeper::Ask";
    request.number = ++number_;
    ACCELMESH_RETURN_IF_ERROR(SendMessage(control_, AsBytes(request), fd));
    const Deadline deadline = Deadline::After(kSupervisorPatience);
    while (true) {
      pollfd answers{control_, POLLIN, 0};
      if (::poll(&answers, 1, deadline.left_ms()) != 1) return Status(Code::kUnavailable, kWhere, "no answer");
      LeaseAnswer answer;
      int got = -1;
      ACCELMESH_RETURN_IF_ERROR(
          ReceiveMessage(control_, {reinterpret_cast<std::uint8_t*>(&answer), sizeof(answer)}, &got));
      const bool is_ours = answer.number == request.number;
      const bool brings_one = request.kind == LeaseRequest::kFileOf || request.kind == LeaseRequest::kPieceOf;
      if (is_ours && answer.code == 0 && (got >= 0 || !brings_one))
        return SharedPiece{answer.piece_id, answer.piece_offset, answer.piece_bytes, got};
      if (got >= 0) ::close(got);
      if (!is_ours) continue;
      // The descriptor did not fit into this process's table.
      if (answer.code == 0) return Status(Code::kSystem, kWhere, "the descriptor did not come");
      return Status(static_cast<Code>(answer.code), kWhere,
                    static_cast<Code>(answer.code) == Code::kNotFound ? "nothing of this lease"
                                                                      : "the server keeps no more of it for others");
    }
  }

  int control_;
  std::uint64_t number_ = 0;
};

// The session's seat in its lease; null if it has none.
Result<std::unique_ptr<Lease>> TakeSeat(const Ticket& ticket, int control) {
  if (ticket.has_seat == 0) return std::unique_ptr<Lease>();
  TicketFile message;
  int fd = -1;
  ACCELMESH_RETURN_IF_ERROR(ReceiveMessage(control, {reinterpret_cast<std::uint8_t*>(&message), sizeof(message)}, &fd));
  if (fd < 0) return Status(Code::kBadFrame, "TakeSeat", "the file did not come");
  return Lease::Take(fd, ticket.member, ticket.session_id, std::make_unique<Keeper>(control));
}

// What a program gets from every call once its lease has ended: CUDA_ERROR_DEVICE_UNAVAILABLE.
constexpr std::uint32_t kDeviceUnavailable = 46;

// Hears from the supervisor that the session's lease has ended; tells the client why, and closes.
class LeaseWatch {
 public:
  LeaseWatch(int notice, ServerChannel& channel) : notice_(notice) {
    if (notice >= 0) thread_ = std::thread([this, &channel] { Watch(channel); });
  }
  ~LeaseWatch() {
    if (!thread_.joinable()) return;
    ::shutdown(notice_, SHUT_RDWR);
    thread_.join();
  }
  LeaseWatch(const LeaseWatch&) = delete;
  LeaseWatch& operator=(const LeaseWatch&) = delete;

 private:
  void Watch(ServerChannel& channel) {
    SessionEnd end;
    int fd = -1;
    if (!ReceiveMessage(notice_, {reinterpret_cast<std::uint8_t*>(&end), sizeof(end)}, &fd).ok()) return;
    end.why[sizeof(end.why) - 1] = '\0';
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(wire::CreateDown(builder, wire::DownKind::ErrorText, 0, kDeviceUnavailable, 0,
                                    builder.CreateString(static_cast<const char*>(end.why))));
    (void)channel.Send({builder.GetBufferPointer(), builder.GetSize()}, Deadline::After(std::chrono::seconds(1))).ok();
    channel.PublishError(kDeviceUnavailable, /*sticky=*/true, 0);
    channel.Close();
  }

  const int notice_;
  std::thread thread_;
};

// Over rdma there is no bulk lane apart, and no key of the worker's: the queue pair is bound by the secret.
Result<OpenedZmq> OpenRdma(const WorkerEndpoints& where, ByteView secret) {
  ACCELMESH_ASSIGN_OR_RETURN(OpenedRdma opened, OpenRdmaWorker(where, secret));
  OpenedZmq made;
  made.channel = std::move(opened.channel);
  made.endpoint = std::move(opened.endpoint);
  return made;
}

}  // namespace

int CheckBackend(const ServerOptions& options) {
  const Result<std::unique_ptr<Backend>> backend = LoadBackend(options, options.device);
  const Status status = backend.ok() ? (*backend)->Prepare() : backend.status();
  if (!status.ok())
    std::fprintf(stderr, "gpu-server: --backend %s: %s\n", options.backend.c_str(), status.text().c_str());
  return status.ok() ? 0 : 1;
}

int WorkerMain(const ServerOptions& options, int control, int notice) {
  // The supervisor's end is ours as well.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string who = "worker " + std::to_string(::getpid());
  std::unique_ptr<shares::Seat> seat;  // outlives the backend
  Result<std::unique_ptr<Backend>> backend = LoadBackend(options, options.device);
  if (!backend.ok()) {
    log::Error(who, backend.status().ToString());
    return 1;
  }
  // What fails here is told to the client as well, when it opens its session.
  if (const Status prepared = (*backend)->Prepare(); !prepared.ok()) log::Error(who, prepared.ToString());
  Ticket ticket;
  int connection = -1;
  // Warm until the supervisor has a session for us.
  const Status received =
      ReceiveMessage(control, {reinterpret_cast<std::uint8_t*>(&ticket), sizeof(ticket)}, &connection);
  if (!received.ok()) return received.code() == Code::kClosed ? 0 : 1;
  if (ticket.share_seat != shares::kNobody) {
    Result<std::unique_ptr<shares::Page>> page = shares::Page::Map(options.shares_fd);
    if (!page.ok()) {
      log::Error(who, page.status().ToString());
      return 1;
    }
    seat = std::make_unique<shares::Seat>(*std::move(page), ticket.share_seat);
    (void)(*backend)->UseGate(seat.get());
  }
  (*backend)->UsePlans(std::make_shared<PlanMemory>(LibraryMemory::PathOf("plans"), ticket.client_key));
  const Result<std::unique_ptr<Lease>> lease = TakeSeat(ticket, control);
  if (!lease.ok()) {
    log::Error(who, lease.status().ToString());
    return 1;
  }
  std::unique_ptr<ServerChannel> channel;
  TicketAnswer answer;
  const auto scheme = static_cast<Endpoint::Scheme>(ticket.scheme);
  Status opened;
  if (scheme == Endpoint::Scheme::kShm) {
    const Bytes welcome = MakeWelcome({ticket.session_id,
                                       ticket.secret,
                                       "",
                                       "",
                                       static_cast<std::uint32_t>(::getpid()),
                                       {},
                                       ticket.lease_not_after_ms});
    Result<std::unique_ptr<ServerChannel>> made = OpenShmWorker(connection, welcome, Deadline::After(kAttachPatience));
    if (made.ok())
      channel = *std::move(made);
    else
      opened = made.status();
  } else {
    WorkerEndpoints where;
    where.scheme = scheme;
    where.host = ticket.host;
    where.port_first = ticket.port_first;
    where.port_last = ticket.port_last;
    where.folder = ticket.folder;
    if (ticket.is_secured != 0) where.client_key.emplace().bytes = ticket.client_key;
    Result<OpenedZmq> made =
        scheme == Endpoint::Scheme::kRdma ? OpenRdma(where, ticket.secret) : OpenZmqWorker(where, ticket.secret);
    if (made.ok()) {
      channel = std::move(made->channel);
      answer.worker_key = made->worker_key.bytes;
      if (made->endpoint.size() >= sizeof(answer.text) || made->bulk_endpoint.size() >= sizeof(answer.bulk)) {
        opened = {Code::kLimitExceeded, "worker", "the endpoints do not fit into an answer: " + made->endpoint};
      }
      std::snprintf(answer.text, sizeof(answer.text), "%s", made->endpoint.c_str());
      std::snprintf(answer.bulk, sizeof(answer.bulk), "%s", made->bulk_endpoint.c_str());
    } else {
      opened = made.status();
    }
  }
  answer.ok = opened.ok() ? 1 : 0;
  if (!opened.ok()) {
    log::Error(who, opened.ToString());
    std::snprintf(answer.text, sizeof(answer.text), "%s", opened.text().c_str());
  }
  const Status answered = SendMessage(control, AsBytes(answer), -1);
  if (!opened.ok() || !answered.ok()) return 1;
  Status ended;
  {
    LibraryMemory memory(LibraryMemory::PathOf("answers"), ticket.client_key);
    Session session(*channel, **backend, false, lease->get(), &memory);
    // Without a limit there is nothing to count, and counting takes a lock of the whole server.
    if (seat != nullptr && seat->limit() != 0) session.UseQuota(seat.get());
    const LeaseWatch watch(notice, *channel);
    ended = session.Run();
  }
  channel->Close();
  if (ended.ok() || ended.code() == Code::kClosed) {
    log::Info(
        who, "session " + std::to_string(ticket.session_id) + " has ended: " + (ended.ok() ? "goodbye" : ended.text()));
    return 0;
  }
  log::Error(who, "session " + std::to_string(ticket.session_id) + " is ended: " + ended.ToString());
  return 1;
}

}  // namespace accelmesh
