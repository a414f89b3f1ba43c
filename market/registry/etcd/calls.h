// EtcdCalls: requests to a cluster of etcd members. One member is asked at a time, the next one once it fails.
//
// A request that changes something goes to another member only if the first one surely did not take it: it was never
// connected, or said that it has no leader. Else the outcome is unknown and the caller is told so.
//
// Threads: all methods are safe from many; answers run on the dispatcher. Ownership: the store's; Close() waits for
// what is under way, which therefore refers to it plainly.
#pragma once

#include <grpcpp/grpcpp.h>
#include <market/registry/etcd/etcd.grpc.pb.h>

#include <atomic>
#include <set>

#include "market/registry/etcd/dispatcher.h"
#include "market/registry/etcd/etcd_store.h"

namespace accelmesh::registry {

struct EtcdMember {
  std::string endpoint;
  std::unique_ptr<etcdserverpb::KV::Stub> kv;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance;
};

// Keeps channels connecting: gRPC drives a connection only while somebody waits for it, and a call to a channel without
// one fails at once instead of waiting.
class Connector {
 public:
  explicit Connector(std::vector<std::shared_ptr<grpc::Channel>> channels)
      : channels_(std::move(channels)), thread_([this] { Run(); }) {}
  ~Connector() {
    stopping_ = true;
    thread_.join();
  }
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

 private:
  void Run();

  const std::vector<std::shared_ptr<grpc::Channel>> channels_;
  grpc::CompletionQueue changes_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// What a failure of gRPC or etcd is to us.
Status FromGrpc(const grpc::Status& status, const std::string& endpoint);
// Whether the member surely did nothing.
bool SurelyNotTaken(const grpc::Status& status);

class EtcdCalls {
 public:
  EtcdCalls(const EtcdOptions& options, const std::shared_ptr<grpc::ChannelCredentials>& credentials);

  // Cancels what is under way and waits until all of it has been answered. Not on the dispatcher.
  void Close();
  Result<std::string> AskVersion(Deadline deadline);
  void KeepLease(LeaseId id, Instant deadline, Done<LeaseResult> done);

  // call(member, ClientContext*, const Request*, Response*, std::function<void(grpc::Status)>) starts one.
  template <typename Response, typename Request, typename Call>
  void Start(Request request, bool reads_only, Instant deadline, Call call, Done<Response> done) {
    struct Flight {
      Request request;
      Response response;
      std::unique_ptr<grpc::ClientContext> context;
      Done<Response> done;
    };
    if (!Enter()) {
      done(Status(Code::kFull, "registry::EtcdStore",
                  std::to_string(requests_max_) + " requests are under way already; try again later"));
      return;
    }
    auto flight = std::make_shared<Flight>();
    flight->request = std::move(request);
    flight->done = std::move(done);
    // attempt(left): how many members may still be asked.
    auto attempt = std::make_shared<std::function<void(std::size_t)>>();
    *attempt = [self = this, flight, reads_only, deadline, call, again = std::weak_ptr(attempt)](std::size_t left) {
      const std::size_t number = self->current_;
      const EtcdMember& member = self->members_[number];
      flight->context = self->MakeContext(deadline);
      flight->response.Clear();
      if (!self->Track(flight->context.get())) {
        self->dispatcher_.Post([self, flight] {
          flight->done(Closed());
          self->Leave();
        });
        return;
      }
      call(member, flight->context.get(), &flight->request, &flight->response,
           [self, flight, left, number, reads_only, deadline, attempt = again.lock()](const grpc::Status& status) {
             self->Untrack(flight->context.get());
             const bool again_allowed = reads_only || SurelyNotTaken(status);
             if (!status.ok()) self->Avoid(number);
             if (status.error_code() == grpc::StatusCode::UNAVAILABLE && again_allowed && left > 0 &&
                 Clock::now() < deadline && !self->closing_) {
               // All members in turn, then a little time for them to elect a leader.
               const bool round = left % self->members_.size() == 0;
               self->dispatcher_.PostAt(round ? Clock::now() + kRoundWait : Instant::min(),
                                        [attempt, left] { (*attempt)(left - 1); });
               return;
             }
             const std::string endpoint = self->members_[number].endpoint;
             self->dispatcher_.Post([self, flight, status, endpoint] {
               if (status.ok()) {
                 flight->done(std::move(flight->response));
               } else {
                 flight->done(self->closing_ ? Closed() : FromGrpc(status, endpoint));
               }
               self->Leave();
             });
           });
    };
    (*attempt)(members_.size() * kRounds - 1);
  }

  // For streams: each is tracked until it has ended.
  const EtcdMember& Current(std::size_t& number) const {
    number = current_;
    return members_[number];
  }
  std::unique_ptr<grpc::ClientContext> MakeContext(Instant deadline) const;
  bool Track(grpc::ClientContext* context);
  void Untrack(grpc::ClientContext* context);
  void Avoid(std::size_t number);
  void EnterStream();
  void Leave();
  void Post(std::function<void()> work) { dispatcher_.Post(std::move(work)); }
  bool closing() const { return closing_; }
  static Status Closed() {
    return {Code::kClosed, "registry::EtcdStore", "the registry was closed; whether it was applied is unknown"};
  }

 private:
  static constexpr std::size_t kRounds = 100;
  static constexpr Duration kRoundWait = std::chrono::milliseconds(50);
  bool Enter();

  const std::size_t requests_max_;
  std::vector<EtcdMember> members_;
  std::unique_ptr<Connector> connector_;
  std::atomic<std::size_t> current_{0};
  std::atomic<bool> closing_{false};
  Mutex mutex_;
  CondVar idle_;
  std::set<grpc::ClientContext*> tracked_ ACCELMESH_GUARDED_BY(mutex_);
  std::size_t under_way_ ACCELMESH_GUARDED_BY(mutex_) = 0;
  Dispatcher dispatcher_;
};

}  // namespace accelmesh::registry
