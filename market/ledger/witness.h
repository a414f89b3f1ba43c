// Witness: remembers the largest tree it has seen of each log, and cosigns only what extends it. So a log that shows
// different people different trees gets at most one of them cosigned, and whoever has both signed notes has the proof.
//
//   evidence := "accelmesh-fork 1" LF "claimed " base64(root) LF {base64(hash) LF} LF
//               "older " bytes LF note "newer " bytes LF note
//
// Evidence convicts a log by its own signatures, to anybody who knows its key: either both notes are of one size and
// differ in the root, or the proof shows that the newer tree had the claimed root at the older size, which is not the
// root that the log signed for that size.
//
// A witness keeps its word in a folder, a file for each log, synced before a cosignature leaves. Time is Unix time in
// seconds, an argument. The bytes of others may be anything. Threads: one at a time.
#pragma once

#include <map>

#include "market/ledger/checkpoint.h"

namespace accelmesh::market::ledger {

inline constexpr std::size_t kEvidenceBytesMax = kProofBytesMax + 2 * kNoteBytesMax + 256;

struct ForkEvidence {
  std::string older;  // notes
  std::string newer;
  Hash claimed{};  // the root that the newer tree has at the older one's size
  std::vector<Hash> proof;
};
std::string EvidenceText(const ForkEvidence& evidence);
Result<ForkEvidence> ParseEvidence(std::string_view text);
// Ok: the log is convicted. kPermissionDenied: it shows no fork.
Status VerifyFork(const ForkEvidence& evidence, const NamedKey& log);
// For whoever holds a note and a whole tree of the log that does not extend it. kNotFound: it does extend it.
Result<ForkEvidence> FindFork(const std::string& held_note, const std::string& tree_note, const NodeSource& tree,
                              const NamedKey& log);

enum class Verdict : std::uint8_t {
  kExtends,   // to be cosigned
  kBehind,    // the proof does not begin at what was seen, or the tree is smaller: tell its size, and ask again
  kFork,      // with evidence
  kUnproven,  // not shown to extend what was seen, and nothing shows that it cannot
};
std::string_view Name(Verdict verdict);

// The origin of a slot-market's log, whose key is the market's; and the name of a witness of which only the key is
// known.
inline constexpr char kMarketLog[] = "accelmesh-market";
std::string WitnessNameOf(const security::PublicKey& key);

struct Judgement {
  Verdict verdict = Verdict::kUnproven;
  std::uint64_t seen_size = 0;
  std::optional<ForkEvidence> evidence;
};
// Pure. `seen_note`: what the witness cosigned last, if anything. kBadFrame or kPermissionDenied: no note of the log.
Result<Judgement> Judge(const std::optional<std::string>& seen_note, const Extension& extension, const NamedKey& log);

class Witness {
 public:
  // What was cosigned before is read from `folder`, which is made if it is not there.
  static Result<Witness> Open(std::string folder, std::string name, security::SigningKey key,
                              std::vector<NamedKey> logs);

  struct Answer {
    Judgement judgement;
    std::string line;  // if it extends
  };
  // kNotFound: a log that it does not watch. kSystem: its word could not be kept, so it was not given.
  Result<Answer> Add(const Extension& extension, std::int64_t time_s);

  NamedKey key() const { return {name_, key_.public_key()}; }
  // 0: nothing yet.
  std::uint64_t SeenSize(const std::string& origin) const;
  std::optional<std::string> SeenNote(const std::string& origin) const;

 private:
  Witness(std::string folder, std::string name, security::SigningKey key, std::vector<NamedKey> logs)
      : folder_(std::move(folder)), name_(std::move(name)), key_(std::move(key)), logs_(std::move(logs)) {}
  std::string FileOf(const std::string& origin) const;

  std::string folder_;
  std::string name_;
  security::SigningKey key_;
  std::vector<NamedKey> logs_;
  std::map<std::string, std::string> seen_;  // notes, by origin
};

}  // namespace accelmesh::market::ledger
