#include "shim/runtime/runtime.h"

#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

#include "protocol/base/command.h"
#include "protocol/base/log.h"
#include "protocol/schema/session_generated.h"
#include "shim/connect.h"
#include "shim/entry.h"

namespace accelmesh {
namespace {

// nvcc's wrapper around an image (24 bytes) and the image's own header.
struct FatbinWrapper {
  std::uint32_t magic;
  std::uint32_t version;
  const void* data;
  const void* prelinked;
};
constexpr std::uint32_t kWrapperMagic = 0x466243b1;
constexpr std::uint32_t kContainerMagic = 0xba55ed50;

void PrintStatistics(ClientSession& session) {
  const StreamStatistics& s = session.commands().statistics();
  char line[512];
  const int length =
      std::snprintf(line, sizeof(line),
                    "accelmesh: posted %llu, called %llu, waited %llu, frames %llu, command bytes %llu, bulk up %llu, "
                    "bulk down %llu\n",
                    static_cast<unsigned long long>(s.posts), static_cast<unsigned long long>(s.calls),
                    static_cast<unsigned long long>(s.waits), static_cast<unsigned long long>(s.frames),
                    static_cast<unsigned long long>(s.command_bytes), static_cast<unsigned long long>(s.bulk_up_bytes),
                    static_cast<unsigned long long>(s.bulk_down_bytes));
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line, static_cast<std::size_t>(length));
}

void AtExit() {
  // Nothing is torn down: the program's own destructors may still call us. What it printed must come out, and the
  // worker learns that this end was meant.
  ClientSession* session = Runtime::Get().SessionIfOpen();
  if (session == nullptr || session->commands().closed()) return;
  for (std::uint32_t d = 0; d < session->devices().size(); ++d) session->SynchronizeDevice(d);
  if (std::getenv("ACCELMESH_STATS") != nullptr) PrintStatistics(*session);
  const Status said = session->commands().PostSide(wire::Goodbye(0));
  if (!said.ok()) log::Debug("exit", said.ToString());
}

void InChild() {
  // A child of fork() must not touch the parent's connection; its calls fail as CUDA's do there.
  if (Runtime::Get().SessionIfOpen() != nullptr) Runtime::Get().MarkForked();
}

}  // namespace

Runtime& Runtime::Get() {
  static Runtime* runtime = new Runtime;  // never destroyed
  return *runtime;
}

ThreadState& CurrentThread() {
  thread_local ThreadState state;
  return state;
}

cudaError_t Fail(cudaError_t error) {
  if (error != cudaSuccess) CurrentThread().last_error = error;
  return error;
}

void SayRefused(const char* name) {
  static std::mutex* mu = new std::mutex;
  static auto* said = new std::unordered_set<std::string>;
  {
    const std::lock_guard lock(*mu);
    if (said->insert(name).second) {
      log::Warning(
          "accelmesh",
          std::string(name) +
              " is not supported: this release of AccelMesh does not remote it; it returns cudaErrorNotSupported");
    }
  }
  Fail(cudaErrorNotSupported);
}
cudaError_t OutOfHostMemory() { return Fail(cudaErrorMemoryAllocation); }

PerThreadDefault::PerThreadDefault() { CurrentThread().per_thread_default = true; }
PerThreadDefault::~PerThreadDefault() { CurrentThread().per_thread_default = false; }

cudaError_t Runtime::Connect() {
  const char* server = std::getenv("ACCELMESH_SERVER");
  if (server == nullptr || *server == '\0') {
    log::Error("accelmesh",
               "no gpu-server is named: run the program with `mesh-run --server tcp://HOST:PORT -- program`");
    return cudaErrorNoDevice;
  }
  Result<std::unique_ptr<ClientChannel>> channel = ConnectToServer(server);
  if (!channel.ok()) {
    log::Error("accelmesh", channel.status().text());
    return cudaErrorNoDevice;
  }
  Result<std::unique_ptr<ClientSession>> session = ClientSession::Open(*std::move(channel), [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  });
  if (!session.ok()) {
    log::Error("accelmesh", session.status().text());
    return session.code() == Code::kOutOfMemory ? cudaErrorMemoryAllocation : cudaErrorInitializationError;
  }
  session_.store(session->release(), std::memory_order_release);
  ::pthread_atfork(nullptr, nullptr, &InChild);
  std::atexit(&AtExit);
  return cudaSuccess;
}

ClientSession* Runtime::Session(cudaError_t* error) {
  if (ClientSession* session = session_.load(std::memory_order_acquire)) {
    if (!forked_.load(std::memory_order_relaxed)) return session;
    *error = cudaErrorInitializationError;
    return nullptr;
  }
  const std::lock_guard lock(connect_mu_);
  if (!tried_) {
    tried_ = true;
    connect_error_ = Connect();
  }
  *error = connect_error_;
  return session_.load(std::memory_order_acquire);
}

// Registration -------------------------------------------------------------------------------------------------------

Fatbin* Runtime::RegisterFatbin(const void* wrapper_pointer) {
  auto fatbin = std::make_unique<Fatbin>();
  FatbinWrapper wrapper;
  std::memcpy(&wrapper, wrapper_pointer, sizeof(wrapper));
  std::uint32_t magic = 0;
  if (wrapper.magic == kWrapperMagic && wrapper.data != nullptr) std::memcpy(&magic, wrapper.data, sizeof(magic));
  if (magic == kContainerMagic) {
    std::uint16_t header_bytes = 0;
    std::uint64_t bytes = 0;
    std::memcpy(&header_bytes, static_cast<const char*>(wrapper.data) + 6, sizeof(header_bytes));
    std::memcpy(&bytes, static_cast<const char*>(wrapper.data) + 8, sizeof(bytes));
    fatbin->image = wrapper.data;
    fatbin->image_bytes = header_bytes + bytes;
  } else {
    log::Error("accelmesh", "a module of this program is in a form that is not known; its kernels cannot run");
  }
  const std::lock_guard lock(registry_mu_);
  fatbins_.push_back(std::move(fatbin));
  return fatbins_.back().get();
}

void Runtime::RegisterKernel(Fatbin* fatbin, const void* host_function, const char* name) {
  const std::lock_guard lock(registry_mu_);
  auto kernel = std::make_unique<RegisteredKernel>();
  kernel->fatbin = fatbin;
  kernel->name = name;
  handles_[kernel.get()] = kernel.get();
  kernels_[host_function] = std::move(kernel);
}

void Runtime::RegisterVariable(Fatbin* fatbin, const void* host_variable, const char* name, std::size_t bytes) {
  const std::lock_guard lock(registry_mu_);
  auto variable = std::make_unique<RegisteredVariable>();
  variable->fatbin = fatbin;
  variable->name = name;
  variable->bytes = bytes;
  variables_[host_variable] = std::move(variable);
}

RegisteredKernel* Runtime::FindKernel(const void* key) {
  const std::lock_guard lock(registry_mu_);
  if (const auto found = kernels_.find(key); found != kernels_.end()) return found->second.get();
  const auto handle = handles_.find(key);
  return handle == handles_.end() ? nullptr : handle->second;
}

RegisteredVariable* Runtime::FindVariable(const void* host_variable) {
  const std::lock_guard lock(registry_mu_);
  const auto found = variables_.find(host_variable);
  return found == variables_.end() ? nullptr : found->second.get();
}

std::shared_ptr<const LoadedModule> Runtime::Load(ClientSession& session, Fatbin& fatbin) {
  const std::lock_guard lock(fatbin.mu);
  const int device = CurrentThread().device;
  std::shared_ptr<const LoadedModule>& loaded = fatbin.loaded[device];
  if (loaded == nullptr) {
    loaded = session.LoadModule(static_cast<std::uint32_t>(device),
                                {static_cast<const std::uint8_t*>(fatbin.image), fatbin.image_bytes});
  }
  return loaded;
}

// Calls --------------------------------------------------------------------------------------------------------------

CallScope BeginCall() {
  CallScope call;
  call.session = Runtime::Get().Session(&call.error);
  if (call.session == nullptr) {
    Fail(call.error);
    return call;
  }
  if (const DeviceResult pending = call.session->TakeAsyncError(); pending != 0)
    call.error = Fail(static_cast<cudaError_t>(pending));
  return call;
}

Stream* ResolveStream(ClientSession& session, cudaStream_t stream) {
  ThreadState& thread = CurrentThread();
  const bool per_thread = stream == cudaStreamPerThread || (stream == nullptr && thread.per_thread_default);
  if (per_thread) {
    if (thread.own_stream == nullptr) {
      session.CreateStream(static_cast<std::uint32_t>(thread.device), wire::StreamKind::Blocking, 0, 0,
                           &thread.own_stream);
    }
    return thread.own_stream;
  }
  if (stream == nullptr || stream == cudaStreamLegacy) return session.Legacy(static_cast<std::uint32_t>(thread.device));
  Stream* ours = reinterpret_cast<Stream*>(stream);
  return session.IsStream(ours) ? ours : nullptr;
}

}  // namespace accelmesh
