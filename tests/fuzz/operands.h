// What the fuzzers of library calls share: operands that lie against pages which nobody may touch, so that an access
// beside them faults, whoever makes it; and what must hold of every outcome.
//
// Operands may overlap by half an element, which a program must not do, and AddressSanitizer reports where an element
// is copied. So a fuzzer sets replace_intrin=0; what is checked of such copies beyond that the pages beside the
// operands do as well.
//
// Threads: one.
#pragma once

#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "server/backend/cpu/blas.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {

class Operands {
 public:
  static constexpr std::size_t kPage = 4096;

  // `bytes` are whole pages.
  Operands(std::size_t count, std::size_t bytes) : bytes_(bytes) {
    const std::size_t all = count * (bytes + kPage) + kPage;
    void* const pages = ::mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Require(pages != MAP_FAILED, "pages");
    for (std::size_t i = 0; i < count; ++i) {
      std::uint8_t* const room = static_cast<std::uint8_t*>(pages) + kPage + i * (bytes + kPage);
      Require(::mprotect(room, bytes, PROT_READ | PROT_WRITE) == 0, "a page");
      operands_.push_back({room, room, bytes});
    }
  }

  // Makes an operand of so many bytes, at the end of its pages or at their begin, and says where it is.
  std::uint8_t* Lay(std::size_t index, std::size_t bytes, bool at_end) {
    Operand& operand = operands_[index];
    operand.bytes = bytes;
    operand.begin = at_end ? operand.room + bytes_ - bytes : operand.room;
    return operand.begin;
  }
  std::size_t size() const { return operands_.size(); }
  std::size_t BytesOf(std::size_t index) const { return operands_[index].bytes; }
  std::uint64_t Address(std::size_t index, std::uint64_t offset) const {
    return reinterpret_cast<std::uint64_t>(operands_[index].begin) + offset;
  }
  // As a Call (blas.h) asks; `operands` is an Operands.
  static bool Allowed(const void* operands, std::uint64_t address, std::uint64_t bytes) {
    for (const Operand& operand : static_cast<const Operands*>(operands)->operands_) {
      const auto begin = reinterpret_cast<std::uint64_t>(operand.begin);
      if (address >= begin && address - begin <= operand.bytes && bytes <= operand.bytes - (address - begin))
        return true;
    }
    return false;
  }

 private:
  struct Operand {
    std::uint8_t* room = nullptr;
    std::uint8_t* begin = nullptr;
    std::size_t bytes = 0;
  };
  std::size_t bytes_;
  std::vector<Operand> operands_;
};

inline void CheckOutcome(const cpu_blas::Outcome& outcome) {
  Require(outcome.result_bytes <= cpu_blas::kResultBytesMax, "results that there is room for");
  Require(std::memchr(outcome.text, 0, sizeof(outcome.text)) != nullptr, "a text that ends");
  Require(outcome.device_status == 0 || (outcome.text[0] != 0 && outcome.result_bytes == 0), "an error says why");
}

}  // namespace accelmesh::fuzz
