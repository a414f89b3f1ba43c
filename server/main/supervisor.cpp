#include "server/main/supervisor.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>

#include "protocol/base/command.h"
#include "protocol/base/host.h"
#include "protocol/base/log.h"
#include "protocol/schema/session_generated.h"
#include "protocol/transport/rdma/rdma.h"
#include "server/main/session_limits.h"
#include "server/main/ticket.h"
#include "server/main/ticket_lease.h"
#include "server/main/worker_process.h"

namespace accelmesh {
namespace {

// Edge-triggered descriptors of ZeroMQ can be missed; the loop looks at every listener at least this often.
constexpr int kPollMs = 50;
constexpr int kArrivalsPerRound = 16;
// What a worker gets to end by itself when its client has: it may still have something to say.
constexpr std::chrono::seconds kOrphanPatience{1};
// How long who gives a lease back waits for its sessions' end at most: less than what a worker gets to end by itself.
constexpr std::chrono::milliseconds kEndAnswer{1000};

// Sessions have several descriptors each, and leases some more.
void RaiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

// Those that the loop reads. Before any thread starts, so that none of them takes one.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Of the device, that sessions share.
std::uint32_t ThreadsOf(const ServerOptions& options) {
  if (options.backend != "cpu") return 1;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (options.device.cpu_threads != 0) return options.device.cpu_threads;
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? static_cast<std::uint32_t>(CPU_COUNT(&set)) : 1;
}

// A descriptor that becomes readable when the client ends; -1 if its pid means nothing here.
int WatchClient(const wire::Hello& hello) {
  const bool same_host = hello.boot_id() != nullptr && hello.boot_id()->str() == BootId() &&
                         hello.pid_namespace() != 0 && hello.pid_namespace() == PidNamespace();
  if (!same_host || hello.pid() == 0) return -1;
  return static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(hello.pid()), 0));
}

}  // namespace

Supervisor::Supervisor(ServerOptions options)
    : options_(std::move(options)), posted_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Supervisor::~Supervisor() {
  ::close(posted_fd_);
  for (const Worker& worker : workers_) {
    if (worker.control >= 0) ::close(worker.control);
    if (worker.notice >= 0) ::close(worker.notice);
    if (worker.client >= 0) ::close(worker.client);
  }
  // Closed control sockets end the warm ones; those that serve get two seconds.
  const Deadline deadline = Deadline::After(kEndPatience);
  for (const Worker& worker : workers_) {
    if (worker.serving) ::kill(worker.pid, SIGTERM);
  }
  for (const Worker& worker : workers_) {
    while (::waitpid(worker.pid, nullptr, WNOHANG) == 0) {
      if (deadline.passed()) ::kill(worker.pid, SIGKILL);
      ::poll(nullptr, 0, 10);
    }
  }
}

Status Supervisor::Listen() {
  RaiseFileLimit();
  (void)BlockSignals();
  ACCELMESH_ASSIGN_OR_RETURN(board_, shares::Board::Create(ThreadsOf(options_)));
  ListenSecurity security;
  if (options_.security != nullptr) {
    security.secret = options_.security->pair.secret;
    security.may_connect = [shared = options_.security](const security::CurveKey& key) {
      if (!shared->banned.Has(key)) return Status();
      return Status(Code::kPermissionDenied, "gpu-server", "banned; slotctl ban says by whom, and lifts it");
    };
  }
  for (const std::string& url : options_.listen) {
    ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
    const ListenSecurity* const secured = options_.security ? &security : nullptr;
    Result<std::unique_ptr<Listener>> listener = endpoint.scheme == Endpoint::Scheme::kShm ? ListenShm(endpoint)
                                                 : endpoint.scheme == Endpoint::Scheme::kRdma
                                                     ? ListenRdma(endpoint, secured, options_.trusts_fabric)
                                                     : ListenZmq(endpoint, secured);
    if (!listener.ok()) return listener.status();
    if (options_.security == nullptr &&
        (endpoint.scheme == Endpoint::Scheme::kTcp || endpoint.scheme == Endpoint::Scheme::kRdma)) {
      log::Warning("supervisor", endpoint.ToString() +
                                     " serves every local process, of any user, without encryption; shm:// and ipc:// "
                                     "serve this user only, --market serves leases");
    }
    listeners_.push_back(*std::move(listener));
  }
  return Status::Ok();
}

Status Supervisor::StartWorker() {
  ACCELMESH_ASSIGN_OR_RETURN(const WorkerProcess process, StartWorkerProcess(options_, board_->fd()));
  Worker worker;
  worker.pid = process.pid;
  worker.control = process.control;
  worker.notice = process.notice;
  workers_.push_back(worker);
  return Status::Ok();
}

void Supervisor::Refuse(Listener& listener, const Arrival& arrival, std::uint8_t refusal, const std::string& text) {
  ++refused_total_;
  if (const auto line = refusals_.Take("a client was refused: " + text, Clock::now()))
    log::Warning("supervisor", *line);
  const Bytes frame = MakeRefusal(refusal, text);
  if (arrival.connection_fd >= 0) {
    RefuseShm(arrival.connection_fd, frame);
  } else if (const Status answered = listener.Answer(arrival.peer, frame); !answered.ok()) {
    log::Warning("supervisor", answered.ToString());
  }
}

void Supervisor::Accept(Listener& listener) {
  // A flood of hellos must not keep it from its workers and its signals; the listener stays readable.
  for (int count = 0; count < kArrivalsPerRound; ++count) {
    Result<Arrival> arrival = listener.Accept();
    if (!arrival.ok()) {
      if (arrival.code() != Code::kFull) log::Warning("supervisor", arrival.status().ToString());
      if (arrival.code() != Code::kBadFrame) return;
      continue;
    }
    Assign(listener, *std::move(arrival));
  }
}

void Supervisor::Assign(Listener& listener, Arrival arrival) {
  const Admission admission = Admit(arrival, listener.endpoint(), options_.security.get(), UnixMs());
  if (admission.kind == Admission::Kind::kRefuse) return Refuse(listener, arrival, admission.refusal, admission.text);
  if (admission.kind == Admission::Kind::kEnd) {
    // A flood of them is answered with what is known now, and one lease's holds nobody else's up.
    const std::string key = admission.lease->Key();
    const auto same = std::count_if(ending_.begin(), ending_.end(), [&](const auto& one) { return one.key == key; });
    const bool may_wait = ending_.size() < kEndingMax && same < kEndingSameMax;
    ending_.push_back({&listener, arrival.peer, key, may_wait ? Deadline::After(kEndAnswer) : Deadline::Poll()});
    return EndLeases();
  }
  if (admission.kind == Admission::Kind::kAnswer) {
    const std::int64_t until = admission.lease.has_value() ? admission.lease->not_after_ms : 0;
    if (const Status answered = listener.Answer(arrival.peer, MakeNoticeAnswer(until)); !answered.ok())
      log::Warning("supervisor", answered.ToString());
    ResizeLeases();
    return EndLeases();
  }
  std::uint32_t serving = 0, of_lease = 0;
  for (const Worker& worker : workers_) {
    if (!worker.serving) continue;
    ++serving;
    if (admission.lease && worker.lease && worker.lease->Key() == admission.lease->Key()) ++of_lease;
  }
  const std::uint32_t share_milli = admission.lease ? admission.lease->share_milli : 0;
  if (const Status may = CheckSessions(serving, of_lease, share_milli); !may.ok())
    return Refuse(listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Busy), may.text());
  // One that has ended and was not waited for yet has no socket.
  auto warm =
      std::find_if(workers_.begin(), workers_.end(), [](const Worker& w) { return !w.serving && w.control >= 0; });
  if (warm == workers_.end()) {
    if (const Status started = StartWorker(); !started.ok()) {
      return Refuse(listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Internal), started.text());
    }
    warm = std::prev(workers_.end());
  }
  const Status handed = Hand(*warm, listener, arrival, admission);
  if (!handed.ok()) return Refuse(listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Internal), handed.text());
  if (arrival.connection_fd >= 0) ::close(arrival.connection_fd);
}

Status Supervisor::Hand(Worker& worker, Listener& listener, const Arrival& arrival, const Admission& admission) {
  const auto& hello = *flatbuffers::GetRoot<wire::Hello>(arrival.hello.data());
  Ticket ticket;
  const Endpoint& endpoint = listener.endpoint();
  ticket.scheme = static_cast<std::uint32_t>(endpoint.scheme);
  ticket.port_first = options_.port_first;
  ticket.port_last = options_.port_last;
  ticket.session_id = next_session_++;
  if (::getrandom(ticket.secret.data(), ticket.secret.size(), 0) != static_cast<ssize_t>(ticket.secret.size()))
    return {Code::kSystem, "Supervisor", "no random bytes"};
  std::snprintf(ticket.host, sizeof(ticket.host), "%s", endpoint.host.c_str());
  std::snprintf(ticket.folder, sizeof(ticket.folder), "%s", endpoint.path.substr(0, endpoint.path.rfind('/')).c_str());
  TellLease(arrival, admission, &ticket);
  std::string group;
  if (hello.group() != nullptr && hello.group()->size() <= limits::kGroupSecretBytesMax) group = hello.group()->str();
  // Whoever learns another lease's secret gets nothing by it.
  if (admission.lease.has_value() && !group.empty()) group = admission.lease->lease + "/" + group;
  worker.serving = true;
  worker.session_id = ticket.session_id;
  worker.listener = endpoint.scheme == Endpoint::Scheme::kShm ? nullptr : &listener;
  worker.peer = arrival.peer;
  worker.secret = ticket.secret;
  worker.lease = admission.lease;
  worker.client = WatchClient(hello);
  worker.seat = ticket.share_seat = SeatOf(admission, group, ticket.session_id);
  int file = -1;
  if (!group.empty()) {
    if (const Result<Groups::Seat> seat = groups_.Join(group, ticket.session_id); seat.ok()) {
      ticket.member = seat->member;
      ticket.has_seat = 1;
      file = seat->file;
    } else {
      log::Warning("supervisor", "a session shares no memory with others: " + seat.status().ToString());
    }
  }
  Status sent = SendMessage(worker.control, AsBytes(ticket), arrival.connection_fd);
  if (sent.ok() && file >= 0) sent = SendMessage(worker.control, AsBytes(TicketFile{ticket.session_id}), file);
  if (!sent.ok()) return {Code::kUnavailable, "Supervisor", "a worker could not be reached; try again"};
  log::Info("supervisor", "session " + std::to_string(ticket.session_id) + " of " +
                              (hello.program() != nullptr ? hello.program()->str() : "?") + " goes to worker " +
                              std::to_string(worker.pid) +
                              (admission.lease.has_value() ? " under lease " + admission.lease->lease : ""));
  return {};
}

void Supervisor::HearWorker(Worker& worker) {
  if (worker.answered) {
    if (AnswerLeaseRequest(worker)) return;
    ::close(worker.control);
    worker.control = -1;
    return;
  }
  TicketAnswer answer;
  int fd = -1;
  const Status heard = ReceiveMessage(worker.control, {reinterpret_cast<std::uint8_t*>(&answer), sizeof(answer)}, &fd);
  if (fd >= 0) ::close(fd);
  if (!heard.ok()) {
    ::close(worker.control);
    worker.control = -1;
    if (worker.listener != nullptr && !worker.answered) {
      Arrival arrival;
      arrival.peer = worker.peer;
      Refuse(*worker.listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Internal),
             "the worker ended before it was ready; see the server's log");
      worker.answered = true;
    }
    return;
  }
  worker.answered = true;
  if (worker.listener == nullptr) return;
  answer.text[sizeof(answer.text) - 1] = '\0';
  answer.bulk[sizeof(answer.bulk) - 1] = '\0';
  WelcomeFacts facts{
      worker.session_id, worker.secret, answer.text, answer.bulk, static_cast<std::uint32_t>(worker.pid), {}, 0};
  if (worker.lease.has_value()) {
    facts.worker_key = answer.worker_key;
    facts.lease_not_after_ms = worker.lease->not_after_ms;
  }
  const Bytes welcome = answer.ok != 0 ? MakeWelcome(facts)
                                       : MakeRefusal(static_cast<std::uint8_t>(wire::Refusal::Internal), answer.text);
  const Status answered = worker.listener->Answer(worker.peer, welcome);
  if (!answered.ok()) log::Warning("supervisor", answered.ToString());
}

void Supervisor::NoteEndOfClient(Worker& worker) {
  ::close(worker.client);
  worker.client = -1;
  worker.orphaned_until = Deadline::After(kOrphanPatience);
}

void Supervisor::EndOrphans() {
  for (Worker& worker : workers_) {
    if (!worker.orphaned_until.has_value() || worker.is_ended || !worker.orphaned_until->passed()) continue;
    log::Info("supervisor", "the " + std::string(worker.notice >= 0 ? "client" : "lease") + " of session " +
                                std::to_string(worker.session_id) + " has ended; so does it");
    worker.is_ended = true;
    ::kill(worker.pid, SIGTERM);
  }
}

std::vector<std::string> Supervisor::endpoints() const {
  std::vector<std::string> urls;
  for (const auto& listener : listeners_) urls.push_back(listener->endpoint().ToString());
  return urls;
}

void Supervisor::Post(std::function<void()> work) {
  {
    const MutexLock lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  const std::uint64_t one = 1;
  // Full means that it is set already.
  if (::write(posted_fd_, &one, sizeof(one)) < 0) return;
}

void Supervisor::RunPosted() {
  std::uint64_t count = 0;
  if (::read(posted_fd_, &count, sizeof(count)) < 0) return;
  std::vector<std::function<void()>> posted;
  {
    const MutexLock lock(posted_mutex_);
    posted.swap(posted_);
  }
  for (const std::function<void()>& work : posted) work();
}

void Supervisor::ReapChildren() {
  int status = 0;
  for (int pid = ::waitpid(-1, &status, WNOHANG); pid > 0; pid = ::waitpid(-1, &status, WNOHANG)) {
    const auto worker = std::find_if(workers_.begin(), workers_.end(), [pid](const Worker& w) { return w.pid == pid; });
    if (worker == workers_.end()) continue;
    if (worker->client >= 0) ::close(worker->client);
    if (worker->notice >= 0) ::close(worker->notice);
    if (WIFSIGNALED(status) && !worker->is_ended) {
      ++died_total_;
      log::Error("supervisor", "worker " + std::to_string(pid) + " of session " + std::to_string(worker->session_id) +
                                   " died of signal " + std::to_string(WTERMSIG(status)) +
                                   "; other sessions are not affected");
    }
    if (worker->control >= 0) HearWorker(*worker);
    if (worker->control >= 0) ::close(worker->control);
    if (worker->serving) groups_.Leave(worker->session_id);
    board_->Rise(worker->seat, !worker->lease.has_value());
    workers_.erase(worker);
  }
}

Status Supervisor::Run() {
  const sigset_t signals = BlockSignals();
  const int signal_fd = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd < 0) return Status::System(errno, "Supervisor", "signalfd");
  for (std::uint32_t i = 0; i < options_.warm_workers; ++i) ACCELMESH_RETURN_IF_ERROR(StartWorker());
  for (const auto& listener : listeners_) std::printf("ready %s\n", listener->endpoint().ToString().c_str());
  std::fflush(stdout);
  int failed_starts = 0;
  while (true) {
    std::vector<pollfd> fds{{signal_fd, POLLIN, 0}, {posted_fd_, POLLIN, 0}};
    for (const auto& listener : listeners_) fds.push_back({listener->poll_fd(), POLLIN, 0});
    for (const Worker& worker : workers_) {
      if (worker.control >= 0) fds.push_back({worker.control, POLLIN, 0});
      if (worker.client >= 0) fds.push_back({worker.client, POLLIN, 0});
    }
    ::poll(fds.data(), fds.size(), kPollMs);
    signalfd_siginfo info{};
    while (::read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
        ::close(signal_fd);
        return Status::Ok();
      }
    }
    const auto is_ready = [&fds](int fd) {
      return fd >= 0 && std::any_of(fds.begin(), fds.end(), [fd](const pollfd& p) {
               return p.fd == fd && (p.revents & (POLLIN | POLLHUP)) != 0;
             });
    };
    for (Worker& worker : workers_) {
      if (is_ready(worker.control)) HearWorker(worker);
      if (is_ready(worker.client)) NoteEndOfClient(worker);
    }
    RunPosted();
    EndLeases();
    ResizeLeases();
    EndOrphans();
    const std::size_t before = workers_.size();
    ReapChildren();
    for (const auto& listener : listeners_) Accept(*listener);
    AnswerEnds();
    const auto warm = std::count_if(workers_.begin(), workers_.end(), [](const Worker& w) { return !w.serving; });
    // A worker that cannot even start would be started for ever: give up after a few in a row.
    if (static_cast<std::uint32_t>(warm) < options_.warm_workers) {
      failed_starts = before != workers_.size() && warm == 0 && workers_.empty() ? failed_starts + 1 : 0;
      if (failed_starts > 20) return {Code::kInternal, "Supervisor", "workers end at once; see the lines above"};
      if (const Status started = StartWorker(); !started.ok()) log::Error("supervisor", started.ToString());
    }
  }
}

}  // namespace accelmesh
