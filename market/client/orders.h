// Orders: what tenants sign to trade with each other. The signature is the owner's, over a label and the bytes of the
// order as he wrote them; those bytes are kept with the trade, so that anybody can check it later.
//
// An order counts in the market that it names, once (by its operation id), until the time that it names.
// Threads: functions on values.
#pragma once

#include "market/client/messages.h"
#include "protocol/security/keys.h"

namespace accelmesh::market {

inline constexpr std::size_t kOrderBytesMax = 16 * 1024;
// Of all but gangs. What is signed is kept in the ledger for good, also bytes that nothing in the order refers to.
inline constexpr std::size_t kPlainOrderBytesMax = 2 * 1024;
inline constexpr std::size_t kBundlesMax = 16;
inline constexpr std::size_t kPartsMax = 40;

// The order's bytes and its owner's signature. Precondition: `owner` is the key that the order names.
messages::PlaceOrderT SignOrder(const messages::OrderT& order, const security::SigningKey& owner);
// What an owner, or the counterparty of a deal, signs of an order's bytes.
security::Signature SignOrderBytes(ByteView order, const security::SigningKey& key);

// The order in `placed`, within its bounds, signed by whom it names as owner. kBadFrame; kPermissionDenied if it is not
// signed by its owner, or by the counterparty of a deal.
Result<messages::OrderT> ReadOrder(const messages::PlaceOrderT& placed);
// The same of bytes and signature alone: without a deal's counterparty.
Result<messages::OrderT> ReadOrder(ByteView order, ByteView signature);

}  // namespace accelmesh::market
