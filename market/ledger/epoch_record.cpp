#include "market/ledger/epoch_record.h"

#include "market/ledger/codec.h"

namespace accelmesh::market::ledger {
namespace {

constexpr char kWhere[] = "ledger::EpochRecord";
// What a record says, and by which rules it was cleared.
struct Version {
  std::string_view magic;
  bool has_all_due, has_scores, has_gangs_first;
};
constexpr Version kVersions[] = {
    {"AMepoch6", true, true, false}, {"AMepoch5", false, true, false}, {"AMepoch4", false, false, false},
    {"AMepoch3", true, true, true},  {"AMepoch2", false, true, true},  {"AMepoch1", false, false, true},
};
constexpr std::size_t kPartiesMax = 1U << 20;
constexpr std::size_t kNamesMax = 1U << 20;
constexpr std::size_t kNameMax = 256;

// Ids are small here (checked by CheckTables): half of the bytes are saved.
void WriteId(Writer& writer, std::uint64_t id) { writer.Number(static_cast<std::uint32_t>(id)); }
std::uint32_t ReadId(Reader& reader) { return reader.Number<std::uint32_t>(); }

void WriteNames(Writer& writer, const std::vector<std::string>& names) {
  writer.Number(static_cast<std::uint32_t>(names.size()));
  for (const std::string& name : names) writer.Text(name);
}
std::vector<std::string> ReadNames(Reader& reader) {
  std::vector<std::string> names(reader.Count(kNamesMax, 4));
  for (std::string& name : names) name = reader.Text(kNameMax);
  return names;
}

template <typename Kind>
Kind ReadKind(Reader& reader, Kind last) {
  const auto value = reader.Number<std::uint8_t>();
  if (value > static_cast<std::uint8_t>(last)) reader.Fail("a kind that there is not");
  return static_cast<Kind>(value);
}

void WriteClass(Writer& writer, const auction::ClassInput& slot_class) {
  WriteId(writer, slot_class.id);
  writer.Number(slot_class.reserve_microcredits);
  writer.Number(slot_class.surrogate_microcredits);
  writer.Number(slot_class.weight_milli);
  writer.Number(slot_class.lot_milli);
  writer.Number(slot_class.notice_ms);
  writer.Number(static_cast<std::uint32_t>(slot_class.floors.size()));
  for (const auction::Floor& floor : slot_class.floors) {
    WriteId(writer, floor.party);
    writer.Number(floor.units_milli);
  }
}
auction::ClassInput ReadClass(Reader& reader) {
  auction::ClassInput slot_class;
  slot_class.id = ReadId(reader);
  slot_class.reserve_microcredits = reader.Number<std::int64_t>();
  slot_class.surrogate_microcredits = reader.Number<std::int64_t>();
  slot_class.weight_milli = reader.Number<std::int64_t>();
  slot_class.lot_milli = reader.Number<std::int64_t>();
  slot_class.notice_ms = reader.Number<std::int64_t>();
  slot_class.floors.resize(reader.Count(auction::kFloorsMax, 12));
  for (auction::Floor& floor : slot_class.floors) {
    floor.party = ReadId(reader);
    floor.units_milli = reader.Number<std::int64_t>();
  }
  return slot_class;
}

void WriteAsk(Writer& writer, const auction::Ask& ask) {
  WriteId(writer, ask.id);
  WriteId(writer, ask.owner);
  WriteId(writer, ask.slot_class);
  writer.Number(static_cast<std::uint8_t>(ask.kind));
  writer.Number(static_cast<std::uint8_t>(ask.is_divisible));
  writer.Number(ask.reputation_ppm);
  writer.Number(ask.units_milli);
  writer.Number(ask.price_microcredits);
  WriteId(writer, ask.lease);
  writer.Number(ask.notice_ms);
}
auction::Ask ReadAsk(Reader& reader) {
  auction::Ask ask;
  ask.id = ReadId(reader);
  ask.owner = ReadId(reader);
  ask.slot_class = ReadId(reader);
  ask.kind = ReadKind(reader, auction::AskKind::kShare);
  ask.is_divisible = reader.Flag();
  ask.reputation_ppm = reader.Number<std::uint32_t>();
  ask.units_milli = reader.Number<std::int64_t>();
  ask.price_microcredits = reader.Number<std::int64_t>();
  ask.lease = ReadId(reader);
  ask.notice_ms = reader.Number<std::int64_t>();
  return ask;
}
constexpr std::size_t kAskBytes = 46;

void WriteBid(Writer& writer, const auction::Bid& bid) {
  WriteId(writer, bid.id);
  WriteId(writer, bid.owner);
  WriteId(writer, bid.slot_class);
  writer.Number(static_cast<std::uint8_t>(bid.is_divisible));
  writer.Number(static_cast<std::uint8_t>(bid.uses_floor));
  writer.Number(bid.units_milli);
  writer.Number(bid.price_microcredits);
  writer.Number(bid.budget_microcredits);
  writer.Number(bid.notice_ms_max);
}
auction::Bid ReadBid(Reader& reader) {
  auction::Bid bid;
  bid.id = ReadId(reader);
  bid.owner = ReadId(reader);
  bid.slot_class = ReadId(reader);
  bid.is_divisible = reader.Flag();
  bid.uses_floor = reader.Flag();
  bid.units_milli = reader.Number<std::int64_t>();
  bid.price_microcredits = reader.Number<std::int64_t>();
  bid.budget_microcredits = reader.Number<std::int64_t>();
  bid.notice_ms_max = reader.Number<std::int64_t>();
  return bid;
}
constexpr std::size_t kBidBytes = 46;

void WriteGang(Writer& writer, const auction::GangBid& gang) {
  WriteId(writer, gang.id);
  WriteId(writer, gang.owner);
  writer.Number(gang.notice_ms_max);
  writer.Number(static_cast<std::uint32_t>(gang.bundles.size()));
  for (const auction::Bundle& bundle : gang.bundles) {
    writer.Number(bundle.value_microcredits);
    writer.Number(static_cast<std::uint32_t>(bundle.parts.size()));
    for (const auction::Part& part : bundle.parts) {
      WriteId(writer, part.slot_class);
      writer.Number(part.units_milli);
    }
  }
}
auction::GangBid ReadGang(Reader& reader) {
  auction::GangBid gang;
  gang.id = ReadId(reader);
  gang.owner = ReadId(reader);
  gang.notice_ms_max = reader.Number<std::int64_t>();
  gang.bundles.resize(reader.Count(auction::kBundlesPerGangMax, 12));
  for (auction::Bundle& bundle : gang.bundles) {
    bundle.value_microcredits = reader.Number<std::int64_t>();
    bundle.parts.resize(reader.Count(auction::kPartsPerBundleMax, 12));
    for (auction::Part& part : bundle.parts) {
      part.slot_class = ReadId(reader);
      part.units_milli = reader.Number<std::int64_t>();
    }
  }
  return gang;
}
constexpr std::size_t kGangBytes = 20;

template <typename Item, typename Write>
void WriteAll(Writer& writer, const std::vector<Item>& items, const Write& write) {
  writer.Number(static_cast<std::uint32_t>(items.size()));
  for (const Item& item : items) write(writer, item);
}
template <typename Item, typename Read>
void ReadAll(Reader& reader, std::vector<Item>& items, std::size_t most, std::size_t bytes_each, const Read& read) {
  const std::size_t count = reader.Count(most, bytes_each);
  items.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) items.push_back(read(reader));
}

template <typename Item, typename Key>
bool IsSorted(const std::vector<Item>& items, const Key& key) {
  return std::adjacent_find(items.begin(), items.end(), [&](const Item& one, const Item& other) {
           return !(key(one) < key(other));
         }) == items.end();
}

// That every number is in its table, and that tables and orders are in the one order that they may have.
Status CheckTables(const EpochRecord& record) {
  const auto bad = [](const std::string& what) { return Status(Code::kInvalidArgument, kWhere, what); };
  const auto itself = [](const auto& name) -> const auto& { return name; };
  const auto are_names = [&](const std::vector<std::string>& names) {
    return IsSorted(names, itself) && std::all_of(names.begin(), names.end(), [](const std::string& name) {
             return !name.empty() && name.size() <= kNameMax;
           });
  };
  if (!IsSorted(record.parties, [](const security::PublicKey& key) { return key.bytes; })) {
    return bad("parties that are not sorted, or twice there");
  }
  if (!are_names(record.class_names) || !are_names(record.lease_names) || !are_names(record.idle_slots)) {
    return bad("names that are not sorted, or twice there");
  }
  if (record.sealed_note.size() > kNoteBytesMax || record.time_ms < 0) return bad("a note or a time out of bounds");
  const std::uint64_t orders = record.orders.size() + record.idle_slots.size();
  const auto is_party = [&](auction::PartyId id) { return id < record.parties.size(); };
  const auto is_class = [&](auction::ClassId id) { return id < record.class_names.size(); };
  const auction::EpochInput& input = record.input;
  const auto id_of = [](const auto& item) { return item.id; };
  if (!IsSorted(input.classes, id_of) || !IsSorted(input.asks, id_of) || !IsSorted(input.bids, id_of) ||
      !IsSorted(input.gangs, id_of)) {
    return bad("classes or orders that are not sorted, or twice there");
  }
  for (const auction::ClassInput& slot_class : input.classes) {
    if (!is_class(slot_class.id)) return bad("a class without a name");
    if (!IsSorted(slot_class.floors, [](const auction::Floor& floor) { return floor.party; })) {
      return bad("floors that are not sorted, or twice there");
    }
    for (const auction::Floor& floor : slot_class.floors) {
      if (!is_party(floor.party)) return bad("a floor of nobody");
    }
  }
  if (record.scores.size() != record.deliverers.size() ||
      (!record.deliverers.empty() && record.ask_deliverers.size() != input.asks.size()) ||
      (record.deliverers.empty() && !record.ask_deliverers.empty()) ||
      !IsSorted(record.deliverers, [](const security::PublicKey& key) { return key.bytes; })) {
    return bad("scores that do not go with the asks, or are not sorted");
  }
  if ((!record.has_all_due && !record.left_out.empty()) ||
      !IsSorted(record.left_out, [](const LeftOutOrder& order) { return order.rank; }) ||
      (!record.left_out.empty() && record.left_out.back().rank >= record.orders.size())) {
    return bad("orders left out that are not sorted, or not there");
  }
  for (const std::uint32_t place : record.ask_deliverers) {
    if (place >= record.deliverers.size()) return bad("an ask that nobody delivers");
  }
  for (const auction::Ask& ask : input.asks) {
    if (ask.id >= orders || !is_party(ask.owner) || !is_class(ask.slot_class) ||
        ask.lease > record.lease_names.size()) {
      return bad("an ask that is in no table");
    }
  }
  for (const auction::Bid& bid : input.bids) {
    if (bid.id >= orders || !is_party(bid.owner) || !is_class(bid.slot_class)) return bad("a bid that is in no table");
  }
  for (const auction::GangBid& gang : input.gangs) {
    if (gang.id >= orders || !is_party(gang.owner)) return bad("a gang that is in no table");
    for (const auction::Bundle& bundle : gang.bundles) {
      for (const auction::Part& part : bundle.parts) {
        if (!is_class(part.slot_class)) return bad("a gang's part of no class");
      }
    }
  }
  return Status::Ok();
}

Status CheckCounts(const EpochRecord& record) {
  const auction::EpochInput& input = record.input;
  bool fits = record.parties.size() <= kPartiesMax && record.class_names.size() <= auction::kClassesMax &&
              record.lease_names.size() <= kNamesMax && record.orders.size() <= kOrdersSealedMax &&
              record.idle_slots.size() <= kNamesMax && input.classes.size() <= auction::kClassesMax &&
              input.asks.size() <= auction::kOrdersMax && input.bids.size() <= auction::kOrdersMax &&
              input.gangs.size() <= auction::kGangsMax && record.deliverers.size() <= kPartiesMax;
  for (const auction::ClassInput& slot_class : input.classes)
    fits = fits && slot_class.floors.size() <= auction::kFloorsMax;
  for (const auction::GangBid& gang : input.gangs) {
    fits = fits && gang.bundles.size() <= auction::kBundlesPerGangMax;
    for (const auction::Bundle& bundle : gang.bundles) {
      fits = fits && bundle.parts.size() <= auction::kPartsPerBundleMax;
    }
  }
  if (fits) return Status::Ok();
  return {Code::kLimitExceeded, kWhere, "more of something than an epoch may have"};
}

}  // namespace

std::string_view Name(LeftOut why) {
  switch (why) {
    case LeftOut::kExpired: return "the order has expired";
    case LeftOut::kOver: return "its owner waits no more, or was served before";
    case LeftOut::kNotOffered: return "it stands no more, or nobody bid for what it offers";
    case LeftOut::kClass: return "nobody offers that class";
    case LeftOut::kMemory: return "no device of that class has so much memory for such a share";
    case LeftOut::kBudget: return "the budget is less than the bid may cost";
    case LeftOut::kAccount: return "the account has less than the bid and the tenant's others may cost";
    case LeftOut::kGoods: return "bids with another memory or notice had this turn";
    case LeftOut::kGangsTurn: return "gangs had this turn";
    case LeftOut::kPartsTurn: return "bids for parts of devices had this turn";
  }
  return "";
}

std::uint64_t SeedOf(std::uint64_t epoch, std::string_view sealed_note) {
  Writer writer;
  writer.Raw(AsBytes(std::string_view("accelmesh epoch seed 1\n")));
  writer.Number(epoch);
  writer.Raw(AsBytes(sealed_note));
  const Hash hash = Sha256(writer.bytes());
  std::uint64_t seed = 0;
  std::memcpy(&seed, hash.data(), sizeof(seed));
  return seed;
}

Status Renumber(auction::EpochInput& input, const std::map<auction::OrderId, auction::OrderId>& numbers) {
  bool has_all = true;
  const auto renumber = [&](auto& orders) {
    for (auto& order : orders) {
      const auto number = numbers.find(order.id);
      has_all = has_all && number != numbers.end();
      if (number != numbers.end()) order.id = number->second;
    }
    std::sort(orders.begin(), orders.end(), [](const auto& one, const auto& other) { return one.id < other.id; });
  };
  renumber(input.asks);
  renumber(input.bids);
  renumber(input.gangs);
  std::sort(input.classes.begin(), input.classes.end(),
            [](const auto& one, const auto& other) { return one.id < other.id; });
  if (has_all) return Status::Ok();
  return {Code::kInvalidArgument, kWhere, "an order that has no number"};
}

Result<Bytes> EpochBytes(const EpochRecord& record) {
  ACCELMESH_RETURN_IF_ERROR(CheckCounts(record));
  ACCELMESH_RETURN_IF_ERROR(CheckTables(record));
  Writer writer;
  const auto* const version = std::find_if(std::begin(kVersions), std::end(kVersions), [&](const Version& one) {
    return one.has_gangs_first == record.has_gangs_first && one.has_all_due == record.has_all_due &&
           one.has_scores == (record.has_all_due || !record.deliverers.empty());
  });
  writer.Raw(AsBytes(version->magic));
  writer.Number(record.seal);
  writer.Text(record.sealed_note);
  writer.Number(record.time_ms);
  WriteAll(writer, record.parties, [](Writer& to, const security::PublicKey& key) { to.Raw(key.bytes); });
  WriteNames(writer, record.class_names);
  WriteNames(writer, record.lease_names);
  WriteAll(writer, record.orders, [](Writer& to, std::uint64_t index) { to.Number(index); });
  WriteNames(writer, record.idle_slots);
  const auction::EpochInput& input = record.input;
  writer.Number(input.number);
  writer.Number(input.seed);
  writer.Number(static_cast<std::uint8_t>(input.rules.auction));
  writer.Number(static_cast<std::uint8_t>(input.rules.thick_by));
  writer.Number(input.rules.eligible_trades_min);
  WriteAll(writer, input.classes, WriteClass);
  WriteAll(writer, input.asks, WriteAsk);
  WriteAll(writer, input.bids, WriteBid);
  WriteAll(writer, input.gangs, WriteGang);
  for (const Hash* digest : {&record.outcome.trades, &record.outcome.gangs, &record.outcome.classes,
                             &record.outcome.unserved, &record.outcome.unserved_gangs, &record.outcome.sums}) {
    writer.Raw(*digest);
  }
  writer.Number(record.credits.before);
  writer.Number(record.credits.deposited);
  writer.Number(record.credits.after);
  if (!version->has_scores) return writer.Take();
  WriteAll(writer, record.deliverers, [](Writer& to, const security::PublicKey& key) { to.Raw(key.bytes); });
  WriteAll(writer, record.scores, [](Writer& to, std::uint32_t score) { to.Number(score); });
  WriteAll(writer, record.ask_deliverers, [](Writer& to, std::uint32_t place) { to.Number(place); });
  if (!record.has_all_due) return writer.Take();
  WriteAll(writer, record.left_out, [](Writer& to, const LeftOutOrder& order) {
    to.Number(order.rank);
    to.Number(static_cast<std::uint8_t>(order.why));
  });
  return writer.Take();
}

Result<EpochRecord> ParseEpoch(ByteView bytes) {
  Reader reader(bytes, kWhere);
  const std::string_view magic = AsText(reader.Raw(kVersions[0].magic.size()));
  const auto* const version =
      std::find_if(std::begin(kVersions), std::end(kVersions), [&](const Version& one) { return one.magic == magic; });
  if (version == std::end(kVersions)) {
    return Status(Code::kBadFrame, kWhere, "no record of an epoch of this version");
  }
  EpochRecord record;
  record.has_gangs_first = version->has_gangs_first;
  record.has_all_due = version->has_all_due;
  record.seal = reader.Number<std::uint64_t>();
  record.sealed_note = reader.Text(kNoteBytesMax);
  record.time_ms = reader.Number<std::int64_t>();
  ReadAll(reader, record.parties, kPartiesMax, security::kKeyBytes,
          [](Reader& from) { return security::PublicKey{from.Array<security::kKeyBytes>()}; });
  record.class_names = ReadNames(reader);
  record.lease_names = ReadNames(reader);
  ReadAll(reader, record.orders, kOrdersSealedMax, 8, [](Reader& from) { return from.Number<std::uint64_t>(); });
  record.idle_slots = ReadNames(reader);
  auction::EpochInput& input = record.input;
  input.number = reader.Number<std::uint64_t>();
  input.seed = reader.Number<std::uint64_t>();
  input.rules.auction = ReadKind(reader, auction::DoubleAuction::kMcAfee);
  input.rules.thick_by = ReadKind(reader, auction::ThickBy::kOrders);
  input.rules.eligible_trades_min = reader.Number<std::uint32_t>();
  ReadAll(reader, input.classes, auction::kClassesMax, 48, ReadClass);
  ReadAll(reader, input.asks, auction::kOrdersMax, kAskBytes, ReadAsk);
  ReadAll(reader, input.bids, auction::kOrdersMax, kBidBytes, ReadBid);
  ReadAll(reader, input.gangs, auction::kGangsMax, kGangBytes, ReadGang);
  for (Hash* digest : {&record.outcome.trades, &record.outcome.gangs, &record.outcome.classes, &record.outcome.unserved,
                       &record.outcome.unserved_gangs, &record.outcome.sums}) {
    *digest = reader.Array<sizeof(Hash)>();
  }
  record.credits.before = reader.Number<std::int64_t>();
  record.credits.deposited = reader.Number<std::int64_t>();
  record.credits.after = reader.Number<std::int64_t>();
  if (version->has_scores) {
    ReadAll(reader, record.deliverers, kPartiesMax, security::kKeyBytes,
            [](Reader& from) { return security::PublicKey{from.Array<security::kKeyBytes>()}; });
    const auto number = [](Reader& from) { return from.Number<std::uint32_t>(); };
    ReadAll(reader, record.scores, kPartiesMax, 4, number);
    ReadAll(reader, record.ask_deliverers, auction::kOrdersMax, 4, number);
    if (record.deliverers.empty() && !record.has_all_due) reader.Fail("a table of scores that is empty");
  }
  if (record.has_all_due) {
    ReadAll(reader, record.left_out, kOrdersSealedMax, 5, [](Reader& from) {
      const auto rank = from.Number<std::uint32_t>();
      return LeftOutOrder{rank, ReadKind(from, kLeftOutLast)};
    });
  }
  ACCELMESH_RETURN_IF_ERROR(reader.Finish());
  const Status counts = CheckCounts(record);
  const Status tables = counts.ok() ? CheckTables(record) : counts;
  if (!tables.ok()) return Status(Code::kBadFrame, kWhere, tables.text());
  return record;
}

Result<std::vector<Bytes>> EpochEntries(const EpochRecord& record) {
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes bytes, EpochBytes(record));
  const std::size_t parts = (bytes.size() + kPartBytesMax - 1) / kPartBytesMax;
  if (parts > kPartsMax) {
    return Status(Code::kLimitExceeded, kWhere,
                  "an epoch of " + std::to_string(bytes.size()) + " bytes; hold it in two");
  }
  std::vector<Bytes> entries;
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t begin = part * kPartBytesMax;
    const std::size_t end = std::min(begin + kPartBytesMax, bytes.size());
    ACCELMESH_ASSIGN_OR_RETURN(
        Bytes entry,
        EntryBytes(EpochPart{record.input.number, static_cast<std::uint32_t>(part), static_cast<std::uint32_t>(parts),
                             Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                                   bytes.begin() + static_cast<std::ptrdiff_t>(end))}));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace accelmesh::market::ledger
