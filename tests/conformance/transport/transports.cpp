#include "tests/conformance/transport/transports.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <future>

#include "protocol/schema/session_generated.h"
#include "protocol/transport/emulator.h"
#include "protocol/transport/plugin.h"
#include "protocol/transport/rdma/rdma.h"
#include "tests/unit/protocol/transport/rdma/fake_session.h"

namespace accelmesh::conformance {
namespace {

Bytes WelcomeFrame(const std::string& worker_endpoint, const std::string& bulk_endpoint = "",
                   ByteView worker_key = {}) {
  flatbuffers::FlatBufferBuilder builder;
  const Bytes secret = TestSecret();
  const auto secret_offset = builder.CreateVector(secret);
  const auto endpoint = builder.CreateString(worker_endpoint);
  const auto bulk = builder.CreateString(bulk_endpoint);
  const auto key = builder.CreateVector(worker_key.data(), worker_key.size());
  wire::WelcomeBuilder welcome(builder);
  welcome.add_version(1);
  welcome.add_session_id(1);
  welcome.add_secret(secret_offset);
  welcome.add_worker_endpoint(endpoint);
  welcome.add_bulk_endpoint(bulk);
  if (!worker_key.empty()) welcome.add_worker_key(key);
  builder.Finish(welcome.Finish());
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

class ListenerRendezvous final : public Rendezvous {
 public:
  ListenerRendezvous(std::unique_ptr<Listener> listener, WorkerEndpoints where)
      : listener_(std::move(listener)), where_(std::move(where)) {}
  std::string url() const override { return listener_->endpoint().ToString(); }

  Result<std::unique_ptr<ServerChannel>> Serve(Deadline deadline) override {
    for (;;) {
      Result<Arrival> arrival = listener_->Accept();
      if (arrival.ok()) return Welcome(*arrival, deadline);
      if (arrival.code() != Code::kFull) return arrival.status();
      pollfd item{listener_->poll_fd(), POLLIN, 0};
      if (poll(&item, 1, deadline.left_ms()) == 0) {
        return Status(Code::kDeadlineExceeded, "Rendezvous::Serve", "nobody came");
      }
    }
  }

 private:
  Result<std::unique_ptr<ServerChannel>> Welcome(const Arrival& arrival, Deadline deadline) {
    if (arrival.connection_fd >= 0) return OpenShmWorker(arrival.connection_fd, WelcomeFrame(""), deadline);
    if (where_.scheme == Endpoint::Scheme::kRdma) {
      ACCELMESH_ASSIGN_OR_RETURN(OpenedRdma opened, OpenRdmaWorker(where_, TestSecret()));
      ACCELMESH_RETURN_IF_ERROR(listener_->Answer(arrival.peer, WelcomeFrame(opened.endpoint)));
      return std::move(opened.channel);
    }
    where_.client_key = arrival.client_key;
    ACCELMESH_ASSIGN_OR_RETURN(OpenedZmq opened, OpenZmqWorker(where_, TestSecret()));
    const ByteView key = where_.client_key.has_value() ? ByteView(opened.worker_key.bytes) : ByteView();
    ACCELMESH_RETURN_IF_ERROR(
        listener_->Answer(arrival.peer, WelcomeFrame(opened.endpoint, opened.bulk_endpoint, key)));
    return std::move(opened.channel);
  }

  std::unique_ptr<Listener> listener_;
  WorkerEndpoints where_;
};

std::string UniqueName(const char* stem) {
  static std::atomic<int> next{0};
  return std::string(stem) + std::to_string(getpid()) + "-" + std::to_string(next++);
}

Result<std::unique_ptr<Rendezvous>> ListenAt(const std::string& url, const std::string& folder,
                                             const ListenSecurity* security = nullptr) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  WorkerEndpoints where;
  where.scheme = endpoint.scheme;
  where.folder = folder;
  if (endpoint.scheme == Endpoint::Scheme::kRdma) where.host = endpoint.host;
  Result<std::unique_ptr<Listener>> listener = endpoint.scheme == Endpoint::Scheme::kShm ? ListenShm(endpoint)
                                               : endpoint.scheme == Endpoint::Scheme::kRdma
                                                   ? ListenRdma(endpoint, security, /*trusts_fabric=*/true)
                                                   : ListenZmq(endpoint, security);
  if (!listener.ok()) return listener.status();
  return std::unique_ptr<Rendezvous>(new ListenerRendezvous(std::move(*listener), where));
}

Result<Connected> ConnectTo(const std::string& url, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  if (endpoint.scheme == Endpoint::Scheme::kRdma) return ConnectRdma(endpoint, HelloFrame(), deadline);
  return endpoint.scheme == Endpoint::Scheme::kShm ? ConnectShm(endpoint, HelloFrame(), deadline)
                                                   : ConnectZmq(endpoint, HelloFrame(), deadline);
}

std::string Plugin(const Endpoint& endpoint) {
  return endpoint.scheme == Endpoint::Scheme::kRdma ? ACCELMESH_RDMA_PLUGIN : ACCELMESH_ZMQ_PLUGIN;
}

// As the shim does: through the plugin with its own libzmq.
Result<Connected> ConnectByPlugin(const std::string& url, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  Connected connected;
  ACCELMESH_ASSIGN_OR_RETURN(connected.channel,
                             ConnectThroughPlugin(Plugin(endpoint), endpoint, HelloFrame(), deadline));
  return connected;
}

Result<std::unique_ptr<Rendezvous>> ListenOnShm(const std::string& folder) {
  return ListenAt("shm://" + UniqueName("test"), folder);
}
Result<std::unique_ptr<Rendezvous>> ListenOnTcp(const std::string& folder) {
  return ListenAt("tcp://127.0.0.1:0", folder);
}
Result<std::unique_ptr<Rendezvous>> ListenOnIpc(const std::string& folder) {
  return ListenAt("ipc://" + folder + "/" + UniqueName("hello"), folder);
}

// The same under CURVE: the server has a key, and hears one client only.
Result<std::unique_ptr<Rendezvous>> ListenSecured(const std::string& url, const std::string& folder) {
  ListenSecurity security;
  security.secret = TestServerKeys().secret;
  security.may_connect = [](const security::CurveKey& key) {
    if (key == TestCredentials().own.key) return Status();
    return Status(Code::kPermissionDenied, "test", "not the client of the tests");
  };
  return ListenAt(url, folder, &security);
}
Result<std::unique_ptr<Rendezvous>> ListenOnTcpSecured(const std::string& folder) {
  return ListenSecured("tcp://127.0.0.1:0", folder);
}
Result<std::unique_ptr<Rendezvous>> ListenOnIpcSecured(const std::string& folder) {
  return ListenSecured("ipc://" + folder + "/" + UniqueName("hello"), folder);
}
Result<Connected> ConnectSecured(const std::string& url, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  const security::CurveCredentials credentials = TestCredentials();
  if (endpoint.scheme == Endpoint::Scheme::kRdma)
    return ConnectRdma(endpoint, HelloFrame(), deadline, &credentials, /*trusts_fabric=*/true);
  return ConnectZmq(endpoint, HelloFrame(), deadline, &credentials);
}
Result<Connected> ConnectByPluginSecured(const std::string& url, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  const security::CurveCredentials credentials = TestCredentials();
  Connected connected;
  ACCELMESH_ASSIGN_OR_RETURN(connected.channel,
                             ConnectThroughPlugin(Plugin(endpoint), endpoint, HelloFrame(), deadline, &credentials));
  return connected;
}

// Verbs inside this process: the whole transport but the device.
LoopbackPair MakeFakeRdma() {
  const auto fabric = rdma::FakeFabric::Make();
  rdma::Channels channels = rdma::OpenSession(*fabric);
  return {std::move(channels.client), std::move(channels.server)};
}

// On a device: where there is one.
std::string RdmaAddress() {
  const char* const address = std::getenv("ACCELMESH_TEST_RDMA");
  return address != nullptr ? address : "";
}
Result<std::unique_ptr<Rendezvous>> ListenOnRdma(const std::string& folder) {
  return ListenAt("rdma://" + RdmaAddress() + ":0", folder);
}
Result<std::unique_ptr<Rendezvous>> ListenOnRdmaSecured(const std::string& folder) {
  return ListenSecured("rdma://" + RdmaAddress() + ":0", folder);
}
std::string WhyNoRdma() {
  if (!RdmaAddress().empty()) return "";
  return "no RDMA device here (ACCELMESH_TEST_RDMA names no address of one): tests/rdma boots a machine that has one";
}

std::function<std::unique_ptr<ClientChannel>(std::unique_ptr<ClientChannel>)> EmulatedAs(const char* text) {
  return [text](std::unique_ptr<ClientChannel> inner) {
    const Result<EmulatorOptions> options = ParseEmulatorOptions(text);
    EXPECT_TRUE(options.ok()) << options.status().ToString();
    return Emulate(std::move(inner), options.ok() ? *options : EmulatorOptions{});
  };
}

}  // namespace

std::vector<Transport> AllTransports() {
  return {
      {"loopback", nullptr, nullptr},
      {"shm", ListenOnShm, ConnectTo},
      {"zmq_tcp", ListenOnTcp, ConnectTo},
      {"zmq_ipc", ListenOnIpc, ConnectTo},
      {"plugin_tcp", ListenOnTcp, ConnectByPlugin},
      {"zmq_tcp_curve", ListenOnTcpSecured, ConnectSecured},
      {"zmq_ipc_curve", ListenOnIpcSecured, ConnectSecured},
      {"plugin_tcp_curve", ListenOnTcpSecured, ConnectByPluginSecured},
      {"rdma_fake", nullptr, nullptr, nullptr, MakeFakeRdma},
      {"rdma", ListenOnRdma, ConnectTo, nullptr, nullptr, WhyNoRdma()},
      {"rdma_curve", ListenOnRdmaSecured, ConnectSecured, nullptr, nullptr, WhyNoRdma()},
      {"plugin_rdma", ListenOnRdma, ConnectByPlugin, nullptr, nullptr, WhyNoRdma()},
      {"emulated_loopback", nullptr, nullptr, EmulatedAs("")},
      {"emulated_loopback_delayed", nullptr, nullptr, EmulatedAs("rtt_us=300,bandwidth_mbps=10000,jitter_us=50")},
  };
}

Deadline In(int ms) { return Deadline::After(std::chrono::milliseconds(ms)); }

Pair Open(const Transport& transport) {
  Pair pair;
  if (!transport.listen) {
    LoopbackPair both = transport.make ? transport.make() : MakeLoopback();
    pair.client = transport.wrap ? transport.wrap(std::move(both.client)) : std::move(both.client);
    pair.server = std::move(both.server);
    return pair;
  }
  auto rendezvous = transport.listen(Folder());
  EXPECT_TRUE(rendezvous.ok()) << rendezvous.status().ToString();
  if (!rendezvous.ok()) return pair;
  pair.rendezvous = std::move(*rendezvous);
  auto server = std::async(std::launch::async, [&] { return pair.rendezvous->Serve(In(10000)); });
  auto client = transport.connect(pair.rendezvous->url(), In(10000));
  auto served = server.get();
  EXPECT_TRUE(client.ok()) << client.status().ToString();
  EXPECT_TRUE(served.ok()) << served.status().ToString();
  if (client.ok()) pair.client = std::move(client->channel);
  if (served.ok()) pair.server = std::move(*served);
  return pair;
}

security::CurvePair TestServerKeys() {
  return security::CurvePairOf(security::SigningKey::FromSeed(Bytes(32, 1)).value()).value();
}

security::CurveCredentials TestCredentials() {
  security::CurveCredentials credentials;
  credentials.server_key = TestServerKeys().key;
  credentials.own = security::CurvePairOf(security::SigningKey::FromSeed(Bytes(32, 2)).value()).value();
  return credentials;
}

Bytes HelloFrame() {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(wire::CreateHello(builder, 1, 1));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

Bytes TestSecret() {
  Bytes secret(32);
  for (std::size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<std::uint8_t>(7 * i + 1);
  return secret;
}

const std::string& Folder() {
  struct Owner {
    Owner() {
      char pattern[] = "/tmp/accelmesh-test-XXXXXX";
      path = mkdtemp(pattern);
      setenv("XDG_RUNTIME_DIR", path.c_str(), 1);
      pid = getpid();
    }
    ~Owner() {
      std::error_code ignored;
      if (getpid() == pid) std::filesystem::remove_all(path, ignored);
    }
    std::string path;
    pid_t pid;
  };
  static Owner owner;
  return owner.path;
}

}  // namespace accelmesh::conformance
