// What a gpu-server says in the receipts of leases that were on its slots, and when it signs what the buyer says.
//
// It signs the buyer's words if they say no more than it has seen itself: use within a tenth, and no loss but one that
// it knows of: time that the lease waited for its share, workers that died, a device that a check found changed, a
// server that was started anew. To anything else
// it says its own words, and the receipt counts for nobody. Where the buyer says nothing it waits a while and signs
// alone. Pure. Threads: functions on values.
#pragma once

#include <optional>

#include "market/client/receipts.h"
#include "server/main/facts.h"

namespace accelmesh {

// Unix time, milliseconds; 0: never.
struct ServerTroubles {
  std::int64_t started_ms = 0;  // what was before is not known
  std::int64_t died_ms = 0;     // a worker, last
  std::int64_t changed_ms = 0;  // the device was found to be another than was registered, last
};

inline constexpr std::int64_t kBuyersMs = 10'000;  // that a buyer has to sign first

// Nothing: not yet. `use`: what the server knows of the lease, null if nothing.
std::optional<market::ReceiptWords> WordsFor(const market::messages::ReceiptT& open, const LeaseFacts* use,
                                             const ServerTroubles& troubles, std::int64_t now_ms);

}  // namespace accelmesh
