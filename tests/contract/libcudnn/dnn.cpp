// The contract libcudnn: the shim's descriptors and checks (shim/dnn), and the rules that a caller of the real library
// has to keep. Calls run in their handle's stream, on the contract libcuda's device, by the software GPU's neural
// networks.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "shim/dnn/call.h"
#include "shim/dnn/graph_descriptor.h"
#include "shim/dnn/report.h"
#include "shim/gen_dnn_face.h"
#include "tests/contract/libcublas/device.h"
#include "tests/contract/libcudnn/control.h"

namespace accelmesh::dnn {
namespace {

using contract::Break;
using contract::MayWait;

struct Handles {
  std::mutex mu;
  std::set<cudnnHandle_t> all;
  contract_dnn_state state{};
};
Handles& AllHandles() {
  static auto* const handles = new Handles;
  return *handles;
}

void NoteWorkspace(std::uint64_t address, std::uint64_t bytes) {
  Handles& handles = AllHandles();
  const std::lock_guard lock(handles.mu);
  handles.state.workspace = address;
  handles.state.workspace_bytes = bytes;
}

void Count(long long contract_dnn_state::* what) {
  Handles& handles = AllHandles();
  const std::lock_guard lock(handles.mu);
  ++(handles.state.*what);
}

// While it lives, the thread uses the handle.
class User {
 public:
  User(cudnnContext& context, const char* name) : context_(context) {
    if (context_.users.fetch_add(1) != 0)
      Break(CONTRACT_RULE_BAD_HANDLE, std::string(name) + ": another thread is using the handle");
  }
  ~User() { context_.users.fetch_sub(1); }
  User(const User&) = delete;
  User& operator=(const User&) = delete;

 private:
  cudnnContext& context_;
};

// Answers stay, as a Call's do.
std::span<const DnnAlgorithm> Keep(std::vector<DnnAlgorithm> algorithms) {
  static auto* const kept = new std::deque<std::vector<DnnAlgorithm>>;
  const std::lock_guard lock(AllHandles().mu);
  return kept->emplace_back(std::move(algorithms));
}

}  // namespace

void SayRefused(const char*, const char*) {}

cudnnStatus_t FindHandle(cudnnHandle_t handle, cudnnContext** found) {
  {
    Handles& handles = AllHandles();
    const std::lock_guard lock(handles.mu);
    if (!handles.all.contains(handle)) {
      Break(CONTRACT_RULE_BAD_HANDLE, "cuDNN: no handle, or one that was destroyed");
      return CUDNN_STATUS_BAD_PARAM;
    }
  }
  if (contract::CurrentContext() != handle->context) {
    Break(CONTRACT_RULE_WRONG_CONTEXT, "cuDNN: the handle is of another context than the current one");
    return CUDNN_STATUS_BAD_PARAM;
  }
  *found = handle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t Call::CheckFunction(std::uint32_t function) {
  return contract::HasFunction(kLibraryDnn, function) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t Call::PostBytes(std::uint32_t function, ByteView arguments) {
  if (const cudnnStatus_t status = CheckFunction(function); status != CUDNN_STATUS_SUCCESS) return status;
  const User user(*context_, name_);
  for (const std::uint32_t convolution : {kDnnFunction<DnnConvolutionForward>, kDnnFunction<DnnConvolutionBackwardData>,
                                          kDnnFunction<DnnConvolutionBackwardFilter>}) {
    if (function != convolution) continue;
    const auto words = LibraryArguments(arguments).Value<DnnConvolutionCall>(0);
    NoteWorkspace(words.workspace, words.workspace_bytes);
  }
  {
    Handles& handles = AllHandles();
    const std::lock_guard lock(handles.mu);
    ++handles.state.calls;
    handles.state.stream = context_->stream;
  }
  const CUresult result = contract::QueueFunction(name_, kLibraryDnn, function,
                                                  Bytes(arguments.begin(), arguments.end()), context_->stream);
  return result == CUDA_SUCCESS ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

// A plan that a context has not executed yet has kernels to load.
cudnnStatus_t Call::PostPlan(ByteView plan, DnnGraphExecute words, std::span<const std::int32_t> tail) {
  static auto* const loaded = new std::set<std::pair<CUcontext, Bytes>>;
  if (status_ != CUDNN_STATUS_SUCCESS) return status_;
  if (words.workspace == 0) return CUDNN_STATUS_BAD_PARAM;
  NoteWorkspace(words.workspace, CONTRACT_DNN_PLAN_BYTES);
  const User user(*context_, name_);
  // The software GPU has but one engine.
  Bytes settings(plan.begin(), plan.end());
  std::fill_n(settings.begin() + sizeof(std::int64_t), sizeof(std::int64_t), std::uint8_t{0});
  {
    const std::lock_guard lock(AllHandles().mu);
    const auto [place, is_new] = loaded->emplace(context_->context, settings);
    if (is_new && !MayWait(name_, "its plan's kernels are not loaded yet")) {
      loaded->erase(place);
      return CUDNN_STATUS_EXECUTION_FAILED;
    }
    ++AllHandles().state.calls;
    AllHandles().state.stream = context_->stream;
  }
  words.tail_words = TailWords(tail);
  const CUresult result =
      contract::QueueFunction(name_, kLibraryDnn, kDnnFunction<DnnGraphExecute>, WithTail(AsBytes(words), tail),
                              context_->stream, nullptr, std::move(settings));
  return result == CUDA_SUCCESS ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

// Functions that run ask as well, for their checks.
cudnnStatus_t Call::AskBytes(std::uint32_t function, ByteView arguments, void* to, std::size_t bytes) {
  if (const cudnnStatus_t status = CheckFunction(function); status != CUDNN_STATUS_SUCCESS) return status;
  const bool is_of_graph = function == kDnnFunction<DnnGraphQuery>;
  if (is_of_graph && !MayWait(name_, "it may take long")) return CUDNN_STATUS_EXECUTION_FAILED;
  const cpu_blas::Outcome outcome = contract::RunFunction(kLibraryDnn, function, arguments, 0);
  if (outcome.device_status != 0) return CUDNN_STATUS_EXECUTION_FAILED;
  if (outcome.status != CUDNN_STATUS_SUCCESS) return static_cast<cudnnStatus_t>(outcome.status);
  if (outcome.result_bytes != bytes) return CUDNN_STATUS_INTERNAL_ERROR;
  std::memcpy(to, outcome.results, bytes);
  if (is_of_graph) {
    constexpr DnnGraphAnswer kEngines{
        2, CONTRACT_DNN_PLAN_BYTES, 1 << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC,
        1 << CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION | 1 << CUDNN_BEHAVIOR_NOTE_SUPPORTS_CUDA_GRAPH_NATIVE_API};
    std::memcpy(to, &kEngines, sizeof(kEngines));
  }
  return CUDNN_STATUS_SUCCESS;
}

// Convolutions ask as well, for their checks: that is no question of the program's.
cudnnStatus_t Call::FindAlgorithms(const DnnFindAlgorithms& problem, std::span<const DnnAlgorithm>* algorithms) {
  if (status_ != CUDNN_STATUS_SUCCESS) return status_;
  if (std::string_view(name_).ends_with("Algorithm_v7")) {
    if (!MayWait(name_, "it may take long")) return CUDNN_STATUS_EXECUTION_FAILED;
    const User user(*context_, name_);
    const std::lock_guard lock(AllHandles().mu);
    ++AllHandles().state.questions;
  }
  constexpr std::uint32_t kFunction = kDnnFunction<DnnFindAlgorithms>;
  if (const cudnnStatus_t status = CheckFunction(kFunction); status != CUDNN_STATUS_SUCCESS) return status;
  const Arguments<DnnFindAlgorithms> arguments{0, problem};
  const cpu_blas::Outcome outcome = contract::RunFunction(kLibraryDnn, kFunction, AsBytes(arguments), 0);
  if (outcome.device_status != 0) return CUDNN_STATUS_EXECUTION_FAILED;
  if (outcome.status != CUDNN_STATUS_SUCCESS) return static_cast<cudnnStatus_t>(outcome.status);
  std::vector<DnnAlgorithm> found(outcome.result_bytes / sizeof(DnnAlgorithm));
  std::memcpy(found.data(), outcome.results, found.size() * sizeof(DnnAlgorithm));
  if (found.size() > 1) found[1].workspace_bytes = CONTRACT_DNN_WORKSPACE_BYTES;
  *algorithms = Keep(std::move(found));
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace accelmesh::dnn

// Bodies in the place of the shim's ----------------------------------------------------------------------------------

// The shim's, compiled under these names: for them reductions need no room.
extern "C" decltype(::cudnnReduceTensor) contract_shim_reduce_tensor;
extern "C" decltype(::cudnnBackendFinalize) contract_shim_backend_finalize;
extern "C" decltype(::cudnnBackendExecute) contract_shim_backend_execute;

namespace accelmesh::dnn {
namespace {

// The shim's engines have no knobs, and take none.
cudnnStatus_t FinalizeConfiguration(cudnnBackendDescriptor_t descriptor) {
  GraphState& state = *StateOf(descriptor);
  std::vector<GraphState::Value> knobs;
  for (const GraphState::Value& value : state.values) {
    if (value.name == CUDNN_ATTR_ENGINECFG_KNOB_CHOICES) knobs.push_back(value);
  }
  std::erase_if(state.values, [](const auto& value) { return value.name == CUDNN_ATTR_ENGINECFG_KNOB_CHOICES; });
  const cudnnStatus_t status = ::contract_shim_backend_finalize(descriptor);
  state.values.insert(state.values.end(), knobs.begin(), knobs.end());
  return status;
}
std::atomic<int> knobs_chosen{1};
void ChooseKnobs(GraphState& heuristics) {
  const int knobs = knobs_chosen.load();
  const auto count = static_cast<std::size_t>(std::max(knobs, 1));
  // Whoever asks for descriptors asks for what there is none of, and is refused.
  const cudnnBackendAttributeType_t type = knobs < 0 ? CUDNN_TYPE_INT64 : CUDNN_TYPE_BACKEND_DESCRIPTOR;
  for (const GraphState::Reference& configuration : heuristics.Find(CUDNN_ATTR_ENGINEHEUR_RESULTS)->references) {
    auto choice = std::make_shared<GraphState>(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    choice->values = {{CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, {CUDNN_KNOB_TYPE_TILE_SIZE}, {}},
                      {CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, {CONTRACT_DNN_KNOB_VALUE}, {}}};
    choice->is_final = true;
    const std::vector<GraphState::Reference> choices(count, std::move(choice));
    configuration->values.push_back(
        {CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, type, std::vector<std::int64_t>(count), choices});
  }
}
bool HasKnobs(const GraphState& plan) {
  const GraphState::Reference configuration = plan.Refers(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (configuration == nullptr) return true;  // it is one of text
  const GraphState::Reference choice = configuration->Refers(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
  return choice != nullptr && choice->Number(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE) == CUDNN_KNOB_TYPE_TILE_SIZE &&
         choice->Number(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE) == CONTRACT_DNN_KNOB_VALUE;
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  CUcontext const context = contract::CurrentContext();
  if (handle == nullptr || context == nullptr) return CUDNN_STATUS_NOT_INITIALIZED;
  if (!contract::MayWait("cudnnCreate", "it makes memory")) return CUDNN_STATUS_NOT_INITIALIZED;
  auto* const made = new cudnnContext;
  made->context = context;
  Handles& handles = AllHandles();
  const std::lock_guard lock(handles.mu);
  handles.all.insert(made);
  handles.state.handles = static_cast<int>(handles.all.size());
  *handle = made;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  if (!contract::MayWait("cudnnDestroy", "it waits for the device")) return CUDNN_STATUS_NOT_INITIALIZED;
  cudnnContext* context = nullptr;
  if (const cudnnStatus_t status = FindHandle(handle, &context); status != CUDNN_STATUS_SUCCESS) return status;
  {
    Handles& handles = AllHandles();
    const std::lock_guard lock(handles.mu);
    handles.all.erase(handle);
    handles.state.handles = static_cast<int>(handles.all.size());
  }
  delete context;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  cudnnContext* context = nullptr;
  if (const cudnnStatus_t status = FindHandle(handle, &context); status != CUDNN_STATUS_SUCCESS) return status;
  const User user(*context, "cudnnSetStream");
  context->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetReductionWorkspaceSize(cudnnHandle_t handle, const cudnnReduceTensorDescriptor_t reduction,
                                             const cudnnTensorDescriptor_t a, const cudnnTensorDescriptor_t c,
                                             size_t* bytes) {
  Call call(handle, "cudnnGetReductionWorkspaceSize");
  call.Require(AreGiven(reduction, a, c, bytes));
  if (call.status() == CUDNN_STATUS_SUCCESS) *bytes = CONTRACT_DNN_REDUCTION_BYTES;
  return call.status();
}
cudnnStatus_t cudnnReduceTensor(cudnnHandle_t handle, const cudnnReduceTensorDescriptor_t reduction, void* indices,
                                size_t index_bytes, void* workspace, size_t workspace_bytes, const void* alpha,
                                const cudnnTensorDescriptor_t a_descriptor, const void* a, const void* beta,
                                const cudnnTensorDescriptor_t c_descriptor, void* c) {
  if (workspace == nullptr || workspace_bytes < CONTRACT_DNN_REDUCTION_BYTES) return CUDNN_STATUS_BAD_PARAM;
  NoteWorkspace(reinterpret_cast<std::uintptr_t>(workspace), workspace_bytes);
  return ::contract_shim_reduce_tensor(handle, reduction, indices, index_bytes, workspace, workspace_bytes, alpha,
                                       a_descriptor, a, beta, c_descriptor, c);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  const int type = descriptor == nullptr ? -1 : StateOf(descriptor)->type;
  if (type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) return FinalizeConfiguration(descriptor);
  if (type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) {
    Count(&contract_dnn_state::heuristics);
    const cudnnStatus_t status = ::contract_shim_backend_finalize(descriptor);
    if (status == CUDNN_STATUS_SUCCESS) ChooseKnobs(*StateOf(descriptor));
    return status;
  }
  if (type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) return ::contract_shim_backend_finalize(descriptor);
  if (!contract::MayWait("cudnnBackendFinalize", "it may compile")) return CUDNN_STATUS_EXECUTION_FAILED;
  Count(&contract_dnn_state::tries);
  if (!HasKnobs(*StateOf(descriptor))) return CUDNN_STATUS_NOT_SUPPORTED;
  if (contract::CurrentContext() == nullptr) return CUDNN_STATUS_NOT_INITIALIZED;
  const cudnnStatus_t status = ::contract_shim_backend_finalize(descriptor);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  if (StateOf(descriptor)->plan[1] == 0) {
    StateOf(descriptor)->is_final = false;
    return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
  }
  Count(&contract_dnn_state::plans);
  if (StateOf(descriptor)->Find(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG) == nullptr)
    Count(&contract_dnn_state::from_text);
  return CUDNN_STATUS_SUCCESS;
}
// What it says of threads: one at a time executes a plan.
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  static auto* const used = new std::set<cudnnBackendDescriptor_t>;
  {
    const std::lock_guard lock(AllHandles().mu);
    if (!used->insert(plan).second)
      contract::Break(CONTRACT_RULE_BAD_HANDLE, "cudnnBackendExecute: another thread executes the plan");
  }
  const cudnnStatus_t status = ::contract_shim_backend_execute(handle, plan, pack);
  const std::lock_guard lock(AllHandles().mu);
  used->erase(plan);
  return status;
}

}  // namespace accelmesh::face

extern "C" __attribute__((visibility("default"))) void contract_dnn_last(contract_dnn_state* state) {
  const std::lock_guard lock(accelmesh::dnn::AllHandles().mu);
  *state = accelmesh::dnn::AllHandles().state;
}
extern "C" __attribute__((visibility("default"))) void contract_dnn_choose(int knobs) {
  accelmesh::dnn::knobs_chosen.store(knobs);
}
