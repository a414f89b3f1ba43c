// A gpu-server as a provider: registers its slots at a market, keeps its lease of the registry alive, hears what the
// market pushes, and tells what was used. While the market is gone programs run on until their leases end; when it is
// back the server registers anew.
//
// Everything happens on a thread of its own, from Start() until the object's end. The supervisor is reached through
// Hooks, whose work runs on the supervisor's thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "market/client/market_client.h"
#include "protocol/base/mutex.h"
#include "protocol/security/key_file.h"
#include "server/main/facts.h"
#include "server/main/lease_book.h"
#include "server/main/offer.h"

namespace accelmesh {

struct ProviderOptions {
  market::MarketAddress market;
  OfferOptions offer;
  std::vector<std::string> endpoints;  // as clients reach them
  std::string self;                    // this program, to measure by
  std::vector<std::string> measure;    // its arguments for that
};

class Provider {
 public:
  struct Hooks {
    // Has work done by the supervisor's thread.
    std::function<void(std::function<void()>)> post;
    // On that thread:
    std::function<LeaseBook&()> leases;
    std::function<ServerFacts()> facts;
  };
  struct Progress {
    bool is_registered = false;
    std::uint64_t registrations = 0;
    std::uint64_t lost = 0;  // times that the market was gone
    std::uint64_t checks = 0;
    std::uint64_t changes = 0;  // of what was measured
    bool is_draining = false;
  };

  Provider(ProviderOptions options, security::Identity identity, Hooks hooks);
  ~Provider();
  void Start();
  Progress progress() const;

 private:
  class Run;
  ProviderOptions options_;
  const security::Identity identity_;
  Hooks hooks_;
  std::atomic<bool> stop_{false};
  mutable Mutex mutex_;
  Progress progress_ ACCELMESH_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace accelmesh
