#include "tests/conformance/registry/load.h"

namespace accelmesh::registry {

void Load::Start(Registry& registry) {
  {
    const std::lock_guard lock(mutex_);
    ++running_;
  }
  Next(registry, options_.each);
}

bool Load::finished() {
  const std::lock_guard lock(mutex_);
  return running_ == 0;
}

std::string Load::HistoryText() const {
  std::string text;
  for (const Recorded& recorded : history_) text += recorded.ToString() + "\n";
  return text;
}

Compare Load::RandomCompare() {
  const std::string key = Key();
  const auto known = seen_.find(key);
  const Entry entry = known != seen_.end() ? known->second : Entry();
  switch (Random(5)) {
    case 0: return Compare::Unchanged(key, entry.mod_revision);
    case 1: return Compare::Absent(key);
    case 2: return Compare::Value(key, entry.value, static_cast<Compare::Relation>(Random(4)));
    case 3: return {key, Compare::Field::kVersion, static_cast<Compare::Relation>(Random(4)), entry.version, {}};
    default: return {key, Compare::Field::kCreateRevision, Compare::Relation::kEqual, entry.create_revision, {}};
  }
}

Txn Load::RandomTxn() {
  Txn txn;
  for (std::uint64_t i = Random(3); i > 0; --i) txn.compares.push_back(RandomCompare());
  for (std::vector<Operation>* branch : {&txn.then, &txn.otherwise}) {
    std::map<std::string, bool> written;
    for (std::uint64_t i = Random(4); i > 0; --i) {
      const std::string key = Key();
      const std::uint64_t kind = branch == &txn.otherwise ? Random(4) : Random(8);
      if (kind < 3 || written[key]) {
        branch->push_back(Operation::Get(key));
      } else {
        written[key] = true;
        // No value is written twice.
        branch->push_back(kind == 7 ? Operation::Delete(key) : Operation::Put(key, "v" + std::to_string(++values_)));
      }
    }
  }
  return txn;
}

void Load::Next(Registry& registry, int left) {
  Txn txn;
  std::size_t place = 0;
  bool snapshot = false;
  {
    const std::lock_guard lock(mutex_);
    if (left == 0) {
      --running_;
      return;
    }
    snapshot = Random(10) == 0;
    if (snapshot) {
      // In the history, a transaction that gets every key.
      for (int i = 0; i < options_.keys; ++i) txn.then.push_back(Operation::Get(options_.prefix + std::to_string(i)));
    } else {
      txn = RandomTxn();
    }
    place = history_.size();
    history_.push_back({txn, ++order_, 0, std::nullopt});
  }
  const Instant deadline = now_() + options_.patience;
  if (!snapshot) {
    registry.Submit(std::move(txn), deadline, [this, &registry, left, place](Result<TxnResult> result) {
      Answered(place, std::move(result));
      Next(registry, left - 1);
    });
    return;
  }
  registry.Snapshot(options_.prefix, deadline, [this, &registry, left, place](Result<SnapshotResult> read) {
    if (read.ok()) {
      TxnResult seen{true, read->revision, std::vector<OperationResult>(static_cast<std::size_t>(options_.keys))};
      for (Entry& entry : read->entries) {
        const int key = std::stoi(entry.key.substr(options_.prefix.size()));
        seen.results.at(static_cast<std::size_t>(key)).entry = std::move(entry);
      }
      Answered(place, std::move(seen));
    } else {
      Answered(place, read.status());
    }
    Next(registry, left - 1);
  });
}

void Load::Answered(std::size_t place, Result<TxnResult> result) {
  const std::lock_guard lock(mutex_);
  Recorded& recorded = history_[place];
  recorded.answered = ++order_;
  if (!result.ok()) return;
  for (const OperationResult& one : result->results) {
    if (one.entry) seen_[one.entry->key] = *one.entry;
  }
  recorded.result = *std::move(result);
}

}  // namespace accelmesh::registry
