// The lease file: how a program gets the lease that an agent won for it. ACCELMESH_LEASE names it; the agent writes it
// anew at each renewal, the preload reads it when it connects.
//
//   file := "accelmesh-lease 1" LF {line}
//   line := key " " value LF, each key once but for endpoint:
//     endpoint URL        one to kLeaseEndpointsMax; the first that can be reached counts
//     server-key HEX      CURVE key of the gpu-server
//     holder-key HEX      CURVE key that the lease is bound to, and its secret:
//     holder-secret HEX
//     token HEX           the lease (lease_token.h)
//     lease ID            for people and logs
//     not-after-ms N      Unix time: the token's end
//
// The file belongs to the user and has mode 0600; anything else is refused, for whoever reads the secret has the lease.
// It is replaced by a rename, so that a reader sees the old one or the new one.
// No libsodium here: the preload links it. Threads: functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "protocol/security/curve.h"

namespace accelmesh::security {

inline constexpr std::size_t kLeaseFileBytesMax = 16384;
inline constexpr std::size_t kLeaseEndpointsMax = 8;

struct LeaseFile {
  std::vector<std::string> endpoints;  // well-formed lines; whether they are URLs is told when they are used
  CurveKey server_key;
  CurvePair holder;
  Bytes token;
  std::string lease;
  std::int64_t not_after_ms = 0;
};

std::string LeaseFileText(const LeaseFile& file);
// Errors name the line and repeat nothing of the text.
Result<LeaseFile> ParseLeaseFile(std::string_view text);

// kNotFound, kPermissionDenied (owner or mode, with the command that mends it) or what ParseLeaseFile() says.
Result<LeaseFile> ReadLeaseFile(const std::string& path);
// Mode 0600, beside the old one and then in its place.
Status WriteLeaseFile(const std::string& path, const LeaseFile& file);
// A folder of the user's alone for lease files, made if it is not there: $XDG_RUNTIME_DIR/accelmesh, else
// /tmp/accelmesh-UID. kPermissionDenied if somebody else was there first.
Result<std::string> LeaseFolder();

}  // namespace accelmesh::security
