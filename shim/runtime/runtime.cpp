#include "shim/runtime/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <unordered_set>

#include "protocol/base/log.h"
#include "shim/connect.h"
#include "shim/entry.h"
#include "shim/runtime/process.h"

namespace accelmesh {

constinit thread_local ThreadState t_thread_state;

namespace {

constinit Runtime g_runtime;

// The end of a thread that has streams of its own. Their work goes on, as it does for any destroyed stream.
struct ThreadEnd {
  ~ThreadEnd() {
    Stream** streams = t_thread_state.own_streams;
    t_thread_state.own_streams = nullptr;
    if (ClientSession* session = Runtime::Get().SessionIfOpen(); session != nullptr && streams != nullptr) {
      for (std::size_t d = 0; d < session->devices().size(); ++d) {
        // A session that has ended needs no tidying.
        if (streams[d] != nullptr && session->StickyError() == 0) session->DestroyStream(streams[d]);
      }
    }
    delete[] streams;
  }
};

DeviceFacts ReadFacts(ClientSession& session, std::uint32_t index) {
  DeviceFacts facts;
  facts.lease = &session.devices()[index];
  facts.legacy = session.Legacy(index);
  const auto at = [&facts](cudaDeviceAttr attribute) {
    return static_cast<std::uint32_t>(facts.lease->Attribute(static_cast<std::uint32_t>(attribute)));
  };
  facts.limits.block[0] = at(cudaDevAttrMaxBlockDimX);
  facts.limits.block[1] = at(cudaDevAttrMaxBlockDimY);
  facts.limits.block[2] = at(cudaDevAttrMaxBlockDimZ);
  facts.limits.threads = at(cudaDevAttrMaxThreadsPerBlock);
  facts.limits.grid[0] = at(cudaDevAttrMaxGridDimX);
  facts.limits.grid[1] = at(cudaDevAttrMaxGridDimY);
  facts.limits.grid[2] = at(cudaDevAttrMaxGridDimZ);
  facts.limits.shared_bytes = at(cudaDevAttrMaxSharedMemoryPerBlock);
  facts.limits.shared_bytes_optin = at(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  facts.limits.has_clusters = at(cudaDevAttrClusterLaunch) != 0;
  return facts;
}

}  // namespace

Runtime& Runtime::Get() { return g_runtime; }

void SayRefused(const char* name, const char* why) {
  static Mutex* mu = new Mutex;
  static auto* said = new std::unordered_set<std::string>;
  {
    const MutexLock lock(*mu);
    if (said->insert(name).second) {
      log::Warning("accelmesh", std::string(name) + " is not supported: " + why + "; it returns cudaErrorNotSupported");
    }
  }
  Fail(cudaErrorNotSupported);
}
cudaError_t OutOfHostMemory() { return Fail(cudaErrorMemoryAllocation); }

cudaError_t Runtime::Connect() {
  Result<std::unique_ptr<ClientChannel>> channel = ConnectToServer();
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
  ClientSession& opened = **session;
  const std::size_t count = opened.devices().size();
  devices_ = new DeviceFacts[count];
  for (std::uint32_t d = 0; d < count; ++d) devices_[d] = ReadFacts(opened, d);
  BeginProcessSession(opened);
  session_.store(session->release(), std::memory_order_release);
  return cudaSuccess;
}

ClientSession* Runtime::OpenSession(cudaError_t* error) {
  // Outside of the lock: opening a library takes the loader's, which a thread may hold that comes here from a
  // constructor of a library it opens.
  PrepareToConnect();
  const MutexLock lock(connect_mu_);
  if (!settled_) {
    settled_ = true;
    error_ = cudaErrorInitializationError;  // should it throw
    error_ = Connect();
  }
  *error = error_;
  return session_.load(std::memory_order_acquire);
}

void Runtime::Refuse(cudaError_t error) {
  const MutexLock lock(connect_mu_);
  settled_ = true;
  error_ = error;
  if (ClientSession* session = session_.exchange(nullptr, std::memory_order_acq_rel)) ended_ = session;
}

void Runtime::BecomeForkedChild() {
  devices_of_parent_.store(static_cast<int>(SessionIfOpen()->devices().size()), std::memory_order_relaxed);
  Refuse(cudaErrorInitializationError);
}

Stream* OwnStream(ClientSession& session) {
  ThreadState& thread = CurrentThread();
  if (thread.own_streams == nullptr) {
    thread_local ThreadEnd end;
    thread.own_streams = new Stream* [session.devices().size()] {};
    // Named, so that the thread's end is registered here and now.
    static_cast<void>(&end);
  }
  Stream*& own = thread.own_streams[thread.device];
  if (own == nullptr) {
    Stream* made = nullptr;
    if (session.CreateStream(CurrentDevice(), wire::StreamKind::Blocking, 0, 0, &made, true) == 0) own = made;
  }
  return own;
}

}  // namespace accelmesh
