#include "market/ledger/receipt.h"

#include <algorithm>

namespace accelmesh::market::ledger {
namespace {

constexpr std::string_view kLabel = "accelmesh receipt 1\n";
__extension__ using Wide = __int128;

bool IsName(std::string_view name, std::size_t most) {
  return !name.empty() && name.size() <= most &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

Bytes SignedBytes(const Receipt& receipt, ReceiptSide side) {
  Writer writer;
  writer.Raw(AsBytes(kLabel));
  writer.Raw(AsBytes(std::string_view(side == ReceiptSide::kProvider ? "provider\n" : "buyer\n")));
  writer.Raw(ReceiptBytes(receipt));
  return writer.Take();
}

void Write(Writer& writer, const Receipt& receipt) {
  writer.Text(receipt.market);
  writer.Text(receipt.lease);
  writer.Text(receipt.slot_class);
  writer.Raw(receipt.provider.bytes);
  writer.Raw(receipt.buyer.bytes);
  writer.Number(receipt.begin_ms);
  writer.Number(receipt.end_ms);
  writer.Number(receipt.price_microcredits);
  writer.Number(receipt.bond_microcredits);
  writer.Number(receipt.delivered_ppm);
  writer.Number(receipt.uptime_ppm);
  writer.Number(static_cast<std::uint8_t>(receipt.had_notice));
  writer.Number(static_cast<std::uint8_t>(receipt.is_notice_honoured));
  writer.Number(receipt.paid_microcredits);
  writer.Number(receipt.used_ppm);
}

}  // namespace

Status CheckReceipt(const Receipt& receipt) {
  const auto bad = [](const std::string& what) { return Status(Code::kInvalidArgument, "CheckReceipt", what); };
  const auto is_amount = [](std::int64_t amount) { return amount >= 0 && amount <= kAmountMax; };
  if (!IsName(receipt.market, 2 * kReceiptNameBytesMax) || !IsName(receipt.lease, kReceiptNameBytesMax) ||
      !IsName(receipt.slot_class, 4 * kReceiptNameBytesMax)) {
    return bad("it names no market, lease or class");
  }
  if (receipt.begin_ms < 0 || receipt.end_ms <= receipt.begin_ms || receipt.end_ms > std::int64_t{1} << 52) {
    return bad("it is of no time");
  }
  if (!is_amount(receipt.price_microcredits) || !is_amount(receipt.bond_microcredits) ||
      !is_amount(receipt.paid_microcredits)) {
    return bad("an amount is negative or larger than amounts are");
  }
  if (receipt.delivered_ppm > kPpm || receipt.uptime_ppm > kPpm || receipt.used_ppm > kPpm) {
    return bad("a part that is more than the whole");
  }
  if (receipt.is_notice_honoured && !receipt.had_notice) return bad("a notice that was none");
  return Status::Ok();
}

Bytes ReceiptBytes(const Receipt& receipt) {
  Writer writer;
  Write(writer, receipt);
  return writer.Take();
}

security::Signature SignReceipt(const Receipt& receipt, ReceiptSide side, const security::SigningKey& key) {
  return key.Sign(SignedBytes(receipt, side));
}

Status VerifySide(const Receipt& receipt, ReceiptSide side, const security::Signature& signature) {
  const bool is_provider = side == ReceiptSide::kProvider;
  if (security::IsSignedBy(is_provider ? receipt.provider : receipt.buyer, SignedBytes(receipt, side), signature)) {
    return Status::Ok();
  }
  return {Code::kPermissionDenied, "VerifyReceipt",
          std::string("the receipt is not signed by the ") + (is_provider ? "provider" : "buyer") + " that it names"};
}

Status VerifyReceipt(const CounterSignedReceipt& receipt) {
  ACCELMESH_RETURN_IF_ERROR(CheckReceipt(receipt.receipt));
  if (receipt.receipt.provider == receipt.receipt.buyer) {
    return {Code::kPermissionDenied, "VerifyReceipt",
            "provider and buyer are one; a trade with oneself has no receipt"};
  }
  ACCELMESH_RETURN_IF_ERROR(VerifySide(receipt.receipt, ReceiptSide::kProvider, receipt.provider));
  return VerifySide(receipt.receipt, ReceiptSide::kBuyer, receipt.buyer);
}

std::int64_t RefundOf(const Receipt& receipt, std::uint32_t tolerance_ppm) {
  const Wide given = Wide{std::min(receipt.delivered_ppm, kPpm)} * std::min(receipt.uptime_ppm, kPpm);
  const Wide whole = Wide{kPpm} * kPpm;
  const Wide missing = whole - given;
  if (missing <= Wide{std::min(tolerance_ppm, kPpm)} * kPpm) return 0;
  return static_cast<std::int64_t>(Wide{receipt.price_microcredits} * missing / whole);
}

void WriteReceipt(Writer& writer, const CounterSignedReceipt& receipt) {
  Write(writer, receipt.receipt);
  writer.Raw(receipt.provider);
  writer.Raw(receipt.buyer);
}

CounterSignedReceipt ReadReceipt(Reader& reader) {
  CounterSignedReceipt read;
  Receipt& receipt = read.receipt;
  receipt.market = reader.Text(2 * kReceiptNameBytesMax);
  receipt.lease = reader.Text(kReceiptNameBytesMax);
  receipt.slot_class = reader.Text(4 * kReceiptNameBytesMax);
  receipt.provider.bytes = reader.Array<security::kKeyBytes>();
  receipt.buyer.bytes = reader.Array<security::kKeyBytes>();
  receipt.begin_ms = reader.Number<std::int64_t>();
  receipt.end_ms = reader.Number<std::int64_t>();
  receipt.price_microcredits = reader.Number<std::int64_t>();
  receipt.bond_microcredits = reader.Number<std::int64_t>();
  receipt.delivered_ppm = reader.Number<std::uint32_t>();
  receipt.uptime_ppm = reader.Number<std::uint32_t>();
  receipt.had_notice = reader.Flag();
  receipt.is_notice_honoured = reader.Flag();
  receipt.paid_microcredits = reader.Number<std::int64_t>();
  receipt.used_ppm = reader.Number<std::uint32_t>();
  read.provider = reader.Array<security::kSignatureBytes>();
  read.buyer = reader.Array<security::kSignatureBytes>();
  return read;
}

}  // namespace accelmesh::market::ledger
