// A small market that is always the same, for what slotctl says of it: two gpu-servers of one kind, a dearer one of
// another, a holder who sells, bids, some epochs, receipts.
#pragma once

#include <memory>
#include <string>

#include "market/client/messages.h"

namespace accelmesh::slotctl::testing {

namespace messages = market::messages;

inline constexpr std::int64_t kNowMs = 1'000'000'000;
inline constexpr char kSoftware[] = "cpu/AccelMesh Software GPU";
inline constexpr char kH100[] = "cuda/NVIDIA H100";
inline std::string KeyOf(char digit) { return std::string(64, digit); }

inline void AddAsk(messages::AsksT& asks, const char* class_name, const char* slot, const char* lease,
                   const char* owner, std::uint32_t share, std::int64_t price) {
  auto ask = std::make_unique<messages::StandingAskT>();
  ask->class_name = class_name;
  ask->slot = slot;
  ask->lease = lease;
  ask->owner = KeyOf(*owner);
  ask->owner_name = owner;
  ask->share_milli = share;
  ask->memory_bytes = std::uint64_t{share} << 20;
  ask->price_microcredits_per_hour = price;
  if (!ask->lease.empty()) {
    ask->notice_us = 5'000'000;
    ask->until_ms = kNowMs + 90'000;
  }
  asks.asks.push_back(std::move(ask));
}

inline messages::AsksT Asks() {
  messages::AsksT asks;
  AddAsk(asks, kSoftware, "left/0", "1f3a", "seller", 500, 2'500'000);
  AddAsk(asks, kSoftware, "right/0", "", "right", 300, 1'000'000);
  AddAsk(asks, kSoftware, "left/0", "", "left", 90, 2'000'000);
  AddAsk(asks, kH100, "big/0", "", "big", 1000, 9'000'000);
  for (const std::uint32_t share : {250U, 0U}) {
    auto bid = std::make_unique<messages::StandingBidT>();
    // A gang's is of several classes.
    bid->class_name = share == 0 ? "" : kSoftware;
    bid->share_milli = share;
    bid->memory_bytes = std::uint64_t{share} << 20;
    bid->until_ms = kNowMs + 2000;
    asks.bids.push_back(std::move(bid));
  }
  return asks;
}

inline std::unique_ptr<messages::TradeT> TradeOf(const char* slot, const char* from, const char* seller,
                                                 const char* buyer, const char* lane, std::int64_t price) {
  auto trade = std::make_unique<messages::TradeT>();
  trade->class_name = kSoftware;
  trade->slot = slot;
  trade->from = from;
  trade->lease = "2b44";
  trade->seller = KeyOf(*seller);
  trade->seller_name = seller;
  trade->buyer = KeyOf(*buyer);
  trade->buyer_name = buyer;
  trade->lane = lane;
  trade->share_milli = 300;
  trade->price_buyer_microcredits_per_hour = price + 100'000;
  trade->price_seller_microcredits_per_hour = price;
  trade->paid_microcredits = price / 100;
  return trade;
}

// Twelve, a minute apart, newest first; the price rises, and two classes trade in the last one.
inline messages::EpochsT Epochs(int count = 12) {
  messages::EpochsT epochs;
  for (int i = count; i > 0; --i) {
    auto epoch = std::make_unique<messages::EpochT>();
    epoch->number = static_cast<std::uint64_t>(100 + i);
    epoch->time_ms = kNowMs - 60'000 * (count - i);
    const std::int64_t price = 2'000'000 + 50'000 * i;
    auto one = std::make_unique<messages::ClassEpochT>();
    one->class_name = kSoftware;
    one->lane = "surrogate price";
    one->why = "1 trades to be had, an auction takes 10";
    one->reserve_microcredits_per_hour = 2'000'000;
    one->price_microcredits_per_hour = price;
    one->bids = 2;
    one->asks = 3;
    one->trades = 1;
    epoch->classes.push_back(std::move(one));
    const bool is_resale = i % 2 == 0;
    epoch->trades.push_back(
        TradeOf("left/0", is_resale ? "1f3a" : "", is_resale ? "seller" : "left", "buyer", "surrogate", price));
    if (i > count - 2) {
      auto big = std::make_unique<messages::ClassEpochT>();
      big->class_name = kH100;
      big->lane = "auction (McAfee)";
      big->price_microcredits_per_hour = 9'000'000 + 100'000 * i;
      big->bids = big->asks = 12;
      big->trades = 11;
      epoch->classes.push_back(std::move(big));
    }
    epochs.epochs.push_back(std::move(epoch));
  }
  return epochs;
}

inline messages::ReceiptsT Receipts() {
  messages::ReceiptsT receipts;
  for (const char* state : {"both", "buyer", "disputed"}) {
    auto receipt = std::make_unique<messages::ReceiptT>();
    receipt->lease = std::string("lease-") + state;
    receipt->slot_class = kSoftware;
    receipt->provider = KeyOf('b');
    receipt->buyer = KeyOf('a');
    receipt->begin_ms = kNowMs - 200'000;
    receipt->end_ms = kNowMs - 80'000;
    receipt->paid_microcredits = 60'000;
    receipt->delivered_ppm = *state == 'd' ? 800'000 : 1'000'000;
    receipt->uptime_ppm = 995'000;
    receipt->used_ppm = 417'000;
    receipt->had_notice = *state == 'd';
    receipt->state = state;
    receipts.receipts.push_back(std::move(receipt));
  }
  return receipts;
}

inline messages::ReputationsT Reputations() {
  messages::ReputationsT reputations;
  reputations.newcomer_ppm = 50'000;
  for (const char* event : {"delivered", "uptime"}) {
    for (const char* who : {"left", "big"}) {
      auto one = std::make_unique<messages::ReputationT>();
      one->identity = KeyOf(*who);
      one->name = who;
      one->role = "provider";
      one->event = event;
      one->good_microcredits = 4'000'000;
      one->bad_microcredits = *who == 'b' ? 1'000'000 : 0;
      one->score_ppm = *who == 'b' ? 423'400 : 811'000;
      reputations.reputations.push_back(std::move(one));
    }
  }
  return reputations;
}

}  // namespace accelmesh::slotctl::testing
