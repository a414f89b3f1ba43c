// The texture and surface objects that a program has, by its handles.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "protocol/base/limits.h"
#include "protocol/base/mutex.h"
#include "shim/core/texture.h"

namespace accelmesh {

class TextureTable {
 public:
  // A number for one that is to be made; nothing if there are too many.
  std::optional<std::uint64_t> NextId() {
    const MutexLock lock(mu_);
    if (textures_.size() >= limits::kTexturesMax) return std::nullopt;
    return next_id_++;
  }
  void Add(std::uint64_t handle, TextureObject texture) {
    const MutexLock lock(mu_);
    textures_[handle] = std::move(texture);
  }
  // Whoever takes one ends it: its number. Nothing if there is none of that kind.
  std::optional<std::uint64_t> Take(std::uint64_t handle, bool is_surface) {
    const MutexLock lock(mu_);
    const auto found = textures_.find(handle);
    if (found == textures_.end() || found->second.is_surface != is_surface) return std::nullopt;
    const std::uint64_t id = found->second.id;
    textures_.erase(found);
    return id;
  }
  // The numbers of all of the device.
  std::vector<std::uint64_t> TakeOf(std::uint32_t device) {
    std::vector<std::uint64_t> ids;
    const MutexLock lock(mu_);
    std::erase_if(textures_, [device, &ids](const auto& entry) {
      if (entry.second.device != device) return false;
      ids.push_back(entry.second.id);
      return true;
    });
    return ids;
  }
  // What the program made it of; null if there is none of that kind.
  std::shared_ptr<const void> Find(std::uint64_t handle, bool is_surface) const {
    const MutexLock lock(mu_);
    const auto found = textures_.find(handle);
    return found == textures_.end() || found->second.is_surface != is_surface ? nullptr : found->second.origin;
  }

 private:
  mutable Mutex mu_;
  std::unordered_map<std::uint64_t, TextureObject> textures_ ACCELMESH_GUARDED_BY(mu_);
  std::uint64_t next_id_ ACCELMESH_GUARDED_BY(mu_) = 1;
};

}  // namespace accelmesh
