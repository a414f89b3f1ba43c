#include "tools/mesh_sim/market/picture.h"

#include <spawn.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>

extern char** environ;

namespace accelmesh::sim {

Status MakePng(const std::string& svg, const std::string& png) {
  std::array<std::string, 6> words = {"rsvg-convert", "--format=png", "--zoom=1.5", "--output", png, svg};
  std::array<char*, 7> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ);
  if (error == ENOENT) {
    return {Code::kUnavailable, "MakePng", "no rsvg-convert, so no PNG files; install librsvg2-bin"};
  }
  if (error != 0) return Status::System(error, "MakePng", "rsvg-convert does not start");
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return Status::System(errno, "MakePng", "waitpid");
  }
  if (status != 0) return {Code::kInternal, "MakePng", "rsvg-convert fails on " + svg};
  return Status::Ok();
}

}  // namespace accelmesh::sim
