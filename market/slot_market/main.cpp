// slot-market: parses the command line and runs the daemon.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "market/slot_market/daemon.h"
#include "protocol/base/log.h"

namespace {

void LogLine(accelmesh::log::Level level, std::string_view line) {
  static constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                          spdlog::level::warn, spdlog::level::err};
  spdlog::log(kLevels[static_cast<int>(level)], "{}", line);
}

}  // namespace

int main(int argc, char** argv) {
  accelmesh::market::DaemonOptions options;
  bool verbose = false;
  CLI::App app{"slot-market: turns functional requests into leased slots of gpu-servers"};
  app.set_version_flag("--version", std::string("slot-market ") + ACCELMESH_VERSION);
  app.add_option("--listen", options.listen,
                 "tcp://HOST:PORT or ipc:///PATH; repeatable (default tcp://127.0.0.1:7710)")
      ->type_name("URL")
      ->group("Listening and storing");
  app.add_option("--advertise", options.advertise, "the URL by which others reach this replica (default: --listen)")
      ->type_name("URL")
      ->group("Listening and storing");
  app.add_option(
         "--store", options.store,
         "sqlite:PATH or etcd:http://HOST:PORT,... (default: sqlite, the user's state folder, accelmesh/market.sqlite)")
      ->type_name("STORE")
      ->group("Listening and storing");
  app.add_option("--keys", options.keys,
                 "the folder of keys: of the market, and of this user's programs, which may all "
                 "connect (default: the user's, accelmesh/keys)")
      ->type_name("FOLDER")
      ->group("Keys");
  app.add_option("--market-identity", options.identity, "the name of the market's key; made if it is not there")
      ->type_name("NAME")
      ->group("Keys");
  const auto amount = [&app](const char* name, double& value, const char* unit, double least, double most,
                             const char* help) {
    app.add_option(name, value, help)->check(CLI::Range(least, most))->type_name(unit)->group("Money");
  };
  amount("--welcome-credits", options.welcome_credits, "CREDITS", 0.0, 1e9,
         "what each identity of this user gets, once");
  amount("--price-step", options.price_step_s, "SECONDS", 0.05, 86400.0, "time between two steps of the posted prices");
  amount("--unused", options.unused_s, "SECONDS", 0.0, 1e9,
         "after how long a lease whose device does nothing is for sale at the posted price; 0: never (default 300)");
  amount(
      "--gone", options.gone_s, "SECONDS", 0.0, 1e9,
      "after how long a lost server is gone for good: its bond pays those whose leases it took along, the rest is its "
      "owner's again, its slots leave the book; 0: never (default a day)");
  amount("--budget", options.budget_credits, "CREDITS", 0.0, 1e9,
         "credits that are handed out each period, by the weights that slotctl shares sets (default none)");
  amount("--budget-period", options.budget_period_s, "SECONDS", 1.0, 1e9, "how long a period is (default a day)");
  app.add_option("--ledger", options.ledger,
                 "the folder of the auction's ledger, which anybody can verify; off: none (default: beside the store's "
                 "file)")
      ->type_name("FOLDER")
      ->group("Listening and storing");
  app.add_option("--metrics", options.metrics, "HOST:PORT for Prometheus, or the next free port; off: none")
      ->type_name("ADDRESS")
      ->group("Listening and storing");
  app.add_option("--etcd-prefix", options.etcd_prefix, "before every key in etcd (default /accelmesh/market)")
      ->type_name("PREFIX")
      ->group("With etcd");
  app.add_option("--etcd-ca", options.etcd_ca, "PEM file: who signs etcd's certificates")
      ->type_name("FILE")
      ->group("With etcd");
  app.add_option("--etcd-cert", options.etcd_certificate, "PEM file: this market's certificate for etcd")
      ->type_name("FILE")
      ->group("With etcd");
  app.add_option("--etcd-key", options.etcd_key, "PEM file: the key to it")->type_name("FILE")->group("With etcd");
  app.footer(
      "Each user's own programs may connect; whom else: slotctl keys trust. Something is in the way? slotctl doctor\n\n"
      "Examples: slot-market\n"
      "          slot-market --listen tcp://10.0.0.5:7710 --store etcd:https://10.0.0.6:2379 --etcd-ca ca.pem "
      "--etcd-cert market.pem --etcd-key market.key");
  app.add_flag("--json", options.json, "say when it is ready as one line of JSON");
  app.add_flag("--verbose", verbose, "log every server, election and resync");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.listen.empty()) options.listen.push_back("tcp://127.0.0.1:7710");
  spdlog::set_default_logger(spdlog::stderr_color_mt("slot-market"));
  accelmesh::log::SetSink(&LogLine);
  accelmesh::log::SetLevel(verbose ? accelmesh::log::Level::kInfo : accelmesh::log::Level::kWarning);
  // Before any thread starts, so that none of them takes the signal.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write
  const accelmesh::Status status = accelmesh::market::RunDaemon(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "slot-market: %s\n", status.text().c_str());
  return 1;
}
