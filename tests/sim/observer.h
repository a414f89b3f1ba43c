// Observer: reads everything that is written to the market's registry, revision by revision, and checks what must hold
// at each of them. It knows records only, and nothing of how they are decided.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "market/records/record_codec.h"
#include "market/registry/sim/sim.h"

namespace accelmesh::market {

class Observer {
 public:
  explicit Observer(registry::Sim& sim) : sim_(sim), registry_(sim.Connect()) {}
  void Start() { Read(); }

  // What was broken, with the revision; empty if nothing.
  const std::vector<std::string>& faults() const { return faults_; }
  std::uint64_t revisions() const { return revisions_; }
  // As of the last revision that it has seen.
  const std::map<std::string, LeaseRecord>& leases() const { return leases_; }
  // Leases that have ended and were forgotten, as they were last.
  const std::map<std::string, LeaseRecord>& forgotten() const { return forgotten_; }
  const std::map<std::string, AccountRecord>& accounts() const { return accounts_; }
  const std::map<std::string, SlotRecord>& slots() const { return slots_; }
  // Servers that did not come back: whose claims were paid from a bond, or whose bond was given back.
  std::uint64_t gone() const { return gone_; }

 private:
  void Read();
  void Apply(const registry::Entry& entry, bool is_new);
  void Forget(const std::string& lease, registry::Revision revision);
  void Check(registry::Revision revision);
  void Fault(registry::Revision revision, const std::string& what);

  registry::Sim& sim_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<registry::WatchHandle> watch_;
  std::map<std::string, LeaseRecord> leases_;
  std::map<std::string, LeaseRecord> forgotten_;
  std::map<std::string, AccountRecord> accounts_;
  std::map<std::string, SlotRecord> slots_;
  std::map<std::string, std::uint64_t> epochs_;           // the highest that a lease of the slot ever had
  std::map<std::string, std::set<std::uint64_t>> begun_;  // epochs of the leases that this revision brings
  std::map<std::string, std::string> ended_;              // leases that have ended: they never begin again
  std::set<std::string> there_;                           // servers
  std::uint64_t gone_ = 0;
  std::vector<std::string> faults_;
  std::uint64_t revisions_ = 0;
};

}  // namespace accelmesh::market
