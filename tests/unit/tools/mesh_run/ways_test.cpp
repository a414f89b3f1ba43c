#include "tools/mesh_run/ways.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace accelmesh::mesh_run {
namespace {

using Urls = std::vector<std::string>;
const Urls kAll = {"tcp://10.0.0.7:7700", "rdma://10.0.0.7:7700", "shm://a", "ipc:///b", "shm://c"};

constexpr Fabric kTrusted{true, true};
constexpr Fabric kUntrusted{false, true};

TEST(Ways, NearOnesComeFirst) {
  const Ways ways = OrderWays(kAll, "", kTrusted);
  EXPECT_EQ(ways.urls, (Urls{"shm://a", "shm://c", "ipc:///b", "rdma://10.0.0.7:7700", "tcp://10.0.0.7:7700"}));
  EXPECT_EQ(ways.why, "tried in this order: shm://a, shm://c, ipc:///b, rdma://10.0.0.7:7700, tcp://10.0.0.7:7700");
}

TEST(Ways, RdmaIsLeftOutAloudWhereTheFabricIsNotTrusted) {
  const Ways ways = OrderWays({"rdma://h:1", "tcp://h:1"}, "", kUntrusted);
  EXPECT_EQ(ways.urls, (Urls{"tcp://h:1"}));
  EXPECT_NE(ways.why.find("not rdma://h:1: rdma is not sealed"), std::string::npos) << ways.why;
}

TEST(Ways, RdmaIsLeftOutAloudWhereNoPortIsActive) {
  const Ways ways = OrderWays({"rdma://h:1", "tcp://h:1"}, "", {true, false});
  EXPECT_EQ(ways.urls, (Urls{"tcp://h:1"}));
  EXPECT_NE(ways.why.find("not rdma://h:1: no port"), std::string::npos) << ways.why;
}

TEST(Ways, APortIsActiveIfTheKernelSaysSo) {
  const std::filesystem::path devices = std::filesystem::path(::testing::TempDir()) / "accelmesh-ways-devices";
  std::filesystem::remove_all(devices);
  EXPECT_FALSE(HasActivePort(devices));
  const auto set = [&](const char* device, const char* port, const char* state) {
    std::filesystem::create_directories(devices / device / "ports" / port);
    std::ofstream(devices / device / "ports" / port / "state") << state << "\n";
  };
  set("mlx5_0", "1", "1: DOWN");
  set("mlx5_1", "1", "2: INIT");
  EXPECT_FALSE(HasActivePort(devices));
  set("mlx5_1", "2", "4: ACTIVE");
  EXPECT_TRUE(HasActivePort(devices));
  std::filesystem::remove_all(devices);
}

TEST(Ways, TransportChoosesOne) {
  EXPECT_EQ(OrderWays(kAll, "rdma", kTrusted).urls, (Urls{"rdma://10.0.0.7:7700"}));
  EXPECT_EQ(OrderWays(kAll, "shm", kTrusted).urls, (Urls{"shm://a", "shm://c"}));
  const Ways none = OrderWays({"tcp://h:1"}, "shm", kTrusted);
  EXPECT_TRUE(none.urls.empty());
  EXPECT_EQ(none.why, "no way to the server is left; not tcp://h:1: --transport shm");
  EXPECT_TRUE(OrderWays(kAll, "rdma", kUntrusted).urls.empty());
}

TEST(Ways, WhatNobodyKnowsIsNoWay) {
  EXPECT_TRUE(OrderWays({"http://h:1", "rdmax://h:1", ""}, "", kTrusted).urls.empty());
}

}  // namespace
}  // namespace accelmesh::mesh_run
