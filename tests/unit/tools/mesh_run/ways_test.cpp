#include "tools/mesh_run/ways.h"

#include <gtest/gtest.h>

namespace accelmesh::mesh_run {
namespace {

using Urls = std::vector<std::string>;
const Urls kAll = {"tcp://10.0.0.7:7700", "rdma://10.0.0.7:7700", "shm://a", "ipc:///b", "shm://c"};

TEST(Ways, NearOnesComeFirst) {
  const Ways ways = OrderWays(kAll, "", true);
  EXPECT_EQ(ways.urls, (Urls{"shm://a", "shm://c", "ipc:///b", "rdma://10.0.0.7:7700", "tcp://10.0.0.7:7700"}));
  EXPECT_EQ(ways.why, "tried in this order: shm://a, shm://c, ipc:///b, rdma://10.0.0.7:7700, tcp://10.0.0.7:7700");
}

TEST(Ways, RdmaIsLeftOutAloudWhereTheFabricIsNotTrusted) {
  const Ways ways = OrderWays({"rdma://h:1", "tcp://h:1"}, "", false);
  EXPECT_EQ(ways.urls, (Urls{"tcp://h:1"}));
  EXPECT_NE(ways.why.find("not rdma://h:1: rdma is not sealed"), std::string::npos) << ways.why;
}

TEST(Ways, TransportChoosesOne) {
  EXPECT_EQ(OrderWays(kAll, "rdma", true).urls, (Urls{"rdma://10.0.0.7:7700"}));
  EXPECT_EQ(OrderWays(kAll, "shm", true).urls, (Urls{"shm://a", "shm://c"}));
  const Ways none = OrderWays({"tcp://h:1"}, "shm", true);
  EXPECT_TRUE(none.urls.empty());
  EXPECT_EQ(none.why, "no way to the server is left; not tcp://h:1: --transport shm");
  EXPECT_TRUE(OrderWays(kAll, "rdma", false).urls.empty());
}

TEST(Ways, WhatNobodyKnowsIsNoWay) { EXPECT_TRUE(OrderWays({"http://h:1", "rdmax://h:1", ""}, "", true).urls.empty()); }

}  // namespace
}  // namespace accelmesh::mesh_run
