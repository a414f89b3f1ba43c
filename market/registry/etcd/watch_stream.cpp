#include "market/registry/etcd/watch_stream.h"

#include <grpcpp/grpcpp.h>

#include "market/registry/etcd/convert.h"

namespace accelmesh::registry {
namespace {

using Context = std::shared_ptr<grpc::ClientContext>;

// Deletes itself at its end.
class WatchStream final : public grpc::ClientBidiReactor<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse> {
 public:
  WatchStream(EtcdCalls& calls, etcdserverpb::WatchRequest request, std::string prefix, std::shared_ptr<SinkGate> gate)
      : calls_(calls),
        member_(calls.Current(number_)),
        context_(calls.MakeContext(Instant::max())),
        request_(std::move(request)),
        prefix_(std::move(prefix)),
        gate_(std::move(gate)) {}

  Context StreamContext() const { return context_; }
  void Begin() {
    calls_.EnterStream();
    if (!calls_.Track(context_.get())) return Finish(EtcdCalls::Closed());
    member_.watch->async()->Watch(context_.get(), this);
    StartWrite(&request_);
    StartRead(&response_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (response_.compact_revision() > 0) {
      end_ = Status(Code::kLimitExceeded, "Registry::Watch.from",
                    "changes before revision " + std::to_string(response_.compact_revision()) +
                        " are not kept; take a snapshot and watch from the revision behind it");
    } else if (response_.canceled()) {
      end_ = Status(Code::kUnavailable, "registry::EtcdStore",
                    "etcd at " + member_.endpoint + " ended the watch: " + KeyText(response_.cancel_reason()));
    } else {
      Result<std::vector<Change>> changes = FromEtcd(response_, prefix_);
      if (!changes.ok()) end_ = changes.status();
      if (changes.ok() && !changes->empty()) {
        calls_.Post([gate = gate_, all = *std::move(changes)]() mutable {
          for (Change& change : all) gate->Call(std::move(change));
        });
      }
    }
    if (end_.ok()) {
      StartRead(&response_);
    } else {
      context_->TryCancel();
    }
  }

  void OnDone(const grpc::Status& status) override {
    calls_.Untrack(context_.get());
    if (!end_.ok()) return Finish(end_);
    if (calls_.closing()) return Finish(EtcdCalls::Closed());
    if (status.error_code() != grpc::StatusCode::CANCELLED) calls_.Avoid(number_);
    Finish(Status(Code::kUnavailable, "registry::EtcdStore",
                  "the watch at etcd " + member_.endpoint + " broke: " + KeyText(status.error_message())));
  }

 private:
  void Finish(Status end) {
    calls_.Post([&calls = calls_, gate = std::move(gate_), end = std::move(end)] {
      gate->Call(end);
      calls.Leave();
    });
    delete this;
  }

  EtcdCalls& calls_;
  std::size_t number_ = 0;
  const EtcdMember& member_;
  const Context context_;
  const etcdserverpb::WatchRequest request_;
  const std::string prefix_;
  etcdserverpb::WatchResponse response_;
  std::shared_ptr<SinkGate> gate_;
  Status end_;
};

class StreamHandle final : public WatchHandle {
 public:
  StreamHandle(std::shared_ptr<SinkGate> gate, Context context)
      : gate_(std::move(gate)), context_(std::move(context)) {}
  ~StreamHandle() override {
    gate_->Close();
    context_->TryCancel();
  }
  StreamHandle(const StreamHandle&) = delete;
  StreamHandle& operator=(const StreamHandle&) = delete;

 private:
  std::shared_ptr<SinkGate> gate_;
  Context context_;
};

}  // namespace

std::unique_ptr<WatchHandle> StartWatch(EtcdCalls& calls, etcdserverpb::WatchRequest request, std::string prefix,
                                        std::shared_ptr<SinkGate> gate) {
  auto* stream = new WatchStream(calls, std::move(request), std::move(prefix), gate);
  auto handle = std::make_unique<StreamHandle>(std::move(gate), stream->StreamContext());
  stream->Begin();
  return handle;
}

}  // namespace accelmesh::registry
