#include "market/client/market_client.h"

#include <zmq.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <thread>

#include "protocol/security/curve.h"
#include "protocol/transport/curve_socket.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "MarketClient";
// For a connection, the market's word that we are let in, and an answer that ought to come at once.
constexpr auto kPatience = std::chrono::seconds(3);
constexpr auto kPauseMin = std::chrono::milliseconds(20);
constexpr auto kPauseMax = std::chrono::milliseconds(1000);
// While replicas answer that none of them leads: that is over within seconds.
constexpr auto kPauseLeaderless = std::chrono::milliseconds(300);
constexpr int kMessagesMax = 1000;

Status ZmqError(const std::string& doing) { return {Code::kSystem, kWhere, doing + ": " + zmq_strerror(zmq_errno())}; }

void SetInt(void* socket, int option, int value) { zmq_setsockopt(socket, option, &value, sizeof(value)); }

// How long the market may take to answer, beyond what it is asked to wait.
Duration PatienceFor(const messages::RequestBodyUnion& body) {
  const auto* lease = body.AsRequestLease();
  return lease != nullptr ? kPatience + std::chrono::microseconds(lease->wait_us) : Duration(kPatience);
}

}  // namespace

class MarketClient::Impl {
 public:
  Impl(MarketAddress address, const security::SigningKey& identity, std::string program)
      : address_(std::move(address)), identity_(identity), program_(std::move(program)) {
    random_.seed(std::random_device{}());
    // Replicas share the load of those that look for the leader.
    if (!address_.urls.empty()) next_ = random_() % address_.urls.size();
    Aim();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Result<messages::ReplyBodyUnion> Call(messages::RequestBodyUnion body, Deadline deadline) {
    if (address_.urls.empty()) return Status(Code::kInvalidArgument, kWhere, "no market is named (--market URL)");
    const Duration patience = PatienceFor(body);
    messages::RequestT request;
    request.body = std::move(body);
    Duration pause = kPauseMin;
    Status last(Code::kDeadlineExceeded, kWhere, "no time was left to ask the market");
    // What a market has said of itself tells more than that it was silent after that.
    bool has_word = false;
    while (!deadline.passed()) {
      Status status = Connect(deadline);
      if (status.ok()) {
        Result<messages::ReplyT> reply = Exchange(request, deadline, patience);
        if (reply.ok() && !IsElsewhere(*reply)) return Body(std::move(*reply));
        status = reply.ok() ? Status(Code::kUnavailable, kWhere, reply->text) : reply.status();
        if (reply.ok()) {
          Disconnect();
          has_word = true;
          last = status;
          if (reply->leader != kNoLeader && reply->leader != url_) {
            url_ = reply->leader;
            if (++redirects_ < 4) continue;
          }
        }
      }
      if (status.code() == Code::kPermissionDenied || status.code() == Code::kBadFrame ||
          status.code() == Code::kInvalidArgument) {
        return status;
      }
      if (!has_word) last = std::move(status);
      redirects_ = 0;
      Disconnect();
      Aim();
      Sleep(pause, deadline);
      pause = std::min<Duration>(pause * 2, has_word ? kPauseLeaderless : kPauseMax);
    }
    const Code code = last.code() == Code::kUnavailable ? Code::kUnavailable : Code::kDeadlineExceeded;
    return Status(code, kWhere, last.text());
  }

  Status Poll(Deadline deadline) {
    if (socket_.get() == nullptr) {
      return {Code::kUnavailable, kWhere, "there is no connection to the market; the next call makes one"};
    }
    // Past the deadline what has come already is still taken, but not for ever.
    for (int taken = 0; taken < kMessagesMax || !deadline.passed(); ++taken) {
      Result<std::optional<messages::FromMarketT>> message = Receive(deadline);
      if (!message.ok()) {
        Disconnect();
        return message.status();
      }
      if (!*message) return {Code::kDeadlineExceeded, kWhere, "nothing came from the market"};
      // A reply now is to a call that was given up.
      if ((**message).push != nullptr && sink_) sink_(*(**message).push);
    }
    return {Code::kDeadlineExceeded, kWhere, "more comes from the market than can be taken in time"};
  }

  int descriptor() const {
    int file = -1;
    std::size_t size = sizeof(file);
    if (socket_.get() == nullptr || zmq_getsockopt(socket_.get(), ZMQ_FD, &file, &size) != 0) return -1;
    return file;
  }

  PushSink sink_;
  messages::GreetingT greeting_;
  std::uint64_t connections_ = 0;
  std::string url_;

 private:
  static bool IsElsewhere(const messages::ReplyT& reply) { return reply.code != 0 && !reply.leader.empty(); }

  static Result<messages::ReplyBodyUnion> Body(messages::ReplyT reply) {
    if (reply.code == 0) return std::move(reply.body);
    const auto code =
        reply.code <= static_cast<std::uint16_t>(Code::kInternal) ? static_cast<Code>(reply.code) : Code::kInternal;
    return Status(code, "market", std::move(reply.text));
  }

  void Aim() {
    if (address_.urls.empty()) return;
    url_ = address_.urls[next_++ % address_.urls.size()];
  }

  void Sleep(Duration pause, Deadline deadline) {
    const Duration jittered =
        pause / 2 + Duration(static_cast<Duration::rep>(random_() % static_cast<std::uint64_t>(pause.count())));
    std::this_thread::sleep_for(std::min(jittered, deadline.left()));
  }

  void Disconnect() {
    socket_ = {};  // before its monitor
    monitor_ = {};
  }

  Status Connect(Deadline deadline) {
    if (socket_.get() != nullptr) return {};
    if (context_.get() == nullptr) return ZmqError("making a context");
    ACCELMESH_ASSIGN_OR_RETURN(const security::CurveKey server, security::CurveKeyOf(address_.key));
    ACCELMESH_ASSIGN_OR_RETURN(const security::CurvePair own, security::CurvePairOf(identity_));
    zmq::Monitor monitor;
    ACCELMESH_ASSIGN_OR_RETURN(zmq::Socket socket, zmq::Socket::Open(context_, ZMQ_DEALER, kMessagesMax));
    socket.SetLinger(0);
    SetInt(socket.get(), ZMQ_HANDSHAKE_IVL, 5000);
    SetInt(socket.get(), ZMQ_IMMEDIATE, 1);
    zmq::NoticeGoneHosts(socket.get());
    const auto most = static_cast<std::int64_t>(kReplyBytesMax);
    zmq_setsockopt(socket.get(), ZMQ_MAXMSGSIZE, &most, sizeof(most));
    ACCELMESH_RETURN_IF_ERROR(zmq::SecureClient(socket.get(), {server, own}));
    ACCELMESH_RETURN_IF_ERROR(monitor.Watch(context_, socket, ("monitor" + std::to_string(++monitors_)).c_str()));
    if (zmq_connect(socket.get(), url_.c_str()) != 0) {
      return {Code::kInvalidArgument, kWhere, url_ + " cannot be connected to: " + zmq_strerror(zmq_errno())};
    }
    socket_ = std::move(socket);
    monitor_ = std::move(monitor);
    is_there_ = has_answered_ = false;
    messages::GreetT greet;
    greet.version_min = greet.version_max = kMarketVersion;
    greet.program = program_.substr(0, kIdBytesMax);
    messages::RequestT request;
    request.body.Set(std::move(greet));
    Result<messages::ReplyT> reply = Exchange(request, deadline, kPatience);
    if (!reply.ok() || reply->code != 0) {
      Disconnect();
      return reply.ok() ? Body(std::move(*reply)).status() : reply.status();
    }
    has_answered_ = true;
    if (const auto* greeting = reply->body.AsGreeting()) greeting_ = *greeting;
    ++connections_;
    return {};
  }

  // Sends and waits for the answer with its number.
  Result<messages::ReplyT> Exchange(messages::RequestT& request, Deadline deadline, Duration patience) {
    request.number = ++number_;
    const Bytes bytes = EncodeRequest(request);
    const Deadline until(std::min(deadline.at(), Deadline::After(patience).at()));
    if (bytes.size() > kMessageBytesMax) {
      return Status(Code::kInvalidArgument, kWhere, "the request is larger than the market takes; name fewer slots");
    }
    while (zmq_send(socket_.get(), bytes.data(), bytes.size(), ZMQ_DONTWAIT) < 0) {
      if (zmq_errno() != EAGAIN) return ZmqError("sending to the market");
      if (until.passed()) return Silent();
      // ZMQ_IMMEDIATE: writable once the connection stands.
      ACCELMESH_RETURN_IF_ERROR(Wait(until, ZMQ_POLLOUT));
    }
    while (true) {
      ACCELMESH_ASSIGN_OR_RETURN(std::optional<messages::FromMarketT> message, Receive(until));
      if (!message) return Silent();
      if (message->push != nullptr && sink_) sink_(*message->push);
      if (message->reply != nullptr && message->reply->number == number_) return std::move(*message->reply);
      // A market that sends other things all the time does not answer either.
      if (until.passed()) return Silent();
    }
  }

  Status Silent() const { return {Code::kUnavailable, kWhere, "the market at " + url_ + " does not answer"}; }

  // The next message; nothing if the deadline passed.
  Result<std::optional<messages::FromMarketT>> Receive(Deadline deadline) {
    while (true) {
      zmq::Message message;
      const zmq::Io io = socket_.TryReceive(message);
      if (io == zmq::Io::kDone) {
        ACCELMESH_ASSIGN_OR_RETURN(messages::FromMarketT decoded, DecodeFromMarket(message.bytes()));
        return std::optional(std::move(decoded));
      }
      if (io != zmq::Io::kWouldBlock) return ZmqError("receiving from the market");
      if (deadline.passed()) return std::optional<messages::FromMarketT>();
      ACCELMESH_RETURN_IF_ERROR(Wait(deadline, ZMQ_POLLIN));
    }
  }

  // Until the socket is ready, the deadline has passed, or the connection has gone, which is an error.
  Status Wait(Deadline deadline, short events) {
    zmq_pollitem_t items[] = {{socket_.get(), 0, events, 0}, {monitor_.get(), 0, ZMQ_POLLIN, 0}};
    if (zmq_poll(items, 2, deadline.left_ms()) < 0 && zmq_errno() != EINTR) return ZmqError("waiting for the market");
    // What has come before the connection went is still to be taken.
    if ((items[0].revents & events) != 0 || (items[1].revents & ZMQ_POLLIN) == 0) return {};
    zmq::Monitor::Event event;
    if (!monitor_.Next(event)) return {};
    if (event.kind == ZMQ_EVENT_CONNECTED) {
      is_there_ = true;
      return {};
    }
    if (event.kind == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
      const std::string own = security::HexOf(identity_.public_key().bytes);
      return {Code::kPermissionDenied, kWhere,
              "the market at " + url_ + " does not know identity " + own +
                  "; an admin lets it in with: slotctl keys trust " + own + " --role tenant --name NAME"};
    }
    if (event.kind == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) {
      return {Code::kPermissionDenied, kWhere,
              "the market at " + url_ + " has another key than the one given, or is none; check --market-key"};
    }
    // A market closes on whoever takes it for another.
    if (is_there_ && !has_answered_) {
      return {
          Code::kUnavailable, kWhere,
          "what is at " + url_ +
              " closes the connection: it has another key than --market-key or market.pub says, or is no slot-market"};
    }
    return {Code::kUnavailable, kWhere, "nobody answers at " + url_ + "; is slot-market running there?"};
  }

  const MarketAddress address_;
  const security::SigningKey& identity_;
  const std::string program_;
  zmq::Context context_;
  std::mt19937_64 random_;
  std::size_t next_ = 0;
  int redirects_ = 0;
  std::uint64_t number_ = 0;
  std::uint64_t monitors_ = 0;
  bool is_there_ = false;      // something took the connection
  bool has_answered_ = false;  // and was the market
  zmq::Monitor monitor_;
  zmq::Socket socket_;
};

MarketClient::MarketClient(MarketAddress address, const security::SigningKey& identity, std::string program)
    : impl_(std::make_unique<Impl>(std::move(address), identity, std::move(program))) {}
MarketClient::~MarketClient() = default;

Result<messages::ReplyBodyUnion> MarketClient::Call(messages::RequestBodyUnion body, Deadline deadline) {
  return impl_->Call(std::move(body), deadline);
}
Status MarketClient::Poll(Deadline deadline) { return impl_->Poll(deadline); }
void MarketClient::OnPush(PushSink sink) { impl_->sink_ = std::move(sink); }
int MarketClient::descriptor() const { return impl_->descriptor(); }
const messages::GreetingT& MarketClient::greeting() const { return impl_->greeting_; }
std::uint64_t MarketClient::connections() const { return impl_->connections_; }
const std::string& MarketClient::url() const { return impl_->url_; }

}  // namespace accelmesh::market
