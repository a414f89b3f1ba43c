// What a program sets for a stream besides its work.
#pragma once

#include "shim/core/session.h"

namespace accelmesh {

// The stream is being destroyed.
void ForgetStreamAttributes(const Stream& stream);

}  // namespace accelmesh
