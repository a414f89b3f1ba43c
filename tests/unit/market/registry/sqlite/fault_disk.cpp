#include "tests/unit/market/registry/sqlite/fault_disk.h"

#include <sqlite3.h>

#include <atomic>
#include <fstream>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace accelmesh::registry {
namespace {

std::mutex g_mutex;
std::map<std::string, std::vector<char>> g_synced;
std::atomic<bool> g_full{false};
std::atomic<bool> g_fail_sync{false};
std::atomic<bool> g_keep{true};
std::atomic<std::uint64_t> g_syncs{0};
sqlite3_vfs* g_real = nullptr;
sqlite3_vfs g_ours;

// The real file follows in the same memory.
struct File {
  sqlite3_file base;
  std::string* name;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};
File* Of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
sqlite3_file* Real(sqlite3_file* file) { return Of(file)->real(); }

int Close(sqlite3_file* file) {
  delete Of(file)->name;
  return Real(file)->pMethods->xClose(Real(file));
}
int Read(sqlite3_file* file, void* bytes, int size, sqlite3_int64 at) {
  return Real(file)->pMethods->xRead(Real(file), bytes, size, at);
}
int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 at) {
  if (g_full) return SQLITE_FULL;
  return Real(file)->pMethods->xWrite(Real(file), bytes, size, at);
}
int Truncate(sqlite3_file* file, sqlite3_int64 size) { return Real(file)->pMethods->xTruncate(Real(file), size); }
int Sync(sqlite3_file* file, int flags) {
  if (g_fail_sync.exchange(false)) return SQLITE_IOERR_FSYNC;
  ++g_syncs;
  const int code = Real(file)->pMethods->xSync(Real(file), flags);
  sqlite3_int64 size = 0;
  if (!g_keep || code != SQLITE_OK || Real(file)->pMethods->xFileSize(Real(file), &size) != SQLITE_OK) return code;
  std::vector<char> bytes(static_cast<std::size_t>(size));
  if (size > 0) Real(file)->pMethods->xRead(Real(file), bytes.data(), static_cast<int>(size), 0);
  const std::lock_guard lock(g_mutex);
  g_synced[*Of(file)->name] = std::move(bytes);
  return code;
}
int FileSize(sqlite3_file* file, sqlite3_int64* size) { return Real(file)->pMethods->xFileSize(Real(file), size); }
int Lock(sqlite3_file* file, int level) { return Real(file)->pMethods->xLock(Real(file), level); }
int Unlock(sqlite3_file* file, int level) { return Real(file)->pMethods->xUnlock(Real(file), level); }
int IsReserved(sqlite3_file* file, int* result) { return Real(file)->pMethods->xCheckReservedLock(Real(file), result); }
int Control(sqlite3_file* file, int operation, void* argument) {
  return Real(file)->pMethods->xFileControl(Real(file), operation, argument);
}
int SectorSize(sqlite3_file* file) { return Real(file)->pMethods->xSectorSize(Real(file)); }
int Traits(sqlite3_file* file) { return Real(file)->pMethods->xDeviceCharacteristics(Real(file)); }

// Version 1: no shared memory, which an exclusive WAL does not need.
const sqlite3_io_methods kMethods = {1,       Close,   Read,       Write,   Truncate,   Sync,   FileSize,
                                     Lock,    Unlock,  IsReserved, Control, SectorSize, Traits, nullptr,
                                     nullptr, nullptr, nullptr,    nullptr, nullptr};

int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* flags_out) {
  File* ours = Of(file);
  ours->base.pMethods = nullptr;
  ours->name = nullptr;
  ours->real()->pMethods = nullptr;
  const int code = g_real->xOpen(g_real, name, ours->real(), flags, flags_out);
  if (ours->real()->pMethods == nullptr) return code;
  ours->name = new std::string(name == nullptr ? "" : name);
  ours->base.pMethods = &kMethods;
  return code;
}

}  // namespace

FaultDisk::FaultDisk() {
  g_real = sqlite3_vfs_find(nullptr);
  g_ours = *g_real;
  g_ours.szOsFile = static_cast<int>(sizeof(File)) + g_real->szOsFile;
  g_ours.zName = name();
  g_ours.xOpen = Open;
  g_full = false;
  g_fail_sync = false;
  g_keep = true;
  g_syncs = 0;
  g_synced.clear();
  sqlite3_vfs_register(&g_ours, 0);
}

FaultDisk::~FaultDisk() { sqlite3_vfs_unregister(&g_ours); }

void FaultDisk::SetFull(bool full) { g_full = full; }
void FaultDisk::FailNextSync() { g_fail_sync = true; }
void FaultDisk::KeepSynced(bool keep) { g_keep = keep; }
std::uint64_t FaultDisk::syncs() { return g_syncs; }

void FaultDisk::CopySynced(const std::string& file, const std::string& copy) {
  const std::lock_guard lock(g_mutex);
  const auto found = g_synced.find(file);
  if (found == g_synced.end()) return;
  std::ofstream(copy, std::ios::binary).write(found->second.data(), static_cast<std::streamsize>(found->second.size()));
}

}  // namespace accelmesh::registry
