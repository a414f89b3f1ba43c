#include "shim/interpose/runtime_functions.h"

#include <algorithm>
#include <unordered_map>

#include "protocol/base/elf.h"
#include "protocol/base/program.h"

namespace accelmesh {
namespace {

constexpr const char* kWhere = "FindRuntimeFunctions";

enum class Kind {
  kForeign,   // the program's, or the libc's
  kNamed,     // called as a function of the runtime is
  kPiece,     // split off such a function by the compiler; nobody calls it but that function
  kInternal,  // of the runtime for certain
};

struct Function {
  std::uint64_t address = 0;
  std::string_view name;
  Kind kind = Kind::kForeign;
};

Status Fault(std::string text) { return {Code::kUnsupported, kWhere, std::move(text)}; }

Kind KindOf(std::string_view name) {
  if (IsRuntimeInternal(name)) return Kind::kInternal;
  if (!name.starts_with("cuda") && !name.starts_with("__cuda")) return Kind::kForeign;
  return name.find('.') == std::string_view::npos ? Kind::kNamed : Kind::kPiece;
}

// By address, then by name; a function that is listed twice counts once.
std::vector<Function> ReadFunctions(ByteView file, const Elf64_Ehdr& header, const Elf64_Shdr& symbols) {
  std::vector<Function> functions;
  elf::ForEachSymbol(file, header, symbols, [&](std::string_view name, const Elf64_Sym& symbol) {
    if (!name.empty() && elf::IsFunctionHere(symbol)) functions.push_back({symbol.st_value, name, KindOf(name)});
    return true;
  });
  const auto key = [](const Function& f) { return std::pair(f.address, f.name); };
  std::sort(functions.begin(), functions.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  functions.erase(
      std::unique(functions.begin(), functions.end(), [&](const auto& a, const auto& b) { return key(a) == key(b); }),
      functions.end());
  return functions;
}

// Indices of the first and the last function of the runtime. It is linked from one object file, so that its code lies
// in one piece, and the program's own functions lie before or behind.
struct Extent {
  std::size_t first = 0;
  std::size_t last = 0;
};

Result<Extent> FindExtent(const std::vector<Function>& functions, EntryTable table) {
  std::unordered_map<std::string_view, int> times;
  for (const Function& function : functions) {
    if (function.kind == Kind::kNamed && FindEntryPoint(table, function.name) != nullptr) ++times[function.name];
  }
  // A name that only one function has is the runtime's: it is complete.
  const auto is_certain = [&](const Function& function) {
    if (function.kind != Kind::kNamed) return false;
    const auto found = times.find(function.name);
    return found != times.end() && found->second == 1;
  };
  const auto first = std::find_if(functions.begin(), functions.end(), is_certain);
  if (first == functions.end()) return Fault("no function of it is known");
  const auto last = std::find_if(functions.rbegin(), functions.rend(), is_certain).base() - 1;
  Extent extent{static_cast<std::size_t>(first - functions.begin()),
                static_cast<std::size_t>(last - functions.begin())};
  // Further, as far as one of its internal functions is behind nothing but what is called like the runtime.
  for (std::size_t i = extent.first; i > 0 && functions[i - 1].kind != Kind::kForeign; --i) {
    if (functions[i - 1].kind == Kind::kInternal) extent.first = i - 1;
  }
  for (std::size_t i = extent.last + 1; i < functions.size() && functions[i].kind != Kind::kForeign; ++i) {
    if (functions[i].kind == Kind::kInternal) extent.last = i;
  }
  return extent;
}

// The first bytes of the function, as many as a redirection needs; empty if they are not its own.
ByteView CodeToOverwrite(ByteView file, const Elf64_Ehdr& header, std::uint64_t address, std::uint64_t next) {
  const std::optional<Elf64_Phdr> segment = elf::SegmentOf(file, header, address);
  if (!segment.has_value() || (segment->p_flags & PF_X) == 0) return {};
  const std::uint64_t inside = address - segment->p_vaddr;
  std::uint64_t offset = 0;
  if (__builtin_add_overflow(segment->p_offset, inside, &offset) || offset >= file.size()) return {};
  const std::uint64_t room = std::min({segment->p_filesz - inside, file.size() - offset, next - address});
  const ByteView code = file.subspan(offset, std::min<std::uint64_t>(room, kBranchTargetBytes + kJumpBytes));
  const std::size_t needed = kJumpBytes + (BeginsWithBranchTarget(code) ? kBranchTargetBytes : 0);
  return code.size() < needed ? ByteView() : code.first(needed);
}

}  // namespace

bool BeginsWithBranchTarget(ByteView code) {
  constexpr std::uint8_t kEndbr64[kBranchTargetBytes] = {0xf3, 0x0f, 0x1e, 0xfa};
  return code.size() >= kBranchTargetBytes && std::equal(std::begin(kEndbr64), std::end(kEndbr64), code.begin());
}

Result<std::vector<RuntimeFunction>> FindRuntimeFunctions(ByteView file, EntryTable table) {
  ACCELMESH_ASSIGN_OR_RETURN(const Elf64_Ehdr header, elf::ReadHeader(file));
  const std::optional<Elf64_Shdr> symbols = elf::FindSection(file, header, SHT_SYMTAB);
  if (!symbols.has_value()) return Fault("it has no symbol table");
  const std::vector<Function> functions = ReadFunctions(file, header, *symbols);
  ACCELMESH_ASSIGN_OR_RETURN(const Extent extent, FindExtent(functions, table));
  std::vector<RuntimeFunction> found;
  std::unordered_map<std::string_view, std::uint64_t> seen;
  for (std::size_t i = extent.first; i <= extent.last; ++i) {
    const Function& function = functions[i];
    if (function.kind != Kind::kNamed) continue;
    const std::string name(function.name.substr(0, 100));
    if (!seen.emplace(function.name, function.address).second) return Fault("it has two functions " + name);
    if (!found.empty() && found.back().address == function.address)
      return Fault(name + " shares its code with another function");
    const auto next = std::upper_bound(functions.begin(), functions.end(), function.address,
                                       [](std::uint64_t address, const Function& f) { return address < f.address; });
    const ByteView code =
        CodeToOverwrite(file, header, function.address, next == functions.end() ? UINT64_MAX : next->address);
    if (code.empty()) return Fault("there is no room to redirect " + name);
    found.push_back({function.name, function.address, code, FindEntryPoint(table, function.name)});
  }
  return found;
}

}  // namespace accelmesh
