#include "server/session/lease.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace accelmesh {

Result<std::shared_ptr<LeaseFile>> LeaseFile::Open(int fd) {
  auto file = std::make_shared<LeaseFile>(fd);
  struct stat facts{};
  if (::fstat(fd, &facts) != 0) return Status::System(errno, "LeaseFile::Open", "not a file");
  if (static_cast<std::uint64_t>(facts.st_size) < LeaseTable::kBytes)
    return Status(Code::kInvalidArgument, "LeaseFile::Open", "too small for a table");
  file->bytes_ = static_cast<std::uint64_t>(facts.st_size);
  void* const table = ::mmap(nullptr, LeaseTable::kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (table == MAP_FAILED) return Status::System(errno, "LeaseFile::Open", "the table cannot be mapped");
  file->table_ = static_cast<LeaseTable*>(table);
  return file;
}

LeaseFile::~LeaseFile() {
  if (table_ != nullptr) ::munmap(table_, LeaseTable::kBytes);
  ::close(fd_);
}

// Events -------------------------------------------------------------------------------------------------------------

LeasedEvent::~LeasedEvent() {
  if (is_own_) entry().generation.store(0, std::memory_order_release);
}

bool LeasedEvent::is_there() const {
  return file_->table().is_ended.load(std::memory_order_acquire) == 0 &&
         entry().generation.load(std::memory_order_acquire) == name_.generation;
}

std::uint64_t LeasedEvent::Record() {
  if (!is_there()) return 0;
  // Before the number, so that a supervisor that sees the number knows whose it is.
  entry().recorder.store(member_ + 1, std::memory_order_release);
  return entry().recorded.fetch_add(1, std::memory_order_acq_rel) + 1;
}

void LeasedEvent::Complete(std::uint64_t ticket) {
  if (is_there()) entry().Complete(ticket);
}

bool LeasedEvent::Passed(std::uint64_t ticket) const {
  return !is_there() || entry().completed.load(std::memory_order_acquire) >= ticket;
}

// The seat -----------------------------------------------------------------------------------------------------------

OwnedMemory Own(SharedMemory memory) {
  return {new SharedMemory(std::move(memory)), [](SharedMemory* owned) {
            for (const SharedPiece& piece : owned->pieces) {
              if (piece.id != 0 && piece.fd >= 0) ::close(piece.fd);
            }
            delete owned;
          }};
}

Result<std::unique_ptr<Lease>> Lease::Take(int fd, std::uint32_t member, std::uint64_t session,
                                           std::unique_ptr<LeaseKeeper> keeper) {
  ACCELMESH_ASSIGN_OR_RETURN(std::shared_ptr<LeaseFile> own, LeaseFile::Open(fd));
  if (member >= limits::kSessionsMax) return Status(Code::kInvalidArgument, "Lease::Take", "no such seat");
  // Where counting begins is random: a name of another server's lease, whose sessions have the same numbers, means
  // nothing here.
  std::uint64_t generation = 0;
  if (::getrandom(&generation, sizeof(generation), 0) != static_cast<ssize_t>(sizeof(generation)))
    return Status(Code::kSystem, "Lease::Take", "no random bytes");
  return std::unique_ptr<Lease>(new Lease(std::move(own), member, session, generation | 1, std::move(keeper)));
}

Result<std::shared_ptr<LeaseFile>> Lease::FileOf(std::uint64_t session) {
  std::erase_if(files_, [](const auto& entry) { return entry.second.expired(); });
  std::shared_ptr<LeaseFile> file;
  if (const auto found = files_.find(session); found != files_.end()) file = found->second.lock();
  if (file == nullptr) {
    ACCELMESH_ASSIGN_OR_RETURN(const int fd, keeper_->FileOf(session));
    ACCELMESH_ASSIGN_OR_RETURN(file, LeaseFile::Open(fd));
    files_[session] = file;
  }
  if (file->table().is_ended.load(std::memory_order_acquire) != 0)
    return Status(Code::kNotFound, "Lease", "the session that exported it has ended");
  return file;
}

std::optional<Lease::Export> Lease::FindExport(std::uint64_t address) const {
  const auto found = exports_.find(address);
  if (found == exports_.end() || found->second.has_ended) return std::nullopt;
  return found->second;
}

Status Lease::Offer(const LeaseName& name, const SharedMemory& memory) {
  for (std::uint32_t i = 0; i < memory.pieces.size(); ++i)
    ACCELMESH_RETURN_IF_ERROR(keeper_->Offer(name, i, memory.pieces[i]));
  return Status::Ok();
}

Result<Lease::Export> Lease::ExportMemory(std::uint32_t device, std::uint64_t address, std::uint64_t bytes,
                                          const SharedMemory& memory) {
  auto& entries = own_->table().memory;
  const auto free = std::find_if(entries.begin(), entries.end(), [](const LeaseTable::Memory& entry) {
    return entry.generation.load(std::memory_order_relaxed) == 0 && !entry.is_held();
  });
  if (free == entries.end()) return Status(Code::kFull, "Lease::ExportMemory", "too many exports at a time");
  Export made;
  made.name = {session_, next_generation_, static_cast<std::uint32_t>(free - entries.begin())};
  next_generation_ += 2;  // never 0
  made.lead = memory.lead;
  made.span = memory.span();
  made.is_offered = memory.pieces.front().id != 0;
  if (made.is_offered) {
    if (const Status offered = Offer(made.name, memory); !offered.ok()) {
      keeper_->EndOffer(made.name);
      return offered;
    }
  }
  free->offset.store(memory.pieces.front().offset, std::memory_order_relaxed);
  free->span.store(made.span, std::memory_order_relaxed);
  free->lead.store(made.lead, std::memory_order_relaxed);
  free->bytes.store(bytes, std::memory_order_relaxed);
  free->device.store(device, std::memory_order_relaxed);
  free->pieces.store(made.is_offered ? static_cast<std::uint32_t>(memory.pieces.size()) : 0, std::memory_order_relaxed);
  free->generation.store(made.name.generation, std::memory_order_release);
  exports_[address] = made;
  return made;
}

bool Lease::EndExport(std::uint64_t address) {
  const auto found = exports_.find(address);
  if (found == exports_.end()) return false;
  Export& ended = found->second;
  LeaseTable::Memory& entry = own_->table().memory[ended.name.slot];
  if (!ended.has_ended) {
    // Whoever opens it says that first and looks at the generation then: one of the two sees the other.
    entry.generation.store(0, std::memory_order_seq_cst);
    ended.has_ended = true;
    if (ended.is_offered) keeper_->EndOffer(ended.name);
  }
  // An entry that has been another's since was let go before that.
  if (entry.generation.load(std::memory_order_relaxed) == 0 && entry.is_held()) return true;
  exports_.erase(found);
  return false;
}

Result<OwnedMemory> Lease::ReadMemory(const LeaseFile& file, const LeaseName& name, std::uint64_t bytes) {
  constexpr const char* kWhere = "Lease::ReadMemory";
  // Its worker may have written anything there.
  const LeaseTable::Memory& entry = file.table().memory[name.slot];
  const std::uint64_t span = entry.span.load(std::memory_order_relaxed);
  const std::uint64_t offset = entry.offset.load(std::memory_order_relaxed);
  const std::uint32_t pieces = entry.pieces.load(std::memory_order_relaxed);
  OwnedMemory memory = Own({});
  memory->lead = entry.lead.load(std::memory_order_relaxed);
  if (memory->lead > span || bytes > span - memory->lead || pieces > limits::kSharedPiecesMax)
    return Status(Code::kInvalidArgument, kWhere, "the export is of another size");
  if (pieces == 0) {
    if (!file.Covers(offset, span)) return Status(Code::kInvalidArgument, kWhere, "outside of its session's file");
    memory->pieces.push_back({0, offset, span, file.fd()});
    return memory;
  }
  std::uint64_t left = span;
  for (std::uint32_t i = 0; i < pieces; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(const SharedPiece piece, keeper_->PieceOf(name, i));
    memory->pieces.push_back(piece);
    if (piece.bytes == 0 || piece.bytes > left)
      return Status(Code::kInvalidArgument, kWhere, "the export's pieces are of other sizes");
    left -= piece.bytes;
  }
  if (left != 0) return Status(Code::kInvalidArgument, kWhere, "the export's pieces are of other sizes");
  return memory;
}

Result<Lease::OpenedMemory> Lease::OpenMemory(const LeaseName& name, std::uint32_t device, std::uint64_t bytes) {
  constexpr const char* kWhere = "Lease::OpenMemory";
  if (name.slot >= own_->table().memory.size() || name.generation == 0)
    return Status(Code::kNotFound, kWhere, "no such export");
  OpenedMemory opened;
  ACCELMESH_ASSIGN_OR_RETURN(opened.file, FileOf(name.session));
  LeaseTable::Memory& entry = opened.file->table().memory[name.slot];
  entry.Hold(member_);
  Status status;
  if (entry.generation.load(std::memory_order_seq_cst) != name.generation) {
    status = {Code::kNotFound, kWhere, "the memory was freed"};
  } else if (entry.bytes.load(std::memory_order_relaxed) != bytes ||
             entry.device.load(std::memory_order_relaxed) != device) {
    status = {Code::kInvalidArgument, kWhere, "the export is of another size, or on another device"};
  } else {
    Result<OwnedMemory> memory = ReadMemory(*opened.file, name, bytes);
    status = memory.status();
    if (memory.ok()) opened.memory = *std::move(memory);
  }
  if (status.ok()) return opened;
  entry.LetGo(member_);
  return status;
}

void Lease::CloseMemory(const LeaseFile& file, const LeaseName& name) { file.table().memory[name.slot].LetGo(member_); }

Result<std::shared_ptr<LeasedEvent>> Lease::MakeEvent(LeaseName* name) {
  auto& entries = own_->table().events;
  const auto free = std::find_if(entries.begin(), entries.end(), [](const LeaseTable::Event& entry) {
    return entry.generation.load(std::memory_order_acquire) == 0;
  });
  if (free == entries.end()) return Status(Code::kFull, "Lease::MakeEvent", "too many interprocess events at a time");
  *name = {session_, next_generation_, static_cast<std::uint32_t>(free - entries.begin())};
  next_generation_ += 2;
  free->recorded.store(0, std::memory_order_relaxed);
  free->completed.store(0, std::memory_order_relaxed);
  free->recorder.store(0, std::memory_order_relaxed);
  free->generation.store(name->generation, std::memory_order_release);
  return std::make_shared<LeasedEvent>(own_, *name, member_, true);
}

Result<std::shared_ptr<LeasedEvent>> Lease::OpenEvent(const LeaseName& name) {
  if (name.slot >= own_->table().events.size() || name.generation == 0)
    return Status(Code::kNotFound, "Lease::OpenEvent", "no such event");
  ACCELMESH_ASSIGN_OR_RETURN(std::shared_ptr<LeaseFile> file, FileOf(name.session));
  if (file->table().events[name.slot].generation.load(std::memory_order_acquire) != name.generation)
    return Status(Code::kNotFound, "Lease::OpenEvent", "the event was destroyed");
  return std::make_shared<LeasedEvent>(std::move(file), name, member_, false);
}

}  // namespace accelmesh
