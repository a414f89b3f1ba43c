// Writes the seeds of desk_fuzz, market_message_fuzz and order_fuzz into three folders.
#include <fstream>

#include "market/client/orders.h"
#include "tests/fuzz/desk_world.h"
#include "tests/integration/market/market_messages.h"

namespace {

using namespace accelmesh;
using namespace accelmesh::market;

void Save(const std::string& path, ByteView bytes) { std::ofstream(path, std::ios::binary) << AsText(bytes); }

template <typename Body>
Bytes Message(Body body) {
  messages::RequestT request;
  request.number = 1;
  request.body.Set(std::move(body));
  return EncodeRequest(request);
}

void Add(Bytes& input, std::uint8_t who, const Bytes& message) {
  input.push_back(who);
  input.push_back(static_cast<std::uint8_t>(message.size() & 0xff));
  input.push_back(static_cast<std::uint8_t>(message.size() >> 8));
  input.insert(input.end(), message.begin(), message.end());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string orders = std::string(argv[3]) + "/";
  const std::string desk = std::string(argv[1]) + "/";
  const std::string message = std::string(argv[2]) + "/";
  const Bytes server = Message(ServerWith("s", 1, 1, 100));
  messages::RequestLeaseT ask = AskFor("0.2 TOPS fp32");
  ask.operation_id.assign(kOperationIdBytes, 9);
  const std::string lease =
      LeaseIdOf(fuzz_world::kTenant, std::string(32, '0'), 0).substr(0, 9) + "09090909090909090909090909090909";
  messages::GreetT greet;
  greet.version_min = greet.version_max = kMarketVersion;
  messages::RenewLeaseT renew;
  renew.operation_id.assign(kOperationIdBytes, 1);
  renew.lease = lease;
  messages::ResizeLeaseT resize;
  resize.operation_id.assign(kOperationIdBytes, 2);
  resize.lease = lease;
  resize.share_milli = 100;
  messages::TransferLeaseT transfer;
  transfer.operation_id.assign(kOperationIdBytes, 3);
  transfer.lease = lease;
  transfer.to = fuzz_world::kAdmin;
  transfer.holder_key.assign(32, 1);
  messages::ReleaseLeaseT release;
  release.operation_id.assign(kOperationIdBytes, 4);
  release.lease = lease;
  messages::DepositT deposit;
  deposit.operation_id.assign(kOperationIdBytes, 5);
  deposit.identity = fuzz_world::kTenant;
  deposit.microcredits = 7;
  messages::TrustT trust;
  trust.identity = fuzz_world::kTenant;
  trust.role = "tenant";
  messages::QuoteT quote;
  quote.request = "0.2 TOPS fp32";
  messages::DrainSlotsT drain;
  drain.slots = {"s/0"};
  drain.drain = true;

  const auto granted = [&](const char* name, std::initializer_list<std::pair<std::uint8_t, Bytes>> then) {
    Bytes input;
    Add(input, 2, server);
    Add(input, 0, Message(greet));
    Add(input, 0, Message(ask));
    for (const auto& [who, bytes] : then) Add(input, who, bytes);
    Save(desk + name, input);
    fuzz_world::DeskWorld world;
    world.Send(2, server);
    world.Send(0, Message(greet));
    world.Send(0, Message(ask));
    for (const auto& [who, bytes] : then) world.Send(who, bytes);
    Bytes reply{0xff};
    reply.insert(reply.end(), world.last().begin(), world.last().end());
    Save(message + name, reply);
  };
  granted("grant", {});
  granted("renew", {{0, Message(renew)}});
  granted("resize", {{0, Message(resize)}});
  granted("transfer", {{0, Message(transfer)}});
  granted("release", {{0, Message(release)}});
  granted("deposit", {{1, Message(deposit)}});
  granted("trust", {{1, Message(trust)}});
  granted("quote", {{0, Message(quote)}});
  granted("drain", {{1, Message(drain)}, {0, Message(renew)}});
  granted("slots", {{0, Message(messages::ListSlotsT{})}});
  granted("prices", {{0, Message(messages::ListPricesT{})}});
  granted("leases", {{0, Message(messages::ListLeasesT{})}});
  granted("accounts", {{1, Message(messages::ListAccountsT{})}});
  granted("status", {{3, Message(messages::GetStatusT{})}});
  granted("keep", {{2, Message(messages::KeepServerT{})}});
  granted("stranger", {{3, Message(ask)}});
  granted("asks", {{0, Message(messages::ListAsksT{})}});
  granted("epochs", {{0, Message(messages::ListEpochsT{})}});
  messages::PriceToWinT price;
  price.class_name = "cpu/Device";
  price.share_milli = 300;
  granted("price_to_win", {{0, Message(price)}});
  messages::SignReceiptT sign;
  sign.lease = lease;
  sign.delivered_ppm = sign.uptime_ppm = 1'000'000;
  sign.used_ppm = 5;
  sign.signature.assign(64, 3);
  granted("sign_receipt", {{0, Message(release)}, {0, Message(sign)}, {2, Message(sign)}});
  messages::ListReceiptsT receipts;
  receipts.all = receipts.open = true;
  granted("receipts", {{0, Message(release)}, {2, Message(messages::KeepServerT{})}, {1, Message(receipts)}});
  granted("reputation", {{0, Message(messages::ListReputationT{})}});
  messages::SetSharesT shares;
  shares.identity = fuzz_world::kTenant;
  shares.budget_weight = 3;
  shares.floors.push_back(std::make_unique<messages::FloorT>());
  shares.floors.back()->class_name = "cpu/Device";
  shares.floors.back()->share_ppm = 250'000;
  granted("shares", {{1, Message(std::move(shares))}});
  messages::GetCheckpointT checkpoint;
  checkpoint.old_size = 7;
  granted("get_checkpoint", {{0, Message(checkpoint)}});
  messages::CosignT cosign;
  cosign.size = 7;
  cosign.line = "\u2014 w1 AAAA\n";
  granted("cosign", {{0, Message(cosign)}});
  messages::ReadEntriesT read;
  read.first = 3;
  granted("read_entries", {{0, Message(read)}});
  // What a market with a ledger says.
  const auto said = [&](const char* name, Bytes bytes) {
    bytes.insert(bytes.begin(), 0xff);
    Save(message + name, bytes);
  };
  messages::ReplyT reply;
  messages::LedgerCheckpointT shown;
  shown.extension = "old 7\n\naccelmesh-market\n7\nAAAA\n\n\u2014 accelmesh-market AAAA\n";
  reply.body.Set(std::move(shown));
  said("ledger_checkpoint", EncodeReply(reply));
  messages::LedgerEntriesT entries;
  entries.readable = 9;
  for (int i = 0; i < 2; ++i) {
    entries.entries.push_back(std::make_unique<messages::LedgerEntryT>());
    entries.entries.back()->bytes.assign(5, static_cast<std::uint8_t>(i));
  }
  reply.body.Set(std::move(entries));
  said("ledger_entries", EncodeReply(reply));
  messages::OrderTakenT taken;
  taken.promise = "accelmesh-promise 1\nAAAA\nc2sp.org/tlog-proof@v1\nindex 3\n\naccelmesh-market\n7\nAAAA\n";
  messages::PushT push;
  push.body.Set(std::move(taken));
  said("order_taken", EncodePush(push));
  // The provider's own orders, of the lease that it has in order_fuzz.
  const security::SigningKey owner = fuzz_world::KeyOf(2);
  messages::OrderT order;
  order.market = security::HexOf(fuzz_world::KeyOf(1).public_key().bytes);
  order.owner = security::HexOf(owner.public_key().bytes);
  order.operation_id.assign(kOperationIdBytes, 8);
  order.number = 1;
  order.valid_until_ms = 100'000'000;
  order.lease = order.owner.substr(0, 8) + "-09090909090909090909090909090909";
  order.price_microcredits_per_hour = 1'000'000;
  const auto place = [&](const char* name, std::initializer_list<messages::OrderKind> kinds, std::uint32_t share) {
    Bytes input;
    for (const messages::OrderKind kind : kinds) {
      messages::OrderT one = order;
      one.kind = kind;
      one.number = input.size() + 1;
      one.share_milli = share;
      if (kind == messages::OrderKind::Bid) {
        one.class_name = "cpu/Device";
        one.lease.clear();
        one.share_milli = std::max(1U, share);
      }
      if (kind == messages::OrderKind::Bid || kind == messages::OrderKind::Deal) one.holder_key.assign(32, 7);
      if (kind == messages::OrderKind::Deal) one.counterparty = order.owner;
      messages::PlaceOrderT placed = SignOrder(one, owner);
      placed.wants_promise = kind != messages::OrderKind::Ask;
      input.push_back(static_cast<std::uint8_t>(placed.order.size() & 0xff));
      input.push_back(static_cast<std::uint8_t>(placed.order.size() >> 8));
      input.insert(input.end(), placed.order.begin(), placed.order.end());
      granted(name, {{2, Message(messages::PlaceOrderT(placed))}});
    }
    Save(orders + name, input);
  };
  place("ask", {messages::OrderKind::Ask}, 0);
  place("sublet", {messages::OrderKind::Ask, messages::OrderKind::Withdrawal}, 100);
  place("bid", {messages::OrderKind::Bid}, 200);
  place("deal", {messages::OrderKind::Deal}, 100);
  const auto record = [&](const char* name, Family family, const Record& value) {
    const std::string bytes = EncodeRecord(value);
    Bytes input{static_cast<std::uint8_t>(family)};
    input.insert(input.end(), bytes.begin(), bytes.end());
    Save(message + name, input);
  };
  LeaseRecord lease_record;
  lease_record.slot = "s/0";
  lease_record.held = 5;
  lease_record.holder_key.assign(32, 'k');
  lease_record.ask = {true, 3, 5, 100, 7, 1000, 77, "order", "signature"};
  lease_record.bought = {"other", 200, 8, 1, 2};
  lease_record.successor = "next";
  lease_record.provider_says = {1, 2, true, 3, std::string(64, 'p')};
  lease_record.buyer_says = {4, 5, false, 6, std::string(64, 'b')};
  record("record_lease", Family::kLease, lease_record);
  ReputationRecord reputation;
  reputation.tracks.push_back({0, 1, {1, 2, 3}, {4, 5, 6}});
  reputation.payers.push_back({std::string(32, 'k'), {7, 8, 9}});
  reputation.score_ppm = 10;
  record("record_reputation", Family::kReputation, reputation);
  record("record_identity", Family::kIdentity, IdentityRecord{"a", MarketRole::kTenant, false, 2, {{"cpu/Device", 3}}});
  record("record_budget", Family::kBudget, BudgetRecord{4});
  record("record_loss", Family::kLoss, LossRecord{5, {{"a", 3}, {"b", 4}}});
  SlotRecord slot_record;
  slot_record.slot.id = "s/0";
  slot_record.slot.share_milli = 1000;
  slot_record.slot.labels = {"a"};
  record("record_slot", Family::kSlot, slot_record);
  ReportRecord report_record{4, 5, 6, {{"cpu/Device", "none", "why", 1, 2, 3, 4, 5}}, {}};
  report_record.trades.push_back({"cpu/Device", "s/0", "from", "lease", "a", "b", "auction", 100, 2, 1, 3, 4});
  record("record_report", Family::kReport, report_record);
  record("record_account", Family::kAccount, AccountRecord{1, 2, 3, {"x"}, 4});
  record("record_price", Family::kPrice, PriceRecord{1, 0.5, 0, {1, 2}, 3, {{1, 2, 3, 4}}});
  return 0;
}
