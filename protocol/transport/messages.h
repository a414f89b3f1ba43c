// Messages of a session that come from a peer and are not frames: verified here, and only then used. Apart from the
// sockets, so that fuzzers and unit tests reach them.
//
// Threads: functions; ApplyProgress() has one caller at a time per page.
#pragma once

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "protocol/transport/channel.h"

namespace accelmesh {

// Takes over a wire::Progress. All values of `page` only grow, whatever the server says. kBadFrame if it does not
// verify or names a stream that cannot be. `message` lies at any address.
Status ApplyProgress(ByteView message, ProgressPage& page);

// Whether `message` is a wire::Attach for this lane that knows the session's secret. Takes as long for a wrong secret
// as for the right one.
bool AttachFits(ByteView message, std::uint8_t lane, ByteView secret);

}  // namespace accelmesh
