#include "server/main/group.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace accelmesh {
namespace {

// Of the descriptors that this process may have open, those that are kept for leases are at most one in so many.
constexpr std::uint64_t kFilesPart = 2;

// What the worker may be asked to reserve as a window, and more than it will.
constexpr std::uint64_t kWindowBytesMax = 8192 * limits::kGiB;

const auto kIs = [](std::uint64_t session) {
  return [session](const auto& member) { return member.session == session; };
};

}  // namespace

Groups::~Groups() {
  for (auto& [secret, members] : groups_) {
    for (Member& member : members) Close(member);
  }
}

void Groups::Close(Member& member) {
  for (const auto& [id, file] : member.files) ::close(file.fd);
  files_ -= member.files.size();
  ::munmap(member.table, LeaseTable::kBytes);
  ::close(member.file);
}

Groups::Member* Groups::Find(std::uint64_t session) {
  for (auto& [secret, members] : groups_) {
    const auto found = std::find_if(members.begin(), members.end(), kIs(session));
    if (found != members.end()) return &*found;
  }
  return nullptr;
}

Result<Groups::Seat> Groups::Join(const std::string& secret, std::uint64_t session) {
  constexpr const char* kWhere = "Groups::Join";
  const auto group = groups_.find(secret);
  std::uint32_t index = 0;
  if (group != groups_.end()) {
    const auto is_taken = [&group](std::uint32_t seat) {
      return std::any_of(group->second.begin(), group->second.end(),
                         [seat](const Member& member) { return member.index == seat; });
    };
    while (is_taken(index)) ++index;
  }
  if (index >= limits::kSessionsMax) return Status(Code::kFull, kWhere, "the lease has no seat left");
  Member member;
  member.session = session;
  member.index = index;
  // A file past the limit would be a signal that ends the supervisor.
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < LeaseTable::kBytes + kWindowBytesMax)
    return Status(Code::kSystem, kWhere, "the size of files is limited; run with `ulimit -f unlimited`");
  // Sparse: a page is there once it has been written.
  member.file = ::memfd_create("accelmesh-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (member.file < 0) return Status::System(errno, kWhere, "no file for the session's memory");
  // Sealed at its size: workers have it for writing, and whoever maps a file that shrinks ends by a signal.
  if (::ftruncate(member.file, static_cast<off_t>(LeaseTable::kBytes + kWindowBytesMax)) != 0 ||
      ::fcntl(member.file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    const int error = errno;
    ::close(member.file);
    return Status::System(error, kWhere, "no file of the size of a window");
  }
  void* const table = ::mmap(nullptr, LeaseTable::kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, member.file, 0);
  if (table == MAP_FAILED) {
    const int error = errno;
    ::close(member.file);
    return Status::System(error, kWhere, "the table cannot be mapped");
  }
  member.table = static_cast<LeaseTable*>(table);
  const Seat seat{member.index, member.file};
  groups_[secret].push_back(std::move(member));
  return seat;
}

Result<int> Groups::FileOf(std::uint64_t asker, std::uint64_t session) const {
  for (const auto& [secret, members] : groups_) {
    if (std::none_of(members.begin(), members.end(), kIs(asker))) continue;
    const auto found = std::find_if(members.begin(), members.end(), kIs(session));
    if (found != members.end()) return found->file;
  }
  return Status(Code::kNotFound, "Groups::FileOf", "no session of this lease");
}

// What lies in files of its own
// ------------------------------------------------------------------------------------------

Status Groups::Add(Member& member, const LeaseName& name, std::uint32_t index, const SharedPiece& piece) {
  constexpr const char* kWhere = "Groups::Offer";
  if (piece.fd < 0) return {Code::kFull, kWhere, "the descriptor did not come"};
  if (piece.id == 0 || piece.bytes == 0 || name.generation == 0 || name.slot >= member.table->memory.size())
    return {Code::kInvalidArgument, kWhere, "not a piece of an export"};
  if (const auto old = member.exports.find(name.slot);
      old != member.exports.end() && old->second.generation != name.generation)
    Forget(member, name.slot);
  const auto exported = member.exports.find(name.slot);
  if (index != (exported == member.exports.end() ? 0 : exported->second.pieces.size()))
    return {Code::kInvalidArgument, kWhere, "not the next piece"};
  if (member.pieces >= limits::kSharedPiecesMax) return {Code::kFull, kWhere, "the session has offered too much"};
  const auto file = member.files.find(piece.id);
  if (file == member.files.end()) {
    rlimit limit{};
    if (member.files.size() >= limits::kSharedFilesMax || ::getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        files_ >= limit.rlim_cur / kFilesPart)
      return {Code::kFull, kWhere, "too many files of shared memory"};
    ++files_;
    member.files[piece.id] = {piece.fd, 1};
  } else {
    ++file->second.uses;
  }
  SharedPiece kept = piece;
  kept.fd = member.files[piece.id].fd;
  if (kept.fd != piece.fd) ::close(piece.fd);
  Export& grown = member.exports[name.slot];
  grown.generation = name.generation;
  grown.pieces.push_back(kept);
  ++member.pieces;
  return Status::Ok();
}

Status Groups::Offer(const LeaseName& name, std::uint32_t index, const SharedPiece& piece) {
  Member* const member = Find(name.session);
  const Status added = member != nullptr ? Add(*member, name, index, piece)
                                         : Status(Code::kNotFound, "Groups::Offer", "the session is in no lease");
  if (!added.ok() && piece.fd >= 0) ::close(piece.fd);
  return added;
}

void Groups::Forget(Member& member, std::uint32_t slot) {
  const auto exported = member.exports.find(slot);
  for (const SharedPiece& piece : exported->second.pieces) {
    const auto file = member.files.find(piece.id);
    if (--file->second.uses != 0) continue;
    ::close(file->second.fd);
    member.files.erase(file);
    --files_;
  }
  member.pieces -= exported->second.pieces.size();
  member.exports.erase(exported);
}

void Groups::EndOffer(const LeaseName& name) {
  Member* const member = Find(name.session);
  if (member == nullptr) return;
  const auto exported = member->exports.find(name.slot);
  if (exported != member->exports.end() && exported->second.generation == name.generation) Forget(*member, name.slot);
}

Result<SharedPiece> Groups::PieceOf(std::uint64_t asker, const LeaseName& name, std::uint32_t index) const {
  for (const auto& [secret, members] : groups_) {
    if (std::none_of(members.begin(), members.end(), kIs(asker))) continue;
    const auto member = std::find_if(members.begin(), members.end(), kIs(name.session));
    if (member == members.end()) break;
    const auto exported = member->exports.find(name.slot);
    if (exported == member->exports.end() || exported->second.generation != name.generation ||
        index >= exported->second.pieces.size())
      break;
    return exported->second.pieces[index];
  }
  return Status(Code::kNotFound, "Groups::PieceOf", "nothing of this lease");
}

void Groups::Leave(std::uint64_t session) {
  for (auto group = groups_.begin(); group != groups_.end(); ++group) {
    Members& members = group->second;
    const auto found = std::find_if(members.begin(), members.end(), kIs(session));
    if (found == members.end()) continue;
    Member gone = std::move(*found);
    members.erase(found);
    gone.table->is_ended.store(1, std::memory_order_release);
    for (const Member& other : members) {
      for (LeaseTable::Memory& memory : other.table->memory) memory.LetGo(gone.index);
      for (LeaseTable::Event& event : other.table->events) {
        // Nobody is left who would complete it, and others may be waiting.
        if (event.recorder.load(std::memory_order_acquire) == gone.index + 1)
          event.Complete(event.recorded.load(std::memory_order_acquire));
      }
    }
    // Who has opened memory of it holds the files.
    Close(gone);
    if (members.empty()) groups_.erase(group);
    return;
  }
}

}  // namespace accelmesh
