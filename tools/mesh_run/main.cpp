// mesh-run: starts an unmodified program with the shim preloaded, and becomes it, so that its status is the program's.
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "protocol/base/program.h"
#include "protocol/transport/channel.h"

namespace accelmesh {
namespace {

// Its own failures, before the program runs (docker and env use the same number).
constexpr int kOwnFailure = 125;
constexpr int kUsage = 2;

constexpr const char* kFooter =
    R"(The program uses the CUDA 13 runtime, shared or static; with the static one (nvcc's default) it must not be stripped.
It needs no change and no GPU here.

Exit status: the program's own; 125 if it could not be started, 2 if the command line is wrong.
Environment of the program: ACCELMESH_SERVER, LD_PRELOAD and LD_LIBRARY_PATH are set; with --stats ACCELMESH_STATS as well, with
--explain ACCELMESH_EXPLAIN and, for --json, ACCELMESH_EXPLAIN_JSON; and ACCELMESH_GROUP, a random secret: the program and the
processes that it starts may share device memory (cudaIpc*), others may not. Those processes report, too.

Calls are answered locally (from the client's own state), posted (sent, and nobody waits), waited for (what the device has not
done yet) or called (a round trip of their own). Counting costs every call some 100 ns.

Example: mesh-run --server tcp://127.0.0.1:7700 -- ./vector_add)";

__attribute__((format(printf, 1, 2))) int Say(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fputs("mesh-run: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
  return kOwnFailure;
}

// An empty value: the variable goes, also one of ours that came with our own environment.
void SetOrUnset(const char* variable, const std::string& value) {
  if (value.empty()) {
    ::unsetenv(variable);
  } else {
    ::setenv(variable, value.c_str(), 1);
  }
}

void Prepend(const char* variable, const std::string& value) {
  const char* before = std::getenv(variable);
  const std::string joined = before != nullptr && *before != '\0' ? value + ":" + before : value;
  ::setenv(variable, joined.c_str(), 1);
}

// Where execvp would find a program; empty if nowhere.
std::string FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* folders = std::getenv("PATH");
  std::string_view rest = folders != nullptr ? folders : "/bin:/usr/bin";
  while (true) {
    const std::size_t end = rest.find(':');
    const std::string folder(rest.substr(0, end));
    const std::string path = (folder.empty() ? "." : folder) + "/" + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
    if (end == std::string_view::npos) return {};
    rest.remove_prefix(end + 1);
  }
}

// The folder of the shim's libraries, beside the one that mesh-run lies in; empty if it cannot be told.
std::string FindLibraries() {
  char self[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof(self));
  if (length <= 0) return {};
  const std::string path(self, static_cast<std::size_t>(length));
  const std::string relative = path.substr(0, path.rfind('/')) + "/../lib/accelmesh";
  char resolved[PATH_MAX];
  return ::realpath(relative.c_str(), resolved) != nullptr ? resolved : relative;
}

std::string AbsolutePath(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) != nullptr ? resolved : path;
}

// The secret by which the program and its children are one lease; no other program may guess it. False, with errno, if
// there is no randomness or no memory.
bool SetGroup() {
  unsigned char secret[16];
  if (::getrandom(secret, sizeof(secret), 0) != static_cast<ssize_t>(sizeof(secret))) return false;
  std::string text;
  for (const unsigned char byte : secret) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return ::setenv("ACCELMESH_GROUP", text.c_str(), 1) == 0;
}

int Main(int argc, char** argv) {
  std::string server;
  bool stats = false;
  bool explain = false;
  std::string json;
  std::vector<std::string> program;
  CLI::App app{
      "mesh-run: runs an unmodified CUDA program on a gpu-server\n\n"
      "  mesh-run --server URL [--stats] [--explain [--json FILE]] -- program [arguments...]\n"};
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("mesh-run ") + ACCELMESH_VERSION);
  app.add_option("--server", server, "the gpu-server: tcp://HOST:PORT, ipc:///PATH or shm://NAME")->required();
  app.add_flag("--stats", stats,
               "when the program ends, print a table of its CUDA calls by mode, with times and bytes");
  CLI::Option* const explains = app.add_flag(
      "--explain", explain,
      "when the program ends, print per library and function what was answered locally, posted, waited for and called, "
      "the dearest first: calls, commands, bytes, time");
  app.add_option("--json", json, "append what --explain says to this file as a line of JSON, instead of printing it")
      ->needs(explains);
  // What follows -- is the program's own: CLI11 would take arguments like [a,b] apart.
  int own = 1;
  while (own < argc && std::strcmp(argv[own], "--") != 0) ++own;
  app.add_option("program", program, "the program and its arguments, after --");
  app.positionals_at_end();
  try {
    app.parse(own, argv);
    // Without a program before it, the first -- is ours.
    if (own < argc) program.insert(program.end(), argv + own + (program.empty() ? 1 : 0), argv + argc);
    if (program.empty()) throw CLI::RequiredError("program");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  const Result<Endpoint> endpoint = ParseEndpoint(server);
  if (!endpoint.ok()) {
    Say("--server %s", endpoint.status().text().c_str());
    return kUsage;
  }
  const std::string libraries = FindLibraries();
  const std::string shim = libraries + "/libaccelmesh.so";
  if (::access(shim.c_str(), R_OK) != 0)
    return Say("%s is missing; build the target accelmesh or reinstall", shim.c_str());
  if (libraries.find_first_of(":;$") != std::string::npos)
    return Say("the loader cannot take libraries from a path with ':', ';' or '$': %s; move AccelMesh elsewhere",
               libraries.c_str());
  const std::string path = FindProgram(program.front());
  if (path.empty()) return Say("cannot run %s: it is in no folder of PATH", program.front().c_str());
  // What is no ELF file (a script) is not judged here; the shim looks again at every program that is started.
  if (const Result<ProgramFacts> facts = ReadProgramFile(path); facts.ok()) {
    if (const RuntimeFault fault = FindStartFault(*facts, path); !fault.text.empty())
      return Say("%s", fault.text.c_str());
  }
  std::string json_path;
  if (!json.empty()) {
    // The program may go to another folder. Whether the file can be written is told now, while somebody listens.
    const int file = ::open(json.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return Say("cannot write --json %s: %s", json.c_str(), std::strerror(errno));
    ::close(file);
    json_path = AbsolutePath(json);
  }
  ::setenv("ACCELMESH_SERVER", server.c_str(), 1);
  if (!SetGroup()) return Say("cannot make the secret of ACCELMESH_GROUP: %s", std::strerror(errno));
  SetOrUnset("ACCELMESH_STATS", stats ? "1" : "");
  SetOrUnset("ACCELMESH_EXPLAIN", explain ? "1" : "");
  SetOrUnset("ACCELMESH_EXPLAIN_JSON", json_path);
  // A space separates in LD_PRELOAD, so a path that has one is found through LD_LIBRARY_PATH, where it does not.
  const bool has_space = libraries.find(' ') != std::string::npos;
  Prepend("LD_LIBRARY_PATH", has_space ? libraries + "/soname:" + libraries : libraries + "/soname");
  Prepend("LD_PRELOAD", has_space ? "libaccelmesh.so" : shim);
#ifdef ACCELMESH_SANITIZER_RUNTIME
  // A sanitized shim: the sanitizer's runtime must come before everything it watches.
  Prepend("LD_PRELOAD", ACCELMESH_SANITIZER_RUNTIME);
#endif
  std::vector<char*> words;
  for (std::string& word : program) words.push_back(word.data());
  words.push_back(nullptr);
  ::execvp(path.c_str(), words.data());
  return Say("cannot run %s: %s", path.c_str(), std::strerror(errno));
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) { return accelmesh::Main(argc, argv); }
