// Bounds of the messages by which tenants trade, of receipts and of shares (protocol/schema/market.fbs).
//
// Threads: functions on values.
#pragma once

#include "market/client/message_bounds.h"
#include "protocol/schema/market_generated.h"

namespace accelmesh::market {

void Check(const wire::market::PlaceOrder& body, Bounds& bounds);
void Check(const wire::market::ListAsks& body, Bounds& bounds);
void Check(const wire::market::ListEpochs& body, Bounds& bounds);
void Check(const wire::market::PriceToWin& body, Bounds& bounds);
void Check(const wire::market::Cosign& body, Bounds& bounds);
void Check(const wire::market::LedgerCheckpoint& body, Bounds& bounds);
void Check(const wire::market::LedgerEntries& body, Bounds& bounds);
void Check(const wire::market::OrderTaken& body, Bounds& bounds);
void Check(const wire::market::WinningPrice& body, Bounds& bounds);
void Check(const wire::market::Asks& body, Bounds& bounds);
void Check(const wire::market::Epochs& body, Bounds& bounds);
void Check(const wire::market::Order& order, Bounds& bounds);
void Check(const wire::market::Receipt& receipt, Bounds& bounds);
void Check(const wire::market::Receipts& body, Bounds& bounds);
void Check(const wire::market::Reputations& body, Bounds& bounds);
void Check(const wire::market::SignReceipt& body, Bounds& bounds);
void Check(const wire::market::ListReceipts& body, Bounds& bounds);
void Check(const wire::market::ListReputation& body, Bounds& bounds);
void Check(const wire::market::SetShares& body, Bounds& bounds);
using Floors = flatbuffers::Vector<flatbuffers::Offset<wire::market::Floor>>;
void CheckFloors(const Floors* floors, Bounds& bounds);

}  // namespace accelmesh::market
