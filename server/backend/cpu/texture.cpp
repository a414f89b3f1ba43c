// The software GPU's texture and surface objects. They lie in the device's memory, as every array does.
#include "server/backend/cpu/device.h"

namespace accelmesh {

Status CpuBackend::TextureCreate(std::uint64_t id, const TextureJob& job) {
  ACCELMESH_ASSIGN_OR_RETURN(textures_[id], tier0::MakeTexture(job));
  textures_now_.reset();
  return Status::Ok();
}

Status CpuBackend::TextureDestroy(std::uint64_t id) {
  textures_.erase(id);
  textures_now_.reset();
  return Status::Ok();
}

std::shared_ptr<const tier0::TextureTable> CpuBackend::Textures() {
  if (textures_now_ == nullptr && !textures_.empty())
    textures_now_ = std::make_shared<const tier0::TextureTable>(textures_);
  return textures_now_;
}

}  // namespace accelmesh
