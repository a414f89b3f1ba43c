// What tests ask of the library, by function or by text: counts, injections, delays.
#include "tests/contract/control.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

constexpr const char* kRuleNames[CONTRACT_RULES] = {
    "not initialized", "partial unmap",     "unmap in use",   "double map",   "map outside",
    "no access",       "reservation moved", "executor waits", "capture mode", "bad handle",
    "wrong context",   "wrong size",        "bad argument",   "leak",         "call in callback"};

struct Injection {
  Function function;
  unsigned left;
  int code;
};
// Everything that contract_reset() forgets.
struct Wishes {
  std::mutex mu;
  std::array<unsigned, CONTRACT_RULES> violations{};
  std::string last;
  std::vector<Injection> errors;
  std::map<std::string, int, std::less<>> faults;
  std::map<Function, unsigned> delays_us;
  std::map<Function, unsigned long long> calls;
  bool quiet = false;
};
Wishes& wishes() {
  static Wishes* const made = new Wishes;
  return *made;
}
thread_local bool is_executor = false;

// Takes the next part of `text` off, up to `separator`.
std::string_view Part(std::string_view* text, char separator) {
  const std::size_t end = text->find(separator);
  const std::string_view part = text->substr(0, end);
  *text = end == std::string_view::npos ? std::string_view() : text->substr(end + 1);
  return part;
}
std::optional<unsigned> Number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool Obey(std::string_view directive) {
  std::string_view rest = directive;
  const std::string_view name = Part(&rest, '=');
  if (name == "require-hints") {
    contract_require_hints(1);
    return true;
  }
  if (name == "peer-memory" || name == "dma-buf") {
    settings().peer_memory = true;
    settings().dma_buf = name == "dma-buf";
    return true;
  }
  if (name == "error") {
    const std::string function(Part(&rest, ':'));
    const auto nth = Number(Part(&rest, ':'));
    const auto code = Number(rest);
    if (!nth || !code || FindFunction(function) == Function::kCount) return false;
    contract_inject_error(function.c_str(), *nth, static_cast<int>(*code));
    return true;
  }
  if (name == "fault" || name == "delay") {
    const std::string what(Part(&rest, ':'));
    const auto value = Number(rest);
    if (!value || (name == "delay" && FindFunction(what) == Function::kCount)) return false;
    if (name == "fault") {
      contract_inject_fault(what.c_str(), static_cast<int>(*value));
    } else {
      contract_delay(what.c_str(), *value);
    }
    return true;
  }
  const auto value = Number(rest);
  if (!value) return false;
  if (name == "delay-launches") {
    contract_delay_launches(*value);
  } else if (name == "launch-depth") {
    contract_launch_depth(*value);
  } else if (name == "move-reservations") {
    contract_move_reservations(*value);
  } else if (name == "devices") {
    settings().devices = *value;
  } else if (name == "capability") {
    settings().capability = *value;
  } else if (name == "memory-mib") {
    settings().memory_bytes = std::uint64_t{*value} << 20;
  } else {
    return false;
  }
  return true;
}

}  // namespace

Settings& settings() {
  static Settings* const made = new Settings;
  return *made;
}

void RecordViolation(contract_rule rule, const std::string& line) {
  const std::string text = "contract libcuda: [error] " + line + " (" + kRuleNames[rule] + ")\n";
  Wishes& w = wishes();
  const std::lock_guard lock(w.mu);
  ++w.violations[rule];
  w.last = text;
  // The test's stderr is unbuffered; one write keeps the line whole among processes.
  if (!w.quiet) (void)!::write(2, text.data(), text.size());
}

int InjectedError(Function function) {
  Wishes& w = wishes();
  int code = 0;
  unsigned delay_us = 0;
  {
    const std::lock_guard lock(w.mu);
    ++w.calls[function];
    for (Injection& injection : w.errors) {
      if (injection.function == function && injection.left != 0 && --injection.left == 0) code = injection.code;
    }
    const auto delay = w.delays_us.find(function);
    if (delay != w.delays_us.end()) delay_us = delay->second;
  }
  if (delay_us != 0) std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
  return code;
}

int InjectedFault(const std::string& kernel) {
  Wishes& w = wishes();
  const std::lock_guard lock(w.mu);
  const auto found = w.faults.find(kernel);
  return found == w.faults.end() ? 0 : found->second;
}

bool OnExecutor() { return is_executor; }

}  // namespace accelmesh::contract

using namespace accelmesh::contract;

CONTRACT_API unsigned contract_violations() {
  const std::lock_guard lock(wishes().mu);
  unsigned all = 0;
  for (const unsigned count : wishes().violations) all += count;
  return all;
}
CONTRACT_API unsigned contract_violations_of(int rule) {
  if (rule < 0 || rule >= CONTRACT_RULES) return 0;
  const std::lock_guard lock(wishes().mu);
  return wishes().violations[static_cast<std::size_t>(rule)];
}
CONTRACT_API const char* contract_last_violation() {
  thread_local std::string copy;
  const std::lock_guard lock(wishes().mu);
  copy = wishes().last;
  return copy.c_str();
}
CONTRACT_API void contract_quiet(int on) {
  const std::lock_guard lock(wishes().mu);
  wishes().quiet = on != 0;
}
CONTRACT_API void contract_reset() {
  {
    Wishes& w = wishes();
    const std::lock_guard lock(w.mu);
    w.violations = {};
    w.last.clear();
    w.errors.clear();
    w.faults.clear();
    w.delays_us.clear();
    w.calls.clear();
    w.quiet = false;
  }
  settings().launch_depth = 1024;
  settings().launch_delay_us = 0;
  settings().moves = 0;
  settings().require_hints = false;
}
CONTRACT_API unsigned long long contract_calls(const char* function) {
  const std::lock_guard lock(wishes().mu);
  const auto found = wishes().calls.find(FindFunction(function));
  return found == wishes().calls.end() ? 0 : found->second;
}
CONTRACT_API void contract_set_executor(int on) { is_executor = on != 0; }
CONTRACT_API void contract_inject_error(const char* function, unsigned nth, int code) {
  const std::lock_guard lock(wishes().mu);
  wishes().errors.push_back({FindFunction(function), nth, code});
}
CONTRACT_API void contract_inject_fault(const char* kernel, int code) {
  const std::lock_guard lock(wishes().mu);
  wishes().faults[kernel] = code;
}
CONTRACT_API void contract_delay(const char* function, unsigned us) {
  const std::lock_guard lock(wishes().mu);
  wishes().delays_us[FindFunction(function)] = us;
}
CONTRACT_API void contract_delay_launches(unsigned us) { settings().launch_delay_us = us; }
CONTRACT_API void contract_launch_depth(unsigned launches) { settings().launch_depth = launches; }
CONTRACT_API void contract_move_reservations(unsigned count) { settings().moves = count; }
CONTRACT_API void contract_require_hints(int on) { settings().require_hints = on != 0; }

CONTRACT_API int contract_configure(const char* directives) {
  int result = 0;
  std::string_view rest = directives;
  while (!rest.empty()) {
    const std::string_view directive = Part(&rest, ';');
    if (directive.empty() || Obey(directive)) continue;
    std::fprintf(stderr, "contract libcuda: [error] ACCELMESH_CONTRACT: not understood: %.*s\n",
                 static_cast<int>(directive.size()), directive.data());
    result = -1;
  }
  return result;
}
