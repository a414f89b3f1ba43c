// A log in a folder: anybody may copy it and verify it offline.
//
//   journal            committed entries that full tiles may not have on the disk yet, and the last checkpoint
//   (journal.h) journal-mark       how many entries were acknowledged; journal-lock: held by the process that appends
//   tile/...           full tiles and bundles (tile.h); partial ones, checkpoint and key as of the last Publish()
//
// A commit is one append to the journal and one fdatasync. Tiles are written after it and synced behind its back
// (file_syncer.h); once the journal is large and all tiles are synced, a new one takes its place by a rename. So kill
// -9 or a loss of power at any moment leaves a folder that opens with all that was acknowledged.
//
// Reading needs no lock and may go on while another process appends: what it sees is some state that was committed.
// Threads: one at a time. One appending process at a time.
#pragma once

#include <memory>

#include "market/ledger/store.h"

namespace accelmesh::market::ledger {

enum class Access : std::uint8_t { kRead, kAppend };

struct FolderOptions {
  std::size_t journal_bytes_max = std::size_t{16} << 20;
  // Writes the journal anew before anything is appended: after an error of the disk, within one process.
  bool is_rewritten = false;
};

// kAppend makes the folder if it is not there and locks it: kUnavailable if another process has it.
Result<std::unique_ptr<Store>> OpenFolder(const std::string& path, Access access, FolderOptions options = {});

// A file's bytes, for what lies beside tiles: kNotFound, or kLimitExceeded beyond `bytes_max`.
Result<Bytes> ReadFileBytes(const std::string& path, std::size_t bytes_max);
// Beside it, synced, and then in its place: what is read is the old one or the new one, also after a loss of power.
Status ReplaceFile(const std::string& path, ByteView bytes);

}  // namespace accelmesh::market::ledger
