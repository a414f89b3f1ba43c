// What stops a stream: copies that do not go through the eager staging, and host functions of the client.
//
// A stopped stream takes no commands (CudaBackend::InFlight says it is full), so nothing that comes later can pass; the
// executor goes on with others. When the device has come to the stop, a mover copies piece by piece through two buffers
// of its own. Those are in use only by copies whose turn it is, so a stream that never comes to its turn can take
// nothing from another. One mover goes up (to the device), one down: a client that does not read holds up no upload.
// Threads: each mover has one; the rest is for any thread unless it says otherwise.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <unordered_map>

#include "protocol/base/mutex.h"
#include "server/backend/cuda/pieces.h"
#include "server/backend/cuda/progress.h"

namespace accelmesh::cuda {

// Memory that the client shares, by its start, registered with the driver when it is first used.
class SharedRegions {
 public:
  explicit SharedRegions(const Driver& driver) : driver_(driver) {}
  enum class State : std::uint8_t { kUnknown, kPinned, kRefused };
  State Find(const std::uint8_t* start);
  // May take long.
  State Pin(MutableByteView region);
  // May take long. Nothing uses it any more.
  void Unpin(const std::uint8_t* start);
  void UnpinAll();

 private:
  void Note(const std::uint8_t* start, State state);

  const Driver& driver_;
  Mutex driver_mu_;  // held across the driver's calls; before mu_
  Mutex mu_;
  std::map<const std::uint8_t*, State> regions_ ACCELMESH_GUARDED_BY(mu_);
};

class Mover {
 public:
  static constexpr std::uint64_t kBufferBytes = 4 * limits::kMiB;
  static constexpr std::size_t kBuffers = 2;

  enum class Direction : std::uint8_t { kUp, kDown };
  // `buffers` is kBuffers * kBufferBytes of pinned memory.
  Mover(Direction direction, const Driver& driver, Progress& progress, SharedRegions& regions, std::uint8_t* buffers,
        const std::uint8_t* staging)
      : direction_(direction),
        driver_(driver),
        progress_(progress),
        regions_(regions),
        buffers_(buffers),
        staging_(staging) {}

  // Down: sends a range of a device's memory past this process; kUnsupported if that cannot be. Before Start().
  using SendDirect = std::function<Status(std::uint64_t token, std::uint64_t address, std::uint64_t bytes)>;
  void UseDirect(SendDirect send) { send_direct_ = std::move(send); }

  void Start(CompletionSink* sink);
  // Nobody hears of what comes back from the driver after this: the sink may be gone by then.
  void Stop();
  void Join() { thread_.join(); }
  bool ended() const { return ended_.load(std::memory_order_acquire); }

  // A stop that the stream has come to; its copy goes this mover's way.
  void Begin(std::shared_ptr<Stream> stream, std::unique_ptr<cuda::Stop> stop);
  // Down: sends what lies in staging, then Progress::Sent().
  void Send(std::shared_ptr<Stream> stream, const Parcel& parcel);

 private:
  struct Work {
    std::shared_ptr<Stream> stream;
    std::unique_ptr<cuda::Stop> stop;
    Parcel parcel;  // if there is no stop
  };

  void Main();
  void Run(const std::shared_ptr<Stream>& stream, cuda::Stop& stop);
  // Whether all pieces went; what failed has been told.
  bool Up(const std::shared_ptr<Stream>& stream, const cuda::Stop& stop);
  bool Down(const std::shared_ptr<Stream>& stream, const cuda::Stop& stop);
  // kUnsupported: not this way.
  Status DownDirect(const cuda::Stop& stop);
  CUresult CopyPinned(Stream& stream, const cuda::Stop& stop);
  bool Deliver(const Stream& stream, const cuda::Stop& stop, const Piece& piece, const std::uint8_t* buffer);
  bool SendBytes(const Stream& stream, std::uint64_t sequence, std::uint64_t token, std::uint64_t offset,
                 ByteView bytes);
  // Whether it was; what was not has been told.
  bool NoteSent(const Stream& stream, std::uint64_t sequence, const Status& sent);
  void Fail(const Stream& stream, std::uint64_t sequence, CUresult result);

  Direction direction_;
  const Driver& driver_;
  Progress& progress_;
  SharedRegions& regions_;
  std::uint8_t* buffers_;
  const std::uint8_t* staging_;
  CompletionSink* sink_ = nullptr;
  SendDirect send_direct_;

  Mutex mu_;
  CondVar work_;
  std::deque<Work> queue_ ACCELMESH_GUARDED_BY(mu_);
  std::atomic<bool> stop_{false};  // written under mu_
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

// Host functions: a stream goes on when it has come to its stop and the client has said that it is done.
class HostStops {
 public:
  explicit HostStops(Progress& progress) : progress_(progress) {}
  void Expect(std::uint64_t call);
  // The stream has come to it.
  void Begin(std::shared_ptr<Stream> stream, std::unique_ptr<cuda::Stop> stop);
  // Unknown calls are ignored.
  void Done(std::uint64_t call);

 private:
  struct Waiting {
    bool is_done = false;
    std::shared_ptr<Stream> stream;  // once it has come to the stop
    std::uint64_t sequence = 0;
  };
  void Release(const Waiting& waiting);

  Progress& progress_;
  Mutex mu_;
  std::unordered_map<std::uint64_t, Waiting> calls_ ACCELMESH_GUARDED_BY(mu_);
};

}  // namespace accelmesh::cuda
