#include "server/main/offer.h"

#include <algorithm>
#include <cmath>

namespace accelmesh {
namespace {

namespace messages = market::messages;

constexpr double kMicrocredits = 1e6;
constexpr double kPriceMax = 1e6;          // credits an hour
constexpr double kNoticeMax = 30 * 86400;  // seconds
constexpr std::uint32_t kFineStep = 10;    // thousandths
constexpr std::size_t kNameBytesMax = 32;
constexpr const char* kWhere = "gpu-server";

bool IsName(const std::string& text) {
  return !text.empty() && text.size() <= kNameBytesMax && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

std::uint32_t ShareOf(const OfferOptions& options) {
  return static_cast<std::uint32_t>(std::lround(options.sell_share * scheduler::kWholeMilli));
}

std::unique_ptr<wire::market::Measured> ToMessage(const measure::Interval& interval) {
  if (!interval.known()) return nullptr;
  return std::make_unique<wire::market::Measured>(interval.mean, interval.low, interval.high);
}

std::unique_ptr<messages::TagsT> TagsOf(const measure::Report& report, const measure::Interval& round_trip_us) {
  auto tags = std::make_unique<messages::TagsT>();
  for (const measure::Throughput& entry : report.throughput) {
    const auto operation = scheduler::FindOperation(entry.operation);
    const auto type = scheduler::FindNumberType(entry.type);
    if (!operation.has_value() || !type.has_value()) continue;
    auto throughput = std::make_unique<messages::ThroughputT>();
    throughput->operation = static_cast<std::uint8_t>(*operation);
    throughput->type = static_cast<std::uint8_t>(*type);
    throughput->operations_per_s = ToMessage(entry.operations_per_s);
    throughput->via = entry.via;
    tags->throughput.push_back(std::move(throughput));
  }
  tags->memory_bytes_per_s = ToMessage(report.memory_bytes_per_s);
  tags->launch_us = ToMessage(report.launch_us);
  tags->round_trip_us = ToMessage(round_trip_us);
  return tags;
}

bool Take(const measure::Interval& later, measure::Interval* now) {
  if (!later.known() || (now->known() && now->Overlaps(later))) return false;
  *now = later;
  return true;
}

}  // namespace

Status CheckOffer(const OfferOptions& options, const std::string& backend) {
  const auto wrong = [](const std::string& text) { return Status(Code::kInvalidArgument, kWhere, text); };
  if (!IsName(options.name))
    return wrong("--server-name \"" + options.name +
                 "\" is no name; it has 1 to 32 letters, digits, '-', '_' or '.', such as desk-1");
  if (!options.zone.empty() && !IsName(options.zone))
    return wrong("--zone \"" + options.zone + "\" is no name; it looks like lab-2");
  for (const std::string& label : options.labels) {
    if (!IsName(label)) return wrong("--label \"" + label + "\" is no name; it looks like quiet");
  }
  if (!(options.price_credits_per_hour >= 0 && options.price_credits_per_hour <= kPriceMax))
    return wrong("--price is credits an hour of a whole device, 0 to 1000000, such as 2.5");
  if (!(options.notice_s >= 0 && options.notice_s <= kNoticeMax))
    return wrong("--notice is seconds, 0 to 2592000, such as 60");
  if (!(options.sell_share >= 0.001 && options.sell_share <= 1))
    return wrong("--sell-share is a part of the device, 0.001 to 1, such as 0.30");
  if (backend != "cpu" && ShareOf(options) != scheduler::kWholeMilli)
    return {Code::kUnsupported, kWhere,
            "the " + backend + " backend does not share its time out; sell the whole device (--sell-share 1)"};
  return {};
}

messages::RegisterServerT MakeOffer(const OfferOptions& options, const measure::Report& report,
                                    const std::vector<std::string>& endpoints, const measure::Interval& round_trip_us) {
  messages::RegisterServerT offer;
  offer.name = options.name;
  offer.endpoints = endpoints;
  auto slot = std::make_unique<messages::SlotT>();
  slot->id = options.name + "/0";
  slot->server_name = options.name;
  slot->device = 0;
  slot->device_name = report.identity.device;
  slot->backend = report.identity.backend;
  slot->zone = options.zone;
  slot->labels = options.labels;
  slot->tags = TagsOf(report, round_trip_us);
  slot->share_milli = ShareOf(options);
  // Where time is not shared out, the slot is let as a whole only.
  const std::uint32_t fine = slot->share_milli % kFineStep == 0 ? kFineStep : 1;
  slot->share_milli_step = report.identity.backend == "cpu" ? fine : slot->share_milli;
  slot->memory_bytes = report.memory_bytes / scheduler::kWholeMilli * slot->share_milli;
  slot->notice_us = static_cast<std::int64_t>(options.notice_s * 1e6);
  slot->reserve_price_microcredits_per_hour =
      static_cast<std::int64_t>(std::ceil(options.price_credits_per_hour * kMicrocredits));
  offer.slots.push_back(std::move(slot));
  return offer;
}

bool TakeChanges(const measure::Report& later, measure::Report* report) {
  bool has_changed = false;
  for (const measure::Throughput& entry : later.throughput) {
    for (measure::Throughput& known : report->throughput) {
      if (known.operation == entry.operation && known.type == entry.type && known.via == entry.via)
        has_changed |= Take(entry.operations_per_s, &known.operations_per_s);
    }
  }
  has_changed |= Take(later.memory_bytes_per_s, &report->memory_bytes_per_s);
  has_changed |= Take(later.launch_us, &report->launch_us);
  return has_changed;
}

}  // namespace accelmesh
