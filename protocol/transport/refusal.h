// What a supervisor's Welcome says, as a Status. Threads: pure.
#pragma once

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh {

// kOk if `welcome` verifies and is no refusal; the refusal's code and text if it is one; kBadFrame otherwise.
Status StatusOfWelcome(ByteView welcome);

}  // namespace accelmesh
