#include "tools/mesh_sim/packed_text.h"

#include <lzma.h>

#include "protocol/base/mapped_file.h"

namespace accelmesh::sim {
namespace {

constexpr std::size_t kFileBytesMax = 64u << 20;

// Bytes of an .xz file, at most kFileBytesMax of them.
Result<std::string> Unpack(ByteView packed, const std::string& path) {
  std::string text(kFileBytesMax, '\0');
  std::uint64_t memory_limit = 256u << 20;
  std::size_t in = 0;
  std::size_t out = 0;
  const lzma_ret result = ::lzma_stream_buffer_decode(&memory_limit, 0, nullptr, packed.data(), &in, packed.size(),
                                                      reinterpret_cast<std::uint8_t*>(text.data()), &out, text.size());
  if (result != LZMA_OK) {
    return Status(Code::kInvalidArgument, "ReadPackedText",
                  path + " is no whole .xz file of up to 64 MiB; fetch it again");
  }
  text.resize(out);
  return text;
}

}  // namespace

Result<std::string> ReadPackedText(const std::string& path) {
  if (const Result<MappedFile> plain = MappedFile::Open(path); plain.ok()) return std::string(AsText(plain->bytes()));
  const Result<MappedFile> packed = MappedFile::Open(path + ".xz");
  if (packed.ok()) return Unpack(packed->bytes(), path + ".xz");
  return Status(
      Code::kNotFound, "ReadPackedText",
      path + " is not there, with .xz or without; give the folder that has it, or leave --traces out for the twin");
}

}  // namespace accelmesh::sim
