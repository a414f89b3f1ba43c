#include "server/main/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
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
#include <csignal>
#include <cstdio>

#include "protocol/base/command.h"
#include "protocol/base/host.h"
#include "protocol/base/log.h"
#include "protocol/schema/session_generated.h"
#include "server/main/ticket.h"

extern char** environ;

namespace accelmesh {
namespace {

// Edge-triggered descriptors of ZeroMQ can be missed; the loop looks at every listener at least this often.
constexpr int kPollMs = 50;
constexpr int kArrivalsPerRound = 16;
constexpr std::chrono::seconds kEndPatience{2};
// What a worker gets to end by itself when its client has: it may still have something to say.
constexpr std::chrono::seconds kOrphanPatience{1};

// Sessions have several descriptors each, and leases some more.
void RaiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

// A descriptor that becomes readable when the client ends; -1 if its pid means nothing here.
int WatchClient(const wire::Hello& hello) {
  const bool same_host = hello.boot_id() != nullptr && hello.boot_id()->str() == BootId() &&
                         hello.pid_namespace() != 0 && hello.pid_namespace() == PidNamespace();
  if (!same_host || hello.pid() == 0) return -1;
  return static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(hello.pid()), 0));
}

}  // namespace

Supervisor::~Supervisor() {
  for (const Worker& worker : workers_) {
    if (worker.control >= 0) ::close(worker.control);
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
  for (const std::string& url : options_.listen) {
    ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
    Result<std::unique_ptr<Listener>> listener =
        endpoint.scheme == Endpoint::Scheme::kShm ? ListenShm(endpoint) : ListenZmq(endpoint);
    if (!listener.ok()) return listener.status();
    listeners_.push_back(*std::move(listener));
  }
  return Status::Ok();
}

Status Supervisor::StartWorker() {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return Status::System(errno, "Supervisor", "socketpair");
  const std::string control = std::to_string(pair[1]);
  const std::string threads = std::to_string(options_.device.cpu_threads);
  const std::string devices = std::to_string(options_.device.cpu_devices);
  const std::string memory = std::to_string(options_.device.memory_bytes);
  const std::string capability = std::to_string(options_.device.compute_capability);
  std::vector<std::string> words{options_.self,    "--worker-control-fd", control,    "--backend",
                                 options_.backend, "--cpu-threads",       threads,    "--memory",
                                 memory,           "--worker-capability", capability, "--devices",
                                 devices};
  words.insert(words.end(), {"--jit", options_.jit});
  if (!options_.device.cpu_jit_cache.empty()) words.insert(words.end(), {"--jit-cache", options_.device.cpu_jit_cache});
  if (log::Enabled(log::Level::kInfo)) words.emplace_back("--verbose");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  // The child inherits its end: the flag is lifted for the moment of the spawn, in this one thread.
  ::fcntl(pair[1], F_SETFD, 0);
  Worker worker;
  const int error = ::posix_spawn(&worker.pid, options_.self.c_str(), nullptr, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  ::close(pair[1]);
  if (error != 0) {
    ::close(pair[0]);
    return Status::System(error, "Supervisor", "cannot start a worker");
  }
  worker.control = pair[0];
  workers_.push_back(worker);
  return Status::Ok();
}

void Supervisor::Refuse(Listener& listener, const Arrival& arrival, std::uint8_t refusal, const std::string& text) {
  log::Warning("supervisor", "a client was refused: " + text);
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
  flatbuffers::Verifier verifier(arrival.hello.data(), arrival.hello.size());
  if (!verifier.VerifyBuffer<wire::Hello>(nullptr)) {
    return Refuse(listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Malformed), "the HELLO does not verify");
  }
  const auto& hello = *flatbuffers::GetRoot<wire::Hello>(arrival.hello.data());
  if (hello.version_min() > kProtocolVersion || hello.version_max() < kProtocolVersion) {
    return Refuse(listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Version),
                  "this gpu-server speaks protocol version " + std::to_string(kProtocolVersion) + ", the client " +
                      std::to_string(hello.version_min()) + " to " + std::to_string(hello.version_max()) +
                      "; install the same release on both sides");
  }
  const auto serving = std::count_if(workers_.begin(), workers_.end(), [](const Worker& w) { return w.serving; });
  if (static_cast<std::size_t>(serving) >= limits::kSessionsMax) {
    return Refuse(listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Busy),
                  "the server has as many sessions as it may");
  }
  // One that has ended and was not waited for yet has no socket.
  auto warm =
      std::find_if(workers_.begin(), workers_.end(), [](const Worker& w) { return !w.serving && w.control >= 0; });
  if (warm == workers_.end()) {
    if (const Status started = StartWorker(); !started.ok()) {
      return Refuse(listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Internal), started.text());
    }
    warm = std::prev(workers_.end());
  }
  Ticket ticket;
  const Endpoint& endpoint = listener.endpoint();
  ticket.scheme = static_cast<std::uint32_t>(endpoint.scheme);
  ticket.port_first = options_.port_first;
  ticket.port_last = options_.port_last;
  ticket.session_id = next_session_++;
  if (::getrandom(ticket.secret.data(), ticket.secret.size(), 0) != static_cast<ssize_t>(ticket.secret.size())) {
    return Refuse(listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Internal), "no random bytes");
  }
  std::snprintf(ticket.host, sizeof(ticket.host), "%s", endpoint.host.c_str());
  std::snprintf(ticket.folder, sizeof(ticket.folder), "%s", endpoint.path.substr(0, endpoint.path.rfind('/')).c_str());
  warm->serving = true;
  warm->session_id = ticket.session_id;
  warm->listener = endpoint.scheme == Endpoint::Scheme::kShm ? nullptr : &listener;
  warm->peer = arrival.peer;
  warm->secret = ticket.secret;
  warm->client = WatchClient(hello);
  int file = -1;
  if (hello.group() != nullptr && hello.group()->size() != 0 && hello.group()->size() <= limits::kGroupSecretBytesMax) {
    if (const Result<Groups::Seat> seat = groups_.Join(hello.group()->str(), ticket.session_id); seat.ok()) {
      ticket.member = seat->member;
      ticket.has_seat = 1;
      file = seat->file;
    } else {
      log::Warning("supervisor", "a session shares no memory with others: " + seat.status().ToString());
    }
  }
  Status sent = SendMessage(warm->control, AsBytes(ticket), arrival.connection_fd);
  if (sent.ok() && file >= 0) sent = SendMessage(warm->control, AsBytes(TicketFile{ticket.session_id}), file);
  if (!sent.ok()) {
    Refuse(listener, arrival, static_cast<std::uint8_t>(wire::Refusal::Internal),
           "a worker could not be reached; try again");
    return;
  }
  if (arrival.connection_fd >= 0) ::close(arrival.connection_fd);
  log::Info("supervisor", "session " + std::to_string(ticket.session_id) + " of " +
                              (hello.program() != nullptr ? hello.program()->str() : "?") + " goes to worker " +
                              std::to_string(warm->pid));
}

bool Supervisor::AnswerLeaseRequest(const Worker& worker) {
  LeaseRequest request;
  int fd = -1;
  const Status heard =
      ReceiveMessage(worker.control, {reinterpret_cast<std::uint8_t*>(&request), sizeof(request)}, &fd);
  const bool is_offer = heard.ok() && request.kind == LeaseRequest::kOffer;
  if (fd >= 0 && !is_offer) ::close(fd);
  if (!heard.ok()) return false;
  LeaseName name{request.session_id, request.generation, request.slot};
  LeaseAnswer answer;
  answer.number = request.number;
  int sent = -1;
  Status status;
  switch (request.kind) {
    case LeaseRequest::kFileOf: {
      const Result<int> file = groups_.FileOf(worker.session_id, request.session_id);
      status = file.status();
      if (file.ok()) sent = *file;
      break;
    }
    case LeaseRequest::kOffer:
      name.session = worker.session_id;
      status = groups_.Offer(name, request.index, {request.piece_id, request.piece_offset, request.piece_bytes, fd});
      break;
    case LeaseRequest::kEndOffer:
      name.session = worker.session_id;
      groups_.EndOffer(name);
      return true;
    case LeaseRequest::kPieceOf: {
      const Result<SharedPiece> piece = groups_.PieceOf(worker.session_id, name, request.index);
      status = piece.status();
      if (!piece.ok()) break;
      sent = piece->fd;
      answer.piece_id = piece->id;
      answer.piece_offset = piece->offset;
      answer.piece_bytes = piece->bytes;
      break;
    }
    default: return false;
  }
  answer.code = static_cast<std::uint32_t>(status.code());
  return SendMessage(worker.control, AsBytes(answer), sent).ok();
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
  const Bytes welcome = answer.ok != 0 ? MakeWelcome(worker.session_id, worker.secret, answer.text,
                                                     static_cast<std::uint32_t>(worker.pid))
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
    log::Info("supervisor", "the client of session " + std::to_string(worker.session_id) + " has ended; so does it");
    worker.is_ended = true;
    ::kill(worker.pid, SIGTERM);
  }
}

void Supervisor::ReapChildren() {
  int status = 0;
  for (int pid = ::waitpid(-1, &status, WNOHANG); pid > 0; pid = ::waitpid(-1, &status, WNOHANG)) {
    const auto worker = std::find_if(workers_.begin(), workers_.end(), [pid](const Worker& w) { return w.pid == pid; });
    if (worker == workers_.end()) continue;
    if (worker->client >= 0) ::close(worker->client);
    if (WIFSIGNALED(status) && !worker->is_ended) {
      log::Error("supervisor", "worker " + std::to_string(pid) + " of session " + std::to_string(worker->session_id) +
                                   " died of signal " + std::to_string(WTERMSIG(status)) +
                                   "; other sessions are not affected");
    }
    if (worker->control >= 0) HearWorker(*worker);
    if (worker->control >= 0) ::close(worker->control);
    if (worker->serving) groups_.Leave(worker->session_id);
    workers_.erase(worker);
  }
}

Status Supervisor::Run() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int signal_fd = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd < 0) return Status::System(errno, "Supervisor", "signalfd");
  for (std::uint32_t i = 0; i < options_.warm_workers; ++i) ACCELMESH_RETURN_IF_ERROR(StartWorker());
  for (const auto& listener : listeners_) std::printf("ready %s\n", listener->endpoint().ToString().c_str());
  std::fflush(stdout);
  int failed_starts = 0;
  while (true) {
    std::vector<pollfd> fds{{signal_fd, POLLIN, 0}};
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
    EndOrphans();
    const std::size_t before = workers_.size();
    ReapChildren();
    for (const auto& listener : listeners_) Accept(*listener);
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
