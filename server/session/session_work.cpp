// Session: memory, copies, modules and launches.
#include <algorithm>

#include "protocol/base/log.h"
#include "server/session/session_inl.h"

namespace accelmesh {
namespace {

// Owns a payload that came inline with a command.
class InlineBody final : public BulkBody {
 public:
  explicit InlineBody(ByteView bytes) : bytes_(bytes.begin(), bytes.end()) {}
  ByteView bytes() const override { return bytes_; }

 private:
  Bytes bytes_;
};

// width * height * depth without overflow; 0 if past every limit.
std::uint64_t Volume(std::uint64_t width, std::uint64_t height, std::uint64_t depth) {
  std::uint64_t volume = 0;
  if (__builtin_mul_overflow(width, height, &volume) || __builtin_mul_overflow(volume, depth, &volume)) return 0;
  return volume > limits::kAllocationBytesMax ? 0 : volume;
}

// Bytes from the first to the last byte of a pitched box; 0 if it makes no sense.
std::uint64_t Extent(std::uint64_t pitch, std::uint64_t slice, std::uint64_t width, std::uint64_t height,
                     std::uint64_t depth) {
  if (height > 1 && pitch < width) return 0;
  std::uint64_t rows = 0;
  std::uint64_t slices = 0;
  if (__builtin_mul_overflow(pitch, height - 1, &rows) || __builtin_mul_overflow(slice, depth - 1, &slices)) return 0;
  if (rows > limits::kAllocationBytesMax || slices > limits::kAllocationBytesMax || width > limits::kAllocationBytesMax)
    return 0;
  // Rows and slices that lie over one another would allow more work than there is memory.
  if (depth > 1 && slice < rows + width) return 0;
  return rows + slices + width;
}

// The client checked against the device's limits; what a hostile one sends is refused by these.
bool IsGeometry(const Dim3& grid, const Dim3& block, std::uint32_t shared_bytes) {
  return grid.count() != 0 && block.count() != 0 && block.x <= 1024 && block.y <= 1024 && block.z <= 64 &&
         block.count() <= 1024 && grid.y <= 65535 && grid.z <= 65535 && grid.x <= 0x7fffffff &&
         shared_bytes <= 1024 * limits::kKiB;
}

constexpr std::uint8_t kCooperative = 1;  // Launch.attributes
constexpr std::uint8_t kLargeCluster = 2;

Dim3 SizeOf(const wire::ClusterSize& size) { return {size.x(), size.y(), size.z()}; }

}  // namespace

Status Session::On(const wire::MemAlloc& command, const RecordView& record) {
  if (command.device() >= memory_.size()) return {Code::kBadFrame, "MemAlloc.device", "out of range"};
  const Status added = memory_[command.device()].Add(command.address(), command.bytes());
  if (!added.ok()) {
    const DeviceStatus status = added.code() == Code::kOutOfMemory ? kDeviceOutOfMemory : kDeviceInvalidValue;
    Failed(0, record.sequence, status, false, added.ToString());
    return Status::Ok();
  }
  return backend_.MemAlloc(command.device(), command.address(), command.bytes());
}

Status Session::On(const wire::MemFree& command, const RecordView& record) {
  if (command.device() >= memory_.size()) return {Code::kBadFrame, "MemFree.device", "out of range"};
  const Status removed = memory_[command.device()].Remove(command.address());
  if (!removed.ok()) {
    Failed(0, record.sequence, kDeviceInvalidValue, false, removed.ToString());
    return Status::Ok();
  }
  // A client that is in order has ended it.
  if (shares_memory_) (void)lease_->EndExport(command.address());
  return backend_.MemFree(command.device(), command.address());
}

Status Session::On(const wire::DeviceLimit& command, const RecordView& /*record*/) {
  if (command.device() >= memory_.size()) return {Code::kBadFrame, "DeviceLimit.device", "out of range"};
  return backend_.SetLimit(command.device(), command.limit(), command.value());
}

bool Session::IsGlobal(std::uint64_t address, std::uint64_t bytes, bool managed) const {
  const std::lock_guard lock(modules_mu_);
  const auto after = globals_.upper_bound(address);
  if (after == globals_.begin()) return false;
  const auto& [start, global] = *std::prev(after);
  const std::uint64_t offset = address - start;
  return offset <= global.bytes && bytes <= global.bytes - offset && (global.is_managed || !managed);
}

Result<CopySide> Session::ResolvePlace(const wire::Place& place, std::uint64_t bytes, const RecordView& record,
                                       bool is_dst) {
  CopySide side;
  switch (place.kind()) {
    case wire::PlaceKind::Device: {
      side.kind = CopySide::Kind::kDevice;
      side.address = place.address();
      for (const RangeTable& table : memory_) {
        if (table.Covers(place.address(), bytes)) return side;
      }
      for (const RangeTable& table : imports_) {
        if (table.Covers(place.address(), bytes)) return side;
      }
      if (host_.Covers(place.address(), bytes)) return side;
      if (IsGlobal(place.address(), bytes, false)) return side;
      return Status(Code::kInvalidArgument, is_dst ? "Copy.dst" : "Copy.src",
                    std::to_string(bytes) + " bytes do not lie inside one allocation");
    }
    case wire::PlaceKind::Shared: {
      ACCELMESH_ASSIGN_OR_RETURN(const MutableByteView region, channel_.SharedRegion(place.region()));
      if (place.address() > region.size() || bytes > region.size() - place.address()) {
        return Status(Code::kBadFrame, "Copy.shared", "outside of the shared region");
      }
      side.kind = CopySide::Kind::kHost;
      side.host = region.subspan(place.address(), bytes);
      side.region = region;
      return side;
    }
    case wire::PlaceKind::Bulk:
      side.kind = is_dst ? CopySide::Kind::kToken : CopySide::Kind::kBody;
      side.token = place.address();
      if (!is_dst && (bytes > limits::kBulkBytesMax || place.address() == 0)) {
        return Status(Code::kBadFrame, "Copy.src", "a body past the limit, or without a token");
      }
      return side;
    case wire::PlaceKind::Inline:
      // More comes as a body, which the lanes bound: a parked command keeps its payload.
      if (is_dst || record.payload.size() != bytes || bytes > limits::kInlineBytesMax)
        return Status(Code::kBadFrame, "Copy.inline", "the payload does not fit");
      side.kind = CopySide::Kind::kBody;
      return side;
  }
  return Status(Code::kBadFrame, "Copy.place", "no such kind of place");
}

Status Session::On(const wire::Copy& command, const RecordView& record) {
  const wire::CopyPitched pitched(command.dst(), command.src(), command.bytes(), command.bytes(), command.bytes(),
                                  command.bytes(), command.bytes(), 1, 1, command.stream(), 0);
  return On(pitched, record);
}

Status Session::On(const wire::CopyPitched& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  const std::uint32_t stream = command.stream();
  const std::uint64_t sequence = record.sequence;
  const std::uint64_t volume = Volume(command.width(), command.height(), command.depth());
  std::uint64_t token = 0;
  if (command.src().kind() == wire::PlaceKind::Bulk) token = command.src().address();
  if (volume == 0) {
    return CallerError(stream, sequence, token, kDeviceInvalidValue, "a copy of no bytes, or past every limit");
  }
  const auto side_bytes = [&](const wire::Place& place, std::uint64_t pitch, std::uint64_t slice) {
    const bool packed = place.kind() == wire::PlaceKind::Bulk || place.kind() == wire::PlaceKind::Inline;
    return packed ? volume : Extent(pitch, slice, command.width(), command.height(), command.depth());
  };
  const std::uint64_t dst_bytes = side_bytes(command.dst(), command.dst_pitch(), command.dst_slice());
  const std::uint64_t src_bytes = side_bytes(command.src(), command.src_pitch(), command.src_slice());
  if (dst_bytes == 0 || src_bytes == 0) {
    return CallerError(stream, sequence, token, kDeviceInvalidValue, "a pitched copy whose rows or slices overlap");
  }
  Result<CopySide> dst = ResolvePlace(command.dst(), dst_bytes, record, true);
  Result<CopySide> src = ResolvePlace(command.src(), src_bytes, record, false);
  for (const Result<CopySide>* side : {&dst, &src}) {
    if (side->ok()) continue;
    if (side->code() == Code::kBadFrame) return side->status();
    return CallerError(stream, sequence, token, kDeviceInvalidValue, side->status().ToString());
  }
  dst->pitch = command.dst_pitch();
  dst->slice = command.dst_slice();
  src->pitch = command.src_pitch();
  src->slice = command.src_slice();
  CopyJob job;
  job.dst = *dst;
  job.src = *src;
  job.width = command.width();
  job.height = command.height();
  job.depth = command.depth();
  if (command.src().kind() == wire::PlaceKind::Inline) job.body = std::make_unique<InlineBody>(record.payload);
  return RunOrPark(stream, sequence, token, nullptr,
                   [this, stream, sequence, token, volume, job = std::move(job)]() mutable -> Status {
                     if (token != 0) {
                       job.body = TakeBody(token);
                       if (job.body->size() != volume) {
                         return {Code::kBadFrame, "Copy.src", "the body does not have the size of the copy"};
                       }
                     }
                     return backend_.Copy(stream, sequence, std::move(job));
                   });
}

Status Session::On(const wire::Fill& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  const std::uint32_t stream = command.stream();
  const std::uint64_t sequence = record.sequence;
  const std::uint32_t element = command.element_bytes();
  if (element != 1 && element != 2 && element != 4) return {Code::kBadFrame, "Fill.element_bytes", "not 1, 2 or 4"};
  std::uint64_t width = 0;
  const bool sane = !__builtin_mul_overflow(command.width(), element, &width) && width != 0 && command.height() != 0 &&
                    command.depth() != 0 && Volume(width, command.height(), command.depth()) != 0;
  const std::uint64_t bytes =
      sane ? Extent(command.pitch(), command.slice(), width, command.height(), command.depth()) : 0;
  const Result<CopySide> side =
      ResolvePlace(wire::Place(command.address(), 0, wire::PlaceKind::Device), bytes, record, true);
  const bool aligned = command.address() % element == 0 && (command.height() == 1 || command.pitch() % element == 0) &&
                       (command.depth() == 1 || command.slice() % element == 0);
  if (bytes == 0 || !side.ok() || !aligned) {
    return CallerError(stream, sequence, 0, kDeviceInvalidValue,
                       "a fill that is misaligned or does not lie inside one allocation");
  }
  const FillJob job{command.address(), command.pitch(), command.slice(), command.width(),
                    command.height(),  command.depth(), command.value(), element};
  return RunOrPark(stream, sequence, 0, nullptr,
                   [this, stream, sequence, job] { return backend_.Fill(stream, sequence, job); });
}

Status Session::On(const wire::SharedRelease& command, const RecordView& /*record*/) {
  // The client has waited for its copies before; one that has not loses this worker, which is its own.
  if (const Result<MutableByteView> region = channel_.SharedRegion(command.region()); region.ok())
    backend_.RegionReleased(*region);
  channel_.ReleaseRegion(command.region());
  return Status::Ok();
}

// Modules ------------------------------------------------------------------------------------------------------------

Status Session::On(const wire::ModuleLoad& command, const RecordView& record) {
  constexpr std::uint64_t kBody = limits::kBulkBytesMax;
  if (command.module_id() >= limits::kModulesMax || command.device() >= devices_.size() || command.image_bytes() == 0 ||
      command.image_bytes() > limits::kImageBytesMax ||
      command.tokens() != (command.image_bytes() + kBody - 1) / kBody) {
    return {Code::kBadFrame, "ModuleLoad", "module, device or size out of range"};
  }
  {
    const std::lock_guard lock(modules_mu_);
    if (modules_.contains(command.module_id())) return {Code::kBadFrame, "ModuleLoad.module", "the id is taken"};
    modules_[command.module_id()].loading = true;
  }
  if (images_bytes_.fetch_add(command.image_bytes()) + command.image_bytes() > limits::kImagesInFlightBytesMax) {
    return {Code::kLimitExceeded, "ModuleLoad.image_bytes", "more images at a time than a session may send"};
  }
  for (PlacedVariable& placed : placed_) {
    if (placed.module_id == command.module_id())
      backend_.PlaceVariable(next_backend_module_, std::move(placed.name), placed.memory, placed.keep);
  }
  std::erase_if(placed_, [&command](const PlacedVariable& p) { return p.module_id == command.module_id(); });
  collecting_.push_back({command, record.sequence, next_backend_module_++, {}, 0});
  return CollectImages();
}

Status Session::CollectImages() {
  for (auto load = collecting_.begin(); load != collecting_.end();) {
    while (load->bodies < load->command.tokens() && HasBody(load->command.first_token() + load->bodies)) {
      const std::unique_ptr<BulkBody> body = TakeBody(load->command.first_token() + load->bodies);
      load->image.insert(load->image.end(), body->bytes().begin(), body->bytes().end());
      ++load->bodies;
    }
    if (load->bodies < load->command.tokens()) {
      ++load;
      continue;
    }
    if (load->image.size() != load->command.image_bytes()) {
      return {Code::kBadFrame, "ModuleLoad.image_bytes", "the bodies do not add up to the image"};
    }
    {
      const std::lock_guard lock(service_mu_);
      service_queue_.push_back(std::move(*load));
    }
    if (!service_.joinable()) service_ = std::thread([this] { ServiceMain(); });
    service_cv_.notify_one();
    load = collecting_.erase(load);
  }
  return Status::Ok();
}

void Session::ServiceMain() {
  while (true) {
    std::unique_lock lock(service_mu_);
    service_cv_.wait(lock, [this] { return service_stop_ || !service_queue_.empty(); });
    if (service_stop_) return;
    PendingLoad load = std::move(service_queue_.front());
    service_queue_.pop_front();
    lock.unlock();
    const std::uint64_t image_bytes = load.command.image_bytes();
    RunLoad(std::move(load));
    images_bytes_.fetch_sub(image_bytes);
  }
}

void Session::RunLoad(PendingLoad load) {
  const std::uint32_t id = load.command.module_id();
  Result<ModuleDescription> module = backend_.ModuleLoad(load.command.device(), load.backend_id, std::move(load.image));
  if (!module.ok()) {
    {
      const std::lock_guard lock(modules_mu_);
      modules_.erase(id);
    }
    const DeviceStatus status = module.code() == Code::kNotFound          ? kDeviceNoBinary
                                : module.code() == Code::kOutOfMemory     ? kDeviceOutOfMemory
                                : module.code() == Code::kUnsupported     ? kDeviceNotSupported
                                : module.code() == Code::kVersionMismatch ? kDeviceUnsupportedPtxVersion
                                                                          : kDeviceInvalidPtx;
    log::Warning("module load", module.status().ToString());
    Reply(load.sequence, status, Code::kOk, module.status().text(), {});
    return;
  }
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<wire::KernelInfo>> kernels;
  std::vector<flatbuffers::Offset<wire::GlobalInfo>> globals;
  ModuleState state;
  state.module = std::make_shared<BackendModule>(&backend_, load.backend_id, module->has_foreign_conditions);
  for (const KernelDescription& kernel : module->kernels) {
    std::vector<wire::KernelParameter> parameters;
    std::uint32_t end = 0;
    for (const auto& [offset, bytes] : kernel.parameters) {
      parameters.emplace_back(offset, bytes);
      end = std::max(end, offset + bytes);
    }
    state.argument_bytes.push_back(end);
    kernels.push_back(wire::CreateKernelInfo(
        builder, builder.CreateString(kernel.name), builder.CreateVectorOfStructs(parameters),
        kernel.max_threads_per_block, kernel.static_shared_bytes, kernel.local_bytes, kernel.constant_bytes,
        kernel.registers, kernel.ptx_version, kernel.binary_version, kernel.cluster[0], kernel.cluster[1],
        kernel.cluster[2], kernel.cluster_must_be_set, kernel.cluster_policy));
  }
  for (const GlobalDescription& global : module->globals) {
    state.globals.push_back(global.address);
    globals.push_back(wire::CreateGlobalInfo(builder, builder.CreateString(global.name), global.address, global.bytes,
                                             global.is_constant, global.is_managed));
  }
  builder.Finish(wire::CreateModuleInfo(builder, builder.CreateVector(kernels), builder.CreateVector(globals)));
  if (builder.GetSize() > limits::kReplyBytesMax) {
    {
      const std::lock_guard lock(modules_mu_);
      modules_.erase(id);
    }
    const std::string text =
        std::to_string(module->kernels.size()) + " kernels have more to describe than a reply holds";
    log::Warning("module load", text);
    Reply(load.sequence, kDeviceOutOfMemory, Code::kOk, text, {});
    return;
  }
  {
    const std::lock_guard lock(modules_mu_);
    for (const GlobalDescription& global : module->globals)
      globals_[global.address] = {global.bytes, global.is_managed};
    modules_[id] = std::move(state);
  }
  Reply(load.sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
}

Status Session::On(const wire::ModuleUnload& command, const RecordView& record) {
  // Unloads when it goes, unless a parked command may mean it or its variables; after the lock, for it may take long.
  std::shared_ptr<BackendModule> gone;
  const std::lock_guard lock(modules_mu_);
  const auto found = modules_.find(command.module_id());
  if (found == modules_.end() || found->second.loading) {
    return {Code::kBadFrame, "ModuleUnload.module", "no such module"};
  }
  gone = std::move(found->second.module);
  if (parked_commands_ != 0 && past_.size() < limits::kModulesMax)
    past_.push_back({record.sequence, std::nullopt, gone});
  for (const std::uint64_t address : found->second.globals) globals_.erase(address);
  modules_.erase(found);
  return Status::Ok();
}

Status Session::On(const wire::Occupancy& command, const RecordView& record) {
  OccupancyJob job;
  job.of = static_cast<OccupancyJob::Of>(command.of());
  job.kernel = command.kernel();
  job.grid = {command.grid_x(), command.grid_y(), command.grid_z()};
  job.block = {command.block_x(), command.block_y(), command.block_z()};
  job.shared_bytes = command.shared_bytes();
  job.cluster = {
      SizeOf(command.cluster()), {0, 0, 0}, command.cluster_policy(), (command.attributes() & kLargeCluster) != 0};
  std::shared_ptr<BackendModule> module;
  {
    const std::lock_guard lock(modules_mu_);
    const auto found = modules_.find(command.module_id());
    if (found == modules_.end() || found->second.loading || command.kernel() >= found->second.argument_bytes.size())
      return {Code::kBadFrame, "Occupancy.kernel", "no such module or kernel"};
    module = found->second.module;
  }
  if (!IsGeometry(job.grid, job.block, job.shared_bytes) || command.of() > wire::OccupancyOf::ClusterSize)
    return {Code::kBadFrame, "Occupancy", "past the device's limits, or asked for what there is not"};
  job.module = module->backend_id;
  const Result<OccupancyAnswer> answer = backend_.Occupancy(job);
  if (!answer.ok() || answer->status != kDeviceOk) {
    Reply(record.sequence, answer.ok() ? answer->status : kDeviceInvalidValue, Code::kOk,
          answer.ok() ? answer->text : answer.status().text(), {});
    return Status::Ok();
  }
  flatbuffers::FlatBufferBuilder builder(64);
  builder.Finish(wire::CreateOccupancyInfo(builder, answer->count));
  Reply(record.sequence, kDeviceOk, Code::kOk, "", {builder.GetBufferPointer(), builder.GetSize()});
  return Status::Ok();
}

Result<std::shared_ptr<Session::BackendModule>> Session::FindKernel(const wire::Launch& command,
                                                                    std::size_t argument_bytes) {
  const std::lock_guard lock(modules_mu_);
  const auto found = modules_.find(command.module_id());
  if (found == modules_.end() || found->second.loading || command.kernel() >= found->second.argument_bytes.size()) {
    return Status(Code::kBadFrame, "Launch.kernel", "no such module or kernel");
  }
  if (argument_bytes != found->second.argument_bytes[command.kernel()]) {
    return Status(Code::kBadFrame, "Launch.arguments", "the argument block does not have the kernel's size");
  }
  return found->second.module;
}

Status Session::On(const wire::Launch& command, const RecordView& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckStream(command.stream()));
  ACCELMESH_ASSIGN_OR_RETURN(std::shared_ptr<BackendModule> module, FindKernel(command, record.payload.size()));
  return RunLaunch(command, record, std::move(module));
}

Status Session::RunLaunch(const wire::Launch& command, const RecordView& record,
                          std::shared_ptr<BackendModule> module) {
  const std::uint32_t stream = command.stream();
  const std::uint64_t sequence = record.sequence;
  LaunchJob job;
  job.device = streams_[stream].device;
  job.module = module->backend_id;
  job.kernel = command.kernel();
  job.grid = {command.grid_x(), command.grid_y(), command.grid_z()};
  job.block = {command.block_x(), command.block_y(), command.block_z()};
  job.shared_bytes = command.shared_bytes();
  job.cooperative = (command.attributes() & kCooperative) != 0;
  job.cluster = {SizeOf(command.cluster()), SizeOf(command.preferred_cluster()), command.cluster_policy(),
                 (command.attributes() & kLargeCluster) != 0};
  if (!IsGeometry(job.grid, job.block, job.shared_bytes))
    return {Code::kBadFrame, "Launch.geometry", "past the device's limits"};
  if (const StreamState& state = streams_[stream];
      state.parked.empty() && MayRun(state, stream, sequence, 0, nullptr)) {
    job.arguments = record.payload;
    return backend_.Launch(stream, sequence, job);
  }
  return RunOrPark(
      stream, sequence, 0, nullptr,
      [this, stream, sequence, job, module, arguments = Bytes(record.payload.begin(), record.payload.end())]() mutable {
        job.arguments = arguments;
        return backend_.Launch(stream, sequence, job);
      });
}

}  // namespace accelmesh
