// A whole session under test: the client core on one side, the executor with a backend on the other, over any
// transport. On loopback both live in this process; otherwise the server is a forked child, because both sides reserve
// the same window of addresses.
//
// Threads: Start() forks, so it is called while this process has no other thread.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <mutex>
#include <string>
#include <thread>

#include "server/device.h"
#include "shim/core/session.h"
#include "tests/conformance/transport/transports.h"

namespace accelmesh::conformance {

// What a test runs over: a transport, and a backend behind it. "cuda" is the cuda backend on the contract libcuda
// (tests/contract), which a machine without a GPU has, too.
struct Setting : Transport {
  Setting(Transport over, std::string with = "cpu") : Transport(std::move(over)), backend(std::move(with)) {}
  std::string backend;
  // Of the contract libcuda (tests/contract/control.h). As many devices as the software GPU is: one. Over rdma its
  // memory is reached by the network card.
  std::string contract = "devices=1;dma-buf";
};
// Every transport with each backend that runs kernels.
std::vector<Setting> AllSettings();
std::vector<Setting> SettingsWith(const std::string& backend);
void PrintTo(const Setting& setting, std::ostream* out);
std::string NameOfSetting(const ::testing::TestParamInfo<Setting>& info);

// PTX text with the kernels that the tests launch (kernels.cpp).
ByteView TestKernels();

class World {
 public:
  ~World();
  // Asserts by gtest on failure. `session` is set on success.
  // `answers`: the file in which the server remembers what libraries answered; empty for none.
  void Start(const Setting& setting, const BackendOptions& options, const std::string& answers = "");
  // Ends the session in order and reports how the server's Run() ended.
  void Stop();
  bool stopped() const { return stopped_; }
  std::string output() {
    const std::lock_guard lock(output_mu_);
    return output_;
  }
  // The server's Run() ended with this; known after Stop().
  Code server_code() const { return server_code_; }
  // Whether the backend broke a rule of the contract libcuda, which has said so on stderr; known after Stop().
  bool broke_contract() const { return broke_contract_; }

  std::unique_ptr<ClientSession> session;

 private:
  void StartLoopback(const Setting& setting, BackendOptions options, const std::string& answers);
  void StartForked(const Setting& setting, const BackendOptions& options, const std::string& answers);
  void Open(std::unique_ptr<ClientChannel> channel);

  std::unique_ptr<ServerChannel> server_channel_;
  std::thread server_;
  pid_t child_ = -1;
  bool stopped_ = true;
  Code server_code_ = Code::kOk;
  bool broke_contract_ = false;
  std::mutex output_mu_;
  std::string output_;
};

// One session per test; a test that hangs is killed by SIGALRM, and its name is the last line of the output.
class SessionTest : public ::testing::TestWithParam<Setting> {
 protected:
  void SetUp() override;
  void TearDown() override;

  ClientSession& session() { return *world_.session; }
  Stream* legacy() { return session().Legacy(0); }
  Stream* NewStream(wire::StreamKind kind);
  Event* NewEvent(bool timing = false);
  std::uint64_t Malloc(std::uint64_t bytes);
  // Device memory with `bytes` zeros, complete before this returns.
  std::uint64_t Zeros(std::uint64_t bytes);
  void Write32(Stream* stream, std::uint64_t address, std::uint32_t value);
  // After everything that is pending on the device.
  std::uint32_t Read32(std::uint64_t address);
  // Launches one block of one thread (or `threads`).
  void Launch(Stream* stream, const char* kernel, std::vector<std::uint64_t> arguments, std::uint32_t threads = 1,
              std::uint32_t blocks = 1);
  // Polls as a program would; false when the time is over.
  bool IdleWithin(const Stream& stream, int ms);
  const LoadedModule& module();

  // A test about errors says so: otherwise any asynchronous error fails the test at its end.
  bool expect_errors_ = false;
  World world_;

 private:
  std::shared_ptr<const LoadedModule> module_;
};

}  // namespace accelmesh::conformance
