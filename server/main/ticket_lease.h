// What a session's worker is told of the lease that it runs under.
#pragma once

#include "protocol/transport/channel.h"
#include "server/main/admission.h"
#include "server/main/ticket.h"

namespace accelmesh {

// Whose session it is, and what it may have. Over shared memory no connection has a key: there it is its lease's
// holder's session. A server that knows no leases knows nobody by a key, and all its sessions are one owner's.
inline void TellLease(const Arrival& arrival, const Admission& admission, Ticket* ticket) {
  if (arrival.client_key.has_value()) {
    ticket->is_secured = 1;
    ticket->client_key = arrival.client_key->bytes;
  } else if (admission.lease.has_value()) {
    ticket->client_key = admission.lease->client_key.bytes;
  }
  if (!admission.lease.has_value()) return;
  ticket->lease_share_milli = admission.lease->share_milli;
  ticket->lease_memory_bytes = admission.lease->memory_bytes;
  ticket->lease_not_after_ms = admission.lease->not_after_ms;
}

}  // namespace accelmesh
