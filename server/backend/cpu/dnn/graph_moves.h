// What graphs' operations that read pages of a cache share.
#pragma once

#include "server/backend/cpu/dnn/graph_operations.h"

namespace accelmesh::cpu_dnn {

// A sequence's pages in a row. A container is blocks, heads, places in a block and elements; the table of a sequence
// says which blocks are its pages. `y` is sequences, heads, places and elements, by its strides; places behind the
// sequence's length are 0. A page that the container has not is the context's error.
template <typename Real>
void LoadPages(Context& context, const View<Real>& container, const std::vector<i64>& table,
               const std::vector<i64>& lengths, const View<Real>& y);

}  // namespace accelmesh::cpu_dnn
