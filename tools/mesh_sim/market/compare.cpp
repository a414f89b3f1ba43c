#include "tools/mesh_sim/market/compare.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>

#include "tools/mesh_sim/market/parallel.h"

namespace accelmesh::sim {
namespace {

namespace fs = std::filesystem;

std::string FileOf(const ResultKey& key) {
  return key.variant + "-" + std::to_string(key.gpus) + "-" + key.policy + "-" + std::to_string(key.seed) + ".json";
}

}  // namespace

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Status ClaimFolder(const std::string& name, const JobWorkload& workload) {
  const fs::path folder(name);
  std::error_code error;
  fs::create_directories(folder / "runs", error);
  if (error) {
    return {Code::kSystem, "RunPlan", folder.string() + " cannot be made: " + error.message() + "; name another"};
  }
  const std::string mark = "model " + std::to_string(kModelVersion) + ", " + workload.name + ", " +
                           std::to_string(workload.jobs.size()) + " jobs\n";
  const std::string there = ReadAll((folder / "model.txt").string());
  if (there.empty()) return WriteWhole((folder / "model.txt").string(), mark);
  if (there == mark) return Status::Ok();
  return {Code::kInvalidArgument, "RunPlan",
          folder.string() + " holds results of another model or workload (" + there.substr(0, there.find('\n')) +
              "); name another folder"};
}

Status WriteWhole(const std::string& path, const std::string& bytes) {
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::binary);
  file << bytes;
  file.close();
  std::error_code error;
  if (file) fs::rename(part, path, error);
  if (!file || error) return {Code::kSystem, "WriteWhole", path + " cannot be written; is there room?"};
  return Status::Ok();
}

Result<Results> RunPlan(const Plan& plan, const JobWorkload& workload, const std::string& folder,
                        const Progress& progress) {
  ACCELMESH_RETURN_IF_ERROR(ClaimFolder(folder, workload));
  std::vector<std::pair<ResultKey, const Variant*>> todo;
  Results results;
  for (std::uint64_t seed = 1; seed <= plan.seeds; ++seed) {  // whole seeds first: a stop leaves even numbers of each
    for (const Variant& variant : plan.variants) {
      for (const std::uint32_t gpus : plan.loads) {
        for (const std::string& policy : plan.policies) {
          const ResultKey key{variant.name, gpus, policy, seed};
          if (std::optional<Measures> measures =
                  MeasuresOf(ReadAll((fs::path(folder) / "runs" / FileOf(key)).string()))) {
            results.emplace(key, std::move(*measures));
          } else {
            todo.emplace_back(key, &variant);
          }
        }
      }
    }
  }
  const std::size_t all = results.size() + todo.size();
  if (progress && !results.empty()) progress(results.size(), all, "read from earlier runs");
  std::mutex mutex;
  const Status status = Parallel(todo.size(), plan.threads, [&](std::size_t i) -> Status {
    const auto& [key, variant] = todo[i];
    RunSetup setup;
    setup.policy = key.policy;
    setup.gpus = GpusOf(workload, key.gpus);
    setup.values = variant->values;
    setup.seed = key.seed;
    ACCELMESH_ASSIGN_OR_RETURN(Measures measures, RunOne(workload, setup));
    ACCELMESH_RETURN_IF_ERROR(WriteWhole((fs::path(folder) / "runs" / FileOf(key)).string(), JsonOf(measures)));
    const std::lock_guard lock(mutex);
    results.emplace(key, std::move(measures));
    if (progress) progress(results.size(), all, FileOf(key));
    return Status::Ok();
  });
  ACCELMESH_RETURN_IF_ERROR(status);
  return results;
}

}  // namespace accelmesh::sim
