// Thin owners of libzmq's C objects, and the layout of our messages. No exceptions: libzmq's C interface has none.
//
// Every message of a session is one part (behind a routing id on ROUTER sockets):
//
//     bytes[...]  first:u64  second:u64  kind:u64
//
// The trailer stands last so that a frame begins where its message begins. `first` and `second` are, by lane:
//     up: 0, 0      down: pieces of bulk sent before it, the highest acknowledged sequence
// Bodies go by a stream of their own (bulk_stream.h).
// Threads: a Socket belongs to one thread at a time (libzmq allows to migrate it through a mutex).
#pragma once

#include <zmq.h>

#include <cstdint>
#include <memory>
#include <string>

#include "protocol/base/bytes.h"
#include "protocol/base/clock.h"
#include "protocol/base/result.h"
#include "protocol/transport/channel.h"

namespace accelmesh::zmq {

enum class MessageKind : std::uint64_t { kFrame = 0, kProgress = 1, kBye = 2, kAttach = 3 };

struct Trailer {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  MessageKind kind = MessageKind::kFrame;
};

enum Lane { kCommandLane = 0, kSideLane = 1, kDownLane = 2, kLanes = 3 };

// The largest message any socket of ours takes; libzmq cuts off a peer that sends more.
inline constexpr std::size_t kMessageBytesMax = limits::kFrameBytesMax + sizeof(Trailer);
// Messages that libzmq holds per lane and side before a sender waits. They are mostly small.
inline constexpr int kFrameMessagesMax = 128;

class Message {
 public:
  Message() { zmq_msg_init(&message_); }
  // A message of `body` and a trailer; empty() if there is no memory.
  Message(ByteView body, const Trailer& trailer);
  // A message of `body` alone.
  explicit Message(ByteView body);
  ~Message() { zmq_msg_close(&message_); }
  Message(Message&& other) noexcept {
    zmq_msg_init(&message_);
    zmq_msg_move(&message_, &other.message_);
  }
  Message& operator=(Message&& other) noexcept {
    if (this != &other) zmq_msg_move(&message_, &other.message_);
    return *this;
  }

  zmq_msg_t* get() { return &message_; }
  ByteView bytes() const {
    auto* message = const_cast<zmq_msg_t*>(&message_);
    return {static_cast<const std::uint8_t*>(zmq_msg_data(message)), zmq_msg_size(message)};
  }
  bool more() const { return zmq_msg_more(const_cast<zmq_msg_t*>(&message_)) != 0; }
  // The trailer; false if the message is too short for one.
  bool ReadTrailer(Trailer& trailer) const;
  // The bytes before the trailer. Precondition: ReadTrailer() was true.
  ByteView body() const { return bytes().first(bytes().size() - sizeof(Trailer)); }

 private:
  zmq_msg_t message_;
};

// Shared by the sockets of a channel; its destruction waits (bounded by their linger) until they are gone.
class Context {
 public:
  Context() : context_(zmq_ctx_new()) {}
  ~Context() {
    if (context_ != nullptr) zmq_ctx_term(context_);
  }
  Context(const Context&) = delete;
  void* get() const { return context_; }

 private:
  void* context_;
};

enum class Io { kDone, kWouldBlock, kNoPeer, kFailed };

class Socket {
 public:
  Socket() = default;
  // Makes a socket with our limits: message size, `messages_max` in each direction, no reconnecting.
  static Result<Socket> Open(const Context& context, int type, int messages_max) {
    return Open(context.get(), type, messages_max);
  }
  static Result<Socket> Open(void* context, int type, int messages_max);
  ~Socket() { Close(); }
  Socket(Socket&& other) noexcept
      : socket_(other.socket_), event_fd_(other.event_fd_), maybe_readable_(other.maybe_readable_) {
    other.socket_ = nullptr;
  }
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      Close();
      socket_ = other.socket_;
      event_fd_ = other.event_fd_;
      maybe_readable_ = other.maybe_readable_;
      other.socket_ = nullptr;
    }
    return *this;
  }

  void* get() const { return socket_; }
  Status Connect(const Endpoint& endpoint);
  // kUnavailable if the address is taken. The endpoint comes back with the port that was bound.
  Result<Endpoint> Bind(const Endpoint& endpoint);
  // What has come stays readable when the connection ends; libzmq would drop it together with an endpoint that it is
  // not to connect to again. Call before Connect().
  Status KeepWhatCame();
  // ipc: connections of other users' processes are closed at once (SO_PEERCRED). Call before Bind().
  Status AcceptOwnUserOnly();
  void SetLinger(int ms) { zmq_setsockopt(socket_, ZMQ_LINGER, &ms, sizeof(ms)); }

  // Never wait. `message` is consumed on kDone only.
  Io TrySend(Message& message, bool more = false);
  Io TryReceive(Message& message);

  // For waiting on several sockets with one poll(2): zmq_poll() asks each of them twice, a system call each. libzmq's
  // descriptor tells of changes only, so a socket counts as readable from the moment its descriptor was, until
  // TryReceive() has found it empty. Wait on event_fd() only while !maybe_readable().
  int event_fd() const { return event_fd_; }
  bool maybe_readable() const { return maybe_readable_; }
  void NoteReadable() { maybe_readable_ = true; }

 private:
  void Close() {
    if (socket_ == nullptr) return;
    // Its last events would have nobody to go to (Monitor).
    zmq_socket_monitor(socket_, nullptr, 0);
    zmq_close(socket_);
    socket_ = nullptr;
  }
  void* socket_ = nullptr;
  int event_fd_ = -1;
  bool maybe_readable_ = true;
};

// How often a waiting end asks whether its peer's connection has ended.
inline constexpr int kLivenessMs = 100;

// Tells of connections that end (and of attempts that fail) on one socket. Declare it before that socket: libzmq's
// thread would wait for ever to tell a monitor that is gone of a socket that is not.
class Monitor {
 public:
  // `name` is unique in its context. Call before the socket connects or binds.
  Status Watch(const Context& context, const Socket& socket, const char* name);
  void* get() const { return pair_.get(); }
  struct Event {
    bool begins = false;  // a connection was accepted or made; otherwise one has ended, or an attempt failed
    int descriptor = -1;  // the connection's, or -1 for an attempt
    int kind = 0;         // ZMQ_EVENT_...
    std::uint32_t value = 0;
  };
  // The next event, never waiting; false if there is none. Numbers of descriptors are used again.
  bool Next(Event& event);
  // The same for ends alone.
  bool NextEnd(int& descriptor);

 private:
  Socket pair_;
};

Status ZmqStatus(int error, const char* where, const std::string& what);

// Refuses addresses that other machines can reach, unless CURVE keeps strangers out.
Status CheckAddress(const Endpoint& endpoint, bool is_secured, const char* where);

// Waits on an event descriptor and clears it.
class Wakeup {
 public:
  Wakeup();
  ~Wakeup();
  Wakeup(const Wakeup&) = delete;
  int fd() const { return fd_; }
  void Set();
  void Clear();

 private:
  int fd_;
};

}  // namespace accelmesh::zmq
