#include "market/auction/gangs.h"

#include <algorithm>
#include <limits>
#include <span>

namespace accelmesh::market::auction {
namespace {

constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();

using Row = GangTable::Row;
using Need = GangTable::Need;

bool IsBefore(const Row& a, const Row& b) {
  const Wide left = Wide{a.value} * static_cast<Wide>(b.root);
  const Wide right = Wide{b.value} * static_cast<Wide>(a.root);
  if (left != right) return left > right;
  if (a.tie != b.tie) return a.tie < b.tie;
  return a.gang != b.gang ? a.gang < b.gang : a.bundle < b.bundle;
}

// The least value with which `row` comes before `other`.
std::int64_t ValueToPass(const Row& row, const Row& other) {
  const Wide product = Wide{other.value} * static_cast<Wide>(row.root);
  const auto divisor = static_cast<Wide>(other.root);
  const auto value = static_cast<std::int64_t>(product / divisor);
  if (product % divisor != 0) return value + 1;
  Row even = row;
  even.value = value;
  return IsBefore(even, other) ? value : value + 1;
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
  std::int64_t CriticalOfWinner(std::uint32_t place);
  std::int64_t CriticalOfLoser(const Row& row) const;

  GangTable& table_;
  std::vector<std::uint64_t> masks_;       // of rows
  std::vector<std::int64_t> free_before_;  // of each need: what was left of its class when its row's turn came
  std::vector<std::uint32_t> taken_at_;    // of gangs: the row that it got, or kNever
  std::vector<std::int64_t> own_;          // the winner's units of each class; else 0

  // One class's history: after each row taken, what is left.
  struct Left {
    std::uint32_t row = 0;
    std::int64_t units = 0;
  };
  std::vector<std::vector<Left>> history_;
};

void Greedy::Allocate() {
  std::vector<std::int64_t> left = table_.supply;
  masks_.resize(table_.rows.size());
  free_before_.resize(table_.needs.size());
  taken_at_.assign(table_.gangs, kNever);
  history_.resize(table_.supply.size());
  for (std::uint32_t i = 0; i < table_.rows.size(); ++i) {
    const Row& row = table_.rows[i];
    std::uint64_t mask = 0;
    bool fits = !row.is_out && taken_at_[row.gang] == kNever;
    for (std::uint32_t n = row.needs_begin; n < row.needs_end; ++n) {
      const Need& need = table_.needs[n];
      mask |= std::uint64_t{1} << (need.place % 64);
      free_before_[n] = left[need.place];
      fits = fits && need.units <= left[need.place];
    }
    masks_[i] = mask;
    if (!fits) continue;
    taken_at_[row.gang] = i;
    for (const Need& need : Needs(row)) {
      left[need.place] -= need.units;
      history_[need.place].push_back({i, left[need.place]});
    }
  }
}

std::int64_t Greedy::CriticalOfWinner(std::uint32_t place) {
  const Row& own = table_.rows[place];
  for (const Need& need : Needs(own)) own_[need.place] = need.units;
  const std::uint64_t mask = masks_[place];
  const auto rows = static_cast<std::uint32_t>(table_.rows.size());
  std::int64_t critical = 0;
  for (std::uint32_t i = place + 1; i < rows; ++i) {
    if ((masks_[i] & mask) == 0) continue;
    const Row& row = table_.rows[i];
    // Its own gang counts as served, so that none of its bundles is in the way.
    if (row.is_out || taken_at_[row.gang] <= i) continue;
    bool fits = true;
    for (std::uint32_t n = row.needs_begin; n < row.needs_end && fits; ++n) {
      const Need& need = table_.needs[n];
      fits = need.units <= free_before_[n] + own_[need.place];
    }
    if (!fits) continue;
    critical = ValueToPass(own, row);
    break;
  }
  for (const Need& need : Needs(own)) own_[need.place] = 0;
  return critical;
}

std::int64_t Greedy::CriticalOfLoser(const Row& row) const {
  std::uint32_t first = kNever;
  for (const Need& need : Needs(row)) {
    const auto& history = history_[need.place];
    const auto at = std::partition_point(history.begin(), history.end(),
                                         [&](const Left& left) { return left.units >= need.units; });
    if (at != history.end()) first = std::min(first, at->row);
  }
  return first == kNever ? 0 : ValueToPass(row, table_.rows[first]);
}

GangResult Greedy::Run() {
  std::sort(table_.rows.begin(), table_.rows.end(), IsBefore);
  Allocate();
  own_.assign(table_.supply.size(), 0);
  GangResult result;
  for (std::uint32_t gang = 0; gang < table_.gangs; ++gang) {
    if (taken_at_[gang] != kNever) result.won.push_back({taken_at_[gang], CriticalOfWinner(taken_at_[gang])});
  }
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
