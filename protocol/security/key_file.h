// Identities on disk: a folder with a file for each, that only its owner can read.
//
//   file := "accelmesh-key 1" LF "name " name LF "role " role LF "created-ms " digits LF "ed25519-seed " 64 hex LF
//
// The folder has mode 0700 and the files 0600, and both belong to the user; anything else is refused with the command
// that mends it, because whoever could read a key once may keep it. Files are written beside and renamed, so that a
// crash leaves the old key or the new one. A rotated key stays as NAME.DATE.old: what it has signed is still to be
// verified until it ends.
// Threads and processes: two may create or rotate at once; one of them is told that the other was first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/result.h"
#include "protocol/security/keys.h"

namespace accelmesh::security {

enum class Role : std::uint8_t { kTenant, kProvider, kAdmin, kWitness };
std::string_view Name(Role role);
// kInvalidArgument with the names that there are.
Result<Role> ParseRole(std::string_view name);

struct Identity {
  std::string name;
  Role role = Role::kTenant;
  std::int64_t created_ms = 0;  // Unix time
  SigningKey key;
};

// What is shown of an identity; nothing secret.
struct IdentityFacts {
  std::string name;
  Role role = Role::kTenant;
  std::int64_t created_ms = 0;
  PublicKey public_key;
  bool is_old = false;  // rotated away
  std::string path;
  std::string fault;  // why it cannot be used; then only path is set
};

class KeyFolder {
 public:
  static constexpr std::size_t kFileBytesMax = 4096;

  // Nothing is looked at yet.
  explicit KeyFolder(std::string path) : path_(std::move(path)) {}

  // Makes the folder if it is not there. A name has 1 to 32 lower-case letters, digits and '-'. kInvalidArgument if the
  // name is taken: a key is never overwritten, only rotated.
  Result<Identity> Create(const std::string& name, Role role, std::int64_t now_ms) const;
  Result<Identity> Load(const std::string& name) const;
  // All, by path; those that cannot be used say why. Nothing if the folder is not there.
  Result<std::vector<IdentityFacts>> List() const;
  // A new key under the same name and role; the old one stays, as an old one.
  Result<Identity> Rotate(const std::string& name, std::int64_t now_ms) const;

 private:
  Status CheckFolder() const;
  std::string FileOf(const std::string& name) const { return path_ + "/" + name + ".key"; }
  std::string path_;
};

// Where a user's keys lie: $XDG_CONFIG_HOME/accelmesh/keys, else $HOME/.config/accelmesh/keys; the folder above is
// made. kNotFound if neither is set.
Result<std::string> DefaultKeyFolder();

// The text of a key file, and back; the fuzzer's way in. Errors repeat nothing of the text.
std::string KeyText(const Identity& identity);
Result<Identity> ParseKeyText(std::string_view text);

}  // namespace accelmesh::security
