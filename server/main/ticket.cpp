#include "server/main/ticket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "protocol/base/command.h"
#include "protocol/schema/session_generated.h"

namespace accelmesh {

Status SendMessage(int socket, ByteView message, int fd) {
  iovec io{const_cast<std::uint8_t*>(message.data()), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &io;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(item), &fd, sizeof(int));
  }
  if (::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    return Status::System(errno, "SendMessage", "cannot reach the other process");
  return Status::Ok();
}

Status ReceiveMessage(int socket, MutableByteView message, int* fd) {
  *fd = -1;
  iovec io{message.data(), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &io;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  const ssize_t got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (got == 0) return {Code::kClosed, "ReceiveMessage", "the other process has ended"};
  if (got < 0) return Status::System(errno, "ReceiveMessage", "cannot hear the other process");
  for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    // There is room for more than one, because of the alignment; one is all that anybody sends.
    for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= item->cmsg_len; at += sizeof(int)) {
      if (*fd >= 0) ::close(*fd);
      std::memcpy(fd, reinterpret_cast<const std::uint8_t*>(item) + at, sizeof(int));
    }
  }
  if (static_cast<std::size_t>(got) != message.size())
    return {Code::kBadFrame, "ReceiveMessage", "a message of the wrong size"};
  return Status::Ok();
}

namespace {
Bytes Finish(flatbuffers::FlatBufferBuilder& builder) {
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}
}  // namespace

Bytes MakeWelcome(const WelcomeFacts& facts) {
  flatbuffers::FlatBufferBuilder builder;
  const auto secret = builder.CreateVector(facts.secret.data(), facts.secret.size());
  const auto endpoint = builder.CreateString(facts.worker_endpoint);
  const auto bulk = builder.CreateString(facts.bulk_endpoint);
  const auto text = builder.CreateString("");
  const auto key =
      facts.worker_key.empty() ? 0 : builder.CreateVector(facts.worker_key.data(), facts.worker_key.size());
  builder.Finish(wire::CreateWelcome(builder, wire::Refusal::None, text, kProtocolVersion, facts.session_id, secret,
                                     endpoint, facts.worker_pid, key,
                                     static_cast<std::uint64_t>(facts.lease_not_after_ms), bulk));
  return Finish(builder);
}

Bytes MakeNoticeAnswer(std::int64_t lease_not_after_ms) {
  flatbuffers::FlatBufferBuilder builder;
  wire::WelcomeBuilder answer(builder);
  answer.add_version(kProtocolVersion);
  answer.add_lease_not_after_ms(static_cast<std::uint64_t>(lease_not_after_ms));
  builder.Finish(answer.Finish());
  return Finish(builder);
}

Bytes MakeEndAnswer(std::uint64_t device_us, std::uint32_t delivered_ppm) {
  flatbuffers::FlatBufferBuilder builder;
  wire::WelcomeBuilder answer(builder);
  answer.add_version(kProtocolVersion);
  answer.add_lease_device_us(device_us);
  answer.add_lease_delivered_ppm(delivered_ppm);
  builder.Finish(answer.Finish());
  return Finish(builder);
}

Bytes MakeRefusal(std::uint8_t refusal, const std::string& text) {
  flatbuffers::FlatBufferBuilder builder;
  const auto text_offset = builder.CreateString(text);
  builder.Finish(wire::CreateWelcome(builder, static_cast<wire::Refusal>(refusal), text_offset));
  return Finish(builder);
}

}  // namespace accelmesh
