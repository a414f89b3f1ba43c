// A real gpu-server on which one session works all the time, for tests that attack it from beside.
//
// When a test ends, the other session must have gone on without an error and the server must stop as asked.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "protocol/schema/session_generated.h"
#include "protocol/transport/channel.h"
#include "shim/core/session.h"
#include "tests/conformance/transport/transports.h"

namespace accelmesh::faults {

using conformance::Folder;
using conformance::HelloFrame;
using conformance::In;

constexpr int kPatienceMs = 20000;

// gpu-server as people start it, with its log in a file.
class Server {
 public:
  explicit Server(const std::string& listen) : log_path_(Folder() + "/gpu-server.log") {
    int fds[2];
    if (pipe(fds) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int log = open(log_path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
      dup2(fds[1], 1);
      dup2(log, 2);
      execl(ACCELMESH_GPU_SERVER, "gpu-server", "--listen", listen.c_str(), "--backend", "cpu", "--cpu-threads", "2",
            "--verbose", nullptr);
      _exit(127);
    }
    close(fds[1]);
    std::string line;
    for (char c = 0; read(fds[0], &c, 1) == 1 && c != '\n';) line += c;
    stdout_ = fds[0];
    if (line.rfind("ready ", 0) == 0) url_ = line.substr(6);
  }
  ~Server() {
    if (pid_ > 0) kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    if (stdout_ >= 0) close(stdout_);
  }

  const std::string& url() const { return url_; }
  std::string Log() const {
    std::ifstream in(log_path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  int Count(const std::string& text) const {
    const std::string log = Log();
    int count = 0;
    for (std::size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) ++count;
    return count;
  }
  bool Alive() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }
  // Its exit status, or -1.
  int Stop() {
    kill(pid_, SIGTERM);
    int status = 0;
    for (int i = 0; i < 1000 && waitpid(pid_, &status, WNOHANG) == 0; ++i) poll(nullptr, 0, 10);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  std::string log_path_;
  std::string url_;
  pid_t pid_ = -1;
  int stdout_ = -1;
};

inline Result<Connected> Connect(const std::string& url, ByteView hello) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  return endpoint.scheme == Endpoint::Scheme::kShm ? ConnectShm(endpoint, hello, In(kPatienceMs))
                                                   : ConnectZmq(endpoint, hello, In(kPatienceMs));
}

struct Ignore final : FrameSink {
  void OnFrame(ByteView) override {}
};

// Frames, right and wrong.
class Frame {
 public:
  explicit Frame(std::uint64_t first_sequence, std::uint32_t magic = kFrameMagic) {
    FrameHeaderValue header;
    header.magic = magic;
    header.first_sequence = first_sequence;
    Append(AsBytes(header));
  }
  template <typename T>
  Frame& Add(const T& body, ByteView payload = {}) {
    return AddRaw(static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body), payload);
  }
  Frame& AddRaw(std::uint16_t command, ByteView body, ByteView payload = {}) {
    RecordHeaderValue record;
    record.bytes = static_cast<std::uint32_t>(RecordBytes(body.size(), payload.size()));
    record.body_bytes = static_cast<std::uint32_t>(body.size());
    record.payload_bytes = static_cast<std::uint32_t>(payload.size());
    record.command = command;
    const std::size_t start = bytes_.size();
    Append(AsBytes(record));
    Append(body);
    Append(payload);
    bytes_.resize(start + record.bytes);
    ++records_;
    std::memcpy(bytes_.data() + offsetof(FrameHeaderValue, records), &records_, sizeof(records_));
    return *this;
  }
  Bytes& bytes() { return bytes_; }

 private:
  void Append(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  Bytes bytes_;
  std::uint32_t records_ = 0;
};

inline Frame OpenFrame() {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(wire::CreateOpenSession(builder, 0x7e8000000000, 256 * limits::kGiB));
  Frame frame(1);
  frame.AddRaw(static_cast<std::uint16_t>(CommandId::kOpenSession), {builder.GetBufferPointer(), builder.GetSize()});
  return frame;
}

class GarbageTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    alarm(120);
    Folder();
    const std::string scheme = GetParam();
    server_ = std::make_unique<Server>(scheme == "shm"   ? "shm://garbage-" + std::to_string(getpid())
                                       : scheme == "tcp" ? "tcp://127.0.0.1:0"
                                                         : "ipc://" + Folder() + "/hello");
    ASSERT_FALSE(server_->url().empty()) << server_->Log();
    auto connected = Connect(server_->url(), HelloFrame());
    ASSERT_TRUE(connected.ok()) << connected.status().ToString();
    welcome_ = std::move(connected->welcome);
    auto session = ClientSession::Open(std::move(connected->channel), nullptr);
    ASSERT_TRUE(session.ok()) << session.status().ToString();
    bystander_ = *std::move(session);
    worker_ = std::thread([this] { Work(); });
  }

  void TearDown() override {
    const int at_end = rounds_;
    for (int i = 0; i < 500 && rounds_ < at_end + 2; ++i) poll(nullptr, 0, 10);
    EXPECT_GE(rounds_, at_end + 2) << "the other session does not go on";
    stop_ = true;
    if (worker_.joinable()) worker_.join();
    EXPECT_EQ(faults_, 0) << "the other session noticed";
    if (bystander_ != nullptr) {
      EXPECT_EQ(bystander_->TakeAsyncError(), 0u);
    }
    bystander_.reset();
    ASSERT_TRUE(server_->Alive());
    EXPECT_EQ(server_->Count("died of signal"), 0) << server_->Log();
    EXPECT_EQ(server_->Stop(), 0);
    alarm(0);
  }

  // What the other session does all the time: copies there and back, checked.
  void Work() {
    Stream* stream = bystander_->Legacy(0);
    for (unsigned round = 0; !stop_; ++round) {
      std::uint64_t address = 0;
      const Bytes from(30000 + round % 7, static_cast<std::uint8_t>(round));
      Bytes to(from.size());
      const bool fine = bystander_->Malloc(0, from.size(), &address) == 0 &&
                        bystander_->CopyToDevice(stream, address, from.data(), from.size(), true) == 0 &&
                        bystander_->CopyToHost(stream, to.data(), address, to.size(), true) == 0 &&
                        bystander_->Free(address) == 0 && to == from;
      if (!fine) ++faults_;
      ++rounds_;
    }
  }

  std::unique_ptr<ClientChannel> Attack() {
    auto connected = Connect(server_->url(), HelloFrame());
    EXPECT_TRUE(connected.ok()) << connected.status().ToString();
    return connected.ok() ? std::move(connected->channel) : nullptr;
  }

  // The session of `channel` is ended by the server, for bad bytes, and the server says so.
  void ExpectEnded(ClientChannel& channel, const char* what) {
    Ignore sink;
    Status status;
    const Deadline deadline = In(kPatienceMs);
    while (status.ok() && !deadline.passed()) status = channel.Pump(sink, deadline);
    EXPECT_EQ(status.code(), Code::kClosed) << what << ": " << status.ToString();
    ++attacks_;
    int logged = 0;
    for (int i = 0; i < 500 && logged < attacks_; ++i) {
      logged = server_->Count("is ended: bad_frame");
      if (logged < attacks_) poll(nullptr, 0, 10);
    }
    EXPECT_EQ(logged, attacks_) << what << ": no reason is logged\n" << server_->Log();
    attacks_ = logged;
  }
  void ExpectLogged(const std::string& text) {
    for (int i = 0; i < 2000 && server_->Count(text) == 0; ++i) poll(nullptr, 0, 10);
    EXPECT_EQ(server_->Count(text), 1) << server_->Log();
  }
  void AttackWith(const char* what, UpLane lane, std::vector<Bytes> frames) {
    const auto channel = Attack();
    ASSERT_NE(channel, nullptr);
    for (const Bytes& frame : frames) {
      // The connection may have ended meanwhile.
      if (const Status sent = channel->Send(lane, frame, In(kPatienceMs)); !sent.ok()) break;
    }
    ExpectEnded(*channel, what);
  }

  std::unique_ptr<Server> server_;
  Bytes welcome_;  // the other session's
  std::unique_ptr<ClientSession> bystander_;
  std::thread worker_;
  std::atomic<bool> stop_{false};
  std::atomic<int> rounds_{0};
  std::atomic<int> faults_{0};
  int attacks_ = 0;
};

inline std::string NameOf(const ::testing::TestParamInfo<const char*>& info) { return info.param; }

}  // namespace accelmesh::faults
