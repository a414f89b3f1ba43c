// Nobody trades with itself: where a party both asks and bids in a class and would pay itself what it asks, it keeps
// the units, and no money moves. What is left then never crosses: of such a party's asks none is at or below its best
// bid (lumps that could not be netted are taken out of lane B), so no later price makes it seller and buyer.
//
// Inside of market/auction only. Threads: one at a time for each State.
#pragma once

#include "market/auction/state.h"

namespace accelmesh::market::auction {

void Net(State& state);

}  // namespace accelmesh::market::auction
