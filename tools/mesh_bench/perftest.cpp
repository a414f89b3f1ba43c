#include "tools/mesh_bench/perftest.h"

#include <cmath>
#include <cstdlib>
#include <sstream>
#include <vector>

namespace accelmesh::bench {

Result<double> ReadPerftest(const std::string& output, std::size_t column) {
  std::istringstream lines(output);
  Result<double> found = Status(Code::kInternal, "perftest", "it printed no figures: " + output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::vector<double> numbers;
    bool is_figures = true;
    for (std::string word; words >> word;) {
      char* end = nullptr;
      numbers.push_back(std::strtod(word.c_str(), &end));  // it may print "-nan"
      is_figures = is_figures && *end == '\0';
    }
    if (!is_figures || numbers.size() <= column) continue;
    // On a busy machine it does not find out how fast the processor counts, and then every time is infinite.
    if (!std::isfinite(numbers[column])) return Status(Code::kInternal, "perftest", "it printed no number: " + line);
    found = numbers[column];
  }
  return found;
}

}  // namespace accelmesh::bench
