// The options by which a gpu-server is a provider on a market and shows metrics, and what they start.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/main/provider.h"
#include "server/main/security.h"
#include "server/main/server_metrics.h"
#include "server/main/supervisor.h"

namespace CLI {
class App;
}

namespace accelmesh {

struct ProvideOptions {
  std::string market;   // "URL,URL"; empty: no market
  std::string metrics;  // "HOST:PORT"; empty: none
  OfferOptions offer;
};

void AddProvideOptions(CLI::App& app, ProvideOptions& options);
// With a market: checks what is offered, and finds the market's key for `security`, if none was given.
Status CheckProvide(ProvideOptions& options, const std::string& backend, SecurityOptions& security);

// What runs beside the supervisor, and ends before it.
class Provision {
 public:
  // `supervisor` listens already. `security`: null without a market.
  static Result<std::unique_ptr<Provision>> Start(Supervisor& supervisor, const ServerOptions& server,
                                                  const ProvideOptions& options, const SecurityOptions& security);

 private:
  std::unique_ptr<Provider> provider_;
  std::unique_ptr<ServerMetrics> metrics_;
};

}  // namespace accelmesh
