#include "server/backend/cuda/module.h"

#include <algorithm>
#include <array>

#include "server/backend/cuda/link.h"
#include "server/module/symbols.h"

namespace accelmesh::cuda {
namespace {

constexpr const char* kWhere = "CudaBackend::ModuleLoad";
constexpr std::size_t kLogBytes = 8192;

Status Refused(const Driver& driver, CUresult result, std::string_view said) {
  const bool is_memory = result == CUDA_ERROR_OUT_OF_MEMORY;
  const bool is_missing = result == CUDA_ERROR_NO_BINARY_FOR_GPU;
  const bool is_newer = result == CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  const Code code = is_memory    ? Code::kOutOfMemory
                    : is_missing ? Code::kNotFound
                    : is_newer   ? Code::kVersionMismatch
                                 : Code::kInvalidArgument;
  return {code, kWhere, driver.Text(result) + (said.empty() ? "" : "; ") + std::string(said)};
}

std::uint32_t Attribute(const Driver& driver, CUfunction function, CUfunction_attribute attribute) {
  int value = 0;
  return driver.FuncGetAttribute(&value, attribute, function) == CUDA_SUCCESS ? static_cast<std::uint32_t>(value) : 0;
}

CUresult DescribeKernel(const Driver& driver, CUfunction function, Kernel* kernel, KernelDescription* out) {
  const char* name = nullptr;
  CUresult result = driver.FuncLoad(function);
  if (result == CUDA_SUCCESS) result = driver.FuncGetName(&name, function);
  if (result != CUDA_SUCCESS) return result;
  kernel->function = function;
  kernel->name = out->name = name;
  for (std::size_t i = 0; i < limits::kKernelParametersMax; ++i) {
    std::size_t offset = 0;
    std::size_t bytes = 0;
    result = driver.FuncGetParamInfo(function, i, &offset, &bytes);
    if (result == CUDA_ERROR_INVALID_VALUE) break;  // there are no more
    if (result != CUDA_SUCCESS) return result;
    kernel->parameter_offsets.push_back(static_cast<std::uint32_t>(offset));
    kernel->argument_bytes = std::max(kernel->argument_bytes, static_cast<std::uint32_t>(offset + bytes));
    out->parameters.emplace_back(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(bytes));
  }
  out->max_threads_per_block = Attribute(driver, function, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  out->static_shared_bytes = Attribute(driver, function, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
  out->local_bytes = Attribute(driver, function, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
  out->constant_bytes = Attribute(driver, function, CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES);
  out->registers = Attribute(driver, function, CU_FUNC_ATTRIBUTE_NUM_REGS);
  out->ptx_version = Attribute(driver, function, CU_FUNC_ATTRIBUTE_PTX_VERSION);
  out->binary_version = Attribute(driver, function, CU_FUNC_ATTRIBUTE_BINARY_VERSION);
  kernel->dynamic_shared_bytes_max = Attribute(driver, function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  out->cluster[0] = Attribute(driver, function, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH);
  out->cluster[1] = Attribute(driver, function, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT);
  out->cluster[2] = Attribute(driver, function, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH);
  out->cluster_must_be_set = Attribute(driver, function, CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET) != 0;
  out->cluster_policy =
      static_cast<std::uint8_t>(Attribute(driver, function, CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE));
  return CUDA_SUCCESS;
}

bool IsManaged(const Driver& driver, CUdeviceptr address) {
  // CUDA calls it a boolean, and drivers write a word.
  std::uint64_t is_managed = 0;
  return driver.PointerGetAttribute(&is_managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, address) == CUDA_SUCCESS &&
         is_managed != 0;
}

CUresult Describe(const Driver& driver, const ImageSymbols& symbols, LoadedModule* loaded) {
  const CUmodule module = loaded->module->handle;
  unsigned count = 0;
  CUresult result = driver.ModuleGetFunctionCount(&count, module);
  if (result != CUDA_SUCCESS) return result;
  std::vector<CUfunction> functions(std::min(count, limits::kKernelsPerModuleMax));
  if (!functions.empty()) {
    result = driver.ModuleEnumerateFunctions(functions.data(), static_cast<unsigned>(functions.size()), module);
    if (result != CUDA_SUCCESS) return result;
  }
  for (const CUfunction function : functions) {
    Kernel kernel;
    KernelDescription description;
    result = DescribeKernel(driver, function, &kernel, &description);
    if (result != CUDA_SUCCESS) return result;
    loaded->module->kernels.push_back(std::move(kernel));
    loaded->description.kernels.push_back(std::move(description));
  }
  for (const ImageVariable& variable : symbols.variables) {
    CUdeviceptr address = 0;
    std::size_t bytes = 0;
    // A name of a part that the driver did not take is not there.
    if (driver.ModuleGetGlobal(&address, &bytes, module, variable.name.c_str()) != CUDA_SUCCESS) continue;
    loaded->description.globals.push_back(
        {variable.name, address, bytes, variable.is_constant, IsManaged(driver, address)});
  }
  return CUDA_SUCCESS;
}

// Managed variables are written by the session for the program, also while the device works.
Status CheckManaged(const Driver& driver, const Device& device, const ModuleDescription& module) {
  const auto managed = std::find_if(module.globals.begin(), module.globals.end(),
                                    [](const GlobalDescription& global) { return global.is_managed; });
  int is_concurrent = 0;
  if (managed == module.globals.end()) return Status::Ok();
  (void)driver.DeviceGetAttribute(&is_concurrent, CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, device.handle);
  if (is_concurrent != 0) return Status::Ok();
  return {Code::kUnsupported, kWhere,
          "__managed__ variables (" + managed->name + ") need a device with concurrent managed access"};
}

CUresult LoadImage(const Driver& driver, const void* image, CUmodule* module, std::string* said) {
  std::string log(kLogBytes, '\0');
  std::array<CUjit_option, 2> options{CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  std::array<void*, 2> values{log.data(), reinterpret_cast<void*>(log.size())};
  const CUresult result =
      driver.ModuleLoadDataEx(module, image, static_cast<unsigned>(options.size()), options.data(), values.data());
  *said = log.substr(0, log.find('\0'));
  return result;
}

// The PTX of an image, if it is wanted.
Result<std::vector<std::string>> TextsOf(const Bytes& image, std::uint32_t capability, bool are_wanted) {
  if (!are_wanted) return Status(Code::kNotFound, kWhere, "the driver takes the image as it is");
  return ExtractTexts(image, capability);
}

// Links the texts of the image and loads what comes of it. `symbols` become those of the texts.
CUresult LoadTexts(const Driver& driver, std::vector<std::string> texts, CUmodule* module, ImageSymbols* symbols,
                   std::string* said) {
  AddConditions(&texts);
  Linked linked(driver);
  CUresult result = linked.Link(texts);
  *said = linked.log();
  if (result == CUDA_SUCCESS) result = LoadImage(driver, linked.image(), module, said);
  std::vector<ImagePart> parts;
  for (std::string& text : texts) parts.push_back({true, std::move(text)});
  *symbols = ReadSymbols(parts);
  return result;
}

}  // namespace

Result<LoadedModule> LoadModule(const Driver& driver, Device& device, Bytes image, std::uint32_t capability) {
  ImageSymbols symbols;
  {
    ACCELMESH_ASSIGN_OR_RETURN(const std::vector<ImagePart> parts, ExtractParts(image, capability));
    symbols = ReadSymbols(parts);
  }
  CUresult result = Enter(driver, device);
  if (result != CUDA_SUCCESS) return Refused(driver, result, "");
  LoadedModule loaded;
  loaded.module = std::make_shared<Module>();
  loaded.module->device = &device;
  // The driver reads PTX text up to a zero.
  image.push_back(0);
  std::string said;
  // Kernels that set conditions need our definition of how; machine code has NVIDIA's in it.
  Result<std::vector<std::string>> texts = TextsOf(image, capability, symbols.sets_conditions);
  const bool has_conditions = texts.ok() && CallConditions(*texts);
  if (!has_conditions) {
    result = LoadImage(driver, image.data(), &loaded.module->handle, &said);
    loaded.description.has_foreign_conditions = symbols.sets_conditions;
    // Device code that nvcc linked is machine code; what it was linked from comes behind it.
    texts = TextsOf(image, capability, result == CUDA_ERROR_NO_BINARY_FOR_GPU);
  }
  if (texts.ok()) result = LoadTexts(driver, *std::move(texts), &loaded.module->handle, &symbols, &said);
  if (result != CUDA_SUCCESS) return Refused(driver, result, said);
  loaded.prints = symbols.prints;
  result = Describe(driver, symbols, &loaded);
  if (result != CUDA_SUCCESS) {
    (void)driver.ModuleUnload(loaded.module->handle);
    return Refused(driver, result, "");
  }
  if (Status fits = CheckManaged(driver, device, loaded.description); !fits.ok()) {
    (void)driver.ModuleUnload(loaded.module->handle);
    return fits;
  }
  return loaded;
}

}  // namespace accelmesh::cuda
