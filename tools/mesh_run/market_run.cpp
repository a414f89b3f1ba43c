#include "tools/mesh_run/market_run.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "protocol/security/key_file.h"
#include "protocol/security/lease_file.h"
#include "scheduler/core/quantity.h"
#include "tools/agent/keeper.h"
#include "tools/agent/profile_store.h"
#include "tools/agent/promises.h"
#include "tools/agent/receipts.h"
#include "tools/agent/reports.h"
#include "tools/agent/watcher.h"
#include "tools/mesh_run/child.h"
#include "tools/mesh_run/environment.h"
#include "tools/mesh_run/narrator.h"
#include "tools/mesh_run/real_ports.h"
#include "tools/mesh_run/ways.h"

namespace accelmesh::mesh_run {
namespace {

namespace fs = std::filesystem;
using agent::Outcome;

// How long somebody who wants us to end waits for a market's answer.
constexpr int kEndPatienceMs = 4000;
// When receipts of earlier runs are signed, and how long a market is waited for then, and at the end.
constexpr std::int64_t kSignMs = 1500;
constexpr std::int64_t kCallMs = 3000;
constexpr std::int64_t kLastCallMs = 1000;
// How much was used of a shorter lease is not known here, unless its gpu-server has said it.
constexpr std::int64_t kLifeKnownMs = 10'000;

Result<security::Identity> OpenIdentity(const Options& options) {
  std::string folder = options.keys;
  if (folder.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(folder, security::DefaultKeyFolder());
  }
  const security::KeyFolder keys(folder);
  Result<security::Identity> identity = keys.Load(options.identity);
  if (identity.code() != Code::kNotFound) return identity;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Result<security::Identity> made = keys.Create(options.identity, security::Role::kTenant,
                                                std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  // Another mesh-run may have been first.
  return made.ok() ? std::move(made) : keys.Load(options.identity);
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

// Files of one run; they go with it.
class RunFiles {
 public:
  static Result<RunFiles> Make() {
    ACCELMESH_ASSIGN_OR_RETURN(const std::string folder, security::LeaseFolder());
    return RunFiles(folder + "/run-" + std::to_string(::getpid()));
  }
  std::string profile() const { return stem_ + ".profile"; }
  std::string Lease(std::size_t index) const { return stem_ + "-" + std::to_string(index) + ".lease"; }
  // Made by us, so that nobody else owns it.
  Status MakeProfile() const {
    const int file = ::open(profile().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) return Status::System(errno, "mesh-run", profile());
    ::close(file);
    return Status::Ok();
  }
  void Remove(std::size_t leases) const {
    ::unlink(profile().c_str());
    for (std::size_t i = 0; i < leases; ++i) ::unlink(Lease(i).c_str());
  }

 private:
  explicit RunFiles(std::string stem) : stem_(std::move(stem)) {}
  std::string stem_;
};

Ways WaysTo(const agent::Held& held, const Options& options) {
  const char* const trusted = std::getenv("ACCELMESH_TRUSTED_FABRIC");
  const Fabric fabric{trusted != nullptr && std::string_view(trusted) == "1", HasActivePort("/sys/class/infiniband")};
  return OrderWays(held.won.endpoints, options.transport, fabric);
}

Status HandOver(const RunFiles& files, std::size_t index, const agent::Held& held, const Options& options) {
  security::LeaseFile file;
  Ways ways = WaysTo(held, options);
  if (ways.urls.empty()) return {Code::kUnavailable, "mesh-run", ways.why};
  file.endpoints = std::move(ways.urls);
  file.server_key = held.won.server_key;
  file.holder = held.holder;
  file.token = held.won.token;
  file.lease = held.won.lease;
  file.not_after_ms = held.won.not_after_ms;
  return security::WriteLeaseFile(files.Lease(index), file);
}

// The agent, on a thread of its own: negotiates, tells the main thread, keeps the leases until it is told to end.
class Agent {
 public:
  Agent(const Options& options, market::MarketAddress address, const security::Identity& identity,
        const RunFiles& files, agent::Wish wish, Narrator& narrator)
      : identity_(identity),
        market_key_(address.key),
        market_(std::move(address), identity.key),
        files_(files),
        wish_(std::move(wish)),
        options_(options),
        keeps_profile_(options.profile),
        narrator_(narrator),
        negotiated_(::eventfd(0, EFD_CLOEXEC)) {}
  ~Agent() {
    if (negotiated_ >= 0) ::close(negotiated_);
  }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  void Begin() {
    thread_ = std::thread([this] { Work(); });
  }
  int negotiated() const { return negotiated_; }
  // Valid once negotiated() has been written.
  const Outcome& outcome() const { return outcome_; }
  std::size_t leases() const { return leases_; }
  // Gives back what is held.
  void End() {
    world_.Stop();
    if (thread_.joinable()) thread_.join();
  }
  // Somebody does not want to wait for a market that does not answer.
  void Stop() { world_.Stop(); }

 private:
  void Work() {
    const auto hear = [this](const agent::Step& step) { narrator_.Hear(step); };
    const std::string witness = options_.witness ? agent::Watcher::UsersFolder() : "";
    if (!witness.empty()) market_.WantPromises();
    agent::Promises promises(market_, world_, hear, witness, identity_.key, market_key_);
    agent::Negotiator negotiator(market_, servers_, world_, hear);
    outcome_ = negotiator.Negotiate(wish_);
    promises.Collect();
    leases_ = outcome_.leases.size();
    Status handed;
    for (std::size_t i = 0; i < leases_ && handed.ok(); ++i) {
      hear({"way", WaysTo(outcome_.leases[i], options_).why, {}, false});
      handed = HandOver(files_, i, outcome_.leases[i], options_);
    }
    Outcome held = outcome_;
    if (!handed.ok()) {
      outcome_.kind = Outcome::Kind::kFailed;
      outcome_.status = handed;
    }
    narrator_.EndPhase("negotiation");
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(negotiated_, &one, sizeof(one));
    if (held.kind != Outcome::Kind::kLeased) return;
    agent::Keeper keeper(
        market_, servers_, world_, hear, wish_, std::move(held),
        [this](std::size_t index, const agent::Held& lease) { return HandOver(files_, index, lease, options_); },
        [this] { return ProfileSoFar(); });
    agent::Watcher watcher(market_, world_, hear, witness, identity_.key, market_key_);
    agent::Receipts receipts(market_, hear);
    // What earlier runs have left; not while the program starts.
    std::int64_t sign_ms = world_.NowMs() + kSignMs;
    // The program may outlive its leases: then nothing is left to keep, and it hears of that by itself.
    while (true) {
      const std::int64_t keep_ms = keeper.Tick();
      std::int64_t watch_ms = std::min(watcher.Tick(), promises.Tick());
      if (sign_ms >= 0 && world_.NowMs() >= sign_ms) {
        receipts.Sign(kCallMs);
        sign_ms = -1;
      }
      if (sign_ms >= 0) watch_ms = std::min(watch_ms, sign_ms);
      const std::int64_t next_ms = keep_ms < 0 ? watch_ms : std::min(keep_ms, watch_ms);
      if (!world_.Pause(std::max<std::int64_t>(1, next_ms - world_.NowMs()))) break;
    }
    keeper.End();
    for (const agent::Keeper::Ended& ended : keeper.ended()) receipts.Note(ended.lease, WordsOf(ended), ended.use);
    receipts.Sign(kLastCallMs);
    watcher.End();
    promises.End();
  }

  // What the program got of a lease. How much of it was used is not known here, unless its gpu-server has said it when
  // the lease was given back: a program that waits for its device waits for its share of it, and at first for much
  // else.
  agent::LeaseWords WordsOf(const agent::Keeper::Ended& ended) const {
    agent::LeaseWords words;
    const std::int64_t life_ms = std::max<std::int64_t>(1, ended.ended_ms - ended.granted_ms);
    const auto part_of = [life_ms](std::int64_t ms) {
      return std::clamp<std::int64_t>(ms, 0, life_ms) * 1'000'000 / life_ms;
    };
    if (ended.server_seen_ms >= 0) {
      words.uptime_ppm = static_cast<std::uint32_t>(part_of(ended.server_seen_ms - ended.granted_ms));
    }
    if (ended.use || !keeps_profile_ || life_ms < kLifeKnownMs) return words;
    const auto processes = agent::ReadReports(ReadAll(files_.profile()));
    if (processes.empty()) return words;
    const std::int64_t waited = part_of(agent::FoldProcesses(processes).waited_us / 1000);
    words.used_ppm = static_cast<std::uint32_t>(waited * std::min(ended.share_milli, 1000U) / 1000);
    return words;
  }

  std::optional<agent::Profile> ProfileSoFar() {
    if (!keeps_profile_) return std::nullopt;
    const auto processes = agent::ReadReports(ReadAll(files_.profile()));
    if (processes.size() == processes_seen_) return std::nullopt;
    processes_seen_ = processes.size();
    agent::Profile profile = wish_.profile;
    agent::AddRun(profile, agent::FoldProcesses(processes));
    return profile;
  }

  const security::Identity& identity_;
  const security::PublicKey market_key_;
  RealMarket market_;
  RealServers servers_;
  RealWorld world_;
  const RunFiles& files_;
  const agent::Wish wish_;
  const Options& options_;
  const bool keeps_profile_;
  Narrator& narrator_;
  const int negotiated_;
  Outcome outcome_;
  std::size_t leases_ = 0;
  std::size_t processes_seen_ = 0;
  std::thread thread_;
};

class Profiles {
 public:
  explicit Profiles(const Options& options) : store_(agent::ProfileStore::UsersFolder()) {
    std::error_code error;
    is_on_ = options.profile && !agent::ProfileStore::UsersFolder().empty();
    key_ = agent::CommandKey(options.program, fs::current_path(error).string());
  }
  bool is_on() const { return is_on_; }
  agent::Profile Load() const {
    if (!is_on_) return {};
    Result<agent::Profile> profile = store_.Load(key_);
    if (profile.ok()) return *std::move(profile);
    Say("goes on without a profile: %s", profile.status().text().c_str());
    return {};
  }
  void Learn(agent::Profile profile, const std::string& reports) const {
    if (!is_on_) return;
    const auto processes = agent::ReadReports(ReadAll(reports));
    if (processes.empty()) return;
    agent::AddRun(profile, agent::FoldProcesses(processes));
    if (const Status saved = store_.Save(key_, profile); !saved.ok())
      Say("cannot keep what this run needed: %s", saved.text().c_str());
  }

 private:
  agent::ProfileStore store_;
  std::string key_;
  bool is_on_ = false;
};

// Another program, on this machine, without us.
int RunInstead(const std::string& command) {
  const auto child = Child::Start("/bin/sh", {"sh", "-c", command});
  if (!child.ok()) return Say("cannot run %s: %s", command.c_str(), child.status().text().c_str());
  Child running = *child;
  return running.Wait();
}

int RunProgram(const Options& options, const std::string& path, const RunFiles& files, std::size_t leases,
               bool profile) {
  std::string all;
  for (std::size_t i = 0; i < leases; ++i) all += (i == 0 ? "" : ":") + files.Lease(i);
  ::unsetenv("ACCELMESH_SERVER");
  SetOrUnset("ACCELMESH_LEASE", files.Lease(0));
  SetOrUnset("ACCELMESH_LEASES", leases > 1 ? all : "");
  if (!SetPreload({options.stats, options.explain, options.json, profile ? files.profile() : ""})) return kOwnFailure;
  const auto child = Child::Start(path, options.program);
  if (!child.ok()) return Say("cannot run %s: %s", path.c_str(), std::strerror(errno));
  Child running = *child;
  return running.Wait();
}

}  // namespace

int RunByMarket(const Options& options) {
  const auto began = std::chrono::steady_clock::now();
  Options checked = options;
  const std::string path = FindChecked(options.program.front());
  if (path.empty() || !CheckJson(checked.json)) return kOwnFailure;
  const auto urls = market::ParseMarketUrls(options.market);
  if (!urls.ok()) {
    Say("--market %s", urls.status().text().c_str());
    return kUsage;
  }
  const auto market_key = market::FindMarketKey(options.market_key);
  if (!market_key.ok()) return Say("%s", market_key.status().text().c_str());
  const auto identity = OpenIdentity(options);
  if (!identity.ok()) return Say("no key to be known by: %s", identity.status().text().c_str());
  const auto files = RunFiles::Make();
  if (!files.ok()) return Say("%s", files.status().text().c_str());
  const std::string group = SetGroup();
  if (group.empty()) return Say("cannot make the secret of ACCELMESH_GROUP: %s", std::strerror(errno));
  const Profiles profiles(options);
  if (profiles.is_on()) {
    if (const Status made = files->MakeProfile(); !made.ok()) return Say("%s", made.text().c_str());
  }

  Child::BlockSignals();
  agent::Wish wish;
  wish.asked = options.asked;
  wish.profile = profiles.Load();
  wish.policy = options.policy;
  wish.when_nothing = options.when_nothing;
  wish.lease_us = options.lease_us;
  wish.cheap_within_us = options.cheap_within_us;
  wish.sell = options.sell;
  wish.group = security::HashOfSecret(AsBytes(group));
  const agent::Profile before = wish.profile;
  int status = kOwnFailure;
  std::size_t leases = 0;
  {
    Narrator narrator(options.explain, checked.json, began);
    Agent agent(options, {*urls, *market_key}, *identity, *files, std::move(wish), narrator);
    agent.Begin();
    if (const int number = WaitForEvent(agent.negotiated(), -1); number != 0) {
      agent.Stop();
      // A lease that is granted meanwhile is given back; who asks again, or too long, does not wait for that.
      if (WaitForEvent(agent.negotiated(), kEndPatienceMs) != 0) ::_exit(128 + number);
      agent.End();
      files->Remove(agent.leases());
      return 128 + number;
    }
    const Outcome& outcome = agent.outcome();
    leases = agent.leases();
    switch (outcome.kind) {
      case Outcome::Kind::kLeased: status = RunProgram(checked, path, *files, leases, profiles.is_on()); break;
      case Outcome::Kind::kCommand:
        ::unsetenv("ACCELMESH_GROUP");
        status = RunInstead(outcome.command);
        break;
      case Outcome::Kind::kFailed: status = Say("no slot: %s", outcome.status.text().c_str()); break;
    }
    agent.End();
    narrator.EndPhase("end");
  }
  if (profiles.is_on()) profiles.Learn(before, files->profile());
  files->Remove(leases);
  return status;
}

}  // namespace accelmesh::mesh_run
