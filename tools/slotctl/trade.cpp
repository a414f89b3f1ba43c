#include "tools/slotctl/trade.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "market/client/orders.h"
#include "protocol/security/lease_file.h"
#include "scheduler/core/plan.h"
#include "scheduler/core/quantity.h"
#include "scheduler/core/request_text.h"
#include "tools/slotctl/show_trade.h"
#include "tools/slotctl/table.h"

namespace accelmesh::slotctl {
namespace {

constexpr char kWhere[] = "slotctl";
constexpr std::int64_t kDealValidMs = 10 * 60 * 1000;
constexpr std::size_t kDealBytesMax = 64 * 1024;

// For its user's eyes only.
Status WriteSecret(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return Status::System(errno, kWhere, path);
  const bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  ::close(file);
  return written ? Status() : Status::System(error, kWhere, path);
}

Result<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return Status(Code::kNotFound, kWhere, path + " cannot be read; name the file of a deal");
  std::string all = std::move(text).str();
  if (all.size() > kDealBytesMax) return Status(Code::kBadFrame, kWhere, path + " is no deal: it is too long");
  return all;
}

Result<std::vector<std::uint8_t>> HexBytes(const Json& json, const char* field) {
  const std::string text = json.value(field, "");
  std::vector<std::uint8_t> bytes(text.size() / 2);
  if (!security::ParseHex(text, bytes).ok()) {
    return Status(Code::kBadFrame, kWhere, std::string(field) + " in the deal is no hexadecimal; make it anew");
  }
  return bytes;
}

// A deal's file: what both sign, and their signatures so far.
Result<messages::PlaceOrderT> ReadDeal(const std::string& path) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Status(Code::kBadFrame, kWhere, path + " is no deal; make one with slotctl deal draft");
  messages::PlaceOrderT placed;
  ACCELMESH_ASSIGN_OR_RETURN(placed.order, HexBytes(json, "order"));
  ACCELMESH_ASSIGN_OR_RETURN(placed.signature, HexBytes(json, "seller_signature"));
  ACCELMESH_ASSIGN_OR_RETURN(placed.counter_signature, HexBytes(json, "buyer_signature"));
  return placed;
}

Status WriteDeal(const std::string& path, const messages::PlaceOrderT& placed) {
  const Json json = {{"order", security::HexOf(placed.order)},
                     {"seller_signature", security::HexOf(placed.signature)},
                     {"buyer_signature", security::HexOf(placed.counter_signature)}};
  return WriteSecret(path, json.dump() + "\n");
}

Result<messages::OrderT> OrderIn(const messages::PlaceOrderT& placed) {
  flatbuffers::Verifier verifier(placed.order.data(), placed.order.size(), 16, 1000);
  if (placed.order.empty() || !verifier.VerifyBuffer<messages::Order>(nullptr)) {
    return Status(Code::kBadFrame, kWhere, "the deal's order does not verify; make it anew");
  }
  messages::OrderT order;
  flatbuffers::GetRoot<messages::Order>(placed.order.data())->UnPackTo(&order);
  return order;
}

std::string TextOf(const messages::OrderT& order) {
  return "lease " + Shown(order.lease) + ", " +
         (order.share_milli == 0 ? "all of it" : std::to_string(order.share_milli) + " of 1000") + ", from " +
         order.owner.substr(0, 16) + " to " + order.counterparty.substr(0, 16) + ", at " +
         scheduler::CreditsText(order.price_microcredits_per_hour) + " credits an hour of a whole device";
}

}  // namespace

Result<Report> WhyOf(Session& session, const std::string& text) {
  ACCELMESH_ASSIGN_OR_RETURN(scheduler::FunctionalRequest request, scheduler::ParseRequest(text));
  WhyAsked asked;
  asked.count = request.count;
  request.count = 1;
  request.topology = scheduler::Topology::kAny;
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply, session.Ask<messages::SlotsT>(messages::ListSlotsT{}));
  std::vector<scheduler::Slot> slots;
  for (const auto& slot : reply.slots) {
    slots.push_back(market::ToSchedulerSlot(*slot));
    slots.back().share_milli_free = slots.back().share_milli;
    slots.back().memory_bytes_free = slots.back().memory_bytes;
    slots.back().price_microcredits_per_hour = 0;
  }
  ACCELMESH_ASSIGN_OR_RETURN(const scheduler::Fragmentation none, scheduler::Fragmentation::Make({}));
  ACCELMESH_ASSIGN_OR_RETURN(const scheduler::Plan plan,
                             scheduler::MakePlan(request, slots, none, scheduler::Preference::kPrice));
  if (plan.assignments.empty()) {
    return Status(Code::kNotFound, kWhere,
                  "no device of this market would do, even with nothing let; slotctl quote says why");
  }
  const scheduler::Candidate& candidate = plan.assignments.front();
  const messages::SlotT& slot = *reply.slots[candidate.slot];
  messages::PriceToWinT ask;
  ask.class_name = slot.backend + "/" + slot.device_name;
  ask.share_milli = candidate.share_milli;
  ask.memory_bytes = request.memory_bytes;
  ask.notice_us = request.notice_us > 0 ? request.notice_us : 30'000'000;
  ACCELMESH_ASSIGN_OR_RETURN(const auto price, session.Ask<messages::WinningPriceT>(messages::PriceToWinT(ask)));
  asked.class_name = ask.class_name;
  asked.share_milli = ask.share_milli;
  return ReportOf(price, asked);
}

Status DraftDeal(Session& session, const DealDraft& draft, const std::string& file) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::int64_t price, scheduler::ParseCredits(draft.price));
  ACCELMESH_ASSIGN_OR_RETURN(const security::CurvePair holder, security::NewCurvePair());
  // The market's own key is what it greets with.
  ACCELMESH_RETURN_IF_ERROR(session.Ask<messages::AccountT>(messages::GetAccountT{}).status());
  messages::OrderT order;
  order.kind = messages::OrderKind::Deal;
  order.market = session.greeting().market;
  order.owner = draft.seller;
  order.counterparty = security::HexOf(session.key().public_key().bytes);
  order.operation_id = market::MakeOperationId();
  order.valid_until_ms = NowMs() + kDealValidMs;
  order.lease = draft.lease;
  order.share_milli = draft.share_milli;
  order.price_microcredits_per_hour = price;
  order.notice_us = draft.notice_us;
  order.holder_key.assign(holder.key.bytes.begin(), holder.key.bytes.end());
  messages::PlaceOrderT placed = market::SignOrder(order, session.key());
  // Signed as the buyer; the seller's is to come.
  placed.counter_signature = std::move(placed.signature);
  placed.signature.clear();
  ACCELMESH_RETURN_IF_ERROR(WriteSecret(file + ".holder", security::HexOf(holder.secret.bytes) + "\n"));
  return WriteDeal(file, placed);
}

Status SignDeal(Session& session, const std::string& file) {
  ACCELMESH_ASSIGN_OR_RETURN(messages::PlaceOrderT placed, ReadDeal(file));
  ACCELMESH_ASSIGN_OR_RETURN(const messages::OrderT order, OrderIn(placed));
  const std::string self = security::HexOf(session.key().public_key().bytes);
  const security::Signature signature = market::SignOrderBytes(placed.order, session.key());
  if (order.owner == self) placed.signature.assign(signature.begin(), signature.end());
  if (order.counterparty == self) placed.counter_signature.assign(signature.begin(), signature.end());
  if (order.owner != self && order.counterparty != self) {
    return {Code::kPermissionDenied, kWhere, "the deal is between others (" + TextOf(order) + "); give --identity"};
  }
  return WriteDeal(file, placed);
}

Result<Report> RecordDeal(Session& session, const std::string& file) {
  ACCELMESH_ASSIGN_OR_RETURN(messages::PlaceOrderT placed, ReadDeal(file));
  ACCELMESH_ASSIGN_OR_RETURN(const messages::OrderT order, OrderIn(placed));
  const bool is_buyer = order.counterparty == security::HexOf(session.key().public_key().bytes);
  Report report;
  if (!is_buyer) {
    ACCELMESH_ASSIGN_OR_RETURN(const auto done, session.Ask<messages::DoneT>(std::move(placed)));
    const std::string lease = done.lease != nullptr ? done.lease->id : "";
    report.text = "recorded: " + TextOf(order) + "; the buyer's is lease " + Shown(lease) + "\n";
    report.json = {{"lease", lease}};
    return report;
  }
  ACCELMESH_ASSIGN_OR_RETURN(const auto grants, session.Ask<messages::GrantsT>(std::move(placed)));
  if (grants.granted.empty() || grants.granted.front()->lease == nullptr) {
    return Status(Code::kBadFrame, kWhere, "the market recorded the deal and named no lease; ask again");
  }
  const messages::GrantedT& granted = *grants.granted.front();
  security::LeaseFile lease;
  lease.endpoints = granted.endpoints;
  lease.lease = granted.lease->id;
  lease.not_after_ms = granted.lease->not_after_ms;
  lease.token.assign(granted.token.begin(), granted.token.end());
  if (granted.server_curve_key.size() == lease.server_key.bytes.size()) {
    std::copy(granted.server_curve_key.begin(), granted.server_curve_key.end(), lease.server_key.bytes.begin());
  }
  ACCELMESH_ASSIGN_OR_RETURN(const std::string secret, ReadText(file + ".holder"));
  if (order.holder_key.size() == lease.holder.key.bytes.size()) {
    std::copy(order.holder_key.begin(), order.holder_key.end(), lease.holder.key.bytes.begin());
  }
  ACCELMESH_RETURN_IF_ERROR(
      security::ParseHex(std::string_view(secret).substr(0, secret.find('\n')), lease.holder.secret.bytes));
  ACCELMESH_RETURN_IF_ERROR(security::WriteLeaseFile(file + ".lease", lease));
  report.text = "recorded: " + TextOf(order) + "; lease " + Shown(lease.lease) + " is in " + file +
                ".lease: start a program with ACCELMESH_LEASE naming it\n";
  report.json = {{"lease", lease.lease}, {"file", file + ".lease"}};
  return report;
}

}  // namespace accelmesh::slotctl
