// The lanes of an epoch, each on what the ones before have left (epoch.h says in which order).
//
// Inside of market/auction only. Threads: one at a time for each State.
#pragma once

#include "market/auction/state.h"

namespace accelmesh::market::auction {

void ClearFloors(State& state);
void ClearGangs(State& state);
// Lane B of the class at `place`.
void ClearLaneB(State& state, std::size_t place);

}  // namespace accelmesh::market::auction
