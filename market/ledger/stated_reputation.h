// Stated reputations: with what reputations a ledger begins. A market that begins one when it has receipts already (the
// folder was lost, or there was none before) says first, one entry for each identity, what those came to. Nobody can
// check that: it is the market's word, it can be given only before anything else is in the log, and who verifies the
// ledger is told how many there are. What follows is computed from there.
//
// Pure; the bytes may be anything. Threads: values.
#pragma once

#include "market/ledger/codec.h"
#include "market/ledger/reputation.h"

namespace accelmesh::market::ledger {

struct StatedReputation {
  security::PublicKey key;
  ReputationState state;  // sorted: tracks by role and event, payers by key
  bool operator==(const StatedReputation&) const = default;
};

// kInvalidArgument: a number that receipts cannot come to, too many payers, or an order that is not theirs.
Status CheckStated(const StatedReputation& stated);

// For entry.h.
void WriteStated(Writer& writer, const StatedReputation& stated);
StatedReputation ReadStated(Reader& reader);

}  // namespace accelmesh::market::ledger
