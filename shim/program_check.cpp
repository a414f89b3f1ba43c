#include "shim/program_check.h"

#include <link.h>
#include <unistd.h>

#include <climits>
#include <string>

namespace accelmesh {
namespace {

int Collect(dl_phdr_info* info, std::size_t /*bytes*/, void* list) {
  // The program itself has no name here; what has no file (the vdso) has no slash in its name.
  const std::string name = info->dlpi_name != nullptr ? info->dlpi_name : "";
  auto* names = static_cast<std::vector<std::string>*>(list);
  if (names->empty() || name.find('/') != std::string::npos) names->push_back(name);
  return 0;
}

}  // namespace

std::vector<ObjectFault> FaultsOfThisProgram() {
  std::vector<std::string> names;
  ::dl_iterate_phdr(&Collect, &names);
  char program[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", program, sizeof(program));
  if (!names.empty() && length > 0) names.front().assign(program, static_cast<std::size_t>(length));
  std::vector<ObjectFault> faults;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool is_program = i == 0;
    const Result<ProgramFacts> facts = ReadProgramFile(is_program ? "/proc/self/exe" : names[i]);
    // What cannot be read is not judged: the loader did read it.
    if (!facts.ok()) continue;
    RuntimeFault fault = FindRuntimeFault(*facts, names[i]);
    if (!fault.text.empty()) faults.push_back({is_program, std::move(fault)});
  }
  return faults;
}

}  // namespace accelmesh
