#include "server/backend/cpu/blas/gemm.h"

#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {

#include "server/backend/cpu/blas/add.inc"
void AddProducts(Table& table) { AddCalls<Context>(table); }

}  // namespace accelmesh::cpu_blas
