// CudaBackend: memory, words of it that the backend looks at, and modules.
#include "server/backend/cuda/device.h"

namespace accelmesh {

// Memory -------------------------------------------------------------------------------------------------------------

void CudaBackend::WaitFor(std::function<bool()> step) {
  Parts& parts = *parts_;
  parts.waits.fetch_add(1);
  parts.service.Post([&parts, step = std::move(step)] {
    if (!step()) return false;
    parts.waits.fetch_sub(1);
    // Nothing new has completed, but streams have room again: the executor looks when it is told anything.
    parts.sink->Completed(0, 0);
    return true;
  });
}

std::vector<cuda::Point> CudaBackend::Points() const {
  std::vector<cuda::Point> points;
  const auto add = [&points](const StreamPtr& stream) {
    if (stream == nullptr) return;
    const cuda::Point point{stream, stream->submitted};
    if (!point.passed()) points.push_back(point);
  };
  for (const StreamPtr& stream : streams_) add(stream);
  for (const StreamPtr& stream : retired_) add(stream);
  return points;
}

Status CudaBackend::MemAlloc(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) {
  if (parts_->progress->lost()) return Status::Ok();
  cuda::DeviceMemory* memory = parts_->memory[device].get();
  if (!memory->Allocate(address, bytes)) WaitFor([memory] { return memory->Relieve(); });
  return Status::Ok();
}

Status CudaBackend::MemFree(std::uint32_t device, std::uint64_t address) {
  ForgetArray(address);
  parts_->memory[device]->Free(address, [this] { return Points(); });
  return Status::Ok();
}

Status CudaBackend::SetLimit(std::uint32_t device, std::uint32_t limit, std::uint64_t value) {
  Parts& parts = *parts_;
  // The driver may wait for the device before it changes one.
  WaitFor([&parts, device, limit, value] {
    CUresult result = cuda::Enter(parts.driver, *parts.devices[device]);
    if (result == CUDA_SUCCESS) result = parts.driver.CtxSetLimit(static_cast<CUlimit>(limit), value);
    if (result != CUDA_SUCCESS && !parts.progress->NoteResult(result))
      parts.sink->Failed(device, 0, static_cast<DeviceStatus>(result), false,
                         "a limit of the device was not set: " + parts.driver.Text(result));
    return true;
  });
  return Status::Ok();
}

Status CudaBackend::MapHost(MutableByteView memory) {
  Parts& parts = *parts_;
  WaitFor([&parts, memory] {
    const auto address = reinterpret_cast<std::uint64_t>(memory.data());
    CUresult result = cuda::Enter(parts.driver, *parts.devices.front());
    if (result == CUDA_SUCCESS) {
      result = parts.driver.MemHostRegister(memory.data(), memory.size(),
                                            CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
    }
    if (result == CUDA_SUCCESS) {
      parts.mapped_host.insert(address);
      CUdeviceptr seen = 0;
      result = parts.driver.MemHostGetDevicePointer(&seen, memory.data(), 0);
      if (result == CUDA_SUCCESS && seen != address) result = CUDA_ERROR_NOT_SUPPORTED;
    }
    if (result != CUDA_SUCCESS && !parts.progress->NoteResult(result)) {
      parts.sink->Failed(0, 0, static_cast<DeviceStatus>(result), false,
                         "host memory cannot be mapped for the device: " + parts.driver.Text(result));
    }
    return true;
  });
  return Status::Ok();
}

Status CudaBackend::UnmapHost(std::uint64_t address) {
  Parts& parts = *parts_;
  // The pages go when this returns, so it waits, as a program that frees such memory natively does.
  parts.service.Run([&parts, address] {
    if (parts.mapped_host.erase(address) != 0) (void)parts.driver.MemHostUnregister(reinterpret_cast<void*>(address));
  });
  return Status::Ok();
}

void CudaBackend::RegionReleased(MutableByteView region) {
  Parts& parts = *parts_;
  if (parts.regions.Find(region.data()) == cuda::SharedRegions::State::kUnknown) return;
  parts.service.Run([&parts, region] { parts.regions.Unpin(region.data()); });
}

// The words of conditions ---------------------------------------------------------------------------------------------

Status CudaBackend::FetchWord(std::uint32_t slot, std::uint64_t sequence, std::uint64_t address) {
  cuda::Stream& stream = At(slot);
  stream.has_word = false;
  if (!Begin(stream)) return End(slot, sequence);
  const CUresult result = parts_->driver.MemcpyAsync(reinterpret_cast<CUdeviceptr>(FetchedWord(slot)), address,
                                                     sizeof(std::uint32_t), stream.handle);
  Report(slot, sequence, result, "the condition of a graph was not read");
  stream.has_word = result == CUDA_SUCCESS;
  Count(slot, sequence);
  // Somebody waits for it.
  MarkAll(streams_[slot]);
  return Status::Ok();
}

Result<std::uint32_t> CudaBackend::ReadWord(std::uint32_t slot, std::uint64_t /*address*/) {
  if (!At(slot).has_word) return Status(Code::kInternal, "CudaBackend::ReadWord", "no word was fetched");
  return *FetchedWord(slot);
}

// Modules ------------------------------------------------------------------------------------------------------------

Result<ModuleDescription> CudaBackend::ModuleLoad(std::uint32_t device, std::uint32_t id, Bytes image) {
  Parts& parts = *parts_;
  cuda::Device& target = *parts.devices[device];
  const auto attribute = [&](CUdevice_attribute which) {
    int value = 0;
    (void)parts.driver.DeviceGetAttribute(&value, which, target.handle);
    return static_cast<std::uint32_t>(value);
  };
  const std::uint32_t capability = 10 * attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
                                   attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  ACCELMESH_ASSIGN_OR_RETURN(cuda::LoadedModule loaded,
                             cuda::LoadModule(parts.driver, target, std::move(image), capability));
  if (loaded.prints) parts.output.Note();
  const MutexLock lock(parts.modules_mu);
  parts.modules[id] = std::move(loaded.module);
  return std::move(loaded.description);
}

Status CudaBackend::ModuleUnload(std::uint32_t id) {
  Parts& parts = *parts_;
  std::shared_ptr<cuda::Module> module;
  {
    const MutexLock lock(parts.modules_mu);
    if (auto node = parts.modules.extract(id); !node.empty()) module = std::move(node.mapped());
  }
  if (module == nullptr) return Status::Ok();
  parts.service.Post([&parts, module, points = Points()] {
    if (!parts.progress->lost() && !cuda::AllPassed(points)) return false;
    if (cuda::Enter(parts.driver, *module->device) == CUDA_SUCCESS) (void)parts.driver.ModuleUnload(module->handle);
    return true;
  });
  return Status::Ok();
}

}  // namespace accelmesh
