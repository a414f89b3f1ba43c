#include "server/backend/cpu/blas/level2.h"

#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {

#include "server/backend/cpu/blas/add.inc"
void AddMatrixVector(Table& table) { AddCalls<Context>(table); }

}  // namespace accelmesh::cpu_blas
