#include "tests/conformance/registry/etcd_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

namespace accelmesh::registry {
namespace {

// A port that was free a moment ago.
int FreePort() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (socket < 0 || bind(socket, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no port for etcd");
  }
  close(socket);
  return ntohs(address.sin_port);
}

std::string Url(int port) { return "http://127.0.0.1:" + std::to_string(port); }

}  // namespace

EtcdCluster::EtcdCluster(std::size_t members, std::string folder) : folder_(std::move(folder)), members_(members) {
  for (Member& member : members_) {
    member.client_port = FreePort();
    member.peer_port = FreePort();
  }
  for (std::size_t i = 0; i < members; ++i) Start(i);
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
    peers += (i == 0 ? "" : ",") + ("m" + std::to_string(i)) + "=" + Url(members_[i].peer_port);
  }
  const std::string name = "m" + std::to_string(member);
  const std::string data = folder_ + "/" + name;
  const std::string log = data + ".log";
  std::vector<std::string> arguments = {ACCELMESH_ETCD,
                                        "--name=" + name,
                                        "--data-dir=" + data,
                                        "--listen-client-urls=" + Url(started.client_port),
                                        "--advertise-client-urls=" + Url(started.client_port),
                                        "--listen-peer-urls=" + Url(started.peer_port),
                                        "--initial-advertise-peer-urls=" + Url(started.peer_port),
                                        "--initial-cluster=" + peers,
                                        "--log-level=error",
                                        "--logger=zap"};
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("no process for etcd");
  if (pid == 0) {
    // Ends with the test, however that ends.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  started.pid = pid;
}

void EtcdCluster::Kill(std::size_t member) {
  pid_t& pid = members_[member].pid;
  if (pid <= 0) return;
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  pid = -1;
}

void EtcdCluster::Freeze(std::size_t member) { kill(members_[member].pid, SIGSTOP); }
void EtcdCluster::Thaw(std::size_t member) { kill(members_[member].pid, SIGCONT); }

}  // namespace accelmesh::registry
