// A session's seat in its lease: the file with its device memory and its table, and what it has opened of other
// members.
//
// Memory that lies in that file is opened by its place there; what lies in files of its own goes over the supervisor.
// Threads: none, the executor's; a LeasedEvent may be completed from any thread. Ownership: descriptors and mappings
// are this object's, and an event keeps the table that it lies in. Units: bytes. Errors: kNotFound for a name that
// means nothing (any more), kInvalidArgument if it means something else than the client says, kFull if a table or the
// supervisor has no room.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>

#include "protocol/base/result.h"
#include "server/device.h"
#include "server/session/lease_table.h"

namespace accelmesh {

// What one member calls another's memory or event. A generation is never used again in a lease.
struct LeaseName {
  std::uint64_t session = 0;
  std::uint64_t generation = 0;
  std::uint32_t slot = 0;
};

// A member's file, mapped as far as its table goes.
class LeaseFile {
 public:
  // The descriptor becomes the object's.
  static Result<std::shared_ptr<LeaseFile>> Open(int fd);
  explicit LeaseFile(int fd) : fd_(fd) {}
  LeaseFile(const LeaseFile&) = delete;
  LeaseFile& operator=(const LeaseFile&) = delete;
  ~LeaseFile();
  int fd() const { return fd_; }
  // Whether [offset, offset + bytes) is device memory.
  bool Covers(std::uint64_t offset, std::uint64_t bytes) const {
    return offset >= LeaseTable::kBytes && offset <= bytes_ && bytes <= bytes_ - offset;
  }
  LeaseTable& table() const { return *table_; }

 private:
  int fd_;
  std::uint64_t bytes_ = 0;
  LeaseTable* table_ = nullptr;
};

// An event that the lease's sessions share.
class LeasedEvent {
 public:
  LeasedEvent(std::shared_ptr<LeaseFile> file, const LeaseName& name, std::uint32_t member, bool is_own)
      : file_(std::move(file)), name_(name), member_(member), is_own_(is_own) {}
  LeasedEvent(const LeasedEvent&) = delete;
  LeasedEvent& operator=(const LeasedEvent&) = delete;
  ~LeasedEvent();
  // The number of a record that is being made.
  std::uint64_t Record();
  void Complete(std::uint64_t ticket);
  std::uint64_t recorded() const { return entry().recorded.load(std::memory_order_acquire); }
  // Of an event that is gone everything has completed.
  bool Passed(std::uint64_t ticket) const;

 private:
  LeaseTable::Event& entry() const { return file_->table().events[name_.slot]; }
  bool is_there() const;

  std::shared_ptr<LeaseFile> file_;
  LeaseName name_;
  std::uint32_t member_;
  bool is_own_;
};

// What a member asks the supervisor. It waits for the answers, which depend on no client and no device.
class LeaseKeeper {
 public:
  virtual ~LeaseKeeper() = default;
  // The file of another member, as a descriptor of the caller's. kNotFound if there is none.
  virtual Result<int> FileOf(std::uint64_t session) = 0;
  // Keeps piece `index`, which is the next one, of the caller's export for those that open it; the descriptor stays the
  // caller's. kFull if it has as many as it may.
  virtual Status Offer(const LeaseName& name, std::uint32_t index, const SharedPiece& piece) = 0;
  virtual void EndOffer(const LeaseName& name) = 0;
  // What another member offered, with a descriptor of the caller's. kNotFound if that is nothing (any more).
  virtual Result<SharedPiece> PieceOf(const LeaseName& name, std::uint32_t index) = 0;
};

// Memory whose descriptors are closed when the last pointer goes, but that of a file of UseFile().
using OwnedMemory = std::shared_ptr<SharedMemory>;
OwnedMemory Own(SharedMemory memory);

class Lease {
 public:
  static Result<std::unique_ptr<Lease>> Take(int fd, std::uint32_t member, std::uint64_t session,
                                             std::unique_ptr<LeaseKeeper> keeper);

  int fd() const { return own_->fd(); }
  std::uint64_t session() const { return session_; }

  // An allocation, known by its address, has one export until that ends.
  struct Export {
    LeaseName name;
    std::uint64_t lead = 0;
    std::uint64_t span = 0;
    bool is_offered = false;  // to the supervisor
    bool has_ended = false;   // but somebody had it open
  };
  std::optional<Export> FindExport(std::uint64_t address) const;
  Result<Export> ExportMemory(std::uint32_t device, std::uint64_t address, std::uint64_t bytes,
                              const SharedMemory& memory);
  // From now on nobody can open it. True while somebody has it open: asked again later, it tells when it no longer is.
  bool EndExport(std::uint64_t address);

  struct OpenedMemory {
    std::shared_ptr<LeaseFile> file;
    OwnedMemory memory;
  };
  Result<OpenedMemory> OpenMemory(const LeaseName& name, std::uint32_t device, std::uint64_t bytes);
  void CloseMemory(const LeaseFile& file, const LeaseName& name);

  Result<std::shared_ptr<LeasedEvent>> MakeEvent(LeaseName* name);
  Result<std::shared_ptr<LeasedEvent>> OpenEvent(const LeaseName& name);

 private:
  Lease(std::shared_ptr<LeaseFile> own, std::uint32_t member, std::uint64_t session, std::uint64_t generation,
        std::unique_ptr<LeaseKeeper> keeper)
      : own_(std::move(own)),
        member_(member),
        session_(session),
        next_generation_(generation),
        keeper_(std::move(keeper)) {}
  Result<std::shared_ptr<LeaseFile>> FileOf(std::uint64_t session);
  Status Offer(const LeaseName& name, const SharedMemory& memory);
  // What the entry's owner says that one has to map, checked.
  Result<OwnedMemory> ReadMemory(const LeaseFile& file, const LeaseName& name, std::uint64_t bytes);

  std::shared_ptr<LeaseFile> own_;
  std::uint32_t member_;
  std::uint64_t session_;
  std::uint64_t next_generation_;
  std::unique_ptr<LeaseKeeper> keeper_;
  std::map<std::uint64_t, Export> exports_;                            // by address
  std::unordered_map<std::uint64_t, std::weak_ptr<LeaseFile>> files_;  // of others, by session
};

}  // namespace accelmesh
