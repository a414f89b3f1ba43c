// OpenBLAS under one name for each of the four types.
//
// Threads: any. Its dimensions have 32 bits: Fit() tells.
#pragma once

#include <cblas.h>

#include "server/backend/cpu/blas/context.h"
#include "server/backend/cpu/blas/enumerators.h"

namespace accelmesh::cpu_blas {

template <typename... N>
bool Fit(N... numbers) {
  return ((numbers >= -0x7fffffffLL && numbers <= 0x7fffffffLL) && ...);
}

template <typename... N>
bool CheckFit(Context& context, N... numbers) {
  if (!Fit(numbers...)) context.Fail(kNotSupported, "dimensions of more than 31 bits are not written yet");
  return !context.failed();
}

inline CBLAS_TRANSPOSE TransposeOf(int operation) {
  return operation == CUBLAS_OP_N ? CblasNoTrans : operation == CUBLAS_OP_T ? CblasTrans : CblasConjTrans;
}
inline CBLAS_UPLO TriangleOf(int fill) { return fill == CUBLAS_FILL_MODE_LOWER ? CblasLower : CblasUpper; }
inline CBLAS_SIDE SideOf(int side) { return side == CUBLAS_SIDE_LEFT ? CblasLeft : CblasRight; }
inline CBLAS_DIAG DiagonalOf(int diagonal) { return diagonal == CUBLAS_DIAG_UNIT ? CblasUnit : CblasNonUnit; }
inline blasint Int(i64 value) { return static_cast<blasint>(value); }

// A real scalar goes by value, a complex one by address.
inline float Pass(const float& value) { return value; }
inline double Pass(const double& value) { return value; }
inline const void* Pass(const ComplexFloat& value) { return &value; }
inline const void* Pass(const ComplexDouble& value) { return &value; }

#define ACCELMESH_OPENBLAS(T, letter)                                                                                 \
  inline void Gemm(int ta, int tb, i64 m, i64 n, i64 k, const T& alpha, const T* a, i64 lda, const T* b, i64 ldb,     \
                   const T& beta, T* c, i64 ldc) {                                                                    \
    cblas_##letter##gemm(CblasColMajor, TransposeOf(ta), TransposeOf(tb), Int(m), Int(n), Int(k), Pass(alpha), a,     \
                         Int(lda), b, Int(ldb), Pass(beta), c, Int(ldc));                                             \
  }                                                                                                                   \
  inline void Gemv(int trans, i64 m, i64 n, const T& alpha, const T* a, i64 lda, const T* x, i64 incx, const T& beta, \
                   T* y, i64 incy) {                                                                                  \
    cblas_##letter##gemv(CblasColMajor, TransposeOf(trans), Int(m), Int(n), Pass(alpha), a, Int(lda), x, Int(incx),   \
                         Pass(beta), y, Int(incy));                                                                   \
  }                                                                                                                   \
  inline void Symm(int side, int uplo, i64 m, i64 n, const T& alpha, const T* a, i64 lda, const T* b, i64 ldb,        \
                   const T& beta, T* c, i64 ldc) {                                                                    \
    cblas_##letter##symm(CblasColMajor, SideOf(side), TriangleOf(uplo), Int(m), Int(n), Pass(alpha), a, Int(lda), b,  \
                         Int(ldb), Pass(beta), c, Int(ldc));                                                          \
  }                                                                                                                   \
  inline void Syrk(int uplo, int trans, i64 n, i64 k, const T& alpha, const T* a, i64 lda, const T& beta, T* c,       \
                   i64 ldc) {                                                                                         \
    cblas_##letter##syrk(CblasColMajor, TriangleOf(uplo), trans == CUBLAS_OP_N ? CblasNoTrans : CblasTrans, Int(n),   \
                         Int(k), Pass(alpha), a, Int(lda), Pass(beta), c, Int(ldc));                                  \
  }                                                                                                                   \
  inline void Syr2k(int uplo, int trans, i64 n, i64 k, const T& alpha, const T* a, i64 lda, const T* b, i64 ldb,      \
                    const T& beta, T* c, i64 ldc) {                                                                   \
    cblas_##letter##syr2k(CblasColMajor, TriangleOf(uplo), trans == CUBLAS_OP_N ? CblasNoTrans : CblasTrans, Int(n),  \
                          Int(k), Pass(alpha), a, Int(lda), b, Int(ldb), Pass(beta), c, Int(ldc));                    \
  }                                                                                                                   \
  inline void Trmm(int side, int uplo, int trans, int diag, i64 m, i64 n, const T& alpha, const T* a, i64 lda, T* b,  \
                   i64 ldb) {                                                                                         \
    cblas_##letter##trmm(CblasColMajor, SideOf(side), TriangleOf(uplo), TransposeOf(trans), DiagonalOf(diag), Int(m), \
                         Int(n), Pass(alpha), a, Int(lda), b, Int(ldb));                                              \
  }                                                                                                                   \
  inline void Trsm(int side, int uplo, int trans, int diag, i64 m, i64 n, const T& alpha, const T* a, i64 lda, T* b,  \
                   i64 ldb) {                                                                                         \
    cblas_##letter##trsm(CblasColMajor, SideOf(side), TriangleOf(uplo), TransposeOf(trans), DiagonalOf(diag), Int(m), \
                         Int(n), Pass(alpha), a, Int(lda), b, Int(ldb));                                              \
  }
ACCELMESH_OPENBLAS(float, s)
ACCELMESH_OPENBLAS(double, d)
ACCELMESH_OPENBLAS(ComplexFloat, c)
ACCELMESH_OPENBLAS(ComplexDouble, z)
#undef ACCELMESH_OPENBLAS

#define ACCELMESH_OPENBLAS(T, R, letter)                                                                             \
  inline void Hemm(int side, int uplo, i64 m, i64 n, const T& alpha, const T* a, i64 lda, const T* b, i64 ldb,       \
                   const T& beta, T* c, i64 ldc) {                                                                   \
    cblas_##letter##hemm(CblasColMajor, SideOf(side), TriangleOf(uplo), Int(m), Int(n), Pass(alpha), a, Int(lda), b, \
                         Int(ldb), Pass(beta), c, Int(ldc));                                                         \
  }                                                                                                                  \
  inline void Herk(int uplo, int trans, i64 n, i64 k, R alpha, const T* a, i64 lda, R beta, T* c, i64 ldc) {         \
    cblas_##letter##herk(CblasColMajor, TriangleOf(uplo), TransposeOf(trans), Int(n), Int(k), alpha, a, Int(lda),    \
                         beta, c, Int(ldc));                                                                         \
  }                                                                                                                  \
  inline void Her2k(int uplo, int trans, i64 n, i64 k, const T& alpha, const T* a, i64 lda, const T* b, i64 ldb,     \
                    R beta, T* c, i64 ldc) {                                                                         \
    cblas_##letter##her2k(CblasColMajor, TriangleOf(uplo), TransposeOf(trans), Int(n), Int(k), Pass(alpha), a,       \
                          Int(lda), b, Int(ldb), beta, c, Int(ldc));                                                 \
  }
ACCELMESH_OPENBLAS(ComplexFloat, float, c)
ACCELMESH_OPENBLAS(ComplexDouble, double, z)
#undef ACCELMESH_OPENBLAS

}  // namespace accelmesh::cpu_blas
