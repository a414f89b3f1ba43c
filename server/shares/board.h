// The supervisor's side of the page of shares: which leases there are, and who sits where.
//
// A lease is known by its key: what its sessions came with, or a name of the session's own. Its row stays until it has
// no session and was ended, so that its use is not lost between two programs.
//
// Threads: the supervisor's.
#pragma once

#include <map>
#include <string>

#include "protocol/base/result.h"
#include "server/shares/page.h"

namespace accelmesh::shares {

class Board {
 public:
  struct Use {
    std::uint64_t device_ns = 0;
    std::uint64_t memory_high = 0;
    std::uint32_t sessions = 0;  // so far
  };

  static Result<std::unique_ptr<Board>> Create(std::uint32_t threads);

  int fd() const { return page_->fd(); }
  // A seat for a session of the lease, which is known from now on. kFull.
  Result<std::uint32_t> Sit(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_limit);
  // The session has ended, however it did. A lease that was made for a session alone ends with `ends_lease`.
  void Rise(std::uint32_t seat, bool ends_lease);
  // A lease has another share from now on; unknown ones are ignored.
  void Resize(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_limit);
  // It is known no more, once its last session has ended.
  void End(const std::string& lease);
  // Of what is known.
  std::map<std::string, Use> Uses() const;

 private:
  struct Known {
    std::uint32_t row = kNobody;
    std::uint32_t seats = 0;
    std::uint32_t sessions = 0;
    bool is_ended = false;
  };
  explicit Board(std::unique_ptr<Page> page) : page_(std::move(page)) {}
  void Forget(std::map<std::string, Known>::iterator lease);
  void CountLeases();

  std::unique_ptr<Page> page_;
  std::map<std::string, Known> leases_;
  std::map<std::uint32_t, std::string> seats_;
};

}  // namespace accelmesh::shares
