// Products of matrices with what follows them, by oneDNN; products alone are product.h's.
#pragma once

#include "server/backend/cpu/dnn/convolution.h"

namespace accelmesh::cpu_dnn {

// Of views without gaps, the last dimension innermost, in whose last two dimensions the matrices lie: c becomes
// activation(a b + bias + what c was before), with a bias for each column. A dimension of a or b in front of those may
// be 1 where c's is more. Throws what oneDNN throws.
void MultiplyByOneDnn(const View<float>& a, const View<float>& b, const View<float>& c, const Following& following);

}  // namespace accelmesh::cpu_dnn
