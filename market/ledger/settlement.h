// Settlements: what the trades of an epoch did to accounts, so that whoever clears the epoch again sees that money
// moved as it was cleared.
//
//   settlement := number of the epoch, {bid}                                        one entry, or several of an epoch
//   bid        := rank, surcharge and the time that it is of, {trade}, {posting}
//   trade      := its place in the epoch's outcome, units, time that is paid for, what the buyer pays, what of it is
//   the pool's, later posting    := account, changes of its balance, of what it holds in escrow, of its bond
//
// A bid is settled all at once, by its trades and by nothing else: the buyer pays for each the price that the epoch
// cleared it at, for all of its time; postings add up to nothing. A trade that begins later has the pool's part in
// escrow until then. What a seller gets back of its own escrow, and its provider is due for the time up to now, follows
// from the market's books. Trades that could not be carried out (a lease had ended, a purse was empty, the registry did
// not answer then) are not settled, nor those of an epoch whose settlement the ledger's disk had no room for; that it
// was so is the market's word.
//
// Pure; the bytes may be anything. Threads: values.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "market/auction/epoch.h"
#include "market/ledger/codec.h"

namespace accelmesh::market::ledger {

inline constexpr std::size_t kSettledBytesMax = 60000;
inline constexpr std::size_t kSettledTradesMax = 256;  // of one bid
inline constexpr std::size_t kSettledPostingsMax = 600;
// As long as a lease lasts at most.
inline constexpr std::int64_t kSettledMsMax = 15LL * 60 * 1000;

struct SettledTrade {
  std::uint32_t trade = 0;
  std::int64_t units_milli = 0;
  std::int64_t ms = 0;
  std::int64_t paid = 0;  // microcredits, as all below
  std::int64_t pool = 0;
  bool begins_later = false;
  bool operator==(const SettledTrade&) const = default;
};

struct Posting {
  security::PublicKey account;
  std::int64_t balance = 0;
  std::int64_t held = 0;
  std::int64_t bond = 0;
  bool operator==(const Posting&) const = default;
};

struct SettledBid {
  std::uint32_t bid = 0;
  std::int64_t surcharge = 0;  // of a gang, over the reserves
  std::int64_t surcharge_ms = 0;
  std::vector<SettledTrade> trades;  // by place
  std::vector<Posting> postings;     // by account
  bool operator==(const SettledBid&) const = default;
};

struct Settlement {
  std::uint64_t number = 0;      // of the epoch
  std::vector<SettledBid> bids;  // by rank
  bool operator==(const Settlement&) const = default;
};

// kInvalidArgument: more of something than there may be, or not in its order.
Status CheckSettlement(const Settlement& settlement);
void WriteSettlement(Writer& writer, const Settlement& settlement);
Settlement ReadSettlement(Reader& reader);
// As many as their bids need. Precondition: each bid is within the limits by itself.
std::vector<Settlement> SplitSettlement(Settlement settlement);

// What an epoch was cleared to for one bid.
struct ClearedBid {
  security::PublicKey buyer;
  std::map<std::uint32_t, auction::Trade> trades;  // by place, but those of a party with itself
  std::int64_t surcharge_nanocredits = 0;
};
// kPermissionDenied with what differs.
Status CheckSettled(const SettledBid& settled, const ClearedBid& cleared);

}  // namespace accelmesh::market::ledger
