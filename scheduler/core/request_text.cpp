#include "scheduler/core/request_text.h"

#include <algorithm>

#include "scheduler/core/quantity.h"

namespace accelmesh::scheduler {
namespace {

constexpr const char* kExample = "write a request like \"0.05 TOPS fp32, 1GiB, within 5ms, duration=10m, max-price=3\"";

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// A bounded part of a text, with nothing in it that a terminal would obey.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text.substr(0, 80)) quoted += c >= ' ' && c <= '~' ? c : '?';
  return quoted + (text.size() > 80 ? "...\"" : "\"");
}

Status Bad(std::string_view field, const std::string& text) {
  return {Code::kInvalidArgument, "FunctionalRequest." + std::string(field.substr(0, 32)), text};
}

// The text of a Status of a quantity, under the name of the field that it is for.
Status Renamed(std::string_view field, const Status& status) { return Bad(field, status.text()); }

// Takes the last word off a text.
std::string_view TakeLastWord(std::string_view& text) {
  const std::size_t space = text.rfind(' ');
  const std::size_t begin = space == std::string_view::npos ? 0 : space + 1;
  const std::string_view word = text.substr(begin);
  text = Trimmed(text.substr(0, begin));
  return word;
}

Result<ThroughputDemand> ParseDemand(std::string_view text) {
  ThroughputDemand demand;
  std::string_view rest = Trimmed(text);
  std::string_view left = rest;
  std::string_view word = TakeLastWord(left);
  if (const auto operation = FindOperation(word)) {
    demand.operation = *operation;
    rest = left;
    word = TakeLastWord(left);
  }
  if (const auto type = FindNumberType(word)) {
    demand.type = *type;
    rest = left;
  }
  const Result<double> rate = ParseOperationsPerSecond(rest);
  if (!rate.ok()) {
    return Bad("throughput",
               rate.status().text() + ", then int8, fp16, bf16, fp32 or fp64, then matmul or convolution if you like");
  }
  demand.operations_per_s = *rate;
  return demand;
}

Result<Topology> ParseTopology(std::string_view text) {
  for (const Topology topology : {Topology::kAny, Topology::kServer, Topology::kZone, Topology::kSpread}) {
    if (text == Name(topology)) return topology;
  }
  return Bad("topology", Quoted(text) + " is none; there are any, server, zone and spread");
}

Status SetName(std::string& name, std::string_view field, std::string_view value) {
  if (!IsName(value)) {
    return Bad(field, Quoted(value) + " is no name; it has up to 64 letters, digits, '-', '_', '.', '=' and ':'");
  }
  name = value;
  return Status::Ok();
}

// Stores a parsed value, or says what was wrong with its text.
template <typename T>
Status Store(T& target, std::string_view field, const Result<T>& value) {
  if (!value.ok()) return Renamed(field, value.status());
  if (target != T{}) return Bad(field, "is set twice; keep one");
  if (*value == T{}) return Bad(field, "is 0; leave it out, or write more than that");
  target = *value;
  return Status::Ok();
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// A part without a field's name.
Status SetByUnit(FunctionalRequest& request, std::string_view part) {
  if (Contains(part, "OPS")) return SetField(request, "throughput", part);
  if (part.substr(0, 7) == "within ") return SetField(request, "latency", part.substr(7));
  if (EndsWith(part, " slots")) return SetField(request, "slots", part.substr(0, part.size() - 6));
  if (EndsWith(part, " slot")) return SetField(request, "slots", part.substr(0, part.size() - 5));
  if (EndsWith(part, "B/s")) return SetField(request, "bandwidth", part);
  if (EndsWith(part, "B")) return SetField(request, "memory", part);
  return Bad("text", Quoted(part) + " is nothing that can be asked for; " + kExample);
}

}  // namespace

Status SetField(FunctionalRequest& request, std::string_view field, std::string_view value) {
  field = Trimmed(field);
  value = Trimmed(value);
  if (value.size() > kRequestTextBytesMax) return Bad(field, "is longer than 4096 characters; leave most of it out");
  if (field == "throughput") {
    ACCELMESH_ASSIGN_OR_RETURN(const ThroughputDemand demand, ParseDemand(value));
    if (request.throughput.size() >= kDemandsMax) {
      return Bad(field, "more than " + std::to_string(kDemandsMax) + " demands; leave out the smaller of each kind");
    }
    request.throughput.push_back(demand);
    return Status::Ok();
  }
  if (field == "memory") return Store(request.memory_bytes, field, ParseBytes(value));
  if (field == "bandwidth") return Store(request.memory_bytes_per_s, field, ParseBytesPerSecond(value));
  if (field == "latency") return Store(request.latency_us, field, ParseDurationUs(value));
  if (field == "duration") return Store(request.duration_us, field, ParseDurationUs(value));
  if (field == "deadline") return Store(request.deadline_us, field, ParseDurationUs(value));
  if (field == "notice") return Store(request.notice_us, field, ParseDurationUs(value));
  if (field == "budget") return Store(request.budget_microcredits, field, ParseCredits(value));
  if (field == "max-price") return Store(request.price_microcredits_per_hour, field, ParseCredits(value));
  if (field == "slots") {
    const Result<std::uint32_t> count = ParseCount(value, kSlotsAskedMax);
    if (!count.ok()) return Renamed(field, count.status());
    if (request.count != 1) return Bad(field, "is set twice; keep one");
    request.count = *count;
    return Status::Ok();
  }
  if (field == "topology") return Store(request.topology, field, ParseTopology(value));
  if (field == "zone") {
    if (!request.zone.empty()) return Bad(field, "is set twice; keep one");
    return SetName(request.zone, field, value);
  }
  if (field == "label") {
    if (request.labels.size() >= kLabelsMax) {
      return Bad(field, "more than " + std::to_string(kLabelsMax) + " labels; leave some out");
    }
    std::string label;
    ACCELMESH_RETURN_IF_ERROR(SetName(label, field, value));
    request.labels.push_back(std::move(label));
    return Status::Ok();
  }
  return Bad("text",
             Quoted(field) +
                 " is no field; there are throughput, memory, bandwidth, latency, slots, topology, zone, label, "
                 "duration, deadline, notice, budget and max-price");
}

Result<FunctionalRequest> ParseRequest(std::string_view text) {
  if (text.size() > kRequestTextBytesMax) {
    return Bad("text", "is longer than " + std::to_string(kRequestTextBytesMax) + " characters; " + kExample);
  }
  FunctionalRequest request;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = Trimmed(text.substr(0, comma));
    if (part.empty()) return Bad("text", std::string("a part is empty; ") + kExample);
    const std::size_t equals = part.find('=');
    ACCELMESH_RETURN_IF_ERROR(equals == std::string_view::npos
                                  ? SetByUnit(request, part)
                                  : SetField(request, part.substr(0, equals), part.substr(equals + 1)));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  ACCELMESH_RETURN_IF_ERROR(Validate(request));
  return request;
}

std::string ToText(const FunctionalRequest& request) {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (const ThroughputDemand& demand : request.throughput) {
    add(OperationsPerSecondText(demand.operations_per_s) + " " + std::string(Name(demand.type)) + " " +
        std::string(Name(demand.operation)));
  }
  if (request.memory_bytes != 0) add(BytesText(request.memory_bytes));
  if (request.memory_bytes_per_s != 0) add("bandwidth=" + BytesPerSecondText(request.memory_bytes_per_s));
  if (request.latency_us != 0) add("latency=" + DurationText(request.latency_us));
  if (request.count != 1 || text.empty()) add("slots=" + std::to_string(request.count));
  if (request.topology != Topology::kAny) add("topology=" + std::string(Name(request.topology)));
  if (!request.zone.empty()) add("zone=" + request.zone);
  for (const std::string& label : request.labels) add("label=" + label);
  if (request.duration_us != 0) add("duration=" + DurationText(request.duration_us));
  if (request.deadline_us != 0) add("deadline=" + DurationText(request.deadline_us));
  if (request.notice_us != 0) add("notice=" + DurationText(request.notice_us));
  if (request.budget_microcredits != 0) add("budget=" + CreditsText(request.budget_microcredits));
  if (request.price_microcredits_per_hour != 0) add("max-price=" + CreditsText(request.price_microcredits_per_hour));
  return text;
}

}  // namespace accelmesh::scheduler
