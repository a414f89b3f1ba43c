#include "market/records/record_codec.h"

#include <array>
#include <cmath>
#include <cstring>

#include "market/core/accounts.h"
#include "market/core/losses.h"
#include "market/core/price.h"
#include "market/registry/epochs.h"
#include "protocol/base/aligned.h"
#include "protocol/base/bytes.h"
#include "protocol/schema/records_generated.h"

namespace accelmesh::market {
namespace {

using Builder = flatbuffers::FlatBufferBuilder;
constexpr std::size_t kMeasured = scheduler::kOperations * scheduler::kNumberTypes;
constexpr std::size_t kNumbers = (kMeasured + 3) * 3;

std::vector<double> Numbers(const scheduler::Tags& tags) {
  std::vector<double> numbers;
  const auto add = [&](const scheduler::Measured& measured) {
    numbers.insert(numbers.end(), {measured.mean, measured.low, measured.high});
  };
  for (const auto& types : tags.operations_per_s) {
    for (const scheduler::Measured& measured : types) add(measured);
  }
  add(tags.memory_bytes_per_s);
  add(tags.launch_us);
  add(tags.round_trip_us);
  return numbers;
}

void ReadNumbers(const flatbuffers::Vector<double>* numbers, scheduler::Tags& tags) {
  if (numbers == nullptr || numbers->size() != kNumbers) return;
  flatbuffers::uoffset_t at = 0;
  const auto next = [&](scheduler::Measured& measured) {
    measured = {numbers->Get(at), numbers->Get(at + 1), numbers->Get(at + 2)};
    at += 3;
  };
  for (auto& types : tags.operations_per_s) {
    for (scheduler::Measured& measured : types) next(measured);
  }
  next(tags.memory_bytes_per_s);
  next(tags.launch_us);
  next(tags.round_trip_us);
}

auto Raw(Builder& builder, const std::string& bytes) {
  return builder.CreateVector(AsBytes(bytes).data(), bytes.size());
}

struct Packed {
  wire::records::Any type = wire::records::Any::NONE;
  flatbuffers::Offset<void> offset;
};

Packed Pack(Builder& b, const SlotRecord& r) {
  return {wire::records::Any::Slot,
          wire::records::CreateSlot(
              b, b.CreateString(r.slot.id), b.CreateString(r.slot.server), b.CreateString(r.server_name), r.device,
              b.CreateString(r.device_name), b.CreateString(r.backend), b.CreateString(r.slot.zone),
              b.CreateVectorOfStrings(r.slot.labels), b.CreateVector(Numbers(r.slot.tags)),
              b.CreateVectorOfStrings(r.via), r.slot.share_milli, r.slot.share_milli_step, r.slot.memory_bytes,
              r.slot.notice_us, r.reserve_price, r.is_draining, r.is_withdrawn)
              .Union()};
}
Packed Pack(Builder& b, const ServerRecord& r) {
  return {wire::records::Any::Server,
          wire::records::CreateServer(b, b.CreateString(r.name), b.CreateVectorOfStrings(r.endpoints),
                                      b.CreateString(r.curve_key), r.registered_ms)
              .Union()};
}
flatbuffers::Offset<wire::records::Said> PackSaid(Builder& b, const Said& said) {
  if (said.signature.empty()) return {};
  return wire::records::CreateSaid(b, said.delivered_ppm, said.uptime_ppm, said.is_notice_honoured, said.used_ppm,
                                   Raw(b, said.signature));
}
Packed Pack(Builder& b, const LeaseRecord& r) {
  // Most leases have none of these.
  flatbuffers::Offset<wire::records::StandingAsk> ask;
  if (r.ask.is_posted || r.ask.number != 0) {
    ask = wire::records::CreateStandingAsk(b, r.ask.is_posted, r.ask.number, r.ask.price_per_hour, r.ask.share_milli,
                                           r.ask.memory_bytes, r.ask.notice_ms, Raw(b, r.ask.order),
                                           Raw(b, r.ask.signature), r.ask.until_ms);
  }
  flatbuffers::Offset<wire::records::Bought> bought;
  if (!r.bought.from.empty()) {
    bought = wire::records::CreateBought(b, b.CreateString(r.bought.from), r.bought.rest_share_milli,
                                         r.bought.rest_memory_bytes, r.bought.pool, r.bought.seller_part);
  }
  const auto provider_says = PackSaid(b, r.provider_says);
  const auto buyer_says = PackSaid(b, r.buyer_says);
  flatbuffers::Offset<flatbuffers::String> successor;
  if (!r.successor.empty()) successor = b.CreateString(r.successor);
  return {wire::records::Any::Lease,
          wire::records::CreateLease(
              b, b.CreateString(r.slot), b.CreateString(r.server), b.CreateString(r.tenant), r.epoch, r.share_milli,
              r.memory_bytes, r.price_per_hour, r.not_before_ms, r.not_after_ms, r.paid_until_ms, r.held, r.paid,
              r.returned, static_cast<std::uint8_t>(r.state), r.ended_ms, Raw(b, r.holder_key), Raw(b, r.next_key),
              b.CreateString(r.request), b.CreateString(r.why), b.CreateString(r.last_operation), ask, bought,
              successor, r.began_ms, r.sold_ms, r.bond, r.had_notice, provider_says, buyer_says, r.refunded)
              .Union()};
}
Packed Pack(Builder& b, const AccountRecord& r) {
  return {wire::records::Any::Account,
          wire::records::CreateAccount(b, r.balance, r.held, r.deposited, b.CreateVectorOfStrings(r.operations), r.bond)
              .Union()};
}
Packed Pack(Builder& b, const IdentityRecord& r) {
  std::vector<flatbuffers::Offset<wire::records::Floor>> floors;
  for (const FloorShare& floor : r.floors) {
    floors.push_back(wire::records::CreateFloor(b, b.CreateString(floor.class_name), floor.share_ppm));
  }
  return {wire::records::Any::Identity,
          wire::records::CreateIdentity(b, b.CreateString(r.name), static_cast<std::uint8_t>(r.role), r.is_banned,
                                        r.budget_weight, floors.empty() ? 0 : b.CreateVector(floors))
              .Union()};
}
Packed Pack(Builder& b, const PriceRecord& r) {
  std::vector<wire::records::PricePoint> points;
  points.reserve(r.history.size());
  for (const PricePoint& point : r.history) {
    points.emplace_back(point.time_ms, point.price_per_hour, point.utilisation_milli, point.forecast_milli);
  }
  return {wire::records::Any::Price,
          wire::records::CreatePrice(b, r.price_per_hour, r.level, r.trend, b.CreateVector(r.season), r.steps,
                                     b.CreateVectorOfStructs(points))
              .Union()};
}

Packed Pack(Builder& b, const ReportRecord& r) {
  std::vector<flatbuffers::Offset<wire::records::ClassReport>> classes;
  for (const ClassReport& one : r.classes) {
    classes.push_back(wire::records::CreateClassReport(b, b.CreateString(one.class_name), b.CreateString(one.lane),
                                                       b.CreateString(one.why), one.reserve, one.price, one.bids,
                                                       one.asks, one.trades));
  }
  std::vector<flatbuffers::Offset<wire::records::Trade>> trades;
  for (const TradeRecord& one : r.trades) {
    trades.push_back(wire::records::CreateTrade(
        b, b.CreateString(one.class_name), b.CreateString(one.slot), b.CreateString(one.from),
        b.CreateString(one.lease), b.CreateString(one.seller), b.CreateString(one.buyer), b.CreateString(one.lane),
        one.share_milli, one.price_buyer, one.price_seller, one.paid, one.begins_ms));
  }
  return {wire::records::Any::Report, wire::records::CreateReport(b, r.number, r.time_ms, r.unserved,
                                                                  b.CreateVector(classes), b.CreateVector(trades))
                                          .Union()};
}

wire::records::Weight PackWeight(const ReputationRecord::Weight& weight) {
  return {weight.high, weight.low, weight.hour};
}
Packed Pack(Builder& b, const ReputationRecord& r) {
  std::vector<wire::records::Track> tracks;
  for (const ReputationRecord::Track& one : r.tracks) {
    tracks.emplace_back(one.role, one.event, PackWeight(one.good), PackWeight(one.bad));
  }
  std::vector<wire::records::Payer> payers;
  for (const ReputationRecord::Payer& one : r.payers) {
    std::array<std::uint64_t, 4> key{};
    if (one.key.size() == sizeof(key)) std::memcpy(key.data(), one.key.data(), sizeof(key));
    payers.emplace_back(key[0], key[1], key[2], key[3], PackWeight(one.paid));
  }
  return {wire::records::Any::Reputation,
          wire::records::CreateReputation(b, b.CreateVectorOfStructs(tracks), b.CreateVectorOfStructs(payers),
                                          r.score_ppm, r.scored_ms)
              .Union()};
}
Packed Pack(Builder& b, const LossRecord& r) {
  std::vector<flatbuffers::Offset<wire::records::Claim>> claims;
  for (const LossRecord::Claim& one : r.claims) {
    claims.push_back(wire::records::CreateClaim(b, b.CreateString(one.tenant), one.amount));
  }
  return {wire::records::Any::Loss, wire::records::CreateLoss(b, r.since_ms, b.CreateVector(claims)).Union()};
}
Packed Pack(Builder& b, const BudgetRecord& r) {
  return {wire::records::Any::Budget, wire::records::CreateBudget(b, r.period).Union()};
}

std::string Finish(Builder& builder, const Packed& packed) {
  builder.Finish(wire::records::CreateRecord(builder, packed.type, packed.offset));
  return std::string(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
}

std::string Text(const flatbuffers::String* text) { return text != nullptr ? text->str() : std::string(); }
std::string Text(const flatbuffers::Vector<std::uint8_t>* bytes) {
  return bytes != nullptr ? std::string(bytes->begin(), bytes->end()) : std::string();
}
std::vector<std::string> Texts(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* texts) {
  std::vector<std::string> list;
  if (texts == nullptr) return list;
  for (const flatbuffers::String* text : *texts) list.push_back(Text(text));
  return list;
}

std::optional<Record> Unpack(const wire::records::Slot& r) {
  SlotRecord record;
  record.slot.id = Text(r.id());
  record.slot.server = Text(r.server());
  record.slot.zone = Text(r.zone());
  record.slot.labels = Texts(r.labels());
  if (!HasAlignedElements(r.measured())) return std::nullopt;
  ReadNumbers(r.measured(), record.slot.tags);
  record.slot.share_milli = r.share_milli();
  record.slot.share_milli_step = r.share_milli_step();
  record.slot.memory_bytes = r.memory_bytes();
  record.slot.notice_us = r.notice_us();
  record.server_name = Text(r.server_name());
  record.device = r.device();
  record.device_name = Text(r.device_name());
  record.backend = Text(r.backend());
  record.via = Texts(r.via());
  record.reserve_price = r.reserve_price();
  record.is_draining = r.is_draining();
  record.is_withdrawn = r.is_withdrawn();
  if (record.slot.share_milli == 0 || record.slot.share_milli > scheduler::kWholeMilli) return std::nullopt;
  return record;
}
std::optional<Record> Unpack(const wire::records::Server& r) {
  return ServerRecord{Text(r.name()), Texts(r.endpoints()), Text(r.curve_key()), r.registered_ms()};
}
Said UnpackSaid(const wire::records::Said* said) {
  if (said == nullptr) return {};
  return {said->delivered_ppm(), said->uptime_ppm(), said->is_notice_honoured(), said->used_ppm(),
          Text(said->signature())};
}
std::optional<Record> Unpack(const wire::records::Lease& r) {
  if (r.state() > static_cast<std::uint8_t>(LeaseState::kPending) || r.held() < 0) return std::nullopt;
  LeaseRecord record;
  record.slot = Text(r.slot());
  record.server = Text(r.server());
  record.tenant = Text(r.tenant());
  record.epoch = r.epoch();
  record.share_milli = r.share_milli();
  record.memory_bytes = r.memory_bytes();
  record.price_per_hour = r.price_per_hour();
  record.not_before_ms = r.not_before_ms();
  record.not_after_ms = r.not_after_ms();
  record.paid_until_ms = r.paid_until_ms();
  record.held = r.held();
  record.paid = r.paid();
  record.returned = r.returned();
  record.state = static_cast<LeaseState>(r.state());
  record.ended_ms = r.ended_ms();
  record.holder_key = Text(r.holder_key());
  record.next_key = Text(r.next_key());
  record.request = Text(r.request());
  record.why = Text(r.why());
  record.last_operation = Text(r.last_operation());
  if (const wire::records::StandingAsk* ask = r.ask()) {
    record.ask = {ask->is_posted(), ask->number(),   ask->price_per_hour(), ask->share_milli(),    ask->memory_bytes(),
                  ask->notice_ms(), ask->until_ms(), Text(ask->order()),    Text(ask->signature())};
  }
  if (const wire::records::Bought* bought = r.bought()) {
    record.bought = {Text(bought->from()), bought->rest_share_milli(), bought->rest_memory_bytes(), bought->pool(),
                     bought->seller_part()};
    // They are part of what it holds.
    if (record.bought.pool < 0 || record.bought.seller_part < 0) return std::nullopt;
  }
  record.successor = Text(r.successor());
  record.began_ms = r.began_ms();
  record.sold_ms = r.sold_ms();
  record.bond = r.bond();
  record.had_notice = r.had_notice();
  record.provider_says = UnpackSaid(r.provider_says());
  record.buyer_says = UnpackSaid(r.buyer_says());
  record.refunded = r.refunded();
  if (record.bond < 0 || record.refunded < 0) return std::nullopt;
  return record;
}
std::optional<Record> Unpack(const wire::records::Report& r) {
  ReportRecord record;
  record.number = r.number();
  record.time_ms = r.time_ms();
  record.unserved = r.unserved();
  if (r.classes() != nullptr) {
    for (const wire::records::ClassReport* one : *r.classes()) {
      record.classes.push_back({Text(one->class_name()), Text(one->lane()), Text(one->why()), one->reserve(),
                                one->price(), one->bids(), one->asks(), one->trades()});
    }
  }
  if (r.trades() != nullptr) {
    for (const wire::records::Trade* one : *r.trades()) {
      record.trades.push_back({Text(one->class_name()), Text(one->slot()), Text(one->from()), Text(one->lease()),
                               Text(one->seller()), Text(one->buyer()), Text(one->lane()), one->share_milli(),
                               one->price_buyer(), one->price_seller(), one->paid(), one->begins_ms()});
    }
  }
  return record;
}
std::optional<Record> Unpack(const wire::records::Account& r) {
  if (r.balance() < 0 || r.held() < 0 || r.deposited() < 0 || r.bond() < 0) return std::nullopt;
  return AccountRecord{r.balance(), r.held(), r.deposited(), Texts(r.operations()), r.bond()};
}
std::optional<Record> Unpack(const wire::records::Identity& r) {
  if (r.role() > static_cast<std::uint8_t>(MarketRole::kWitness)) return std::nullopt;
  IdentityRecord record{Text(r.name()), static_cast<MarketRole>(r.role()), r.is_banned(), r.budget_weight(), {}};
  if (r.floors() != nullptr) {
    for (const wire::records::Floor* floor : *r.floors()) {
      record.floors.push_back({Text(floor->class_name()), floor->share_ppm()});
    }
  }
  return record;
}
ReputationRecord::Weight UnpackWeight(const wire::records::Weight& weight) {
  return {weight.high(), weight.low(), weight.hour()};
}
std::optional<Record> Unpack(const wire::records::Reputation& r) {
  if (!HasAlignedElements(r.tracks()) || !HasAlignedElements(r.payers())) return std::nullopt;
  ReputationRecord record;
  record.score_ppm = r.score_ppm();
  record.scored_ms = r.scored_ms();
  if (r.tracks() != nullptr) {
    for (const wire::records::Track* one : *r.tracks()) {
      record.tracks.push_back({one->role(), one->event(), UnpackWeight(one->good()), UnpackWeight(one->bad())});
    }
  }
  if (r.payers() != nullptr) {
    for (const wire::records::Payer* one : *r.payers()) {
      const std::array<std::uint64_t, 4> key{one->key_0(), one->key_1(), one->key_2(), one->key_3()};
      record.payers.push_back(
          {std::string(reinterpret_cast<const char*>(key.data()), sizeof(key)), UnpackWeight(one->paid())});
    }
  }
  return record;
}
std::optional<Record> Unpack(const wire::records::Budget& r) { return BudgetRecord{r.period()}; }
std::optional<Record> Unpack(const wire::records::Loss& r) {
  LossRecord record;
  record.since_ms = r.since_ms();
  if (r.claims() == nullptr) return record;
  for (const wire::records::Claim* one : *r.claims()) {
    // They become money.
    if (one->amount() < 0 || one->amount() > kCreditsMax || record.claims.size() >= kClaimsMax) return std::nullopt;
    record.claims.push_back({Text(one->tenant()), one->amount()});
  }
  return record;
}
std::optional<Record> Unpack(const wire::records::Price& r) {
  PriceRecord record;
  if (!HasAlignedElements(r.season()) || !HasAlignedElements(r.history())) return std::nullopt;
  record.price_per_hour = r.price_per_hour();
  record.level = r.level();
  record.trend = r.trend();
  record.steps = r.steps();
  if (r.season() != nullptr) record.season.assign(r.season()->begin(), r.season()->end());
  if (record.season.size() > kSeasons || record.price_per_hour < 0) return std::nullopt;
  if (r.history() != nullptr) {
    for (const wire::records::PricePoint* point : *r.history()) {
      record.history.push_back(
          {point->time_ms(), point->price_per_hour(), point->utilisation_milli(), point->forecast_milli()});
    }
  }
  return record;
}

const wire::records::Record* Verified(ByteView bytes) {
  flatbuffers::Verifier verifier(bytes.data(), bytes.size());
  if (!verifier.VerifyBuffer<wire::records::Record>(nullptr)) return nullptr;
  return flatbuffers::GetRoot<wire::records::Record>(bytes.data());
}

template <typename T>
std::optional<Record> As(const wire::records::Record& record) {
  const T* found = record.any_as<T>();
  return found != nullptr ? Unpack(*found) : std::nullopt;
}

std::optional<Record> Read(Family family, std::string_view bytes) {
  const AlignedBytes aligned(AsBytes(bytes));
  const wire::records::Record* record = Verified(aligned.view());
  if (record == nullptr) return std::nullopt;
  switch (family) {
    case Family::kSlot: return As<wire::records::Slot>(*record);
    case Family::kServer: return As<wire::records::Server>(*record);
    case Family::kLease: return As<wire::records::Lease>(*record);
    case Family::kAccount: return As<wire::records::Account>(*record);
    case Family::kIdentity: return As<wire::records::Identity>(*record);
    case Family::kPrice: return As<wire::records::Price>(*record);
    case Family::kReport: return As<wire::records::Report>(*record);
    case Family::kReputation: return As<wire::records::Reputation>(*record);
    case Family::kBudget: return As<wire::records::Budget>(*record);
    case Family::kLoss: return As<wire::records::Loss>(*record);
    case Family::kEpoch: return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::string EncodeRecord(const Record& record) {
  // An epoch is a number, as registry/epochs.h has it.
  if (const auto* epoch = std::get_if<EpochRecord>(&record)) return std::to_string(epoch->epoch);
  Builder builder(512);
  const Packed packed = std::visit(
      [&builder](const auto& r) -> Packed {
        using T = std::decay_t<decltype(r)>;
        if constexpr (std::is_same_v<T, std::monostate> || std::is_same_v<T, EpochRecord>) {
          return {};
        } else {
          return Pack(builder, r);
        }
      },
      record);
  return Finish(builder, packed);
}

Result<Record> DecodeRecord(const RecordKey& key, std::string_view bytes) {
  if (key.family == Family::kEpoch) {
    registry::Entry entry;
    entry.key = PathOf(key);
    entry.value = bytes;
    ACCELMESH_ASSIGN_OR_RETURN(const registry::SlotEpoch epoch, registry::ReadEpoch(entry));
    return Record(EpochRecord{epoch.epoch});
  }
  std::optional<Record> record = Read(key.family, bytes);
  if (record) return *std::move(record);
  return Status(Code::kBadFrame, "market::DecodeRecord",
                registry::KeyText(PathOf(key)) +
                    " does not verify; somebody else wrote it, or another version of slot-market: put a copy of the "
                    "registry back, or delete that key if nothing rests on it");
}

std::optional<RecordKey> ParsePath(std::string_view path) {
  for (std::size_t i = 0; i < kFamilies; ++i) {
    const auto family = static_cast<Family>(i);
    if (path.starts_with(Prefix(family))) return RecordKey{family, std::string(path.substr(Prefix(family).size()))};
  }
  return std::nullopt;
}

std::string EncodeLeader(const LeaderRecord& leader) {
  Builder builder(256);
  const auto offset = wire::records::CreateLeader(builder, builder.CreateVectorOfStrings(leader.urls),
                                                  builder.CreateString(leader.name), leader.since_ms);
  return Finish(builder, {wire::records::Any::Leader, offset.Union()});
}

Result<LeaderRecord> DecodeLeader(std::string_view bytes) {
  const AlignedBytes aligned(AsBytes(bytes));
  const wire::records::Record* record = Verified(aligned.view());
  const wire::records::Leader* leader = record != nullptr ? record->any_as_Leader() : nullptr;
  if (leader == nullptr) {
    return Status(Code::kBadFrame, "market::DecodeLeader",
                  "/leader does not verify; another version of slot-market leads");
  }
  return LeaderRecord{Texts(leader->urls()), Text(leader->name()), leader->since_ms()};
}

}  // namespace accelmesh::market
