#include "tests/conformance/session/world.h"

#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "server/session/plan_memory.h"
#include "server/session/session.h"
#include "tests/contract/control.h"

namespace accelmesh::conformance {
namespace {

constexpr int kStartMs = 20000;
constexpr int kStopMs = 20000;
constexpr unsigned kTestSeconds = 60;
// Of a server whose session was in order, and whose backend broke the contract.
constexpr int kContractBroken = 110;

// A control function of the contract libcuda (tests/contract/control.h); null while that is not loaded.
template <typename Function>
Function* ContractControl(const char* name) {
  void* library = dlopen(ACCELMESH_CONTRACT_LIBCUDA, RTLD_NOW | RTLD_NOLOAD);
  return library == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(library, name));
}
// Rules broken since this was asked for the last time.
unsigned TakeContractViolations() {
  const auto count = ContractControl<decltype(contract_violations)>("contract_violations");
  if (count == nullptr) return 0;
  const unsigned broken = count();
  ContractControl<decltype(contract_reset)>("contract_reset")();
  return broken;
}
// While it lives, this thread is the executor: the contract libcuda refuses it whatever may wait.
class ExecutorMark {
 public:
  ExecutorMark() { Set(1); }
  ~ExecutorMark() { Set(0); }

 private:
  static void Set(int on) {
    if (const auto set = ContractControl<decltype(contract_set_executor)>("contract_set_executor")) set(on);
  }
};

// As the worker opens it.
std::unique_ptr<Backend> OpenBackend(const std::string& name, const BackendOptions& options) {
  const std::string path = ACCELMESH_BACKENDS "/libaccelmesh_backend_" + name + ".so";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return nullptr;
  }
  const auto create = reinterpret_cast<CreateBackendFunction>(dlsym(library, kCreateBackendSymbol));
  return std::unique_ptr<Backend>(create(kBackendAbi, options));
}

Status Serve(ServerChannel& channel, const std::string& name, const BackendOptions& options,
             const std::string& answers) {
  const std::unique_ptr<Backend> backend = OpenBackend(name, options);
  if (backend == nullptr) return {Code::kVersionMismatch, "Serve", "no backend " + name};
  // As a warm worker does. What it cannot do, Open() says.
  (void)backend->Prepare();
  LibraryMemory memory(answers);
  backend->UsePlans(std::make_shared<PlanMemory>(answers.empty() ? "" : answers + ".plans"));
  Session session(channel, *backend, options.window_is_reserved, nullptr, &memory);
  const ExecutorMark mark;
  return session.Run();
}

// The forked server: its exit status is the code of Run().
[[noreturn]] void ServeInChild(const Setting& setting, const BackendOptions& options, const std::string& answers,
                               int url_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Code code = Code::kInternal;
  {
    auto rendezvous = setting.listen(Folder());
    if (!rendezvous.ok()) _exit(100);
    const std::string url = (*rendezvous)->url() + "\n";
    if (write(url_fd, url.data(), url.size()) != static_cast<ssize_t>(url.size())) _exit(101);
    close(url_fd);
    auto channel = (*rendezvous)->Serve(In(kStartMs));
    if (!channel.ok()) _exit(102);
    code = Serve(**channel, setting.backend, options, answers).code();
  }
  const bool broken = TakeContractViolations() != 0;
  _exit(broken && code == Code::kOk ? kContractBroken : static_cast<int>(code));
}

std::string ReadLine(int fd) {
  std::string line;
  for (char c = 0; read(fd, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

}  // namespace

World::~World() {
  if (!stopped_) Stop();
  if (child_ > 0) {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
}

void World::Open(std::unique_ptr<ClientChannel> channel) {
  stopped_ = false;
  auto opened = ClientSession::Open(std::move(channel), [this](std::string_view text) {
    const std::lock_guard lock(output_mu_);
    output_ += text;
  });
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  session = *std::move(opened);
}

void World::StartLoopback(const Setting& setting, BackendOptions options, const std::string& answers) {
  options.window_is_reserved = true;  // by the client, in this very process
  Pair pair = conformance::Open(setting);
  server_channel_ = std::move(pair.server);
  server_ = std::thread([this, backend = setting.backend, options, answers] {
    server_code_ = Serve(*server_channel_, backend, options, answers).code();
    broke_contract_ = TakeContractViolations() != 0;
  });
  Open(std::move(pair.client));
}

void World::StartForked(const Setting& setting, const BackendOptions& options, const std::string& answers) {
  Folder();  // made here, so that parent and child share it
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  child_ = fork();
  ASSERT_GE(child_, 0);
  if (child_ == 0) {
    close(fds[0]);
    ServeInChild(setting, options, answers, fds[1]);
  }
  close(fds[1]);
  const std::string url = ReadLine(fds[0]);
  close(fds[0]);
  ASSERT_FALSE(url.empty()) << "the server did not start";
  auto connected = setting.connect(url, In(kStartMs));
  ASSERT_TRUE(connected.ok()) << connected.status().ToString();
  Open(std::move(connected->channel));
}

void World::Start(const Setting& setting, const BackendOptions& options, const std::string& answers) {
  if (setting.backend == "cuda") {
    setenv("ACCELMESH_LIBCUDA", ACCELMESH_CONTRACT_LIBCUDA, 1);
#ifdef ACCELMESH_CONTRACT_LIBCUBLAS
    setenv("ACCELMESH_LIBCUBLAS", ACCELMESH_CONTRACT_LIBCUBLAS, 1);
    setenv("ACCELMESH_LIBCUBLASLT", ACCELMESH_CONTRACT_LIBCUBLASLT, 1);
#endif
#ifdef ACCELMESH_CONTRACT_LIBCUDNN
    setenv("ACCELMESH_LIBCUDNN", ACCELMESH_CONTRACT_LIBCUDNN, 1);
#endif
    setenv("ACCELMESH_CONTRACT", setting.contract.c_str(), 1);
  }
  if (setting.listen) {
    StartForked(setting, options, answers);
  } else {
    StartLoopback(setting, options, answers);
  }
}

void World::Stop() {
  stopped_ = true;
  if (session != nullptr) session->commands().Close();
  // On loopback the backend works in the window that `session` unmaps, so the server ends first.
  if (server_.joinable()) server_.join();
  session.reset();
  server_channel_.reset();
  if (child_ <= 0) return;
  const Deadline deadline = In(kStopMs);
  int status = 0;
  while (waitpid(child_, &status, WNOHANG) == 0) {
    if (deadline.passed()) {
      ADD_FAILURE() << "the server did not end with its session";
      return;
    }
    poll(nullptr, 0, 2);
  }
  child_ = -1;
  EXPECT_TRUE(WIFEXITED(status)) << "the server died of signal " << WTERMSIG(status);
  if (!WIFEXITED(status)) return;
  broke_contract_ = WEXITSTATUS(status) == kContractBroken;
  if (!broke_contract_) server_code_ = static_cast<Code>(WEXITSTATUS(status));
}

void SessionTest::SetUp() {
  alarm(kTestSeconds);
  BackendOptions options;
  options.cpu_threads = 4;  // gates occupy one each
  options.memory_bytes = 256 * limits::kMiB;
  world_.Start(GetParam(), options);
  ASSERT_NE(world_.session, nullptr);
}

void SessionTest::TearDown() {
  if (world_.session != nullptr && !expect_errors_) {
    EXPECT_EQ(session().SynchronizeDevice(0), 0u);
    EXPECT_EQ(session().TakeAsyncError(), 0u);
    // A server that is far behind might find the connection gone before it comes to the goodbye.
    if (!world_.stopped()) {
      EXPECT_TRUE(session().commands().Call(wire::Ping(0), In(kStopMs)).ok());
    }
  }
  if (!world_.stopped()) world_.Stop();
  EXPECT_FALSE(world_.broke_contract());
  if (!expect_errors_) {
    EXPECT_EQ(world_.server_code(), Code::kOk) << CodeName(world_.server_code());
  }
  alarm(0);
}

Stream* SessionTest::NewStream(wire::StreamKind kind) {
  Stream* stream = nullptr;
  EXPECT_EQ(session().CreateStream(0, kind, 0, 0, &stream), 0u);
  return stream;
}

Event* SessionTest::NewEvent(bool timing) {
  Event* event = nullptr;
  EXPECT_EQ(session().CreateEvent(0, timing, &event), 0u);
  return event;
}

std::uint64_t SessionTest::Malloc(std::uint64_t bytes) {
  std::uint64_t address = 0;
  EXPECT_EQ(session().Malloc(0, bytes, &address), 0u);
  return address;
}

std::uint64_t SessionTest::Zeros(std::uint64_t bytes) {
  const std::uint64_t address = Malloc(bytes);
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  EXPECT_EQ(session().Fill(stream, wire::Fill(address, bytes, bytes, bytes, 1, 1, 0, 1, stream->slot, 0)), 0u);
  EXPECT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(session().DestroyStream(stream), 0u);
  return address;
}

void SessionTest::Write32(Stream* stream, std::uint64_t address, std::uint32_t value) {
  EXPECT_EQ(session().CopyToDevice(stream, address, &value, sizeof(value), true), 0u);
}

std::uint32_t SessionTest::Read32(std::uint64_t address) {
  EXPECT_EQ(session().SynchronizeDevice(0), 0u);
  std::uint32_t value = 0;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  EXPECT_EQ(session().CopyToHost(stream, &value, address, sizeof(value), true), 0u);
  EXPECT_EQ(session().DestroyStream(stream), 0u);
  return value;
}

const LoadedModule& SessionTest::module() {
  if (module_ == nullptr) module_ = session().LoadModule(0, TestKernels());
  EXPECT_EQ(module_->error, 0u);
  return *module_;
}

void SessionTest::Launch(Stream* stream, const char* kernel, std::vector<std::uint64_t> arguments,
                         std::uint32_t threads, std::uint32_t blocks) {
  const auto found = module().kernels.find(kernel);
  ASSERT_NE(found, module().kernels.end()) << kernel;
  ASSERT_EQ(found->second.parameters.size(), arguments.size());
  std::vector<void*> pointers;
  for (std::uint64_t& argument : arguments) pointers.push_back(&argument);  // little-endian: a prefix is the u32
  const LaunchGeometry geometry{{blocks, 1, 1}, {threads, 1, 1}};
  EXPECT_EQ(session().Launch(stream, found->second, geometry, pointers.data()), 0u);
}

bool SessionTest::IdleWithin(const Stream& stream, int ms) {
  const Deadline deadline = In(ms);
  EXPECT_TRUE(session().commands().Flush().ok());
  while (!session().Idle(stream)) {
    if (deadline.passed()) return false;
    session().commands().Poll();
    poll(nullptr, 0, 1);
  }
  return true;
}

std::vector<Setting> SettingsWith(const std::string& backend) {
  std::vector<Setting> settings;
  // The transport's own suite says aloud what is absent here; sessions would only say it a thousand times.
  for (Transport& transport : AllTransports())
    if (transport.absent.empty()) settings.emplace_back(std::move(transport), backend);
  return settings;
}

std::vector<Setting> AllSettings() {
  std::vector<Setting> settings = SettingsWith("cpu");
  if constexpr (ACCELMESH_HAS_CUDA != 0) {
    for (Setting& setting : SettingsWith("cuda")) settings.push_back(std::move(setting));
  }
  return settings;
}

void PrintTo(const Setting& setting, std::ostream* out) {
  *out << setting.name << (setting.backend == "cuda" ? "_cuda" : "");
}

std::string NameOfSetting(const ::testing::TestParamInfo<Setting>& info) {
  return ::testing::PrintToString(info.param);
}

}  // namespace accelmesh::conformance
