// differ: random PTX programs on the tiers of the software GPU, next to a plain reference of what they mean.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>

#include "protocol/base/clock.h"
#include "protocol/base/mutex.h"
#include "tests/differential/compare.h"
#include "tests/differential/generator.h"
#include "tests/differential/operations.h"
#include "tests/differential/writer.h"

namespace accelmesh::differential {
namespace {

constexpr int kDiffers = 1;
constexpr int kUsage = 2;
constexpr auto kProgressEvery = std::chrono::seconds(2);

constexpr const char* kFooter =
    R"(Program number i has seed S + i. Compiling takes far longer than all else: tier 1 is better off with few statements. A program that differs is made small, and its PTX is written to the folder of --out.

Exit status: 0 if nothing differs, 1 if something does, 2 if the command line is wrong.

Example: differ --seed 1 --programs 1000)";

struct Settings {
  std::uint64_t seed = 1;
  std::uint64_t programs = 1000;
  unsigned jobs = 1;
  std::uint32_t statements = kStatementsMax;
  bool keep_going = false;
  std::string on = "both";
  std::string out = ".";
  std::string compiler;
  bool print = false;
  std::vector<Tier> tiers() const {
    if (on == "tier0") return {Tier::k0};
    if (on == "tier1") return {Tier::k1};
    return {Tier::k0, Tier::k1};
  }
};

class Runner {
 public:
  explicit Runner(const Settings& settings) : settings_(settings), begin_(Clock::now()), said_(begin_) {}

  int Run() {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < settings_.jobs; ++i) threads.emplace_back([this] { Work(); });
    for (std::thread& thread : threads) thread.join();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    std::printf("differ: %llu programs of seeds %llu to %llu on %s, %llu statements, %.1f s: %llu differ",
                static_cast<unsigned long long>(done_), static_cast<unsigned long long>(settings_.seed),
                static_cast<unsigned long long>(settings_.seed + settings_.programs - 1), settings_.on.c_str(),
                static_cast<unsigned long long>(statements_), seconds, static_cast<unsigned long long>(different_));
    if (too_large_ > 0) std::printf(", %llu too large for tier 1", static_cast<unsigned long long>(too_large_));
    std::printf("\n");
    return different_ > 0 ? kDiffers : 0;
  }

 private:
  void Work() {
    Device device(settings_.compiler);
    while (settings_.keep_going || different_ == 0) {
      const std::uint64_t i = next_++;
      if (i >= settings_.programs) return;
      const Program program = Generate(settings_.seed + i, settings_.statements);
      const Comparison comparison = Compare(program, settings_.tiers(), device);
      if (comparison.difference) Report(program, *comparison.difference, device);
      Used used;
      FindUsed(program.body, &used);
      statements_ += used.statements;
      too_large_ += comparison.too_large ? 1 : 0;
      ++done_;
      SayProgress();
    }
  }
  void Report(const Program& program, const Difference& difference, Device& device) {
    ++different_;
    const Program small = Shrink(program, [&](const Program& candidate) {
      return Compare(candidate, {difference.tier}, device).difference.has_value();
    });
    const Comparison last = Compare(small, {difference.tier}, device);
    const std::string path = settings_.out + "/differ-" + std::to_string(program.seed) + ".ptx";
    std::ofstream(path) << WritePtx(small);
    const MutexLock lock(mu_);
    std::printf("differ: seed %llu, tier %d: %s\n  made small, in %s: %s\n",
                static_cast<unsigned long long>(program.seed), difference.tier == Tier::k0 ? 0 : 1,
                difference.text.c_str(), path.c_str(),
                last.difference ? last.difference->text.c_str() : "no difference any more");
    Used used;
    FindUsed(small.body, &used);
    if (used.statements <= 8) PrintOperations(small.body);
    std::fflush(stdout);
  }
  static void PrintOperations(const Body& body) {
    for (const Statement& s : body) {
      if (s.what == Statement::What::kOperate) std::printf("    %s\n", Operations()[s.index].text.c_str());
      PrintOperations(s.body);
      PrintOperations(s.otherwise);
    }
  }
  void SayProgress() {
    const MutexLock lock(mu_);
    const Clock::time_point now = Clock::now();
    if (now - said_ < kProgressEvery || ::isatty(STDERR_FILENO) == 0) return;
    said_ = now;
    std::fprintf(stderr, "differ: %llu of %llu programs, %llu differ\n", static_cast<unsigned long long>(done_),
                 static_cast<unsigned long long>(settings_.programs), static_cast<unsigned long long>(different_));
  }

  const Settings& settings_;
  const Clock::time_point begin_;
  std::atomic<std::uint64_t> next_{0}, done_{0}, different_{0}, too_large_{0}, statements_{0};
  Mutex mu_;
  Clock::time_point said_ ACCELMESH_GUARDED_BY(mu_);
};

}  // namespace

int Main(int argc, char** argv) {
  CLI::App app{"Runs random PTX programs on the software GPU and on a plain reference, and compares.", "differ"};
  app.footer(kFooter);
  Settings settings;
#ifdef ACCELMESH_TIER1_PATH
  settings.compiler = ACCELMESH_TIER1_PATH;
#else
  settings.on = "tier0";
#endif
  app.add_option("--seed", settings.seed, "Of the first program")->capture_default_str();
  app.add_option("--programs", settings.programs, "How many")->capture_default_str();
  app.add_option("--jobs", settings.jobs, "Threads")->capture_default_str()->check(CLI::Range(1, 256));
  app.add_option("--statements", settings.statements,
                 "Of a program, at most, but for those in branches, loops and functions")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--on", settings.on, "tier0, tier1 or both")
      ->capture_default_str()
      ->check(CLI::IsMember({"tier0", "tier1", "both"}));
  app.add_option("--out", settings.out, "Folder of the PTX of what differs")->capture_default_str();
  app.add_option("--compiler", settings.compiler, "The plugin of tier 1")->capture_default_str();
  app.add_flag("--keep-going", settings.keep_going, "After a difference, too");
  app.add_flag("--print", settings.print, "Writes the PTX of the first program, and runs nothing");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kUsage;
  }
  if (settings.print) {
    std::fputs(WritePtx(Generate(settings.seed, settings.statements)).c_str(), stdout);
    return 0;
  }
  return Runner(settings).Run();
}

}  // namespace accelmesh::differential

int main(int argc, char** argv) { return accelmesh::differential::Main(argc, argv); }
