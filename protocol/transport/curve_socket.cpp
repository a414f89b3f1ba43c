#include "protocol/transport/curve_socket.h"

namespace accelmesh::zmq {
namespace {

// A peer that connects and does not finish its handshake is let go of.
constexpr int kHandshakeMs = 5000;
// zmq.h of Debian 12 keeps these two among its drafts; the library has them (curve_socket_test.cpp).
constexpr int kZapEnforceDomain = 93;
constexpr const char* kUserId = "User-Id";
// What CURVE adds to a message on the wire: the command's name, a nonce, the flags and the authenticator.
constexpr std::int64_t kMessageOverhead = 8 + 8 + 1 + 16;

Status Set(void* socket, int option, const void* value, std::size_t size, const char* what) {
  if (zmq_setsockopt(socket, option, value, size) == 0) return {};
  const int error = zmq_errno();
  const bool without = error == EINVAL && zmq_has("curve") == 0;
  return {without ? Code::kUnsupported : Code::kSystem, "zmq::Secure",
          without ? "this libzmq was built without CURVE; install one with libsodium"
                  : std::string(what) + ": " + zmq_strerror(error)};
}

// A bound on messages means what they carry.
Status MakeRoomForCurve(void* socket) {
  std::int64_t size_max = -1;
  std::size_t bytes = sizeof(size_max);
  if (zmq_getsockopt(socket, ZMQ_MAXMSGSIZE, &size_max, &bytes) != 0 || size_max < 0) return {};
  size_max += kMessageOverhead;
  return Set(socket, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max), "ZMQ_MAXMSGSIZE");
}

Status SetKey(void* socket, int option, const std::array<std::uint8_t, security::kKeyBytes>& key, const char* what) {
  return Set(socket, option, key.data(), key.size(), what);
}

}  // namespace

Status SecureServer(void* socket, const security::CurveSecret& secret, const std::string& domain) {
  const int on = 1;
  ACCELMESH_RETURN_IF_ERROR(MakeRoomForCurve(socket));
  ACCELMESH_RETURN_IF_ERROR(Set(socket, ZMQ_CURVE_SERVER, &on, sizeof(on), "ZMQ_CURVE_SERVER"));
  ACCELMESH_RETURN_IF_ERROR(SetKey(socket, ZMQ_CURVE_SECRETKEY, secret.bytes, "ZMQ_CURVE_SECRETKEY"));
  ACCELMESH_RETURN_IF_ERROR(Set(socket, ZMQ_ZAP_DOMAIN, domain.data(), domain.size(), "ZMQ_ZAP_DOMAIN"));
  // Otherwise a socket without a handler would let everybody in.
  ACCELMESH_RETURN_IF_ERROR(Set(socket, kZapEnforceDomain, &on, sizeof(on), "ZMQ_ZAP_ENFORCE_DOMAIN"));
  return Set(socket, ZMQ_HANDSHAKE_IVL, &kHandshakeMs, sizeof(kHandshakeMs), "ZMQ_HANDSHAKE_IVL");
}

Status SecureClient(void* socket, const security::CurveCredentials& keys) {
  ACCELMESH_RETURN_IF_ERROR(MakeRoomForCurve(socket));
  ACCELMESH_RETURN_IF_ERROR(SetKey(socket, ZMQ_CURVE_SERVERKEY, keys.server_key.bytes, "ZMQ_CURVE_SERVERKEY"));
  ACCELMESH_RETURN_IF_ERROR(SetKey(socket, ZMQ_CURVE_PUBLICKEY, keys.own.key.bytes, "ZMQ_CURVE_PUBLICKEY"));
  ACCELMESH_RETURN_IF_ERROR(SetKey(socket, ZMQ_CURVE_SECRETKEY, keys.own.secret.bytes, "ZMQ_CURVE_SECRETKEY"));
  return Set(socket, ZMQ_HANDSHAKE_IVL, &kHandshakeMs, sizeof(kHandshakeMs), "ZMQ_HANDSHAKE_IVL");
}

void NoticeGoneHosts(void* socket) {
  constexpr int kUnansweredMs = 6000;
  for (const auto& [option, value] :
       {std::pair{ZMQ_TCP_KEEPALIVE, 1}, std::pair{ZMQ_TCP_KEEPALIVE_IDLE, 2}, std::pair{ZMQ_TCP_KEEPALIVE_INTVL, 2},
        std::pair{ZMQ_TCP_KEEPALIVE_CNT, 2}, std::pair{ZMQ_TCP_MAXRT, kUnansweredMs}}) {
    zmq_setsockopt(socket, option, &value, sizeof(value));
  }
}

std::optional<std::string> UserIdOf(zmq_msg_t* message) {
  const char* const id = zmq_msg_gets(message, kUserId);
  if (id == nullptr) return std::nullopt;
  return std::string(id);
}

}  // namespace accelmesh::zmq
