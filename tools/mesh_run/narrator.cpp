#include "tools/mesh_run/narrator.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/mesh_run/environment.h"

namespace accelmesh::mesh_run {
namespace {

constexpr std::chrono::milliseconds kFirst{2000};
constexpr std::chrono::milliseconds kNext{5000};

}  // namespace

Narrator::Narrator(bool explain, std::string json, std::chrono::steady_clock::time_point began)
    : explain_(explain && json.empty()), json_(std::move(json)), began_(began) {
  watch_ = std::thread([this] { Watch(); });
}

Narrator::~Narrator() {
  {
    const std::lock_guard lock(mu_);
    is_ending_ = true;
    changed_.notify_all();
  }
  watch_.join();
}

std::string Narrator::Since() const {
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began_).count();
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", static_cast<double>(ms) / 1000);
  return text;
}

void Narrator::Hear(const agent::Step& step) {
  const std::lock_guard lock(mu_);
  if (!json_.empty()) steps_.push_back(step);
  if (explain_) {
    Say("%s: %s", step.stage.c_str(), step.text.c_str());
  } else if (step.is_trouble && step.text != trouble_) {
    Say("%s", step.text.c_str());
    trouble_ = step.text;
  }
  // Verdicts about single slots are no stage that anybody waits in.
  if (step.stage != "select") now_ = step.text;
}

void Narrator::Watch() {
  std::unique_lock lock(mu_);
  std::chrono::milliseconds next = kFirst;
  while (!is_ending_ && is_waited_for_) {
    changed_.wait_until(lock, began_ + next, [this] { return is_ending_ || !is_waited_for_; });
    if (is_ending_ || !is_waited_for_) return;
    Say("still negotiating after %s: %s", Since().c_str(), now_.c_str());
    next += kNext;
  }
}

void Narrator::EndPhase(const std::string& phase) {
  const std::lock_guard lock(mu_);
  is_waited_for_ = false;
  changed_.notify_all();
  if (json_.empty() || steps_.empty()) return;
  nlohmann::ordered_json line;
  line["agent"] = phase;
  const auto since = std::chrono::steady_clock::now() - began_;
  line["since_start_ms"] =
      static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(since).count()) / 1000;
  line["steps"] = nlohmann::ordered_json::array();
  for (const agent::Step& step : steps_) {
    nlohmann::ordered_json one;
    one["stage"] = step.stage;
    one["text"] = step.text;
    if (step.is_trouble) one["trouble"] = true;
    // A name may stand twice (what a slot lacks): the facts stay a list.
    for (const auto& [name, value] : step.facts) one["facts"].push_back({{"name", name}, {"value", value}});
    line["steps"].push_back(std::move(one));
  }
  steps_.clear();
  const std::string text = line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  const int file = ::open(json_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) return;
  [[maybe_unused]] const ssize_t written = ::write(file, text.data(), text.size());
  ::close(file);
}

}  // namespace accelmesh::mesh_run
