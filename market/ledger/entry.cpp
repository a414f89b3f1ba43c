#include "market/ledger/entry.h"

#include <algorithm>

#include "market/ledger/codec.h"
#include "market/ledger/tile.h"

namespace accelmesh::market::ledger {
namespace {

constexpr char kWhere[] = "ledger::ParseEntry";
constexpr std::string_view kMagic = "AML1";
static_assert(kPartBytesMax + 64 < kEntryBytesMax && kSignedOrderBytesMax + 256 < kEntryBytesMax);

void Write(Writer& writer, const SignedOrder& order) {
  writer.Counted(order.order);
  writer.Raw(order.signature);
  writer.Number(static_cast<std::uint8_t>(order.counter_signature ? 1 : 0));
  if (order.counter_signature) writer.Raw(*order.counter_signature);
}
void Write(Writer& writer, const Seal& seal) {
  writer.Number(seal.number);
  writer.Number(seal.time_ms);
  writer.Number(seal.orders);
  writer.Raw(seal.orders_root);
}
void Write(Writer& writer, const EpochPart& part) {
  writer.Number(part.number);
  writer.Number(part.part);
  writer.Number(part.parts);
  writer.Counted(part.bytes);
}
void Write(Writer& writer, const CounterSignedReceipt& receipt) { WriteReceipt(writer, receipt); }
void Write(Writer& writer, const StatedReputation& stated) { WriteStated(writer, stated); }
void Write(Writer& writer, const Settlement& settlement) { WriteSettlement(writer, settlement); }

bool IsWithinLimits(const SignedOrder& order) { return order.order.size() <= kSignedOrderBytesMax; }
bool IsWithinLimits(const Seal& seal) { return seal.orders <= kOrdersSealedMax; }
bool IsWithinLimits(const EpochPart& part) {
  return part.parts > 0 && part.parts <= kPartsMax && part.part < part.parts && !part.bytes.empty() &&
         part.bytes.size() <= kPartBytesMax;
}
bool IsWithinLimits(const CounterSignedReceipt& receipt) { return CheckReceipt(receipt.receipt).ok(); }
bool IsWithinLimits(const StatedReputation& stated) { return CheckStated(stated).ok(); }
bool IsWithinLimits(const Settlement& settlement) { return CheckSettlement(settlement).ok(); }

SignedOrder ReadSignedOrder(Reader& reader) {
  SignedOrder order;
  const ByteView bytes = reader.Counted(kSignedOrderBytesMax);
  order.order.assign(bytes.begin(), bytes.end());
  order.signature = reader.Array<security::kSignatureBytes>();
  if (reader.Flag()) order.counter_signature = reader.Array<security::kSignatureBytes>();
  return order;
}
Seal ReadSeal(Reader& reader) {
  Seal seal;
  seal.number = reader.Number<std::uint64_t>();
  seal.time_ms = reader.Number<std::int64_t>();
  seal.orders = reader.Number<std::uint32_t>();
  seal.orders_root = reader.Array<sizeof(Hash)>();
  return seal;
}
EpochPart ReadEpochPart(Reader& reader) {
  EpochPart part;
  part.number = reader.Number<std::uint64_t>();
  part.part = reader.Number<std::uint32_t>();
  part.parts = reader.Number<std::uint32_t>();
  const ByteView bytes = reader.Counted(kPartBytesMax);
  part.bytes.assign(bytes.begin(), bytes.end());
  return part;
}

}  // namespace

Result<Bytes> EntryBytes(const Entry& entry) {
  if (!std::visit([](const auto& kind) { return IsWithinLimits(kind); }, entry)) {
    return Status(Code::kInvalidArgument, "ledger::EntryBytes",
                  "a part of the entry is larger than it may be, or none");
  }
  Writer writer;
  writer.Raw(AsBytes(kMagic));
  writer.Number(static_cast<std::uint8_t>(entry.index() + 1));
  std::visit([&](const auto& kind) { Write(writer, kind); }, entry);
  return writer.Take();
}

Result<Entry> ParseEntry(ByteView bytes) {
  if (bytes.size() > kEntryBytesMax) return Status(Code::kBadFrame, kWhere, "larger than an entry");
  Reader reader(bytes, kWhere);
  if (AsText(reader.Raw(kMagic.size())) != kMagic) {
    return Status(Code::kBadFrame, kWhere, "no entry of a ledger of this version");
  }
  const auto kind = reader.Number<std::uint8_t>();
  Entry entry;
  switch (kind) {
    case 1: entry = ReadSignedOrder(reader); break;
    case 2: entry = ReadSeal(reader); break;
    case 3: entry = ReadEpochPart(reader); break;
    case 4: entry = ReadReceipt(reader); break;
    case 5: entry = ReadStated(reader); break;
    case 6: entry = ReadSettlement(reader); break;
    default:
      return Status(Code::kBadFrame, kWhere, "an entry of kind " + std::to_string(kind) + ", which there is not");
  }
  ACCELMESH_RETURN_IF_ERROR(reader.Finish());
  if (!std::visit([](const auto& read) { return IsWithinLimits(read); }, entry)) {
    return Status(Code::kBadFrame, kWhere, "an entry with a part that is out of its bounds");
  }
  return entry;
}

Hash OrdersRoot(std::vector<Hash> leaves) {
  std::sort(leaves.begin(), leaves.end());
  return RootOf(leaves);
}

}  // namespace accelmesh::market::ledger
