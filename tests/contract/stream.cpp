// Streams: queues of work, each on a thread of its own, and what the application does with them as objects.
#include <algorithm>

#include "tests/contract/capture.h"
#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

bool Ready(const Task& task) {
  return std::all_of(task.after.begin(), task.after.end(),
                     [](const Place& place) { return place.stream->completed >= place.ticket; });
}

// What a context is after its first error: for ever the same.
void Fail(Context& context, CUresult error) {
  int none = CUDA_SUCCESS;
  (void)context.sticky.compare_exchange_strong(none, error);
  context.cancel = true;
}

void StreamMain(const std::shared_ptr<Stream>& stream) {
  Context& context = *stream->context;
  std::unique_lock lock(state().mu);
  while (true) {
    state().changed.wait(lock, [&stream] { return !stream->tasks.empty() || stream->ended; });
    if (stream->tasks.empty()) break;
    // It stays in the queue while it runs: what it names is in use. Others only append.
    const Task& task = stream->tasks.front();
    state().changed.wait(lock, [&] { return Ready(task) || context.cancel.load(); });
    lock.unlock();
    if (context.sticky.load() == CUDA_SUCCESS || task.work.runs_after_failure) {
      const CUresult result = task.work.run ? task.work.run() : CUDA_SUCCESS;
      if (result != CUDA_SUCCESS) Fail(context, result);
    }
    // What the work owns goes without the lock: it may be the last that holds a module.
    Task done;
    lock.lock();
    done = std::move(stream->tasks.front());
    stream->tasks.pop_front();
    if (done.work.launch != nullptr) --stream->launches;
    ++stream->completed;
    state().changed.notify_all();
    lock.unlock();
    done = {};
    lock.lock();
  }
  std::erase(context.streams, stream);
  state().changed.notify_all();
}

// The legacy stream waits for all blocking streams, and they for it.
void AddLegacyRule(const Stream& stream, std::vector<Place>* after) {
  if (!stream.blocking()) return;
  for (const auto& other : stream.context->streams) {
    const bool related = other->blocking() && other->legacy != stream.legacy;
    if (related && other->completed < other->queued) after->push_back({other, other->queued});
  }
}

bool AnyBlockingCapture(const Context& context) {
  return std::any_of(context.streams.begin(), context.streams.end(),
                     [](const auto& stream) { return stream->blocking() && stream->capture != nullptr; });
}

// A thread, if it has none yet.
void Start(const std::shared_ptr<Stream>& stream) {
  if (stream->started) return;
  stream->started = true;
  std::thread([stream] { StreamMain(stream); }).detach();
}

// The stream of a handle, of any context.
CUresult Create(const Call& call, CUstream* handle, unsigned flags, int priority) {
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (flags != CU_STREAM_DEFAULT && flags != CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  const auto stream = MakeStream(call.context, flags, priority, false);
  *handle = stream->handle = AsHandle<CUstream>(state().streams.Add(stream));
  return CUDA_SUCCESS;
}

CUresult AddCallback(const Call& call, CUstream handle, std::function<void()> run, bool after_failure) {
  const auto stream = call.FindStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Work work;
  work.type = CU_GRAPH_NODE_TYPE_HOST;
  work.runs_after_failure = after_failure;
  work.run = [run = std::move(run)] {
    SetInHostFunction(true);
    run();
    SetInHostFunction(false);
    return CUDA_SUCCESS;
  };
  return Submit(call, stream, std::move(work));
}

}  // namespace

std::int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::shared_ptr<Stream> MakeStream(const std::shared_ptr<Context>& context, unsigned flags, int priority, bool legacy) {
  auto stream = std::make_shared<Stream>();
  stream->context = context;
  stream->flags = flags;
  stream->priority = priority;
  stream->legacy = legacy;
  const std::lock_guard lock(state().mu);
  stream->id = state().next_id++;
  context->streams.push_back(stream);
  return stream;
}

void EndStreams(const std::shared_ptr<Context>& context) {
  context->cancel = true;
  std::unique_lock lock(state().mu);
  for (const auto& stream : std::vector(context->streams)) {
    stream->ended = true;
    stream->capture = nullptr;
    if (!stream->started) std::erase(context->streams, stream);
  }
  state().changed.notify_all();
  state().changed.wait(lock, [&context] { return context->streams.empty(); });
}

CUresult Submit(const Call& call, const std::shared_ptr<Stream>& stream, Work work, std::vector<Place> after,
                std::uint64_t* ticket) {
  std::unique_lock lock(state().mu);
  if (stream->capture != nullptr) return AddToCapture(*stream, std::move(work));
  if (stream->legacy && AnyBlockingCapture(*stream->context)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  const bool is_launch = work.launch != nullptr;
  if (is_launch && stream->launches >= settings().launch_depth) {
    if (const CUresult may = call.MayWait("the launch queue is full"); may != CUDA_SUCCESS) return may;
    state().changed.wait(lock, [&] { return stream->launches < settings().launch_depth; });
  }
  AddLegacyRule(*stream, &after);
  if (is_launch) ++stream->launches;
  ++stream->queued;
  if (ticket != nullptr) *ticket = stream->queued;
  stream->tasks.push_back({std::move(work), std::move(after)});
  Start(stream);
  state().changed.notify_all();
  return CUDA_SUCCESS;
}

CUresult Drain(const std::shared_ptr<Stream>& stream) {
  std::unique_lock lock(state().mu);
  const std::uint64_t ticket = stream->queued;
  state().changed.wait(lock, [&] { return stream->completed >= ticket; });
  return static_cast<CUresult>(stream->context->sticky.load());
}

CUresult DrainAll(const std::shared_ptr<Context>& context) {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    const std::lock_guard lock(state().mu);
    streams = context->streams;
  }
  for (const auto& stream : streams) (void)Drain(stream);
  return static_cast<CUresult>(context->sticky.load());
}

}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API CUresult cuStreamCreate(CUstream* handle, unsigned int flags) {
  return Enter(Function::k_cuStreamCreate, [&](Call& call) -> CUresult { return Create(call, handle, flags, 0); });
}
CONTRACT_API CUresult cuStreamCreateWithPriority(CUstream* handle, unsigned int flags, int priority) {
  return Enter(Function::k_cuStreamCreateWithPriority,
               [&](Call& call) -> CUresult { return Create(call, handle, flags, std::clamp(priority, -5, 0)); });
}
CONTRACT_API CUresult cuStreamDestroy(CUstream handle) {
  return Enter(Function::k_cuStreamDestroy, [&](Call& call) -> CUresult {
    const auto stream = call.Find(state().streams, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    state().streams.Remove(reinterpret_cast<std::uint64_t>(handle));
    const std::lock_guard lock(state().mu);
    // What is queued goes on.
    stream->ended = true;
    if (stream->capture != nullptr) stream->capture->broken = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!stream->started) std::erase(stream->context->streams, stream);
    state().changed.notify_all();
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuStreamGetPriority(CUstream handle, int* priority) {
  return Enter(Function::k_cuStreamGetPriority, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *priority = stream->priority;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuStreamGetFlags(CUstream handle, unsigned int* flags) {
  return Enter(Function::k_cuStreamGetFlags, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *flags = stream->flags;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuStreamGetId(CUstream handle, unsigned long long* id) {
  return Enter(Function::k_cuStreamGetId, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *id = stream->id;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuStreamGetCtx(CUstream handle, CUcontext* context) {
  return Enter(Function::k_cuStreamGetCtx, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *context = stream->context->handle;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuStreamGetDevice(CUstream handle, CUdevice* device) {
  return Enter(Function::k_cuStreamGetDevice, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *device = stream->context->device;
    return CUDA_SUCCESS;
  });
}
CONTRACT_API CUresult cuStreamQuery(CUstream handle) {
  return Enter(Function::k_cuStreamQuery, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const std::lock_guard lock(state().mu);
    if (stream->capture != nullptr) return BreakCapture(*stream);
    return stream->completed == stream->queued ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  });
}
CONTRACT_API CUresult cuStreamSynchronize(CUstream handle) {
  return Enter(Function::k_cuStreamSynchronize, [&](Call& call) -> CUresult {
    const auto stream = call.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    {
      const std::lock_guard lock(state().mu);
      if (stream->capture != nullptr) return BreakCapture(*stream);
    }
    const CUresult result = Drain(stream);
    WriteOut(*stream->context);
    return result;
  });
}

CONTRACT_API CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void* data) {
  return Enter(Function::k_cuLaunchHostFunc, [&](Call& call) -> CUresult {
    if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return AddCallback(call, handle, [function, data] { function(data); }, false);
  });
}
CONTRACT_API CUresult cuStreamAddCallback(CUstream handle, CUstreamCallback function, void* data, unsigned int flags) {
  return Enter(Function::k_cuStreamAddCallback, [&](Call& call) -> CUresult {
    if (function == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const auto context = call.context;
    const auto run = [context, handle, function, data] {
      WriteOut(*context);
      function(handle, static_cast<CUresult>(context->sticky.load()), data);
    };
    return AddCallback(call, handle, run, true);
  });
}
