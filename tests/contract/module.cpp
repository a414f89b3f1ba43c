// Modules and libraries: images, their kernels and variables. Variables lie where the library chooses, outside of any
// reservation, as a driver's do.
#include <cstring>

#include "server/module/image.h"
#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr std::uint32_t kContainerMagic = 0xba55ed50;
constexpr std::uint32_t kWrapperMagic = 0x466243b1;
constexpr std::uint32_t kElfMagic = 0x464c457f;
constexpr std::uint64_t kTextBytesMax = std::uint64_t{256} << 20;

// What nvcc hands to the runtime: where a container is.
struct Wrapper {
  std::uint32_t magic;
  std::uint32_t version;
  const std::uint8_t* container;
};

// An image has no length of its own: a container says it, text ends with a zero.
Result<ByteView> ImageBytes(const void* image) {
  std::uint32_t magic = 0;
  std::memcpy(&magic, image, sizeof(magic));
  if (magic == kWrapperMagic) {
    Wrapper wrapper{};
    std::memcpy(&wrapper, image, sizeof(wrapper));
    return ImageBytes(wrapper.container);
  }
  if (magic == kElfMagic) return Status(Code::kNotFound, "ImageBytes", "machine code, which only a real device runs");
  const auto* bytes = static_cast<const std::uint8_t*>(image);
  if (magic != kContainerMagic) return ByteView(bytes, ::strnlen(static_cast<const char*>(image), kTextBytesMax));
  std::uint16_t header_bytes = 0;
  std::uint64_t content_bytes = 0;
  std::memcpy(&header_bytes, bytes + 6, sizeof(header_bytes));
  std::memcpy(&content_bytes, bytes + 8, sizeof(content_bytes));
  return ByteView(bytes, header_bytes + content_bytes);
}

// `said`: what the compiler has to say, for the caller's log.
CUresult Parse(const void* image, std::shared_ptr<const ptx::Module>* source, std::string* said) {
  if (image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (std::optional<std::vector<std::string>> texts = TextsOfLinked(image); texts.has_value())
    return Compile(*std::move(texts), source, said);
  const Result<ByteView> bytes = ImageBytes(image);
  if (!bytes.ok()) return CUDA_ERROR_NO_BINARY_FOR_GPU;
  Result<std::string> text = ExtractPtx(*bytes, settings().capability);
  if (!text.ok()) {
    return text.status().code() == Code::kNotFound ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_ERROR_INVALID_IMAGE;
  }
  return Compile({*std::move(text)}, source, said);
}

// Gives the module's variables addresses and their first values.
CUresult PlaceGlobals(Module& module) {
  std::uint64_t bytes = 0;
  for (const ptx::Variable& variable : module.source->variables) {
    if (variable.is_extern || variable.is_managed) continue;
    bytes = AlignUp(bytes, std::max<std::uint64_t>(variable.alignment, 256));
    module.globals[variable.name] = {bytes, variable.bytes};
    bytes += variable.bytes;
  }
  const std::uint64_t base = bytes == 0 ? 0 : MapMemory(bytes);
  if (bytes != 0 && base == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  module.memory = {base, bytes};
  for (auto& [name, range] : module.globals) range.address += base;
  // Another context's module of the same library may have them, and has written to them.
  const bool places_managed = module.managed == nullptr;
  if (places_managed) {
    module.managed = std::make_shared<ManagedVariables>();
    for (const ptx::Variable& variable : module.source->variables) {
      if (variable.is_managed && !variable.is_extern && !module.managed->Place(variable, module.context->device))
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
  }
  module.globals.insert(module.managed->ranges.begin(), module.managed->ranges.end());
  for (const ptx::Variable& variable : module.source->variables) {
    if (variable.is_extern || (variable.is_managed && !places_managed)) continue;
    auto* at = reinterpret_cast<std::uint8_t*>(module.globals[variable.name].address);
    if (variable.is_managed) std::memset(at, 0, variable.bytes);
    if (!variable.initial.empty()) std::memcpy(at, variable.initial.data(), variable.initial.size());
    for (const ptx::Variable::Relocation& relocation : variable.relocations) {
      const auto target = module.globals.find(relocation.symbol);
      if (target == module.globals.end()) return CUDA_ERROR_INVALID_PTX;
      const std::uint64_t value = target->second.address + static_cast<std::uint64_t>(relocation.addend);
      std::memcpy(at + relocation.offset, &value, sizeof(value));
    }
  }
  if (bytes == 0) return CUDA_SUCCESS;
  const std::lock_guard lock(state().mu);
  Region region;
  region.kind = Region::Kind::kGlobal;
  region.bytes = bytes;
  region.device = module.context->device;
  region.access = 1u << static_cast<unsigned>(region.device);
  region.context = module.context.get();
  AddRegion(base, region);
  return CUDA_SUCCESS;
}

CUresult Load(const std::shared_ptr<Context>& context, std::shared_ptr<const ptx::Module> source, bool of_library,
              std::shared_ptr<ManagedVariables> managed, std::shared_ptr<Module>* loaded) {
  auto module = std::make_shared<Module>();
  module->context = context;
  module->managed = std::move(managed);
  module->source = std::move(source);
  module->of_library = of_library;
  if (const CUresult result = PlaceGlobals(*module); result != CUDA_SUCCESS) return result;
  for (const ptx::Kernel& source_kernel : module->source->kernels) {
    auto kernel = std::make_unique<Kernel>();
    kernel->source = &source_kernel;
    auto ref = std::make_shared<FunctionRef>(FunctionRef{module, kernel.get()});
    kernel->handle = AsHandle<CUfunction>(state().functions.Add(std::move(ref)));
    module->kernels.push_back(std::move(kernel));
  }
  module->handle = AsHandle<CUmodule>(state().modules.Add(module));
  *loaded = std::move(module);
  return CUDA_SUCCESS;
}

CUresult LoadModule(const Call& call, CUmodule* handle, const void* image, std::string* said) {
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<const ptx::Module> source;
  if (const CUresult result = Parse(image, &source, said); result != CUDA_SUCCESS) return result;
  std::shared_ptr<Module> module;
  const CUresult result = Load(call.context, std::move(source), false, nullptr, &module);
  WriteOut(*call.context);
  if (result == CUDA_SUCCESS) *handle = module->handle;
  return result;
}

// Handles of it end; launches under way hold the module itself.
void Forget(const std::shared_ptr<Module>& module) {
  state().functions.RemoveIf([&module](const FunctionRef& ref) { return ref.module == module; });
  state().modules.Remove(reinterpret_cast<std::uint64_t>(module->handle));
}

// The library's module in the context; loaded when it is first asked for.
CUresult ModuleIn(const std::shared_ptr<Context>& context, Library& library, std::shared_ptr<Module>* module) {
  const std::lock_guard lock(library.mu);
  std::shared_ptr<Module>& found = library.modules[context.get()];
  if (found == nullptr) {
    const CUresult result = Load(context, library.source, true, library.managed, &found);
    if (result != CUDA_SUCCESS) return result;
    library.managed = found->managed;
  }
  *module = found;
  return CUDA_SUCCESS;
}

}  // namespace

Module::~Module() {
  if (memory.bytes == 0) return;
  {
    const std::lock_guard lock(state().mu);
    if (state().regions.contains(memory.address)) RemoveRegion(memory.address);
  }
  UnmapMemory(memory.address, memory.bytes);
}

CUresult Compile(std::vector<std::string> texts, std::shared_ptr<const ptx::Module>* module, std::string* said) {
  auto parsed = ptx::LinkModules(std::move(texts), HasClusters());
  if (!parsed.ok()) {
    *said = parsed.status().ToString();
    return CUDA_ERROR_INVALID_PTX;
  }
  if (const Status fits = ptx::CheckTarget(**parsed, settings().capability); !fits.ok()) {
    *said = fits.ToString();
    return fits.code() == Code::kVersionMismatch ? CUDA_ERROR_UNSUPPORTED_PTX_VERSION : CUDA_ERROR_INVALID_PTX;
  }
  // The interpreter knows what this is by itself; a driver has to be given it, in a text.
  static constexpr std::string_view kOfLibrary = "cudaGraphSetConditional";
  const auto calls_it = [](const ptx::Kernel& body) {
    return std::find(body.called.begin(), body.called.end(), kOfLibrary) != body.called.end();
  };
  const ptx::Module& made = **parsed;
  if (!made.function.contains(kOfLibrary) && (std::any_of(made.kernels.begin(), made.kernels.end(), calls_it) ||
                                              std::any_of(made.functions.begin(), made.functions.end(), calls_it))) {
    *said = "Unresolved extern function '" + std::string(kOfLibrary) + "'";
    return CUDA_ERROR_INVALID_PTX;
  }
  *module = *std::move(parsed);
  return CUDA_SUCCESS;
}

void WriteLog(const std::string& said, unsigned count, const CUjit_option* options, void** values) {
  char* buffer = nullptr;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER) buffer = static_cast<char*>(values[i]);
  }
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] != CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES || buffer == nullptr) continue;
    const std::size_t room = static_cast<std::uint32_t>(reinterpret_cast<std::uint64_t>(values[i]));
    if (room == 0) continue;
    const std::size_t bytes = std::min(room - 1, said.size());
    std::memcpy(buffer, said.data(), bytes);
    buffer[bytes] = '\0';
    values[i] = reinterpret_cast<void*>(bytes);
  }
}

std::shared_ptr<FunctionRef> FindKernel(const Call& call, CUfunction handle) {
  if (const auto kernel = state().kernels.Find(reinterpret_cast<std::uint64_t>(handle)); kernel != nullptr) {
    std::shared_ptr<Module> module;
    if (ModuleIn(call.context, *kernel->library, &module) != CUDA_SUCCESS) return nullptr;
    return state().functions.Find(reinterpret_cast<std::uint64_t>(module->kernels[kernel->index]->handle));
  }
  return call.Find(state().functions, handle);
}

}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return Enter(Function::k_cuModuleLoadData, [&](Call& call) -> CUresult {
    std::string said;
    return LoadModule(call, module, image, &said);
  });
}
CONTRACT_API CUresult cuModuleLoadFatBinary(CUmodule* module, const void* image) {
  return Enter(Function::k_cuModuleLoadFatBinary, [&](Call& call) -> CUresult {
    std::string said;
    return LoadModule(call, module, image, &said);
  });
}
CONTRACT_API CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int count, CUjit_option* options,
                                         void** values) {
  return Enter(Function::k_cuModuleLoadDataEx, [&](Call& call) -> CUresult {
    if (count != 0 && (options == nullptr || values == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    std::string said;
    const CUresult result = LoadModule(call, module, image, &said);
    WriteLog(said, count, options, values);
    return result;
  });
}
CONTRACT_API CUresult cuModuleUnload(CUmodule handle) {
  return Enter(Function::k_cuModuleUnload, [&](Call& call) -> CUresult {
    const auto module = call.Find(state().modules, handle);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (module->of_library) return CUDA_ERROR_NOT_PERMITTED;
    const CUresult result = DrainAll(module->context);
    WriteOut(*module->context);
    Forget(module);
    return result;
  });
}
CONTRACT_API CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return Enter(Function::k_cuModuleGetLoadingMode, [&](Call&) -> CUresult {
    *mode = CU_MODULE_EAGER_LOADING;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuModuleGetFunction(CUfunction* function, CUmodule handle, const char* name) {
  return Enter(Function::k_cuModuleGetFunction, [&](Call& call) -> CUresult {
    const auto module = call.Find(state().modules, handle);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    for (const auto& kernel : module->kernels) {
      if (kernel->source->name != name) continue;
      *function = kernel->handle;
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_NOT_FOUND;
  });
}
CONTRACT_API CUresult cuModuleGetFunctionCount(unsigned int* count, CUmodule handle) {
  return Enter(Function::k_cuModuleGetFunctionCount, [&](Call& call) -> CUresult {
    const auto module = call.Find(state().modules, handle);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *count = static_cast<unsigned>(module->kernels.size());
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuModuleEnumerateFunctions(CUfunction* functions, unsigned int count, CUmodule handle) {
  return Enter(Function::k_cuModuleEnumerateFunctions, [&](Call& call) -> CUresult {
    const auto module = call.Find(state().modules, handle);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    for (unsigned i = 0; i < count && i < module->kernels.size(); ++i) functions[i] = module->kernels[i]->handle;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuModuleGetGlobal(CUdeviceptr* address, std::size_t* bytes, CUmodule handle, const char* name) {
  return Enter(Function::k_cuModuleGetGlobal, [&](Call& call) -> CUresult {
    const auto module = call.Find(state().modules, handle);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const auto found = module->globals.find(name);
    if (found == module->globals.end()) return CUDA_ERROR_NOT_FOUND;
    if (address != nullptr) *address = found->second.address;
    if (bytes != nullptr) *bytes = found->second.bytes;
    return CUDA_SUCCESS;
  });
}

// Libraries ----------------------------------------------------------------------------------------------------------

CONTRACT_API CUresult cuLibraryLoadData(CUlibrary* handle, const void* image, CUjit_option*, void**, unsigned int,
                                        CUlibraryOption*, void**, unsigned int) {
  return Enter(Function::k_cuLibraryLoadData, [&](Call&) -> CUresult {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    auto library = std::make_shared<Library>();
    std::string said;
    if (const CUresult result = Parse(image, &library->source, &said); result != CUDA_SUCCESS) return result;
    for (std::size_t i = 0; i < library->source->kernels.size(); ++i) {
      auto ref = std::make_shared<KernelRef>(KernelRef{library, i});
      library->kernels.push_back(AsHandle<CUkernel>(state().kernels.Add(std::move(ref))));
    }
    *handle = library->handle = AsHandle<CUlibrary>(state().libraries.Add(library));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuLibraryUnload(CUlibrary handle) {
  return Enter(Function::k_cuLibraryUnload, [&](Call& call) -> CUresult {
    const auto library = call.Find(state().libraries, handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    state().kernels.RemoveIf([&library](const KernelRef& ref) { return ref.library == library; });
    {
      const std::lock_guard lock(library->mu);
      for (const auto& [context, module] : library->modules) Forget(module);
      library->modules.clear();
    }
    state().libraries.Remove(reinterpret_cast<std::uint64_t>(handle));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary handle, const char* name) {
  return Enter(Function::k_cuLibraryGetKernel, [&](Call& call) -> CUresult {
    const auto library = call.Find(state().libraries, handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    for (std::size_t i = 0; i < library->kernels.size(); ++i) {
      if (library->source->kernels[i].name != name) continue;
      *kernel = library->kernels[i];
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_NOT_FOUND;
  });
}
CONTRACT_API CUresult cuLibraryGetKernelCount(unsigned int* count, CUlibrary handle) {
  return Enter(Function::k_cuLibraryGetKernelCount, [&](Call& call) -> CUresult {
    const auto library = call.Find(state().libraries, handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *count = static_cast<unsigned>(library->kernels.size());
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int count, CUlibrary handle) {
  return Enter(Function::k_cuLibraryEnumerateKernels, [&](Call& call) -> CUresult {
    const auto library = call.Find(state().libraries, handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    for (unsigned i = 0; i < count && i < library->kernels.size(); ++i) kernels[i] = library->kernels[i];
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuLibraryGetModule(CUmodule* module, CUlibrary handle) {
  return Enter(Function::k_cuLibraryGetModule, [&](Call& call) -> CUresult {
    const auto library = call.Find(state().libraries, handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    std::shared_ptr<Module> found;
    const CUresult result = ModuleIn(call.context, *library, &found);
    if (result == CUDA_SUCCESS) *module = found->handle;
    return result;
  });
}
CONTRACT_API CUresult cuLibraryGetGlobal(CUdeviceptr* address, std::size_t* bytes, CUlibrary handle, const char* name) {
  return Enter(Function::k_cuLibraryGetGlobal, [&](Call& call) -> CUresult {
    const auto library = call.Find(state().libraries, handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    std::shared_ptr<Module> module;
    if (const CUresult result = ModuleIn(call.context, *library, &module); result != CUDA_SUCCESS) return result;
    const auto found = module->globals.find(name);
    if (found == module->globals.end()) return CUDA_ERROR_NOT_FOUND;
    if (address != nullptr) *address = found->second.address;
    if (bytes != nullptr) *bytes = found->second.bytes;
    return CUDA_SUCCESS;
  });
}
// What all contexts have in common of it, in managed memory; there once one of them has it.
CONTRACT_API CUresult cuLibraryGetManaged(CUdeviceptr* address, std::size_t* bytes, CUlibrary handle,
                                          const char* name) {
  return Enter(Function::k_cuLibraryGetManaged, [&](Call& call) -> CUresult {
    const auto library = call.Find(state().libraries, handle);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const std::lock_guard lock(library->mu);
    if (library->managed == nullptr) return CUDA_ERROR_NOT_FOUND;
    const auto found = library->managed->ranges.find(name);
    if (found == library->managed->ranges.end()) return CUDA_ERROR_NOT_FOUND;
    if (address != nullptr) *address = found->second.address;
    if (bytes != nullptr) *bytes = found->second.bytes;
    return CUDA_SUCCESS;
  });
}
