// Bounds of the messages by which tenants trade (protocol/schema/market.fbs, "Trade between tenants").
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
void Check(const wire::market::WinningPrice& body, Bounds& bounds);
void Check(const wire::market::Asks& body, Bounds& bounds);
void Check(const wire::market::Epochs& body, Bounds& bounds);
void Check(const wire::market::Order& order, Bounds& bounds);

}  // namespace accelmesh::market
