// Dropout of cuDNN as it crosses the wire (dnn_calls.h), also as a part of what uses it.
//
// Threads: values.
#pragma once

#include <cstdint>

namespace accelmesh {

// cudnnDropoutDescriptor_t. The states are the random numbers': memory of the device, made by DnnDropoutSeed, moved on
// by whatever draws from them, and of a content that only the server's library knows.
struct DnnDropout {
  double probability = 0;  // of an element to be dropped; 0: nothing is drawn, and there need be no states
  std::uint64_t states = 0;
  std::uint64_t states_bytes = 0;
  std::uint64_t seed = 0;
};

// How large states are. Asked; the answer is DnnDropoutBytes.
struct DnnDropoutSizes {
  std::uint64_t reserved = 0;
};
struct DnnDropoutBytes {
  std::uint64_t states = 0;
};
// Makes the states anew.
struct DnnDropoutSeed {
  DnnDropout dropout;
};

// What is kept of a mask for the way back: a bit an element, in words of 32 bits. It is what cuDNN 9.19 answers, which
// needs no handle for it; a client answers by itself.
constexpr std::uint64_t DnnDropoutReserveBytes(std::uint64_t elements) { return (elements + 31) / 32 * 4; }

}  // namespace accelmesh
