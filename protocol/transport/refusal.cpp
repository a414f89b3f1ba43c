#include "protocol/transport/refusal.h"

#include "protocol/base/limits.h"
#include "protocol/schema/session_generated.h"

namespace accelmesh {

Status StatusOfWelcome(ByteView welcome) {
  constexpr const char* kWhere = "Connect.welcome";
  flatbuffers::Verifier verifier(welcome.data(), welcome.size());
  if (welcome.size() > limits::kFrameBytesMax || !verifier.VerifyBuffer<wire::Welcome>(nullptr)) {
    return {Code::kBadFrame, kWhere, "the server's answer does not verify; is another program listening there?"};
  }
  const auto* message = flatbuffers::GetRoot<wire::Welcome>(welcome.data());
  if (message->refusal() == wire::Refusal::None) return {};
  std::string text = "the server refused the session";
  if (message->text() != nullptr && message->text()->size() <= limits::kTextBytesMax) text = message->text()->str();
  switch (message->refusal()) {
    case wire::Refusal::Version: return {Code::kVersionMismatch, kWhere, std::move(text)};
    case wire::Refusal::Busy:
    case wire::Refusal::Quota: return {Code::kLimitExceeded, kWhere, std::move(text)};
    case wire::Refusal::Permission: return {Code::kPermissionDenied, kWhere, std::move(text)};
    case wire::Refusal::Malformed: return {Code::kBadFrame, kWhere, std::move(text)};
    default: return {Code::kUnavailable, kWhere, std::move(text)};
  }
}

}  // namespace accelmesh
