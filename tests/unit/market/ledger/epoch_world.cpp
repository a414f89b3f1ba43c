#include "tests/unit/market/ledger/epoch_world.h"

#include <cstdlib>

#include "market/client/orders.h"
#include "market/ledger/market_orders.h"
#include "market/ledger/reputation.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

constexpr const char* kClasses[] = {"cpu/large", "cpu/small", "cuda/fast"};
constexpr std::size_t kTenants = 6;

SignedOrder SignedOf(messages::PlaceOrderT placed) {
  SignedOrder order;
  order.order.assign(placed.order.begin(), placed.order.end());
  std::copy(placed.signature.begin(), placed.signature.end(), order.signature.begin());
  return order;
}

}  // namespace

EpochWorld::EpochWorld(std::unique_ptr<Store> store, std::uint64_t seed, const std::string& origin) : random_(seed) {
  Result<std::unique_ptr<Ledger>> ledger = Ledger::Open(std::move(store), origin, KeyOf(1));
  if (!ledger.ok()) std::abort();
  ledger_ = std::move(*ledger);
  market_ = security::HexOf(KeyOf(1).public_key().bytes);
  for (std::size_t i = 0; i < kTenants; ++i) tenants_.push_back(KeyOf(static_cast<std::uint8_t>(100 + i)));
}

EpochWorld::~EpochWorld() = default;

SignedOrder EpochWorld::MakeBid(std::size_t tenant) {
  messages::OrderT order;
  order.kind = messages::OrderKind::Bid;
  order.market = market_;
  order.owner = security::HexOf(tenants_[tenant].public_key().bytes);
  order.operation_id.assign(16, 0);
  ++operations_;
  std::memcpy(order.operation_id.data(), &operations_, sizeof(operations_));
  order.valid_until_ms = Now() + 60'000;
  order.class_name = kClasses[Random(0, 2)];
  order.share_milli = static_cast<std::uint32_t>(Random(1, 4) * 250);
  order.price_microcredits_per_hour = static_cast<std::int64_t>(Random(1, 100) * 10'000);
  order.is_divisible = Random(0, 1) == 1;
  order.notice_us = 60'000'000;
  order.holder_key.assign(32, 1);
  return SignedOf(SignOrder(order, tenants_[tenant]));
}

std::uint64_t EpochWorld::TakeBid(std::size_t tenant) {
  const SignedOrder bid = MakeBid(tenant);
  const Result<std::vector<PostedOrder>> posted = ledger_->Post({&bid, 1});
  if (!posted.ok()) std::abort();
  taken_.push_back({posted->front(), bid});
  return posted->front().index;
}

Promise EpochWorld::PromiseOf(std::uint64_t index) const {
  return {ledger_->log().Entry(index).value(), ledger_->log().ProveEntry(index).value()};
}

void EpochWorld::PostAsks(int count) {
  std::vector<SignedOrder> orders;
  for (int i = 0; i < count; ++i) {
    const std::size_t tenant = Random(0, kTenants - 1);
    messages::OrderT order;
    order.kind = messages::OrderKind::Ask;
    order.market = market_;
    order.owner = security::HexOf(tenants_[tenant].public_key().bytes);
    order.operation_id.assign(16, 0);
    ++operations_;
    std::memcpy(order.operation_id.data(), &operations_, sizeof(operations_));
    order.number = 1;
    order.valid_until_ms = Now() + 3'600'000;
    order.lease = "lease-" + std::to_string(asks_.size() + orders.size());
    order.class_name = kClasses[Random(0, 2)];
    order.share_milli = Random(0, 3) == 0 ? 0 : static_cast<std::uint32_t>(Random(1, 4) * 250);
    order.price_microcredits_per_hour = static_cast<std::int64_t>(Random(1, 100) * 10'000);
    order.is_divisible = true;
    order.notice_us = 5'000'000;
    orders.push_back(SignedOf(SignOrder(order, tenants_[tenant])));
  }
  const Result<std::vector<PostedOrder>> posted = ledger_->Post(orders);
  if (!posted.ok()) std::abort();
  for (std::size_t i = 0; i < orders.size(); ++i) asks_.push_back({(*posted)[i], orders[i]});
}

EpochRecord EpochWorld::MakeEpoch(int bids, int gangs) {
  ++number_;
  std::vector<SignedOrder> fresh;
  for (int i = 0; i < bids; ++i) fresh.push_back(MakeBid(Random(0, kTenants - 1)));
  for (int i = 0; i < gangs; ++i) {
    const std::size_t tenant = Random(0, kTenants - 1);
    messages::OrderT order;
    order.kind = messages::OrderKind::Bid;
    order.market = market_;
    order.owner = security::HexOf(tenants_[tenant].public_key().bytes);
    order.operation_id.assign(16, 0);
    ++operations_;
    std::memcpy(order.operation_id.data(), &operations_, sizeof(operations_));
    order.valid_until_ms = Now() + 60'000;
    order.notice_us = 60'000'000;
    order.holder_key.assign(32, 1);
    for (int b = 0; b < 2; ++b) {
      auto bundle = std::make_unique<messages::BundleT>();
      bundle->value_microcredits_per_hour = static_cast<std::int64_t>(Random(1, 400) * 10'000);
      for (const char* const name : kClasses) {
        if (Random(0, 1) == 0 && !bundle->parts.empty()) continue;
        auto part = std::make_unique<messages::PartT>();
        part->class_name = name;
        part->share_milli = static_cast<std::uint32_t>(Random(1, 4) * 250);
        bundle->parts.push_back(std::move(part));
      }
      order.bundles.push_back(std::move(bundle));
    }
    fresh.push_back(SignedOf(SignOrder(order, tenants_[tenant])));
  }
  std::vector<PostedOrder> standing;
  std::erase_if(taken_, [&](const Standing& bid) { return drops.contains(bid.posted.index); });
  for (const Standing& ask : asks_) standing.push_back(ask.posted);
  for (const Standing& bid : taken_) standing.push_back(bid.posted);
  const Result<SealedEpoch> sealed = ledger_->Seal(number_, Now(), fresh, standing);
  if (!sealed.ok()) std::abort();

  EpochRecord record;
  record.seal = sealed->index;
  record.sealed_note = sealed->note;
  record.time_ms = Now();
  for (const PostedOrder& order : sealed->orders) record.orders.push_back(order.index);
  record.idle_slots = {"server/0", "server/1"};
  record.class_names.assign(std::begin(kClasses), std::end(kClasses));
  std::vector<security::PublicKey> keys;
  for (const security::SigningKey& tenant : tenants_) keys.push_back(tenant.public_key());
  const PartyTable parties(keys);
  record.parties = parties.names();
  std::vector<std::string> leases;
  for (std::size_t i = 0; i < asks_.size(); ++i) leases.push_back("lease-" + std::to_string(i));
  const NameTable lease_table(leases);
  record.lease_names = lease_table.names();

  auction::EpochInput& input = record.input;
  input.number = number_;
  input.seed = SeedOf(number_, sealed->note);
  for (auction::ClassId id = 0; id < std::size(kClasses); ++id) {
    auction::ClassInput slot_class;
    slot_class.id = id;
    slot_class.reserve_microcredits = 300'000;
    slot_class.surrogate_microcredits = 400'000;
    slot_class.notice_ms = 5'000;
    input.classes.push_back(slot_class);
  }
  const MarketOrders reader;
  const auto class_of = [&](const std::string& name) {
    return static_cast<auction::ClassId>(std::find(record.class_names.begin(), record.class_names.end(), name) -
                                         record.class_names.begin());
  };
  std::vector<SignedOrder> all = fresh;
  for (const Standing& ask : asks_) all.push_back(ask.order);
  for (const Standing& bid : taken_) all.push_back(bid.order);
  record.has_all_due = has_promises;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const SignedOrder& order = all[i];
    const auto rank = static_cast<std::uint32_t>(sealed->ranks[i]);
    if (const auto left = leaves_out.find(record.orders[rank]); left != leaves_out.end()) {
      record.left_out.push_back({rank, left->second});
      continue;
    }
    const Result<OrderTerms> terms = reader.Read(order);
    if (!terms.ok()) std::abort();
    const auction::OrderId id = sealed->ranks[i];
    const auction::PartyId owner = parties.IndexOf(terms->owner);
    if (terms->sort == OrderSort::kAsk) {
      auction::Ask ask;
      ask.id = id;
      ask.owner = owner;
      ask.slot_class = class_of(terms->slot_class);
      const bool is_share = terms->units_milli != 0;
      ask.kind = is_share ? auction::AskKind::kShare : auction::AskKind::kRelease;
      ask.units_milli = is_share ? terms->units_milli : 1000;
      ask.price_microcredits = terms->price_microcredits;
      ask.lease = 1 + lease_table.IndexOf(terms->lease);
      ask.notice_ms = is_share ? 0 : terms->notice_ms;
      ask.is_divisible = is_share;
      ask.reputation_ppm = 900'000;
      input.asks.push_back(ask);
    } else if (terms->sort == OrderSort::kBid) {
      auction::Bid bid;
      bid.id = id;
      bid.owner = owner;
      bid.slot_class = class_of(terms->slot_class);
      bid.units_milli = terms->units_milli;
      bid.price_microcredits = terms->price_microcredits;
      bid.is_divisible = terms->is_divisible;
      bid.notice_ms_max = terms->notice_ms;
      input.bids.push_back(bid);
    } else {
      auction::GangBid gang;
      gang.id = id;
      gang.owner = owner;
      gang.notice_ms_max = terms->notice_ms;
      for (const OrderTerms::Bundle& said : terms->bundles) {
        auction::Bundle& bundle = gang.bundles.emplace_back();
        bundle.value_microcredits = said.value_microcredits;
        for (const OrderTerms::Part& part : said.parts) {
          bundle.parts.push_back({class_of(part.slot_class), part.units_milli});
        }
      }
      input.gangs.push_back(gang);
    }
  }
  for (std::size_t i = 0; i < record.idle_slots.size(); ++i) {
    auction::Ask ask;
    ask.id = record.orders.size() + i;
    ask.owner = i;
    ask.slot_class = static_cast<auction::ClassId>(i);
    ask.units_milli = 1000;
    ask.price_microcredits = 200'000;
    input.asks.push_back(ask);
  }
  const auto by_id = [](const auto& one, const auto& other) { return one.id < other.id; };
  std::sort(input.asks.begin(), input.asks.end(), by_id);
  std::sort(input.bids.begin(), input.bids.end(), by_id);
  std::sort(input.gangs.begin(), input.gangs.end(), by_id);
  const Result<auction::EpochOutcome> outcome = auction::ClearEpoch(input);
  if (!outcome.ok()) {
    std::fprintf(stderr, "%s\n", outcome.status().ToString().c_str());
    std::abort();
  }
  std::sort(record.left_out.begin(), record.left_out.end(),
            [](const LeftOutOrder& one, const LeftOutOrder& other) { return one.rank < other.rank; });
  std::erase_if(taken_, [&](const Standing& bid) {
    const auto left = leaves_out.find(bid.posted.index);
    return left == leaves_out.end() || IsFinal(left->second);
  });
  record.outcome = DigestsOf(*outcome);
  record.credits = {credits_, 1000, credits_ + 1000};
  credits_ += 1000;
  return record;
}

EpochRecord EpochWorld::RunEpoch(int bids, int gangs) {
  EpochRecord record = MakeEpoch(bids, gangs);
  if (!ledger_->Record(record).ok()) std::abort();
  return record;
}

void EpochWorld::GiveScores(EpochRecord& record, std::uint32_t first, std::uint32_t second) {
  record.deliverers = {record.parties[0], record.parties[1]};
  record.scores = {first, second};
  record.ask_deliverers.clear();
  std::map<auction::ClassId, std::uint32_t> best;
  for (std::size_t i = 0; i < record.input.asks.size(); ++i) {
    record.ask_deliverers.push_back(i % 2);
    std::uint32_t& of_class = best[record.input.asks[i].slot_class];
    of_class = std::max(of_class, record.scores[i % 2]);
  }
  for (std::size_t i = 0; i < record.input.asks.size(); ++i) {
    auction::Ask& ask = record.input.asks[i];
    ask.reputation_ppm = QualityPpm(record.scores[i % 2], best[ask.slot_class]);
  }
  record.outcome = DigestsOf(auction::ClearEpoch(record.input).value());
}

void EpochWorld::AppendReceipt() {
  CounterSignedReceipt receipt;
  receipt.receipt.market = market_;
  receipt.receipt.lease = "lease-" + std::to_string(operations_++);
  receipt.receipt.slot_class = kClasses[0];
  receipt.receipt.provider = tenants_[0].public_key();
  receipt.receipt.buyer = tenants_[1].public_key();
  receipt.receipt.begin_ms = Now();
  receipt.receipt.end_ms = Now() + 3'600'000;
  receipt.receipt.price_microcredits = 1'000'000;
  receipt.receipt.bond_microcredits = 2'000'000;
  receipt.receipt.delivered_ppm = 990'000;
  receipt.receipt.uptime_ppm = kPpm;
  receipt.receipt.paid_microcredits = 1'000'000;
  receipt.receipt.used_ppm = 700'000;
  receipt.provider = SignReceipt(receipt.receipt, ReceiptSide::kProvider, tenants_[0]);
  receipt.buyer = SignReceipt(receipt.receipt, ReceiptSide::kBuyer, tenants_[1]);
  if (!ledger_->AppendReceipts({&receipt, 1}).ok()) std::abort();
}

FolderCheck EpochWorld::check() const {
  FolderCheck check;
  check.log = ledger_->log().key();
  check.market = market_;
  return check;
}

std::vector<SealedOrder> EpochWorld::SealedOrders(const EpochRecord& record) {
  std::vector<SealedOrder> orders;
  for (const std::uint64_t index : record.orders) {
    const Bytes bytes = ledger_->log().Entry(index).value();
    const Entry entry = ParseEntry(bytes).value();
    orders.push_back({LeafHash(bytes), MarketOrders().Read(std::get<SignedOrder>(entry)).value()});
  }
  return orders;
}

Seal EpochWorld::SealOf(const EpochRecord& record) {
  const Entry entry = ParseEntry(ledger_->log().Entry(record.seal).value()).value();
  return std::get<ledger::Seal>(entry);
}

}  // namespace accelmesh::market::ledger
