// The catalogue of instruction forms (forms.txt): what must be accepted, and what must be refused.
#pragma once

#include <string>
#include <vector>

namespace accelmesh::tier0 {

struct FormLine {
  std::string form;  // add.rn.f32
  std::string text;  // the instruction, to stand in a body of KernelText
  bool refused = false;
};
// Every combination of what stands in { | } in a line's opcode. Empty if the file cannot be read.
std::vector<FormLine> ReadForms(const std::string& path);

}  // namespace accelmesh::tier0
