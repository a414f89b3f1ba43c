// Session: memory that has a twin on the server. What the program wrote goes there before a launch; what the device
// wrote comes back at a synchronise.
#include <algorithm>

#include "protocol/base/log.h"
#include "shim/core/graph_exec.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

// Written by the executor at once; more goes as bodies, on a stream of its own that launches wait for.
constexpr std::uint64_t kWrittenAtOnceMax = 64 * limits::kKiB;
// Up to this size memory is looked through at every launch, beyond it only if the launch names it.
constexpr std::uint64_t kAlwaysLookedThroughMax = 1 * limits::kMiB;
// What comes back at a time.
constexpr std::uint64_t kPulledAtATimeMax = 16 * limits::kMiB;

}  // namespace

DeviceResult ClientSession::AddReached(std::shared_ptr<ReachedTwin> twin) {
  any_reached_.store(true, std::memory_order_release);
  if (twin == nullptr) return 0;
  const MutexLock lock(twin_mu_);
  if (twin_stream_ == nullptr) {
    DeviceResult made = CreateStream(0, wire::StreamKind::NonBlocking, 0, 0, &twin_stream_, true);
    if (made == 0) made = CreateEvent(0, false, &twin_event_, true);
    if (made != 0) return made;
    log::Warning("accelmesh",
                 std::string("kernels reach host memory of this program over ") + commands_->channel().traits().name +
                     ": what either side writes there is seen by the other at launches and synchronisations only");
  }
  twin->is_added = true;
  twins_.push_back(std::move(twin));
  any_twin_.store(true, std::memory_order_release);
  return 0;
}

void ClientSession::RemoveTwin(ReachedTwin& twin) {
  Point last{};
  {
    const MutexLock lock(twin_mu_);
    twin.is_gone = true;
    std::erase_if(twins_, [&twin](const auto& one) { return one.get() == &twin; });
    any_twin_.store(!twins_.empty(), std::memory_order_release);
    if (twin_stream_ == nullptr) return;
    last = {twin_stream_->slot, twin_stream_->last_sequence.load(std::memory_order_relaxed)};
  }
  // Another thread's synchronise may be reading it back. A connection that is lost reads nothing.
  static_cast<void>(Wait([this, last] { return Passed(last.slot, last.sequence); }));
}

void ClientSession::AttachTwin(std::uint64_t address, bool is_attached) {
  const MutexLock lock(twin_mu_);
  for (const auto& twin : twins_) {
    if (twin->device_address == address) twin->is_attached = is_attached;
  }
}

void ClientSession::NoteTwinWork(std::uint32_t slot, std::uint64_t sequence) {
  if (!any_twin_.load(std::memory_order_acquire)) return;
  const MutexLock lock(twin_mu_);
  twin_writers_.erase(std::this_thread::get_id());
  const auto work = twin_work_.try_emplace(slot, TwinWork{sequence, sequence});
  work.first->second.first = std::min(work.first->second.first, sequence);
  work.first->second.last = std::max(work.first->second.last, sequence);
  any_twin_work_.store(true, std::memory_order_release);
}

DeviceResult ClientSession::PushTwins(Stream* stream, const Named& named, bool writes) {
  if (!any_twin_.load(std::memory_order_acquire)) return 0;
  const MutexLock lock(twin_mu_);
  if (writes) twin_writers_.insert(std::this_thread::get_id());
  // With nothing under way the device cannot be writing next to what is sent.
  const bool is_settled = twin_work_.empty() && twin_writers_.size() <= (writes ? 1 : 0);
  for (const auto& twin : twins_) {
    const bool is_named = std::find(named.begin(), named.end(), twin) != named.end();
    twin->is_named = twin->is_named || is_named;
    if (twin->by_argument && !is_named) continue;
    if (!is_settled) {
      // The processor does not touch managed memory while the device works (concurrentManagedAccess is 0), unless a
      // stream has it for its own.
      if (twin->kind == HostKind::kManaged && !twin->is_attached) continue;
      if (twin->twin->bytes() > kAlwaysLookedThroughMax && !is_named) continue;
    }
    if (const DeviceResult pushed = PushTwin(*twin, !is_settled); pushed != 0) return pushed;
  }
  if (stream == nullptr || Passed(twin_stream_->slot, twin_pushed_)) return 0;
  return WaitEvent(stream, twin_event_);
}

DeviceResult ClientSession::PushTwin(ReachedTwin& twin, bool exact) {
  const std::vector<Twin::Run> runs = twin.twin->TakeWritten(exact);
  if (runs.empty()) return 0;
  std::uint64_t bytes = 0;
  for (const Twin::Run& run : runs) bytes += run.bytes;
  // Bytes that are written at once would overtake those of an earlier push.
  const bool at_once = bytes <= kWrittenAtOnceMax && Passed(twin_stream_->slot, twin_pushed_);
  for (const Twin::Run& run : runs) {
    const ByteView sent = twin.twin->Sent(run);
    const std::uint64_t to = twin.device_address + run.offset;
    if (at_once) {
      const Result<std::uint64_t> posted = commands_->Post(wire::HostWrite(to), sent);
      if (!posted.ok()) return Lost(posted.status());
      twin.pushed = *posted;
      continue;
    }
    if (const DeviceResult result = SendPieces(twin_stream_, to, sent.data(), sent.size()); result != 0) return result;
    twin.pushed = twin_stream_->last_sequence.load(std::memory_order_relaxed);
  }
  if (at_once) return 0;
  twin_pushed_ = twin.pushed;
  return RecordEvent(twin_event_, twin_stream_);
}

void ClientSession::PushForHostCall() {
  std::uint64_t pushed = 0;
  std::uint32_t slot = 0;
  {
    const MutexLock lock(twin_mu_);
    // What it wrote may be read by kernels that no later launch is to tell of.
    for (const auto& twin : twins_) {
      const std::uint64_t before = twin->pushed;
      if (PushTwin(*twin, true) != 0) return;
      if (twin->pushed != before) pushed = twin->pushed;
    }
    if (pushed == 0) return;
    slot = twin_stream_->slot;
    pushed = twin_pushed_;
  }
  // The end of the function is told on a lane that overtakes commands: they must have been taken in, bodies too.
  if (pushed != 0 && Wait([this, slot, pushed] { return Passed(slot, pushed); }) != 0) return;
  const auto taken = commands_->Call(wire::Ping(0), Deadline::After(std::chrono::minutes(5)));
  if (!taken.ok()) log::Debug("host functions", taken.status().ToString());
}

DeviceResult ClientSession::Settle() {
  if (!any_twin_work_.load(std::memory_order_acquire) || StickyError() != 0) return 0;
  std::vector<Point> passed;
  std::vector<Pull> pulls;
  {
    const MutexLock lock(twin_mu_);
    for (const auto& [slot, work] : twin_work_) {
      const std::uint64_t completed = commands_->progress().completed[slot].load(std::memory_order_acquire);
      if (completed >= work.first) passed.push_back({slot, completed});
    }
    if (passed.empty()) return 0;
    for (const auto& twin : twins_) {
      if (twin->by_argument && !twin->is_named) continue;
      for (std::uint64_t at = 0; at < twin->twin->bytes(); at += kPulledAtATimeMax)
        pulls.push_back({twin, at, std::min(kPulledAtATimeMax, twin->twin->bytes() - at)});
    }
  }
  // In rounds, each with as much under way as fits, so that many small ranges cost one round trip.
  while (!pulls.empty()) {
    std::uint64_t bytes = 0;
    std::size_t count = 0;
    while (count < pulls.size() && (count == 0 || bytes + pulls[count].bytes <= kPulledAtATimeMax))
      bytes += pulls[count++].bytes;
    std::vector<Pull> again;
    DeviceResult result = 0;
    std::size_t begun = 0;
    for (; begun < count && result == 0; ++begun) result = BeginPull(&pulls[begun]);
    for (std::size_t i = 0; i < begun; ++i) {
      const DeviceResult finished = FinishPull(&pulls[i], &again);
      if (result == 0) result = finished;
    }
    if (result != 0) return result;
    pulls.erase(pulls.begin(), pulls.begin() + static_cast<std::ptrdiff_t>(count));
    pulls.insert(pulls.end(), std::make_move_iterator(again.begin()), std::make_move_iterator(again.end()));
  }
  const MutexLock lock(twin_mu_);
  for (const Point& point : passed) {
    const auto found = twin_work_.find(point.slot);
    if (found == twin_work_.end()) continue;
    found->second.first = std::max(found->second.first, point.sequence + 1);
    if (found->second.last <= point.sequence) twin_work_.erase(found);
  }
  if (!twin_work_.empty()) return 0;
  if (twin_writers_.empty()) {
    for (const auto& twin : twins_) twin->is_named = false;
  }
  any_twin_work_.store(false, std::memory_order_release);
  return 0;
}

DeviceResult ClientSession::BeginPull(Pull* pull) {
  pull->landed.assign(pull->bytes, 0);
  pull->token = commands_->NextToken();
  // Posted under the lock: from RemoveTwin() on nothing is.
  const MutexLock lock(twin_mu_);
  if (pull->twin->is_gone) return 0;
  Stream* const stream = twin_stream_;
  if (const Status expected = commands_->channel().ExpectBulk(pull->token, pull->landed); !expected.ok())
    return Lost(expected);
  commands_->statistics().bulk_down_bytes.fetch_add(pull->bytes, std::memory_order_relaxed);
  const wire::Place to(pull->token, 0, wire::PlaceKind::Bulk);
  const wire::Place from(pull->twin->device_address + pull->offset, 0, wire::PlaceKind::Device);
  pull->slot = stream->slot;
  return PostOn(stream, wire::Copy(to, from, pull->bytes, stream->slot, 0), {}, &pull->sequence);
}

DeviceResult ClientSession::FinishPull(Pull* pull, std::vector<Pull>* again) {
  if (pull->sequence == 0) {  // not posted
    commands_->channel().CancelBulk(pull->token);
    return 0;
  }
  bool landed = false;
  const DeviceResult waited = AwaitBody(pull->token, pull->slot, pull->sequence, &landed);
  // A copy that brought nothing has failed, which is said as every failure is.
  if (waited != 0 || !landed) return waited;
  const MutexLock lock(twin_mu_);
  ReachedTwin& twin = *pull->twin;
  if (twin.is_gone) return 0;
  if (twin.pushed > pull->sequence || twin.merged > pull->sequence) {
    // Older than what the shadow says of the twin.
    pull->sequence = 0;
    again->push_back(std::move(*pull));
    return 0;
  }
  twin.twin->Merge(pull->offset, pull->landed);
  twin.merged = pull->sequence;
  return 0;
}

DeviceResult ClientSession::BeforeGraph(const GraphExec& exec, Stream* stream) {
  if (!any_host_.load(std::memory_order_acquire)) return 0;
  for (const GraphNode* node : exec.program().device_nodes) {
    DeviceResult result = 0;
    if (const auto* kernel = std::get_if<GraphKernel>(&node->payload)) {
      result = BeforeKernel(stream, kernel->arguments);
    } else if (const auto* call = std::get_if<GraphLibrary>(&node->payload)) {
      result = BeforeKernel(stream, call->arguments);
    } else if (const auto* fill = std::get_if<GraphFill>(&node->payload)) {
      result = BeforeDeviceUse(stream, fill->fill.address());
    } else if (const auto* copy = std::get_if<GraphCopy>(&node->payload)) {
      for (const PitchedSide* side : {&copy->dst, &copy->src}) {
        std::uint64_t address = side->address;
        const bool on_device =
            side->is_device || HasTwin(reinterpret_cast<const void*>(address), copy->width, &address);
        if (result == 0 && on_device) result = BeforeDeviceUse(stream, address);
      }
    }
    if (result != 0) return result;
  }
  return 0;
}

}  // namespace accelmesh
