#include "shim/connect.h"

#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

#include <fstream>

#include "protocol/base/command.h"
#include "protocol/schema/session_generated.h"
#include "protocol/transport/plugin.h"

namespace accelmesh {
namespace {

constexpr std::chrono::seconds kConnectPatience{10};

Bytes MakeHello() {
  flatbuffers::FlatBufferBuilder builder;
  std::string boot_id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot_id;
  const auto program = builder.CreateString(program_invocation_short_name);
  const auto boot = builder.CreateString(boot_id);
  builder.Finish(wire::CreateHello(builder, kProtocolVersion, kProtocolVersion, program,
                                   static_cast<std::uint32_t>(::getpid()), boot, 0));
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

Result<std::unique_ptr<ClientChannel>> ConnectToServer(const std::string& url) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  const Bytes hello = MakeHello();
  const Deadline deadline = Deadline::After(kConnectPatience);
  if (endpoint.scheme != Endpoint::Scheme::kShm) {
    return ConnectThroughPlugin(OwnFolder() + "/libaccelmesh_zmq.so", endpoint, hello, deadline);
  }
  ACCELMESH_ASSIGN_OR_RETURN(Connected connected, ConnectShm(endpoint, hello, deadline));
  return std::move(connected.channel);
}

}  // namespace accelmesh
