#include "market/core/records.h"

namespace accelmesh::market {

std::string_view Name(MarketRole role) {
  switch (role) {
    case MarketRole::kTenant: return "tenant";
    case MarketRole::kProvider: return "provider";
    case MarketRole::kAdmin: return "admin";
    case MarketRole::kWitness: return "witness";
  }
  return "";
}

std::string_view Name(LeaseState state) {
  switch (state) {
    case LeaseState::kActive: return "active";
    case LeaseState::kReleased: return "released";
    case LeaseState::kExpired: return "expired";
    case LeaseState::kRevoked: return "revoked";
    case LeaseState::kServerLost: return "server lost";
    case LeaseState::kTransferred: return "transferred";
    case LeaseState::kPending: return "pending";
  }
  return "";
}

std::string_view Prefix(Family family) {
  switch (family) {
    case Family::kSlot: return "/slot/";
    case Family::kServer: return "/node/";
    case Family::kLease: return "/lease/";
    case Family::kAccount: return "/account/";
    case Family::kIdentity: return "/identity/";
    case Family::kPrice: return "/price/";
    case Family::kEpoch: return "/epoch/slot/";
    case Family::kReport: return "/report/";
    case Family::kReputation: return "/reputation/";
    case Family::kBudget: return "/budget/";
    case Family::kLoss: return "/loss/";
  }
  return "";
}

}  // namespace accelmesh::market
