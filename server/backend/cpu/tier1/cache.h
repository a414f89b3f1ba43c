// A folder of compiled objects, one file each, named by what they were made from. Private to this folder.
//
// Files are written whole and moved into place; what is read is checked by its hash, and what fails is as good as not
// there, as is what another user owns or may write. Several processes may share a folder; other files in it are left
// alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace accelmesh::tier1 {

class Cache {
 public:
  // An empty folder name: nothing is kept. Keys are hashes (HashOf).
  Cache(std::string folder, std::uint64_t bytes_max) : folder_(std::move(folder)), bytes_max_(bytes_max) {}
  std::optional<std::string> Find(const std::string& key) const;
  void Keep(const std::string& key, std::string_view object) const;

 private:
  std::string PathOf(const std::string& key) const;
  void Shrink() const;

  std::string folder_;
  std::uint64_t bytes_max_;
};

// SHA-256, in hexadecimal.
std::string HashOf(std::string_view bytes);

}  // namespace accelmesh::tier1
