// The transports under test. One line in AllTransports() (transports.cpp) puts a transport through the whole suite.
//
// Ownership: a Rendezvous is one listening place; it makes the two ends of sessions. Threads: Connect() and Serve() run
// on two threads at the same time, or in two processes.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "protocol/transport/channel.h"

namespace accelmesh::conformance {

Deadline In(int ms);

class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  // What a client connects to.
  virtual std::string url() const = 0;
  // Takes one hello and opens the worker's end for it.
  virtual Result<std::unique_ptr<ServerChannel>> Serve(Deadline deadline) = 0;
};

struct Transport {
  std::string name;
  // Listens; null for those whose ends are made together. Takes the name of a folder for sockets.
  std::function<Result<std::unique_ptr<Rendezvous>>(const std::string& folder)> listen;
  std::function<Result<Connected>(const std::string& url, Deadline deadline)> connect;
  // Put around the client's end by Open(); null for none.
  std::function<std::unique_ptr<ClientChannel>(std::unique_ptr<ClientChannel>)> wrap = nullptr;
  // How ends are made together, where nobody listens.
  std::function<LoopbackPair()> make = nullptr;
  // Why it cannot be tested on this machine; empty if it can.
  std::string absent = {};
};

std::vector<Transport> AllTransports();
// How gtest names a parameter; it would print bytes otherwise.
inline void PrintTo(const Transport& transport, std::ostream* out) { *out << transport.name; }

// A connected pair. The rendezvous goes last.
struct Pair {
  std::unique_ptr<Rendezvous> rendezvous;
  std::unique_ptr<ServerChannel> server;
  std::unique_ptr<ClientChannel> client;
};
Pair Open(const Transport& transport);

// The keys of CURVE sessions: the server's, and those of the client that they are for.
security::CurvePair TestServerKeys();
security::CurveCredentials TestCredentials();

// A finished Hello; the secret of every session that Serve() opens.
Bytes HelloFrame();
Bytes TestSecret();
// A folder of this process for sockets; XDG_RUNTIME_DIR points there. Goes away at exit.
const std::string& Folder();

}  // namespace accelmesh::conformance
