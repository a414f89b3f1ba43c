#include "server/backend/cpu/blas/level3.h"

#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {

#include "server/backend/cpu/blas/add.inc"
void AddMatrices(Table& table) { AddCalls<Context>(table); }

}  // namespace accelmesh::cpu_blas
