// Watches the device: knows which marks have been reached, reports completions in order, finds out that a context is
// lost and names the kernel that may have done it.
//
// One thread polls the words of all streams with marks: briefly without a pause, then with pauses that grow to 50 us.
// It is the only one that reports Completed(), so that a stream's values grow; what has to happen before a mark counts
// (bytes sent, text printed) holds up its stream and no other. Threads: any thread but where it says otherwise.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "protocol/base/mutex.h"
#include "server/backend/cuda/arena.h"
#include "server/backend/cuda/output.h"
#include "server/backend/cuda/stream.h"

namespace accelmesh::cuda {

class Progress {
 public:
  // What happens when a mark is reached; called on the progress thread, under no lock.
  struct Hooks {
    std::function<void(std::shared_ptr<Stream>, Parcel)> send;  // then Sent()
    std::function<void(std::shared_ptr<Stream>, std::unique_ptr<Stop>)> begin;
    std::function<void()> moved;  // something has completed
  };

  // `words` is a zeroed page of kWords words in pinned memory.
  Progress(const Driver& driver, std::uint64_t* words, std::uint64_t staging_bytes)
      : driver_(driver), words_(words), arena_(staging_bytes) {}

  static constexpr std::uint32_t kWords = 2 * limits::kStreamsMax;

  void Start(CompletionSink* sink, Hooks hooks, Output* output);
  // Ends the thread; marks that are not reached stay so.
  void Stop();
  // Joins it; the thread has to have ended or end soon.
  void Join() { thread_.join(); }
  bool ended() const { return ended_.load(std::memory_order_acquire); }

  // Gives a new stream its word; kLimitExceeded if all are in use.
  Status Adopt(const std::shared_ptr<Stream>& stream);
  // The stream gets no more commands: it goes when all of its marks have completed.
  void Retire(const std::shared_ptr<Stream>& stream);

  // Puts a mark behind everything that was submitted to the stream. On the thread that may use the stream.
  void Add(const std::shared_ptr<Stream>& stream, Mark mark);
  // A mark that is reached as soon as those before it are.
  void AddReached(const std::shared_ptr<Stream>& stream, Mark mark);
  // The parcel of the stream's first mark has been sent.
  void Sent(const std::shared_ptr<Stream>& stream);
  // Waits until `mark` of the stream is reached. False if it never will be: the context is lost, or the session ends.
  bool Await(const Stream& stream, std::uint64_t mark);

  void NoteLaunch(Stream& stream, std::uint64_t sequence, std::shared_ptr<const Module> module, std::uint32_t kernel);

  // What a driver call returned: true if the context is lost. The loss is told to the client on the progress thread.
  bool NoteResult(CUresult result);
  bool lost() const { return lost_.load(std::memory_order_acquire); }

  std::optional<std::uint64_t> TakeStaging(std::uint64_t bytes);
  void GiveStaging(const StagingRange& range);

  // Whether anything is under way.
  bool idle();
  // After Join(): the streams that are still there.
  std::vector<std::shared_ptr<Stream>> TakeStreams();

 private:
  void Main();
  // Completes what it can of the stream; whether anything has moved.
  bool Advance(const std::shared_ptr<Stream>& stream);
  bool Reached(const Stream& stream, const Mark& mark) ACCELMESH_REQUIRES(mu_);
  void Activate(const std::shared_ptr<Stream>& stream) ACCELMESH_REQUIRES(mu_);
  void Remove(const std::shared_ptr<Stream>& stream) ACCELMESH_REQUIRES(mu_);
  void Complete(Stream& stream, const Mark& mark);
  void CheckDevice();
  void TellLoss(CUresult result);
  void Pause(std::uint32_t quiet_rounds);

  const Driver& driver_;
  std::uint64_t* words_;
  CompletionSink* sink_ = nullptr;
  Hooks hooks_;
  Output* output_ = nullptr;

  Mutex mu_;
  CondVar work_;                                                           // for the progress thread
  CondVar reached_;                                                        // for Await()
  std::vector<std::shared_ptr<Stream>> active_ ACCELMESH_GUARDED_BY(mu_);  // with marks, or retired
  std::vector<std::shared_ptr<Stream>> streams_ ACCELMESH_GUARDED_BY(mu_);
  std::vector<std::uint32_t> free_words_ ACCELMESH_GUARDED_BY(mu_);
  std::uint32_t next_word_ ACCELMESH_GUARDED_BY(mu_) = 0;
  Arena arena_ ACCELMESH_GUARDED_BY(mu_);

  std::atomic<bool> stop_{false};
  std::atomic<bool> ended_{false};
  std::atomic<bool> lost_{false};
  std::atomic<int> loss_{0};  // a CUresult that is not told yet
  Instant checked_at_{};
  std::thread thread_;
};

}  // namespace accelmesh::cuda
