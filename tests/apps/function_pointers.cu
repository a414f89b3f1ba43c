// Calls through pointers: tables on the device, pointers that the host reads and passes on, virtual functions.
#include <vector>

#include "check.h"

using Operation = int (*)(int, int);
__device__ __noinline__ int Add(int a, int b) { return a + b; }
__device__ __noinline__ int Subtract(int a, int b) { return a - b; }
__device__ __noinline__ int Multiply(int a, int b) { return a * b; }
__device__ Operation operations[3] = {Add, Subtract, Multiply};
__device__ Operation chosen = Multiply;

static int Expected(int which, int a, int b) { return which == 0 ? a + b : which == 1 ? a - b : a * b; }

// Neighbours in a warp call different functions.
__global__ void FromTable(int* out) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = operations[i % 3](i, 7);
}
__global__ void FromArgument(int* out, Operation operation) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = operation(i, 7);
}

// A pointer among the parameters of a function, and structures by value.
struct Pair {
  long long sum;
  int count[3];
};
using Fold = Pair (*)(Pair, int);
__device__ __noinline__ Pair FoldIn(Pair pair, int value) {
  pair.sum += value;
  pair.count[((value % 3) + 3) % 3] += 1;
  return pair;
}
__device__ __noinline__ Pair Reduce(Pair pair, int from, int to, Fold fold) {
  for (int value = from; value < to; ++value) pair = fold(pair, value);
  return pair;
}
__global__ void Structures(Pair* out, int selector) {
  Fold fold = selector != 0 ? FoldIn : nullptr;
  out[threadIdx.x] = Reduce(Pair{}, 0, static_cast<int>(threadIdx.x), fold);
}

class Shape {
 public:
  __device__ virtual ~Shape() {}
  __device__ virtual int Area() const = 0;
  __device__ virtual int Corners() const { return 4; }
};
class Square : public Shape {
 public:
  __device__ explicit Square(int side) : side_(side) {}
  __device__ int Area() const override { return side_ * side_; }

 private:
  int side_;
};
class Triangle : public Shape {
 public:
  __device__ Triangle(int base, int height) : base_(base), height_(height) {}
  __device__ int Area() const override { return base_ * height_ / 2; }
  __device__ int Corners() const override { return 3; }

 private:
  int base_, height_;
};
__global__ void MakeShapes(Shape** shapes) {
  const int i = threadIdx.x;
  if (i % 2 == 0) {
    shapes[i] = new Square(i);
  } else {
    shapes[i] = new Triangle(i, 4);
  }
}
// In another kernel than the one that made them.
__global__ void Measure(Shape** shapes, int* out) {
  const int i = threadIdx.x;
  out[i] = shapes[i]->Area() * 10 + shapes[i]->Corners();
  delete shapes[i];
}

int main() {
  constexpr int kThreads = 256;
  int* out = nullptr;
  std::vector<int> host(kThreads);
  CHECK(cudaMalloc(&out, kThreads * sizeof(int)));
  const auto read = [&] {
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpy(host.data(), out, kThreads * sizeof(int), cudaMemcpyDeviceToHost));
  };
  FromTable<<<2, kThreads / 2>>>(out);
  read();
  for (int i = 0; i < kThreads; ++i)
    EXPECT(host[i] == Expected(i % 3, i, 7), "operation %d of %d is %d", i % 3, i, host[i]);

  Operation table[3], one = nullptr;
  CHECK(cudaMemcpyFromSymbol(table, operations, sizeof(table)));
  CHECK(cudaMemcpyFromSymbol(&one, chosen, sizeof(one)));
  EXPECT(one == table[2] && table[0] != table[1] && table[0] != nullptr, "functions have addresses of their own");
  for (int which = 0; which < 3; ++which) {
    FromArgument<<<2, kThreads / 2>>>(out, table[which]);
    read();
    for (int i = 0; i < kThreads; ++i)
      EXPECT(host[i] == Expected(which, i, 7), "operation %d of %d, passed by the host, is %d", which, i, host[i]);
  }

  Pair* pairs = nullptr;
  Pair got[64];
  CHECK(cudaMalloc(&pairs, sizeof(got)));
  Structures<<<1, 64>>>(pairs, 1);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(got, pairs, sizeof(got), cudaMemcpyDeviceToHost));
  for (int i = 0; i < 64; ++i) {
    EXPECT(got[i].sum == static_cast<long long>(i) * (i - 1) / 2, "the sum below %d is %lld", i, got[i].sum);
    EXPECT(got[i].count[0] == (i + 2) / 3 && got[i].count[1] == (i + 1) / 3 && got[i].count[2] == i / 3,
           "the remainders below %d are %d, %d, %d", i, got[i].count[0], got[i].count[1], got[i].count[2]);
  }

  Shape** shapes = nullptr;
  CHECK(cudaMalloc(&shapes, kThreads * sizeof(Shape*)));
  MakeShapes<<<1, kThreads>>>(shapes);
  Measure<<<1, kThreads>>>(shapes, out);
  read();
  for (int i = 0; i < kThreads; ++i) {
    const int expected = i % 2 == 0 ? i * i * 10 + 4 : i * 4 / 2 * 10 + 3;
    EXPECT(host[i] == expected, "shape %d measures %d, not %d", i, host[i], expected);
  }
  std::printf("function_pointers: tables, arguments, structures, virtual functions\n");
  return Passed();
}
