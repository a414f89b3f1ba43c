// The etcd store when members fail: real ones, on loopback, killed and frozen by pid.
#include "market/registry/etcd/etcd_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "protocol/base/log.h"
#include "tests/conformance/registry/etcd_cluster.h"
#include "tests/conformance/registry/load.h"
#include "tests/conformance/registry/world.h"

namespace accelmesh::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

std::string g_warnings;

std::unique_ptr<EtcdStore> Open(const EtcdCluster& cluster, std::size_t first = 0) {
  EtcdOptions options;
  options.endpoints = cluster.endpoints();
  std::rotate(options.endpoints.begin(), options.endpoints.begin() + static_cast<std::ptrdiff_t>(first),
              options.endpoints.end());
  options.connect = seconds(30);
  Result<std::unique_ptr<EtcdStore>> store = OpenEtcdStore(options);
  EXPECT_TRUE(store.ok()) << store.status().ToString();
  return store.ok() ? std::move(*store) : nullptr;
}

Result<TxnResult> Submit(Registry& registry, Txn txn, Duration patience = seconds(15)) {
  auto promise = std::make_shared<std::promise<Result<TxnResult>>>();
  registry.Submit(std::move(txn), Clock::now() + patience,
                  [promise](Result<TxnResult> result) { promise->set_value(std::move(result)); });
  return promise->get_future().get();
}

TEST(EtcdStoreTest, UrlsAreReadOrRefusedByName) {
  const Result<EtcdUrls> plain = ParseEtcdUrls("http://a:1,b:2,http://[::1]:3/");
  ASSERT_TRUE(plain.ok());
  EXPECT_THAT(plain->endpoints, ElementsAre("a:1", "b:2", "[::1]:3"));
  EXPECT_FALSE(plain->tls);
  const Result<EtcdUrls> secured = ParseEtcdUrls("https://a:1,https://b:2");
  ASSERT_TRUE(secured.ok());
  EXPECT_THAT(secured->endpoints, ElementsAre("a:1", "b:2"));
  EXPECT_TRUE(secured->tls);
  for (const char* bad : {"", "a", "http://a", "a:", ":1", "a:x", "a:1,", "a:99999", "http://u@a:1",
                          "https://a:1,http://b:2", "http://a:1,https://b:2", "https://a", "a/b:1", "a:1,,b:2"}) {
    EXPECT_EQ(ParseEtcdUrls(bad).code(), Code::kInvalidArgument) << bad;
  }
}

TEST(EtcdStoreTest, NobodyThereIsTold) {
  EtcdOptions options;
  options.endpoints = {"127.0.0.1:1"};
  options.connect = milliseconds(300);
  const Result<std::unique_ptr<EtcdStore>> store = OpenEtcdStore(options);
  EXPECT_EQ(store.code(), Code::kUnavailable);
  EXPECT_THAT(store.status().text(), HasSubstr("check that etcd runs"));
}

// What a certificate's user may not touch is refused, and so is who has no certificate of this authority.
TEST(EtcdStoreTest, RolesEndAtTheirPrefix) {
  const ScratchFolder folder;
  const ScratchFolder elsewhere;
  const EtcdCluster cluster = EtcdCluster::WithRoles(1, folder.Path(""));
  EtcdOptions options;
  options.endpoints = cluster.endpoints();
  options.tls = cluster.tls();
  options.connect = seconds(30);
  const auto open = [](const EtcdOptions& with) {
    Result<std::unique_ptr<EtcdStore>> store = OpenEtcdStore(with);
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    return std::move(*store);
  };
  const Txn put{{}, {Operation::Put("/a", "1")}, {}};
  const auto without = open(options);
  const Result<TxnResult> refused = Submit(*without, put);
  EXPECT_EQ(refused.code(), Code::kPermissionDenied) << refused.status().ToString();
  options.prefix = EtcdCluster::kRolePrefix;
  const auto within = open(options);
  EXPECT_TRUE(Submit(*within, put).ok());
  options.tls = cluster.tls("root");
  options.prefix.clear();
  const auto root = open(options);
  const Result<TxnResult> seen =
      Submit(*root, {{}, {Operation::Get(std::string(EtcdCluster::kRolePrefix) + "/a"), Operation::Get("/a")}, {}});
  ASSERT_TRUE(seen.ok()) << seen.status().ToString();
  EXPECT_TRUE(seen->results[0].entry.has_value());
  EXPECT_FALSE(seen->results[1].entry.has_value());
  const EtcdCluster strangers = EtcdCluster::WithRoles(1, elsewhere.Path(""));
  options.tls = strangers.tls();
  options.connect = milliseconds(500);
  EXPECT_EQ(OpenEtcdStore(options).code(), Code::kUnavailable);
}

TEST(EtcdStoreTest, CertificatesThatCannotBeUsedAreNamed) {
  const ScratchFolder folder;
  const auto refuse = [&](const EtcdTls& tls) {
    EtcdOptions options;
    options.endpoints = {"127.0.0.1:1"};
    options.connect = milliseconds(1);
    options.tls = tls;
    return OpenEtcdStore(options).status();
  };
  const std::string certificate = folder.Path("a.crt");
  const std::string key = folder.Path("a.key");
  std::ofstream(certificate) << "-----BEGIN CERTIFICATE-----\n";
  std::ofstream(key) << "-----BEGIN PRIVATE KEY-----\n";
  EXPECT_THAT(refuse({}).text(), HasSubstr("--etcd-ca"));
  EXPECT_THAT(refuse({folder.Path("none"), certificate, key}).text(), HasSubstr("none is not there"));
  EXPECT_THAT(refuse({certificate, key, key}).text(), HasSubstr("a.key (--etcd-cert) is no PEM file"));
  std::filesystem::permissions(key, std::filesystem::perms::owner_read | std::filesystem::perms::others_read);
  EXPECT_THAT(refuse({certificate, certificate, key}).text(), HasSubstr("chmod 600"));
  EXPECT_EQ(refuse({certificate, certificate, key}).code(), Code::kPermissionDenied);
}

TEST(EtcdStoreTest, KeysInEtcdHaveAPrefix) {
  for (const char* bad : {"a", "/a/", "/"}) {
    EtcdOptions options;
    options.endpoints = {"127.0.0.1:1"};
    options.prefix = bad;
    EXPECT_EQ(OpenEtcdStore(options).code(), Code::kInvalidArgument) << bad;
  }
}

TEST(EtcdStoreTest, AnOldVersionIsWarnedOf) {
  const ScratchFolder folder;
  const EtcdCluster cluster(1, folder.Path(""));
  g_warnings.clear();
  log::SetSink([](log::Level, std::string_view line) { g_warnings += line; });
  const auto store = Open(cluster);
  log::SetSink(nullptr);
  ASSERT_NE(store, nullptr);
  EXPECT_THAT(store->version(), testing::StartsWith("3.4."));
  EXPECT_THAT(g_warnings, HasSubstr("before 3.6.9"));
}

// Members are killed and frozen in turn while clients go on; what they saw has an order, and new requests go through
// again.
TEST(EtcdStoreTest, AHistoryWithFailingMembersIsLinearizable) {
  const ScratchFolder folder;
  EtcdCluster cluster(3, folder.Path(""));
  std::vector<std::unique_ptr<EtcdStore>> clients;
  for (std::size_t i = 0; i < 3; ++i) clients.push_back(Open(cluster, i));
  for (const auto& client : clients) ASSERT_NE(client, nullptr);
  Load::Options options;
  options.prefix = "/load/";
  options.each = 60;
  options.patience = seconds(2);
  Load load(options, 3, [] { return Clock::now(); });
  for (const auto& client : clients) {
    load.Start(*client);
    load.Start(*client);
  }
  const Deadline deadline = Deadline::After(seconds(60));
  for (std::size_t i = 0; !load.finished() && !deadline.passed(); ++i) {
    const std::size_t member = i % 3;
    if (i % 2 == 0) {
      cluster.Kill(member);
      std::this_thread::sleep_for(milliseconds(500));
      cluster.Start(member);
    } else {
      cluster.Freeze(member);
      std::this_thread::sleep_for(milliseconds(800));
      cluster.Thaw(member);
    }
    std::this_thread::sleep_for(milliseconds(700));
  }
  ASSERT_TRUE(load.finished());
  const Judgement judgement = CheckLinearizable(load.history());
  EXPECT_EQ(judgement.verdict, Verdict::kLinearizable) << judgement.text;
  std::size_t answered = 0;
  for (const Recorded& recorded : load.history()) answered += recorded.result.has_value();
  EXPECT_GT(answered, load.history().size() / 2);
  std::printf("%zu of %zu answered\n", answered, load.history().size());

  // Acknowledged, all members killed, disk kept.
  Result<TxnResult> put = Submit(*clients[0], {{}, {Operation::Put("/kept", "yes")}, {}});
  for (int tries = 0; !put.ok() && tries < 5; ++tries)
    put = Submit(*clients[0], {{}, {Operation::Put("/kept", "yes")}, {}});
  ASSERT_TRUE(put.ok()) << put.status().ToString();
  for (std::size_t i = 0; i < 3; ++i) cluster.Kill(i);
  EXPECT_FALSE(Submit(*clients[0], {{}, {Operation::Put("/kept", "no")}, {}}, milliseconds(500)).ok());
  for (std::size_t i = 0; i < 3; ++i) cluster.Start(i);
  Result<TxnResult> read = Submit(*clients[1], {{}, {Operation::Get("/kept")}, {}});
  for (int tries = 0; !read.ok() && tries < 5; ++tries) read = Submit(*clients[1], {{}, {Operation::Get("/kept")}, {}});
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  ASSERT_TRUE(read->results[0].entry.has_value());
  EXPECT_EQ(read->results[0].entry->value, "yes");
}

TEST(EtcdStoreTest, AnswersEverythingWhenItIsClosed) {
  const ScratchFolder folder;
  const EtcdCluster cluster(1, folder.Path(""));
  std::atomic<int> answered{0};
  std::atomic<bool> ended{false};
  {
    const auto store = Open(cluster);
    ASSERT_NE(store, nullptr);
    const auto watch = store->Watch("/", 0, [&](Result<Change> change) { ended = ended || !change.ok(); });
    for (int i = 0; i < 500; ++i) {
      store->Submit({{}, {Operation::Put("/" + std::to_string(i), "1")}, {}}, Instant::max(),
                    [&](Result<TxnResult>) { ++answered; });
      if (i % 50 == 0) store->KeepLease(12345, Instant::max(), [&](Result<LeaseResult>) { ++answered; });
    }
  }
  EXPECT_EQ(answered, 510);
}

}  // namespace
}  // namespace accelmesh::registry
