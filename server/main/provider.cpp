#include "server/main/provider.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <optional>

#include "protocol/base/log.h"
#include "server/main/lease_receipts.h"
#include "server/main/provider_uses.h"
#include "server/main/self_run.h"
#include "server/measure/duty.h"
#include "server/measure/measure.h"

namespace accelmesh {
namespace {

namespace messages = market::messages;

constexpr std::chrono::milliseconds kRound{200};  // how soon it notices that it is to end
constexpr std::chrono::seconds kAnswerPatience{5};
constexpr std::chrono::seconds kSupervisorPatience{2};
constexpr std::chrono::minutes kMeasurePatience{10};
constexpr std::chrono::milliseconds kRetryFirst{250};
constexpr std::chrono::milliseconds kRetryMax{8000};
constexpr std::chrono::milliseconds kKeepMin{50};
constexpr std::chrono::seconds kKeepMax{60};
constexpr double kCheckDuty = 0.005;
constexpr std::chrono::seconds kBusyRetry{30};
constexpr int kRoundTrips = 12;
constexpr std::chrono::minutes kUsesKept{20};
// The rest comes again with the next answer to a keep.
constexpr std::chrono::seconds kSigningMax{1};
constexpr const char* kName = "provider";

std::int64_t WallMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

// The thread's own state.
class Provider::Run {
 public:
  explicit Run(Provider& provider)
      : provider_(provider),
        options_(provider.options_),
        client_(options_.market, provider.identity_.key, "gpu-server " + options_.offer.name) {
    client_.OnPush([this](const messages::PushT& push) { Hear(push); });
  }

  void Main() {
    if (!Measure()) return;
    Instant retry = Clock::now();
    std::chrono::milliseconds pause = kRetryFirst;
    while (!provider_.stop_.load()) {
      if (!is_registered_) {
        if (Clock::now() < retry) {
          Rest(std::min<Duration>(retry - Clock::now(), kRound));
          continue;
        }
        const Status status = Register();
        if (status.ok()) {
          pause = kRetryFirst;
          continue;
        }
        Say("not registered at the market: " + status.ToString());
        retry = Clock::now() + pause;
        pause = std::min(2 * pause, kRetryMax);
        continue;
      }
      const Status polled = client_.Poll(Deadline::After(std::min<Duration>(kRound, next_keep_ - Clock::now())));
      if (polled.code() != Code::kDeadlineExceeded && !polled.ok()) Rest(kKeepMin);
      if (client_.connections() != connection_) {
        Lose("the connection is new");
      } else if (Clock::now() >= next_keep_) {
        Keep();
      }
      if (is_registered_) Check();
    }
  }

 private:
  void Rest(Duration time) { std::this_thread::sleep_for(std::max<Duration>(time, Duration::zero())); }

  // The same words once only.
  void Say(const std::string& text) {
    if (text == said_) return;
    said_ = text;
    log::Warning(kName, text);
  }
  template <typename Change>
  void Note(Change change) {
    const MutexLock lock(provider_.mutex_);
    change(provider_.progress_);
  }
  void Lose(const std::string& why) {
    is_registered_ = false;
    Note([](Progress& progress) {
      progress.is_registered = false;
      ++progress.lost;
    });
    Say("the market is lost (" + why + "); programs run on until their leases end");
  }

  std::vector<std::string> MeasureArguments(const std::string& more, const std::string& value) const {
    std::vector<std::string> arguments = options_.measure;
    arguments.insert(arguments.end(), {"--measure", "--json", more});
    if (!value.empty()) arguments.push_back(value);
    return arguments;
  }

  // Whether there are numbers to register.
  bool Measure() {
    Result<SelfRun> run = SelfRun::Start(options_.self, MeasureArguments("--measure-cached", ""));
    const Deadline deadline = Deadline::After(kMeasurePatience);
    Result<std::string> text = run.ok() ? run->Finish(Deadline::After(kRound)) : Result<std::string>(run.status());
    while (text.code() == Code::kDeadlineExceeded && !provider_.stop_.load() && !deadline.passed())
      text = run->Finish(Deadline::After(kRound));
    if (provider_.stop_.load()) return false;
    Result<measure::Report> report = text.ok() ? measure::ParseReport(*text) : Result<measure::Report>(text.status());
    if (!report.ok()) {
      log::Error(kName, "the device cannot be measured, and is not offered: " + report.status().ToString());
      return false;
    }
    report_ = *std::move(report);
    return true;
  }

  Status Register() {
    ACCELMESH_RETURN_IF_ERROR(MeasureRoundTrip());
    ACCELMESH_ASSIGN_OR_RETURN(const messages::RegisteredT registered,
                               market::Ask<messages::RegisteredT>(
                                   client_, MakeOffer(options_.offer, report_, options_.endpoints, round_trip_us_),
                                   Deadline::After(kAnswerPatience)));
    ACCELMESH_RETURN_IF_ERROR(TakeFloors(registered));
    connection_ = client_.connections();
    SetKeep(registered.keep_us);
    is_registered_ = true;
    said_.clear();
    Note([](Progress& progress) {
      progress.is_registered = true;
      ++progress.registrations;
    });
    log::Info(kName, "registered at the market as " + options_.offer.name);
    return {};
  }

  // What was let before is over where the market says so, before anything new is served.
  Status TakeFloors(const messages::RegisteredT& registered) {
    std::vector<std::pair<std::string, std::uint64_t>> floors;
    for (const auto& epoch : registered.epochs) floors.emplace_back(epoch->slot, epoch->epoch);
    const messages::RegisterServerT offer = MakeOffer(options_.offer, report_, options_.endpoints, round_trip_us_);
    std::vector<LeaseBookSlot> slots;
    for (const auto& slot : offer.slots) slots.push_back({slot->id, slot->share_milli, slot->memory_bytes});
    return Supervise<Status>([this, floors, slots] {
             LeaseBook& leases = provider_.hooks_.leases();
             for (const LeaseBookSlot& slot : slots) leases.SetSlot(slot.id, slot.share_milli, slot.memory_bytes);
             for (const auto& [slot, epoch] : floors) {
               if (const Status raised = leases.Raise(slot, epoch); !raised.ok()) return raised;
             }
             return Status();
           })
        .value_or(Status(Code::kUnavailable, kName, "the supervisor does not answer"));
  }

  void SetKeep(std::int64_t keep_us) {
    const auto keep = std::clamp<Duration>(std::chrono::microseconds(std::clamp<std::int64_t>(keep_us, 0, 60'000'000)),
                                           kKeepMin, kKeepMax);
    next_keep_ = Clock::now() + keep;
  }

  Status MeasureRoundTrip() {
    std::vector<double> samples;
    for (int i = 0; i < kRoundTrips; ++i) {
      const Instant begin = Clock::now();
      ACCELMESH_RETURN_IF_ERROR(
          market::Ask<messages::PricesT>(client_, messages::ListPricesT{}, Deadline::After(kAnswerPatience)).status());
      // The first one connects.
      if (i > 0) samples.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
    round_trip_us_ = measure::MeanInterval(samples);
    return {};
  }

  void Keep() {
    messages::KeepServerT keep;
    std::map<std::string, LeaseFacts> now, told = told_;
    std::vector<std::string> next;
    if (const std::optional<ServerFacts> facts = Facts(); facts.has_value()) {
      now = facts->leases;
      if (facts->died_total != died_) troubles_.died_ms = WallMs();
      died_ = facts->died_total;
      std::erase_if(told, [&](const auto& entry) { return !now.contains(entry.first); });
      next = NextUses(now, told, last_told_, kUsesMax);
      for (const std::string& lease : next) {
        const LeaseFacts& use = now.at(lease);
        LeaseFacts& before = told[lease];
        auto fresh = std::make_unique<messages::LeaseUseT>();
        fresh->lease = lease;
        fresh->device_time_us = static_cast<std::int64_t>(use.device_us - std::min(use.device_us, before.device_us));
        fresh->memory_bytes_high = use.memory_bytes_high;
        fresh->sessions = use.sessions - std::min(use.sessions, before.sessions);
        keep.uses.push_back(std::move(fresh));
        before = use;
      }
    }
    const Result<messages::KeptT> kept =
        market::Ask<messages::KeptT>(client_, std::move(keep), Deadline::After(kAnswerPatience));
    if (!kept.ok()) return Lose(kept.status().text());
    NoteUses(now);
    // Those leases may have ended since.
    if (!kept->receipts.empty()) {
      if (const std::optional<ServerFacts> facts = Facts(); facts.has_value()) NoteUses(facts->leases);
    }
    SignReceipts(kept->receipts);
    told_ = std::move(told);
    if (!next.empty()) last_told_ = next.back();
    SetKeep(kept->keep_us);
  }

  // What is known of a lease is needed until its receipt is signed.
  void NoteUses(const std::map<std::string, LeaseFacts>& now) {
    for (const auto& [lease, use] : now) uses_[lease] = {use, Clock::now()};
    std::erase_if(uses_, [](const auto& entry) { return entry.second.second + kUsesKept < Clock::now(); });
  }

  // Of leases that are over, by what is known of them here.
  void SignReceipts(const std::vector<std::unique_ptr<messages::ReceiptT>>& open) {
    const Instant until = Clock::now() + kSigningMax;
    for (const auto& receipt : open) {
      if (Clock::now() >= until) return;
      const auto use = uses_.find(receipt->lease);
      const std::optional<market::ReceiptWords> words =
          WordsFor(*receipt, use != uses_.end() ? &use->second.first : nullptr, troubles_, WallMs());
      if (!words) continue;
      Result<messages::SignReceiptT> sign = market::SignReceipt(*receipt, *words, provider_.identity_.key);
      const Status signed_it =
          sign.ok()
              ? market::Ask<messages::ReceiptT>(client_, *std::move(sign), Deadline::After(kAnswerPatience)).status()
              : sign.status();
      if (signed_it.code() == Code::kUnavailable || signed_it.code() == Code::kDeadlineExceeded) return;
      if (!signed_it.ok()) Say("the receipt of lease " + receipt->lease + " is not signed: " + signed_it.text());
    }
  }

  void Hear(const messages::PushT& push) {
    if (const auto* raised = push.body.AsEpochRaised(); raised != nullptr) {
      provider_.hooks_.post([&hooks = provider_.hooks_, slot = raised->slot, epoch = raised->epoch,
                             lease = raised->lease, reason = raised->reason] {
        if (!lease.empty()) {
          // What is pushed is the epoch after that of the lease that has ended.
          hooks.leases().Revoke(lease, "the market ended lease " + lease + ": " + reason,
                                epoch - std::min<std::uint64_t>(epoch, 1));
        } else if (const Status done = hooks.leases().Raise(slot, epoch); !done.ok()) {
          log::Error(kName, done.ToString());
        }
      });
    } else if (const auto* shrunk = push.body.AsLeaseShrunk(); shrunk != nullptr) {
      log::Info(kName, "lease " + shrunk->lease + " " + shrunk->reason);
      provider_.hooks_.post([&hooks = provider_.hooks_,
                             rest = security::LeaseRest{shrunk->lease, shrunk->share_milli, shrunk->memory_bytes},
                             reason = shrunk->reason] {
        hooks.leases().Shrink(rest, "the market ended lease " + rest.lease + ": " + reason);
      });
    } else if (const auto* drained = push.body.AsDrained(); drained != nullptr) {
      Note([drained](Progress& progress) { progress.is_draining = drained->drain; });
      log::Warning(kName, drained->drain ? drained->slot + " drains: nothing more is let, what is let runs on"
                                         : drained->slot + " is let again");
    } else if (const auto* granted = push.body.AsLeaseGranted(); granted != nullptr && granted->lease != nullptr) {
      log::Info(kName, "lease " + granted->lease->id + " of " + granted->lease->slot + " is let to " +
                           granted->lease->tenant_name);
    }
  }

  // One quantity anew, now and then, while nobody computes here: with others on the device it would be their share that
  // is measured.
  void Check() {
    if (checking_.has_value()) {
      const Result<std::string> text = checking_->Finish(Deadline::Poll());
      if (text.code() == Code::kDeadlineExceeded) return;
      checking_.reset();
      const Duration took = Clock::now() - check_began_;
      duty_.Note(std::chrono::duration<double>(took).count());
      next_check_ = Clock::now() + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(duty_.wait_s()));
      const std::optional<ServerFacts> facts = Facts();
      const Result<measure::Report> later =
          text.ok() ? measure::ParseReport(*text) : Result<measure::Report>(text.status());
      if (!later.ok()) return Say("a check of the device failed: " + later.status().ToString());
      Note([](Progress& progress) { ++progress.checks; });
      // Somebody came meanwhile.
      if (!facts.has_value() || facts->sessions_total != sessions_before_) return;
      if (!TakeChanges(*later, &report_)) return;
      troubles_.changed_ms = WallMs();
      Note([](Progress& progress) { ++progress.changes; });
      log::Warning(kName, "the device is not what was measured before; its numbers are registered anew");
      if (const Status status = Register(); !status.ok()) Lose(status.text());
      return;
    }
    if (Clock::now() < next_check_) return;
    const std::optional<ServerFacts> facts = Facts();
    if (!facts.has_value() || facts->sessions != 0) {
      next_check_ = Clock::now() + kBusyRetry;
      return;
    }
    sessions_before_ = facts->sessions_total;
    const std::vector<std::string> all = measure::Quantities();
    Result<SelfRun> run =
        SelfRun::Start(options_.self, MeasureArguments("--measure-only", all[checked_++ % all.size()]));
    check_began_ = Clock::now();
    next_check_ = check_began_ + kBusyRetry;
    if (run.ok()) checking_.emplace(*std::move(run));
  }

  std::optional<ServerFacts> Facts() {
    return Supervise<ServerFacts>([this] { return provider_.hooks_.facts(); });
  }

  // What `work` says on the supervisor's thread; nothing if that has no time for it.
  template <typename T, typename Work>
  std::optional<T> Supervise(Work work) {
    auto promise = std::make_shared<std::promise<T>>();
    std::future<T> future = promise->get_future();
    provider_.hooks_.post([promise, work] { promise->set_value(work()); });
    if (future.wait_for(kSupervisorPatience) != std::future_status::ready) return std::nullopt;
    return future.get();
  }

  struct LeaseBookSlot {
    std::string id;
    std::uint32_t share_milli = 0;
    std::uint64_t memory_bytes = 0;
  };
  static constexpr std::size_t kUsesMax = 256;

  Provider& provider_;
  const ProviderOptions& options_;
  market::MarketClient client_;
  measure::Report report_;
  measure::Interval round_trip_us_;
  bool is_registered_ = false;
  std::uint64_t connection_ = 0;
  Instant next_keep_{};
  std::map<std::string, LeaseFacts> told_;
  std::string last_told_;
  std::map<std::string, std::pair<LeaseFacts, Instant>> uses_;  // also of leases that are over
  std::uint64_t died_ = 0;
  ServerTroubles troubles_{.started_ms = WallMs()};
  std::string said_;
  measure::Duty duty_{kCheckDuty};
  Instant next_check_ = Clock::now() + std::chrono::seconds(60);
  Instant check_began_{};
  std::optional<SelfRun> checking_;
  std::size_t checked_ = 0;
  std::uint64_t sessions_before_ = 0;
};

Provider::Provider(ProviderOptions options, security::Identity identity, Hooks hooks)
    : options_(std::move(options)), identity_(std::move(identity)), hooks_(std::move(hooks)) {}

Provider::~Provider() {
  stop_.store(true);
  if (thread_.joinable()) thread_.join();
}

void Provider::Start() {
  thread_ = std::thread([this] { Run(*this).Main(); });
}

Provider::Progress Provider::progress() const {
  const MutexLock lock(mutex_);
  return progress_;
}

}  // namespace accelmesh
