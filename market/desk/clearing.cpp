#include "market/desk/clearing.h"

#include <algorithm>
#include <set>

#include "market/core/accounts.h"
#include "market/desk/epoch_input.h"
#include "market/desk/goods.h"
#include "market/desk/lots.h"
#include "market/desk/offers.h"
#include "market/ledger/merkle.h"
#include "protocol/base/bytes.h"

namespace accelmesh::market {

using ledger::LeftOut;

class EpochPlanner::Impl {
 public:
  Impl(const Book& book, const std::vector<SealedBid>& bids, const std::set<std::string>& unused, std::uint64_t number,
       const Moment& moment)
      : book_(book), bids_(bids), unused_(unused), moment_(moment), left_out_(bids.size()) {
    parts_.number = number;
    parts_.facts = LookAtClasses(book, unused, moment);
    CheckBids();
    // With gangs there are two turns of each kind of goods.
    const bool has_gangs =
        std::any_of(bids.begin(), bids.end(), [](const SealedBid& bid) { return !bid.order->bundles.empty(); });
    for (const auto& [name, wants] : wants_) parts_.goods[name] = GoodsOf(wants, has_gangs ? number / 2 : number);
    LeaveOutOtherGoods();
    TakeTurnsOfGangs(number);
    FindOffers();
    Collect();
  }

  const std::vector<SignedOrderBytes>& orders() const { return orders_; }
  const std::vector<std::optional<LeftOut>>& left_out() const { return left_out_; }

  ledger::Hash turn() const {
    Bytes words;
    const auto number = [&words](auto value) {
      const auto wide = static_cast<std::uint64_t>(value);
      const ByteView bytes = AsBytes(wide);
      words.insert(words.end(), bytes.begin(), bytes.end());
    };
    const auto text = [&](const std::string& value) {
      number(value.size());
      words.insert(words.end(), value.begin(), value.end());
    };
    number(orders_.size());
    for (const SignedOrderBytes& order : orders_) text(order.order);
    number(parts_.offers.size());
    for (const Offer& offer : parts_.offers) {
      text(offer.source.name());
      number(offer.source.share_milli);
      number(offer.source.memory_bytes);
      number(offer.source.notice_ms);
      number(offer.source.is_forced);
      number(offer.ask.price_microcredits);
    }
    for (const auto& [name, goods] : parts_.goods) {
      text(name);
      number(goods.density.memory);
      number(goods.density.share);
      number(goods.notice_ms);
    }
    for (const auto& [name, lot] : parts_.lots) {
      text(name);
      number(lot);
    }
    return ledger::LeafHash(words);
  }

  EpochPlan Finish(const std::vector<std::size_t>& ranks, std::size_t sealed, std::uint64_t seed) {
    return PlanOf(book_, bids_, parts_, ranks, sealed, seed);
  }

 private:
  // Whoever cannot pay what he bids bids nothing; of several bids of one tenant, those that he can pay together.
  void CheckBids() {
    std::map<std::string, std::int64_t> left;
    for (std::size_t i = 0; i < bids_.size(); ++i) {
      const messages::OrderT& order = *bids_[i].order;
      if (order.valid_until_ms <= moment_.now_ms) {
        left_out_[i] = LeftOut::kExpired;
        continue;
      }
      const AccountRecord* account = book_.Account(bids_[i].owner);
      const auto purse = left.try_emplace(bids_[i].owner, account != nullptr ? account->balance : 0).first;
      std::int64_t price = ShareOf(order.price_microcredits_per_hour, order.share_milli);
      for (const auto& bundle : order.bundles) price = std::max(price, bundle->value_microcredits_per_hour);
      // As long as it wants idle units, or as what is left of the longest lease that it may get.
      std::int64_t lease_ms =
          order.lease_us >= 1000 ? std::min(order.lease_us / 1000, kLeaseLifeMsMax) : kLeaseLifeMsMax;
      std::optional<LeftOut> why;
      EachPart(order, [&](const std::string& name, std::uint32_t share, std::uint64_t memory) {
        const auto known = parts_.facts.find(name);
        if (known == parts_.facts.end()) {
          why = LeftOut::kClass;
        } else if (known->second.most < Density{memory, std::max(1U, share)}) {
          why = LeftOut::kMemory;
        } else {
          lease_ms = std::max(lease_ms, known->second.left_ms);
        }
      });
      if (why) {
        left_out_[i] = why;
        continue;
      }
      const std::int64_t cost = CostOf(price, lease_ms);
      if (order.budget_microcredits > 0 && cost > order.budget_microcredits) {
        left_out_[i] = LeftOut::kBudget;
        continue;
      }
      if (cost > purse->second) {
        left_out_[i] = LeftOut::kAccount;
        continue;
      }
      purse->second -= cost;
      EachPart(order, [&](const std::string& name, std::uint32_t share, std::uint64_t memory) {
        wants_[name].push_back({i, bids_[i].owner, {memory, std::max(1U, share)}, order.notice_us / 1000});
      });
    }
  }

  void LeaveOutOtherGoods() {
    for (const auto& [name, wants] : wants_) {
      const Goods& goods = parts_.goods[name];
      for (const Want& want : wants) {
        if (goods.density < want.density || want.notice_ms < goods.notice_ms) {
          left_out_[want.bid] = LeftOut::kGoods;
        }
      }
    }
  }

  bool IsGang(std::size_t bid) const { return !bids_[bid].order->bundles.empty(); }

  // A gang has whole devices, and so whole leases of others: then a class is dealt in whole ones. Bids for parts of it
  // have every other epoch; bids for a whole one are there in both, so that no gang keeps them from lane B for longer
  // than an epoch (auction/epoch.h).
  void TakeTurnsOfGangs(std::uint64_t number) {
    for (auto& [name, wants] : wants_) {
      std::erase_if(wants, [&](const Want& want) { return left_out_[want.bid].has_value(); });
    }
    const bool is_gangs_turn = number % 2 == 0;
    for (const auto& [name, wants] : wants_) {
      const auto is_gang = [&](const Want& want) { return IsGang(want.bid); };
      const auto is_part = [&](const Want& want) {
        return !is_gang(want) && want.density.share != scheduler::kWholeMilli;
      };
      const bool has_gangs = std::any_of(wants.begin(), wants.end(), is_gang);
      if (!has_gangs || std::all_of(wants.begin(), wants.end(), is_gang)) continue;
      for (const Want& want : wants) {
        if (is_gangs_turn ? !is_part(want) : !is_gang(want)) continue;
        left_out_[want.bid] = is_gangs_turn ? LeftOut::kGangsTurn : LeftOut::kPartsTurn;
      }
    }
    for (const auto& [name, wants] : wants_) {
      for (const Want& want : wants) {
        if (!left_out_[want.bid] && IsGang(want.bid)) in_wholes_.insert(name);
      }
    }
  }

  void FindOffers() {
    Offers offers(book_, parts_.facts, parts_.goods, moment_);
    for (const std::string& id : book_.Asked()) {
      if (!unused_.contains(id)) offers.AddAsk(id);
    }
    for (const std::string& id : unused_) offers.AddUnused(id);
    ChooseLots(offers);
    offers.AddIdle(parts_.lots);
    parts_.offers = offers.all();
    std::sort(parts_.offers.begin(), parts_.offers.end(),
              [](const Offer& a, const Offer& b) { return a.source.name() < b.source.name(); });
  }

  void ChooseLots(const Offers& offers) {
    std::map<std::string, Sizes> sizes;
    for (const Offer& offer : offers.all()) sizes[offer.class_name].asks.push_back(offer.source.share_milli);
    for (const auto& [name, wants] : wants_) {
      Sizes& of_class = sizes[name];
      for (const Want& want : wants) {
        if (left_out_[want.bid]) continue;
        const auto share = static_cast<std::uint32_t>(want.density.share);
        of_class.bids.push_back({share, bids_[want.bid].order->is_divisible});
      }
    }
    for (const scheduler::Slot& slot : book_.slots()) {
      if (slot.is_draining || slot.share_milli_free == 0 || slot.share_milli_step >= slot.share_milli) continue;
      const auto of_class = sizes.find(book_.Slot(slot.id)->class_name());
      if (of_class != sizes.end()) of_class->second.steps.insert(std::max(1U, slot.share_milli_step));
    }
    for (const auto& [name, of_class] : sizes) {
      parts_.lots[name] = in_wholes_.contains(name) ? scheduler::kWholeMilli : LotOf(of_class, parts_.number);
    }
  }

  // What is signed, in the order in which Finish() numbers it: bids, then asks.
  void Collect() {
    for (std::size_t i = 0; i < bids_.size(); ++i) {
      if (left_out_[i]) continue;
      parts_.bids.push_back(i);
      SignedOrderBytes bytes;
      if (const messages::PlaceOrderT* placed = bids_[i].placed; placed != nullptr) {
        bytes.order.assign(placed->order.begin(), placed->order.end());
        bytes.signature.assign(placed->signature.begin(), placed->signature.end());
      }
      orders_.push_back(std::move(bytes));
    }
    for (const Offer& offer : parts_.offers) {
      if (!offer.is_signed()) continue;
      const StandingAsk& ask = book_.Lease(offer.source.lease)->ask;
      orders_.push_back({ask.order, ask.signature});
    }
  }

  const Book& book_;
  const std::vector<SealedBid>& bids_;
  const std::set<std::string>& unused_;
  const Moment moment_;
  EpochParts parts_;
  std::vector<std::optional<LeftOut>> left_out_;
  std::map<std::string, std::vector<Want>> wants_;  // by class
  std::set<std::string> in_wholes_;                 // classes of which gangs deal in this epoch
  std::vector<SignedOrderBytes> orders_;
};

EpochPlanner::EpochPlanner(const Book& book, const std::vector<SealedBid>& bids, const std::set<std::string>& unused,
                           std::uint64_t number, const Moment& moment)
    : impl_(std::make_unique<Impl>(book, bids, unused, number, moment)) {}
EpochPlanner::~EpochPlanner() = default;
const std::vector<SignedOrderBytes>& EpochPlanner::orders() const { return impl_->orders(); }
const std::vector<std::optional<LeftOut>>& EpochPlanner::left_out() const { return impl_->left_out(); }
ledger::Hash EpochPlanner::turn() const { return impl_->turn(); }
EpochPlan EpochPlanner::Finish(const std::vector<std::size_t>& ranks, std::size_t sealed, std::uint64_t seed) {
  return impl_->Finish(ranks, sealed, seed);
}

std::vector<std::size_t> RanksOf(const std::vector<SignedOrderBytes>& orders) {
  std::vector<std::size_t> sorted(orders.size());
  for (std::size_t i = 0; i < sorted.size(); ++i) sorted[i] = i;
  std::sort(sorted.begin(), sorted.end(), [&](std::size_t a, std::size_t b) {
    return orders[a].order != orders[b].order ? orders[a].order < orders[b].order : a < b;
  });
  std::vector<std::size_t> ranks(orders.size());
  for (std::size_t rank = 0; rank < sorted.size(); ++rank) ranks[sorted[rank]] = rank;
  return ranks;
}

std::uint64_t MemoryOf(const EpochPlan::Source& source, std::int64_t units_milli) {
  __extension__ using Wide = unsigned __int128;
  const auto units = static_cast<std::uint64_t>(std::max<std::int64_t>(units_milli, 0));
  if (source.share_milli == 0 || units >= source.share_milli) return source.memory_bytes;
  return static_cast<std::uint64_t>(Wide{source.memory_bytes} * units / source.share_milli);
}

std::string_view Name(auction::Lane lane) {
  switch (lane) {
    case auction::Lane::kNetted: return "netted";
    case auction::Lane::kFloor: return "floor";
    case auction::Lane::kGang: return "gang";
    case auction::Lane::kAuction: return "auction";
    case auction::Lane::kPosted: return "surrogate";
  }
  return "";
}

std::string_view Name(auction::LaneB lane) {
  switch (lane) {
    case auction::LaneB::kNone: return "none";
    case auction::LaneB::kSbba: return "auction (SBBA)";
    case auction::LaneB::kMcAfee: return "auction (McAfee)";
    case auction::LaneB::kHuang: return "auction (several sizes)";
    case auction::LaneB::kPosted: return "surrogate price";
  }
  return "";
}

std::string_view Name(auction::UnservedWhy why) {
  switch (why) {
    case auction::UnservedWhy::kPrice: return "the price was too low";
    case auction::UnservedWhy::kRationed: return "there was too little, and the draw fell on others";
    case auction::UnservedWhy::kMargin: return "it was the trade that the auction gives up";
    case auction::UnservedWhy::kBudget: return "the budget was too small";
    case auction::UnservedWhy::kNotice: return "it cannot wait as long as sellers take";
    case auction::UnservedWhy::kNoClass: return "nobody offers that class";
    case auction::UnservedWhy::kLot: return "it is not a whole lot";
    case auction::UnservedWhy::kNoFloor: return "the floor is used up";
    case auction::UnservedWhy::kSize: return "nobody offers so much, all or nothing";
  }
  return "";
}

}  // namespace accelmesh::market
