#include "tests/integration/market/order_load.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "market/client/orders.h"
#include "protocol/security/curve.h"
#include "protocol/transport/curve_socket.h"
#include "tests/integration/market/market_load.h"

namespace accelmesh::market {

OrderLoad::OrderLoad(const MarketProcess& market, const std::vector<security::Identity>& tenants,
                     std::string class_name, std::int64_t posted)
    : context_(zmq_ctx_new()),
      tenants_(tenants),
      market_(security::HexOf(market.address().key.bytes)),
      class_name_(std::move(class_name)),
      posted_(posted),
      leases_(tenants.size()) {
  for (const security::Identity& tenant : tenants) {
    void* socket = zmq_socket(context_, ZMQ_DEALER);
    const int none = 0;
    for (const int option : {ZMQ_LINGER, ZMQ_SNDHWM, ZMQ_RCVHWM}) zmq_setsockopt(socket, option, &none, sizeof(none));
    const Status status =
        zmq::SecureClient(socket, {*security::CurveKeyOf(market.address().key), *security::CurvePairOf(tenant.key)});
    if (!status.ok() || zmq_connect(socket, market.url().c_str()) != 0) std::abort();
    sockets_.push_back(socket);
    // It has its credits before anything is timed.
    MarketClient client(market.address(), tenant.key, "bench");
    if (!Ask<messages::PricesT>(client, messages::ListPricesT{}, In(10)).ok()) std::abort();
  }
  sent_.emplace_back();
}

OrderLoad::~OrderLoad() {
  for (void* socket : sockets_) zmq_close(socket);
  zmq_ctx_term(context_);
}

void OrderLoad::Send(std::size_t tenant, Kind kind, Instant begun) {
  const security::Identity& who = tenants_[tenant];
  if (kind == Kind::kAsk && leases_[tenant].empty()) kind = Kind::kWins;
  messages::OrderT order;
  order.kind = kind == Kind::kAsk ? messages::OrderKind::Ask : messages::OrderKind::Bid;
  order.market = market_;
  order.owner = HexKey(who);
  order.operation_id = MakeOperationId();
  order.number = ++orders_;
  order.valid_until_ms = std::int64_t{1} << 45;
  if (kind == Kind::kAsk) {
    order.lease = leases_[tenant][random_() % leases_[tenant].size()];
    order.price_microcredits_per_hour = 20 * posted_;
  } else {
    order.class_name = class_name_;
    order.share_milli = 1;
    order.price_microcredits_per_hour = kind == Kind::kWins ? 10 * posted_ : posted_ / 4;
    order.lease_us = 900'000'000;
    order.holder_key.assign(32, 7);
  }
  messages::PlaceOrderT placed = SignOrder(order, who.key);
  placed.wait_us = kind == Kind::kWins ? 10'000'000 : 600'000;
  placed.wants_promise = wants_promises_;
  messages::RequestT request;
  request.number = sent_.size();
  request.body.Set(std::move(placed));
  const Bytes bytes = EncodeRequest(request);
  sent_.push_back({kind, begun});
  ++under_way_;
  zmq_send(sockets_[tenant], bytes.data(), bytes.size(), ZMQ_DONTWAIT);
}

void OrderLoad::Take(std::size_t tenant, ByteView bytes) {
  // Of our own market: read as it is.
  const auto* message = flatbuffers::GetRoot<messages::FromMarket>(bytes.data());
  if (message->push() != nullptr && message->push()->body_as_OrderTaken() != nullptr) ++promises_;
  const messages::Reply* reply = message->reply();
  if (reply == nullptr || reply->number() >= sent_.size() || sent_[reply->number()].begun == Instant{}) return;
  Sent& sent = sent_[reply->number()];
  const double took = std::chrono::duration<double, std::milli>(Clock::now() - sent.begun).count();
  sent.begun = {};
  --under_way_;
  const messages::Grants* grants = reply->body_as_Grants();
  const bool is_served = grants != nullptr && grants->granted() != nullptr && grants->granted()->size() > 0;
  if (reply->code() != 0) {
    if (++failed_ == 1) std::fprintf(stderr, "first failure: %s\n", reply->text() ? reply->text()->c_str() : "");
    return;
  }
  if (sent.kind == Kind::kWins && !is_served) {
    if (++unserved_ == 1 && grants != nullptr && grants->gaps() != nullptr && grants->gaps()->size() > 0)
      std::fprintf(stderr, "first unserved: %s\n", grants->gaps()->Get(0)->text()->c_str());
    return;
  }
  times_[sent.kind].push_back(took);
  if (!is_served) return;
  for (const messages::Granted* granted : *grants->granted()) leases_[tenant].push_back(granted->lease()->id()->str());
}

void OrderLoad::Receive(long wait_ms) {
  bool has_any = false;
  zmq_msg_t message;
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    while (true) {
      zmq_msg_init(&message);
      if (zmq_msg_recv(&message, sockets_[i], ZMQ_DONTWAIT) < 0) break;
      has_any = true;
      Take(i, {static_cast<const std::uint8_t*>(zmq_msg_data(&message)), zmq_msg_size(&message)});
      zmq_msg_close(&message);
    }
  }
  if (has_any || wait_ms == 0) return;
  std::vector<zmq_pollitem_t> items;
  for (void* socket : sockets_) items.push_back({socket, 0, ZMQ_POLLIN, 0});
  zmq_poll(items.data(), static_cast<int>(items.size()), wait_ms);
}

void OrderLoad::Run(double seconds, int rate, bool wants_promises) {
  wants_promises_ = wants_promises;
  const Instant begin = Clock::now();
  const auto count = static_cast<std::int64_t>(seconds * rate);
  for (std::int64_t i = 0; i < count; ++i) {
    const Instant due = begin + std::chrono::nanoseconds(i * 1'000'000'000LL / rate);
    while (Clock::now() + std::chrono::milliseconds(1) < due) Receive(1);
    const std::int64_t kind = i % 10;
    Send(static_cast<std::size_t>(i) % sockets_.size(),
         kind < 7   ? Kind::kWins
         : kind < 8 ? Kind::kLow
                    : Kind::kAsk,
         std::min(due, Clock::now()));
    if (i % 16 == 15) Receive(0);
  }
  seconds_ = std::chrono::duration<double>(Clock::now() - begin).count();
  const Instant end = Clock::now();
  while (under_way_ != 0 && Clock::now() < end + std::chrono::seconds(12)) Receive(10);
}

std::size_t OrderLoad::done() const {
  std::size_t done = 0;
  for (const auto& [kind, times] : times_) done += times.size();
  return done;
}

void OrderLoad::PrintJson() {
  std::printf(
      "\"orders\":{\"per_second\":%.0f,\"sent\":%zu,\"refused\":%zu,\"unserved\":%zu,\"unanswered\":%zu,"
      "\"promises\":%zu",
      static_cast<double>(sent_.size() - 1) / seconds_, sent_.size() - 1, failed_, unserved_, under_way_, promises_);
  for (const auto& [kind, name] :
       {std::pair{Kind::kWins, "bids_served"}, std::pair{Kind::kLow, "bids_too_low"}, std::pair{Kind::kAsk, "asks"}}) {
    std::vector<double>& times = times_[kind];
    std::ranges::sort(times);
    std::printf(",\"%s\":{\"count\":%zu,\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f}", name, times.size(),
                Percentile(times, 0.5), Percentile(times, 0.99), Percentile(times, 1));
  }
}

double MetricOf(const std::string& address, const std::string& name) {
  const std::size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address.substr(colon + 1).c_str())));
  if (colon == std::string::npos || inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1) return -1;
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string text;
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) {
    const std::string request = "GET /metrics HTTP/1.0\r\nHost: market\r\n\r\n";
    if (::send(socket, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
      char part[4096];
      for (ssize_t got = 0; (got = ::recv(socket, part, sizeof(part), 0)) > 0;)
        text.append(part, static_cast<std::size_t>(got));
    }
  }
  ::close(socket);
  const std::size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::atof(text.c_str() + at + name.size() + 2);
}

}  // namespace accelmesh::market
