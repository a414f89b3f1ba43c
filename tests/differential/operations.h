// What programs are made of: each operation's PTX next to what it means.
//
// The meaning is plain C++ written from the ISA's text of the instruction, one function an operation; nothing of the
// interpreter is used. What the ISA leaves open (a quotient by zero, the bits of a double-precision NaN) is taken out
// of the PTX itself: by another instruction in front or behind.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/differential/program.h"

namespace accelmesh::differential {

// What immediates and inputs are worth trying with.
enum class Kind : std::uint8_t { kInteger, kF32, kF64, kHalf, kByte, kPredicate };

struct Source {
  Class width = Class::k32;
  Kind kind = Kind::kInteger;
  bool immediate = false;
  bool negatable = false;
};

enum class Family : std::uint8_t { kInteger, kBits, kCompare, kF32, kF64, kHalf, kConvert, kMove, kWarp, kBlock };
inline constexpr std::uint32_t kFamilies = 10;

struct Operation {
  // Lines of PTX; $0, $1 are results, #0 to #3 sources. %t<4>, %e<4>, %s<2>, %q<2> are there to help.
  std::string text;
  Family family = Family::kInteger;
  std::vector<Class> results;
  std::vector<Source> sources;
  bool sequential = false;  // no result may be a source or the guard: it is written before all is read
  std::function<void(const std::uint64_t* in, std::uint64_t* out)> compute;
  // Instead, of families kWarp (32 lanes) and kBlock: of all threads together. 4 sources, 2 results each.
  std::function<void(std::uint32_t threads, const std::uint64_t (*in)[4], std::uint64_t (*out)[2])> together;
};
const std::vector<Operation>& Operations();

// ld, st: of `count` elements; the register may be wider than the type.
struct Access {
  const char* type;
  std::uint32_t bytes;
  bool is_signed;
  Class width;
  std::uint32_t count;
};
const std::vector<Access>& Accesses();

// atom: what becomes of the old value.
struct Atomic {
  const char* text;  // add.u32
  Class width;
  std::uint32_t operands;
  std::uint64_t (*next)(std::uint64_t old, std::uint64_t a, std::uint64_t b);
};
const std::vector<Atomic>& Atomics();
const std::vector<Atomic>& Reductions();  // kCells of them, whose order does not matter

inline std::uint64_t Masked(Class width, std::uint64_t v) {
  switch (width) {
    case Class::kPredicate: return v & 1;
    case Class::k16: return v & 0xffff;
    case Class::k32: return v & 0xffffffff;
    default: return v;
  }
}

}  // namespace accelmesh::differential
