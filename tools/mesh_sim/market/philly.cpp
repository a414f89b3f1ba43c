#include "tools/mesh_sim/market/philly.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "tools/mesh_sim/packed_text.h"

namespace accelmesh::sim {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::uint32_t kScaleMax = 1024;

Status Bad(const std::string& file, const std::string& text) {
  return {Code::kInvalidArgument, "ReadPhilly", file + ": " + text};
}

// "('ResNet-18 (batch size 16)', 4)" to its type and scale factor.
bool SplitKey(const std::string& key, std::string& type, std::uint32_t& scale) {
  const std::size_t end = key.rfind("', ");
  if (key.size() < 6 || key.compare(0, 2, "('") != 0 || end == std::string::npos || key.back() != ')') return false;
  type = key.substr(2, end - 2);
  const char* const last = key.data() + key.size() - 1;
  const auto [at, error] = std::from_chars(key.data() + end + 3, last, scale);
  return error == std::errc() && at == last && scale > 0 && scale <= kScaleMax;
}

template <typename Number>
bool Parse(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

ByClass Throughputs::Of(const std::string& type, std::uint32_t scale) const {
  if (const auto at = steps_per_s.find({type, scale}); at != steps_per_s.end()) return at->second;
  ByClass speeds{};
  if (const auto one = steps_per_s.find({type, 1}); one != steps_per_s.end()) {
    for (std::size_t c = 0; c < kClasses; ++c) speeds[c] = one->second[c] * scale;
  }
  return speeds;
}

Result<Throughputs> ParseThroughputs(std::string_view json, const std::string& file) {
  const nlohmann::json root = nlohmann::json::parse(json, nullptr, false);
  if (!root.is_object()) return Bad(file, "no JSON object; is this the right file?");
  constexpr std::array<const char*, kClasses> kNames = {"k80", "p100", "v100"};
  Throughputs throughputs;
  for (std::size_t c = 0; c < kClasses; ++c) {
    const auto of_class = root.find(kNames[c]);
    if (of_class == root.end() || !of_class->is_object()) return Bad(file, std::string("no entry ") + kNames[c]);
    for (const auto& [key, value] : of_class->items()) {
      std::string type;
      std::uint32_t scale = 0;
      if (!SplitKey(key, type, scale)) return Bad(file, "what is " + key.substr(0, 60) + "?");
      if (!value.is_object()) return Bad(file, key + " has no rate");
      const auto alone = value.find("null");
      if (alone == value.end() || !alone->is_number()) return Bad(file, key + " has no rate");
      const double rate = alone->get<double>();
      if (!(rate >= 0 && rate < 1e9)) return Bad(file, key + " has an impossible rate");
      throughputs.steps_per_s[{type, scale}][c] = rate;
    }
  }
  return throughputs;
}

Result<std::vector<std::pair<std::string, std::string_view>>> FilesOfTar(std::string_view tar,
                                                                         const std::string& file) {
  std::vector<std::pair<std::string, std::string_view>> files;
  for (std::size_t at = 0; at + kBlock <= tar.size();) {
    const std::string_view header = tar.substr(at, kBlock);
    if (header[0] == '\0') break;  // the end: blocks of zeros
    if (header.substr(257, 5) != "ustar") return Bad(file, "no tar archive");
    const std::string_view name = header.substr(0, std::min<std::size_t>(header.find('\0'), 100));
    std::uint64_t size = 0;
    const std::string_view digits = header.substr(124, 11);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size, 8);
    at += kBlock;
    if (error != std::errc() || end == digits.data() || size > tar.size() - at) return Bad(file, "a truncated archive");
    if (header[156] == '0' || header[156] == '\0') {
      files.emplace_back(name.substr(name.rfind('/') + 1), tar.substr(at, size));
    }
    at += (size + kBlock - 1) / kBlock * kBlock;
  }
  return files;
}

Status ParsePhillyTenant(std::string_view text, const std::string& tenant, const Throughputs& throughputs,
                         std::map<std::pair<std::string, std::uint32_t>, std::uint32_t>& kinds, JobWorkload& workload) {
  const auto index = static_cast<std::uint32_t>(workload.tenants.size());
  workload.tenants.push_back(tenant);
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    const std::string where = tenant + ":" + std::to_string(number);
    std::array<std::string_view, 4> fields;
    std::size_t count = 0;
    for (std::string_view rest = line; count < fields.size(); ++count) {
      const std::size_t tab = rest.find('\t');
      fields[count] = rest.substr(0, tab);
      if (tab == std::string_view::npos) {
        ++count;
        break;
      }
      rest.remove_prefix(tab + 1);
    }
    JobSpec job;
    job.tenant = index;
    double steps = 0;
    double arrival_s = 0;
    if (count != 4 || !Parse(fields[1], steps) || !Parse(fields[2], arrival_s) || !Parse(fields[3], job.gpus) ||
        !(steps > 0 && steps < 1e15) || !(arrival_s >= 0 && arrival_s < 1e9) || job.gpus == 0 || job.gpus > kScaleMax) {
      return Bad(where, "not a job type, steps, arrival and scale factor");
    }
    const std::string type(fields[0]);
    const ByClass rates = throughputs.Of(type, job.gpus);
    if (rates[kClasses - 1] <= 0) return Bad(where, "no throughput of " + type + " on a V100");
    for (std::size_t c = 0; c < kClasses; ++c) job.hours[c] = rates[c] > 0 ? steps / rates[c] / 3600 : 0;
    job.arrival_ms = static_cast<std::int64_t>(arrival_s * 1000);
    job.kind = kinds.try_emplace({type, job.gpus}, static_cast<std::uint32_t>(kinds.size())).first->second;
    workload.jobs.push_back(job);
  }
  return Status::Ok();
}

Result<JobWorkload> ReadPhilly(const std::string& folder) {
  const std::string trace_path = folder + "/gavel-philly-seed0.tar";
  const std::string rates_path = folder + "/gavel-throughputs.json";
  ACCELMESH_ASSIGN_OR_RETURN(const std::string rates_text, ReadPackedText(rates_path));
  ACCELMESH_ASSIGN_OR_RETURN(const std::string tar, ReadPackedText(trace_path));
  ACCELMESH_ASSIGN_OR_RETURN(const Throughputs throughputs, ParseThroughputs(rates_text, rates_path));
  ACCELMESH_ASSIGN_OR_RETURN(auto files, FilesOfTar(tar, trace_path));
  std::sort(files.begin(), files.end());
  JobWorkload workload{"philly", {}, {}};
  std::map<std::pair<std::string, std::uint32_t>, std::uint32_t> kinds;
  for (const auto& [name, text] : files) {
    if (name.size() < 5 || name.compare(name.size() - 4, 4, ".tsv") != 0) continue;
    ACCELMESH_RETURN_IF_ERROR(ParsePhillyTenant(text, name.substr(0, name.size() - 4), throughputs, kinds, workload));
  }
  if (workload.jobs.empty()) return Bad(trace_path, "no jobs in it");
  SortByArrival(workload.jobs);
  return workload;
}

}  // namespace accelmesh::sim
