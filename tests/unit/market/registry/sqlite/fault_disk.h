// A file layer of SQLite's that keeps what a loss of power would leave of each file (what was synced), counts syncs,
// and refuses writes or syncs when told to. Registered under a name, for Database::Options::vfs.
//
// Threads: one store at a time. One of it exists in a process.
#pragma once

#include <cstdint>
#include <string>

namespace accelmesh::registry {

class FaultDisk {
 public:
  FaultDisk();
  ~FaultDisk();
  FaultDisk(const FaultDisk&) = delete;
  FaultDisk& operator=(const FaultDisk&) = delete;

  static const char* name() { return "accelmesh-fault-disk"; }
  // Writes that make a file longer or change it fail with "no space left", until told otherwise.
  static void SetFull(bool full);
  // The next sync fails with an input/output error.
  static void FailNextSync();
  static std::uint64_t syncs();
  // Without it, syncs are only counted.
  static void KeepSynced(bool keep);
  // Puts what a loss of power would have left of `file` now at `copy`.
  static void CopySynced(const std::string& file, const std::string& copy);
};

}  // namespace accelmesh::registry
