#include <openssl/evp.h>

#include "protocol/transport/gcm.h"

namespace accelmesh {
namespace {

Status Refused(const char* what) { return {Code::kSystem, "Gcm", std::string("OpenSSL refused: ") + what}; }

class OpenSslGcm final : public Gcm {
 public:
  explicit OpenSslGcm(EVP_CIPHER_CTX* context) : context_(context) {}
  ~OpenSslGcm() override { ::EVP_CIPHER_CTX_free(context_); }

  Status Begin(const GcmNonce& nonce, ByteView header) override {
    int ignored = 0;
    if (::EVP_CipherInit_ex(context_, nullptr, nullptr, nullptr, nonce.data(), -1) != 1) return Refused("a nonce");
    if (::EVP_CipherUpdate(context_, nullptr, &ignored, header.data(), static_cast<int>(header.size())) != 1)
      return Refused("a header");
    return {};
  }

  Status Add(ByteView piece, std::uint8_t* to) override {
    int done = 0;
    if (piece.empty()) return {};
    if (::EVP_CipherUpdate(context_, to, &done, piece.data(), static_cast<int>(piece.size())) != 1 ||
        static_cast<std::size_t>(done) != piece.size()) {
      return Refused("a piece");
    }
    return {};
  }

  Status EndSealing(GcmTag& tag) override {
    int ignored = 0;
    if (::EVP_CipherFinal_ex(context_, tag.data(), &ignored) != 1 ||
        ::EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag.size()), tag.data()) != 1) {
      return Refused("a tag");
    }
    return {};
  }

  Status EndOpening(const GcmTag& tag) override {
    GcmTag expected = tag;
    int ignored = 0;
    std::array<std::uint8_t, 16> rest{};
    if (::EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()), expected.data()) != 1)
      return Refused("a tag");
    if (::EVP_CipherFinal_ex(context_, rest.data(), &ignored) == 1) return {};
    return {Code::kBadFrame, "Gcm", "the tag is another's"};
  }

 private:
  EVP_CIPHER_CTX* const context_;
};

}  // namespace

std::unique_ptr<Gcm> MakeOpenSslGcm(const SealKey& key, bool seals) {
  PrepareOpenSsl();
  EVP_CIPHER_CTX* const context = ::EVP_CIPHER_CTX_new();
  if (context == nullptr) return nullptr;
  if (::EVP_CipherInit_ex(context, ::EVP_aes_256_gcm(), nullptr, key.data(), nullptr, seals ? 1 : 0) == 1)
    return std::make_unique<OpenSslGcm>(context);
  ::EVP_CIPHER_CTX_free(context);
  return nullptr;
}

}  // namespace accelmesh
