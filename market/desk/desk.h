// Desk: slot-market without its sockets and clocks. Messages and the registry's answers come in, one at a time;
// replies, pushes and transactions go out.
//
// Replicas share a registry; one of them leads and is alone in deciding. It holds /leader, bound to a lease of the
// registry, and every transaction compares that key: so one that only believes that it leads writes nothing. The leader
// decides on a book in memory (market/core) and applies each decision to it at once; what is decided while a round of
// transactions is under way goes into the next round, many decisions in one transaction. Nobody is answered before what
// he is told is durable. When a transaction fails, or nobody knows what became of it, the leader writes /leader anew,
// which fences off whatever may still come, reads everything again, and decides again what was asked: operation ids
// keep that from happening twice.
//
// Threads: one; `post` brings the registry's answers to it. Ownership: registry, key and what the functions need
// outlive it.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <unordered_map>
#include <unordered_set>

#include "market/auction/epoch.h"
#include "market/client/messages.h"
#include "market/core/grant.h"
#include "market/core/lease_changes.h"
#include "market/core/registrations.h"
#include "market/core/trade.h"
#include "market/desk/clearing.h"
#include "market/ledger/receipt.h"
#include "market/ledger/settlement.h"
#include "market/records/record_codec.h"
#include "market/registry/registry.h"
#include "protocol/security/keys.h"

namespace accelmesh::market {

using Peer = std::string;  // the routing id of a connection

struct DeskOptions {
  std::string name;               // of this replica, for people
  std::vector<std::string> urls;  // where it is reached
  std::string store;              // "sqlite", "etcd"
  std::string store_warning;
  // Nobody else can have the store: whoever led before is gone.
  bool is_alone = false;
  // The store applies transactions in the order in which they were sent: then those of a round may build on one
  // another.
  bool keeps_order = false;
  std::int64_t welcome_credits = 0;  // microcredits, once, for identities of `local`
  std::chrono::seconds leader_ttl{2};
  // A leader says this often that it is there (succession.cpp); another follows it when it has not for so long.
  Duration pulse = std::chrono::milliseconds(250);
  Duration silence = std::chrono::milliseconds(500);
  std::chrono::seconds node_ttl{10};
  Duration price_step = std::chrono::seconds(60);
  PriceRules price_rules;
  Duration epoch = std::chrono::milliseconds(250);  // of the auction; each closes up to a fifth earlier or later
  std::size_t bids_max = 16384;                     // that stand
  class EpochLog* epoch_log = nullptr;              // outlives the desk; null: epochs are not written down
  // A lease whose device did nothing for so long is for sale at the posted price; zero: never.
  Duration unused = std::chrono::minutes(5);
  // A server that was not there for so long is gone for good, and its bond due (market/core/losses.h); zero: never.
  Duration gone = std::chrono::hours(24);
  std::int64_t budget = 0;  // microcredits each period, for all who have a weight (SetShares)
  Duration budget_period = std::chrono::hours(24);
  std::size_t jobs_max = 65536;       // requests that are being decided; more are answered with kFull
  std::size_t waiting_max = 4096;     // requests that wait until something is free
  std::size_t transactions_max = 32;  // of one round
};

struct DeskCounts {
  std::uint64_t requests = 0;
  std::uint64_t grants = 0;
  std::uint64_t renewals = 0;
  std::uint64_t rejections = 0;
  std::uint64_t ended = 0;
  std::uint64_t transactions = 0;
  std::uint64_t rounds = 0;
  std::uint64_t resyncs = 0;
  std::uint64_t elections = 0;
  std::uint64_t epochs = 0;       // that had bids
  std::uint64_t epochs_late = 0;  // that opened a fifth of their time too late
  std::uint64_t trades = 0;
  std::uint64_t promises = 0;            // that orders were taken
  std::uint64_t receipts = 0;            // that both sides have signed
  std::uint64_t receipts_one_sided = 0;  // first signatures
  std::uint64_t refused = 0;             // messages that did not verify, or callers who may not
};

struct EpochPlan;
class EpochPlanner;
class Reputations;

class Desk {
 public:
  // What the desk needs of its surroundings.
  struct World {
    std::function<void(std::function<void()>)> post;
    std::function<void(const Peer&, Bytes)> send;
    // Identities that need no entry in the registry: those of the market's own user.
    std::function<std::optional<IdentityRecord>(const std::string&)> local;
    // Called when what the ZAP handler knows may have changed.
    std::function<void()> identities_changed;
    // How long a grant took, from the request's coming to its being durable.
    std::function<void(Duration)> granted;
  };

  Desk(DeskOptions options, registry::Registry& registry, const security::SigningKey& key, World world,
       std::uint64_t seed);
  ~Desk();
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  // The time; call it before anything else happens and some times a second. Does what is due.
  void Tick(Instant now, std::int64_t wall_ms);
  void OnMessage(const Peer& peer, const std::string& identity, ByteView bytes);
  // Starts a round with what was decided since the last. Call it when no more messages are there to be had at once.
  void Flush();
  // False while enough is decided that the registry has not taken yet: what comes in the meantime may wait outside.
  bool has_room() const { return decided_.size() < kDecidedMax; }
  // Tells who sent `bytes` why nobody looks at them.
  void Refuse(const Peer& peer, ByteView bytes, const Status& why);
  // Gives up the lead, so that another takes it at once. Answers go on to be taken for a while.
  void Resign(std::function<void()> done);

  bool is_leading() const { return stage_ == Stage::kLeading; }
  const Book& book() const { return book_; }
  const DeskCounts& counts() const { return counts_; }
  std::size_t waiting() const { return waiting_.size(); }
  // Why nothing is decided now, for people; empty if it is.
  const std::string& trouble() const { return trouble_; }
  // Of an identity, from the registry or this user's keys; nothing if nobody knows it.
  std::optional<IdentityRecord> Identify(const std::string& identity) const;

 private:
  static constexpr std::size_t kDecidedMax = 4096;
  static constexpr Duration kMuteFor = std::chrono::seconds(1);
  enum class Stage : std::uint8_t { kStarting, kFollowing, kElecting, kLoading, kLeading };
  // A server's, since it registered with this replica.
  struct Session {
    Peer peer;
    registry::LeaseId lease = registry::kNoLease;
    Instant seen;
    std::int64_t heard_ms = 0;                      // that it told of its leases last
    std::int64_t busy_ms = 0;                       // that it told of so many that all count as used
    std::pair<std::string, std::string> looked_at;  // its slot and lease that were looked at last (NoteUse)
  };
  // One request, or one thing that time brings, from its decision to its answer.
  struct Job {
    Peer peer;
    std::uint64_t number = 0;
    std::string identity;
    std::shared_ptr<const messages::RequestT> request;  // none: what time brings
    std::function<void(Job)> again;                     // decides instead of the request's handler
    Instant asked;
    Instant queued;  // since when it waits for the registry
    Instant until;
    int tries = 0;
    Decision decision;
    std::function<void()> answer;
  };
  struct Transaction {
    std::vector<Job> jobs;
    std::map<RecordKey, Record> writes;
    std::set<RecordKey> reads;
    std::size_t bytes = 0;
    bool is_done = false;
  };
  struct Round {
    std::vector<Transaction> transactions;
    Instant begun;
    // What those before have written, as the registry has it then; nothing: deleted.
    std::unordered_map<std::string, std::optional<std::string>> values;
    std::size_t open = 0;
    bool has_failed = false;
    bool is_certain = true;  // what failed is known not to have happened
  };
  struct Waiting {
    Job job;
    Instant until;
    std::int64_t since_ms = 0;
    std::int64_t until_ms = 0;
    std::vector<SlotRejection> rejections;
    std::vector<scheduler::Gap> gaps;
  };

  struct StandingBid {
    Job job;
    std::shared_ptr<const messages::OrderT> order;
    Instant until;
    std::int64_t until_ms = 0;
    std::size_t epochs = 0;          // that it was there for
    std::string why;                 // it was not served in the last one
    std::int64_t price_to_win = -1;  // there; -1: nobody knows one
  };
  // Revisions of the leader's key and of its pulse; 0: it is not there.
  struct Sign {
    registry::Revision leader = 0;
    registry::Revision pulse = 0;
    bool operator==(const Sign&) const = default;
  };
  // A lease as a decision leaves it. Once that is durable this is told, and not what the book has by then: it may be
  // ahead of the registry, which may never get there. `lease` is null if there is none; `seller`, of one that was
  // bought.
  struct Told {
    std::string id;
    std::shared_ptr<const LeaseRecord> lease;
    std::shared_ptr<const LeaseRecord> seller;
  };
  // An order on its way into the ledger, whose owner is promised that.
  struct Taken {
    SignedOrderBytes order;
    Peer peer;
    std::function<void()> then;
  };
  // A second signature, on its way into the ledger.
  struct SigningReceipt {
    Job job;
    ledger::Receipt receipt;
    Said said;
  };
  // An epoch whose trades are on their way to the disk: what is there so far.
  struct EpochRun {
    ReportRecord report;
    ledger::Settlement settlement;
    std::size_t open = 0;
  };

  template <typename T, typename Then>
  registry::Done<T> Here(Then then) {
    return [post = world_.post, alive = std::weak_ptr<int>(alive_), then = std::move(then)](Result<T> result) {
      post([alive, then, result = std::make_shared<Result<T>>(std::move(result))] {
        if (alive.lock() != nullptr) then(std::move(*result));
      });
    };
  }
  Instant Soon() const { return now_ + std::chrono::seconds(5); }
  // Where another member of the registry is to be asked soon, if this one does not answer.
  Instant VerySoon() const { return now_ + std::chrono::milliseconds(1500); }

  // leadership.cpp
  void Look();
  void WatchLeader(registry::Revision from);
  // `deposed`: takes the place of the leader that has given this sign last.
  void Elect(std::optional<Sign> deposed = std::nullopt);
  void Candidate(registry::LeaseId lease, std::optional<Sign> deposed);
  void Lead(registry::Revision revision, registry::LeaseId lease);
  void Load();
  void TakeOver(registry::SnapshotResult snapshot);
  void WatchNodes(registry::Revision from);
  void OnNodeGone(const std::string& server, registry::Revision revision);
  void KeepLead();
  void StepDown(const std::string& why, Duration pause = std::chrono::milliseconds(200));
  void ReadIdentities();
  // `is_certain`: nothing is under way that may yet be applied, so that no fence is needed.
  void Resync(const std::string& why, bool is_certain = false);
  void Full(const std::string& why);
  void Fence();
  void Later(Duration wait, std::function<void()> what);

  // succession.cpp
  void Pulse();
  void Heard(Instant asked);
  bool IsMute() const;
  void Watched(const registry::Change& change);
  void Probe();
  bool IsSilent(const Sign& sign);
  bool IsSuspect() const { return silent_since_ && now_ - *silent_since_ >= options_.silence / 2; }

  // rounds.cpp
  void Decided(Job job, Decision decision, std::function<void()> answer);
  Told ToldOf(const Decision& decision, const std::string& id) const;
  std::vector<Told> ToldOf(const Decision& decision, const std::vector<std::string>& ids) const;
  using WrittenBy = std::unordered_map<std::string, std::size_t>;
  using ReadBy = std::unordered_map<std::string, std::set<std::size_t>>;
  std::optional<std::set<std::size_t>> BoundTo(const Job& job, const WrittenBy& written, const ReadBy& read) const;
  bool Assign(Job& job, Round& round, WrittenBy& written, ReadBy& read);
  registry::Compare AsItWas(const RecordKey& key) const;
  registry::Txn Make(std::size_t index);
  void Submit(std::size_t index, registry::Txn txn);
  void OnTransaction(std::uint64_t round, std::size_t index, Result<registry::TxnResult> result);
  void Again(Job job, bool counts);
  void Queue(Job job);
  void AnswerLate();

  // desk.cpp
  void Take(Job job);
  void Dispatch(Job job);
  void Reply(const Job& job, messages::ReplyT reply);
  void Fail(const Job& job, const Status& status);
  template <typename Body>
  void Answer(const Job& job, Body body) {
    messages::ReplyT reply;
    reply.body.Set(std::move(body));
    Reply(job, std::move(reply));
  }
  void Push(const std::string& server, messages::PushBodyUnion body);
  void PushEnd(const LeaseRecord& lease, const std::string& id, const std::string& reason);
  bool Allowed(const Job& job, std::initializer_list<MarketRole> roles);
  void Sweep();
  void TryWaiting();
  void Prices();
  void Forget();
  void Losses();
  void LearnWorkload();
  void Audit();
  void Inside(std::function<void(Job)> decide);

  // tenants.cpp
  void OnGreet(Job job);
  void OnListSlots(const Job& job);
  void OnQuote(const Job& job);
  void OnListPrices(const Job& job);
  void OnRequest(Job job, Waiting* waiting);
  void OnRenew(Job job);
  void OnResize(Job job);
  void OnRelease(Job job);
  void OnTransfer(const Job& job);
  void OnListLeases(const Job& job);
  void OnGetAccount(const Job& job);
  void OnListRequests(const Job& job);
  void Changed(Job job, LeaseChange change, const char* ended);
  void PushResized(const std::string& id, const LeaseRecord& lease);
  Result<messages::GrantedT> GrantedOf(const Told& told);
  messages::LeaseT LeaseOf(const std::string& id, const LeaseRecord& lease) const;
  messages::SlotT SlotOf(const std::string& id, const SlotRecord& record) const;
  messages::AccountT AccountOf(const std::string& id) const;

  // trading.cpp
  void OnPlaceOrder(Job job);
  void OnAsk(Job job, const messages::OrderT& order);
  void OnBid(Job job, const std::shared_ptr<const messages::OrderT>& order);
  void OnDeal(Job job, const messages::OrderT& order);
  void OnListAsks(const Job& job);
  void OnListEpochs(const Job& job);
  void OnPriceToWin(const Job& job);
  std::vector<std::string> BoughtBy(const std::string& buyer, const std::string& operation) const;
  void AnswerBought(Job job, const std::vector<std::string>& ids, bool tells_servers = false);
  void AnswerGrants(const Job& job, const std::vector<Told>& leases);
  void AnswerDone(const Job& job, const Told& told);
  void TellOfTrade(const Told& told);
  TradeRecord TradeOf(const TradeTerms& terms, const TradeOutcome& outcome, Edit& edit, std::string_view lane) const;
  void WriteReport(ReportRecord report);

  // witnessing.cpp
  void OnGetCheckpoint(const Job& job);
  void OnCosign(const Job& job);
  void OnReadEntries(const Job& job);

  // promises.cpp
  void Promise(const Job& job, const messages::PlaceOrderT& placed, std::function<void()> then);
  void FlushPromises();
  void RestoreBids();

  // receipts.cpp
  messages::ReceiptT ReceiptOf(const std::string& id, const LeaseRecord& lease, const std::string& reader) const;
  void OnSignReceipt(Job job);
  void FlushReceipts();
  void CounterSigned(SigningReceipt one);
  void OnListReceipts(const Job& job);
  static bool IsOpenFor(const LeaseRecord& lease, bool is_provider);
  std::vector<std::unique_ptr<messages::ReceiptT>> OpenReceiptsOf(const std::string& server) const;
  void OnListReputation(const Job& job);
  void RefreshReputations();

  // shares.cpp
  void OnSetShares(Job job);
  void Budgets();
  void NoteUse(const std::string& server, Session& session, const messages::KeepServerT& keep);
  void LookForUnused(const std::string& server, Session& session, std::int64_t unused_ms);

  // epochs.cpp
  void NoteLedger(const std::string& what, const Status& status);
  using Bids = std::list<StandingBid>;
  std::uint64_t SeedOf(std::uint64_t number);
  bool IsFruitless(const EpochPlanner& planner);
  void RunEpoch();
  static void NoteUnserved(const EpochPlan& plan, const auction::EpochOutcome& outcome,
                           const std::vector<Bids::iterator>& places);
  void ApplyOutcome(const EpochPlan& plan, const auction::EpochOutcome& outcome,
                    const std::vector<Bids::iterator>& places);
  Status Serve(const EpochPlan& plan, const auction::EpochOutcome& outcome, std::vector<const auction::Trade*> trades,
               StandingBid& bid, std::int64_t surcharge, const std::shared_ptr<EpochRun>& run);
  void Settle(EpochRun& run);
  static std::vector<ClassReport> ClassReports(const EpochPlan& plan, const auction::EpochOutcome& outcome);
  Bids::iterator EndBid(Bids::iterator bid);
  void TryBegun();
  void EndRuns();

  // providers.cpp
  void OnRegister(Job job);
  void Register(Job job, registry::LeaseId lease);
  void TellMissed(const std::string& server);
  void OnKeep(const Job& job);
  void OnDrain(Job job);
  void OnDeposit(Job job);
  void OnTrust(Job job);
  void OnListAccounts(const Job& job);
  void OnRevoke(Job job);
  void OnStatus(const Job& job);
  // Paid for up to `until_ms`, or up to now.
  void EndLease(const std::string& id, LeaseState state, const std::string& reason, std::int64_t until_ms = -1);
  void LoseServer(const std::string& server);

  const DeskOptions options_;
  registry::Registry& registry_;
  const security::SigningKey& key_;
  const World world_;
  std::mt19937_64 random_;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  scheduler::Fragmentation workload_;

  Instant now_;
  Moment moment_;
  MarketClock clock_;
  std::int64_t started_ms_ = 0;

  Stage stage_ = Stage::kStarting;
  std::uint64_t term_ = 0;  // what was begun in an earlier one counts no more
  bool is_fencing_ = false;
  bool is_full_ = false;  // the registry's disk: nothing is written before a fence was
  Instant try_room_;
  bool is_resigned_ = false;
  registry::LeaseId lease_ = registry::kNoLease;
  registry::Revision lead_revision_ = 0;
  std::string lead_value_;
  LeaderRecord leader_;  // whoever it is
  bool has_leader_ = false;
  std::unique_ptr<registry::WatchHandle> leader_watch_;
  std::unique_ptr<registry::WatchHandle> node_watch_;
  Instant next_keep_;
  Instant next_pulse_;
  bool is_pulsing_ = false;  // one is under way
  Instant heard_;            // from the registry, while leading
  Sign sign_;                // the last one of the leader that is followed
  Instant read_;             // when that was read last
  // Since when readings have said that there is none newer; nothing if the registry does not answer all the while.
  std::optional<Instant> silent_since_;
  Instant next_probe_ = Instant::max();
  Instant next_identities_;
  std::multimap<Instant, std::function<void()>> later_;

  Book book_;
  std::uint64_t changes_ = 0;  // of the book
  std::deque<Job> queued_;     // while the book is read anew
  std::deque<Job> decided_;    // of the next round
  std::optional<Round> round_;
  std::uint64_t round_number_ = 0;
  std::list<Waiting> waiting_;
  std::uint64_t waiting_tried_ = 0;  // changes_ when they were tried last
  std::string trouble_;

  Bids bids_;
  std::list<std::pair<Job, std::vector<std::string>>> begins_;  // buyers of leases that are pending
  std::list<std::shared_ptr<EpochRun>> runs_;
  std::string epoch_trouble_;
  std::uint64_t epoch_number_ = 0;  // the last one's
  // Turns of epochs that served nobody (clearing.h), since the book changed last: they would do so again.
  std::set<ledger::Hash> fruitless_;
  std::uint64_t fruitless_changes_ = 0;
  std::pair<std::uint64_t, std::uint64_t> seed_{};  // of an epoch's number, so as not to sign it twice
  Instant next_epoch_;
  auction::Clearing clearing_;
  std::deque<Taken> taken_;
  Instant next_taken_;
  std::deque<SigningReceipt> receipts_;
  Instant next_receipts_;
  const std::unique_ptr<Reputations> reputations_;
  Instant next_reputations_;
  Instant next_budget_;
  std::unordered_map<std::string, std::int64_t> used_ms_;  // when leases last did something, since this replica leads
  std::set<std::string> unused_;                           // leases for sale because of that
  std::map<std::string, Session> servers_;
  Instant next_sweep_;
  Instant next_price_;
  Instant next_forget_;
  Instant next_losses_;
  Instant next_audit_;
  DeskCounts counts_;
};

}  // namespace accelmesh::market
