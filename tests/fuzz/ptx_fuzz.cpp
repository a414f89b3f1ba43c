// PTX text as a client sends it, several texts with a zero between them: linked, each kernel decoded, and a block of
// each run. The kernels are cancelled from the start, which ends them after a bounded number of jumps back.
#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <vector>

#include "server/backend/cpu/tier0/heap.h"
#include "server/backend/cpu/tier0/tier0.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

constexpr std::uint64_t kWindowBytes = 16 << 20;
constexpr std::uint64_t kMapped = 4 << 20;
constexpr std::size_t kKernelsMax = 4;
constexpr std::size_t kTextsMax = 4;

struct Window {
  Window() {
    void* got =
        ::mmap(nullptr, kWindowBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    Require(got != MAP_FAILED, "the window is there");
    base = reinterpret_cast<std::uint64_t>(got);
    memory.Reset(base, kWindowBytes);
    memory.Allow(base, kMapped);
  }
  std::uint64_t base = 0;
  tier0::MemoryMap memory;
};

void RunKernel(const Window& window, const tier0::DecodedKernel& kernel, std::uint32_t threads) {
  static tier0::BlockContext context;
  // Four words that are a good address, a small number, a bad address and a number.
  const std::uint64_t words[32] = {window.base, 7, window.base + kMapped + 8, ~0ull, window.base + 64};
  std::atomic<bool> cancel{true};
  std::size_t printed = 0;
  std::function<void(std::string_view)> print = [&printed](std::string_view text) { printed += text.size(); };
  tier0::GridLaunch launch;
  launch.kernel = &kernel;
  launch.memory = &window.memory;
  launch.grid = {2, 1, 1};
  launch.block = {threads, 1, 1};
  launch.dynamic_shared_bytes = 256;
  launch.arguments = ByteView(reinterpret_cast<const std::uint8_t*>(words), sizeof(words));
  launch.cancel = &cancel;
  launch.print = &print;
  launch.complain = &print;
  tier0::Heap heap(window.base + kMapped / 2, kMapped / 4);
  launch.heap = &heap;
  std::uint8_t workspace[16] = {};
  launch.cooperative = threads > 32;
  if (launch.cooperative) launch.workspace = workspace;
  for (std::uint64_t block = 0; block < 2; ++block) (void)tier0::RunBlock(launch, block, context);
}

void Run(Input input) {
  static const Window window;
  std::string_view text = AsText(input.Rest());
  std::vector<std::string> texts;
  while (texts.size() < kTextsMax) {
    const std::size_t end = std::min(text.find('\0'), text.size());
    texts.emplace_back(text.substr(0, end));
    if (end == text.size()) break;
    text.remove_prefix(end + 1);
  }
  const Result<std::shared_ptr<const ptx::Module>> module = ptx::LinkModules(std::move(texts));
  if (!module.ok()) {
    Require(!module.status().text().empty(), "an error says something");
    return;
  }
  std::size_t left = kKernelsMax;
  for (const ptx::Kernel& kernel : (*module)->kernels) {
    if (left-- == 0) break;
    const auto decoded = tier0::Decode(**module, kernel, [](std::string_view) { return window.base + 1024; });
    if (!decoded.ok()) {
      Require(decoded.code() == Code::kUnsupported, "what cannot be decoded is refused");
      continue;
    }
    for (const std::uint32_t threads : {1u, 70u}) RunKernel(window, **decoded, threads);
  }
}

}  // namespace
}  // namespace accelmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run(accelmesh::fuzz::Input(data, size));
  return 0;
}
