#include "market/registry/etcd/etcd_store.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <set>

#include "market/registry/etcd/calls.h"
#include "market/registry/etcd/convert.h"
#include "market/registry/etcd/tls.h"
#include "market/registry/etcd/watch_stream.h"
#include "protocol/base/log.h"

namespace accelmesh::registry {
namespace {

constexpr char kWhere[] = "registry::EtcdStore";
constexpr int kPageEntries = 1000;
constexpr std::size_t kEndpointsMax = 16;

class Store final : public EtcdStore {
 public:
  Store(const EtcdOptions& options, const std::shared_ptr<grpc::ChannelCredentials>& credentials)
      : prefix_(options.prefix), calls_(std::make_unique<EtcdCalls>(options, credentials)) {}
  ~Store() override { calls_->Close(); }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  Status Connect(Duration limit) {
    const Deadline deadline = Deadline::After(limit);
    Result<std::string> version = calls_->AskVersion(deadline);
    if (!version.ok()) return version.status();
    version_ = *std::move(version);
    if (IsOldEtcd(version_)) {
      log::Warning(kWhere,
                   "this etcd is " + KeyText(version_) +
                       "; before 3.6.9 a member that was paused can answer from the past (etcd issue 20418): use "
                       "3.6.9 or later outside of tests");
    }
    return {};
  }
  const std::string& version() const override { return version_; }

  void Submit(Txn txn, Instant deadline, Done<TxnResult> done) override {
    if (Status status = CheckTxn(txn); !status.ok()) return done(std::move(status));
    bool reads_only = true;
    for (const auto* branch : {&txn.then, &txn.otherwise}) {
      for (const Operation& operation : *branch) reads_only &= operation.kind == Operation::Kind::kGet;
    }
    etcdserverpb::TxnRequest request = ToEtcd(txn, prefix_);
    calls_->Start<etcdserverpb::TxnResponse>(
        std::move(request), reads_only, deadline,
        [](const EtcdMember& member, auto&&... call) { member.kv->async()->Txn(call...); },
        [this, txn = std::move(txn), done = std::move(done)](Result<etcdserverpb::TxnResponse> response) {
          if (!response.ok()) return done(response.status());
          done(FromEtcd(txn, *response, prefix_));
        });
  }

  void Snapshot(std::string prefix, Instant deadline, Done<SnapshotResult> done) override {
    if (Status status = CheckPrefix(prefix); !status.ok()) return done(std::move(status));
    etcdserverpb::RangeRequest request;
    request.set_key(prefix_ + prefix);
    request.set_range_end(EndOfPrefix(prefix_ + prefix));
    request.set_limit(kPageEntries);
    NextPage(std::move(request), std::make_shared<SnapshotResult>(), deadline, std::move(done));
  }

  void GrantLease(std::chrono::seconds ttl, Instant deadline, Done<LeaseResult> done) override {
    if (Status status = CheckTtl(ttl); !status.ok()) return done(std::move(status));
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(ttl.count());
    calls_->Start<etcdserverpb::LeaseGrantResponse>(
        std::move(request), false, deadline,
        [](const EtcdMember& member, auto&&... call) { member.lease->async()->LeaseGrant(call...); },
        [done = std::move(done)](Result<etcdserverpb::LeaseGrantResponse> response) {
          if (!response.ok()) return done(response.status());
          if (response->id() <= 0 || response->ttl() <= 0) {
            return done(Status(Code::kBadFrame, kWhere, "etcd granted a lease without id or time"));
          }
          done(LeaseResult{response->id(), std::chrono::seconds(response->ttl())});
        });
  }

  void KeepLease(LeaseId id, Instant deadline, Done<LeaseResult> done) override {
    calls_->KeepLease(id, deadline, std::move(done));
  }

  void RevokeLease(LeaseId id, Instant deadline, Done<Revision> done) override {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(id);
    calls_->Start<etcdserverpb::LeaseRevokeResponse>(
        std::move(request), false, deadline,
        [](const EtcdMember& member, auto&&... call) { member.lease->async()->LeaseRevoke(call...); },
        [done = std::move(done)](Result<etcdserverpb::LeaseRevokeResponse> response) {
          if (!response.ok()) return done(response.status());
          done(Revision{response->header().revision()});
        });
  }

  std::unique_ptr<WatchHandle> Watch(std::string prefix, Revision from, WatchSink sink) override {
    auto gate = std::make_shared<SinkGate>(std::move(sink));
    Status status = CheckPrefix(prefix);
    if (status.ok() && from < 0)
      status = {Code::kInvalidArgument, "Registry::Watch.from", "a revision is not negative"};
    if (!status.ok()) {
      gate->Call(std::move(status));
      return std::make_unique<GateHandle>(gate);
    }
    etcdserverpb::WatchRequest request;
    request.mutable_create()->set_key(prefix_ + prefix);
    request.mutable_create()->set_range_end(EndOfPrefix(prefix_ + prefix));
    request.mutable_create()->set_start_revision(from);
    return StartWatch(*calls_, std::move(request), prefix_, std::move(gate));
  }

  void Compact(Revision revision, Instant deadline, Done<Revision> done) override {
    etcdserverpb::CompactRequest request;
    request.set_revision(revision);
    calls_->Start<etcdserverpb::CompactResponse>(
        std::move(request), true, deadline,
        [](const EtcdMember& member, auto&&... call) { member.kv->async()->Compact(call...); },
        [revision, done = std::move(done)](Result<etcdserverpb::CompactResponse> response) {
          if (!response.ok()) return done(response.status());
          done(revision);
        });
  }

 private:
  // Pages of one revision: that of the first.
  void NextPage(etcdserverpb::RangeRequest request, std::shared_ptr<SnapshotResult> snapshot, Instant deadline,
                Done<SnapshotResult> done) {
    etcdserverpb::RangeRequest sent = request;
    calls_->Start<etcdserverpb::RangeResponse>(
        std::move(sent), true, deadline,
        [](const EtcdMember& member, auto&&... call) { member.kv->async()->Range(call...); },
        [this, request = std::move(request), snapshot = std::move(snapshot), deadline,
         done = std::move(done)](Result<etcdserverpb::RangeResponse> response) mutable {
          if (!response.ok()) return done(response.status());
          if (snapshot->revision == 0) snapshot->revision = response->header().revision();
          for (const etcdserverpb::KeyValue& pair : response->kvs()) {
            Result<Entry> entry = FromEtcd(pair, prefix_);
            if (!entry.ok()) return done(entry.status());
            if (!snapshot->entries.empty() && entry->key <= snapshot->entries.back().key) {
              return done(Status(Code::kBadFrame, kWhere, "etcd answered keys out of order"));
            }
            snapshot->entries.push_back(*std::move(entry));
          }
          if (!response->more() || response->kvs_size() == 0) return done(std::move(*snapshot));
          request.set_key(prefix_ + snapshot->entries.back().key + '\0');
          request.set_revision(snapshot->revision);
          NextPage(std::move(request), std::move(snapshot), deadline, std::move(done));
        });
  }

  const std::string prefix_;
  std::unique_ptr<EtcdCalls> calls_;
  std::string version_;
};

}  // namespace

Result<EtcdUrls> ParseEtcdUrls(std::string_view urls) {
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  EtcdUrls result;
  const auto refuse = [](Code code, const std::string& text) { return Status(code, "registry::ParseEtcdUrls", text); };
  for (std::size_t at = 0; at <= urls.size();) {
    const std::size_t comma = std::min(urls.find(',', at), urls.size());
    std::string_view url = urls.substr(at, comma - at);
    at = comma + 1;
    const bool tls = url.starts_with(kTls);
    if (tls && !result.tls && !result.endpoints.empty()) {
      return refuse(Code::kInvalidArgument, "either all URLs of etcd are https or none: " + KeyText(urls));
    }
    result.tls = tls || result.tls;
    if (tls) url.remove_prefix(kTls.size());
    if (!tls && url.starts_with(kPlain)) {
      if (result.tls)
        return refuse(Code::kInvalidArgument, "either all URLs of etcd are https or none: " + KeyText(urls));
      url.remove_prefix(kPlain.size());
    }
    if (url.ends_with('/')) url.remove_suffix(1);
    const std::size_t colon = url.rfind(':');
    const std::string_view port = colon == std::string_view::npos ? std::string_view() : url.substr(colon + 1);
    const bool number =
        !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string_view::npos;
    const std::string_view host = url.substr(0, std::min(colon, url.size()));
    if (!number || std::stoi(std::string(port)) > 65535 || host.empty() || host.size() > 255 ||
        host.find_first_of("/@ \t\n?#") != std::string_view::npos) {
      return refuse(Code::kInvalidArgument,
                    KeyText(url) + " is no endpoint of etcd; write https://HOST:PORT,https://HOST:PORT");
    }
    result.endpoints.emplace_back(url);
  }
  if (result.endpoints.size() > kEndpointsMax) return refuse(Code::kLimitExceeded, "at most 16 endpoints of etcd");
  return result;
}

Result<std::unique_ptr<EtcdStore>> OpenEtcdStore(EtcdOptions options) {
  if (options.endpoints.empty()) return Status(Code::kInvalidArgument, kWhere, "no endpoint of etcd was named");
  const std::string& prefix = options.prefix;
  if (!prefix.empty() && (prefix.size() > kEtcdPrefixBytesMax || prefix.front() != '/' || prefix.back() == '/')) {
    return Status(Code::kInvalidArgument, kWhere,
                  KeyText(prefix) + " is no prefix for keys in etcd; write one like /accelmesh/market");
  }
  ACCELMESH_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials, EtcdCredentials(options.tls));
  auto store = std::make_unique<Store>(options, credentials);
  ACCELMESH_RETURN_IF_ERROR(store->Connect(options.connect));
  return std::unique_ptr<EtcdStore>(std::move(store));
}

}  // namespace accelmesh::registry
