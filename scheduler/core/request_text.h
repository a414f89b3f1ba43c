// Functional requests as people and programs write them.
//
//   request := part {"," part}
//   part    := throughput [type [operation]]         0.05 TOPS fp32 matmul; type fp32, operation matmul if left out
//            | size | bandwidth                       1GiB (memory); 100GB/s (of memory)
//            | "within" duration                      within 5ms (latency)
//            | number "slots"                         2 slots
//            | field "=" value
//   field   := throughput | memory | bandwidth | latency | slots | topology | zone | label | duration | deadline |
//              notice | budget | max-price
//
// The fields are those of command lines and of JSON (tools/request) as well, where throughput also comes as tops, dtype
// and operation. The text may be anything: it is bounded, and a refusal names the part and a right one.
// Threads: functions on values.
#pragma once

#include <string>
#include <string_view>

#include "protocol/base/result.h"
#include "scheduler/core/request.h"

namespace accelmesh::scheduler {

inline constexpr std::size_t kRequestTextBytesMax = 4096;

// A request that passes Validate(), or kInvalidArgument.
Result<FunctionalRequest> ParseRequest(std::string_view text);

// Sets one field from its text; a field that is set already is refused, but for throughput and label. Call Validate()
// when all are set.
Status SetField(FunctionalRequest& request, std::string_view field, std::string_view value);

// Text that ParseRequest() reads as the same request. Precondition: Validate(request).ok().
std::string ToText(const FunctionalRequest& request);

}  // namespace accelmesh::scheduler
