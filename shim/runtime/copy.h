// The copies that every face of copying comes down to: linear memory, and boxes whose sides are pitched memory or
// arrays.
//
// Threads: any. Errors: what returns cudaError_t and takes a stream has set the thread's last error; checks have not.
#pragma once

#include <cuda_runtime_api.h>

#include "shim/core/session.h"
#include "shim/runtime/range.h"

namespace accelmesh {

// One side of a box copy. An array's is device memory whatever the kind of the copy says, and within its bounds.
struct BoxSide {
  PitchedSide place;
  bool is_array = false;
};
inline BoxSide RowsAt(const void* pointer, std::size_t pitch) { return {{Address(pointer), pitch, 0, false}, false}; }

// Whether CopyLinear() would find fault with it.
cudaError_t CheckLinear(ClientSession& session, const void* dst, const void* src, std::size_t count,
                        cudaMemcpyKind kind);
cudaError_t CopyLinear(ClientSession& session, Stream* stream, void* dst, const void* src, std::size_t count,
                       cudaMemcpyKind kind, bool wait);

// Finds out which sides are device memory, and whether a box of `bytes.width` bytes a row can be copied.
cudaError_t CheckBox(ClientSession& session, BoxSide* dst, BoxSide* src, const cudaExtent& bytes, cudaMemcpyKind kind);
cudaError_t CopyBox(ClientSession& session, Stream* stream, BoxSide to, BoxSide from, const cudaExtent& bytes,
                    cudaMemcpyKind kind, bool wait);

// The sides that cudaMemcpy3D's parameters name, and the box in bytes. The extent must not be empty.
cudaError_t ResolveBox(ClientSession& session, const cudaMemcpy3DParms& p, BoxSide* dst, BoxSide* src,
                       cudaExtent* bytes);
cudaError_t Copy3D(ClientSession& session, Stream* stream, const cudaMemcpy3DParms* p, bool wait);

}  // namespace accelmesh
