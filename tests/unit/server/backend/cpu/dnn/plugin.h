// The software GPU's neural networks as the tests of their functions reach them: the shared object, and memory that is
// the only one of a device.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "protocol/library/dnn_calls.h"
#include "server/backend/cpu/dnn.h"

namespace accelmesh::dnn_test {

inline const cpu_blas::Interface& Plugin() {
  static const cpu_blas::Interface* const plugin = [] {
    void* const object = ::dlopen(ACCELMESH_CPU_DNN_PATH, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(object, nullptr) << ::dlerror();
    const auto get = reinterpret_cast<cpu_blas::GetInterface>(::dlsym(object, cpu_dnn::kSymbol));
    get()->start(2);
    return get();
  }();
  return *plugin;
}

// Pieces of it are handed out; only they are allowed, and what lies around each must not change.
class Device {
 public:
  template <typename T>
  T* Put(const std::vector<T>& values) {
    Piece& piece = pieces_.emplace_back();
    piece.bytes = values.size() * sizeof(T);
    piece.memory.assign(piece.bytes + 2 * kAround, kUntouched);
    if (!values.empty()) std::memcpy(piece.memory.data() + kAround, values.data(), piece.bytes);
    return reinterpret_cast<T*>(piece.memory.data() + kAround);
  }
  bool IsWhole() const {
    for (const Piece& piece : pieces_) {
      for (std::size_t i = 0; i < kAround; ++i) {
        if (piece.memory[i] != kUntouched || piece.memory[kAround + piece.bytes + i] != kUntouched) return false;
      }
    }
    return true;
  }

  template <typename Words>
  cpu_blas::Outcome Run(const Words& words, std::span<const std::int32_t> tail = {}) const {
    std::vector<std::uint64_t> arguments(1 + kDnnWords<Words> + (tail.size() + 1) / 2);
    std::memcpy(arguments.data() + 1, &words, sizeof(words));
    if (!tail.empty()) std::memcpy(arguments.data() + 1 + kDnnWords<Words>, tail.data(), tail.size_bytes());
    cpu_blas::Outcome outcome;
    Plugin().run({kLibraryDnn, kDnnFunction<Words>, reinterpret_cast<const std::uint8_t*>(arguments.data()),
                  arguments.size() * sizeof(std::uint64_t), &Allowed, this},
                 &outcome);
    return outcome;
  }
  template <typename Answer, typename Words>
  Answer Ask(const Words& words) const {
    const cpu_blas::Outcome outcome = Run(words);
    Answer answer;
    EXPECT_EQ(outcome.status, 0u) << reinterpret_cast<const char*>(outcome.results);
    EXPECT_EQ(outcome.result_bytes, sizeof(answer));
    std::memcpy(&answer, outcome.results, sizeof(answer));
    return answer;
  }

 protected:
  static constexpr std::size_t kAround = 4096;
  static constexpr std::uint8_t kUntouched = 0xa5;
  struct Piece {
    std::vector<std::uint8_t> memory;
    std::size_t bytes = 0;
  };
  static bool Allowed(const void* device, std::uint64_t address, std::uint64_t bytes) {
    for (const Piece& piece : static_cast<const Device*>(device)->pieces_) {
      const auto first = reinterpret_cast<std::uint64_t>(piece.memory.data() + kAround);
      if (address >= first && bytes <= piece.bytes && address - first <= piece.bytes - bytes) return true;
    }
    return false;
  }

  std::vector<Piece> pieces_;
};

inline std::uint64_t AddressOf(const void* memory) { return reinterpret_cast<std::uint64_t>(memory); }

}  // namespace accelmesh::dnn_test
