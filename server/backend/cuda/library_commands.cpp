// CudaBackend: calls of NVIDIA's libraries.
#include "server/backend/cuda/device.h"
#include "server/backend/cuda/library.h"

namespace accelmesh {

void CudaBackend::LibraryOpen(std::uint32_t library, std::uint32_t device, std::function<void(Result<Bytes>)> answer) {
  parts_->library->Open(library, device, std::move(answer));
}

std::string CudaBackend::LibraryIdentity(std::uint32_t library, std::uint32_t device) {
  return parts_->library->Identity(library, device);
}

void CudaBackend::LibraryAsk(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer) {
  parts_->library->Ask(std::move(job), std::move(answer));
}

Status CudaBackend::LibraryCall(std::uint32_t slot, std::uint64_t sequence, LibraryJob job,
                                std::function<void(LibraryAnswer)> answer) {
  cuda::Stream& stream = At(slot);
  auto work = std::make_shared<cuda::LibraryWork>();
  work->sequence = sequence;
  work->job = std::move(job);
  work->answer = std::move(answer);
  if (!Begin(stream)) {
    cuda::Library::Refuse(*work);
    return End(slot, sequence);
  }
  if (!parts_->library->MayRun(stream, *work)) {
    auto stop = std::make_unique<cuda::Stop>();
    stop->sequence = sequence;
    stop->library = std::move(work);
    return StopAt(slot, std::move(stop));
  }
  std::function<void()> tell = parts_->library->Run(stream, *work);
  stream.submitted += cuda::Library::kCommandsPerCall - 1;
  if (tell == nullptr) return End(slot, sequence);
  Count(slot, sequence);
  MarkAll(streams_[slot], nullptr, std::move(tell));  // somebody waits for it
  return Status::Ok();
}

}  // namespace accelmesh
