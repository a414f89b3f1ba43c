// The tables of an ELF file, read out of bytes that may be anything: what does not lie inside the file is not there.
//
// Threads: none of its own; functions on values.
#pragma once

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh::elf {

// Far above any real object; it bounds the work for a file that lies.
inline constexpr std::uint64_t kSymbolsMax = 1u << 22;

// The header of a file whose tables have entries of the usual sizes. kNotFound if it is no ELF file of this machine's
// kind (a script, say); kInvalidArgument if it is a broken one.
Result<Elf64_Ehdr> ReadHeader(ByteView file);

// The `index`-th element of an array of T at `offset`, if it lies inside the file.
template <typename T>
std::optional<T> ElementAt(ByteView file, std::uint64_t offset, std::uint64_t index) {
  std::uint64_t at = 0;
  if (__builtin_mul_overflow(index, sizeof(T), &at) || __builtin_add_overflow(at, offset, &at)) return std::nullopt;
  if (at > file.size() || sizeof(T) > file.size() - at) return std::nullopt;
  T value;
  std::memcpy(&value, file.data() + at, sizeof(T));
  return value;
}

// The zero-terminated string `index` bytes into the table [offset, offset + bytes); empty if there is none of a
// reasonable length.
std::string_view StringAt(ByteView file, std::uint64_t offset, std::uint64_t bytes, std::uint64_t index);

// The loaded segment whose bytes in the file cover the linked address `address`.
std::optional<Elf64_Phdr> SegmentOf(ByteView file, const Elf64_Ehdr& header, std::uint64_t address);

// The first section of a type (SHT_SYMTAB, SHT_DYNSYM); the loader knows one of each, and so do we.
std::optional<Elf64_Shdr> FindSection(ByteView file, const Elf64_Ehdr& header, std::uint32_t type);

// Calls visit(name, symbol) for every symbol of a table, until it returns false. The name is empty if it lies nowhere.
template <typename Visit>
void ForEachSymbol(ByteView file, const Elf64_Ehdr& header, const Elf64_Shdr& table, Visit visit) {
  const auto strings = ElementAt<Elf64_Shdr>(file, header.e_shoff, table.sh_link);
  if (!strings.has_value()) return;
  const std::uint64_t count = std::min(table.sh_size / sizeof(Elf64_Sym), kSymbolsMax);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto symbol = ElementAt<Elf64_Sym>(file, table.sh_offset, i);
    if (!symbol.has_value()) return;
    if (!visit(StringAt(file, strings->sh_offset, strings->sh_size, symbol->st_name), *symbol)) return;
  }
}

// Whether the object itself holds the function that this symbol names.
inline bool IsFunctionHere(const Elf64_Sym& symbol) {
  return ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF;
}

}  // namespace accelmesh::elf
