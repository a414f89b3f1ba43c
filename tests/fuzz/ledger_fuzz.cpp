// Everything of the ledger that is read from others: notes, proofs, evidence, tiles, journals, entries, epochs. The
// first byte says which.
#include "market/ledger/folder_store.h"
#include "market/ledger/journal.h"
#include "market/ledger/market_orders.h"
#include "market/ledger/promise.h"
#include "market/ledger/verify_epoch.h"
#include "market/ledger/witness.h"
#include "tests/fuzz/input.h"

namespace {

using namespace accelmesh;
using namespace accelmesh::market::ledger;
using fuzz::Require;

void Refused(const Status& status) { Require(!status.text().empty(), "a refusal says why"); }

void FuzzNote(ByteView bytes) {
  const Result<Note> note = ParseNote(AsText(bytes));
  if (!note.ok()) return Refused(note.status());
  Require(NoteBytes(*note) == AsText(bytes), "a note is written as it was read");
  Require(note->signatures.size() <= kNoteSignaturesMax, "signatures are bounded");
  const NamedKey log{"market.example/log", {}};
  Require(!VerifyCheckpoint(AsText(bytes), log, {&log, 1}).ok(), "nobody has the key of zeroes");
  const Result<Checkpoint> checkpoint = ParseCheckpointText(note->text);
  if (checkpoint.ok()) Require(CheckpointText(*checkpoint) == note->text, "a checkpoint has one text");
}

void FuzzProofText(ByteView bytes) {
  if (const Result<Extension> extension = ParseExtension(AsText(bytes)); extension.ok()) {
    Require(ExtensionText(*extension) == AsText(bytes), "an extension has one text");
    Require(!Judge(std::nullopt, *extension, {"market.example/log", {}}).ok(), "nobody has the key of zeroes");
  }
  if (const Result<Inclusion> inclusion = ParseInclusion(AsText(bytes)); inclusion.ok()) {
    Require(InclusionText(*inclusion) == AsText(bytes), "an inclusion has one text");
  }
}

void FuzzEvidence(ByteView bytes) {
  const Result<ForkEvidence> evidence = ParseEvidence(AsText(bytes));
  if (!evidence.ok()) return Refused(evidence.status());
  Require(EvidenceText(*evidence) == AsText(bytes), "evidence has one text");
  Require(!VerifyFork(*evidence, {"market.example/log", {}}).ok(), "nobody is convicted by the key of zeroes");
}

void FuzzJournal(ByteView bytes) {
  const Result<Journal> journal = ParseJournal(bytes);
  if (!journal.ok()) return Refused(journal.status());
  Require(journal->size <= bytes.size(), "what is whole is not longer than the file");
  for (const ByteView entry : journal->entries) fuzz::Touch(entry);
  const Result<Journal> again = ParseJournal(bytes.first(journal->size));
  Require(again.ok() && again->size == journal->size && again->entries.size() == journal->entries.size() &&
              again->note == journal->note,
          "cut off, it says the same");
  (void)ParseMark(bytes);
}

void FuzzTiles(ByteView bytes) {
  if (const Result<TileName> name = ParseTilePath(AsText(bytes)); name.ok()) {
    Require(PathOf(*name) == AsText(bytes), "a tile has one path");
  }
  fuzz::Input input(bytes.data(), bytes.size());
  const std::size_t width = input.Number<std::uint16_t>() % 300;
  const ByteView rest = input.Rest();
  if (const auto tile = ParseTile(rest, width); tile.ok()) {
    const Bytes written = TileBytes(*tile);
    Require(std::equal(written.begin(), written.end(), rest.begin(), rest.end()), "a tile is written as it was read");
  }
  if (const auto bundle = ParseBundle(rest, width); bundle.ok()) {
    Require(bundle->size() == width, "a bundle has its entries");
    Bytes written;
    for (const ByteView entry : *bundle) AppendToBundle(written, entry);
    Require(std::equal(written.begin(), written.end(), rest.begin(), rest.end()), "a bundle is written as it was read");
  }
  (void)ParseVerifierKey(AsText(rest));
}

void FuzzEntry(ByteView bytes) {
  const Result<Entry> entry = ParseEntry(bytes);
  if (!entry.ok()) return Refused(entry.status());
  Require(EntryBytes(*entry).value() == Bytes(bytes.begin(), bytes.end()), "an entry has one encoding");
  if (const auto* order = std::get_if<SignedOrder>(&*entry)) {
    const Result<OrderTerms> terms = MarketOrders().Read(*order);
    if (!terms.ok()) Refused(terms.status());
  }
  if (const auto* settlement = std::get_if<Settlement>(&*entry)) {
    for (const SettledBid& bid : settlement->bids) {
      ClearedBid cleared;
      for (const SettledTrade& trade : bid.trades) cleared.trades[trade.trade].units_milli = trade.units_milli;
      if (const Status settled = CheckSettled(bid, cleared); !settled.ok()) Refused(settled);
    }
  }
  if (const auto* receipt = std::get_if<CounterSignedReceipt>(&*entry)) {
    const std::int64_t refund = RefundOf(receipt->receipt, 20'000);
    Require(refund >= 0 && refund <= receipt->receipt.price_microcredits, "a refund is a part of the price");
    (void)VerifyReceipt(*receipt);
  }
}

void FuzzEpoch(ByteView bytes) {
  const Result<EpochRecord> record = ParseEpoch(bytes);
  if (!record.ok()) return Refused(record.status());
  Require(EpochBytes(*record).value() == Bytes(bytes.begin(), bytes.end()), "an epoch has one encoding");
  // All orders are as unsigned as can be; what must not happen is a fault.
  const std::vector<SealedOrder> orders(record->orders.size());
  const Seal seal{record->input.number, 0, static_cast<std::uint32_t>(orders.size()), {}};
  const Result<EpochFacts> facts = VerifyEpoch(*record, seal, orders, "");
  if (!facts.ok()) Refused(facts.status());
  if (const auto outcome = market::auction::ClearEpoch(record->input); outcome.ok()) {
    Require(market::auction::CheckOutcome(record->input, *outcome).ok(), "what clears is balanced");
    (void)DigestsOf(*outcome);
  }
}

void FuzzPromise(ByteView bytes) {
  const NamedKey log{"market.example/log", {}};
  if (const Result<Promise> promise = ParsePromise(AsText(bytes)); promise.ok()) {
    Require(PromiseText(*promise) == AsText(bytes), "a promise has one text");
    Require(!VerifyPromise(*promise, log).ok(), "nobody promises by the key of zeroes");
    const std::vector<Bytes> entries{promise->entry, bytes.empty() ? Bytes{1} : Bytes(bytes.begin(), bytes.end())};
    (void)JudgePromise(*promise, entries, MarketOrders());
  }
  const Result<BrokenPromise> broken = ParseBrokenPromise(AsText(bytes));
  if (!broken.ok()) return Refused(broken.status());
  Require(BrokenPromiseText(*broken) == AsText(bytes), "evidence has one text");
  Require(!JudgeEvidence(*broken, log, MarketOrders()).ok(), "nobody is convicted by the key of zeroes");
  // As if all of it were signed.
  const Result<PromiseVerdict> verdict = JudgePromise(broken->promise, broken->entries, MarketOrders());
  Require(!verdict.ok() || verdict->entries <= broken->entries.size(), "no more is needed than is there");
  (void)CheckEntries(broken->promise, broken->entries, broken->extension, log);
}

void FuzzProof(ByteView bytes) {
  fuzz::Input input(bytes.data(), bytes.size());
  const auto index = input.Number<std::uint64_t>();
  const auto size = input.Number<std::uint64_t>();
  TreeHead head{size, {}};
  std::vector<Hash> proof;
  while (!input.empty()) proof.push_back(input.Number<Hash>());
  (void)VerifyInclusion({}, index, proof, head);
  (void)VerifyConsistency({index, {}}, head, proof);
  (void)OlderRootShown(index, head, proof);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView bytes(data + 1, size - 1);
  switch (data[0] % 9) {
    case 0: FuzzNote(bytes); break;
    case 1: FuzzProofText(bytes); break;
    case 2: FuzzEvidence(bytes); break;
    case 3: FuzzJournal(bytes); break;
    case 4: FuzzTiles(bytes); break;
    case 5: FuzzEntry(bytes); break;
    case 6: FuzzEpoch(bytes); break;
    case 7: FuzzProof(bytes); break;
    case 8: FuzzPromise(bytes); break;
  }
  return 0;
}
