#include "tools/mesh_bench/rdma.h"

#include <cstdio>
#include <filesystem>
#include <map>
#include <thread>

#include "tools/mesh_bench/perftest.h"

namespace accelmesh::bench {
namespace {

constexpr int kRuns = 5;
constexpr double kCallRatioMax = 4;
constexpr double kCopyRatioMin = 0.6;
// As large as the pieces that a copy is sent in.
constexpr const char* kPieceBytes = "524288";
// A frame of a small call.
constexpr const char* kFrameBytes = "64";
constexpr const char* kLatencyRuns = "1000";
constexpr int kTries = 3;
constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kStartPause{200};
constexpr int kStartTries = 10;
// Its columns: bytes, iterations, then for latencies the least, the greatest and the typical us, for bandwidths the
// peak and the average MiB/s.
constexpr std::size_t kTypicalColumn = 4;
constexpr std::size_t kAverageColumn = 3;
constexpr double kMiB = 1 << 20;

// What stands beside a call: perftest's latencies, which are one way, and what a call costs without a network.
struct Floor {
  const char* name;
  const char* program;  // null: the same call over shm
  bool sleeps = false;  // for events, instead of polling
};
constexpr Floor kFloors[] = {{"ib_send_lat, one way", "ib_send_lat"},
                             {"ib_write_lat, one way", "ib_write_lat"},
                             {"ib_send_lat -e, one way", "ib_send_lat", true},
                             {"the same over shm", nullptr}};

// A device whose parent is another network device is made of software.
std::string WireName() {
  std::error_code error;
  for (const auto& device : std::filesystem::directory_iterator("/sys/class/infiniband", error)) {
    if (std::filesystem::exists(device.path() / "parent", error)) return "rdma, soft-RoCE";
  }
  return "rdma";
}

class RdmaGroup {
 public:
  RdmaGroup(const RdmaOptions& options, std::vector<Row>& rows)
      : options_(options), rows_(rows), wire_(WireName()), url_("rdma://" + options.address + ":0") {}

  void Run() {
    MeasureCalls();
    MeasureCopies();
  }

 private:
  bool IsWanted(const std::string& what) const { return what.find(options_.only) != std::string::npos; }
  int Runs() const { return options_.quick ? 3 : kRuns; }

  Row NewRow(const std::string& what, const std::string& backend, const std::string& unit) const {
    Row row;
    row.what = what;
    row.backend = backend;
    row.transport = wire_;
    row.placement = options_.placement.name;
    row.unit = unit;
    row.note = "median of " + std::to_string(Runs()) + " runs, alternated with perftest";
    if (wire_ != "rdma") row.note += "; a device of software: says nothing of RDMA";
    return row;
  }
  void Fail(Row row, const Status& why) {
    row.error = why.ToString();
    rows_.push_back(std::move(row));
  }

  // Both ends of a program of perftest on this device, connected as ours are; the number it prints. It waits for ever
  // for a completion that a device under load has lost, so it is given up and tried again.
  Result<double> Perftest(const std::string& program, const std::string& bytes, const std::string& iterations,
                          std::size_t column, bool sleeps = false) const {
    Result<double> number = Status(Code::kUnavailable, program, "it was not tried");
    std::vector<std::string> argv{program, "-R", "-F", "-s", bytes, "-n", iterations};
    if (sleeps) argv.emplace_back("-e");
    for (int attempt = 0; attempt < kTries && !number.ok(); ++attempt) number = PerftestOnce(argv, column);
    return number;
  }

  Result<double> PerftestOnce(const std::vector<std::string>& argv, std::size_t column) const {
    ProcessSpec spec;
    spec.argv = argv;
    spec.cpu = options_.placement.server_cpu;
    ACCELMESH_ASSIGN_OR_RETURN(Process server, Process::Start(spec));
    spec.argv.push_back(options_.address);
    spec.cpu = options_.placement.client_cpu;
    Status failed;
    for (int attempt = 0; attempt < kStartTries; ++attempt) {
      // It does not say when it listens.
      std::this_thread::sleep_for(kStartPause);
      ACCELMESH_ASSIGN_OR_RETURN(Process client, Process::Start(spec));
      ACCELMESH_ASSIGN_OR_RETURN(const int status, client.Finish(Deadline::After(kPatience)));
      if (status == 0) return ReadPerftest(client.output(), column);
      failed = Status(Code::kUnavailable, argv.front(),
                      "it ended with status " + std::to_string(status) + " (package perftest): " + client.errors());
    }
    return failed;
  }

  // Calls and small messages, on the backend that does nothing.
  void MeasureCalls() {
    const std::pair<const char*, const char*> modes[] = {{"synchronous call", "call"},
                                                         {"launch and wait", "launch_wait"}};
    const long count = options_.quick ? 300 : 1000;
    for (const auto& [what, mode_name] : modes) {
      if (!IsWanted(what)) continue;
      std::fprintf(stderr, "mesh-bench: %s, %s, %s\n", what, wire_.c_str(), options_.placement.name.c_str());
      Row row = NewRow(what, "null", "us");
      const Result<Server> server = Server::Start(options_.programs, options_.placement, url_, "null");
      if (!server.ok()) return Fail(row, server.status());
      const Result<Server> nearby = Server::Start(options_.programs, options_.placement, "shm", "null");
      if (!nearby.ok()) return Fail(row, nearby.status());
      Mode mode{mode_name, count, 1};
      mode.counted_count = 200;
      mode.counted_operations = 200;
      std::vector<double> floors[std::size(kFloors)];
      std::vector<double> ours;
      for (int run = 0; run < Runs(); ++run) {
        for (std::size_t i = 0; i < std::size(kFloors); ++i) {
          const Result<double> us = MeasureFloor(kFloors[i], *nearby, mode);
          if (!us.ok()) return Fail(row, us.status());
          floors[i].push_back(*us);
        }
        const Result<Measured> measured = run == 0 ? RunClient(options_.programs, options_.placement, *server, mode)
                                                   : RunUncounted(options_.programs, options_.placement, *server, mode);
        if (!measured.ok()) return Fail(row, measured.status());
        if (run == 0) row.messages = measured->messages;
        ours.push_back(measured->Median("ns") / 1e3);
      }
      row.measured = MedianOf(ours);
      for (std::size_t i = 0; i < std::size(kFloors); ++i) {
        row.floor = MedianOf(floors[i]);
        row.floor_name = kFloors[i].name;
        row.target = {};
        // Both ways of a call beside one of perftest's.
        if (i == 0 && mode.name == "call") row.target = {Target::Of::kRatio, true, kCallRatioMax};
        rows_.push_back(row);
      }
    }
  }
  // us
  Result<double> MeasureFloor(const Floor& floor, const Server& nearby, const Mode& mode) const {
    if (floor.program != nullptr)
      return Perftest(floor.program, kFrameBytes, kLatencyRuns, kTypicalColumn, floor.sleeps);
    ACCELMESH_ASSIGN_OR_RETURN(const Measured measured,
                               RunUncounted(options_.programs, options_.placement, nearby, mode));
    return measured.Median("ns") / 1e3;
  }

  void MeasureCopies() {
    if (!IsWanted("64 MiB") && !IsWanted("copies")) return;
    std::fprintf(stderr, "mesh-bench: copies, %s, %s\n", wire_.c_str(), options_.placement.name.c_str());
    Row row = NewRow(options_.quick ? "8 MiB" : "64 MiB", "cpu", "MB/s");
    const Result<Server> server = Server::Start(options_.programs, options_.placement, url_, "cpu");
    if (!server.ok()) return Fail(row, server.status());
    const long bytes = options_.quick ? 8L << 20 : 64L << 20;
    const Mode mode{"copies", bytes, 1, false, bytes, 4};
    std::vector<double> floors;
    std::map<std::string, std::vector<double>> ours;
    for (int run = 0; run < Runs(); ++run) {
      const Result<double> mib = Perftest("ib_write_bw", kPieceBytes, "128", kAverageColumn);
      if (!mib.ok()) return Fail(row, mib.status());
      floors.push_back(*mib * kMiB / 1e6);
      const Result<Measured> measured = run == 0 ? RunClient(options_.programs, options_.placement, *server, mode)
                                                 : RunUncounted(options_.programs, options_.placement, *server, mode);
      if (!measured.ok()) return Fail(row, measured.status());
      if (run == 0) row.messages = measured->messages;
      for (const auto& [name, values] : measured->arrays) {
        if (name.ends_with("_ns")) ours[name].push_back(static_cast<double>(bytes) * 1e3 / MedianOf(values));
      }
    }
    const std::string size = row.what;
    row.note += "; calls and messages are the mean of the four copies and a wait";
    row.floor = MedianOf(floors);
    row.floor_name = "ib_write_bw";
    row.target = {Target::Of::kRatio, false, kCopyRatioMin};
    for (const auto& [name, values] : ours) {
      row.what = size + (name.starts_with("to_device") ? " to device" : " to host") +
                 (name.find("pinned") != std::string::npos ? ", pinned" : ", pageable");
      row.measured = MedianOf(values);
      rows_.push_back(row);
    }
  }

  const RdmaOptions& options_;
  std::vector<Row>& rows_;
  const std::string wire_;
  const std::string url_;
};

}  // namespace

void MeasureRdma(const RdmaOptions& options, std::vector<Row>& rows) { RdmaGroup(options, rows).Run(); }

}  // namespace accelmesh::bench
