// The two ends of a session's connection. Every transport (loopback, shm, zmq, rdma) implements both interfaces
// and passes tests/conformance/transport; the client core and the server's session know nothing else of a transport.
//
// A connection has two lanes. Commands: frames of at most limits::kFrameBytesMax, in order, client to server (with a
// side lane that overtakes them) and server to client. Bulk: bodies of at most limits::kBulkBytesMax that a command
// names by token, so that large data never holds up commands and lands where it belongs without a detour.
// Besides, the server publishes progress (counters per stream, the acknowledged sequence, the first error), which the
// client reads without asking.
//
// Rule of landing: a counter that the server publishes after SendBulk() or Send() becomes visible to the client only
// after that body lies in its destination and that frame has been handed on. Messages of zmq carry how many bodies come
// before them; in shared memory a counter is held back until the client has taken in what was sent.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "protocol/base/bytes.h"
#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/base/result.h"
#include "protocol/security/curve.h"

namespace accelmesh {

class DirectLane;

// What the server tells the client without being asked. One writer (the server, or the client's receiving code on
// transports without shared memory), many readers. It may lie in memory that a hostile peer can write: readers treat
// every value as a claim, never as an index or a size. All values only grow, except `error` which is set once.
// What changes with every frame, with an error and with work lies in cache lines of its own: a client looks at `error`
// in every call.
struct ProgressPage {
  // Highest command sequence that the executor has taken in; everything up to it needs no resending.
  alignas(64) std::atomic<std::uint64_t> acknowledged{0};
  // How many messages the client has taken in, by its own count; 0 where what comes down comes through memory.
  std::atomic<std::uint64_t> messages{0};
  // First asynchronous error of the session as a device status (a CUresult number), 0 while there is none.
  // Written before `error_sequence`'s stream counter moves past the failing command.
  alignas(64) std::atomic<std::uint32_t> error{0};
  // 1 if the error is sticky: the context is lost and every later call returns it.
  std::atomic<std::uint32_t> error_is_sticky{0};
  std::atomic<std::uint64_t> error_sequence{0};
  // completed[s]: every command of stream slot s with a sequence up to this value has completed, effects landed.
  alignas(64) std::array<std::atomic<std::uint64_t>, limits::kStreamsMax> completed{};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

// Raises `word` to `value` if it is lower. How every progress value is published.
inline void StoreMax(std::atomic<std::uint64_t>& word, std::uint64_t value) {
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  while (seen < value && !word.compare_exchange_weak(seen, value, std::memory_order_release)) {
  }
}

// Receives what Pump() takes off the wire. Called on the pumping thread, under no lock of the transport.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // `frame` is private memory (already copied out of anything the peer can write), valid during the call.
  virtual void OnFrame(ByteView frame) = 0;
};

enum class UpLane : std::uint8_t {
  kCommand = 0,  // ordered; the server may stop reading it while its executor is full
  kSide = 1,     // ordered among itself; always read, so nothing parked can block it
};

// How a channel wants to be used; constant for its life.
struct ChannelTraits {
  // "loopback", "shm", "zmq", "rdma": for messages to people.
  const char* name = "";
  // Send each record as it is appended (true), or gather a batch for at most 50 us (false).
  bool flush_each_append = false;
  // The size of body at which the bulk lane is fastest; at most limits::kBulkBytesMax.
  std::size_t bulk_bytes_preferred = limits::kBulkBytesMax;
  // Memory of this process can be mapped by the server: ShareMemory() works.
  bool shares_memory = false;
};

class ClientChannel {
 public:
  virtual ~ClientChannel() = default;

  virtual const ChannelTraits& traits() const = 0;

  // Queues `frame` on `lane`; copies it before returning. Waits for room until `deadline`, then kDeadlineExceeded with
  // nothing queued. kClosed once the peer is gone. Any thread; frames of one lane from one thread stay in order.
  virtual Status Send(UpLane lane, ByteView frame, Deadline deadline) = 0;

  // Hands `body` to the server under `token`, before the command that names it. Copies before returning; waits for
  // room until `deadline`. Tokens are never reused within a session. Any thread.
  virtual Status SendBulk(std::uint64_t token, ByteView body, Deadline deadline) = 0;
  // The same of a body that only a copy to a device will name: it may go straight to the device's memory.
  virtual Status SendBulkToDevice(std::uint64_t token, ByteView body, Deadline deadline) {
    return SendBulk(token, body, deadline);
  }

  // Announces where the body of `token` from the server goes; call it before the command that causes it is sent.
  // Pump() writes exactly destination.size() bytes there, in whatever pieces the server sends, each piece named by
  // its offset; a piece outside of it closes the channel with kBadFrame. Any thread.
  virtual Status ExpectBulk(std::uint64_t token, MutableByteView destination) = 0;
  // True once all bytes of `token` have landed; the expectation then ends. Any thread.
  virtual bool BulkLanded(std::uint64_t token) = 0;
  // Ends an expectation early; when it returns, nothing writes to the destination any more. Any thread.
  virtual void CancelBulk(std::uint64_t token) = 0;

  // Takes in what has arrived: frames go to `sink`, bodies to their destinations, progress to the page. Returns kOk as
  // soon as anything has arrived or changed, kDeadlineExceeded if nothing has by `deadline` (a passed deadline polls),
  // kClosed when the peer is gone (whatever arrived before has been delivered). One thread at a time.
  virtual Status Pump(FrameSink& sink, Deadline deadline) = 0;

  // Any thread; lives as long as the channel.
  virtual const ProgressPage& progress() const = 0;

  // `memory` of this process stays mapped as it is until NoteUnpinned() of its first byte has returned: a channel may
  // then send bodies that lie in it without copying them. Optional; others ignore it. Any thread.
  virtual void NotePinned(MutableByteView) {}
  virtual void NoteUnpinned(const std::uint8_t*) {}

  // Makes memory of a memfd known to the server as region `region` (server side: SharedRegion()). The fd must be
  // sealed against shrinking; it stays the caller's. kUnsupported unless traits().shares_memory. Any thread.
  // The region is known to the server before any command that is sent afterwards.
  virtual Status ShareMemory(std::uint32_t region, int memfd, std::size_t size) = 0;

  // Wakes a Pump() that waits on another thread; it then returns kOk. Any thread.
  virtual void Interrupt() = 0;
  // Ends the connection; waiting calls return kClosed. Any thread, more than once.
  virtual void Close() = 0;
};

// A body that arrived on the bulk lane; the bytes are stable (no peer can write them any more, or only its own data
// would change: see shm) until the object is destroyed. Movable; any thread may destroy it.
class BulkBody {
 public:
  virtual ~BulkBody() = default;
  virtual ByteView bytes() const = 0;
  virtual std::size_t size() const { return bytes().size(); }
  // Where in a device's memory it lies, if it does: then bytes() is empty. See DirectLane::Join().
  virtual std::uint64_t device_address() const { return 0; }
};

struct ReceivedFrame {
  enum class Kind : std::uint8_t {
    kFrame,       // `frame` of `lane`
    kBulk,        // a bulk body has arrived; TakeBulk() may now succeed for something that was parked
    kInterrupted  // Interrupt() was called
  };
  Kind kind = Kind::kInterrupted;
  UpLane lane = UpLane::kCommand;
  ByteView frame;  // private memory, valid until the next Receive()
};

// See ServerChannel::PublishPassing(): long next to most kernels, short to whoever comes to wait for one after all.
inline constexpr std::chrono::milliseconds kPassingDelay{1};

class ServerChannel {
 public:
  virtual ~ServerChannel() = default;

  virtual const ChannelTraits& traits() const = 0;

  // Waits for the next frame, bulk body or interrupt. The side lane goes first, and an interrupt comes when nothing
  // else is there, so that many of them keep no frame waiting. While `accept_commands` is false the command lane is
  // left unread, so that the client feels it. kDeadlineExceeded, or kClosed when the client is gone. A frame past the
  // limits, or anything else malformed at the transport's own level: kBadFrame; the session ends. One thread, the
  // executor's.
  virtual Result<ReceivedFrame> Receive(bool accept_commands, Deadline deadline) = 0;

  // The body of `token` if it has arrived: kNotFound while it has not. Each body is taken once. Executor's thread.
  virtual Result<std::unique_ptr<BulkBody>> TakeBulk(std::uint64_t token) = 0;

  // Sends a frame to the client. Any thread. Order is kept per thread.
  virtual Status Send(ByteView frame, Deadline deadline) = 0;
  // Sends bytes [offset, offset + body.size()) of the body that the client expects under `token`; body.size() is at
  // most limits::kBulkBytesMax. Copies before returning; waits for room until `deadline`. Any thread but the
  // executor's: room may need the executor's thread on transports where it does the I/O.
  virtual Status SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) = 0;

  // Publishes that every command of `stream` up to `sequence` has completed. Cheap; any thread; of values that overtake
  // one another the highest counts. Values are coalesced on transports without shared memory and leave at the latest
  // when the executor next waits in Receive().
  virtual void PublishCompleted(std::uint32_t stream, std::uint64_t sequence) = 0;
  // The same of a command that nobody waits for by itself, with more of the stream's work behind it. Where a value
  // costs the client a message it may become visible a little later, together with others (kPassingDelay).
  virtual void PublishPassing(std::uint32_t stream, std::uint64_t sequence) { PublishCompleted(stream, sequence); }
  virtual void PublishAcknowledged(std::uint64_t sequence) = 0;
  // Sets the session's first error; later calls change nothing, except that a sticky one replaces one that is not.
  virtual void PublishError(std::uint32_t device_status, bool sticky, std::uint64_t sequence) = 0;

  // The way past this process's processor; null where there is none. Lives as long as the channel.
  virtual DirectLane* direct() { return nullptr; }

  // Memory that the client shared: kNotFound, or the mapping. Lives until ReleaseRegion() or the channel's end. Any
  // thread.
  virtual Result<MutableByteView> SharedRegion(std::uint32_t region) = 0;
  // Unmaps a region; nobody may use its mapping any more. Unknown ones are ignored. Any thread.
  virtual void ReleaseRegion(std::uint32_t region) = 0;

  // Makes Receive() return kInterrupted soon. Any thread, also from completions. Coalesced.
  virtual void Interrupt() = 0;
  virtual void Close() = 0;
};

// Establishing -------------------------------------------------------------------------------------------------------

// tcp://host:port, rdma://host:port, ipc:///path, shm://name. Bad input gets an error that names the part and shows a
// right one.
struct Endpoint {
  enum class Scheme : std::uint8_t { kTcp, kIpc, kShm, kRdma };
  Scheme scheme = Scheme::kTcp;
  std::string host;        // tcp, rdma
  std::uint16_t port = 0;  // tcp, rdma; 0 = any free port (listening only)
  std::string path;        // ipc: absolute path; shm: the name
  std::string ToString() const;
};
Result<Endpoint> ParseEndpoint(std::string_view url);

// Client side. `hello` is a finished wire::Hello frame (protocol/schema/session.fbs). Connects to the supervisor at
// `endpoint`, says hello, follows the Welcome to the worker and attaches to it. On success `welcome` holds the
// Welcome frame (verified by the caller's schema code as well). kUnavailable if nobody listens, with the remedy;
// kPermissionDenied / kVersionMismatch / kLimitExceeded as the server's refusal says.
// With `credentials` a zmq session is CURVE from the hello on: the server is the one that they name, or there is none.
struct Connected {
  std::unique_ptr<ClientChannel> channel;
  Bytes welcome;
};
Result<Connected> ConnectShm(const Endpoint& endpoint, ByteView hello, Deadline deadline);
Result<Connected> ConnectZmq(const Endpoint& endpoint, ByteView hello, Deadline deadline,
                             const security::CurveCredentials* credentials = nullptr);

// Supervisor side: accepts HELLOs at one endpoint. One thread.
struct Arrival {
  Bytes hello;             // unverified frame, bounded by limits::kFrameBytesMax
  std::uint64_t peer = 0;  // names the client in Answer()
  int connection_fd = -1;  // shm: the client's connection, to be passed to the worker; owned by the receiver
  std::optional<security::CurveKey> client_key;  // CURVE: whose connection it is
};
class Listener {
 public:
  virtual ~Listener() = default;
  virtual const Endpoint& endpoint() const = 0;  // with the port that was really bound
  // A descriptor that becomes readable when Accept() may have something (level or edge: call Accept until kFull).
  virtual int poll_fd() const = 0;
  // The next arrival, or kFull if there is none right now. Never waits.
  virtual Result<Arrival> Accept() = 0;
  // Sends a finished Welcome (or refusal) frame to a zmq client. For shm the connection itself answers.
  virtual Status Answer(std::uint64_t peer, ByteView welcome) = 0;
};
// Hears this user's processes only; so does ListenZmq() on ipc without security.
Result<std::unique_ptr<Listener>> ListenShm(const Endpoint& endpoint);

// What makes a zmq listener CURVE; then it may listen on addresses that other machines reach.
struct ListenSecurity {
  security::CurveSecret secret;
  // Whether the holder of this key may say hello at all, and why not. On a thread of the listener's.
  std::function<Status(const security::CurveKey&)> may_connect;
};
Result<std::unique_ptr<Listener>> ListenZmq(const Endpoint& endpoint, const ListenSecurity* security = nullptr);

// Worker side: the channel of one session. For shm `connection_fd` is the client's connection and `welcome` is sent
// on it together with what the client needs; for zmq sockets are bound first (OpenedZmq.endpoints goes into the
// Welcome) and the client must attach with `secret` before `deadline`.
struct WorkerEndpoints {
  // tcp, rdma: host and the ports [port_first, port_last] to try, 0-0 = any; ipc: a folder for the sockets.
  Endpoint::Scheme scheme = Endpoint::Scheme::kTcp;
  std::string host = "127.0.0.1";
  std::uint16_t port_first = 0;
  std::uint16_t port_last = 0;
  std::string folder;
  // CURVE: the only key that may connect.
  std::optional<security::CurveKey> client_key;
};
struct OpenedZmq {
  std::unique_ptr<ServerChannel> channel;
  std::string bulk_endpoint;      // what goes into Welcome.bulk_endpoint
  security::CurveKey worker_key;  // CURVE: made for this worker; goes into Welcome.worker_key
  std::string endpoint;           // "tcp://127.0.0.1:40123" or "ipc:///...": what goes into Welcome.worker_endpoint
};
Result<OpenedZmq> OpenZmqWorker(const WorkerEndpoints& where, ByteView secret);
Result<std::unique_ptr<ServerChannel>> OpenShmWorker(int connection_fd, ByteView welcome, Deadline deadline);

struct LoopbackPair {
  std::unique_ptr<ClientChannel> client;
  std::unique_ptr<ServerChannel> server;
};
LoopbackPair MakeLoopback();

// Refuses the Welcome on an shm connection (a refusal frame), then closes it.
void RefuseShm(int connection_fd, ByteView refusal);

}  // namespace accelmesh
