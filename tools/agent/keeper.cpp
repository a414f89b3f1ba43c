#include "tools/agent/keeper.h"

#include <algorithm>

#include "scheduler/core/quantity.h"
#include "tools/agent/calls.h"

namespace accelmesh::agent {
namespace {

constexpr std::int64_t kTickMsMost = 60'000;
constexpr std::int64_t kSellMs = 500;
constexpr double kHourMs = 3'600'000;
// A run whose need goes up and down is not followed for ever.
constexpr std::size_t kRebidsMax = 4;
// Who runs already pays what is allowed: to lose what has been computed costs more. Without a bound, four times what
// was paid first.
constexpr std::int64_t kPriceFactorWithoutBound = 4;

// When a lease that was asked for at `asked_ms` ends, by our clock. What the market says is by its own, which may have
// jumped, or be ahead or behind: a lease lasts as long as it was asked for. One that had been granted a while before
// its answer came lasts less.
std::int64_t EndOf(const Won& won, std::int64_t asked_ms, std::int64_t lease_us) {
  const std::int64_t life_ms = lease_us / 1000;
  if (won.not_after_ms <= asked_ms) return asked_ms + life_ms;
  return std::clamp(won.not_after_ms, asked_ms + life_ms / 4, asked_ms + life_ms);
}

std::string Seconds(std::int64_t ms) {
  return scheduler::ReadableDuration(static_cast<double>(std::max<std::int64_t>(0, ms)) * 1000);
}

}  // namespace

Keeper::Keeper(MarketPort& market, ServerPort& servers, WorldPort& world, Negotiator::Sink sink, Wish wish,
               Outcome outcome, Hand hand, Look look)
    : market_(market),
      servers_(servers),
      world_(world),
      sink_(std::move(sink)),
      wish_(std::move(wish)),
      prediction_(std::move(outcome.prediction)),
      lease_us_(outcome.lease_us),
      hand_(std::move(hand)),
      look_(std::move(look)) {
  const std::int64_t now_ms = world_.NowMs();
  for (std::size_t i = 0; i < outcome.leases.size(); ++i) {
    Kept kept;
    kept.held = std::move(outcome.leases[i]);
    kept.index = i;
    kept.time = {now_ms, EndOf(kept.held.won, now_ms, lease_us_)};
    kept.granted_ms = kept.server_seen_ms = now_ms;
    kept.served_until_ms = kept.time.not_after_ms;
    kept.paid_from_ms = now_ms;
    // What is left of a lease that was bought may be little.
    kept.due_ms = kept.held.is_bought ? now_ms : FirstRenewalMs(kept.time, world_.Draw());
    kept.id = DrawId(world_);
    kept_.push_back(std::move(kept));
  }
}

void Keeper::Say(std::string stage, std::string text, std::vector<std::pair<std::string, std::string>> facts) {
  sink_({std::move(stage), std::move(text), std::move(facts), false});
}

void Keeper::Trouble(std::string stage, std::string text, std::vector<std::pair<std::string, std::string>> facts) {
  sink_({std::move(stage), std::move(text), std::move(facts), true});
}

std::int64_t Keeper::Tick() {
  // By number: LookAgainAt() may add one.
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    Sell(kept_[i]);
    if (world_.NowMs() < kept_[i].due_ms) continue;
    if (world_.NowMs() >= kept_[i].time.not_after_ms) {
      has_lost_ = has_lost_ || kept_[i].is_current;
      if (kept_[i].is_sold) {
        Trouble("sell",
                "lease " + kept_[i].held.won.lease + " is its buyer's now; what the program has on " +
                    kept_[i].held.won.slot + " ends with it",
                {{"lease", kept_[i].held.won.lease}, {"sold", "true"}});
        NoteEnd(kept_[i], false);
        kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i--));
        continue;
      }
      Trouble("renew",
              "lease " + kept_[i].held.won.lease + " has ended and was not renewed; what the program has on " +
                  kept_[i].held.won.slot + " ends with it",
              {{"lease", kept_[i].held.won.lease}, {"lost", "true"}});
      NoteEnd(kept_[i], false);
      kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i--));
      continue;
    }
    if (!kept_[i].is_shown && !kept_[i].is_refused) {
      Show(kept_[i]);
    } else {
      Renew(kept_[i]);
    }
  }
  if (kept_.empty()) return -1;
  std::int64_t next_ms = world_.NowMs() + kTickMsMost;
  for (const Kept& kept : kept_) {
    next_ms = std::min(next_ms, kept.due_ms);
    if (kept.seller != nullptr && kept.seller->sells()) next_ms = std::min(next_ms, world_.NowMs() + kSellMs);
  }
  return next_ms;
}

void Keeper::Sell(Kept& kept) {
  if (!market_.has_auction() || kept.is_sold) return;
  if (kept.seller == nullptr) kept.seller = std::make_unique<Seller>(market_, world_, sink_, wish_.sell);
  const std::int64_t now_ms = world_.NowMs();
  Seller::Worth worth;
  const std::int64_t ceiling = CeilingOf(prediction_.request);
  if (ceiling >= 0) {
    worth.ceiling_microcredits_per_hour = ceiling / std::max<std::int64_t>(1, prediction_.request.count);
  }
  worth.spent_microcredits = spent_microcredits_ + SpentBy(kept, now_ms);
  worth.left_ms = kept.time.not_after_ms - now_ms;
  const Sale sale = kept.seller->Tick(kept.held.won, worth);
  if (sale.is_all) {
    kept.is_sold = true;
    kept.time.not_after_ms = std::min(kept.time.not_after_ms, sale.ends_ms);
    kept.due_ms = kept.time.not_after_ms;
  } else if (sale.sold_milli != 0) {
    // Its gpu-server knows; the next token says so, too.
    kept.held.won.share_milli -= std::min(kept.held.won.share_milli, sale.sold_milli);
    kept.due_ms = std::min(kept.due_ms, now_ms);
  }
}

double Keeper::SpentBy(const Kept& kept, std::int64_t now_ms) const {
  return static_cast<double>(kept.held.won.price_microcredits_per_hour) *
         static_cast<double>(std::max<std::int64_t>(0, now_ms - kept.paid_from_ms)) / kHourMs;
}

std::int64_t Keeper::AffordableUs(std::int64_t now_ms) const {
  const auto budget = static_cast<double>(prediction_.request.budget_microcredits);
  if (budget == 0) return lease_us_;
  double spent = spent_microcredits_;
  double price = 0;
  for (const Kept& kept : kept_) {
    spent += SpentBy(kept, now_ms);
    price += static_cast<double>(kept.held.won.price_microcredits_per_hour);
  }
  if (price <= 0) return lease_us_;
  const double affordable_us = std::max(0.0, budget - spent) / price * kHourMs * 1000;
  return affordable_us < static_cast<double>(lease_us_) ? static_cast<std::int64_t>(affordable_us) : lease_us_;
}

void Keeper::Renew(Kept& kept) {
  const std::string lease = kept.held.won.lease;
  const std::int64_t lease_us = AffordableUs(world_.NowMs());
  if (lease_us / 1000 <= kept.served_until_ms - world_.NowMs()) {
    kept.due_ms = kept.time.not_after_ms;
    Trouble("renew",
            "lease " + lease + " is not renewed: the budget of " +
                scheduler::CreditsText(prediction_.request.budget_microcredits) + " credits is used up; it ends in " +
                Seconds(kept.time.not_after_ms - world_.NowMs()),
            {{"lease", lease}, {"code", "budget"}});
    return;
  }
  const std::int64_t ceiling = CeilingOf(prediction_.request);
  const auto leases = static_cast<std::int64_t>(std::max<std::uint32_t>(1, prediction_.request.count));
  const std::int64_t price_max =
      ceiling >= 0
          ? ceiling / leases
          : std::max<std::int64_t>(1'000'000, kept.held.won.price_microcredits_per_hour * kPriceFactorWithoutBound);
  if (kept.asked_ms < 0) kept.asked_ms = world_.NowMs();
  Result<Won> renewed = market_.Renew(lease, lease_us, price_max, kept.id, In(kCallMs));
  if (!renewed.ok()) {
    Retry(kept, renewed.status(), "not renewed");
    return;
  }
  ++renewals_;
  const std::int64_t end_ms = EndOf(*renewed, kept.asked_ms, lease_us);
  Say("renew",
      "lease " + lease + " is renewed for " + Seconds(end_ms - world_.NowMs()) + ", " +
          scheduler::CreditsText(renewed->price_microcredits_per_hour) + " credits an hour",
      {{"lease", lease}, {"not_after_ms", std::to_string(renewed->not_after_ms)}});
  Take(kept, *std::move(renewed), end_ms);
  Show(kept);
  LookAgainAt(kept);
}

void Keeper::Take(Kept& kept, Won won, std::int64_t end_ms) {
  // A market that has just been started again may not know where its servers are.
  if (won.endpoints.empty()) {
    won.endpoints = kept.held.won.endpoints;
    won.server_key = kept.held.won.server_key;
  }
  const std::int64_t now_ms = world_.NowMs();
  spent_microcredits_ += SpentBy(kept, now_ms);
  kept.paid_from_ms = now_ms;
  kept.held.won = std::move(won);
  kept.time = {now_ms, end_ms};
  kept.is_shown = false;
  if (kept.seller != nullptr) kept.seller->Renewed();
  DrawNext(kept);
}

void Keeper::DrawNext(Kept& kept) {
  kept.id = DrawId(world_);
  kept.asked_ms = -1;
}

// The gpu-server must know before the old token ends: it ends the sessions of the lease then.
void Keeper::Show(Kept& kept) {
  const Status admitted = servers_.Admit(kept.held.won, kept.held.holder, wish_.group, In(kCallMs));
  kept.is_refused = admitted.code() == Code::kPermissionDenied;
  if (!admitted.ok()) {
    Retry(kept, admitted, "renewed, but its gpu-server does not take the new token");
    return;
  }
  kept.is_shown = true;
  kept.server_seen_ms = world_.NowMs();
  kept.served_until_ms = kept.time.not_after_ms;
  kept.failures = 0;
  kept.due_ms = FirstRenewalMs(kept.time, world_.Draw());
  if (!Handed(kept)) kept.due_ms = std::min(kept.due_ms, world_.NowMs() + 1000);
}

void Keeper::NoteEnd(const Kept& kept, bool is_server_gone, std::optional<DeviceUse> use) {
  ended_.push_back({kept.held.won.lease, kept.granted_ms, world_.NowMs(), is_server_gone ? kept.server_seen_ms : -1,
                    kept.held.won.share_milli, use});
}

bool Keeper::Handed(const Kept& kept) {
  if (!kept.is_current) return true;
  const Status handed = hand_(kept.index, kept.held);
  if (!handed.ok()) Trouble("renew", "processes that the program starts from now on have no lease: " + handed.text());
  return handed.ok();
}

void Keeper::Retry(Kept& kept, const Status& status, const char* what) {
  const std::int64_t now_ms = world_.NowMs();
  const std::int64_t next_ms =
      NextRenewalMs({kept.time.granted_ms, kept.served_until_ms}, now_ms, ++kept.failures, world_.Draw());
  kept.due_ms = next_ms < 0 ? kept.time.not_after_ms : next_ms;
  // An answer is final for that question; the next one may be answered otherwise (a price that has fallen).
  const bool is_unknown =
      status.code() == Code::kUnavailable || status.code() == Code::kDeadlineExceeded || status.code() == Code::kClosed;
  if (!is_unknown && (kept.is_shown || kept.is_refused)) DrawNext(kept);
  // Said at first and then less and less often.
  if ((kept.failures & (kept.failures - 1)) != 0) return;
  Trouble("renew",
          "lease " + kept.held.won.lease + " is " + what + ": " + status.text() +
              "; the program runs on, asks again until it ends in " + Seconds(kept.served_until_ms - now_ms),
          {{"lease", kept.held.won.lease},
           {"failures", std::to_string(kept.failures)},
           {"code", std::string(CodeName(status.code()))}});
}

void Keeper::LookAgainAt(Kept& kept) {
  if (!kept.is_current || rebids_ >= kRebidsMax || !look_) return;
  const std::optional<Profile> profile = look_();
  if (!profile) return;
  const Result<Prediction> now = Predict(wish_.asked, *profile, wish_.policy);
  if (!now.ok()) return;
  Rebid rebid = LookAgain(prediction_, *now);
  if (rebid.move == Move::kKeep) return;
  // Processes that still run have not told what they need; only whole runs say that less will do.
  if (rebid.move == Move::kShrink && wish_.profile.runs.empty()) return;
  ++rebids_;
  sink_(rebid.why);
  const std::size_t index = kept.index;
  if (rebid.move == Move::kShrink) {
    const Won& won = kept.held.won;
    double part = 0;
    for (const auto& demand : prediction_.request.throughput) {
      double less = 0;
      for (const auto& other : now->request.throughput) {
        if (other.operation == demand.operation && other.type == demand.type) less = other.operations_per_s;
      }
      part = std::max(part, less / demand.operations_per_s);
    }
    if (prediction_.request.throughput.empty()) part = 1;
    const auto share =
        std::clamp<std::uint32_t>(static_cast<std::uint32_t>(part * won.share_milli + 0.999), 1, won.share_milli);
    Result<Won> resized = market_.Resize(won.lease, share, std::min(won.memory_bytes, now->request.memory_bytes),
                                         DrawId(world_), In(kCallMs));
    if (!resized.ok()) {
      Say("rebid", "stays as large as it is: " + resized.status().text());
      return;
    }
    Say("rebid", "lease " + resized->lease + " has " + std::to_string(resized->share_milli) + " of 1000 and " +
                     scheduler::ReadableBytes(resized->memory_bytes) + " from now on");
    Take(kept, *std::move(resized), kept.time.not_after_ms);
    Show(kept);
    prediction_ = *now;
    return;
  }
  // Sessions cannot move: they keep the lease that they have, and processes that begin later get the larger one.
  Wish larger = wish_;
  larger.profile = *profile;
  larger.when_nothing = {};
  larger.asked.count = 1;
  Negotiator negotiator(market_, servers_, world_, sink_);
  Outcome outcome = negotiator.Negotiate(larger);
  if (outcome.kind != Outcome::Kind::kLeased) {
    Trouble("rebid", "nothing larger is to be had: " + outcome.status.text() + "; goes on as it is");
    return;
  }
  kept.is_current = false;
  prediction_ = *now;
  Kept next;
  next.held = std::move(outcome.leases.front());
  next.index = index;
  next.time = {world_.NowMs(), EndOf(next.held.won, world_.NowMs(), outcome.lease_us)};
  next.served_until_ms = next.time.not_after_ms;
  next.paid_from_ms = next.granted_ms = next.server_seen_ms = next.time.granted_ms;
  next.due_ms = FirstRenewalMs(next.time, world_.Draw());
  next.id = DrawId(world_);
  Handed(next);
  kept_.push_back(std::move(next));  // `kept` is no more
}

void Keeper::End() {
  for (Kept& kept : kept_) {
    // The server first: it ends what is left of the sessions, and then nothing uses the slot.
    const Result<DeviceUse> ended = servers_.End(kept.held.won, kept.held.holder, In(kCallMs));
    NoteEnd(kept, ended.code() == Code::kUnavailable || ended.code() == Code::kDeadlineExceeded,
            ended.ok() ? std::optional(*ended) : std::nullopt);
    const Result<Receipt> receipt = market_.Release(kept.held.won.lease, DrawId(world_), In(kCallMs));
    if (!receipt.ok()) {
      Trouble("release", "lease " + kept.held.won.lease + " could not be given back: " + receipt.status().text() +
                             "; it ends by itself in " + Seconds(kept.time.not_after_ms - world_.NowMs()));
      continue;
    }
    receipt_.paid_microcredits += receipt->paid_microcredits;
    receipt_.returned_microcredits += receipt->returned_microcredits;
    Say("release",
        "lease " + kept.held.won.lease + " is given back: " + scheduler::CreditsText(receipt->paid_microcredits) +
            " credits paid, " + scheduler::CreditsText(receipt->returned_microcredits) + " came back" +
            (ended.ok() ? "" : "; its gpu-server was not told: " + ended.status().text()),
        {{"lease", kept.held.won.lease},
         {"paid", scheduler::CreditsText(receipt->paid_microcredits)},
         {"returned", scheduler::CreditsText(receipt->returned_microcredits)}});
  }
  kept_.clear();
}

}  // namespace accelmesh::agent
