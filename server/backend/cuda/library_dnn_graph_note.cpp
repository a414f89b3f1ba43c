#include "server/backend/cuda/library_dnn_graph_note.h"

#include <cstring>
#include <limits>
#include <span>

namespace accelmesh::cuda {
namespace {

constexpr std::int64_t kVersion = 1;
constexpr std::size_t kFixedWords = 6;

}  // namespace

Bytes WriteGraphNote(const GraphNote& note) {
  std::vector<std::int64_t> words = {kVersion,
                                     static_cast<std::int64_t>(note.answer.workspace_bytes),
                                     static_cast<std::int64_t>(note.answer.numerical_notes),
                                     static_cast<std::int64_t>(note.answer.behavior_notes),
                                     note.engine,
                                     static_cast<std::int64_t>(note.knobs.size())};
  for (const GraphNote::Knob& knob : note.knobs) words.insert(words.end(), {knob.type, knob.value});
  Bytes bytes(words.size() * sizeof(std::int64_t) + note.text.size());
  std::memcpy(bytes.data(), words.data(), words.size() * sizeof(std::int64_t));
  std::memcpy(bytes.data() + words.size() * sizeof(std::int64_t), note.text.data(), note.text.size());
  return bytes;
}

std::optional<GraphNote> ReadGraphNote(ByteView bytes) {
  const auto word = [&bytes](std::size_t index) {
    std::int64_t value = 0;
    std::memcpy(&value, bytes.data() + index * sizeof(value), sizeof(value));
    return value;
  };
  const std::size_t words = bytes.size() / sizeof(std::int64_t);
  if (words < kFixedWords || word(0) != kVersion) return std::nullopt;
  const std::int64_t knobs = word(5);
  if (knobs < 0 || knobs > static_cast<std::int64_t>(GraphNote::kKnobsMax)) return std::nullopt;
  const std::size_t text_at = kFixedWords + 2 * static_cast<std::size_t>(knobs);
  if (words < text_at) return std::nullopt;
  GraphNote note;
  note.answer = {1, static_cast<std::uint64_t>(word(1)), static_cast<std::uint64_t>(word(2)),
                 static_cast<std::uint64_t>(word(3))};
  note.engine = word(4);
  for (std::size_t at = kFixedWords; at < text_at; at += 2) {
    if (word(at) < 0 || word(at) > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
    note.knobs.push_back({static_cast<std::int32_t>(word(at)), word(at + 1)});
  }
  const ByteView text = bytes.subspan(text_at * sizeof(std::int64_t));
  if (text.size() > GraphNote::kTextBytesMax) return std::nullopt;
  note.text.assign(text.begin(), text.end());
  return note;
}

}  // namespace accelmesh::cuda
