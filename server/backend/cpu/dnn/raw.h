// Memory that a call names by an address and a size, without a tensor's descriptor.
#pragma once

#include <algorithm>
#include <limits>

#include "server/backend/cpu/dnn/context.h"

namespace accelmesh::cpu_dnn {

// As a tensor of one dimension; what is longer than one may be is refused where it is looked up.
inline DnnOperand RawOperand(int type, std::uint64_t address, i64 elements) {
  constexpr i64 kLongest = std::numeric_limits<std::int32_t>::max();
  DnnOperand operand;
  operand.tensor.type = type;
  operand.tensor.rank = elements < 1 || elements > kLongest ? 0 : 1;
  operand.tensor.dims[0] = static_cast<std::int32_t>(std::clamp<i64>(elements, 0, kLongest));
  operand.tensor.strides[0] = 1;
  operand.address = address;
  return operand;
}

// To read, as what is computed with; null if the context failed.
template <typename Real>
Real* RawIn(Context& context, int type, std::uint64_t address, i64 elements) {
  return context.In<Real>(RawOperand(type, address, elements)).data;
}
// Of a space that a call has: `elements` of what is computed with.
template <typename Real>
Real* RawSpace(Context& context, const DnnSpace& space, i64 elements) {
  context.Require(elements >= 0 && static_cast<std::uint64_t>(elements) * sizeof(Real) <= space.bytes,
                  "a space that is too small");
  if (context.failed() || elements == 0) return nullptr;
  // It may be longer than a tensor: each piece is looked up.
  constexpr i64 kPiece = i64{1} << 30;
  for (i64 at = 0; at < elements && !context.failed(); at += kPiece) {
    context.Find(RawOperand(kStoredAs<Real>, space.address + static_cast<std::uint64_t>(at) * sizeof(Real),
                            std::min(kPiece, elements - at)));
  }
  return context.failed() ? nullptr : reinterpret_cast<Real*>(space.address);
}

}  // namespace accelmesh::cpu_dnn
