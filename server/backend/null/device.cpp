#include "server/backend/null/device.h"

#include <algorithm>
#include <chrono>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/library/dnn_calls.h"
#include "protocol/library/lt_problem.h"
#include "server/backend/cpu/ptx/module.h"
#include "server/module/image.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kGlobalsBytes = 1 * limits::kGiB;  // of the window, for module globals
constexpr std::uint64_t kGlobalAlignment = 256;
constexpr std::uint8_t kLegacy = 0;
constexpr std::uint8_t kNonBlocking = 2;
constexpr std::size_t kResultBytes = 64;                   // of any function of a library that has results
constexpr std::size_t kAnswerBytes = sizeof(LtHeuristic);  // one algorithm for every problem
constexpr std::int32_t kConvolutionAlgorithms = 6;         // numbers that all directions have

// CUdevice_attribute numbers that programs and the shim's own checks ask for.
const std::vector<std::pair<std::uint32_t, std::int32_t>>& Limits() {
  static const std::vector<std::pair<std::uint32_t, std::int32_t>> attributes{
      {1, 1024},         // threads per block
      {2, 1024},         // block x
      {3, 1024},         // block y
      {4, 64},           // block z
      {5, 0x7fffffff},   // grid x
      {6, 65535},        // grid y
      {7, 65535},        // grid z
      {8, 49152},        // shared memory per block
      {9, 65536},        // constant memory
      {10, 32},          // warp size
      {11, 0x7fffffff},  // pitch
      {12, 65536},       // registers per block
      {16, 1},           // multiprocessors
      {31, 1},           // concurrent kernels
      {39, 1024},        // threads per multiprocessor
      {41, 1},           // unified addressing
      {78, 1},           // stream priorities
      {81, 65536},       // shared memory per multiprocessor
      {82, 65536},       // registers per multiprocessor
      {97, 49152},       // shared memory per block, opted in
      {106, 16},         // blocks per multiprocessor
  };
  return attributes;
}

std::int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

}  // namespace

NullBackend::NullBackend(const BackendOptions& options) : options_(options), streams_(limits::kStreamsMax) {
  if (options_.memory_bytes == 0) options_.memory_bytes = 64 * limits::kGiB;
}

NullBackend::~NullBackend() { Close(); }

Result<std::vector<DeviceDescription>> NullBackend::Open(std::uint64_t window_base, std::uint64_t window_bytes,
                                                         CompletionSink* sink) {
  if (window_bytes < 2 * kGlobalsBytes)
    return Status(Code::kInvalidArgument, "NullBackend::Open", "the window is too small");
  // Nothing is ever read or written there, so nothing is reserved.
  window_end_ = window_base + window_bytes;
  globals_top_ = window_end_ - kGlobalsBytes;
  sink_ = sink;
  sender_ = std::thread([this] { SenderMain(); });
  DeviceDescription device;
  device.name = "AccelMesh Null Device";
  constexpr std::string_view kUuid = "AccelMesh-null-0";
  std::copy_n(kUuid.begin(), device.uuid.size(), device.uuid.begin());
  device.pci_bus_id = "0000:00:00.0";
  device.memory_bytes = std::min(options_.memory_bytes, window_bytes - kGlobalsBytes);
  device.window_base = window_base;
  device.window_bytes = window_bytes - kGlobalsBytes;
  device.attributes = Limits();
  const auto capability = static_cast<std::int32_t>(options_.compute_capability);
  device.attributes.emplace_back(75, capability / 10);
  device.attributes.emplace_back(76, capability % 10);
  return std::vector<DeviceDescription>{std::move(device)};
}

void NullBackend::Close() {
  {
    const std::lock_guard lock(mu_);
    stop_ = true;
    parcels_.clear();
  }
  parcels_cv_.notify_all();
  if (sender_.joinable()) sender_.join();
}

Status NullBackend::MemAlloc(std::uint32_t /*device*/, std::uint64_t /*address*/, std::uint64_t /*bytes*/) {
  return Status::Ok();
}
Status NullBackend::MemFree(std::uint32_t /*device*/, std::uint64_t /*address*/) { return Status::Ok(); }

// Modules ------------------------------------------------------------------------------------------------------------

// Read as the cpu backend reads it, since the client lays out arguments by what this reports.
Result<ModuleDescription> NullBackend::ModuleLoad(std::uint32_t /*device*/, std::uint32_t /*module*/, Bytes image) {
  ACCELMESH_ASSIGN_OR_RETURN(std::vector<std::string> texts, ExtractTexts(image, options_.compute_capability));
  ACCELMESH_ASSIGN_OR_RETURN(const std::shared_ptr<const ptx::Module> source, ptx::LinkModules(std::move(texts)));
  ACCELMESH_RETURN_IF_ERROR(ptx::CheckTarget(*source, options_.compute_capability));
  ModuleDescription description;
  for (const ptx::Variable& variable : source->variables) {
    if (variable.is_extern) continue;
    const std::uint64_t address = AlignUp(globals_top_, std::max(variable.alignment, kGlobalAlignment));
    if (address > window_end_ || variable.bytes > window_end_ - address) {
      return Status(Code::kOutOfMemory, "NullBackend::ModuleLoad", "no room for variable " + variable.name);
    }
    globals_top_ = address + variable.bytes;
    description.globals.push_back({variable.name, address, variable.bytes, variable.space == ptx::Space::kConst});
  }
  for (const ptx::Kernel& kernel : source->kernels) {
    KernelDescription out;
    out.name = kernel.name;
    for (const ptx::Parameter& parameter : kernel.parameters)
      out.parameters.emplace_back(parameter.offset, parameter.bytes);
    out.max_threads_per_block = kernel.max_threads;
    out.static_shared_bytes = kernel.static_shared_bytes;
    out.local_bytes = kernel.local_bytes;
    out.registers = std::min(255u, kernel.registers);
    out.ptx_version = source->target;
    out.binary_version = options_.compute_capability;
    description.kernels.push_back(std::move(out));
  }
  return description;
}

// Nothing runs, so nothing reaches host memory.
Status NullBackend::MapHost(MutableByteView /*memory*/) { return Status::Ok(); }
Status NullBackend::UnmapHost(std::uint64_t /*address*/) { return Status::Ok(); }
void NullBackend::PlaceVariable(std::uint32_t /*module*/, std::string /*name*/, MutableByteView /*memory*/,
                                bool /*keep*/) {}

Status NullBackend::ModuleUnload(std::uint32_t /*module*/) { return Status::Ok(); }

// Streams ------------------------------------------------------------------------------------------------------------

Status NullBackend::StreamCreate(std::uint32_t stream, std::uint32_t /*device*/, std::uint8_t kind,
                                 std::int32_t /*priority*/) {
  const std::lock_guard lock(mu_);
  streams_[stream].kind = kind;
  return Status::Ok();
}

Status NullBackend::StreamDestroy(std::uint32_t stream) {
  // What it has queued goes on, as natively; nobody could release a hold on a slot that is gone.
  return Hold(stream, false);
}

std::size_t NullBackend::InFlight(std::uint32_t stream) const {
  if (Quiet()) return 0;
  const std::lock_guard lock(mu_);
  return streams_[stream].items.size();
}

void NullBackend::LibraryOpen(std::uint32_t library, std::uint32_t /*device*/,
                              std::function<void(Result<Bytes>)> answer) {
  answer(Bytes((LibraryFunctions(library) + 7) / 8, 0xff));
}
Status NullBackend::LibraryCall(std::uint32_t stream, std::uint64_t sequence, LibraryJob /*job*/,
                                std::function<void(LibraryAnswer)> answer) {
  // Zeros, as many as any function has.
  if (answer != nullptr) answer({0, Bytes(kResultBytes)});
  return Complete(stream, sequence);
}

void NullBackend::LibraryAsk(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer) {
  LibraryAnswer said{0, Bytes(kAnswerBytes)};
  if (job.library == kLibraryDnn && job.function == kDnnFunction<DnnFindAlgorithms>) {
    // Programs choose one by its number.
    said.results.clear();
    for (std::int32_t number = 0; number < kConvolutionAlgorithms; ++number) {
      const DnnAlgorithm algorithm{number, 0, 0, 0, 0};
      const ByteView bytes = AsBytes(algorithm);
      said.results.insert(said.results.end(), bytes.begin(), bytes.end());
    }
  }
  answer(std::move(said));
}

Status NullBackend::Hold(std::uint32_t stream, bool on) {
  const std::lock_guard lock(mu_);
  Stream& state = streams_[stream];
  if (state.held == on) return Status::Ok();
  state.held = on;
  if (on) {
    busy_.fetch_add(1, std::memory_order_release);
  } else {
    Drain();
    busy_.fetch_sub(1, std::memory_order_release);
  }
  return Status::Ok();
}

Status NullBackend::Complete(std::uint32_t stream, std::uint64_t sequence) {
  if (Quiet()) {
    sink_->Completed(stream, sequence);
  } else {
    Item item;
    item.sequence = sequence;
    Enqueue(stream, std::move(item));
  }
  return Status::Ok();
}

void NullBackend::Enqueue(std::uint32_t stream, Item item) {
  const std::lock_guard lock(mu_);
  Stream& state = streams_[stream];
  if (state.kind != kNonBlocking) {
    for (const std::uint32_t other : waiting_) {
      const Stream& s = streams_[other];
      const bool related = other != stream && s.kind != kNonBlocking && (s.kind == kLegacy) != (state.kind == kLegacy);
      if (related) item.after.emplace_back(other, s.queued);
    }
  }
  ++state.queued;
  if (state.items.empty()) waiting_.push_back(stream);
  state.items.push_back(std::move(item));
  busy_.fetch_add(1, std::memory_order_release);
  Drain();
}

bool NullBackend::MayComplete(const Stream& stream) const {
  if (stream.held || stream.sending || stream.items.empty()) return false;
  const Item& first = stream.items.front();
  return std::all_of(first.after.begin(), first.after.end(), [this](const auto& dependency) {
    return streams_[dependency.first].completed >= dependency.second;
  });
}

void NullBackend::Drain() {
  bool progress = true;
  while (progress) {
    progress = false;
    // A copy: finishing an item may take its stream off the list.
    const std::vector<std::uint32_t> waiting = waiting_;
    for (const std::uint32_t slot : waiting) {
      Stream& stream = streams_[slot];
      while (MayComplete(stream)) {
        Item& first = stream.items.front();
        if (first.host_call.has_value()) {
          if (!first.reached) sink_->Completed(slot, first.sequence - 1);
          first.reached = true;
          if (host_calls_.contains(*first.host_call)) break;
        }
        if (first.bytes != 0) {
          stream.sending = true;
          parcels_.push_back({slot, first.sequence, first.token, first.bytes});
          parcels_cv_.notify_one();
          break;
        }
        if (first.record != nullptr) first.record->at_ns.store(NowNs(), std::memory_order_relaxed);
        FinishFirst(slot);
        progress = true;
      }
    }
  }
}

void NullBackend::FinishFirst(std::uint32_t slot) {
  Stream& stream = streams_[slot];
  sink_->Completed(slot, stream.items.front().sequence);
  stream.items.pop_front();
  ++stream.completed;
  if (stream.items.empty()) std::erase(waiting_, slot);
  // Last: from here on the executor may complete the next command without the lock.
  busy_.fetch_sub(1, std::memory_order_release);
}

// Work ---------------------------------------------------------------------------------------------------------------

Status NullBackend::Launch(std::uint32_t stream, std::uint64_t sequence, const LaunchJob& /*job*/) {
  return Complete(stream, sequence);
}

Status NullBackend::Copy(std::uint32_t stream, std::uint64_t sequence, CopyJob job) {
  if (job.dst.kind != CopySide::Kind::kToken) return Complete(stream, sequence);
  Item item;
  item.sequence = sequence;
  item.token = job.dst.token;
  item.bytes = job.width * job.height * job.depth;
  Enqueue(stream, std::move(item));
  return Status::Ok();
}

Status NullBackend::Fill(std::uint32_t stream, std::uint64_t sequence, const FillJob& /*job*/) {
  return Complete(stream, sequence);
}

Status NullBackend::HostWait(std::uint32_t stream, std::uint64_t sequence, std::uint64_t call) {
  {
    const std::lock_guard lock(mu_);
    host_calls_.insert(call);
  }
  Item item;
  item.sequence = sequence;
  item.host_call = call;
  Enqueue(stream, std::move(item));
  return Status::Ok();
}
Status NullBackend::HostDone(std::uint64_t call) {
  const std::lock_guard lock(mu_);
  host_calls_.erase(call);
  Drain();
  return Status::Ok();
}

void NullBackend::SenderMain() {
  std::unique_lock lock(mu_);
  while (true) {
    parcels_cv_.wait(lock, [this] { return stop_ || !parcels_.empty(); });
    if (stop_) return;
    const Parcel parcel = parcels_.front();
    parcels_.pop_front();
    lock.unlock();
    Send(parcel);
    lock.lock();
    streams_[parcel.stream].sending = false;
    FinishFirst(parcel.stream);
    Drain();
  }
}

void NullBackend::Send(const Parcel& parcel) {
  static const Bytes zeros(limits::kBulkBytesMax, 0);
  for (std::uint64_t at = 0; at < parcel.bytes; at += zeros.size()) {
    const std::size_t piece = std::min<std::uint64_t>(zeros.size(), parcel.bytes - at);
    const Status sent = sink_->SendToClient(parcel.token, at, ByteView(zeros).first(piece));
    if (!sent.ok()) {
      sink_->Failed(parcel.stream, parcel.sequence, kDeviceUnknown, true,
                    "a copy to the client did not get through: " + sent.ToString());
      return;
    }
  }
}

// Events -------------------------------------------------------------------------------------------------------------

Status NullBackend::EventCreate(std::uint32_t event, bool timing) {
  auto made = std::make_shared<Event>();
  made->timing = timing;
  events_[event] = std::move(made);
  return Status::Ok();
}
Status NullBackend::EventDestroy(std::uint32_t event) {
  events_.erase(event);
  return Status::Ok();
}

Status NullBackend::EventRecord(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) {
  const auto found = events_.find(event);
  if (found == events_.end()) return {Code::kInternal, "NullBackend::EventRecord", "no such event"};
  Event& state = *found->second;
  state.recorded = true;
  state.stream = stream;
  state.ticket = 0;
  if (Quiet()) {
    if (state.timing) state.at_ns.store(NowNs(), std::memory_order_relaxed);
    sink_->Completed(stream, sequence);
    return Status::Ok();
  }
  {
    const std::lock_guard lock(mu_);
    state.ticket = streams_[stream].queued + 1;
  }
  Item item;
  item.sequence = sequence;
  if (state.timing) item.record = found->second;
  Enqueue(stream, std::move(item));
  return Status::Ok();
}

Status NullBackend::StreamWaitEvent(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) {
  if (Quiet()) return Complete(stream, sequence);
  Item item;
  item.sequence = sequence;
  const auto found = events_.find(event);
  if (found != events_.end() && found->second->recorded)
    item.after.emplace_back(found->second->stream, found->second->ticket);
  Enqueue(stream, std::move(item));
  return Status::Ok();
}

Result<float> NullBackend::EventElapsedMs(std::uint32_t start, std::uint32_t end) {
  const auto a = events_.find(start);
  const auto b = events_.find(end);
  for (const auto& event : {a, b}) {
    if (event == events_.end() || !event->second->recorded || !event->second->timing) {
      return Status(Code::kInvalidArgument, "EventElapsed", "an event was not recorded, or without timing");
    }
  }
  const std::int64_t ns = b->second->at_ns.load(std::memory_order_relaxed) - a->second->at_ns.load();
  return static_cast<float>(static_cast<double>(ns) * 1e-6);
}

}  // namespace accelmesh

extern "C" __attribute__((visibility("default"))) accelmesh::Backend* accelmesh_create_backend(
    std::uint32_t abi, const accelmesh::BackendOptions& options) {
  return abi == accelmesh::kBackendAbi ? new accelmesh::NullBackend(options) : nullptr;
}
