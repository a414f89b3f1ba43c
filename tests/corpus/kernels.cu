// Device code for compilers without headers: nvcc, NVRTC and Clang make PTX of it (scripts/ptx-corpus). Never run; each
// kernel is there for what a compiler writes for it.
#if defined(__clang__) && !defined(__CUDACC_RTC__) && !defined(__NVCC__)
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __host__ __attribute__((host))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#include <__clang_cuda_builtin_vars.h>
#endif
#ifndef __CUDACC_RTC__
extern "C" __device__ int printf(const char*, ...);
#endif

namespace {

__device__ int Index() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

struct Wide {
  double a[3];
  short b;
  char c[5];
};
class Shape {
 public:
  __device__ virtual float Area() const = 0;
};
class Square : public Shape {
 public:
  __device__ explicit Square(float side) : side_(side) {}
  __device__ float Area() const override { return side_ * side_; }

 private:
  float side_;
};
class Circle : public Shape {
 public:
  __device__ explicit Circle(float radius) : radius_(radius) {}
  __device__ float Area() const override { return 3.14159f * radius_ * radius_; }

 private:
  float radius_;
};

}  // namespace

__constant__ float table[64];
__device__ Wide wide_values[4] = {{{1.0, -2.5, 3e100}, -7, {'a', 'b', 'c', 'd', 'e'}}, {}, {{0.5, 0, 0}, 1, {}}, {}};
__device__ int counters[4] = {1, 2, 3, 4};
__device__ int* counter_of[2] = {counters + 1, &counters[3]};
#ifndef NO_UNALIGNED_ADDRESSES
struct __attribute__((packed)) Unaligned {
  char tag;
  int* counter;
};
__device__ Unaligned unaligned[2] = {{1, counters + 2}, {2, counters}};
#else
struct Unaligned {
  char tag;
  int* counter;
};
__device__ Unaligned unaligned[2] = {{1, counters + 2}, {2, counters}};
#endif

extern "C" __global__ void __launch_bounds__(256, 2) saxpy(int n, float a, const float* x, float* y) {
  const int i = Index();
  if (i < n) y[i] = a * x[i] + y[i];
}

extern "C" __global__ void reduce(const float* in, float* out) {
  __shared__ float parts[256];
  extern __shared__ float more[];
  parts[threadIdx.x] = in[Index()];
  more[threadIdx.x] = parts[threadIdx.x] * table[threadIdx.x % 64];
  __syncthreads();
  for (unsigned step = blockDim.x / 2; step > 0; step /= 2) {
    if (threadIdx.x < step) parts[threadIdx.x] += parts[threadIdx.x + step] + more[step];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = parts[0];
}

__device__ __noinline__ int Fibonacci(int n) { return n < 2 ? n : Fibonacci(n - 1) + Fibonacci(n - 2); }
extern "C" __global__ void recursion(int* out) { out[Index()] = Fibonacci(static_cast<int>(threadIdx.x) % 10); }

__device__ __noinline__ int Add(int a, int b) { return a + b; }
__device__ __noinline__ int Multiply(int a, int b) { return a * b; }
extern "C" __global__ void pointers(int which, int* out) {
  int (*const operations[2])(int, int) = {Add, Multiply};
  out[Index()] = operations[which & 1](Index(), 5);
}
extern "C" __global__ void virtual_functions(int which, float* out) {
  const Square square(2.0f);
  const Circle circle(3.0f);
  const Shape* shapes[2] = {&square, &circle};
  out[Index()] = shapes[which & 1]->Area();
}

extern "C" __global__ void many_ways(int* values) {
  int value = values[Index()];
  switch (value) {
    case 0: value = counters[0]; break;
    case 1: value *= 7; break;
    case 2: value -= counters[2]; break;
    case 3: value ^= 0x55; break;
    case 4: value = *counter_of[1]; break;
    case 5: value <<= 3; break;
    case 6: value /= 3; break;
    case 7: value %= 11; break;
    case 8: value = -value; break;
    case 9: value = *unaligned[value & 1].counter; break;
    default: value = 0;
  }
  values[Index()] = value;
}

extern "C" __global__ void whole_numbers(long long* a, const unsigned* b, const unsigned char* c, const short* d) {
  const int i = Index();
  long long x = a[i];
  const unsigned y = b[i];
  x = x / (static_cast<long long>(y) + 1) + x % (y | 1) + static_cast<signed char>(c[i]) * d[i];
  x ^= static_cast<long long>(static_cast<unsigned long long>(x) >> (y & 63));
  unsigned long long wide = static_cast<unsigned long long>(y) * 0x9e3779b9u;
  for (int k = 0; k < d[i]; ++k) wide = (wide << 7 | wide >> 57) + c[i];
  a[i] = x + static_cast<long long>(wide);
}

extern "C" __global__ void floats(double* a, float* b, const int* c) {
  const int i = Index();
  const double x = a[i] * 0.5 + b[i] / 3.0f;
  b[i] = static_cast<float>(x) + static_cast<float>(c[i]) - static_cast<float>(static_cast<int>(x));
  a[i] = x > 1.5 ? x - static_cast<double>(static_cast<long long>(x)) : -x;
  if (b[i] != b[i]) a[i] = 0;
}

extern "C" __global__ void structures(Wide argument, Wide* out) {
  Wide mine = wide_values[threadIdx.x % 4];
  Wide scratch[4];
  for (int k = 0; k < 4; ++k) scratch[k] = argument;
  scratch[threadIdx.x & 3].a[1] = mine.a[2];
  scratch[threadIdx.x & 1].c[threadIdx.x % 5] = static_cast<char>(mine.b);
  out[Index()] = scratch[(threadIdx.x + 1) & 3];
}

// What people write by hand.
extern "C" __global__ void by_hand(unsigned* out, const unsigned* in) {
  unsigned value = in[Index()];
  unsigned result;
  asm volatile(
      "{\n\t.reg .pred p;\n\t.reg .b32 t;\n\tshfl.sync.bfly.b32 t|p, %1, 16, 31, 0xffffffff;\n\t"
      "@!p mov.b32 t, 7;\n\tmov.b32 %0, t;\n\t}"
      : "=r"(result)
      : "r"(value));
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %1, 0; vote.sync.ballot.b32 %0, p, 0xffffffff; }"
               : "=r"(value)
               : "r"(result));
  asm volatile("atom.global.add.u32 %0, [%1], %2;" : "=r"(result) : "l"(out), "r"(value) : "memory");
  asm("{\n\tadd.cc.u32 %0, %1, %2;\n\taddc.u32 %0, %0, 0;\n\t}" : "=r"(value) : "r"(result), "r"(in[0]));
  asm volatile("ld.global.cs.v2.u32 {%0, %1}, [%2];" : "=r"(value), "=r"(result) : "l"(in));
  asm volatile("red.release.gpu.global.max.u32 [%0], %1; membar.gl;" ::"l"(out + 1), "r"(value + result) : "memory");
  unsigned clock;
  asm volatile("mov.u32 %0, %%clock;" : "=r"(clock));
  out[Index() + 2] = clock;
}

extern "C" __global__ void prints(int value) {
  printf("thread %d of %d: %d\n", static_cast<int>(threadIdx.x), 64, value);
}
