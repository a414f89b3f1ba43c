// The functions of ipsec-mb for AES-256-GCM with VAES and AVX-512, called by their names. Its way to them, a manager of
// everything it knows, would bring 15 MB into a plugin; these are 0.8 MB. Its header has their types, but not their
// names: CMake asks whether the library has them.
#include "protocol/transport/gcm.h"

#if ACCELMESH_HAS_IPSEC_MB
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

#include <type_traits>

extern "C" {
std::remove_pointer_t<aes_gcm_precomp_t> aes_gcm_precomp_256_vaes_avx512;
std::remove_pointer_t<aes_gcm_init_t> aes_gcm_init_256_vaes_avx512;
std::remove_pointer_t<aes_gcm_enc_dec_update_t> aes_gcm_enc_256_update_vaes_avx512;
std::remove_pointer_t<aes_gcm_enc_dec_update_t> aes_gcm_dec_256_update_vaes_avx512;
std::remove_pointer_t<aes_gcm_enc_dec_finalize_t> aes_gcm_enc_256_finalize_vaes_avx512;
std::remove_pointer_t<aes_gcm_enc_dec_finalize_t> aes_gcm_dec_256_finalize_vaes_avx512;
}

namespace accelmesh {
namespace {

class IpsecMbGcm final : public Gcm {
 public:
  IpsecMbGcm(const SealKey& key, bool seals) : seals_(seals) {
    alignas(64) std::uint8_t unused[sizeof(key_.expanded_keys)];  // the round keys of AES backwards
    ::aes_keyexp_256_avx512(key.data(), key_.expanded_keys, unused);
    ::aes_gcm_precomp_256_vaes_avx512(&key_);
    ::OPENSSL_cleanse(unused, sizeof(unused));
  }
  ~IpsecMbGcm() override {
    ::OPENSSL_cleanse(&key_, sizeof(key_));
    ::OPENSSL_cleanse(&message_, sizeof(message_));
  }

  Status Begin(const GcmNonce& nonce, ByteView header) override {
    ::aes_gcm_init_256_vaes_avx512(&key_, &message_, nonce.data(), header.data(), header.size());
    return {};
  }

  Status Add(ByteView piece, std::uint8_t* to) override {
    if (piece.empty()) return {};
    const auto update = seals_ ? ::aes_gcm_enc_256_update_vaes_avx512 : ::aes_gcm_dec_256_update_vaes_avx512;
    update(&key_, &message_, to, piece.data(), piece.size());
    return {};
  }

  Status EndSealing(GcmTag& tag) override {
    ::aes_gcm_enc_256_finalize_vaes_avx512(&key_, &message_, tag.data(), tag.size());
    return {};
  }

  Status EndOpening(const GcmTag& tag) override {
    GcmTag own{};
    ::aes_gcm_dec_256_finalize_vaes_avx512(&key_, &message_, own.data(), own.size());
    if (::CRYPTO_memcmp(own.data(), tag.data(), tag.size()) == 0) return {};
    return {Code::kBadFrame, "Gcm", "the tag is another's"};
  }

 private:
  alignas(64) gcm_key_data key_{};
  alignas(64) gcm_context_data message_{};
  const bool seals_;
};

}  // namespace

bool HasIpsecMbGcm() {
  // Each of them also asks whether the system keeps the wide registers.
  static const bool has = __builtin_cpu_supports("vaes") != 0 && __builtin_cpu_supports("vpclmulqdq") != 0 &&
                          __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
                          __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0;
  return has;
}

std::unique_ptr<Gcm> MakeIpsecMbGcm(const SealKey& key, bool seals) { return std::make_unique<IpsecMbGcm>(key, seals); }

}  // namespace accelmesh

#else

namespace accelmesh {

bool HasIpsecMbGcm() { return false; }
std::unique_ptr<Gcm> MakeIpsecMbGcm(const SealKey&, bool) { return nullptr; }

}  // namespace accelmesh
#endif
