#include "market/ledger/settlement.h"

#include <algorithm>

#include "market/auction/units.h"

namespace accelmesh::market::ledger {
namespace {

__extension__ using Wide = __int128;

constexpr std::size_t kBidBytes = 28;
constexpr std::size_t kTradeBytes = 37;
constexpr std::size_t kPostingBytes = security::kKeyBytes + 24;
constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kAmountMax = std::int64_t{1} << 62;
// The account of what buyers pay and sellers do not get: nobody has the key of zeroes.
constexpr security::PublicKey kPool{};

Status Differs(const std::string& what) { return {Code::kPermissionDenied, "CheckSettled", what}; }

std::int64_t Up(Wide product, std::int64_t by) {
  const Wide up = (product + by - 1) / by;
  return up > kAmountMax ? kAmountMax : static_cast<std::int64_t>(up);
}
// Of a price an hour of a whole device, as accounts are charged: each time up to the next microcredit.
std::int64_t CostOf(std::int64_t price, std::int64_t units_milli, std::int64_t ms) {
  if (price <= 0 || ms <= 0 || units_milli <= 0) return 0;
  return Up(Wide{Up(Wide{price} * units_milli, 1000)} * ms, kHourMs);
}

std::size_t BytesOf(const SettledBid& bid) {
  return kBidBytes + bid.trades.size() * kTradeBytes + bid.postings.size() * kPostingBytes;
}

template <typename Item, typename Key>
bool IsSorted(const std::vector<Item>& items, const Key& key) {
  return std::adjacent_find(items.begin(), items.end(), [&](const Item& one, const Item& other) {
           return !(key(one) < key(other));
         }) == items.end();
}

bool IsAmount(std::int64_t amount) { return amount >= -kAmountMax && amount <= kAmountMax; }

}  // namespace

Status CheckSettlement(const Settlement& settlement) {
  const Status bad(Code::kInvalidArgument, "CheckSettlement",
                   "more of something than there may be, or not in its order");
  std::size_t bytes = 0;
  if (!IsSorted(settlement.bids, [](const SettledBid& bid) { return bid.bid; })) return bad;
  for (const SettledBid& bid : settlement.bids) {
    bytes += BytesOf(bid);
    if (bid.trades.size() > kSettledTradesMax || bid.postings.size() > kSettledPostingsMax ||
        bytes > kSettledBytesMax || !IsSorted(bid.trades, [](const SettledTrade& trade) { return trade.trade; }) ||
        !IsSorted(bid.postings, [](const Posting& posting) { return posting.account.bytes; })) {
      return bad;
    }
    for (const Posting& posting : bid.postings) {
      if (!IsAmount(posting.balance) || !IsAmount(posting.held) || !IsAmount(posting.bond)) return bad;
    }
  }
  return Status::Ok();
}

void WriteSettlement(Writer& writer, const Settlement& settlement) {
  writer.Number(settlement.number);
  writer.Number(static_cast<std::uint32_t>(settlement.bids.size()));
  for (const SettledBid& bid : settlement.bids) {
    writer.Number(bid.bid);
    writer.Number(bid.surcharge);
    writer.Number(bid.surcharge_ms);
    writer.Number(static_cast<std::uint32_t>(bid.trades.size()));
    for (const SettledTrade& trade : bid.trades) {
      writer.Number(trade.trade);
      writer.Number(trade.units_milli);
      writer.Number(trade.ms);
      writer.Number(trade.paid);
      writer.Number(trade.pool);
      writer.Number(static_cast<std::uint8_t>(trade.begins_later));
    }
    writer.Number(static_cast<std::uint32_t>(bid.postings.size()));
    for (const Posting& posting : bid.postings) {
      writer.Raw(posting.account.bytes);
      writer.Number(posting.balance);
      writer.Number(posting.held);
      writer.Number(posting.bond);
    }
  }
}

Settlement ReadSettlement(Reader& reader) {
  Settlement settlement;
  settlement.number = reader.Number<std::uint64_t>();
  settlement.bids.resize(reader.Count(kSettledBytesMax / kBidBytes, kBidBytes));
  for (SettledBid& bid : settlement.bids) {
    bid.bid = reader.Number<std::uint32_t>();
    bid.surcharge = reader.Number<std::int64_t>();
    bid.surcharge_ms = reader.Number<std::int64_t>();
    bid.trades.resize(reader.Count(kSettledTradesMax, kTradeBytes));
    for (SettledTrade& trade : bid.trades) {
      trade.trade = reader.Number<std::uint32_t>();
      trade.units_milli = reader.Number<std::int64_t>();
      trade.ms = reader.Number<std::int64_t>();
      trade.paid = reader.Number<std::int64_t>();
      trade.pool = reader.Number<std::int64_t>();
      trade.begins_later = reader.Flag();
    }
    bid.postings.resize(reader.Count(kSettledPostingsMax, kPostingBytes));
    for (Posting& posting : bid.postings) {
      posting.account.bytes = reader.Array<security::kKeyBytes>();
      posting.balance = reader.Number<std::int64_t>();
      posting.held = reader.Number<std::int64_t>();
      posting.bond = reader.Number<std::int64_t>();
    }
  }
  return settlement;
}

std::vector<Settlement> SplitSettlement(Settlement settlement) {
  std::vector<Settlement> parts;
  std::size_t bytes = 0;
  for (SettledBid& bid : settlement.bids) {
    const std::size_t more = BytesOf(bid);
    if (parts.empty() || bytes + more > kSettledBytesMax) {
      parts.push_back({settlement.number, {}});
      bytes = 0;
    }
    bytes += more;
    parts.back().bids.push_back(std::move(bid));
  }
  return parts;
}

Status CheckSettled(const SettledBid& settled, const ClearedBid& cleared) {
  if (settled.trades.size() != cleared.trades.size()) {
    return Differs(std::to_string(settled.trades.size()) + " trades were settled of " +
                   std::to_string(cleared.trades.size()) + " that were cleared");
  }
  Wide paid = settled.surcharge;
  Wide pool = settled.surcharge;
  const std::int64_t surcharge =
      CostOf(cleared.surcharge_nanocredits / auction::kNanoPerMicro, 1000, settled.surcharge_ms);
  if (settled.surcharge != surcharge || settled.surcharge_ms < 0 || settled.surcharge_ms > kSettledMsMax) {
    return Differs("a surcharge of " + std::to_string(settled.surcharge) + " microcredits was taken, and " +
                   std::to_string(surcharge) + " is what was cleared");
  }
  for (const SettledTrade& trade : settled.trades) {
    const std::string name = "trade " + std::to_string(trade.trade);
    const auto place = cleared.trades.find(trade.trade);
    if (place == cleared.trades.end()) return Differs(name + " was not cleared");
    const auction::Trade* const found = &place->second;
    if (found->units_milli != trade.units_milli) {
      return Differs(name + " was settled for " + std::to_string(trade.units_milli) + " thousandths and cleared for " +
                     std::to_string(found->units_milli));
    }
    if (trade.ms <= 0 || trade.ms > kSettledMsMax) return Differs(name + " is of a time that no lease has");
    const std::int64_t cost = CostOf(found->price_buyer_microcredits, trade.units_milli, trade.ms);
    if (trade.paid != cost) {
      return Differs(name + " cost " + std::to_string(trade.paid) +
                     " microcredits, and at the price that was cleared " + std::to_string(cost));
    }
    const std::int64_t to_pool = cost - CostOf(found->price_seller_microcredits, trade.units_milli, trade.ms);
    if (trade.pool != to_pool) {
      return Differs(name + " gave the pool " + std::to_string(trade.pool) + " microcredits, and " +
                     std::to_string(to_pool) + " is what the seller does not get");
    }
    paid += trade.paid;
    if (!trade.begins_later) pool += trade.pool;
  }
  Wide sum = 0;
  Wide buyer = 0;
  Wide to_pool = 0;
  for (const Posting& posting : settled.postings) {
    sum += Wide{posting.balance} + posting.held + posting.bond;
    if (posting.account == cleared.buyer) buyer = posting.balance;
    if (posting.account == kPool) to_pool = posting.balance;
  }
  if (sum != 0) return Differs("its postings do not add up: credits were made or lost");
  // Who buys on a slot of its own is paid as its provider, too.
  if (buyer < -paid) return Differs("the buyer's account was charged more than the trades cost");
  if (to_pool != pool) return Differs("the pool was given something else than what sellers do not get");
  return Status::Ok();
}

}  // namespace accelmesh::market::ledger
