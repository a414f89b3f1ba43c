#include "tests/conformance/registry/etcd_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

namespace accelmesh::registry {
namespace {

// Below those that the kernel gives to whoever connects: a member that comes up finds its own one taken otherwise, now
// and then, by a connection of its neighbours' or of another test's.
constexpr int kPortFirst = 20000;
constexpr int kPorts = 12000;

bool Address(int port, bool connects) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  const bool done =
      socket >= 0 && (connects ? connect(socket, to, sizeof(address)) : bind(socket, to, sizeof(address))) == 0;
  if (socket >= 0) close(socket);
  return done;
}

// One that was free a moment ago; none twice of this process.
int FreePort() {
  static int next = static_cast<int>(std::random_device()() % kPorts);
  for (int i = 0; i < kPorts; ++i) {
    next = (next + 1) % kPorts;
    if (Address(kPortFirst + next, /*connects=*/false)) return kPortFirst + next;
  }
  throw std::runtime_error("no port for etcd");
}

// Programs of tests, with arguments of their own making only.
void Run(const std::string& command) {
  if (std::system((command + " >/dev/null 2>&1").c_str()) != 0) throw std::runtime_error("failed: " + command);
}

}  // namespace

EtcdCluster::EtcdCluster(std::size_t members, std::string folder, bool has_roles, bool has_network)
    : folder_(std::filesystem::absolute(folder)), has_roles_(has_roles), members_(members) {
  std::filesystem::create_directories(folder_);
  if (has_roles_) MakeCertificates();
  for (Member& member : members_) {
    member.client_port = FreePort();
    member.peer_port = FreePort();
  }
  if (has_network) MakeNetwork();
  for (std::size_t i = 0; i < members; ++i) Start(i);
  for (std::size_t i = 0; i < members; ++i) AwaitStart(i);
  if (has_roles_) MakeRoles();
}

// A cluster of which a member has ended works until the test takes another away.
void EtcdCluster::AwaitStart(std::size_t member) {
  Member& started = members_[member];
  for (const Deadline deadline = Deadline::After(std::chrono::seconds(30)); !Address(started.client_port, true);) {
    const bool has_ended = waitpid(started.pid, nullptr, WNOHANG) != 0;
    if (has_ended) started.pid = -1;
    if (has_ended || deadline.passed()) {
      throw std::runtime_error("member " + std::to_string(member) + " of etcd does not start; its log: " + folder_ +
                               "/m" + std::to_string(member) + ".log");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// Unix sockets in the members' folder, which is where they run: etcd wants a "host" and a "port" in a URL, and what it
// makes of unix://peer:0 is a socket of the name "peer:0".
std::string EtcdCluster::PeerUrl(std::size_t member) const {
  const Member& named = members_[member];
  if (named.way != nullptr) return "unix://peer:" + std::to_string(member);
  return "http://127.0.0.1:" + std::to_string(named.peer_port);
}

std::string EtcdCluster::WayUrl(std::size_t member) const {
  return members_[member].way != nullptr ? "unix://way:" + std::to_string(member) : PeerUrl(member);
}

void EtcdCluster::MakeNetwork() {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const std::string number = std::to_string(i);
    members_[i].way =
        std::make_unique<CutProxy>(folder_ + "/way:" + number, folder_ + "/peer:" + number, [this, i](pid_t from) {
          const int cut = cut_;
          return cut >= 0 &&
                 (static_cast<std::size_t>(cut) == i || members_[static_cast<std::size_t>(cut)].pid == from);
        });
  }
}

// An authority, a certificate for the members, one for each user.
void EtcdCluster::MakeCertificates() const {
  const std::string key = " -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -batch";
  Run("openssl req -x509 -days 2 -subj /CN=authority" + key + " -keyout " + folder_ + "/ca.key -out " + folder_ +
      "/ca.crt");
  for (const std::string name : {"member", "root", "market"}) {
    const std::string path = folder_ + "/" + name;
    Run("openssl req -subj /CN=" + name + key + " -keyout " + path + ".key -out " + path + ".csr");
    std::ofstream(path + ".ext") << "subjectAltName=IP:127.0.0.1\n";
    Run("openssl x509 -req -days 2 -CAcreateserial -in " + path + ".csr -CA " + folder_ + "/ca.crt -CAkey " + folder_ +
        "/ca.key -extfile " + path + ".ext -out " + path + ".crt");
    Run("chmod 600 " + path + ".key");
  }
}

void EtcdCluster::MakeRoles() const {
  const std::string etcdctl = "ETCDCTL_API=3 " ACCELMESH_ETCD "ctl --endpoints=" + Url(members_[0].client_port) +
                              " --cacert=" + folder_ + "/ca.crt --cert=" + folder_ + "/root.crt --key=" + folder_ +
                              "/root.key --dial-timeout=2s --command-timeout=20s ";
  // etcdctl does not try again while a member is starting.
  const Deadline deadline = Deadline::After(std::chrono::seconds(30));
  while (std::system((etcdctl + "user list >/dev/null 2>&1").c_str()) != 0) {
    if (deadline.passed()) throw std::runtime_error("etcd does not answer etcdctl");
  }
  for (const char* command : {"user add root --no-password", "user grant-role root root", "role add market",
                              "user add market --no-password", "user grant-role market market"}) {
    Run(etcdctl + command);
  }
  Run(etcdctl + "role grant-permission market --prefix=true readwrite " + kRolePrefix + "/");
  Run(etcdctl + "auth enable");
}

std::optional<EtcdTls> EtcdCluster::tls(const std::string& user) const {
  if (!has_roles_) return std::nullopt;
  return EtcdTls{folder_ + "/ca.crt", folder_ + "/" + user + ".crt", folder_ + "/" + user + ".key"};
}

EtcdCluster::~EtcdCluster() {
  for (std::size_t i = 0; i < members_.size(); ++i) Kill(i);
}

std::vector<std::string> EtcdCluster::endpoints() const {
  std::vector<std::string> endpoints;
  for (const Member& member : members_) endpoints.push_back("127.0.0.1:" + std::to_string(member.client_port));
  return endpoints;
}

void EtcdCluster::Start(std::size_t member) {
  Member& started = members_[member];
  if (started.pid > 0) return;
  std::string peers;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    peers += (i == 0 ? "" : ",") + ("m" + std::to_string(i)) + "=" + WayUrl(i);
  }
  const std::string name = "m" + std::to_string(member);
  const std::string data = folder_ + "/" + name;
  const std::string log = data + ".log";
  std::vector<std::string> arguments = {ACCELMESH_ETCD,
                                        "--name=" + name,
                                        "--data-dir=" + data,
                                        "--listen-client-urls=" + Url(started.client_port),
                                        "--advertise-client-urls=" + Url(started.client_port),
                                        "--listen-peer-urls=" + PeerUrl(member),
                                        "--initial-advertise-peer-urls=" + WayUrl(member),
                                        "--initial-cluster=" + peers,
                                        "--log-level=error",
                                        "--logger=zap"};
  if (has_roles_) {
    arguments.insert(arguments.end(),
                     {"--cert-file=" + folder_ + "/member.crt", "--key-file=" + folder_ + "/member.key",
                      "--trusted-ca-file=" + folder_ + "/ca.crt", "--client-cert-auth"});
  }
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("no process for etcd");
  if (pid == 0) {
    // Ends with the test, however that ends.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || chdir(folder_.c_str()) != 0) _exit(1);
    const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  started.pid = pid;
}

void EtcdCluster::Kill(std::size_t member) {
  const pid_t pid = members_[member].pid;
  if (pid <= 0) return;
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  members_[member].pid = -1;
}

void EtcdCluster::Freeze(std::size_t member) { kill(members_[member].pid, SIGSTOP); }
void EtcdCluster::Thaw(std::size_t member) { kill(members_[member].pid, SIGCONT); }

}  // namespace accelmesh::registry
