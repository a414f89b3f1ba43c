// What a signed order says, as far as an epoch can be checked against it. The bytes themselves are the market's
// messages; market_orders.h reads those, and tests have orders of their own.
//
// Threads: values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "market/ledger/entry.h"

namespace accelmesh::market::ledger {

enum class OrderSort : std::uint8_t { kAsk, kWithdrawal, kBid, kGang, kDeal };

struct OrderTerms {
  OrderSort sort = OrderSort::kBid;
  security::PublicKey owner;
  std::string market;  // in which it counts
  std::int64_t valid_until_ms = 0;
  std::string lease;             // of an ask or a deal
  std::string slot_class;        // empty: that of the lease
  std::int64_t units_milli = 0;  // of an ask: 0, all of the lease
  std::int64_t price_microcredits = 0;
  bool is_divisible = false;
  bool uses_floor = false;
  std::int64_t notice_ms = 0;
  struct Part {
    std::string slot_class;
    std::int64_t units_milli = 0;
  };
  struct Bundle {
    std::int64_t value_microcredits = 0;
    std::vector<Part> parts;
  };
  std::vector<Bundle> bundles;  // of a gang
};

class OrderReader {
 public:
  virtual ~OrderReader() = default;
  // kBadFrame: no order; kPermissionDenied: not signed by whom it names.
  virtual Result<OrderTerms> Read(const SignedOrder& order) const = 0;
};

}  // namespace accelmesh::market::ledger
