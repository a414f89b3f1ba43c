// What a client sends as a module: a fatbin container as nvcc makes it, or plain PTX text. Of device code that nvcc
// linked (-rdc=true), the container of what it linked, and behind it those of what it was linked from, each at a
// multiple of eight bytes. The bytes are hostile. Layout of the container: docs of the fields stand where they are read
// (image.cpp). Threads: pure functions.
#pragma once

#include <string>
#include <vector>

#include "protocol/base/bytes.h"

namespace accelmesh {

// The PTX to run on a software GPU of compute capability `capability` (10 * major + minor): the newest entry for any
// device that is not newer than it; if there is none, one for its family (sm_100f: not newer, of its major version) or
// for its architecture alone (sm_90a). kNotFound names what the image holds instead; kInvalidArgument if it is no image
// of ours.
Result<std::string> ExtractPtx(ByteView image, std::uint32_t capability);
// The same of every container that device code was linked from; of any other image, the one text. A container without
// PTX for the device is left out (cudadevrt has some for the newest only), unless all are.
Result<std::vector<std::string>> ExtractTexts(ByteView image, std::uint32_t capability);

// What a driver would choose from to run the image on a device of `capability`: the newest PTX that it runs, and the
// machine code (ELF) of the same major version. Besides containers and PTX text, an ELF file by itself is an image.
// An image that holds nothing for the device has no parts. kInvalidArgument if it is no image.
struct ImagePart {
  bool is_ptx = false;
  std::string bytes;
};
Result<std::vector<ImagePart>> ExtractParts(ByteView image, std::uint32_t capability);

}  // namespace accelmesh
