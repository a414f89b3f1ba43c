// Keeps leases while a program runs: renews them in time, shows the new tokens to their gpu-servers, hands them to the
// program, asks anew when the program turns out to need more or less, and gives everything back at the end.
//
// While the market is down nothing happens to the program: it runs on until its lease ends, and the lease is renewed
// when the market is back. Threads: one at a time. Whoever owns it calls Tick() when it says so.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "tools/agent/core/renewal.h"
#include "tools/agent/negotiator.h"
#include "tools/agent/seller.h"

namespace accelmesh::agent {

class Keeper {
 public:
  // Hands a lease to the program: `index` is its place among those of the program.
  using Hand = std::function<Status(std::size_t index, const Held& held)>;
  // The profile with what the run has done so far; none if that says nothing new.
  using Look = std::function<std::optional<Profile>()>;

  Keeper(MarketPort& market, ServerPort& servers, WorldPort& world, Negotiator::Sink sink, Wish wish, Outcome outcome,
         Hand hand, Look look);

  // Does what is due and says when to call again, at most a minute from now. -1 if no lease is left to keep.
  std::int64_t Tick();
  // Gives everything back.
  void End();

  // Leases that are over, in the order in which they ended.
  struct Ended {
    std::string lease;
    std::int64_t granted_ms = 0;
    std::int64_t ended_ms = 0;
    std::int64_t server_seen_ms = -1;  // when its gpu-server answered last, if it does not now
    std::uint32_t share_milli = 0;     // at its end
    std::optional<DeviceUse> use;      // as its gpu-server says
  };
  const std::vector<Ended>& ended() const { return ended_; }
  // Microcredits, of leases that have been given back.
  const Receipt& receipt() const { return receipt_; }
  std::size_t renewals() const { return renewals_; }
  // Whether a lease ended although the program ran on.
  bool has_lost() const { return has_lost_; }

 private:
  struct Kept {
    Held held;
    std::size_t index = 0;   // of the program's leases
    bool is_current = true;  // the one that new processes get
    LeaseTime time;
    std::int64_t due_ms = 0;
    std::uint32_t failures = 0;
    OperationId id{};                  // of the renewal under way, repeated until it is answered
    std::int64_t asked_ms = -1;        // when it was asked for first
    std::int64_t served_until_ms = 0;  // by the newest token that its gpu-server has taken
    std::int64_t paid_from_ms = 0;     // at the price that it has now
    bool is_shown = true;              // its gpu-server has the newest token
    bool is_refused = false;           // that token, by its gpu-server: the next one may be good
    std::unique_ptr<Seller> seller;
    bool is_sold = false;  // all of it
    std::int64_t granted_ms = 0;
    std::int64_t server_seen_ms = 0;
  };

  void Renew(Kept& kept);
  // Posts its ask, and hears what was sold.
  void Sell(Kept& kept);
  // How long a renewal may be, so that all leases together keep within the budget; what is due then.
  std::int64_t AffordableUs(std::int64_t now_ms) const;
  double SpentBy(const Kept& kept, std::int64_t now_ms) const;
  void Show(Kept& kept);
  void Retry(Kept& kept, const Status& status, const char* what);
  void LookAgainAt(Kept& kept);
  void Take(Kept& kept, Won won, std::int64_t end_ms);
  void DrawNext(Kept& kept);
  void NoteEnd(const Kept& kept, bool is_server_gone, std::optional<DeviceUse> use = std::nullopt);
  bool Handed(const Kept& kept);
  void Say(std::string stage, std::string text, std::vector<std::pair<std::string, std::string>> facts = {});
  void Trouble(std::string stage, std::string text, std::vector<std::pair<std::string, std::string>> facts = {});

  MarketPort& market_;
  ServerPort& servers_;
  WorldPort& world_;
  Negotiator::Sink sink_;
  Wish wish_;
  Prediction prediction_;
  std::int64_t lease_us_;
  Hand hand_;
  Look look_;
  std::vector<Kept> kept_;
  double spent_microcredits_ = 0;  // of periods that are over
  std::vector<Ended> ended_;
  Receipt receipt_;
  std::size_t renewals_ = 0;
  std::size_t rebids_ = 0;
  bool has_lost_ = false;
};

}  // namespace accelmesh::agent
