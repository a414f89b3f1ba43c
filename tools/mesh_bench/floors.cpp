#include "tools/mesh_bench/floors.h"

#include <sys/mman.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "protocol/transport/doorbell.h"
#include "protocol/transport/ring.h"
#include "tools/mesh_bench/process.h"

namespace accelmesh::bench {
namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr std::size_t kSmallBytes = 64;
constexpr std::size_t kLaunchBytes = 104;  // a frame of one launch with four arguments
constexpr std::size_t kStreamBytes = 1u << 20;
constexpr std::size_t kRingBytes = 2u << 20;

double Ns(Duration duration) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
}

double Median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Runs both bodies as processes in their places. The client's returns its number through its output.
template <typename Server, typename Client>
Result<double> RunPair(const Placement& placement, Server serve, Client measure) {
  ACCELMESH_ASSIGN_OR_RETURN(Process server, Process::Fork(placement.server_cpu, [&serve] {
                               serve();
                               return 0;
                             }));
  ACCELMESH_ASSIGN_OR_RETURN(Process client, Process::Fork(placement.client_cpu, [&measure] {
                               std::printf("%.6f\n", measure());
                               return 0;
                             }));
  const Deadline deadline = Deadline::After(kPatience);
  ACCELMESH_ASSIGN_OR_RETURN(const std::string line, client.ReadLine(deadline));
  ACCELMESH_ASSIGN_OR_RETURN(const int client_status, client.Finish(deadline));
  ACCELMESH_ASSIGN_OR_RETURN(const int server_status, server.Finish(deadline));
  if (client_status != 0 || server_status != 0) return Status(Code::kInternal, "floor", "one of its processes failed");
  return std::strtod(line.c_str(), nullptr);
}

// Memory that parent and children share; zeros at first.
template <typename T>
class SharedMemory {
 public:
  SharedMemory() {
    void* mapped = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mapped != MAP_FAILED) value_ = new (mapped) T;
  }
  ~SharedMemory() {
    if (value_ != nullptr) ::munmap(value_, sizeof(T));
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  T* get() const { return value_; }

 private:
  T* value_ = nullptr;
};

// Rings -----------------------------------------------------------------------------------------------------------

struct Rings {
  shm::Side client;
  shm::Side server;
  shm::RingWords up;
  shm::RingWords down;
  alignas(64) std::uint8_t up_data[kRingBytes];
  alignas(64) std::uint8_t down_data[kRingBytes];
};

// One end of a pair of rings, waiting as the shm transport waits.
class RingEnd {
 public:
  RingEnd(shm::RingWords& out, std::uint8_t* out_data, shm::RingWords& in, std::uint8_t* in_data, shm::Side& mine,
          shm::Side& peer)
      : mine_(mine),
        spinner_(mine, peer),
        producer_(out, out_data, kRingBytes, peer),
        consumer_(in, in_data, kRingBytes, peer) {}

  void Send(ByteView bytes) {
    shm::RingStatus pushed;
    while ((pushed = producer_.TryPush(bytes)) != shm::RingStatus::kOk) {
      if (pushed == shm::RingStatus::kCorrupt) std::abort();
      Wait(mine_.room_waiters, [&] { return producer_.HasRoom(bytes.size()); });
    }
  }
  void Receive() {
    Wait(mine_.data_waiters, [this] { return consumer_.Available(); });
    std::size_t size = 0;
    if (consumer_.Pop(buffer_.data(), buffer_.size(), size) != shm::RingStatus::kOk) std::abort();
  }

 private:
  template <typename Ready>
  void Wait(std::atomic<std::uint32_t>& waiters, Ready ready) {
    const Deadline deadline = Deadline::After(kPatience);
    if (shm::WaitFor(mine_, waiters, spinner_, deadline, ready, [] { return false; }) != shm::Waited::kReady) {
      std::abort();
    }
  }

  shm::Side& mine_;
  shm::Spinner spinner_;
  shm::RingProducer producer_;
  shm::RingConsumer consumer_;
  std::array<std::uint8_t, 4096> buffer_{};
};

RingEnd ClientEnd(Rings& r) { return {r.up, r.up_data, r.down, r.down_data, r.client, r.server}; }
RingEnd ServerEnd(Rings& r) { return {r.down, r.down_data, r.up, r.up_data, r.server, r.client}; }

// ZeroMQ ----------------------------------------------------------------------------------------------------------

// The server's port travels through shared memory.
struct Meeting {
  std::atomic<std::uint32_t> port{0};
};

class ZmqSocket {
 public:
  explicit ZmqSocket(int type) : context_(::zmq_ctx_new()), socket_(::zmq_socket(context_, type)) {
    const int timeout_ms = static_cast<int>(std::chrono::milliseconds(kPatience).count());
    ::zmq_setsockopt(socket_, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    ::zmq_setsockopt(socket_, ZMQ_SNDTIMEO, &timeout_ms, sizeof(timeout_ms));
  }
  ~ZmqSocket() {
    ::zmq_close(socket_);
    ::zmq_ctx_term(context_);
  }
  ZmqSocket(const ZmqSocket&) = delete;
  ZmqSocket& operator=(const ZmqSocket&) = delete;

  void Bind(Meeting& meeting) {
    char endpoint[64] = {};
    std::size_t size = sizeof(endpoint);
    if (::zmq_bind(socket_, "tcp://127.0.0.1:*") != 0 ||
        ::zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0) {
      std::abort();
    }
    meeting.port.store(static_cast<std::uint32_t>(std::atoi(std::strrchr(endpoint, ':') + 1)));
  }
  void Connect(Meeting& meeting) {
    const Deadline deadline = Deadline::After(kPatience);
    while (meeting.port.load() == 0) {
      if (deadline.passed()) std::abort();
      const timespec pause{0, 1000000};
      ::nanosleep(&pause, nullptr);
    }
    if (::zmq_connect(socket_, ("tcp://127.0.0.1:" + std::to_string(meeting.port.load())).c_str()) != 0) std::abort();
  }
  void Send(ByteView bytes, bool more = false) {
    if (::zmq_send(socket_, bytes.data(), bytes.size(), more ? ZMQ_SNDMORE : 0) < 0) std::abort();
  }
  // The size of the message, which `bytes` gets as far as it has room.
  std::size_t Receive(MutableByteView bytes) {
    const int got = ::zmq_recv(socket_, bytes.data(), bytes.size(), 0);
    if (got < 0) std::abort();
    return static_cast<std::size_t>(got);
  }
  // Receives a large message where the library has put it.
  void ReceiveInPlace() {
    zmq_msg_t message;
    ::zmq_msg_init(&message);
    if (::zmq_msg_recv(&message, socket_, 0) < 0) std::abort();
    ::zmq_msg_close(&message);
  }

 private:
  void* context_;
  void* socket_;
};

// Sends `count` messages of `bytes` one way, `rounds` times, after one round that is not counted: median ns of a round.
Result<double> ZmqStreamNs(const Placement& placement, int rounds, int count, std::size_t bytes) {
  const SharedMemory<Meeting> meeting;
  if (meeting.get() == nullptr) return Status(Code::kSystem, "floor", "no shared memory");
  const auto serve = [&] {
    ZmqSocket socket(ZMQ_DEALER);
    socket.Bind(*meeting.get());
    const std::uint8_t done[1] = {1};
    for (int round = 0; round <= rounds; ++round) {
      for (int i = 0; i < count; ++i) socket.ReceiveInPlace();
      socket.Send(done);
    }
  };
  const auto measure = [&] {
    ZmqSocket socket(ZMQ_DEALER);
    socket.Connect(*meeting.get());
    const Bytes message(bytes, 7);
    std::uint8_t done[1];
    std::vector<double> taken;
    for (int round = 0; round <= rounds; ++round) {
      const Instant begin = Clock::now();
      for (int i = 0; i < count; ++i) socket.Send(message);
      socket.Receive(done);
      if (round != 0) taken.push_back(Ns(Clock::now() - begin));
    }
    return Median(taken);
  };
  return RunPair(placement, serve, measure);
}

}  // namespace

Result<double> RingRoundTripNs(const Placement& placement, const FloorOptions& options) {
  const SharedMemory<Rings> rings;
  if (rings.get() == nullptr) return Status(Code::kSystem, "floor", "no shared memory");
  const int total = (options.rounds + 1) * options.exchanges;
  const std::array<std::uint8_t, kSmallBytes> message{};
  const auto serve = [&] {
    RingEnd end = ServerEnd(*rings.get());
    for (int i = 0; i < total; ++i) {
      end.Receive();
      end.Send(message);
    }
  };
  const auto measure = [&] {
    RingEnd end = ClientEnd(*rings.get());
    std::vector<double> taken;
    for (int i = 0; i < total; ++i) {
      const Instant begin = Clock::now();
      end.Send(message);
      end.Receive();
      if (i >= options.exchanges) taken.push_back(Ns(Clock::now() - begin));
    }
    return Median(taken);
  };
  return RunPair(placement, serve, measure);
}

Result<double> RingMessagesPerSecond(const Placement& placement, const FloorOptions& options) {
  const SharedMemory<Rings> rings;
  if (rings.get() == nullptr) return Status(Code::kSystem, "floor", "no shared memory");
  const std::array<std::uint8_t, kLaunchBytes> message{};
  const auto serve = [&] {
    RingEnd end = ServerEnd(*rings.get());
    for (int round = 0; round <= options.rounds; ++round) {
      for (int i = 0; i < options.messages; ++i) end.Receive();
      end.Send(ByteView(message).first(8));
    }
  };
  const auto measure = [&] {
    RingEnd end = ClientEnd(*rings.get());
    std::vector<double> taken;
    for (int round = 0; round <= options.rounds; ++round) {
      const Instant begin = Clock::now();
      for (int i = 0; i < options.messages; ++i) end.Send(message);
      end.Receive();
      if (round != 0) taken.push_back(Ns(Clock::now() - begin));
    }
    return options.messages * 1e9 / Median(taken);
  };
  return RunPair(placement, serve, measure);
}

Result<double> ZmqRoundTripNs(const Placement& placement, const FloorOptions& options) {
  const SharedMemory<Meeting> meeting;
  if (meeting.get() == nullptr) return Status(Code::kSystem, "floor", "no shared memory");
  const int total = (options.rounds + 1) * options.exchanges;
  const std::array<std::uint8_t, kSmallBytes> message{};
  const auto serve = [&] {
    ZmqSocket socket(ZMQ_ROUTER);
    socket.Bind(*meeting.get());
    std::array<std::uint8_t, 256> peer{};
    std::array<std::uint8_t, kSmallBytes> body{};
    for (int i = 0; i < total; ++i) {
      const std::size_t peer_bytes = socket.Receive(peer);
      socket.Receive(body);
      socket.Send(ByteView(peer).first(peer_bytes), true);
      socket.Send(body);
    }
  };
  const auto measure = [&] {
    ZmqSocket socket(ZMQ_DEALER);
    socket.Connect(*meeting.get());
    std::array<std::uint8_t, kSmallBytes> body{};
    std::vector<double> taken;
    for (int i = 0; i < total; ++i) {
      const Instant begin = Clock::now();
      socket.Send(message);
      socket.Receive(body);
      if (i >= options.exchanges) taken.push_back(Ns(Clock::now() - begin));
    }
    return Median(taken);
  };
  return RunPair(placement, serve, measure);
}

Result<double> ZmqMessagesPerSecond(const Placement& placement, const FloorOptions& options) {
  ACCELMESH_ASSIGN_OR_RETURN(const double ns, ZmqStreamNs(placement, options.rounds, options.messages, kSmallBytes));
  return options.messages * 1e9 / ns;
}

Result<double> ZmqStreamBytesPerSecond(const Placement& placement, const FloorOptions& options) {
  const int count = static_cast<int>(options.copy_bytes / kStreamBytes);
  ACCELMESH_ASSIGN_OR_RETURN(const double ns, ZmqStreamNs(placement, options.rounds, count, kStreamBytes));
  return static_cast<double>(count) * kStreamBytes * 1e9 / ns;
}

Result<double> MemcpyBytesPerSecond(const Placement& placement, const FloorOptions& options) {
  const auto measure = [&] {
    Bytes from(options.copy_bytes, 1);
    Bytes to(options.copy_bytes, 2);
    std::vector<double> taken;
    for (int round = 0; round <= options.rounds; ++round) {
      from[static_cast<std::size_t>(round)] = 3;
      const Instant begin = Clock::now();
      std::memcpy(to.data(), from.data(), options.copy_bytes);
      asm volatile("" : : "r"(to.data()) : "memory");  // the bytes are wanted
      if (round != 0) taken.push_back(Ns(Clock::now() - begin));
    }
    return static_cast<double>(options.copy_bytes) * 1e9 / Median(taken);
  };
  return RunPair(placement, [] {}, measure);
}

}  // namespace accelmesh::bench
