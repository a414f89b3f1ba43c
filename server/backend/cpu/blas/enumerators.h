// The enumerators of NVIDIA's headers, which only the cuda backend sees: generated from them.
#pragma once

namespace accelmesh::cpu_blas {

#include "protocol/gen_blas_enumerators.inc"

}  // namespace accelmesh::cpu_blas
