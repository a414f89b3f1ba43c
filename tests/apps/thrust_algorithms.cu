// Thrust, as the toolkit brings it: vectors on the device and the algorithms that programs use most, against the
// host's.
#include "check.h"

#include <thrust/adjacent_difference.h>
#include <thrust/binary_search.h>
#include <thrust/device_vector.h>
#include <thrust/functional.h>
#include <thrust/host_vector.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/merge.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>
#include <thrust/sequence.h>
#include <thrust/set_operations.h>
#include <thrust/sort.h>
#include <thrust/transform_reduce.h>
#include <thrust/unique.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace {

struct Squared {
  __host__ __device__ long long operator()(int value) const { return static_cast<long long>(value) * value; }
};
struct IsSmall {
  __host__ __device__ bool operator()(int value) const { return value < 300; }
};

std::vector<int> RandomInts(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<int> values(count);
  for (int& value : values) value = static_cast<int>(random.Below(1000));
  return values;
}
std::vector<int> Host(const thrust::device_vector<int>& values) {
  std::vector<int> host(values.size());
  thrust::copy(values.begin(), values.end(), host.begin());
  return host;
}

void Test(std::size_t count) {
  std::vector<int> host = RandomInts(count, count);
  thrust::device_vector<int> device(host.begin(), host.end());

  EXPECT(thrust::reduce(device.begin(), device.end()) == std::accumulate(host.begin(), host.end(), 0), "sum of %zu",
         count);
  long long squares = 0;
  for (const int value : host) squares += Squared()(value);
  EXPECT(thrust::transform_reduce(device.begin(), device.end(), Squared(), 0ll, thrust::plus<long long>()) == squares,
         "squares of %zu", count);
  EXPECT(
      thrust::count_if(device.begin(), device.end(), IsSmall()) == std::count_if(host.begin(), host.end(), IsSmall()),
      "small ones of %zu", count);

  thrust::device_vector<int> scanned(count);
  thrust::inclusive_scan(device.begin(), device.end(), scanned.begin(), thrust::maximum<int>());
  std::vector<int> expected(count);
  std::partial_sum(host.begin(), host.end(), expected.begin(), [](int a, int b) { return std::max(a, b); });
  EXPECT(Host(scanned) == expected, "scan of %zu", count);

  // Stable, by key: the values say where each key was.
  thrust::device_vector<int> keys = device;
  thrust::device_vector<int> places(count);
  thrust::sequence(places.begin(), places.end());
  thrust::stable_sort_by_key(keys.begin(), keys.end(), places.begin(), thrust::greater<int>());
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return host[static_cast<std::size_t>(a)] > host[static_cast<std::size_t>(b)]; });
  EXPECT(Host(places) == order, "order of %zu", count);

  thrust::sort(device.begin(), device.end());
  std::sort(host.begin(), host.end());
  EXPECT(Host(device) == host, "sort of %zu", count);

  const std::vector<int> other_host = [&] {
    std::vector<int> other = RandomInts(count / 2, count + 1);
    std::sort(other.begin(), other.end());
    return other;
  }();
  const thrust::device_vector<int> other(other_host.begin(), other_host.end());
  thrust::device_vector<int> both(host.size() + other_host.size());
  thrust::merge(device.begin(), device.end(), other.begin(), other.end(), both.begin());
  std::vector<int> merged(both.size());
  std::merge(host.begin(), host.end(), other_host.begin(), other_host.end(), merged.begin());
  EXPECT(Host(both) == merged, "merge of %zu", count);
  both.erase(thrust::set_intersection(device.begin(), device.end(), other.begin(), other.end(), both.begin()),
             both.end());
  std::vector<int> common;
  std::set_intersection(host.begin(), host.end(), other_host.begin(), other_host.end(), std::back_inserter(common));
  EXPECT(Host(both) == common, "intersection of %zu", count);

  thrust::device_vector<int> found(count);
  thrust::lower_bound(device.begin(), device.end(), places.begin(), places.end(), found.begin());
  for (std::size_t i = 0; i < count; ++i)
    expected[i] = static_cast<int>(std::lower_bound(host.begin(), host.end(), order[i]) - host.begin());
  EXPECT(Host(found) == expected, "search in %zu", count);

  device.erase(thrust::unique(device.begin(), device.end()), device.end());
  host.erase(std::unique(host.begin(), host.end()), host.end());
  EXPECT(Host(device) == host, "unique of %zu", count);
}

}  // namespace

int main() {
  for (const std::size_t count : {0, 1, 33, 1000, 20011}) Test(count);
  return Passed();
}
