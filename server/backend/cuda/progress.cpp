#include "server/backend/cuda/progress.h"

#include <sys/prctl.h>

#include <algorithm>

namespace accelmesh::cuda {
namespace {

constexpr std::uint32_t kSpinRounds = 200;
constexpr std::chrono::microseconds kPauseMin{5};
constexpr std::chrono::microseconds kPauseMax{50};
// A device that has stopped says so only when it is asked.
constexpr std::chrono::milliseconds kCheckEvery{1};
constexpr std::size_t kNamesMax = 8;

std::atomic_ref<std::uint64_t> Word(std::uint64_t* words, std::uint32_t index) {
  return std::atomic_ref<std::uint64_t>(words[index]);
}

}  // namespace

CUresult Enter(const Driver& driver, const Device& device) {
  thread_local std::uint64_t current = 0;
  if (current == device.id) return CUDA_SUCCESS;
  const CUresult result = driver.CtxSetCurrent(device.context);
  if (result == CUDA_SUCCESS) current = device.id;
  return result;
}

CUresult LetReach(const Driver& driver, const Device& device, CUdeviceptr address, std::uint64_t bytes) {
  std::vector<CUmemAccessDesc> access(device.reached_by.size());
  for (std::size_t i = 0; i < access.size(); ++i) {
    access[i].location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    access[i].location.id = device.reached_by[i];
    access[i].flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  }
  return driver.MemSetAccess(address, bytes, access.data(), access.size());
}

void Progress::Start(CompletionSink* sink, Hooks hooks, Output* output) {
  sink_ = sink;
  hooks_ = std::move(hooks);
  output_ = output;
  thread_ = std::thread([this] { Main(); });
}

void Progress::Stop() {
  stop_.store(true, std::memory_order_release);
  const MutexLock lock(mu_);
  work_.NotifyAll();
  reached_.NotifyAll();
}

Status Progress::Adopt(const std::shared_ptr<Stream>& stream) {
  const MutexLock lock(mu_);
  if (free_words_.empty() && next_word_ == kWords) {
    return {Code::kLimitExceeded, "Progress::Adopt", "too many streams that were destroyed still have work"};
  }
  if (!free_words_.empty()) {
    stream->word = free_words_.back();
    free_words_.pop_back();
  } else {
    stream->word = next_word_++;
  }
  Word(words_, stream->word).store(0, std::memory_order_release);
  streams_.push_back(stream);
  return Status::Ok();
}

void Progress::Retire(const std::shared_ptr<Stream>& stream) {
  const MutexLock lock(mu_);
  stream->is_destroyed = true;
  Activate(stream);
}

void Progress::Activate(const std::shared_ptr<Stream>& stream) {
  if (stream->is_active) return;
  stream->is_active = true;
  active_.push_back(stream);
  if (active_.size() == 1) work_.NotifyOne();
}

void Progress::Add(const std::shared_ptr<Stream>& stream, Mark mark) {
  Stream& s = *stream;
  mark.id = s.last_mark.fetch_add(1) + 1;
  mark.after = std::exchange(s.unmarked_after, {});
  if (s.kind != kNonBlocking && s.kind != kLegacy) s.device->blocking_marks.fetch_add(1, std::memory_order_relaxed);
  if (!lost()) {
    CUresult result = CUDA_SUCCESS;
    if (s.device->has_writes) {
      const CUdeviceptr word = s.device->words + s.word * sizeof(std::uint64_t);
      result = driver_.StreamWriteValue64(s.handle, word, mark.id, CU_STREAM_WRITE_VALUE_DEFAULT);
    } else {
      result = driver_.EventCreate(&mark.event, CU_EVENT_DISABLE_TIMING);
      if (result == CUDA_SUCCESS) result = driver_.EventRecord(mark.event, s.handle);
    }
    // A stream whose end can no longer be known is as good as lost.
    if (result != CUDA_SUCCESS && !NoteResult(result)) NoteResult(CUDA_ERROR_LAUNCH_FAILED);
  }
  const MutexLock lock(mu_);
  s.marks.push_back(std::move(mark));
  Activate(stream);
}

void Progress::AddReached(const std::shared_ptr<Stream>& stream, Mark mark) {
  const MutexLock lock(mu_);
  stream->marks.push_back(std::move(mark));
  Activate(stream);
}

void Progress::Sent(const std::shared_ptr<Stream>& stream) {
  const MutexLock lock(mu_);
  stream->front_is_sending = false;
}

bool Progress::Await(const Stream& stream, std::uint64_t mark) {
  MutexLock lock(mu_);
  while (stream.reached < mark) {
    if (lost() || stop_.load(std::memory_order_acquire)) return false;
    reached_.Wait(mu_);
  }
  return !lost();
}

void Progress::NoteLaunch(Stream& stream, std::uint64_t sequence, std::shared_ptr<const Module> module,
                          std::uint32_t kernel) {
  const MutexLock lock(mu_);
  stream.launches.push_back({sequence, std::move(module), kernel});
}

bool Progress::NoteResult(CUresult result) {
  if (!IsSticky(result)) return false;
  int none = 0;
  if (loss_.compare_exchange_strong(none, static_cast<int>(result))) {
    const MutexLock lock(mu_);
    work_.NotifyOne();
  }
  return true;
}

std::optional<std::uint64_t> Progress::TakeStaging(std::uint64_t bytes) {
  const MutexLock lock(mu_);
  return arena_.Take(bytes);
}
void Progress::GiveStaging(const StagingRange& range) {
  const MutexLock lock(mu_);
  arena_.Give(range.offset, range.bytes);
}

bool Progress::idle() {
  const MutexLock lock(mu_);
  return std::all_of(active_.begin(), active_.end(), [](const auto& stream) { return stream->marks.empty(); });
}

std::vector<std::shared_ptr<Stream>> Progress::TakeStreams() {
  const MutexLock lock(mu_);
  active_.clear();
  return std::exchange(streams_, {});
}

// The progress thread ------------------------------------------------------------------------------------------------

void Progress::Main() {
  // A pause of 5 us is to be one: the kernel otherwise adds 50.
  ::prctl(PR_SET_TIMERSLACK, 1000);
  std::uint32_t quiet_rounds = 0;
  std::vector<std::shared_ptr<Stream>> round;
  while (true) {
    {
      MutexLock lock(mu_);
      const auto awake = [this] {
        mu_.AssertHeld();
        return stop_.load(std::memory_order_acquire) || !active_.empty() || (!lost() && loss_.load() != 0);
      };
      work_.Wait(mu_, awake);
      if (stop_.load(std::memory_order_acquire)) break;
      round = active_;
    }
    if (!lost() && loss_.load() != 0) TellLoss(static_cast<CUresult>(loss_.load()));
    bool moved = false;
    for (const std::shared_ptr<Stream>& stream : round) moved = Advance(stream) || moved;
    if (moved) {
      quiet_rounds = 0;
      continue;
    }
    CheckDevice();
    Pause(++quiet_rounds);
  }
  ended_.store(true, std::memory_order_release);
}

void Progress::Pause(std::uint32_t quiet_rounds) {
  if (quiet_rounds <= kSpinRounds) {
    __builtin_ia32_pause();
    return;
  }
  const auto pause = kPauseMin * (1 + (quiet_rounds - kSpinRounds) / 8);
  std::this_thread::sleep_for(std::min<std::chrono::microseconds>(pause, kPauseMax));
}

bool Progress::Reached(const Stream& stream, const Mark& mark) {
  if (mark.id <= stream.reached || lost()) return true;
  if (stream.device->has_writes) return Word(words_, stream.word).load(std::memory_order_acquire) >= mark.id;
  if (mark.event == nullptr) return false;  // could not be made: the context is lost
  const CUresult result = driver_.EventQuery(mark.event);
  // Under the lock, and on the thread that would be woken: NoteResult() is for others.
  int none = 0;
  if (IsSticky(result)) (void)loss_.compare_exchange_strong(none, static_cast<int>(result));
  return result == CUDA_SUCCESS;
}

bool Progress::Advance(const std::shared_ptr<Stream>& stream) {
  Stream& s = *stream;
  bool moved = false;
  if (!s.device->has_writes) NoteResult(Enter(driver_, *s.device));
  while (true) {
    MutexLock lock(mu_);
    if (s.marks.empty()) {
      if (!s.is_active) return moved;
      s.is_active = false;
      std::erase(active_, stream);
      // A stop has yet to put its end behind what there was.
      if (!s.is_destroyed || s.is_stopped.load(std::memory_order_acquire)) return moved;
      Remove(stream);
      lock.Unlock();
      if (s.kind != kLegacy && Enter(driver_, *s.device) == CUDA_SUCCESS) NoteResult(driver_.StreamDestroy(s.handle));
      return true;
    }
    Mark& front = s.marks.front();
    if (s.front_is_sending || !Reached(s, front)) return moved;
    s.reached = std::max(s.reached, front.id);
    // Reached, but another stream's bytes may still be on their way, which whoever sees this end may count on.
    const bool is_early = std::any_of(front.after.begin(), front.after.end(), [this](const Dependency& dependency) {
      mu_.AssertHeld();
      return dependency.stream->told < dependency.mark;
    });
    if (is_early && !lost()) return moved;
    front.after.clear();
    moved = true;
    for (const StagingRange& range : front.staging) arena_.Give(range.offset, range.bytes);
    front.staging.clear();
    if (front.event != nullptr) (void)driver_.EventDestroy(std::exchange(front.event, nullptr));
    if (front.parcel != nullptr) {
      const std::unique_ptr<Parcel> parcel = std::move(front.parcel);
      if (!lost()) {
        s.front_is_sending = true;
        lock.Unlock();
        hooks_.send(stream, *parcel);
        return true;
      }
      arena_.Give(parcel->staging.offset, parcel->staging.bytes);
    }
    Mark done = std::move(front);
    s.marks.pop_front();
    while (!s.launches.empty() && s.launches.front().sequence <= done.sequence) s.launches.pop_front();
    reached_.NotifyAll();
    lock.Unlock();
    if (done.sequence != 0) Complete(s, done);
    {
      const MutexLock told(mu_);
      s.told = std::max(s.told, done.id);
    }
    if (done.stop != nullptr) hooks_.begin(stream, std::move(done.stop));
    hooks_.moved();
  }
}

void Progress::Complete(Stream& stream, const Mark& mark) {
  if (output_ != nullptr && output_->prints() && Enter(driver_, *stream.device) == CUDA_SUCCESS) {
    output_->Drain(stream.device->idle, mark.sequence, *sink_);
  }
  if (mark.ends_stop) {
    if (stream.kind == kLegacy) stream.device->stopped_legacy.fetch_sub(1);
    if (stream.kind != kLegacy && stream.kind != kNonBlocking) stream.device->stopped_blocking.fetch_sub(1);
    stream.is_stopped.store(false, std::memory_order_release);
  }
  if (mark.tell) mark.tell();
  // Before it is reported: the executor then looks how much room there is.
  stream.completed.store(mark.count, std::memory_order_release);
  sink_->Completed(stream.slot, mark.sequence);
}

void Progress::Remove(const std::shared_ptr<Stream>& stream) {
  std::erase(streams_, stream);
  free_words_.push_back(stream->word);
}

void Progress::CheckDevice() {
  const Instant now = Clock::now();
  if (lost() || now - checked_at_ < kCheckEvery) return;
  checked_at_ = now;
  std::vector<std::shared_ptr<Stream>> asked;
  {
    const MutexLock lock(mu_);
    for (const std::shared_ptr<Stream>& stream : active_) {
      const bool is_new =
          std::none_of(asked.begin(), asked.end(), [&](const auto& other) { return other->device == stream->device; });
      if (is_new) asked.push_back(stream);
    }
  }
  for (const std::shared_ptr<Stream>& stream : asked) {
    if (NoteResult(Enter(driver_, *stream->device))) return;
    NoteResult(driver_.StreamQuery(stream->handle));
  }
}

void Progress::TellLoss(CUresult result) {
  std::vector<std::string> names;
  std::uint32_t slot = 0;
  std::uint64_t sequence = 0;
  {
    const MutexLock lock(mu_);
    for (const std::shared_ptr<Stream>& stream : streams_) {
      for (const Stream::Launched& launch : stream->launches) {
        if (sequence == 0 || launch.sequence < sequence) {
          sequence = launch.sequence;
          slot = stream->slot;
        }
        const std::string& name = launch.module->kernels[launch.kernel].name;
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
      }
    }
  }
  std::string text = driver_.Text(result);
  if (names.size() == 1) text += ", in kernel " + names.front();
  if (names.size() > 1) {
    text += ", in one of the kernels under way: ";
    for (std::size_t i = 0; i < std::min(names.size(), kNamesMax); ++i) text += (i == 0 ? "" : ", ") + names[i];
    if (names.size() > kNamesMax) text += " and " + std::to_string(names.size() - kNamesMax) + " others";
  }
  sink_->Failed(slot, sequence, static_cast<DeviceStatus>(result), true, text);
  lost_.store(true, std::memory_order_release);
  const MutexLock lock(mu_);
  reached_.NotifyAll();
}

}  // namespace accelmesh::cuda
