// gpu-server: parses the command line and wires the parts.
#include <spawn.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>

#include "protocol/base/log.h"
#include "server/main/measure_main.h"
#include "server/main/provide.h"
#include "server/main/security.h"
#include "server/main/supervisor.h"
#include "server/main/worker.h"

extern char** environ;

namespace {

void LogLine(accelmesh::log::Level level, std::string_view line) {
  static constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                          spdlog::level::warn, spdlog::level::err};
  spdlog::log(kLevels[static_cast<int>(level)], "{}", line);
}

// Runs this program with --check-backend, which says itself what it misses.
bool SelfCheckPasses(const accelmesh::ServerOptions& options) {
  std::string self = options.self;
  std::string backend = options.backend;
  std::string flag = "--check-backend";
  std::string name = "--backend";
  std::array<char*, 5> argv{self.data(), flag.data(), name.data(), backend.data(), nullptr};
  pid_t pid = 0;
  int status = 0;
  if (::posix_spawn(&pid, self.c_str(), nullptr, nullptr, argv.data(), environ) != 0) return false;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string SelfPath() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : std::string();
}

}  // namespace

namespace accelmesh {
namespace {

int Main(int argc, char** argv) {
  ServerOptions options;
  int control = -1;
  std::string ports;
  std::string capability = "8.0";
  bool standalone = false;
  bool verbose = false;
  CLI::App app{"gpu-server: owns devices and runs the CUDA programs of its clients on them"};
  app.set_version_flag("--version", std::string("gpu-server ") + ACCELMESH_VERSION);
  app.add_option("--listen", options.listen,
                 "tcp://127.0.0.1:PORT, ipc:///PATH, shm://NAME or rdma://ADDRESS:PORT; repeatable (default "
                 "tcp://127.0.0.1:7700)");
  app.add_option("--backend", options.backend,
                 "the device: cpu (software GPU), cuda (NVIDIA GPUs; CUDA_VISIBLE_DEVICES chooses), or null (accepts "
                 "everything, "
                 "runs nothing)")
      ->check(CLI::IsMember({"cpu", "cuda", "null"}));
  app.add_option("--cpu-threads", options.device.cpu_threads, "threads of the cpu backend's pool; 0 = one per core");
  app.add_option(
         "--jit", options.jit,
         "when the cpu backend compiles kernels: auto (hot ones, in the background; the default), off, or always (each "
         "before its first launch, for tests)")
      ->check(CLI::IsMember({"auto", "off", "always"}));
  app.add_option("--jit-cache", options.device.cpu_jit_cache,
                 "the folder of compiled kernels; off: none is kept (default: the user's cache)");
  app.add_option("--devices", options.device.cpu_devices,
                 "software GPUs of the cpu backend; they share its threads and its memory")
      ->check(CLI::Range(1, 16));
  app.add_option("--warm-workers", options.warm_workers, "workers kept ready for the next session")
      ->check(CLI::Range(0, 64));
  app.add_option("--memory", options.device.memory_bytes, "device memory a session may use, such as 8GiB")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--compute-capability", capability, "what the cpu backend claims, such as 8.0");
  app.add_flag("--trusted-fabric", options.trusts_fabric,
               "serve leases over rdma:// too: nobody else reaches the fabric, on which nothing is sealed");
  app.add_option("--worker-ports", ports, "A-B: the ports that workers listen on (default: any free one)");
  ProvideOptions provide;
  AddProvideOptions(app, provide);
  SecurityOptions security;
  app.add_option("--market-key", security.market_key,
                 "serve leases only, of the market with this public key: 64 hexadecimal digits, or a file with them");
  app.add_option("--keys", security.keys, "the folder of this server's identity (default: the user's, accelmesh/keys)");
  app.add_option("--state", security.state, "the folder where the newest leases of each slot are remembered");
  app.add_flag("--standalone", standalone,
               "serve without a market: this user over shm and ipc, any local process over loopback tcp (the default)")
      ->excludes("--market-key")
      ->excludes(app.get_option("--market"));
  app.add_flag("--verbose", verbose, "log every session");
  std::uint32_t worker_capability = 0;
  app.add_option("--worker-control-fd", control)->group("");
  int notice = -1;
  app.add_option("--worker-notice-fd", notice)->group("");
  app.add_option("--worker-shares-fd", options.shares_fd)->group("");
  std::vector<std::string> test_shares;  // GROUP=MILLI:BYTES
  app.add_option("--test-share", test_shares)->group("");
  bool check_backend = false;
  app.add_flag("--check-backend", check_backend, "say whether the backend can serve on this machine, and end");
  app.add_option("--worker-capability", worker_capability)->group("");
  bool measures = false;
  MeasureOptions measure;
  app.add_flag("--measure", measures, "measure the device as tenants would find it, keep the result, and end");
  app.add_flag("--json", measure.json, "print what was measured as JSON")->needs("--measure");
  app.add_option("--measure-only", measure.only)->group("");
  app.add_flag("--measure-cached", measure.from_cache)->group("");
  app.add_flag("--measure-by-kernels", measure.without_libraries)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  spdlog::set_default_logger(spdlog::stderr_color_mt("gpu-server"));
  log::SetSink(&LogLine);
  log::SetLevel(verbose ? log::Level::kInfo : log::Level::kWarning);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write
  options.self = SelfPath();
  options.libraries = options.self.substr(0, options.self.rfind('/')) + "/../lib/accelmesh";
  unsigned major = 0;
  unsigned minor = 0;
  if (std::sscanf(capability.c_str(), "%u.%u", &major, &minor) != 2 || major < 5 || major > 12 || minor > 9) {
    std::fprintf(stderr, "gpu-server: --compute-capability %s is not of the form 8.0\n", capability.c_str());
    return 2;
  }
  options.device.cpu_jit = options.jit == "off"      ? JitMode::kOff
                           : options.jit == "always" ? JitMode::kAlways
                                                     : JitMode::kAuto;
  options.device.compute_capability = worker_capability != 0 ? worker_capability : major * 10 + minor;
  if (control >= 0) return WorkerMain(options, control, notice);
  if (check_backend) return CheckBackend(options);
  if (measures) return MeasureMain(options, measure);
  if (const Status offered = CheckProvide(provide, options.backend, security); !offered.ok()) {
    std::fprintf(stderr, "gpu-server: %s\n", offered.text().c_str());
    return 2;
  }
  // In a process of its own: this one never touches a device.
  if (options.backend == "cuda" && !SelfCheckPasses(options)) return 1;
  if (!ports.empty()) {
    unsigned first = 0;
    unsigned last = 0;
    if (std::sscanf(ports.c_str(), "%u-%u", &first, &last) != 2 || first == 0 || last < first || last > 65535) {
      std::fprintf(stderr, "gpu-server: --worker-ports %s is not of the form 40000-40100\n", ports.c_str());
      return 2;
    }
    options.port_first = static_cast<std::uint16_t>(first);
    options.port_last = static_cast<std::uint16_t>(last);
  }
  for (const std::string& test : test_shares) {
    const std::size_t at = test.find('=');
    TestShare share;
    if (at == std::string::npos ||
        std::sscanf(test.c_str() + at + 1, "%u:%lu", &share.milli, &share.memory_bytes) < 1) {
      std::fprintf(stderr, "gpu-server: --test-share %s is not of the form GROUP=MILLI:BYTES\n", test.c_str());
      return 2;
    }
    options.test_shares[test.substr(0, at)] = share;
  }
  if (options.listen.empty()) options.listen.push_back("tcp://127.0.0.1:7700");
  if (!security.market_key.empty()) {
    Result<std::shared_ptr<ServerSecurity>> opened = OpenSecurity(security);
    if (!opened.ok()) {
      std::fprintf(stderr, "gpu-server: %s\n", opened.status().text().c_str());
      return 1;
    }
    options.security = *std::move(opened);
  }
  Supervisor supervisor(options);
  Status status = supervisor.Listen();
  if (status.ok()) {
    const Result<std::unique_ptr<Provision>> provision = Provision::Start(supervisor, options, provide, security);
    status = provision.ok() ? supervisor.Run() : provision.status();
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "gpu-server: %s\n", status.text().c_str());
  return 1;
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) { return accelmesh::Main(argc, argv); }
