// cuBLASLt on the software GPU: products and transformations that run, and questions that are answered.
#pragma once

#include "protocol/library/lt_problem.h"
#include "server/backend/cpu/blas.h"
#include "server/backend/cpu/blas/context.h"

namespace accelmesh::cpu_blas {

void LtRun(Context& context, LtMatmul words);
void LtRun(Context& context, LtTransform words);

// The two ends of the border (blas.h).
void ListLtFunctions(std::uint8_t* bits, std::size_t bytes);
void RunLtFunction(Context& context, const Call& call, Outcome* outcome);

}  // namespace accelmesh::cpu_blas
