// Writes the seeds of library_memory_fuzz: files whole, cut, damaged and with a key twice.
#include <cstdio>
#include <fstream>

#include "server/session/library_memory_file.h"

namespace accelmesh {
namespace {

void Write(const std::string& path, ByteView bytes) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void WriteAll(const std::string& folder) {
  Bytes file;
  for (const char* key : {"first", "second", "first", "a third with a longer question"}) {
    const Bytes record = LibraryMemoryFile::Write({AsBytes(std::string_view(key)), 3000, AsBytes(std::uint64_t{5})});
    file.insert(file.end(), record.begin(), record.end());
  }
  Write(folder + "/four", file);
  Write(folder + "/cut", ByteView(file).first(file.size() - 3));
  Write(folder + "/empty", {});
  const Bytes small = LibraryMemoryFile::Write({});
  Write(folder + "/nothing", small);
  file[40] ^= 1;
  Write(folder + "/damaged", file);
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "make_library_memory_seeds FOLDER\n");
    return 2;
  }
  accelmesh::WriteAll(argv[1]);
  return 0;
}
