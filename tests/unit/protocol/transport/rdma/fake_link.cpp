#include "tests/unit/protocol/transport/rdma/fake_link.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace accelmesh::rdma {
namespace {

void Set(int fd) {
  const std::uint64_t one = 1;
  if (::write(fd, &one, sizeof(one)) < 0) return;
}
void Clear(int fd) {
  std::uint64_t count = 0;
  if (::read(fd, &count, sizeof(count)) < 0) return;
}

// Small pieces hold words that others read and write meanwhile.
constexpr std::size_t kWordsBytesMax = 256;

std::uint64_t LoadWord(const std::uint8_t* at) {
  return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(const_cast<std::uint8_t*>(at)))
      .load(std::memory_order_seq_cst);
}

void CopyOut(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes) {
  if (bytes > kWordsBytesMax || bytes % 8 != 0 || reinterpret_cast<std::uintptr_t>(from) % 8 != 0) {
    std::memcpy(to, from, bytes);
    return;
  }
  for (std::size_t at = 0; at < bytes; at += 8) {
    const std::uint64_t word = LoadWord(from + at);
    std::memcpy(to + at, &word, 8);
  }
}

void CopyIn(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes, bool tears) {
  if (bytes > kWordsBytesMax || bytes % 8 != 0 || reinterpret_cast<std::uintptr_t>(to) % 8 != 0) {
    std::memcpy(to, from, bytes);
    return;
  }
  for (std::size_t at = 0; at < bytes; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + at, 8);
    std::atomic_ref<std::uint64_t> place(*reinterpret_cast<std::uint64_t*>(to + at));
    if (!tears) {
      place.store(word, std::memory_order_seq_cst);
      continue;
    }
    // Nothing is written once more when it is all there: by then it may be read as what it is.
    std::uint64_t mixture = place.load(std::memory_order_relaxed);
    for (int byte = 0; byte < 8; ++byte) {
      const std::uint64_t mask = std::uint64_t{0xff} << (8 * byte);
      const std::uint64_t next = (mixture & ~mask) | (word & mask);
      if (next == mixture) continue;
      mixture = next;
      place.store(mixture, std::memory_order_seq_cst);
      if (byte < 2) ::sched_yield();
    }
  }
}

// What a reader may look at while it comes, however much it is; the last word last.
void CopyWords(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes) {
  if (bytes % 8 != 0 || reinterpret_cast<std::uintptr_t>(to) % 8 != 0) {
    std::memcpy(to, from, bytes);
    return;
  }
  for (std::size_t at = 0; at < bytes; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + at, 8);
    std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(to + at)).store(word, std::memory_order_release);
  }
}

}  // namespace

class FakeMemory final : public Memory {
 public:
  FakeMemory(std::function<void()> end, std::uint32_t key) : end_(std::move(end)), key_(key) {}
  ~FakeMemory() override { end_(); }
  std::uint32_t local_key() const override { return key_; }
  std::uint32_t remote_key() const override { return key_; }

 private:
  const std::function<void()> end_;
  const std::uint32_t key_;
};

class FakeLink final : public Link {
 public:
  FakeLink(std::shared_ptr<FakeFabric> fabric, int side) : fabric_(std::move(fabric)), side_(side) {}
  ~FakeLink() override { Disconnect(); }

  const LinkLimits& limits() const override { return fabric_->limits; }
  Result<std::unique_ptr<Memory>> Register(MutableByteView memory, Access access) override {
    const MutexLock lock(fabric_->mutex_);
    FakeFabric::Side& side = fabric_->sides_[side_];
    if (side.locked_bytes + memory.size() > fabric_->lockable_bytes)
      return Status(Code::kOutOfMemory, "FakeLink::Register", "the process may not lock so much memory");
    if (fabric_->refuses && fabric_->refuses(memory))
      return Status(Code::kSystem, "FakeLink::Register", "no such pages");
    side.locked_bytes += memory.size();
    return AddLocked({memory, access, memory.data()}, [] {});
  }
  Result<std::unique_ptr<Memory>> RegisterDmaBuf(int fd, std::uint64_t address, std::size_t bytes,
                                                 Access access) override {
    constexpr const char* kWhere = "FakeLink::RegisterDmaBuf";
    const MutexLock lock(fabric_->mutex_);
    if (!fabric_->takes_dma_buf) return Status(Code::kUnsupported, kWhere, "the device takes no dma-buf");
    // Its own mapping: what it writes reaches the file, whatever lies at the address meanwhile.
    void* const mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) return Status::System(errno, kWhere, "mmap");
    auto* const named = reinterpret_cast<std::uint8_t*>(static_cast<std::uintptr_t>(address));
    return AddLocked({{named, bytes}, access, static_cast<std::uint8_t*>(mapped)},
                     [mapped, bytes] { ::munmap(mapped, bytes); });
  }
  Status Post(std::span<const Work> work) override {
    const MutexLock lock(fabric_->mutex_);
    FakeFabric::Side& side = fabric_->sides_[side_];
    for (const Work& piece : work) {
      if (!side.is_holding) {
        fabric_->Do(side_, piece, piece.local);
        continue;
      }
      Bytes bytes;
      if (piece.is_inline) {
        bytes.resize(piece.bytes);
        CopyOut(bytes.data(), piece.local, piece.bytes);
      }
      side.held.push_back({piece, std::move(bytes)});
    }
    return {};
  }
  Status PostReceives(std::uint32_t count) override {
    const MutexLock lock(fabric_->mutex_);
    fabric_->sides_[side_].receives += count;
    return {};
  }
  std::size_t Poll(std::span<Completion> completions) override {
    const MutexLock lock(fabric_->mutex_);
    FakeFabric::Side& side = fabric_->sides_[side_];
    std::size_t count = 0;
    for (; count < completions.size() && !side.completions.empty(); ++count) {
      completions[count] = side.completions.front();
      side.completions.pop_front();
    }
    return count;
  }
  Status Arm() override {
    const MutexLock lock(fabric_->mutex_);
    fabric_->sides_[side_].is_armed = true;
    return {};
  }
  void TakeEvents() override {
    const MutexLock lock(fabric_->mutex_);
    Clear(fabric_->sides_[side_].completion_fd);
  }
  int completion_fd() const override {
    const MutexLock lock(fabric_->mutex_);
    return fabric_->sides_[side_].completion_fd;
  }
  int connection_fd() const override {
    const MutexLock lock(fabric_->mutex_);
    return fabric_->sides_[side_].connection_fd;
  }
  bool HasEnded() override {
    const MutexLock lock(fabric_->mutex_);
    Clear(fabric_->sides_[side_].connection_fd);
    return fabric_->sides_[side_].has_ended;
  }
  void Disconnect() override {
    const MutexLock lock(fabric_->mutex_);
    FakeFabric::Side& peer = fabric_->sides_[1 - side_];
    fabric_->sides_[side_].has_failed = true;
    if (fabric_->sides_[side_].is_cut_off || peer.has_ended) return;
    peer.has_ended = true;
    Set(peer.connection_fd);
  }

 private:
  std::unique_ptr<Memory> AddLocked(const FakeFabric::Area& area, std::function<void()> drop)
      ACCELMESH_REQUIRES(fabric_->mutex_) {
    const std::uint32_t key = fabric_->next_key_++;
    fabric_->sides_[side_].areas.emplace(key, area);
    const auto end = [fabric = fabric_, which = side_, key, drop = std::move(drop)] {
      const MutexLock lock(fabric->mutex_);
      fabric->sides_[which].areas.erase(key);
      drop();
    };
    return std::make_unique<FakeMemory>(end, key);
  }

  const std::shared_ptr<FakeFabric> fabric_;
  const int side_;
};

FakeFabric::FakeFabric() {
  for (Side& side : sides_) {
    side.completion_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    side.connection_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  }
}

FakeFabric::~FakeFabric() {
  for (Side& side : sides_) {
    ::close(side.completion_fd);
    ::close(side.connection_fd);
  }
}

std::unique_ptr<Link> FakeFabric::Take(int side) { return std::make_unique<FakeLink>(shared_from_this(), side); }

void FakeFabric::Hold(int side) {
  const MutexLock lock(mutex_);
  sides_[side].is_holding = true;
}

void FakeFabric::Let(int side, std::size_t count) {
  const MutexLock lock(mutex_);
  std::deque<Held>& held = sides_[side].held;
  for (; count != 0 && !held.empty(); --count) {
    const Held next = std::move(held.front());
    held.pop_front();
    Do(side, next.work, next.work.is_inline ? next.bytes.data() : next.work.local);
  }
  if (held.empty()) sides_[side].is_holding = false;
}

std::size_t FakeFabric::held(int side) {
  const MutexLock lock(mutex_);
  return sides_[side].held.size();
}

void FakeFabric::CutOff(int side) {
  const MutexLock lock(mutex_);
  sides_[side].is_cut_off = true;
  sides_[1 - side].is_cut_off = true;
}

void FakeFabric::Fail(int side, Outcome outcome) {
  const MutexLock lock(mutex_);
  sides_[side].next = outcome;
}

void FakeFabric::LoseReceives(int side) {
  const MutexLock lock(mutex_);
  sides_[side].receives = 0;
}

void FakeFabric::TearWords(bool is_on) {
  const MutexLock lock(mutex_);
  tears_words_ = is_on;
}

std::uint64_t FakeFabric::wakes(int side) {
  const MutexLock lock(mutex_);
  return sides_[side].wakes;
}

std::size_t FakeFabric::registered(int side) {
  const MutexLock lock(mutex_);
  return sides_[side].areas.size();
}

void FakeFabric::Complete(Side& side, const Completion& completion) {
  side.completions.push_back(completion);
  if (!side.is_armed) return;
  side.is_armed = false;
  Set(side.completion_fd);
}

void FakeFabric::Do(int index, const Work& work, const std::uint8_t* from) {
  Side& side = sides_[index];
  if (side.is_cut_off) return;
  const Outcome outcome = side.has_failed ? Outcome::kFlushed : Try(index, work, from);
  if (outcome != Outcome::kOk) side.has_failed = true;
  // What fails says so, signaled or not.
  if (work.is_signaled || outcome != Outcome::kOk) Complete(side, {work.id, outcome, false});
}

Outcome FakeFabric::Try(int index, const Work& work, const std::uint8_t* from) {
  Side& side = sides_[index];
  Side& peer = sides_[1 - index];
  if (side.next != Outcome::kOk) return std::exchange(side.next, Outcome::kOk);
  const auto holds = [](const Side& owner, std::uint32_t key, const std::uint8_t* at,
                        std::size_t bytes) -> const Area* {
    const auto found = owner.areas.find(key);
    if (found == owner.areas.end()) return nullptr;
    const MutableByteView memory = found->second.memory;
    if (at < memory.data() || bytes > memory.size() ||
        static_cast<std::size_t>(at - memory.data()) > memory.size() - bytes)
      return nullptr;
    return &found->second;
  };
  auto* remote = reinterpret_cast<std::uint8_t*>(static_cast<std::uintptr_t>(work.remote));
  std::uint8_t* local = const_cast<std::uint8_t*>(work.local);
  if (!work.is_inline) {
    const Area* const own = holds(side, work.local_key, work.local, work.bytes);
    if (own == nullptr) return Outcome::kOther;
    local = own->At(work.local);
    from = local;
  }
  if (work.is_inline && work.bytes > limits.inline_bytes_max) return Outcome::kOther;
  const Area* const area = holds(peer, work.remote_key, remote, work.bytes);
  const Access needed = work.op == Work::Op::kRead ? Access::kRemoteRead : Access::kRemoteWrite;
  if (area == nullptr || area->access != needed) return Outcome::kRemoteAccess;
  remote = area->At(remote);
  if (work.op == Work::Op::kRead) {
    std::array<std::uint8_t, kWordsBytesMax> words;
    if (work.bytes > words.size()) return Outcome::kOther;
    CopyOut(words.data(), remote, work.bytes);
    CopyIn(local, words.data(), work.bytes, tears_words_);
    return Outcome::kOk;
  }
  if (work.bytes <= kWordsBytesMax) {
    std::array<std::uint8_t, kWordsBytesMax> words;
    CopyOut(words.data(), from, work.bytes);
    CopyIn(remote, words.data(), work.bytes, tears_words_);
  } else {
    CopyWords(remote, from, work.bytes);
  }
  if (work.op != Work::Op::kWriteWake) return Outcome::kOk;
  if (peer.receives == 0) return Outcome::kRnrExceeded;
  --peer.receives;
  ++peer.wakes;
  Complete(peer, {0, Outcome::kOk, true});
  return Outcome::kOk;
}

}  // namespace accelmesh::rdma
