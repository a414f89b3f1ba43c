#include "shim/core/twin.h"

#include <algorithm>
#include <cstring>

namespace accelmesh {
namespace {

// What is looked at at a time: most of a memory is the same on both sides.
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLine = 64;

}  // namespace

std::unique_ptr<Twin> Twin::Make(MutableByteView memory) {
  // calloc: pages of zeros that cost nothing until they are written.
  auto* shadow = static_cast<std::uint8_t*>(std::calloc(memory.size(), 1));
  if (shadow == nullptr) return nullptr;
  return std::unique_ptr<Twin>(new Twin(memory, shadow));
}

void Twin::Append(std::vector<Run>& runs, std::uint64_t offset, std::uint64_t bytes) {
  std::memcpy(shadow_.get() + offset, memory_.data() + offset, bytes);
  if (!runs.empty() && runs.back().offset + runs.back().bytes == offset) {
    runs.back().bytes += bytes;
  } else {
    runs.push_back({offset, bytes});
  }
}

std::vector<Twin::Run> Twin::TakeWritten(bool exact) {
  std::vector<Run> runs;
  const std::uint8_t* memory = memory_.data();
  const std::uint8_t* shadow = shadow_.get();
  for (std::uint64_t page = 0; page < memory_.size(); page += kPage) {
    const std::uint64_t page_end = std::min(page + kPage, std::uint64_t{memory_.size()});
    if (std::memcmp(memory + page, shadow + page, page_end - page) == 0) continue;
    for (std::uint64_t line = page; line < page_end; line += kLine) {
      const std::uint64_t line_end = std::min(line + kLine, page_end);
      if (std::memcmp(memory + line, shadow + line, line_end - line) == 0) continue;
      if (!exact) {
        Append(runs, line, line_end - line);
        continue;
      }
      for (std::uint64_t at = line; at < line_end; ++at) {
        if (memory[at] != shadow[at]) Append(runs, at, 1);
      }
    }
  }
  return runs;
}

void Twin::Merge(std::uint64_t offset, ByteView bytes) {
  std::uint8_t* memory = memory_.data() + offset;
  std::uint8_t* shadow = shadow_.get() + offset;
  for (std::uint64_t line = 0; line < bytes.size(); line += kLine) {
    const std::uint64_t count = std::min(kLine, bytes.size() - line);
    const std::uint8_t* from = bytes.data() + line;
    if (std::memcmp(from, shadow + line, count) == 0) continue;
    if (std::memcmp(memory + line, shadow + line, count) == 0) {
      std::memcpy(memory + line, from, count);
      std::memcpy(shadow + line, from, count);
      continue;
    }
    for (std::uint64_t at = line; at < line + count; ++at) {
      if (bytes[at] == shadow[at]) continue;
      memory[at] = shadow[at] = bytes[at];
    }
  }
}

}  // namespace accelmesh
