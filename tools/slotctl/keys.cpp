#include "tools/slotctl/keys.h"

#include "market/ledger/witness.h"
#include "scheduler/core/quantity.h"
#include "tools/slotctl/table.h"

namespace accelmesh::slotctl {
namespace {

std::string AgeOf(std::int64_t created_ms, std::int64_t now_ms) {
  return now_ms > created_ms ? scheduler::ReadableDuration(static_cast<double>(now_ms - created_ms) * 1000) : "0 s";
}

// As slotctl ledger --witness takes it: mesh-run cosigns the market's ledger by the identity's key.
std::string WitnessKeyOf(const security::PublicKey& key) {
  return market::ledger::VerifierKey({market::ledger::WitnessNameOf(key), key},
                                     market::ledger::SignatureType::kCosignature);
}

Json KeyJson(const security::IdentityFacts& facts) {
  if (!facts.fault.empty()) return {{"path", facts.path}, {"fault", facts.fault}};
  return {{"name", facts.name},
          {"role", std::string(Name(facts.role))},
          {"public_key", security::HexOf(facts.public_key.bytes)},
          {"witness_key", WitnessKeyOf(facts.public_key)},
          {"created_ms", facts.created_ms},
          {"rotated_away", facts.is_old},
          {"path", facts.path}};
}

}  // namespace

Report ReportOf(const std::vector<security::IdentityFacts>& identities, std::int64_t now_ms) {
  Report report;
  report.json = {{"keys", Json::array()}};
  std::vector<std::vector<std::string>> rows;
  std::string faults;
  for (const security::IdentityFacts& facts : identities) {
    report.json["keys"].push_back(KeyJson(facts));
    if (!facts.fault.empty()) {
      faults += facts.path + ": " + facts.fault + "\n";
      continue;
    }
    rows.push_back({facts.name, std::string(Name(facts.role)), AgeOf(facts.created_ms, now_ms),
                    facts.is_old ? "old" : "", security::HexOf(facts.public_key.bytes)});
  }
  report.text = rows.empty() ? "no keys; slotctl keys create NAME makes one\n"
                             : TableOf({{"NAME"}, {"ROLE"}, {"AGE", true}, {"STATE"}, {"PUBLIC KEY"}}, rows);
  report.text += faults;
  return report;
}

Report ReportOf(const security::Identity& identity, const std::string& folder, std::int64_t now_ms) {
  security::IdentityFacts facts;
  facts.name = identity.name;
  facts.role = identity.role;
  facts.created_ms = identity.created_ms;
  facts.public_key = identity.key.public_key();
  facts.path = folder + "/" + identity.name + ".key";
  const std::string key = security::HexOf(facts.public_key.bytes);
  return {"name        " + facts.name + "\nrole        " + std::string(Name(facts.role)) + "\nage         " +
              AgeOf(facts.created_ms, now_ms) + "\npublic key  " + key + "\nas witness  " +
              WitnessKeyOf(facts.public_key) + "\nfile        " + facts.path + "\n",
          KeyJson(facts)};
}

}  // namespace accelmesh::slotctl
