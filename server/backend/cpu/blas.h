// The border between the software GPU and its linear algebra, a shared object of its own: only that needs OpenBLAS, and
// it is opened at the first library call.
//
// The interface is C-like and has a number. Threads: start() and functions() from one at a time, run() from any.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelmesh::cpu_blas {

inline constexpr std::uint32_t kAbi = 3;
inline constexpr const char* kLibraryName = "libaccelmesh_cpu_blas.so";
inline constexpr const char* kSymbol = "accelmesh_cpu_blas";

// A function of a library (protocol/library/library.h) with arguments of its shape. Results on the host go to
// `results`.
struct Call {
  std::uint32_t library = 0;
  std::uint32_t function = 0;
  const std::uint8_t* arguments = nullptr;
  std::size_t argument_bytes = 0;
  // Whether [address, address + bytes) is memory that the device may use.
  bool (*allowed)(const void* memory, std::uint64_t address, std::uint64_t bytes) = nullptr;
  const void* memory = nullptr;
  // What the call's settings are, of libraries that have words for them.
  const std::uint8_t* settings = nullptr;
  std::size_t settings_bytes = 0;
};

inline constexpr std::size_t kResultBytesMax = 256;
struct Outcome {
  std::uint32_t device_status = 0;  // a CUresult number
  std::uint32_t status = 0;         // the library's, of what was asked; 0 elsewhere
  bool is_sticky = false;
  char text[200] = {};  // of an error
  std::size_t result_bytes = 0;
  std::uint8_t results[kResultBytesMax] = {};
};

struct Interface {
  std::uint32_t abi = 0;
  // How many threads one function may use. Once.
  void (*start)(std::uint32_t threads) = nullptr;
  // Sets a bit for each function that there is, by its number.
  void (*functions)(std::uint32_t library, std::uint8_t* bits, std::size_t bytes) = nullptr;
  void (*run)(const Call& call, Outcome* outcome) = nullptr;
};
// The symbol kSymbol of the shared object.
using GetInterface = const Interface* (*)();

}  // namespace accelmesh::cpu_blas
