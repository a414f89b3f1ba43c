#include "tools/agent/core/profile.h"

#include <algorithm>
#include <charconv>

namespace accelmesh::agent {
namespace {

constexpr std::string_view kHead = "accelmesh-profile 1\n";

std::uint64_t Plus(std::uint64_t a, std::uint64_t b) {
  return std::min(kCountMax, std::min(kCountMax, a) + std::min(kCountMax, b));
}

Status Bad(std::size_t line, const std::string& text) {
  return {Code::kInvalidArgument, "ParseProfile", "line " + std::to_string(line) + ": " + text + "; delete the file"};
}

// Takes the next word, which ends at a space or at the end.
std::string_view TakeWord(std::string_view& line) {
  const std::size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  return word;
}

bool ReadCount(std::string_view word, std::uint64_t& count) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), count);
  return error == std::errc() && end == word.data() + word.size() && !word.empty() && count <= kCountMax;
}

bool ReadRun(std::string_view line, Run& run) {
  std::array<std::uint64_t, 9> counts{};
  for (std::uint64_t& count : counts) {
    if (!ReadCount(TakeWord(line), count)) return false;
  }
  if (!line.empty()) return false;
  run = {static_cast<std::int64_t>(counts[0]),
         static_cast<std::int64_t>(counts[1]),
         static_cast<std::int64_t>(counts[2]),
         counts[3],
         counts[4],
         counts[5],
         counts[6],
         counts[7],
         counts[8],
         {}};
  return true;
}

bool ReadWork(std::string_view line, Run& run) {
  const auto operation = scheduler::FindOperation(TakeWord(line));
  const auto type = scheduler::FindNumberType(TakeWord(line));
  std::uint64_t count = 0;
  if (!operation || !type || !ReadCount(line, count) || count == 0) return false;
  std::uint64_t& target = run.operations[static_cast<std::size_t>(*operation)][static_cast<std::size_t>(*type)];
  if (target != 0) return false;
  target = count;
  return true;
}

// FNV-1a, twice, from different beginnings: a name, no secret. Who makes two commands collide gets a bad prediction of
// a command of his own.
std::uint64_t Mix(std::uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
  return (hash ^ 0xff) * 0x100000001b3ULL;  // where a word ends, which no byte of UTF-8 is
}

}  // namespace

Run FoldProcesses(const std::vector<Run>& processes) {
  Run run;
  if (processes.empty()) return run;
  const auto begin_us = [](const Run& process) {
    return static_cast<double>(process.ended_ms) * 1000 - static_cast<double>(process.lasted_us);
  };
  double first_us = begin_us(processes.front());
  for (const Run& process : processes) {
    first_us = std::min(first_us, begin_us(process));
    run.ended_ms = std::max(run.ended_ms, process.ended_ms);
    run.waited_us = static_cast<std::int64_t>(
        Plus(static_cast<std::uint64_t>(run.waited_us), static_cast<std::uint64_t>(process.waited_us)));
    run.launches = Plus(run.launches, process.launches);
    run.library_calls = Plus(run.library_calls, process.library_calls);
    run.round_trips = Plus(run.round_trips, process.round_trips);
    run.up_bytes = Plus(run.up_bytes, process.up_bytes);
    run.down_bytes = Plus(run.down_bytes, process.down_bytes);
    for (std::size_t operation = 0; operation < run.operations.size(); ++operation) {
      for (std::size_t type = 0; type < run.operations[operation].size(); ++type) {
        run.operations[operation][type] = Plus(run.operations[operation][type], process.operations[operation][type]);
      }
    }
    // The most is reached when some process begins.
    std::uint64_t at_once = 0;
    for (const Run& other : processes) {
      const bool is_there =
          begin_us(other) <= begin_us(process) && static_cast<double>(other.ended_ms) * 1000 > begin_us(process);
      if (is_there || &other == &process) at_once = Plus(at_once, other.memory_bytes_high);
    }
    run.memory_bytes_high = std::max(run.memory_bytes_high, at_once);
  }
  const double lasted_us = static_cast<double>(run.ended_ms) * 1000 - first_us;
  run.lasted_us = static_cast<std::int64_t>(std::clamp(lasted_us, 1.0, static_cast<double>(kCountMax)));
  run.waited_us = std::min(run.waited_us, run.lasted_us);
  return run;
}

void AddRun(Profile& profile, Run run) {
  if (run.lasted_us <= 0) return;
  run.waited_us = std::clamp<std::int64_t>(run.waited_us, 0, run.lasted_us);
  profile.runs.push_back(run);
  if (profile.runs.size() > kRunsKept) profile.runs.erase(profile.runs.begin());
}

std::string ToText(const Profile& profile) {
  std::string text(kHead);
  for (const Run& run : profile.runs) {
    text += "run " + std::to_string(run.ended_ms) + " " + std::to_string(run.lasted_us) + " " +
            std::to_string(run.waited_us);
    for (const std::uint64_t count :
         {run.launches, run.library_calls, run.round_trips, run.up_bytes, run.down_bytes, run.memory_bytes_high}) {
      text += " " + std::to_string(count);
    }
    text += "\n";
    for (std::size_t operation = 0; operation < run.operations.size(); ++operation) {
      for (std::size_t type = 0; type < run.operations[operation].size(); ++type) {
        const std::uint64_t count = run.operations[operation][type];
        if (count == 0) continue;
        text += "work " + std::string(Name(static_cast<scheduler::Operation>(operation))) + " " +
                std::string(Name(static_cast<scheduler::NumberType>(type))) + " " + std::to_string(count) + "\n";
      }
    }
  }
  return text;
}

Result<Profile> ParseProfile(std::string_view text) {
  if (text.size() > kProfileBytesMax) return Bad(1, "longer than any profile");
  if (text.substr(0, kHead.size()) != kHead) return Bad(1, "no profile of this version");
  text.remove_prefix(kHead.size());
  Profile profile;
  for (std::size_t number = 2; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return Bad(number, "cut off");
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const std::string_view kind = TakeWord(line);
    if (kind == "run") {
      if (profile.runs.size() == kRunsKept) return Bad(number, "too many runs");
      Run run;
      if (!ReadRun(line, run) || run.lasted_us == 0 || run.waited_us > run.lasted_us) return Bad(number, "no run");
      profile.runs.push_back(run);
    } else if (kind == "work") {
      if (profile.runs.empty() || !ReadWork(line, profile.runs.back())) return Bad(number, "no work");
    } else {
      return Bad(number, "neither run nor work");
    }
  }
  return profile;
}

std::string CommandKey(const std::vector<std::string>& command, std::string_view folder) {
  constexpr std::array<std::uint64_t, 2> kBegin = {0xcbf29ce484222325ULL, 0x84222325cbf29ce4ULL};
  std::string key;
  for (std::uint64_t hash : kBegin) {
    hash = Mix(hash, folder);
    for (const std::string& word : command) hash = Mix(hash, word);
    for (int shift = 60; shift >= 0; shift -= 4) key += "0123456789abcdef"[hash >> shift & 15];
  }
  return key;
}

}  // namespace accelmesh::agent
