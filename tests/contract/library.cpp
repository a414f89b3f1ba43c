// For libraries that work on this library's devices (tests/contract/libcublas): work of their own in a stream, as a
// launch is, and the rules that they enforce themselves.
#include "tests/contract/state.h"

namespace accelmesh::contract {
// control.cpp
void RecordViolation(contract_rule rule, const std::string& line);
}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API int contract_launch(CUstream handle, int (*run)(void* data), void (*drop)(void* data), void* data) {
  // Dropped in any case.
  const std::shared_ptr<void> held(data, drop);
  return Enter(Function::k_contract_launch, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->context != call.context) {
      return call.Break(CONTRACT_RULE_WRONG_CONTEXT, CUDA_ERROR_INVALID_HANDLE,
                        "the stream is of another context than the current one");
    }
    Work work;
    work.type = CU_GRAPH_NODE_TYPE_KERNEL;
    work.run = [run, held] {
      std::this_thread::sleep_for(std::chrono::microseconds(settings().launch_delay_us));
      return static_cast<CUresult>(run(held.get()));
    };
    return Submit(call, stream, std::move(work));
  });
}

CONTRACT_API int contract_may_touch(int device, unsigned long long address, unsigned long long bytes) {
  const std::vector<std::unique_ptr<Device>>& devices = state().devices;
  return static_cast<std::size_t>(device) < devices.size() &&
         devices[static_cast<std::size_t>(device)]->memory.Allowed(address, bytes);
}
CONTRACT_API int contract_on_executor() { return OnExecutor(); }
CONTRACT_API void contract_break(int rule, const char* text) {
  RecordViolation(static_cast<contract_rule>(rule), text);
}
