// What tenants of one software GPU get of it, and of its memory: sessions of a real gpu-server, each a process there.
//
//     shares_bench --gpu-server PATH [--seconds 60] [--check]     a line of JSON for each scenario
//
// equal: eight tenants that compute the same, as fast as they are let. quarter: one of 250 thousandths next to 400 and
// 350, the same with library calls next to kernels, and with one that has four sessions. memory: two sessions of a
// lease take all that they get. faults: of three equals one's worker is stopped, then killed. --check: exit 1 if a
// number is far from what it should be in three runs (for a test; the targets are what docs/results has).
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "protocol/base/command.h"
#include "protocol/base/host.h"
#include "protocol/library/blas_settings.h"
#include "protocol/library/library.h"
#include "protocol/schema/session_generated.h"
#include "server/measure/kernels.h"
#include "server/measure/tenant.h"

extern char** environ;

namespace accelmesh {
namespace {

using measure::Tenant;

constexpr std::uint32_t kKernelSize = 192;   // some milliseconds
constexpr std::uint32_t kLibrarySize = 384;  // likewise
constexpr std::chrono::seconds kWarmUp{3};
constexpr std::uint64_t kInFlight = 4;

[[noreturn]] void Die(const std::string& text) {
  std::fprintf(stderr, "shares_bench: %s\n", text.c_str());
  std::exit(2);
}
template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) Die(result.status().ToString());
  return *std::move(result);
}
void Must(const Status& status) {
  if (!status.ok()) Die(status.ToString());
}

class Server {
 public:
  Server(const std::string& path, const std::vector<std::string>& shares) {
    url_ = "shm://accelmesh-shares-bench-" + std::to_string(::getpid());
    std::vector<std::string> words{path, "--listen", url_, "--cpu-threads", "2", "--warm-workers", "1"};
    for (const std::string& share : shares) words.insert(words.end(), {"--test-share", share});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    int output[2];
    if (::pipe(output) != 0) Die("pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    if (::posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), environ) != 0) Die("cannot start " + path);
    posix_spawn_file_actions_destroy(&actions);
    ::close(output[1]);
    char byte = 0;
    if (::read(output[0], &byte, 1) != 1) Die("the gpu-server did not start");
    output_ = output[0];
  }
  ~Server() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
    ::close(output_);
  }
  std::unique_ptr<Tenant> Connect(const std::string& group, std::atomic<int>* worker = nullptr) const {
    flatbuffers::FlatBufferBuilder builder;
    const auto program = builder.CreateString("shares_bench");
    const auto boot = builder.CreateString(BootId());
    const auto secret = builder.CreateString(group);
    builder.Finish(wire::CreateHello(builder, kProtocolVersion, kProtocolVersion, program,
                                     static_cast<std::uint32_t>(::getpid()), boot, 0, PidNamespace(), secret));
    Connected connected = Must(ConnectShm(Must(ParseEndpoint(url_)), {builder.GetBufferPointer(), builder.GetSize()},
                                          Deadline::After(std::chrono::seconds(20))));
    if (worker != nullptr)
      worker->store(static_cast<int>(flatbuffers::GetRoot<wire::Welcome>(connected.welcome.data())->worker_pid()));
    return Must(Tenant::Attach(std::move(connected.channel)));
  }

 private:
  std::string url_;
  pid_t pid_ = -1;
  int output_ = -1;
};

struct Load {
  std::string group;
  bool uses_library = false;
  std::atomic<int> worker{0};  // its pid
  std::atomic<bool> is_killed{false};
  std::atomic<std::uint64_t> done{0};
};

void PrepareLibrary(Tenant& tenant) {
  if (Must(tenant.Call(wire::LibraryOpen(kLibraryBlas, 0))).device_status != 0) Die("no cuBLAS on the server");
  const BlasSettings settings;
  Must(tenant.Post(wire::LibrarySettings(kLibraryBlas, 0), AsBytes(settings)));
}

// Computes without end, with a few calls in flight.
void Compute(const Server& server, Load& load, const std::atomic<bool>& stop) {
  const std::unique_ptr<Tenant> tenant = server.Connect(load.group, &load.worker);
  const std::uint64_t n = load.uses_library ? kLibrarySize : kKernelSize;
  std::array<std::uint64_t, 3> memory{};
  for (std::uint64_t& address : memory) {
    address = Must(tenant->Allocate(n * n * 4));
    Must(tenant->Post(wire::Fill(address, n * n * 4, n * n * 4, n * n, 1, 1, 0x3f800000, 4, 0, 0)));
  }
  std::uint32_t function = 0;
  if (load.uses_library) {
    PrepareLibrary(*tenant);
    while (std::strcmp(LibraryFunctionName(kLibraryBlas, function), "cublasGemmEx") != 0) ++function;
  } else {
    Must(tenant->LoadModule(0, measure::MatmulKernel("fp32")));
  }
  const float one = 1;
  std::array<std::int64_t, 21> words{};
  words[3] = words[4] = words[5] = words[10] = words[13] = words[18] = static_cast<std::int64_t>(n);
  std::memcpy(&words[6], &one, sizeof(one));
  words[8] = static_cast<std::int64_t>(memory[0]);
  words[11] = static_cast<std::int64_t>(memory[1]);
  words[16] = static_cast<std::int64_t>(memory[2]);
  words[19] = 68;
  words[20] = -1;
  struct {
    std::uint64_t a, b, c;
    std::uint32_t n, reserved;
  } const arguments{memory[0], memory[1], memory[2], kKernelSize, 0};
  const std::uint32_t blocks = (kKernelSize + measure::kKernelBlock - 1) / measure::kKernelBlock;
  std::vector<std::uint64_t> posted;
  while (!stop.load()) {
    const Result<std::uint64_t> sequence =
        load.uses_library
            ? tenant->Post(wire::LibraryCall(kLibraryBlas, function, 0, 0), AsBytes(words))
            : tenant->Post(wire::Launch(0, 0, 0, 0, blocks, blocks, 1, measure::kKernelBlock, measure::kKernelBlock, 1,
                                        0, 0, wire::ClusterSize(), wire::ClusterSize()),
                           AsBytes(arguments).first(28));
    if (sequence.ok()) posted.push_back(*sequence);
    if (sequence.ok() && posted.size() < kInFlight) continue;
    const Status done = sequence.ok() ? tenant->Wait(0, posted.front()) : sequence.status();
    // A worker that was killed has closed its connection.
    if (load.is_killed.load() && !done.ok()) return;
    Must(done);
    posted.erase(posted.begin());
    load.done.fetch_add(1);
  }
}

// What each load got done in the time.
std::vector<double> Run(const Server& server, std::vector<std::unique_ptr<Load>>& loads, std::chrono::seconds time) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (auto& load : loads) threads.emplace_back([&server, &load = *load, &stop] { Compute(server, load, stop); });
  std::this_thread::sleep_for(kWarmUp);
  std::vector<double> begin;
  for (auto& load : loads) begin.push_back(static_cast<double>(load->done.load()));
  std::this_thread::sleep_for(time);
  std::vector<double> done;
  for (std::size_t i = 0; i < loads.size(); ++i) done.push_back(static_cast<double>(loads[i]->done.load()) - begin[i]);
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  return done;
}

std::vector<std::unique_ptr<Load>> LoadsOf(const std::vector<std::pair<std::string, bool>>& what) {
  std::vector<std::unique_ptr<Load>> loads;
  for (const auto& [group, uses_library] : what) {
    loads.push_back(std::make_unique<Load>());
    loads.back()->group = group;
    loads.back()->uses_library = uses_library;
  }
  return loads;
}

// Slowest to fastest of eight equals.
double Equal(const std::string& path, std::chrono::seconds time, bool uses_library) {
  const Server server(path, {});
  std::vector<std::pair<std::string, bool>> what;
  for (int i = 0; i < 8; ++i) what.emplace_back("equal-" + std::to_string(i), uses_library);
  auto loads = LoadsOf(what);
  const std::vector<double> done = Run(server, loads, time);
  const auto [slowest, fastest] = std::minmax_element(done.begin(), done.end());
  std::printf(
      "{\"scenario\": \"equal\", \"by\": \"%s\", \"tenants\": 8, \"seconds\": %ld, \"fastest_to_slowest\": %.4f, "
      "\"calls_per_s\": %.1f}\n",
      uses_library ? "library" : "kernel", static_cast<long>(time.count()), *fastest / *slowest, [&done] {
        double sum = 0;
        for (const double d : done) sum += d;
        return sum;
      }() / static_cast<double>(time.count()));
  std::fflush(stdout);
  return *fastest / *slowest;
}

// How far the quarter is from a quarter, in points: of the same work, so that work tells time.
double Quarter(const std::string& path, std::chrono::seconds time, bool uses_library, int sessions_of_largest) {
  const Server server(path, {"quarter=250:0", "large=400:0", "middle=350:0"});
  std::vector<std::pair<std::string, bool>> what{{"quarter", uses_library}, {"middle", uses_library}};
  for (int i = 0; i < sessions_of_largest; ++i) what.emplace_back("large", uses_library);
  auto loads = LoadsOf(what);
  const std::vector<double> done = Run(server, loads, time);
  double sum = 0;
  for (const double d : done) sum += d;
  const double part = 100 * done[0] / sum;
  std::printf(
      "{\"scenario\": \"quarter\", \"by\": \"%s\", \"sessions_of_largest\": %d, \"seconds\": %ld, \"percent\": %.2f, "
      "\"middle_percent\": %.2f}\n",
      uses_library ? "library" : "kernel", sessions_of_largest, static_cast<long>(time.count()), part,
      100 * done[1] / sum);
  std::fflush(stdout);
  return std::abs(part - 25);
}

// What two get done, of three equals, while the third one's worker is stopped, and after it was killed: the less of
// both, as a part of what they got done before.
double Faults(const std::string& path, std::chrono::seconds time) {
  const Server server(path, {});
  auto loads = LoadsOf({{"victim", false}, {"first", false}, {"second", false}});
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (auto& load : loads) threads.emplace_back([&server, &load = *load, &stop] { Compute(server, load, stop); });
  std::this_thread::sleep_for(kWarmUp);
  const auto others = [&] {
    const std::uint64_t begin = loads[1]->done.load() + loads[2]->done.load();
    std::this_thread::sleep_for(time);
    return static_cast<double>(loads[1]->done.load() + loads[2]->done.load() - begin);
  };
  const double before = others();
  ::kill(loads[0]->worker.load(), SIGSTOP);
  const double stopped = others();
  ::kill(loads[0]->worker.load(), SIGCONT);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  loads[0]->is_killed.store(true);
  ::kill(loads[0]->worker.load(), SIGKILL);
  const double killed = others();
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  std::printf("{\"scenario\": \"faults\", \"seconds\": %ld, \"while_stopped\": %.2f, \"after_kill\": %.2f}\n",
              static_cast<long>(time.count()), stopped / before, killed / before);
  std::fflush(stdout);
  return std::min(stopped, killed) / before;
}

// How much of the lease's memory two sessions together do not get, or get too much, in percent.
double Memory(const std::string& path) {
  constexpr std::uint64_t kLimit = 300 * limits::kMiB;
  const Server server(path, {"memory=500:" + std::to_string(kLimit)});
  std::array<std::unique_ptr<Tenant>, 2> tenants{server.Connect("memory"), server.Connect("memory")};
  std::uint64_t taken = 0;
  std::array<bool, 2> is_full{};
  for (int i = 0; !is_full[0] || !is_full[1]; i = 1 - i) {
    if (is_full[static_cast<std::size_t>(i)]) continue;
    Tenant& tenant = *tenants[static_cast<std::size_t>(i)];
    if (tenant.Allocate(2 * limits::kMiB).ok() && tenant.Call(wire::Ping(0)).ok() && tenant.Check().ok()) {
      taken += 2 * limits::kMiB;
    } else {
      is_full[static_cast<std::size_t>(i)] = true;
    }
  }
  const double error = 100 * std::abs(static_cast<double>(taken) / static_cast<double>(kLimit) - 1);
  std::printf(
      "{\"scenario\": \"memory\", \"sessions\": 2, \"limit_bytes\": %lu, \"taken_bytes\": %lu, \"error_percent\": "
      "%.2f}\n",
      static_cast<unsigned long>(kLimit), static_cast<unsigned long>(taken), error);
  std::fflush(stdout);
  return error;
}

int Main(int argc, char** argv) {
  std::string path;
  std::chrono::seconds time{60};
  bool checks = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--gpu-server" && i + 1 < argc) path = argv[++i];
    if (word == "--seconds" && i + 1 < argc) time = std::chrono::seconds(std::atoi(argv[++i]));
    if (word == "--check") checks = true;
  }
  if (path.empty()) Die("--gpu-server PATH is missing");
  // What a scheduler that knows of no shares does: 33 points for the quarter, 17 next to four sessions of another.
  // Whoever is gone leaves 1.5 times as much to two others. Work of others on the machine can spoil a run, so that a
  // check takes the best of three; a scheduler that is wrong fails them all.
  const auto measure = [checks](const char* what, const auto& run, const auto& holds) {
    for (int tries = checks ? 3 : 1; tries > 0; --tries)
      if (holds(run())) return true;
    if (checks) std::fprintf(stderr, "shares_bench: %s is not what it should be, three times\n", what);
    return !checks;
  };
  const auto at_most = [](double most) { return [most](double value) { return value <= most; }; };
  bool all = measure("memory", [&] { return Memory(path); }, at_most(2));
  const auto faults = [&] { return Faults(path, std::min(time, std::chrono::seconds(10))); };
  all = measure("what others get of one that is gone", faults, [](double part) { return part >= 1.15; }) && all;
  all = measure("equal", [&] { return Equal(path, time, false); }, at_most(1.35)) && all;
  for (const int sessions : {1, 4})
    all = measure("a quarter", [&] { return Quarter(path, time, false, sessions); }, at_most(4)) && all;
  if (ACCELMESH_HAS_BLAS != 0) {
    all = measure("a quarter by library", [&] { return Quarter(path, time, true, 1); }, at_most(4)) && all;
    if (!checks) (void)Equal(path, time, true);
  }
  return all ? 0 : 1;
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) { return accelmesh::Main(argc, argv); }
