#include "market/ledger/promise.h"

#include <charconv>
#include <optional>

#include "market/ledger/verify_epoch.h"

namespace accelmesh::market::ledger {
namespace {

constexpr char kWhere[] = "ledger::Promise";
constexpr std::string_view kPromiseHead = "accelmesh-promise 1\n";
constexpr std::string_view kBrokenHead = "accelmesh-broken-promise 1\n";
constexpr std::size_t kEntriesMax = 1U << 20;

Status Bad(const std::string& what) { return {Code::kBadFrame, kWhere, what}; }

// Takes a text apart from its beginning; what was read is gone from it.
class Text {
 public:
  explicit Text(std::string_view rest) : rest_(rest) {}

  bool Skip(std::string_view what) {
    if (!rest_.starts_with(what)) return false;
    rest_.remove_prefix(what.size());
    return true;
  }
  std::optional<std::string_view> Line() {
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return line;
  }
  // "NAME number", in the one way to write it.
  std::optional<std::size_t> Number(std::string_view name, std::size_t most) {
    if (!Skip(name)) return std::nullopt;
    const std::optional<std::string_view> line = Line();
    if (!line) return std::nullopt;
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(line->data(), line->data() + line->size(), value);
    if (error != std::errc() || end != line->data() + line->size() || value > most || std::to_string(value) != *line) {
      return std::nullopt;
    }
    return value;
  }
  std::optional<std::string_view> Take(std::size_t size) {
    if (size > rest_.size()) return std::nullopt;
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// What one epoch says of one order that was due in it.
PromiseVerdict Look(const EpochRecord& record, std::uint64_t index, const OrderTerms& terms) {
  PromiseVerdict verdict;
  verdict.epoch = record.input.number;
  const std::string epoch = "epoch " + std::to_string(verdict.epoch);
  const auto found = std::find(record.orders.begin(), record.orders.end(), index);
  if (found == record.orders.end()) {
    verdict.standing = Standing::kBroken;
    verdict.text = epoch + " was sealed after the market had taken the order, and does not have it";
    return verdict;
  }
  const auto rank = static_cast<std::uint32_t>(found - record.orders.begin());
  const auto left = std::lower_bound(record.left_out.begin(), record.left_out.end(), rank,
                                     [](const LeftOutOrder& one, std::uint32_t other) { return one.rank < other; });
  if (left == record.left_out.end() || left->rank != rank) {
    verdict.standing = Standing::kKept;
    verdict.text = "it was in " + epoch;
    return verdict;
  }
  const Status may_be = CheckLeftOut(left->why, terms, record);
  verdict.text = epoch + " left it out: " + (may_be.ok() ? std::string(Name(left->why)) : may_be.text());
  verdict.standing = !may_be.ok() ? Standing::kBroken : IsFinal(left->why) ? Standing::kKept : Standing::kOpen;
  return verdict;
}

}  // namespace

std::string PromiseText(const Promise& promise) {
  return std::string(kPromiseHead) + Base64(promise.entry) + "\n" + InclusionText(promise.inclusion);
}

Result<Promise> ParsePromise(std::string_view text) {
  if (text.size() > kPromiseBytesMax) return Bad("longer than a promise");
  Text rest(text);
  if (!rest.Skip(kPromiseHead)) return Bad("no promise of this version");
  const std::optional<std::string_view> line = rest.Line();
  if (!line) return Bad("it is cut off");
  Promise promise;
  ACCELMESH_ASSIGN_OR_RETURN(promise.entry, ParseBase64(*line));
  ACCELMESH_ASSIGN_OR_RETURN(promise.inclusion, ParseInclusion(rest.rest()));
  return promise;
}

Result<SignedOrder> VerifyPromise(const Promise& promise, const NamedKey& log) {
  ACCELMESH_ASSIGN_OR_RETURN(const Entry entry, ParseEntry(promise.entry));
  const auto* order = std::get_if<SignedOrder>(&entry);
  if (order == nullptr) return Bad("a promise of something that is no order");
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint checkpoint, VerifyCheckpoint(promise.inclusion.note, log, {}));
  ACCELMESH_RETURN_IF_ERROR(VerifyInclusion(LeafHash(promise.entry), promise.inclusion.index, promise.inclusion.proof,
                                            checkpoint.checkpoint.head));
  return *order;
}

Status DueOrders::Recorded(const EpochRecord& record) {
  const auto wrong = [&](const std::string& what) {
    return Status(Code::kPermissionDenied, kWhere, "epoch " + std::to_string(record.input.number) + ": " + what);
  };
  if (!record.has_all_due && has_begun_) return wrong("it does not say which orders were due, and one before does");
  const std::set<std::uint64_t> had(record.orders.begin(), record.orders.end());
  const auto end = due_.lower_bound(record.seal);
  if (record.has_all_due) {
    const auto missing = std::find_if(due_.begin(), end, [&](std::uint64_t index) { return !had.contains(index); });
    if (missing != end) {
      return wrong("the order at entry " + std::to_string(*missing) +
                   " was taken before it was sealed, and it does not have it");
    }
  }
  has_begun_ = has_begun_ || record.has_all_due;
  due_.erase(due_.begin(), end);
  for (const LeftOutOrder& order : record.left_out) {
    if (!IsFinal(order.why)) due_.insert(record.orders[order.rank]);
  }
  return Status::Ok();
}

PromiseJudge::PromiseJudge(const Promise& promise, const OrderReader& reader) : promise_(promise), reader_(reader) {
  verdict_.text = "no epoch that was recorded since may be read yet";
}

Status PromiseJudge::Take(const Bytes& bytes) {
  if (taken_++ == 0) {
    if (bytes != promise_.entry) {
      return {Code::kPermissionDenied, kWhere,
              "the log has something else at entry " + std::to_string(promise_.inclusion.index) +
                  " than the order that was promised"};
    }
    ACCELMESH_ASSIGN_OR_RETURN(const Entry first, ParseEntry(bytes));
    const auto* order = std::get_if<SignedOrder>(&first);
    if (order == nullptr) return Bad("a promise of something that is no order");
    ACCELMESH_ASSIGN_OR_RETURN(terms_, reader_.Read(*order));
    verdict_.text = "no epoch was recorded since";
    return Status::Ok();
  }
  ACCELMESH_ASSIGN_OR_RETURN(const Entry entry, ParseEntry(bytes));
  const auto* part = std::get_if<EpochPart>(&entry);
  if (part == nullptr) return Status::Ok();
  ACCELMESH_ASSIGN_OR_RETURN(const std::optional<Bytes> whole, parts_.Take(*part));
  if (!whole) return Status::Ok();
  ACCELMESH_ASSIGN_OR_RETURN(const EpochRecord record, ParseEpoch(*whole));
  if (record.seal <= promise_.inclusion.index) return Status::Ok();
  verdict_ = Look(record, promise_.inclusion.index, terms_);
  verdict_.entries = taken_;
  return Status::Ok();
}

Result<PromiseVerdict> JudgePromise(const Promise& promise, std::span<const Bytes> entries, const OrderReader& reader) {
  PromiseJudge judge(promise, reader);
  for (const Bytes& entry : entries) {
    if (!judge.is_open()) break;
    ACCELMESH_RETURN_IF_ERROR(judge.Take(entry));
  }
  return judge.verdict();
}

Result<TreeHead> HeadBehind(const Promise& promise, std::span<const Bytes> entries) {
  ACCELMESH_ASSIGN_OR_RETURN(const Note note, ParseNote(promise.inclusion.note));
  ACCELMESH_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ParseCheckpointText(note.text));
  Frontier frontier = Frontier::Before(promise.inclusion.index, checkpoint.head.size, promise.inclusion.proof);
  for (const Bytes& entry : entries) frontier.Append(LeafHash(entry));
  return TreeHead{frontier.size(), frontier.Root()};
}

Status CheckEntries(const Promise& promise, std::span<const Bytes> entries, const Extension& extension,
                    const NamedKey& log) {
  ACCELMESH_ASSIGN_OR_RETURN(const TreeHead head, HeadBehind(promise, entries));
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint signed_head, VerifyCheckpoint(extension.note, log, {}));
  if (extension.old_size != head.size) {
    return Bad("the proof begins at " + std::to_string(extension.old_size) + " entries, and these end at " +
               std::to_string(head.size));
  }
  return VerifyConsistency(head, signed_head.checkpoint.head, extension.proof);
}

Result<PromiseVerdict> JudgeEvidence(const BrokenPromise& evidence, const NamedKey& log, const OrderReader& reader) {
  ACCELMESH_RETURN_IF_ERROR(VerifyPromise(evidence.promise, log).status());
  ACCELMESH_RETURN_IF_ERROR(CheckEntries(evidence.promise, evidence.entries, evidence.extension, log));
  return JudgePromise(evidence.promise, evidence.entries, reader);
}

std::string BrokenPromiseText(const BrokenPromise& evidence) {
  const std::string promise = PromiseText(evidence.promise);
  std::string text = std::string(kBrokenHead) + "promise " + std::to_string(promise.size()) + "\n" + promise +
                     "entries " + std::to_string(evidence.entries.size()) + "\n";
  for (const Bytes& entry : evidence.entries) text += Base64(entry) + "\n";
  return text + ExtensionText(evidence.extension);
}

Result<BrokenPromise> ParseBrokenPromise(std::string_view text) {
  if (text.size() > kBrokenPromiseBytesMax) return Bad("longer than evidence may be");
  Text rest(text);
  if (!rest.Skip(kBrokenHead)) return Bad("no evidence of a broken promise of this version");
  const std::optional<std::size_t> size = rest.Number("promise ", kPromiseBytesMax);
  const std::optional<std::string_view> promise = size ? rest.Take(*size) : std::nullopt;
  if (!promise) return Bad("it is cut off");
  BrokenPromise evidence;
  ACCELMESH_ASSIGN_OR_RETURN(evidence.promise, ParsePromise(*promise));
  const std::optional<std::size_t> entries = rest.Number("entries ", kEntriesMax);
  if (!entries) return Bad("it does not say how many entries follow");
  for (std::size_t i = 0; i < *entries; ++i) {
    const std::optional<std::string_view> line = rest.Line();
    if (!line) return Bad("it is cut off");
    ACCELMESH_ASSIGN_OR_RETURN(Bytes entry, ParseBase64(*line));
    evidence.entries.push_back(std::move(entry));
  }
  ACCELMESH_ASSIGN_OR_RETURN(evidence.extension, ParseExtension(rest.rest()));
  return evidence;
}

}  // namespace accelmesh::market::ledger
