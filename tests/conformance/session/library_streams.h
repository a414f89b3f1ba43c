// What holds of the calls of every library in its streams, shown with one of them: y += x, of one float each.
#pragma once

#include <functional>

#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {

class LibraryStreamsTest : public SessionTest {
 protected:
  static constexpr int kWatchMs = 40;
  static constexpr int kPatienceMs = 20000;
  // More calls than a backend takes of one stream.
  static constexpr int kMoreThanFit = 2 * static_cast<int>(limits::kStreamInFlightMax);

  virtual DeviceResult Add(Stream* stream, std::uint64_t x, std::uint64_t y) = 0;

  // Kernels "wait_gate" of gate_ wait from now on until OpenGate().
  void MakeGate();
  void OpenGate() { Launch(opener_, "open_gate", {gate_}); }
  std::uint64_t Floats(Stream* stream, const std::vector<float>& values);
  float ReadFloat(std::uint64_t address);

  // The bodies of tests that every library has.
  void EventsOrderCalls();
  // `meanwhile`: what else must not wait.
  void AHeldCallHoldsUpNoOther(const std::function<void()>& meanwhile = [] {});
  void TheLegacyRuleHolds();
  void AParkedStreamRunsAll();
  void HandlesServeStreamsInTurn();

  std::uint64_t gate_ = 0;

 private:
  Stream* opener_ = nullptr;
};

}  // namespace accelmesh::conformance
