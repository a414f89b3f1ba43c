#include "server/backend/cpu/blas/level2_triangular.h"

#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {

#include "server/backend/cpu/blas/add.inc"
void AddTriangles(Table& table) { AddCalls<Context>(table); }

}  // namespace accelmesh::cpu_blas
