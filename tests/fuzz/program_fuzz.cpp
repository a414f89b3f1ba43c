// A program or library as it lies on the disk, before it runs.
#include <string>

#include "protocol/base/program.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

void Run(Input input) {
  const ByteView file = input.Rest();
  const Result<ProgramFacts> facts = ReadProgram(file);
  if (!facts.ok()) {
    Require(facts.code() == Code::kNotFound || facts.code() == Code::kInvalidArgument, "a broken file has a name");
    Require(facts.status().text().size() < 200, "an error is short");
    return;
  }
  for (const std::string& needed : facts->needed) {
    Require(needed.find('\0') == std::string::npos, "a name ends at its zero");
    Require(needed.size() <= file.size(), "a name lies in the file");
  }
  const RuntimeFault fault = FindRuntimeFault(*facts, "program");
  Require(fault.text.find('\n') == std::string::npos && fault.text.size() < 5000, "a fault is one line");
  Require(!fault.is_shared || !facts->needed.empty(), "another runtime is one that is needed");
  Require(facts->static_runtime == StaticRuntime::kNone || facts->has_symbols,
          "a static runtime is known by its names");
}

}  // namespace
}  // namespace accelmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run(accelmesh::fuzz::Input(data, size));
  return 0;
}
