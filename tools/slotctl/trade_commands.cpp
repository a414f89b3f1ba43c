// Commands about the auction, deals between tenants, receipts and reputation.
#include "scheduler/core/quantity.h"
#include "tools/slotctl/command_line.h"
#include "tools/slotctl/show_receipts.h"
#include "tools/slotctl/show_trade.h"
#include "tools/slotctl/trade.h"

namespace accelmesh::slotctl {
namespace {

int Book(const Options& options, bool depth) {
  messages::ListAsksT request;
  if (!options.names.empty()) request.class_name = options.names.front();
  bool is_drawn = true;
  const int printed = Show<messages::AsksT>(options, request, [&](const messages::AsksT& asks) {
    is_drawn = Draw(options, SvgOf(asks));
    return ReportOf(asks, NowMs(), {depth, options.plot});
  });
  return printed != 0 || is_drawn ? printed : 1;
}

int Epochs(const Options& options) {
  messages::ListEpochsT request;
  request.most = options.most;
  request.lease = options.lease;
  bool is_drawn = true;
  const int printed = Show<messages::EpochsT>(options, request, [&](const messages::EpochsT& epochs) {
    is_drawn = Draw(options, SvgOf(epochs));
    return ReportOf(epochs, options.plot);
  });
  return printed != 0 || is_drawn ? printed : 1;
}

int Trades(const Options& options) {
  return WithSession(options, [&](Session& session) -> Result<Report> {
    messages::ListEpochsT request;
    if (options.names.empty()) {
      request.identity = session.identity();
    } else {
      ACCELMESH_ASSIGN_OR_RETURN(request.identity, session.IdentityOf(options.names.front()));
    }
    const std::string identity = request.identity;
    ACCELMESH_ASSIGN_OR_RETURN(const auto epochs, session.Ask<messages::EpochsT>(std::move(request)));
    return TradesOf(epochs, identity, options.names.empty());
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

int Receipts(const Options& options) {
  messages::ListReceiptsT request;
  request.all = options.all;
  request.open = options.open;
  request.lease = options.lease;
  return Show<messages::ReceiptsT>(
      options, request, [&](const messages::ReceiptsT& receipts) { return ReportOf(receipts, NowMs(), options.all); });
}

int Reputation(const Options& options) {
  return WithSession(options, [&](Session& session) -> Result<Report> {
    messages::ListReputationT request;
    if (!options.names.empty()) {
      ACCELMESH_ASSIGN_OR_RETURN(request.identity, session.IdentityOf(options.names.front()));
    }
    ACCELMESH_ASSIGN_OR_RETURN(const auto reputations, session.Ask<messages::ReputationsT>(std::move(request)));
    return ReportOf(reputations);
  });
}

int Shares(const Options& options) {
  messages::SetSharesT request;
  request.budget_weight = options.weight;
  for (const std::string& text : options.floors) {
    auto floor = std::make_unique<messages::FloorT>();
    const std::size_t equals = text.rfind('=');
    char* end = nullptr;
    const double share = equals == std::string::npos ? -1 : std::strtod(text.c_str() + equals + 1, &end);
    if (equals == 0 || !(share > 0 && share <= 1) || *end != '\0') {
      std::fprintf(stderr, "slotctl: --floor %s is none; write one like \"cpu/AccelMesh Software GPU=0.2\"\n",
                   text.c_str());
      return kUsage;
    }
    floor->class_name = text.substr(0, equals);
    floor->share_ppm = static_cast<std::uint32_t>(share * 1e6 + 0.5);
    request.floors.push_back(std::move(floor));
  }
  const auto identity = Named(options);
  if (!identity.ok()) return Fail(identity.status());
  request.identity = *identity;
  return Do<messages::AccountT>(options, std::move(request),
                                "set: weight " + std::to_string(options.weight) + " of each period's budget, " +
                                    std::to_string(options.floors.size()) +
                                    (options.floors.size() == 1 ? " floor" : " floors") + ", instead of what it had");
}

void AddDeal(CommandLine& line) {
  Options& options = line.options();
  CLI::App* const deal =
      line.app().add_subcommand("deal", "a lease, or a part of it, from one tenant to another, agreed directly");
  deal->group(kTrading)->require_subcommand(1);
  CLI::App* command = line.Add(*deal, nullptr, "draft", "by the buyer: writes the deal into a file, signed",
                               [&] { return Deal(options, "draft"); });
  line.Names(command, "FILE");
  command->add_option("--lease", options.lease, "the seller's")->required();
  command->add_option("--from", options.seller, "the seller's public key")->required();
  command->add_option("--price", options.amount, "credits an hour of a whole device")->required();
  command->add_option("--share", options.share, "of a device, like 0.3 (default: all of the lease)")
      ->check(CLI::Range(0.001, 1.0));
  command->add_option("--notice", options.notice_s, "seconds that the seller goes on if all is sold (default 5)")
      ->check(CLI::Range(0.0, 300.0));
  line.Names(line.Add(*deal, nullptr, "sign", "by the seller", [&] { return Deal(options, "sign"); }), "FILE");
  line.Names(line.Add(*deal, nullptr, "record", "brings it to the market; the buyer gets a lease file",
                      [&] { return Deal(options, "record"); }),
             "FILE");
}

void AddQuestions(CommandLine& line) {
  Options& options = line.options();
  CLI::App* command = line.Add(
      line.app(), kTrading, "quote", "what a request would get now at the posted price, and what each slot lacks", [&] {
        messages::QuoteT request;
        request.request = options.names.front();
        return Show<messages::QuotationT>(options, request,
                                          [](const messages::QuotationT& quotation) { return ReportOf(quotation); });
      });
  line.Names(command, "REQUEST");
  command->footer(
      "REQUEST is like \"0.05 TOPS fp32, memory=256MiB, max-price=3\"; docs/market.md lists what it may say.");
  command = line.Add(
      line.app(), kTrading, "why",
      "which bid for what a request needs would win in the next epoch, and what it would pay",
      [&] { return WithSession(options, [&](Session& session) { return WhyOf(session, options.names.front()); }); });
  line.Names(command, "REQUEST");
  command->footer(
      "REQUEST is like \"0.05 TOPS fp32, memory=256MiB\". Others' bids are sealed: the answer is for the case that "
      "nobody "
      "else bids.");
}

}  // namespace

void AddTradeCommands(CommandLine& line) {
  Options& options = line.options();
  CLI::App& app = line.app();
  CLI::App* command =
      line.Add(app, kTrading, "book", "what is for sale of each class of devices, up to which price; bids that stand",
               [&] { return Book(options, true); });
  line.MayName(command, "CLASS", "one class: BACKEND/DEVICE");
  line.Plots(command, "with bars: how much can be had up to each price",
             "and draws what can be had at which price into this file, which browsers show");
  command = line.Add(app, kTrading, "asks", "the standing asks: idle supply, and what holders of leases take for them",
                     [&] { return Book(options, false); });
  line.MayName(command, "CLASS", "one class: BACKEND/DEVICE");
  AddQuestions(line);
  command = line.Add(app, kTrading, "epochs", "the auction's last epochs with trades: prices, lanes, who sold to whom",
                     [&] { return Epochs(options); });
  command->add_option("--most", options.most, "so many (default 20)")->check(CLI::Range(1, 256));
  command->add_option("--lease", options.lease, "those with a trade of it");
  line.Plots(command, "with the course of prices", "and draws it into this file, which browsers show");
  command = line.Add(app, kTrading, "trades", "what --identity, or another, has sold and bought",
                     [&] { return Trades(options); });
  line.MayName(command, "IDENTITY", "a name (admins), or a public key in hexadecimal");
  AddDeal(line);
  command = line.Add(app, kTrading, "receipts",
                     "what provider and buyer have signed of leases that are over: delivered, used, paid",
                     [&] { return Receipts(options); });
  command->add_flag("--all", options.all, "of everybody (admins)");
  command->add_flag("--open", options.open, "those that --identity has yet to sign");
  command->add_option("--lease", options.lease, "of one lease");
  command = line.Add(app, kTrading, "reputation", "how far providers and buyers can be relied on, by their receipts",
                     [&] { return Reputation(options); });
  line.MayName(command, "IDENTITY", "a name (admins), or a public key in hexadecimal");
  command = line.Add(app, kMoney, "shares",
                     "what an identity gets of each period's budget, and its floors, instead of what it had (admins)",
                     [&] { return Shares(options); });
  line.Names(command, "IDENTITY");
  command->add_option("--budget-weight", options.weight, "of what is handed out each period (default 0: nothing)");
  command->add_option(
      "--floor", options.floors,
      "CLASS=PART: the part of a class's devices that it may always have at the posted price (repeatable)");
}

}  // namespace accelmesh::slotctl
