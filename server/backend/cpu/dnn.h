// The software GPU's neural networks: a shared object of its own, because only that needs oneDNN, behind the border of
// blas.h. It is opened at the first call of cuDNN.
#pragma once

#include "server/backend/cpu/blas.h"

namespace accelmesh::cpu_dnn {

inline constexpr const char* kLibraryName = "libaccelmesh_cpu_dnn.so";
inline constexpr const char* kSymbol = "accelmesh_cpu_dnn";

}  // namespace accelmesh::cpu_dnn
