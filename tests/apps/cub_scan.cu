// CUB's device-wide scans and reductions, as the toolkit brings them: sums, extremes, operators of the program's own,
// by key, over types of one byte to sixteen.
#include "cub_algorithm.h"

#include <algorithm>
#include <limits>
#include <vector>

#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>

namespace {

// x -> scale * x + shift, composed: does not commute, so the order of a scan shows.
struct Affine {
  std::uint64_t scale;
  std::uint64_t shift;
};
struct Compose {
  __host__ __device__ Affine operator()(const Affine& first, const Affine& second) const {
    return {first.scale * second.scale, first.shift * second.scale + second.shift};
  }
};
bool operator==(const Affine& a, const Affine& b) { return a.scale == b.scale && a.shift == b.shift; }
struct Larger {
  template <typename T>
  __host__ __device__ T operator()(const T& a, const T& b) const {
    return a < b ? b : a;
  }
};

template <typename T>
std::vector<T> RandomValues(std::size_t count, std::uint64_t seed) {
  Random random(count + seed);
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(static_cast<int>(random.Below(200)) - 100);
  return values;
}

// Sums of whole numbers: exact in every type that is wide enough, whatever the order.
template <typename T>
void Scans(const char* name, std::size_t count) {
  const std::vector<T> values = RandomValues<T>(count, 1);
  const DeviceArray<T> in(values);
  const DeviceArray<T> out(count);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(scratch, bytes, in.get(), out.get(), static_cast<int>(count));
  });
  const std::vector<T> sums = out.Read();
  T sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT(sums[i] == sum, "%s: exclusive sum %zu of %zu", name, i, count);
    sum = static_cast<T>(sum + values[i]);
  }
  const DeviceArray<T> total(1);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceReduce::Sum(scratch, bytes, in.get(), total.get(), static_cast<int>(count));
  });
  EXPECT(total.Read()[0] == sum, "%s: sum of %zu", name, count);
}

void ScansInOrder(std::size_t count) {
  Random random(count);
  std::vector<Affine> values(count);
  for (Affine& value : values) value = {random.Next() | 1u, random.Next()};
  const DeviceArray<Affine> in(values);
  const DeviceArray<Affine> out(count);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceScan::InclusiveScan(scratch, bytes, in.get(), out.get(), Compose(), static_cast<int>(count));
  });
  for (std::size_t i = 1; i < count; ++i) values[i] = Compose()(values[i - 1], values[i]);
  EXPECT(out.Read() == values, "inclusive scan of %zu structures", count);
}

void ReducesToExtremes(std::size_t count) {
  const std::vector<signed char> bytes_in = RandomValues<signed char>(count, 2);
  const DeviceArray<signed char> in(bytes_in);
  const DeviceArray<signed char> least(1);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceReduce::Min(scratch, bytes, in.get(), least.get(), static_cast<int>(count));
  });
  signed char expected = std::numeric_limits<signed char>::max();
  for (const signed char value : bytes_in) expected = std::min(expected, value);
  EXPECT(least.Read()[0] == expected, "least of %zu bytes", count);

  const std::vector<float> floats = RandomValues<float>(count, 3);
  const DeviceArray<float> floats_in(floats);
  const DeviceArray<float> largest(1);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceReduce::Reduce(scratch, bytes, floats_in.get(), largest.get(), static_cast<int>(count), Larger(),
                                     -1000.0f);
  });
  float most = -1000.0f;
  for (const float value : floats) most = std::max(most, value);
  EXPECT(largest.Read()[0] == most, "largest of %zu floats", count);
}

void ReducesByKey(std::size_t count) {
  Random random(count + 9);
  std::vector<int> keys(count);
  int key = 0;
  for (int& each : keys) each = key += random.Below(4) == 0 ? 1 : 0;
  const std::vector<double> values = RandomValues<double>(count, 4);
  const DeviceArray<int> keys_in(keys);
  const DeviceArray<double> values_in(values);
  const DeviceArray<int> keys_out(count);
  const DeviceArray<double> sums_out(count);
  const DeviceArray<int> runs_out(1);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceReduce::ReduceByKey(scratch, bytes, keys_in.get(), keys_out.get(), values_in.get(),
                                          sums_out.get(), runs_out.get(), cuda::std::plus<>(), static_cast<int>(count));
  });
  std::vector<int> keys_expected;
  std::vector<double> sums;
  for (std::size_t i = 0; i < count; ++i) {
    if (i == 0 || keys[i] != keys[i - 1]) {
      keys_expected.push_back(keys[i]);
      sums.push_back(0);
    }
    sums.back() += values[i];
  }
  EXPECT(runs_out.Read()[0] == static_cast<int>(sums.size()), "runs of %zu", count);
  EXPECT(keys_out.Read(sums.size()) == keys_expected, "keys of the runs of %zu", count);
  EXPECT(sums_out.Read(sums.size()) == sums, "sums of the runs of %zu", count);
}

}  // namespace

int main() {
  for (const std::size_t count : kCounts) {
    Scans<int>("int", count);
    Scans<double>("double", count);
    Scans<char>("char", count);
    Scans<std::uint64_t>("64 bits", count);
    ScansInOrder(count);
    ReducesToExtremes(count);
    ReducesByKey(count);
  }
  return Passed();
}
