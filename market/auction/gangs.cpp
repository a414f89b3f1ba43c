#include "market/auction/gangs.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <span>

namespace accelmesh::market::auction {
namespace {

constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();

using Row = GangTable::Row;
using Need = GangTable::Need;

bool IsBefore(const Row& a, const Row& b) {
  const Wide left = Wide{a.excess} * static_cast<Wide>(b.root);
  const Wide right = Wide{b.excess} * static_cast<Wide>(a.root);
  if (left != right) return left > right;
  if (a.tie != b.tie) return a.tie < b.tie;
  return a.gang != b.gang ? a.gang < b.gang : a.bundle < b.bundle;
}

// The least excess with which `row` comes before `other`.
std::int64_t ExcessToPass(const Row& row, const Row& other) {
  const Wide product = Wide{other.excess} * static_cast<Wide>(row.root);
  const auto divisor = static_cast<Wide>(other.root);
  const Wide excess = product / divisor;
  // More than anybody may bid is as good as any such number, to whoever compares it with bounds.
  if (excess >= std::numeric_limits<std::int64_t>::max()) return std::numeric_limits<std::int64_t>::max();
  const auto least = static_cast<std::int64_t>(excess);
  if (product % divisor != 0) return least + 1;
  Row even = row;
  even.excess = least;
  return IsBefore(even, other) ? least : least + 1;
}

class Greedy {
 public:
  explicit Greedy(GangTable& table) : table_(table) {}
  GangResult Run();

 private:
  std::span<const Need> Needs(const Row& row) const {
    return std::span(table_.needs).subspan(row.needs_begin, row.needs_end - row.needs_begin);
  }
  void Allocate();
  void ListRefused();
  std::int64_t CriticalOfWinner(std::uint32_t place);
  std::uint32_t FirstRefused(std::uint32_t place, const Need& need);
  std::uint32_t FirstRefused(std::uint32_t place, std::span<const Need> needs);
  bool WouldFit(std::uint32_t place) const;
  std::int64_t CriticalOfLoser(const Row& row) const;

  GangTable& table_;
  std::vector<std::int64_t> free_before_;  // of each need: what was left of its class when its row's turn came
  std::vector<std::uint32_t> taken_at_;    // of gangs: the row that it got, or kNever
  std::vector<std::int64_t> own_;          // the winner's units of each class; else 0
  std::vector<std::vector<std::uint32_t>> refused_;  // by class: rows that did not fit, by rank

  // The first refused row after `from` that fits with so many units of one class more.
  struct Found {
    std::uint32_t from = 0;
    std::uint32_t row = kNever;
  };
  std::map<std::pair<std::uint32_t, std::int64_t>, Found> found_;  // by class and units; winners come from the last on

  // One class's history: after each row taken, what is left.
  struct Left {
    std::uint32_t row = 0;
    std::int64_t units = 0;
  };
  std::vector<std::vector<Left>> history_;
};

void Greedy::Allocate() {
  std::vector<std::int64_t> left = table_.supply;
  free_before_.resize(table_.needs.size());
  taken_at_.assign(table_.gangs, kNever);
  history_.resize(table_.supply.size());
  for (std::uint32_t i = 0; i < table_.rows.size(); ++i) {
    const Row& row = table_.rows[i];
    bool fits = !row.is_out && taken_at_[row.gang] == kNever;
    for (std::uint32_t n = row.needs_begin; n < row.needs_end; ++n) {
      const Need& need = table_.needs[n];
      free_before_[n] = left[need.place];
      fits = fits && need.units <= left[need.place];
    }
    if (!fits) continue;
    taken_at_[row.gang] = i;
    for (const Need& need : Needs(row)) {
      left[need.place] -= need.units;
      history_[need.place].push_back({i, left[need.place]});
    }
  }
}

// A row whose gang was served before its turn was not refused. Nor is a winner's own gang in its way: it was served.
void Greedy::ListRefused() {
  refused_.resize(table_.supply.size());
  for (std::uint32_t i = 0; i < table_.rows.size(); ++i) {
    const Row& row = table_.rows[i];
    if (row.is_out || taken_at_[row.gang] <= i) continue;
    for (const Need& need : Needs(row)) refused_[need.place].push_back(i);
  }
}

bool Greedy::WouldFit(std::uint32_t place) const {
  const Row& row = table_.rows[place];
  for (std::uint32_t n = row.needs_begin; n < row.needs_end; ++n) {
    const Need& need = table_.needs[n];
    if (need.units > free_before_[n] + own_[need.place]) return false;
  }
  return true;
}

// Of winners that need one class only, the same for all of one size: each walks on to where the one before began.
std::uint32_t Greedy::FirstRefused(std::uint32_t place, const Need& need) {
  Found& found = found_.try_emplace({need.place, need.units}, Found{kNever, kNever}).first->second;
  const auto& refused = refused_[need.place];
  auto at = std::upper_bound(refused.begin(), refused.end(), place);
  while (at != refused.end() && *at <= found.from && !WouldFit(*at)) ++at;
  if (at != refused.end() && *at <= found.from) found.row = *at;
  found.from = place;
  return found.row;
}

std::uint32_t Greedy::FirstRefused(std::uint32_t place, std::span<const Need> needs) {
  std::vector<std::span<const std::uint32_t>> rest;
  for (const Need& need : needs) {
    const auto& refused = refused_[need.place];
    rest.emplace_back(std::upper_bound(refused.begin(), refused.end(), place), refused.end());
  }
  for (;;) {
    std::uint32_t next = kNever;
    for (const auto& rows : rest) {
      if (!rows.empty()) next = std::min(next, rows.front());
    }
    if (next == kNever || WouldFit(next)) return next;
    for (auto& rows : rest) {
      if (!rows.empty() && rows.front() == next) rows = rows.subspan(1);
    }
  }
}

std::int64_t Greedy::CriticalOfWinner(std::uint32_t place) {
  const Row& own = table_.rows[place];
  const std::span<const Need> needs = Needs(own);
  for (const Need& need : needs) own_[need.place] = need.units;
  const std::uint32_t first = needs.size() == 1 ? FirstRefused(place, needs.front()) : FirstRefused(place, needs);
  for (const Need& need : needs) own_[need.place] = 0;
  return first == kNever ? 0 : ExcessToPass(own, table_.rows[first]);
}

std::int64_t Greedy::CriticalOfLoser(const Row& row) const {
  std::uint32_t first = kNever;
  for (const Need& need : Needs(row)) {
    const auto& history = history_[need.place];
    const auto at = std::partition_point(history.begin(), history.end(),
                                         [&](const Left& left) { return left.units >= need.units; });
    if (at != history.end()) first = std::min(first, at->row);
  }
  return first == kNever ? 0 : ExcessToPass(row, table_.rows[first]);
}

GangResult Greedy::Run() {
  std::sort(table_.rows.begin(), table_.rows.end(), IsBefore);
  Allocate();
  ListRefused();
  own_.assign(table_.supply.size(), 0);
  GangResult result;
  for (const std::uint32_t row : taken_at_) {
    if (row != kNever) result.won.push_back({row, 0});
  }
  std::vector<std::uint32_t> from_last(result.won.size());
  std::iota(from_last.begin(), from_last.end(), 0U);
  std::sort(from_last.begin(), from_last.end(),
            [&](std::uint32_t a, std::uint32_t b) { return result.won[a].row > result.won[b].row; });
  for (const std::uint32_t i : from_last) result.won[i].critical = CriticalOfWinner(result.won[i].row);
  result.to_win.assign(table_.rows.size(), -1);
  for (std::uint32_t i = 0; i < table_.rows.size(); ++i) {
    if (taken_at_[table_.rows[i].gang] == kNever) result.to_win[i] = CriticalOfLoser(table_.rows[i]);
  }
  return result;
}

}  // namespace

std::uint64_t RootOf(std::int64_t weighted_units) {
  // Newton's method on integers, from above.
  const std::uint64_t square = static_cast<std::uint64_t>(weighted_units) << 14;
  if (square == 0) return 1;
  std::uint64_t root = std::uint64_t{1} << ((65 - static_cast<unsigned>(__builtin_clzll(square))) / 2);
  for (;;) {
    const std::uint64_t next = (root + square / root) / 2;
    if (next >= root) return root;
    root = next;
  }
}

GangResult AllocateGangs(GangTable& table) { return Greedy(table).Run(); }

}  // namespace accelmesh::market::auction
