#include "server/backend/cpu/blas/level2_symmetric.h"

#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {

#include "server/backend/cpu/blas/add.inc"
void AddSquares(Table& table) { AddCalls<Context>(table); }

}  // namespace accelmesh::cpu_blas
