// A connection to slot-market, for gpu-server, mesh-run and slotctl.
//
// Connects by CURVE as an identity; several URLs are the replicas of one market, and what is not the leader is not
// asked again but for who is. A connection that breaks is made again, with growing pauses and jitter, by the next call.
//
// Calls block until the answer or the deadline. kDeadlineExceeded and kUnavailable: nobody knows whether it happened;
// ask again with the same operation_id. A market that refuses the identity is told from one that is silent:
// kPermissionDenied.
// Threads: one at a time. Pushes (to a registered server) are handed over inside of Call() and Poll().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "market/client/messages.h"
#include "protocol/base/clock.h"
#include "protocol/security/keys.h"

namespace accelmesh::market {

struct MarketAddress {
  std::vector<std::string> urls;  // tcp://host:port or ipc:///path
  security::PublicKey key;        // of the market's identity; replicas share it
};

// "URL,URL" to addresses. kInvalidArgument names what is wrong.
Result<std::vector<std::string>> ParseMarketUrls(std::string_view text);
// Where people look for the market's key: `text` if it is 64 hexadecimal digits, else the file that it names; empty:
// the environment's ACCELMESH_MARKET_KEY (either), else $XDG_CONFIG_HOME/accelmesh/market.pub.
Result<security::PublicKey> FindMarketKey(const std::string& text);

class MarketClient {
 public:
  using PushSink = std::function<void(const messages::PushT&)>;

  // `identity` outlives the client. Does not connect yet.
  MarketClient(MarketAddress address, const security::SigningKey& identity, std::string program);
  ~MarketClient();
  MarketClient(const MarketClient&) = delete;
  MarketClient& operator=(const MarketClient&) = delete;

  // The reply's body, of the kind that the request has; a market's refusal is the status.
  Result<messages::ReplyBodyUnion> Call(messages::RequestBodyUnion body, Deadline deadline);
  // Takes in pushes until the deadline; kDeadlineExceeded when it has passed, kUnavailable if there is no connection.
  Status Poll(Deadline deadline);
  void OnPush(PushSink sink);
  // A descriptor that becomes readable when Poll() may have something to take in (then call it with Deadline::Poll());
  // -1 without a connection. It changes with each connection.
  int descriptor() const;
  // What the market said of itself and of us at the last connection; empty before.
  const messages::GreetingT& greeting() const;
  // Counts connections: a registered server that sees it change registers anew.
  std::uint64_t connections() const;
  const std::string& url() const;  // of the connection, or of the one that is tried next

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// One request, one kind of reply: Ask<messages::SlotsT>(client, messages::ListSlotsT{}, deadline). kBadFrame if the
// reply is another kind.
template <typename Reply, typename Request>
Result<Reply> Ask(MarketClient& client, Request request, Deadline deadline) {
  messages::RequestBodyUnion body;
  body.Set(std::move(request));
  ACCELMESH_ASSIGN_OR_RETURN(messages::ReplyBodyUnion reply, client.Call(std::move(body), deadline));
  if (reply.type != messages::ReplyBodyUnionTraits<Reply>::enum_value) {
    return Status(Code::kBadFrame, "MarketClient::Ask",
                  "the market answered something else; use programs of one version");
  }
  return std::move(*static_cast<Reply*>(reply.value));
}

}  // namespace accelmesh::market
