#include "server/backend/cpu/blas/rank_k_ex.h"

#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {

#include "server/backend/cpu/blas/add.inc"
void AddMixedRankK(Table& table) { AddCalls<Context>(table); }

}  // namespace accelmesh::cpu_blas
