// CudaBackend: memory that the sessions of a lease share. A driver maps a handle as a whole, so that with an allocation
// goes all that lies in its chunks.
#include <algorithm>

#include "server/backend/cuda/device.h"

namespace accelmesh {

bool CudaBackend::shares_memory() const {
  return parts_ != nullptr && std::all_of(parts_->devices.begin(), parts_->devices.end(), [this](const auto& device) {
           constexpr CUdevice_attribute kHasFiles = CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED;
           int value = 0;
           return parts_->driver.DeviceGetAttribute(&value, kHasFiles, device->handle) == CUDA_SUCCESS && value != 0;
         });
}

Result<SharedMemory> CudaBackend::ExportMemory(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) {
  return parts_->memory[device]->Export(address, bytes);
}

Status CudaBackend::ShareMemory(std::uint32_t device, const SharedMemory& memory, std::uint64_t address,
                                std::uint64_t /*bytes*/) {
  constexpr const char* kWhere = "CudaBackend::ShareMemory";
  constexpr std::uint64_t kUnit = cuda::ChunkTable::kCellBytes;
  Parts& parts = *parts_;
  const std::uint64_t start = address - memory.lead;
  const auto is_chunk = [](const SharedPiece& piece) { return piece.offset == 0 && piece.bytes % kUnit == 0; };
  if ((start - parts.devices[device]->window_base) % kUnit != 0 ||
      !std::all_of(memory.pieces.begin(), memory.pieces.end(), is_chunk))
    return {Code::kInvalidArgument, kWhere, "not where chunks can lie"};
  imports_[address] = {device, start};
  const CUresult result = parts.memory[device]->Import(memory, start);
  if (result == CUDA_SUCCESS) return Status::Ok();
  ACCELMESH_RETURN_IF_ERROR(UnshareMemory(address, 0));
  return {result == CUDA_ERROR_INVALID_VALUE ? Code::kInvalidArgument : Code::kOutOfMemory, kWhere,
          parts.driver.Text(result)};
}

Status CudaBackend::UnshareMemory(std::uint64_t address, std::uint64_t /*bytes*/) {
  const auto found = imports_.find(address);
  if (found == imports_.end()) return {Code::kInvalidArgument, "CudaBackend::UnshareMemory", "nothing is shared there"};
  const Import import = found->second;
  imports_.erase(found);
  Parts& parts = *parts_;
  // The driver waits for work that may use it; there is none, for a client that keeps the protocol.
  CUresult result = CUDA_SUCCESS;
  parts.service.Run([&] { result = parts.memory[import.device]->EndImport(import.start); });
  // Where the context is lost nothing runs any more.
  if (result == CUDA_SUCCESS || parts.progress->lost()) return Status::Ok();
  return {Code::kInternal, "CudaBackend::UnshareMemory", parts.driver.Text(result)};
}

}  // namespace accelmesh
