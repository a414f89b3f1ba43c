// Which function of the library is which function of ours. Each source file has one subject's header and adds what that
// header implements: the generated calls are looked up by overloading, and what finds nothing stays refused.
#pragma once

#include <array>

#include "server/backend/cpu/blas/context.h"

namespace accelmesh::cpu_blas {

inline constexpr std::size_t kFunctionsMax = 1024;
using Run = void (*)(Context& context, const Arguments& a);
using Table = std::array<Run, kFunctionsMax>;

void AddVectors(Table& table);
void AddMixedVectors(Table& table);
void AddMatrixVector(Table& table);
void AddMatrixVectorBatches(Table& table);
void AddSquares(Table& table);
void AddTriangles(Table& table);
void AddProducts(Table& table);
void AddMixedProducts(Table& table);
void AddMatrices(Table& table);
void AddRankK(Table& table);
void AddMixedRankK(Table& table);
void AddFactors(Table& table);
void AddLeastSquares(Table& table);

}  // namespace accelmesh::cpu_blas
