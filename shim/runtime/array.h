// Arrays as the runtime names them: their handles, and the place of a box inside of one.
//
// Threads: any.
#pragma once

#include <cuda_runtime_api.h>

#include "shim/core/array.h"
#include "shim/runtime/copy.h"

namespace accelmesh {

// The array a handle means; null if it is none.
const Array* ResolveArray(ClientSession& session, cudaArray_const_t array);

const MipmappedArray* ResolveMipmappedArray(ClientSession& session, cudaMipmappedArray_const_t array);
// A neutral format for a channel description. False: no array can have it.
bool ReadFormat(const cudaChannelFormatDesc& desc, ArrayShape* shape);

// The box of `extent` elements at `position`, in elements; cudaErrorInvalidValue if it leaves the array.
cudaError_t ArraySide(const Array& array, const cudaPos& position, const cudaExtent& extent, BoxSide* side);

}  // namespace accelmesh
