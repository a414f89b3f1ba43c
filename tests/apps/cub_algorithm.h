// What the tests of CUB share: arrays on the device, and the two calls that each algorithm is made of.
#pragma once

#include "check.h"

#include <vector>

// None, one, odd, a tile and a little more, many blocks.
static const std::size_t kCounts[] = {0, 1, 31, 1021, 4100, 100003};

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) { CHECK(cudaMalloc(&data_, (count + 1) * sizeof(T))); }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    CHECK(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  DeviceArray(const DeviceArray&) = delete;
  ~DeviceArray() { CHECK(cudaFree(data_)); }
  T* get() const { return data_; }
  std::vector<T> Read() const { return Read(count_); }
  // The first `count` elements.
  std::vector<T> Read(std::size_t count) const {
    std::vector<T> values(count);
    CHECK(cudaMemcpy(values.data(), data_, count * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

// call(scratch, bytes): asks for the size with a null pointer, then does it. Everything behind the scratch's end is
// compared: an algorithm must keep to what it asked for.
template <typename Call>
void WithScratch(Call&& call) {
  std::size_t bytes = 0;
  CHECK(call(nullptr, bytes));
  void* scratch = nullptr;
  CHECK(cudaMalloc(&scratch, bytes + sizeof(int)));
  const int guard = 0x5a5a1234;
  CHECK(cudaMemcpy(static_cast<char*>(scratch) + bytes, &guard, sizeof(guard), cudaMemcpyHostToDevice));
  CHECK(call(scratch, bytes));
  CHECK(cudaDeviceSynchronize());
  int seen = 0;
  CHECK(cudaMemcpy(&seen, static_cast<char*>(scratch) + bytes, sizeof(seen), cudaMemcpyDeviceToHost));
  EXPECT(seen == guard, "something was written behind the scratch memory");
  CHECK(cudaFree(scratch));
}
