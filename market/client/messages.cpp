#include "market/client/messages.h"

#include <chrono>
#include <random>

#include "market/client/message_bounds.h"
#include "market/client/trade_bounds.h"
#include "protocol/base/aligned.h"
#include "scheduler/core/request.h"

namespace accelmesh::market {
namespace {

using messages::ReplyBody;
using messages::RequestBody;

constexpr std::int64_t kDurationUsMax = 10LL * 365 * 24 * 3600 * 1'000'000;
constexpr std::int64_t kCreditsBound = 9'000'000'000'000'000'000;
constexpr std::uint64_t kMemoryBytesMax = 1ULL << 60;
constexpr std::size_t kTablesMax = 200'000;
constexpr std::size_t kTokenBytesMax = 4096;
constexpr std::size_t kEndpointBytesMax = 256;
constexpr std::size_t kGapsMax = 64;
constexpr std::int64_t kZero = 0;

void CheckMeasured(const messages::Measured* measured, const char* field, Bounds& bounds) {
  if (measured == nullptr) return;
  bounds.Finite(measured->mean(), field);
  bounds.Finite(measured->low(), field);
  bounds.Finite(measured->high(), field);
}

void CheckTags(const messages::Tags* tags, Bounds& bounds) {
  if (tags == nullptr) return;
  bounds.Each(tags->throughput(), scheduler::kDemandsMax, "Tags.throughput", [&](const messages::Throughput& one) {
    bounds.Within<unsigned>(one.operation(), 0, scheduler::kOperations - 1, "Throughput.operation");
    bounds.Within<unsigned>(one.type(), 0, scheduler::kNumberTypes - 1, "Throughput.type");
    CheckMeasured(one.operations_per_s(), "Throughput.operations_per_s", bounds);
    bounds.Id(one.via(), 16, "Throughput.via", true);
  });
  CheckMeasured(tags->memory_bytes_per_s(), "Tags.memory_bytes_per_s", bounds);
  CheckMeasured(tags->launch_us(), "Tags.launch_us", bounds);
  CheckMeasured(tags->round_trip_us(), "Tags.round_trip_us", bounds);
}

void CheckSlot(const messages::Slot& slot, Bounds& bounds) {
  bounds.Id(slot.id(), kIdBytesMax, "Slot.id");
  bounds.Key(slot.server(), "Slot.server", true);
  bounds.Id(slot.server_name(), kIdBytesMax, "Slot.server_name", true);
  bounds.Text(slot.device_name(), 128, "Slot.device_name");
  bounds.Id(slot.backend(), 32, "Slot.backend", true);
  bounds.Id(slot.zone(), scheduler::kNameBytesMax, "Slot.zone", true);
  bounds.Each(slot.labels(), scheduler::kLabelsMax, "Slot.labels",
              [&](const Bounds::String& label) { bounds.Id(&label, scheduler::kNameBytesMax, "Slot.labels"); });
  CheckTags(slot.tags(), bounds);
  bounds.Within(slot.share_milli(), 1U, scheduler::kWholeMilli, "Slot.share_milli");
  bounds.Within(slot.share_milli_step(), 1U, scheduler::kWholeMilli, "Slot.share_milli_step");
  bounds.Within<std::uint64_t>(slot.memory_bytes(), 0, kMemoryBytesMax, "Slot.memory_bytes");
  bounds.Within(slot.notice_us(), kZero, kDurationUsMax, "Slot.notice_us");
  bounds.Within(slot.reserve_price_microcredits_per_hour(), kZero, kPriceMicrocreditsMax, "Slot.reserve_price");
}

void CheckLease(const messages::Lease* lease, Bounds& bounds) {
  if (lease == nullptr) return;
  bounds.Id(lease->id(), kIdBytesMax, "Lease.id");
  bounds.Id(lease->slot(), kIdBytesMax, "Lease.slot");
  bounds.Key(lease->server(), "Lease.server");
  bounds.Key(lease->tenant(), "Lease.tenant");
  bounds.Id(lease->tenant_name(), kIdBytesMax, "Lease.tenant_name", true);
  bounds.Within(lease->share_milli(), 1U, scheduler::kWholeMilli, "Lease.share_milli");
  bounds.Within(lease->not_before_ms(), kZero, kDurationUsMax, "Lease.not_before_ms");
  bounds.Within(lease->not_after_ms(), kZero, kDurationUsMax, "Lease.not_after_ms");
  bounds.Text(lease->state(), 32, "Lease.state");
  bounds.Text(lease->request(), kTextBytesMax, "Lease.request");
}

void CheckAccount(const messages::Account& account, Bounds& bounds) {
  bounds.Key(account.identity(), "Account.identity");
  bounds.Id(account.name(), kIdBytesMax, "Account.name", true);
  bounds.Id(account.role(), 16, "Account.role", true);
  CheckFloors(account.floors(), bounds);
}

template <typename List>
void CheckGaps(const List* gaps, Bounds& bounds) {
  bounds.Each(gaps, kGapsMax, "gaps", [&](const messages::Gap& gap) {
    bounds.Text(gap.dimension(), 32, "Gap.dimension");
    bounds.Text(gap.text(), kTextBytesMax, "Gap.text");
    bounds.Text(gap.remedy(), kTextBytesMax, "Gap.remedy");
  });
}

template <typename List>
void CheckRejections(const List* rejections, Bounds& bounds) {
  bounds.Each(rejections, kListedMax, "rejections", [&](const messages::Rejection& rejection) {
    bounds.Id(rejection.slot(), kIdBytesMax, "Rejection.slot");
    CheckGaps(rejection.gaps(), bounds);
  });
}

void CheckGranted(const messages::Granted& granted, Bounds& bounds) {
  if (granted.lease() == nullptr) bounds.Fail("Granted.lease", "is missing");
  CheckLease(granted.lease(), bounds);
  bounds.RawUpTo(granted.token(), kTokenBytesMax, "Granted.token");
  bounds.Each(granted.endpoints(), kEndpointsMax, "Granted.endpoints",
              [&](const Bounds::String& url) { bounds.Id(&url, kEndpointBytesMax, "Granted.endpoints"); });
  bounds.Raw(granted.server_curve_key(), 32, "Granted.server_curve_key", true);
  bounds.Text(granted.why(), kTextBytesMax, "Granted.why");
}

void CheckNames(const Bounds::Strings* names, std::size_t most, const char* field, Bounds& bounds) {
  bounds.Each(names, most, field, [&](const Bounds::String& name) { bounds.Id(&name, kIdBytesMax, field); });
}

// Requests ------------------------------------------------------------------------------------------------------

void Check(const messages::Greet& body, Bounds& bounds) { bounds.Text(body.program(), kIdBytesMax, "Greet.program"); }
void Check(const messages::ListSlots& body, Bounds& bounds) {
  bounds.Id(body.prefix(), kIdBytesMax, "ListSlots.prefix", true);
}
void Check(const messages::Quote& body, Bounds& bounds) {
  bounds.Text(body.request(), kTextBytesMax, "Quote.request");
  CheckNames(body.slots(), kSlotsNamedMax, "Quote.slots", bounds);
}
void Check(const messages::RequestLease& body, Bounds& bounds) {
  bounds.Raw(body.operation_id(), kOperationIdBytes, "RequestLease.operation_id");
  bounds.Text(body.request(), kTextBytesMax, "RequestLease.request");
  CheckNames(body.slots(), kSlotsNamedMax, "RequestLease.slots", bounds);
  bounds.Within(body.price_max_microcredits_per_hour(), kZero, kCreditsBound, "RequestLease.price_max");
  bounds.Within(body.lease_us(), kZero, kDurationUsMax, "RequestLease.lease_us");
  bounds.Within(body.wait_us(), kZero, kDurationUsMax, "RequestLease.wait_us");
  bounds.Raw(body.holder_key(), 32, "RequestLease.holder_key");
  bounds.Raw(body.next_key(), 32, "RequestLease.next_key", true);
}
void Check(const messages::RenewLease& body, Bounds& bounds) {
  bounds.Raw(body.operation_id(), kOperationIdBytes, "RenewLease.operation_id");
  bounds.Id(body.lease(), kIdBytesMax, "RenewLease.lease");
  bounds.Within(body.lease_us(), kZero, kDurationUsMax, "RenewLease.lease_us");
  bounds.Within(body.price_max_microcredits_per_hour(), kZero, kCreditsBound, "RenewLease.price_max");
}
void Check(const messages::ResizeLease& body, Bounds& bounds) {
  bounds.Raw(body.operation_id(), kOperationIdBytes, "ResizeLease.operation_id");
  bounds.Id(body.lease(), kIdBytesMax, "ResizeLease.lease");
}
void Check(const messages::ReleaseLease& body, Bounds& bounds) {
  bounds.Raw(body.operation_id(), kOperationIdBytes, "ReleaseLease.operation_id");
  bounds.Id(body.lease(), kIdBytesMax, "ReleaseLease.lease");
}
void Check(const messages::TransferLease& body, Bounds& bounds) {
  bounds.Raw(body.operation_id(), kOperationIdBytes, "TransferLease.operation_id");
  bounds.Id(body.lease(), kIdBytesMax, "TransferLease.lease");
  bounds.Key(body.to(), "TransferLease.to");
  bounds.Raw(body.holder_key(), 32, "TransferLease.holder_key");
  bounds.Raw(body.next_key(), 32, "TransferLease.next_key", true);
}
void Check(const messages::GetAccount& body, Bounds& bounds) {
  bounds.Key(body.identity(), "GetAccount.identity", true);
}
void Check(const messages::RegisterServer& body, Bounds& bounds) {
  bounds.Id(body.name(), 32, "RegisterServer.name");
  bounds.Each(body.endpoints(), kEndpointsMax, "RegisterServer.endpoints",
              [&](const Bounds::String& url) { bounds.Id(&url, kEndpointBytesMax, "RegisterServer.endpoints"); });
  if (body.endpoints() == nullptr || body.endpoints()->size() == 0) bounds.Fail("RegisterServer.endpoints", "is empty");
  bounds.Within(body.bond_microcredits(), kZero, kCreditsBound, "RegisterServer.bond");
  bounds.Each(body.slots(), kSlotsPerServerMax, "RegisterServer.slots",
              [&](const messages::Slot& slot) { CheckSlot(slot, bounds); });
}
void Check(const messages::KeepServer& body, Bounds& bounds) {
  bounds.Each(body.uses(), kUsesMax, "KeepServer.uses", [&](const messages::LeaseUse& use) {
    bounds.Id(use.lease(), kIdBytesMax, "LeaseUse.lease");
    bounds.Within(use.device_time_us(), kZero, kDurationUsMax, "LeaseUse.device_time_us");
  });
}
void Check(const messages::DrainSlots& body, Bounds& bounds) {
  CheckNames(body.slots(), kSlotsPerServerMax, "DrainSlots.slots", bounds);
}
void Check(const messages::Deposit& body, Bounds& bounds) {
  bounds.Raw(body.operation_id(), kOperationIdBytes, "Deposit.operation_id");
  bounds.Key(body.identity(), "Deposit.identity");
  bounds.Within(body.microcredits(), std::int64_t{1}, kCreditsBound, "Deposit.microcredits");
}
void Check(const messages::Trust& body, Bounds& bounds) {
  bounds.Key(body.identity(), "Trust.identity");
  bounds.Id(body.name(), 32, "Trust.name", true);
  bounds.Id(body.role(), 16, "Trust.role", true);
}
void Check(const messages::RevokeLease& body, Bounds& bounds) {
  bounds.Raw(body.operation_id(), kOperationIdBytes, "RevokeLease.operation_id");
  bounds.Id(body.lease(), kIdBytesMax, "RevokeLease.lease");
  bounds.Text(body.reason(), 256, "RevokeLease.reason");
}

void CheckBody(const messages::Request& request, Bounds& bounds) {
  switch (request.body_type()) {
    case RequestBody::Greet: return Check(*request.body_as_Greet(), bounds);
    case RequestBody::ListSlots: return Check(*request.body_as_ListSlots(), bounds);
    case RequestBody::Quote: return Check(*request.body_as_Quote(), bounds);
    case RequestBody::RequestLease: return Check(*request.body_as_RequestLease(), bounds);
    case RequestBody::RenewLease: return Check(*request.body_as_RenewLease(), bounds);
    case RequestBody::ResizeLease: return Check(*request.body_as_ResizeLease(), bounds);
    case RequestBody::ReleaseLease: return Check(*request.body_as_ReleaseLease(), bounds);
    case RequestBody::TransferLease: return Check(*request.body_as_TransferLease(), bounds);
    case RequestBody::GetAccount: return Check(*request.body_as_GetAccount(), bounds);
    case RequestBody::RegisterServer: return Check(*request.body_as_RegisterServer(), bounds);
    case RequestBody::KeepServer: return Check(*request.body_as_KeepServer(), bounds);
    case RequestBody::DrainSlots: return Check(*request.body_as_DrainSlots(), bounds);
    case RequestBody::Deposit: return Check(*request.body_as_Deposit(), bounds);
    case RequestBody::Trust: return Check(*request.body_as_Trust(), bounds);
    case RequestBody::RevokeLease: return Check(*request.body_as_RevokeLease(), bounds);
    case RequestBody::PlaceOrder: return Check(*request.body_as_PlaceOrder(), bounds);
    case RequestBody::ListAsks: return Check(*request.body_as_ListAsks(), bounds);
    case RequestBody::ListEpochs: return Check(*request.body_as_ListEpochs(), bounds);
    case RequestBody::PriceToWin: return Check(*request.body_as_PriceToWin(), bounds);
    case RequestBody::SignReceipt: return Check(*request.body_as_SignReceipt(), bounds);
    case RequestBody::ListReceipts: return Check(*request.body_as_ListReceipts(), bounds);
    case RequestBody::ListReputation: return Check(*request.body_as_ListReputation(), bounds);
    case RequestBody::SetShares: return Check(*request.body_as_SetShares(), bounds);
    case RequestBody::Cosign: return Check(*request.body_as_Cosign(), bounds);
    case RequestBody::GetCheckpoint:
    case RequestBody::ReadEntries:
    case RequestBody::ListPrices:
    case RequestBody::ListLeases:
    case RequestBody::ListRequests:
    case RequestBody::ListAccounts:
    case RequestBody::GetStatus: return;
    case RequestBody::NONE: break;
  }
  bounds.Fail("Request.body", "is none that this version knows; use programs of one version");
}

// Replies and pushes --------------------------------------------------------------------------------------------

void CheckPrices(const messages::Prices& body, Bounds& bounds) {
  bounds.Each(body.prices(), kListedMax, "Prices.prices", [&](const messages::ClassPrice& price) {
    bounds.Text(price.class_name(), 256, "ClassPrice.class_name");
    bounds.Each(price.history(), kListedMax, "ClassPrice.history", [](const messages::PricePoint&) {});
  });
}

void CheckQuotation(const messages::Quotation& body, Bounds& bounds) {
  bounds.Each(body.offers(), kListedMax, "Quotation.offers", [&](const messages::Offer& offer) {
    bounds.Id(offer.slot(), kIdBytesMax, "Offer.slot");
    bounds.Text(offer.why(), kTextBytesMax, "Offer.why");
  });
  CheckRejections(body.rejections(), bounds);
  CheckGaps(body.gaps(), bounds);
}

void CheckRequests(const messages::Requests& body, Bounds& bounds) {
  bounds.Each(body.requests(), kListedMax, "Requests.requests", [&](const messages::WaitingRequest& one) {
    bounds.Key(one.tenant(), "WaitingRequest.tenant");
    bounds.Id(one.tenant_name(), kIdBytesMax, "WaitingRequest.tenant_name", true);
    bounds.Text(one.request(), kTextBytesMax, "WaitingRequest.request");
    CheckRejections(one.rejections(), bounds);
    CheckGaps(one.gaps(), bounds);
  });
}

void CheckRegistered(const messages::Registered& body, Bounds& bounds) {
  bounds.Key(body.server(), "Registered.server");
  bounds.Within(body.keep_us(), std::int64_t{1}, kDurationUsMax, "Registered.keep_us");
  bounds.Each(body.epochs(), kListedMax, "Registered.epochs",
              [&](const messages::SlotEpoch& epoch) { bounds.Id(epoch.slot(), kIdBytesMax, "SlotEpoch.slot"); });
  bounds.Each(body.market_keys(), 16, "Registered.market_keys",
              [&](const Bounds::String& key) { bounds.Key(&key, "Registered.market_keys"); });
}

void CheckBody(const messages::Reply& reply, Bounds& bounds) {
  if (reply.body() == nullptr) return bounds.Fail("Reply.body", "is missing");
  switch (reply.body_type()) {
    case ReplyBody::Greeting:
      bounds.Key(reply.body_as_Greeting()->market(), "Greeting.market", true);
      bounds.Id(reply.body_as_Greeting()->name(), kIdBytesMax, "Greeting.name", true);
      bounds.Id(reply.body_as_Greeting()->role(), 16, "Greeting.role", true);
      return bounds.Text(reply.body_as_Greeting()->store(), 256, "Greeting.store");
    case ReplyBody::Slots:
      return bounds.Each(reply.body_as_Slots()->slots(), kListedMax, "Slots.slots",
                         [&](const messages::Slot& slot) { CheckSlot(slot, bounds); });
    case ReplyBody::Quotation: return CheckQuotation(*reply.body_as_Quotation(), bounds);
    case ReplyBody::Prices: return CheckPrices(*reply.body_as_Prices(), bounds);
    case ReplyBody::Grants:
      bounds.Each(reply.body_as_Grants()->granted(), scheduler::kSlotsAskedMax, "Grants.granted",
                  [&](const messages::Granted& granted) { CheckGranted(granted, bounds); });
      CheckRejections(reply.body_as_Grants()->rejections(), bounds);
      return CheckGaps(reply.body_as_Grants()->gaps(), bounds);
    case ReplyBody::Granted: return CheckGranted(*reply.body_as_Granted(), bounds);
    case ReplyBody::Done:
      CheckLease(reply.body_as_Done()->lease(), bounds);
      if (reply.body_as_Done()->receipt() != nullptr) Check(*reply.body_as_Done()->receipt(), bounds);
      return;
    case ReplyBody::Leases:
      return bounds.Each(reply.body_as_Leases()->leases(), kListedMax, "Leases.leases",
                         [&](const messages::Lease& lease) { CheckLease(&lease, bounds); });
    case ReplyBody::Account: return CheckAccount(*reply.body_as_Account(), bounds);
    case ReplyBody::Requests: return CheckRequests(*reply.body_as_Requests(), bounds);
    case ReplyBody::Registered: return CheckRegistered(*reply.body_as_Registered(), bounds);
    case ReplyBody::Kept:
      bounds.Within(reply.body_as_Kept()->keep_us(), std::int64_t{1}, kDurationUsMax, "Kept.keep_us");
      return bounds.Each(reply.body_as_Kept()->receipts(), kReceiptsKeptMax, "Kept.receipts",
                         [&](const messages::Receipt& receipt) { Check(receipt, bounds); });
    case ReplyBody::Accounts:
      return bounds.Each(reply.body_as_Accounts()->accounts(), kListedMax, "Accounts.accounts",
                         [&](const messages::Account& account) { CheckAccount(account, bounds); });
    case ReplyBody::StatusReport:
      bounds.Text(reply.body_as_StatusReport()->store(), 256, "StatusReport.store");
      bounds.Text(reply.body_as_StatusReport()->store_warning(), kTextBytesMax, "StatusReport.store_warning");
      bounds.Text(reply.body_as_StatusReport()->trouble(), kTextBytesMax, "StatusReport.trouble");
      return bounds.Text(reply.body_as_StatusReport()->leader(), kTextBytesMax, "StatusReport.leader");
    case ReplyBody::Asks: return Check(*reply.body_as_Asks(), bounds);
    case ReplyBody::Epochs: return Check(*reply.body_as_Epochs(), bounds);
    case ReplyBody::WinningPrice: return Check(*reply.body_as_WinningPrice(), bounds);
    case ReplyBody::Receipt: return Check(*reply.body_as_Receipt(), bounds);
    case ReplyBody::Receipts: return Check(*reply.body_as_Receipts(), bounds);
    case ReplyBody::Reputations: return Check(*reply.body_as_Reputations(), bounds);
    case ReplyBody::LedgerCheckpoint: return Check(*reply.body_as_LedgerCheckpoint(), bounds);
    case ReplyBody::LedgerEntries: return Check(*reply.body_as_LedgerEntries(), bounds);
    case ReplyBody::NONE: break;
  }
  bounds.Fail("Reply.body", "is none that this version knows; use programs of one version");
}

void CheckPush(const messages::Push& push, Bounds& bounds) {
  if (push.body() == nullptr) return bounds.Fail("Push.body", "is missing");
  switch (push.body_type()) {
    case messages::PushBody::EpochRaised:
      bounds.Id(push.body_as_EpochRaised()->slot(), kIdBytesMax, "EpochRaised.slot");
      bounds.Id(push.body_as_EpochRaised()->lease(), kIdBytesMax, "EpochRaised.lease", true);
      return bounds.Text(push.body_as_EpochRaised()->reason(), 256, "EpochRaised.reason");
    case messages::PushBody::Drained: return bounds.Id(push.body_as_Drained()->slot(), kIdBytesMax, "Drained.slot");
    case messages::PushBody::LeaseGranted:
      if (push.body_as_LeaseGranted()->lease() == nullptr) bounds.Fail("LeaseGranted.lease", "is missing");
      return CheckLease(push.body_as_LeaseGranted()->lease(), bounds);
    case messages::PushBody::LeaseShrunk:
      bounds.Id(push.body_as_LeaseShrunk()->lease(), kIdBytesMax, "LeaseShrunk.lease");
      return bounds.Text(push.body_as_LeaseShrunk()->reason(), 256, "LeaseShrunk.reason");
    case messages::PushBody::OrderTaken: return Check(*push.body_as_OrderTaken(), bounds);
    case messages::PushBody::NONE: break;
  }
  bounds.Fail("Push.body", "is none that this version knows; use programs of one version");
}

template <typename Root>
Result<const Root*> Verified(ByteView bytes, std::size_t most) {
  const auto bad = [](const char* what) { return Status(Code::kBadFrame, "market message", what); };
  if (bytes.size() > most) return bad("is longer than a message may be");
  flatbuffers::Verifier verifier(bytes.data(), bytes.size(), 16, kTablesMax);
  if (!verifier.VerifyBuffer<Root>(nullptr)) return bad("does not verify; use programs of one version");
  return flatbuffers::GetRoot<Root>(bytes.data());
}

template <typename T>
Bytes Encode(const T& value) {
  flatbuffers::FlatBufferBuilder builder(1024);
  builder.Finish(T::TableType::Pack(builder, &value));
  return Bytes(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
}

scheduler::Measured ToMeasured(const messages::Measured* measured) {
  return measured == nullptr ? scheduler::Measured{}
                             : scheduler::Measured{measured->mean(), measured->low(), measured->high()};
}
std::unique_ptr<messages::Measured> FromMeasured(const scheduler::Measured& measured) {
  if (measured == scheduler::Measured{}) return nullptr;
  return std::make_unique<messages::Measured>(measured.mean, measured.low, measured.high);
}

}  // namespace

Bytes EncodeRequest(const messages::RequestT& request) { return Encode(request); }

Bytes EncodeReply(const messages::ReplyT& reply) {
  // The members are pointers; these two are borrowed.
  flatbuffers::FlatBufferBuilder builder(1024);
  const auto offset = messages::Reply::Pack(builder, &reply);
  messages::FromMarketBuilder from(builder);
  from.add_reply(offset);
  builder.Finish(from.Finish());
  return Bytes(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
}

Bytes EncodePush(const messages::PushT& push) {
  flatbuffers::FlatBufferBuilder builder(512);
  const auto offset = messages::Push::Pack(builder, &push);
  messages::FromMarketBuilder from(builder);
  from.add_push(offset);
  builder.Finish(from.Finish());
  return Bytes(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
}

Result<messages::RequestT> DecodeRequest(ByteView received) {
  const AlignedBytes aligned(received);
  const ByteView bytes = aligned.view();
  ACCELMESH_ASSIGN_OR_RETURN(const messages::Request* request, Verified<messages::Request>(bytes, kMessageBytesMax));
  Bounds bounds(bytes.size());
  if (request->body() == nullptr) return Status(Code::kBadFrame, "market message.Request.body", "is missing");
  CheckBody(*request, bounds);
  ACCELMESH_RETURN_IF_ERROR(bounds.status());
  messages::RequestT value;
  request->UnPackTo(&value);
  return value;
}

std::uint64_t NumberOfRefused(ByteView bytes) {
  const AlignedBytes aligned(bytes);
  const Result<const messages::Request*> request = Verified<messages::Request>(aligned.view(), kMessageBytesMax);
  return request.ok() ? (*request)->number() : 0;
}

Result<messages::FromMarketT> DecodeFromMarket(ByteView received) {
  const AlignedBytes aligned(received);
  const ByteView bytes = aligned.view();
  ACCELMESH_ASSIGN_OR_RETURN(const messages::FromMarket* message,
                             Verified<messages::FromMarket>(bytes, kReplyBytesMax));
  Bounds bounds(bytes.size());
  if ((message->reply() == nullptr) == (message->push() == nullptr)) {
    return Status(Code::kBadFrame, "market message", "is neither a reply nor a push");
  }
  if (message->reply() != nullptr) {
    bounds.Text(message->reply()->text(), 64 * 1024, "Reply.text");
    bounds.Id(message->reply()->leader(), kEndpointBytesMax * kEndpointsMax, "Reply.leader", true);
    if (message->reply()->body() == nullptr && message->reply()->body_type() != messages::ReplyBody::NONE) {
      return Status(Code::kBadFrame, "market message.Reply.body", "is missing");
    }
    if (message->reply()->body() != nullptr || message->reply()->code() == 0) CheckBody(*message->reply(), bounds);
  } else {
    CheckPush(*message->push(), bounds);
  }
  ACCELMESH_RETURN_IF_ERROR(bounds.status());
  messages::FromMarketT value;
  message->UnPackTo(&value);
  return value;
}

scheduler::Tags ToSchedulerTags(const messages::TagsT& tags) {
  scheduler::Tags result;
  for (const auto& one : tags.throughput) {
    if (one == nullptr || one->operation >= scheduler::kOperations || one->type >= scheduler::kNumberTypes) continue;
    result.operations_per_s[one->operation][one->type] = ToMeasured(one->operations_per_s.get());
  }
  result.memory_bytes_per_s = ToMeasured(tags.memory_bytes_per_s.get());
  result.launch_us = ToMeasured(tags.launch_us.get());
  result.round_trip_us = ToMeasured(tags.round_trip_us.get());
  return result;
}

messages::TagsT ToMessageTags(const scheduler::Tags& tags) {
  messages::TagsT result;
  for (std::size_t operation = 0; operation < scheduler::kOperations; ++operation) {
    for (std::size_t type = 0; type < scheduler::kNumberTypes; ++type) {
      auto measured = FromMeasured(tags.operations_per_s[operation][type]);
      if (measured == nullptr) continue;
      auto one = std::make_unique<messages::ThroughputT>();
      one->operation = static_cast<std::uint8_t>(operation);
      one->type = static_cast<std::uint8_t>(type);
      one->operations_per_s = std::move(measured);
      result.throughput.push_back(std::move(one));
    }
  }
  result.memory_bytes_per_s = FromMeasured(tags.memory_bytes_per_s);
  result.launch_us = FromMeasured(tags.launch_us);
  result.round_trip_us = FromMeasured(tags.round_trip_us);
  return result;
}

scheduler::Slot ToSchedulerSlot(const messages::SlotT& slot) {
  scheduler::Slot result;
  result.id = slot.id;
  result.server = slot.server;
  result.zone = slot.zone;
  result.labels = slot.labels;
  if (slot.tags != nullptr) result.tags = ToSchedulerTags(*slot.tags);
  result.share_milli = slot.share_milli;
  result.share_milli_free = slot.is_reachable ? slot.share_milli_free : 0;
  result.share_milli_step = slot.share_milli_step;
  result.memory_bytes = slot.memory_bytes;
  result.memory_bytes_free = slot.is_reachable ? slot.memory_bytes_free : 0;
  result.notice_us = slot.notice_us;
  result.price_microcredits_per_hour = slot.price_microcredits_per_hour;
  result.is_draining = slot.is_draining;
  return result;
}

std::vector<std::uint8_t> MakeOperationId() {
  std::random_device device;
  std::vector<std::uint8_t> id(kOperationIdBytes);
  const auto ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
  for (std::size_t i = 0; i < id.size(); ++i) {
    id[i] = static_cast<std::uint8_t>(i < kOperationTimeBytes ? ms >> 8 * (kOperationTimeBytes - 1 - i) : device());
  }
  return id;
}

}  // namespace accelmesh::market
