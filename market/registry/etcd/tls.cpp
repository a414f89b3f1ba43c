#include "market/registry/etcd/tls.h"

#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <iterator>

namespace accelmesh::registry {
namespace {

constexpr char kWhere[] = "registry::EtcdCredentials";
constexpr std::size_t kFileBytesMax = 1024 * 1024;

Result<std::string> ReadPem(const std::string& path, const char* what, const char* option, std::string_view begins,
                            bool is_secret) {
  struct stat facts{};
  if (path.empty() || ::stat(path.c_str(), &facts) != 0) {
    return Status(Code::kNotFound, kWhere,
                  std::string("etcd over https needs ") + what + ": name its file with " + option +
                      (path.empty() ? "" : "; " + path + " is not there or cannot be read"));
  }
  if (is_secret && (facts.st_mode & 077) != 0) {
    return Status(Code::kPermissionDenied, kWhere,
                  "other users can read the key " + path + "; run: chmod 600 " + path + ", and make a new key");
  }
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file || text.size() > kFileBytesMax || text.find(begins) == std::string::npos) {
    return Status(Code::kInvalidArgument, kWhere, path + " (" + option + ") is no PEM file of " + what);
  }
  return text;
}

}  // namespace

Result<std::shared_ptr<grpc::ChannelCredentials>> EtcdCredentials(const std::optional<EtcdTls>& tls) {
  if (!tls.has_value()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  ACCELMESH_ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(tls->ca_file, "the certificate of its authority",
                                                             "--etcd-ca", "-----BEGIN CERTIFICATE-----", false));
  ACCELMESH_ASSIGN_OR_RETURN(options.pem_cert_chain, ReadPem(tls->certificate_file, "a certificate for us",
                                                             "--etcd-cert", "-----BEGIN CERTIFICATE-----", false));
  ACCELMESH_ASSIGN_OR_RETURN(options.pem_private_key,
                             ReadPem(tls->key_file, "the certificate's key", "--etcd-key", "PRIVATE KEY-----", true));
  return grpc::SslCredentials(options);
}

}  // namespace accelmesh::registry
