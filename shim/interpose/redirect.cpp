#include "shim/interpose/redirect.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "shim/interpose/runtime_functions.h"

namespace accelmesh {
namespace {

constexpr const char* kWhere = "Redirect";

// One jump, ready to be written.
struct Jump {
  std::uint8_t* at;
  std::uint8_t code[kJumpBytes];
};

#define ACCELMESH_CALLS_NOTHING no_sanitize("address", "thread", "undefined")

// mprotect() as the kernel takes it. Through the libc it might be bound first by ld.so, whose code is not executable at
// that moment, and set errno, whose address ld.so knows.
__attribute__((always_inline, ACCELMESH_CALLS_NOTHING)) inline long Protect(std::uintptr_t first, std::size_t bytes,
                                                                            long protection) {
  long result = SYS_mprotect;
  asm volatile("syscall" : "+a"(result) : "D"(first), "S"(bytes), "d"(protection) : "rcx", "r11", "memory");
  return result;
}

// Calls nothing, not even a sanitizer: the code under change may be any but this.
__attribute__((noinline, ACCELMESH_CALLS_NOTHING)) long WriteJumps(std::uintptr_t first, std::size_t bytes,
                                                                   const Jump* jumps, std::size_t count) {
  if (const long failed = Protect(first, bytes, PROT_READ | PROT_WRITE); failed != 0) {
    Protect(first, bytes, PROT_READ | PROT_EXEC);  // some pages may have changed
    return failed;
  }
  for (std::size_t i = 0; i < count; ++i) {
    volatile std::uint8_t* at = jumps[i].at;
    for (std::size_t b = 0; b < kJumpBytes; ++b) at[b] = jumps[i].code[b];
  }
  return Protect(first, bytes, PROT_READ | PROT_EXEC);
}

// Writes code into pages, 16 bytes aligned a piece.
class Writer {
 public:
  explicit Writer(MutableByteView pages) : pages_(pages) {}
  // `jmp *0(%rip)`, behind `mov $argument, %rdi` if there is one. Returns where it begins; it fits (kPieceBytesMax).
  std::uintptr_t AddPiece(std::uintptr_t to, const char* argument) {
    used_ = static_cast<std::size_t>(AlignUp(used_, 16));
    const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(pages_.data()) + used_;
    if (argument != nullptr) {
      Put({0x48, 0xbf});
      Put(reinterpret_cast<std::uintptr_t>(argument));
    }
    Put({0xff, 0x25, 0, 0, 0, 0});
    Put(to);
    return at;
  }

 private:
  void Put(std::initializer_list<std::uint8_t> code) {
    std::copy(code.begin(), code.end(), pages_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ += code.size();
  }
  void Put(std::uintptr_t value) {
    std::memcpy(pages_.data() + used_, &value, sizeof(value));
    used_ += sizeof(value);
  }

  MutableByteView pages_;
  std::size_t used_ = 0;
};
constexpr std::size_t kPieceBytesMax = 32;

}  // namespace

Result<NearPages> Redirect(std::span<const Redirection> redirections) {
  if (redirections.empty()) return NearPages();
  const auto [low, high] = std::minmax_element(redirections.begin(), redirections.end(),
                                               [](const auto& a, const auto& b) { return a.from < b.from; });
  ACCELMESH_ASSIGN_OR_RETURN(NearPages pages,
                             NearPages::Map(low->from, high->from, redirections.size() * kPieceBytesMax));
  Writer writer(pages.bytes());
  std::vector<Jump> jumps;
  jumps.reserve(redirections.size());
  for (const Redirection& redirection : redirections) {
    const std::uintptr_t piece = writer.AddPiece(redirection.to, redirection.argument);
    auto* at = reinterpret_cast<std::uint8_t*>(redirection.from);
    if (BeginsWithBranchTarget({at, kBranchTargetBytes})) at += kBranchTargetBytes;
    Jump jump{at, {0xe9}};
    // The distance counts from behind the jump.
    const auto distance = static_cast<std::int32_t>(piece - (reinterpret_cast<std::uintptr_t>(at) + kJumpBytes));
    std::memcpy(jump.code + 1, &distance, sizeof(distance));
    jumps.push_back(jump);
  }
  ACCELMESH_RETURN_IF_ERROR(pages.MakeExecutable());
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = low->from / page * page;
  const Jump& last = jumps[static_cast<std::size_t>(high - redirections.begin())];
  const std::uintptr_t end = AlignUp(reinterpret_cast<std::uintptr_t>(last.at) + kJumpBytes, page);
  const long failed = WriteJumps(first, end - first, jumps.data(), jumps.size());
  if (failed != 0) return Status::System(static_cast<int>(-failed), kWhere, "cannot change the code");
  return pages;
}

}  // namespace accelmesh
