// What answers of a library depend on besides the question (Backend::LibraryIdentity()), as text that changes when it
// may.
//
// Threads: from any, while nobody changes the environment.
#pragma once

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace accelmesh {

// The shared object that `symbol` lies in: another build of it is another file, or one of another time.
inline std::string ObjectIdentity(const void* symbol) {
  Dl_info info{};
  struct stat facts{};
  if (::dladdr(symbol, &info) == 0 || info.dli_fname == nullptr || ::stat(info.dli_fname, &facts) != 0) return "|";
  return std::string(info.dli_fname) + " " + std::to_string(facts.st_size) + " " +
         std::to_string(facts.st_mtim.tv_sec) + "." + std::to_string(facts.st_mtim.tv_nsec) + "|";
}

// The environment variables whose names begin with one of `fronts`: libraries are tuned by them.
inline std::string EnvironmentIdentity(std::initializer_list<std::string_view> fronts) {
  std::vector<std::string_view> set;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view variable = *at;
    if (std::any_of(fronts.begin(), fronts.end(), [&](auto front) { return variable.starts_with(front); }))
      set.push_back(variable);
  }
  std::sort(set.begin(), set.end());
  std::string identity;
  for (const std::string_view variable : set) identity += std::string(variable) + "|";
  return identity;
}

}  // namespace accelmesh
