#include "server/main/group.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace accelmesh {
namespace {

// What the worker may be asked to reserve as a window, and more than it will.
constexpr std::uint64_t kWindowBytesMax = 8192 * limits::kGiB;

const auto kIs = [](std::uint64_t session) {
  return [session](const auto& member) { return member.session == session; };
};

}  // namespace

Groups::~Groups() {
  for (const auto& [secret, members] : groups_) {
    for (const Member& member : members) {
      ::munmap(member.table, LeaseTable::kBytes);
      ::close(member.file);
    }
  }
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
  groups_[secret].push_back(member);
  return Seat{member.index, member.file};
}

Result<int> Groups::FileOf(std::uint64_t asker, std::uint64_t session) const {
  for (const auto& [secret, members] : groups_) {
    if (std::none_of(members.begin(), members.end(), kIs(asker))) continue;
    const auto found = std::find_if(members.begin(), members.end(), kIs(session));
    if (found != members.end()) return found->file;
  }
  return Status(Code::kNotFound, "Groups::FileOf", "no session of this lease");
}

void Groups::Leave(std::uint64_t session) {
  for (auto group = groups_.begin(); group != groups_.end(); ++group) {
    Members& members = group->second;
    const auto found = std::find_if(members.begin(), members.end(), kIs(session));
    if (found == members.end()) continue;
    const Member gone = *found;
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
    ::munmap(gone.table, LeaseTable::kBytes);
    // Who has opened memory of it holds the file.
    ::close(gone.file);
    if (members.empty()) groups_.erase(group);
    return;
  }
}

}  // namespace accelmesh
