#include "protocol/base/elf.h"

namespace accelmesh::elf {
namespace {

constexpr const char* kWhere = "elf::ReadHeader";
constexpr std::uint64_t kNameBytesMax = 4096;

}  // namespace

Result<Elf64_Ehdr> ReadHeader(ByteView file) {
  if (file.size() < SELFMAG || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0)
    return Status(Code::kNotFound, kWhere, "not an ELF file");
  const auto header = ElementAt<Elf64_Ehdr>(file, 0, 0);
  if (!header.has_value()) return Status(Code::kInvalidArgument, kWhere, "a broken ELF file: shorter than its header");
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB)
    return Status(Code::kNotFound, kWhere, "an ELF file of another kind of machine");
  if ((header->e_phnum != 0 && header->e_phentsize != sizeof(Elf64_Phdr)) ||
      (header->e_shnum != 0 && header->e_shentsize != sizeof(Elf64_Shdr)))
    return Status(Code::kInvalidArgument, kWhere, "a broken ELF file: its tables have entries of another size");
  return *header;
}

std::string_view StringAt(ByteView file, std::uint64_t offset, std::uint64_t bytes, std::uint64_t index) {
  if (offset > file.size() || index >= bytes) return {};
  const std::uint64_t length_max = std::min<std::uint64_t>(bytes, file.size() - offset);
  if (index >= length_max) return {};
  const char* start = reinterpret_cast<const char*>(file.data() + offset + index);
  const void* end = std::memchr(start, 0, std::min(length_max - index, kNameBytesMax));
  if (end == nullptr) return {};
  return {start, static_cast<std::size_t>(static_cast<const char*>(end) - start)};
}

std::optional<Elf64_Phdr> SegmentOf(ByteView file, const Elf64_Ehdr& header, std::uint64_t address) {
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    const auto segment = ElementAt<Elf64_Phdr>(file, header.e_phoff, i);
    if (!segment.has_value()) return std::nullopt;
    if (segment->p_type == PT_LOAD && address >= segment->p_vaddr && address - segment->p_vaddr < segment->p_filesz)
      return segment;
  }
  return std::nullopt;
}

std::optional<Elf64_Shdr> FindSection(ByteView file, const Elf64_Ehdr& header, std::uint32_t type) {
  if (header.e_shoff == 0) return std::nullopt;  // Stripped of its section table.
  for (std::uint64_t i = 0; i < header.e_shnum; ++i) {
    const auto section = ElementAt<Elf64_Shdr>(file, header.e_shoff, i);
    if (!section.has_value()) return std::nullopt;
    if (section->sh_type == type) return section;
  }
  return std::nullopt;
}

}  // namespace accelmesh::elf
