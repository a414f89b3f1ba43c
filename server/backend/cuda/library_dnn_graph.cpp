// Operation graphs of the wire: questions and executions.
#include "server/backend/cuda/library_dnn_graph.h"

#include <cstring>

#include "server/backend/cuda/library_dnn_call.h"

namespace accelmesh::cuda {
namespace {

// Of a device: as many as a session may have settings for, and as many that it only asks about.
constexpr std::size_t kPlansMax = 2 * std::size_t{kDnnPlansMax};

std::vector<std::int64_t> WordsOf(ByteView bytes) {
  std::vector<std::int64_t> words(bytes.size() / sizeof(std::int64_t));
  if (!words.empty()) std::memcpy(words.data(), bytes.data(), words.size() * sizeof(std::int64_t));
  return words;
}

cudnnStatus_t Query(DnnCall& call, const DnnGraphQuery& /*words*/, std::span<const std::int32_t> tail, Bytes* answer) {
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(tail.data());
  DnnGraphAnswer said;
  std::string why;
  const cudnnStatus_t status =
      call.AskGraph(std::make_shared<const Bytes>(bytes, bytes + tail.size_bytes()), &said, &why);
  if (status == CUDNN_STATUS_SUCCESS) {
    GiveAnswer(said, answer);
  } else {
    answer->assign(why.begin(), why.end());
  }
  return status;
}

cudnnStatus_t Execute(DnnCall& call, const DnnGraphExecute& words, std::span<const std::int32_t> tail) {
  const std::vector<std::int64_t> pairs =
      WordsOf({reinterpret_cast<const std::uint8_t*>(tail.data()), tail.size_bytes()});
  return call.ExecuteGraph(pairs, words.workspace);
}

}  // namespace

GraphPlans::~GraphPlans() {
  for (const auto& [words, plan] : by_words_) plan->Abandon();
}

std::shared_ptr<GraphPlan> GraphPlans::Find(const Settings& settings) {
  const MutexLock lock(mu_);
  if (const auto known = by_settings_.find(settings.get()); known != by_settings_.end()) return known->second.second;
  const auto made = by_words_.find(*settings);
  if (made == by_words_.end()) return nullptr;
  if (by_settings_.size() < kPlansMax) by_settings_[settings.get()] = {settings, made->second};
  return made->second;
}

void GraphPlans::Remember(std::shared_ptr<PlanKeeper> keeper, const std::string& identity) {
  keeper_ = std::move(keeper);
  identity_ = identity;
}

std::shared_ptr<GraphPlan> GraphPlans::MakeByNote(const DnnLibrary& library, cudnnHandle_t handle, const Bytes& words,
                                                  GraphRefusal* refusal) const {
  Bytes key(identity_.begin(), identity_.end());
  key.push_back(0);
  key.insert(key.end(), words.begin(), words.end());
  std::optional<Bytes> known;
  if (keeper_ != nullptr) known = keeper_->Find(key);
  GraphNote note;
  if (known.has_value()) note = ReadGraphNote(*known).value_or(GraphNote());
  std::shared_ptr<GraphPlan> made = GraphPlan::Make(library, handle, WordsOf(words), &note, refusal);
  if (made == nullptr || keeper_ == nullptr) return made;
  const Bytes written = WriteGraphNote(note);
  if (known != written) keeper_->Keep(key, written);
  return made;
}

std::shared_ptr<GraphPlan> GraphPlans::Make(const DnnLibrary& library, cudnnHandle_t handle, const Settings& settings,
                                            GraphRefusal* refusal) {
  if (std::shared_ptr<GraphPlan> known = Find(settings); known != nullptr) return known;
  std::shared_ptr<GraphPlan> made = MakeByNote(library, handle, *settings, refusal);
  const MutexLock lock(mu_);
  // Past that, plans live as long as their call: their descriptors are destroyed here, by this thread.
  if (made != nullptr && by_words_.size() < kPlansMax) by_words_[*settings] = made;
  return made;
}

void GraphPlans::Clear() {
  const MutexLock lock(mu_);
  by_settings_.clear();
  by_words_.clear();
}

// Calls --------------------------------------------------------------------------------------------------------------

cudnnStatus_t DnnCall::AskGraph(const std::shared_ptr<const Bytes>& words, DnnGraphAnswer* answer, std::string* why) {
  if (plans_ == nullptr) return CUDNN_STATUS_NOT_SUPPORTED;
  GraphRefusal refusal;
  const std::shared_ptr<GraphPlan> plan = plans_->Make(library_, handle_->handle_, words, &refusal);
  *why = std::move(refusal.why);
  if (plan == nullptr) return refusal.status;
  *answer = plan->answer();
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t DnnCall::ExecuteGraph(std::span<const std::int64_t> pairs, std::uint64_t workspace) {
  if (plans_ == nullptr || settings_ == nullptr) return CUDNN_STATUS_NOT_SUPPORTED;
  std::shared_ptr<GraphPlan> plan = plans_->Find(settings_);
  if (handle_ == nullptr) {
    if (plan == nullptr) return status_;
    Mix(plan->number());
    (void)Address(workspace);
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
      if (plan->IsAddress(pairs[i])) (void)Address(static_cast<std::uint64_t>(pairs[i + 1]));
    }
    return status_;
  }
  GraphRefusal refusal;
  if (plan == nullptr) plan = plans_->Make(library_, handle_->handle_, settings_, &refusal);
  if (plan == nullptr) {
    handle_->why_ = std::move(refusal.why);
    return refusal.status;
  }
  if (handle_->taken_ != plan) plan->Take();
  const cudnnStatus_t status = plan->Execute(handle_->handle_, pairs, workspace);
  handle_->taken_ = nullptr;
  plan->Give();
  return status;
}

void AddGraphs(DnnTable& table) {
  AddLongAsk<DnnGraphQuery, &Query>(table, DnnGroup::kGraphs);
  AddLongRun<DnnGraphExecute, &Execute>(table, DnnGroup::kGraphs, false);
}

}  // namespace accelmesh::cuda
