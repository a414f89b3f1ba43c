// Commands about slots, leases, accounts, keys, and the market itself.
#include <cstdio>

#include "scheduler/core/quantity.h"
#include "tools/slotctl/command_line.h"
#include "tools/slotctl/doctor.h"
#include "tools/slotctl/keys.h"

namespace accelmesh::slotctl {
namespace {

int Prices(const Options& options) {
  bool is_drawn = true;
  const int printed = Show<messages::PricesT>(options, messages::ListPricesT{}, [&](const messages::PricesT& prices) {
    is_drawn = Draw(options, SvgOf(prices));
    return ReportOf(prices, options.plot);
  });
  return printed != 0 || is_drawn ? printed : 1;
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

void AddKeys(CommandLine& line) {
  Options& options = line.options();
  CLI::App* const keys = line.app().add_subcommand("keys", "the identities of this user, and whom the market trusts");
  keys->group(kMoney)->require_subcommand(1);
  line.Add(*keys, nullptr, "list", "all of them, and what is wrong with those that cannot be used",
           [&] { return Keys(options, "list"); });
  CLI::App* command = line.Add(*keys, nullptr, "create", "makes one", [&] { return Keys(options, "create"); });
  line.Names(command, "NAME");
  command->add_option("--role", options.role, "tenant (default), provider, admin or witness");
  line.Names(line.Add(*keys, nullptr, "show", "one of them; nothing secret", [&] { return Keys(options, "show"); }),
             "NAME");
  line.Names(line.Add(*keys, nullptr, "rotate", "a new key under the same name; the old one stays beside it",
                      [&] { return Keys(options, "rotate"); }),
             "NAME");
  command = line.Add(*keys, nullptr, "trust", "lets an identity into the market (admins)",
                     [&] { return Trust(options, false, false); });
  line.Names(command, "PUBLIC-KEY");
  command->add_option("--role", options.role, "tenant (default), provider, admin or witness");
  command->add_option("--name", options.name, "what it is called from now on")->required();
  line.Names(line.Add(*keys, nullptr, "revoke", "takes the trust back: the same as ban (admins)",
                      [&] { return Trust(options, true, true); }),
             "PUBLIC-KEY");
}

void AddSlots(CommandLine& line) {
  Options& options = line.options();
  CLI::App& app = line.app();
  line.Add(app, kLooking, "slots", "the slots there are: what is free, how fast, at what price", [&] {
    return Show<messages::SlotsT>(options, messages::ListSlotsT{},
                                  [](const messages::SlotsT& slots) { return ReportOf(slots); });
  });
  CLI::App* command = line.Add(
      app, kLooking, "leases", "the leases of --identity (mesh-run's is default); of a provider, those on its slots",
      [&] {
        messages::ListLeasesT request;
        request.all = options.all;
        return Show<messages::LeasesT>(
            options, request, [&](const messages::LeasesT& leases) { return ReportOf(leases, NowMs(), options.all); });
      });
  command->add_flag("--all", options.all, "of everybody (admins)");
  command = line.Add(app, kLooking, "requests", "the requests of --identity that wait, and why", [&] {
    messages::ListRequestsT request;
    request.all = options.all;
    return Show<messages::RequestsT>(options, request, [&](const messages::RequestsT& requests) {
      return ReportOf(requests, NowMs(), options.all);
    });
  });
  command->add_flag("--all", options.all, "of everybody (admins)");
  command = line.Add(app, kLooking, "prices", "price and utilisation of each class of devices",
                     [&] { return Prices(options); });
  line.Plots(command, "with their course", "and draws price and utilisation into this file, which browsers show");
  line.Names(line.Add(app, kRunning, "drain", "lets nothing more of these slots (their owner, admins)",
                      [&] { return Drain(options, true); }),
             "SLOT", 64);
  line.Names(line.Add(app, kRunning, "undrain", "lets them again", [&] { return Drain(options, false); }), "SLOT", 64);
  command = line.Add(app, kRunning, "revoke", "ends a lease at once (admins)", [&] { return Revoke(options); });
  line.Names(command, "LEASE");
  command->add_option("--reason", options.reason, "for its tenant's log");
  line.Add(app, kRunning, "status", "the market itself: store, leader, counts", [&] {
    return Show<messages::StatusReportT>(options, messages::GetStatusT{},
                                         [](const messages::StatusReportT& status) { return ReportOf(status); });
  });
  line.Add(app, kRunning, "doctor",
           "looks for what is in the way: keys, market, clock, store, gpu-servers; each with its remedy",
           [&] { return Doctor(options); });
}

}  // namespace

void AddMarketCommands(CommandLine& line) {
  Options& options = line.options();
  CLI::App& app = line.app();
  AddSlots(line);
  CLI::App* command =
      line.Add(app, kMoney, "accounts", "all accounts (admins), or one", [&] { return Accounts(options); });
  line.MayName(command, "IDENTITY", "a name, or a public key in hexadecimal");
  line.Add(app, kMoney, "account", "the account of --identity (mesh-run pays from that of default)", [&] {
    return Show<messages::AccountT>(options, messages::GetAccountT{},
                                    [](const messages::AccountT& account) { return ReportOf(account); });
  });
  command = line.Add(app, kMoney, "deposit", "puts credits into an account (admins)", [&] { return Deposit(options); });
  line.Names(command, "IDENTITY");
  command->add_option("CREDITS", options.amount, "how many")->required();
  line.Names(line.Add(app, kMoney, "ban", "refuses an identity from now on and ends its leases (admins)",
                      [&] { return Trust(options, true, true); }),
             "IDENTITY");
  line.Names(line.Add(app, kMoney, "unban", "lets it in again", [&] { return Trust(options, false, true); }),
             "IDENTITY");
  AddKeys(line);
}

}  // namespace accelmesh::slotctl
