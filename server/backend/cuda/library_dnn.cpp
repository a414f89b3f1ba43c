#include "server/backend/cuda/library_dnn.h"

#include <dlfcn.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "protocol/base/log.h"
#include "protocol/library/library.h"
#include "server/backend/cuda/library_dnn_call.h"
#include "server/backend/cuda/library_dnn_graph.h"

namespace accelmesh::cuda {
namespace {

constexpr std::size_t kKnownMax = 65536;
constexpr std::size_t kRoomBytesMin = 1 << 20;
constexpr std::size_t kRoomBytesMax = std::size_t{1} << 40;  // no device has as much

const DnnTable& Functions() {
  static const DnnTable table = [] {
    DnnTable all(LibraryFunctions(kLibraryDnn));
    AddConvolutions(all);
    AddLayers(all);
    AddWholeTensors(all);
    AddRecurrent(all);
    AddNorms(all);
    AddOlder(all);
    AddAttention(all);
    AddGraphs(all);
    return all;
  }();
  return table;
}

}  // namespace

Result<std::unique_ptr<const DnnLibrary>> DnnLibrary::Load() {
  constexpr const char* kWhere = "DnnLibrary::Load";
  const char* const chosen = std::getenv("ACCELMESH_LIBCUDNN");
  const std::string path = chosen != nullptr && *chosen != '\0' ? chosen : "libcudnn.so.9";
  void* const object = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    return Status(Code::kUnsupported, kWhere,
                  std::string("the server has no cuDNN: ") + ::dlerror() + "; install NVIDIA's cuDNN 9 for CUDA 13");
  }
  auto library = std::make_unique<DnnLibrary>();
  std::string missing;
#define ACCELMESH_CUDA_FIND(member)                                                                 \
  library->member = reinterpret_cast<decltype(&::cudnn##member)>(::dlsym(object, "cudnn" #member)); \
  if (library->member == nullptr) missing += missing.empty() ? "cudnn" #member : ", cudnn" #member;
  ACCELMESH_CUDA_DNN_FUNCTIONS(ACCELMESH_CUDA_FIND)
#undef ACCELMESH_CUDA_FIND
  if (!missing.empty()) return Status(Code::kUnsupported, kWhere, path + " lacks " + missing);
#define ACCELMESH_CUDA_FIND(member, group)                                                          \
  library->member = reinterpret_cast<decltype(&::cudnn##member)>(::dlsym(object, "cudnn" #member)); \
  if (library->member == nullptr) {                                                                 \
    library->lacking_.insert(DnnGroup::group);                                                      \
    missing += missing.empty() ? "cudnn" #member : ", cudnn" #member;                               \
  }
  ACCELMESH_CUDA_DNN_GROUPED_FUNCTIONS(ACCELMESH_CUDA_FIND)
#undef ACCELMESH_CUDA_FIND
  if (!missing.empty())
    log::Warning("cuda backend", path + " lacks " + missing + "; functions of cuDNN that need it are refused");
  return std::unique_ptr<const DnnLibrary>(std::move(library));
}

Bytes DnnLibrary::Bits() const {
  const std::uint32_t count = LibraryFunctions(kLibraryDnn);
  Bytes bits((count + 7) / 8);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (Find(i) != nullptr) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1u << (i % 8));
  }
  return bits;
}

const DnnFunction* DnnLibrary::Find(std::uint32_t function) const {
  const DnnTable& table = Functions();
  if (function >= table.size()) return nullptr;
  const DnnFunction& found = table[function];
  const bool is_there = (found.run != nullptr || found.ask != nullptr) && !lacking_.contains(found.group);
  return is_there ? &found : nullptr;
}

std::string DnnLibrary::StatusName(cudnnStatus_t status) const {
  const char* const name = GetErrorString(status);
  return std::string(name == nullptr ? "an unknown status" : name) + " (" + std::to_string(static_cast<int>(status)) +
         ")";
}

// Handles ------------------------------------------------------------------------------------------------------------

DnnHandle::DnnHandle(const Driver& driver, const DnnLibrary& library, cudnnHandle_t handle, GraphPlans* plans)
    : driver_(driver),
      library_(library),
      handle_(handle),
      plans_(plans),
      descriptors_(std::make_unique<DnnDescriptors>()) {}
DnnHandle::~DnnHandle() = default;

cudnnStatus_t DnnHandle::Run(std::uint32_t function, ByteView arguments, const Settings& settings) {
  why_.clear();
  const DnnFunction* const found = library_.Find(function);
  if (found == nullptr || found->run == nullptr) return CUDNN_STATUS_NOT_SUPPORTED;
  descriptors_->Trim(library_);
  DnnCall call(library_, this, plans_, settings);
  const cudnnStatus_t status = found->run(call, arguments);
  last_succeeded_ = status == CUDNN_STATUS_SUCCESS;
  return status;
}

LibraryAnswer DnnHandle::Ask(std::uint32_t function, ByteView arguments) {
  LibraryAnswer answer;
  answer.status = CUDNN_STATUS_NOT_SUPPORTED;
  const DnnFunction* const found = library_.Find(function);
  if (found == nullptr || found->ask == nullptr) return answer;
  descriptors_->Trim(library_);
  DnnCall call(library_, this, plans_);
  answer.status = static_cast<std::uint32_t>(found->ask(call, arguments, &answer.results));
  return answer;
}

void* DnnHandle::Room(std::size_t bytes) {
  if (bytes > room_bytes_ && bytes <= kRoomBytesMax) {
    // Twice as large as any before it: all of them are not more than twice what is needed.
    const std::size_t wanted = std::bit_ceil(std::max(bytes, kRoomBytesMin));
    CUdeviceptr made = 0;
    if (driver_.MemAlloc(&made, wanted) != CUDA_SUCCESS) return nullptr;
    rooms_.push_back(made);
    room_bytes_ = wanted;
  }
  return bytes > room_bytes_ ? nullptr : reinterpret_cast<void*>(rooms_.back());
}

std::uint64_t DnnHandle::ProblemOf(std::uint32_t function, ByteView arguments, const Settings& settings) const {
  const DnnFunction* const found = library_.Find(function);
  DnnCall call(library_, nullptr, plans_, settings);
  if (found != nullptr && found->run != nullptr) (void)found->run(call, arguments);
  return call.problem() ^ function;
}

bool DnnHandle::Knows(std::uint32_t function, ByteView arguments, const Settings& settings) {
  const DnnFunction* const found = library_.Find(function);
  if (found == nullptr || found->may_wait || !known_.contains(ProblemOf(function, arguments, settings))) return false;
  if (function != kDnnFunction<DnnGraphExecute>) return true;
  std::shared_ptr<GraphPlan> plan = plans_->Find(settings);
  if (plan == nullptr || !plan->TryTake()) return false;
  taken_ = std::move(plan);
  return true;
}

void DnnHandle::Learn(std::uint32_t function, ByteView arguments, const Settings& settings) {
  if (!last_succeeded_) return;
  if (known_.size() >= kKnownMax) known_.clear();
  known_.insert(ProblemOf(function, arguments, settings));
}

void DnnHandle::Destroy() {
  descriptors_->Clear(library_);
  (void)library_.Destroy(handle_);
  for (const CUdeviceptr room : rooms_) (void)driver_.MemFree(room);
  rooms_.clear();
}

}  // namespace accelmesh::cuda
