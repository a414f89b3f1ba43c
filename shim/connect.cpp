#include "shim/connect.h"

#include <errno.h>
#include <unistd.h>

#include <fstream>

#include "protocol/base/command.h"
#include "protocol/schema/session_generated.h"

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

}  // namespace

Result<std::unique_ptr<ClientChannel>> ConnectToServer(const std::string& url) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  const Bytes hello = MakeHello();
  const Deadline deadline = Deadline::After(kConnectPatience);
  if (endpoint.scheme != Endpoint::Scheme::kShm) {
    return Status(Code::kUnsupported, "ConnectToServer",
                  url + ": this build of the shim reaches servers by shm:// only");
  }
  ACCELMESH_ASSIGN_OR_RETURN(Connected connected, ConnectShm(endpoint, hello, deadline));
  return std::move(connected.channel);
}

}  // namespace accelmesh
