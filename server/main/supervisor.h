// The supervisor: accepts HELLOs, keeps warm workers, hands each session to one, and ends those whose lease has ended.
// It never touches a device.
// Threads: one; Run() returns when SIGTERM or SIGINT arrives. Post() from any.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "protocol/base/jump_clock.h"
#include "protocol/base/line_limit.h"
#include "protocol/base/mutex.h"
#include "protocol/transport/channel.h"
#include "server/main/admission.h"
#include "server/main/facts.h"
#include "server/main/group.h"
#include "server/main/options.h"
#include "server/shares/board.h"

namespace accelmesh {

class Supervisor {
 public:
  explicit Supervisor(ServerOptions options);
  ~Supervisor();
  // Binds every endpoint; the first that cannot be bound is the error.
  Status Listen();
  // Serves until told to end. Prints "ready URL" for each endpoint on stdout.
  Status Run();
  // Has `work` done by the supervisor's thread, soon: how another one reaches the leases. Any thread.
  void Post(std::function<void()> work);
  // After Listen(): where clients come.
  std::vector<std::string> endpoints() const;
  // On the supervisor's thread.
  ServerFacts Facts() const;

 private:
  struct Worker {
    int pid = -1;
    int control = -1;
    int notice = -1;  // it is told of its lease's end here
    bool serving = false;
    bool answered = false;
    std::uint64_t session_id = 0;
    Listener* listener = nullptr;  // zmq: whom to answer
    std::uint64_t peer = 0;
    std::array<std::uint8_t, 32> secret{};
    int client = -1;                         // pidfd of the client, where its pid means something here
    std::optional<Deadline> orphaned_until;  // its client has ended; it gets until then to end as well
    bool is_ended = false;                   // by us
    std::optional<AdmittedLease> lease;
    std::uint32_t seat = shares::kNobody;  // in the page of shares
  };
  // Whoever gave it back waits to be told what it used.
  struct EndingLease {
    Listener* listener = nullptr;
    std::uint64_t peer = 0;
    std::string key;
    Deadline until;
  };
  static constexpr std::size_t kEndingMax = 256;
  static constexpr std::ptrdiff_t kEndingSameMax = 4;  // of one lease
  // What a worker gets to end by itself once it was told to.
  static constexpr std::chrono::seconds kEndPatience{2};
  static std::int64_t UnixMs();
  Status StartWorker();
  void Accept(Listener& listener);
  void Assign(Listener& listener, Arrival arrival);
  void Refuse(Listener& listener, const Arrival& arrival, std::uint8_t refusal, const std::string& text);
  void HearWorker(Worker& worker);
  // From a worker that serves: whether it is still there.
  bool AnswerLeaseRequest(const Worker& worker);
  // The worker of a client that is gone ends. Its connection alone does not tell: a forked child may hold it.
  void NoteEndOfClient(Worker& worker);
  void EndOrphans();
  // What others posted, and sessions whose lease has ended.
  void RunPosted();
  void EndLeases();
  void AnswerEnds();
  // Sessions whose lease has another share or memory from now on.
  void ResizeLeases();
  // Takes `worker` for the session of a hello that was admitted.
  Status Hand(Worker& worker, Listener& listener, const Arrival& arrival, const Admission& admission);
  void ReapChildren();
  // Its share of the device; a session that gets no seat has what is left over.
  std::uint32_t SeatOf(const Admission& admission, const std::string& group, std::uint64_t session);

  ServerOptions options_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<Worker> workers_;
  Groups groups_;
  JumpClock clock_{security::kLeaseLifeMsMax};
  std::unique_ptr<shares::Board> board_;
  std::vector<EndingLease> ending_;
  std::uint64_t refused_total_ = 0;
  LineLimit refusals_;
  std::uint64_t died_total_ = 0;
  std::uint64_t next_session_ = 1;
  const int posted_fd_;
  Mutex posted_mutex_;
  std::vector<std::function<void()>> posted_ ACCELMESH_GUARDED_BY(posted_mutex_);
};

}  // namespace accelmesh
