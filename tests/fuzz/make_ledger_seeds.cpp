// Writes the seeds of ledger_fuzz into a folder: what a small market's ledger has of each kind.
#include <fstream>

#include "market/ledger/journal.h"
#include "tests/fuzz/input.h"
#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

int main(int argc, char** argv) {
  using namespace accelmesh;
  using namespace accelmesh::market::ledger;
  if (argc != 2) return 2;
  const auto write = [&](const std::string& name, char kind, ByteView bytes) {
    std::ofstream(std::string(argv[1]) + "/" + name, std::ios::binary) << kind << AsText(bytes);
  };
  const auto text = [](const std::string& value) { return BytesOf(value); };
  EpochWorld world(std::make_unique<MemoryStore>(), 2);
  world.PostAsks(2);
  const EpochRecord record = world.RunEpoch(3, 1);
  world.AppendReceipt();
  Log& log = world.ledger().log();
  write("note", 0, text(log.note()));
  write("cosigned", 0, text(log.note() + CosignatureLine(ParseNote(log.note())->text, "w1", KeyOf(5), 1'790'000'000)));
  write("extension", 1, text(ExtensionText(log.ProveExtension(3).value())));
  write("inclusion", 1, text(InclusionText(log.ProveEntry(2).value())));
  EpochWorld fork(std::make_unique<MemoryStore>(), 3);
  fork.PostAsks(9);
  write("evidence", 2,
        text(EvidenceText(
            FindFork(log.note(), fork.ledger().log().note(), fork.ledger().log().nodes(), log.key()).ok()
                ? FindFork(log.note(), fork.ledger().log().note(), fork.ledger().log().nodes(), log.key()).value()
                : FindFork(fork.ledger().log().note(), log.note(), log.nodes(), log.key()).value())));
  std::vector<Bytes> entries;
  for (std::uint64_t i = 0; i < log.size(); ++i) entries.push_back(log.Entry(i).value());
  Bytes journal = JournalHead(0, 7);
  AppendRecord(journal, 7, 0, std::span(entries).first(3), log.note());
  AppendRecord(journal, 7, 3, std::span(entries).subspan(3, 2), "note");
  write("journal", 3, journal);
  write("journal_torn", 3, ByteView(journal).first(journal.size() - 9));
  write("tile_path", 4, text("tile/0/x001/x234/067.p/5"));
  Bytes bundle{3, 0};
  for (int i = 0; i < 3; ++i) AppendToBundle(bundle, BytesOf("entry"));
  write("bundle", 4, bundle);
  Bytes tile{2, 0};
  tile.resize(2 + 64, 9);
  write("tile", 4, tile);
  write("order", 5, entries[0]);
  write("seal", 5, entries[record.seal]);
  write("epoch_part", 5, entries[record.seal + 1]);
  write("receipt", 5, entries.back());
  write("epoch", 6, EpochBytes(record).value());
  StatedReputation stated{KeyOf(3).public_key(), {}};
  stated.state.tracks.push_back({ReputationRole::kProvider, ReputationEvent::kUptime, {1000, 20}, {10, 21}});
  stated.state.payers.emplace_back(KeyOf(4).public_key(), DecayingWeight{500, 20});
  write("stated", 5, EntryBytes(stated).value());
  Settlement settlement{
      1, {{2, 5, 1000, {{0, 300, 1000, 7, 2, false}}, {{{}, 2, 0, 0}, {KeyOf(5).public_key(), -2, 0, 0}}}}};
  write("settlement", 5, EntryBytes(settlement).value());
  EpochWorld promising(std::make_unique<MemoryStore>(), 2);
  promising.has_promises = true;
  promising.PostAsks(1);
  const std::uint64_t kept = promising.TakeBid(1);
  const std::uint64_t dropped = promising.TakeBid(2);
  promising.leaves_out = {{kept, LeftOut::kGoods}};
  promising.drops = {dropped};
  write("epoch_with_due", 6, EpochBytes(promising.RunEpoch(1)).value());
  const Log& promised = promising.ledger().log();
  write("promise", 8, text(PromiseText(promising.PromiseOf(kept))));
  BrokenPromise broken{promising.PromiseOf(dropped), {}, promised.ProveExtension(promised.size()).value()};
  for (std::uint64_t i = dropped; i < promised.size(); ++i) broken.entries.push_back(promised.Entry(i).value());
  write("broken_promise", 8, text(BrokenPromiseText(broken)));
  Bytes proof(16 + 96, 1);
  proof[0] = 5;
  proof[8] = 11;
  for (int i = 1; i < 8; ++i) proof[static_cast<std::size_t>(i)] = proof[static_cast<std::size_t>(8 + i)] = 0;
  write("proof", 7, proof);
  return 0;
}
