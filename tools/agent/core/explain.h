// Why the agent does what it does, as data: each step of a negotiation says what it decided and on what grounds.
// `mesh-run --explain` prints it, `--json` writes it, tests read it.
//
// Threads: values.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace accelmesh::agent {

struct Step {
  std::string stage;  // "analyse", "predict", "request", "price", "query", "select", "secure", "allocate", ...
  std::string text;   // for people: what was decided, and why
  std::vector<std::pair<std::string, std::string>> facts;  // the same for programs
  bool is_trouble = false;  // something failed that people want to hear of without asking
};
using Explanation = std::vector<Step>;

}  // namespace accelmesh::agent
