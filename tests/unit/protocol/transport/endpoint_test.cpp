#include <gtest/gtest.h>

#include <string>

#include "protocol/transport/channel.h"

namespace accelmesh {
namespace {

TEST(ParseEndpointTest, Good) {
  const struct {
    std::string url;
    Endpoint::Scheme scheme;
    std::string host;
    int port;
    std::string path;
  } cases[] = {
      {"tcp://127.0.0.1:7700", Endpoint::Scheme::kTcp, "127.0.0.1", 7700, ""},
      {"tcp://gpu-3.example.org:1", Endpoint::Scheme::kTcp, "gpu-3.example.org", 1, ""},
      {"tcp://[::1]:7700", Endpoint::Scheme::kTcp, "::1", 7700, ""},
      {"tcp://[fe80::1:2]:65535", Endpoint::Scheme::kTcp, "fe80::1:2", 65535, ""},
      {"tcp://h:0", Endpoint::Scheme::kTcp, "h", 0, ""},
      {"tcp://" + std::string(253, 'h') + ":1", Endpoint::Scheme::kTcp, std::string(253, 'h'), 1, ""},
      {"rdma://10.77.0.1:7700", Endpoint::Scheme::kRdma, "10.77.0.1", 7700, ""},
      {"rdma://[fd00::1]:7700", Endpoint::Scheme::kRdma, "fd00::1", 7700, ""},
      {"ipc:///run/user/1000/mesh.sock", Endpoint::Scheme::kIpc, "", 0, "/run/user/1000/mesh.sock"},
      {"ipc:///a b/ä", Endpoint::Scheme::kIpc, "", 0, "/a b/ä"},
      {"ipc:///" + std::string(106, 'p'), Endpoint::Scheme::kIpc, "", 0, "/" + std::string(106, 'p')},
      {"shm://default", Endpoint::Scheme::kShm, "", 0, "default"},
      {"shm://A-z_0.9", Endpoint::Scheme::kShm, "", 0, "A-z_0.9"},
      {"shm://" + std::string(64, 'n'), Endpoint::Scheme::kShm, "", 0, std::string(64, 'n')},
  };
  for (const auto& one : cases) {
    const Result<Endpoint> endpoint = ParseEndpoint(one.url);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status().ToString();
    EXPECT_EQ(endpoint->scheme, one.scheme) << one.url;
    EXPECT_EQ(endpoint->host, one.host);
    EXPECT_EQ(endpoint->port, one.port);
    EXPECT_EQ(endpoint->path, one.path);
    EXPECT_EQ(endpoint->ToString(), one.url);
  }
}

TEST(ParseEndpointTest, BadOnesNameThePartAndARightOne) {
  const struct {
    std::string url;
    std::string says;
  } cases[] = {
      {"", "no scheme; write tcp://127.0.0.1:7700"},
      {"127.0.0.1:7700", "no scheme; write tcp://127.0.0.1:7700"},
      {"tcp:/127.0.0.1:7700", "no scheme"},
      {"http://127.0.0.1:7700", "unknown scheme \"http\"; there are tcp, rdma, ipc and shm"},
      {"TCP://127.0.0.1:7700", "unknown scheme \"TCP\""},
      {"://x", "unknown scheme \"\""},
      {"rdma://10.77.0.1", "the port is missing"},
      {"tcp://", "the port is missing; write tcp://127.0.0.1:7700"},
      {"tcp://localhost", "the port is missing; write tcp://127.0.0.1:7700"},
      {"tcp://:7700", "the host is missing; write tcp://127.0.0.1:7700"},
      {"tcp://[]:7700", "the host is missing"},
      {"tcp://::1:7700", "an IPv6 address stands in brackets; write tcp://[::1]:7700"},
      {"tcp://[::1:7700", "the address is not closed and followed by a port; write tcp://[::1]:7700"},
      {"tcp://[::1]", "the address is not closed and followed by a port"},
      {"tcp://[::1]7700", "the address is not closed and followed by a port"},
      {"tcp://h:", "the port is not a number from 0 to 65535; write tcp://127.0.0.1:7700"},
      {"tcp://h:65536", "the port is not a number from 0 to 65535"},
      {"tcp://h:4294967296", "the port is not a number from 0 to 65535"},
      {"tcp://h:99999999999999999999", "the port is not a number from 0 to 65535"},
      {"tcp://h:-1", "the port is not a number from 0 to 65535"},
      {"tcp://h:+1", "the port is not a number from 0 to 65535"},
      {"tcp://h: 1", "the port is not a number from 0 to 65535"},
      {"tcp://h:1/", "the port is not a number from 0 to 65535"},
      {"tcp://h:0x10", "the port is not a number from 0 to 65535"},
      {"tcp://a/b:1", "the host has a character that no host name has"},
      {"tcp://*:1", "the host has a character that no host name has"},
      {"tcp://a b:1", "the host has a character that no host name has"},
      {"tcp://user@h:1", "the host has a character that no host name has"},
      {"tcp://" + std::string(254, 'h') + ":1", "the host name is longer than 253 characters"},
      {"ipc://", "the path is not absolute; write ipc:///tmp/mesh.sock"},
      {"ipc://mesh.sock", "the path is not absolute; write ipc:///tmp/mesh.sock"},
      {"ipc:///" + std::string(107, 'p'), "the path is longer than 107 bytes, the limit of unix sockets"},
      {std::string("ipc:///a\0b", 10), "the rest holds a zero byte"},
      {std::string("tcp://h:1\0", 10), "the rest holds a zero byte"},
      {"shm://", "the name has 1 to 64 characters and no dot first; write shm://default"},
      {"shm://.hidden", "no dot first; write shm://default"},
      {"shm://..", "no dot first"},
      {"shm://" + std::string(65, 'n'), "the name has 1 to 64 characters"},
      {"shm://a/b", "a name has letters, digits, '-', '_' and '.'; write shm://default"},
      {"shm://a b", "a name has letters, digits"},
  };
  for (const auto& one : cases) {
    const Result<Endpoint> endpoint = ParseEndpoint(one.url);
    ASSERT_FALSE(endpoint.ok()) << one.url;
    EXPECT_EQ(endpoint.code(), Code::kInvalidArgument) << one.url;
    EXPECT_EQ(endpoint.status().where(), "ParseEndpoint");
    EXPECT_NE(endpoint.status().text().find(one.says), std::string::npos)
        << one.url << " says: " << endpoint.status().text();
  }
}

TEST(ParseEndpointTest, AMessageStaysShort) {
  for (const std::string& url : {"tcp://" + std::string(100'000, 'h'), std::string(100'000, 'x') + "://y",
                                 "ipc:///" + std::string(100'000, 'p'), std::string(100'000, 'z')}) {
    EXPECT_LT(ParseEndpoint(url).status().text().size(), 500U);
  }
}

}  // namespace
}  // namespace accelmesh
