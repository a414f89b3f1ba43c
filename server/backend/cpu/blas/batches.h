// Batches: nothing is computed before the operands of all have been checked.
#pragma once

#include "server/backend/cpu/blas/context.h"

namespace accelmesh::cpu_blas {

// `index` strides of `stride` elements behind an operand. What comes out of that may be any address, which is checked
// where it is used.
template <typename T>
In<T> Behind(In<T> operand, i64 index, i64 stride) {
  return {operand.address +
          static_cast<std::uint64_t>(index) * static_cast<std::uint64_t>(stride) * std::uint64_t{sizeof(T)}};
}
template <typename T>
Out<T> Behind(Out<T> operand, i64 index, i64 stride) {
  return {Behind(In<T>(operand), index, stride).address};
}

// Calls each(i, true), which is to check only, and then each(i, false). The last comes first: a batch that is longer
// than memory is found out at once.
template <typename Each>
void ForBatch(Context& context, i64 count, Each each) {
  if (count > 0 && !context.failed()) each(count - 1, true);
  if (count > kRepeatsMax) context.Fail(kNotSupported, "a batch of more than 2^31");
  for (const bool only_checks : {true, false}) {
    for (i64 i = 0; i < count && !context.failed(); ++i) each(i, only_checks);
  }
}

}  // namespace accelmesh::cpu_blas
