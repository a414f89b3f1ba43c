// mesh-run: starts an unmodified program with the shim preloaded, and becomes it, so that its status is the program's.
#include <errno.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "protocol/transport/channel.h"

namespace accelmesh {
namespace {

// Its own failures, before the program runs (docker and env use the same number).
constexpr int kOwnFailure = 125;

void Prepend(const char* variable, const std::string& value) {
  const char* before = std::getenv(variable);
  const std::string joined = before != nullptr && *before != '\0' ? value + ":" + before : value;
  ::setenv(variable, joined.c_str(), 1);
}

int Main(int argc, char** argv) {
  std::string server;
  bool stats = false;
  std::vector<std::string> program;
  CLI::App app{
      "mesh-run: runs an unmodified CUDA program on a gpu-server\n\n  mesh-run --server tcp://127.0.0.1:7700 -- "
      "./program args..."};
  app.set_version_flag("--version", std::string("mesh-run ") + ACCELMESH_VERSION);
  app.add_option("--server", server, "tcp://HOST:PORT, ipc:///PATH or shm://NAME of a gpu-server")->required();
  app.add_flag("--stats", stats, "print what crossed the wire, by mode, when the program ends");
  app.add_option("program", program, "the program and its arguments, after --")->required();
  app.positionals_at_end();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const Result<Endpoint> endpoint = ParseEndpoint(server);
  if (!endpoint.ok()) {
    std::fprintf(stderr, "mesh-run: %s\n", endpoint.status().text().c_str());
    return 2;
  }
  char self[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof(self));
  const std::string folder(self, length > 0 ? static_cast<std::size_t>(length) : 0);
  const std::string libraries = folder.substr(0, folder.rfind('/')) + "/../lib/accelmesh";
  const std::string shim = libraries + "/libaccelmesh.so";
  if (::access(shim.c_str(), R_OK) != 0) {
    std::fprintf(stderr, "mesh-run: %s is missing; build the target accelmesh or reinstall\n", shim.c_str());
    return kOwnFailure;
  }
  ::setenv("ACCELMESH_SERVER", server.c_str(), 1);
  if (stats) ::setenv("ACCELMESH_STATS", "1", 1);
  Prepend("LD_PRELOAD", shim);
  Prepend("LD_LIBRARY_PATH", libraries + "/soname");
  std::vector<char*> words;
  for (std::string& word : program) words.push_back(word.data());
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  std::fprintf(stderr, "mesh-run: cannot run %s: %s\n", words[0], std::strerror(errno));
  return kOwnFailure;
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) { return accelmesh::Main(argc, argv); }
