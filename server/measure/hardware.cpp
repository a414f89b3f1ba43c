#include "server/measure/hardware.h"

#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <string_view>

namespace accelmesh::measure {
namespace {

// Parts of the names of what computes: ours, and what backends open.
constexpr std::array<std::string_view, 8> kComputing = {"libaccelmesh_", "libopenblas", "libblas",   "libdnnl",
                                                        "libgomp",       "libcuda",     "libcublas", "libcudnn"};

}  // namespace

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t begin = line.find_first_not_of(" \t", line.find(':') + 1);
    if (begin != std::string::npos) return line.substr(begin);
  }
  return "unknown";
}

std::uint32_t ProcessorThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? static_cast<std::uint32_t>(CPU_COUNT(&set)) : 1;
}

std::vector<std::string> LoadedLibraries() {
  std::set<std::string> paths;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::size_t begin = line.find('/');
    if (begin != std::string::npos) paths.insert(line.substr(begin));
  }
  std::vector<std::string> libraries;
  for (const std::string& path : paths) {
    const std::string name = path.substr(path.rfind('/') + 1);
    struct stat info{};
    if (std::none_of(kComputing.begin(), kComputing.end(), [&](auto part) { return name.starts_with(part); }) ||
        ::stat(path.c_str(), &info) != 0)
      continue;
    libraries.push_back(name + " " + std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_sec));
  }
  std::sort(libraries.begin(), libraries.end());
  return libraries;
}

}  // namespace accelmesh::measure
