// Module images that a program brings along itself: as PTX in memory and in a file, as it is found by name, launched,
// and unloaded; and which error each mistake gets.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"

static const char kPtx[] = R"(
.version 7.0
.target sm_52
.address_size 64

.global .align 4 .u32 counter = 9;
.visible .global .align 8 .u64 table[4];

.visible .entry fill(.param .u64 out, .param .u32 value)
{
  .reg .u64 %a;
  .reg .u32 %v, %i;
  ld.param.u64 %a, [out];
  ld.param.u32 %v, [value];
  cvta.to.global.u64 %a, %a;
  mov.u32 %i, %tid.x;
  mad.wide.u32 %a, %i, 4, %a;
  add.u32 %v, %v, %i;
  st.global.u32 [%a], %v;
  ret;
}

.visible .entry count()
{
  .reg .u32 %old;
  atom.global.add.u32 %old, [counter], 1;
  ret;
}

.visible .entry nothing()
{
  ret;
}
)";
static const char kBadPtx[] = ".version 7.0\n.target sm_52\n.address_size 64\n.visible .entry bad( { ret;\n";

static cudaLibrary_t Load(const void* code) {
  cudaLibrary_t library = nullptr;
  CHECK(cudaLibraryLoadData(&library, code, nullptr, nullptr, 0, nullptr, nullptr, 0));
  return library;
}

static void TestKernels(cudaLibrary_t library) {
  unsigned count = 0;
  CHECK(cudaLibraryGetKernelCount(&count, library));
  EXPECT(count == 3, "%u kernels", count);
  cudaKernel_t kernels[4] = {};
  CHECK(cudaLibraryEnumerateKernels(kernels, 2, library));
  EXPECT(kernels[1] != nullptr && kernels[2] == nullptr, "not as many kernels as asked for");
  CHECK(cudaLibraryEnumerateKernels(kernels, 4, library));
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) {
    const char* name = nullptr;
    CHECK(cudaFuncGetName(&name, kernels[i]));
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  EXPECT(names == std::vector<std::string>({"count", "fill", "nothing"}), "kernels %s, %s, %s", names[0].c_str(),
         names[1].c_str(), names[2].c_str());
  cudaKernel_t fill = nullptr;
  cudaKernel_t again = nullptr;
  CHECK(cudaLibraryGetKernel(&fill, library, "fill"));
  CHECK(cudaLibraryGetKernel(&again, library, "fill"));
  EXPECT(fill == again && std::count(kernels, kernels + 3, fill) == 1, "one kernel has several handles");
  size_t offset = 0;
  size_t bytes = 0;
  CHECK(cudaFuncGetParamInfo(fill, 1, &offset, &bytes));
  EXPECT(offset == 8 && bytes == 4, "a parameter of %zu bytes at %zu", bytes, offset);
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, fill));
  EXPECT(attributes.sharedSizeBytes == 0, "%zu bytes of shared memory", attributes.sharedSizeBytes);
  int blocks = 0;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill, 64, 0));
  EXPECT(blocks > 0, "%d blocks", blocks);
  cudaFunction_t function = nullptr;
  CHECK_ERROR(cudaGetFuncBySymbol(&function, fill), cudaErrorInvalidDeviceFunction);  // no symbol

  int* out = nullptr;
  int value = 40;
  int got[32] = {};
  CHECK(cudaMalloc(&out, sizeof(got)));
  void* arguments[] = {&out, &value};
  CHECK(cudaLaunchKernel(fill, dim3(1), dim3(32), arguments, 0, nullptr));
  CHECK(cudaMemcpy(got, out, sizeof(got), cudaMemcpyDeviceToHost));
  for (int i = 0; i < 32; ++i) EXPECT(got[i] == 40 + i, "element %d is %d", i, got[i]);
  CHECK(cudaFree(out));

  CHECK_ERROR(cudaLibraryGetKernel(&again, library, "none"), cudaErrorSymbolNotFound);
  CHECK_ERROR(cudaLibraryGetKernel(&again, library, ""), cudaErrorSymbolNotFound);
  CHECK_ERROR(cudaLibraryGetKernel(&again, library, nullptr), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLibraryGetKernel(nullptr, library, "fill"), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLibraryGetKernel(&again, nullptr, "fill"), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaLibraryGetKernelCount(nullptr, library), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLibraryGetKernelCount(&count, nullptr), cudaErrorInvalidResourceHandle);
  CHECK(cudaLibraryEnumerateKernels(kernels, 0, library));
  CHECK_ERROR(cudaLibraryEnumerateKernels(nullptr, 2, library), cudaErrorInvalidValue);
}

static void TestGlobals(cudaLibrary_t library) {
  void* address = nullptr;
  size_t bytes = 0;
  CHECK(cudaLibraryGetGlobal(&address, &bytes, library, "table"));
  EXPECT(bytes == 32, "table has %zu bytes", bytes);
  CHECK(cudaLibraryGetGlobal(&address, &bytes, library, "counter"));
  EXPECT(bytes == 4, "counter has %zu bytes", bytes);
  cudaKernel_t count = nullptr;
  CHECK(cudaLibraryGetKernel(&count, library, "count"));
  CHECK(cudaLaunchKernel(count, dim3(2), dim3(16), nullptr, 0, nullptr));
  unsigned counter = 0;
  CHECK(cudaMemcpy(&counter, address, sizeof(counter), cudaMemcpyDeviceToHost));
  EXPECT(counter == 9 + 32, "counted to %u", counter);
  CHECK(cudaLibraryGetGlobal(nullptr, &bytes, library, "table"));
  CHECK(cudaLibraryGetGlobal(&address, nullptr, library, "table"));
  CHECK_ERROR(cudaLibraryGetGlobal(nullptr, nullptr, library, "table"), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLibraryGetGlobal(&address, &bytes, library, nullptr), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLibraryGetGlobal(&address, &bytes, library, "none"), cudaErrorSymbolNotFound);
  CHECK_ERROR(cudaLibraryGetGlobal(&address, &bytes, library, "fill"), cudaErrorInvalidValue);  // a kernel
  CHECK_ERROR(cudaLibraryGetManaged(&address, &bytes, library, "table"), cudaErrorSymbolNotFound);
  CHECK_ERROR(cudaLibraryGetManaged(&address, &bytes, library, "none"), cudaErrorSymbolNotFound);
  CHECK_ERROR(cudaLibraryGetManaged(nullptr, nullptr, library, "none"), cudaErrorInvalidValue);
  void* function = nullptr;
  CHECK_ERROR(cudaLibraryGetUnifiedFunction(&function, library, "fill"), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLibraryGetUnifiedFunction(nullptr, library, "fill"), cudaErrorInvalidValue);
}

// Two libraries of one image have each their own variables.
static void TestTwo(cudaLibrary_t first) {
  std::string copy = kPtx;
  cudaLibrary_t second = Load(copy.c_str());
  copy.assign(copy.size(), '#');  // the library has its own
  void* addresses[2] = {};
  CHECK(cudaLibraryGetGlobal(&addresses[0], nullptr, first, "counter"));
  CHECK(cudaLibraryGetGlobal(&addresses[1], nullptr, second, "counter"));
  EXPECT(addresses[0] != addresses[1], "one variable for two libraries");
  unsigned counter = 0;
  CHECK(cudaMemcpy(&counter, addresses[1], sizeof(counter), cudaMemcpyDeviceToHost));
  EXPECT(counter == 9, "the second counter begins at %u", counter);
  CHECK(cudaLibraryUnload(second));
}

static void TestFiles() {
  cudaLibrary_t library = nullptr;
  const auto load = [&library](const char* path, cudaLibraryOption* options = nullptr, void** values = nullptr) {
    return cudaLibraryLoadFromFile(&library, path, nullptr, nullptr, 0, options, values, options != nullptr ? 1 : 0);
  };
  char path[] = "/tmp/accelmesh-libraries-XXXXXX";
  const int descriptor = mkstemp(path);
  EXPECT(descriptor >= 0, "no temporary file");
  std::FILE* file = fdopen(descriptor, "w");
  CHECK_ERROR(load(path), cudaErrorInvalidKernelImage);  // nothing in it
  std::fputs(kPtx, file);
  std::fclose(file);
  CHECK(load(path));
  unsigned count = 0;
  CHECK(cudaLibraryGetKernelCount(&count, library));
  EXPECT(count == 3, "%u kernels in a file", count);
  CHECK(cudaLibraryUnload(library));
  cudaLibraryOption preserved = cudaLibraryBinaryIsPreserved;
  void* yes = reinterpret_cast<void*>(1);
  CHECK_ERROR(load(path, &preserved, &yes), cudaErrorInvalidValue);  // means something for memory only
  std::remove(path);
  CHECK_ERROR(load(path), cudaErrorFileNotFound);
  CHECK_ERROR(load(nullptr), cudaErrorInvalidValue);
}

static void TestOptions() {
  cudaLibrary_t library = nullptr;
  cudaLibraryOption option = cudaLibraryBinaryIsPreserved;
  void* one = reinterpret_cast<void*>(1);
  CHECK(cudaLibraryLoadData(&library, kPtx, nullptr, nullptr, 0, &option, &one, 1));
  CHECK(cudaLibraryUnload(library));
  option = static_cast<cudaLibraryOption>(9);
  CHECK_ERROR(cudaLibraryLoadData(&library, kPtx, nullptr, nullptr, 0, &option, &one, 1), cudaErrorInvalidValue);
  cudaJitOption jit = cudaJitMaxRegisters;
  void* registers = reinterpret_cast<void*>(32);
  CHECK(cudaLibraryLoadData(&library, kPtx, &jit, &registers, 1, nullptr, nullptr, 0));
  CHECK(cudaLibraryUnload(library));
  jit = static_cast<cudaJitOption>(999);
  CHECK_ERROR(cudaLibraryLoadData(&library, kPtx, &jit, &registers, 1, nullptr, nullptr, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLibraryLoadData(&library, kPtx, nullptr, nullptr, 1, nullptr, nullptr, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLibraryLoadData(nullptr, kPtx, nullptr, nullptr, 0, nullptr, nullptr, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLibraryLoadData(&library, nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0), cudaErrorInvalidValue);
}

// An image is looked at when something of it is asked for.
static void TestBadImage() {
  cudaLibrary_t library = Load(kBadPtx);
  cudaKernel_t kernel = nullptr;
  CHECK_ERROR(cudaLibraryGetKernel(&kernel, library, "bad"), cudaErrorInvalidPtx);
  unsigned count = 77;
  CHECK(cudaLibraryGetKernelCount(&count, library));
  EXPECT(count == 0, "%u kernels in a bad image", count);
  CHECK(cudaLibraryUnload(library));
  // PTX of a later day, and for a device that is newer than any that this is run on.
  library = Load(".version 99.0\n.target sm_75\n.address_size 64\n.visible .entry late() { ret; }\n");
  CHECK_ERROR(cudaLibraryGetKernel(&kernel, library, "late"), cudaErrorUnsupportedPtxVersion);
  CHECK(cudaLibraryUnload(library));
  library = Load(".version 9.0\n.target sm_121\n.address_size 64\n.visible .entry newer() { ret; }\n");
  CHECK_ERROR(cudaLibraryGetKernel(&kernel, library, "newer"), cudaErrorInvalidPtx);
  CHECK(cudaLibraryUnload(library));
}

int main() {
  cudaLibrary_t library = Load(kPtx);
  TestKernels(library);
  TestGlobals(library);
  TestTwo(library);
  TestFiles();
  TestOptions();
  TestBadImage();
  CHECK(cudaLibraryUnload(library));
  CHECK_ERROR(cudaLibraryUnload(nullptr), cudaErrorInvalidResourceHandle);
  CHECK(cudaDeviceSynchronize());
  return Passed();
}
