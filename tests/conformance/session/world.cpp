#include "tests/conformance/session/world.h"

#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "server/session/session.h"

namespace accelmesh::conformance {
namespace {

constexpr int kStartMs = 20000;
constexpr int kStopMs = 20000;
constexpr unsigned kTestSeconds = 60;

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

Status Serve(ServerChannel& channel, const std::string& name, const BackendOptions& options) {
  const std::unique_ptr<Backend> backend = OpenBackend(name, options);
  if (backend == nullptr) return {Code::kVersionMismatch, "Serve", "no backend " + name};
  Session session(channel, *backend);
  return session.Run();
}

// The forked server: its exit status is the code of Run().
[[noreturn]] void ServeInChild(const Transport& transport, const std::string& backend, const BackendOptions& options,
                               int url_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Code code = Code::kInternal;
  {
    auto rendezvous = transport.listen(Folder());
    if (!rendezvous.ok()) _exit(100);
    const std::string url = (*rendezvous)->url() + "\n";
    if (write(url_fd, url.data(), url.size()) != static_cast<ssize_t>(url.size())) _exit(101);
    close(url_fd);
    auto channel = (*rendezvous)->Serve(In(kStartMs));
    if (!channel.ok()) _exit(102);
    code = Serve(**channel, backend, options).code();
  }
  _exit(static_cast<int>(code));
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

void World::StartLoopback(const Transport& transport, const std::string& backend, BackendOptions options) {
  options.window_is_reserved = true;  // by the client, in this very process
  Pair pair = conformance::Open(transport);
  server_channel_ = std::move(pair.server);
  server_ = std::thread([this, backend, options] { server_code_ = Serve(*server_channel_, backend, options).code(); });
  Open(std::move(pair.client));
}

void World::StartForked(const Transport& transport, const std::string& backend, const BackendOptions& options) {
  Folder();  // made here, so that parent and child share it
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  child_ = fork();
  ASSERT_GE(child_, 0);
  if (child_ == 0) {
    close(fds[0]);
    ServeInChild(transport, backend, options, fds[1]);
  }
  close(fds[1]);
  const std::string url = ReadLine(fds[0]);
  close(fds[0]);
  ASSERT_FALSE(url.empty()) << "the server did not start";
  auto connected = transport.connect(url, In(kStartMs));
  ASSERT_TRUE(connected.ok()) << connected.status().ToString();
  Open(std::move(connected->channel));
}

void World::Start(const Transport& transport, const std::string& backend, const BackendOptions& options) {
  if (transport.listen) {
    StartForked(transport, backend, options);
  } else {
    StartLoopback(transport, backend, options);
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
  if (WIFEXITED(status)) server_code_ = static_cast<Code>(WEXITSTATUS(status));
}

void SessionTest::SetUp() {
  alarm(kTestSeconds);
  BackendOptions options;
  options.cpu_threads = 4;  // gates occupy one each
  options.memory_bytes = 256 * limits::kMiB;
  world_.Start(GetParam(), backend_, options);
  ASSERT_NE(world_.session, nullptr);
}

void SessionTest::TearDown() {
  if (world_.session != nullptr && !expect_errors_) {
    EXPECT_EQ(session().SynchronizeDevice(0), 0u);
    EXPECT_EQ(session().TakeAsyncError(), 0u);
  }
  if (!world_.stopped()) world_.Stop();
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

std::string NameOfTransport(const ::testing::TestParamInfo<Transport>& info) { return info.param.name; }

}  // namespace accelmesh::conformance
