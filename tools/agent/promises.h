// Holds the market to its promises: each order that it has taken must be in the ledger's next epoch, or a good reason
// why not (market/ledger/promise.h). One that is not is proven by the market's own signatures: the evidence goes into a
// file.
//
// A promise is kept in a folder from when it comes until it was kept: what may not be read yet, for bids that stand are
// hidden, a later look or a later run reads. A market that gives none, or does not answer, is no trouble of the
// program's; that it gave none is said to whoever asks for explanations. One that what the market shows contradicts is
// renamed to .refused: it is evidence, and is not looked at again.
// Threads: one at a time, that of lease renewals: a look ends with its deadline, whatever the market does.
#pragma once

#include <set>
#include <string>

#include "market/ledger/promise.h"
#include "tools/agent/negotiator.h"

namespace accelmesh::agent {

class Promises {
 public:
  // `folder` is the witness's (watcher.h); empty: promises are not looked at. `identity` outlives it.
  Promises(MarketPort& market, WorldPort& world, Negotiator::Sink sink, std::string folder,
           const security::SigningKey& identity, const security::PublicKey& market_key);

  // Keeps what has come.
  void Collect();
  // Does what is due and says when to call again.
  std::int64_t Tick();
  // Looks once more. Does not wait long.
  void End();

  std::size_t broken() const { return broken_; }

 private:
  void Keep(const std::string& text);
  // What it does not come to is looked at next time: it begins behind the last one that it looked at.
  void Look(Deadline deadline);
  // False: the market does not answer just now.
  bool Check(const std::string& path, const market::ledger::Promise& promise, Deadline deadline);
  bool CheckSigned(const std::string& path, market::ledger::BrokenPromise read,
                   const market::ledger::PromiseVerdict& verdict, Deadline deadline);
  bool Refuse(const std::string& path, const market::ledger::Promise& promise, const Status& why, Deadline deadline);
  void TellBroken(const std::string& path, const market::ledger::BrokenPromise& evidence,
                  const market::ledger::PromiseVerdict& verdict);
  // What it shows now is not the history under which it promised: asks for what proves that. False: no answer.
  bool TellFork(const market::ledger::Promise& promise, Deadline deadline);
  // Once of each kind.
  void Trouble(const char* kind, const std::string& text);

  MarketPort& market_;
  WorldPort& world_;
  Negotiator::Sink sink_;
  const std::string folder_;
  const security::PublicKey identity_;
  const market::ledger::NamedKey log_;
  std::int64_t next_ms_ = 0;
  std::uint64_t answered_ = 0;
  std::string looked_at_;  // the last path
  std::set<std::string> told_;
  std::size_t broken_ = 0;
};

}  // namespace accelmesh::agent
