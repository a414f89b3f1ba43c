#include "tests/contract/rules.h"

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr FunctionRule kRules[] = {
#define CONTRACT_FUNCTION(name, needs, waits) {#name, Needs::needs, Waits::waits},
#include "tests/contract/functions.inc"
#undef CONTRACT_FUNCTION
};

thread_local bool in_host_function = false;

}  // namespace

// control.cpp
void RecordViolation(contract_rule rule, const std::string& line);

const FunctionRule& RuleOf(Function function) { return kRules[static_cast<std::size_t>(function)]; }

Function FindFunction(std::string_view name) {
  std::uint32_t index = 0;
  while (index < static_cast<std::uint32_t>(Function::kCount) && kRules[index].name != name) ++index;
  return static_cast<Function>(index);
}

void SetInHostFunction(bool on) { in_host_function = on; }

CUresult Call::Begin() {
  const FunctionRule& rule = RuleOf(function_);
  if (const int injected = InjectedError(function_); injected != 0) return static_cast<CUresult>(injected);
  if (rule.needs == Needs::Nothing) return CUDA_SUCCESS;
  if (in_host_function)
    return Break(CONTRACT_RULE_CALL_IN_CALLBACK, CUDA_ERROR_NOT_PERMITTED, "called from a host function");
  {
    const std::lock_guard lock(state().mu);
    if (!state().initialized)
      return Break(CONTRACT_RULE_NOT_INITIALIZED, CUDA_ERROR_NOT_INITIALIZED, "called before cuInit");
  }
  if (rule.waits == Waits::Always) {
    if (const CUresult may = MayWait("it may wait for the device"); may != CUDA_SUCCESS) return may;
  }
  context = CurrentContext();
  if (rule.needs == Needs::Init) return CUDA_SUCCESS;
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  {
    const std::lock_guard lock(state().mu);
    if (context->destroyed)
      return Break(CONTRACT_RULE_BAD_HANDLE, CUDA_ERROR_CONTEXT_IS_DESTROYED, "the current context was destroyed");
  }
  return rule.needs == Needs::Usable ? static_cast<CUresult>(context->sticky.load()) : CUDA_SUCCESS;
}

CUresult Call::Break(contract_rule rule, CUresult code, const std::string& text) const {
  RecordViolation(rule, std::string(RuleOf(function_).name) + ": " + text);
  return code;
}

CUresult Call::MayWait(const char* why) const {
  if (!OnExecutor()) return CUDA_SUCCESS;
  return Break(CONTRACT_RULE_EXECUTOR_WAITS, CUDA_ERROR_NOT_PERMITTED, std::string("on the executor's thread: ") + why);
}

void Call::BadHandle(const char* kind, std::uint64_t handle) const {
  char number[32];
  std::snprintf(number, sizeof(number), "0x%llx", static_cast<unsigned long long>(handle));
  (void)Break(CONTRACT_RULE_BAD_HANDLE, CUDA_ERROR_INVALID_HANDLE,
              std::string(number) + " is no " + kind + ", or was destroyed");
}

std::shared_ptr<Stream> Call::FindStream(CUstream handle) const {
  if (handle != nullptr && handle != CU_STREAM_LEGACY && handle != CU_STREAM_PER_THREAD)
    return Find(state().streams, handle);
  const bool per_thread = handle == CU_STREAM_PER_THREAD;
  {
    const std::lock_guard lock(state().mu);
    if (!per_thread) return context->legacy;
    const auto found = context->per_thread.find(std::this_thread::get_id());
    if (found != context->per_thread.end()) return found->second;
  }
  std::shared_ptr<Stream> made = MakeStream(context, 0, 0, false);
  const std::lock_guard lock(state().mu);
  return context->per_thread[std::this_thread::get_id()] = made;
}

}  // namespace accelmesh::contract
