// What a gpu-server offers on a market: its slots, with what was measured of their devices, on its owner's terms.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "market/client/messages.h"
#include "server/measure/report.h"

namespace accelmesh {

struct OfferOptions {
  std::string name;  // of the server, unique in its market; slots are NAME/DEVICE
  std::string zone;
  std::vector<std::string> labels;
  double price_credits_per_hour = 0;  // of a whole device, at least
  double notice_s = 0;                // before the owner takes a slot back
  double sell_share = 1;              // of the device
};

// kInvalidArgument names the option and shows a right one. `backend`: what it can promise; only the software GPU shares
// its time out.
Status CheckOffer(const OfferOptions& options, const std::string& backend);

// All of this server's slots. `round_trip_us` is all zero while it is not known.
market::messages::RegisterServerT MakeOffer(const OfferOptions& options, const measure::Report& report,
                                            const std::vector<std::string>& endpoints,
                                            const measure::Interval& round_trip_us);

// Puts the numbers of a later look into `report` where they are no longer what they were: where the intervals do not
// overlap. Whether any was.
bool TakeChanges(const measure::Report& later, measure::Report* report);

}  // namespace accelmesh
