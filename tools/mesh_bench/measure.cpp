#include "tools/mesh_bench/measure.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace accelmesh::bench {
namespace {

constexpr std::chrono::seconds kReadyPatience{20};
constexpr std::chrono::seconds kRunPatience{120};
constexpr std::chrono::milliseconds kWarmAgain{300};

// The arrays of numbers of a flat JSON object.
std::map<std::string, std::vector<double>> ReadArrays(const std::string& line) {
  std::map<std::string, std::vector<double>> arrays;
  for (std::size_t open = line.find(": ["); open != std::string::npos; open = line.find(": [", open + 1)) {
    const std::size_t name_end = line.rfind('"', open);
    const std::size_t name_begin = name_end == 0 ? std::string::npos : line.rfind('"', name_end - 1);
    if (name_end == std::string::npos || name_begin == std::string::npos) continue;
    std::vector<double>& values = arrays[line.substr(name_begin + 1, name_end - name_begin - 1)];
    const char* at = line.c_str() + open + 3;
    while (*at != ']' && *at != '\0') {
      char* end = nullptr;
      const double value = std::strtod(at, &end);
      if (end == at) break;
      values.push_back(value);
      at = end;
      while (*at == ',' || *at == ' ') ++at;
    }
  }
  return arrays;
}

// Out of the table that `mesh-run --stats` prints: the row "total" (calls, local, posted, waited, called), and the line
// "sent: N commands in M messages".
Result<Messages> ReadMessages(const std::string& text) {
  const std::size_t total = text.find("\n  total ");
  const std::size_t sent = text.find("  sent: ");
  double calls = 0;
  double commands = 0;
  Messages messages;
  if (total == std::string::npos || sent == std::string::npos ||
      std::sscanf(text.c_str() + total, " total %lf %lf %lf %lf %lf", &calls, &messages.local, &messages.posted,
                  &messages.waited, &messages.called) != 5 ||
      std::sscanf(text.c_str() + sent, " sent: %lf commands in %lf messages", &commands, &messages.frames) != 2) {
    return Status(Code::kInternal, "mesh-run --stats", "its table is not the one that is known here: " + text);
  }
  return messages;
}

struct Output {
  std::string result;
  std::string statistics;
};

Result<Output> RunOnce(const Programs& programs, const Placement& placement, const Server& server, const Mode& mode,
                       long count, int rounds, bool with_statistics) {
  ProcessSpec spec;
  spec.argv = {programs.mesh_run, "--server", server.url()};
  if (with_statistics) spec.argv.emplace_back("--stats");
  const std::string& program = mode.program.empty() ? programs.client : mode.program;
  for (const std::string& word : {std::string("--"), program, mode.name, std::to_string(count), std::to_string(rounds)})
    spec.argv.push_back(word);
  spec.cpu = placement.client_cpu;
  if (mode.hold) spec.environment.emplace_back("ACCELMESH_TEST_HOLD", "0");
  if (!mode.emulate.empty()) spec.environment.emplace_back("ACCELMESH_EMULATE", mode.emulate);
  ACCELMESH_ASSIGN_OR_RETURN(Process client, Process::Start(spec));
  ACCELMESH_ASSIGN_OR_RETURN(const int status, client.Finish(Deadline::After(kRunPatience)));
  if (status != 0) {
    std::string said = client.output() + client.errors();
    std::replace(said.begin(), said.end(), '\n', ' ');
    return Status(Code::kInternal, program + " " + mode.name,
                  "it ended with status " + std::to_string(status) + ": " + said);
  }
  return Output{client.output(), client.errors()};
}

// One round is not counted in any run, so a run of no further rounds does `counted_count` once.
Result<Messages> CountMessages(const Programs& programs, const Placement& placement, const Server& server,
                               const Mode& mode) {
  ACCELMESH_ASSIGN_OR_RETURN(const Output set_up, RunOnce(programs, placement, server, mode, 0, 0, true));
  ACCELMESH_ASSIGN_OR_RETURN(const Output output,
                             RunOnce(programs, placement, server, mode, mode.counted_count, 0, true));
  ACCELMESH_ASSIGN_OR_RETURN(const Messages before, ReadMessages(set_up.statistics));
  ACCELMESH_ASSIGN_OR_RETURN(const Messages after, ReadMessages(output.statistics));
  const double operations = mode.counted_operations;
  return Messages{(after.local - before.local) / operations, (after.posted - before.posted) / operations,
                  (after.waited - before.waited) / operations, (after.called - before.called) / operations,
                  (after.frames - before.frames) / operations};
}

Result<double> MsOf(const ProcessSpec& spec) {
  const Instant begin = Clock::now();
  ACCELMESH_ASSIGN_OR_RETURN(Process process, Process::Start(spec));
  ACCELMESH_ASSIGN_OR_RETURN(const int status, process.Finish(Deadline::After(kRunPatience)));
  const double ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  if (status != 0) {
    return Status(Code::kInternal, spec.argv.front(),
                  "it ended with status " + std::to_string(status) + ": " + process.output() + process.errors());
  }
  return ms;
}

}  // namespace

double MedianOf(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double Measured::Median(const std::string& name) const {
  const auto found = arrays.find(name);
  return found == arrays.end() || found->second.empty() ? 0 : MedianOf(found->second);
}

Result<StartTimes> MeasureStarts(const Programs& programs, const Placement& placement, const Server& server,
                                 int rounds) {
  ProcessSpec empty;
  empty.argv = {"/bin/true"};
  empty.cpu = placement.client_cpu;
  ProcessSpec whole;
  whole.argv = {programs.mesh_run, "--server", server.url(), "--", programs.client, "start", "1", "0"};
  whole.cpu = placement.client_cpu;
  std::vector<double> empty_ms;
  std::vector<double> whole_ms;
  for (int round = 0; round < rounds; ++round) {
    std::this_thread::sleep_for(kWarmAgain);
    ACCELMESH_ASSIGN_OR_RETURN(const double one, MsOf(whole));
    ACCELMESH_ASSIGN_OR_RETURN(const double other, MsOf(empty));
    whole_ms.push_back(one);
    empty_ms.push_back(other);
  }
  return StartTimes{MedianOf(whole_ms), MedianOf(empty_ms)};
}

Result<Server> Server::Start(const Programs& programs, const Placement& placement, const std::string& transport,
                             const std::string& backend) {
  const std::string own = "mesh-bench-" + std::to_string(::getpid());
  const std::string listen = transport == "shm"   ? "shm://" + own
                             : transport == "ipc" ? "ipc:///tmp/" + own
                             : transport == "tcp" ? "tcp://127.0.0.1:0"
                                                  : transport;
  ProcessSpec spec;
  spec.argv = {programs.gpu_server, "--listen", listen, "--backend", backend, "--standalone"};
  spec.cpu = placement.server_cpu;
  ACCELMESH_ASSIGN_OR_RETURN(Process process, Process::Start(spec));
  const Result<std::string> line = process.ReadLine(Deadline::After(kReadyPatience));
  if (!line.ok()) return line.status();
  constexpr std::string_view kReady = "ready ";
  if (line->rfind(kReady, 0) != 0) return Status(Code::kInternal, "gpu-server", "it said: " + *line);
  return Server(std::move(process), line->substr(kReady.size()));
}

Result<Measured> RunUncounted(const Programs& programs, const Placement& placement, const Server& server,
                              const Mode& mode) {
  ACCELMESH_ASSIGN_OR_RETURN(const Output output,
                             RunOnce(programs, placement, server, mode, mode.count, mode.rounds, false));
  Measured measured;
  measured.arrays = ReadArrays(output.result);
  if (measured.arrays.empty()) return Status(Code::kInternal, "bench_client " + mode.name, "it printed no result");
  return measured;
}

Result<Measured> RunClient(const Programs& programs, const Placement& placement, const Server& server,
                           const Mode& mode) {
  ACCELMESH_ASSIGN_OR_RETURN(Measured measured, RunUncounted(programs, placement, server, mode));
  ACCELMESH_ASSIGN_OR_RETURN(measured.messages, CountMessages(programs, placement, server, mode));
  return measured;
}

}  // namespace accelmesh::bench
