// slotctl: the market's admin tool. Everything it does is a question to slot-market, but for the keys of this user.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <thread>

#include "scheduler/core/quantity.h"
#include "tools/slotctl/doctor.h"
#include "tools/slotctl/keys.h"
#include "tools/slotctl/session.h"
#include "tools/slotctl/show.h"

namespace accelmesh::slotctl {
namespace {

constexpr int kUsage = 2;

constexpr const char* kFooter = R"(Amounts are credits with up to six decimals; shares are of a whole device.
Exit status: 0 done, 1 failed (stderr says why and what would help), 2 the command line is wrong.

Examples: slotctl slots --watch 2
          slotctl requests --all              what waits, and what each slot lacks
          slotctl prices --plot --svg prices.svg
          slotctl deposit 9f3c... 100
          slotctl drain SERVER/0              lets nothing more; what is let stays until it ends
          slotctl keys trust 9f3c... --role tenant --name anna
          slotctl doctor)";

struct Options {
  Access access;
  bool json = false;
  double watch_s = 0;
  bool all = false;
  bool plot = false;
  std::string svg;
  std::vector<std::string> names;
  std::string amount;
  std::string role = "tenant";
  std::string name;
  std::string reason;
};

int Fail(const Status& status) {
  std::fprintf(stderr, "slotctl: %s\n", status.text().c_str());
  return 1;
}

// Prints once, or again and again.
int Print(const Options& options, const std::function<Result<Report>()>& make) {
  while (true) {
    const Result<Report> report = make();
    if (!report.ok() && options.watch_s == 0) return Fail(report.status());
    if (options.watch_s > 0 && !options.json && ::isatty(STDOUT_FILENO) != 0) std::fputs("\x1b[H\x1b[2J", stdout);
    if (!report.ok()) {
      // Whoever watches wants to see it come back.
      Fail(report.status());
    } else if (options.json) {
      std::printf("%s\n", report->json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    } else {
      std::fputs(report->text.c_str(), stdout);
    }
    std::fflush(stdout);
    if (options.watch_s == 0) return std::ferror(stdout) != 0 ? 1 : 0;
    if (std::ferror(stdout) != 0) return 1;
    std::this_thread::sleep_for(std::chrono::duration<double>(options.watch_s));
  }
}

// One question, shown.
template <typename Reply, typename Request, typename Make>
int Show(const Options& options, const Request& request, const Make& make) {
  auto session = Session::Open(options.access);
  if (!session.ok()) return Fail(session.status());
  return Print(options, [&]() -> Result<Report> {
    ACCELMESH_ASSIGN_OR_RETURN(const Reply reply, (*session)->template Ask<Reply>(Request(request)));
    return make(reply);
  });
}

// One change, told.
template <typename Reply, typename Request>
int Do(const Options& options, Request request, const std::string& done) {
  auto session = Session::Open(options.access);
  if (!session.ok()) return Fail(session.status());
  const Result<Reply> reply = (*session)->template Ask<Reply>(std::move(request));
  if (!reply.ok()) return Fail(reply.status());
  return Print(options, [&]() -> Result<Report> { return Report{done + "\n", {{"done", done}}}; });
}

int Prices(const Options& options) {
  return Show<messages::PricesT>(options, messages::ListPricesT{}, [&](const messages::PricesT& prices) {
    if (!options.svg.empty()) {
      std::ofstream file(options.svg);
      file << SvgOf(prices);
      file.close();
      if (!file) std::fprintf(stderr, "slotctl: %s cannot be written; name another file\n", options.svg.c_str());
    }
    return ReportOf(prices, options.plot);
  });
}

int Accounts(const Options& options) {
  if (!options.names.empty()) {
    messages::GetAccountT one;
    one.identity = options.names.front();
    return Show<messages::AccountT>(options, one, [](const messages::AccountT& account) { return ReportOf(account); });
  }
  return Show<messages::AccountsT>(options, messages::ListAccountsT{},
                                   [](const messages::AccountsT& accounts) { return ReportOf(accounts); });
}

int Deposit(const Options& options) {
  const auto amount = scheduler::ParseCredits(options.amount);
  if (!amount.ok() || *amount == 0) {
    std::fprintf(stderr, "slotctl: %s is no amount to deposit; write credits like 100 or 2.50\n",
                 options.amount.c_str());
    return kUsage;
  }
  messages::DepositT deposit;
  deposit.operation_id = market::MakeOperationId();
  deposit.identity = options.names.front();
  deposit.microcredits = *amount;
  return Do<messages::AccountT>(options, std::move(deposit),
                                "deposited " + scheduler::CreditsText(*amount) + " credits");
}

int Drain(const Options& options, bool drain) {
  messages::DrainSlotsT request;
  request.slots = options.names;
  request.drain = drain;
  auto session = Session::Open(options.access);
  if (!session.ok()) return Fail(session.status());
  const auto slots = (*session)->Ask<messages::SlotsT>(std::move(request));
  if (!slots.ok()) return Fail(slots.status());
  return Print(options, [&]() -> Result<Report> { return ReportOf(*slots); });
}

int Trust(const Options& options, bool is_banned, bool keeps_role) {
  messages::TrustT request;
  request.identity = options.names.front();
  request.is_banned = is_banned;
  if (!keeps_role) {
    request.role = options.role;
    request.name = options.name;
  }
  return Do<messages::AccountT>(
      options, std::move(request),
      keeps_role ? std::string(is_banned ? "banned; its leases end and it is refused from now on" : "let in again")
                 : "trusted as " + options.name + ", " + options.role);
}

int Revoke(const Options& options) {
  messages::RevokeLeaseT request;
  request.operation_id = market::MakeOperationId();
  request.lease = options.names.front();
  request.reason = options.reason;
  return Do<messages::DoneT>(options, std::move(request), "revoked; its gpu-server ends what it runs at once");
}

int Keys(const Options& options, const std::string& what) {
  const auto folder = FolderOf(options.access);
  if (!folder.ok()) return Fail(folder.status());
  const security::KeyFolder keys(*folder);
  return Print(options, [&]() -> Result<Report> {
    if (what == "list") {
      ACCELMESH_ASSIGN_OR_RETURN(const auto all, keys.List());
      return ReportOf(all, NowMs());
    }
    const std::string& name = options.names.front();
    const auto role = security::ParseRole(options.role);
    if (!role.ok()) return role.status();
    Result<security::Identity> identity = what == "create"   ? keys.Create(name, *role, NowMs())
                                          : what == "rotate" ? keys.Rotate(name, NowMs())
                                                             : keys.Load(name);
    if (!identity.ok()) return identity.status();
    return ReportOf(*identity, *folder, NowMs());
  });
}

int Doctor(const Options& options) {
  int faults = 0;
  const int printed = Print(options, [&]() -> Result<Report> {
    const auto findings = Examine(options.access);
    faults = FaultsOf(findings);
    return ReportOf(findings);
  });
  return printed != 0 ? printed : faults == 0 ? 0 : 1;
}

class CommandLine {
 public:
  explicit CommandLine(Options& options) : options_(options) {}

  // What each command and the tool itself take; both before and after the command.
  void AddCommon(CLI::App& app) {
    app.add_flag("--json", options_.json, "as JSON, a line each time");
    app.add_option("--watch", options_.watch_s, "again every so many seconds, until it is ended")
        ->check(CLI::Range(0.1, 86400.0));
    app.add_option("--market", options_.access.market,
                   "tcp://HOST:PORT or ipc:///PATH, replicas separated by commas (default: ACCELMESH_MARKET, else "
                   "tcp://127.0.0.1:7710)");
    app.add_option("--market-key", options_.access.market_key, "the market's public key, in hexadecimal or in a file");
    app.add_option("--identity", options_.access.identity,
                   "whose key is used (default: admin; made if it is not there)");
    app.add_option("--keys", options_.access.keys, "the folder of keys (default: in the user's configuration)");
  }
  CLI::App* Add(CLI::App& app, const char* name, const char* help, std::function<int()> run) {
    CLI::App* const command = app.add_subcommand(name, help);
    AddCommon(*command);
    command->callback([this, run = std::move(run)] { run_ = run; });
    return command;
  }
  void Names(CLI::App* command, const char* what, int most = 1) {
    if (most > 1) {
      command->add_option(what, options_.names, what)->required()->expected(1, most);
      return;
    }
    // A vector would take what belongs to the next one.
    const auto keep = [this](const std::string& name) { options_.names = {name}; };
    command->add_option_function<std::string>(what, keep, what)->required();
  }
  int Run() const { return run_(); }

 private:
  Options& options_;
  std::function<int()> run_;
};

int Main(int argc, char** argv) {
  Options options;
  CommandLine line(options);
  CLI::App app{"slotctl: looks at a market of slots and changes it"};
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("slotctl ") + ACCELMESH_VERSION);
  app.require_subcommand(1);
  line.AddCommon(app);
  line.Add(app, "slots", "the slots there are: what is free, how fast, at what price", [&] {
    return Show<messages::SlotsT>(options, messages::ListSlotsT{},
                                  [](const messages::SlotsT& slots) { return ReportOf(slots); });
  });
  CLI::App* command = line.Add(app, "leases", "one's leases; of a provider, those on its slots", [&] {
    messages::ListLeasesT request;
    request.all = options.all;
    return Show<messages::LeasesT>(options, request,
                                   [](const messages::LeasesT& leases) { return ReportOf(leases, NowMs()); });
  });
  command->add_flag("--all", options.all, "of everybody (admins)");
  command = line.Add(app, "requests", "the requests that wait, and why", [&] {
    messages::ListRequestsT request;
    request.all = options.all;
    return Show<messages::RequestsT>(options, request,
                                     [](const messages::RequestsT& requests) { return ReportOf(requests, NowMs()); });
  });
  command->add_flag("--all", options.all, "of everybody (admins)");
  command = line.Add(app, "prices", "price and utilisation of each class of devices", [&] { return Prices(options); });
  command->add_flag("--plot", options.plot, "with their course");
  command->add_option("--svg", options.svg, "and draws it into this file");
  command = line.Add(app, "accounts", "all accounts (admins), or one", [&] { return Accounts(options); });
  command->add_option("IDENTITY", options.names, "public key, hexadecimal")->expected(0, 1);
  line.Add(app, "account", "one's own account", [&] {
    return Show<messages::AccountT>(options, messages::GetAccountT{},
                                    [](const messages::AccountT& account) { return ReportOf(account); });
  });
  line.Add(app, "status", "the market itself: store, leader, counts", [&] {
    return Show<messages::StatusReportT>(options, messages::GetStatusT{},
                                         [](const messages::StatusReportT& status) { return ReportOf(status); });
  });
  command = line.Add(app, "deposit", "puts credits into an account (admins)", [&] { return Deposit(options); });
  line.Names(command, "IDENTITY");
  command->add_option("CREDITS", options.amount, "how many")->required();
  line.Names(line.Add(app, "drain", "lets nothing more of these slots (their owner, admins)",
                      [&] { return Drain(options, true); }),
             "SLOT", 64);
  line.Names(line.Add(app, "undrain", "lets them again", [&] { return Drain(options, false); }), "SLOT", 64);
  line.Names(line.Add(app, "ban", "refuses an identity from now on and ends its leases (admins)",
                      [&] { return Trust(options, true, true); }),
             "IDENTITY");
  line.Names(line.Add(app, "unban", "lets it in again", [&] { return Trust(options, false, true); }), "IDENTITY");
  command = line.Add(app, "revoke", "ends a lease at once (admins)", [&] { return Revoke(options); });
  line.Names(command, "LEASE");
  command->add_option("--reason", options.reason, "for its tenant's log");
  line.Add(app, "doctor", "looks for what is in the way: keys, market, clock, store, gpu-servers; each with its remedy",
           [&] { return Doctor(options); });
  CLI::App* const keys = app.add_subcommand("keys", "the identities of this user, and whom the market trusts");
  keys->require_subcommand(1);
  line.Add(*keys, "list", "all of them, and what is wrong with those that cannot be used",
           [&] { return Keys(options, "list"); });
  command = line.Add(*keys, "create", "makes one", [&] { return Keys(options, "create"); });
  line.Names(command, "NAME");
  command->add_option("--role", options.role, "tenant (default), provider, admin or witness");
  line.Names(line.Add(*keys, "show", "one of them; nothing secret", [&] { return Keys(options, "show"); }), "NAME");
  line.Names(line.Add(*keys, "rotate", "a new key under the same name; the old one stays beside it",
                      [&] { return Keys(options, "rotate"); }),
             "NAME");
  command = line.Add(*keys, "trust", "lets an identity into the market (admins)",
                     [&] { return Trust(options, false, false); });
  line.Names(command, "PUBLIC-KEY");
  command->add_option("--role", options.role, "tenant (default), provider, admin or witness");
  command->add_option("--name", options.name, "what it is called from now on")->required();
  line.Names(line.Add(*keys, "revoke", "takes the trust back: the same as ban (admins)",
                      [&] { return Trust(options, true, true); }),
             "PUBLIC-KEY");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  if (const auto role = security::ParseRole(options.role); !role.ok()) {
    std::fprintf(stderr, "slotctl: --role %s\n", role.status().text().c_str());
    return kUsage;
  }
  if (options.access.market.empty()) {
    const char* named = std::getenv("ACCELMESH_MARKET");
    options.access.market = named != nullptr && *named != '\0' ? named : "tcp://127.0.0.1:7710";
  }
  ::signal(SIGPIPE, SIG_IGN);  // | head ends it by an error of the stream
  return line.Run();
}

}  // namespace
}  // namespace accelmesh::slotctl

int main(int argc, char** argv) { return accelmesh::slotctl::Main(argc, argv); }
