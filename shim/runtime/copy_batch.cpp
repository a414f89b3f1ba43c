// Batches of copies: each is an ordinary copy; what is special is whose turn it is to read a source. Nothing is copied
// unless the whole batch can be.
#include <vector>

#include "shim/gen_face.h"
#include "shim/runtime/array.h"
#include "shim/runtime/copy.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

bool OrderIsValid(cudaMemcpySrcAccessOrder order, unsigned flags) {
  return order >= cudaMemcpySrcAccessOrderStream && order <= cudaMemcpySrcAccessOrderAny &&
         (flags & ~static_cast<unsigned>(cudaMemcpyFlagPreferOverlapWithCompute)) == 0;
}

// A source that only the call may read must have been read when it returns. Host memory has been: a synchronous copy
// takes it before. Device memory is read at its turn, which is waited for.
bool ReadsDuringCall(cudaMemcpySrcAccessOrder order) { return order == cudaMemcpySrcAccessOrderDuringApiCall; }
cudaError_t AwaitSource(ClientSession& session, Stream* stream, bool any_on_device) {
  return any_on_device ? Done(session, session.Synchronize(*stream)) : cudaSuccess;
}

// How a pointer stands in a box copy: rows and layers of so many elements, or packed as the extent is.
bool PointerOperand(const cudaMemcpy3DOperand& operand, const cudaExtent& extent, std::size_t element, BoxSide* side) {
  const auto& named = operand.op.ptr;
  if ((named.rowLength != 0 && named.rowLength < extent.width) ||
      (named.layerHeight != 0 && named.layerHeight < extent.height))
    return false;
  PitchedSide& place = side->place;
  place.address = Address(named.ptr);
  return !__builtin_mul_overflow(named.rowLength != 0 ? named.rowLength : extent.width, element, &place.pitch) &&
         !__builtin_mul_overflow(place.pitch, named.layerHeight != 0 ? named.layerHeight : extent.height, &place.slice);
}

struct BoxCopy {
  BoxSide dst;
  BoxSide src;
  cudaExtent bytes{};
};

cudaError_t ReadOperation(ClientSession& session, const cudaMemcpy3DBatchOp& op, BoxCopy* copy) {
  const cudaExtent& extent = op.extent;
  if (!OrderIsValid(op.srcAccessOrder, op.flags) || extent.width == 0 || extent.height == 0 || extent.depth == 0)
    return cudaErrorInvalidValue;
  std::size_t element = 1;
  const cudaMemcpy3DOperand* operands[] = {&op.src, &op.dst};
  const Array* arrays[] = {nullptr, nullptr};
  for (int i = 0; i < 2; ++i) {
    if (operands[i]->type == cudaMemcpyOperandTypePointer) continue;
    if (operands[i]->type != cudaMemcpyOperandTypeArray) return cudaErrorInvalidValue;
    arrays[i] = ResolveArray(session, operands[i]->op.array.array);
    if (arrays[i] == nullptr) return cudaErrorInvalidValue;
    element = arrays[i]->shape.element_bytes;
  }
  if (arrays[0] != nullptr && arrays[1] != nullptr && arrays[0]->shape.element_bytes != element)
    return cudaErrorInvalidValue;
  BoxSide* sides[] = {&copy->src, &copy->dst};
  for (int i = 0; i < 2; ++i) {
    if (arrays[i] == nullptr) {
      if (!PointerOperand(*operands[i], extent, element, sides[i])) return cudaErrorInvalidValue;
      continue;
    }
    const cudaOffset3D& offset = operands[i]->op.array.offset;
    if (const cudaError_t error = ArraySide(*arrays[i], {offset.x, offset.y, offset.z}, extent, sides[i]);
        error != cudaSuccess)
      return error;
  }
  copy->bytes = extent;
  if (__builtin_mul_overflow(extent.width, element, &copy->bytes.width)) return cudaErrorInvalidValue;
  // Checked on copies of the sides: which of them are device memory is found out again by the copy itself.
  BoxSide dst = copy->dst;
  BoxSide src = copy->src;
  return CheckBox(session, &dst, &src, copy->bytes, cudaMemcpyDefault);
}

}  // namespace

cudaError_t cudaMemcpyBatchAsync(void* const* dsts, const void* const* srcs, const size_t* sizes, size_t count,
                                 cudaMemcpyAttributes* attrs, size_t* attrsIdxs, size_t numAttrs, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (dsts == nullptr || srcs == nullptr || sizes == nullptr || count == 0 || attrs == nullptr ||
      attrsIdxs == nullptr || numAttrs == 0 || numAttrs > count || attrsIdxs[0] != 0 ||
      stream_object->kind == wire::StreamKind::Legacy)
    return Fail(cudaErrorInvalidValue);
  for (std::size_t a = 0; a < numAttrs; ++a) {
    const bool is_behind = a == 0 || attrsIdxs[a] > attrsIdxs[a - 1];
    if (!is_behind || attrsIdxs[a] >= count || !OrderIsValid(attrs[a].srcAccessOrder, attrs[a].flags))
      return Fail(cudaErrorInvalidValue);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (const cudaError_t error = CheckLinear(session, dsts[i], srcs[i], sizes[i], cudaMemcpyDefault);
        error != cudaSuccess)
      return Fail(error);
  }
  bool any_on_device = false;
  std::size_t a = 0;
  for (std::size_t i = 0; i < count; ++i) {
    while (a + 1 < numAttrs && attrsIdxs[a + 1] <= i) ++a;
    const bool during_call = ReadsDuringCall(attrs[a].srcAccessOrder);
    const bool from_device = IsDevicePointer(session, srcs[i]);
    any_on_device = any_on_device || (during_call && from_device);
    if (const cudaError_t error = CopyLinear(session, stream_object, dsts[i], srcs[i], sizes[i], cudaMemcpyDefault,
                                             during_call && !from_device);
        error != cudaSuccess)
      return error;
  }
  return AwaitSource(session, stream_object, any_on_device);
}

cudaError_t cudaMemcpy3DBatchAsync(size_t numOps, cudaMemcpy3DBatchOp* opList, unsigned long long flags,
                                   cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (numOps == 0 || opList == nullptr || flags != 0 || stream_object->kind == wire::StreamKind::Legacy)
    return Fail(cudaErrorInvalidValue);
  std::vector<BoxCopy> copies(numOps);
  for (std::size_t i = 0; i < numOps; ++i) {
    if (const cudaError_t error = ReadOperation(session, opList[i], &copies[i]); error != cudaSuccess)
      return Fail(error);
  }
  bool any_on_device = false;
  for (std::size_t i = 0; i < numOps; ++i) {
    const BoxCopy& copy = copies[i];
    const bool during_call = ReadsDuringCall(opList[i].srcAccessOrder);
    const bool from_device =
        copy.src.is_array || IsDevicePointer(session, reinterpret_cast<const void*>(copy.src.place.address));
    any_on_device = any_on_device || (during_call && from_device);
    if (const cudaError_t error = CopyBox(session, stream_object, copy.dst, copy.src, copy.bytes, cudaMemcpyDefault,
                                          during_call && !from_device);
        error != cudaSuccess)
      return error;
  }
  return AwaitSource(session, stream_object, any_on_device);
}

}  // namespace accelmesh::face
