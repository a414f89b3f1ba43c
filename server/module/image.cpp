#include "server/module/image.h"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <optional>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

constexpr std::uint32_t kContainerMagic = 0xba55ed50;
constexpr std::uint16_t kPtx = 1;
constexpr std::uint16_t kElf = 2;
constexpr std::string_view kElfMagic =
    "\x7f"
    "ELF";
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
  const auto whole_of = [&entry](std::string_view bytes) {
    return std::string(entry.kind == kPtx ? UpToZero(bytes) : bytes);
  };
  if (entry.compressed_bytes == 0) return whole_of(AsText(payload));
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
  return whole_of(text);
}

// The bytes of a container with its header: magic, u16 version, u16 header size, u64 size of what follows.
Result<std::uint64_t> ContainerBytes(ByteView image, std::uint16_t* header_bytes) {
  constexpr const char* kWhere = "ExtractPtx.image";
  ByteReader header(image, kWhere);
  ACCELMESH_ASSIGN_OR_RETURN([[maybe_unused]] const ByteView words, header.Take(6));
  ACCELMESH_ASSIGN_OR_RETURN(*header_bytes, header.Read<std::uint16_t>());
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t bytes, header.Read<std::uint64_t>());
  if (*header_bytes < 16 || *header_bytes > image.size() || bytes > image.size() - *header_bytes)
    return Status(Code::kInvalidArgument, kWhere, "the container is longer than the image");
  return *header_bytes + bytes;
}

// Calls visit(entry, payload) for every entry of a container.
template <typename Visit>
Status EachEntry(ByteView image, Visit&& visit) {
  constexpr const char* kWhere = "ExtractPtx.image";
  std::uint16_t header_bytes = 0;
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t bytes, ContainerBytes(image, &header_bytes));
  ByteReader reader(image.subspan(header_bytes, bytes - header_bytes), kWhere);
  while (reader.left() >= sizeof(Entry)) {
    ByteReader entry_reader = reader;
    ACCELMESH_ASSIGN_OR_RETURN(const Entry entry, entry_reader.Read<Entry>());
    if (entry.header_bytes < sizeof(Entry) || entry.header_bytes > reader.left() ||
        entry.payload_bytes > reader.left() - entry.header_bytes) {
      return Status(Code::kInvalidArgument, kWhere, "an entry is longer than the container");
    }
    ACCELMESH_ASSIGN_OR_RETURN([[maybe_unused]] const ByteView head, reader.Take(entry.header_bytes));
    ACCELMESH_ASSIGN_OR_RETURN(const ByteView payload, reader.Take(entry.payload_bytes));
    visit(entry, payload);
  }
  return Status::Ok();
}

bool IsContainer(ByteView image) {
  const Result<std::uint32_t> first = ByteReader(image, "ExtractPtx.image").Read<std::uint32_t>();
  return first.ok() && *first == kContainerMagic;
}

bool IsPortable(const Entry& entry) { return (entry.flags & (kFlagArchSpecific | kFlagFamily)) == 0; }

// Whether a device of `capability` runs the entry's PTX.
bool RunsPtx(const Entry& entry, std::uint32_t capability) {
  if (entry.kind != kPtx) return false;
  if ((entry.flags & kFlagArchSpecific) != 0) return entry.sm == capability;
  return entry.sm <= capability && (IsPortable(entry) || entry.sm / 10 == capability / 10);
}
// Of two that it runs: newer, or as new and for more devices.
bool IsBetter(const Entry& entry, const Entry& best) {
  return entry.sm != best.sm ? entry.sm > best.sm : IsPortable(entry) && !IsPortable(best);
}
// The same for us, who know what is for any device and little of what is not.
bool IsBetterForUs(const Entry& entry, const Entry& best) {
  return IsPortable(entry) != IsPortable(best) ? IsPortable(entry) : entry.sm > best.sm;
}
std::string NameOf(const Entry& entry) {
  const char* suffix = (entry.flags & kFlagArchSpecific) != 0 ? "a" : (entry.flags & kFlagFamily) != 0 ? "f" : "";
  return (entry.kind == kPtx ? "PTX compute_" : "SASS sm_") + std::to_string(entry.sm) + suffix;
}

}  // namespace

Result<std::string> ExtractPtx(ByteView image, std::uint32_t capability) {
  constexpr const char* kWhere = "ExtractPtx.image";
  if (!IsContainer(image)) {
    const std::string_view text = UpToZero(AsText(image));
    if (text.find(".version") != std::string_view::npos) return std::string(text);
    return Status(Code::kInvalidArgument, kWhere, "neither a fatbin container nor PTX text");
  }
  bool found = false;
  Entry best{};
  ByteView best_payload;
  std::string held;
  std::uint32_t claim = 0;  // of a device that would run it
  ACCELMESH_RETURN_IF_ERROR(EachEntry(image, [&](const Entry& entry, ByteView payload) {
    if (held.size() < kHeldBytesMax) {
      if (!held.empty()) held += ", ";
      held += NameOf(entry);
    }
    if (entry.kind == kPtx && IsPortable(entry) && entry.sm > capability)
      claim = claim == 0 ? entry.sm : std::min(claim, entry.sm);
    if (!RunsPtx(entry, capability) || (found && !IsBetterForUs(entry, best))) return;
    found = true;
    best = entry;
    best_payload = payload;
  }));
  if (!found) {
    const auto numbered = [](std::uint32_t number) {
      return std::to_string(number / 10) + "." + std::to_string(number % 10);
    };
    std::string text = "no PTX that a device of compute capability " + numbered(capability) +
                       " runs; the program holds " + (held.empty() ? "nothing" : held) +
                       ". Build it with PTX, for example nvcc -arch=sm_75";
    if (claim != 0) text += ", or start gpu-server with --compute-capability " + numbered(claim);
    return Status(Code::kNotFound, kWhere, std::move(text));
  }
  return Unpack(best, best_payload);
}

Result<std::vector<std::string>> ExtractTexts(ByteView image, std::uint32_t capability) {
  std::vector<ByteView> containers;
  for (ByteView left = image; IsContainer(left);) {
    std::uint16_t header_bytes = 0;
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t bytes, ContainerBytes(left, &header_bytes));
    containers.push_back(left.first(bytes));
    left = left.subspan(std::min<std::size_t>(AlignUp(bytes, 8), left.size()));
  }
  // What was linked holds no PTX; what it was linked from does.
  if (containers.size() > 1) containers.erase(containers.begin());
  if (containers.empty()) containers.push_back(image);
  std::vector<std::string> texts;
  std::uint64_t text_bytes = 0;
  Status lacking;
  for (const ByteView container : containers) {
    Result<std::string> text = ExtractPtx(container, capability);
    if (text.code() == Code::kNotFound) {
      if (lacking.ok()) lacking = text.status();
      continue;
    }
    ACCELMESH_RETURN_IF_ERROR(text.status());
    text_bytes += text->size();
    if (text_bytes > kTextBytesMax)
      return Status(Code::kLimitExceeded, "ExtractPtx.image", "the texts are past the limit");
    texts.push_back(*std::move(text));
  }
  if (texts.empty()) return lacking;
  return texts;
}

Result<std::vector<ImagePart>> ExtractParts(ByteView image, std::uint32_t capability) {
  std::vector<ImagePart> parts;
  if (!IsContainer(image)) {
    if (AsText(image).starts_with(kElfMagic)) {
      parts.push_back({false, std::string(AsText(image))});
      return parts;
    }
    ACCELMESH_ASSIGN_OR_RETURN(std::string text, ExtractPtx(image, capability));
    parts.push_back({true, std::move(text)});
    return parts;
  }
  std::optional<std::pair<Entry, ByteView>> ptx;
  std::vector<std::pair<Entry, ByteView>> chosen;
  ACCELMESH_RETURN_IF_ERROR(EachEntry(image, [&](const Entry& entry, ByteView payload) {
    if (entry.kind == kElf && entry.sm <= capability && entry.sm / 10 == capability / 10)
      chosen.emplace_back(entry, payload);
    if (RunsPtx(entry, capability) && (!ptx.has_value() || IsBetter(entry, ptx->first))) ptx.emplace(entry, payload);
  }));
  if (ptx.has_value()) chosen.push_back(*ptx);
  for (const auto& [entry, payload] : chosen) {
    ACCELMESH_ASSIGN_OR_RETURN(std::string bytes, Unpack(entry, payload));
    parts.push_back({entry.kind == kPtx, std::move(bytes)});
  }
  return parts;
}

}  // namespace accelmesh
