#include "protocol/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace accelmesh {

Result<MappedFile> MappedFile::Open(const std::string& path) {
  constexpr const char* kWhere = "MappedFile::Open";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Status::System(errno, kWhere, "cannot open " + path);
  struct stat about{};
  if (::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0) {
    ::close(fd);
    return Status(Code::kNotFound, kWhere, path + " is no regular file");
  }
  const auto bytes = static_cast<std::size_t>(about.st_size);
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  ::close(fd);
  if (mapped == MAP_FAILED) return Status::System(error, kWhere, "cannot map " + path);
  return MappedFile({static_cast<const std::uint8_t*>(mapped), bytes});
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace accelmesh
