#include "protocol/base/program.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace accelmesh {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What an ELF file is made of here: one loaded segment that covers it all, a dynamic section, a section table.
struct Recipe {
  std::vector<std::string> needed;
  bool has_fatbins = false;
  std::string undefined_symbol;  // in .dynsym; empty for none
};

constexpr std::uint64_t kLoadedAt = 0x400000;

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

Bytes MakeElf(const Recipe& recipe) {
  Bytes file(sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr));
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
  add_section(".shstrtab", SHT_STRTAB, 0, 0);
  sections.back().sh_offset = names.Place(file);
  sections.back().sh_size = names.size();
  std::uint64_t sections_at = 0;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const std::uint64_t at = Add(file, sections[i]);
    if (i == 0) sections_at = at;
  }
  Elf64_Phdr segments[2] = {};
  segments[0].p_type = PT_LOAD;
  segments[0].p_vaddr = kLoadedAt;
  segments[0].p_filesz = file.size();
  segments[1].p_type = PT_DYNAMIC;
  segments[1].p_offset = dynamic_at;
  segments[1].p_filesz = entries.size() * sizeof(Elf64_Dyn);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_phoff = sizeof(header);
  header.e_phnum = 2;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_shoff = sections_at;
  header.e_shnum = static_cast<std::uint16_t>(sections.size());
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shstrndx = static_cast<std::uint16_t>(sections.size() - 1);
  std::memcpy(file.data(), &header, sizeof(header));
  std::memcpy(file.data() + sizeof(header), segments, sizeof(segments));
  return file;
}

std::string FaultOf(const Recipe& recipe) {
  const Result<ProgramFacts> facts = ReadProgram(MakeElf(recipe));
  EXPECT_TRUE(facts.ok()) << facts.status().ToString();
  return facts.ok() ? FindRuntimeFault(*facts, "a.out").text : "unread";
}

TEST(Program, ReadsWhatItNeedsAndHolds) {
  const Result<ProgramFacts> facts = ReadProgram(MakeElf({{"libm.so.6", "libcudart.so.13"}, true, ""}));
  ASSERT_TRUE(facts.ok()) << facts.status().ToString();
  EXPECT_THAT(facts->needed, ElementsAre("libm.so.6", "libcudart.so.13"));
  EXPECT_TRUE(facts->has_fatbins);
  EXPECT_FALSE(facts->imports_runtime);
}

TEST(Program, TheSharedRuntimeOfThisVersionIsServed) {
  EXPECT_THAT(FaultOf({{"libcudart.so.13"}, true, ""}), IsEmpty());
  EXPECT_THAT(FaultOf({{"libcudart.so.13"}, false, ""}), IsEmpty());
  EXPECT_THAT(FaultOf({{"libc.so.6"}, false, ""}), IsEmpty());
  EXPECT_THAT(FaultOf({{}, false, ""}), IsEmpty());
  // The runtime comes through another library of the program's.
  EXPECT_THAT(FaultOf({{"libkernels.so"}, true, "__cudaRegisterFatBinary"}), IsEmpty());
}

TEST(Program, TheStaticRuntimeIsNamedWithItsRemedy) {
  for (const Recipe& recipe : {Recipe{{"libc.so.6"}, true, ""}, Recipe{{}, true, "cudaMalloc"}}) {
    const std::string fault = FaultOf(recipe);
    EXPECT_THAT(fault, HasSubstr("a.out"));
    EXPECT_THAT(fault, HasSubstr("static CUDA runtime"));
    EXPECT_THAT(fault, HasSubstr("nvcc -cudart shared"));
    EXPECT_EQ(fault.find('\n'), std::string::npos);
  }
}

TEST(Program, AnotherMajorVersionIsNamed) {
  for (const char* name : {"libcudart.so.12", "libcudart.so.11.0", "libcudart.so.130", "libcudart.so."}) {
    const Result<ProgramFacts> facts = ReadProgram(MakeElf({{"libc.so.6", name}, true, ""}));
    ASSERT_TRUE(facts.ok());
    const RuntimeFault fault = FindRuntimeFault(*facts, "a.out");
    EXPECT_TRUE(fault.is_other_major) << name;
    EXPECT_THAT(fault.text, HasSubstr(name));
    EXPECT_THAT(fault.text, HasSubstr("CUDA 13"));
  }
}

TEST(Program, WhatIsNoProgramIsNotFound) {
  EXPECT_EQ(ReadProgram({}).code(), Code::kNotFound);
  EXPECT_EQ(ReadProgram(AsBytes(std::string_view("#!/bin/sh\necho"))).code(), Code::kNotFound);
  Bytes other = MakeElf({{}, false, ""});
  other[EI_CLASS] = ELFCLASS32;
  EXPECT_EQ(ReadProgram(other).code(), Code::kNotFound);
  EXPECT_EQ(ReadProgramFile("/").code(), Code::kNotFound);
  EXPECT_EQ(ReadProgramFile("/nowhere/at/all").code(), Code::kSystem);
}

TEST(Program, ReadsTheProgramThatRunsThisTest) {
  const Result<ProgramFacts> facts = ReadProgramFile("/proc/self/exe");
  ASSERT_TRUE(facts.ok()) << facts.status().ToString();
  EXPECT_THAT(facts->needed, ::testing::Contains("libc.so.6"));
  EXPECT_FALSE(facts->has_fatbins);
}

TEST(Program, EveryTruncationEndsInAnAnswer) {
  const Bytes whole = MakeElf({{"libcudart.so.12", "libc.so.6"}, true, "__cudaRegisterFatBinary"});
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    // A copy of exactly that size, so that a sanitizer sees a read past its end.
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_FALSE(ReadProgram(part).ok()) << bytes << " of " << whole.size();
  }
}

TEST(Program, DamageEndsInAnAnswer) {
  const Bytes whole = MakeElf({{"libcudart.so.12", "libc.so.6"}, true, "__cudaRegisterFatBinary"});
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    Bytes damaged = whole;
    const int count = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < count; ++i) {
      // Whole words at a time: offsets and sizes that lie are what matters.
      const std::size_t at = random() % (damaged.size() - 8);
      const std::uint64_t value = random() % 2 == 0 ? random() % 1024 : ~std::uint64_t{0} >> (random() % 64);
      std::memcpy(damaged.data() + at, &value, 1 + random() % 8);
    }
    const Result<ProgramFacts> facts = ReadProgram(damaged);
    if (facts.ok()) FindRuntimeFault(*facts, "a.out");
  }
}

}  // namespace
}  // namespace accelmesh
