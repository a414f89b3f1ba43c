// Measuring AccelMesh itself: a gpu-server of its own and the unmodified program bench_client under mesh-run.
//
// Threads: one. Units: as bench_client prints them (nanoseconds a round).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/mesh_bench/floors.h"
#include "tools/mesh_bench/process.h"

namespace accelmesh::bench {

struct Programs {
  std::string gpu_server;
  std::string mesh_run;
  std::string client;
  // Of the rows on cuBLAS, which are left out where one of them was not built.
  std::string blas_client;
  std::string transformer;
};

// How the shim answered an operation's calls, by mode, and what it sent for them: means an operation.
struct Messages {
  double local = 0;
  double posted = 0;
  double waited = 0;
  double called = 0;
  double frames = 0;
};

struct Measured {
  std::map<std::string, std::vector<double>> arrays;
  Messages messages;  // without those of the set-up
  // The median of an array.
  double Median(const std::string& name) const;
};

// A running gpu-server, ended when the object goes.
class Server {
 public:
  // `transport` is shm, tcp, ipc, or an endpoint to listen on.
  static Result<Server> Start(const Programs& programs, const Placement& placement, const std::string& transport,
                              const std::string& backend);
  const std::string& url() const { return url_; }

 private:
  Server(Process process, std::string url) : process_(std::move(process)), url_(std::move(url)) {}
  Process process_;
  std::string url_;
};

// One mode of bench_client or of another program. `hold`: a launch on the legacy stream stays incomplete (null
// backend).
struct Mode {
  std::string name;
  long count = 0;
  int rounds = 0;
  bool hold = false;
  // The run whose messages are counted: a shorter one, because counting costs time, of so many operations.
  long counted_count = 2000;
  double counted_operations = 2000;
  std::string program = {};  // empty: bench_client
  std::string emulate = {};  // the network, as ACCELMESH_EMULATE says it; empty: as it is
};
Result<Measured> RunClient(const Programs& programs, const Placement& placement, const Server& server,
                           const Mode& mode);
// Without counting messages, which takes two more runs.
Result<Measured> RunUncounted(const Programs& programs, const Placement& placement, const Server& server,
                              const Mode& mode);

// Precondition: not empty.
double MedianOf(std::vector<double> values);

// From start to end of a process: one that allocates, launches an empty kernel and waits for it, once, under mesh-run;
// and an empty one (true) started directly. Medians of so many, with pauses for the server to have a warm worker again.
struct StartTimes {
  double whole_ms = 0;
  double empty_ms = 0;
};
Result<StartTimes> MeasureStarts(const Programs& programs, const Placement& placement, const Server& server,
                                 int rounds);

}  // namespace accelmesh::bench
