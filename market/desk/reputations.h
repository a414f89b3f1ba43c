// Reputations: what counter-signed receipts have come to, as records of the registry, so that every leader computes the
// same. A provider's score is fixed when a receipt of it comes, a minute after the last time at the earliest, and anew
// each hour; asks of an epoch count by what stands in the records before its bids are looked at.
//
// Threads: the desk's. Ownership: owns its copy of the records; the book is the desk's.
#pragma once

#include <map>
#include <string>

#include "market/client/messages.h"
#include "market/core/book.h"
#include "market/core/market_clock.h"
#include "market/ledger/reputation.h"
#include "market/ledger/stated_reputation.h"

namespace accelmesh::market {

class Reputations {
 public:
  // Reads all of them anew.
  void Load(const Book& book);
  // Takes a counter-signed receipt and puts what follows into `edit`.
  void Add(const ledger::Receipt& receipt, const Book& book, const Moment& moment, Edit& edit);
  // The providers whose scores are of an earlier hour, at most `most`, with their scores of now.
  Decision Refresh(const Book& book, const Moment& moment, std::size_t most);
  // All of them, by identity: with what a ledger begins that has none of their receipts.
  std::vector<ledger::StatedReputation> Stated(const Book& book) const;
  messages::ReputationsT List(const std::string& identity, const Book& book, const Moment& moment) const;

 private:
  std::uint32_t ScoreOf(const security::PublicKey& key, const Book& book, const Moment& moment);

  ledger::ReputationBook reputations_;
};

// A provider's score, a newcomer's if there are no receipts of it.
std::uint32_t ScoreOf(const Book& book, const std::string& provider);

}  // namespace accelmesh::market
