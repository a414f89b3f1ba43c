// Receipts of leases that are over, and what follows from them: a refund, and how far each side is relied on.
//
// Both sides sign the same words (market/client/receipts.h). The second signature writes the receipt into the ledger
// first, many of them with one sync, and then into the registry: so what counts for a reputation can be looked up by
// everybody. Written twice after a crash, it counts once.
#include <algorithm>

#include "market/client/receipts.h"
#include "market/core/receipts.h"
#include "market/desk/desk.h"
#include "market/desk/epoch_log.h"
#include "market/desk/reputations.h"
#include "protocol/base/log.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
// What is not delivered within it is a matter of measuring.
constexpr std::uint32_t kTolerancePpm = 20'000;
constexpr std::size_t kReceiptsAtOnce = 1000;
constexpr auto kReceiptsEach = std::chrono::milliseconds(50);
constexpr auto kRefreshEach = std::chrono::seconds(1);
constexpr std::size_t kRefreshedAtOnce = 10;

std::vector<std::uint8_t> Raw(const std::string& bytes) { return {bytes.begin(), bytes.end()}; }

security::Signature SignatureOf(const std::string& bytes) {
  security::Signature signature{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), signature.size()), signature.begin());
  return signature;
}

}  // namespace

// What the market says of it, and what is said of it so far: by the sides that agree, else by the one that has signed,
// and by neither that all was well.
messages::ReceiptT Desk::ReceiptOf(const std::string& id, const LeaseRecord& lease, const std::string& reader) const {
  messages::ReceiptT shown;
  shown.market = security::HexOf(key_.public_key().bytes);
  shown.lease = id;
  const SlotRecord* slot = book_.Slot(lease.slot);
  shown.slot_class = slot != nullptr ? slot->class_name() : lease.slot;
  shown.provider = lease.server;
  shown.buyer = lease.tenant;
  shown.begin_ms = lease.began_ms;
  shown.end_ms = lease.paid_until_ms;
  shown.price_microcredits = shown.paid_microcredits = lease.paid;
  shown.bond_microcredits = lease.bond;
  shown.had_notice = lease.had_notice;
  const bool by_provider = !lease.provider_says.signature.empty();
  const bool by_buyer = !lease.buyer_says.signature.empty();
  // Of two that say something else, the other side's is shown: that is what there is to agree to.
  const bool shows_buyer = by_buyer && (!by_provider || reader == lease.server);
  const Said& said = shows_buyer ? lease.buyer_says : lease.provider_says;
  const bool is_said = by_provider || by_buyer;
  shown.delivered_ppm = is_said ? said.delivered_ppm : ledger::kPpm;
  shown.uptime_ppm = is_said ? said.uptime_ppm : ledger::kPpm;
  shown.is_notice_honoured = is_said ? said.is_notice_honoured : lease.had_notice;
  shown.used_ppm = said.used_ppm;
  if (by_provider && lease.provider_says.is_same(said)) shown.provider_signature = Raw(lease.provider_says.signature);
  if (by_buyer && lease.buyer_says.is_same(said)) shown.buyer_signature = Raw(lease.buyer_says.signature);
  shown.state = ReceiptStateOf(lease);
  shown.refunded_microcredits = lease.refunded;
  return shown;
}

void Desk::OnSignReceipt(Job job) {
  const auto& ask = *job.request->body.AsSignReceipt();
  Said said{ask.delivered_ppm, ask.uptime_ppm, ask.is_notice_honoured, ask.used_ppm,
            std::string(ask.signature.begin(), ask.signature.end())};
  Result<Decision> decision = DecideSaid(book_, job.identity, ask.lease, said);
  if (!decision.ok()) {
    ++counts_.refused;
    return Fail(job, decision.status());
  }
  const auto answer = [this, job, id = ask.lease, lease = ToldOf(*decision, ask.lease).lease] {
    if (lease == nullptr) return Fail(job, Status(Code::kNotFound, kWhere, "the lease is forgotten by now"));
    Answer(job, ReceiptOf(id, *lease, job.identity));
  };
  if (decision->writes.empty()) {
    decision->reads.push_back({Family::kLease, ask.lease});
    return Decided(std::move(job), std::move(*decision), answer);
  }
  // As it would be with these words; its signature is of all of that.
  const auto& lease = std::get<LeaseRecord>(decision->writes.front().record);
  messages::ReceiptT words = ReceiptOf(ask.lease, lease, "");
  const bool is_provider = job.identity == lease.server;
  const Said& own = is_provider ? lease.provider_says : lease.buyer_says;
  words.delivered_ppm = own.delivered_ppm;
  words.uptime_ppm = own.uptime_ppm;
  words.is_notice_honoured = own.is_notice_honoured;
  words.used_ppm = own.used_ppm;
  const Result<ledger::Receipt> receipt = ToReceipt(words);
  if (!receipt.ok()) return Fail(job, receipt.status());
  const Status is_signed =
      ledger::VerifySide(*receipt, is_provider ? ledger::ReceiptSide::kProvider : ledger::ReceiptSide::kBuyer,
                         SignatureOf(said.signature));
  if (!is_signed.ok()) {
    ++counts_.refused;
    return Fail(job, Status(is_signed.code(), kWhere,
                            is_signed.text() + "; ask for the receipt again (slotctl receipts) and sign that"));
  }
  if (!IsCounterSigned(lease)) {
    ++counts_.receipts_one_sided;
    return Decided(std::move(job), std::move(*decision), answer);
  }
  if (receipts_.size() >= options_.jobs_max) {
    return Fail(job, Status(Code::kFull, kWhere, "too many receipts wait for the ledger; sign it again later"));
  }
  receipts_.push_back({std::move(job), *receipt, std::move(said)});
}

// Into the ledger, then into the book.
void Desk::FlushReceipts() {
  if (receipts_.empty() || now_ < next_receipts_ || is_full_ || decided_.size() >= options_.jobs_max) return;
  next_receipts_ = now_ + kReceiptsEach;
  std::vector<SigningReceipt> taken;
  while (!receipts_.empty() && taken.size() < kReceiptsAtOnce) {
    taken.push_back(std::move(receipts_.front()));
    receipts_.pop_front();
  }
  std::vector<ledger::CounterSignedReceipt> written;
  std::vector<SigningReceipt> made;
  std::set<std::string> leases;
  for (SigningReceipt& one : taken) {
    // Meanwhile the other side may have changed its words, or the lease may be forgotten; twice is once.
    Result<Decision> decision = DecideSaid(book_, one.job.identity, one.receipt.lease, one.said);
    if (!decision.ok()) {
      Fail(one.job, decision.status());
      continue;
    }
    const LeaseRecord* lease =
        decision->writes.empty() ? nullptr : &std::get<LeaseRecord>(decision->writes.front().record);
    if (lease == nullptr || !IsCounterSigned(*lease) || !leases.insert(one.receipt.lease).second) {
      Take(std::move(one.job));
      continue;
    }
    written.push_back(
        {one.receipt, SignatureOf(lease->provider_says.signature), SignatureOf(lease->buyer_says.signature)});
    made.push_back(std::move(one));
  }
  if (written.empty()) return;
  if (options_.epoch_log != nullptr) {
    const Status status = options_.epoch_log->AppendReceipts(written);
    if (!status.ok()) {
      NoteLedger("receipts could not be written down", status);
      for (const SigningReceipt& one : made) {
        Fail(one.job, Status(status.code(), kWhere,
                             "the market could not write it down: " + status.text() + "; sign it again later"));
      }
      return;
    }
  }
  for (SigningReceipt& one : made) CounterSigned(std::move(one));
}

void Desk::CounterSigned(SigningReceipt one) {
  const std::string& id = one.receipt.lease;
  Edit edit(book_);
  LeaseRecord& lease = edit.Lease(id);
  (one.job.identity == lease.server ? lease.provider_says : lease.buyer_says) = one.said;
  ReceiptMoney money;
  money.refund = ledger::RefundOf(one.receipt, kTolerancePpm);
  const bool broke_notice = one.receipt.had_notice && !one.receipt.is_notice_honoured;
  money.penalty = PenaltyOf(broke_notice ? one.receipt.price_microcredits : money.refund);
  SettleReceipt(edit, id, money);
  reputations_->Add(one.receipt, book_, moment_, edit);
  Decision decision = edit.Finish();
  const auto answer = [this, job = one.job, id, record = ToldOf(decision, id).lease] {
    ++counts_.receipts;
    if (record == nullptr) return Fail(job, Status(Code::kNotFound, kWhere, "the lease is forgotten by now"));
    Answer(job, ReceiptOf(id, *record, job.identity));
  };
  Decided(std::move(one.job), std::move(decision), answer);
}

// Leases are kept for 15 minutes after their end, and their receipts with them.
void Desk::OnListReceipts(const Job& job) {
  const auto& ask = *job.request->body.AsListReceipts();
  const std::optional<IdentityRecord> identity = Identify(job.identity);
  const bool all = ask.all && identity && identity->role == MarketRole::kAdmin;
  messages::ReceiptsT receipts;
  for (auto at = book_.Ended().rbegin(); at != book_.Ended().rend(); ++at) {
    if (receipts.receipts.size() >= kListedMax) break;
    const std::string& id = at->second;
    if (!ask.lease.empty() && id != ask.lease) continue;
    const LeaseRecord& lease = *book_.Lease(id);
    const bool is_provider = lease.server == job.identity;
    if (!all && !is_provider && lease.tenant != job.identity) continue;
    if (!HasReceipt(lease) || (ask.open && !IsOpenFor(lease, is_provider))) continue;
    receipts.receipts.push_back(std::make_unique<messages::ReceiptT>(ReceiptOf(id, lease, job.identity)));
  }
  Answer(job, std::move(receipts));
}

// Whether a side has yet to sign: it has said nothing, or the other one something else since.
bool Desk::IsOpenFor(const LeaseRecord& lease, bool is_provider) {
  const Said& own = is_provider ? lease.provider_says : lease.buyer_says;
  return HasReceipt(lease) && !IsCounterSigned(lease) && own.signature.empty();
}

std::vector<std::unique_ptr<messages::ReceiptT>> Desk::OpenReceiptsOf(const std::string& server) const {
  std::vector<std::unique_ptr<messages::ReceiptT>> receipts;
  std::size_t looked_at = 0;
  for (auto at = book_.Ended().rbegin(); at != book_.Ended().rend(); ++at) {
    if (receipts.size() >= kReceiptsKeptMax || ++looked_at > kListedMax) break;
    const LeaseRecord& lease = *book_.Lease(at->second);
    if (lease.server != server || !IsOpenFor(lease, true)) continue;
    receipts.push_back(std::make_unique<messages::ReceiptT>(ReceiptOf(at->second, lease, server)));
  }
  return receipts;
}

// Good and bad decay by the hour, and scores with them.
void Desk::RefreshReputations() {
  next_reputations_ = now_ + kRefreshEach;
  Decision decision = reputations_->Refresh(book_, moment_, kRefreshedAtOnce);
  if (!decision.writes.empty()) Inside([&](Job job) { Decided(std::move(job), std::move(decision), nullptr); });
}

void Desk::OnListReputation(const Job& job) {
  messages::ReputationsT all = reputations_->List(job.request->body.AsListReputation()->identity, book_, moment_);
  for (const auto& one : all.reputations) {
    if (const auto identity = Identify(one->identity)) one->name = identity->name;
  }
  Answer(job, std::move(all));
}

}  // namespace accelmesh::market
