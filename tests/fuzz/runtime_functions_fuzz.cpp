// The symbol table of an object that holds a static CUDA runtime, as it lies on the disk.
#include "shim/interpose/runtime_functions.h"

#include "protocol/base/program.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

void Ours() {}
constexpr EntryPoint kTable[] = {{"__cudaLaunchKernel", &Ours},
                                 {"__cudaPopCallConfiguration", &Ours},
                                 {"__cudaRegisterFatBinary", &Ours},
                                 {"__cudaRegisterFunction", &Ours},
                                 {"cudaGetDeviceCount", &Ours},
                                 {"cudaLaunchKernel", &Ours},
                                 {"cudaMalloc", &Ours}};

bool LiesIn(ByteView file, const void* at, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(file.data());
  const auto piece = reinterpret_cast<std::uintptr_t>(at);
  return piece >= begin && piece - begin <= file.size() && bytes <= file.size() - (piece - begin);
}

void Run(Input input) {
  const ByteView file = input.Rest();
  static_cast<void>(ReadProgram(file));
  const Result<std::vector<RuntimeFunction>> functions = FindRuntimeFunctions(file, kTable);
  if (!functions.ok()) {
    Require(functions.status().text().size() < 300, "an error is short");
    return;
  }
  std::uint64_t free_from = 0;
  for (const RuntimeFunction& function : *functions) {
    Require(LiesIn(file, function.name.data(), function.name.size()), "a name lies in the file");
    Require(LiesIn(file, function.code.data(), function.code.size()), "the code lies in the file");
    Touch(function.code);
    const bool has_target = BeginsWithBranchTarget(function.code);
    Require(function.code.size() == kJumpBytes + (has_target ? kBranchTargetBytes : 0), "a jump fits");
    Require(function.address >= free_from, "no two jumps overlap");
    free_from = function.address + function.code.size();
    Require(function.entry == nullptr || function.entry->name == function.name, "each goes to its own name");
  }
}

}  // namespace
}  // namespace accelmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run(accelmesh::fuzz::Input(data, size));
  return 0;
}
