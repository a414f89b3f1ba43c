#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "market/registry/sqlite/sqlite_store.h"
#include "market/slot_market/daemon.h"
#ifdef ACCELMESH_ETCD_STORE
#include "market/registry/etcd/etcd_store.h"
#endif

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";

Result<std::string> DefaultFile() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::string folder;
  if (state != nullptr && *state == '/') {
    folder = state;
  } else if (home != nullptr && *home == '/') {
    folder = std::string(home) + "/.local/state";
  } else {
    return Status(Code::kNotFound, kWhere, "neither XDG_STATE_HOME nor HOME names a folder; give --store sqlite:PATH");
  }
  folder += "/accelmesh";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Status(Code::kSystem, kWhere, "making " + folder + ": " + error.message());
  // What is let to whom is nobody else's business.
  ::chmod(folder.c_str(), 0700);
  return folder + "/market.sqlite";
}

Result<OpenedStore> OpenFile(std::string path) {
  if (path.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(path, DefaultFile());
  }
  registry::SqliteOptions options;
  options.file.path = path;
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<registry::Registry> registry, registry::OpenSqliteStore(options));
  return OpenedStore{std::move(registry), "sqlite", "", true, path};
}

#ifdef ACCELMESH_ETCD_STORE
Result<OpenedStore> OpenCluster(const std::string& urls, const DaemonOptions& options) {
  ACCELMESH_ASSIGN_OR_RETURN(registry::EtcdUrls parsed, registry::ParseEtcdUrls(urls));
  registry::EtcdOptions etcd;
  etcd.endpoints = std::move(parsed.endpoints);
  etcd.prefix = options.etcd_prefix;
  etcd.connect = std::chrono::seconds(15);
  if (parsed.tls) {
    if (options.etcd_ca.empty() || options.etcd_certificate.empty() || options.etcd_key.empty()) {
      return Status(Code::kInvalidArgument, kWhere, "https needs --etcd-ca, --etcd-cert and --etcd-key");
    }
    etcd.tls = registry::EtcdTls{options.etcd_ca, options.etcd_certificate, options.etcd_key};
  }
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<registry::EtcdStore> store, registry::OpenEtcdStore(std::move(etcd)));
  OpenedStore opened;
  opened.kind = "etcd " + store->version();
  if (!parsed.tls) opened.warning = "etcd without TLS: only for loopback";
  opened.registry = std::move(store);
  return opened;
}
#else
Result<OpenedStore> OpenCluster(const std::string&, const DaemonOptions&) {
  return Status(Code::kUnsupported, kWhere, "this slot-market was built without etcd (gRPC's packages were missing)");
}
#endif

}  // namespace

Result<OpenedStore> OpenStore(const DaemonOptions& options) {
  const std::string& store = options.store;
  if (store.empty()) return OpenFile("");
  if (store.starts_with("sqlite:")) return OpenFile(store.substr(7));
  if (store.starts_with("etcd:")) return OpenCluster(store.substr(5), options);
  return Status(Code::kInvalidArgument, kWhere,
                "--store " + store + " is neither sqlite:PATH nor etcd:http://HOST:PORT,...");
}

}  // namespace accelmesh::market
