// Both ends of a session over the fake, for what is tested below the channels.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/unit/protocol/transport/rdma/fake_session.h"

namespace accelmesh::rdma {

inline Duration Beat() { return Heart::kBeat; }

class RdmaEnd : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<Ends> joined = Join(*fabric_);
    ASSERT_TRUE(joined.ok()) << joined.status().ToString();
    client_ = std::move(joined->client);
    server_ = std::move(joined->server);
  }
  Status Send(std::string_view text, int ms = 1000) {
    return client_->Send(kCommandRing, Kind::kFrame, AsBytes(text), In(ms));
  }
  // The next command at the server; empty if none comes, and then `why`.
  std::string Receive(int ms = 2000) {
    waited_ = server_->WaitForData(In(ms), Beat, [&] { return server_->Arrived(kCommandRing); });
    if (waited_ != shm::Waited::kReady) return "";
    Kind kind = Kind::kFrame;
    std::size_t size = 0;
    buffer_.resize(limits::kFrameBytesMax);
    if (!server_->Take(kCommandRing, buffer_, kind, size).ok()) return "";
    server_->Publish(false);
    return std::string(AsText(ByteView(buffer_).first(size)));
  }

  std::shared_ptr<FakeFabric> fabric_ = FakeFabric::Make();
  std::unique_ptr<End> client_;
  std::unique_ptr<End> server_;
  shm::Waited waited_ = shm::Waited::kReady;
  Bytes buffer_;
};

}  // namespace accelmesh::rdma
