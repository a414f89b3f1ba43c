// ReadSymbols: the variables of PTX text and of machine code as nvcc writes it; ExtractParts chooses among entries.
#include "server/module/symbols.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace accelmesh {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Names(const ImageSymbols& symbols) {
  std::vector<std::string> names;
  for (const ImageVariable& variable : symbols.variables)
    names.push_back(variable.name + (variable.is_constant ? ":const" : ""));
  return names;
}
std::vector<std::string> OfPtx(const std::string& text) { return Names(ReadSymbols({{true, text}})); }

TEST(SymbolsOfPtx, EveryKindOfVariable) {
  EXPECT_THAT(OfPtx(R"(
.version 8.0
.target sm_80, texmode_independent
.address_size 64
.file 1 "a;b.cu"
.visible .global .align 4 .u32 counter;
.global .align 1 .b8 $str[16] = {104, 101, 0};
.visible .const .align 8 .f64 table[2][3] = {{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}};
.visible .global .attribute(.managed) .align 4 .u32 shared_word = 3;
.global .u64 pointer = generic(counter);
.global .f32 a, b = 2.0, c[4];
.weak .global .align 4 .b8 _ZN1x1yE[8];
)"),
              ElementsAre("counter", "$str", "table:const", "shared_word", "pointer", "a", "b", "c", "_ZN1x1yE"));
}

TEST(SymbolsOfPtx, WhatKernelsCall) {
  const auto calling = [](const char* name) {
    return ReadSymbols(
        {{true, ".version 8.0\n.target sm_80\n.extern .func " + std::string(name) + "(.param .b64 a);\n"}});
  };
  EXPECT_TRUE(calling("vprintf").prints && !calling("vprintf").sets_conditions);
  EXPECT_TRUE(calling("cudaGraphSetConditional").sets_conditions && !calling("cudaGraphSetConditional").prints);
  EXPECT_FALSE(calling("other").sets_conditions || calling("other").prints);
}

TEST(SymbolsOfPtx, NothingOfFunctionsCommentsAndOtherModules) {
  EXPECT_THAT(OfPtx(R"(
.version 8.0
.target sm_80
// .global .u32 in_a_comment;
/* .global .u32 in_another; */
.extern .global .u32 elsewhere;
.extern .func (.param .b32 result) vprintf (.param .b64 format, .param .b64 arguments);
.visible .func (.param .b32 r) helper(.param .b32 x);
.visible .entry kernel(.param .u64 p) .maxntid 128, 1, 1 {
  .shared .align 4 .b8 tile[64];
  .global .u32 inside;
  { .reg .b32 %r1; }
  ret;
}
.global .u32 behind;
.section .debug_str { .b8 1, 2 }
.const .u32 last;
)"),
              ElementsAre("behind", "last:const"));
}

TEST(SymbolsOfPtx, TornTextIsNoTrouble) {
  for (const char* text : {"", ".global", ".global ;", ".global .u32 x[", "}}}; .global .u32 x;", "\"", "/*", "//"})
    (void)OfPtx(text);
  EXPECT_THAT(OfPtx("}}}; .global .u32 x;"), ElementsAre("x"));
}

TEST(Symbols, ANameOfTwoPartsIsThereOnceAndPrintingIsSeen) {
  const std::string text = ".global .u32 x;";
  const ImageSymbols both = ReadSymbols({{true, text}, {true, text}});
  EXPECT_THAT(Names(both), ElementsAre("x"));
  EXPECT_FALSE(both.prints);
  EXPECT_TRUE(ReadSymbols({{true, text + ".extern .func vprintf;"}}).prints);
}

// A file with the symbol table that nvcc writes: sections [null, shstrtab, strtab, symtab, .nv.global, .nv.constant3].
std::string Cubin() {
  const std::string section_names("\0.nv.global\0.nv.constant3\0", 26);
  const std::string names("\0counter\0table\0kernel\0outside\0", 30);
  std::vector<Elf64_Sym> symbols(5);
  const auto symbol = [&](std::size_t i, std::uint32_t name, unsigned char type, std::uint16_t section) {
    symbols[i].st_name = name;
    symbols[i].st_info = ELF64_ST_INFO(STB_GLOBAL, type);
    symbols[i].st_shndx = section;
  };
  symbol(1, 1, STT_OBJECT, 4);
  symbol(2, 9, STT_OBJECT, 5);
  symbol(3, 15, STT_FUNC, 4);
  symbol(4, 22, STT_OBJECT, SHN_UNDEF);
  std::vector<Elf64_Shdr> sections(6);
  std::string file(sizeof(Elf64_Ehdr), '\0');
  const auto place = [&](std::size_t i, std::uint32_t type, const std::string& bytes) {
    sections[i].sh_type = type;
    sections[i].sh_offset = file.size();
    sections[i].sh_size = bytes.size();
    file += bytes;
  };
  place(1, SHT_STRTAB, section_names);
  place(2, SHT_STRTAB, names);
  place(3, SHT_SYMTAB, std::string(reinterpret_cast<const char*>(symbols.data()), symbols.size() * sizeof(Elf64_Sym)));
  sections[3].sh_link = 2;
  sections[4].sh_name = 1;
  sections[4].sh_type = SHT_NOBITS;
  sections[5].sh_name = 12;
  sections[5].sh_type = SHT_PROGBITS;
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_shoff = file.size();
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<std::uint16_t>(sections.size());
  header.e_shstrndx = 1;
  std::memcpy(file.data(), &header, sizeof(header));
  file.append(reinterpret_cast<const char*>(sections.data()), sections.size() * sizeof(Elf64_Shdr));
  return file;
}

TEST(SymbolsOfElf, ObjectsThatAreDefined) {
  EXPECT_THAT(Names(ReadSymbols({{false, Cubin()}})), ElementsAre("counter", "table:const"));
}

TEST(SymbolsOfElf, DamagedFilesAreReadAsFarAsTheyGo) {
  const std::string good = Cubin();
  for (std::size_t size = 0; size < good.size(); ++size) (void)ReadSymbols({{false, good.substr(0, size)}});
  std::mt19937 random(11);
  for (int round = 0; round < 20000; ++round) {
    std::string bad = good;
    for (int i = 0; i < 4; ++i) bad[random() % bad.size()] = static_cast<char>(random());
    (void)ReadSymbols({{false, bad}});
  }
}

TEST(ExtractParts, AnElfFileAndTextAreImagesByThemselves) {
  const std::string cubin = Cubin();
  const auto elf = ExtractParts(AsBytes(cubin), 80);
  ASSERT_TRUE(elf.ok());
  ASSERT_EQ(elf->size(), 1u);
  EXPECT_FALSE(elf->front().is_ptx);
  EXPECT_EQ(elf->front().bytes, cubin);
  const auto text = ExtractParts(AsBytes(".version 8.0\n.global .u32 x;"), 80);
  ASSERT_TRUE(text.ok());
  EXPECT_TRUE(text->front().is_ptx);
  EXPECT_FALSE(ExtractParts(AsBytes("no image"), 80).ok());
}

}  // namespace
}  // namespace accelmesh
