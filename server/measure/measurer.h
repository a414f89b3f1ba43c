// How measure.h does it: one object a measurement.
//
// Threads: one.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "server/measure/measure.h"

namespace accelmesh::measure {

// The device's own stream.
inline constexpr std::uint32_t kStream = 0;

// A number type, as cuBLAS (library_types.h, cublas_api.h) and cuDNN (cudnn_ops.h) number it.
struct Type {
  const char* name;
  std::uint64_t bytes;
  std::uint64_t result_bytes;
  std::int64_t blas;
  std::int64_t blas_result;
  std::int64_t blas_compute;
  std::int32_t dnn;
  std::int32_t dnn_compute;
  std::uint32_t one;  // a value of that type, as often as it fits
};
inline constexpr std::array kTypes = {
    Type{"int8", 1, 4, 3, 10, 72, 3, 4, 0x01010101},  Type{"fp16", 2, 2, 2, 2, 68, 2, 0, 0x3c003c00},
    Type{"bf16", 2, 2, 14, 14, 68, 9, 0, 0x3f803f80}, Type{"fp32", 4, 4, 0, 0, 68, 0, 0, 0x3f800000},
    Type{"fp64", 8, 8, 1, 1, 70, 1, 1, 0x3ff00000},
};

// Calls that are repeated: `post` posts one and says its sequence number. `work` is what one does.
struct Calls {
  std::function<Result<std::uint64_t>()> post;
  double work = 0;
};

class Measurer {
 public:
  Measurer(const BackendFactory& make, const BackendOptions& options, const Plan& plan)
      : make_(make), options_(options), plan_(plan) {}

  Result<Report> Run();
  Status Identify(Identity* identity);

 private:
  // A session that has had no error.
  Status Renew();
  Result<double> Time(const Calls& calls, std::uint32_t count);
  // Work a second.
  Result<Interval> Repeat(const Calls& calls);
  Status OpenLibrary(std::uint32_t library);
  bool Has(std::uint32_t library, std::uint32_t function) const;
  Result<std::uint64_t> Filled(std::uint64_t bytes, const Type& type);

  // Of problem sizes `first`, twice that and so on up to `last`, the first whose call takes long, or the last that
  // fits.
  using MakeCalls = std::function<Result<Calls>(std::int64_t size)>;
  Result<Throughput> Grow(const char* operation, const Type& type, const char* via, const MakeCalls& make,
                          std::int64_t first, std::int64_t last);
  Result<Throughput> Matmul(const Type& type);
  Result<Calls> MatmulCalls(const Type& type, std::uint32_t function, std::int64_t n);
  Result<Throughput> MatmulByKernel(const Type& type);
  Result<Throughput> Convolution(const Type& type);
  Result<Calls> ConvolutionCalls(const Type& type, std::int64_t images);
  Result<Throughput> ConvolutionByKernel(const Type& type);
  Result<Interval> Memory();
  Result<Interval> Launch();
  Result<std::uint32_t> LoadKernel(std::string_view ptx);
  Result<std::uint64_t> PostKernel(std::uint32_t module, Dim3 grid, Dim3 block, ByteView arguments);

  const BackendFactory& make_;
  const BackendOptions& options_;
  const Plan& plan_;
  std::unique_ptr<Tenant> tenant_;
  std::array<Bytes, 4> functions_;  // by library; empty: not there
  std::array<std::string, 4> absent_;
  std::uint32_t next_module_ = 0;
};

}  // namespace accelmesh::measure
