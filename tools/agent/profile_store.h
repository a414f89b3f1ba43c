// Profiles of commands on disk: $XDG_STATE_HOME/accelmesh/profiles (or ~/.local/state/...), a file for each command.
//
// The folder has mode 0700 and at most kProfilesMax files; the one that was written longest ago goes. A file that is no
// profile, is too large, or belongs to somebody else counts as none. Files are replaced by a rename.
// Threads and processes: two runs of one command may save at once; one of the two is lost.
#pragma once

#include <string>

#include "tools/agent/core/profile.h"

namespace accelmesh::agent {

inline constexpr std::size_t kProfilesMax = 512;

class ProfileStore {
 public:
  explicit ProfileStore(std::string folder) : folder_(std::move(folder)) {}
  // The user's; empty if nobody says where it is.
  static std::string UsersFolder();

  // Nothing if the command has no profile yet, kInvalidArgument if it has none that can be read.
  Result<Profile> Load(const std::string& key) const;
  Status Save(const std::string& key, const Profile& profile) const;

 private:
  std::string folder_;
};

}  // namespace accelmesh::agent
