// What the tests on a device have in common.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/conformance/transport/transports.h"

namespace accelmesh::rdma {

inline std::string Address() {
  const char* const address = std::getenv("ACCELMESH_TEST_RDMA");
  return address != nullptr ? address : "";
}

inline conformance::Transport OverRdma() {
  for (const conformance::Transport& transport : conformance::AllTransports()) {
    if (transport.name == "rdma") return transport;
  }
  return {};
}

class RdmaDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Address().empty()) GTEST_SKIP() << "no RDMA device here: tests/rdma boots a machine that has one";
  }
};

}  // namespace accelmesh::rdma
