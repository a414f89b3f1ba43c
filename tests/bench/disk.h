// What the benchmarks of durable things share: a folder of their own, what its disk takes, percentiles, processor time.
#pragma once

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace accelmesh::bench {

// `part` of the sorted values lie below; 0 if there are none.
inline double Percentile(std::vector<double> values, double part) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

// Of this process, user's and system's.
inline double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

inline std::string FileSystemOf(const std::string& folder) {
  struct statfs info{};
  if (statfs(folder.c_str(), &info) != 0) return "unknown";
  switch (static_cast<unsigned long>(info.f_type)) {
    case EXT4_SUPER_MAGIC: return "ext4";
    case TMPFS_MAGIC: return "tmpfs (not durable: name another folder)";
    case XFS_SUPER_MAGIC: return "xfs";
    case BTRFS_SUPER_MAGIC: return "btrfs";
    case OVERLAYFS_SUPER_MAGIC: return "overlayfs";
    default: return "another file system";
  }
}

// What the disk itself takes for a small append that is to last.
struct Disk {
  std::string file_system;
  double p50_ms = 0;
  double p99_ms = 0;
};
inline Disk MeasureDisk(const std::string& folder) {
  using Clock = std::chrono::steady_clock;
  const std::string path = folder + "/fdatasync";
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  std::vector<double> times;
  const std::vector<char> page(4096, 'x');
  for (int i = 0; file >= 0 && i < 200; ++i) {
    const Clock::time_point begin = Clock::now();
    if (pwrite(file, page.data(), page.size(), i * 4096) < 0 || fdatasync(file) != 0) break;
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  close(file);
  unlink(path.c_str());
  return {FileSystemOf(folder), Percentile(times, 0.5), Percentile(times, 0.99)};
}

// Runs `work(folder)` in a new folder below `parent`, whose disk is measured and printed first; the folder goes at the
// end. Returns what `work` does, or 1 if there is no folder to be had.
template <typename Work>
int InScratch(const std::string& parent, Work work) {
  std::filesystem::create_directories(parent);
  std::string folder = parent + "/bench-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    std::perror("error: mkdtemp");
    return 1;
  }
  const Disk disk = MeasureDisk(folder);
  std::printf("disk: %s, fdatasync of 4 KiB p50 %.2f ms, p99 %.2f ms\n", disk.file_system.c_str(), disk.p50_ms,
              disk.p99_ms);
  const int code = work(folder);
  std::filesystem::remove_all(folder);
  return code;
}

}  // namespace accelmesh::bench
