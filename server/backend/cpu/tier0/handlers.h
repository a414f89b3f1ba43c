// Shapes of handlers that several opcode tables share. Private to this folder.
#pragma once

#include <cmath>
#include <cstdint>

#include "server/backend/cpu/tier0/decoder.h"

namespace accelmesh::tier0 {

template <typename T>
inline constexpr bool kIsFloat = std::is_floating_point_v<T>;
template <typename T>
using Unsigned = std::make_unsigned_t<T>;

// Denormals become zeros of their sign.
inline float Flush(float v) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(v);
  return std::bit_cast<float>((bits & 0x7f800000u) == 0 ? bits & 0x80000000u : bits);
}
inline double Flush(double v) { return v; }

// A computed value. Single precision has one NaN on a GPU; x86 would show its own, which prints as "-nan".
template <typename T>
inline std::uint64_t PutResult(T v) {
  if constexpr (std::is_same_v<T, float>) {
    return v != v ? 0x7fffffffu : std::bit_cast<std::uint32_t>(v);
  } else {
    return Put<T>(v);
  }
}

template <typename T, template <typename> class F>
void Unary(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  ForLanes(mask, [=](std::uint32_t l) { d[l] = PutResult<T>(F<T>::Do(Get<T>(a[l]))); });
}
template <typename T, template <typename> class F>
void Binary(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  ForLanes(mask, [=](std::uint32_t l) { d[l] = PutResult<T>(F<T>::Do(Get<T>(a[l]), Get<T>(b[l]))); });
}
template <typename T, template <typename> class F>
void Ternary(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  const std::uint64_t* c = warp.r[op.c].lane;
  ForLanes(mask, [=](std::uint32_t l) { d[l] = PutResult<T>(F<T>::Do(Get<T>(a[l]), Get<T>(b[l]), Get<T>(c[l]))); });
}

#define ACCELMESH_PICK_INTEGER(type, ...) \
  switch (type) {                         \
    case ptx::Type::kB16:                 \
    case ptx::Type::kU16: {               \
      using T = std::uint16_t;            \
      return __VA_ARGS__;                 \
    }                                     \
    case ptx::Type::kS16: {               \
      using T = std::int16_t;             \
      return __VA_ARGS__;                 \
    }                                     \
    case ptx::Type::kB32:                 \
    case ptx::Type::kU32: {               \
      using T = std::uint32_t;            \
      return __VA_ARGS__;                 \
    }                                     \
    case ptx::Type::kS32: {               \
      using T = std::int32_t;             \
      return __VA_ARGS__;                 \
    }                                     \
    case ptx::Type::kB64:                 \
    case ptx::Type::kU64: {               \
      using T = std::uint64_t;            \
      return __VA_ARGS__;                 \
    }                                     \
    case ptx::Type::kS64: {               \
      using T = std::int64_t;             \
      return __VA_ARGS__;                 \
    }                                     \
    default: break;                       \
  }
#define ACCELMESH_PICK_FLOAT(type, ...) \
  switch (type) {                       \
    case ptx::Type::kF32: {             \
      using T = float;                  \
      return __VA_ARGS__;               \
    }                                   \
    case ptx::Type::kF64: {             \
      using T = double;                 \
      return __VA_ARGS__;               \
    }                                   \
    default: break;                     \
  }

template <template <typename> class F>
Handler IntegerUnary(ptx::Type type) {
  ACCELMESH_PICK_INTEGER(type, Unary<T, F>)
  return nullptr;
}
template <template <typename> class F>
Handler FloatUnary(ptx::Type type) {
  ACCELMESH_PICK_FLOAT(type, Unary<T, F>)
  return nullptr;
}
template <template <typename> class F>
Handler AnyUnary(ptx::Type type) {
  const Handler integer = IntegerUnary<F>(type);
  return integer != nullptr ? integer : FloatUnary<F>(type);
}
template <template <typename> class F>
Handler IntegerBinary(ptx::Type type) {
  ACCELMESH_PICK_INTEGER(type, Binary<T, F>)
  return nullptr;
}
template <template <typename> class F>
Handler FloatBinary(ptx::Type type) {
  ACCELMESH_PICK_FLOAT(type, Binary<T, F>)
  return nullptr;
}
template <template <typename> class F>
Handler AnyBinary(ptx::Type type) {
  const Handler integer = IntegerBinary<F>(type);
  return integer != nullptr ? integer : FloatBinary<F>(type);
}

// The rule of an instruction whose operands are rows and whose handler depends on the last type alone.
using HandlerOf = Handler (*)(ptx::Type);
template <HandlerOf kPick, std::size_t kOperands>
Status SimpleRule(Decoder& decoder, const ptx::Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, kOperands));
  op.handler = kPick(Decoder::LastType(from));
  return op.handler != nullptr ? Status::Ok() : decoder.Refuse(from, "type not supported");
}

}  // namespace accelmesh::tier0
