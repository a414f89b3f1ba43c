// Groups of products: their shapes lie in arrays of the program's, the addresses of their operands in the device's
// memory. Each group is sent as the batch that it is, behind the one before it on the handle's stream.
//
// Errors: all groups are looked at before the first is sent.
#include <string_view>
#include <type_traits>

#include "shim/blas/entry.h"
#include "shim/gen_blas_face.h"

namespace accelmesh::face {
namespace {

using blas::BlasCall;

consteval std::uint32_t NumberOf(std::string_view function) {
#define ACCELMESH_BLAS_FUNCTION(number, name, words) \
  if (function == name) return number;
#include "protocol/gen_blas_functions.inc"
#undef ACCELMESH_BLAS_FUNCTION
  throw "no such function";
}

// Of one type, or of any that the call names.
template <typename T>
struct Typed {
  cublasOperation_t transa;
  cublasOperation_t transb;
  std::int64_t m;
  std::int64_t n;
  std::int64_t k;
  std::int64_t lda;
  std::int64_t ldb;
  std::int64_t ldc;
  const T* alpha;
  const T* beta;
  const void* a;
  const void* b;
  const void* c;
  std::int64_t count;
};

// The program's arrays; I is how wide its numbers are.
template <typename I, typename T>
struct Groups {
  const cublasOperation_t* transa;
  const cublasOperation_t* transb;
  const I* m;
  const I* n;
  const I* k;
  const T* alpha;
  const void* const* a;
  const I* lda;
  const void* const* b;
  const I* ldb;
  const T* beta;
  const void* const* c;
  const I* ldc;
  I count;
  const I* sizes;

  bool are_given() const {
    return transa != nullptr && transb != nullptr && m != nullptr && n != nullptr && k != nullptr && alpha != nullptr &&
           lda != nullptr && ldb != nullptr && beta != nullptr && ldc != nullptr && sizes != nullptr;
  }
  // Its addresses are behind those of `before` products.
  Typed<T> At(I index, std::int64_t before) const {
    return {transa[index], transb[index], m[index],     n[index],   k[index],   lda[index], ldb[index],
            ldc[index],    alpha + index, beta + index, a + before, b + before, c + before, sizes[index]};
  }
};

template <typename T>
bool IsValid(const Typed<T>& group) {
  using blas::IsKnown;
  using blas::IsStride;
  return IsKnown(group.transa) && IsKnown(group.transb) && group.m >= 0 && group.n >= 0 && group.k >= 0 &&
         group.count >= 0 && IsStride(group.lda, group.transa == CUBLAS_OP_N ? group.m : group.k) &&
         IsStride(group.ldb, group.transb == CUBLAS_OP_N ? group.k : group.n) && IsStride(group.ldc, group.m);
}

// Calls send(group) for each that has work, once all are valid.
template <typename I, typename T, typename Send>
cublasStatus_t ForGroups(cublasHandle_t handle, const Groups<I, T>& groups, Send send) {
  cublasPointerMode_t mode = CUBLAS_POINTER_MODE_HOST;
  if (const cublasStatus_t found = face::cublasGetPointerMode_v2(handle, &mode); found != CUBLAS_STATUS_SUCCESS)
    return found;
  if (groups.count < 0 || (groups.count > 0 && !groups.are_given())) return CUBLAS_STATUS_INVALID_VALUE;
  std::int64_t before = 0;
  for (I i = 0; i < groups.count; ++i) {
    const Typed<T> group = groups.At(i, 0);
    if (!IsValid(group) || __builtin_add_overflow(before, group.count, &before)) return CUBLAS_STATUS_INVALID_VALUE;
  }
  // The scalars are an array, which only the host has.
  if (mode != CUBLAS_POINTER_MODE_HOST) return CUBLAS_STATUS_NOT_SUPPORTED;
  before = 0;
  for (I i = 0; i < groups.count; ++i) {
    const Typed<T> group = groups.At(i, before);
    before += group.count;
    if (group.m == 0 || group.n == 0 || group.count == 0) continue;
    if (const cublasStatus_t sent = send(group); sent != CUBLAS_STATUS_SUCCESS) return sent;
  }
  return CUBLAS_STATUS_SUCCESS;
}

// Words as cublasSgemmBatched has them.
template <typename I, typename T>
cublasStatus_t SendTyped(cublasHandle_t handle, const char* name, const Groups<I, T>& groups) {
  constexpr std::uint32_t kFunction =
      std::is_same_v<T, float> ? NumberOf("cublasSgemmBatched") : NumberOf("cublasDgemmBatched");
  return ForGroups(handle, groups, [&](const Typed<T>& group) {
    BlasCall call(handle, kFunction, name);
    call.Number(group.transa);
    call.Number(group.transb);
    call.Number(group.m);
    call.Number(group.n);
    call.Number(group.k);
    call.Scalar(group.alpha, sizeof(T), 2);
    call.Address(group.a);
    call.Number(group.lda);
    call.Address(group.b);
    call.Number(group.ldb);
    call.Scalar(group.beta, sizeof(T), 2);
    call.Address(group.c);
    call.Number(group.ldc);
    call.Number(group.count);
    return call.Send();
  });
}

struct Types {
  cudaDataType_t a;
  cudaDataType_t b;
  cudaDataType_t c;
  cublasComputeType_t compute;
};

// Words as cublasGemmBatchedEx has them; T is the scalars'.
template <typename I, typename T>
cublasStatus_t SendMixed(cublasHandle_t handle, const char* name, const Types& types, const Groups<I, T>& groups) {
  return ForGroups(handle, groups, [&](const Typed<T>& group) {
    BlasCall call(handle, NumberOf("cublasGemmBatchedEx"), name);
    call.Number(group.transa);
    call.Number(group.transb);
    call.Number(group.m);
    call.Number(group.n);
    call.Number(group.k);
    call.Scalar(group.alpha, sizeof(T), 2);
    call.Address(group.a);
    call.Number(types.a);
    call.Number(group.lda);
    call.Address(group.b);
    call.Number(types.b);
    call.Number(group.ldb);
    call.Scalar(group.beta, sizeof(T), 2);
    call.Address(group.c);
    call.Number(types.c);
    call.Number(group.ldc);
    call.Number(group.count);
    call.Number(types.compute);
    call.Number(CUBLAS_GEMM_DEFAULT);
    return call.Send();
  });
}

// `alpha` and `beta` are of the type that is computed with.
template <typename I>
cublasStatus_t SendAny(cublasHandle_t handle, const char* name, const Types& types, const Groups<I, void>& groups) {
  if (!blas::IsGroupedGemm(types.compute, types.a, types.b, types.c)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto typed = [&]<typename T>(const T* alpha, const T* beta) {
    return Groups<I, T>{groups.transa, groups.transb, groups.m,   groups.n,     groups.k,
                        alpha,         groups.a,      groups.lda, groups.b,     groups.ldb,
                        beta,          groups.c,      groups.ldc, groups.count, groups.sizes};
  };
  if (types.c == CUDA_R_64F) {
    return SendMixed(handle, name, types,
                     typed(static_cast<const double*>(groups.alpha), static_cast<const double*>(groups.beta)));
  }
  return SendMixed(handle, name, types,
                   typed(static_cast<const float*>(groups.alpha), static_cast<const float*>(groups.beta)));
}

template <typename T>
const void* const* Any(const T* array) {
  return reinterpret_cast<const void* const*>(array);
}

}  // namespace

#define ACCELMESH_GROUPED(name, T, I)                                                                                \
  cublasStatus_t name(cublasHandle_t handle, const cublasOperation_t transa[], const cublasOperation_t transb[],     \
                      const I m[], const I n[], const I k[], const T alpha[], const T* const a[], const I lda[],     \
                      const T* const b[], const I ldb[], const T beta[], T* const c[], const I ldc[], I count,       \
                      const I sizes[]) {                                                                             \
    return SendTyped<I, T>(                                                                                          \
        handle, #name, {transa, transb, m, n, k, alpha, Any(a), lda, Any(b), ldb, beta, Any(c), ldc, count, sizes}); \
  }
ACCELMESH_GROUPED(cublasSgemmGroupedBatched, float, int)
ACCELMESH_GROUPED(cublasDgemmGroupedBatched, double, int)
ACCELMESH_GROUPED(cublasSgemmGroupedBatched_64, float, int64_t)
ACCELMESH_GROUPED(cublasDgemmGroupedBatched_64, double, int64_t)
#undef ACCELMESH_GROUPED

#define ACCELMESH_GROUPED(name, I)                                                                                     \
  cublasStatus_t name(cublasHandle_t handle, const cublasOperation_t transa[], const cublasOperation_t transb[],       \
                      const I m[], const I n[], const I k[], const void* alpha, const void* const a[],                 \
                      cudaDataType_t a_type, const I lda[], const void* const b[], cudaDataType_t b_type,              \
                      const I ldb[], const void* beta, void* const c[], cudaDataType_t c_type, const I ldc[], I count, \
                      const I sizes[], cublasComputeType_t compute) {                                                  \
    return SendAny<I>(handle, #name, {a_type, b_type, c_type, compute},                                                \
                      {transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, Any(c), ldc, count, sizes});              \
  }
ACCELMESH_GROUPED(cublasGemmGroupedBatchedEx, int)
ACCELMESH_GROUPED(cublasGemmGroupedBatchedEx_64, int64_t)
#undef ACCELMESH_GROUPED

}  // namespace accelmesh::face
