// Up: Send() and SendBulk() leave messages in one queue per lane; a thread hands each to the inner channel when it is
// due, without ever waiting on one lane. Down: a thread pumps the inner channel into private memory and makes events of
// what has changed; Pump() applies an event when it is due. Bodies therefore land in memory of ours first.
#include "protocol/transport/emulator.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "protocol/base/log.h"
#include "protocol/base/mutex.h"
#include "protocol/transport/bulk_expectations.h"

namespace accelmesh {
namespace {

constexpr std::size_t kFrameQueueBytesMax = 4 * limits::kMiB;
constexpr std::size_t kBulkQueueBytesMax = 16 * limits::kMiB;
constexpr std::size_t kDownQueueBytesMax = 64 * limits::kMiB;
// How soon a lane without room is tried again, and how long one look at the inner channel may last.
constexpr std::chrono::microseconds kRetry{200};
constexpr std::chrono::milliseconds kPumpSlice{20};
// How long a closing channel goes on handing over what was sent before.
constexpr std::chrono::seconds kClosePatience{5};

// A number that depends on its arguments only (splitmix64's finisher).
std::uint64_t Mix(std::uint64_t seed, std::uint64_t lane, std::uint64_t index) {
  std::uint64_t x = seed * 0x9e3779b97f4a7c15 + lane * 0xbf58476d1ce4e5b9 + index + 1;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// One direction of one lane: when does the next message of so many bytes arrive?
class Link {
 public:
  Link(const EmulatorOptions& options, std::uint64_t lane) : options_(options), lane_(lane) {}

  Instant Arrival(std::size_t bytes, Instant now) {
    Duration sending{0};
    if (options_.bandwidth_mbps != 0) sending = std::chrono::nanoseconds(bytes * 8000 / options_.bandwidth_mbps);
    free_at_ = std::max(free_at_, now) + sending;
    std::uint64_t delay_us = options_.rtt_us / 2;
    if (options_.jitter_us != 0) delay_us += Mix(options_.seed, lane_, count_) % (options_.jitter_us + 1);
    ++count_;
    // A stream keeps its order: a message never overtakes the one before.
    last_ = std::max(last_, free_at_ + std::chrono::microseconds(delay_us));
    return last_;
  }

 private:
  const EmulatorOptions options_;
  const std::uint64_t lane_;
  std::uint64_t count_ = 0;
  Instant free_at_{};
  Instant last_{};
};

struct UpMessage {
  Instant due;
  std::uint64_t token = 0;  // bulk only
  Bytes bytes;
};

enum UpIndex { kCommandUp = 0, kSideUp = 1, kBulkUp = 2, kUpLanes = 3 };

struct UpQueue {
  UpQueue(const EmulatorOptions& options, UpIndex index)
      : link(options, index), bytes_max(index == kBulkUp ? kBulkQueueBytesMax : kFrameQueueBytesMax) {}
  Link link;
  std::size_t bytes_max;
  std::size_t bytes = 0;
  std::deque<UpMessage> messages;
  bool HasRoom(std::size_t size) const { return messages.empty() || bytes + size <= bytes_max; }
};

// What has changed on the inner channel since the event before; applied in the order of the members.
struct DownEvent {
  Instant due;
  std::vector<std::pair<std::uint64_t, Bytes>> bodies;
  std::vector<Bytes> frames;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> completed;
  std::uint64_t acknowledged = 0;
  std::uint32_t error = 0;
  std::uint32_t error_is_sticky = 0;
  std::uint64_t error_sequence = 0;
  Status end;  // not ok: nothing follows

  std::size_t bytes() const {
    std::size_t sum = completed.size() * 16;
    for (const auto& [token, body] : bodies) sum += body.size();
    for (const Bytes& frame : frames) sum += frame.size();
    return sum;
  }
};

class EmulatedClient final : public ClientChannel, private FrameSink {
 public:
  EmulatedClient(std::unique_ptr<ClientChannel> inner, const EmulatorOptions& options)
      : inner_(std::move(inner)),
        options_(options),
        traits_{"emulated", false, inner_->traits().bulk_bytes_preferred, false},
        up_{{options, kCommandUp}, {options, kSideUp}, {options, kBulkUp}},
        down_link_(options, kUpLanes),
        up_thread_([this] { UpMain(); }),
        down_thread_([this] { DownMain(); }) {}

  ~EmulatedClient() override {
    Close();
    up_thread_.join();  // closes the inner channel, which ends the other thread
    down_thread_.join();
  }

  const ChannelTraits& traits() const override { return traits_; }

  Status Send(UpLane lane, ByteView frame, Deadline deadline) override {
    if (frame.size() > limits::kFrameBytesMax) {
      return {Code::kLimitExceeded, "Send.frame",
              "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
    }
    return Enqueue(lane == UpLane::kSide ? kSideUp : kCommandUp, 0, frame, deadline);
  }
  Status SendBulk(std::uint64_t token, ByteView body, Deadline deadline) override {
    if (body.size() > limits::kBulkBytesMax) {
      return {Code::kLimitExceeded, "SendBulk.body",
              "a body has at most 1 MiB, this one " + std::to_string(body.size())};
    }
    return Enqueue(kBulkUp, token, body, deadline);
  }

  Status ExpectBulk(std::uint64_t token, MutableByteView destination) override;
  bool BulkLanded(std::uint64_t token) override { return expectations_.Landed(token); }
  void CancelBulk(std::uint64_t token) override;

  Status Pump(FrameSink& sink, Deadline deadline) override;
  const ProgressPage& progress() const override { return page_; }

  Status ShareMemory(std::uint32_t, int, std::size_t) override {
    return {Code::kUnsupported, "ShareMemory", "an emulated network reaches no memory of this process"};
  }
  void Interrupt() override {
    const MutexLock lock(mutex_);
    interrupted_ = true;
    down_changed_.NotifyAll();
  }
  void Close() override { Close(Status(Code::kClosed, "emulator", "the connection has been closed")); }

 private:
  void Close(const Status& why) {
    const MutexLock lock(mutex_);
    closing_ = true;
    End(why);
  }
  // This side knows that the connection has ended; the first reason stays.
  void End(const Status& why) ACCELMESH_REQUIRES(mutex_) {
    if (end_.ok()) end_ = why;
    up_changed_.NotifyAll();
    up_room_.NotifyAll();
    down_changed_.NotifyAll();
    down_room_.NotifyAll();
  }
  Status Enqueue(UpIndex lane, std::uint64_t token, ByteView bytes, Deadline deadline);
  void UpMain();
  // Hands over what is due of a lane. Gives the lock away meanwhile. True if the inner channel has no room.
  bool DeliverDue(UpIndex lane) ACCELMESH_REQUIRES(mutex_);
  Status Deliver(UpIndex lane, const UpMessage& message);
  void DownMain();
  void OnFrame(ByteView frame) override { arrived_frames_.emplace_back(frame.begin(), frame.end()); }
  void NoteProgress(DownEvent* event);
  void NoteBodies(DownEvent* event);
  void Apply(const DownEvent& event, FrameSink& sink);

  const std::unique_ptr<ClientChannel> inner_;
  const EmulatorOptions options_;
  const ChannelTraits traits_;
  BulkExpectations expectations_;  // of whoever uses this channel
  ProgressPage page_;              // written by Pump()

  Mutex mutex_;
  CondVar up_changed_;
  CondVar up_room_;
  CondVar down_changed_;
  CondVar down_room_;
  UpQueue up_[kUpLanes] ACCELMESH_GUARDED_BY(mutex_);
  std::uint64_t command_frames_ ACCELMESH_GUARDED_BY(mutex_) = 0;  // delivered
  bool closing_ ACCELMESH_GUARDED_BY(mutex_) = false;
  bool broken_ ACCELMESH_GUARDED_BY(mutex_) = false;  // the emulated disconnect has happened
  bool interrupted_ ACCELMESH_GUARDED_BY(mutex_) = false;
  Status end_ ACCELMESH_GUARDED_BY(mutex_);  // not ok once this side knows that the connection has ended
  std::deque<DownEvent> down_ ACCELMESH_GUARDED_BY(mutex_);
  std::size_t down_bytes_ ACCELMESH_GUARDED_BY(mutex_) = 0;

  Mutex bounce_mutex_;
  // By token: where the inner channel lands bodies.
  std::map<std::uint64_t, Bytes> bounce_ ACCELMESH_GUARDED_BY(bounce_mutex_);

  // The down thread's.
  Link down_link_;
  std::vector<Bytes> arrived_frames_;
  ProgressPage noted_;  // what has been made into events

  std::thread up_thread_;
  std::thread down_thread_;
};

// Up -----------------------------------------------------------------------------------------------------------------

Status EmulatedClient::Enqueue(UpIndex index, std::uint64_t token, ByteView bytes, Deadline deadline) {
  const MutexLock lock(mutex_);
  UpQueue& queue = up_[index];
  const bool ready = up_room_.WaitUntil(mutex_, deadline.at(), [&] {
    mutex_.AssertHeld();
    return !end_.ok() || queue.HasRoom(bytes.size());
  });
  if (!ready) return {Code::kDeadlineExceeded, "emulator::Send", "no room by the deadline: the server does not read"};
  if (!end_.ok()) return {Code::kClosed, "emulator::Send", end_.text()};
  queue.bytes += bytes.size();
  queue.messages.push_back({queue.link.Arrival(bytes.size(), Clock::now()), token, Bytes(bytes.begin(), bytes.end())});
  up_changed_.NotifyOne();
  return {};
}

Status EmulatedClient::Deliver(UpIndex lane, const UpMessage& message) {
  const Deadline now(Instant{});
  if (lane == kBulkUp) return inner_->SendBulk(message.token, message.bytes, now);
  return inner_->Send(lane == kSideUp ? UpLane::kSide : UpLane::kCommand, message.bytes, now);
}

bool EmulatedClient::DeliverDue(UpIndex lane) {
  UpQueue& queue = up_[lane];
  while (!broken_ && !queue.messages.empty() && queue.messages.front().due <= Clock::now()) {
    if (lane == kCommandUp && command_frames_ + 1 == options_.disconnect_at_frame) {
      broken_ = true;
      return false;
    }
    // Only this thread takes from the queue, so the message stays while the lock is away.
    const UpMessage& message = queue.messages.front();
    mutex_.unlock();
    const Status sent = Deliver(lane, message);
    mutex_.lock();
    if (sent.code() == Code::kDeadlineExceeded) return true;
    if (!sent.ok() && sent.code() != Code::kClosed) log::Error("emulator", sent.ToString());
    if (lane == kCommandUp) ++command_frames_;
    queue.bytes -= message.bytes.size();
    queue.messages.pop_front();
    up_room_.NotifyAll();
  }
  return false;
}

void EmulatedClient::UpMain() {
  MutexLock lock(mutex_);
  Instant give_up = Instant::max();
  while (true) {
    bool blocked = false;
    for (const UpIndex lane : {kSideUp, kCommandUp, kBulkUp}) blocked = DeliverDue(lane) || blocked;
    if (broken_) {
      for (UpQueue& queue : up_) queue.messages.clear();
      down_.clear();
      End(Status(Code::kClosed, "emulator", "the emulated network has broken the connection"));
      break;
    }
    if (closing_ && give_up == Instant::max()) {
      give_up = Clock::now() + kClosePatience + std::chrono::microseconds(options_.rtt_us + options_.jitter_us);
    }
    // Looked at after everything was handed over: a message may have come to any lane while the lock was away.
    bool empty = true;
    Instant next = give_up;
    for (const UpQueue& queue : up_) {
      if (queue.messages.empty()) continue;
      empty = false;
      next = std::min(next, queue.messages.front().due);
    }
    if (closing_ && (empty || Clock::now() >= give_up)) break;
    if (blocked) next = std::max(next, Clock::now() + kRetry);
    if (empty) {
      up_changed_.Wait(mutex_);
    } else {
      up_changed_.WaitUntil(mutex_, next);
    }
  }
  lock.Unlock();
  inner_->Close();
}

// Down ---------------------------------------------------------------------------------------------------------------

Status EmulatedClient::ExpectBulk(std::uint64_t token, MutableByteView destination) {
  ACCELMESH_RETURN_IF_ERROR(expectations_.Expect(token, destination));
  const MutexLock lock(bounce_mutex_);
  Bytes& bounce = bounce_[token];
  bounce.resize(destination.size());
  return inner_->ExpectBulk(token, bounce);
}

void EmulatedClient::CancelBulk(std::uint64_t token) {
  expectations_.Cancel(token);
  inner_->CancelBulk(token);
  const MutexLock lock(bounce_mutex_);
  bounce_.erase(token);
}

void EmulatedClient::NoteProgress(DownEvent* event) {
  const ProgressPage& from = inner_->progress();
  const auto moved = [](const std::atomic<std::uint64_t>& now, std::atomic<std::uint64_t>& before) {
    const std::uint64_t value = now.load(std::memory_order_acquire);
    if (value <= before.load(std::memory_order_relaxed)) return false;
    before.store(value, std::memory_order_relaxed);
    return true;
  };
  for (std::uint32_t stream = 0; stream < limits::kStreamsMax; ++stream) {
    if (moved(from.completed[stream], noted_.completed[stream])) {
      event->completed.emplace_back(stream, noted_.completed[stream].load(std::memory_order_relaxed));
    }
  }
  if (moved(from.acknowledged, noted_.acknowledged)) event->acknowledged = noted_.acknowledged.load();
  const std::uint32_t error = from.error.load(std::memory_order_acquire);
  const std::uint32_t sticky = from.error_is_sticky.load(std::memory_order_relaxed);
  if (error != noted_.error.load() || sticky != noted_.error_is_sticky.load()) {
    event->error = error;
    event->error_is_sticky = sticky;
    event->error_sequence = from.error_sequence.load(std::memory_order_relaxed);
    noted_.error.store(error);
    noted_.error_is_sticky.store(sticky);
  }
}

void EmulatedClient::NoteBodies(DownEvent* event) {
  const MutexLock lock(bounce_mutex_);
  for (auto at = bounce_.begin(); at != bounce_.end();) {
    if (!inner_->BulkLanded(at->first)) {
      ++at;
      continue;
    }
    event->bodies.emplace_back(at->first, std::move(at->second));
    at = bounce_.erase(at);
  }
}

void EmulatedClient::DownMain() {
  bool ended = false;
  while (!ended) {
    DownEvent event;
    Status pumped = inner_->Pump(*this, Deadline::After(kPumpSlice));
    // Rule of landing: what the progress says lies in a body or frame that arrived before it, so those are looked for
    // after the progress was read, and handed on in front of it.
    NoteProgress(&event);
    if (pumped.ok()) pumped = inner_->Pump(*this, Deadline(Instant{}));
    NoteBodies(&event);
    event.frames.swap(arrived_frames_);
    ended = !pumped.ok() && pumped.code() != Code::kDeadlineExceeded;
    if (ended) event.end = pumped;
    const bool changed = ended || !event.bodies.empty() || !event.frames.empty() || !event.completed.empty() ||
                         event.acknowledged != 0 || event.error != 0;
    if (!changed) continue;
    event.due = down_link_.Arrival(event.bytes(), Clock::now());
    const MutexLock lock(mutex_);
    if (broken_) return;
    down_bytes_ += event.bytes();
    down_.push_back(std::move(event));
    down_changed_.NotifyAll();
    // A program that does not pump is felt by the server, as on any transport.
    down_room_.Wait(mutex_, [this] {
      mutex_.AssertHeld();
      return down_bytes_ < kDownQueueBytesMax || !end_.ok();
    });
  }
}

Status EmulatedClient::Pump(FrameSink& sink, Deadline deadline) {
  MutexLock lock(mutex_);
  while (down_.empty() || down_.front().due > Clock::now()) {
    if (interrupted_) {
      interrupted_ = false;
      return {};
    }
    if (!end_.ok()) return end_;
    if (deadline.passed()) return {Code::kDeadlineExceeded, "emulator::Pump", "nothing arrived by the deadline"};
    const Instant next = down_.empty() ? Instant::max() : down_.front().due;
    down_changed_.WaitUntil(mutex_, std::min(next, deadline.at()));
  }
  interrupted_ = false;
  bool delivered = false;
  while (!down_.empty() && down_.front().due <= Clock::now()) {
    const DownEvent event = std::move(down_.front());
    down_.pop_front();
    down_bytes_ -= event.bytes();
    down_room_.NotifyAll();
    lock.Unlock();
    Apply(event, sink);
    if (!event.end.ok()) {
      Close(event.end);
      // What came together with the end counts as an arrival; the next call tells of the end.
      return delivered || !event.frames.empty() || !event.completed.empty() ? Status() : event.end;
    }
    delivered = true;
    lock.Lock();
  }
  return {};
}

void EmulatedClient::Apply(const DownEvent& event, FrameSink& sink) {
  for (const auto& [token, body] : event.bodies) {
    // Cancelled ones are ignored; the size is the destination's, so it fits.
    if (const Status landed = expectations_.Land(token, 0, body); !landed.ok()) {
      log::Error("emulator", landed.ToString());
    }
  }
  for (const Bytes& frame : event.frames) sink.OnFrame(frame);
  if (event.error != 0) {
    page_.error_sequence.store(event.error_sequence, std::memory_order_relaxed);
    page_.error_is_sticky.store(event.error_is_sticky, std::memory_order_relaxed);
    page_.error.store(event.error, std::memory_order_release);
  }
  StoreMax(page_.acknowledged, event.acknowledged);
  for (const auto& [stream, sequence] : event.completed) StoreMax(page_.completed[stream], sequence);
}

}  // namespace

Result<EmulatorOptions> ParseEmulatorOptions(std::string_view text) {
  constexpr const char* kWhere = "ACCELMESH_EMULATE";
  EmulatorOptions options;
  struct Part {
    std::string_view name;
    std::uint64_t* value;
    std::uint64_t max;
    bool seen = false;
  };
  constexpr std::uint64_t kMinuteUs = 60'000'000;
  Part parts[] = {{"rtt_us", &options.rtt_us, kMinuteUs},
                  {"bandwidth_mbps", &options.bandwidth_mbps, 10'000'000},
                  {"jitter_us", &options.jitter_us, kMinuteUs},
                  {"seed", &options.seed, ~std::uint64_t{0}},
                  {"disconnect_at_frame", &options.disconnect_at_frame, ~std::uint64_t{0}}};
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    const auto found =
        std::find_if(std::begin(parts), std::end(parts), [name](const Part& known) { return known.name == name; });
    if (equals == std::string_view::npos || found == std::end(parts) || found->seen) {
      return Status(
          Code::kInvalidArgument, kWhere,
          "\"" + std::string(part.substr(0, 64)) +
              "\" is not one of rtt_us=, bandwidth_mbps=, jitter_us=, seed=, disconnect_at_frame=, each once");
    }
    const std::string_view number = part.substr(equals + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), *found->value);
    if (error != std::errc() || end != number.data() + number.size() || *found->value > found->max) {
      return Status(
          Code::kInvalidArgument, kWhere,
          "\"" + std::string(part.substr(0, 64)) + "\": not a number from 0 to " + std::to_string(found->max));
    }
    found->seen = true;
  }
  return options;
}

std::unique_ptr<ClientChannel> Emulate(std::unique_ptr<ClientChannel> inner, const EmulatorOptions& options) {
  return std::make_unique<EmulatedClient>(std::move(inner), options);
}

}  // namespace accelmesh
