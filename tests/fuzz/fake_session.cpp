#include "tests/fuzz/fake_session.h"

#include "protocol/library/library.h"
#include "server/session/lease_table.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

class OwnedBody final : public BulkBody {
 public:
  explicit OwnedBody(Bytes bytes) : bytes_(std::move(bytes)) {}
  ByteView bytes() const override { return bytes_; }

 private:
  Bytes bytes_;
};

// The kernel that every module of the checking backend has.
constexpr std::uint32_t kArgumentBytes = 16;
constexpr std::uint64_t kGlobalsBytes = 1 * limits::kMiB;

}  // namespace

// Channel ------------------------------------------------------------------------------------------------------------

void ScriptChannel::PushBody(std::uint64_t token, ByteView body) {
  if (bodies_.try_emplace(token, body.begin(), body.end()).second) body_arrived_ = true;
}

Result<ReceivedFrame> ScriptChannel::Receive(bool accept_commands, Deadline /*deadline*/) {
  ReceivedFrame received;
  while (true) {
    if (body_arrived_) {
      body_arrived_ = false;
      received.kind = ReceivedFrame::Kind::kBulk;
      return received;
    }
    for (auto at = frames_.begin(); at != frames_.end(); ++at) {
      if (at->first == UpLane::kCommand && !accept_commands) continue;
      received.kind = ReceivedFrame::Kind::kFrame;
      received.lane = at->first;
      frame_ = std::move(at->second);
      received.frame = frame_;
      frames_.erase(at);
      return received;
    }
    if (!next_(*this)) return Status(Code::kClosed, "ScriptChannel", "the script is over");
    // Something may have completed.
    if (frames_.empty() && !body_arrived_) return received;
  }
}

Result<std::unique_ptr<BulkBody>> ScriptChannel::TakeBulk(std::uint64_t token) {
  const auto found = bodies_.find(token);
  if (found == bodies_.end()) return Status(Code::kNotFound, "TakeBulk", "not there");
  auto body = std::make_unique<OwnedBody>(std::move(found->second));
  bodies_.erase(found);
  return std::unique_ptr<BulkBody>(std::move(body));
}

Status ScriptChannel::Send(ByteView frame, Deadline /*deadline*/) {
  if (frame.size() > limits::kFrameBytesMax) return {Code::kLimitExceeded, "Send", "too large"};
  Touch(frame);
  const std::lock_guard lock(mutex_);
  sent_.emplace_back(frame.begin(), frame.end());
  return {};
}

Status ScriptChannel::SendBulk(std::uint64_t, std::uint64_t, ByteView body, Deadline /*deadline*/) {
  Require(body.size() <= limits::kBulkBytesMax, "a body down is bounded");
  return {};
}

void ScriptChannel::PublishCompleted(std::uint32_t stream, std::uint64_t sequence) {
  Require(stream < limits::kStreamsMax, "progress of a stream that can be");
  // The nodes of a graph's launch share the sequence before its last.
  Require(sequence >= completed_[stream], "a stream's counter does not fall");
  completed_[stream] = sequence;
}

void ScriptChannel::PublishAcknowledged(std::uint64_t sequence) {
  Require(sequence >= acknowledged_, "acknowledgements grow");
  acknowledged_ = sequence;
}

void ScriptChannel::PublishError(std::uint32_t device_status, bool, std::uint64_t) {
  Require(device_status != 0, "an error is one");
  if (error_ == 0) error_ = device_status;
}

Result<MutableByteView> ScriptChannel::SharedRegion(std::uint32_t region) {
  if (region > 3) return Status(Code::kNotFound, "SharedRegion", "none");
  Bytes& bytes = regions_[region];
  bytes.resize(100000);
  return MutableByteView(bytes);
}

// Backend ------------------------------------------------------------------------------------------------------------

Result<std::vector<DeviceDescription>> CheckingBackend::Open(std::uint64_t window_base, std::uint64_t window_bytes,
                                                             CompletionSink* sink) {
  Require(sink_ == nullptr, "opened once");
  if (window_bytes < 4 * limits::kMiB || window_base + window_bytes < window_base) {
    return Status(Code::kFull, "CheckingBackend", "offer another window");
  }
  sink_ = sink;
  window_base_ = window_base;
  window_bytes_ = window_bytes;
  DeviceDescription device;
  device.name = "checking";
  device.memory_bytes = kMemoryBytes;
  device.window_base = window_base;
  device.window_bytes = window_bytes - kGlobalsBytes;
  return std::vector<DeviceDescription>{device};
}

Status CheckingBackend::MemAlloc(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) {
  Require(device == 0 && bytes != 0 && bytes <= kMemoryBytes, "an allocation within the quota");
  Require(address >= window_base_ && bytes <= window_bytes_ && address - window_base_ <= window_bytes_ - bytes,
          "an allocation within the window");
  const auto after = live_.lower_bound(address);
  Require(after == live_.end() || address + bytes <= after->first, "allocations do not overlap");
  Require(after == live_.begin() || std::prev(after)->first + std::prev(after)->second <= address,
          "allocations do not overlap");
  live_[address] = bytes;
  std::uint64_t& most = ever_[address];
  most = std::max(most, bytes);
  return {};
}

Status CheckingBackend::MemFree(std::uint32_t device, std::uint64_t address) {
  Require(device == 0 && live_.erase(address) == 1, "only what is allocated is freed");
  return {};
}

void CheckingBackend::UseFile(int fd, std::uint64_t offset) {
  Require(sink_ == nullptr && fd >= 0 && offset != 0, "the file comes before Open()");
}

Result<SharedMemory> CheckingBackend::ExportMemory(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) {
  const auto found = live_.find(address);
  Require(device == 0 && found != live_.end() && found->second == bytes, "only what is allocated is exported");
  // Every other time its memory is still being looked for.
  if (exported_.insert(address).second) return Status(Code::kFull, "CheckingBackend", "ask again");
  exported_.erase(address);
  SharedMemory memory;
  memory.lead = address % limits::kPageBytes;
  memory.pieces.push_back({0, LeaseTable::kBytes + (address - memory.lead - window_base_),
                           AlignUp(memory.lead + bytes, limits::kPageBytes), -1});
  return memory;
}

Status CheckingBackend::ShareMemory(std::uint32_t device, const SharedMemory& memory, std::uint64_t address,
                                    std::uint64_t bytes) {
  Require(device == 0 && bytes != 0 && !memory.pieces.empty(), "pieces of files");
  for (const SharedPiece& piece : memory.pieces) Require(piece.fd >= 0 && piece.bytes != 0, "a piece of a file");
  const std::uint64_t span = memory.span();
  Require(memory.lead <= span && bytes <= span - memory.lead, "an allocation in its pieces");
  const std::uint64_t start = address - memory.lead;
  Require(start >= window_base_ && span <= window_bytes_ && start - window_base_ <= window_bytes_ - span,
          "a place within the window");
  const auto is_over = [start, span](const auto& range) {
    return range.first < start + span && start < range.first + range.second;
  };
  Require(std::none_of(live_.begin(), live_.end(), is_over) &&
              std::none_of(shared_.begin(), shared_.end(),
                           [&is_over](const auto& shared) { return is_over(shared.second); }),
          "a place that holds nothing");
  shared_[address] = {start, span};
  std::uint64_t& most = ever_[address];
  most = std::max(most, bytes);
  return {};
}

Status CheckingBackend::UnshareMemory(std::uint64_t address, std::uint64_t bytes) {
  const auto found = shared_.find(address);
  Require(found != shared_.end() && bytes <= found->second.second, "only what is shared is let go");
  shared_.erase(found);
  return {};
}

Result<OccupancyAnswer> CheckingBackend::Occupancy(const OccupancyJob& job) {
  const std::lock_guard lock(modules_mutex_);
  Require(modules_.contains(job.module) && job.kernel == 0, "a kernel of a loaded module");
  Require(job.grid.count() != 0 && job.block.count() != 0 && job.block.count() <= 1024, "a launch geometry");
  if (job.of == OccupancyJob::Of::kClusterSize) return OccupancyAnswer{kDeviceInvalidValue, 0, "none"};
  return OccupancyAnswer{kDeviceOk, 1, {}};
}

Result<ModuleDescription> CheckingBackend::ModuleLoad(std::uint32_t device, std::uint32_t module, Bytes image) {
  Require(device == 0 && !image.empty(), "an image for the device");
  if (image[0] == 0) return Status(Code::kInvalidArgument, "CheckingBackend", "an image that does not load");
  ModuleDescription description;
  KernelDescription kernel;
  kernel.name = "kernel";
  kernel.parameters = {{0, 8}, {8, kArgumentBytes - 8}};
  description.kernels.push_back(kernel);
  description.has_foreign_conditions = has_foreign_conditions_;
  // More to tell than fits into a frame.
  if (image[0] == kTalkativeImage) description.kernels.assign(2000, {std::string(1000, 'k'), kernel.parameters});
  description.globals.push_back({"global", window_base_ + window_bytes_ - 4096, 256, false});
  const std::lock_guard lock(modules_mutex_);
  Require(modules_.insert(module).second, "a module's id is free");
  return description;
}

Status CheckingBackend::ModuleUnload(std::uint32_t module) {
  Require(!closed_, "nothing after Close()");
  const std::lock_guard lock(modules_mutex_);
  Require(modules_.erase(module) == 1, "only what is loaded is unloaded");
  return {};
}

Status CheckingBackend::StreamCreate(std::uint32_t stream, std::uint32_t device, std::uint8_t kind, std::int32_t) {
  Require(device == 0 && kind <= 2 && stream < limits::kStreamsMax, "a stream that can be");
  Require(in_flight_.try_emplace(stream).second, "a slot is free");
  return {};
}

Status CheckingBackend::StreamDestroy(std::uint32_t stream) {
  const auto found = in_flight_.find(stream);
  Require(found != in_flight_.end(), "only streams that exist are destroyed");
  // What is queued completes all the same.
  CompleteSome(stream, found->second.size());
  in_flight_.erase(stream);
  return {};
}

std::size_t CheckingBackend::InFlight(std::uint32_t stream) const {
  const auto found = in_flight_.find(stream);
  return found == in_flight_.end() ? 0 : found->second.size();
}

void CheckingBackend::Queue(std::uint32_t stream, std::uint64_t sequence) {
  Require(!closed_, "nothing after Close()");
  const auto found = in_flight_.find(stream);
  Require(found != in_flight_.end(), "work for a stream that exists");
  Require(sequence >= last_sequence_[stream], "a stream's work comes in order");
  Require(found->second.size() < limits::kStreamInFlightMax, "no more than a stream's window");
  last_sequence_[stream] = sequence;
  found->second.push_back(sequence);
  if (!hold_) CompleteSome(stream, found->second.size());
}

void CheckingBackend::CompleteSome(std::uint32_t stream, std::size_t count) {
  const auto found = in_flight_.find(stream);
  if (found == in_flight_.end()) return;
  for (; count != 0 && !found->second.empty(); --count) {
    const std::uint64_t sequence = found->second.front();
    found->second.pop_front();
    if (const auto answer = answers_.extract({stream, sequence})) answer.mapped()();
    sink_->Completed(stream, sequence);
  }
}

Status CheckingBackend::Launch(std::uint32_t stream, std::uint64_t sequence, const LaunchJob& job) {
  {
    const std::lock_guard lock(modules_mutex_);
    Require(modules_.contains(job.module) && job.kernel == 0, "a kernel of a loaded module");
  }
  Require(job.arguments.size() == kArgumentBytes, "an argument block of the kernel's size");
  Require(job.grid.count() != 0 && job.block.count() != 0 && job.block.count() <= 1024, "a launch geometry");
  Touch(job.arguments);
  Queue(stream, sequence);
  return {};
}

void CheckingBackend::CheckRange(std::uint64_t address, std::uint64_t bytes) {
  const std::uint64_t end = window_base_ + window_bytes_;
  if (address >= end - kGlobalsBytes && address < end) {
    Require(address - (window_base_ + window_bytes_ - 4096) <= 256 && bytes <= 256, "inside a global");
    return;
  }
  const auto after = ever_.upper_bound(address);
  Require(after != ever_.begin(), "inside an allocation");
  const auto& [start, size] = *std::prev(after);
  Require(address - start <= size && bytes <= size - (address - start), "inside an allocation");
}

void CheckingBackend::CheckSide(const CopySide& side, const CopyJob& job) {
  // From the first byte to the last.
  const std::uint64_t extent = (job.depth - 1) * side.slice + (job.height - 1) * side.pitch + job.width;
  switch (side.kind) {
    case CopySide::Kind::kDevice: CheckRange(side.address, extent); break;
    case CopySide::Kind::kBody:
      Require(job.body != nullptr && job.body->bytes().size() == job.width * job.height * job.depth,
              "a body of the copy's size");
      Touch(job.body->bytes());
      break;
    case CopySide::Kind::kHost:
      Require(side.host.size() >= extent, "inside the shared region");
      Touch(side.host);
      break;
    case CopySide::Kind::kToken: break;
  }
}

Status CheckingBackend::Copy(std::uint32_t stream, std::uint64_t sequence, CopyJob job) {
  Require(job.width != 0 && job.height != 0 && job.depth != 0, "a copy of something");
  Require(job.dst.kind != CopySide::Kind::kBody && job.src.kind != CopySide::Kind::kToken, "sides the right way round");
  CheckSide(job.dst, job);
  CheckSide(job.src, job);
  Queue(stream, sequence);
  return {};
}

Status CheckingBackend::Fill(std::uint32_t stream, std::uint64_t sequence, const FillJob& job) {
  const std::uint32_t element = job.element_bytes;
  Require((element == 1 || element == 2 || element == 4) && job.address % element == 0, "aligned elements");
  Require(job.height == 1 || job.pitch % element == 0, "aligned rows");
  Require(job.depth == 1 || job.slice % element == 0, "aligned slices");
  CheckRange(job.address, (job.depth - 1) * job.slice + (job.height - 1) * job.pitch + job.width * element);
  Queue(stream, sequence);
  return {};
}

Status CheckingBackend::FetchWord(std::uint32_t stream, std::uint64_t sequence, std::uint64_t address) {
  Require(address % sizeof(std::uint32_t) == 0, "a word");
  CheckRange(address, sizeof(std::uint32_t));
  fetched_[stream] = address;
  if (fetches_) Queue(stream, sequence);
  return {};
}

Result<std::uint32_t> CheckingBackend::ReadWord(std::uint32_t stream, std::uint64_t address) {
  Require(fetched_.contains(stream) && fetched_[stream] == address && InFlight(stream) == 0, "the word was fetched");
  CheckRange(address, sizeof(std::uint32_t));
  fetched_.erase(stream);
  const auto found = words_.find(address);
  return found == words_.end() ? 0 : found->second;
}

Status CheckingBackend::EventCreate(std::uint32_t event, bool) {
  Require(events_.insert(event).second, "an event's id is free");
  return {};
}
Status CheckingBackend::EventDestroy(std::uint32_t event) {
  Require(!closed_, "nothing after Close()");
  Require(events_.erase(event) == 1, "only events that exist are destroyed");
  recorded_.erase(event);
  return {};
}
Status CheckingBackend::EventRecord(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) {
  Require(events_.contains(event), "an event that exists");
  recorded_.insert(event);
  Queue(stream, sequence);
  return {};
}
Status CheckingBackend::StreamWaitEvent(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) {
  Require(events_.contains(event), "an event that exists");
  Queue(stream, sequence);
  return {};
}
Result<float> CheckingBackend::EventElapsedMs(std::uint32_t start, std::uint32_t end) {
  Require(events_.contains(start) && events_.contains(end), "events that exist");
  if (!recorded_.contains(start) || !recorded_.contains(end)) {
    return Status(Code::kInvalidArgument, "EventElapsed", "not recorded");
  }
  return 1.0f;
}

Status CheckingBackend::MapHost(MutableByteView memory) {
  const auto address = reinterpret_cast<std::uint64_t>(memory.data());
  Touch(memory);
  Require(!memory.empty() && host_.emplace(address, memory.size()).second, "host memory that is not mapped");
  // A parked copy may name it when it is gone.
  ever_[address] = std::max(ever_[address], std::uint64_t{memory.size()});
  return {};
}
Status CheckingBackend::UnmapHost(std::uint64_t address) {
  Require(host_.erase(address) == 1, "host memory that is mapped");
  return {};
}
void CheckingBackend::PlaceVariable(std::uint32_t module, std::string name, MutableByteView memory, bool /*keep*/) {
  const auto address = reinterpret_cast<std::uint64_t>(memory.data());
  const auto after = host_.upper_bound(address);
  Require(!name.empty() && after != host_.begin() &&
              address + memory.size() <= std::prev(after)->first + std::prev(after)->second,
          "a variable with a name in mapped host memory");
  const std::lock_guard lock(modules_mutex_);
  Require(!modules_.contains(module), "a module that is not loaded");
}

Status CheckingBackend::HostWait(std::uint32_t stream, std::uint64_t sequence, std::uint64_t call) {
  Require(host_calls_.insert(call).second, "a host call's number is free");
  Queue(stream, sequence);
  return {};
}
Status CheckingBackend::HostDone(std::uint64_t call) {
  Require(host_calls_.erase(call) == 1, "only calls that a stream waits for are done");
  return {};
}

Status CheckingBackend::TextureCreate(std::uint64_t id, const TextureJob& job) {
  Require(textures_.insert(id).second, "a texture's id is free");
  Require(!job.levels.empty() && (job.channels == 1 || job.channels == 2 || job.channels == 4), "levels and channels");
  for (const TextureJob::Level& level : job.levels) {
    Require(level.width != 0, "texels");
    CheckRange(level.address, level.width * job.channels);
    // The last texel of the last row of the last slice, of the smallest format that there is.
    const std::uint64_t rows = std::max(level.height, 1u);
    const std::uint64_t slices = std::max(level.depth, 1u);
    CheckRange(level.address + (slices - 1) * level.slice + (rows - 1) * level.pitch, level.width * job.channels);
  }
  return {};
}
Status CheckingBackend::TextureDestroy(std::uint64_t id) {
  Require(textures_.erase(id) == 1, "only textures that exist are destroyed");
  return {};
}

namespace {

LibraryAnswer FirstWord(const LibraryJob& job) {
  return {job.function, Bytes(job.arguments.begin() + 8, job.arguments.begin() + 16)};
}

}  // namespace

void CheckingBackend::LibraryOpen(std::uint32_t library, std::uint32_t device,
                                  std::function<void(Result<Bytes>)> answer) {
  Require(LibraryFunctions(library) != 0 && device == 0, "a library and a device that are there");
  if (!has_libraries_) return answer(Status(Code::kUnsupported, "CheckingBackend", "no such library"));
  libraries_.insert(library);
  Bytes bits((LibraryFunctions(library) + 7) / 8);
  for (std::uint32_t function = 0; function < LibraryFunctions(library); ++function) {
    if (HasFunction(function)) bits[function / 8] = static_cast<std::uint8_t>(bits[function / 8] | 1u << function % 8);
  }
  answer(std::move(bits));
}

std::string CheckingBackend::LibraryIdentity(std::uint32_t library, std::uint32_t device) {
  Require(device == 0 && libraries_.contains(library), "a library that was opened");
  return library_identity_;
}

void CheckingBackend::CheckLibrary(const LibraryJob& job) const {
  Require(!closed_, "nothing after Close()");
  Require(job.device == 0 && libraries_.contains(job.library), "a library that was opened");
  Require(HasFunction(job.function), "a function that the backend has");
  Require(HasLibraryShape(job.library, job.function, job.arguments), "arguments of its shape");
  Touch(job.arguments);
}

Status CheckingBackend::LibraryCall(std::uint32_t stream, std::uint64_t sequence, LibraryJob job,
                                    std::function<void(LibraryAnswer)> answer) {
  CheckLibrary(job);
  Require(!IsAsked(job.library, job.function), "a function for a stream");
  Require(job.settings != nullptr && job.settings->size() <= limits::kLibrarySettingsBytesMax, "settings");
  Touch(*job.settings);
  if (answer != nullptr) {
    const bool is_first =
        answers_.emplace(std::pair(stream, sequence), [answer, told = FirstWord(job)] { answer(told); }).second;
    Require(is_first, "one answer for a call");
  }
  library_jobs_.push_back(std::move(job));
  Queue(stream, sequence);
  return {};
}

void CheckingBackend::LibraryAsk(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer) {
  CheckLibrary(job);
  Require(IsAsked(job.library, job.function), "a function for no stream");
  ++asked_;
  LibraryAnswer told = FirstWord(job);
  if (!library_identity_.empty()) told.status = told.results[0] == 1 ? 1 : 0;
  if (told.results == Bytes(8)) return answer(Status(Code::kUnsupported, "CheckingBackend", "nothing to say"));
  answer(told);
}

Status CheckingBackend::Hold(std::uint32_t stream, bool on) {
  Require(in_flight_.contains(stream), "a stream that exists");
  hold_ = on;
  return {};
}

void CheckingBackend::Close() { closed_ = true; }

}  // namespace accelmesh::fuzz
