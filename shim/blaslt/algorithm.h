// Which algorithm a product is made with.
//
// Threads: everything from any thread.
#pragma once

#include "shim/blaslt/call.h"

namespace accelmesh::blaslt {

// The best one for the problem. CUBLAS_STATUS_NOT_SUPPORTED if there is none.
cublasStatus_t BestAlgorithm(const Target& target, const char* name, const LtFindAlgorithms& question,
                             LtHeuristic* best);
// Whether it is one for the problem, and what it needs.
cublasStatus_t CheckAlgorithm(const Target& target, const char* name, const LtCheckAlgorithm& question,
                              LtHeuristic* found);

}  // namespace accelmesh::blaslt
