// Writes the seeds of program_fuzz and runtime_functions_fuzz: make_program_seeds FOLDER makes FOLDER/program/<what it
// is> and FOLDER/runtime_functions/<what it is>. The results are committed (tests/fuzz/seeds), so that a seed stays
// what it was.
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/protocol/base/elf_recipe.h"

namespace accelmesh {
namespace {

void Write(const std::filesystem::path& path, const Bytes& file) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
}

// `file` with `value` at `offset` of its header.
template <typename T>
Bytes WithHeaderField(Bytes file, std::size_t offset, T value) {
  std::memcpy(file.data() + offset, &value, sizeof(value));
  return file;
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) {
  using namespace accelmesh;
  if (argc != 2) return 2;
  const std::filesystem::path folder = std::filesystem::path(argv[1]) / "program";
  std::filesystem::create_directories(folder);
  const Bytes shared = elf::MakeElf({{"libm.so.6", "libcudart.so.13"}, true, "__cudaRegisterFatBinary"});
  Write(folder / "shared_runtime", shared);
  Write(folder / "static_runtime", elf::MakeElf({{"libc.so.6"}, true, ""}));
  Write(folder / "static_runtime_with_names", elf::MakeElf({{"libc.so.6"}, true, "", elf::RuntimeFunctions()}));
  Write(folder / "other_major", elf::MakeElf({{"libcudart.so.12", "libc.so.6"}, true, ""}));
  Write(folder / "needs_nothing", elf::MakeElf({{}, false, ""}));
  Write(folder / "without_sections", WithHeaderField(shared, offsetof(Elf64_Ehdr, e_shoff), std::uint64_t{0}));
  Write(folder / "segments_outside", WithHeaderField(shared, offsetof(Elf64_Ehdr, e_phoff), ~std::uint64_t{55}));
  Write(folder / "names_outside", WithHeaderField(shared, offsetof(Elf64_Ehdr, e_shstrndx), std::uint16_t{0xfff0}));
  const std::filesystem::path runtimes = std::filesystem::path(argv[1]) / "runtime_functions";
  std::filesystem::create_directories(runtimes);
  const auto with = [](std::vector<elf::Function> functions) {
    return elf::MakeElf({{"libc.so.6"}, true, "", std::move(functions)});
  };
  std::vector<elf::Function> functions = elf::RuntimeFunctions();
  Write(runtimes / "plain", with(functions));
  for (elf::Function& function : functions) function.begin = {0xf3, 0x0f, 0x1e, 0xfa};
  Write(runtimes / "branch_targets", with(functions));
  functions.insert(functions.begin() + 5, {"cudaNewer"});
  functions.insert(functions.begin(), {"cudaMalloc", true});
  Write(runtimes / "newer_and_own", with(functions));
  functions[3].bytes = 5;
  Write(runtimes / "no_room", with(functions));
  Write(folder / "cut", {shared.begin(), shared.begin() + 200});
  return 0;
}
