#include "shim/interpose/loaded_objects.h"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "protocol/base/elf.h"

namespace accelmesh {
namespace {

constexpr const char* kProgramFile = "/proc/self/exe";
constexpr int kVersionWithNamespaces = 2;  // of the debugger's protocol: glibc 2.35

// The next namespace's list; null if there is none.
const r_debug* NextNamespace(const r_debug* space) {
  if (space->r_version < kVersionWithNamespaces) return nullptr;
  const r_debug_extended* next = reinterpret_cast<const r_debug_extended*>(space)->r_next;
  return next == nullptr ? nullptr : &next->base;
}

// What the loader has written into the program's dynamic section for debuggers.
int FindDebugEntry(dl_phdr_info* info, std::size_t /*bytes*/, void* list) {
  for (std::size_t i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry) {
      if (entry->d_tag == DT_DEBUG)
        *static_cast<const r_debug**>(list) = reinterpret_cast<const r_debug*>(entry->d_un.d_ptr);
    }
  }
  return 1;  // the program comes first
}

std::string NameOfProgram() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink(kProgramFile, path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "the program";
}

}  // namespace

const r_debug& LoaderList() {
  // Not simply _r_debug: a program that names it may have a copy, which nobody keeps up to date.
  static const r_debug* const found = [] {
    const r_debug* list = nullptr;
    ::dl_iterate_phdr(&FindDebugEntry, &list);
    return list != nullptr ? list : &_r_debug;
  }();
  return *found;
}

std::vector<LoadedObject> ListLoadedObjects() {
  std::vector<LoadedObject> objects;
  for (const r_debug* space = &LoaderList(); space != nullptr; space = NextNamespace(space)) {
    for (const link_map* map = space->r_map; map != nullptr; map = map->l_next) {
      const std::string name = map->l_name != nullptr ? map->l_name : "";
      // The program comes first, and has no name unless ld.so was told to run it; what has no file (the vdso) has no
      // slash in its name.
      const bool is_program = space == &LoaderList() && map == space->r_map;
      if (is_program && name.empty()) {
        objects.push_back({map, true, NameOfProgram(), kProgramFile});
      } else if (name.find('/') != std::string::npos) {
        objects.push_back({map, is_program, name, name});
      }
    }
  }
  return objects;
}

bool LoaderIsConsistent() {
  for (const r_debug* space = &LoaderList(); space != nullptr; space = NextNamespace(space)) {
    if (space->r_state != r_debug::RT_CONSISTENT) return false;
  }
  return true;
}

bool IsLoadedFrom(const LoadedObject& object, ByteView file) {
  const Result<Elf64_Ehdr> header = elf::ReadHeader(file);
  if (!header.ok()) return false;
  // Where the loader has put the first segment, which holds header and segment table.
  Dl_info where{};
  if (::dladdr(object.map->l_ld, &where) == 0 || where.dli_fbase == nullptr) return false;
  const std::uint64_t tables = header->e_phoff + std::uint64_t{header->e_phnum} * sizeof(Elf64_Phdr);
  for (std::uint64_t i = 0; i < header->e_phnum; ++i) {
    const auto segment = elf::ElementAt<Elf64_Phdr>(file, header->e_phoff, i);
    if (!segment.has_value()) return false;
    if (segment->p_type != PT_LOAD) continue;
    // A file of other bytes can only be told apart by reading what is mapped for certain: one page.
    if (segment->p_offset != 0 || tables > segment->p_filesz || tables > file.size() || tables > 4096) return false;
    const auto begin = reinterpret_cast<std::uintptr_t>(where.dli_fbase);
    return begin - object.bias() == segment->p_vaddr / 4096 * 4096 &&
           std::memcmp(where.dli_fbase, file.data(), static_cast<std::size_t>(tables)) == 0;
  }
  return false;
}

}  // namespace accelmesh
