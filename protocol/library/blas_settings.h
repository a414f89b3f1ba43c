// What a handle of cuBLAS is set to, as it crosses the wire: these words, in this order.
#pragma once

#include <cstdint>
#include <optional>

#include "protocol/base/bytes.h"

namespace accelmesh {

// Modes and strategies are the numbers of cublas_api.h and library_types.h.
struct BlasSettings {
  std::int64_t math_mode = 0;
  std::int64_t atomics_mode = 0;
  std::int64_t sm_count_target = 0;
  std::uint64_t workspace = 0;  // 0: the library's own
  std::uint64_t workspace_bytes = 0;
  std::int64_t emulation_strategy = 0;
  std::int64_t special_values = 0xffff;  // the default
  std::int64_t mantissa_control = 0;
  std::int64_t mantissa_bits_max = 0;
  std::int64_t mantissa_bit_offset = 0;
  std::uint64_t mantissa_bits = 0;  // the address of a number, or 0
};

inline std::optional<BlasSettings> ReadBlasSettings(ByteView words) {
  BlasSettings settings;
  if (words.size() != sizeof(settings)) return std::nullopt;
  std::memcpy(&settings, words.data(), sizeof(settings));
  return settings;
}

}  // namespace accelmesh
