// What a client sends as a module: a fatbin container as nvcc makes it, or plain PTX text. The bytes are hostile.
// Layout of the container: docs of the fields stand where they are read (image.cpp).
// Threads: pure functions.
#pragma once

#include <string>

#include "protocol/base/bytes.h"

namespace accelmesh {

// The PTX to run on a device of compute capability `capability` (10 * major + minor): the newest entry that is not
// newer than it. kNotFound names what the image holds instead; kInvalidArgument if it is no image of ours.
Result<std::string> ExtractPtx(ByteView image, std::uint32_t capability);

}  // namespace accelmesh
