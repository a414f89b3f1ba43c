// How often something is done again that costs the device time: as often as keeps it below a part of all time.
//
// Threads: none. Time is an argument, in seconds.
#pragma once

namespace accelmesh::measure {

class Duty {
 public:
  explicit Duty(double part) : part_(part) {}
  // It was done, and took so long.
  void Note(double seconds) { wait_s_ = seconds / part_ - seconds; }
  // From then on, until the next time. The first time is not long after the start.
  double wait_s() const { return wait_s_; }

 private:
  double part_;
  double wait_s_ = 60;
};

}  // namespace accelmesh::measure
