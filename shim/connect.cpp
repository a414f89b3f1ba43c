#include "shim/connect.h"

#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

#include <cstdlib>

#include "protocol/base/command.h"
#include "protocol/base/host.h"
#include "protocol/base/log.h"
#include "protocol/schema/session_generated.h"
#include "protocol/transport/emulator.h"
#include "protocol/transport/plugin.h"

namespace accelmesh {
namespace {

constexpr std::chrono::seconds kConnectPatience{10};

Bytes MakeHello() {
  flatbuffers::FlatBufferBuilder builder;
  const auto program = builder.CreateString(program_invocation_short_name);
  const auto boot = builder.CreateString(BootId());
  const char* lease = std::getenv("ACCELMESH_GROUP");
  const auto group = builder.CreateString(lease != nullptr ? lease : "");
  builder.Finish(wire::CreateHello(builder, kProtocolVersion, kProtocolVersion, program,
                                   static_cast<std::uint32_t>(::getpid()), boot, 0, PidNamespace(), group));
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

}  // namespace

void PrepareToConnect(const std::string& url) {
  const Result<Endpoint> endpoint = ParseEndpoint(url);
  if (!endpoint.ok() || endpoint->scheme == Endpoint::Scheme::kShm) return;
  // An error is found again, and said, when it matters.
  (void)OpenPlugin(OwnFolder() + "/libaccelmesh_zmq.so", *endpoint).ok();
}

Result<std::unique_ptr<ClientChannel>> ConnectToServer(const std::string& url) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  const char* emulate = std::getenv("ACCELMESH_EMULATE");
  EmulatorOptions network;
  if (emulate != nullptr) {
    ACCELMESH_ASSIGN_OR_RETURN(network, ParseEmulatorOptions(emulate));
  }
  const Bytes hello = MakeHello();
  const Deadline deadline = Deadline::After(kConnectPatience);
  std::unique_ptr<ClientChannel> channel;
  if (endpoint.scheme == Endpoint::Scheme::kShm) {
    ACCELMESH_ASSIGN_OR_RETURN(Connected connected, ConnectShm(endpoint, hello, deadline));
    channel = std::move(connected.channel);
  } else {
    ACCELMESH_ASSIGN_OR_RETURN(channel,
                               ConnectThroughPlugin(OwnFolder() + "/libaccelmesh_zmq.so", endpoint, hello, deadline));
  }
  if (emulate == nullptr) return channel;
  log::Warning("accelmesh", std::string("the connection is slowed down on purpose: ACCELMESH_EMULATE=") + emulate);
  return Emulate(std::move(channel), network);
}

}  // namespace accelmesh
