#include "tests/integration/market/market_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

extern char** environ;

namespace accelmesh::market {
namespace {

std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

struct Started {
  pid_t pid;
  int output;
};

Started Spawn(const Folder& folder, std::vector<std::string> arguments, bool with_errors) {
  arguments.insert(arguments.begin(), {ACCELMESH_SLOT_MARKET, "--keys", folder.Path("keys"), "--json"});
  if (std::find(arguments.begin(), arguments.end(), "--store") == arguments.end()) {
    arguments.insert(arguments.end(), {"--store", "sqlite:" + folder.Path("market.sqlite")});
  }
  if (std::find(arguments.begin(), arguments.end(), "--listen") == arguments.end()) {
    arguments.insert(arguments.end(), {"--listen", "tcp://127.0.0.1:*"});
  }
  if (std::find(arguments.begin(), arguments.end(), "--metrics") == arguments.end()) {
    arguments.insert(arguments.end(), {"--metrics", "off"});
  }
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
  if (with_errors) posix_spawn_file_actions_adddup2(&actions, pipe[1], 2);
  Started started{-1, pipe[0]};
  const int error = ::posix_spawn(&started.pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  if (error != 0) throw std::runtime_error(std::string("slot-market does not start: ") + std::strerror(error));
  return started;
}

// Until a line feed, the end, or ten seconds.
std::string ReadLine(int file) {
  std::string line;
  const Deadline deadline = Deadline::After(std::chrono::seconds(20));
  char c = 0;
  while (!deadline.passed()) {
    pollfd ready{file, POLLIN, 0};
    if (::poll(&ready, 1, deadline.left_ms()) <= 0) continue;
    if (::read(file, &c, 1) != 1 || c == '\n') break;
    line += c;
  }
  return line;
}

}  // namespace

Folder::Folder() {
  std::filesystem::create_directories(ACCELMESH_SCRATCH);
  path_ = std::string(ACCELMESH_SCRATCH) + "/market-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no folder for the test");
}
Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

MarketProcess::MarketProcess(const Folder& folder, std::vector<std::string> arguments) {
  const Started started = Spawn(folder, std::move(arguments), false);
  pid_ = started.pid;
  output_ = started.output;
  const std::string line = ReadLine(output_);
  const nlohmann::json ready = nlohmann::json::parse(line, nullptr, false);
  if (ready.is_discarded()) {
    Kill();
    throw std::runtime_error("slot-market is not ready; it said: " + line);
  }
  url_ = ready["ready"];
  metrics_ = ready["metrics"];
  const std::string key = ready["market_key"];
  if (!security::ParseHex(key, key_.bytes).ok()) throw std::runtime_error("slot-market has no key");
}

MarketProcess::~MarketProcess() {
  Kill();
  if (output_ >= 0) ::close(output_);
}

void MarketProcess::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void MarketProcess::Signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

bool MarketProcess::has_ended() {
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ <= 0;
}

int MarketProcess::End() {
  if (pid_ <= 0) return -1;
  ::kill(pid_, SIGTERM);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

MarketAddress MarketProcess::address() const { return {{url_}, key_}; }

std::pair<int, std::string> RunToEnd(const Folder& folder, std::vector<std::string> arguments) {
  const Started started = Spawn(folder, std::move(arguments), true);
  std::string said;
  char buffer[4096];
  const Deadline deadline = Deadline::After(std::chrono::seconds(20));
  while (true) {
    pollfd ready{started.output, POLLIN, 0};
    if (::poll(&ready, 1, deadline.left_ms()) <= 0) {
      ::kill(started.pid, SIGKILL);
      said += " (ended after 20 s by the test)";
      break;
    }
    const ssize_t size = ::read(started.output, buffer, sizeof(buffer));
    if (size <= 0) break;
    said.append(buffer, static_cast<std::size_t>(size));
  }
  int status = 0;
  ::waitpid(started.pid, &status, 0);
  ::close(started.output);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), said};
}

security::Identity MakeIdentity(const Folder& folder, const std::string& name, security::Role role) {
  Result<security::Identity> identity = security::KeyFolder(folder.Path("keys")).Create(name, role, NowMs());
  if (!identity.ok()) throw std::runtime_error(identity.status().ToString());
  return std::move(*identity);
}

std::string HexKey(const security::Identity& identity) { return security::HexOf(identity.key.public_key().bytes); }

}  // namespace accelmesh::market
