// Names the functions of NVIDIA's libraries that a plugin of the software GPU has, a line each, by asking it as the
// backend does: library_functions libaccelmesh_cpu_blas.so accelmesh_cpu_blas
#include <dlfcn.h>

#include <cstdio>

#include "protocol/library/library.h"
#include "server/backend/cpu/blas.h"

int main(int argc, char** argv) {
  using namespace accelmesh;
  if (argc != 3) {
    std::fprintf(stderr, "library_functions PLUGIN SYMBOL\n");
    return 2;
  }
  void* const object = ::dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  const auto get = object == nullptr ? nullptr : reinterpret_cast<cpu_blas::GetInterface>(::dlsym(object, argv[2]));
  if (get == nullptr || get()->abi != cpu_blas::kAbi) {
    const char* const why = ::dlerror();
    std::fprintf(stderr, "%s: %s\n", argv[1], why == nullptr ? "of another build" : why);
    return 1;
  }
  for (const std::uint32_t library : {kLibraryBlas, kLibraryBlasLt, kLibraryDnn}) {
    Bytes bits((LibraryFunctions(library) + 7) / 8);
    get()->functions(library, bits.data(), bits.size());
    for (std::uint32_t function = 0; function < LibraryFunctions(library); ++function) {
      if (HasBit(bits, function)) std::printf("%s\n", LibraryFunctionName(library, function));
    }
  }
  return 0;
}
