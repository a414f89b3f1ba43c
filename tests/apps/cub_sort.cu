// CUB's device-wide sorts, as the toolkit brings them: keys and pairs, both directions, part of the bits, and sorting
// by comparison. Sizes: nothing, one, odd, one tile, many blocks.
#include "cub_algorithm.h"

#include <algorithm>
#include <vector>

#include <cub/device/device_merge_sort.cuh>
#include <cub/device/device_radix_sort.cuh>

namespace {

struct Point {
  int x;
  short y;
  char tag;
};
struct ByXThenY {
  __host__ __device__ bool operator()(const Point& a, const Point& b) const {
    return a.x != b.x ? a.x < b.x : a.y < b.y;
  }
};
bool operator==(const Point& a, const Point& b) { return a.x == b.x && a.y == b.y && a.tag == b.tag; }

template <typename Key>
std::vector<Key> RandomKeys(std::size_t count, Random& random) {
  std::vector<Key> keys(count);
  for (Key& key : keys) {
    if constexpr (sizeof(Key) == 8 && !std::is_floating_point_v<Key>) {
      key = static_cast<Key>(static_cast<std::uint64_t>(random.Next()) << 33 | random.Next());
    } else if constexpr (std::is_floating_point_v<Key>) {
      key = static_cast<Key>(static_cast<int>(random.Next()) - (1 << 30)) / 64;
    } else {
      key = static_cast<Key>(random.Next() * 2654435761u);
    }
  }
  return keys;
}

template <typename Key>
void SortsKeys(const char* name, std::size_t count, bool descending) {
  Random random(count + sizeof(Key));
  std::vector<Key> keys = RandomKeys<Key>(count, random);
  const DeviceArray<Key> in(keys);
  const DeviceArray<Key> out(count);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return descending
               ? cub::DeviceRadixSort::SortKeysDescending(scratch, bytes, in.get(), out.get(), static_cast<int>(count))
               : cub::DeviceRadixSort::SortKeys(scratch, bytes, in.get(), out.get(), static_cast<int>(count));
  });
  std::sort(keys.begin(), keys.end());
  if (descending) std::reverse(keys.begin(), keys.end());
  EXPECT(out.Read() == keys, "%s: %zu keys are not in order", name, count);
}

// Stable: what is equal keeps its order, which the values show.
template <typename Key, typename Value>
void SortsPairs(const char* name, std::size_t count, int begin_bit, int end_bit) {
  Random random(count + 7);
  const std::vector<Key> keys = RandomKeys<Key>(count, random);
  std::vector<Value> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<Value>(i);
  const DeviceArray<Key> keys_in(keys);
  const DeviceArray<Value> values_in(values);
  const DeviceArray<Key> keys_out(count);
  const DeviceArray<Value> values_out(count);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceRadixSort::SortPairs(scratch, bytes, keys_in.get(), keys_out.get(), values_in.get(),
                                           values_out.get(), static_cast<int>(count), begin_bit, end_bit);
  });
  const auto digits = [&](Value index) {
    const auto key = static_cast<std::uint64_t>(keys[static_cast<std::size_t>(index)]);
    return key << (64 - end_bit) >> (64 - end_bit + begin_bit);
  };
  std::stable_sort(values.begin(), values.end(), [&](Value a, Value b) { return digits(a) < digits(b); });
  EXPECT(values_out.Read() == values, "%s: %zu values are not where their keys are", name, count);
  const std::vector<Key> sorted = keys_out.Read();
  for (std::size_t i = 0; i < count; ++i)
    EXPECT(sorted[i] == keys[static_cast<std::size_t>(values[i])], "%s: key %zu of %zu", name, i, count);
}

void SortsByComparison(std::size_t count) {
  Random random(count + 3);
  std::vector<Point> points(count);
  for (Point& point : points) {
    point.x = static_cast<int>(random.Below(100)) - 50;
    point.y = static_cast<short>(random.Below(5));
    point.tag = static_cast<char>(random.Below(100));
  }
  const DeviceArray<Point> device(points);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceMergeSort::StableSortKeys(scratch, bytes, device.get(), static_cast<int>(count), ByXThenY());
  });
  std::stable_sort(points.begin(), points.end(), ByXThenY());
  EXPECT(device.Read() == points, "merge sort: %zu points are not in order", count);
}

}  // namespace

int main() {
  for (const std::size_t count : kCounts) {
    SortsKeys<unsigned>("unsigned", count, false);
    SortsKeys<signed char>("signed char", count, false);
    SortsKeys<double>("double, descending", count, true);
    SortsPairs<std::uint64_t, int>("64-bit keys", count, 0, 64);
    SortsPairs<std::uint64_t, int>("bits 5 to 16", count, 5, 16);
    SortsByComparison(count);
  }
  return Passed();
}
