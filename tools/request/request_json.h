// A functional request as JSON, for programs: an object whose fields are those of scheduler/core/request_text.h.
//
//   {"throughput": ["0.05 TOPS fp32", {"tops": 0.1, "dtype": "int8", "operation": "convolution"}],
//    "memory": "1GiB", "latency": "5ms", "slots": 2, "label": ["a", "b"], "max-price": 3}
//
// Values are texts with their units; counts, tops and credits may be numbers. Throughput and label may be one value or
// a list. The text may be anything: it is bounded, a field that nobody knows or that stands twice is refused, and so is
// anything nested deeper. Threads: a function on values.
#pragma once

#include <string_view>

#include "protocol/base/result.h"
#include "scheduler/core/request.h"

namespace accelmesh {

inline constexpr std::size_t kRequestJsonBytesMax = 65536;

// A request that passes Validate(), or kInvalidArgument.
Result<scheduler::FunctionalRequest> ParseRequestJson(std::string_view text);

}  // namespace accelmesh
