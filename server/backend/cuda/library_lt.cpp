#include "server/backend/cuda/library_lt.h"

#include <dlfcn.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

namespace accelmesh::cuda {
namespace {

// What an attribute of an algorithm may have at most; the longest are lists of tiles.
constexpr std::size_t kAttributeBytesMax = 16384;

const void* Pointer(std::uint64_t address) { return reinterpret_cast<const void*>(address); }
void* MutablePointer(std::uint64_t address) { return reinterpret_cast<void*>(address); }

// Sets attributes of one descriptor until one is refused.
template <typename Descriptor, typename Attribute>
class Setter {
 public:
  using Function = cublasStatus_t (*)(Descriptor, Attribute, const void*, std::size_t);
  Setter(Function function, Descriptor descriptor, cublasStatus_t status)
      : function_(function), descriptor_(descriptor), status_(status) {}
  // As the type that the attribute has, unless it is what a new descriptor has anyway.
  template <typename T>
  void Set(Attribute attribute, std::int64_t value, std::int64_t otherwise) {
    if (value == otherwise || status_ != CUBLAS_STATUS_SUCCESS) return;
    const T typed = static_cast<T>(value);
    status_ = function_(descriptor_, attribute, &typed, sizeof(typed));
  }
  void SetAddress(Attribute attribute, std::uint64_t value) {
    Set<std::uint64_t>(attribute, static_cast<std::int64_t>(value), 0);
  }
  cublasStatus_t status() const { return status_; }

 private:
  Function function_;
  Descriptor descriptor_;
  cublasStatus_t status_;
};

cublasStatus_t MakeLayout(const LtLibrary& library, const LtLayout& words, cublasLtMatrixLayoutOpaque_t* layout) {
  const cublasStatus_t made = library.LayoutInit(layout, sizeof(*layout), static_cast<cudaDataType>(words.type),
                                                 static_cast<std::uint64_t>(words.rows),
                                                 static_cast<std::uint64_t>(words.columns), words.leading);
  Setter<cublasLtMatrixLayout_t, cublasLtMatrixLayoutAttribute_t> set(library.LayoutSet, layout, made);
  set.Set<std::int32_t>(CUBLASLT_MATRIX_LAYOUT_ORDER, words.order, CUBLASLT_ORDER_COL);
  set.Set<std::int32_t>(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, words.batch_count, 1);
  set.Set<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, words.batch_stride, 0);
  set.Set<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET, words.plane_offset, 0);
  set.Set<std::uint32_t>(CUBLASLT_MATRIX_LAYOUT_BATCH_MODE, words.batch_mode, CUBLASLT_BATCH_MODE_STRIDED);
  return set.status();
}

struct Layouts {
  cublasLtMatrixLayoutOpaque_t a;
  cublasLtMatrixLayoutOpaque_t b;
  cublasLtMatrixLayoutOpaque_t c;
  cublasLtMatrixLayoutOpaque_t d;
};
cublasStatus_t MakeLayouts(const LtLibrary& library, const LtLayouts& words, Layouts* layouts) {
  const std::pair<const LtLayout*, cublasLtMatrixLayoutOpaque_t*> all[] = {
      {&words.a, &layouts->a}, {&words.b, &layouts->b}, {&words.c, &layouts->c}, {&words.d, &layouts->d}};
  for (const auto& [from, to] : all) {
    if (const cublasStatus_t status = MakeLayout(library, *from, to); status != CUBLAS_STATUS_SUCCESS) return status;
  }
  return CUBLAS_STATUS_SUCCESS;
}

// The second descriptor is one that the first points to.
struct Operation {
  cublasLtMatmulDescOpaque_t matmul;
  cublasLtEmulationDescOpaque_t emulation;
};
cublasStatus_t MakeEmulation(const LtLibrary& library, const LtOperation& words, cublasLtEmulationDescOpaque_t* made) {
  if (library.EmulationDescInit == nullptr || library.EmulationDescSet == nullptr) return CUBLAS_STATUS_NOT_SUPPORTED;
  const cublasStatus_t status = library.EmulationDescInit(made, sizeof(*made));
  Setter<cublasLtEmulationDesc_t, cublasLtEmulationDescAttributes_t> set(library.EmulationDescSet, made, status);
  constexpr std::int64_t kAlways = -1;  // no value of any of them
  set.Set<std::int32_t>(CUBLASLT_EMULATION_DESC_STRATEGY, words.emulation_strategy, kAlways);
  set.Set<std::int32_t>(CUBLASLT_EMULATION_DESC_SPECIAL_VALUES_SUPPORT, words.special_values, kAlways);
  set.Set<std::int32_t>(CUBLASLT_EMULATION_DESC_FIXEDPOINT_MANTISSA_CONTROL, words.mantissa_control, kAlways);
  set.Set<std::int32_t>(CUBLASLT_EMULATION_DESC_FIXEDPOINT_MAX_MANTISSA_BIT_COUNT, words.mantissa_bits_max, 0);
  set.Set<std::int32_t>(CUBLASLT_EMULATION_DESC_FIXEDPOINT_MANTISSA_BIT_OFFSET, words.mantissa_bit_offset, 0);
  set.SetAddress(CUBLASLT_EMULATION_DESC_FIXEDPOINT_MANTISSA_BIT_COUNT_POINTER, words.mantissa_bits);
  return set.status();
}

cublasStatus_t MakeOperation(const LtLibrary& library, const LtOperation& words, Operation* operation) {
  const cublasStatus_t made = library.MatmulDescInit(&operation->matmul, sizeof(operation->matmul),
                                                     static_cast<cublasComputeType_t>(words.compute_type),
                                                     static_cast<cudaDataType_t>(words.scale_type));
  Setter<cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t> set(library.MatmulDescSet, &operation->matmul, made);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_POINTER_MODE, words.pointer_mode, CUBLASLT_POINTER_MODE_HOST);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_TRANSA, words.transa, CUBLAS_OP_N);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_TRANSB, words.transb, CUBLAS_OP_N);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_TRANSC, words.transc, CUBLAS_OP_N);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_FILL_MODE, words.fill_mode, CUBLAS_FILL_MODE_FULL);
  set.Set<std::uint32_t>(CUBLASLT_MATMUL_DESC_EPILOGUE, words.epilogue, CUBLASLT_EPILOGUE_DEFAULT);
  set.SetAddress(CUBLASLT_MATMUL_DESC_BIAS_POINTER, words.bias);
  set.Set<std::int64_t>(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, words.bias_batch_stride, 0);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, words.bias_type, -1);
  set.SetAddress(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, words.aux);
  set.Set<std::int64_t>(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, words.aux_leading, 0);
  set.Set<std::int64_t>(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, words.aux_batch_stride, 0);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, words.aux_type, -1);
  set.SetAddress(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_POINTER, words.aux_scale);
  set.SetAddress(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_AMAX_POINTER, words.aux_amax);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_MODE, words.aux_scale_mode, 0);
  set.Set<std::int64_t>(CUBLASLT_MATMUL_DESC_ALPHA_VECTOR_BATCH_STRIDE, words.alpha_batch_stride, 0);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, words.sm_count_target, 0);
  set.SetAddress(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, words.a_scale);
  set.SetAddress(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, words.b_scale);
  set.SetAddress(CUBLASLT_MATMUL_DESC_C_SCALE_POINTER, words.c_scale);
  set.SetAddress(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, words.d_scale);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, words.a_scale_mode, 0);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, words.b_scale_mode, 0);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_C_SCALE_MODE, words.c_scale_mode, 0);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_D_SCALE_MODE, words.d_scale_mode, 0);
  set.SetAddress(CUBLASLT_MATMUL_DESC_D_OUT_SCALE_POINTER, words.d_out_scale);
  set.Set<std::int32_t>(CUBLASLT_MATMUL_DESC_D_OUT_SCALE_MODE, words.d_out_scale_mode, 0);
  set.SetAddress(CUBLASLT_MATMUL_DESC_AMAX_D_POINTER, words.d_amax);
  set.Set<std::int8_t>(CUBLASLT_MATMUL_DESC_FAST_ACCUM, words.fast_accumulation, 0);
  if (words.has_emulation == 0 || set.status() != CUBLAS_STATUS_SUCCESS) return set.status();
  if (const cublasStatus_t status = MakeEmulation(library, words, &operation->emulation);
      status != CUBLAS_STATUS_SUCCESS)
    return status;
  set.SetAddress(CUBLASLT_MATMUL_DESC_EMULATION_DESCRIPTOR, reinterpret_cast<std::uint64_t>(&operation->emulation));
  return set.status();
}

// Both descriptors of a problem; addresses in them are good as long as it.
struct Problem {
  Operation operation;
  Layouts layouts;
};
cublasStatus_t MakeProblem(const LtLibrary& library, const LtOperation& operation, const LtLayouts& layouts,
                           Problem* problem) {
  const cublasStatus_t made = MakeOperation(library, operation, &problem->operation);
  return made == CUBLAS_STATUS_SUCCESS ? MakeLayouts(library, layouts, &problem->layouts) : made;
}

// The library may read a complex number at once.
struct alignas(16) HostScalar {
  std::array<std::uint64_t, 2> words;
};
bool IsAlphaOnDevice(std::int64_t mode) { return mode != CUBLASLT_POINTER_MODE_HOST; }
bool IsBetaOnDevice(std::int64_t mode) {
  return mode == CUBLASLT_POINTER_MODE_DEVICE || mode == CUBLASLT_POINTER_MODE_DEVICE_VECTOR;
}

cublasStatus_t RunMatmul(const LtLibrary& library, cublasLtHandle_t handle, const LtMatmul& words, CUstream stream) {
  Problem problem;
  if (const cublasStatus_t made = MakeProblem(library, words.operation, words.layouts, &problem);
      made != CUBLAS_STATUS_SUCCESS)
    return made;
  const HostScalar alpha{words.alpha};
  const HostScalar beta{words.beta};
  const std::int64_t mode = words.operation.pointer_mode;
  const auto algorithm = std::bit_cast<cublasLtMatmulAlgo_t>(words.algorithm);
  return library.Matmul(
      handle, &problem.operation.matmul, IsAlphaOnDevice(mode) ? Pointer(words.alpha[0]) : alpha.words.data(),
      Pointer(words.a), &problem.layouts.a, Pointer(words.b), &problem.layouts.b,
      IsBetaOnDevice(mode) ? Pointer(words.beta[0]) : beta.words.data(), Pointer(words.c), &problem.layouts.c,
      MutablePointer(words.d), &problem.layouts.d, words.has_algorithm != 0 ? &algorithm : nullptr,
      MutablePointer(words.workspace), words.workspace_bytes, stream);
}

cublasStatus_t RunTransform(const LtLibrary& library, cublasLtHandle_t handle, const LtTransform& words,
                            CUstream stream) {
  cublasLtMatrixTransformDescOpaque_t operation;
  const cublasStatus_t made =
      library.TransformDescInit(&operation, sizeof(operation), static_cast<cudaDataType>(words.scale_type));
  Setter<cublasLtMatrixTransformDesc_t, cublasLtMatrixTransformDescAttributes_t> set(library.TransformDescSet,
                                                                                     &operation, made);
  set.Set<std::int32_t>(CUBLASLT_MATRIX_TRANSFORM_DESC_POINTER_MODE, words.pointer_mode, CUBLASLT_POINTER_MODE_HOST);
  set.Set<std::int32_t>(CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSA, words.transa, CUBLAS_OP_N);
  set.Set<std::int32_t>(CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSB, words.transb, CUBLAS_OP_N);
  cublasStatus_t status = set.status();
  cublasLtMatrixLayoutOpaque_t a;
  cublasLtMatrixLayoutOpaque_t b;
  cublasLtMatrixLayoutOpaque_t c;
  const bool has_b = words.b_layout.rows != 0;
  if (status == CUBLAS_STATUS_SUCCESS) status = MakeLayout(library, words.a_layout, &a);
  if (status == CUBLAS_STATUS_SUCCESS && has_b) status = MakeLayout(library, words.b_layout, &b);
  if (status == CUBLAS_STATUS_SUCCESS) status = MakeLayout(library, words.c_layout, &c);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const HostScalar alpha{words.alpha};
  const HostScalar beta{words.beta};
  const bool on_device = words.pointer_mode != CUBLASLT_POINTER_MODE_HOST;
  return library.MatrixTransform(handle, &operation, on_device ? Pointer(words.alpha[0]) : alpha.words.data(),
                                 Pointer(words.a), &a, on_device ? Pointer(words.beta[0]) : beta.words.data(),
                                 Pointer(words.b), has_b ? &b : nullptr, MutablePointer(words.c), &c, stream);
}

// Questions ----------------------------------------------------------------------------------------------------------

template <typename T>
Bytes BytesOf(const T& value) {
  const ByteView view = AsBytes(value);
  return {view.begin(), view.end()};
}

LtHeuristic WordsOf(const cublasLtMatmulHeuristicResult_t& result) {
  return {std::bit_cast<LtAlgorithm>(result.algo), result.workspaceSize, static_cast<std::uint64_t>(result.state),
          std::bit_cast<std::uint32_t>(result.wavesCount)};
}

cublasStatus_t Answer(const LtLibrary& library, cublasLtHandle_t handle, const LtFindAlgorithms& words, Bytes* answer) {
  if (words.count < 1 || words.count > kLtHeuristicsMax) return CUBLAS_STATUS_INVALID_VALUE;
  Problem problem;
  if (const cublasStatus_t made = MakeProblem(library, words.operation, words.layouts, &problem);
      made != CUBLAS_STATUS_SUCCESS)
    return made;
  cublasLtMatmulPreferenceOpaque_t preference;
  const LtPreference& wish = words.preference;
  Setter<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t> set(
      library.PreferenceSet, &preference, library.PreferenceInit(&preference, sizeof(preference)));
  constexpr std::int64_t kAlignment = 256;
  set.Set<std::uint32_t>(CUBLASLT_MATMUL_PREF_SEARCH_MODE, wish.search_mode, CUBLASLT_SEARCH_BEST_FIT);
  set.Set<std::uint64_t>(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::int64_t>(wish.workspace_bytes_max),
                         0);
  set.Set<std::uint32_t>(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, wish.reduction_mask,
                         CUBLASLT_REDUCTION_SCHEME_MASK);
  set.Set<std::uint32_t>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, wish.a_alignment, kAlignment);
  set.Set<std::uint32_t>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, wish.b_alignment, kAlignment);
  set.Set<std::uint32_t>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, wish.c_alignment, kAlignment);
  set.Set<std::uint32_t>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, wish.d_alignment, kAlignment);
  // A float, by its bits.
  set.Set<std::uint32_t>(CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, static_cast<std::int64_t>(wish.waves_max), 0);
  set.Set<std::uint64_t>(CUBLASLT_MATMUL_PREF_IMPL_MASK, static_cast<std::int64_t>(wish.implementation_mask), -1);
  if (set.status() != CUBLAS_STATUS_SUCCESS) return set.status();
  std::vector<cublasLtMatmulHeuristicResult_t> found(static_cast<std::size_t>(words.count));
  found.front().algo = std::bit_cast<cublasLtMatmulAlgo_t>(words.algorithm);
  int count = 0;
  const cublasStatus_t status = library.GetHeuristic(handle, &problem.operation.matmul, &problem.layouts.a,
                                                     &problem.layouts.b, &problem.layouts.c, &problem.layouts.d,
                                                     &preference, static_cast<int>(words.count), found.data(), &count);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  for (int i = 0; i < count && i < words.count; ++i) {
    const Bytes one = BytesOf(WordsOf(found[static_cast<std::size_t>(i)]));
    answer->insert(answer->end(), one.begin(), one.end());
  }
  return status;
}

cublasStatus_t Answer(const LtLibrary& library, cublasLtHandle_t handle, const LtListAlgorithms& words, Bytes* answer) {
  if (words.count < 1 || words.count > kLtHeuristicsMax) return CUBLAS_STATUS_INVALID_VALUE;
  std::array<int, kLtHeuristicsMax> ids{};
  int count = 0;
  const LtTypes& types = words.types;
  const cublasStatus_t status = library.GetIds(
      handle, static_cast<cublasComputeType_t>(types.compute_type), static_cast<cudaDataType_t>(types.scale_type),
      static_cast<cudaDataType_t>(types.a), static_cast<cudaDataType_t>(types.b), static_cast<cudaDataType_t>(types.c),
      static_cast<cudaDataType_t>(types.d), static_cast<int>(words.count), ids.data(), &count);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const ByteView all = AsBytes(ids);
  const auto bytes = static_cast<std::size_t>(std::min<std::int64_t>(count, words.count)) * sizeof(int);
  answer->assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(bytes));
  return status;
}

cublasStatus_t Answer(const LtLibrary& library, cublasLtHandle_t handle, const LtInitAlgorithm& words, Bytes* answer) {
  cublasLtMatmulAlgo_t algorithm{};
  const LtTypes& types = words.types;
  const cublasStatus_t status = library.AlgoInit(
      handle, static_cast<cublasComputeType_t>(types.compute_type), static_cast<cudaDataType_t>(types.scale_type),
      static_cast<cudaDataType_t>(types.a), static_cast<cudaDataType_t>(types.b), static_cast<cudaDataType_t>(types.c),
      static_cast<cudaDataType_t>(types.d), static_cast<int>(words.id), &algorithm);
  if (status == CUBLAS_STATUS_SUCCESS) *answer = BytesOf(algorithm);
  return status;
}

cublasStatus_t Answer(const LtLibrary& library, cublasLtHandle_t handle, const LtCheckAlgorithm& words, Bytes* answer) {
  Problem problem;
  if (const cublasStatus_t made = MakeProblem(library, words.operation, words.layouts, &problem);
      made != CUBLAS_STATUS_SUCCESS)
    return made;
  const auto algorithm = std::bit_cast<cublasLtMatmulAlgo_t>(words.algorithm);
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status =
      library.AlgoCheck(handle, &problem.operation.matmul, &problem.layouts.a, &problem.layouts.b, &problem.layouts.c,
                        &problem.layouts.d, &algorithm, &result);
  if (status == CUBLAS_STATUS_SUCCESS) *answer = BytesOf(WordsOf(result));
  return status;
}

// An attribute of an algorithm: first how long it is, then all of it.
template <typename Function, typename Attribute>
cublasStatus_t AnswerAttribute(Function get, const LtAlgorithm& words, Attribute attribute, Bytes* answer) {
  const auto algorithm = std::bit_cast<cublasLtMatmulAlgo_t>(words);
  std::size_t bytes = 0;
  cublasStatus_t status = get(&algorithm, attribute, nullptr, 0, &bytes);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (bytes > kAttributeBytesMax) return CUBLAS_STATUS_NOT_SUPPORTED;
  Bytes value(bytes);
  if (bytes != 0) status = get(&algorithm, attribute, value.data(), value.size(), &bytes);
  if (status == CUBLAS_STATUS_SUCCESS) *answer = std::move(value);
  return status;
}
cublasStatus_t Answer(const LtLibrary& library, cublasLtHandle_t, const LtGetCapability& words, Bytes* answer) {
  return AnswerAttribute(library.AlgoGetCapability, words.algorithm,
                         static_cast<cublasLtMatmulAlgoCapAttributes_t>(words.attribute), answer);
}
cublasStatus_t Answer(const LtLibrary& library, cublasLtHandle_t, const LtGetConfiguration& words, Bytes* answer) {
  return AnswerAttribute(library.AlgoGetConfiguration, words.algorithm,
                         static_cast<cublasLtMatmulAlgoConfigAttributes_t>(words.attribute), answer);
}
cublasStatus_t Answer(const LtLibrary& library, cublasLtHandle_t, const LtSetConfiguration& words, Bytes* answer) {
  if (words.bytes < 1 || words.bytes > static_cast<std::int64_t>(sizeof(words.value)))
    return CUBLAS_STATUS_INVALID_VALUE;
  auto algorithm = std::bit_cast<cublasLtMatmulAlgo_t>(words.algorithm);
  const cublasStatus_t status =
      library.AlgoSetConfiguration(&algorithm, static_cast<cublasLtMatmulAlgoConfigAttributes_t>(words.attribute),
                                   &words.value, static_cast<std::size_t>(words.bytes));
  if (status == CUBLAS_STATUS_SUCCESS) *answer = BytesOf(algorithm);
  return status;
}

template <typename Words>
bool AskIf(const LtLibrary& library, cublasLtHandle_t handle, std::uint32_t function, ByteView arguments,
           LibraryAnswer* answer) {
  if (function != kLtFunction<Words>) return false;
  answer->status = static_cast<std::uint32_t>(Answer(library, handle, ReadLt<Words>(arguments), &answer->results));
  return true;
}
template <typename... Words>
LibraryAnswer AskAny(const LtLibrary& library, cublasLtHandle_t handle, std::uint32_t function, ByteView arguments) {
  LibraryAnswer answer;
  answer.status = CUBLAS_STATUS_NOT_SUPPORTED;
  (void)(AskIf<Words>(library, handle, function, arguments, &answer) || ...);
  return answer;
}

// Of what a kernel may read at once.
std::uint64_t AlignmentOf(std::uint64_t address) { return address == 0 ? 0 : kLtAlignedAddress | (address & 0xf); }
template <typename Words>
void ForgetScalars(Words* words) {
  for (auto* scalar : {&words->alpha, &words->beta}) *scalar = {(*scalar)[0] != 0 || (*scalar)[1] != 0, 0};
}

}  // namespace

Result<std::unique_ptr<const LtLibrary>> LtLibrary::Load() {
  constexpr const char* kWhere = "LtLibrary::Load";
  const char* const chosen = std::getenv("ACCELMESH_LIBCUBLASLT");
  const std::string path = chosen != nullptr && *chosen != '\0' ? chosen : "libcublasLt.so.13";
  void* const object = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    return Status(Code::kUnsupported, kWhere,
                  std::string("the server has no cuBLASLt: ") + ::dlerror() + "; install NVIDIA's of CUDA 13");
  }
  auto library = std::make_unique<LtLibrary>();
  std::string missing;
#define ACCELMESH_CUDA_FIND(member, symbol, needed)                                  \
  library->member = reinterpret_cast<decltype(&::symbol)>(::dlsym(object, #symbol)); \
  if (library->member == nullptr && (needed)) missing += missing.empty() ? #symbol : ", " #symbol;
  ACCELMESH_CUDA_LT_FUNCTIONS(ACCELMESH_CUDA_FIND)
#undef ACCELMESH_CUDA_FIND
  if (!missing.empty()) return Status(Code::kUnsupported, kWhere, path + " lacks " + missing);
  return std::unique_ptr<const LtLibrary>(std::move(library));
}

Bytes LtLibrary::Bits() const {
  Bytes bits((LibraryFunctions(kLibraryBlasLt) + 7) / 8);
#define ACCELMESH_BLASLT_FUNCTION(function, name, Words) \
  bits[(function) / 8] = static_cast<std::uint8_t>(bits[(function) / 8] | 1u << ((function) % 8));
#include "protocol/gen_blaslt_functions.inc"
#undef ACCELMESH_BLASLT_FUNCTION
  return bits;
}

std::string LtLibrary::StatusName(cublasStatus_t status) const {
  const char* const name = GetStatusName(status);
  return std::string(name == nullptr ? "an unknown status" : name) + " (" + std::to_string(static_cast<int>(status)) +
         ")";
}

cublasStatus_t LtLibrary::Run(cublasLtHandle_t handle, std::uint32_t function, ByteView arguments,
                              CUstream stream) const {
  if (function == kLtFunction<LtMatmul>) return RunMatmul(*this, handle, ReadLt<LtMatmul>(arguments), stream);
  if (function == kLtFunction<LtTransform>) return RunTransform(*this, handle, ReadLt<LtTransform>(arguments), stream);
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

LibraryAnswer LtLibrary::Ask(cublasLtHandle_t handle, std::uint32_t function, ByteView arguments) const {
  return AskAny<LtFindAlgorithms, LtListAlgorithms, LtInitAlgorithm, LtCheckAlgorithm, LtGetCapability,
                LtSetConfiguration, LtGetConfiguration>(*this, handle, function, arguments);
}

Bytes LtProblem(std::uint32_t function, ByteView arguments) {
  if (function == kLtFunction<LtTransform>) {
    auto words = ReadLt<LtTransform>(arguments);
    for (std::uint64_t* address : {&words.a, &words.b, &words.c}) *address = AlignmentOf(*address);
    ForgetScalars(&words);
    return BytesOf(words);
  }
  auto words = ReadLt<LtMatmul>(arguments);
  LtOperation& operation = words.operation;
  for (std::uint64_t* address :
       {&words.a, &words.b, &words.c, &words.d, &words.workspace, &operation.bias, &operation.aux, &operation.aux_scale,
        &operation.aux_amax, &operation.a_scale, &operation.b_scale, &operation.c_scale, &operation.d_scale,
        &operation.d_out_scale, &operation.d_amax, &operation.mantissa_bits})
    *address = AlignmentOf(*address);
  ForgetScalars(&words);
  return BytesOf(words);
}

}  // namespace accelmesh::cuda
