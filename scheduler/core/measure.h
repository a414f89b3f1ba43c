// What a slot can do and what a request asks for, in the same terms: operations by class and number type, measured with
// a confidence interval.
//
// Threads: values. Units: operations a second (a fused multiply-add counts two), bytes a second, microseconds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace accelmesh::scheduler {

// Classes of operations whose throughput is measured and asked for.
enum class Operation : std::uint8_t { kMatmul = 0, kConvolution = 1 };
enum class NumberType : std::uint8_t { kInt8 = 0, kFp16 = 1, kBf16 = 2, kFp32 = 3, kFp64 = 4 };
inline constexpr std::size_t kOperations = 2;
inline constexpr std::size_t kNumberTypes = 5;

// "matmul", "convolution"; "int8", "fp16", "bf16", "fp32", "fp64".
std::string_view Name(Operation operation);
std::string_view Name(NumberType type);
std::optional<Operation> FindOperation(std::string_view name);
std::optional<NumberType> FindNumberType(std::string_view name);

// A measurement: its mean and the bounds of its confidence interval. All zero: not measured.
struct Measured {
  double mean = 0;
  double low = 0;
  double high = 0;

  // Finite, in order and positive: only then does anybody count on it.
  bool known() const { return low > 0 && low <= mean && mean <= high && high <= 1e30; }
  bool operator==(const Measured&) const = default;
};

// What gpu-server has measured of a whole device, through the path that a tenant's call takes.
struct Tags {
  std::array<std::array<Measured, kNumberTypes>, kOperations> operations_per_s;
  Measured memory_bytes_per_s;
  Measured launch_us;      // from a launch on an idle stream to its completion, on the server
  Measured round_trip_us;  // from the market's place to the server and back

  const Measured& Throughput(Operation operation, NumberType type) const {
    return operations_per_s[static_cast<std::size_t>(operation)][static_cast<std::size_t>(type)];
  }
  Measured& Throughput(Operation operation, NumberType type) {
    return operations_per_s[static_cast<std::size_t>(operation)][static_cast<std::size_t>(type)];
  }
};

}  // namespace accelmesh::scheduler
