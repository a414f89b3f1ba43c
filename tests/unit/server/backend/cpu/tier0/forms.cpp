#include "tests/unit/server/backend/cpu/tier0/forms.h"

#include <fstream>

namespace accelmesh::tier0 {
namespace {

void Expand(const std::string& line, std::vector<std::string>* to) {
  const std::size_t open = line.find("<");
  if (open == std::string::npos) return to->push_back(line);
  const std::size_t close = line.find('>', open);
  std::size_t at = open;
  while (at < close) {
    const std::size_t end = std::min(line.find('|', at + 1), close);
    Expand(line.substr(0, open) + line.substr(at + 1, end - at - 1) + line.substr(close + 1), to);
    at = end;
  }
}

}  // namespace

std::vector<FormLine> ReadForms(const std::string& path) {
  std::vector<FormLine> forms;
  std::ifstream file(path);
  std::string line;
  bool refused = false;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (line == "refused:") {
      refused = true;
      continue;
    }
    std::vector<std::string> expanded;
    Expand(line, &expanded);
    for (const std::string& text : expanded) forms.push_back({text.substr(0, text.find_first_of(" ;")), text, refused});
  }
  return forms;
}

}  // namespace accelmesh::tier0
