// What the parts of the cuda backend share: devices, streams, and the marks by which the end of work is known.
//
// A mark is a point in a stream: the device writes the mark's number to the stream's word in pinned memory when it
// comes there, and the progress thread sees it (progress.h). One mark covers all commands before it.
// Threads: beside each member stands whose it is: constant, the executor's, or guarded by Progress's mutex. While a
// stream is stopped (`is_stopped`) the executor sends it no commands, and what is the executor's belongs to the thread
// that works on the stop.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/backend/cuda/driver.h"
#include "server/device.h"

namespace accelmesh::cuda {

inline constexpr std::uint8_t kLegacy = 0;  // wire::StreamKind
inline constexpr std::uint8_t kNonBlocking = 2;

struct Device {
  std::uint64_t id = 0;  // in this process, for Enter()
  std::uint32_t index = 0;
  CUdevice handle = 0;
  CUcontext context = nullptr;
  int priority_lowest = 0;
  int priority_highest = 0;
  std::uint64_t max_pitch = 0;
  std::uint64_t free_bytes = 0;      // when the context was made
  bool has_writes = false;           // 64-bit stream memory writes
  CUdeviceptr words = 0;             // the page of words as the device sees it
  CUstream idle = nullptr;           // never has work
  std::vector<CUdevice> reached_by;  // itself and the devices that may reach its memory
  std::vector<PeerDescription> reaches;
  std::uint64_t window_base = 0;
  std::uint64_t window_bytes = 0;
  // How many of its streams are stopped, for the legacy-stream rule.
  std::atomic<std::uint32_t> stopped_legacy{0};
  std::atomic<std::uint32_t> stopped_blocking{0};
  std::atomic<std::uint64_t> blocking_marks{0};  // of its blocking streams, so far
};

// Makes the device's context the calling thread's.
CUresult Enter(const Driver& driver, const Device& device);
// Lets the device, and those that may reach its memory, read and write what is mapped there.
CUresult LetReach(const Driver& driver, const Device& device, CUdeviceptr address, std::uint64_t bytes);

// A range of the staging arena.
struct StagingRange {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

// A body that the device reads where it lies.
using BodyHold = std::shared_ptr<const BulkBody>;

// Bytes that have come from the device into staging and go to the client.
struct Parcel {
  StagingRange staging;
  std::uint64_t token = 0;
};

struct RealArray;
class BlasHandle;
class DnnHandle;
struct LibraryWork;

// What a stopped stream waits for: a copy that goes through the movers' buffers, a call of a library, or a host
// function of the client.
struct Stop {
  std::uint64_t sequence = 0;
  std::unique_ptr<CopyJob> copy;
  std::shared_ptr<const RealArray> dst_array;  // of the driver's, if the copy's sides lie in one
  std::shared_ptr<const RealArray> src_array;
  std::shared_ptr<LibraryWork> library;
  std::uint64_t host_call = 0;  // if there is neither
};

struct Stream;
// A mark of another stream that has to be told to the client first: what the device has ordered, the client may count
// on.
struct Dependency {
  std::shared_ptr<Stream> stream;
  std::uint64_t mark = 0;
};

struct Mark {
  std::uint64_t id = 0;        // what the device writes; 0 if nothing has to be waited for
  std::uint64_t sequence = 0;  // completed when it is reached; 0: a step inside of a command
  std::uint64_t count = 0;     // of the stream's commands, up to here
  CUevent event = nullptr;     // where the device cannot write words
  std::vector<Dependency> after;
  std::vector<StagingRange> staging;
  std::vector<BodyHold> bodies;
  std::unique_ptr<Parcel> parcel;  // sent before the mark counts as completed
  std::unique_ptr<Stop> stop;      // begins when the mark is reached
  std::function<void()> tell;      // called when it is reached, before that is told to the client
  bool ends_stop = false;
};

// A loaded module as far as a launch needs it.
struct Kernel {
  CUfunction function = nullptr;
  std::string name;
  std::vector<std::uint32_t> parameter_offsets;
  std::uint32_t argument_bytes = 0;
  // The executor's: allowed so far.
  std::uint32_t dynamic_shared_bytes_max = 0;
  bool may_have_large_clusters = false;
};
struct Module {
  Device* device = nullptr;
  CUmodule handle = nullptr;
  std::vector<Kernel> kernels;
};

struct Stream {
  Device* device = nullptr;
  CUstream handle = nullptr;
  std::uint32_t slot = 0;
  std::uint8_t kind = 1;
  std::uint32_t word = 0;  // index into the page of words

  // The executor's.
  std::uint64_t submitted = 0;                 // commands
  std::uint64_t marked = 0;                    // of them, in front of a mark
  std::uint64_t last_sequence = 0;             // of the last one
  std::vector<StagingRange> unmarked_staging;  // goes back with the next mark
  std::vector<BodyHold> unmarked_bodies;       // so do these
  std::vector<Dependency> unmarked_after;      // of what has no mark yet
  std::atomic<std::uint64_t> last_mark{0};     // written by whoever marks; the executor looks at other streams'
  std::uint64_t marks_seen = 0;                // a legacy stream's: of the device's blocking streams
  bool is_listed = false;                      // among those with unmarked commands
  bool has_word = false;                       // FetchWord() went to the device
  std::shared_ptr<BlasHandle> blas;            // once it has called libcublas (library.h)
  std::shared_ptr<DnnHandle> dnn;              // once it has called libcudnn

  std::atomic<std::uint64_t> completed{0};  // commands
  std::atomic<bool> is_stopped{false};
  std::atomic<bool> awaits_result{false};  // of a library

  // Progress's.
  std::deque<Mark> marks;     // not completed
  std::uint64_t reached = 0;  // mark
  std::uint64_t told = 0;     // mark
  bool front_is_sending = false;
  bool is_active = false;
  bool is_destroyed = false;
  struct Launched {
    std::uint64_t sequence = 0;
    std::shared_ptr<const Module> module;
    std::uint32_t kernel = 0;
  };
  std::deque<Launched> launches;  // not known to have completed
};

// The mark behind what a stream was stopped for.
inline Mark EndOf(const Stream& stream, std::uint64_t sequence) {
  Mark mark;
  mark.sequence = sequence;
  mark.count = stream.submitted;
  mark.ends_stop = true;
  return mark;
}

// A point that every stream has to pass before something goes.
struct Point {
  std::shared_ptr<Stream> stream;
  std::uint64_t count = 0;
  bool passed() const { return stream->completed.load(std::memory_order_acquire) >= count; }
};
inline bool AllPassed(const std::vector<Point>& points) {
  for (const Point& point : points) {
    if (!point.passed()) return false;
  }
  return true;
}

}  // namespace accelmesh::cuda
