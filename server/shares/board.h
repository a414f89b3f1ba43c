// The supervisor's side of the page of shares: which leases there are, and who sits where.
//
// A lease is known by its key: what its sessions came with, or a name of the session's own. Its row stays until it has
// no session and was ended, so that its use is not lost between two programs; and what it has used is known for some
// time after that, so that its receipt says it.
//
// A worker that is stopped while it holds the page keeps nobody waiting for long: what could not be said of a session
// or a lease then is said when the page is locked next.
//
// Threads: the supervisor's.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/base/result.h"
#include "server/shares/page.h"

namespace accelmesh::shares {

class Board {
 public:
  struct Use {
    std::uint64_t device_ns = 0;
    std::uint64_t memory_high = 0;
    std::uint32_t sessions = 0;  // so far
    std::uint32_t delivered_ppm = 1'000'000;
  };
  static constexpr std::size_t kPastMax = 1024;

  static Result<std::unique_ptr<Board>> Create(std::uint32_t threads);

  int fd() const { return page_->fd(); }
  // A seat for a session of the lease, which is known from now on. kFull.
  Result<std::uint32_t> Sit(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_limit);
  // The session has ended, however it did. A lease that was made for a session alone ends with `ends_lease`.
  void Rise(std::uint32_t seat, bool ends_lease);
  // A lease has another share from now on; unknown ones are ignored.
  void Resize(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_limit);
  // Its row is free, once its last session has ended; its use is known until kPastMax others have ended after it last
  // did.
  void End(const std::string& lease);
  // Of what is known, or was.
  std::map<std::string, Use> Uses();
  // Of each of these.
  std::vector<Use> UsesOf(const std::vector<std::string>& leases);

 private:
  struct Terms {
    std::uint32_t share_milli = 0;
    std::uint64_t memory_limit = 0;
  };
  struct Known {
    std::uint32_t row = kNobody;
    std::uint32_t seats = 0;
    std::uint32_t sessions = 0;
    bool is_ended = false;
    bool is_remembered = false;  // somebody has ended it, not its only session
    std::optional<Terms> later;  // that its row does not have yet
  };
  // The page's lock, with all that is due done.
  class Lock {
   public:
    Lock(Board& board, std::int64_t patience_ns);
    bool held() const { return lock_.held(); }
    Turns turns() { return lock_.turns(); }

   private:
    Page::Lock lock_;
  };
  explicit Board(std::unique_ptr<Page> page) : page_(std::move(page)) {}
  // Of what is done later if it cannot be done now.
  std::int64_t Patience() const;
  // Under the page's lock.
  void CatchUp(Turns turns);
  void Forget(std::map<std::string, Known>::iterator lease);
  Use Read(const Known& known) const;
  void CountLeases();

  std::unique_ptr<Page> page_;
  bool was_missed_ = false;  // the page's lock, the last time
  std::map<std::string, Known> leases_;
  std::map<std::uint32_t, std::string> seats_;
  std::vector<std::uint32_t> risen_;  // seats that the page still has
  std::map<std::string, Use> past_;
  std::deque<std::string> past_order_;
};

}  // namespace accelmesh::shares
