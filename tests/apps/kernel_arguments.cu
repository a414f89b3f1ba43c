// Arguments of many shapes: none, twenty scalars of every width, structs with padding and pointers, 4 KB by value, and
// template kernels whose names differ only in their types.
#include <cstring>

#include "check.h"

__device__ int touched;
__global__ void NoArguments() { touched = 77; }

__global__ void Many(double* out, char a, short b, int c, long long d, float e, double f, unsigned char g,
                     unsigned short h, unsigned i, unsigned long long j, bool k, char l, double m, char n, float o,
                     short p, int3 q, double2 r, char s) {
  const double values[] = {double(a),
                           double(b),
                           double(c),
                           double(d),
                           e,
                           f,
                           double(g),
                           double(h),
                           double(i),
                           double(j),
                           double(k),
                           double(l),
                           m,
                           double(n),
                           o,
                           double(p),
                           double(q.x + q.y * 10 + q.z * 100),
                           r.x - r.y,
                           double(s)};
  for (int index = 0; index < 19; ++index) out[index] = values[index];
}

struct Padded {
  char tag;
  double weight;
  short numbers[3];
  int* target;
};
__global__ void ByStruct(Padded first, char between, Padded second) {
  *first.target = first.tag + first.numbers[2];
  *second.target = static_cast<int>(second.weight) + between;
}

struct Large {
  int values[1020];
};
static_assert(sizeof(Large) + 2 * sizeof(void*) == 4096, "the classic limit of all arguments");
__global__ void BySize(Large large, long long* sum, int* last) {
  long long total = 0;
  for (int i = threadIdx.x; i < 1020; i += 32) total += large.values[i];
  for (int step = 16; step > 0; step /= 2) total += __shfl_down_sync(0xffffffffu, total, step);
  if (threadIdx.x == 0) *sum = total;
  if (threadIdx.x == 0) *last = large.values[1019];
}

template <typename T>
__global__ void Half(T* value) {
  *value = *value / 2;
}

template <typename T>
static void CheckHalf(T value) {
  T* device = nullptr;
  T got{};
  CHECK(cudaMalloc(&device, sizeof(T)));
  CHECK(cudaMemcpy(device, &value, sizeof(T), cudaMemcpyHostToDevice));
  Half<<<1, 1>>>(device);
  CHECK(cudaMemcpy(&got, device, sizeof(T), cudaMemcpyDeviceToHost));
  EXPECT(got == value / 2, "a half of %g is %g", double(value), double(got));
  CHECK(cudaFree(device));
}

int main() {
  int number = 0;
  NoArguments<<<1, 1>>>();
  CHECK(cudaMemcpyFromSymbol(&number, touched, sizeof(number)));
  EXPECT(number == 77, "the kernel without arguments left %d", number);

  double* device = nullptr;
  double got[19];
  CHECK(cudaMalloc(&device, sizeof(got)));
  Many<<<1, 1>>>(device, -1, -2000, 3000000, -4000000000ll, 5.5f, 6.25, 200, 60000, 4000000000u, 1ull << 50, true, 'z',
                 -7.5, 8, -9.5f, -10, make_int3(1, 2, 3), make_double2(0.5, 0.25), 11);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(got, device, sizeof(got), cudaMemcpyDeviceToHost));
  const double expected[19] = {
      -1,  -2000, 3000000, -4000000000.0, 5.5, 6.25, 200,  60000, 4000000000.0, 1125899906842624.0, 1,
      122, -7.5,  8,       -9.5,          -10, 321,  0.25, 11};
  for (int i = 0; i < 19; ++i)
    EXPECT(got[i] == expected[i], "argument %d arrived as %g, not %g", i, got[i], expected[i]);

  int* numbers = reinterpret_cast<int*>(device);
  Padded first{'a', 0.0, {1, 2, 3}, numbers}, second{'b', 42.9, {}, numbers + 1};
  ByStruct<<<1, 1>>>(first, 8, second);
  first.tag = 0;  // the launch has its own copy
  int pair[2] = {};
  CHECK(cudaMemcpy(pair, numbers, sizeof(pair), cudaMemcpyDeviceToHost));
  EXPECT(pair[0] == 'a' + 3 && pair[1] == 50, "the structs arrived as %d and %d", pair[0], pair[1]);

  static Large large;
  long long sum = 0, expected_sum = 0;
  for (int i = 0; i < 1020; ++i) expected_sum += large.values[i] = i * i - 1000;
  BySize<<<1, 32>>>(large, reinterpret_cast<long long*>(device), numbers + 2);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(&sum, device, sizeof(sum), cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpy(&number, numbers + 2, sizeof(number), cudaMemcpyDeviceToHost));
  EXPECT(sum == expected_sum && number == large.values[1019], "4 KB arrived with sum %lld and last %d", sum, number);

  CheckHalf<int>(-9);
  CheckHalf<unsigned char>(251);
  CheckHalf<float>(7.0f);
  CheckHalf<double>(7.0);
  CheckHalf<unsigned long long>(1ull << 63);
  CHECK(cudaFree(device));
  std::printf("kernel_arguments: 0, 20 scalars, structs, 4096 bytes, 5 templates\n");
  return Passed();
}
