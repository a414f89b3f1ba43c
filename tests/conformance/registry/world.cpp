#include "tests/conformance/registry/world.h"

#include <unistd.h>

#include <thread>

#include "market/registry/sim/sim.h"
#include "market/registry/sqlite/sqlite_store.h"

namespace accelmesh::registry {
namespace {

class SimWorld final : public World {
 public:
  SimWorld() : sim_(SimOptions{}, random_), client_(sim_.Connect()), other_(sim_.Connect()) {}
  Registry& registry() override { return *client_; }
  Registry& other() override { return *other_; }
  Instant now() override { return sim_.now(); }
  bool Until(const std::function<bool()>& done, Duration limit) override {
    const Instant end = sim_.now() + limit;
    while (!done()) {
      if (sim_.now() >= end) return false;
      sim_.Step();
    }
    return true;
  }
  void ForgetHistory() override { sim_.Crash(Duration::zero()); }

 private:
  std::mt19937_64 random_{1};
  Sim sim_;
  std::unique_ptr<Registry> client_;
  std::unique_ptr<Registry> other_;
};

class SqliteWorld final : public World {
 public:
  SqliteWorld() { Open(); }
  Registry& registry() override { return *store_; }
  void ForgetHistory() override {
    store_.reset();
    Open();
  }

 private:
  void Open() {
    SqliteOptions options;
    options.file.path = folder_.Path("registry.sqlite");
    Result<std::unique_ptr<Registry>> store = OpenSqliteStore(std::move(options));
    if (!store.ok()) throw std::runtime_error(store.status().ToString());
    store_ = std::move(*store);
  }
  ScratchFolder folder_;
  std::unique_ptr<Registry> store_;
};

}  // namespace

bool World::Until(const std::function<bool()>& done, Duration limit) {
  const Deadline deadline = Deadline::After(limit);
  while (!done()) {
    if (deadline.passed()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

std::unique_ptr<World> MakeSimWorld() { return std::make_unique<SimWorld>(); }
std::unique_ptr<World> MakeSqliteWorld() { return std::make_unique<SqliteWorld>(); }

const std::vector<WorldKind>& AllWorlds() {
  static const std::vector<WorldKind> worlds = {
      {"sim", MakeSimWorld},
      {"sqlite", MakeSqliteWorld},
#ifdef ACCELMESH_ETCD
      {"etcd_one", MakeEtcdWorldOfOne},
      {"etcd_three", MakeEtcdWorldOfThree},
      {"etcd_roles", MakeEtcdWorldWithRoles},
#endif
  };
  return worlds;
}

ScratchFolder::ScratchFolder() {
  std::string name = ACCELMESH_SCRATCH "/registry-XXXXXX";
  std::filesystem::create_directories(ACCELMESH_SCRATCH);
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for a test in " ACCELMESH_SCRATCH);
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace accelmesh::registry
