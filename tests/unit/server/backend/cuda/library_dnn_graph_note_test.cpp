// What is remembered of a plan.
#include "server/backend/cuda/library_dnn_graph_note.h"

#include <gtest/gtest.h>

#include <cstring>

namespace accelmesh::cuda {
namespace {

GraphNote Note() {
  GraphNote note;
  note.answer = {1, 4096, 5, 6};
  note.engine = 17;
  note.knobs = {{3, -1}, {0, 1LL << 40}};
  note.text = R"({"plan":1})";
  return note;
}

void ExpectSame(const GraphNote& note, const GraphNote& other) {
  EXPECT_EQ(note.answer.engines, other.answer.engines);
  EXPECT_EQ(note.answer.workspace_bytes, other.answer.workspace_bytes);
  EXPECT_EQ(note.answer.numerical_notes, other.answer.numerical_notes);
  EXPECT_EQ(note.answer.behavior_notes, other.answer.behavior_notes);
  EXPECT_EQ(note.engine, other.engine);
  ASSERT_EQ(note.knobs.size(), other.knobs.size());
  for (std::size_t i = 0; i < note.knobs.size(); ++i) {
    EXPECT_EQ(note.knobs[i].type, other.knobs[i].type);
    EXPECT_EQ(note.knobs[i].value, other.knobs[i].value);
  }
  EXPECT_EQ(note.text, other.text);
}

TEST(GraphNoteTest, WhatIsWrittenIsRead) {
  GraphNote bare;
  bare.answer.engines = 1;
  for (const GraphNote& note : {Note(), bare}) {
    const auto read = ReadGraphNote(WriteGraphNote(note));
    ASSERT_TRUE(read.has_value());
    ExpectSame(*read, note);
  }
}

TEST(GraphNoteTest, NothingIsReadPastItsEnd) {
  GraphNote note = Note();
  note.text.clear();
  const Bytes whole = WriteGraphNote(note);
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_FALSE(ReadGraphNote(cut).has_value()) << bytes;
  }
}

TEST(GraphNoteTest, NumbersOutOfRangeAreNotBelieved) {
  constexpr std::size_t kVersion = 0, kKnobs = 5, kType = 6;
  const Bytes whole = WriteGraphNote(Note());
  const auto with = [&whole](std::size_t word, std::int64_t value) {
    Bytes bytes = whole;
    std::memcpy(bytes.data() + word * sizeof(value), &value, sizeof(value));
    return ReadGraphNote(bytes).has_value();
  };
  EXPECT_TRUE(with(kVersion, 1));
  EXPECT_FALSE(with(kVersion, 2));
  EXPECT_TRUE(with(kType, 5));
  for (const std::int64_t type : {std::int64_t{-1}, std::int64_t{1} << 31}) EXPECT_FALSE(with(kType, type));
  for (const std::int64_t knobs : {std::int64_t{-1}, std::int64_t{65}, std::int64_t{1} << 40, INT64_MIN, INT64_MAX})
    EXPECT_FALSE(with(kKnobs, knobs)) << knobs;
  GraphNote longest = Note();
  longest.text.assign(GraphNote::kTextBytesMax, 'x');
  EXPECT_TRUE(ReadGraphNote(WriteGraphNote(longest)).has_value());
  longest.text += 'x';
  EXPECT_FALSE(ReadGraphNote(WriteGraphNote(longest)).has_value());
}

}  // namespace
}  // namespace accelmesh::cuda
