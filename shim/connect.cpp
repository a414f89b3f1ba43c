#include "shim/connect.h"

#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "protocol/base/command.h"
#include "protocol/base/host.h"
#include "protocol/base/log.h"
#include "protocol/schema/session_generated.h"
#include "protocol/security/lease_file.h"
#include "protocol/security/lease_token.h"
#include "protocol/transport/emulator.h"
#include "protocol/transport/plugin.h"

namespace accelmesh {
namespace {

constexpr std::chrono::seconds kConnectPatience{10};

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : "";
}

Bytes MakeHello(ByteView token) {
  flatbuffers::FlatBufferBuilder builder;
  const auto program = builder.CreateString(program_invocation_short_name);
  const auto boot = builder.CreateString(BootId());
  const auto group = builder.CreateString(Variable("ACCELMESH_GROUP"));
  const auto token_offset = token.empty() ? 0 : builder.CreateVector(token.data(), token.size());
  builder.Finish(wire::CreateHello(builder, kProtocolVersion, kProtocolVersion, program,
                                   static_cast<std::uint32_t>(::getpid()), boot, 0, PidNamespace(), group,
                                   wire::HelloPurpose::Session, token_offset));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

// Where this library lies; plugins lie beside it.
std::string OwnFolder() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&MakeHello), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::string PluginPath(const Endpoint& endpoint) {
  return OwnFolder() + (endpoint.scheme == Endpoint::Scheme::kRdma ? "/libaccelmesh_rdma.so" : "/libaccelmesh_zmq.so");
}

void Prepare(const std::string& url) {
  const Result<Endpoint> endpoint = ParseEndpoint(url);
  if (!endpoint.ok() || endpoint->scheme == Endpoint::Scheme::kShm) return;
  // An error is found again, and said, when it matters.
  (void)OpenPlugin(PluginPath(*endpoint), *endpoint).ok();
}

// `lease`: null if the server is named by itself.
Result<std::unique_ptr<ClientChannel>> ConnectTo(const std::string& url, const security::LeaseFile* lease,
                                                 Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  if (endpoint.scheme == Endpoint::Scheme::kShm) {
    // There the lease is known by its group secret: its agent has told the server.
    ACCELMESH_ASSIGN_OR_RETURN(Connected connected, ConnectShm(endpoint, MakeHello({}), deadline));
    return std::move(connected.channel);
  }
  if (lease == nullptr) return ConnectThroughPlugin(PluginPath(endpoint), endpoint, MakeHello({}), deadline);
  const security::CurveCredentials credentials{lease->server_key, lease->holder};
  return ConnectThroughPlugin(PluginPath(endpoint), endpoint, MakeHello(lease->token), deadline, &credentials);
}

Result<std::unique_ptr<ClientChannel>> ConnectByLease(const std::string& path, Deadline deadline) {
  constexpr const char* kWhere = "ACCELMESH_LEASE";
  const Result<security::LeaseFile> lease = security::ReadLeaseFile(path);
  if (!lease.ok()) return Status(lease.code(), kWhere, "the lease cannot be used: " + lease.status().text());
  const std::int64_t now_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  if (now_ms >= lease->not_after_ms + security::kClockSkewMs) {
    return Status(Code::kPermissionDenied, kWhere,
                  "lease " + lease->lease + " ended " + std::to_string((now_ms - lease->not_after_ms) / 1000) +
                      " s ago; start the program again with mesh-run, which gets a new one");
  }
  Status failed;
  for (const std::string& url : lease->endpoints) {
    Result<std::unique_ptr<ClientChannel>> channel = ConnectTo(url, &*lease, deadline);
    if (channel.ok()) return channel;
    // One that cannot be reached is no matter while another can.
    const bool is_unreachable = channel.code() == Code::kUnavailable || channel.code() == Code::kUnsupported;
    if (failed.ok() || !is_unreachable) failed = channel.status();
    if (!is_unreachable) break;
  }
  return Status(failed.code(), failed.where(), "lease " + lease->lease + ": " + failed.text());
}

}  // namespace

void PrepareToConnect() {
  const std::string path = Variable("ACCELMESH_LEASE");
  if (path.empty()) return Prepare(Variable("ACCELMESH_SERVER"));
  const Result<security::LeaseFile> lease = security::ReadLeaseFile(path);
  if (!lease.ok()) return;
  for (const std::string& url : lease->endpoints) Prepare(url);
}

Result<std::unique_ptr<ClientChannel>> ConnectToServer() {
  const std::string emulate = Variable("ACCELMESH_EMULATE");
  EmulatorOptions network;
  if (!emulate.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(network, ParseEmulatorOptions(emulate));
  }
  const std::string lease = Variable("ACCELMESH_LEASE");
  const std::string server = Variable("ACCELMESH_SERVER");
  if (lease.empty() && server.empty()) {
    return Status(Code::kNotFound, "ConnectToServer",
                  "no gpu-server is named: run the program with `mesh-run --server tcp://HOST:PORT -- program`");
  }
  const Deadline deadline = Deadline::After(kConnectPatience);
  Result<std::unique_ptr<ClientChannel>> channel =
      lease.empty() ? ConnectTo(server, nullptr, deadline) : ConnectByLease(lease, deadline);
  if (!channel.ok() || emulate.empty()) return channel;
  log::Warning("accelmesh", "the connection is slowed down on purpose: ACCELMESH_EMULATE=" + emulate);
  return Emulate(*std::move(channel), network);
}

}  // namespace accelmesh
