#include "market/registry/etcd/calls.h"

namespace accelmesh::registry {
namespace {

constexpr char kWhere[] = "registry::EtcdStore";
// An answer has a page of a snapshot at most, or the gets of a transaction.
constexpr int kAnswerBytesMax = 512 * 1024 * 1024;

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint,
                                           const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kAnswerBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // So long may a connection take until etcd has greeted.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 3000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // No proxy of the environment in between, and no second try behind our back.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(endpoint, credentials, arguments);
}

// One keep-alive: a stream of one request and one answer. Deletes itself at its end.
class KeepAlive final
    : public grpc::ClientBidiReactor<etcdserverpb::LeaseKeepAliveRequest, etcdserverpb::LeaseKeepAliveResponse> {
 public:
  KeepAlive(EtcdCalls& calls, LeaseId id, Instant deadline, Done<LeaseResult> done)
      : calls_(calls), member_(calls.Current(number_)), context_(calls.MakeContext(deadline)), done_(std::move(done)) {
    request_.set_id(id);
  }
  void Begin() {
    if (!calls_.Track(context_.get())) return Finish(EtcdCalls::Closed());
    member_.lease->async()->LeaseKeepAlive(context_.get(), this);
    StartWrite(&request_);
    StartRead(&response_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    answered_ = ok;
    // Ends the stream from this side; etcd's would stay open.
    context_->TryCancel();
  }
  void OnDone(const grpc::Status& status) override {
    calls_.Untrack(context_.get());
    if (!answered_) {
      calls_.Avoid(number_);
      return Finish(calls_.closing() ? EtcdCalls::Closed() : FromGrpc(status, member_.endpoint));
    }
    if (response_.id() != request_.id() || response_.ttl() <= 0) {
      return Finish(Status(
          Code::kNotFound, kWhere,
          "lease " + std::to_string(request_.id()) + " is not there: it has expired or was revoked; take a new one"));
    }
    Finish(LeaseResult{request_.id(), std::chrono::seconds(response_.ttl())});
  }

 private:
  void Finish(Result<LeaseResult> result) {
    calls_.Post([&calls = calls_, done = std::move(done_), result = std::move(result)] {
      done(result);
      calls.Leave();
    });
    delete this;
  }

  EtcdCalls& calls_;
  std::size_t number_ = 0;
  const EtcdMember& member_;
  std::unique_ptr<grpc::ClientContext> context_;
  Done<LeaseResult> done_;
  etcdserverpb::LeaseKeepAliveRequest request_;
  etcdserverpb::LeaseKeepAliveResponse response_;
  bool answered_ = false;
};

}  // namespace

Status FromGrpc(const grpc::Status& status, const std::string& endpoint) {
  const std::string text = "etcd at " + endpoint + ": " + KeyText(status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::NOT_FOUND: return {Code::kNotFound, kWhere, text};
    case grpc::StatusCode::OUT_OF_RANGE: return {Code::kLimitExceeded, kWhere, text};
    case grpc::StatusCode::INVALID_ARGUMENT: return {Code::kInvalidArgument, kWhere, text};
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return {Code::kFull, kWhere,
              text + "; if its space is used up, compact and defragment it, then disarm its alarm"};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {Code::kDeadlineExceeded, kWhere, text + "; whether it was applied is unknown"};
    case grpc::StatusCode::CANCELLED: return {Code::kClosed, kWhere, text};
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED: return {Code::kPermissionDenied, kWhere, text};
    default: return {Code::kUnavailable, kWhere, text + "; whether it was applied is unknown"};
  }
}

bool SurelyNotTaken(const grpc::Status& status) {
  const std::string& text = status.error_message();
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         (text.find("failed to connect to all addresses") != std::string::npos || text == "etcdserver: no leader");
}

void Connector::Run() {
  constexpr auto kLook = std::chrono::milliseconds(200);
  const auto wait_for = [&](void* tag) {
    grpc::Channel& channel = **static_cast<const std::shared_ptr<grpc::Channel>*>(tag);
    channel.NotifyOnStateChange(channel.GetState(true), std::chrono::system_clock::now() + kLook, &changes_, tag);
  };
  for (const auto& channel : channels_) wait_for(const_cast<std::shared_ptr<grpc::Channel>*>(&channel));
  void* tag = nullptr;
  bool ok = false;
  for (std::size_t waiting = channels_.size(); waiting > 0 && changes_.Next(&tag, &ok);) {
    if (stopping_) {
      --waiting;
    } else {
      wait_for(tag);
    }
  }
  changes_.Shutdown();
  while (changes_.Next(&tag, &ok)) continue;
}

EtcdCalls::EtcdCalls(const EtcdOptions& options, const std::shared_ptr<grpc::ChannelCredentials>& credentials)
    : requests_max_(options.requests_max) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (const std::string& endpoint : options.endpoints) {
    const std::shared_ptr<grpc::Channel> channel = MakeChannel(endpoint, credentials);
    members_.push_back({endpoint, etcdserverpb::KV::NewStub(channel), etcdserverpb::Lease::NewStub(channel),
                        etcdserverpb::Watch::NewStub(channel), etcdserverpb::Maintenance::NewStub(channel)});
    channels.push_back(channel);
  }
  connector_ = std::make_unique<Connector>(std::move(channels));
}

std::unique_ptr<grpc::ClientContext> EtcdCalls::MakeContext(Instant deadline) const {
  auto context = std::make_unique<grpc::ClientContext>();
  if (deadline != Instant::max()) {
    // gRPC counts from its own monotonic clock as soon as it has this.
    const Duration left = std::min<Duration>(deadline - Clock::now(), std::chrono::hours(24));
    context->set_deadline(std::chrono::system_clock::now() + left);
  }
  // A member that lost its leader says so at once instead of letting the request wait.
  context->AddMetadata("hasleader", "true");
  return context;
}

bool EtcdCalls::Enter() {
  const MutexLock lock(mutex_);
  if (under_way_ >= requests_max_) return false;
  ++under_way_;
  return true;
}

void EtcdCalls::EnterStream() {
  const MutexLock lock(mutex_);
  ++under_way_;
}

void EtcdCalls::Leave() {
  const MutexLock lock(mutex_);
  if (--under_way_ == 0) idle_.NotifyAll();
}

bool EtcdCalls::Track(grpc::ClientContext* context) {
  const MutexLock lock(mutex_);
  if (closing_) return false;
  tracked_.insert(context);
  return true;
}

void EtcdCalls::Untrack(grpc::ClientContext* context) {
  const MutexLock lock(mutex_);
  tracked_.erase(context);
}

void EtcdCalls::Avoid(std::size_t number) {
  std::size_t expected = number;
  current_.compare_exchange_strong(expected, (number + 1) % members_.size());
}

void EtcdCalls::Close() {
  MutexLock lock(mutex_);
  closing_ = true;
  for (grpc::ClientContext* context : tracked_) context->TryCancel();
  idle_.Wait(mutex_, [this] {
    mutex_.AssertHeld();
    return under_way_ == 0;
  });
}

Result<std::string> EtcdCalls::AskVersion(Deadline deadline) {
  grpc::Status status;
  std::string asked;
  do {
    for (const EtcdMember& member : members_) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() +
                           std::min<Duration>(deadline.left(), std::chrono::seconds(1)));
      etcdserverpb::StatusResponse response;
      status = member.maintenance->Status(&context, {}, &response);
      if (status.ok()) return response.version();
      asked = member.endpoint;
    }
    if (!deadline.passed()) std::this_thread::sleep_for(kRoundWait);
  } while (!deadline.passed());
  return Status(Code::kUnavailable, kWhere,
                "no member of etcd answers (the last one asked, " + asked + ": " + KeyText(status.error_message()) +
                    "); check that etcd runs, and the URLs after --store etcd:");
}

void EtcdCalls::KeepLease(LeaseId id, Instant deadline, Done<LeaseResult> done) {
  EnterStream();
  (new KeepAlive(*this, id, deadline, std::move(done)))->Begin();
}

}  // namespace accelmesh::registry
