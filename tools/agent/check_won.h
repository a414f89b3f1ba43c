// Holds what a market granted against what it was asked for. The market keeps the accounts, so it can charge what it
// likes; but it shall not be able to say one thing, let another, and have nobody notice: the token is what counts at
// the gpu-server, the lease beside it is what is paid for.
//
// Pure. Threads: functions on values.
#pragma once

#include "protocol/security/keys.h"
#include "tools/agent/ports.h"

namespace accelmesh::agent {

struct Asked {
  security::PublicKey market;
  security::CurveKey holder;
  std::size_t leases = 0;                        // so many, all or none; 0: any number
  std::int64_t price_microcredits_per_hour = 0;  // for all of them, at most; 0: no bound
  std::uint32_t share_milli = 0;                 // of all of them together, at least
  std::uint64_t memory_bytes = 0;                // of each, at least
};
// What an order asks for.
Asked AskedBy(const Order& order, const security::PublicKey& market);

// kPermissionDenied, naming the lease and what is wrong with it.
Status CheckWon(const std::vector<Won>& won, const Asked& asked);

}  // namespace accelmesh::agent
