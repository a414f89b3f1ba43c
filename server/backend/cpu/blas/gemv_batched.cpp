#include "server/backend/cpu/blas/gemv_batched.h"

#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {

#include "server/backend/cpu/blas/add.inc"
void AddMatrixVectorBatches(Table& table) { AddCalls<Context>(table); }

}  // namespace accelmesh::cpu_blas
