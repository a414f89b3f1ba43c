#include "market/client/messages.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <set>
#include <thread>

#include "tests/integration/market/market_messages.h"

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

template <typename Body>
Bytes Message(Body body) {
  messages::RequestT request;
  request.number = 5;
  request.body.Set(std::move(body));
  return EncodeRequest(request);
}

TEST(MessagesTest, ARequestComesBackAsItWas) {
  const messages::RequestLeaseT ask = AskFor("1 TOPS fp32, 2GiB", 1000, 5000);
  const Result<messages::RequestT> back = DecodeRequest(Message(ask));
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(back->number, 5U);
  const auto* read = back->body.AsRequestLease();
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->request, ask.request);
  EXPECT_EQ(read->operation_id, ask.operation_id);
  EXPECT_EQ(read->lease_us, 1'000'000);
  const Result<messages::RequestT> server = DecodeRequest(Message(ServerWith("s", 100, 1)));
  ASSERT_TRUE(server.ok()) << server.status().ToString();
  const scheduler::Slot slot = ToSchedulerSlot(*server->body.AsRegisterServer()->slots[3]);
  EXPECT_EQ(slot.id, "s/3");
  EXPECT_EQ(slot.tags.Throughput(scheduler::Operation::kMatmul, scheduler::NumberType::kFp32).low, 1e12);
}

TEST(MessagesTest, TheLedgerComesBackAsItWasAndWithinItsBounds) {
  messages::CosignT cosign;
  cosign.size = 7;
  cosign.line = std::string(1024, 'x');
  EXPECT_EQ(DecodeRequest(Message(cosign))->body.AsCosign()->size, 7U);
  cosign.line += "x";
  EXPECT_THAT(DecodeRequest(Message(cosign)).status().ToString(), HasSubstr("Cosign.line"));
  const auto decode = [](std::size_t bytes) {
    messages::LedgerEntriesT entries;
    entries.readable = 9;
    entries.entries.push_back(std::make_unique<messages::LedgerEntryT>());
    entries.entries.back()->bytes.resize(bytes, 1);
    messages::ReplyT reply;
    reply.body.Set(std::move(entries));
    return DecodeFromMarket(EncodeReply(reply));
  };
  EXPECT_EQ(decode(65535)->reply->body.AsLedgerEntries()->entries[0]->bytes.size(), 65535U);
  EXPECT_THAT(decode(65536).status().ToString(), HasSubstr("LedgerEntry.bytes"));
}

// Each bound once: the refusal names the field, and the sender's number is still to be had.
TEST(MessagesTest, BoundsAreKept) {
  const auto refused = [](const Bytes& bytes, const std::string& field) {
    const Result<messages::RequestT> request = DecodeRequest(bytes);
    ASSERT_EQ(request.code(), Code::kBadFrame) << field;
    EXPECT_THAT(request.status().ToString(), HasSubstr(field));
    EXPECT_EQ(NumberOfRefused(bytes), 5U);
  };
  messages::RequestLeaseT ask = AskFor("x");
  ask.operation_id.resize(15);
  refused(Message(ask), "RequestLease.operation_id");
  ask = AskFor("x");
  ask.holder_key.clear();
  refused(Message(ask), "RequestLease.holder_key");
  ask = AskFor(std::string(kTextBytesMax + 1, 'x'));
  refused(Message(ask), "RequestLease.request");
  ask = AskFor("x\x1b[2J");
  refused(Message(ask), "RequestLease.request");
  ask = AskFor("x", -1);
  refused(Message(ask), "RequestLease.lease_us");
  ask = AskFor("x");
  ask.slots.assign(kSlotsNamedMax + 1, "s");
  refused(Message(ask), "RequestLease.slots");
  ask = AskFor("x");
  ask.slots = {"two words"};
  refused(Message(ask), "RequestLease.slots");
  refused(Message(ServerWith("s", 101, 1)), "RegisterServer.slots");
  messages::RegisterServerT server = ServerWith("s", 1, 1);
  server.slots[0]->share_milli = 1001;
  refused(Message(server), "Slot.share_milli");
  server = ServerWith("s", 1, 1);
  server.slots[0]->reserve_price_microcredits_per_hour = -1;
  refused(Message(server), "Slot.reserve_price");
  server = ServerWith("s", 1, 1);
  server.slots[0]->tags->launch_us = std::make_unique<messages::Measured>(NAN, 1, 1);
  refused(Message(server), "Tags.launch_us");
  server = ServerWith("s", 1, 1);
  server.endpoints.clear();
  refused(Message(server), "RegisterServer.endpoints");
  messages::TrustT trust;
  trust.identity = std::string(63, 'a') + "G";
  refused(Message(trust), "Trust.identity");
  messages::DepositT deposit;
  deposit.operation_id = MakeOperationId();
  deposit.identity = std::string(64, 'a');
  deposit.microcredits = 0;
  refused(Message(deposit), "Deposit.microcredits");
}

TEST(MessagesTest, WhatIsNoMessageIsRefused) {
  EXPECT_EQ(DecodeRequest({}).code(), Code::kBadFrame);
  EXPECT_EQ(DecodeRequest(Bytes(kMessageBytesMax + 1)).code(), Code::kBadFrame);
  EXPECT_EQ(DecodeFromMarket(Bytes(100, 0xff)).code(), Code::kBadFrame);
  messages::RequestT nothing;
  EXPECT_EQ(DecodeRequest(EncodeRequest(nothing)).code(), Code::kBadFrame);
  const Bytes good = Message(ServerWith("s", 3, 1));
  for (std::size_t size = 0; size < good.size(); ++size) (void)DecodeRequest(ByteView(good).first(size)).ok();
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    Bytes bad = good;
    for (int j = 0; j < 4; ++j) bad[random() % bad.size()] = static_cast<std::uint8_t>(random());
    (void)DecodeRequest(bad).ok();
  }
}

// One string that a thousand entries share would unpack into a thousand strings.
TEST(MessagesTest, ASmallMessageDoesNotUnpackIntoALargeOne) {
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString(std::string(4000, 'x'));
  std::vector<flatbuffers::Offset<messages::Gap>> gaps;
  for (int i = 0; i < 60; ++i) gaps.push_back(messages::CreateGap(builder, 0, text, text));
  const auto all = builder.CreateVector(gaps);
  const auto slot = builder.CreateString("s");
  std::vector<flatbuffers::Offset<messages::Rejection>> rejections;
  for (int i = 0; i < 1000; ++i) rejections.push_back(messages::CreateRejection(builder, slot, all));
  const auto grants = messages::CreateGrants(builder, 0, builder.CreateVector(rejections));
  const auto reply = messages::CreateReply(builder, 1, 0, 0, 0, messages::ReplyBody::Grants, grants.Union());
  builder.Finish(messages::CreateFromMarket(builder, reply));
  ASSERT_LT(builder.GetSize(), 64U * 1024);
  const Result<messages::FromMarketT> message = DecodeFromMarket({builder.GetBufferPointer(), builder.GetSize()});
  ASSERT_EQ(message.code(), Code::kBadFrame);
  EXPECT_THAT(message.status().text(), HasSubstr("larger than the message"));
}

TEST(MessagesTest, RepliesAndPushesComeBack) {
  messages::ReplyT reply;
  reply.number = 9;
  reply.code = 3;
  reply.text = "no";
  reply.leader = "tcp://a:1";
  const Result<messages::FromMarketT> refusal = DecodeFromMarket(EncodeReply(reply));
  ASSERT_TRUE(refusal.ok()) << refusal.status().ToString();
  EXPECT_EQ(refusal->reply->leader, "tcp://a:1");
  messages::EpochRaisedT raised;
  raised.slot = "s/0";
  raised.epoch = 7;
  messages::PushT push;
  push.body.Set(raised);
  const Result<messages::FromMarketT> pushed = DecodeFromMarket(EncodePush(push));
  ASSERT_TRUE(pushed.ok()) << pushed.status().ToString();
  EXPECT_EQ(pushed->push->body.AsEpochRaised()->epoch, 7U);
  scheduler::Tags tags;
  tags.Throughput(scheduler::Operation::kConvolution, scheduler::NumberType::kInt8) = {3, 2, 4};
  tags.memory_bytes_per_s = {1, 1, 1};
  const scheduler::Tags back = ToSchedulerTags(ToMessageTags(tags));
  EXPECT_EQ(back.operations_per_s, tags.operations_per_s);
  EXPECT_EQ(back.memory_bytes_per_s, tags.memory_bytes_per_s);
  EXPECT_FALSE(back.launch_us.known());
}

// The registry lays together what was made together.
TEST(MessagesTest, OperationIdsBeginWithTheTime) {
  const std::vector<std::uint8_t> first = MakeOperationId();
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  const std::vector<std::uint8_t> second = MakeOperationId();
  EXPECT_EQ(first.size(), kOperationIdBytes);
  EXPECT_LT(first, second);
  std::set<std::vector<std::uint8_t>> tails;
  for (int i = 0; i < 1000; ++i) {
    const std::vector<std::uint8_t> id = MakeOperationId();
    tails.emplace(id.begin() + kOperationTimeBytes, id.end());
  }
  EXPECT_EQ(tails.size(), 1000U);
}

}  // namespace
}  // namespace accelmesh::market
