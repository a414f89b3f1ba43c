#include "protocol/transport/lease_notice.h"

#include <algorithm>

#include "protocol/base/command.h"
#include "protocol/schema/session_generated.h"
#include "protocol/transport/refusal.h"
#include "protocol/transport/zmq_hello.h"

namespace accelmesh {
namespace {

constexpr std::uint32_t kAllPpm = 1'000'000;

Result<Bytes> Tell(const Endpoint& server, const security::CurveCredentials& credentials,
                   flatbuffers::FlatBufferBuilder& builder, Deadline deadline) {
  if (server.scheme == Endpoint::Scheme::kShm) {
    return Status(Code::kInvalidArgument, "LeaseNotice.server",
                  server.ToString() + " has no CURVE; tell the server of leases by its tcp or ipc address");
  }
  const zmq::Context context;
  ACCELMESH_ASSIGN_OR_RETURN(Bytes answer, zmq::Greet(context, server, {builder.GetBufferPointer(), builder.GetSize()},
                                                      deadline, &credentials));
  ACCELMESH_RETURN_IF_ERROR(StatusOfWelcome(answer));
  return answer;
}

}  // namespace

Result<std::int64_t> NoteLease(const Endpoint& server, const security::CurveCredentials& credentials, ByteView token,
                               const std::optional<security::SecretHash>& group, Deadline deadline) {
  flatbuffers::FlatBufferBuilder builder;
  const auto token_offset = builder.CreateVector(token.data(), token.size());
  const auto group_offset =
      group.has_value() ? builder.CreateVector(group->data(), group->size()) : decltype(token_offset)();
  wire::HelloBuilder hello(builder);
  hello.add_version_min(kProtocolVersion);
  hello.add_version_max(kProtocolVersion);
  hello.add_purpose(wire::HelloPurpose::NoteLease);
  hello.add_token(token_offset);
  if (group.has_value()) hello.add_group_secret_hash(group_offset);
  builder.Finish(hello.Finish());
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes answer, Tell(server, credentials, builder, deadline));
  return static_cast<std::int64_t>(flatbuffers::GetRoot<wire::Welcome>(answer.data())->lease_not_after_ms());
}

Result<LeaseUse> EndLease(const Endpoint& server, const security::CurveCredentials& credentials,
                          const std::string& lease, Deadline deadline) {
  flatbuffers::FlatBufferBuilder builder;
  const auto name = builder.CreateString(lease);
  wire::HelloBuilder hello(builder);
  hello.add_version_min(kProtocolVersion);
  hello.add_version_max(kProtocolVersion);
  hello.add_purpose(wire::HelloPurpose::EndLease);
  hello.add_lease(name);
  builder.Finish(hello.Finish());
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes answer, Tell(server, credentials, builder, deadline));
  const auto& said = *flatbuffers::GetRoot<wire::Welcome>(answer.data());
  return LeaseUse{said.lease_device_us(), std::min(said.lease_delivered_ppm(), kAllPpm)};
}

}  // namespace accelmesh
