// The supervisor: accepts HELLOs, keeps warm workers, hands each session to one. It never touches a device.
// Threads: one; Run() returns when SIGTERM or SIGINT arrives.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "protocol/transport/channel.h"
#include "server/main/group.h"
#include "server/main/options.h"

namespace accelmesh {

class Supervisor {
 public:
  explicit Supervisor(ServerOptions options) : options_(std::move(options)) {}
  ~Supervisor();
  // Binds every endpoint; the first that cannot be bound is the error.
  Status Listen();
  // Serves until told to end. Prints "ready URL" for each endpoint on stdout.
  Status Run();

 private:
  struct Worker {
    int pid = -1;
    int control = -1;
    bool serving = false;
    bool answered = false;
    std::uint64_t session_id = 0;
    Listener* listener = nullptr;  // zmq: whom to answer
    std::uint64_t peer = 0;
    std::array<std::uint8_t, 32> secret{};
    int client = -1;                         // pidfd of the client, where its pid means something here
    std::optional<Deadline> orphaned_until;  // its client has ended; it gets until then to end as well
    bool is_ended = false;                   // by us
  };
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
  void ReapChildren();

  ServerOptions options_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<Worker> workers_;
  Groups groups_;
  std::uint64_t next_session_ = 1;
};

}  // namespace accelmesh
