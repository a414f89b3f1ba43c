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
#include "tools/slotctl/ledger.h"
#include "tools/slotctl/session.h"
#include "tools/slotctl/show.h"
#include "tools/slotctl/show_trade.h"
#include "tools/slotctl/trade.h"

namespace accelmesh::slotctl {
namespace {

constexpr int kUsage = 2;

constexpr const char* kFooter = R"(Amounts are credits with up to six decimals; shares are of a whole device.
Exit status: 0 done, 1 failed (stderr says why and what would help), 2 the command line is wrong.

Examples: slotctl slots --watch 2
          slotctl requests --all              what waits, and what each slot lacks
          slotctl prices --plot --svg prices.svg
          slotctl deposit anna 100
          slotctl book ; slotctl epochs --plot
          slotctl why "0.05 TOPS fp32, memory=256MiB"
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
  std::string lease;
  std::string seller;
  std::uint32_t most = 20;
  double share = 0;
  double notice_s = 5;
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

// Into a file, if one is named.
template <typename Reply>
void Draw(const Options& options, const Reply& reply) {
  if (options.svg.empty()) return;
  std::ofstream file(options.svg);
  file << SvgOf(reply);
  file.close();
  if (!file) std::fprintf(stderr, "slotctl: %s cannot be written; name another file\n", options.svg.c_str());
}

int Book(const Options& options, bool depth) {
  messages::ListAsksT request;
  if (!options.names.empty()) request.class_name = options.names.front();
  return Show<messages::AsksT>(options, request,
                               [&](const messages::AsksT& asks) { return ReportOf(asks, NowMs(), depth); });
}

int Epochs(const Options& options) {
  messages::ListEpochsT request;
  request.most = options.most;
  request.lease = options.lease;
  return Show<messages::EpochsT>(options, request, [&](const messages::EpochsT& epochs) {
    Draw(options, epochs);
    return ReportOf(epochs, options.plot);
  });
}

// One question after the other, shown.
int WithSession(const Options& options, const std::function<Result<Report>(Session&)>& make) {
  auto session = Session::Open(options.access);
  if (!session.ok()) return Fail(session.status());
  return Print(options, [&] { return make(**session); });
}

int Trades(const Options& options) {
  return WithSession(options, [&](Session& session) -> Result<Report> {
    messages::ListEpochsT request;
    request.identity =
        options.names.empty() ? security::HexOf(session.key().public_key().bytes) : options.names.front();
    const std::string identity = request.identity;
    ACCELMESH_ASSIGN_OR_RETURN(const auto epochs, session.Ask<messages::EpochsT>(std::move(request)));
    return TradesOf(epochs, identity);
  });
}

int Deal(const Options& options, const std::string& what) {
  return WithSession(options, [&](Session& session) -> Result<Report> {
    const std::string& file = options.names.front();
    if (what == "record") return RecordDeal(session, file);
    DealDraft draft;
    draft.lease = options.lease;
    draft.seller = options.seller;
    draft.price = options.amount;
    draft.share_milli = static_cast<std::uint32_t>(options.share * 1000 + 0.5);
    draft.notice_us = static_cast<std::int64_t>(options.notice_s * 1e6);
    ACCELMESH_RETURN_IF_ERROR(what == "draft" ? DraftDeal(session, draft, file) : SignDeal(session, file));
    const std::string done = what == "draft" ? file +
                                                   " is drafted and signed by the buyer; the seller signs it: slotctl "
                                                   "deal sign " +
                                                   file
                                             : file +
                                                   " is signed; either side brings it to the market: slotctl deal "
                                                   "record " +
                                                   file;
    return Report{done + "\n", {{"done", done}}};
  });
}

// The identity that the command names, by its key or by its name.
Result<std::string> Named(const Options& options) {
  ACCELMESH_ASSIGN_OR_RETURN(const auto session, Session::Open(options.access));
  return session->IdentityOf(options.names.front());
}

int Accounts(const Options& options) {
  if (!options.names.empty()) {
    const auto identity = Named(options);
    if (!identity.ok()) return Fail(identity.status());
    messages::GetAccountT one;
    one.identity = *identity;
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
  const auto identity = Named(options);
  if (!identity.ok()) return Fail(identity.status());
  messages::DepositT deposit;
  deposit.operation_id = market::MakeOperationId();
  deposit.identity = *identity;
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
  if (keeps_role) {
    const auto identity = Named(options);
    if (!identity.ok()) return Fail(identity.status());
    request.identity = *identity;
  }
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

int Ledger(const Options& options, const LedgerOptions& ledger, bool is_evidence) {
  bool holds = false;
  const int printed = Print(options, [&]() -> Result<Report> {
    ACCELMESH_ASSIGN_OR_RETURN(const LedgerVerdict verdict,
                               is_evidence ? VerifyEvidence(ledger) : VerifyLedger(ledger));
    holds = verdict.holds;
    return verdict.report;
  });
  return printed != 0 ? printed : holds ? 0 : 1;
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
  CLI::App* command = line.Add(
      app, "leases", "the leases of --identity (mesh-run's is default); of a provider, those on its slots", [&] {
        messages::ListLeasesT request;
        request.all = options.all;
        return Show<messages::LeasesT>(
            options, request, [&](const messages::LeasesT& leases) { return ReportOf(leases, NowMs(), options.all); });
      });
  command->add_flag("--all", options.all, "of everybody (admins)");
  command = line.Add(app, "requests", "the requests of --identity that wait, and why", [&] {
    messages::ListRequestsT request;
    request.all = options.all;
    return Show<messages::RequestsT>(options, request, [&](const messages::RequestsT& requests) {
      return ReportOf(requests, NowMs(), options.all);
    });
  });
  command->add_flag("--all", options.all, "of everybody (admins)");
  command = line.Add(app, "prices", "price and utilisation of each class of devices", [&] { return Prices(options); });
  command->add_flag("--plot", options.plot, "with their course");
  command->add_option("--svg", options.svg, "and draws price and utilisation into this file, which browsers show");
  command = line.Add(app, "accounts", "all accounts (admins), or one", [&] { return Accounts(options); });
  command->add_option("IDENTITY", options.names, "a name, or a public key in hexadecimal")->expected(0, 1);
  line.Add(app, "account", "the account of --identity (mesh-run pays from that of default)", [&] {
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
  command = line.Add(app, "book", "what is for sale of each class of devices, up to which price; bids that stand",
                     [&] { return Book(options, true); });
  command->add_option("CLASS", options.names, "one class: BACKEND/DEVICE")->expected(0, 1);
  command = line.Add(app, "asks", "the standing asks: idle supply, and what holders of leases take for them",
                     [&] { return Book(options, false); });
  command->add_option("CLASS", options.names, "one class: BACKEND/DEVICE")->expected(0, 1);
  command = line.Add(app, "epochs", "the auction's last epochs with trades: prices, lanes, who sold to whom",
                     [&] { return Epochs(options); });
  command->add_option("--most", options.most, "so many (default 20)")->check(CLI::Range(1, 256));
  command->add_option("--lease", options.lease, "those with a trade of it");
  command->add_flag("--plot", options.plot, "with the course of prices");
  command->add_option("--svg", options.svg, "and draws it into this file");
  command = line.Add(app, "trades", "what one's own identity, or another, has sold and bought",
                     [&] { return Trades(options); });
  command->add_option("IDENTITY", options.names, "a name, or a public key in hexadecimal")->expected(0, 1);
  command = line.Add(app, "quote", "what a request would get now at the posted price, and what each slot lacks", [&] {
    messages::QuoteT request;
    request.request = options.names.front();
    return Show<messages::QuotationT>(options, request,
                                      [](const messages::QuotationT& quotation) { return ReportOf(quotation); });
  });
  line.Names(command, "REQUEST");
  command = line.Add(app, "why", "which bid for what a request needs would win in the next epoch", [&] {
    return WithSession(options, [&](Session& session) { return WhyOf(session, options.names.front()); });
  });
  line.Names(command, "REQUEST");
  CLI::App* const deal =
      app.add_subcommand("deal", "a lease, or a part of it, from one tenant to another, agreed directly");
  deal->require_subcommand(1);
  command = line.Add(*deal, "draft", "by the buyer: writes the deal into a file, signed",
                     [&] { return Deal(options, "draft"); });
  line.Names(command, "FILE");
  command->add_option("--lease", options.lease, "the seller's")->required();
  command->add_option("--from", options.seller, "the seller's public key")->required();
  command->add_option("--price", options.amount, "credits an hour of a whole device")->required();
  command->add_option("--share", options.share, "of a device, like 0.3 (default: all of the lease)")
      ->check(CLI::Range(0.001, 1.0));
  command->add_option("--notice", options.notice_s, "seconds that the seller goes on if all is sold (default 5)")
      ->check(CLI::Range(0.0, 300.0));
  line.Names(line.Add(*deal, "sign", "by the seller", [&] { return Deal(options, "sign"); }), "FILE");
  line.Names(line.Add(*deal, "record", "brings it to the market; the buyer gets a lease file",
                      [&] { return Deal(options, "record"); }),
             "FILE");
  line.Add(app, "doctor", "looks for what is in the way: keys, market, clock, store, gpu-servers; each with its remedy",
           [&] { return Doctor(options); });
  LedgerOptions ledger;
  CLI::App* const ledgers = app.add_subcommand("ledger", "the market's log of orders, epochs and receipts, offline");
  ledgers->require_subcommand(1);
  command = line.Add(*ledgers, "verify", "clears every epoch again, checks every signature, root and checkpoint",
                     [&] { return Ledger(options, ledger, false); });
  command->add_option("FOLDER", ledger.path, "of the ledger, or a copy of it")->required();
  command->add_option("--log-key", ledger.log_key, "NAME+ID+BASE64 (default: what the folder says itself)");
  command->add_option("--market-id", ledger.market, "which market orders must be for (default: the log's key)");
  command->add_option("--witness", ledger.witnesses, "keys of witnesses whose cosignatures count");
  command->add_option("--witnesses-min", ledger.witnesses_min, "how many must have cosigned the last checkpoint");
  command->add_option("--held", ledger.held, "files with checkpoints that somebody holds: must be of the same history");
  command->add_option("--evidence", ledger.evidence, "file for what convicts a log that has signed two histories");
  command = line.Add(*ledgers, "convict", "whether a file of evidence shows that a log has signed two histories",
                     [&] { return Ledger(options, ledger, true); });
  command->add_option("FILE", ledger.path, "written by --evidence or by a witness")->required();
  command->add_option("--log-key", ledger.log_key, "NAME+ID+BASE64")->required();
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
