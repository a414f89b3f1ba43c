#include "market/registry/epochs.h"

#include <charconv>
#include <limits>

namespace accelmesh::registry {

std::string EpochKey(std::string_view slot) { return "/epoch/slot/" + std::string(slot); }

Result<SlotEpoch> ReadEpoch(const std::optional<Entry>& entry) {
  if (!entry) return SlotEpoch{};
  SlotEpoch seen;
  seen.mod_revision = entry->mod_revision;
  const char* end = entry->value.data() + entry->value.size();
  const auto [stop, error] = std::from_chars(entry->value.data(), end, seen.epoch);
  if (error != std::errc() || stop != end || seen.epoch == 0) {
    return Status(
        Code::kBadFrame, "registry::ReadEpoch",
        KeyText(entry->key) + " holds " + KeyText(entry->value) +
            ", no epoch; somebody else wrote it: put a higher epoch there than any the slot's server has seen");
  }
  return seen;
}

Result<std::uint64_t> AddGrant(Txn& txn, std::string_view slot, const SlotEpoch& seen) {
  if (slot.empty()) return Status(Code::kInvalidArgument, "registry::AddGrant.slot", "a slot has a name");
  if (seen.epoch == std::numeric_limits<std::uint64_t>::max()) {
    return Status(Code::kLimitExceeded, "registry::AddGrant", "no epoch is left; give the slot another name");
  }
  const std::uint64_t epoch = seen.epoch + 1;
  txn.compares.push_back(Compare::Unchanged(EpochKey(slot), seen.mod_revision));
  txn.then.push_back(Operation::Put(EpochKey(slot), std::to_string(epoch)));
  return epoch;
}

}  // namespace accelmesh::registry
