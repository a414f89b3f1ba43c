// What every plugin exports: one table, behind which ConnectInPlugin() is the plugin's own.
#include <atomic>
#include <exception>

#include "protocol/base/log.h"
#include "protocol/transport/plugin.h"

namespace accelmesh {
namespace {

std::atomic<PluginLogCallback> g_log{nullptr};

void ForwardLog(log::Level level, std::string_view line) {
  if (const PluginLogCallback log = g_log.load(std::memory_order_acquire)) {
    log(static_cast<std::uint32_t>(level), line.data(), line.size());
  }
}

void Connect(const char* url, const std::uint8_t* hello, std::size_t hello_bytes, const PluginCredentials* credentials,
             std::int64_t deadline_ns, PluginLogCallback log, PluginChannel* channel, PluginStatus* status) {
  try {
    g_log.store(log, std::memory_order_release);
    log::SetSink(&ForwardLog);
    log::SetLevel(log::Level::kDebug);  // the shim decides what is shown
    const Result<Endpoint> endpoint = ParseEndpoint(url);
    if (!endpoint.ok()) return ExportStatus(endpoint.status(), status);
    security::CurveCredentials keys;
    if (credentials != nullptr) {
      std::memcpy(keys.server_key.bytes.data(), credentials->server_key, sizeof(credentials->server_key));
      std::memcpy(keys.own.key.bytes.data(), credentials->key, sizeof(credentials->key));
      std::memcpy(keys.own.secret.bytes.data(), credentials->secret, sizeof(credentials->secret));
    }
    Result<Connected> connected =
        ConnectInPlugin(*endpoint, {hello, hello_bytes}, Deadline(Instant(std::chrono::nanoseconds(deadline_ns))),
                        credentials != nullptr ? &keys : nullptr);
    if (!connected.ok()) return ExportStatus(connected.status(), status);
    ExportChannel(std::move(connected->channel), channel);
    ExportStatus({}, status);
  } catch (const std::exception& error) {
    ExportStatus({Code::kInternal, "plugin", error.what()}, status);
  }
}

}  // namespace
}  // namespace accelmesh

extern "C" __attribute__((visibility("default"))) const accelmesh::PluginTable accelmesh_transport_plugin;
const accelmesh::PluginTable accelmesh_transport_plugin = {accelmesh::kPluginAbi, &accelmesh::Connect};
