#include "protocol/transport/gcm.h"

#include "protocol/base/log.h"

namespace accelmesh {

bool HasGcm(GcmLibrary library) { return library == GcmLibrary::kOpenSsl || HasIpsecMbGcm(); }

GcmLibrary FastestGcm() {
  static const GcmLibrary fastest = [] {
    const bool wide = HasGcm(GcmLibrary::kIpsecMb);
    log::Info(
        "Gcm",
        wide ? "bodies are sealed by ipsec-mb, with VAES and AVX-512"
             : "bodies are sealed by OpenSSL: the processor has no VAES with AVX-512, or ipsec-mb was not built in");
    return wide ? GcmLibrary::kIpsecMb : GcmLibrary::kOpenSsl;
  }();
  return fastest;
}

Result<std::unique_ptr<Gcm>> MakeGcm(GcmLibrary library, const SealKey& key, bool seals) {
  if (!HasGcm(library)) {
    return Status(Code::kUnsupported, "MakeGcm",
                  "the processor has no VAES with AVX-512, or ipsec-mb was not built in; OpenSSL is there");
  }
  std::unique_ptr<Gcm> gcm = library == GcmLibrary::kIpsecMb ? MakeIpsecMbGcm(key, seals) : MakeOpenSslGcm(key, seals);
  if (gcm == nullptr) return Status(Code::kSystem, "MakeGcm", "OpenSSL refused: AES-256-GCM");
  return gcm;
}

}  // namespace accelmesh
