#include "tests/unit/server/backend/cpu/blas/plugin.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#include "protocol/library/library.h"

namespace accelmesh::blas_test {

const Plugin& Plugin::Get() {
  static const Plugin plugin;
  return plugin;
}

Plugin::Plugin() {
  void* const object = ::dlopen(ACCELMESH_CPU_BLAS_PATH, RTLD_NOW | RTLD_LOCAL);
  void* const symbol = object == nullptr ? nullptr : ::dlsym(object, cpu_blas::kSymbol);
  if (symbol == nullptr) {
    std::fprintf(stderr, "%s\n", ::dlerror());
    std::abort();
  }
  interface_ = reinterpret_cast<cpu_blas::GetInterface>(symbol)();
  if (interface_->abi != cpu_blas::kAbi) std::abort();
  interface_->start(2);  // so that what is split among threads is tested, too
  for (const std::uint32_t library : {kLibraryBlas, kLibraryBlasLt}) {
    functions_[library].resize((LibraryFunctions(library) + 7) / 8);
    interface_->functions(library, functions_[library].data(), functions_[library].size());
  }
}

std::uint32_t Plugin::NumberOf(std::uint32_t library, const std::string& function) {
  for (std::uint32_t number = 1; number < LibraryFunctions(library); ++number) {
    if (function == LibraryFunctionName(library, number)) return number;
  }
  return 0;
}

bool Plugin::Has(std::uint32_t library, std::uint32_t function) const { return HasBit(functions_[library], function); }

std::vector<std::string> Plugin::Functions(std::uint32_t library) const {
  std::vector<std::string> names;
  for (std::uint32_t number = 1; number < LibraryFunctions(library); ++number) {
    if (Has(library, number)) names.emplace_back(LibraryFunctionName(library, number));
  }
  return names;
}

cpu_blas::Outcome Plugin::Run(const cpu_blas::Call& call) const {
  cpu_blas::Outcome outcome;
  interface_->run(call, &outcome);
  return outcome;
}

}  // namespace accelmesh::blas_test
