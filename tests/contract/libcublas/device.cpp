#include "tests/contract/libcublas/device.h"

#include <dlfcn.h>

#include <cstdio>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace accelmesh::contract {
namespace {

// The functions of the contract libcuda that are used here; null members if it is not loaded.
struct Driver {
  decltype(&::cuCtxGetCurrent) get_current = nullptr;
  decltype(&::cuCtxGetDevice) get_device = nullptr;
  decltype(&::cuStreamSynchronize) synchronize = nullptr;
  decltype(&::contract_launch) launch = nullptr;
  decltype(&::contract_may_touch) may_touch = nullptr;
  decltype(&::contract_on_executor) on_executor = nullptr;
  decltype(&::contract_break) break_rule = nullptr;
};
template <typename Function>
void Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(::dlsym(library, name));
}
const Driver& TheDriver() {
  static const Driver driver = [] {
    Driver found;
    void* const library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (library == nullptr) return found;
    Find(library, "cuCtxGetCurrent", &found.get_current);
    Find(library, "cuCtxGetDevice", &found.get_device);
    Find(library, "cuStreamSynchronize", &found.synchronize);
    Find(library, "contract_launch", &found.launch);
    Find(library, "contract_may_touch", &found.may_touch);
    Find(library, "contract_on_executor", &found.on_executor);
    Find(library, "contract_break", &found.break_rule);
    return found;
  }();
  return driver;
}

const cpu_blas::Interface* Software() {
  static const cpu_blas::Interface* const interface = []() -> const cpu_blas::Interface* {
    void* const object = ::dlopen(ACCELMESH_SOFTWARE, RTLD_NOW | RTLD_LOCAL);
    if (object == nullptr) {
      std::fprintf(stderr, "contract library: %s\n", ::dlerror());
      return nullptr;
    }
    const auto get = reinterpret_cast<cpu_blas::GetInterface>(::dlsym(object, ACCELMESH_SOFTWARE_SYMBOL));
    const cpu_blas::Interface* const found = get == nullptr ? nullptr : get();
    if (found == nullptr || found->abi != cpu_blas::kAbi) return nullptr;
    found->start(1);
    return found;
  }();
  return interface;
}

bool Allowed(const void* memory, std::uint64_t address, std::uint64_t bytes) {
  return TheDriver().may_touch(*static_cast<const int*>(memory), address, bytes) != 0;
}

// A function on its way to the device.
struct Queued {
  const char* name = nullptr;
  std::uint32_t library = 0;
  std::uint32_t function = 0;
  int device = 0;
  Bytes arguments;
  std::function<void(const cpu_blas::Outcome&)> heard;
  Bytes settings;
};
int RunQueued(void* data) {
  const Queued& queued = *static_cast<const Queued*>(data);
  const cpu_blas::Outcome outcome =
      RunFunction(queued.library, queued.function, queued.arguments, queued.device, queued.settings);
  if (outcome.device_status != 0) std::fprintf(stderr, "contract library: %s: %s\n", queued.name, outcome.text);
  if (queued.heard) queued.heard(outcome);
  if (outcome.device_status == 0) return CUDA_SUCCESS;
  return outcome.is_sticky ? static_cast<int>(outcome.device_status) : CUDA_ERROR_LAUNCH_FAILED;
}
void DropQueued(void* data) { delete static_cast<Queued*>(data); }

}  // namespace

CUcontext CurrentContext() {
  CUcontext context = nullptr;
  if (TheDriver().get_current == nullptr || TheDriver().get_current(&context) != CUDA_SUCCESS) return nullptr;
  return context;
}

void Break(contract_rule rule, const std::string& text) { TheDriver().break_rule(rule, text.c_str()); }

bool MayWait(const char* function, const char* why) {
  if (TheDriver().on_executor() == 0) return true;
  Break(CONTRACT_RULE_EXECUTOR_WAITS, std::string(function) + ": on the executor's thread: " + why);
  return false;
}

bool HasFunction(std::uint32_t library, std::uint32_t function) {
  Bytes bits(function / 8 + 1);
  if (Software() == nullptr) return false;
  Software()->functions(library, bits.data(), bits.size());
  return (bits[function / 8] >> (function % 8) & 1) != 0;
}

cpu_blas::Outcome RunFunction(std::uint32_t library, std::uint32_t function, ByteView arguments, int device,
                              ByteView settings) {
  cpu_blas::Outcome outcome;
  Software()->run(
      {library, function, arguments.data(), arguments.size(), &Allowed, &device, settings.data(), settings.size()},
      &outcome);
  return outcome;
}

CUresult QueueFunction(const char* name, std::uint32_t library, std::uint32_t function, Bytes arguments,
                       CUstream stream, std::function<void(const cpu_blas::Outcome&)> heard, Bytes settings) {
  static std::mutex mu;
  static std::set<std::tuple<CUcontext, std::uint32_t, std::uint32_t>> loaded;
  {
    const std::lock_guard lock(mu);
    const std::tuple<CUcontext, std::uint32_t, std::uint32_t> key(CurrentContext(), library, function);
    if (!loaded.contains(key) && !MayWait(name, "its kernels are not loaded yet")) return CUDA_ERROR_NOT_PERMITTED;
    loaded.insert(key);
  }
  int device = 0;
  if (const CUresult result = TheDriver().get_device(&device); result != CUDA_SUCCESS) return result;
  auto queued = std::make_unique<Queued>(
      Queued{name, library, function, device, std::move(arguments), std::move(heard), std::move(settings)});
  const auto result = static_cast<CUresult>(TheDriver().launch(stream, &RunQueued, &DropQueued, queued.get()));
  (void)queued.release();  // dropped by whoever has it
  return result;
}

CUresult Synchronize(CUstream stream) { return TheDriver().synchronize(stream); }

}  // namespace accelmesh::contract
