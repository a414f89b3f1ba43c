// Stream memory operations: words of memory that a stream writes, or waits for.
#include <sched.h>

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

// Looks at a word before the thread sleeps between looks.
constexpr int kSpins = 200;
constexpr auto kPause = std::chrono::microseconds(30);

template <typename T>
bool Holds(T have, T want, unsigned how) {
  switch (how) {
    case CU_STREAM_WAIT_VALUE_GEQ: return static_cast<std::make_signed_t<T>>(have - want) >= 0;
    case CU_STREAM_WAIT_VALUE_EQ: return have == want;
    case CU_STREAM_WAIT_VALUE_AND: return (have & want) != 0;
    default: return static_cast<T>(~(have | want)) != 0;
  }
}

template <typename T>
void Write(std::uint64_t address, T value) {
  __atomic_store_n(reinterpret_cast<T*>(address), value, __ATOMIC_RELEASE);
}
template <typename T>
void Wait(const Context& context, std::uint64_t address, T value, unsigned how) {
  for (int spins = 0; !Holds(__atomic_load_n(reinterpret_cast<T*>(address), __ATOMIC_ACQUIRE), value, how); ++spins) {
    if (context.cancel.load()) return;
    if (spins < kSpins) {
      ::sched_yield();
    } else {
      std::this_thread::sleep_for(kPause);
    }
  }
}

CUresult CheckWord(const Call& call, std::uint64_t address, std::uint64_t bytes) {
  if (address % bytes != 0)
    return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "the word is not aligned");
  const std::lock_guard lock(state().mu);
  return CheckDeviceRange(call, {address, bytes});
}

// One operation; nothing is queued yet.
CUresult Prepare(const Call& call, const std::shared_ptr<Context>& context, const CUstreamBatchMemOpParams& op,
                 std::vector<std::function<void()>>* steps, std::vector<Range>* touches) {
  const Context* of = context.get();
  switch (op.operation) {
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
    case CU_STREAM_MEM_OP_WRITE_VALUE_64: {
      const bool wide = op.operation == CU_STREAM_MEM_OP_WRITE_VALUE_64;
      const auto write = op.writeValue;
      if (write.flags > CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER) return CUDA_ERROR_INVALID_VALUE;
      if (const CUresult result = CheckWord(call, write.address, wide ? 8 : 4); result != CUDA_SUCCESS) return result;
      steps->emplace_back([write, wide] {
        if (wide) {
          Write<std::uint64_t>(write.address, write.value64);
        } else {
          Write<std::uint32_t>(write.address, write.value);
        }
      });
      touches->push_back({write.address, wide ? 8u : 4u});
      return CUDA_SUCCESS;
    }
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
    case CU_STREAM_MEM_OP_WAIT_VALUE_64: {
      const bool wide = op.operation == CU_STREAM_MEM_OP_WAIT_VALUE_64;
      const auto wait = op.waitValue;
      if ((wait.flags & CU_STREAM_WAIT_VALUE_FLUSH) != 0) return CUDA_ERROR_NOT_SUPPORTED;  // as the attribute says
      if (wait.flags > CU_STREAM_WAIT_VALUE_NOR) return CUDA_ERROR_INVALID_VALUE;
      if (const CUresult result = CheckWord(call, wait.address, wide ? 8 : 4); result != CUDA_SUCCESS) return result;
      steps->emplace_back([wait, wide, of] {
        if (wide) {
          Wait<std::uint64_t>(*of, wait.address, wait.value64, wait.flags);
        } else {
          Wait<std::uint32_t>(*of, wait.address, wait.value, wait.flags);
        }
      });
      touches->push_back({wait.address, wide ? 8u : 4u});
      return CUDA_SUCCESS;
    }
    case CU_STREAM_MEM_OP_BARRIER: return CUDA_SUCCESS;  // all of a stream is in order here
    default:
      return call.Break(CONTRACT_RULE_WRONG_SIZE, CUDA_ERROR_NOT_SUPPORTED, "an operation that this device has not");
  }
}

CUresult Batch(const Call& call, CUstream handle, const CUstreamBatchMemOpParams* ops, unsigned count) {
  const auto stream = call.FindStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (ops == nullptr || count == 0 || count > 256) return CUDA_ERROR_INVALID_VALUE;
  auto steps = std::make_shared<std::vector<std::function<void()>>>();
  Work work;
  work.type = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP;
  for (unsigned i = 0; i < count; ++i) {
    const CUresult result = Prepare(call, stream->context, ops[i], steps.get(), &work.touches);
    if (result != CUDA_SUCCESS) return result;
  }
  work.run = [steps] {
    for (const auto& step : *steps) step();
    return CUDA_SUCCESS;
  };
  return Submit(call, stream, std::move(work));
}

CUresult One(const Call& call, CUstream handle, CUstreamBatchMemOpType operation, CUdeviceptr address,
             std::uint64_t value, unsigned flags) {
  CUstreamBatchMemOpParams op{};
  op.operation = operation;
  // Both kinds lay out alike up to the flags.
  op.waitValue.operation = operation;
  op.waitValue.address = address;
  op.waitValue.value64 = value;
  op.waitValue.flags = flags;
  return Batch(call, handle, &op, 1);
}

}  // namespace
}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned int flags) {
  return Enter(Function::k_cuStreamWriteValue32, [&](Call& call) -> CUresult {
    return One(call, stream, CU_STREAM_MEM_OP_WRITE_VALUE_32, address, value, flags);
  });
}
CONTRACT_API CUresult cuStreamWriteValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned int flags) {
  return Enter(Function::k_cuStreamWriteValue64, [&](Call& call) -> CUresult {
    return One(call, stream, CU_STREAM_MEM_OP_WRITE_VALUE_64, address, value, flags);
  });
}
CONTRACT_API CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned int flags) {
  return Enter(Function::k_cuStreamWaitValue32, [&](Call& call) -> CUresult {
    return One(call, stream, CU_STREAM_MEM_OP_WAIT_VALUE_32, address, value, flags);
  });
}
CONTRACT_API CUresult cuStreamWaitValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned int flags) {
  return Enter(Function::k_cuStreamWaitValue64, [&](Call& call) -> CUresult {
    return One(call, stream, CU_STREAM_MEM_OP_WAIT_VALUE_64, address, value, flags);
  });
}
CONTRACT_API CUresult cuStreamBatchMemOp(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* ops,
                                         unsigned int flags) {
  return Enter(Function::k_cuStreamBatchMemOp, [&](Call& call) -> CUresult {
    return flags != 0 ? CUDA_ERROR_INVALID_VALUE : Batch(call, stream, ops, count);
  });
}
