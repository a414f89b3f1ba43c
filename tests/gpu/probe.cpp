// What the real driver does where our design counts on it (SEMANTICS.md 5): prints one JSON object. Part of
// scripts/gpu-check; needs nothing but libcuda.so.1.
//
// A probe that cannot be made says why in its place; the others go on.
#include <cuda.h>
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

void* library = nullptr;

// The driver function of this name in the version that cuda.h means.
template <typename Function>
Function* Find(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library, name));
}
#define PROBE_TEXT_(name) #name
#define PROBE_TEXT(name) PROBE_TEXT_(name)
#define DRIVER(name) Find<decltype(name)>(PROBE_TEXT(name))

std::string ErrorName(CUresult result) {
  const char* text = nullptr;
  if (auto* name = DRIVER(cuGetErrorName); name != nullptr && name(result, &text) == CUDA_SUCCESS) return text;
  return "CUresult " + std::to_string(static_cast<int>(result));
}

// A call of the driver that a probe cannot go on without.
struct ProbeFailed {
  std::string why;
};
void Must(CUresult result, const char* what) {
  if (result != CUDA_SUCCESS) throw ProbeFailed{std::string(what) + ": " + ErrorName(result)};
}
#define MUST(name, ...)                                                        \
  do {                                                                         \
    auto* const must_function = DRIVER(name);                                  \
    if (must_function == nullptr) throw ProbeFailed{#name " is not exported"}; \
    Must(must_function(__VA_ARGS__), #name);                                   \
  } while (false)

double MicrosecondsOf(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
}

bool first_probe = true;
void Say(const char* name, const std::string& json) {
  std::printf("%s\n  \"%s\": %s", first_probe ? "" : ",", name, json.c_str());
  first_probe = false;
}
std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}
std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}
std::string Address(std::uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof(text), "\"0x%llx\"", static_cast<unsigned long long>(value));
  return text;
}
void Probe(const char* name, const std::function<std::string()>& probe) {
  try {
    Say(name, probe());
  } catch (const ProbeFailed& failed) {
    Say(name, Quoted("not made: " + failed.why));
  }
}

constexpr char kPtx[] = R"(
.version 7.0
.target sm_50
.address_size 64
.visible .global .align 8 .b8 probe_global[64];
.visible .const .align 8 .b8 probe_constant[64];
.visible .entry spin(.param .u64 flag)
{
  .reg .pred %p;
  .reg .b32 %r;
  .reg .b64 %rd;
  ld.param.u64 %rd, [flag];
$again:
  ld.volatile.global.u32 %r, [%rd];
  setp.eq.u32 %p, %r, 0;
  @%p bra $again;
  ret;
}
.visible .entry nothing() { ret; }
)";

CUmemAllocationProp DeviceMemory() {
  CUmemAllocationProp prop{};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  return prop;
}

// The window's candidates (SEMANTICS.md 1): whether the driver gives exactly the address asked for.
std::string Hints() {
  constexpr std::uint64_t kTiB = 1ull << 40;
  const std::pair<std::uint64_t, std::uint64_t> candidates[] = {
      {0x200000000000, 4 * kTiB}, {0x7e8000000000, kTiB / 4}, {0x550000000000, kTiB / 4}};
  std::string json = "[";
  for (const auto& [base, bytes] : candidates) {
    CUdeviceptr got = 0;
    const CUresult result = DRIVER(cuMemAddressReserve)(&got, bytes, 0, base, 0);
    if (json.size() > 1) json += ", ";
    json += "{\"asked\": " + Address(base) + ", \"GiB\": " + std::to_string(bytes >> 30) +
            ", \"got\": " + (result == CUDA_SUCCESS ? Address(got) : Quoted(ErrorName(result))) + "}";
    if (result == CUDA_SUCCESS) MUST(cuMemAddressFree, got, bytes);
  }
  return json + "]";
}

std::string ChunkTimes() {
  const CUmemAllocationProp prop = DeviceMemory();
  std::size_t granularity = 0;
  MUST(cuMemGetAllocationGranularity, &granularity, &prop, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
  std::string json = "{\"granularity_bytes\": " + std::to_string(granularity);
  for (const std::size_t bytes : {std::size_t{32} << 20, std::size_t{1} << 30}) {
    CUdeviceptr at = 0;
    CUmemGenericAllocationHandle handle = 0;
    CUmemAccessDesc access{};
    access.location = prop.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    MUST(cuMemAddressReserve, &at, bytes, 0, 0, 0);
    const double create = MicrosecondsOf([&] { MUST(cuMemCreate, &handle, bytes, &prop, 0); });
    const double map = MicrosecondsOf([&] { MUST(cuMemMap, at, bytes, 0, handle, 0); });
    const double set = MicrosecondsOf([&] { MUST(cuMemSetAccess, at, bytes, &access, 1); });
    const double unmap = MicrosecondsOf([&] { MUST(cuMemUnmap, at, bytes); });
    const double release = MicrosecondsOf([&] { MUST(cuMemRelease, handle); });
    MUST(cuMemAddressFree, at, bytes);
    json += ", \"" + std::to_string(bytes >> 20) + "_MiB_us\": {\"create\": " + Number(create) +
            ", \"map\": " + Number(map) + ", \"set_access\": " + Number(set) + ", \"unmap\": " + Number(unmap) +
            ", \"release\": " + Number(release) + "}";
  }
  return json + "}";
}

std::string ModuleAddresses(CUmodule module) {
  CUdeviceptr global = 0;
  CUdeviceptr constant = 0;
  CUdeviceptr allocated = 0;
  std::size_t bytes = 0;
  MUST(cuModuleGetGlobal, &global, &bytes, module, "probe_global");
  MUST(cuModuleGetGlobal, &constant, &bytes, module, "probe_constant");
  MUST(cuMemAlloc, &allocated, 1 << 20);
  MUST(cuMemFree, allocated);
  return "{\"global\": " + Address(global) + ", \"constant\": " + Address(constant) +
         ", \"cuMemAlloc\": " + Address(allocated) + "}";
}

// How many launches a stream takes behind one that does not end, before the launching call waits.
std::string QueueDepth(CUcontext context, CUmodule module) {
  CUfunction spin = nullptr;
  CUfunction nothing = nullptr;
  CUstream stream = nullptr;
  MUST(cuModuleGetFunction, &spin, module, "spin");
  MUST(cuModuleGetFunction, &nothing, module, "nothing");
  MUST(cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING);
  void* flag = nullptr;
  MUST(cuMemHostAlloc, &flag, 4096, CU_MEMHOSTALLOC_DEVICEMAP);
  auto* word = static_cast<volatile std::uint32_t*>(flag);
  *word = 0;
  CUdeviceptr on_device = 0;
  MUST(cuMemHostGetDevicePointer, &on_device, flag, 0);
  void* arguments[] = {&on_device};
  MUST(cuLaunchKernel, spin, 1, 1, 1, 1, 1, 1, 0, stream, arguments, nullptr);
  constexpr int kMost = 20000;
  std::atomic<int> launched{0};
  std::atomic<bool> stop{false};
  CUresult failed = CUDA_SUCCESS;
  std::thread launcher([&] {
    DRIVER(cuCtxSetCurrent)(context);
    while (!stop && launched < kMost && failed == CUDA_SUCCESS) {
      failed = DRIVER(cuLaunchKernel)(nothing, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, nullptr);
      ++launched;
    }
  });
  // It is full when nothing more is taken for a while.
  int before = -1;
  while (launched != before && launched < kMost) {
    before = launched;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  const int depth = launched;
  stop = true;
  *word = 1;
  launcher.join();
  MUST(cuStreamSynchronize, stream);
  MUST(cuStreamDestroy, stream);
  MUST(cuMemFreeHost, flag);
  if (failed != CUDA_SUCCESS) throw ProbeFailed{"cuLaunchKernel: " + ErrorName(failed)};
  return depth >= kMost ? Quoted("more than " + std::to_string(kMost)) : std::to_string(depth);
}

std::string StreamMemoryOperations() {
  void* page = nullptr;
  CUstream stream = nullptr;
  MUST(cuMemHostAlloc, &page, 4096, CU_MEMHOSTALLOC_DEVICEMAP);
  CUdeviceptr on_device = 0;
  MUST(cuMemHostGetDevicePointer, &on_device, page, 0);
  auto* words = static_cast<volatile std::uint64_t*>(page);
  words[0] = 0;
  words[1] = 0;
  MUST(cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING);
  MUST(cuStreamWaitValue64, stream, on_device + 8, 5, CU_STREAM_WAIT_VALUE_GEQ);
  MUST(cuStreamWriteValue64, stream, on_device, 7, CU_STREAM_WRITE_VALUE_DEFAULT);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const bool waits = words[0] == 0;
  const double until_seen = MicrosecondsOf([&] {
    words[1] = 5;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (words[0] != 7 && std::chrono::steady_clock::now() < end) {
    }
  });
  const bool writes = words[0] == 7;
  MUST(cuStreamSynchronize, stream);
  MUST(cuStreamDestroy, stream);
  MUST(cuMemFreeHost, page);
  return std::string("{\"same_address_on_both_sides\": ") +
         (on_device == reinterpret_cast<CUdeviceptr>(page) ? "true" : "false") +
         ", \"waits\": " + (waits ? "true" : "false") + ", \"writes\": " + (writes ? "true" : "false") +
         ", \"from_host_write_to_seen_us\": " + Number(until_seen) + "}";
}

// Memory of this process that is registered: whether the device knows it by the same address.
std::string Registered() {
  std::vector<std::uint8_t> memory(3 << 20);
  auto* page =
      reinterpret_cast<std::uint8_t*>((reinterpret_cast<std::uintptr_t>(memory.data()) + 4095) & ~std::uintptr_t{4095});
  CUdeviceptr on_device = 0;
  const double time = MicrosecondsOf([&] { MUST(cuMemHostRegister, page, 2 << 20, CU_MEMHOSTREGISTER_DEVICEMAP); });
  MUST(cuMemHostGetDevicePointer, &on_device, page, 0);
  MUST(cuMemHostUnregister, page);
  return std::string("{\"same_address_on_both_sides\": ") +
         (on_device == reinterpret_cast<CUdeviceptr>(page) ? "true" : "false") + ", \"2_MiB_us\": " + Number(time) +
         "}";
}

// What the driver does for network cards: docs/rdma.md, "The device's memory". Nothing here needs a card.
std::string NetworkCards(CUdevice device) {
  const auto attribute = [&](CUdevice_attribute which) {
    int value = 0;
    return DRIVER(cuDeviceGetAttribute)(&value, which, device) == CUDA_SUCCESS ? std::to_string(value) : "null";
  };
  std::string json =
      "{\"gpu_direct\": " + attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED) +
      ", \"with_virtual_memory\": " + attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED) +
      ", \"ordering\": " + attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING) +
      ", \"flush_options\": " + attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS) +
      ", \"dma_buf\": " + attribute(CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED);
  CUmemAllocationProp prop = DeviceMemory();
  prop.allocFlags.gpuDirectRDMACapable = attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED) == "1";
  constexpr std::size_t kBytes = std::size_t{4} << 20;
  CUdeviceptr at = 0;
  CUmemGenericAllocationHandle handle = 0;
  CUmemAccessDesc access{};
  access.location = prop.location;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  MUST(cuMemAddressReserve, &at, kBytes, 0, 0, 0);
  MUST(cuMemCreate, &handle, kBytes, &prop, 0);
  MUST(cuMemMap, at, kBytes, 0, handle, 0);
  MUST(cuMemSetAccess, at, kBytes, &access, 1);
  int fd = -1;
  CUresult exported = CUDA_SUCCESS;
  const double time = MicrosecondsOf([&] {
    exported = DRIVER(cuMemGetHandleForAddressRange)(&fd, at, kBytes, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0);
  });
  json += ", \"export\": " + (exported == CUDA_SUCCESS ? Number(time) : Quoted(ErrorName(exported)));
  const double flush = MicrosecondsOf([&] {
    exported = DRIVER(cuFlushGPUDirectRDMAWrites)(CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX,
                                                  CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_OWNER);
  });
  json += ", \"flush\": " + (exported == CUDA_SUCCESS ? Number(flush) : Quoted(ErrorName(exported)));
  if (fd >= 0) ::close(fd);
  MUST(cuMemUnmap, at, kBytes);
  MUST(cuMemRelease, handle);
  MUST(cuMemAddressFree, at, kBytes);
  return json + "}";
}

}  // namespace

int main() {
  library = ::dlopen("libcuda.so.1", RTLD_NOW);
  if (library == nullptr) {
    std::fprintf(stderr, "gpu-probe: no driver here: %s\n", ::dlerror());
    return 1;
  }
  CUcontext context = nullptr;
  CUmodule module = nullptr;
  CUdevice device = 0;
  std::printf("{");
  try {
    const double init = MicrosecondsOf([] { MUST(cuInit, 0); });
    int version = 0;
    char name[128] = {};
    MUST(cuDriverGetVersion, &version);
    MUST(cuDeviceGet, &device, 0);
    MUST(cuDeviceGetName, name, sizeof(name), device);
    Say("driver_version", std::to_string(version));
    Say("device", Quoted(name));
    Say("cuInit_us", Number(init));
    Say("context_us", Number(MicrosecondsOf([&] {
          MUST(cuDevicePrimaryCtxRetain, &context, device);
          MUST(cuCtxSetCurrent, context);
        })));
    Say("module_load_us", Number(MicrosecondsOf([&] { MUST(cuModuleLoadData, &module, kPtx); })));
  } catch (const ProbeFailed& failed) {
    std::printf("\n}\n");
    std::fprintf(stderr, "gpu-probe: %s\n", failed.why.c_str());
    return 1;
  }
  Probe("window_hints", Hints);
  Probe("chunks", ChunkTimes);
  Probe("addresses", [&] { return ModuleAddresses(module); });
  Probe("launch_queue_depth", [&] { return QueueDepth(context, module); });
  Probe("stream_memory_operations", StreamMemoryOperations);
  Probe("registered_host_memory", Registered);
  Probe("network_cards", [&] { return NetworkCards(device); });
  std::printf("\n}\n");
  return 0;
}
