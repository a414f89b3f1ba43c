#include "protocol/transport/seal.h"

#include <cstring>
#include <limits>

namespace accelmesh {
namespace {

Status BeginRecord(Gcm& gcm, std::uint64_t& number, ByteView header) {
  if (number == std::numeric_limits<std::uint64_t>::max())
    return {Code::kLimitExceeded, "Seal", "the connection has sent as many records as one key allows"};
  GcmNonce nonce{};
  std::memcpy(nonce.data() + 4, &number, sizeof(number));
  ++number;
  return gcm.Begin(nonce, header);
}

}  // namespace

Result<std::unique_ptr<Sealer>> Sealer::Make(const SealKey& key, GcmLibrary library) {
  ACCELMESH_ASSIGN_OR_RETURN(auto gcm, MakeGcm(library, key, /*seals=*/true));
  return std::unique_ptr<Sealer>(new Sealer(std::move(gcm)));
}
Status Sealer::Begin(ByteView header) { return BeginRecord(*gcm_, number_, header); }

Result<std::unique_ptr<Opener>> Opener::Make(const SealKey& key, GcmLibrary library) {
  ACCELMESH_ASSIGN_OR_RETURN(auto gcm, MakeGcm(library, key, /*seals=*/false));
  return std::unique_ptr<Opener>(new Opener(std::move(gcm)));
}
Status Opener::Begin(ByteView header) { return BeginRecord(*gcm_, number_, header); }
Status Opener::End(const SealTag& tag) {
  const Status end = gcm_->EndOpening(tag);
  if (end.code() != Code::kBadFrame) return end;
  return {Code::kBadFrame, "Seal", "a record was changed on its way, or comes from somebody else"};
}

}  // namespace accelmesh
