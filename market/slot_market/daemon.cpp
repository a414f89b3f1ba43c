#include "market/slot_market/daemon.h"

#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>

#include "market/desk/desk.h"
#include "market/slot_market/doorkeeper.h"
#include "market/slot_market/epoch_ledger.h"
#include "market/slot_market/gauges.h"
#include "market/slot_market/mailbox.h"
#include "market/slot_market/turnstile.h"
#include "protocol/base/log.h"
#include "protocol/security/key_file.h"
#include "protocol/transport/curve_socket.h"
#include "protocol/transport/zap.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
constexpr auto kTick = std::chrono::milliseconds(10);
constexpr auto kGauges = std::chrono::milliseconds(500);
constexpr auto kPublish = std::chrono::seconds(1);
constexpr int kReceivedAtOnce = 1024;
constexpr auto kServedFor = std::chrono::milliseconds(3);
constexpr int kMessagesAtOnce = 256;
// Answers that libzmq keeps for a client that does not read; beyond it they are dropped, and the client asks again.
constexpr int kMessagesMax = 2'000;

std::int64_t WallMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Status ZmqError(const std::string& doing) { return {Code::kSystem, kWhere, doing + ": " + zmq_strerror(zmq_errno())}; }

Result<security::Identity> LoadIdentity(const DaemonOptions& options, std::string& folder) {
  folder = options.keys;
  if (folder.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(folder, security::DefaultKeyFolder());
  }
  const security::KeyFolder keys(folder);
  Result<security::Identity> identity = keys.Load(options.identity);
  if (!identity.ok() && identity.code() == Code::kNotFound) {
    identity = keys.Create(options.identity, security::Role::kAdmin, WallMs());
  }
  return identity;
}

// Where this user's programs find the key that they trust; written beside and renamed.
Status PublishKey(const std::string& folder, const security::PublicKey& key) {
  std::filesystem::path keys = std::filesystem::path(folder).lexically_normal();
  if (!keys.has_filename()) keys = keys.parent_path();
  const std::string path = (keys.parent_path() / "market.pub").string();
  const std::string beside = path + ".new";
  std::ofstream file(beside, std::ios::trunc);
  file << security::HexOf(key.bytes) << '\n';
  file.close();
  if (!file || std::rename(beside.c_str(), path.c_str()) != 0) return Status::System(errno, kWhere, "writing " + path);
  return {};
}

struct CloseSocket {
  void operator()(void* socket) const { zmq_close(socket); }
};
struct EndContext {
  void operator()(void* context) const { zmq_ctx_term(context); }
};

class Daemon {
 public:
  explicit Daemon(const DaemonOptions& options) : options_(options), signals_(-1) {}
  ~Daemon() {
    if (signals_ >= 0) ::close(signals_);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  Status Start() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0) return Status::System(errno, kWhere, "waiting for signals");
    std::string folder;
    ACCELMESH_ASSIGN_OR_RETURN(security::Identity identity, LoadIdentity(options_, folder));
    identity_.emplace(std::move(identity));
    ACCELMESH_ASSIGN_OR_RETURN(store_, OpenStore(options_));
    doorkeeper_.emplace(folder);
    ACCELMESH_RETURN_IF_ERROR(Listen());
    ACCELMESH_RETURN_IF_ERROR(PublishKey(folder, identity_->key.public_key()));
    ACCELMESH_RETURN_IF_ERROR(OpenLedger());
    if (options_.metrics != "off") {
      ACCELMESH_ASSIGN_OR_RETURN(metrics_, Metrics::Start(options_.metrics));
      gauges_.emplace(*metrics_);
    }
    MakeDesk();
    return {};
  }

  Status Run() {
    while (!is_over_) {
      zmq_pollitem_t items[] = {{socket_.get(), 0, ZMQ_POLLIN, 0},
                                {nullptr, mailbox_.descriptor(), ZMQ_POLLIN, 0},
                                {nullptr, signals_, ZMQ_POLLIN, 0}};
      const bool is_busy = turnstile_.size() > 0 && desk_->has_room();
      const auto wait = is_busy ? 0 : std::chrono::duration_cast<std::chrono::milliseconds>(kTick).count();
      if (zmq_poll(items, 3, wait) < 0 && zmq_errno() != EINTR) return ZmqError("waiting");
      desk_->Tick(Clock::now(), WallMs());
      mailbox_.Run();
      TakeMessages();
      ServeMessages();
      desk_->Flush();
      if ((items[2].revents & ZMQ_POLLIN) != 0) TakeSignal();
      SayWhenReady();
      if (gauges_ && Clock::now() >= next_gauges_) {
        next_gauges_ = Clock::now() + kGauges;
        gauges_->Set(*desk_);
      }
      if (ledger_ != nullptr && Clock::now() >= next_publish_) {
        next_publish_ = Clock::now() + kPublish;
        if (const Status published = ledger_->Publish(); !published.ok()) log::Warning(kWhere, published.ToString());
      }
      if (resigning_ && Clock::now() >= *resigning_) is_over_ = true;
    }
    return {};
  }

 private:
  Status Listen() {
    context_.reset(zmq_ctx_new());
    if (context_ == nullptr) return ZmqError("making a context");
    ACCELMESH_ASSIGN_OR_RETURN(
        zap_, zmq::ZapHandler::Start(context_.get(), [this](const security::CurveKey& key, std::string_view) {
          return doorkeeper_->Lookup(key);
        }));
    socket_.reset(zmq_socket(context_.get(), ZMQ_ROUTER));
    if (socket_ == nullptr) return ZmqError("making a socket");
    for (const auto& [option, value] :
         {std::pair{ZMQ_LINGER, 200}, std::pair{ZMQ_SNDHWM, kMessagesMax}, std::pair{ZMQ_RCVHWM, kMessagesMax},
          std::pair{ZMQ_HANDSHAKE_IVL, 5000}, std::pair{ZMQ_BACKLOG, 1024}}) {
      zmq_setsockopt(socket_.get(), option, &value, sizeof(value));
    }
    zmq::NoticeGoneHosts(socket_.get());
    const auto most = static_cast<std::int64_t>(kMessageBytesMax);
    zmq_setsockopt(socket_.get(), ZMQ_MAXMSGSIZE, &most, sizeof(most));
    ACCELMESH_RETURN_IF_ERROR(zmq::SecureServer(socket_.get(), security::CurveSecretOf(identity_->key), "market"));
    for (const std::string& url : options_.listen) {
      if (zmq_bind(socket_.get(), url.c_str()) != 0) {
        return {Code::kUnavailable, kWhere,
                "listening on " + url + ": " + zmq_strerror(zmq_errno()) +
                    "; another slot-market may be there already: give --listen another address"};
      }
      char bound[256] = {};
      std::size_t size = sizeof(bound);
      zmq_getsockopt(socket_.get(), ZMQ_LAST_ENDPOINT, bound, &size);
      urls_.emplace_back(bound);
    }
    return {};
  }

  Status OpenLedger() {
    std::string folder = options_.ledger;
    // Replicas would each have a log of their own; which of them is the market's is the operator's to say.
    if (folder.empty() && !store_.file.empty()) folder = store_.file + "-ledger";
    if (folder.empty() || folder == "off") return {};
    ACCELMESH_ASSIGN_OR_RETURN(ledger_, EpochLedger::Open(folder, identity_->key));
    return {};
  }

  void MakeDesk() {
    DeskOptions desk;
    desk.epoch_log = ledger_.get();
    desk.urls = options_.advertise.empty() ? urls_ : std::vector<std::string>{options_.advertise};
    desk.name = desk.urls.front();
    desk.store = store_.kind;
    desk.store_warning = store_.warning;
    desk.is_alone = desk.keeps_order = store_.is_alone;
    desk.welcome_credits = static_cast<std::int64_t>(options_.welcome_credits * 1e6);
    desk.price_step = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options_.price_step_s));
    desk.unused = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options_.unused_s));
    desk.gone = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options_.gone_s));
    desk.budget = static_cast<std::int64_t>(options_.budget_credits * 1e6);
    desk.budget_period = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options_.budget_period_s));
    Desk::World world;
    world.post = [this](std::function<void()> what) { mailbox_.Post(std::move(what)); };
    world.send = [this](const Peer& peer, Bytes bytes) { Send(peer, bytes); };
    world.local = [this](const std::string& identity) { return doorkeeper_->Local(identity); };
    world.identities_changed = [this] {
      doorkeeper_->Set(desk_->book().All(Family::kIdentity));
      zap_->Reload();
    };
    world.granted = [this](Duration took) {
      if (gauges_) gauges_->Granted(took);
    };
    desk_.emplace(std::move(desk), *store_.registry, identity_->key, std::move(world), std::random_device{}());
  }

  void Send(const Peer& peer, const Bytes& bytes) {
    // A peer that is gone or does not read loses its answer and asks again.
    if (zmq_send(socket_.get(), peer.data(), peer.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) return;
    (void)zmq_send(socket_.get(), bytes.data(), bytes.size(), ZMQ_DONTWAIT);
  }

  void TakeMessages() {
    for (int i = 0; i < kReceivedAtOnce; ++i) {
      zmq_msg_t address;
      zmq_msg_init(&address);
      if (zmq_msg_recv(&address, socket_.get(), ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&address);
        return;
      }
      const Peer peer(static_cast<const char*>(zmq_msg_data(&address)), zmq_msg_size(&address));
      bool more = zmq_msg_more(&address) != 0;
      zmq_msg_close(&address);
      bool is_first = true;
      while (more) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket_.get(), ZMQ_DONTWAIT) < 0) {
          zmq_msg_close(&part);
          return;
        }
        more = zmq_msg_more(&part) != 0;
        // A message has one part; of a longer one nothing is looked at.
        if (is_first && !more) {
          const std::optional<std::string> identity = zmq::UserIdOf(&part);
          const auto* bytes = static_cast<const std::uint8_t*>(zmq_msg_data(&part));
          if (identity) Enter({peer, *identity, Bytes(bytes, bytes + zmq_msg_size(&part))});
        }
        is_first = false;
        zmq_msg_close(&part);
      }
    }
  }

  void Enter(Turnstile::Arrival arrival) {
    if (turnstile_.Enter(arrival)) return;
    desk_->Refuse(arrival.peer, arrival.bytes,
                  Status(Code::kFull, kWhere,
                         "too many requests of this connection wait already; send the next when one is answered"));
  }

  // One of each identity at a time, and no more than the disk keeps up with.
  void ServeMessages() {
    // What was decided is written in between: whoever waits for that waits for no more than this.
    const Instant until = Clock::now() + kServedFor;
    for (int i = 0; i < kMessagesAtOnce && desk_->has_room() && Clock::now() < until; ++i) {
      const std::optional<Turnstile::Arrival> next = turnstile_.Next();
      if (!next) return;
      desk_->OnMessage(next->peer, next->identity, next->bytes);
    }
  }

  void TakeSignal() {
    signalfd_siginfo info{};
    if (::read(signals_, &info, sizeof(info)) != static_cast<ssize_t>(sizeof(info)) || resigning_) return;
    resigning_ = Clock::now() + std::chrono::seconds(1);
    desk_->Resign([this] { is_over_ = true; });
  }

  // A follower is ready too: it tells who leads.
  void SayWhenReady() {
    if (is_ready_) return;
    const bool is_stuck = !desk_->trouble().empty();
    if (!desk_->is_leading() && (store_.is_alone || is_stuck)) return;
    is_ready_ = true;
    if (options_.json) {
      std::printf("{\"ready\":\"%s\",\"store\":\"%s\",\"market_key\":\"%s\",\"metrics\":\"%s\"}\n",
                  urls_.front().c_str(), store_.kind.c_str(),
                  security::HexOf(identity_->key.public_key().bytes).c_str(),
                  metrics_ ? metrics_->address().c_str() : "");
    } else {
      if (metrics_) std::printf("metrics http://%s/metrics\n", metrics_->address().c_str());
      for (const std::string& url : urls_) std::printf("ready %s\n", url.c_str());
    }
    std::fflush(stdout);
  }

  const DaemonOptions options_;
  int signals_;
  Mailbox mailbox_;
  std::optional<security::Identity> identity_;
  std::optional<Doorkeeper> doorkeeper_;
  std::unique_ptr<Metrics> metrics_;
  std::optional<Gauges> gauges_;
  std::unique_ptr<void, EndContext> context_;
  std::unique_ptr<zmq::ZapHandler> zap_;
  std::unique_ptr<void, CloseSocket> socket_;
  std::vector<std::string> urls_;
  OpenedStore store_;
  std::unique_ptr<EpochLedger> ledger_;
  Instant next_publish_;
  std::optional<Desk> desk_;
  Turnstile turnstile_;
  Instant next_gauges_;
  bool is_ready_ = false;
  bool is_over_ = false;
  std::optional<Instant> resigning_;
};

}  // namespace

Status RunDaemon(const DaemonOptions& options) {
  Daemon daemon(options);
  ACCELMESH_RETURN_IF_ERROR(daemon.Start());
  return daemon.Run();
}

}  // namespace accelmesh::market
