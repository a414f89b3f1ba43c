// Daemon: slot-market's sockets, clocks and threads around a Desk. One thread takes messages and the registry's answers
// and decides; libzmq's own encrypts and talks to the network, the registry's writes, the ZAP handler's lets in.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "market/registry/registry.h"
#include "protocol/base/result.h"

namespace accelmesh::market {

struct DaemonOptions {
  std::vector<std::string> listen;
  std::string advertise;  // the URL that others reach this replica by; empty: what it listens on
  std::string store;      // sqlite:PATH or etcd:URLS
  std::string keys;       // a folder; empty: the user's
  std::string identity = "market";
  std::string metrics = "127.0.0.1:7791";  // "off": none
  std::string ledger;                      // a folder; "off": none; empty: beside the store's file, if it has one
  double welcome_credits = 1000;
  double price_step_s = 60;
  double unused_s = 300;      // 0: leases are not sold because nobody uses them
  double gone_s = 86400;      // 0: the bond of a server that is lost stays for ever
  double budget_credits = 0;  // each period, for all who have a weight
  double budget_period_s = 86400;
  bool json = false;
  // Of etcd.
  std::string etcd_prefix = "/accelmesh/market";
  std::string etcd_ca;
  std::string etcd_certificate;
  std::string etcd_key;
};

struct OpenedStore {
  std::unique_ptr<registry::Registry> registry;
  std::string kind;
  std::string warning;
  bool is_alone = false;
  std::string file;  // of sqlite
};
// sqlite:PATH, etcd:URL,URL; empty: the user's file ($XDG_STATE_HOME/accelmesh/market.sqlite).
Result<OpenedStore> OpenStore(const DaemonOptions& options);

// Serves until SIGINT or SIGTERM. Precondition: those are blocked in this thread, and it has started no other.
Status RunDaemon(const DaemonOptions& options);

}  // namespace accelmesh::market
