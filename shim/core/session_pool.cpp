// Session: stream-ordered allocation. A block that a pool holds is handed out without a message; a free is one command,
// an event's record, so that its place in the order of the stream is known.
#include <algorithm>

#include "shim/core/session_inl.h"

namespace accelmesh {

// What pools ask of the session while its memory lock is held.
class ClientSession::Order final : public PoolOrder {
 public:
  explicit Order(const ClientSession& session) : session_(session) {}
  bool HasPassed(const StreamPoint& point) const override {
    return point.stream.slot == kNoSlot ? session_.PassedByAll() >= point.sequence
                                        : session_.Passed(point.stream.slot, point.sequence);
  }
  bool IsBehind(const StreamName& stream, const StreamPoint& point) const override {
    const std::uint64_t legacy_last = session_.LastOfLegacy(stream);
    const MutexLock lock(session_.order_mu_);
    return session_.order_.IsBehind(stream, legacy_last, point);
  }

 private:
  const ClientSession& session_;
};

StreamName ClientSession::NameOf(const Stream& stream) const {
  return {stream.slot, stream.kind == wire::StreamKind::NonBlocking ? kNoSlot : legacy_[stream.device]->slot};
}

std::uint64_t ClientSession::LastOfLegacy(const StreamName& stream) const {
  // Device d's legacy stream has slot d.
  return stream.legacy == kNoSlot ? 0 : legacy_[stream.legacy]->last_sequence.load(std::memory_order_acquire);
}

DeviceResult ClientSession::PostRecord(std::uint32_t event, Stream* stream, std::uint64_t* sequence) {
  const wire::EventRecord record(event, stream->slot);
  // Without a free in stream order there is nothing yet that anybody could be behind.
  if (!orders_frees_.load(std::memory_order_acquire)) return PostOn(stream, record, {}, sequence);
  const StreamName name = NameOf(*stream);
  // Posted under the lock: of two records of an event the bookkeeping must see the later one last, as the server does.
  const MutexLock lock(order_mu_);
  const std::uint64_t legacy_last = LastOfLegacy(name);
  const DeviceResult posted = PostOn(stream, record, {}, sequence);
  if (posted == 0) order_.Recorded(event, {name, *sequence}, legacy_last);
  return posted;
}

DeviceResult ClientSession::PostWait(Stream* stream, std::uint32_t event) {
  const wire::StreamWaitEvent wait(stream->slot, event);
  if (!orders_frees_.load(std::memory_order_acquire)) return PostOn(stream, wait);
  const MutexLock lock(order_mu_);
  const DeviceResult posted = PostOn(stream, wait);
  if (posted == 0) order_.Waited(event, NameOf(*stream));
  return posted;
}

// Pools --------------------------------------------------------------------------------------------------------------

MemoryPool* ClientSession::DefaultPool(std::uint32_t device) {
  const MutexLock lock(memory_mu_);
  return pools_.Default(device);
}

MemoryPool* ClientSession::CurrentPool(std::uint32_t device) {
  const MutexLock lock(memory_mu_);
  return pools_.Current(device);
}

bool ClientSession::SetCurrentPool(std::uint32_t device, MemoryPool* pool) {
  const MutexLock lock(memory_mu_);
  return pools_.SetCurrent(device, pool);
}

MemoryPool* ClientSession::CreatePool(std::uint32_t device, std::uint64_t bytes_max) {
  const MutexLock lock(memory_mu_);
  return pools_.Create(device, bytes_max);
}

bool ClientSession::DestroyPool(const MemoryPool* pool) {
  const MutexLock lock(memory_mu_);
  if (!pools_.Destroy(pool)) return false;
  pools_untidy_.store(true, std::memory_order_release);
  return true;
}

bool ClientSession::WithPool(MemoryPool* pool, const std::function<void(MemoryPool&)>& visit) {
  const MutexLock lock(memory_mu_);
  if (!pools_.IsPool(pool)) return false;
  visit(*pool);
  pools_untidy_.store(true, std::memory_order_release);  // its threshold may be another
  return true;
}

bool ClientSession::TrimPool(MemoryPool* pool, std::uint64_t keep_bytes) {
  const MutexLock lock(memory_mu_);
  if (!pools_.IsPool(pool)) return false;
  std::vector<PoolSet::Released> released;
  pools_.Trim(*pool, keep_bytes, Order(*this), &released);
  GiveBack(released);
  return true;
}

void ClientSession::GiveBack(const std::vector<PoolSet::Released>& released) {
  for (const PoolSet::Released& one : released) {
    const auto posted = commands_->Post(wire::MemFree(one.range.address, one.device, 0));
    if (!posted.ok()) {
      Lost(posted.status());
      return;
    }
    // Idle: every free in it has passed.
    if (!memory_[one.device].Free(one.range.address, *posted, true).ok()) return;
  }
}

bool ClientSession::ReleaseIdle(std::uint32_t device) {
  std::vector<PoolSet::Released> released;
  pools_.ReleaseIdle(device, Order(*this), &released);
  GiveBack(released);
  return !released.empty();
}

void ClientSession::TidyPools() {
  if (!pools_untidy_.load(std::memory_order_acquire)) return;
  const MutexLock lock(memory_mu_);
  std::vector<PoolSet::Released> released;
  if (pools_.Tidy(Order(*this), &released)) pools_untidy_.store(false, std::memory_order_release);
  GiveBack(released);
}

StreamPoint ClientSession::NextToPass(std::uint32_t device, std::uint64_t bytes) const {
  const AddressSpace& space = memory_[device];
  const std::uint64_t taken = space.allocated_bytes() - pools_.IdleBytes(device);
  if (bytes > space.memory_bytes() - taken) return {};
  StreamPoint next = pools_.OldestPending(device);
  if (const std::uint64_t oldest = space.oldest_quarantined(); oldest != 0) {
    if (next.sequence == 0 || oldest < next.sequence) next = {{}, oldest};
  }
  return next;
}

DeviceResult ClientSession::WaitFor(const StreamPoint& point) {
  return Wait([this, &point] { return Order(*this).HasPassed(point); });
}

DeviceResult ClientSession::MallocFromPool(MemoryPool* pool, Stream* stream, std::uint64_t bytes,
                                           std::uint64_t* address) {
  if (DeviceResult captured = 0; Diverts(*stream, &captured)) [[unlikely]] {
    std::shared_ptr<GraphMemory> memory;
    if (captured == 0) captured = MakeGraphMemory(stream->device, bytes, &memory);
    if (captured != 0) return captured;
    *address = memory->address;
    return captures_->Capture(*stream, GraphAlloc{std::move(memory)});
  }
  const StreamName name = NameOf(*stream);
  while (true) {
    StreamPoint next;
    {
      const MutexLock lock(memory_mu_);
      MemoryPool* from = pool == nullptr ? pools_.Current(stream->device) : pool;
      if (!pools_.IsPool(from)) return kInvalidValue;
      const std::uint32_t device = from->device();
      *address = from->Take(bytes, name, Order(*this));
      if (*address != 0) return 0;
      if (const DeviceResult grown = GrowPool(*from, bytes); grown != kOutOfMemory) {
        if (grown == 0) *address = from->Take(bytes, name, Order(*this));
        return grown;
      }
      // What other pools hold for nobody is given up first, and this one's, too small for it.
      if (ReleaseIdle(device)) continue;
      const StreamPoint own = from->OldestPending();
      next = NextToPass(device, bytes);
      // A pool that is full to its own limit waits for its own frees only.
      if (from->SegmentFor(bytes, true) == 0 && next.sequence != 0) next = own;
    }
    // When only what is still in use could satisfy it, the allocation waits for that.
    if (next.sequence == 0) return kOutOfMemory;
    if (const DeviceResult waited = WaitFor(next); waited != 0) return waited;
  }
}

DeviceResult ClientSession::GrowPool(MemoryPool& pool, std::uint64_t bytes) {
  AddressSpace& space = memory_[pool.device()];
  space.Release(PassedByAll());
  for (const bool is_exact : {false, true}) {
    const std::uint64_t segment_bytes = pool.SegmentFor(bytes, is_exact);
    if (segment_bytes == 0) continue;
    const Result<std::uint64_t> got = space.Allocate(segment_bytes);
    if (!got.ok()) continue;
    const auto posted = commands_->Post(wire::MemAlloc(*got, segment_bytes, pool.device(), 0));
    if (!posted.ok()) return Lost(posted.status());
    pools_.AddSegment(pool, *got, segment_bytes);
    return 0;
  }
  return kOutOfMemory;
}

DeviceResult ClientSession::FreeInOrder(Stream* stream, std::uint64_t address) {
  if (DeviceResult captured = 0; Diverts(*stream, &captured)) [[unlikely]] {
    std::shared_ptr<GraphMemory> memory = FindGraphMemory(address);
    if (captured != 0 || memory == nullptr) return captured != 0 ? captured : kInvalidValue;
    return captures_->Capture(*stream, GraphFree{std::move(memory)});
  }
  if (DeviceResult freed = 0; FreeGraphMemory(address, &freed)) return freed;
  Event* mark = nullptr;
  {
    const MutexLock lock(memory_mu_);
    if (const MemoryPool* pool = pools_.Find(address); pool == nullptr) {
      stream = nullptr;
    } else if (pool->FindLive(address).address != address) {
      return kInvalidValue;
    } else {
      mark = free_marks_[stream->device];
    }
  }
  // Not a pool's: as cudaFree has it.
  if (stream == nullptr) return Free(address);
  if (mark == nullptr) {
    if (const DeviceResult made = CreateEvent(stream->device, false, &mark, true); made != 0) return made;
    const MutexLock lock(memory_mu_);
    free_marks_[stream->device] = mark;  // of two that come at once either will do
  }
  orders_frees_.store(true, std::memory_order_release);
  std::uint64_t sequence = 0;
  const DeviceResult posted = PostOn(stream, wire::EventRecord(mark->id, stream->slot), {}, &sequence);
  if (posted != 0) return posted;
  const MutexLock lock(memory_mu_);
  MemoryPool* pool = pools_.Find(address);
  if (pool == nullptr || !pool->Free(address, {NameOf(*stream), sequence})) return kInvalidValue;
  pools_untidy_.store(true, std::memory_order_release);
  return 0;
}

DeviceResult ClientSession::FreePooled(MemoryPool& pool, std::uint64_t address) {
  // The program says that nothing uses it any more; what is pending is waited for all the same.
  if (!pool.Free(address, {{}, LastPosted()})) return kInvalidValue;
  pools_untidy_.store(true, std::memory_order_release);
  return 0;
}

std::uint64_t ClientSession::LastPosted() const {
  const MutexLock lock(stream_mu_);
  std::uint64_t last = 0;
  for (const auto& stream : streams_) {
    if (stream != nullptr) last = std::max(last, stream->last_sequence.load(std::memory_order_acquire));
  }
  return last;
}

}  // namespace accelmesh
