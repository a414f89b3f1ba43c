// What the files of the -rdc test program give one another.
#pragma once

using Operation = int (*)(int);

extern __device__ int counter;
__device__ int Square(int x);
__device__ int Triple(int x);
__device__ int FromLibrary(int x);
__device__ int EvenSteps(int n);
__device__ int OddSteps(int n);
__device__ int BlockSum(int value);

void SetCounter(int value);
int HiddenThere();
int FillThere(int* out);

template <typename T>
__global__ void Fill(T* out, T value) {
  *out = value + value;
}
