#include "protocol/base/program.h"

#include <algorithm>
#include <array>
#include <bitset>

#include "protocol/base/elf.h"
#include "protocol/base/mapped_file.h"

namespace accelmesh {
namespace {

constexpr const char* kWhere = "ReadProgram";
constexpr std::string_view kFatbinSection = ".nvFatBinSegment";
constexpr std::string_view kRegistration = "__cudaRegisterFatBinary";
constexpr std::string_view kRuntimeName = "libcudart.so.";
constexpr std::string_view kServedMajor = "13";
constexpr const char* kRebuild = "rebuild it with nvcc -cudart shared (CMake: CUDA_RUNTIME_LIBRARY Shared)";
constexpr std::size_t kNeededMax = 4096;

// Every static runtime of CUDA 13 has these: what nvcc's stubs call, and what no program does without.
constexpr std::array<std::string_view, 10> kCore = {
    "__cudaRegisterFatBinary",
    "__cudaRegisterFatBinaryEnd",
    "__cudaUnregisterFatBinary",
    "__cudaRegisterFunction",
    "__cudaPushCallConfiguration",
    "__cudaPopCallConfiguration",
    "__cudaLaunchKernel",
    "cudaLaunchKernel",
    "cudaMalloc",
    "cudaGetDeviceCount",
};
// CUDA 13 brought these. A table without local symbols has lost those that the program calls, hardly all of them.
constexpr std::array<std::string_view, 4> kSince13 = {"cudaMemGetDefaultMemPool", "cudaMemGetMemPool",
                                                      "cudaDeviceGetHostAtomicCapabilities",
                                                      "cudaDeviceGetP2PAtomicCapabilities"};
// And took these away.
constexpr std::array<std::string_view, 3> kBefore13 = {"cudaGetDeviceProperties_v2", "cudaThreadSynchronize",
                                                       "cudaLaunchCooperativeKernelMultiDevice"};

Status Broken(std::string_view what) {
  return {Code::kInvalidArgument, kWhere, "a broken ELF file: " + std::string(what)};
}

template <std::size_t kCount>
std::size_t IndexIn(const std::array<std::string_view, kCount>& names, std::string_view name) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

Status ReadNeeded(ByteView file, const Elf64_Ehdr& header, const Elf64_Phdr& dynamic, ProgramFacts* facts) {
  std::vector<std::uint64_t> names;
  std::uint64_t strings_address = 0;
  std::uint64_t strings_bytes = 0;
  for (std::uint64_t d = 0; d < dynamic.p_filesz / sizeof(Elf64_Dyn); ++d) {
    const auto entry = elf::ElementAt<Elf64_Dyn>(file, dynamic.p_offset, d);
    if (!entry.has_value()) return Broken("the dynamic section lies outside of it");
    if (entry->d_tag == DT_NULL) break;
    if (entry->d_tag == DT_NEEDED) names.push_back(entry->d_un.d_val);
    if (entry->d_tag == DT_STRTAB) strings_address = entry->d_un.d_ptr;
    if (entry->d_tag == DT_STRSZ) strings_bytes = entry->d_un.d_val;
    if (names.size() > kNeededMax) return Broken("it needs more objects than any program");
  }
  if (names.empty()) return Status::Ok();
  const std::optional<Elf64_Phdr> segment = elf::SegmentOf(file, header, strings_address);
  if (!segment.has_value()) return Broken("its dynamic strings lie nowhere");
  const std::uint64_t strings = segment->p_offset + (strings_address - segment->p_vaddr);
  for (const std::uint64_t name : names) facts->needed.emplace_back(elf::StringAt(file, strings, strings_bytes, name));
  return Status::Ok();
}

Status ReadSegments(ByteView file, const Elf64_Ehdr& header, ProgramFacts* facts) {
  bool has_dynamic = false;  // the loader takes the first
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    const auto segment = elf::ElementAt<Elf64_Phdr>(file, header.e_phoff, i);
    if (!segment.has_value()) return Broken("a program header lies outside of it");
    if (segment->p_type == PT_INTERP) facts->has_loader = true;
    if (segment->p_type != PT_DYNAMIC || has_dynamic) continue;
    has_dynamic = true;
    ACCELMESH_RETURN_IF_ERROR(ReadNeeded(file, header, *segment, facts));
  }
  return Status::Ok();
}

bool ImportsRegistration(ByteView file, const Elf64_Ehdr& header, const Elf64_Shdr& symbols) {
  bool found = false;
  elf::ForEachSymbol(file, header, symbols, [&](std::string_view name, const Elf64_Sym& symbol) {
    found = symbol.st_shndx == SHN_UNDEF && name == kRegistration;
    return !found;
  });
  return found;
}

StaticRuntime FindStaticRuntime(ByteView file, const Elf64_Ehdr& header, const Elf64_Shdr& symbols) {
  std::bitset<kCore.size()> core;
  bool has_internals = false, has_local_internals = false, is_since_13 = false, is_before_13 = false;
  elf::ForEachSymbol(file, header, symbols, [&](std::string_view name, const Elf64_Sym& symbol) {
    if (name.empty() || !elf::IsFunctionHere(symbol)) return true;
    if (name.front() == 'l' && IsRuntimeInternal(name)) {
      has_internals = true;
      has_local_internals |= ELF64_ST_BIND(symbol.st_info) == STB_LOCAL;
    } else if (name.starts_with("cuda") || name.starts_with("__cuda")) {
      if (const std::size_t index = IndexIn(kCore, name); index < kCore.size()) core.set(index);
      is_since_13 |= IndexIn(kSince13, name) < kSince13.size();
      is_before_13 |= IndexIn(kBefore13, name) < kBefore13.size();
    }
    return true;
  });
  if (!has_internals) return StaticRuntime::kNone;
  if (is_before_13 || !is_since_13) return StaticRuntime::kOtherVersion;
  return core.all() && has_local_internals ? StaticRuntime::kServed : StaticRuntime::kIncomplete;
}

Status ReadSections(ByteView file, const Elf64_Ehdr& header, ProgramFacts* facts) {
  if (header.e_shoff == 0 || header.e_shnum == 0) return Status::Ok();  // Stripped of its section table.
  const auto names = elf::ElementAt<Elf64_Shdr>(file, header.e_shoff, header.e_shstrndx);
  if (!names.has_value()) return Broken("the names of its sections lie outside of it");
  for (std::uint64_t i = 0; i < header.e_shnum; ++i) {
    const auto section = elf::ElementAt<Elf64_Shdr>(file, header.e_shoff, i);
    if (!section.has_value()) return Broken("a section header lies outside of it");
    if (elf::StringAt(file, names->sh_offset, names->sh_size, section->sh_name) == kFatbinSection)
      facts->has_fatbins = true;
  }
  if (const auto dynamic = elf::FindSection(file, header, SHT_DYNSYM))
    facts->imports_runtime = ImportsRegistration(file, header, *dynamic);
  if (const auto symbols = elf::FindSection(file, header, SHT_SYMTAB)) {
    facts->has_symbols = true;
    facts->static_runtime = FindStaticRuntime(file, header, *symbols);
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

bool IsRuntimeInternal(std::string_view name) {
  constexpr std::string_view kPrefix = "libcudart_static_";
  constexpr std::size_t kHashDigits = 40;
  if (name.size() != kPrefix.size() + kHashDigits || !name.starts_with(kPrefix)) return false;
  return name.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

Result<ProgramFacts> ReadProgram(ByteView file) {
  ACCELMESH_ASSIGN_OR_RETURN(const Elf64_Ehdr header, elf::ReadHeader(file));
  ProgramFacts facts;
  ACCELMESH_RETURN_IF_ERROR(ReadSegments(file, header, &facts));
  ACCELMESH_RETURN_IF_ERROR(ReadSections(file, header, &facts));
  return facts;
}

Result<ProgramFacts> ReadProgramFile(const std::string& path) {
  ACCELMESH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ReadProgram(file.bytes());
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
  if (facts.static_runtime == StaticRuntime::kServed) return {};
  const std::string static_runtime = std::string(name) + " is built with the static CUDA runtime ";
  if (facts.static_runtime == StaticRuntime::kOtherVersion)
    return {false, static_runtime +
                       "of another CUDA version; this release of AccelMesh serves CUDA 13: rebuild it "
                       "with a CUDA 13 toolkit"};
  if (facts.static_runtime == StaticRuntime::kIncomplete)
    return {false, static_runtime +
                       "and partly stripped, so that not all of its functions can be found: do not strip "
                       "it, or " +
                       kRebuild};
  if (!facts.has_fatbins || needs_runtime || facts.imports_runtime) return {};
  if (!facts.has_symbols)
    return {false,
            static_runtime + "and stripped, so that its functions cannot be found: do not strip it, or " + kRebuild};
  return {false, static_runtime + "in a form that this release of AccelMesh does not know: " + kRebuild};
}

RuntimeFault FindStartFault(const ProgramFacts& facts, std::string_view name) {
  if (!facts.has_loader && (facts.has_fatbins || facts.static_runtime != StaticRuntime::kNone))
    return {false, std::string(name) +
                       " is linked without ld.so (gcc -static), so that nothing can be preloaded into "
                       "it: link it dynamically"};
  return FindRuntimeFault(facts, name);
}

}  // namespace accelmesh
