// Libraries: module images that the program brings along itself. Like registered ones they are loaded on a device when
// something of them is first asked for there, which is also when a bad image is told.
#include <elf.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include "protocol/base/log.h"
#include "shim/gen_face.h"
#include "shim/runtime/kernel.h"

namespace accelmesh::face {
namespace {

constexpr std::uint32_t kWrapperMagic = 0x466243b1;
constexpr std::uint32_t kContainerMagic = 0xba55ed50;
constexpr std::uint32_t kElfMagic = 0x464c457f;

Fatbin* Resolve(cudaLibrary_t library) {
  auto* ours = reinterpret_cast<Fatbin*>(library);
  return Registry::Get().IsLibrary(ours) ? ours : nullptr;
}

template <typename T>
T ReadAt(const std::uint8_t* image, std::size_t offset) {
  T value;
  std::memcpy(&value, image + offset, sizeof(value));
  return value;
}

// Byte by byte: what is shorter is text that ends before.
bool BeginsWith(const std::uint8_t* image, std::uint32_t magic) {
  std::uint8_t bytes[sizeof(magic)];
  std::memcpy(bytes, &magic, sizeof(magic));
  return std::equal(std::begin(bytes), std::end(bytes), image);
}

std::size_t ContainerBytes(const std::uint8_t* image) {
  return ReadAt<std::uint16_t>(image, 6) + ReadAt<std::uint64_t>(image, 8);
}

// An object file says where its last section ends.
std::size_t ElfBytes(const std::uint8_t* image) {
  const auto header = ReadAt<Elf64_Ehdr>(image, 0);
  std::size_t end = header.e_shoff + std::size_t{header.e_shnum} * sizeof(Elf64_Shdr);
  end = std::max(end, static_cast<std::size_t>(header.e_phoff) + std::size_t{header.e_phnum} * sizeof(Elf64_Phdr));
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const auto section = ReadAt<Elf64_Shdr>(image, header.e_shoff + i * sizeof(Elf64_Shdr));
    if (section.sh_type != SHT_NOBITS) end = std::max<std::size_t>(end, section.sh_offset + section.sh_size);
  }
  return end;
}

// A fatbin, with or without nvcc's wrapper, a cubin, or PTX that ends with a zero: no length is given.
Bytes ReadImage(const void* code) {
  const auto* image = static_cast<const std::uint8_t*>(code);
  if (BeginsWith(image, kWrapperMagic)) image = ReadAt<const std::uint8_t*>(image, 8);
  if (BeginsWith(image, kContainerMagic)) return {image, image + ContainerBytes(image)};
  if (BeginsWith(image, kElfMagic)) return {image, image + ElfBytes(image)};
  return {image, image + std::strlen(reinterpret_cast<const char*>(image)) + 1};
}

cudaError_t ReadFile(const char* path, Bytes* image) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "rb"), &std::fclose);
  if (file == nullptr) return cudaErrorFileNotFound;
  constexpr std::size_t kStep = 64 * limits::kKiB;
  for (std::size_t got = kStep; got == kStep;) {
    const std::size_t at = image->size();
    if (at > limits::kImageBytesMax) return cudaErrorInvalidKernelImage;
    image->resize(at + kStep);
    got = std::fread(image->data() + at, 1, kStep, file.get());
    image->resize(at + got);
  }
  if (image->empty() || std::ferror(file.get()) != 0) return cudaErrorInvalidKernelImage;
  if (!BeginsWith(image->data(), kContainerMagic) && !BeginsWith(image->data(), kElfMagic)) image->push_back(0);
  return cudaSuccess;
}

bool IsJitOption(cudaJitOption option) {
  return (option >= cudaJitMaxRegisters && option <= cudaJitOptimizationLevel) ||
         (option >= cudaJitFallbackStrategy && option <= cudaJitCacheMode) ||
         (option >= cudaJitPositionIndependentCode && option <= cudaJitOverrideDirectiveValues);
}

// Options change how a GPU's compiler works, and how much memory the driver takes; neither can be seen from outside.
cudaError_t CheckOptions(const cudaJitOption* jit, void* const* jit_values, unsigned jit_count,
                         const cudaLibraryOption* options, void* const* values, unsigned count, bool is_file) {
  if ((jit_count != 0 && (jit == nullptr || jit_values == nullptr)) || (count != 0 && options == nullptr))
    return cudaErrorInvalidValue;
  for (unsigned i = 0; i < jit_count; ++i) {
    if (!IsJitOption(jit[i])) return cudaErrorInvalidValue;
  }
  for (unsigned i = 0; i < count; ++i) {
    const bool is_preserved = options[i] == cudaLibraryBinaryIsPreserved;
    if (is_preserved && !is_file) continue;
    if (options[i] != cudaLibraryHostUniversalFunctionAndDataTable) return cudaErrorInvalidValue;
    if (values == nullptr) return cudaErrorInvalidValue;
    log::Warning("cudaLibraryLoadData",
                 "tables of functions that host and device share need a device that reads the "
                 "program's memory; the call returns cudaErrorNotSupported");
    return cudaErrorNotSupported;
  }
  return cudaSuccess;
}

// What the image holds, on the thread's device; null with the thread's last error set.
const LoadedModule* Load(ClientSession& session, Fatbin& library, cudaError_t* error) {
  const LoadedModule& module = Registry::Get().Load(session, library, CurrentDevice());
  if (module.error == 0) return &module;
  *error = Done(session, module.error);
  return nullptr;
}

}  // namespace

cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption* jit_options, void** jit_values,
                                unsigned int jit_count, cudaLibraryOption* options, void** values, unsigned int count) {
  ACCELMESH_BEGIN_CALL();
  if (library == nullptr || code == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = CheckOptions(jit_options, jit_values, jit_count, options, values, count, false);
      error != cudaSuccess)
    return Fail(error);
  *library = reinterpret_cast<cudaLibrary_t>(Registry::Get().AddLibrary(ReadImage(code)));
  return cudaSuccess;
}

cudaError_t cudaLibraryLoadFromFile(cudaLibrary_t* library, const char* path, cudaJitOption* jit_options,
                                    void** jit_values, unsigned int jit_count, cudaLibraryOption* options,
                                    void** values, unsigned int count) {
  ACCELMESH_BEGIN_CALL();
  if (library == nullptr || path == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = CheckOptions(jit_options, jit_values, jit_count, options, values, count, true);
      error != cudaSuccess)
    return Fail(error);
  Bytes image;
  if (const cudaError_t error = ReadFile(path, &image); error != cudaSuccess) return Fail(error);
  *library = reinterpret_cast<cudaLibrary_t>(Registry::Get().AddLibrary(std::move(image)));
  return cudaSuccess;
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library) {
  ACCELMESH_BEGIN_CALL();
  Fatbin* ours = Resolve(library);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  Registry::Get().RemoveFatbin(ours, &session);
  return cudaSuccess;
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  ACCELMESH_BEGIN_CALL();
  if (kernel == nullptr || name == nullptr) return Fail(cudaErrorInvalidValue);
  Fatbin* ours = Resolve(library);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  cudaError_t error = cudaSuccess;
  const LoadedModule* module = Load(session, *ours, &error);
  if (module == nullptr) return error;
  if (!module->kernels.contains(name)) return Fail(cudaErrorSymbolNotFound);
  *kernel = reinterpret_cast<cudaKernel_t>(Registry::Get().KernelOfLibrary(ours, name));
  return cudaSuccess;
}

cudaError_t cudaLibraryGetKernelCount(unsigned int* count, cudaLibrary_t library) {
  ACCELMESH_BEGIN_CALL();
  if (count == nullptr) return Fail(cudaErrorInvalidValue);
  Fatbin* ours = Resolve(library);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  // An image that does not load has none, and that is no error.
  *count = static_cast<unsigned>(Registry::Get().Load(session, *ours, CurrentDevice()).kernels.size());
  return cudaSuccess;
}

cudaError_t cudaLibraryEnumerateKernels(cudaKernel_t* kernels, unsigned int room, cudaLibrary_t library) {
  ACCELMESH_BEGIN_CALL();
  if (kernels == nullptr && room != 0) return Fail(cudaErrorInvalidValue);
  Fatbin* ours = Resolve(library);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  cudaError_t error = cudaSuccess;
  const LoadedModule* module = Load(session, *ours, &error);
  if (module == nullptr) return error;
  unsigned written = 0;
  for (const auto& [name, layout] : module->kernels) {
    if (written == room) break;
    kernels[written++] = reinterpret_cast<cudaKernel_t>(Registry::Get().KernelOfLibrary(ours, name));
  }
  return cudaSuccess;
}

cudaError_t cudaLibraryGetGlobal(void** address, size_t* bytes, cudaLibrary_t library, const char* name) {
  ACCELMESH_BEGIN_CALL();
  if ((address == nullptr && bytes == nullptr) || name == nullptr) return Fail(cudaErrorInvalidValue);
  Fatbin* ours = Resolve(library);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  cudaError_t error = cudaSuccess;
  const LoadedModule* module = Load(session, *ours, &error);
  if (module == nullptr) return error;
  const auto found = module->globals.find(name);
  if (found == module->globals.end())
    return Fail(module->kernels.contains(name) ? cudaErrorInvalidValue : cudaErrorSymbolNotFound);
  if (address != nullptr) *address = reinterpret_cast<void*>(found->second.address);
  if (bytes != nullptr) *bytes = found->second.bytes;
  return cudaSuccess;
}

// Managed variables are placed by the stubs that register them, which a library has none of: it holds none.
cudaError_t cudaLibraryGetManaged(void** address, size_t* bytes, cudaLibrary_t library, const char* name) {
  ACCELMESH_BEGIN_CALL();
  if ((address == nullptr && bytes == nullptr) || name == nullptr) return Fail(cudaErrorInvalidValue);
  Fatbin* ours = Resolve(library);
  if (ours == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  cudaError_t error = cudaSuccess;
  return Load(session, *ours, &error) == nullptr ? error : Fail(cudaErrorSymbolNotFound);
}

// A function with one address for host and device needs a device that reads the program's memory.
cudaError_t cudaLibraryGetUnifiedFunction(void** function, cudaLibrary_t library, const char* name) {
  ACCELMESH_BEGIN_CALL();
  if (function == nullptr || name == nullptr) return Fail(cudaErrorInvalidValue);
  return Fail(Resolve(library) == nullptr ? cudaErrorInvalidResourceHandle : cudaErrorInvalidValue);
}

}  // namespace accelmesh::face
