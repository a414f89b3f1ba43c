// A slotctl call's way to the market: whose key, which market, and one question.
//
// Threads: one.
#pragma once

#include <memory>
#include <string>

#include "market/client/market_client.h"
#include "protocol/security/key_file.h"

namespace accelmesh::slotctl {

struct Access {
  std::string market;  // URLs
  std::string market_key;
  std::string identity = "admin";
  std::string keys;  // folder; empty: the user's
};

Result<std::string> FolderOf(const Access& access);

class Session {
 public:
  // Makes the identity if it is not there: an admin, whom the market of the same user knows.
  static Result<std::unique_ptr<Session>> Open(const Access& access);

  template <typename Reply, typename Request>
  Result<Reply> Ask(Request request) {
    return market::Ask<Reply>(*client_, std::move(request), Deadline::After(kPatience));
  }
  const market::messages::GreetingT& greeting() const { return client_->greeting(); }
  const std::string& url() const { return client_->url(); }
  const security::SigningKey& key() const { return identity_.key; }
  // The key that `text` is, or the one of the identity that is called so; for admins, who may see them all.
  Result<std::string> IdentityOf(const std::string& text);
  std::string identity() const { return security::HexOf(identity_.key.public_key().bytes); }

 private:
  static constexpr std::chrono::seconds kPatience{5};

  explicit Session(security::Identity identity) : identity_(std::move(identity)) {}

  security::Identity identity_;
  std::unique_ptr<market::MarketClient> client_;
};

std::int64_t NowMs();

}  // namespace accelmesh::slotctl
