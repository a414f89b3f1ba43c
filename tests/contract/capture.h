// What streams and events need to know of capturing. All under State::mu.
#pragma once

#include "tests/contract/state.h"

namespace accelmesh::contract {

// Adds the work to the graph that the stream captures, behind what the stream came to.
CUresult AddToCapture(Stream& stream, Work work);
// For calls that a capturing stream may not take: the capture is lost.
CUresult BreakCapture(Stream& stream);
// Makes the stream wait for what the event's stream had captured; it joins the capture if it was in none.
CUresult JoinCapture(Stream& stream, const Event& event);

}  // namespace accelmesh::contract
