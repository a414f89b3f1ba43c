// How much arithmetic a call of a library asks for, in the terms in which slots are measured: what mesh-run's agent
// predicts a program's need from.
//
// A fused multiply-add counts two. A product of complex numbers counts as four real ones; fp8 counts as fp16, because
// no slot says what it does in fp8; tf32 is fp32. Functions that are neither a matrix product nor a convolution count
// nothing.
// Threads: a function on values.
#pragma once

#include <cstdint>

#include "protocol/base/bytes.h"

namespace accelmesh {

// Numbered and named as scheduler/core/measure.h has them.
enum class WorkKind : std::uint8_t { kMatmul = 0, kConvolution = 1 };
enum class WorkType : std::uint8_t { kInt8 = 0, kFp16 = 1, kBf16 = 2, kFp32 = 3, kFp64 = 4 };
inline constexpr int kWorkKinds = 2;
inline constexpr int kWorkTypes = 5;

struct Work {
  WorkKind kind = WorkKind::kMatmul;
  WorkType type = WorkType::kFp32;
  double operations = 0;  // 0: nothing that counts
};

// `arguments` are plain ones (library.h), of any shape: what is too short counts nothing.
Work WorkOf(std::uint32_t library, std::uint32_t function, ByteView arguments);

}  // namespace accelmesh
