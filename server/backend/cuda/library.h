// NVIDIA's libraries on the cuda backend: the server's own, one handle per stream, made once and kept.
//
// A function of a library only queues work, but the first time it may also load kernels, which waits for whatever runs,
// or make memory. So the executor calls what it has called before: a problem that a device has not seen (of cuDNN: a
// handle, which keeps plans), and each of some functions that may always wait, stops its stream (mover.h) and is called
// by the thread of this class. That thread also opens libraries, makes handles (both may take seconds) and asks them. A
// result that the program waits for is computed into device memory and copied to pinned memory behind it, so nobody
// waits for the stream; who watches it (progress.h) answers. Handles are not destroyed before the session ends: the
// next stream takes that of one that is gone, as it is. Their workspaces are the library's own, outside of the
// session's window, in what the server does not sell; a program's own is used where it sets one. Threads: beside each
// method stands whose it is.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <unordered_set>

#include "server/backend/cuda/library_blas.h"
#include "server/backend/cuda/library_dnn.h"
#include "server/backend/cuda/library_dnn_graph.h"
#include "server/backend/cuda/library_lt.h"
#include "server/backend/cuda/progress.h"
#include "server/backend/cuda/service.h"

namespace accelmesh::cuda {

// A call on its way.
struct LibraryWork {
  std::uint64_t sequence = 0;
  LibraryJob job;
  std::function<void(LibraryAnswer)> answer;  // null if nobody waits for it
};

class Library {
 public:
  // Of one function: the largest is a complex number.
  static constexpr std::size_t kResultBytes = 16;
  // In flight, a call counts as so many commands: it may launch as many kernels, and a stream takes no endless number.
  static constexpr std::uint64_t kCommandsPerCall = 4;

  // `results` is pinned memory, kResultBytes for each stream.
  Library(const Driver& driver, Progress& progress, std::uint8_t* results)
      : driver_(driver), progress_(progress), results_(results) {}

  // `keeper`: null, or who keeps what the next session need not make again.
  void Start(CompletionSink* sink, std::vector<Device*> devices, std::shared_ptr<PlanKeeper> keeper);
  // Nobody is answered any more when it returns, whatever the thread is in.
  void Stop();
  void Join() { service_.Join(); }
  bool ended() const { return service_.ended(); }
  // After Join(). The device is idle.
  void Close(const std::vector<std::shared_ptr<Stream>>& streams);

  // The executor's. Whether it may Run() the call; else the stream has to stop with it.
  bool MayRun(const Stream& stream, const LibraryWork& work);
  // The thread's that may use the stream, in whose context it is: queues the work and what its answer needs. What has
  // to be called when the stream comes there, if anything.
  std::function<void()> Run(Stream& stream, LibraryWork& work);
  // For who waits for a call that cannot run.
  static void Refuse(const LibraryWork& work);

  // Any thread's. The answer comes from the thread of this class.
  void Open(std::uint32_t library, std::uint32_t device, std::function<void(Result<Bytes>)> answer);
  void Ask(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer);
  // From where Open() answers (Backend::LibraryIdentity()).
  std::string Identity(std::uint32_t library, std::uint32_t device) const;
  // A stream has come to the call that it stopped with.
  void Begin(std::shared_ptr<Stream> stream, std::unique_ptr<cuda::Stop> stop);
  // The stream is destroyed; its handle is free when it has passed the point.
  void Retire(const Point& end);

 private:
  struct OnDevice {
    Device* device = nullptr;
    CUdeviceptr results = 0;  // kResultBytes for each stream
    cublasLtHandle_t lt = nullptr;
    std::shared_ptr<GraphPlans> dnn_plans = std::make_shared<GraphPlans>();
    std::string lt_identity;  // of its kind, and of cuBLASLt
    std::string dnn_identity;
    // This thread's.
    std::vector<std::shared_ptr<BlasHandle>> idle;
    std::vector<std::shared_ptr<DnnHandle>> dnn_idle;
  };
  // What became of a call.
  struct Outcome {
    std::uint32_t status = 0;  // the library's
    std::string status_name;
    Bytes results;
    std::size_t fetched_bytes = 0;  // of results that come with the stream
  };
  using Problem = std::uint64_t;  // a hash

  // Gives `answer` what `ask` says, unless this has been stopped meanwhile: it may take long.
  template <typename Answer, typename Question>
  void Tell(const Answer& answer, const Question& ask);
  Result<Bytes> OpenHere(std::uint32_t library, OnDevice& on);
  Status OpenBlas(OnDevice& on);
  Status OpenLt(OnDevice& on);
  Status OpenDnn(OnDevice& on);
  std::string IdentityOf(const OnDevice& on, const std::string& version, const void* symbol) const;
  LibraryAnswer AskHere(const LibraryJob& job);
  LibraryAnswer AskLibrary(const LibraryJob& job);
  Result<std::shared_ptr<BlasHandle>> MakeBlas();
  Result<std::shared_ptr<DnnHandle>> MakeDnn(const OnDevice& on);
  void BeginHere(const std::shared_ptr<Stream>& stream, const cuda::Stop& stop);
  bool GiveHandle(Stream& stream, std::uint32_t library);
  Problem ProblemOf(const LibraryWork& work) const;
  Outcome CallLibrary(Stream& stream, const LibraryWork& work);
  Outcome CallBlas(Stream& stream, const LibraryWork& work, const BlasLibrary::Function& function);
  void Report(const Stream& stream, const LibraryWork& work, const Outcome& outcome);

  const Driver& driver_;
  Progress& progress_;
  std::uint8_t* results_;
  CompletionSink* sink_ = nullptr;
  std::shared_ptr<PlanKeeper> keeper_;
  Service service_;
  std::vector<OnDevice> devices_;
  // Made by the thread before the first answer says that there is one, then constant.
  std::unique_ptr<const BlasLibrary> blas_;
  std::unique_ptr<const LtLibrary> lt_;
  std::unique_ptr<const DnnLibrary> dnn_;
  std::map<std::uint32_t, std::shared_ptr<const Module>> names_;  // by library: what is under way, by name

  Mutex answer_mu_;  // held while somebody is answered
  bool is_stopped_ ACCELMESH_GUARDED_BY(answer_mu_) = false;
  Mutex mu_;
  std::unordered_set<Problem> seen_ ACCELMESH_GUARDED_BY(mu_);
  std::map<std::array<std::uint32_t, 3>, std::uint32_t> seen_of_
      ACCELMESH_GUARDED_BY(mu_);  // device, library, function
};

}  // namespace accelmesh::cuda
