// CudaBackend: streams, events and what runs on them. All of it is the executor's, and nothing waits.
#include <algorithm>
#include <array>

#include "protocol/transport/copy.h"
#include "server/backend/cuda/device.h"
#include "server/backend/cuda/library.h"
#include "server/backend/cuda/transfer.h"

namespace accelmesh {

using cuda::Box;
using cuda::Mark;
using cuda::Packed;
using cuda::Side;
using cuda::StagingRange;
using cuda::Stream;

namespace {

// So that a stream that is kept full gets room before it is empty.
constexpr std::uint64_t kUnmarkedMax = limits::kStreamInFlightMax / 4;
constexpr std::uint64_t kEagerBytesMax = 4 * limits::kMiB;
// From here on a network card that reaches the device's memory reads a download where it lies, for which the stream
// stops.
constexpr std::uint64_t kDirectBytesMin = 256 * limits::kKiB;
// An upload of this size gives its staging back as soon as it is through.
constexpr std::uint64_t kMarkedUploadBytesMin = 256 * limits::kKiB;
constexpr std::size_t kWordsBytes = cuda::Progress::kWords * sizeof(std::uint64_t);

Side SideOf(const CopySide& side, const std::shared_ptr<const cuda::RealArray>& array) {
  const bool on_host = side.kind == CopySide::Kind::kHost;
  return {on_host ? reinterpret_cast<std::uint64_t>(side.host.data()) : side.address, side.pitch, side.slice,
          array.get()};
}

// Whether the legacy rule has one wait for the other.
bool Related(const Stream& a, const Stream& b) {
  return a.device == b.device && a.kind != cuda::kNonBlocking && b.kind != cuda::kNonBlocking &&
         (a.kind == cuda::kLegacy) != (b.kind == cuda::kLegacy);
}

// What a launch asks for beyond its geometry. The configuration points here.
class LaunchAttributes {
 public:
  LaunchAttributes(const ClusterJob& cluster, bool is_cooperative) {
    if (is_cooperative) Add(CU_LAUNCH_ATTRIBUTE_COOPERATIVE).cooperative = 1;
    if (cluster.size.x != 0)
      Add(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION).clusterDim = {cluster.size.x, cluster.size.y, cluster.size.z};
    if (cluster.preferred.x != 0) {
      Add(CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION).preferredClusterDim = {
          cluster.preferred.x, cluster.preferred.y, cluster.preferred.z};
    }
    if (cluster.policy != 0) {
      Add(CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE).clusterSchedulingPolicyPreference =
          static_cast<CUclusterSchedulingPolicy>(cluster.policy);
    }
  }
  CUlaunchConfig Config(const Dim3& grid, const Dim3& block, std::uint32_t shared_bytes, CUstream stream) const {
    CUlaunchConfig config{};
    config.gridDimX = grid.x;
    config.gridDimY = grid.y;
    config.gridDimZ = grid.z;
    config.blockDimX = block.x;
    config.blockDimY = block.y;
    config.blockDimZ = block.z;
    config.sharedMemBytes = shared_bytes;
    config.hStream = stream;
    config.attrs = const_cast<CUlaunchAttribute*>(attributes_.data());
    config.numAttrs = count_;
    return config;
  }

 private:
  CUlaunchAttributeValue& Add(CUlaunchAttributeID id) {
    CUlaunchAttribute& attribute = attributes_[count_++];
    attribute = {};
    attribute.id = id;
    return attribute.value;
  }
  std::array<CUlaunchAttribute, 4> attributes_;  // of which `count_` are set
  unsigned count_ = 0;
};

}  // namespace

// Streams ------------------------------------------------------------------------------------------------------------

Status CudaBackend::StreamCreate(std::uint32_t slot, std::uint32_t device, std::uint8_t kind, std::int32_t priority) {
  auto stream = std::make_shared<Stream>();
  stream->device = parts_->devices[device].get();
  stream->slot = slot;
  stream->kind = kind;
  stream->handle = CU_STREAM_LEGACY;
  if (kind != cuda::kLegacy && !parts_->progress->lost()) {
    CUresult result = cuda::Enter(parts_->driver, *stream->device);
    if (result == CUDA_SUCCESS) {
      const unsigned flags = kind == cuda::kNonBlocking ? CU_STREAM_NON_BLOCKING : CU_STREAM_DEFAULT;
      result = parts_->driver.StreamCreateWithPriority(&stream->handle, flags, priority);
    }
    if (result != CUDA_SUCCESS && !parts_->progress->NoteResult(result))
      return {Code::kOutOfMemory, "CudaBackend::StreamCreate", parts_->driver.Text(result)};
  }
  ACCELMESH_RETURN_IF_ERROR(parts_->progress->Adopt(stream));
  streams_[slot] = std::move(stream);
  return Status::Ok();
}

Status CudaBackend::StreamDestroy(std::uint32_t slot) {
  const StreamPtr stream = std::move(streams_[slot]);
  if (stream->marked != stream->submitted) MarkAll(stream);
  std::erase(unmarked_, stream);
  std::erase_if(retired_, [](const StreamPtr& old) { return old->completed.load() >= old->submitted; });
  retired_.push_back(stream);
  parts_->progress->Retire(stream);
  parts_->library->Retire({stream, stream->submitted});
  return Status::Ok();
}

bool CudaBackend::IsStopped(const Stream& stream) const {
  if (stream.is_stopped.load(std::memory_order_acquire) || parts_->waits.load(std::memory_order_acquire) != 0)
    return true;
  if (stream.kind == cuda::kNonBlocking) return false;
  const auto& others = stream.kind == cuda::kLegacy ? stream.device->stopped_blocking : stream.device->stopped_legacy;
  return others.load(std::memory_order_acquire) != 0;
}

std::size_t CudaBackend::InFlight(std::uint32_t slot) const {
  const Stream& stream = At(slot);
  if (IsStopped(stream)) return limits::kStreamInFlightMax;
  return stream.submitted - stream.completed.load(std::memory_order_acquire);
}

bool CudaBackend::Begin(Stream& stream) {
  if (parts_->progress->lost()) return false;
  for (const StreamPtr& other : unmarked_) {
    if (other->marked != other->submitted && Related(*other, stream)) MarkAll(other);
  }
  NoteLegacyRule(stream);
  return !parts_->progress->NoteResult(cuda::Enter(parts_->driver, *stream.device));
}

void CudaBackend::NoteLegacyRule(Stream& stream) {
  if (stream.kind == cuda::kNonBlocking) return;
  if (stream.kind != cuda::kLegacy) {
    const StreamPtr& legacy = streams_[stream.device->index];
    if (legacy->last_mark != 0) DependOn(stream, legacy, legacy->last_mark);
    return;
  }
  const std::uint64_t marks = stream.device->blocking_marks.load(std::memory_order_relaxed);
  if (stream.marks_seen == marks) return;
  stream.marks_seen = marks;
  for (const auto* list : {&streams_, &retired_}) {
    for (const StreamPtr& other : *list) {
      if (other != nullptr && other->last_mark != 0 && Related(*other, stream))
        DependOn(stream, other, other->last_mark);
    }
  }
}

void CudaBackend::DependOn(Stream& stream, const StreamPtr& other, std::uint64_t mark) {
  if (other.get() == &stream) return;
  for (cuda::Dependency& known : stream.unmarked_after) {
    if (known.stream != other) continue;
    known.mark = std::max(known.mark, mark);
    return;
  }
  stream.unmarked_after.push_back({other, mark});
}

void CudaBackend::Count(std::uint32_t slot, std::uint64_t sequence) {
  Stream& stream = At(slot);
  ++stream.submitted;
  stream.last_sequence = sequence;
  if (stream.is_listed) return;
  stream.is_listed = true;
  unmarked_.push_back(streams_[slot]);
}

Status CudaBackend::End(std::uint32_t slot, std::uint64_t sequence) {
  Count(slot, sequence);
  if (At(slot).submitted - At(slot).marked >= kUnmarkedMax) MarkAll(streams_[slot]);
  return Status::Ok();
}

void CudaBackend::Report(std::uint32_t slot, std::uint64_t sequence, CUresult result, const std::string& what) {
  if (result == CUDA_SUCCESS || parts_->progress->NoteResult(result)) return;
  parts_->sink->Failed(slot, sequence, static_cast<DeviceStatus>(result), false,
                       what + ": " + parts_->driver.Text(result));
}

void CudaBackend::MarkAll(const StreamPtr& stream, std::unique_ptr<cuda::Parcel> parcel, std::function<void()> tell) {
  Mark mark;
  mark.sequence = stream->last_sequence;
  mark.count = stream->submitted;
  mark.staging = std::move(stream->unmarked_staging);
  stream->unmarked_staging.clear();
  mark.bodies = std::move(stream->unmarked_bodies);
  stream->unmarked_bodies.clear();
  mark.parcel = std::move(parcel);
  mark.tell = std::move(tell);
  stream->marked = stream->submitted;
  // The stream may be of another device than the one the caller works on.
  parts_->progress->NoteResult(cuda::Enter(parts_->driver, *stream->device));
  parts_->progress->Add(stream, std::move(mark));
}

void CudaBackend::InputDrained() {
  for (const StreamPtr& stream : unmarked_) {
    if (stream->marked != stream->submitted) MarkAll(stream);
    stream->is_listed = false;
  }
  unmarked_.clear();
}

Status CudaBackend::StopAt(std::uint32_t slot, std::unique_ptr<cuda::Stop> stop) {
  const StreamPtr& stream = streams_[slot];
  Mark mark;
  mark.sequence = stop->sequence - 1;
  mark.count = stream->submitted;
  mark.staging = std::move(stream->unmarked_staging);
  stream->unmarked_staging.clear();
  mark.bodies = std::move(stream->unmarked_bodies);
  stream->unmarked_bodies.clear();
  ++stream->submitted;
  stream->marked = stream->submitted;
  stream->last_sequence = stop->sequence;
  mark.stop = std::move(stop);
  stream->is_stopped.store(true, std::memory_order_release);
  if (stream->kind == cuda::kLegacy) stream->device->stopped_legacy.fetch_add(1);
  if (stream->kind != cuda::kLegacy && stream->kind != cuda::kNonBlocking)
    stream->device->stopped_blocking.fetch_add(1);
  parts_->progress->Add(stream, std::move(mark));
  return Status::Ok();
}

Status CudaBackend::HostWait(std::uint32_t slot, std::uint64_t sequence, std::uint64_t call) {
  (void)Begin(At(slot));  // a host function runs after a loss, too
  parts_->host_stops->Expect(call);
  auto stop = std::make_unique<cuda::Stop>();
  stop->sequence = sequence;
  stop->host_call = call;
  return StopAt(slot, std::move(stop));
}

Status CudaBackend::HostDone(std::uint64_t call) {
  parts_->host_stops->Done(call);
  return Status::Ok();
}

Status CudaBackend::Hold(std::uint32_t /*stream*/, bool /*on*/) {
  return {Code::kUnsupported, "CudaBackend::Hold", "only the null backend can hold a stream"};
}

// Work ---------------------------------------------------------------------------------------------------------------

Status CudaBackend::Launch(std::uint32_t slot, std::uint64_t sequence, const LaunchJob& job) {
  std::shared_ptr<cuda::Module> module;
  {
    const MutexLock lock(parts_->modules_mu);
    const auto found = parts_->modules.find(job.module);
    if (found == parts_->modules.end() || job.kernel >= found->second->kernels.size())
      return {Code::kBadFrame, "CudaBackend::Launch", "no such kernel"};
    module = found->second;
  }
  cuda::Kernel& kernel = module->kernels[job.kernel];
  if (job.arguments.size() < kernel.argument_bytes)
    return {Code::kBadFrame, "CudaBackend::Launch", "fewer arguments than parameters"};
  Stream& stream = At(slot);
  if (!Begin(stream)) return End(slot, sequence);
  CUresult result = Allow(kernel, job.shared_bytes, job.cluster);
  if (result == CUDA_SUCCESS) {
    arguments_.clear();
    for (const std::uint32_t offset : kernel.parameter_offsets)
      arguments_.push_back(const_cast<std::uint8_t*>(job.arguments.data()) + offset);
    const LaunchAttributes attributes(job.cluster, job.cooperative);
    const CUlaunchConfig config = attributes.Config(job.grid, job.block, job.shared_bytes, stream.handle);
    result = parts_->driver.LaunchKernelEx(&config, kernel.function, arguments_.data(), nullptr);
  }
  if (result == CUDA_SUCCESS) {
    parts_->progress->NoteLaunch(stream, sequence, std::move(module), job.kernel);
  } else {
    Report(slot, sequence, result, "kernel " + kernel.name + " was not launched");
  }
  return End(slot, sequence);
}

CUresult CudaBackend::Allow(cuda::Kernel& kernel, std::uint32_t shared_bytes, const ClusterJob& cluster) {
  CUresult result = CUDA_SUCCESS;
  if (shared_bytes > kernel.dynamic_shared_bytes_max) {
    result = parts_->driver.FuncSetAttribute(kernel.function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                             static_cast<int>(shared_bytes));
    if (result == CUDA_SUCCESS) kernel.dynamic_shared_bytes_max = shared_bytes;
  }
  if (result == CUDA_SUCCESS && cluster.may_be_large && !kernel.may_have_large_clusters) {
    result = parts_->driver.FuncSetAttribute(kernel.function, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1);
    kernel.may_have_large_clusters = result == CUDA_SUCCESS;
  }
  return result;
}

Result<OccupancyAnswer> CudaBackend::Occupancy(const OccupancyJob& job) {
  std::shared_ptr<cuda::Module> module;
  {
    const MutexLock lock(parts_->modules_mu);
    const auto found = parts_->modules.find(job.module);
    if (found == parts_->modules.end() || job.kernel >= found->second->kernels.size())
      return Status(Code::kBadFrame, "CudaBackend::Occupancy", "no such kernel");
    module = found->second;
  }
  cuda::Kernel& kernel = module->kernels[job.kernel];
  const cuda::Driver& driver = parts_->driver;
  const LaunchAttributes attributes(job.cluster, false);
  const CUlaunchConfig config = attributes.Config(job.grid, job.block, job.shared_bytes, nullptr);
  int count = 0;
  CUresult result = cuda::Enter(driver, *module->device);
  if (result == CUDA_SUCCESS && job.of != OccupancyJob::Of::kBlocks)
    result = Allow(kernel, job.shared_bytes, job.cluster);
  // What the driver has allowed for one launch it would count on for another that did not ask for it.
  const bool is_portable = job.of == OccupancyJob::Of::kClusterSize && !job.cluster.may_be_large;
  if (result == CUDA_SUCCESS && is_portable && kernel.may_have_large_clusters) {
    result = driver.FuncSetAttribute(kernel.function, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 0);
    if (result == CUDA_SUCCESS) kernel.may_have_large_clusters = false;
  }
  if (result == CUDA_SUCCESS) {
    result =
        job.of == OccupancyJob::Of::kBlocks
            ? driver.OccupancyBlocks(&count, kernel.function, static_cast<int>(job.block.count()), job.shared_bytes)
        : job.of == OccupancyJob::Of::kClusters ? driver.OccupancyClusters(&count, kernel.function, &config)
                                                : driver.OccupancyClusterSize(&count, kernel.function, &config);
  }
  if (result != CUDA_SUCCESS)
    return OccupancyAnswer{static_cast<DeviceStatus>(result), 0,
                           "occupancy of kernel " + kernel.name + ": " + driver.Text(result)};
  return OccupancyAnswer{kDeviceOk, static_cast<std::uint32_t>(std::max(count, 0)), {}};
}

Status CudaBackend::Fill(std::uint32_t slot, std::uint64_t sequence, const FillJob& job) {
  Stream& stream = At(slot);
  if (!Begin(stream)) return End(slot, sequence);
  Report(slot, sequence, cuda::FillBox(parts_->driver, stream.handle, job, stream.device->max_pitch), "a fill");
  return End(slot, sequence);
}

Status CudaBackend::Copy(std::uint32_t slot, std::uint64_t sequence, CopyJob job) {
  Stream& stream = At(slot);
  if (!Begin(stream)) return End(slot, sequence);
  const bool to_device = job.dst.kind == CopySide::Kind::kDevice;
  const bool from_device = job.src.kind == CopySide::Kind::kDevice;
  const Box box{job.width, job.height, job.depth};
  const std::shared_ptr<const cuda::RealArray> dst_array = ArrayOf(job.dst);
  const std::shared_ptr<const cuda::RealArray> src_array = ArrayOf(job.src);
  const auto copy = [&](const Side& dst, const Side& src) {
    const CUresult result = cuda::CopyBox(parts_->driver, stream.handle, dst, src, box, stream.device->max_pitch);
    Report(slot, sequence, result, "a copy");
    return result == CUDA_SUCCESS;
  };
  const auto stop_at_it = [&] {
    auto stop = std::make_unique<cuda::Stop>();
    stop->sequence = sequence;
    stop->copy = std::make_unique<CopyJob>(std::move(job));
    stop->dst_array = dst_array;
    stop->src_array = src_array;
    return StopAt(slot, std::move(stop));
  };
  if (!to_device && !from_device) {
    Report(slot, sequence, CUDA_ERROR_INVALID_VALUE, "a copy that has no side on a device");
    return End(slot, sequence);
  }
  if (to_device && from_device) {
    copy(SideOf(job.dst, dst_array), SideOf(job.src, src_array));
    return End(slot, sequence);
  }
  if (const CopySide& host = to_device ? job.src : job.dst; host.kind == CopySide::Kind::kHost) {
    if (parts_->regions.Find(host.region.data()) != cuda::SharedRegions::State::kPinned) return stop_at_it();
    copy(SideOf(job.dst, dst_array), SideOf(job.src, src_array));
    return End(slot, sequence);
  }
  const auto count_upload = [&](std::uint64_t bytes) {
    Count(slot, sequence);
    const bool is_large = bytes >= kMarkedUploadBytesMin;
    if (is_large || stream.submitted - stream.marked >= kUnmarkedMax) MarkAll(streams_[slot]);
    return Status::Ok();
  };
  if (cuda::Direct* const direct = parts_->direct.get(); direct != nullptr && to_device) {
    const std::uint64_t bytes = job.body->size();
    const bool has_landed = job.body->device_address() != 0;
    if (cuda::Direct::Held held = direct->Hold(job.body, parts_->IsArenaPinned()); held.hold != nullptr) {
      const CUresult settled = has_landed ? direct->Settle(*stream.device) : CUDA_SUCCESS;
      Report(slot, sequence, settled, "what a network card has written");
      if (settled == CUDA_SUCCESS) copy(SideOf(job.dst, dst_array), Packed(held.address, box));
      stream.unmarked_bodies.push_back(std::move(held.hold));
      return count_upload(bytes);
    }
    direct->lane().NoteCopied(bytes);
  }
  const bool is_row = box.height == 1 && box.depth == 1 && src_array == nullptr;
  const bool reads_itself = from_device && is_row && parts_->direct != nullptr && parts_->direct->reaches_memory();
  if (box.bytes() > kEagerBytesMax || (reads_itself && box.bytes() >= kDirectBytesMin)) return stop_at_it();
  const std::optional<std::uint64_t> offset = parts_->progress->TakeStaging(box.bytes());
  if (!offset.has_value()) return stop_at_it();
  const StagingRange range{*offset, box.bytes()};
  std::uint8_t* staging = parts_->pinned + kWordsBytes + range.offset;
  if (to_device) {
    CopyBody(staging, job.body->bytes().data(), range.bytes);
    copy(SideOf(job.dst, dst_array), Packed(staging, box));
    stream.unmarked_staging.push_back(range);
    return count_upload(range.bytes);
  }
  const bool is_under_way = copy(Packed(staging, box), SideOf(job.src, src_array));
  auto parcel = std::make_unique<cuda::Parcel>(cuda::Parcel{range, job.dst.token});
  if (!is_under_way) {
    parts_->progress->GiveStaging(range);
    parcel.reset();
  }
  Count(slot, sequence);
  MarkAll(streams_[slot], std::move(parcel));
  return Status::Ok();
}

// Events -------------------------------------------------------------------------------------------------------------

Status CudaBackend::EventCreate(std::uint32_t event, bool timing) {
  // Made when it is first recorded: only then is it known on which device.
  events_[event].timing = timing;
  return Status::Ok();
}

Status CudaBackend::EventDestroy(std::uint32_t id) {
  const auto node = events_.extract(id);
  if (node.empty() || node.mapped().handle == nullptr) return Status::Ok();
  if (cuda::Enter(parts_->driver, *node.mapped().device) == CUDA_SUCCESS)
    (void)parts_->driver.EventDestroy(node.mapped().handle);
  return Status::Ok();
}

Status CudaBackend::EventRecord(std::uint32_t slot, std::uint64_t sequence, std::uint32_t id) {
  Stream& stream = At(slot);
  if (Begin(stream)) {
    Event& event = events_[id];
    CUresult result = CUDA_SUCCESS;
    if (event.device != stream.device) {
      if (event.handle != nullptr) (void)parts_->driver.EventDestroy(event.handle);
      event.handle = nullptr;
      event.device = stream.device;
      result = parts_->driver.EventCreate(&event.handle, event.timing ? CU_EVENT_DEFAULT : CU_EVENT_DISABLE_TIMING);
    }
    if (result == CUDA_SUCCESS) result = parts_->driver.EventRecord(event.handle, stream.handle);
    Report(slot, sequence, result, "an event's record");
  }
  Count(slot, sequence);
  MarkAll(streams_[slot]);
  events_[id].recorded_on = {streams_[slot], stream.last_mark};
  return Status::Ok();
}

Status CudaBackend::StreamWaitEvent(std::uint32_t slot, std::uint64_t sequence, std::uint32_t id) {
  Stream& stream = At(slot);
  if (!Begin(stream)) return End(slot, sequence);
  const auto found = events_.find(id);
  if (found == events_.end() || found->second.handle == nullptr) return End(slot, sequence);  // never recorded: nothing
  // What came before the wait must not seem to wait as well.
  if (stream.marked != stream.submitted) MarkAll(streams_[slot]);
  if (const cuda::Dependency& recorded = found->second.recorded_on; recorded.stream != nullptr)
    DependOn(stream, recorded.stream, recorded.mark);
  Report(slot, sequence, parts_->driver.StreamWaitEvent(stream.handle, found->second.handle, CU_EVENT_WAIT_DEFAULT),
         "a wait for an event");
  return End(slot, sequence);
}

Result<float> CudaBackend::EventElapsedMs(std::uint32_t start, std::uint32_t end) {
  const auto a = events_.find(start);
  const auto b = events_.find(end);
  if (a == events_.end() || b == events_.end() || a->second.handle == nullptr || b->second.handle == nullptr) {
    return Status(Code::kInvalidArgument, "EventElapsed", "an event was not recorded");
  }
  float ms = 0;
  CUresult result = cuda::Enter(parts_->driver, *a->second.device);
  if (result == CUDA_SUCCESS) result = parts_->driver.EventElapsedTime(&ms, a->second.handle, b->second.handle);
  if (result != CUDA_SUCCESS) return Status(Code::kInvalidArgument, "EventElapsed", parts_->driver.Text(result));
  return ms;
}

}  // namespace accelmesh
