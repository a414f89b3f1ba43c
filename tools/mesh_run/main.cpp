// mesh-run: starts an unmodified program with the shim preloaded. On a server that is named it becomes the program, so
// that its status is the program's; by the market it stays beside it and keeps its lease.
#include <errno.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "tools/mesh_run/environment.h"
#include "tools/mesh_run/market_run.h"
#include "tools/mesh_run/options.h"

namespace accelmesh::mesh_run {
namespace {

int RunOnServer(Options options) {
  const std::string path = FindChecked(options.program.front());
  if (path.empty() || !CheckJson(options.json)) return kOwnFailure;
  ::setenv("ACCELMESH_SERVER", options.server.c_str(), 1);
  ::unsetenv("ACCELMESH_LEASE");
  ::unsetenv("ACCELMESH_LEASES");
  if (SetGroup().empty()) return Say("cannot make the secret of ACCELMESH_GROUP: %s", std::strerror(errno));
  if (!SetPreload({options.stats, options.explain, options.json, ""})) return kOwnFailure;
  std::vector<char*> words;
  for (std::string& word : options.program) words.push_back(word.data());
  words.push_back(nullptr);
  ::execvp(path.c_str(), words.data());
  return Say("cannot run %s: %s", path.c_str(), std::strerror(errno));
}

}  // namespace
}  // namespace accelmesh::mesh_run

int main(int argc, char** argv) {
  using namespace accelmesh::mesh_run;
  Parsed parsed = ParseCommandLine(argc, argv);
  if (!parsed.options) return parsed.status;
  return parsed.options->server.empty() ? RunByMarket(*parsed.options) : RunOnServer(*std::move(parsed.options));
}
