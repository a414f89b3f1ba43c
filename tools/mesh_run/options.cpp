#include "tools/mesh_run/options.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <cstring>

#include "protocol/transport/channel.h"
#include "scheduler/core/quantity.h"
#include "scheduler/core/request_text.h"
#include "tools/mesh_run/environment.h"

namespace accelmesh::mesh_run {
namespace {

constexpr const char* kHead =
    "mesh-run: runs an unmodified CUDA program on a gpu-server\n\n"
    "  mesh-run --server URL [--stats] [--explain [--json FILE]] -- program [arguments...]\n"
    "  mesh-run [--market URL] --tops N [--dtype T] [--memory SIZE] [--max-price CREDITS] ... -- program "
    "[arguments...]\n\n"
    "By the first form the program runs on the server that is named. By the second, mesh-run wins a lease of a slot "
    "that\n"
    "gives what is asked for, renews it while the program runs, and gives it back at its end.\n";

constexpr const char* kFooter =
    R"(The program uses the CUDA 13 runtime, shared or static; with the static one (nvcc's default) it must not be stripped.
It needs no change and no GPU here.

Exit status: the program's own; 125 if it could not be started, 2 if the command line is wrong. By the market, 128 + n
after signal n.
Environment of the program: ACCELMESH_SERVER (or ACCELMESH_LEASE), LD_PRELOAD and LD_LIBRARY_PATH are set; with --stats
ACCELMESH_STATS as well, with --explain ACCELMESH_EXPLAIN and, for --json, ACCELMESH_EXPLAIN_JSON; and ACCELMESH_GROUP, a random
secret: the program and the processes that it starts may share device memory (cudaIpc*), others may not. Those processes
report, too. A gang (--count) has its lease files in ACCELMESH_LEASES, separated by ':'; ACCELMESH_LEASE is the first.

Calls are answered locally (from the client's own state), posted (sent, and nobody waits), waited for (what the device has not
done yet) or called (a round trip of their own). Counting costs every call some 100 ns; so does learning what the program
needs, unless --no-profile.

Examples: mesh-run --server tcp://127.0.0.1:7700 -- ./vector_add
          mesh-run --tops 0.05 --dtype fp32 --memory 1GiB --max-price 3 -- ./program
          mesh-run --tops 100 --dtype int8 --deadline 2h --policy deadline --when-nothing wait -- python train.py)";

constexpr std::int64_t kCheapWithinUsMax = 30LL * 24 * 3600 * 1'000'000;

// What is asked for, as it stands on the command line.
struct Texts {
  std::string tops, dtype, operation;
  std::string ask, sublet, sell_notice;
  bool firm = false;
  std::vector<std::string> throughput;
  std::vector<std::string> labels;
  std::vector<std::pair<const char*, std::string>> fields;  // of SetField()
  std::string policy, when_nothing = "fail", lease, cheap_within;
};

// False, and said, if a text is wrong.
bool Set(Options& options, const char* field, const std::string& option, const std::string& value) {
  const Status set = scheduler::SetField(options.asked, field, value);
  if (!set.ok()) Say("%s %s", option.c_str(), set.text().c_str());
  return set.ok();
}

// What of the lease is for sale, and at what price.
bool ReadSale(const Texts& texts, Options& options) {
  agent::SellPolicy& sell = options.sell;
  if (texts.firm && (!texts.ask.empty() || !texts.sublet.empty())) {
    Say("--firm sells nothing; leave it out, or --ask and --sublet");
    return false;
  }
  if (texts.firm) sell.kind = agent::SellPolicy::Kind::kFirm;
  if (!texts.ask.empty()) {
    const auto price = scheduler::ParseCredits(texts.ask);
    if (!price.ok()) {
      Say("--ask %s is no price; write credits an hour of a whole device, like 1.50", texts.ask.c_str());
      return false;
    }
    sell.kind = agent::SellPolicy::Kind::kPrice;
    sell.price_microcredits_per_hour = *price;
  }
  if (!texts.sublet.empty()) {
    char* end = nullptr;
    const double share = std::strtod(texts.sublet.c_str(), &end);
    const double milli = *end == '%' ? share * 10 : share * 1000;
    if (end == texts.sublet.c_str() || (*end != '\0' && std::strcmp(end, "%") != 0) || !(milli >= 1 && milli <= 1000)) {
      Say("--sublet %s is no share of a device; write one like 0.3 or 30%%", texts.sublet.c_str());
      return false;
    }
    sell.share_milli = static_cast<std::uint32_t>(milli + 0.5);
  }
  if (!texts.sell_notice.empty()) {
    const auto notice = scheduler::ParseDurationUs(texts.sell_notice);
    if (!notice.ok() || *notice < 0 || *notice > 300'000'000) {
      Say("--sell-notice is between 0s and 5m");
      return false;
    }
    sell.notice_us = *notice;
  }
  return true;
}

bool ReadRequest(const Texts& texts, Options& options) {
  if (!texts.tops.empty()) {
    std::string text = texts.tops + " TOPS";
    if (!texts.dtype.empty()) text += " " + texts.dtype;
    if (!texts.operation.empty()) text += " " + texts.operation;
    if (!Set(options, "throughput", "--tops", text)) return false;
  } else if (!texts.dtype.empty() || !texts.operation.empty()) {
    Say("--dtype and --operation say of what --tops are; add --tops");
    return false;
  }
  for (const std::string& demand : texts.throughput) {
    if (!Set(options, "throughput", "--throughput", demand)) return false;
  }
  for (const std::string& label : texts.labels) {
    if (!Set(options, "label", "--label", label)) return false;
  }
  for (const auto& [field, value] : texts.fields) {
    const bool is_count = std::strcmp(field, "slots") == 0;
    if (is_count && value == "1") continue;
    if (!value.empty() && !Set(options, field, is_count ? "--count" : std::string("--") + field, value)) return false;
  }
  if (!ReadSale(texts, options)) return false;
  if (!texts.lease.empty()) {
    const auto lease = scheduler::ParseDurationUs(texts.lease);
    if (!lease.ok() || *lease < 1'000'000 || *lease > 900'000'000) {
      Say("--lease is between 1s and 15m");
      return false;
    }
    options.lease_us = *lease;
  }
  if (!texts.cheap_within.empty()) {
    const auto within = scheduler::ParseDurationUs(texts.cheap_within);
    if (!within.ok() || *within < 1'000'000 || *within > kCheapWithinUsMax) {
      Say("--cheap-within is between 1s and 30 days, like 6h");
      return false;
    }
    if (options.asked.deadline_us != 0 && *within > options.asked.deadline_us) {
      Say("--cheap-within ends after --deadline; make it shorter");
      return false;
    }
    options.cheap_within_us = *within;
  }
  options.policy = options.asked.deadline_us != 0 ? agent::Policy::kDeadline : agent::Policy::kCost;
  if (!texts.policy.empty()) {
    const auto policy = agent::FindPolicy(texts.policy);
    if (!policy) {
      Say("--policy is latency, throughput, cost or deadline");
      return false;
    }
    options.policy = *policy;
  }
  const auto nothing = agent::ParseWhenNothing(texts.when_nothing);
  if (!nothing.ok()) {
    Say("--when-nothing %s", nothing.status().text().c_str());
    return false;
  }
  options.when_nothing = *nothing;
  // A budget may get the duration that it needs from earlier runs.
  scheduler::FunctionalRequest without = options.asked;
  without.budget_microcredits = 0;
  if (const Status holds = Validate(without); !holds.ok()) {
    Say("what is asked for contradicts itself: %s: %s", holds.where().c_str(), holds.text().c_str());
    return false;
  }
  return true;
}

// How --help shows them: what is written behind each, and under which heading.
void Arrange(CLI::App& app) {
  constexpr const char* kNeeds = "By the market: what the slot must give";
  constexpr const char* kCost = "By the market: how long, and what it may cost";
  constexpr const char* kSale = "By the market: selling while the program runs";
  constexpr const char* kWhich = "By the market: which market, by whose key, which way";
  struct Shown {
    const char* option;
    const char* type;
    const char* group;
  };
  for (const Shown& shown : std::initializer_list<Shown>{
           {"--tops", "N", kNeeds},           {"--dtype", "TYPE", kNeeds},  {"--operation", "NAME", kNeeds},
           {"--throughput", "TEXT", kNeeds},  {"--memory", "SIZE", kNeeds}, {"--latency", "TIME", kNeeds},
           {"--bandwidth", "SPEED", kNeeds},  {"--count", "N", kNeeds},     {"--topology", "NAME", kNeeds},
           {"--zone", "NAME", kNeeds},        {"--label", "NAME", kNeeds},  {"--duration", "TIME", kCost},
           {"--deadline", "TIME", kCost},     {"--notice", "TIME", kCost},  {"--max-price", "CREDITS", kCost},
           {"--budget", "CREDITS", kCost},    {"--policy", "NAME", kCost},  {"--when-nothing", "WHAT", kCost},
           {"--cheap-within", "TIME", kCost}, {"--lease", "TIME", kCost},   {"--no-profile", nullptr, kCost},
           {"--ask", "CREDITS", kSale},       {"--sublet", "SHARE", kSale}, {"--sell-notice", "TIME", kSale},
           {"--firm", nullptr, kSale},        {"--market", "URL", kWhich},  {"--market-key", "KEY", kWhich},
           {"--identity", "NAME", kWhich},    {"--keys", "FOLDER", kWhich}, {"--transport", "WAY", kWhich},
           {"--no-witness", nullptr, kWhich}}) {
    CLI::Option* const option = app.get_option(shown.option);
    if (shown.type != nullptr) option->type_name(shown.type);
    option->group(shown.group);
  }
  app.get_option("--server")->type_name("URL");
  app.get_option("--json")->type_name("FILE");
}

}  // namespace

Parsed ParseCommandLine(int argc, char** argv) {
  Options options;
  Texts texts;
  CLI::App app{kHead};
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("mesh-run ") + ACCELMESH_VERSION);
  CLI::Option* const server = app.add_option(
      "--server", options.server, "the gpu-server: tcp://HOST:PORT, rdma://HOST:PORT, ipc:///PATH or shm://NAME");
  app.add_flag("--stats", options.stats,
               "when the program ends, print a table of its CUDA calls by mode, with times and bytes");
  CLI::Option* const explains = app.add_flag(
      "--explain", options.explain,
      "when the program ends, print per library and function what was answered locally, posted, waited for and called, "
      "the dearest first: calls, commands, bytes, time; by the market also each step, and of every slot why it was "
      "chosen or not");
  app.add_option("--json", options.json,
                 "append what --explain says to this file as lines of JSON, instead of printing it")
      ->needs(explains);
  std::vector<CLI::Option*> by_market;
  // Keeps what CLI11 points to in place.
  texts.fields.reserve(16);
  const auto field = [&](const char* name, const char* option, const char* help) {
    texts.fields.emplace_back(name, "");
    by_market.push_back(app.add_option(option, texts.fields.back().second, help)->group("By the market"));
  };
  const auto option = [&](const char* name, auto& target, const char* help) {
    by_market.push_back(app.add_option(name, target, help)->group("By the market"));
  };
  option("--tops", texts.tops, "10^12 operations a second that the slot must give (a multiply-add is two)");
  option("--dtype", texts.dtype, "of --tops: int8, fp16, bf16, fp32 (default), fp64");
  option("--operation", texts.operation, "of --tops: matmul (default) or convolution");
  option("--throughput", texts.throughput, "more of them, each like \"0.1 TOPS int8 convolution\"");
  field("memory", "--memory", "of the device: 1GiB, 512MiB");
  field("latency", "--latency", "of a launch and its answer, at most: 5ms");
  field("bandwidth", "--bandwidth", "of the device's memory: 100GB/s");
  field("slots", "--count", "a gang of so many slots, all or none (in the auction of whole devices)");
  field("topology", "--topology", "of a gang: any (default), server, zone, spread");
  field("zone", "--zone", "where the slot must be");
  option("--label", texts.labels, "what the slot must carry (repeatable)");
  field("duration", "--duration", "how long it is wanted: 10m");
  field("deadline", "--deadline", "until when the program must be done, from now: 2h");
  field("notice", "--notice", "before the slot is taken back, at least: 1m");
  field("max-price", "--max-price", "credits an hour, for all slots together");
  field("budget", "--budget", "credits for the whole duration");
  option("--policy", texts.policy, "latency, throughput, cost (default) or deadline (default with --deadline)");
  option("--when-nothing", texts.when_nothing,
         "if nothing can be had: fail (default), wait, shrink (ask for less), or a command for this machine's shell");
  option("--cheap-within", texts.cheap_within,
         "waits so long in all for a cheap hour, by the prices of the past ones (default: begins at once)");
  option("--lease", texts.lease, "how long a lease is before it is renewed: 1s to 15m (default: by the duration)");
  option("--ask", texts.ask,
         "for sale while the program runs, at so many credits an hour of a whole device or more (default: what "
         "--max-price allows for the rest of the lease, and what the run has cost so far)");
  option("--sublet", texts.sublet, "sells at most so much of a device, like 0.3 or 30%, and runs on with the rest");
  option("--sell-notice", texts.sell_notice, "how long the program goes on when all is sold: 0s to 5m (default 5s)");
  by_market.push_back(app.add_flag("--firm", texts.firm, "sells nothing at any price")->group("By the market"));
  option("--market", options.market,
         "the market: tcp://HOST:PORT or ipc:///PATH, replicas separated by commas (default: ACCELMESH_MARKET, else "
         "tcp://127.0.0.1:7710)");
  option("--market-key", options.market_key, "the market's public key, in hexadecimal or in a file");
  option("--transport", options.transport,
         "the only way to the server: shm, ipc, rdma or tcp (default: the first of these that there is)");
  by_market.back()->check(CLI::IsMember({"shm", "ipc", "rdma", "tcp"}));
  option("--identity", options.identity, "whose key is used, and who pays (default: default; made if it is not there)");
  option("--keys", options.keys, "the folder of keys (default: in the user's configuration)");
  bool no_profile = false;
  by_market.push_back(
      app.add_flag("--no-profile", no_profile, "neither predict from earlier runs nor learn from this one")
          ->group("By the market"));
  bool no_witness = false;
  by_market.push_back(app.add_flag("--no-witness", no_witness,
                                   "do not watch the market's ledger meanwhile (default: cosigns it as it grows, and "
                                   "tells if it ever shows another history)")
                          ->group("By the market"));
  Arrange(app);
  const char* const named = std::getenv("ACCELMESH_MARKET");
  const bool has_market = named != nullptr && *named != '\0';
  // What follows -- is the program's own: CLI11 would take arguments like [a,b] apart.
  int own = 1;
  while (own < argc && std::strcmp(argv[own], "--") != 0) ++own;
  app.add_option("program", options.program, "the program and its arguments, after --");
  app.positionals_at_end();
  try {
    app.parse(own, argv);
    // Without a program before it, the first -- is ours.
    if (own < argc)
      options.program.insert(options.program.end(), argv + own + (options.program.empty() ? 1 : 0), argv + argc);
    if (options.program.empty()) throw CLI::RequiredError("program");
    std::string given;
    for (const CLI::Option* one : by_market) {
      if (one->count() != 0) given = one->get_name();
    }
    if (server->count() == 0 && given.empty() && !has_market) {
      Say("where shall it run? --server URL names a gpu-server; without --server the market finds one: say what the "
          "program needs (--tops, --memory, ...) or --market URL");
      return {std::nullopt, kUsage};
    }
    if (server->count() != 0 && !given.empty()) {
      Say("--server excludes %s: it names the gpu-server; without --server the market finds one", given.c_str());
      return {std::nullopt, kUsage};
    }
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, app.exit(error) == 0 ? 0 : kUsage};
  }
  options.profile = !no_profile;
  options.witness = !no_witness;
  if (!options.server.empty()) {
    if (const Result<Endpoint> endpoint = ParseEndpoint(options.server); !endpoint.ok()) {
      Say("--server %s", endpoint.status().text().c_str());
      return {std::nullopt, kUsage};
    }
    return {std::move(options), 0};
  }
  if (server->count() != 0) {
    Say("--server is empty; write tcp://HOST:PORT, ipc:///PATH or shm://NAME");
    return {std::nullopt, kUsage};
  }
  if (options.market.empty()) options.market = has_market ? named : "tcp://127.0.0.1:7710";
  if (!ReadRequest(texts, options)) return {std::nullopt, kUsage};
  return {std::move(options), 0};
}

}  // namespace accelmesh::mesh_run
