// The border between the shim and a transport that brings foreign libraries into the program's process (zmq,
// rdma): a shared object of its own, opened only when its transport is chosen, and a versioned C table.
//
// Across the border go plain structs and views only; no std type, no exception, no memory that one side frees for the
// other. What a call has to say about its failure is copied into a caller's PluginStatus. Both sides are built together
// but may be installed apart, so the number is checked before anything else.
// Threads and contracts: those of ClientChannel (channel.h), function by function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "protocol/transport/channel.h"

namespace accelmesh {

// Raised with every change of this file, of ProgressPage or of the meaning of a function.
inline constexpr std::uint32_t kPluginAbi = 5;
inline constexpr const char* kPluginSymbol = "accelmesh_transport_plugin";

struct PluginStatus {
  std::uint32_t code;  // accelmesh::Code; 0 = ok, the rest is then not set
  char where[64];
  char text[960];
};

using PluginFrameCallback = void (*)(void* context, const std::uint8_t* frame, std::size_t bytes);
using PluginLogCallback = void (*)(std::uint32_t level, const char* line, std::size_t bytes);

// Deadlines are nanoseconds of CLOCK_MONOTONIC.
struct PluginChannel {
  void* self;
  const char* name;
  std::uint8_t flush_each_append;
  std::uint8_t shares_memory;
  std::size_t bulk_bytes_preferred;
  const ProgressPage* progress;

  void (*destroy)(void* self);
  void (*send)(void* self, std::uint32_t lane, const std::uint8_t* frame, std::size_t bytes, std::int64_t deadline_ns,
               PluginStatus* status);
  void (*send_bulk)(void* self, std::uint64_t token, const std::uint8_t* body, std::size_t bytes,
                    std::int64_t deadline_ns, PluginStatus* status);
  void (*send_bulk_to_device)(void* self, std::uint64_t token, const std::uint8_t* body, std::size_t bytes,
                              std::int64_t deadline_ns, PluginStatus* status);
  void (*expect_bulk)(void* self, std::uint64_t token, std::uint8_t* destination, std::size_t bytes,
                      PluginStatus* status);
  std::uint32_t (*bulk_landed)(void* self, std::uint64_t token);
  void (*cancel_bulk)(void* self, std::uint64_t token);
  void (*pump)(void* self, PluginFrameCallback on_frame, void* context, std::int64_t deadline_ns, PluginStatus* status);
  void (*share_memory)(void* self, std::uint32_t region, std::int32_t memfd, std::size_t bytes, PluginStatus* status);
  void (*note_pinned)(void* self, std::uint8_t* memory, std::size_t bytes);
  void (*note_unpinned)(void* self, const std::uint8_t* memory);
  void (*interrupt)(void* self);
  void (*close)(void* self);
};

// security::CurveCredentials.
struct PluginCredentials {
  std::uint8_t server_key[32];
  std::uint8_t key[32];
  std::uint8_t secret[32];
};

// What the symbol kPluginSymbol points to.
struct PluginTable {
  std::uint32_t abi;
  // ConnectInPlugin(). `credentials`: null without CURVE. `log` takes the plugin's lines for the life of
  // the process. `channel` is set on success only.
  void (*connect)(const char* url, const std::uint8_t* hello, std::size_t hello_bytes,
                  const PluginCredentials* credentials, std::int64_t deadline_ns, PluginLogCallback log,
                  PluginChannel* channel, PluginStatus* status);
};

// Opens the plugin at `path` (RTLD_LOCAL; it stays for the life of the process: of rdma and of the other schemes one
// each is opened, whatever path is given later). kUnsupported names the file if it is missing, kVersionMismatch if it
// is of another release; both name what `endpoint` needs it for.
Result<const PluginTable*> OpenPlugin(const std::string& path, const Endpoint& endpoint);

// Opens the plugin if it is not open, and connects through it.
Result<std::unique_ptr<ClientChannel>> ConnectThroughPlugin(const std::string& path, const Endpoint& endpoint,
                                                            ByteView hello, Deadline deadline,
                                                            const security::CurveCredentials* credentials = nullptr);

// The plugin's side: what it is for, defined by each; what is said of ConnectZmq() counts.
Result<Connected> ConnectInPlugin(const Endpoint& endpoint, ByteView hello, Deadline deadline,
                                  const security::CurveCredentials* credentials);
// Fills `channel` with functions that work on `implementation` and takes ownership of it.
void ExportChannel(std::unique_ptr<ClientChannel> implementation, PluginChannel* channel);
void ExportStatus(const Status& from, PluginStatus* to);

}  // namespace accelmesh
