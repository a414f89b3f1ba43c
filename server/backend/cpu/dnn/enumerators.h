// The enumerators of cuDNN's headers, for code that sees no CUDA header.
#pragma once

namespace accelmesh::cpu_dnn {

#include "protocol/gen_dnn_enumerators.inc"

}  // namespace accelmesh::cpu_dnn
