// A slot-market of our own build as a process, its folders, and clients of it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "market/client/market_client.h"
#include "protocol/security/key_file.h"
#include "tests/integration/market/market_messages.h"

namespace accelmesh::market {

// A folder on the disk of the build, gone at the end.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string Path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class MarketProcess {
 public:
  // Starts it and waits until it is ready; throws what is wrong. Keys lie in `folder`; so does the store unless
  // `arguments` name another.
  MarketProcess(const Folder& folder, std::vector<std::string> arguments = {});
  ~MarketProcess();
  MarketProcess(const MarketProcess&) = delete;
  MarketProcess& operator=(const MarketProcess&) = delete;

  void Kill();  // -9
  int End();    // SIGTERM; its exit status
  void Signal(int number) const;
  bool has_ended();
  pid_t pid() const { return pid_; }
  const std::string& url() const { return url_; }
  const std::string& metrics() const { return metrics_; }
  MarketAddress address() const;

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  std::string url_;
  std::string metrics_;
  security::PublicKey key_;
};

// Runs slot-market until it ends by itself: what it says, and its exit status.
std::pair<int, std::string> RunToEnd(const Folder& folder, std::vector<std::string> arguments);

// An identity in the folder's keys: known to the market without more.
security::Identity MakeIdentity(const Folder& folder, const std::string& name, security::Role role);

inline Deadline In(int seconds) { return Deadline::After(std::chrono::seconds(seconds)); }

std::string HexKey(const security::Identity& identity);

}  // namespace accelmesh::market
