// Epochs: fencing tokens. Every grant of a slot carries an epoch, one higher than the grant before it; who serves the
// slot refuses lower ones than the highest that it has seen (market/client/epoch_file.h). So a holder that believes in
// a lease which somebody else has got meanwhile does no harm, whatever clocks, leases and networks did.
//
// A slot's epoch has a key of its own that is never deleted: a slot that is gone and comes back goes on counting.
// Threads: pure functions.
#pragma once

#include "market/registry/registry.h"

namespace accelmesh::registry {

struct SlotEpoch {
  std::uint64_t epoch = 0;  // 0: never granted
  Revision mod_revision = 0;
};

std::string EpochKey(std::string_view slot);
// What a get or a snapshot of EpochKey(slot) gave. kBadFrame if somebody else wrote there.
Result<SlotEpoch> ReadEpoch(const std::optional<Entry>& entry);
// Makes `txn` a grant of the slot: it goes through only if nobody has granted the slot since `seen`. The epoch of the
// grant is returned, and holds once the transaction has succeeded. Several slots make a gang: all or none.
Result<std::uint64_t> AddGrant(Txn& txn, std::string_view slot, const SlotEpoch& seen);

}  // namespace accelmesh::registry
