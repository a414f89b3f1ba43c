// What a client sends as a module: a fatbin container as nvcc makes it, or plain PTX text. The bytes are hostile.
// Layout of the container: docs of the fields stand where they are read (image.cpp).
// Threads: pure functions.
#pragma once

#include <string>
#include <vector>

#include "protocol/base/bytes.h"

namespace accelmesh {

// The PTX to run on a device of compute capability `capability` (10 * major + minor): the newest entry that is not
// newer than it. kNotFound names what the image holds instead; kInvalidArgument if it is no image of ours.
Result<std::string> ExtractPtx(ByteView image, std::uint32_t capability);

// What a driver would choose from to run the image on a device of `capability`: the newest PTX that is not newer, and
// the machine code (ELF) of the same major version. Besides containers and PTX text, an ELF file by itself is an image.
// An image that holds nothing for the device has no parts. kInvalidArgument if it is no image.
struct ImagePart {
  bool is_ptx = false;
  std::string bytes;
};
Result<std::vector<ImagePart>> ExtractParts(ByteView image, std::uint32_t capability);

}  // namespace accelmesh
