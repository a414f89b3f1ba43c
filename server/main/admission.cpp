#include "server/main/admission.h"

#include "protocol/base/command.h"
#include "protocol/schema/session_generated.h"

namespace accelmesh {
namespace {

Admission Refuse(wire::Refusal refusal, std::string text) {
  Admission refused;
  refused.refusal = static_cast<std::uint8_t>(refusal);
  refused.text = std::move(text);
  return refused;
}

Admission Refuse(const Status& status) {
  switch (status.code()) {
    case Code::kPermissionDenied:
      return Refuse(wire::Refusal::Permission, "the lease does not count here: " + status.text());
    case Code::kNotFound: return Refuse(wire::Refusal::Permission, status.text());
    case Code::kLimitExceeded: return Refuse(wire::Refusal::Busy, status.text());
    case Code::kSystem: return Refuse(wire::Refusal::Internal, status.text());
    default: return Refuse(wire::Refusal::Malformed, "the lease cannot be read: " + status.text());
  }
}

Admission Of(Admission::Kind kind, const AdmittedLease& lease) {
  Admission admitted;
  admitted.kind = kind;
  admitted.lease = lease;
  return admitted;
}

ByteView BytesOf(const flatbuffers::Vector<std::uint8_t>* vector) {
  return vector == nullptr ? ByteView() : ByteView(vector->data(), vector->size());
}

// A session or a notice that comes by a connection whose key is known.
Admission AdmitByToken(const wire::Hello& hello, const security::CurveKey& key, LeaseBook& leases,
                       std::int64_t now_ms) {
  if (hello.purpose() == wire::HelloPurpose::EndLease) {
    if (hello.lease() == nullptr) return Refuse(wire::Refusal::Malformed, "no lease is named");
    const Status ended = leases.End(hello.lease()->str(), key);
    if (!ended.ok()) return Refuse(ended);
    AdmittedLease lease;
    lease.lease = hello.lease()->str();
    lease.client_key = key;
    return Of(Admission::Kind::kEnd, lease);
  }
  if (hello.token() == nullptr || hello.token()->size() == 0) {
    return Refuse(wire::Refusal::Permission,
                  "this server serves leases only, and the program has none; start it with mesh-run without --server, "
                  "which gets one of the market");
  }
  std::optional<security::SecretHash> group;
  const ByteView hash = BytesOf(hello.group_secret_hash());
  if (hello.purpose() == wire::HelloPurpose::NoteLease && !hash.empty()) {
    if (hash.size() != group.emplace().size()) return Refuse(wire::Refusal::Malformed, "a hash of another length");
    std::copy(hash.begin(), hash.end(), group->begin());
  }
  const Result<AdmittedLease> lease = leases.Admit(BytesOf(hello.token()), key, now_ms, group);
  if (!lease.ok()) return Refuse(lease.status());
  return Of(hello.purpose() == wire::HelloPurpose::Session ? Admission::Kind::kServe : Admission::Kind::kAnswer,
            *lease);
}

}  // namespace

Admission Admit(const Arrival& arrival, const Endpoint& endpoint, ServerSecurity* security, std::int64_t now_ms) {
  flatbuffers::Verifier verifier(arrival.hello.data(), arrival.hello.size());
  if (!verifier.VerifyBuffer<wire::Hello>(nullptr))
    return Refuse(wire::Refusal::Malformed, "the HELLO does not verify");
  const auto& hello = *flatbuffers::GetRoot<wire::Hello>(arrival.hello.data());
  if (hello.version_min() > kProtocolVersion || hello.version_max() < kProtocolVersion) {
    return Refuse(wire::Refusal::Version,
                  "this gpu-server speaks protocol version " + std::to_string(kProtocolVersion) + ", the client " +
                      std::to_string(hello.version_min()) + " to " + std::to_string(hello.version_max()) +
                      "; install the same release on both sides");
  }
  if (hello.purpose() > wire::HelloPurpose::EndLease)
    return Refuse(wire::Refusal::Malformed, "a HELLO of an unknown purpose");
  if (security == nullptr) {
    if (hello.purpose() != wire::HelloPurpose::Session || (hello.token() != nullptr && hello.token()->size() != 0)) {
      return Refuse(wire::Refusal::Permission,
                    "this server is standalone and knows no leases; start the program without one");
    }
    Admission served;
    served.kind = Admission::Kind::kServe;
    return served;
  }
  if (arrival.client_key.has_value()) return AdmitByToken(hello, *arrival.client_key, *security->leases, now_ms);
  // Shared memory: no connection key; the lease was noted before, with the secret's hash.
  if (endpoint.scheme != Endpoint::Scheme::kShm || hello.purpose() != wire::HelloPurpose::Session)
    return Refuse(wire::Refusal::Permission, "leases are told of over CURVE only");
  const std::string_view secret = hello.group() != nullptr ? hello.group()->string_view() : std::string_view();
  const Result<AdmittedLease> lease = security->leases->AdmitBySecret(secret, now_ms);
  if (!lease.ok()) return Refuse(lease.status());
  return Of(Admission::Kind::kServe, *lease);
}

}  // namespace accelmesh
