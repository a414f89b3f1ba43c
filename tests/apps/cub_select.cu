// What CUB picks from a sequence, as the toolkit brings it: by a predicate, by flags, into two parts, without repeats,
// as runs; and what it counts (histograms).
#include "cub_algorithm.h"

#include <algorithm>
#include <vector>

#include <cub/device/device_histogram.cuh>
#include <cub/device/device_partition.cuh>
#include <cub/device/device_run_length_encode.cuh>
#include <cub/device/device_select.cuh>

namespace {

struct IsOdd {
  __host__ __device__ bool operator()(const std::uint64_t& value) const { return (value & 1) != 0; }
};

// Values that repeat, in runs of up to a dozen.
template <typename T>
std::vector<T> Runs(std::size_t count) {
  Random random(count + 5);
  std::vector<T> values;
  while (values.size() < count) {
    const std::size_t length = std::min<std::size_t>(1 + random.Below(12), count - values.size());
    values.insert(values.end(), length, static_cast<T>(random.Below(50)));
  }
  return values;
}

void SelectsByPredicate(std::size_t count) {
  const std::vector<std::uint64_t> values = Runs<std::uint64_t>(count);
  const DeviceArray<std::uint64_t> in(values);
  const DeviceArray<std::uint64_t> out(count);
  const DeviceArray<int> selected(1);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceSelect::If(scratch, bytes, in.get(), out.get(), selected.get(), static_cast<int>(count), IsOdd());
  });
  std::vector<std::uint64_t> odd;
  std::copy_if(values.begin(), values.end(), std::back_inserter(odd), IsOdd());
  EXPECT(selected.Read()[0] == static_cast<int>(odd.size()), "the number of odd values of %zu", count);
  EXPECT(out.Read(odd.size()) == odd, "the odd values of %zu", count);
}

// The selected ones in order, the others behind them from the end.
void Partitions(std::size_t count) {
  Random random(count);
  const std::vector<float> values = Runs<float>(count);
  std::vector<char> flags(count);
  for (char& flag : flags) flag = static_cast<char>(random.Below(2));
  const DeviceArray<float> in(values);
  const DeviceArray<char> flags_in(flags);
  const DeviceArray<float> out(count);
  const DeviceArray<int> selected(1);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DevicePartition::Flagged(scratch, bytes, in.get(), flags_in.get(), out.get(), selected.get(),
                                         static_cast<int>(count));
  });
  std::vector<float> expected;
  std::vector<float> others;
  for (std::size_t i = 0; i < count; ++i) (flags[i] != 0 ? expected : others).push_back(values[i]);
  EXPECT(selected.Read()[0] == static_cast<int>(expected.size()), "the number of flagged values of %zu", count);
  expected.insert(expected.end(), others.rbegin(), others.rend());
  EXPECT(out.Read() == expected, "a partition of %zu", count);
}

void DropsRepeats(std::size_t count) {
  std::vector<double> values = Runs<double>(count);
  const DeviceArray<double> in(values);
  const DeviceArray<double> out(count);
  const DeviceArray<int> selected(1);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceSelect::Unique(scratch, bytes, in.get(), out.get(), selected.get(), static_cast<int>(count));
  });
  values.erase(std::unique(values.begin(), values.end()), values.end());
  EXPECT(selected.Read()[0] == static_cast<int>(values.size()), "how many of %zu differ from the one before", count);
  EXPECT(out.Read(values.size()) == values, "%zu values without repeats", count);
}

void EncodesRuns(std::size_t count) {
  const std::vector<int> values = Runs<int>(count);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(count);
  const DeviceArray<int> lengths_out(count);
  const DeviceArray<int> runs(1);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceRunLengthEncode::Encode(scratch, bytes, in.get(), out.get(), lengths_out.get(), runs.get(),
                                              static_cast<int>(count));
  });
  std::vector<int> different;
  std::vector<int> lengths;
  for (std::size_t i = 0; i < count; ++i) {
    if (i == 0 || values[i] != values[i - 1]) {
      different.push_back(values[i]);
      lengths.push_back(0);
    }
    ++lengths.back();
  }
  EXPECT(runs.Read()[0] == static_cast<int>(different.size()), "the number of runs of %zu", count);
  EXPECT(out.Read(different.size()) == different, "the values of the runs of %zu", count);
  EXPECT(lengths_out.Read(lengths.size()) == lengths, "the lengths of the runs of %zu", count);
}

void Counts(std::size_t count) {
  constexpr int kBins = 37;
  Random random(count + 11);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.Below(4000)) / 100 - 1;  // some lie outside
  const DeviceArray<float> in(values);
  const DeviceArray<int> bins(kBins);
  WithScratch([&](void* scratch, std::size_t& bytes) {
    return cub::DeviceHistogram::HistogramEven(scratch, bytes, in.get(), bins.get(), kBins + 1, 0.0f, 37.0f,
                                               static_cast<int>(count));
  });
  std::vector<int> expected(kBins);
  for (const float value : values) {
    if (value >= 0 && value < 37) ++expected[static_cast<int>(value)];
  }
  if (count != 0) EXPECT(bins.Read() == expected, "the histogram of %zu", count);
}

}  // namespace

int main() {
  for (const std::size_t count : kCounts) {
    SelectsByPredicate(count);
    Partitions(count);
    DropsRepeats(count);
    EncodesRuns(count);
    Counts(count);
  }
  return Passed();
}
