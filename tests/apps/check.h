// What the test programs share: checks that say what differed, and a small random generator. Plain CUDA on purpose: a
// program here is one that a user could have written, so nothing of AccelMesh is included.
//
// Threads: everything here may be used by any thread; a failed check ends the process at once with status 1.
#pragma once

#include <cuda_runtime.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

static int failures = 0;  // not inline: a unique symbol would keep a library from being unloaded

// Prints `file:line: text` and ends the process; _Exit, because other threads may be inside CUDA calls. With CHECK_ALL
// in the environment the program goes on, to show everything that differs on some device in one run.
static inline void Fail(const char* file, int line, const char* format, ...) {
  std::printf("%s:%d: ", file, line);
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf("\nFAILED\n");
  std::fflush(stdout);
  if (std::getenv("CHECK_ALL") == nullptr) std::_Exit(1);
  ++failures;
}

// The call must succeed.
#define CHECK(call)                                                                  \
  do {                                                                               \
    const cudaError_t check_status = (call);                                         \
    if (check_status != cudaSuccess) {                                               \
      Fail(__FILE__, __LINE__, "%s: %s (%s)", #call, cudaGetErrorName(check_status), \
           cudaGetErrorString(check_status));                                        \
    }                                                                                \
  } while (false)

// The call must fail with exactly this error.
#define CHECK_ERROR(call, expected)                                                          \
  do {                                                                                       \
    const cudaError_t check_status = (call);                                                 \
    if (check_status != (expected)) {                                                        \
      Fail(__FILE__, __LINE__, "%s: %s, expected %s", #call, cudaGetErrorName(check_status), \
           cudaGetErrorName(expected));                                                      \
    }                                                                                        \
  } while (false)

// The condition must hold; the rest is printf's format and arguments.
#define EXPECT(condition, ...)                               \
  do {                                                       \
    if (!(condition)) Fail(__FILE__, __LINE__, __VA_ARGS__); \
  } while (false)

// Ends a program: `return Passed();`
static inline int Passed() {
  if (failures != 0) return 1;
  std::printf("PASSED\n");
  return 0;
}

// The same numbers on every machine and in every run.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint32_t Next() {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<std::uint32_t>(state_ >> 33);
  }
  std::uint32_t Below(std::uint32_t bound) { return Next() % bound; }

 private:
  std::uint64_t state_;
};
