#include "tests/unit/server/backend/cpu/blas/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace accelmesh::blas_test {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kGuard = 256;
constexpr std::size_t kPitch = Memory::kSlotBytes + kPage;

}  // namespace

Memory& Memory::Get() {
  static Memory memory;
  return memory;
}

Memory::Memory() {
  void* const all =
      ::mmap(nullptr, kPage + kSlots * kPitch, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) std::abort();
  base_ = static_cast<std::uint8_t*>(all) + kPage;
  for (std::size_t i = 0; i < kSlots; ++i) ::mprotect(base_ + i * kPitch, kSlotBytes, PROT_READ | PROT_WRITE);
}

void Memory::Clear() {
  operands_.clear();
  slack_ = 0;
}

Operand* Memory::Add(Type type, i64 elements, Place place) {
  const std::size_t bytes = static_cast<std::size_t>(elements) * BytesOf(type);
  if (operands_.size() == kSlots || elements < 0 || bytes + 2 * kGuard > kSlotBytes) std::abort();  // of this test
  const std::size_t slot = operands_.size();
  Operand& operand = slots_[slot];
  operand = Operand();
  operand.type = type;
  operand.elements = elements;
  operand.slot_ = static_cast<int>(slot);
  std::uint8_t* const first = base_ + slot * kPitch;
  std::uint8_t* const last = first + kSlotBytes;
  operand.now_ = place == Place::kEnd ? last - bytes : place == Place::kBegin ? first : first + kGuard + BytesOf(type);
  operand.begin_ = std::max(first, operand.now_ - kGuard);
  operand.end_ = std::min(last, operand.now_ + bytes + kGuard);
  operand.address = reinterpret_cast<std::uint64_t>(operand.now_);
  std::memset(operand.begin_, 0xff, static_cast<std::size_t>(operand.end_ - operand.begin_));
  operand.accepted_.assign(static_cast<std::size_t>(elements), false);
  operands_.push_back(&operand);
  return &operand;
}

void Memory::Allow(Operand* operand, i64 first, i64 elements) {
  const std::uint64_t begin = operand->address + operand->Offset(first);
  operand->ranges_.push_back({begin, begin + operand->Offset(elements)});
}

void Memory::Snapshot() {
  for (Operand* const operand : operands_) operand->before_.assign(operand->begin_, operand->end_);
}

void Memory::Restore() {
  for (Operand* const operand : operands_) std::copy(operand->before_.begin(), operand->before_.end(), operand->begin_);
}

std::string Memory::FirstChange() const {
  for (const Operand* const operand : operands_) {
    const std::size_t bytes = operand->before_.size();
    if (std::memcmp(operand->begin_, operand->before_.data(), bytes) == 0) continue;
    for (std::size_t i = 0; i < bytes; ++i) {
      if (operand->begin_[i] == operand->before_[i]) continue;
      const i64 offset = static_cast<i64>(i) - (operand->now_ - operand->begin_);
      const i64 size = static_cast<i64>(BytesOf(operand->type));
      const i64 index = offset < 0 ? -1 : offset / size;
      if (index >= 0 && index < operand->elements && operand->accepted_[static_cast<std::size_t>(index)]) continue;
      return "operand " + std::to_string(operand->slot_) + " (" + NameOf(operand->type) + ", " +
             std::to_string(operand->elements) + " elements) has changed at byte " + std::to_string(offset) +
             ", which nothing is written to";
    }
  }
  return {};
}

void Memory::Deny(Operand* operand, bool denied) {
  operand->is_denied_ = denied;
  ::mprotect(base_ + static_cast<std::size_t>(operand->slot_) * kPitch, kSlotBytes,
             denied ? PROT_NONE : PROT_READ | PROT_WRITE);
}

bool Memory::Allowed(const void* memory, std::uint64_t address, std::uint64_t bytes) {
  const auto* const self = static_cast<const Memory*>(memory);
  if (bytes == 0) return true;
  for (const Operand* const operand : self->operands_) {
    if (operand->is_denied_) continue;
    for (const Operand::Range& range : operand->ranges_) {
      if (address >= range.begin && address < range.end && bytes <= range.end + self->slack_ - address) return true;
    }
  }
  ++self->refused_;
  return false;
}

}  // namespace accelmesh::blas_test
