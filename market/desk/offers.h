// What is for sale in an epoch: idle parts of slots, standing asks of leases, and leases that nobody uses, as far as
// they are the goods that the epoch deals in.
//
// Pure. Threads: one at a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "market/desk/clearing.h"
#include "market/desk/goods.h"

namespace accelmesh::market {

struct Offer {
  auction::Ask ask;  // without its numbers
  std::string owner;
  std::string class_name;
  EpochPlan::Source source;
  bool is_signed() const { return !source.lease.empty() && !source.is_forced; }
};

class Offers {
 public:
  // All of them outlive it.
  Offers(const Book& book, const FactsOfClasses& facts, const std::map<std::string, Goods>& goods, const Moment& moment)
      : book_(book), facts_(facts), goods_(goods), moment_(moment) {}

  // What the holder of a lease asks for it.
  void AddAsk(const std::string& lease);
  // At the posted price, or at what its holder asks for all of it if that is less: then it stands as he signed it.
  void AddUnused(const std::string& lease);
  // `lots`: of classes, in thousandths. A slot whose step does not divide its class's lot sits the epoch out.
  void AddIdle(const std::map<std::string, std::uint32_t>& lots);

  const std::vector<Offer>& all() const { return all_; }

 private:
  void Add(Offer offer);

  const Book& book_;
  const FactsOfClasses& facts_;
  const std::map<std::string, Goods>& goods_;
  const Moment& moment_;
  std::vector<Offer> all_;
};

}  // namespace accelmesh::market
