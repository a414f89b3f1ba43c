// Small ELF files, made to order.
#pragma once

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "protocol/base/bytes.h"

namespace accelmesh::elf {

// A function in .symtab: code of so many bytes, all nop but for what `begin` says.
struct Function {
  std::string name;
  bool is_local = false;
  std::size_t bytes = 16;
  Bytes begin = {};
};
// What an ELF file is made of here: one loaded segment that covers it all, a dynamic section, a section table.
struct Recipe {
  std::vector<std::string> needed;
  bool has_fatbins = false;
  std::string undefined_symbol;  // in .dynsym; empty for none
  // One behind the other; without any there is no .symtab.
  std::vector<Function> functions = {};
  bool has_loader = true;
};

inline constexpr std::uint64_t kLoadedAt = 0x400000;

template <typename T>
std::uint64_t Add(Bytes& file, const T& value) {
  file.resize((file.size() + 7) / 8 * 8);
  const std::uint64_t at = file.size();
  const ByteView bytes = AsBytes(value);
  file.insert(file.end(), bytes.begin(), bytes.end());
  return at;
}

class Strings {
 public:
  std::uint32_t Add(const std::string& text) {
    const auto at = static_cast<std::uint32_t>(text_.size());
    text_ += text + '\0';
    return at;
  }
  std::uint64_t Place(Bytes& file) const {
    const std::uint64_t at = file.size();
    file.insert(file.end(), text_.begin(), text_.end());
    return at;
  }
  std::size_t size() const { return text_.size(); }

 private:
  std::string text_ = std::string(1, '\0');
};

inline Bytes MakeElf(const Recipe& recipe) {
  Bytes file(sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr));
  Strings dynamic_strings;
  std::vector<Elf64_Dyn> entries;
  for (const std::string& name : recipe.needed) {
    Elf64_Dyn entry{};
    entry.d_tag = DT_NEEDED;
    entry.d_un.d_val = dynamic_strings.Add(name);
    entries.push_back(entry);
  }
  Elf64_Sym symbol{};
  symbol.st_name = recipe.undefined_symbol.empty() ? 0 : dynamic_strings.Add(recipe.undefined_symbol);
  symbol.st_shndx = SHN_UNDEF;
  const std::uint64_t strings_at = dynamic_strings.Place(file);
  for (const auto& [tag, value] : {std::pair<std::int64_t, std::uint64_t>{DT_STRTAB, kLoadedAt + strings_at},
                                   {DT_STRSZ, dynamic_strings.size()},
                                   {DT_NULL, 0}}) {
    Elf64_Dyn entry{};
    entry.d_tag = tag;
    entry.d_un.d_val = value;
    entries.push_back(entry);
  }
  std::uint64_t dynamic_at = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::uint64_t at = Add(file, entries[i]);
    if (i == 0) dynamic_at = at;
  }
  const std::uint64_t symbols_at = Add(file, symbol);
  Strings function_names;
  std::vector<Elf64_Sym> functions;
  file.resize((file.size() + 15) / 16 * 16);
  for (const Function& function : recipe.functions) {
    Elf64_Sym entry{};
    entry.st_name = function_names.Add(function.name);
    entry.st_info = ELF64_ST_INFO(function.is_local ? STB_LOCAL : STB_GLOBAL, STT_FUNC);
    entry.st_shndx = 1;
    entry.st_value = kLoadedAt + file.size();
    entry.st_size = function.bytes;
    functions.push_back(entry);
    Bytes code(function.bytes, 0x90);
    std::copy(function.begin.begin(), function.begin.end(), code.begin());
    file.insert(file.end(), code.begin(), code.end());
  }
  const std::uint64_t function_names_at = function_names.Place(file);
  std::uint64_t functions_at = 0;
  for (std::size_t i = 0; i < functions.size(); ++i) {
    const std::uint64_t at = Add(file, functions[i]);
    if (i == 0) functions_at = at;
  }
  Strings names;
  std::vector<Elf64_Shdr> sections(1);
  const auto add_section = [&](const std::string& name, std::uint32_t type, std::uint64_t at, std::uint64_t bytes) {
    Elf64_Shdr section{};
    section.sh_name = names.Add(name);
    section.sh_type = type;
    section.sh_offset = at;
    section.sh_size = bytes;
    sections.push_back(section);
  };
  add_section(".dynstr", SHT_STRTAB, strings_at, dynamic_strings.size());
  add_section(".dynsym", SHT_DYNSYM, symbols_at, sizeof(Elf64_Sym));
  sections.back().sh_link = 1;
  add_section(recipe.has_fatbins ? ".nvFatBinSegment" : ".data", SHT_PROGBITS, 0, 8);
  if (!functions.empty()) {
    add_section(".strtab", SHT_STRTAB, function_names_at, function_names.size());
    const auto strings = static_cast<std::uint32_t>(sections.size() - 1);
    add_section(".symtab", SHT_SYMTAB, functions_at, functions.size() * sizeof(Elf64_Sym));
    sections.back().sh_link = strings;
  }
  add_section(".shstrtab", SHT_STRTAB, 0, 0);
  sections.back().sh_offset = names.Place(file);
  sections.back().sh_size = names.size();
  std::uint64_t sections_at = 0;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const std::uint64_t at = Add(file, sections[i]);
    if (i == 0) sections_at = at;
  }
  Elf64_Phdr segments[3] = {};
  segments[0].p_type = PT_LOAD;
  segments[0].p_flags = PF_R | PF_X;
  segments[0].p_vaddr = kLoadedAt;
  segments[0].p_filesz = file.size();
  segments[1].p_type = PT_DYNAMIC;
  segments[1].p_offset = dynamic_at;
  segments[1].p_filesz = entries.size() * sizeof(Elf64_Dyn);
  segments[2].p_type = recipe.has_loader ? PT_INTERP : PT_NULL;
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_phoff = sizeof(header);
  header.e_phnum = 3;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_shoff = sections_at;
  header.e_shnum = static_cast<std::uint16_t>(sections.size());
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shstrndx = static_cast<std::uint16_t>(sections.size() - 1);
  std::memcpy(file.data(), &header, sizeof(header));
  std::memcpy(file.data() + sizeof(header), segments, sizeof(segments));
  return file;
}

// The functions of a static runtime of CUDA 13 as small as one can be, between two functions of the program's own.
inline std::vector<Function> RuntimeFunctions() {
  const std::string internal = "libcudart_static_0123456789abcdef0123456789abcdef0123456";
  std::vector<Function> functions = {{"main"}, {internal + "1", true}};
  for (const char* name :
       {"__cudaRegisterFatBinary", "__cudaRegisterFatBinaryEnd", "__cudaUnregisterFatBinary", "__cudaRegisterFunction",
        "__cudaPushCallConfiguration", "__cudaPopCallConfiguration", "__cudaLaunchKernel", "cudaLaunchKernel",
        "cudaMalloc", "cudaGetDeviceCount", "cudaMemGetDefaultMemPool"})
    functions.push_back({name});
  functions.push_back({internal + "2", true});
  functions.push_back({"atexit", true});
  return functions;
}

}  // namespace accelmesh::elf
