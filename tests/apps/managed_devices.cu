// __managed__ variables and several devices: all have one in common, or the second is told by name that it cannot have
// it, until the first has given it up.
#include "check.h"

__managed__ int counter = 41;
__managed__ int table[3000];

__global__ void Count(int times) {
  atomicAdd(&counter, times);
  table[2999] = counter;
}

// The launch's error.
static cudaError_t CountOn(int device, int times) {
  CHECK(cudaSetDevice(device));
  Count<<<1, 1>>>(times);
  const cudaError_t launched = cudaGetLastError();
  if (launched == cudaSuccess) CHECK(cudaDeviceSynchronize());
  return launched;
}

int main() {
  int devices = 0;
  CHECK(cudaGetDeviceCount(&devices));
  counter += 100;
  CHECK(CountOn(0, 1));
  EXPECT(counter == 142 && table[2999] == 142, "it is %d, %d", counter, table[2999]);
  if (devices < 2) {
    std::printf("managed_devices: there is one device\n");
    return Passed();
  }
  const cudaError_t second = CountOn(1, 5);
  if (second == cudaSuccess) {
    EXPECT(counter == 147 && table[2999] == 147, "with two devices it is %d, %d", counter, table[2999]);
    CHECK(CountOn(0, 1));
    EXPECT(counter == 148, "on the first device again it is %d", counter);
    std::printf("managed_devices: one variable for all devices\n");
    return Passed();
  }
  EXPECT(second == cudaErrorNotSupported, "the second device says %s", cudaGetErrorName(second));
  CHECK_ERROR(CountOn(1, 5), cudaErrorNotSupported);
  EXPECT(counter == 142, "the first device's is %d", counter);
  CHECK(CountOn(0, 1));
  EXPECT(counter == 143, "the first device goes on with %d", counter);
  // With the reset it ends, and begins anew where it is used next.
  CHECK(cudaSetDevice(0));
  CHECK(cudaDeviceReset());
  CHECK(CountOn(1, 5));
  EXPECT(counter == 46 && table[2999] == 46, "behind the reset it is %d, %d", counter, table[2999]);
  CHECK_ERROR(CountOn(0, 1), cudaErrorNotSupported);
  CHECK(cudaSetDevice(1));
  CHECK(cudaDeviceReset());
  CHECK(CountOn(0, 2));
  EXPECT(counter == 43, "on the first device it is %d", counter);
  std::printf("managed_devices: one device at a time has the variable\n");
  return Passed();
}
