// What the program advised of managed memory, page by page, so that it can be asked for again (cudaMemAdvise,
// cudaMemPrefetchAsync, cudaMemRangeGetAttribute). Nothing else follows from it here.
//
// Threads: none; the owner locks. Units: bytes; a range counts with all the pages that it touches. Location types and
// ids are cudaMemLocation's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace accelmesh {

struct AdviceLocation {
  int type = 0;  // none
  int id = 0;
  bool operator==(const AdviceLocation&) const = default;
};

struct Advice {
  bool is_read_mostly = false;
  AdviceLocation preferred;
  AdviceLocation prefetched;     // where to, by the last prefetch
  std::vector<int> accessed_by;  // devices, -1 for the host; each once
  bool operator==(const Advice&) const = default;
};

class AdviceMap {
 public:
  void Change(std::uint64_t address, std::uint64_t bytes, const std::function<void(Advice&)>& change);
  // What holds for every page of the range: a location that they do not share is none, and so on.
  Advice Common(std::uint64_t address, std::uint64_t bytes) const;

 private:
  // So that pieces begin or end at `address`.
  void Split(std::uint64_t address);

  struct Piece {
    std::uint64_t end = 0;
    Advice advice;
  };
  std::map<std::uint64_t, Piece> pieces_;  // by start; what lies between them has no advice
};

}  // namespace accelmesh
