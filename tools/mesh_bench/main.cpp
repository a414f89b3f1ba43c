// mesh-bench: what AccelMesh costs, against floors that are measured in the same run, in the same places.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <climits>
#include <cstdio>

#include "tools/mesh_bench/blas.h"
#include "tools/mesh_bench/floors.h"
#include "tools/mesh_bench/measure.h"
#include "tools/mesh_bench/rdma.h"
#include "tools/mesh_bench/report.h"

namespace accelmesh::bench {
namespace {

constexpr const char* kOneCoreEach = "one core each";
constexpr const char* kOneCore = "one core";
constexpr double kStartMsMax = 60;

struct Options {
  Programs programs;
  std::vector<std::string> transports{"shm", "tcp"};
  std::vector<std::string> placements{kOneCoreEach, kOneCore};
  std::string only;
  std::string json;
  std::string address;  // of the RDMA device
  bool quick = false;
};

struct Floors {
  double round_trip_ns = 0;
  double messages_per_second = 0;
  double bytes_per_second = 0;
  std::string round_trip_name;
  std::string messages_name;
  std::string bytes_name;
};

// The numbers of issue 2, "Speed", for one transport in one place.
struct Targets {
  double launches = 0;
  double cpu_launches = 300e3;
  double post_ns = 1000;
  double call_ratio = 0;
  double mallocs = 500e3;
  double mallocs_held = 200e3;
  double pinned_ratio = 0;
  double pageable_ratio = 0;
};

Targets TargetsOf(bool is_shm, bool is_one_core) {
  Targets targets;
  targets.launches = (is_shm ? 2e6 : 500e3) / (is_one_core ? 2 : 1);
  targets.call_ratio = is_shm ? 1.5 : 1.3;
  targets.pinned_ratio = is_shm ? 0.6 : 0.7;
  targets.pageable_ratio = !is_shm ? 0.7 : is_one_core ? 0.4 : 0.6;
  return targets;
}

// Measures one transport in one place: floors, everything, floors again. The better of the two floors counts.
class Group {
 public:
  Group(const Options& options, Placement placement, std::string transport, std::vector<Row>& rows)
      : options_(options),
        placement_(std::move(placement)),
        transport_(std::move(transport)),
        targets_(TargetsOf(transport_ == "shm", placement_.name == kOneCore)),
        rows_(rows) {
    floor_options_.rounds = Rounds();
    if (options_.quick) {
      floor_options_.exchanges = 2000;
      floor_options_.messages = 50000;
    }
  }

  Status Run() {
    ACCELMESH_ASSIGN_OR_RETURN(const Floors before, MeasureFloors());
    const std::size_t first = rows_.size();
    RunBackend("null");
    RunBackend("cpu");
    ACCELMESH_ASSIGN_OR_RETURN(Floors floors, MeasureFloors());
    floors.round_trip_ns = std::min(floors.round_trip_ns, before.round_trip_ns);
    floors.messages_per_second = std::max(floors.messages_per_second, before.messages_per_second);
    floors.bytes_per_second = std::max(floors.bytes_per_second, before.bytes_per_second);
    for (std::size_t i = first; i < rows_.size(); ++i) SetFloor(floors, rows_[i]);
    return Status::Ok();
  }

 private:
  int Rounds() const { return options_.quick ? 3 : 7; }
  long Scaled(long count) const { return options_.quick ? count / 5 : count; }
  bool IsWanted(const std::string& what) const { return what.find(options_.only) != std::string::npos; }

  Result<Floors> MeasureFloors() const {
    Floors floors;
    if (transport_ == "shm") {
      floors.round_trip_name = "ring ping-pong";
      floors.messages_name = "ring, one way";
      floors.bytes_name = "memcpy";
      ACCELMESH_ASSIGN_OR_RETURN(floors.round_trip_ns, RingRoundTripNs(placement_, floor_options_));
      ACCELMESH_ASSIGN_OR_RETURN(floors.messages_per_second, RingMessagesPerSecond(placement_, floor_options_));
      ACCELMESH_ASSIGN_OR_RETURN(floors.bytes_per_second, MemcpyBytesPerSecond(placement_, floor_options_));
    } else {
      floors.round_trip_name = "DEALER/ROUTER ping-pong";
      floors.messages_name = "ZeroMQ 64 B, one way";
      floors.bytes_name = "ZeroMQ 1 MiB, one way";
      ACCELMESH_ASSIGN_OR_RETURN(floors.round_trip_ns, ZmqRoundTripNs(placement_, floor_options_));
      ACCELMESH_ASSIGN_OR_RETURN(floors.messages_per_second, ZmqMessagesPerSecond(placement_, floor_options_));
      ACCELMESH_ASSIGN_OR_RETURN(floors.bytes_per_second, ZmqStreamBytesPerSecond(placement_, floor_options_));
    }
    return floors;
  }

  static void SetFloor(const Floors& floors, Row& row) {
    if (row.unit == "us") {
      row.floor = floors.round_trip_ns / 1e3;
      row.floor_name = floors.round_trip_name;
    } else if (row.unit == "GB/s") {
      row.floor = floors.bytes_per_second / 1e9;
      row.floor_name = floors.bytes_name;
    } else if (row.unit == "1/s") {
      row.floor = floors.messages_per_second;
      row.floor_name = floors.messages_name;
    }
  }

  Row NewRow(const std::string& what, const std::string& backend) const {
    Row row;
    row.what = what;
    row.backend = backend;
    row.transport = transport_;
    row.placement = placement_.name;
    return row;
  }

  // Runs a mode and lets `fill` make its rows of what came; a failure becomes the row's error.
  template <typename Fill>
  void Measure(const Server& server, const std::string& what, const std::string& backend, const Mode& mode, Fill fill) {
    if (!IsWanted(what)) return;
    std::fprintf(stderr, "mesh-bench: %s, %s, %s, %s\n", what.c_str(), backend.c_str(), transport_.c_str(),
                 placement_.name.c_str());
    const Result<Measured> measured = RunClient(options_.programs, placement_, server, mode);
    Row row = NewRow(what, backend);
    if (measured.ok()) {
      row.messages = measured->messages;
      fill(*measured, row);
    } else {
      row.error = measured.status().ToString();
      rows_.push_back(std::move(row));
    }
  }

  void MeasureRate(const Server& server, const std::string& what, const std::string& backend, const Mode& mode,
                   double target) {
    Measure(server, what, backend, mode, [&](const Measured& measured, Row row) {
      row.unit = "1/s";
      row.measured = static_cast<double>(mode.count) * 1e9 / measured.Median("ns");
      if (target > 0) row.target = {Target::Of::kMeasured, false, target};
      rows_.push_back(std::move(row));
    });
  }

  // `is_target`: the target is for this one.
  void MeasureLatency(const Server& server, const std::string& what, const std::string& mode, bool is_target,
                      const std::string& note) {
    Measure(server, what, "null", {mode, Scaled(10000), Rounds()}, [&](const Measured& measured, Row row) {
      row.unit = "us";
      row.measured = measured.Median("ns") / 1e3;
      if (is_target) row.target = {Target::Of::kRatio, true, targets_.call_ratio};
      row.note = note;
      rows_.push_back(std::move(row));
    });
  }

  void RunBackend(const std::string& backend) {
    const Result<Server> server = Server::Start(options_.programs, placement_, transport_, backend);
    if (!server.ok()) {
      Row row = NewRow("gpu-server", backend);
      row.error = server.status().ToString();
      rows_.push_back(std::move(row));
    } else if (backend == "null") {
      RunNull(*server);
    } else {
      RunCpu(*server);
    }
  }

  void RunNull(const Server& server) {
    MeasureRate(server, "launches", "null", {"launches", Scaled(200000), Rounds()}, targets_.launches);
    const Mode posts{"posts", Scaled(100000), Rounds()};
    Measure(server, "client CPU a post", "null", posts, [&](const Measured& measured, Row row) {
      row.unit = "ns";
      row.measured = measured.Median("ns") / static_cast<double>(posts.count);
      row.target = {Target::Of::kMeasured, true, targets_.post_ns};
      row.note = "all threads of the process, in bursts of 2,000 launches, without the waits between them";
      rows_.push_back(std::move(row));
    });
    MeasureLatency(server, "synchronous call", "call", true,
                   "cudaEventElapsedTime: exactly one message there and one reply back");
    MeasureLatency(server, "launch and wait", "launch_wait", false,
                   "a posted launch there, the stream's progress back; cudaStreamSynchronize");
    MeasureLatency(server, "4 bytes to the host", "copy_wait", false,
                   "a posted copy there, the bytes and the stream's progress back; the device's thread sends them");
    MeasureRate(server, "malloc+free, idle", "null", {"mallocs", Scaled(100000), Rounds()}, targets_.mallocs);
    MeasureRate(server, "malloc+free, launch held", "null", {"mallocs_held", Scaled(100000), Rounds(), true},
                targets_.mallocs_held);
    MeasureRate(server, "event records", "null", {"events", Scaled(100000), Rounds()}, 0);
  }

  // Issue 3's target is for a warm worker over shm.
  void MeasureStart(const Server& server) {
    const std::string what = "malloc, launch, wait, from start to end";
    if (!IsWanted(what)) return;
    Row row = NewRow(what, "cpu");
    row.unit = "ms";
    if (transport_ == "shm") row.target = {Target::Of::kMeasured, true, kStartMsMax};
    row.note = "a process under mesh-run, beyond an empty one that is started directly";
    const Result<StartTimes> times = MeasureStarts(options_.programs, placement_, server, Rounds());
    if (times.ok()) {
      row.measured = times->whole_ms - times->empty_ms;
      row.floor = times->empty_ms;
      row.floor_name = "an empty program";
    } else {
      row.error = times.status().ToString();
    }
    rows_.push_back(std::move(row));
  }

  void RunCpu(const Server& server) {
    MeasureStart(server);
    MeasureRate(server, "launches", "cpu", {"launches", Scaled(50000), Rounds()},
                placement_.name == kOneCoreEach ? targets_.cpu_launches : 0);
    // A round is four copies.
    const Mode copies{"copies", 64L << 20, Rounds(), false, 64L << 20, 4};
    Measure(server, "64 MiB", "cpu", copies, [&](const Measured& measured, const Row& from) {
      for (const char* direction : {"to_device", "to_host"}) {
        for (const char* kind : {"pinned", "pageable"}) {
          Row row = from;
          row.what += std::string(" ") + (direction[3] == 'd' ? "to device" : "to host") + ", " + kind;
          row.unit = "GB/s";
          const double ns = measured.Median(std::string(direction) + "_" + kind + "_ns");
          row.measured = static_cast<double>(copies.count) / ns;
          row.target = {Target::Of::kRatio, false, kind[1] == 'i' ? targets_.pinned_ratio : targets_.pageable_ratio};
          row.note = "calls and messages are the mean of the four copies and a wait";
          rows_.push_back(std::move(row));
        }
      }
    });
  }

  const Options& options_;
  Placement placement_;
  std::string transport_;
  Targets targets_;
  FloorOptions floor_options_;
  std::vector<Row>& rows_;
};

Result<std::vector<Placement>> FindPlacements(const std::vector<std::string>& wanted) {
  const std::vector<int> cpus = AllowedCpus();
  std::vector<Placement> placements;
  for (const std::string& name : wanted) {
    if (name == kOneCore) {
      placements.push_back({name, cpus.front(), cpus.front()});
    } else if (cpus.size() >= 2) {
      placements.push_back({name, cpus[0], cpus[1]});
    } else {
      std::fprintf(stderr, "mesh-bench: skipped '%s': this process may run on one CPU only\n", name.c_str());
    }
  }
  if (placements.empty()) return Status(Code::kUnsupported, "mesh-bench --placement", "nothing is left to measure");
  return placements;
}

int Main(int argc, char** argv) {
  Options options;
  char self[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof(self));
  const std::string path(self, length > 0 ? static_cast<std::size_t>(length) : 0);
  const std::string folder = path.substr(0, path.rfind('/'));
  const std::string apps = folder + "/../apps";
  options.programs = {folder + "/gpu-server", folder + "/mesh-run", apps + "/bench_client", apps + "/bench_blas",
                      apps + "/transformer"};
  CLI::App app{"mesh-bench: measures AccelMesh against floors of the same run"};
  app.set_version_flag("--version", std::string("mesh-bench ") + ACCELMESH_VERSION);
  app.add_option("--gpu-server", options.programs.gpu_server, "the server to start (default: beside this program)");
  app.add_option("--mesh-run", options.programs.mesh_run, "the launcher (default: beside this program)");
  app.add_option("--client", options.programs.client, "the measured program (default: ../apps/bench_client)");
  app.add_option("--transport", options.transports, "shm, tcp, ipc or rdma; repeatable (default shm and tcp)")
      ->check(CLI::IsMember({"shm", "tcp", "ipc", "rdma"}));
  app.add_option("--address", options.address, "rdma: the address of this host's RDMA device");
  app.add_option("--placement", options.placements, "'one core each' or 'one core'; repeatable (default both)")
      ->check(CLI::IsMember({kOneCoreEach, kOneCore}));
  app.add_option("--only", options.only, "measure only rows whose name holds this text");
  app.add_option("--json", options.json, "write the results to this file, too");
  app.add_flag("--quick", options.quick, "fewer operations and rounds");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  for (const std::string& program : {options.programs.gpu_server, options.programs.mesh_run, options.programs.client}) {
    if (::access(program.c_str(), X_OK) == 0) continue;
    std::fprintf(stderr, "mesh-bench: %s is missing; build it, or name another\n", program.c_str());
    return 1;
  }
  const Result<std::vector<Placement>> placements = FindPlacements(options.placements);
  if (!placements.ok()) {
    std::fprintf(stderr, "%s\n", placements.status().ToString().c_str());
    return 1;
  }
  const bool has_rdma = std::count(options.transports.begin(), options.transports.end(), "rdma") != 0;
  if (has_rdma && options.address.empty()) {
    std::fprintf(stderr, "mesh-bench: rdma is measured on a device: name its address by --address\n");
    return 2;
  }
  const Machine machine = DescribeMachine();
  std::vector<Row> rows;
  for (const std::string& transport : options.transports) {
    for (const Placement& placement : *placements) {
      if (transport == "rdma") {
        MeasureRdma({options.programs, placement, options.address, options.only, options.quick}, rows);
        continue;
      }
      const Status ran = Group(options, placement, transport, rows).Run();
      if (!ran.ok()) {
        std::fprintf(stderr, "mesh-bench: %s\n", ran.ToString().c_str());
        return 1;
      }
      MeasureBlas({options.programs, placement, transport, options.only, options.quick}, rows);
    }
  }
  std::fputs(FormatTable(machine, rows).c_str(), stdout);
  if (!options.json.empty()) {
    if (const Status written = WriteJson(options.json, machine, rows); !written.ok()) {
      std::fprintf(stderr, "%s\n", written.ToString().c_str());
      return 1;
    }
  }
  // A number that is not met is a result; one that could not be taken is a failure.
  return std::any_of(rows.begin(), rows.end(), [](const Row& row) { return !row.error.empty(); }) ? 1 : 0;
}

}  // namespace
}  // namespace accelmesh::bench

int main(int argc, char** argv) { return accelmesh::bench::Main(argc, argv); }
