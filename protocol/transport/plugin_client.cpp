// The shim's side of the border: a ClientChannel that calls a plugin's table.
#include <dlfcn.h>
#include <unistd.h>

#include "protocol/base/log.h"
#include "protocol/transport/plugin.h"

namespace accelmesh {
namespace {

std::int64_t Ns(Deadline deadline) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.at().time_since_epoch()).count();
}

Status Import(const PluginStatus& status) {
  if (status.code == 0) return {};
  const Code code =
      status.code <= static_cast<std::uint32_t>(Code::kInternal) ? static_cast<Code>(status.code) : Code::kInternal;
  return {code, status.where, status.text};
}

void LogLine(std::uint32_t level, const char* line, std::size_t bytes) {
  // The line comes with the plugin's own prefix; the level decides whether it is shown.
  log::Write(static_cast<log::Level>(level), "", {line, bytes});
}

class PluginClient final : public ClientChannel {
 public:
  explicit PluginClient(const PluginChannel& channel)
      : channel_(channel),
        traits_{channel.name, channel.flush_each_append != 0, channel.bulk_bytes_preferred,
                channel.shares_memory != 0} {}
  ~PluginClient() override { channel_.destroy(channel_.self); }

  const ChannelTraits& traits() const override { return traits_; }
  Status Send(UpLane lane, ByteView frame, Deadline deadline) override {
    PluginStatus status;
    channel_.send(channel_.self, static_cast<std::uint32_t>(lane), frame.data(), frame.size(), Ns(deadline), &status);
    return Import(status);
  }
  Status SendBulk(std::uint64_t token, ByteView body, Deadline deadline) override {
    PluginStatus status;
    channel_.send_bulk(channel_.self, token, body.data(), body.size(), Ns(deadline), &status);
    return Import(status);
  }
  Status SendBulkToDevice(std::uint64_t token, ByteView body, Deadline deadline) override {
    PluginStatus status;
    channel_.send_bulk_to_device(channel_.self, token, body.data(), body.size(), Ns(deadline), &status);
    return Import(status);
  }
  Status ExpectBulk(std::uint64_t token, MutableByteView destination) override {
    PluginStatus status;
    channel_.expect_bulk(channel_.self, token, destination.data(), destination.size(), &status);
    return Import(status);
  }
  bool BulkLanded(std::uint64_t token) override { return channel_.bulk_landed(channel_.self, token) != 0; }
  void CancelBulk(std::uint64_t token) override { channel_.cancel_bulk(channel_.self, token); }
  Status Pump(FrameSink& sink, Deadline deadline) override {
    PluginStatus status;
    channel_.pump(
        channel_.self,
        [](void* context, const std::uint8_t* frame, std::size_t bytes) {
          static_cast<FrameSink*>(context)->OnFrame({frame, bytes});
        },
        &sink, Ns(deadline), &status);
    return Import(status);
  }
  const ProgressPage& progress() const override { return *channel_.progress; }
  Status ShareMemory(std::uint32_t region, int memfd, std::size_t size) override {
    PluginStatus status;
    channel_.share_memory(channel_.self, region, memfd, size, &status);
    return Import(status);
  }
  void NotePinned(MutableByteView memory) override {
    channel_.note_pinned(channel_.self, memory.data(), memory.size());
  }
  void NoteUnpinned(const std::uint8_t* memory) override { channel_.note_unpinned(channel_.self, memory); }
  void Interrupt() override { channel_.interrupt(channel_.self); }
  void Close() override { channel_.close(channel_.self); }

 private:
  const PluginChannel channel_;
  const ChannelTraits traits_;
};

}  // namespace

Result<const PluginTable*> OpenPlugin(const std::string& path, const Endpoint& endpoint) {
  constexpr const char* kWhere = "ConnectThroughPlugin";
  // Opened for good, once: a process uses one plugin, or two, if a lease names rdma and another way.
  static std::atomic<const PluginTable*> opened_ones[2] = {};
  std::atomic<const PluginTable*>& opened = opened_ones[endpoint.scheme == Endpoint::Scheme::kRdma ? 1 : 0];
  if (const PluginTable* known = opened.load(std::memory_order_acquire); known != nullptr) return known;
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    const bool missing = ::access(path.c_str(), R_OK) != 0;
    return Status(
        Code::kUnsupported, kWhere,
        endpoint.ToString() + " needs " + path +
            (missing ? ", which is missing; reinstall AccelMesh, or use shm:// to a server on this machine"
                     : std::string(", which cannot be opened: ") + (why != nullptr ? why : "no reason given")));
  }
  const auto* table = static_cast<const PluginTable*>(::dlsym(library, kPluginSymbol));
  if (table == nullptr || table->abi != kPluginAbi) {
    return Status(Code::kVersionMismatch, kWhere,
                  path + " is of another release of AccelMesh; install both from the same one");
  }
  opened.store(table, std::memory_order_release);
  return table;
}

Result<std::unique_ptr<ClientChannel>> ConnectThroughPlugin(const std::string& path, const Endpoint& endpoint,
                                                            ByteView hello, Deadline deadline,
                                                            const security::CurveCredentials* credentials) {
  ACCELMESH_ASSIGN_OR_RETURN(const PluginTable* const table, OpenPlugin(path, endpoint));
  PluginCredentials keys;
  if (credentials != nullptr) {
    std::memcpy(keys.server_key, credentials->server_key.bytes.data(), sizeof(keys.server_key));
    std::memcpy(keys.key, credentials->own.key.bytes.data(), sizeof(keys.key));
    std::memcpy(keys.secret, credentials->own.secret.bytes.data(), sizeof(keys.secret));
  }
  PluginChannel channel;
  PluginStatus status;
  table->connect(endpoint.ToString().c_str(), hello.data(), hello.size(), credentials != nullptr ? &keys : nullptr,
                 Ns(deadline), &LogLine, &channel, &status);
  ::explicit_bzero(&keys, sizeof(keys));
  if (status.code != 0) return Import(status);
  return std::unique_ptr<ClientChannel>(new PluginClient(channel));
}

}  // namespace accelmesh
