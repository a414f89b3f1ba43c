#include "server/main/provide.h"

#include <CLI/CLI.hpp>

#include "protocol/security/keys.h"

namespace accelmesh {
namespace {

// The same device as the workers have.
std::vector<std::string> MeasureArguments(const ServerOptions& server) {
  const BackendOptions& device = server.device;
  std::vector<std::string> arguments{"--backend",
                                     server.backend,
                                     "--cpu-threads",
                                     std::to_string(device.cpu_threads),
                                     "--memory",
                                     std::to_string(device.memory_bytes),
                                     "--worker-capability",
                                     std::to_string(device.compute_capability),
                                     "--jit",
                                     server.jit};
  if (!device.cpu_jit_cache.empty()) arguments.insert(arguments.end(), {"--jit-cache", device.cpu_jit_cache});
  return arguments;
}

}  // namespace

void AddProvideOptions(CLI::App& app, ProvideOptions& options) {
  OfferOptions& offer = options.offer;
  CLI::Option* const market = app.add_option(
      "--market", options.market,
      "offer this server's device on the market at URL[,URL...], tcp://HOST:PORT or ipc:///PATH; its key is that of "
      "--market-key, of ACCELMESH_MARKET_KEY, or in the user's accelmesh/market.pub");
  app.add_option("--server-name", offer.name, "this server's name on the market (default: of its key)")->needs(market);
  app.add_option("--zone", offer.zone, "where it stands, for those who ask for a zone")->needs(market);
  app.add_option("--label", offer.labels, "a word that requests may ask for; repeatable")->needs(market);
  app.add_option("--price", offer.price_credits_per_hour, "credits an hour for the whole device, at least (default 0)")
      ->needs(market);
  app.add_option("--notice", offer.notice_s, "seconds between taking a slot back and its end (default 0)")
      ->needs(market);
  app.add_option("--sell-share", offer.sell_share, "the part of the device that is let, such as 0.30 (default 1)")
      ->needs(market);
  app.add_option("--metrics", options.metrics,
                 "HOST:PORT: numbers for Prometheus at /metrics (if the port is taken, the next free one)");
}

Status CheckProvide(ProvideOptions& options, const std::string& backend, SecurityOptions& security) {
  if (options.market.empty()) return {};
  ACCELMESH_RETURN_IF_ERROR(market::ParseMarketUrls(options.market).status());
  // Until the key is known, which makes the name.
  OfferOptions offer = options.offer;
  if (offer.name.empty()) offer.name = "x";
  ACCELMESH_RETURN_IF_ERROR(CheckOffer(offer, backend));
  ACCELMESH_ASSIGN_OR_RETURN(const security::PublicKey key, market::FindMarketKey(security.market_key));
  security.market_key = security::HexOf(key.bytes);
  return {};
}

Result<std::unique_ptr<Provision>> Provision::Start(Supervisor& supervisor, const ServerOptions& server,
                                                    const ProvideOptions& options, const SecurityOptions& security) {
  auto provision = std::make_unique<Provision>();
  const auto post = [&supervisor](std::function<void()> work) { supervisor.Post(std::move(work)); };
  const auto facts = [&supervisor] { return supervisor.Facts(); };
  std::unique_ptr<Metrics> metrics;
  if (!options.metrics.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(metrics, Metrics::Start(options.metrics));
    std::printf("metrics http://%s/metrics\n", metrics->address().c_str());
  }
  std::function<Provider::Progress()> progress;
  if (!options.market.empty()) {
    std::string keys = security.keys;
    if (keys.empty()) {
      ACCELMESH_ASSIGN_OR_RETURN(keys, security::DefaultKeyFolder());
    }
    ACCELMESH_ASSIGN_OR_RETURN(security::Identity identity, security::KeyFolder(keys).Load("server"));
    ProviderOptions provider;
    ACCELMESH_ASSIGN_OR_RETURN(provider.market.urls, market::ParseMarketUrls(options.market));
    ACCELMESH_ASSIGN_OR_RETURN(provider.market.key, market::FindMarketKey(security.market_key));
    provider.offer = options.offer;
    if (provider.offer.name.empty())
      provider.offer.name = "server-" + security::HexOf(identity.key.public_key().bytes).substr(0, 8);
    provider.endpoints = supervisor.endpoints();
    provider.self = server.self;
    provider.measure = MeasureArguments(server);
    const auto leases = [security_state = server.security]() -> LeaseBook& { return *security_state->leases; };
    provision->provider_ =
        std::make_unique<Provider>(std::move(provider), std::move(identity), Provider::Hooks{post, leases, facts});
    progress = [run = provision->provider_.get()] { return run->progress(); };
    provision->provider_->Start();
  }
  if (metrics != nullptr)
    provision->metrics_ = std::make_unique<ServerMetrics>(std::move(metrics), server.backend,
                                                          ServerMetrics::Hooks{post, facts, progress});
  return provision;
}

}  // namespace accelmesh
