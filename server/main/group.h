// The leases of this server: sessions that came with one secret share memory and events (server/session/lease.h). The
// supervisor gives each session a file, which its worker maps as device memory, hands it to workers of the same lease
// that ask for it, and clears up in the tables of the others behind a session that has ended, however it did.
//
// Threads: none; the supervisor's. Ownership: descriptors and mappings are this object's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "protocol/base/result.h"
#include "server/session/lease_table.h"

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
  // A session that has no seat is none of its business.
  void Leave(std::uint64_t session);

 private:
  struct Member {
    std::uint64_t session = 0;
    std::uint32_t index = 0;
    int file = -1;
    LeaseTable* table = nullptr;
  };
  using Members = std::vector<Member>;

  std::map<std::string, Members> groups_;  // by secret
};

}  // namespace accelmesh
