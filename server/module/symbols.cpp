#include "server/module/symbols.h"

#include <elf.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <unordered_set>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

constexpr std::size_t kVariablesMax = 1 << 20;

class Collector {
 public:
  void Add(std::string_view name, bool is_constant) {
    if (name.empty() || name.size() > limits::kNameBytesMax || symbols_.variables.size() >= kVariablesMax) return;
    if (!seen_.emplace(name).second) return;
    symbols_.variables.push_back({std::string(name), is_constant});
  }
  ImageSymbols Take() { return std::move(symbols_); }
  void NotePrint() { symbols_.prints = true; }
  void NoteCondition() { symbols_.sets_conditions = true; }

 private:
  ImageSymbols symbols_;
  std::unordered_set<std::string> seen_;
};

// PTX ----------------------------------------------------------------------------------------------------------------

// The words of one statement outside of any function: directives and names; what stands in parentheses or brackets,
// and an initial value, is left out.
struct Statement {
  std::vector<std::string> words;
  bool after_equals = false;
  void Clear() {
    words.clear();
    after_equals = false;
  }
};

void TakeStatement(const Statement& statement, Collector& out) {
  bool is_variable = false;
  bool is_constant = false;
  std::string_view name;
  for (const std::string& word : statement.words) {
    if (word == ".extern" || word == ".func" || word == ".entry") return;
    if (word == ".global" || word == ".const") {
      is_variable = true;
      is_constant = word == ".const";
    }
    // `.global .u32 a, b` declares two.
    if (word == "," && is_variable) out.Add(name, is_constant);
    if (word[0] != '.' && word != ",") name = word;
  }
  if (is_variable) out.Add(name, is_constant);
}

bool IsNameCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%' || c == '.';
}

void ReadPtx(std::string_view text, Collector& out) {
  Statement statement;
  int braces = 0;
  int brackets = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const auto skip_to = [&](std::string_view end) {
      const std::size_t found = text.find(end, i + 1);
      i = found == std::string_view::npos ? text.size() : found + end.size();
    };
    if (text.substr(i, 2) == "//") {
      skip_to("\n");
      continue;
    }
    if (text.substr(i, 2) == "/*") {
      skip_to("*/");
      continue;
    }
    if (c == '"') {
      skip_to("\"");
      continue;
    }
    if (c == '{' || c == '}') {
      braces += c == '{' ? 1 : -1;
      // A function's body ends it; an initial value is followed by the end of its statement.
      if (c == '}' && braces <= 0) {
        braces = 0;
        if (!statement.after_equals) statement.Clear();
      }
    }
    const bool is_outside = braces == 0;
    if (is_outside && (c == '(' || c == '[')) ++brackets;
    if (is_outside && (c == ')' || c == ']') && brackets > 0) --brackets;
    if (!is_outside || brackets > 0) {
      ++i;
      continue;
    }
    if (c == ';') {
      TakeStatement(statement, out);
      statement.Clear();
    } else if (c == '=') {
      statement.after_equals = true;
    } else if (c == ',') {
      // Behind the initial value of the one before.
      statement.after_equals = false;
      statement.words.emplace_back(",");
    } else if (IsNameCharacter(c)) {
      std::size_t end = i;
      while (end < text.size() && IsNameCharacter(text[end])) ++end;
      // Directives that end with their line (.version and others) have no semicolon.
      const std::string_view word = text.substr(i, end - i);
      if (word == ".version" || word == ".target" || word == ".address_size" || word == ".file" || word == ".loc") {
        statement.Clear();
        skip_to("\n");
        continue;
      }
      if (!statement.after_equals) statement.words.emplace_back(word);
      i = end;
      continue;
    }
    ++i;
  }
}

// ELF ----------------------------------------------------------------------------------------------------------------

template <typename T>
bool ReadAt(std::string_view file, std::uint64_t offset, T* value) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) return false;
  std::memcpy(value, file.data() + offset, sizeof(T));
  return true;
}
std::string_view SectionBytes(std::string_view file, const Elf64_Shdr& section) {
  if (section.sh_type == SHT_NOBITS || section.sh_offset > file.size() ||
      section.sh_size > file.size() - section.sh_offset) {
    return {};
  }
  return file.substr(section.sh_offset, section.sh_size);
}
std::string_view NameAt(std::string_view strings, std::uint64_t offset) {
  if (offset >= strings.size()) return {};
  const std::string_view rest = strings.substr(offset);
  return rest.substr(0, rest.find('\0'));
}

void ReadElf(std::string_view file, Collector& out) {
  Elf64_Ehdr header;
  if (!ReadAt(file, 0, &header) || header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shentsize != sizeof(Elf64_Shdr))
    return;
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  for (std::size_t i = 0; i < sections.size(); ++i) {
    if (header.e_shoff > file.size() || !ReadAt(file, header.e_shoff + i * sizeof(Elf64_Shdr), &sections[i])) return;
  }
  const std::string_view section_names =
      header.e_shstrndx < sections.size() ? SectionBytes(file, sections[header.e_shstrndx]) : std::string_view();
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    const std::string_view table = SectionBytes(file, section);
    const std::string_view names = SectionBytes(file, sections[section.sh_link]);
    Elf64_Sym symbol;
    for (std::uint64_t at = 0; ReadAt(table, at, &symbol); at += sizeof(symbol)) {
      if (ELF64_ST_TYPE(symbol.st_info) != STT_OBJECT || symbol.st_shndx >= sections.size() || symbol.st_shndx == 0)
        continue;
      const std::string_view where = NameAt(section_names, sections[symbol.st_shndx].sh_name);
      out.Add(NameAt(names, symbol.st_name), where.starts_with(".nv.constant"));
    }
  }
}

}  // namespace

ImageSymbols ReadSymbols(const std::vector<ImagePart>& parts) {
  Collector collector;
  for (const ImagePart& part : parts) {
    if (part.bytes.find("vprintf") != std::string::npos) collector.NotePrint();
    if (part.bytes.find("cudaGraphSetConditional") != std::string::npos) collector.NoteCondition();
    if (part.is_ptx) {
      ReadPtx(part.bytes, collector);
    } else {
      ReadElf(part.bytes, collector);
    }
  }
  return collector.Take();
}

}  // namespace accelmesh
