// Reads the orders that tenants of this market sign (market/client/orders.h), for checking epochs against them.
//
// Threads: values.
#pragma once

#include "market/ledger/order_terms.h"

namespace accelmesh::market::ledger {

class MarketOrders final : public OrderReader {
 public:
  Result<OrderTerms> Read(const SignedOrder& order) const override;
};

}  // namespace accelmesh::market::ledger
