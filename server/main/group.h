// The leases of this server: sessions that came with one secret share memory and events (server/session/lease.h). The
// supervisor gives each session a file, which its worker maps as device memory, hands it to workers of the same lease
// that ask for it, and clears up in the tables of the others behind a session that has ended, however it did. Of memory
// that lies in files of its own, as a GPU's does, it keeps those while a session exports it.
//
// Threads: none; the supervisor's. Ownership: descriptors and mappings are this object's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/base/result.h"
#include "server/session/lease.h"

namespace accelmesh {

class Groups {
 public:
  struct Seat {
    std::uint32_t member = 0;  // among the lease's live sessions
    int file = -1;             // stays the group's
  };

  Groups() = default;
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;
  ~Groups();
  // `secret` is what the client came with. kFull if the lease has no seat left.
  Result<Seat> Join(const std::string& secret, std::uint64_t session);
  // The file of another session of the asker's lease, which stays the group's. kNotFound if there is none.
  Result<int> FileOf(std::uint64_t asker, std::uint64_t session) const;
  // Piece `index` of what the session exports; the descriptor is the group's from now on. kFull past the limits,
  // kInvalidArgument if it is none or not the next one.
  Status Offer(const LeaseName& name, std::uint32_t index, const SharedPiece& piece);
  void EndOffer(const LeaseName& name);
  // A piece that a session of the asker's lease offered; its descriptor stays the group's. kNotFound if there is none.
  Result<SharedPiece> PieceOf(std::uint64_t asker, const LeaseName& name, std::uint32_t index) const;
  // A session that has no seat is none of its business.
  void Leave(std::uint64_t session);

 private:
  struct File {
    int fd = -1;
    std::size_t uses = 0;  // by pieces
  };
  struct Export {
    std::uint64_t generation = 0;
    std::vector<SharedPiece> pieces;  // their descriptors are `files`'
  };
  struct Member {
    std::uint64_t session = 0;
    std::uint32_t index = 0;
    int file = -1;
    LeaseTable* table = nullptr;
    std::unordered_map<std::uint64_t, File> files;      // by the pieces' ids
    std::unordered_map<std::uint32_t, Export> exports;  // by slot
    std::size_t pieces = 0;                             // of all exports
  };
  using Members = std::vector<Member>;
  Member* Find(std::uint64_t session);
  // Takes the piece, or says why not; then its descriptor is still open.
  Status Add(Member& member, const LeaseName& name, std::uint32_t index, const SharedPiece& piece);
  void Forget(Member& member, std::uint32_t slot);
  void Close(Member& member);

  std::map<std::string, Members> groups_;  // by secret
  std::size_t files_ = 0;                  // of all members
};

}  // namespace accelmesh
