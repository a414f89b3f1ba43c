// The program and the libraries in this process, as its loader lists them for debuggers: in every namespace, and also
// those that are being opened.
//
// Threads: the caller holds the loader's lock (in its hook), or is the only thread.
#pragma once

#include <link.h>

#include <string>
#include <vector>

#include "protocol/base/bytes.h"

namespace accelmesh {

struct LoadedObject {
  const link_map* map = nullptr;
  bool is_program = false;
  std::string name;  // for people
  std::string path;  // where its file is

  std::uintptr_t bias() const { return map->l_addr; }  // memory address of what is linked at 0
};

// The loader's own list for debuggers; the first of its namespaces.
const r_debug& LoaderList();

// Every object that has a file: not the kernel's vdso.
std::vector<LoadedObject> ListLoadedObjects();

// Whether the loader is between two changes; amid one the list may lack some.
bool LoaderIsConsistent();

// Whether what lies in memory was loaded from a file of these bytes, as far as its segments tell. Then all of the
// file's segments are there.
bool IsLoadedFrom(const LoadedObject& object, ByteView file);

}  // namespace accelmesh
