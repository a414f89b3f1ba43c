// Promises: the market's signed word that it has taken an order, so that none can be dropped unproven.
//
// An order that is taken is an entry of the log before its owner is told. A promise is that entry, and the proof that
// it is in the log that a checkpoint of the market's signs: one signature for all orders that are taken together. What
// is promised follows from where the entry is:
//
//   Each epoch that is recorded has every order that is due: entries before its seal that no recorded epoch has had so
//   far, and those that an earlier one left out for a reason that is not final (epoch_record.h). It clears them, or
//   says for each why not.
//
// So a bid is in the first epoch that is sealed after its promise, and again until it is cleared once; an ask is in the
// first one. A market that leaves one out breaks its word, shows another log than the one that it signed, or holds no
// more epochs; the first two are proven by its own signatures. That there was a reason to leave an order out is proven
// as far as CheckLeftOut() goes, and else the market's word, which its owner sees.
//
//   promise  := "accelmesh-promise 1" LF base64(entry) LF inclusion                          checkpoint.h
//   evidence := "accelmesh-broken-promise 1" LF "promise " bytes LF promise "entries " number LF
//               {base64(entry) LF} extension
//
// The entries are all that follow the order's, itself first, up to the end of the epoch that should have had it; the
// extension is of the tree that ends there. Pure; texts may be anything. Threads: values.
#pragma once

#include <set>

#include "market/ledger/checkpoint.h"
#include "market/ledger/epoch_parts.h"
#include "market/ledger/epoch_record.h"
#include "market/ledger/order_terms.h"

namespace accelmesh::market::ledger {

inline constexpr std::size_t kPromiseBytesMax = 32768 + kProofBytesMax;
inline constexpr std::size_t kBrokenPromiseBytesMax = std::size_t{64} << 20;

struct Promise {
  Bytes entry;  // EntryBytes() of the signed order
  Inclusion inclusion;
};
std::string PromiseText(const Promise& promise);
Result<Promise> ParsePromise(std::string_view text);
// The order in it. kPermissionDenied: the log has not signed that it has this entry; kBadFrame: it is no order.
Result<SignedOrder> VerifyPromise(const Promise& promise, const NamedKey& log);

// Which orders are due, as a log's entries are gone through.
class DueOrders {
 public:
  void Taken(std::uint64_t index) { due_.insert(index); }
  // A recorded epoch, in the order of the log; one of before there were promises settles what was there before it.
  // kPermissionDenied: it does not have an order that is due, or is of the older form after one of the newer.
  Status Recorded(const EpochRecord& record);
  const std::set<std::uint64_t>& due() const { return due_; }

 private:
  std::set<std::uint64_t> due_;
  bool has_begun_ = false;
};

enum class Standing : std::uint8_t {
  kOpen,    // no epoch was recorded so far that should have had it
  kKept,    // it was cleared, or left out for good
  kBroken,  // an epoch that should have had it has not, or had no right to leave it out
};
struct PromiseVerdict {
  Standing standing = Standing::kOpen;
  std::uint64_t epoch = 0;  // that decided it
  std::string text;         // for people
  std::size_t entries = 0;  // so many of the given ones were needed for it
};
// `entries`: of the log, from the order's own on. kPermissionDenied: the first is not the order's; kBadFrame: one is no
// entry, or an epoch's parts do not go together. Precondition: the promise was verified.
Result<PromiseVerdict> JudgePromise(const Promise& promise, std::span<const Bytes> entries, const OrderReader& reader);

// The same, an entry at a time.
class PromiseJudge {
 public:
  // Both outlive it.
  PromiseJudge(const Promise& promise, const OrderReader& reader);
  // The next entry; precondition: it is open. After an error it says nothing more.
  Status Take(const Bytes& entry);
  const PromiseVerdict& verdict() const { return verdict_; }
  bool is_open() const { return verdict_.standing == Standing::kOpen; }

 private:
  const Promise& promise_;
  const OrderReader& reader_;
  OrderTerms terms_;  // of the order, when its entry was taken
  EpochParts parts_;
  std::size_t taken_ = 0;
  PromiseVerdict verdict_;
};

// The tree that ends with these entries, of which the order's own is the first. Precondition: the promise was verified.
Result<TreeHead> HeadBehind(const Promise& promise, std::span<const Bytes> entries);
// That the log has signed them: `extension` is from the tree that they end. kPermissionDenied: it has not.
Status CheckEntries(const Promise& promise, std::span<const Bytes> entries, const Extension& extension,
                    const NamedKey& log);

struct BrokenPromise {
  Promise promise;
  std::vector<Bytes> entries;
  Extension extension;
};
std::string BrokenPromiseText(const BrokenPromise& evidence);
Result<BrokenPromise> ParseBrokenPromise(std::string_view text);
// What it shows, to anybody who knows the log's key. kPermissionDenied: it shows nothing, for the log has not signed
// it.
Result<PromiseVerdict> JudgeEvidence(const BrokenPromise& evidence, const NamedKey& log, const OrderReader& reader);

}  // namespace accelmesh::market::ledger
