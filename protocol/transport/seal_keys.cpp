#include "protocol/transport/seal_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace accelmesh {
namespace {

bool Derive(ByteView secret, std::string_view label, SealKey& key) {
  unsigned size = key.size();
  return ::HMAC(::EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                reinterpret_cast<const unsigned char*>(label.data()), label.size(), key.data(), &size) != nullptr;
}

}  // namespace

void PrepareOpenSsl() {
  static const int ready = ::OPENSSL_init_crypto(
      OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_ADD_ALL_CIPHERS, nullptr);
  (void)ready;
}

Result<SealKeys> KeysOfSecret(ByteView secret) {
  PrepareOpenSsl();
  SealKeys keys;
  if (!Derive(secret, "accelmesh bulk mark 1", keys.mark) || !Derive(secret, "accelmesh bulk up 1", keys.up) ||
      !Derive(secret, "accelmesh bulk down 1", keys.down)) {
    return Status(Code::kSystem, "KeysOfSecret", "OpenSSL refused: HMAC-SHA-256");
  }
  return keys;
}

}  // namespace accelmesh
