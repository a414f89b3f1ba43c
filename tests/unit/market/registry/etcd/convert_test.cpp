#include "market/registry/etcd/convert.h"

#include <gtest/gtest.h>

namespace accelmesh::registry {
namespace {

TEST(EtcdConvertTest, TheEndOfAPrefix) {
  EXPECT_EQ(EndOfPrefix("/a"), "/b");
  EXPECT_EQ(EndOfPrefix("/a\xff\xff"), "/b");
  EXPECT_EQ(EndOfPrefix("\xff"), std::string(1, '\0'));
}

TEST(EtcdConvertTest, VersionsBefore369AreOld) {
  for (const char* version : {"3.4.23", "3.5.21", "3.6.0", "3.6.8", "2.9.9", "", "x", "3.6"})
    EXPECT_TRUE(IsOldEtcd(version)) << version;
  for (const char* version : {"3.6.9", "3.6.10", "3.7.0", "4.0.0", "3.6.9-rc1"})
    EXPECT_FALSE(IsOldEtcd(version)) << version;
}

TEST(EtcdConvertTest, ATransactionWithoutOperationsGetsOne) {
  const Txn empty{{Compare::Absent("/a")}, {}, {}};
  const etcdserverpb::TxnRequest request = ToEtcd(empty);
  EXPECT_EQ(request.then_size(), 1) << "else etcd answers it from a member's own state";
  etcdserverpb::TxnResponse response;
  response.mutable_header()->set_revision(5);
  response.set_succeeded(true);
  response.add_responses()->mutable_range();
  EXPECT_TRUE(FromEtcd(empty, response)->results.empty());
}

TEST(EtcdConvertTest, AnswersThatDoNotFitAreRefused) {
  const Txn txn{{}, {Operation::Get("/a"), Operation::Put("/b", "1"), Operation::Delete("/c")}, {}};
  etcdserverpb::TxnResponse good;
  good.mutable_header()->set_revision(5);
  good.set_succeeded(true);
  etcdserverpb::KeyValue& pair = *good.add_responses()->mutable_range()->add_kvs();
  pair.set_key("/a");
  pair.set_create_revision(1);
  pair.set_mod_revision(2);
  pair.set_version(2);
  good.add_responses()->mutable_put();
  good.add_responses()->mutable_delete_()->set_deleted(1);
  const Result<TxnResult> result = FromEtcd(txn, good);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->results[0].entry, (Entry{"/a", "", 1, 2, 2, kNoLease}));
  EXPECT_TRUE(result->results[2].deleted);
  const auto refused = [&](auto change) {
    etcdserverpb::TxnResponse bad = good;
    change(bad);
    return FromEtcd(txn, bad).code() == Code::kBadFrame;
  };
  EXPECT_TRUE(refused([](auto& bad) { bad.clear_header(); }));
  EXPECT_TRUE(refused([](auto& bad) { bad.set_succeeded(false); }));
  EXPECT_TRUE(refused([](auto& bad) { bad.mutable_responses()->RemoveLast(); }));
  EXPECT_TRUE(refused([](auto& bad) { bad.mutable_responses()->SwapElements(1, 2); }));
  EXPECT_TRUE(refused([](auto& bad) { bad.mutable_responses()->SwapElements(0, 1); }));
  EXPECT_TRUE(refused([](auto& bad) { bad.mutable_responses(0)->mutable_range()->mutable_kvs(0)->set_key("/z"); }));
  EXPECT_TRUE(refused([](auto& bad) { bad.mutable_responses(0)->mutable_range()->mutable_kvs(0)->set_version(0); }));
  EXPECT_TRUE(
      refused([](auto& bad) { bad.mutable_responses(0)->mutable_range()->mutable_kvs(0)->set_mod_revision(0); }));
  EXPECT_TRUE(refused(
      [](auto& bad) { *bad.mutable_responses(0)->mutable_range()->add_kvs() = bad.responses(0).range().kvs(0); }));
}

TEST(EtcdConvertTest, ChangesAreARevisionEach) {
  etcdserverpb::WatchResponse response;
  for (const Revision revision : {3, 3, 4}) {
    etcdserverpb::WatchEvent& event = *response.add_events();
    event.set_type(1);
    event.mutable_kv()->set_key("/" + std::to_string(response.events_size()));
    event.mutable_kv()->set_mod_revision(revision);
  }
  const Result<std::vector<Change>> changes = FromEtcd(response);
  ASSERT_TRUE(changes.ok());
  ASSERT_EQ(changes->size(), 2u);
  EXPECT_EQ((*changes)[0].events.size(), 2u);
  EXPECT_EQ((*changes)[1].revision, 4);
  response.mutable_events()->SwapElements(0, 2);
  EXPECT_EQ(FromEtcd(response).code(), Code::kBadFrame) << "revisions go back";
}

}  // namespace
}  // namespace accelmesh::registry
