// Functions of the program that run in stream order on its side (cudaLaunchHostFunc, cudaStreamAddCallback, host
// nodes).
//
// The stream stops at wire::HostCall; that it has come there is told by its counter, so everything before it has
// landed. One thread of ours runs what has been reached, the oldest first, under no lock, and answers on the side lane,
// which nothing parked can block (SEMANTICS.md 2, "Host functions").
// Threads: Add() and pending() from any; the thread starts with the first call.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "protocol/base/mutex.h"
#include "shim/core/command_stream.h"

namespace accelmesh {

class HostCalls {
 public:
  // Gets 0, or the sticky error because of which nothing of its stream ran before it.
  using Function = std::function<void(std::uint32_t error)>;

  // `sticky` is asked before each function runs; any thread.
  HostCalls(CommandStream& commands, std::function<std::uint32_t()> sticky)
      : commands_(commands), sticky_(std::move(sticky)) {}
  // Stop() came before.
  ~HostCalls() = default;
  HostCalls(const HostCalls&) = delete;
  HostCalls& operator=(const HostCalls&) = delete;

  // A number for the next wire::HostCall. False if the system gives no thread.
  bool Begin(std::uint64_t* call);
  // The command was posted on stream `slot` with `sequence`. `then` runs when the stream goes on again, for what it
  // waits for next.
  void Add(std::uint64_t call, std::uint32_t slot, std::uint64_t sequence, Function function, Function then = nullptr);
  // It could not be posted.
  void Abandon() { pending_.fetch_sub(1, std::memory_order_release); }

  // Begun and not done.
  int pending() const { return pending_.load(std::memory_order_acquire); }
  // What functions that have ended wrote is seen by whoever calls this: the way of their end over the wire is no order
  // between threads of this process.
  void Join() const { static_cast<void>(pending()); }
  // Whether this is the thread that runs the program's functions.
  static bool OnThisThread();
  // The command stream is closed: ends the thread. A function that runs is waited for.
  void Stop();

 private:
  struct Call {
    std::uint64_t call;
    std::uint32_t slot;
    std::uint64_t sequence;
    Function function;
    Function then;
  };
  void Main();
  // The oldest call that its stream has come to; calls_.end() if there is none.
  std::vector<Call>::iterator FindReached() ACCELMESH_REQUIRES(mu_);
  bool AnyReached();
  void Run(Call call, std::uint32_t error);

  CommandStream& commands_;
  const std::function<std::uint32_t()> sticky_;
  std::atomic<int> pending_{0};
  std::atomic<std::uint64_t> next_call_{1};
  Mutex mu_;
  CondVar cv_;
  std::vector<Call> calls_ ACCELMESH_GUARDED_BY(mu_);
  bool stop_ ACCELMESH_GUARDED_BY(mu_) = false;
  bool started_ ACCELMESH_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace accelmesh
