// A function of each kind that protocol/gen/blas.py tells apart. No header of NVIDIA's: names and shapes are enough.
#pragma once

typedef struct cublasContext* cublasHandle_t;
typedef enum { CUBLAS_STATUS_SUCCESS = 0 } cublasStatus_t;
typedef enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 } cublasOperation_t;
typedef enum { CUDA_R_32F = 0, CUDA_R_64F = 1 } cudaDataType;
typedef struct {
  float x, y;
} cuComplex;
typedef long int64_t;

extern "C" {
// Bodies: one of the handle's, one that is also on the wire.
cublasStatus_t cublasCreate_v2(cublasHandle_t* handle);
cublasStatus_t cublasPlan(cublasHandle_t handle, const void* problem, int count);
// One on the wire, with scalars, device memory and leading dimensions.
cublasStatus_t cublasSgemv_v2(cublasHandle_t handle, cublasOperation_t trans, int m, int n, const float* alpha,
                              const float* A, int lda, const float* x, int incx, const float* beta, float* y, int incy);
cublasStatus_t cublasSgemv_v2_64(cublasHandle_t handle, cublasOperation_t trans, int64_t m, int64_t n,
                                 const float* alpha, const float* A, int64_t lda, const float* x, int64_t incx,
                                 const float* beta, float* y, int64_t incy);
// Two, because numbers that are written have other widths.
cublasStatus_t cublasIcamax_v2(cublasHandle_t handle, int n, const cuComplex* x, int incx, int* result);
cublasStatus_t cublasIcamax_v2_64(cublasHandle_t handle, int64_t n, const cuComplex* x, int64_t incx, int64_t* result);
// Of a type that is an argument.
cublasStatus_t cublasScalEx(cublasHandle_t handle, int n, const void* alpha, cudaDataType alphaType, void* x,
                            cudaDataType xType, int incx, cudaDataType executionType);
// Nothing of the device's: what is read and written back, and more than one element.
cublasStatus_t cublasDrotmg(cublasHandle_t handle, double* d1, const double* y1, double* param);
// Addresses in arrays, and what is said of the arguments themselves.
cublasStatus_t cublasSsolveBatched(cublasHandle_t handle, int n, const float* const A[], float* const B[], int* info,
                                   int batchCount);
// Refused by name, and by a pattern.
cublasStatus_t cublasNever(cublasHandle_t handle, void (*call)(int));
void cublasXtAnything(int table[4]);
}
