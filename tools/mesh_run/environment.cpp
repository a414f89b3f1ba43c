#include "tools/mesh_run/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "protocol/base/program.h"

namespace accelmesh::mesh_run {
namespace {

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

}  // namespace

int Say(const char* format, ...) {
  // One write, so that a line stays whole beside those of the program.
  char line[4096];
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  if (length >= 0) std::fprintf(stderr, "mesh-run: %s\n", line);
  return kOwnFailure;
}

void SetOrUnset(const char* variable, const std::string& value) {
  if (value.empty()) {
    ::unsetenv(variable);
  } else {
    ::setenv(variable, value.c_str(), 1);
  }
}

std::string SetGroup() {
  unsigned char secret[16];
  if (::getrandom(secret, sizeof(secret), 0) != static_cast<ssize_t>(sizeof(secret))) return {};
  std::string text;
  for (const unsigned char byte : secret) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return ::setenv("ACCELMESH_GROUP", text.c_str(), 1) == 0 ? text : std::string();
}

std::string FindChecked(const std::string& program) {
  std::string path = FindProgram(program);
  if (path.empty()) {
    Say("cannot run %s: it is in no folder of PATH", program.c_str());
    return {};
  }
  if (::access(path.c_str(), X_OK) != 0) {
    Say("cannot run %s: %s", path.c_str(), std::strerror(errno));
    return {};
  }
  // What is no ELF file (a script) is not judged here; the shim looks again at every program that is started.
  if (const Result<ProgramFacts> facts = ReadProgramFile(path); facts.ok()) {
    if (const RuntimeFault fault = FindStartFault(*facts, path); !fault.text.empty()) {
      Say("%s", fault.text.c_str());
      return {};
    }
  }
  return path;
}

bool CheckJson(std::string& json) {
  if (json.empty()) return true;
  const int file = ::open(json.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) {
    Say("cannot write --json %s: %s", json.c_str(), std::strerror(errno));
    return false;
  }
  ::close(file);
  // The program may go to another folder.
  json = AbsolutePath(json);
  return true;
}

bool SetPreload(const Reports& reports) {
  const std::string libraries = FindLibraries();
  const std::string shim = libraries + "/libaccelmesh.so";
  if (::access(shim.c_str(), R_OK) != 0) {
    Say("%s is missing; build the target accelmesh or reinstall", shim.c_str());
    return false;
  }
  if (libraries.find_first_of(":;$") != std::string::npos) {
    Say("the loader cannot take libraries from a path with ':', ';' or '$': %s; move AccelMesh elsewhere",
        libraries.c_str());
    return false;
  }
  SetOrUnset("ACCELMESH_STATS", reports.stats ? "1" : "");
  SetOrUnset("ACCELMESH_EXPLAIN", reports.explain ? "1" : "");
  SetOrUnset("ACCELMESH_EXPLAIN_JSON", reports.json);
  SetOrUnset("ACCELMESH_PROFILE", reports.profile);
  // A space separates in LD_PRELOAD, so a path that has one is found through LD_LIBRARY_PATH, where it does not.
  const bool has_space = libraries.find(' ') != std::string::npos;
  Prepend("LD_LIBRARY_PATH", has_space ? libraries + "/soname:" + libraries : libraries + "/soname");
  Prepend("LD_PRELOAD", has_space ? "libaccelmesh.so" : shim);
#ifdef ACCELMESH_SANITIZER_RUNTIME
  // A sanitized shim: the sanitizer's runtime must come before everything it watches.
  Prepend("LD_PRELOAD", ACCELMESH_SANITIZER_RUNTIME);
#endif
  return true;
}

}  // namespace accelmesh::mesh_run
