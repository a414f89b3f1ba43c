#include "tests/conformance/registry/linearizability.h"

#include <algorithm>
#include <limits>
#include <map>
#include <unordered_set>

namespace accelmesh::registry {
namespace {

constexpr Revision kUnseen = -1;  // written by somebody who got no answer; the first who reads it tells

struct Cell {
  std::string value;
  Revision created = 0;
  Revision modified = 0;
  std::int64_t version = 0;
};

struct Model {
  std::map<std::string, Cell> cells;
  Revision revision = 0;  // not lower than this
};

std::string Text(const Model& model) {
  std::string text = std::to_string(model.revision);
  for (const auto& [key, cell] : model.cells) {
    text += '|' + key + '=' + cell.value + ',' + std::to_string(cell.created) + ',' + std::to_string(cell.modified) +
            ',' + std::to_string(cell.version);
  }
  return text;
}

template <typename T>
bool Relates(const T& a, Compare::Relation relation, const T& b) {
  if (relation == Compare::Relation::kEqual) return a == b;
  if (relation == Compare::Relation::kNotEqual) return a != b;
  return relation == Compare::Relation::kLess ? a < b : a > b;
}

// Whether a compare holds; nothing: it asks for a revision that nobody has seen.
std::optional<bool> Holds(const Model& model, const Compare& compare) {
  const auto at = model.cells.find(compare.key);
  if (compare.field == Compare::Field::kValue) {
    return at != model.cells.end() && Relates(at->second.value, compare.relation, compare.value);
  }
  std::int64_t is = 0;
  if (at != model.cells.end()) {
    is = compare.field == Compare::Field::kVersion          ? at->second.version
         : compare.field == Compare::Field::kCreateRevision ? at->second.created
                                                            : at->second.modified;
  }
  if (is == kUnseen) return std::nullopt;
  return Relates(is, compare.relation, compare.number);
}

// Which branches the model allows.
struct Branches {
  bool then = true;
  bool otherwise = false;
};
Branches Allowed(const Model& model, const Txn& txn) {
  Branches allowed;
  for (const Compare& compare : txn.compares) {
    const std::optional<bool> holds = Holds(model, compare);
    if (!holds) {
      allowed.otherwise = true;
    } else if (!*holds) {
      return {false, true};
    }
  }
  return allowed;
}

bool Fits(Revision& known, Revision seen) {
  if (known == kUnseen) known = seen;
  return known == seen;
}

// The entry that a get saw against the model's; revisions nobody had seen become known.
bool Saw(Model& model, const std::string& key, const std::optional<Entry>& entry) {
  const auto at = model.cells.find(key);
  if (at == model.cells.end() || !entry) return (at == model.cells.end()) == !entry;
  Cell& cell = at->second;
  return entry->key == key && cell.value == entry->value && cell.version == entry->version &&
         Fits(cell.created, entry->create_revision) && Fits(cell.modified, entry->mod_revision);
}

// Runs a branch; `seen`: the answer that it must give. False if it would have given another one.
bool Run(Model& model, const std::vector<Operation>& branch, const TxnResult* seen) {
  if (seen != nullptr && seen->results.size() != branch.size()) return false;
  bool changed = false;
  const Revision revision = seen != nullptr ? seen->revision : kUnseen;
  for (std::size_t i = 0; i < branch.size(); ++i) {
    const Operation& operation = branch[i];
    if (operation.kind == Operation::Kind::kGet) {
      if (seen != nullptr && !Saw(model, operation.key, seen->results[i].entry)) return false;
    } else if (operation.kind == Operation::Kind::kPut) {
      Cell& cell = model.cells[operation.key];
      if (cell.version == 0) cell.created = revision;
      cell.value = operation.value;
      cell.modified = revision;
      ++cell.version;
      changed = true;
    } else {
      const bool deleted = model.cells.erase(operation.key) != 0;
      if (seen != nullptr && seen->results[i].deleted != deleted) return false;
      changed |= deleted;
    }
  }
  if (seen == nullptr) {
    // Worth a place in the order only if it changed something.
    if (changed) ++model.revision;
    return changed;
  }
  if (changed ? revision <= model.revision : revision < model.revision) return false;
  model.revision = revision;
  return true;
}

class Search {
 public:
  Search(const std::vector<Recorded>& history, std::uint64_t steps_max)
      : history_(history), steps_max_(steps_max), taken_(history.size()) {
    for (const Recorded& recorded : history_) left_ += recorded.result.has_value();
  }

  Judgement Judge() {
    Judgement judgement;
    const bool found = From(Model(), 0);
    judgement.steps = steps_;
    if (found) return judgement;
    judgement.verdict = steps_ > steps_max_ ? Verdict::kUndecided : Verdict::kNot;
    judgement.text = "no order of more than " + std::to_string(best_) + " of " + std::to_string(history_.size()) +
                     " operations gives these answers\nfits so far: " + best_model_ +
                     "\nwould be next, and does not fit:\n" + best_next_;
    return judgement;
  }

 private:
  static std::uint64_t End(const Recorded& recorded) {
    return recorded.result ? recorded.answered : std::numeric_limits<std::uint64_t>::max();
  }

  // Those that may come next: whatever began before the first of the answers that are still to come.
  std::vector<std::size_t> Next() const {
    std::vector<std::size_t> next;
    std::uint64_t first_end = std::numeric_limits<std::uint64_t>::max();
    for (std::size_t i = 0; i < history_.size() && history_[i].called < first_end; ++i) {
      if (taken_[i]) continue;
      next.push_back(i);
      first_end = std::min(first_end, End(history_[i]));
    }
    // Revisions tell the order where there is an answer; this only makes the search short.
    std::ranges::sort(next, {}, [&](std::size_t i) {
      const auto& result = history_[i].result;
      return std::pair(result ? result->revision : std::numeric_limits<Revision>::max(), i);
    });
    return next;
  }

  bool From(const Model& model, std::size_t depth) {
    if (left_ == 0) return true;
    if (++steps_ > steps_max_) return false;
    const std::vector<std::size_t> next = Next();
    if (depth > best_ || best_next_.empty()) {
      best_ = depth;
      best_model_ = Text(model);
      best_next_.clear();
      for (const std::size_t i : next) best_next_ += "  " + history_[i].ToString() + "\n";
    }
    for (const std::size_t i : next) {
      const Recorded& recorded = history_[i];
      const Branches allowed = Allowed(model, recorded.txn);
      for (const bool then : {true, false}) {
        if (!(then ? allowed.then : allowed.otherwise)) continue;
        if (recorded.result && recorded.result->succeeded != then) continue;
        Model after = model;
        if (!Run(after, then ? recorded.txn.then : recorded.txn.otherwise,
                 recorded.result ? &*recorded.result : nullptr)) {
          continue;
        }
        taken_[i] = true;
        left_ -= recorded.result.has_value();
        if (tried_.insert(Remembered(after)).second && From(after, depth + 1)) return true;
        taken_[i] = false;
        left_ += recorded.result.has_value();
      }
    }
    return false;
  }

  std::string Remembered(const Model& model) const {
    std::string text((taken_.size() + 7) / 8, '\0');
    for (std::size_t i = 0; i < taken_.size(); ++i) {
      if (taken_[i]) text[i / 8] = static_cast<char>(text[i / 8] | (1 << (i % 8)));
    }
    return text + Text(model);
  }

  const std::vector<Recorded>& history_;
  const std::uint64_t steps_max_;
  std::vector<bool> taken_;
  std::size_t left_ = 0;  // with an answer, and not in the order yet
  std::unordered_set<std::string> tried_;
  std::uint64_t steps_ = 0;
  std::size_t best_ = 0;
  std::string best_model_;
  std::string best_next_;
};

std::string EntryText(const std::optional<Entry>& entry) {
  if (!entry) return "none";
  return entry->value + "@" + std::to_string(entry->create_revision) + "/" + std::to_string(entry->mod_revision) + "v" +
         std::to_string(entry->version);
}

std::string BranchText(const std::vector<Operation>& branch) {
  static constexpr const char* kKinds[] = {"get ", "put ", "delete "};
  std::string text;
  for (const Operation& operation : branch) {
    text += kKinds[static_cast<int>(operation.kind)] + operation.key;
    if (operation.kind == Operation::Kind::kPut) text += "=" + operation.value;
    text += "; ";
  }
  return text;
}

}  // namespace

std::string Recorded::ToString() const {
  static constexpr const char* kFields[] = {"version", "created", "modified", "value"};
  static constexpr const char* kRelations[] = {"=", ">", "<", "!="};
  std::string text = "[" + std::to_string(called) + ".." + (result ? std::to_string(answered) : "?") + "] if ";
  for (const Compare& compare : txn.compares) {
    text += compare.key + "." + kFields[static_cast<int>(compare.field)] +
            kRelations[static_cast<int>(compare.relation)] +
            (compare.field == Compare::Field::kValue ? compare.value : std::to_string(compare.number)) + " ";
  }
  text += "then {" + BranchText(txn.then) + "} else {" + BranchText(txn.otherwise) + "}";
  if (!result) return text + " -> no answer";
  text += result->succeeded ? " -> then" : " -> else";
  text += " r" + std::to_string(result->revision);
  for (const OperationResult& one : result->results)
    text += " " + EntryText(one.entry) + (one.deleted ? "deleted" : "");
  return text;
}

Judgement CheckLinearizable(std::vector<Recorded> history, std::uint64_t steps_max) {
  std::ranges::sort(history, {}, &Recorded::called);
  return Search(history, steps_max).Judge();
}

}  // namespace accelmesh::registry
