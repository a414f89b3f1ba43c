// Writes the seeds of image_fuzz: make_image_seeds FOLDER makes FOLDER/image/<what it is>. The results are committed
// (tests/fuzz/seeds), so that a seed stays what it was.
#include <lz4.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "protocol/base/bytes.h"

namespace accelmesh {
namespace {

enum class Packing { kStored, kLz4, kZstd };

template <typename T>
void Append(Bytes* out, T value) {
  const ByteView bytes = AsBytes(value);
  out->insert(out->end(), bytes.begin(), bytes.end());
}

Bytes Packed(const std::string& text, Packing packing) {
  Bytes packed(text.begin(), text.end());
  if (packing == Packing::kLz4) {
    const int size = static_cast<int>(text.size());
    packed.resize(static_cast<std::size_t>(LZ4_compressBound(size)));
    packed.resize(static_cast<std::size_t>(LZ4_compress_default(text.data(), reinterpret_cast<char*>(packed.data()),
                                                                size, static_cast<int>(packed.size()))));
  } else if (packing == Packing::kZstd) {
    packed.resize(ZSTD_compressBound(text.size()));
    packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  }
  return packed;
}

// An entry of a container as nvcc 13 lays it out (server/module/image.cpp names the fields).
Bytes Entry(std::uint16_t kind, std::uint32_t sm, const std::string& text, Packing packing) {
  Bytes payload = Packed(text, packing);
  const auto size = static_cast<std::uint32_t>(payload.size());
  payload.resize(AlignUp(payload.size() + 1, 8));
  const bool compressed = packing != Packing::kStored;
  const std::uint64_t flags = packing == Packing::kLz4 ? 0x2000 : packing == Packing::kZstd ? 0x8000 : 0;
  Bytes entry;
  Append<std::uint16_t>(&entry, kind);
  Append<std::uint16_t>(&entry, 0x101);
  Append<std::uint32_t>(&entry, 64);
  Append<std::uint64_t>(&entry, payload.size());
  Append<std::uint32_t>(&entry, compressed ? size : 0);
  Append<std::uint32_t>(&entry, 0);
  Append<std::uint32_t>(&entry, 0x00090000);
  Append<std::uint32_t>(&entry, sm);
  Append<std::uint64_t>(&entry, 0);
  Append<std::uint64_t>(&entry, flags | 0x11);
  Append<std::uint64_t>(&entry, 0);
  Append<std::uint64_t>(&entry, compressed ? text.size() : 0);
  entry.insert(entry.end(), payload.begin(), payload.end());
  return entry;
}

Bytes Container(const std::vector<Bytes>& entries) {
  Bytes image;
  std::uint64_t size = 0;
  for (const Bytes& entry : entries) size += entry.size();
  Append<std::uint32_t>(&image, 0xba55ed50);
  Append<std::uint16_t>(&image, 1);
  Append<std::uint16_t>(&image, 16);
  Append<std::uint64_t>(&image, size);
  for (const Bytes& entry : entries) image.insert(image.end(), entry.begin(), entry.end());
  return image;
}

void Write(const std::filesystem::path& path, const Bytes& image) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) {
  using namespace accelmesh;
  if (argc != 2) return 2;
  const std::filesystem::path folder = std::filesystem::path(argv[1]) / "image";
  std::filesystem::create_directories(folder);
  const std::string text = "\n.version 9.0\n.target sm_75\n.address_size 64\n.visible .entry k()\n{\nret;\n}\n";
  Write(folder / "stored", Container({Entry(1, 75, text, Packing::kStored)}));
  Write(folder / "lz4", Container({Entry(1, 75, text + text, Packing::kLz4)}));
  Write(folder / "zstd", Container({Entry(1, 75, text + text, Packing::kZstd)}));
  Write(folder / "several", Container({Entry(2, 75, "cubin", Packing::kStored), Entry(1, 75, text, Packing::kZstd),
                                       Entry(1, 90, text, Packing::kLz4), Entry(2, 120, "cubin", Packing::kZstd)}));
  Write(folder / "empty", Container({}));
  // What nvcc linked, and what it was linked from.
  Bytes linked = Container({Entry(2, 75, "cubin", Packing::kStored)});
  for (const std::uint32_t sm : {75u, 121u, 80u}) {
    const Bytes member = Container({Entry(2, sm, "cubin", Packing::kZstd), Entry(1, sm, text, Packing::kZstd)});
    linked.resize(AlignUp(linked.size(), 8));
    linked.insert(linked.end(), member.begin(), member.end());
  }
  Write(folder / "linked", linked);
  std::ofstream(folder / "text.ptx", std::ios::binary) << text;
  return 0;
}
