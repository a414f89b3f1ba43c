#include "tests/integration/market/market_load.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "protocol/security/curve.h"
#include "protocol/transport/curve_socket.h"

namespace accelmesh::market {
namespace {

// Stands in a request that is encoded once where its number goes.
constexpr std::uint64_t kNumber = 0x5ac1'7e5a'b3d4'91e7;

// The name and the time of a process or thread from its /proc/.../stat.
std::pair<std::string, double> ReadStat(const std::string& path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::size_t begin = text.find('(');
  const std::size_t end = text.rfind(')');
  if (begin == std::string::npos || end == std::string::npos) return {};
  unsigned long user = 0;
  unsigned long system = 0;
  std::sscanf(text.c_str() + end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return {text.substr(begin + 1, end - begin - 1),
          static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK))};
}

}  // namespace

double OwnCpu() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double CpuOf(pid_t pid) { return ReadStat("/proc/" + std::to_string(pid) + "/stat").second; }

std::map<std::string, double> ThreadCpuOf(pid_t pid) {
  std::map<std::string, double> times;
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  DIR* threads = opendir(folder.c_str());
  if (threads == nullptr) return times;
  while (const dirent* thread = readdir(threads)) {
    if (thread->d_name[0] == '.') continue;
    const auto [name, time] = ReadStat(folder + "/" + thread->d_name + "/stat");
    if (!name.empty()) times[name] += time;
  }
  closedir(threads);
  return times;
}

double Percentile(const std::vector<double>& sorted, double part) {
  return sorted.empty() ? 0 : sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
}

Load::Load(const MarketProcess& market, const std::vector<security::Identity>& tenants) : context_(zmq_ctx_new()) {
  messages::RequestT grant;
  grant.body.Set(AskFor("0.001 TOPS fp32", 900'000));
  grant_ = MakeTemplate(std::move(grant));
  messages::RequestT prices;
  prices.body.Set(messages::ListPricesT{});
  prices_ = MakeTemplate(std::move(prices));
  begun_.emplace_back();
  for (const security::Identity& tenant : tenants) Connect(market, tenant);
  leases_.resize(sockets_.size());
}

Load::~Load() {
  for (void* socket : sockets_) zmq_close(socket);
  zmq_ctx_term(context_);
}

Load::Template Load::MakeTemplate(messages::RequestT request) {
  Template made;
  request.number = kNumber;
  made.bytes = EncodeRequest(request);
  const ByteView number = AsBytes(kNumber);
  const auto at = std::search(made.bytes.begin(), made.bytes.end(), number.begin(), number.end());
  made.number_at = static_cast<std::size_t>(at - made.bytes.begin());
  const auto* read = flatbuffers::GetRoot<messages::Request>(made.bytes.data());
  if (const auto* lease = read->body_as_RequestLease(); lease != nullptr) {
    made.operation_at = static_cast<std::size_t>(lease->operation_id()->Data() - made.bytes.data());
  }
  return made;
}

void Load::Connect(const MarketProcess& market, const security::Identity& tenant) {
  void* socket = zmq_socket(context_, ZMQ_DEALER);
  const int none = 0;
  zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
  // What is asked and answered late is a number; what a full queue drops is none.
  zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof(none));
  zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof(none));
  const Status status =
      zmq::SecureClient(socket, {*security::CurveKeyOf(market.address().key), *security::CurvePairOf(tenant.key)});
  if (!status.ok() || zmq_connect(socket, market.url().c_str()) != 0) std::abort();
  sockets_.push_back(socket);
  // Nobody is timed before he is let in and has his credits.
  messages::RequestT request;
  messages::GreetT greet;
  greet.version_min = greet.version_max = kMarketVersion;
  request.body.Set(std::move(greet));
  Template greeting = MakeTemplate(std::move(request));
  Send(sockets_.size() - 1, greeting, Clock::now());
  const auto nothing = [](std::size_t) {};
  for (int i = 0; i < 100 && under_way_ != 0; ++i) Receive(nothing, 100);
  times_.clear();
  failed_ = 0;
}

void Load::Send(std::size_t connection, Template& request, Instant begin) {
  const std::uint64_t number = begun_.size();
  std::memcpy(request.bytes.data() + request.number_at, &number, sizeof(number));
  if (request.operation_at != 0) {
    // As MakeOperationId() makes it, without asking the system for each byte.
    const std::uint64_t id[2] = {random_(), random_()};
    std::uint8_t* const at = request.bytes.data() + request.operation_at;
    std::memcpy(at, id, sizeof(id));
    const auto ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count());
    for (std::size_t i = 0; i < kOperationTimeBytes; ++i)
      at[i] = static_cast<std::uint8_t>(ms >> 8 * (kOperationTimeBytes - 1 - i));
  }
  begun_.push_back(begin);
  ++under_way_;
  zmq_send(sockets_[connection], request.bytes.data(), request.bytes.size(), ZMQ_DONTWAIT);
}

template <typename Next>
void Load::Take(std::size_t connection, ByteView bytes, const Next& next) {
  // Of our own market: read as it is, because checking it would be most of the load's time.
  const auto* message = flatbuffers::GetRoot<messages::FromMarket>(bytes.data());
  const messages::Reply* reply = message->reply();
  if (reply == nullptr || reply->number() >= begun_.size() || begun_[reply->number()] == Instant{}) return;
  const Instant begin = std::exchange(begun_[reply->number()], Instant{});
  --under_way_;
  const messages::Grants* grants = reply->body_as_Grants();
  if (reply->code() != 0 || (grants != nullptr && (grants->granted() == nullptr || grants->granted()->size() == 0))) {
    if (++failed_ == 1) std::fprintf(stderr, "first failure: %s\n", reply->text() ? reply->text()->c_str() : "");
  } else {
    times_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    if (grants != nullptr) {
      for (const messages::Granted* granted : *grants->granted())
        leases_[connection].push_back(granted->lease()->id()->str());
    }
  }
  next(connection);
}

template <typename Next>
void Load::Receive(const Next& next, long wait_ms) {
  bool has_any = false;
  zmq_msg_t message;
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    while (true) {
      zmq_msg_init(&message);
      if (zmq_msg_recv(&message, sockets_[i], ZMQ_DONTWAIT) < 0) break;
      has_any = true;
      Take(i, {static_cast<const std::uint8_t*>(zmq_msg_data(&message)), zmq_msg_size(&message)}, next);
      zmq_msg_close(&message);
    }
  }
  if (has_any || wait_ms == 0) return;
  std::vector<zmq_pollitem_t> items;
  for (void* socket : sockets_) items.push_back({socket, 0, ZMQ_POLLIN, 0});
  zmq_poll(items.data(), static_cast<int>(items.size()), wait_ms);
}

void Load::Grants(double seconds, int window, int rate, const std::function<bool()>& is_over) {
  if (rate > 0) return Paced(seconds, rate, grant_, is_over);
  const Instant begin = Clock::now();
  const Instant end = begin + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  bool ends = false;
  const auto next = [&](std::size_t connection) {
    if (!ends) Send(connection, grant_, Clock::now());
  };
  for (int j = 0; j < window; ++j) {
    for (std::size_t i = 0; i < sockets_.size(); ++i) next(i);
  }
  while (under_way_ != 0 && Clock::now() < end + std::chrono::seconds(5)) {
    if (is_over && is_over()) break;
    ends = Clock::now() >= end;
    Receive(next, 100);
  }
  seconds_ = std::chrono::duration<double>(std::min(Clock::now(), end) - begin).count();
}

void Load::Paced(double seconds, int rate, Template& request, const std::function<bool()>& is_over) {
  const Instant begin = Clock::now();
  const auto none = [](std::size_t) {};
  const auto count = static_cast<std::int64_t>(seconds * rate);
  const auto stops = [&] { return is_over && is_over(); };
  for (std::int64_t i = 0; i < count && !stops(); ++i) {
    const Instant due = begin + std::chrono::nanoseconds(i * 1'000'000'000LL / rate);
    // What is due within a millisecond goes together, each timed from when it was due or went, whichever is earlier.
    while (Clock::now() + std::chrono::milliseconds(1) < due) Receive(none, 1);
    Send(static_cast<std::size_t>(i) % sockets_.size(), request, std::min(due, Clock::now()));
    if (i % 16 == 15) Receive(none, 0);
  }
  const Instant end = Clock::now();
  while (under_way_ != 0 && Clock::now() < end + std::chrono::seconds(5) && !stops()) Receive(none, 10);
  seconds_ = std::chrono::duration<double>(Clock::now() - begin).count();
}

void Load::Prices(double seconds, int rate) { Paced(seconds, rate, prices_, nullptr); }

void Load::PrintJson(const char* what) {
  std::ranges::sort(times_);
  std::printf(
      "\"%s\":{\"per_second\":%.0f,\"count\":%zu,\"failed\":%zu,\"unanswered\":%zu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,"
      "\"max_ms\":%.2f",
      what, static_cast<double>(times_.size()) / seconds_, times_.size(), failed_, under_way_, Percentile(times_, 0.5),
      Percentile(times_, 0.99), Percentile(times_, 1));
}

BenchServer::BenchServer(const MarketProcess& market, const security::Identity& identity, std::string name, int devices)
    : client_(market.address(), identity.key, "bench"), name_(std::move(name)), devices_(devices) {
  client_.OnPush([this](const messages::PushT&) { ++pushes_; });
  registered_ = Register();
  thread_ = std::thread([this] { Run([this] { return is_over_.load(); }); });
}

BenchServer::~BenchServer() {
  is_over_ = true;
  thread_.join();
}

Status BenchServer::Register() {
  const auto registered = Ask<messages::RegisteredT>(client_, ServerWith(name_, devices_, 1, 1), In(5));
  connection_ = client_.connections();
  if (registered.ok()) ++registrations_;
  return registered.status();
}

void BenchServer::Run(const std::function<bool()>& is_over) {
  Instant keep = Clock::now();
  while (!is_over()) {
    if (client_.Poll(Deadline::After(std::chrono::milliseconds(100))).code() == Code::kUnavailable)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (client_.connections() != connection_) (void)Register();
    if (Clock::now() < keep) continue;
    keep = Clock::now() + std::chrono::seconds(2);
    if (!Ask<messages::KeptT>(client_, messages::KeepServerT{}, In(5)).ok() && !is_over()) (void)Register();
  }
}

}  // namespace accelmesh::market
