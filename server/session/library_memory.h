// What libraries have answered, by what they were asked: remembered across sessions, so that neither a library nor, by
// what a session hands its client, a server need be asked again.
//
// It lies in a file that the worker processes of a user share (library_memory_file.h); who has none remembers for
// itself. Of an answer only the library's own words are kept, of a question what makes it one: its identity (what the
// answer depends on besides: Backend::LibraryIdentity()), its function, its words. Questions tell how somebody's
// networks are made, so each owner has a memory of its own in it. All are bounded together, and the longest unasked go.
//
// Threads: everything from any thread. Nothing here waits for more than another process's turn at the file, and that
// for a moment only.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"
#include "server/device.h"
#include "server/session/library_memory_file.h"

namespace accelmesh {

class LibraryMemory {
 public:
  static constexpr std::size_t kQuestionBytesMax = 32 << 10;  // longer ones are not remembered
  static constexpr std::size_t kResultBytesMax = 32 << 10;

  // Who has asked: the key of a client that has one, zeros for this user's own.
  using Owner = std::array<std::uint8_t, 32>;

  // An empty path: no file. It is read when it is first needed.
  explicit LibraryMemory(std::string path, const Owner& owner = {}) : owner_(owner), file_(std::move(path)) {}
  // accelmesh/NAME in the user's caches: what is lost with it is asked again. Empty if there is no such place.
  static std::string PathOf(const std::string& name);

  std::optional<LibraryAnswer> Find(const std::string& identity, std::uint32_t function, ByteView question);
  void Keep(const std::string& identity, std::uint32_t function, ByteView question, const LibraryAnswer& answer);

  struct Remembered {
    std::uint32_t function = 0;
    Bytes question;
    LibraryAnswer answer;
  };
  // What there is of one identity, the last that was asked first.
  std::vector<Remembered> All(const std::string& identity);

 private:
  struct Entry {
    LibraryAnswer answer;
    std::uint64_t age = 0;  // of two, the one with the higher was asked later
    bool is_ours = false;   // this process has written it as the file's last
  };

  Bytes KeyOf(const std::string& identity, std::uint32_t function, ByteView question) const;
  void Read() ACCELMESH_REQUIRES(mu_);
  void Insert(Bytes key, LibraryAnswer answer, bool is_ours) ACCELMESH_REQUIRES(mu_);
  void MakeRoom() ACCELMESH_REQUIRES(mu_);

  const Owner owner_;
  Mutex mu_;
  LibraryMemoryFile file_ ACCELMESH_GUARDED_BY(mu_);
  bool is_read_ ACCELMESH_GUARDED_BY(mu_) = false;
  std::uint64_t last_age_ ACCELMESH_GUARDED_BY(mu_) = 0;
  std::size_t bytes_ ACCELMESH_GUARDED_BY(mu_) = 0;
  std::map<Bytes, Entry> entries_ ACCELMESH_GUARDED_BY(mu_);
};

}  // namespace accelmesh
