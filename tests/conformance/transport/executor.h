// The server's executor thread and the client's pumping thread, as the suite needs them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/conformance/transport/transports.h"

namespace accelmesh::conformance {

// Runs Receive() until the connection ends or Stop(), and remembers what came. `on_frame` runs on its thread.
class Executor {
 public:
  using Handler = std::function<void(const ReceivedFrame&)>;
  explicit Executor(ServerChannel& server, Handler on_frame = nullptr, bool accept_commands = true)
      : server_(server), on_frame_(std::move(on_frame)), accept_(accept_commands), thread_([this] { Run(); }) {}
  ~Executor() { Stop(); }

  void Accept(bool commands) {
    accept_ = commands;
    server_.Interrupt();
  }
  void Stop() {
    stop_ = true;
    server_.Interrupt();
    if (thread_.joinable()) thread_.join();
  }
  // Waits until `count` frames came (all lanes) or the time is over; the frames so far as text, side ones behind "s:".
  std::vector<std::string> Frames(std::size_t count, int ms = 20000) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return frames_.size() >= count || ended_; });
    return frames_;
  }
  // Waits for the connection's end; kOk if it did not come.
  Status End(int ms = 10000) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return ended_; });
    return end_;
  }
  int bulk_notes() const { return bulk_notes_; }
  int interrupts() const { return interrupts_; }

 private:
  void Run() {
    while (!stop_) {
      Result<ReceivedFrame> received = server_.Receive(accept_, In(2000));
      if (received.code() == Code::kDeadlineExceeded) continue;
      if (!received.ok()) {
        std::lock_guard lock(mutex_);
        end_ = received.status();
        ended_ = true;
        changed_.notify_all();
        return;
      }
      if (received->kind == ReceivedFrame::Kind::kBulk) ++bulk_notes_;
      if (received->kind == ReceivedFrame::Kind::kInterrupted) ++interrupts_;
      if (on_frame_) on_frame_(*received);
      if (received->kind != ReceivedFrame::Kind::kFrame) continue;
      std::lock_guard lock(mutex_);
      frames_.push_back((received->lane == UpLane::kSide ? "s:" : "") + std::string(AsText(received->frame)));
      changed_.notify_all();
    }
  }

  ServerChannel& server_;
  Handler on_frame_;
  std::atomic<bool> accept_;
  std::atomic<bool> stop_{false};
  std::atomic<int> bulk_notes_{0};
  std::atomic<int> interrupts_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> frames_;
  bool ended_ = false;
  Status end_;
  std::thread thread_;
};

struct Collector final : FrameSink {
  void OnFrame(ByteView frame) override { frames.emplace_back(AsText(frame)); }
  std::vector<std::string> frames;
};

// Pumps until `done` or the time is over; the last status.
template <typename Done>
Status PumpUntil(ClientChannel& client, FrameSink& sink, Done done, int ms = 20000) {
  const Deadline deadline = In(ms);
  Status status;
  while (!done()) {
    status = client.Pump(sink, deadline);
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace accelmesh::conformance
