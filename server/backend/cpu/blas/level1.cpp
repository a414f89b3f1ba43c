#include "server/backend/cpu/blas/level1.h"

#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {

#include "server/backend/cpu/blas/add.inc"
void AddVectors(Table& table) { AddCalls<Context>(table); }

}  // namespace accelmesh::cpu_blas
