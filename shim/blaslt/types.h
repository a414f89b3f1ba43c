// Types of matrices, and which cuBLASLt multiplies with which.
//
// Threads: pure functions.
#pragma once

#include <cublasLt.h>

#include <cstddef>

#include "protocol/library/lt_problem.h"

namespace accelmesh::blaslt {

// What an address of an element of the type is aligned to; 0 for a type that no function takes.
std::size_t AlignmentOf(std::int64_t type);
// Of alpha and beta; 0 for what is no type of them.
std::size_t ScaleBytes(std::int64_t scale_type);
// Of eight bits or fewer, with a scale of its own.
bool IsNarrow(std::int64_t type);
// Whether the documentation lists that combination. Of narrow types: whether it may be one.
bool IsMatmul(const LtTypes& types);

}  // namespace accelmesh::blaslt
