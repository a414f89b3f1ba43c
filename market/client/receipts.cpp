#include "market/client/receipts.h"

namespace accelmesh::market {

Result<ledger::Receipt> ToReceipt(const messages::ReceiptT& shown) {
  ledger::Receipt receipt;
  receipt.market = shown.market;
  receipt.lease = shown.lease;
  receipt.slot_class = shown.slot_class;
  ACCELMESH_RETURN_IF_ERROR(security::ParseHex(shown.provider, receipt.provider.bytes));
  ACCELMESH_RETURN_IF_ERROR(security::ParseHex(shown.buyer, receipt.buyer.bytes));
  receipt.begin_ms = shown.begin_ms;
  receipt.end_ms = shown.end_ms;
  receipt.price_microcredits = shown.price_microcredits;
  receipt.bond_microcredits = shown.bond_microcredits;
  receipt.delivered_ppm = shown.delivered_ppm;
  receipt.uptime_ppm = shown.uptime_ppm;
  receipt.had_notice = shown.had_notice;
  receipt.is_notice_honoured = shown.is_notice_honoured;
  receipt.paid_microcredits = shown.paid_microcredits;
  receipt.used_ppm = shown.used_ppm;
  ACCELMESH_RETURN_IF_ERROR(ledger::CheckReceipt(receipt));
  return receipt;
}

ReceiptWords WordsOf(const messages::ReceiptT& shown) {
  return {shown.delivered_ppm, shown.uptime_ppm, shown.is_notice_honoured, shown.used_ppm};
}

Result<messages::SignReceiptT> SignReceipt(const messages::ReceiptT& shown, const ReceiptWords& words,
                                           const security::SigningKey& key) {
  messages::ReceiptT said = shown;
  said.delivered_ppm = words.delivered_ppm;
  said.uptime_ppm = words.uptime_ppm;
  said.is_notice_honoured = words.is_notice_honoured && shown.had_notice;
  said.used_ppm = words.used_ppm;
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::Receipt receipt, ToReceipt(said));
  const security::PublicKey own = key.public_key();
  if (own != receipt.provider && own != receipt.buyer) {
    return Status(Code::kPermissionDenied, "market::SignReceipt",
                  "the receipt of lease " + shown.lease + " is of others; its provider and its buyer sign it");
  }
  const ledger::ReceiptSide side =
      own == receipt.provider ? ledger::ReceiptSide::kProvider : ledger::ReceiptSide::kBuyer;
  const security::Signature signature = ledger::SignReceipt(receipt, side, key);
  messages::SignReceiptT sign;
  sign.lease = shown.lease;
  sign.delivered_ppm = receipt.delivered_ppm;
  sign.uptime_ppm = receipt.uptime_ppm;
  sign.is_notice_honoured = receipt.is_notice_honoured;
  sign.used_ppm = receipt.used_ppm;
  sign.signature.assign(signature.begin(), signature.end());
  return sign;
}

}  // namespace accelmesh::market
