// Every bound that AccelMesh puts on what a peer or a program can make it hold. Nothing that crosses a wire is sized by
// the peer alone: it is checked against a constant of this file before use and before allocation.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelmesh::limits {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kPageBytes = 4 * kKiB;

// One frame of the command or side lane: a batch of records, or one control message.
inline constexpr std::size_t kFrameBytesMax = 1 * kMiB;
// One record of a batch: header, body and payload. A launch carries at most 32,764 bytes of arguments (CUDA 12.1+).
inline constexpr std::size_t kRecordBytesMax = 256 * kKiB;
// Data that a copy carries in its own record.
inline constexpr std::size_t kInlineBytesMax = 4 * kKiB;
// One body on the bulk lane.
inline constexpr std::size_t kBulkBytesMax = 1 * kMiB;
// Bulk bodies that a server holds for a session before it stops reading that session's bulk lane.
inline constexpr std::size_t kBulkInFlightBytesMax = 64 * kMiB;
// Bytes of commands kept for resending until the server acknowledges them; posting blocks beyond.
inline constexpr std::size_t kRetainedLogBytesMax = 32 * kMiB;
// Commands that the executor holds for parked streams; beyond it the session stops reading its command lane.
inline constexpr std::size_t kParkedCommandsMax = 65536;
// Launches of one stream that a backend holds at a time.
inline constexpr std::size_t kStreamInFlightMax = 256;

inline constexpr std::uint32_t kStreamsMax = 4096;
inline constexpr std::uint32_t kEventsMax = 1u << 20;
inline constexpr std::uint32_t kModulesMax = 4096;
// Instantiated graphs of a session, the nodes of one, and what all of them may hold: each node counts kGraphNodeBytes
// and its payload.
inline constexpr std::uint32_t kGraphsMax = 65536;
inline constexpr std::uint32_t kGraphNodesMax = 1u << 20;
inline constexpr std::size_t kGraphNodeBytes = 256;
inline constexpr std::size_t kGraphBytesMax = 512 * kMiB;
// Nodes that one command launches: so many may be parked by it.
inline constexpr std::uint32_t kGraphLaunchNodesMax = 16384;
// Texture and surface objects of a session at a time, and the mipmap levels of one.
inline constexpr std::uint32_t kTexturesMax = 1u << 20;
inline constexpr std::uint32_t kTextureLevelsMax = 32;
// What handles of one library are set to, over a session's life, and the words of one such.
inline constexpr std::uint32_t kLibrarySettingsMax = 16384;
inline constexpr std::size_t kLibrarySettingsBytesMax = 512;
// Answers of a library that a client is handed when it opens it, so that it need not ask: their bytes on the wire.
inline constexpr std::size_t kRememberedBytesMax = 512 * kKiB;
inline constexpr std::uint32_t kKernelsPerModuleMax = 65536;
inline constexpr std::uint32_t kKernelParametersMax = 4096;
inline constexpr std::size_t kKernelArgumentBytesMax = 32764;
// __managed__ variables of modules that a session is about to load.
inline constexpr std::size_t kManagedVariablesMax = 4096;
inline constexpr std::size_t kNameBytesMax = 16 * kKiB;
inline constexpr std::size_t kTextBytesMax = 64 * kKiB;
// A module image as the client sends it, and after decompression.
inline constexpr std::size_t kImageBytesMax = 512 * kMiB;
// Images that a session sends or waits for at a time.
inline constexpr std::size_t kImagesInFlightBytesMax = 2 * kImageBytesMax;
// The reply to one call; longer ones than a frame come in parts.
inline constexpr std::size_t kReplyBytesMax = 64 * kMiB;
inline constexpr std::uint32_t kDevicesMax = 64;
inline constexpr std::uint64_t kAllocationBytesMax = 4096 * kGiB;
// Memory of the client shared with a server on the same host, per session.
inline constexpr std::uint32_t kSharedRegionsMax = 4096;
// Sessions a supervisor serves at a time.
inline constexpr std::uint32_t kSessionsMax = 256;
// Files of a session's memory that a supervisor keeps for the others of the lease, and the pieces of allocations in
// them.
inline constexpr std::size_t kSharedFilesMax = 1024;
inline constexpr std::size_t kSharedPiecesMax = 16384;
// What a client says that it shares a lease by.
inline constexpr std::size_t kGroupSecretBytesMax = 64;

}  // namespace accelmesh::limits
