// Writes seeds of dnn_fuzz that are real words: preloaded into a test of server/backend/cpu/dnn, it stands between the
// test and the shared object, and writes calls that succeed to $ACCELMESH_DNN_SEEDS, of each function some.
//
//     ACCELMESH_DNN_SEEDS=FOLDER LD_PRELOAD=build/dev/fuzz/librecord_dnn_seeds.so build/dev/tests/cpu_dnn_test
//
// What of them finds something new is for libFuzzer to say (-merge=1), and is committed.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/library/dnn_calls.h"
#include "server/backend/cpu/dnn.h"

namespace accelmesh {
namespace {

// As dnn_fuzz.cpp reads them.
constexpr std::uint64_t kMark = 0xa0d5;
constexpr std::size_t kOperands = 8;

const cpu_blas::Interface* g_real = nullptr;

// The address as a mark, of an operand of its own as long as there are some.
std::uint64_t MarkOf(std::uint64_t address, std::vector<std::uint64_t>* seen) {
  auto at = std::find(seen->begin(), seen->end(), address);
  if (at == seen->end()) at = seen->insert(at, address);
  return kMark << 48 | static_cast<std::uint64_t>(at - seen->begin()) % kOperands << 40;
}

// What dnn_fuzz.cpp lays that is most like it.
std::uint8_t ContentOf(std::uint64_t address) {
  std::uint32_t word = 0;
  std::memcpy(&word, reinterpret_cast<const void*>(address), sizeof(word));
  constexpr std::uint32_t kNumbersMax = 4096;
  return word != 0 && word < kNumbersMax ? 4 : 0;
}

void Write(const cpu_blas::Call& call, std::uint32_t number) {
  const auto* const folder = std::getenv("ACCELMESH_DNN_SEEDS");
  if (folder == nullptr) return;
  std::vector<std::uint64_t> seen;
  Bytes words;
  const auto append = [&](const std::uint8_t* bytes, std::size_t count) {
    for (std::size_t i = 0; i < count; i += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes + i, sizeof(word));
      if (call.allowed(call.memory, word, 1)) word = MarkOf(word, &seen);
      const ByteView view = AsBytes(word);
      words.insert(words.end(), view.begin(), view.end());
    }
  };
  if (call.function == kDnnFunction<DnnGraphExecute>) {
    const auto count = static_cast<std::uint16_t>(call.settings_bytes / sizeof(std::uint64_t));
    const ByteView view = AsBytes(count);
    words.insert(words.end(), view.begin(), view.end());
    append(call.settings, call.settings_bytes);
  }
  append(call.arguments + sizeof(std::uint64_t), call.argument_bytes - sizeof(std::uint64_t));
  Bytes seed{static_cast<std::uint8_t>(call.function)};
  for (std::size_t i = 0; i < kOperands; ++i) seed.push_back(i < seen.size() ? ContentOf(seen[i]) : 0);
  seed.insert(seed.end(), words.begin(), words.end());
  const std::string path =
      std::string(folder) + "/" + LibraryFunctionName(kLibraryDnn, call.function) + "_" + std::to_string(number);
  if (std::FILE* const file = std::fopen(path.c_str(), "wxb"); file != nullptr) {
    std::fwrite(seed.data(), 1, seed.size(), file);
    std::fclose(file);
  }
}

// What an execution's plan has of descriptors, types and modes: each is another function.
std::size_t SignatureOf(const cpu_blas::Call& call) {
  std::vector<std::int64_t> words(call.settings_bytes / sizeof(std::int64_t));
  if (!words.empty()) std::memcpy(words.data(), call.settings, words.size() * sizeof(std::int64_t));
  std::string text;
  const Result<DnnPlan> plan = ReadDnnPlan(words);
  if (!plan.ok()) return 0;
  for (const DnnPlanDescriptor& descriptor : plan->descriptors) {
    text += std::to_string(descriptor.type) + ' ';
    for (const DnnPlanAttribute& attribute : descriptor.attributes) {
      text += std::to_string(attribute.name) + ' ';
      constexpr std::uint32_t kNumber = 3;  // CUDNN_TYPE_INT64
      if (attribute.type != kNumber && attribute.words.size() == 1) text += std::to_string(attribute.words[0]) + ' ';
    }
  }
  return std::hash<std::string>()(text);
}

void Run(const cpu_blas::Call& call, cpu_blas::Outcome* outcome) {
  g_real->run(call, outcome);
  constexpr std::size_t kSeedBytesMax = 4096;
  if (outcome->device_status != 0 || call.argument_bytes + call.settings_bytes > kSeedBytesMax) return;
  // The first ones, and of the later ones ever fewer, or what is new.
  static std::map<std::uint32_t, std::uint32_t> counts;
  static std::set<std::size_t> signatures;
  const std::uint32_t count = ++counts[call.function];
  const bool is_new = call.function == kDnnFunction<DnnGraphExecute> && signatures.insert(SignatureOf(call)).second;
  if (count <= 16 || (count & (count - 1)) == 0 || is_new) Write(call, count);
}

const cpu_blas::Interface* Recording() {
  static const cpu_blas::Interface recording{g_real->abi, g_real->start, g_real->functions, &Run};
  return &recording;
}

}  // namespace
}  // namespace accelmesh

extern "C" __attribute__((visibility("default"))) void* dlsym(void* object, const char* name) noexcept {
  using Find = void* (*)(void*, const char*);
  static const auto find = reinterpret_cast<Find>(::dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5"));
  void* const found = find(object, name);
  if (found == nullptr || std::string_view(name) != accelmesh::cpu_dnn::kSymbol) return found;
  accelmesh::g_real = reinterpret_cast<accelmesh::cpu_blas::GetInterface>(found)();
  return reinterpret_cast<void*>(&accelmesh::Recording);
}
