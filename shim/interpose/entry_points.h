// Where each function of the runtime is answered: the generated table, by name.
//
// Threads: constant.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

namespace accelmesh {

struct EntryPoint {
  std::string_view name;
  void (*function)();  // its true signature is the one of that name
};

// Sorted by name.
using EntryTable = std::span<const EntryPoint>;
EntryTable EntryPoints();

// Null if the table does not know it.
inline const EntryPoint* FindEntryPoint(EntryTable table, std::string_view name) {
  const auto found =
      std::lower_bound(table.begin(), table.end(), name,
                       [](const EntryPoint& entry, std::string_view wanted) { return entry.name < wanted; });
  return found != table.end() && found->name == name ? &*found : nullptr;
}

}  // namespace accelmesh
