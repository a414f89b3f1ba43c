// What is called: matmul and convolution, of a library or by a kernel of ours.
#include <algorithm>
#include <cstddef>
#include <optional>

#include "protocol/library/dnn_calls.h"
#include "protocol/library/library.h"
#include "server/measure/kernels.h"
#include "server/measure/measurer.h"

namespace accelmesh::measure {
namespace {

constexpr std::int64_t kMatmulMin = 256;
constexpr std::int64_t kMatmulMax = 8192;
constexpr std::int64_t kKernelMatmulMin = 64;
// Of a layer of ResNet-50: 64 channels of 56 x 56, filters of 3 x 3.
constexpr std::int64_t kChannels = 64;
constexpr std::int64_t kSize = 56;
constexpr std::int64_t kImagesMax = 256;
constexpr std::int64_t kKernelsMax = 64;

std::uint32_t FindFunction(std::uint32_t library, std::string_view name) {
  for (std::uint32_t function = 1; function <= LibraryFunctions(library); ++function) {
    const char* const known = LibraryFunctionName(library, function);
    if (known != nullptr && name == known) return function;
  }
  return 0;
}

}  // namespace

// Matmul -------------------------------------------------------------------------------------------------------------

Result<Calls> Measurer::MatmulCalls(const Type& type, std::uint32_t function, std::int64_t n) {
  ACCELMESH_RETURN_IF_ERROR(tenant_->FreeAll());
  const auto count = static_cast<std::uint64_t>(n * n);
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t a, Filled(count * type.bytes, type));
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t b, Filled(count * type.bytes, type));
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t c, Filled(count * type.result_bytes, type));
  // cublasGemmEx: flags, both transformations, m, n, k, alpha of two words, A, its type, lda, B, its type, ldb, beta of
  // two words, C, its type, ldc, how to compute, the algorithm.
  std::array<std::int64_t, 21> words{};
  words[3] = words[4] = words[5] = n;
  if (type.blas_compute == 70) {
    const double one = 1;
    std::memcpy(&words[6], &one, sizeof(one));
  } else if (type.blas_compute == 72) {
    words[6] = 1;
  } else {
    const float one = 1;
    std::memcpy(&words[6], &one, sizeof(one));
  }
  words[8] = static_cast<std::int64_t>(a);
  words[9] = type.blas;
  words[10] = n;
  words[11] = static_cast<std::int64_t>(b);
  words[12] = type.blas;
  words[13] = n;
  words[16] = static_cast<std::int64_t>(c);
  words[17] = type.blas_result;
  words[18] = n;
  words[19] = type.blas_compute;
  words[20] = -1;  // CUBLAS_GEMM_DEFAULT
  Calls calls;
  calls.work = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  calls.post = [this, function, words] {
    return tenant_->Post(wire::LibraryCall(kLibraryBlas, function, kStream, 0), AsBytes(words));
  };
  return calls;
}

Result<Throughput> Measurer::Matmul(const Type& type) {
  const std::uint32_t function = FindFunction(kLibraryBlas, "cublasGemmEx");
  if (!Has(kLibraryBlas, function)) return MatmulByKernel(type);
  return Grow(
      "matmul", type, "library", [&](std::int64_t n) { return MatmulCalls(type, function, n); }, kMatmulMin,
      kMatmulMax);
}

// Convolution --------------------------------------------------------------------------------------------------------

DnnTensor TensorOf(const Type& type, std::array<std::int64_t, 4> dims, bool is_filter) {
  DnnTensor tensor;
  tensor.type = type.dnn;
  tensor.rank = 4;
  // Whole numbers are convolved with the channels innermost only.
  const bool channels_last = type.bytes == 1;
  tensor.format = is_filter && channels_last ? 1 : 0;
  std::int64_t stride = 1;
  for (const std::size_t d :
       channels_last ? std::array<std::size_t, 4>{1, 3, 2, 0} : std::array<std::size_t, 4>{3, 2, 1, 0}) {
    tensor.dims[d] = static_cast<std::int32_t>(dims[d]);
    tensor.strides[d] = static_cast<std::int32_t>(stride);
    stride *= dims[d];
  }
  return tensor;
}

template <typename Words>
Bytes WordsOf(const Words& words) {
  Bytes arguments(sizeof(std::uint64_t) + sizeof(Words));
  std::memcpy(arguments.data() + sizeof(std::uint64_t), static_cast<const void*>(&words), sizeof(Words));
  return arguments;
}

Result<Calls> Measurer::ConvolutionCalls(const Type& type, std::int64_t images) {
  ACCELMESH_RETURN_IF_ERROR(tenant_->FreeAll());
  DnnConvolutionForward call;
  call.x.tensor = TensorOf(type, {images, kChannels, kSize, kSize}, false);
  call.w.tensor = TensorOf(type, {kChannels, kChannels, 3, 3}, true);
  call.y.tensor = TensorOf(type, {images, kChannels, kSize, kSize}, false);
  DnnConvolution& convolution = call.convolution;
  convolution.rank = 2;
  convolution.mode = 1;  // CUDNN_CROSS_CORRELATION
  convolution.compute_type = type.dnn_compute;
  for (std::size_t d = 0; d < 2; ++d) convolution.pads[d] = convolution.strides[d] = convolution.dilations[d] = 1;
  DnnFindAlgorithms question;
  question.x = call.x.tensor;
  question.w = call.w.tensor;
  question.y = call.y.tensor;
  question.convolution = convolution;
  ACCELMESH_ASSIGN_OR_RETURN(
      const Tenant::Answer answer,
      tenant_->Call(wire::LibraryAsk(kLibraryDnn, kDnnFunction<DnnFindAlgorithms>, 0, 0), WordsOf(question)));
  flatbuffers::Verifier verifier(answer.body.data(), answer.body.size());
  constexpr const char* kWhere = "Measurer::ConvolutionCalls";
  if (answer.device_status != 0) return Status(Code::kUnsupported, kWhere, answer.text);
  if (!verifier.VerifyBuffer<wire::LibraryResult>(nullptr)) return Status(Code::kBadFrame, kWhere, "no LibraryResult");
  const auto& result = *flatbuffers::GetRoot<wire::LibraryResult>(answer.body.data());
  std::optional<DnnAlgorithm> best;
  const std::size_t found =
      result.status() != 0 || result.results() == nullptr ? 0 : result.results()->size() / sizeof(DnnAlgorithm);
  for (std::size_t i = 0; i < found && !best.has_value(); ++i) {
    DnnAlgorithm algorithm;
    std::memcpy(&algorithm, result.results()->data() + i * sizeof(algorithm), sizeof(algorithm));
    if (algorithm.status == 0) best = algorithm;
  }
  if (!best.has_value()) return Status(Code::kUnsupported, kWhere, "the library has no algorithm for it");
  call.algorithm = best->algorithm;
  call.convolution.math_type = best->math_type;
  const auto pixels = static_cast<std::uint64_t>(images * kChannels * kSize * kSize);
  ACCELMESH_ASSIGN_OR_RETURN(call.x.address, Filled(pixels * type.bytes, type));
  ACCELMESH_ASSIGN_OR_RETURN(call.w.address, Filled(kChannels * kChannels * 9 * type.bytes, type));
  ACCELMESH_ASSIGN_OR_RETURN(call.y.address, Filled(pixels * type.bytes, type));
  if (best->workspace_bytes != 0) {
    ACCELMESH_ASSIGN_OR_RETURN(call.workspace, tenant_->Allocate(best->workspace_bytes));
    call.workspace_bytes = best->workspace_bytes;
  }
  Calls calls;
  calls.work = 2.0 * static_cast<double>(images * kChannels * kChannels * 9 * kSize * kSize);
  calls.post = [this, words = WordsOf(call)] {
    return tenant_->Post(wire::LibraryCall(kLibraryDnn, kDnnFunction<DnnConvolutionForward>, kStream, 0), words);
  };
  return calls;
}

Result<Throughput> Measurer::Convolution(const Type& type) {
  if (!Has(kLibraryDnn, kDnnFunction<DnnConvolutionForward>) || !Has(kLibraryDnn, kDnnFunction<DnnFindAlgorithms>))
    return ConvolutionByKernel(type);
  return Grow(
      "convolution", type, "library", [&](std::int64_t images) { return ConvolutionCalls(type, images); }, 1,
      kImagesMax);
}

// By kernel ----------------------------------------------------------------------------------------------------------

Result<std::uint32_t> Measurer::LoadKernel(std::string_view ptx) {
  ACCELMESH_RETURN_IF_ERROR(tenant_->LoadModule(next_module_, ptx));
  return next_module_++;
}

Result<std::uint64_t> Measurer::PostKernel(std::uint32_t module, Dim3 grid, Dim3 block, ByteView arguments) {
  return tenant_->Post(wire::Launch(module, 0, kStream, 0, grid.x, grid.y, grid.z, block.x, block.y, block.z, 0, 0,
                                    wire::ClusterSize(), wire::ClusterSize()),
                       arguments);
}

// Laid out as the parameters of both kernels: three addresses, then numbers.
struct KernelArguments {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
  std::uint32_t first = 0;
  std::uint32_t second = 0;
};

std::uint32_t BlocksOf(std::int64_t size) {
  return (static_cast<std::uint32_t>(size) + kKernelBlock - 1) / kKernelBlock;
}

Result<Throughput> Measurer::MatmulByKernel(const Type& type) {
  const std::string ptx = MatmulKernel(type.name);
  if (ptx.empty())
    return Status(Code::kUnsupported, "Measurer::MatmulByKernel", "no cuBLAS, and no kernel of ours for that type");
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t module, LoadKernel(ptx));
  const MakeCalls make = [&](std::int64_t n) -> Result<Calls> {
    ACCELMESH_RETURN_IF_ERROR(tenant_->FreeAll());
    const auto count = static_cast<std::uint64_t>(n * n);
    KernelArguments arguments;
    ACCELMESH_ASSIGN_OR_RETURN(arguments.a, Filled(count * type.bytes, type));
    ACCELMESH_ASSIGN_OR_RETURN(arguments.b, Filled(count * type.bytes, type));
    ACCELMESH_ASSIGN_OR_RETURN(arguments.c, Filled(count * type.result_bytes, type));
    arguments.first = static_cast<std::uint32_t>(n);
    Calls calls;
    calls.work = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
    calls.post = [this, module, arguments, blocks = BlocksOf(n)] {
      return PostKernel(module, {blocks, blocks, 1}, {kKernelBlock, kKernelBlock, 1},
                        AsBytes(arguments).first(offsetof(KernelArguments, second)));
    };
    return calls;
  };
  return Grow("matmul", type, "kernel", make, kKernelMatmulMin, kMatmulMax);
}

Result<Throughput> Measurer::ConvolutionByKernel(const Type& type) {
  const std::string ptx = ConvolutionKernel(type.name);
  if (ptx.empty())
    return Status(Code::kUnsupported, "Measurer::ConvolutionByKernel", "no cuDNN, and no kernel of ours for that type");
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t module, LoadKernel(ptx));
  const MakeCalls make = [&](std::int64_t kernels) -> Result<Calls> {
    ACCELMESH_RETURN_IF_ERROR(tenant_->FreeAll());
    KernelArguments arguments;
    ACCELMESH_ASSIGN_OR_RETURN(arguments.a, Filled(kChannels * (kSize + 2) * (kSize + 2) * type.bytes, type));
    ACCELMESH_ASSIGN_OR_RETURN(arguments.b,
                               Filled(static_cast<std::uint64_t>(kernels) * kChannels * 9 * type.bytes, type));
    ACCELMESH_ASSIGN_OR_RETURN(arguments.c,
                               Filled(static_cast<std::uint64_t>(kernels) * kSize * kSize * type.bytes, type));
    arguments.first = kChannels;
    arguments.second = kSize;
    Calls calls;
    calls.work = 2.0 * static_cast<double>(kernels * kChannels * 9 * kSize * kSize);
    calls.post = [this, module, arguments, kernels] {
      return PostKernel(module, {BlocksOf(kSize), BlocksOf(kSize), static_cast<std::uint32_t>(kernels)},
                        {kKernelBlock, kKernelBlock, 1}, AsBytes(arguments));
    };
    return calls;
  };
  return Grow("convolution", type, "kernel", make, 1, kKernelsMax);
}

}  // namespace accelmesh::measure
