// CudaBackend: texture and surface objects. All of it is the service thread's, as the driver may wait for the device;
// who asks for a handle is answered from there.
#include "protocol/base/log.h"
#include "server/backend/cuda/device.h"

namespace accelmesh {

Status CudaBackend::TextureCreate(std::uint64_t id, const TextureJob& job) {
  auto texture = std::make_shared<Texture>();
  texture->device = parts_->devices[job.device].get();
  texture->is_surface = job.is_surface;
  textures_[id] = texture;
  if (parts_->progress->lost()) {
    texture->Finish(Status(Code::kDeviceFault, "CudaBackend::TextureCreate", "the context is lost"));
    return Status::Ok();
  }
  std::shared_ptr<cuda::RealArray> array;
  std::vector<cuda::Point> points;
  bool is_new = false;
  if (job.source == TextureJob::Source::kArray || job.source == TextureJob::Source::kMipmapped) {
    std::shared_ptr<cuda::RealArray>& known = arrays_[job.levels.front().address];
    is_new = known == nullptr;
    if (is_new) {
      known = cuda::PlanArray(*texture->device, job);
      points = Points();
    }
    array = known;
  }
  const auto step = [parts = parts_.get(), texture, job, array, points, is_new] {
    // What came before may write into the window still.
    if (!cuda::AllPassed(points)) return false;
    // Another object's step may still be waiting to make it.
    if (array != nullptr && !is_new && !array->is_settled.load()) return false;
    CUresult result = cuda::Enter(parts->driver, *texture->device);
    if (result == CUDA_SUCCESS && is_new) result = cuda::MakeReal(parts->driver, array.get());
    if (is_new) array->is_settled.store(true);
    std::uint64_t handle = 0;
    if (result == CUDA_SUCCESS && array != nullptr &&
        (array->levels.front().handle == nullptr || array->levels.size() != job.levels.size()))
      result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS) result = cuda::MakeTextureObject(parts->driver, job, array.get(), &handle);
    if (result == CUDA_SUCCESS) {
      texture->Finish(handle);
    } else {
      (void)parts->progress->NoteResult(result);
      const Code code = result == CUDA_ERROR_OUT_OF_MEMORY   ? Code::kOutOfMemory
                        : result == CUDA_ERROR_NOT_SUPPORTED ? Code::kUnsupported
                                                             : Code::kInvalidArgument;
      texture->Finish(Status(code, "CudaBackend::TextureCreate", parts->driver.Text(result)));
    }
    return true;
  };
  // Copies must not go to the window while the array takes its place.
  if (is_new) {
    WaitFor(step);
  } else {
    parts_->service.Post(step);
  }
  return Status::Ok();
}

void CudaBackend::TextureHandle(std::uint64_t id, std::function<void(Result<std::uint64_t>)> answer) {
  const auto found = textures_.find(id);
  if (found == textures_.end()) return answer(Status(Code::kNotFound, "CudaBackend::TextureHandle", "no such texture"));
  found->second->Ask(std::move(answer));
}

Status CudaBackend::TextureDestroy(std::uint64_t id) {
  const auto node = textures_.extract(id);
  if (node.empty()) return Status::Ok();
  parts_->service.Post([parts = parts_.get(), texture = node.mapped(), points = Points()] {
    if (!texture->is_made() || !cuda::AllPassed(points)) return false;
    texture->Destroy(parts->driver);
    return true;
  });
  return Status::Ok();
}

void CudaBackend::Texture::Finish(Result<std::uint64_t> made) {
  std::vector<std::function<void(Result<std::uint64_t>)>> answers;
  {
    const MutexLock lock(mu);
    handle = made;
    answers = std::move(asked);
  }
  for (const auto& answer : answers) answer(made);
}

void CudaBackend::Texture::Ask(std::function<void(Result<std::uint64_t>)> answer) {
  MutexLock lock(mu);
  if (!handle.has_value()) {
    asked.push_back(std::move(answer));
    return;
  }
  const Result<std::uint64_t> made = *handle;
  lock.Unlock();
  answer(made);
}

bool CudaBackend::Texture::is_made() {
  const MutexLock lock(mu);
  return handle.has_value();
}

void CudaBackend::Texture::Destroy(const cuda::Driver& driver) {
  const MutexLock lock(mu);
  if (!handle.has_value() || !handle->ok() || cuda::Enter(driver, *device) != CUDA_SUCCESS) return;
  const CUresult result = cuda::DestroyTextureObject(driver, is_surface, **handle);
  if (result != CUDA_SUCCESS) log::Warning("cuda backend", "a texture was not destroyed: " + driver.Text(result));
  handle.reset();
}

void CudaBackend::ForgetArray(std::uint64_t address) {
  const auto node = arrays_.extract(address);
  if (node.empty()) return;
  parts_->service.Post([parts = parts_.get(), array = node.mapped(), points = Points()] {
    if (!array->is_settled.load() || !cuda::AllPassed(points)) return false;
    if (cuda::Enter(parts->driver, *array->device) == CUDA_SUCCESS) cuda::DestroyArray(parts->driver, *array);
    return true;
  });
}

void CudaBackend::DestroyTextures() {
  for (const auto& [id, texture] : textures_) texture->Destroy(parts_->driver);
  textures_.clear();
  for (const auto& [address, array] : arrays_) {
    if (cuda::Enter(parts_->driver, *array->device) == CUDA_SUCCESS) cuda::DestroyArray(parts_->driver, *array);
  }
  arrays_.clear();
}

std::shared_ptr<const cuda::RealArray> CudaBackend::ArrayOf(const CopySide& side) const {
  if (arrays_.empty() || side.kind != CopySide::Kind::kDevice) return nullptr;
  const auto after = arrays_.upper_bound(side.address);
  if (after == arrays_.begin()) return nullptr;
  const std::shared_ptr<cuda::RealArray>& array = std::prev(after)->second;
  return array->At(side.address) == nullptr ? nullptr : array;
}

}  // namespace accelmesh
