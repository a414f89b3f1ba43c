// Random well-typed programs, and inputs for them.
#pragma once

#include <random>

#include "protocol/base/bytes.h"
#include "tests/differential/program.h"

namespace accelmesh::differential {

using Random = std::mt19937_64;

// Statements of a program, but for those in its branches, loops and functions.
inline constexpr std::uint32_t kStatementsMax = 40;

// The same program for the same seed and size. Its results do not depend on the order in which threads run: threads
// meet only where all of them come, write memory of their own, and reduce into cells by operations that commute.
Program Generate(std::uint64_t seed, std::uint32_t statements_max = kStatementsMax);
// What the kernel's memory (Layout) holds at first: small numbers, special values of each type, random bits.
Bytes GenerateMemory(const Program& program);

}  // namespace accelmesh::differential
