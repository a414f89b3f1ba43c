#include "shim/core/advice.h"

#include <algorithm>
#include <iterator>

#include "protocol/base/bytes.h"
#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

struct Pages {
  Pages(std::uint64_t address, std::uint64_t bytes)
      : begin(address / limits::kPageBytes * limits::kPageBytes), end(AlignUp(address + bytes, limits::kPageBytes)) {}
  std::uint64_t begin;
  std::uint64_t end;
};

}  // namespace

void AdviceMap::Split(std::uint64_t address) {
  auto after = pieces_.upper_bound(address);
  if (after == pieces_.begin()) return;
  auto& [start, piece] = *std::prev(after);
  if (start == address || piece.end <= address) return;
  pieces_.emplace_hint(after, address, piece);
  piece.end = address;
}

void AdviceMap::Change(std::uint64_t address, std::uint64_t bytes, const std::function<void(Advice&)>& change) {
  const Pages pages(address, bytes);
  Split(pages.begin);
  Split(pages.end);
  for (std::uint64_t at = pages.begin; at < pages.end;) {
    auto found = pieces_.lower_bound(at);
    if (found == pieces_.end() || found->first != at) {
      const std::uint64_t end = found == pieces_.end() ? pages.end : std::min(found->first, pages.end);
      found = pieces_.emplace(at, Piece{end, {}}).first;
    }
    change(found->second.advice);
    at = found->second.end;
  }
  // Neighbours that say the same are one: a program may go over its memory in small steps.
  auto piece = pieces_.lower_bound(pages.begin);
  if (piece != pieces_.begin()) --piece;
  while (piece != pieces_.end() && piece->first <= pages.end) {
    const auto next = std::next(piece);
    if (next != pieces_.end() && piece->second.end == next->first && piece->second.advice == next->second.advice) {
      piece->second.end = next->second.end;
      pieces_.erase(next);
    } else {
      piece = next;
    }
  }
}

Advice AdviceMap::Common(std::uint64_t address, std::uint64_t bytes) const {
  const Pages pages(address, bytes);
  auto piece = pieces_.upper_bound(pages.begin);
  if (piece != pieces_.begin()) --piece;
  Advice common;
  for (std::uint64_t at = pages.begin; at < pages.end; at = piece->second.end, ++piece) {
    if (piece == pieces_.end() || piece->first > at || piece->second.end <= at) return {};
    const Advice& here = piece->second.advice;
    if (at == pages.begin) {
      common = here;
      continue;
    }
    common.is_read_mostly = common.is_read_mostly && here.is_read_mostly;
    if (!(common.preferred == here.preferred)) common.preferred = {};
    if (!(common.prefetched == here.prefetched)) common.prefetched = {};
    std::erase_if(common.accessed_by, [&here](int device) {
      return std::find(here.accessed_by.begin(), here.accessed_by.end(), device) == here.accessed_by.end();
    });
  }
  return common;
}

}  // namespace accelmesh
