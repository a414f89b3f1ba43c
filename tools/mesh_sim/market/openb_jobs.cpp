// openb's tasks as jobs: shares of one GPU and few gangs, one class of GPU; and a twin of them.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "tools/mesh_sim/csv.h"
#include "tools/mesh_sim/market/jobs.h"
#include "tools/mesh_sim/packed_text.h"
#include "tools/mesh_sim/workload.h"

namespace accelmesh::sim {
namespace {

constexpr std::uint32_t kTenants = 15;
// Before, the list has some tasks a week; from here, two hundred a day.
constexpr std::uint32_t kFromSecond = 114 * 86400;

struct Share {
  std::uint32_t count, gpus, share_milli;
};
// As the list has them.
constexpr Share kShares[] = {{3911, 1, 1000}, {16, 2, 1000}, {15, 4, 1000}, {44, 8, 1000}, {1078, 1, 810},
                             {750, 1, 470},   {328, 1, 320}, {253, 1, 650}, {140, 1, 230}, {128, 1, 460},
                             {75, 1, 590},    {74, 1, 160},  {72, 1, 550},  {180, 1, 200}};
// Hours between creation and deletion, at these parts of all tasks.
constexpr std::array<double, 9> kProbabilities = {0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1};
constexpr std::array<double, 9> kHours = {0.003, 0.012, 0.049, 0.151, 0.553, 1.739, 4.083, 31.677, 800};

std::uint32_t KindOf(const JobSpec& job) { return job.gpus * 1024 + job.share_milli; }

JobSpec Make(std::uint32_t tenant, double at_s, std::uint32_t gpus, std::uint32_t share_milli, double hours) {
  JobSpec job;
  job.tenant = tenant;
  job.arrival_ms = static_cast<std::int64_t>(at_s * 1000);
  job.gpus = gpus;
  job.share_milli = share_milli;
  job.hours[kClasses - 1] = hours;
  job.kind = KindOf(job);
  return job;
}

void Finish(JobWorkload& workload) {
  for (std::uint32_t i = 0; i < kTenants; ++i) workload.tenants.push_back("tenant" + std::to_string(i));
  SortByArrival(workload.jobs);
}

bool Parse(std::string_view text, std::uint32_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<JobWorkload> ReadOpenbJobs(const std::string& folder, std::uint64_t seed) {
  const std::string path = folder + "/openb_pod_list_default.csv";
  ACCELMESH_ASSIGN_OR_RETURN(const std::string text, ReadPackedText(path));
  JobWorkload workload{"openb", {}, {}};
  std::mt19937_64 random(seed);
  const Status status =
      EachRow(text, path, {"num_gpu", "gpu_milli", "creation_time", "deletion_time"},
              [&](std::size_t line, const std::vector<std::string_view>& values) {
                std::uint32_t gpus = 0, share = 0, created = 0, deleted = 0;
                if (!Parse(values[0], gpus) || !Parse(values[1], share) || gpus > 16 || share > 1000) {
                  return BadLine(path, line, "no numbers of GPUs and thousandths of one");
                }
                // Tasks without GPUs, and those that were never deleted, are not jobs.
                if (gpus == 0 || share == 0 || !Parse(values[2], created) || !Parse(values[3], deleted))
                  return Status::Ok();
                if (created < kFromSecond || deleted <= created) return Status::Ok();
                workload.jobs.push_back(Make(static_cast<std::uint32_t>(Below(random, kTenants)), created - kFromSecond,
                                             gpus, share, (deleted - created) / 3600.0));
                return Status::Ok();
              });
  ACCELMESH_RETURN_IF_ERROR(status);
  if (workload.jobs.empty()) return BadLine(path, 1, "no jobs in it");
  Finish(workload);
  return workload;
}

JobWorkload MakeOpenbTwin(std::uint64_t seed) {
  JobWorkload workload{"openb-twin", {}, {}};
  std::mt19937_64 random(seed);
  for (const Share& share : kShares) {
    for (std::uint32_t i = 0; i < share.count; ++i) {
      const double rank = Uniform(random);
      std::size_t at = 1;
      while (at + 1 < kProbabilities.size() && kProbabilities[at] < rank) ++at;
      const double part = (rank - kProbabilities[at - 1]) / (kProbabilities[at] - kProbabilities[at - 1]);
      const double hours = std::exp(std::log(kHours[at - 1]) * (1 - part) + std::log(kHours[at]) * part);
      workload.jobs.push_back(Make(static_cast<std::uint32_t>(Below(random, kTenants)), Uniform(random) * 35 * 86400,
                                   share.gpus, share.share_milli, hours));
    }
  }
  Finish(workload);
  return workload;
}

}  // namespace accelmesh::sim
