#include "protocol/transport/zap.h"

#include <zmq.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "protocol/base/line_limit.h"
#include "protocol/base/log.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh::zmq {
namespace {

constexpr const char* kAddress = "inproc://zeromq.zap.01";
constexpr std::size_t kUserIdBytesMax = 255;
// Answers and logged keys that are remembered: past these all are forgotten, so that strangers cannot fill memory.
constexpr std::size_t kAnswersMax = 4096;
constexpr std::size_t kLoggedMax = 1024;
constexpr std::size_t kPartsMax = 16;
// A refusal is not remembered as long as an admission: whoever is made known in the meantime does not wait.
constexpr Duration kRefusedFor = std::chrono::milliseconds(200);
// A request's parts (RFC 27): version, request id, domain, address, identity, mechanism, credentials.
enum Part { kVersion, kRequest, kDomain, kPeerAddress, kIdentity, kMechanism, kCredentials, kPartsOfCurve };

}  // namespace

class ZapHandler::Impl {
 public:
  Impl(Socket socket, Lookup lookup, Duration remember_for)
      : socket_(std::move(socket)), lookup_(std::move(lookup)), remember_for_(remember_for) {}
  ~Impl() {
    stop_.store(true);
    wakeup_.Set();
    if (thread_.joinable()) thread_.join();
  }

  void Begin() {
    thread_ = std::thread([this] { Run(); });
  }
  void Reload() { generation_.fetch_add(1); }

 private:
  struct Answer {
    Result<std::string> user_id = Status(Code::kPermissionDenied, "ZapHandler", "");
    Instant until;
  };

  void Run() {
    while (!stop_.load()) {
      zmq_pollitem_t items[2] = {{socket_.get(), 0, ZMQ_POLLIN, 0}, {nullptr, wakeup_.fd(), ZMQ_POLLIN, 0}};
      zmq_poll(items, 2, -1);
      while (!stop_.load() && Serve()) {
      }
    }
  }

  // Answers one request; false if there is none.
  bool Serve() {
    std::vector<Message> parts;
    Message part;
    if (socket_.TryReceive(part) != Io::kDone) return false;
    for (bool more = true; more;) {
      more = part.more();
      if (parts.size() < kPartsMax) parts.push_back(std::move(part));
      part = Message();
      if (more && socket_.TryReceive(part) != Io::kDone) return false;
    }
    const Result<std::string> user_id = Decide(parts);
    const auto echo = [&parts](std::size_t i) { return i < parts.size() ? AsText(parts[i].bytes()) : ""; };
    // The texts of refusals stay here: a stranger learns nothing from the answer.
    const std::string_view reply[] = {echo(kVersion),
                                      echo(kRequest),
                                      user_id.ok() ? "200" : "400",
                                      user_id.ok() ? "OK" : "refused",
                                      user_id.ok() ? std::string_view(*user_id) : "",
                                      ""};
    for (std::size_t i = 0; i < std::size(reply); ++i) {
      Message message(AsBytes(reply[i]));
      if (socket_.TrySend(message, /*more=*/i + 1 < std::size(reply)) != Io::kDone) return false;
    }
    return true;
  }

  Result<std::string> Decide(const std::vector<Message>& parts) {
    const auto refuse = [this](const std::string& who, const std::string& text) {
      if (logged_.size() >= kLoggedMax) logged_.clear();
      if (logged_.insert(who).second) Say("a connection was refused: " + text);
      return Status(Code::kPermissionDenied, "ZapHandler", text);
    };
    if (parts.size() < kPartsOfCurve - 1) return refuse("short", "the request to decide on it is cut off");
    const std::string mechanism(AsText(parts[kMechanism].bytes()).substr(0, 16));
    const std::string from(AsText(parts[kPeerAddress].bytes()).substr(0, 64));
    if (mechanism != "CURVE" || parts.size() != kPartsOfCurve ||
        parts[kCredentials].bytes().size() != security::kKeyBytes) {
      return refuse(mechanism, from + " came with " + mechanism + "; only CURVE is let in");
    }
    security::CurveKey key;
    std::copy_n(parts[kCredentials].bytes().data(), key.bytes.size(), key.bytes.begin());
    const std::string domain(AsText(parts[kDomain].bytes()));
    const Answer& answer = Ask(key, domain);
    if (answer.user_id.ok()) return answer.user_id;
    return refuse(domain + security::HexOf(key.bytes),
                  "key " + security::HexOf(key.bytes) + " of " + from + ": " + answer.user_id.status().text());
  }

  void Say(std::string text) {
    if (const std::optional<std::string> line = lines_.Take(std::move(text), Clock::now())) log::Warning("zap", *line);
  }

  const Answer& Ask(const security::CurveKey& key, const std::string& domain) {
    const Instant now = Clock::now();
    if (const std::uint64_t generation = generation_.load(); generation != known_generation_) {
      answers_.clear();
      known_generation_ = generation;
    }
    const std::pair<std::string, std::string> name{domain, std::string(AsText(key.bytes))};
    const auto known = answers_.find(name);
    if (known != answers_.end() && now < known->second.until) return known->second;
    if (answers_.size() >= kAnswersMax) answers_.clear();
    Answer& answer = answers_[name];
    answer.user_id = lookup_(key, domain);
    if (answer.user_id.ok() && answer.user_id->size() > kUserIdBytesMax) {
      answer.user_id = Status(Code::kInternal, "ZapHandler", "its name is longer than 255 bytes");
    }
    answer.until = now + (answer.user_id.ok() ? remember_for_ : std::min(remember_for_, kRefusedFor));
    return answer;
  }

  Socket socket_;
  const Lookup lookup_;
  const Duration remember_for_;
  Wakeup wakeup_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> generation_{0};
  // The thread's.
  std::uint64_t known_generation_ = 0;
  std::map<std::pair<std::string, std::string>, Answer> answers_;  // by domain and key
  std::set<std::string> logged_;
  LineLimit lines_;
  std::thread thread_;
};

ZapHandler::ZapHandler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ZapHandler::~ZapHandler() = default;
void ZapHandler::Reload() { impl_->Reload(); }

Result<std::unique_ptr<ZapHandler>> ZapHandler::Start(void* context, Lookup lookup, Duration remember_for) {
  ACCELMESH_ASSIGN_OR_RETURN(Socket socket, Socket::Open(context, ZMQ_REP, 0));
  if (zmq_bind(socket.get(), kAddress) != 0) {
    if (zmq_errno() == EADDRINUSE) {
      return Status(Code::kUnavailable, "ZapHandler::Start", "the context has a handler already");
    }
    return ZmqStatus(zmq_errno(), "ZapHandler::Start", kAddress);
  }
  auto impl = std::make_unique<Impl>(std::move(socket), std::move(lookup), remember_for);
  impl->Begin();
  return std::unique_ptr<ZapHandler>(new ZapHandler(std::move(impl)));
}

}  // namespace accelmesh::zmq
