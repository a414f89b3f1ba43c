// What the programs of perftest (ib_send_lat and its like) print. Threads: pure.
#pragma once

#include <string>

#include "protocol/base/result.h"

namespace accelmesh::bench {

// The number in column `column` (from 0) of the last line of figures. kInternal if there is no such line, or no
// finite number.
Result<double> ReadPerftest(const std::string& output, std::size_t column);

}  // namespace accelmesh::bench
