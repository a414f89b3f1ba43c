#include "server/module/image.h"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

constexpr std::uint32_t kContainerMagic = 0xba55ed50;
constexpr std::uint16_t kPtx = 1;
constexpr std::uint64_t kFlagLz4 = 0x2000;
constexpr std::uint64_t kFlagZstd = 0x8000;
constexpr std::uint64_t kFlagArchSpecific = 0x100000;
constexpr std::uint64_t kFlagFamily = 0x200000;
constexpr std::uint64_t kTextBytesMax = 256 * limits::kMiB;
constexpr std::uint64_t kLz4RatioMax = 255;
constexpr std::size_t kHeldBytesMax = 512;  // of the list of entries that an error shows

// The fixed part of an entry, as nvcc 13 writes it (observed; the names are ours).
struct Entry {
  std::uint16_t kind;
  std::uint16_t version;
  std::uint32_t header_bytes;
  std::uint64_t payload_bytes;
  std::uint32_t compressed_bytes;
  std::uint32_t extra_offset;
  std::uint16_t minor;
  std::uint16_t major;
  std::uint32_t sm;
  std::uint32_t name_offset;
  std::uint32_t name_bytes;
  std::uint64_t flags;
  std::uint64_t unused;
  std::uint64_t uncompressed_bytes;
};
static_assert(sizeof(Entry) == 64);

// Text is padded with zeros.
std::string_view UpToZero(std::string_view text) { return text.substr(0, text.find('\0')); }

Result<std::string> Unpack(const Entry& entry, ByteView payload) {
  constexpr const char* kWhere = "ExtractPtx.payload";
  if (entry.compressed_bytes == 0) return std::string(UpToZero(AsText(payload)));
  if (entry.compressed_bytes > payload.size() || entry.uncompressed_bytes == 0 ||
      entry.uncompressed_bytes > kTextBytesMax) {
    return Status(Code::kInvalidArgument, kWhere, "the sizes of a compressed entry make no sense");
  }
  // What the sizes promise must be possible before memory is taken for it.
  const bool zstd = (entry.flags & kFlagZstd) != 0;
  const bool lz4 = !zstd && (entry.flags & kFlagLz4) != 0;
  const unsigned long long content =
      zstd ? ZSTD_getFrameContentSize(payload.data(), entry.compressed_bytes) : ZSTD_CONTENTSIZE_ERROR;
  const bool possible = zstd ? content == entry.uncompressed_bytes || content == ZSTD_CONTENTSIZE_UNKNOWN
                             : lz4 && entry.uncompressed_bytes / kLz4RatioMax <= entry.compressed_bytes;
  if (!possible) return Status(Code::kInvalidArgument, kWhere, "the sizes of a compressed entry make no sense");
  std::string text(entry.uncompressed_bytes, '\0');
  bool whole = false;
  if (zstd) {
    const std::size_t got = ZSTD_decompress(text.data(), text.size(), payload.data(), entry.compressed_bytes);
    whole = ZSTD_isError(got) == 0 && got == text.size();
  } else {
    const int got = LZ4_decompress_safe(reinterpret_cast<const char*>(payload.data()), text.data(),
                                        static_cast<int>(entry.compressed_bytes), static_cast<int>(text.size()));
    whole = got >= 0 && static_cast<std::size_t>(got) == text.size();
  }
  if (!whole) return Status(Code::kInvalidArgument, kWhere, "a compressed entry does not unpack");
  text.resize(UpToZero(text).size());
  return text;
}

}  // namespace

Result<std::string> ExtractPtx(ByteView image, std::uint32_t capability) {
  constexpr const char* kWhere = "ExtractPtx.image";
  ByteReader magic(image, kWhere);
  const Result<std::uint32_t> first = magic.Read<std::uint32_t>();
  if (!first.ok() || *first != kContainerMagic) {
    const std::string_view text = UpToZero(AsText(image));
    if (text.find(".version") != std::string_view::npos) return std::string(text);
    return Status(Code::kInvalidArgument, kWhere, "neither a fatbin container nor PTX text");
  }
  // Container header: magic, u16 version, u16 header size, u64 size of what follows.
  ByteReader header(image, kWhere);
  ACCELMESH_ASSIGN_OR_RETURN([[maybe_unused]] const ByteView words, header.Take(6));
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint16_t header_bytes, header.Read<std::uint16_t>());
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t bytes, header.Read<std::uint64_t>());
  if (header_bytes < 16 || header_bytes > image.size() || bytes > image.size() - header_bytes) {
    return Status(Code::kInvalidArgument, kWhere, "the container is longer than the image");
  }
  ByteReader reader(image.subspan(header_bytes, bytes), kWhere);
  bool found = false;
  Entry best{};
  ByteView best_payload;
  std::string held;
  while (reader.left() >= sizeof(Entry)) {
    ByteReader entry_reader = reader;
    ACCELMESH_ASSIGN_OR_RETURN(const Entry entry, entry_reader.Read<Entry>());
    if (entry.header_bytes < sizeof(Entry) || entry.header_bytes > reader.left() ||
        entry.payload_bytes > reader.left() - entry.header_bytes) {
      return Status(Code::kInvalidArgument, kWhere, "an entry is longer than the container");
    }
    ACCELMESH_ASSIGN_OR_RETURN([[maybe_unused]] const ByteView head, reader.Take(entry.header_bytes));
    ACCELMESH_ASSIGN_OR_RETURN(const ByteView payload, reader.Take(entry.payload_bytes));
    if (held.size() < kHeldBytesMax) {
      if (!held.empty()) held += ", ";
      held += (entry.kind == kPtx ? "PTX compute_" : "SASS sm_") + std::to_string(entry.sm);
    }
    if (entry.kind != kPtx || (entry.flags & (kFlagArchSpecific | kFlagFamily)) != 0 || entry.sm > capability) continue;
    if (found && entry.sm <= best.sm) continue;
    found = true;
    best = entry;
    best_payload = payload;
  }
  if (!found) {
    return Status(Code::kNotFound, kWhere,
                  "no PTX that a device of compute capability " + std::to_string(capability / 10) + "." +
                      std::to_string(capability % 10) + " runs; the program holds " +
                      (held.empty() ? "nothing" : held) + ". Build it with PTX, for example nvcc -arch=sm_75");
  }
  return Unpack(best, best_payload);
}

}  // namespace accelmesh
