// A device's memory for one call: operands between guards. Each has a slot of its own, whose neighbours are pages that
// nobody may touch, and lies at the slot's end, at its beginning or in its midst. What is allowed is its extent and
// nothing more; all that no operand covers has bits that are NaN to every floating type.
//
// Threads: one, but for Allowed().
#pragma once

#include <array>
#include <vector>

#include "tests/unit/server/backend/cpu/blas/numbers.h"

namespace accelmesh::blas_test {

class Memory;

// Elements in memory. Indices count elements from `address`.
class Operand {
 public:
  Type type = Type::kR32F;
  std::uint64_t address = 0;
  i64 elements = 0;

  void Set(i64 index, Wide value) { Store(type, At(now_, index), value); }
  Wide Is(i64 index) const { return Load(type, At(now_, index)); }
  // Before the call.
  Wide Was(i64 index) const { return Load(type, before_.data() + (now_ - begin_) + Offset(index)); }
  // So that Memory::FirstChange() passes over it.
  void Accept(i64 index) { accepted_[static_cast<std::size_t>(index)] = true; }

 private:
  friend class Memory;
  struct Range {
    std::uint64_t begin, end;
  };
  std::size_t Offset(i64 index) const { return static_cast<std::size_t>(index) * BytesOf(type); }
  std::uint8_t* At(std::uint8_t* from, i64 index) const { return from + Offset(index); }

  int slot_ = 0;
  std::uint8_t* now_ = nullptr;
  // With guards.
  std::uint8_t* begin_ = nullptr;
  std::uint8_t* end_ = nullptr;
  std::vector<std::uint8_t> before_;
  std::vector<bool> accepted_;
  std::vector<Range> ranges_;
  bool is_denied_ = false;
};

class Memory {
 public:
  static constexpr std::size_t kSlotBytes = std::size_t{4} << 20;
  static constexpr std::size_t kSlots = 16;
  enum class Place { kEnd, kBegin, kMidst };

  static Memory& Get();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Forgets all operands.
  void Clear();
  // Of which nothing is allowed yet. It lives until Clear().
  Operand* Add(Type type, i64 elements, Place place);
  void Allow(Operand* operand, i64 first, i64 elements);
  const std::vector<Operand*>& operands() const { return operands_; }

  // Remembers what is there, and puts it back.
  void Snapshot();
  void Restore();
  // Text about the first byte that is not as it was and that nobody has accepted; empty if there is none.
  std::string FirstChange() const;
  // Makes an operand what is no memory, in both meanings: refused, and its pages fault.
  void Deny(Operand* operand, bool denied);
  // Allows `bytes` more behind each extent.
  void set_slack(std::uint64_t bytes) { slack_ = bytes; }
  // For cpu_blas::Call.
  static bool Allowed(const void* memory, std::uint64_t address, std::uint64_t bytes);
  // Claims of the last call that were refused.
  std::uint64_t refused() const { return refused_; }
  void reset_refused() { refused_ = 0; }

 private:
  Memory();

  std::uint8_t* base_ = nullptr;
  std::array<Operand, kSlots> slots_;
  std::vector<Operand*> operands_;
  std::uint64_t slack_ = 0;
  mutable std::uint64_t refused_ = 0;
};

}  // namespace accelmesh::blas_test
