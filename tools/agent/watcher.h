// Watches the market's ledger while a program runs: keeps the newest checkpoint that it has seen, has the market show
// that each newer one extends it, and cosigns it. A market that shows different people different histories gets at most
// one of them cosigned, and is convicted by its own signatures: the evidence goes into a file.
//
// What was seen is kept in a folder, for later runs, of which several may be under way. A market without a ledger, or
// one that does not answer, is no trouble of the program's.
// Threads: one at a time.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "market/ledger/witness.h"
#include "tools/agent/negotiator.h"

namespace accelmesh::agent {

class Watcher {
 public:
  // Nothing is looked at yet. `identity` outlives it. An empty folder: it does not watch.
  Watcher(MarketPort& market, WorldPort& world, Negotiator::Sink sink, std::string folder,
          const security::SigningKey& identity, const security::PublicKey& market_key);
  // The user's: $XDG_STATE_HOME/accelmesh/witness (or ~/.local/state/...); empty if nobody says where that is.
  static std::string UsersFolder();

  // Does what is due and says when to call again.
  std::int64_t Tick();
  // Looks once more, for the last checkpoint that the program had a part in. Does not wait long.
  void End();

  // Entries of the tree that was cosigned last; 0: none yet.
  std::uint64_t cosigned() const { return cosigned_; }
  bool has_found_fork() const { return is_fork_; }

 private:
  void Look(std::int64_t patience_ms);
  void Judge(market::ledger::Witness& witness, const market::ledger::Extension& extension, std::int64_t patience_ms);
  std::optional<market::ledger::ForkEvidence> AskForEvidence(const std::string& seen_note, std::uint64_t seen,
                                                             const market::ledger::Extension& newer,
                                                             std::int64_t patience_ms);
  void TellFork(const market::ledger::ForkEvidence& evidence);
  // Once of each kind.
  void Trouble(const char* kind, const std::string& text);

  MarketPort& market_;
  WorldPort& world_;
  Negotiator::Sink sink_;
  const std::string folder_;
  const security::SigningKey& identity_;
  const market::ledger::NamedKey log_;
  std::int64_t next_ms_ = 0;
  std::uint64_t cosigned_ = 0;
  std::set<std::string> told_;
  bool is_fork_ = false;
  bool is_over_ = false;  // nothing more to be watched
};

}  // namespace accelmesh::agent
