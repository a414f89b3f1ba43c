#include <algorithm>
#include <stdexcept>

#include "market/registry/etcd/etcd_store.h"
#include "tests/conformance/registry/etcd_cluster.h"
#include "tests/conformance/registry/world.h"

namespace accelmesh::registry {
namespace {

class EtcdWorld final : public World {
 public:
  explicit EtcdWorld(std::size_t members)
      : cluster_(members, folder_.Path("")), store_(Open(0)), other_(Open(members - 1)) {}
  // One member, by mutual TLS, as a user whose role ends at a prefix.
  struct WithRoles {};
  explicit EtcdWorld(WithRoles)
      : cluster_(EtcdCluster::WithRoles(1, folder_.Path(""))), store_(Open(0)), other_(Open(0)) {}
  Registry& registry() override { return *store_; }
  Registry& other() override { return *other_; }
  void ForgetHistory() override {
    const Result<SnapshotResult> now = Snapshot("/");
    if (!now.ok()) throw std::runtime_error(now.status().ToString());
    const Result<Revision> compacted =
        Await<Revision>([&](Done<Revision> done) { store_->Compact(now->revision, Soon(), std::move(done)); });
    if (!compacted.ok()) throw std::runtime_error(compacted.status().ToString());
  }

 private:
  // Asks member `first` first, so that clients of several members are tested together.
  std::unique_ptr<EtcdStore> Open(std::size_t first) {
    EtcdOptions options;
    options.endpoints = cluster_.endpoints();
    options.tls = cluster_.tls();
    if (options.tls.has_value()) options.prefix = EtcdCluster::kRolePrefix;
    std::rotate(options.endpoints.begin(), options.endpoints.begin() + static_cast<std::ptrdiff_t>(first),
                options.endpoints.end());
    options.connect = std::chrono::seconds(30);
    Result<std::unique_ptr<EtcdStore>> store = OpenEtcdStore(std::move(options));
    if (!store.ok()) throw std::runtime_error(store.status().ToString());
    return std::move(*store);
  }

  ScratchFolder folder_;
  EtcdCluster cluster_;
  std::unique_ptr<EtcdStore> store_;
  std::unique_ptr<EtcdStore> other_;
};

}  // namespace

std::unique_ptr<World> MakeEtcdWorldOfOne() { return std::make_unique<EtcdWorld>(1); }
std::unique_ptr<World> MakeEtcdWorldWithRoles() { return std::make_unique<EtcdWorld>(EtcdWorld::WithRoles{}); }
std::unique_ptr<World> MakeEtcdWorldOfThree() { return std::make_unique<EtcdWorld>(3); }

}  // namespace accelmesh::registry
