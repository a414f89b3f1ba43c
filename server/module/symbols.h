// The variables that an image defines, by name: a driver tells the address of a name and does not list names.
// Read from PTX text, and from the symbol table of machine code (ELF, as nvcc writes it). The bytes are hostile.
// Threads: pure functions.
#pragma once

#include <string>
#include <vector>

#include "server/module/image.h"

namespace accelmesh {

struct ImageVariable {
  std::string name;
  bool is_constant = false;
};
struct ImageSymbols {
  std::vector<ImageVariable> variables;  // each name once
  bool prints = false;                   // a kernel of it may print
  bool sets_conditions = false;          // of graphs: cudaGraphSetConditional
};

// Of all parts together. What a part does not let be read is not there: it is the driver that judges an image.
ImageSymbols ReadSymbols(const std::vector<ImagePart>& parts);

}  // namespace accelmesh
