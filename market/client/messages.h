// Messages to and from slot-market as values: the object API of protocol/schema/market.fbs (RequestT, LeaseT, ...),
// encoded and decoded with every bound checked.
//
// What is decoded has been verified (flatbuffers::Verifier) and is within the bounds below: counts of vectors, lengths
// of names and texts, keys and ids of their exact sizes, finite numbers, shares and prices in range. So a reader never
// checks again. kBadFrame names the field.
// Threads: functions on values.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "protocol/schema/market_generated.h"
#include "scheduler/core/slot.h"

namespace accelmesh::market {

namespace messages = wire::market;

inline constexpr std::size_t kMessageBytesMax = 1024 * 1024;
// Of what the market sends: lists are long.
inline constexpr std::size_t kReplyBytesMax = 16 * 1024 * 1024;
inline constexpr std::size_t kListedMax = 10'000;
inline constexpr std::size_t kSlotsPerServerMax = 100;
inline constexpr std::size_t kSlotsNamedMax = 64;
inline constexpr std::size_t kEndpointsMax = 8;
inline constexpr std::size_t kUsesMax = 4096;
inline constexpr std::size_t kIdBytesMax = 64;
inline constexpr std::int64_t kPriceMicrocreditsMax = 1'000'000'000'000'000;  // a thousand million credits an hour
inline constexpr std::size_t kTextBytesMax = 4096;
inline constexpr std::size_t kOperationIdBytes = 16;
inline constexpr std::size_t kFloorsMax = 64;  // of an identity
inline constexpr std::uint32_t kBudgetWeightMax = 1'000'000;
inline constexpr std::size_t kReceiptsKeptMax = 64;  // in an answer to KeepServer
inline constexpr std::uint16_t kMarketVersion = 1;
// Reply.leader of one that does not lead: nobody does just now; ask again soon.
inline constexpr char kNoLeader[] = "-";

Bytes EncodeRequest(const messages::RequestT& request);
Result<messages::RequestT> DecodeRequest(ByteView bytes);
// The number of a request that DecodeRequest() refused, so that its sender is told why; 0 if it has none.
std::uint64_t NumberOfRefused(ByteView bytes);
Bytes EncodeReply(const messages::ReplyT& reply);
Bytes EncodePush(const messages::PushT& push);
// Holds a reply or a push.
Result<messages::FromMarketT> DecodeFromMarket(ByteView bytes);

// The scheduler's view of a slot: what is unreachable has nothing free.
scheduler::Slot ToSchedulerSlot(const messages::SlotT& slot);
scheduler::Tags ToSchedulerTags(const messages::TagsT& tags);
messages::TagsT ToMessageTags(const scheduler::Tags& tags);

// Ten random bytes after the milliseconds (big-endian): a lease is named by its operation, and leases that begin
// together lie together in the registry, which saves it half of what it writes.
inline constexpr std::size_t kOperationTimeBytes = 6;
std::vector<std::uint8_t> MakeOperationId();

}  // namespace accelmesh::market
