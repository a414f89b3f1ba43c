// Tells people and programs what the agent does: troubles at once, every step with --explain, and where it is when that
// takes more than two seconds.
//
// Threads: any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "tools/agent/core/explain.h"

namespace accelmesh::mesh_run {

class Narrator {
 public:
  // `json`: a file that gets a line for each phase; empty: steps go to stderr if `explain`.
  // `began`: when somebody began to wait for us.
  Narrator(bool explain, std::string json, std::chrono::steady_clock::time_point began);
  ~Narrator();
  Narrator(const Narrator&) = delete;
  Narrator& operator=(const Narrator&) = delete;

  void Hear(const agent::Step& step);
  // From now on nobody waits for us: no more progress. `phase` names the steps so far in the file.
  void EndPhase(const std::string& phase);

 private:
  void Watch();
  std::string Since() const;

  const bool explain_;
  const std::string json_;
  const std::chrono::steady_clock::time_point began_;
  std::mutex mu_;
  std::condition_variable changed_;
  agent::Explanation steps_;
  std::string now_;      // what it is at
  std::string trouble_;  // what was said last, which is not said again
  bool is_waited_for_ = true;
  bool is_ending_ = false;
  std::thread watch_;
};

}  // namespace accelmesh::mesh_run
