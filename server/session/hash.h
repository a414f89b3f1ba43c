// FNV-1a: a short name for bytes that somebody keeps. Whoever wants two that are alike can make them. Threads: values.
#pragma once

#include <cstdint>

#include "protocol/base/bytes.h"

namespace accelmesh {

constexpr std::uint64_t HashOf(ByteView bytes) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3;
  return hash;
}

}  // namespace accelmesh
