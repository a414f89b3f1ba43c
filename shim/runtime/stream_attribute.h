// What a program sets for a stream besides its work.
#pragma once

#include "shim/core/session.h"

namespace accelmesh {

// The stream is being destroyed.
void ForgetStreamAttributes(const Stream& stream);
// The device is being reset.
void ForgetStreamAttributesOf(std::uint32_t device);

}  // namespace accelmesh
