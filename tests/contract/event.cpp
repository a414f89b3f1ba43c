// Events: places in streams.
#include "tests/contract/capture.h"
#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr unsigned kEventFlags = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;

CUresult Record(const Call& call, CUevent handle, CUstream stream_handle) {
  const auto event = call.Find(state().events, handle);
  const auto stream = call.FindStream(stream_handle);
  if (event == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (event->context != stream->context) {
    return call.Break(CONTRACT_RULE_WRONG_CONTEXT, CUDA_ERROR_INVALID_HANDLE,
                      "the event is of another context than the stream");
  }
  {
    const std::lock_guard lock(state().mu);
    if (stream->capture != nullptr) {
      event->capture = stream->capture;
      event->capture_tips = stream->capture_tips;
      event->record = nullptr;
      return CUDA_SUCCESS;
    }
  }
  auto record = std::make_shared<Event::Record>();
  Work work;
  work.run = [record] {
    record->at_ns = NowNs();
    return CUDA_SUCCESS;
  };
  record->place.stream = stream;
  const CUresult result = Submit(call, stream, std::move(work), {}, &record->place.ticket);
  if (result != CUDA_SUCCESS) return result;
  const std::lock_guard lock(state().mu);
  event->record = record;
  event->capture = nullptr;
  return CUDA_SUCCESS;
}

// Under State::mu.
bool Complete(const Event& event) {
  return event.record == nullptr || event.record->place.stream->completed >= event.record->place.ticket;
}

}  // namespace
}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuEventCreate(CUevent* handle, unsigned int flags) {
  return Enter(Function::k_cuEventCreate, [&](Call& call) -> CUresult {
    if (handle == nullptr || (flags & ~kEventFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & CU_EVENT_INTERPROCESS) != 0) return CUDA_ERROR_NOT_SUPPORTED;
    auto event = std::make_shared<Event>();
    event->context = call.context;
    event->flags = flags;
    *handle = AsHandle<CUevent>(state().events.Add(std::move(event)));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuEventDestroy(CUevent handle) {
  return Enter(Function::k_cuEventDestroy, [&](Call& call) -> CUresult {
    if (call.Find(state().events, handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    state().events.Remove(reinterpret_cast<std::uint64_t>(handle));
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuEventRecord(CUevent event, CUstream stream) {
  return Enter(Function::k_cuEventRecord, [&](Call& call) -> CUresult { return Record(call, event, stream); });
}
CONTRACT_API CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags) {
  return Enter(Function::k_cuEventRecordWithFlags, [&](Call& call) -> CUresult {
    if (flags != CU_EVENT_RECORD_DEFAULT) return CUDA_ERROR_NOT_SUPPORTED;
    return Record(call, event, stream);
  });
}
CONTRACT_API CUresult cuEventQuery(CUevent handle) {
  return Enter(Function::k_cuEventQuery, [&](Call& call) -> CUresult {
    const auto event = call.Find(state().events, handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const std::lock_guard lock(state().mu);
    if (event->capture != nullptr) return CUDA_ERROR_CAPTURED_EVENT;
    return Complete(*event) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  });
}
CONTRACT_API CUresult cuEventSynchronize(CUevent handle) {
  return Enter(Function::k_cuEventSynchronize, [&](Call& call) -> CUresult {
    const auto event = call.Find(state().events, handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    {
      std::unique_lock lock(state().mu);
      if (event->capture != nullptr) return CUDA_ERROR_CAPTURED_EVENT;
      const auto record = event->record;
      if (record != nullptr)
        state().changed.wait(lock, [&] { return record->place.stream->completed >= record->place.ticket; });
    }
    WriteOut(*event->context);
    return static_cast<CUresult>(event->context->sticky.load());
  });
}
CONTRACT_API CUresult cuEventElapsedTime(float* ms, CUevent start_handle, CUevent end_handle) {
  return Enter(Function::k_cuEventElapsedTime, [&](Call& call) -> CUresult {
    const auto start = call.Find(state().events, start_handle);
    const auto end = call.Find(state().events, end_handle);
    if (start == nullptr || end == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const std::lock_guard lock(state().mu);
    if (((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING) != 0 || start->record == nullptr ||
        end->record == nullptr || start->context != end->context) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (!Complete(*start) || !Complete(*end)) return CUDA_ERROR_NOT_READY;
    *ms = static_cast<float>(static_cast<double>(end->record->at_ns - start->record->at_ns) * 1e-6);
    return CUDA_SUCCESS;
  });
}

CONTRACT_API CUresult cuStreamWaitEvent(CUstream stream_handle, CUevent event_handle, unsigned int flags) {
  return Enter(Function::k_cuStreamWaitEvent, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(stream_handle);
    const auto event = call.Find(state().events, event_handle);
    if (stream == nullptr || event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (flags != CU_EVENT_WAIT_DEFAULT) return CUDA_ERROR_NOT_SUPPORTED;
    std::vector<Place> after;
    {
      const std::lock_guard lock(state().mu);
      if (event->capture != nullptr) return JoinCapture(*stream, *event);
      if (stream->capture != nullptr && event->record != nullptr) return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
      if (stream->capture != nullptr || event->record == nullptr) return CUDA_SUCCESS;
      after.push_back(event->record->place);
    }
    Work work;
    work.run = [] { return CUDA_SUCCESS; };
    return Submit(call, stream, std::move(work), std::move(after));
  });
}
