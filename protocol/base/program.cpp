#include "protocol/base/program.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

namespace accelmesh {
namespace {

constexpr const char* kWhere = "ReadProgram";
constexpr std::string_view kFatbinSection = ".nvFatBinSegment";
constexpr std::string_view kRegistration = "__cudaRegisterFatBinary";
constexpr std::string_view kRuntimeName = "libcudart.so.";
constexpr std::string_view kServedMajor = "13";
// Far above any real object; they bound the work for a file that lies.
constexpr std::size_t kNeededMax = 4096;
constexpr std::uint64_t kSymbolsMax = 1u << 22;
constexpr std::uint64_t kNameBytesMax = 4096;

Status Broken(std::string_view what) {
  return {Code::kInvalidArgument, kWhere, "a broken ELF file: " + std::string(what)};
}

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

// The zero-terminated string `index` bytes into the table [offset, offset + bytes); empty if there is none of at most
// kNameBytesMax bytes.
std::string_view StringAt(ByteView file, std::uint64_t offset, std::uint64_t bytes, std::uint64_t index) {
  if (offset > file.size() || index >= bytes) return {};
  const std::uint64_t length_max = std::min<std::uint64_t>(bytes, file.size() - offset);
  if (index >= length_max) return {};
  const char* start = reinterpret_cast<const char*>(file.data() + offset + index);
  const void* end = std::memchr(start, 0, std::min(length_max - index, kNameBytesMax));
  if (end == nullptr) return {};
  return {start, static_cast<std::size_t>(static_cast<const char*>(end) - start)};
}

// Where the loader's address `address` lies in the file.
std::optional<std::uint64_t> FileOffset(ByteView file, const Elf64_Ehdr& header, std::uint64_t address) {
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    const auto segment = ElementAt<Elf64_Phdr>(file, header.e_phoff, i);
    if (!segment.has_value()) return std::nullopt;
    if (segment->p_type == PT_LOAD && address >= segment->p_vaddr && address - segment->p_vaddr < segment->p_filesz)
      return segment->p_offset + (address - segment->p_vaddr);
  }
  return std::nullopt;
}

Status ReadNeeded(ByteView file, const Elf64_Ehdr& header, ProgramFacts* facts) {
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    const auto segment = ElementAt<Elf64_Phdr>(file, header.e_phoff, i);
    if (!segment.has_value()) return Broken("a program header lies outside of it");
    if (segment->p_type != PT_DYNAMIC) continue;
    std::vector<std::uint64_t> names;
    std::uint64_t strings_address = 0;
    std::uint64_t strings_bytes = 0;
    for (std::uint64_t d = 0; d < segment->p_filesz / sizeof(Elf64_Dyn); ++d) {
      const auto entry = ElementAt<Elf64_Dyn>(file, segment->p_offset, d);
      if (!entry.has_value()) return Broken("the dynamic section lies outside of it");
      if (entry->d_tag == DT_NULL) break;
      if (entry->d_tag == DT_NEEDED) names.push_back(entry->d_un.d_val);
      if (entry->d_tag == DT_STRTAB) strings_address = entry->d_un.d_ptr;
      if (entry->d_tag == DT_STRSZ) strings_bytes = entry->d_un.d_val;
      if (names.size() > kNeededMax) return Broken("it needs more objects than any program");
    }
    if (names.empty()) return Status::Ok();
    const std::optional<std::uint64_t> strings = FileOffset(file, header, strings_address);
    if (!strings.has_value()) return Broken("its dynamic strings lie nowhere");
    for (const std::uint64_t name : names) facts->needed.emplace_back(StringAt(file, *strings, strings_bytes, name));
    return Status::Ok();
  }
  return Status::Ok();
}

bool ImportsRegistration(ByteView file, const Elf64_Ehdr& header, const Elf64_Shdr& symbols) {
  const auto strings = ElementAt<Elf64_Shdr>(file, header.e_shoff, symbols.sh_link);
  if (!strings.has_value()) return false;
  const std::uint64_t count = std::min(symbols.sh_size / sizeof(Elf64_Sym), kSymbolsMax);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto symbol = ElementAt<Elf64_Sym>(file, symbols.sh_offset, i);
    if (!symbol.has_value()) return false;
    if (symbol->st_shndx == SHN_UNDEF &&
        StringAt(file, strings->sh_offset, strings->sh_size, symbol->st_name) == kRegistration)
      return true;
  }
  return false;
}

Status ReadSections(ByteView file, const Elf64_Ehdr& header, ProgramFacts* facts) {
  if (header.e_shoff == 0 || header.e_shnum == 0) return Status::Ok();  // Stripped of its section table.
  const auto names = ElementAt<Elf64_Shdr>(file, header.e_shoff, header.e_shstrndx);
  if (!names.has_value()) return Broken("the names of its sections lie outside of it");
  bool has_symbols = false;  // the loader knows one table, and so do we
  for (std::uint64_t i = 0; i < header.e_shnum; ++i) {
    const auto section = ElementAt<Elf64_Shdr>(file, header.e_shoff, i);
    if (!section.has_value()) return Broken("a section header lies outside of it");
    if (StringAt(file, names->sh_offset, names->sh_size, section->sh_name) == kFatbinSection) facts->has_fatbins = true;
    if (section->sh_type != SHT_DYNSYM || has_symbols) continue;
    has_symbols = true;
    facts->imports_runtime = ImportsRegistration(file, header, *section);
  }
  return Status::Ok();
}

// A name out of a file, for people: it is one line whatever it holds.
std::string Printable(std::string_view name) {
  std::string line(name);
  std::replace_if(line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return line;
}

}  // namespace

Result<ProgramFacts> ReadProgram(ByteView file) {
  if (file.size() < SELFMAG || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0)
    return Status(Code::kNotFound, kWhere, "not an ELF file");
  const auto header = ElementAt<Elf64_Ehdr>(file, 0, 0);
  if (!header.has_value()) return Broken("shorter than its header");
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB)
    return Status(Code::kNotFound, kWhere, "an ELF file of another kind of machine");
  if ((header->e_phnum != 0 && header->e_phentsize != sizeof(Elf64_Phdr)) ||
      (header->e_shnum != 0 && header->e_shentsize != sizeof(Elf64_Shdr)))
    return Broken("its tables have entries of another size");
  ProgramFacts facts;
  ACCELMESH_RETURN_IF_ERROR(ReadNeeded(file, *header, &facts));
  ACCELMESH_RETURN_IF_ERROR(ReadSections(file, *header, &facts));
  return facts;
}

Result<ProgramFacts> ReadProgramFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Status::System(errno, kWhere, "cannot open " + path);
  struct stat about{};
  if (::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0) {
    ::close(fd);
    return Status(Code::kNotFound, kWhere, path + " is no regular file");
  }
  // Mapped, not read: of a program of gigabytes only the pages of its tables are touched.
  const auto bytes = static_cast<std::size_t>(about.st_size);
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  ::close(fd);
  if (mapped == MAP_FAILED) return Status::System(error, kWhere, "cannot map " + path);
  Result<ProgramFacts> facts = ReadProgram({static_cast<const std::uint8_t*>(mapped), bytes});
  ::munmap(mapped, bytes);
  return facts;
}

RuntimeFault FindRuntimeFault(const ProgramFacts& facts, std::string_view name) {
  bool needs_runtime = false;
  for (const std::string& needed : facts.needed) {
    if (needed.compare(0, kRuntimeName.size(), kRuntimeName) != 0) continue;
    needs_runtime = true;
    const std::string_view version = std::string_view(needed).substr(kRuntimeName.size());
    if (version.substr(0, version.find('.')) == kServedMajor) continue;
    return {true, std::string(name) + " is built for another CUDA version (it needs " + Printable(needed) +
                      "); this release of AccelMesh serves CUDA 13: rebuild it with a CUDA 13 toolkit"};
  }
  if (!facts.has_fatbins || needs_runtime || facts.imports_runtime) return {};
  return {false, std::string(name) +
                     " is built with the static CUDA runtime, which this release of AccelMesh cannot reach: rebuild it "
                     "with nvcc -cudart shared (CMake: CUDA_RUNTIME_LIBRARY Shared)"};
}

}  // namespace accelmesh
