// Who has how many credits in a simulated market: tenants, the operator of the idle supply, the insurance pool. Credits
// only move; their sum is what it was at the start, to the microcredit, and each epoch checks it.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

namespace accelmesh::sim {

class Accounts {
 public:
  explicit Accounts(std::vector<std::int64_t> tenants)
      : tenants_(std::move(tenants)), start_(std::accumulate(tenants_.begin(), tenants_.end(), std::int64_t{0})) {}

  std::int64_t tenant(std::size_t index) const { return tenants_[index]; }
  std::int64_t operator_balance() const { return operator_; }
  std::int64_t pool() const { return pool_; }
  // What is there more or less than at the start; anything but 0 is an error.
  std::int64_t error() const {
    return std::accumulate(tenants_.begin(), tenants_.end(), std::int64_t{0}) + operator_ + pool_ - start_;
  }

  // The buyer pays `paid`; the seller and the operator have their parts of it, the pool what is over.
  void Trade(std::size_t buyer, std::int64_t paid, std::size_t seller, std::int64_t to_seller,
             std::int64_t to_operator) {
    tenants_[buyer] -= paid;
    tenants_[seller] += to_seller;
    operator_ += to_operator;
    pool_ += paid - to_seller - to_operator;
  }
  void Refund(std::size_t tenant, std::int64_t amount) {
    tenants_[tenant] += amount;
    operator_ -= amount;
  }
  // The operator's and the pool's money, but for `kept` of it, to the tenants by their parts.
  void PayOut(const std::vector<double>& parts, std::int64_t kept) {
    const std::int64_t amount = operator_ + pool_ - kept;
    if (amount <= 0) return;
    std::int64_t paid = 0;
    for (std::size_t i = 0; i < tenants_.size(); ++i) {
      const auto part = static_cast<std::int64_t>(parts[i] * static_cast<double>(amount));
      tenants_[i] += part;
      paid += part;
    }
    pool_ -= paid;  // what the parts leave over by rounding stays there
    operator_ += pool_;
    pool_ = 0;
  }

 private:
  std::vector<std::int64_t> tenants_;
  std::int64_t operator_ = 0;
  std::int64_t pool_ = 0;
  std::int64_t start_;
};

}  // namespace accelmesh::sim
