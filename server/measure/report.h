// What a gpu-server has measured of its device, and the text of it that is kept and shown.
//
// Threads: values. Units: operations a second (a fused multiply-add counts two), bytes a second (read and written),
// microseconds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/result.h"
#include "server/measure/interval.h"

namespace accelmesh::measure {

// What the numbers hold for: as long as all of it is the same, they need not be taken again.
struct Identity {
  std::string processor;  // model name
  std::uint32_t threads = 0;
  std::string backend;
  std::string device;                  // its name
  std::string device_uuid;             // hex
  std::vector<std::string> libraries;  // files that the backend has loaded, with their sizes and times, sorted
  bool operator==(const Identity&) const = default;
};

struct Throughput {
  std::string operation;  // "matmul", "convolution"
  std::string type;       // "int8", "fp16", "bf16", "fp32", "fp64"
  std::string via;        // "library", or "kernel" where the library is missing
  Interval operations_per_s;
  std::string problem;  // of what size, for people
  bool operator==(const Throughput&) const = default;
};

struct Report {
  Identity identity;
  std::uint64_t memory_bytes = 0;      // that a session may have
  std::vector<Throughput> throughput;  // only what is known
  Interval memory_bytes_per_s;
  Interval launch_us;                // from a launch on an idle stream to its completion, on the server
  std::vector<std::string> missing;  // "convolution int8: why"
  double seconds = 0;                // that it took
  std::int64_t measured_at_ms = 0;   // Unix time
};

std::string ToJson(const Report& report);
// kBadFrame if the text is not one; the numbers are checked.
Result<Report> ParseReport(std::string_view text);
// A line for each number.
std::string ToText(const Report& report);

}  // namespace accelmesh::measure
