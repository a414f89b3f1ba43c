// A real gpu-server that serves the leases of a market which is this test: its keys, the tokens that it grants, and the
// clients that come with them, good and bad.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "protocol/base/command.h"
#include "protocol/base/log.h"
#include "protocol/schema/lease_generated.h"
#include "protocol/schema/session_generated.h"
#include "protocol/security/key_file.h"
#include "protocol/security/lease_token.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/lease_notice.h"
#include "shim/core/session.h"

namespace accelmesh::faults {

using security::CurveCredentials;
using security::CurvePair;
using security::LeaseTerms;
using security::SigningKey;

inline Deadline Soon(int ms = 15000) { return Deadline::After(std::chrono::milliseconds(ms)); }
inline std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// What this process, the client, logs: what a program's user reads.
class ClientLog {
 public:
  ClientLog() {
    Clear();
    log::SetSink([](log::Level, std::string_view line) {
      const std::lock_guard lock(mutex_);
      text_ += std::string(line) + "\n";
    });
  }
  static void Clear() {
    const std::lock_guard lock(mutex_);
    text_.clear();
  }
  static std::string Text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  static inline std::mutex mutex_;
  static inline std::string text_;
};

class LeaseServer {
 public:
  // `folder` has the server's keys and its state, which outlive it.
  LeaseServer(std::string folder, const SigningKey& market, std::vector<std::string> listen)
      : folder_(std::move(folder)), market_(security::HexOf(market.public_key().bytes)), listen_(std::move(listen)) {
    const security::KeyFolder keys(folder_ + "/keys");
    auto identity = keys.Load("server");
    if (!identity.ok()) identity = keys.Create("server", security::Role::kProvider, 1);
    EXPECT_TRUE(identity.ok()) << identity.status().ToString();
    id_ = security::HexOf(identity->key.public_key().bytes);
    key_ = security::CurveKeyOf(identity->key.public_key()).value();
    Start();
  }
  ~LeaseServer() { Kill(); }

  void Start() {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int log = open(LogPath().c_str(), O_CREAT | O_APPEND | O_WRONLY, 0600);
      dup2(fds[1], 1);
      dup2(log, 2);
      std::vector<std::string> words{"gpu-server", "--backend",       "cpu",     "--cpu-threads",   "1",
                                     "--verbose",  "--jit",           "off",     "--market-key",    market_,
                                     "--keys",     folder_ + "/keys", "--state", folder_ + "/state"};
      for (const std::string& url : listen_) words.insert(words.end(), {"--listen", url});
      std::vector<char*> argv;
      for (std::string& word : words) argv.push_back(word.data());
      argv.push_back(nullptr);
      execv(ACCELMESH_GPU_SERVER, argv.data());
      _exit(127);
    }
    close(fds[1]);
    urls_.clear();
    std::string line;
    for (char c = 0; urls_.size() < listen_.size() && read(fds[0], &c, 1) == 1;) {
      if (c != '\n') {
        line += c;
        continue;
      }
      if (line.rfind("ready ", 0) == 0) urls_.push_back(line.substr(6));
      line.clear();
    }
    close(fds[0]);
    ASSERT_EQ(urls_.size(), listen_.size()) << Log();
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  bool IsAlive() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }

  Endpoint endpoint(std::size_t i = 0) const { return ParseEndpoint(urls_.at(i)).value(); }
  const std::string& id() const { return id_; }
  const security::CurveKey& key() const { return key_; }
  std::string LogPath() const { return folder_ + "/log"; }
  std::string Log() const {
    std::ifstream in(LogPath());
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  const std::string folder_;
  const std::string market_;
  const std::vector<std::string> listen_;
  std::string id_;
  security::CurveKey key_;
  std::vector<std::string> urls_;
  pid_t pid_ = -1;
};

inline Bytes HelloWith(ByteView token, const std::string& group = "") {
  flatbuffers::FlatBufferBuilder builder;
  const auto token_offset = builder.CreateVector(token.data(), token.size());
  const auto group_offset = builder.CreateString(group);
  wire::HelloBuilder hello(builder);
  hello.add_version_min(kProtocolVersion);
  hello.add_version_max(kProtocolVersion);
  hello.add_group(group_offset);
  hello.add_token(token_offset);
  builder.Finish(hello.Finish());
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

// `token` with a block more that says `terms`, whatever they are, signed by `holder`.
inline Bytes AppendAnyway(ByteView token, const SigningKey& holder, const LeaseTerms& terms) {
  const auto& read = *flatbuffers::GetRoot<wire::LeaseToken>(token.data());
  flatbuffers::FlatBufferBuilder inner;
  const auto client = inner.CreateVector(terms.holder_key.bytes.data(), terms.holder_key.bytes.size());
  inner.Finish(wire::CreateLeaseBlock(inner, 0,
                                      wire::CreateLeaseTerms(inner, terms.share_milli, terms.memory_bytes,
                                                             static_cast<std::uint64_t>(terms.not_before_ms),
                                                             static_cast<std::uint64_t>(terms.not_after_ms), client)));
  const ByteView block(inner.GetBufferPointer(), inner.GetSize());
  const std::string label = "accelmesh lease block 1";
  Bytes message(label.begin(), label.end());
  const auto* last = read.blocks()->Get(read.blocks()->size() - 1)->signature();
  message.insert(message.end(), last->begin(), last->end());
  message.insert(message.end(), block.begin(), block.end());
  const security::Signature signature = holder.Sign(message);
  flatbuffers::FlatBufferBuilder outer;
  std::vector<flatbuffers::Offset<wire::SignedBlock>> blocks;
  for (const wire::SignedBlock* one : *read.blocks()) {
    const auto bytes = outer.CreateVector(one->block()->data(), one->block()->size());
    blocks.push_back(
        wire::CreateSignedBlock(outer, bytes, outer.CreateVector(one->signature()->data(), one->signature()->size())));
  }
  const auto bytes = outer.CreateVector(block.data(), block.size());
  blocks.push_back(wire::CreateSignedBlock(outer, bytes, outer.CreateVector(signature.data(), signature.size())));
  outer.Finish(wire::CreateLeaseToken(outer, 1, outer.CreateVector(blocks)));
  return {outer.GetBufferPointer(), outer.GetBufferPointer() + outer.GetSize()};
}

}  // namespace accelmesh::faults
