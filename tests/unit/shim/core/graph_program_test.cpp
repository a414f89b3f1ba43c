// What an executable graph becomes: records, steps, and when the program's memory is read.
#include "shim/core/graph_program.h"

#include <gtest/gtest.h>

#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

using Kind = GraphStep::Kind;

class GraphProgramTest : public ::testing::Test {
 protected:
  GraphProgramTest() {
    options_.find_shared = [](std::uint64_t, std::uint64_t) { return std::optional<wire::Place>(); };
    options_.piece_bytes = 1024;
  }
  GraphNode* Add(GraphPayload payload) {
    std::vector<GraphLink> links;
    if (last_ != nullptr) links.push_back({last_, {}});
    GraphNode* made = nullptr;
    EXPECT_EQ(graph_.Add(std::move(payload), links, &made), 0u);
    return last_ = made;
  }
  GraphNode* Kernel() { return Add(GraphKernel{}); }
  GraphNode* Host() { return Add(GraphHost{}); }
  GraphNode* Up(std::uint64_t bytes = 64) {
    return Add(GraphCopy{{0x1000, bytes, bytes, true}, {0x2000, bytes, bytes, false}, bytes, 1, 1});
  }
  GraphNode* Down(std::uint64_t bytes = 64) {
    return Add(GraphCopy{{0x2000, bytes, bytes, false}, {0x1000, bytes, bytes, true}, bytes, 1, 1});
  }
  const GraphProgram& Compile() {
    GraphNode* offending = nullptr;
    EXPECT_EQ(CompileGraph(graph_, options_, &program_, &offending), 0u);
    return program_;
  }
  std::vector<Kind> Kinds() {
    std::vector<Kind> kinds;
    for (const GraphStep& step : Compile().steps) kinds.push_back(step.kind);
    return kinds;
  }

  Graph graph_;
  GraphNode* last_ = nullptr;
  GraphCompileOptions options_;
  GraphProgram program_;
};

TEST_F(GraphProgramTest, WithoutTheProgramsPartItIsOneStep) {
  for (int i = 0; i < 10; ++i) Kernel();
  Up();
  Down();
  Compile();
  ASSERT_EQ(program_.steps.size(), 1u);
  EXPECT_EQ(program_.steps[0].records, 12u);
  ASSERT_EQ(program_.steps[0].pieces.size(), 2u);
  EXPECT_EQ(program_.steps[0].pieces[0].record, 10u);
  EXPECT_FALSE(program_.steps[0].pieces[0].is_dst);
  EXPECT_TRUE(program_.steps[0].pieces[1].is_dst);
  EXPECT_FALSE(program_.steps[0].sends_late);
  EXPECT_EQ(program_.sent_bytes, 64u);
  EXPECT_TRUE(program_.writes_host);
}

TEST_F(GraphProgramTest, AHostFunctionDividesIt) {
  Kernel();
  Host();
  Kernel();
  EXPECT_EQ(Kinds(), (std::vector<Kind>{Kind::kRecords, Kind::kHost, Kind::kRecords}));
  EXPECT_EQ(program_.steps[2].first, 1u);
}

TEST_F(GraphProgramTest, WhatAFunctionMayHaveWrittenIsReadBehindIt) {
  Up();
  Host();
  Up();
  Up();
  Compile();
  ASSERT_EQ(program_.steps.size(), 3u);
  EXPECT_FALSE(program_.steps[0].sends_late);
  EXPECT_TRUE(program_.steps[2].sends_late);
  EXPECT_EQ(program_.steps[2].records, 2u);
  EXPECT_EQ(program_.sent_bytes, 64u) << "of the first only";
}

TEST_F(GraphProgramTest, WhatACopyMayHaveWrittenIsReadBehindIt) {
  Down();
  Up();
  Down();
  Up();
  Compile();
  ASSERT_EQ(program_.steps.size(), 3u);
  EXPECT_FALSE(program_.steps[0].sends_late);
  EXPECT_TRUE(program_.steps[1].sends_late);
  EXPECT_EQ(program_.steps[1].records, 2u) << "up, and the copy down behind it";
  EXPECT_TRUE(program_.steps[2].sends_late);
}

TEST_F(GraphProgramTest, SharedMemoryNeedsNoPieces) {
  options_.find_shared = [](std::uint64_t address, std::uint64_t) {
    return std::optional<wire::Place>(wire::Place(address - 0x2000, 5, wire::PlaceKind::Shared));
  };
  Down();
  Host();
  Up();
  Compile();
  for (const GraphStep& step : program_.steps) {
    EXPECT_TRUE(step.pieces.empty());
    EXPECT_FALSE(step.sends_late);
  }
  EXPECT_TRUE(program_.writes_host);
}

TEST_F(GraphProgramTest, LargeCopiesGoInBodies) {
  Up(2500);
  Down(2500);
  Compile();
  ASSERT_EQ(program_.records.size(), 4u);
  std::uint64_t sent = 0;
  for (const GraphPiece& piece : program_.steps[0].pieces) {
    if (piece.is_dst) continue;
    EXPECT_EQ(piece.address, 0x2000 + sent);
    EXPECT_LE(piece.width, 1024u);
    sent += piece.width;
  }
  EXPECT_EQ(sent, 2500u);
}

TEST_F(GraphProgramTest, RowsArePackedOnTheirWayUpAndLandOneByOne) {
  Add(GraphCopy{{0x1000, 512, 0, true}, {0x2000, 300, 0, false}, 200, 10, 1});
  Add(GraphCopy{{0x2000, 300, 0, false}, {0x1000, 512, 0, true}, 200, 10, 1});
  Compile();
  ASSERT_EQ(program_.records.size(), 2u + 10u) << "five rows a body of 1024 bytes";
  EXPECT_EQ(program_.steps[0].pieces[0].rows, 5u);
  EXPECT_EQ(program_.steps[0].pieces[1].address, 0x2000 + 5 * 300u);
  EXPECT_EQ(program_.steps[0].pieces[3].address, 0x2000 + 300u);
  EXPECT_EQ(program_.steps[0].pieces[3].width, 200u);
}

TEST_F(GraphProgramTest, ChildrenRunInTheirPlaceAndWhatIsOffNotAtAll) {
  Graph inner;
  GraphNode* made = nullptr;
  ASSERT_EQ(inner.Add(GraphHost{}, {}, &made), 0u);
  Kernel();
  Add(GraphChild{inner.Clone()});
  GraphNode* off = Kernel();
  Kernel();
  off->is_enabled = false;
  EXPECT_EQ(Kinds(), (std::vector<Kind>{Kind::kRecords, Kind::kHost, Kind::kRecords}));
  EXPECT_EQ(program_.records.size(), 2u);
  EXPECT_EQ(off->records, 0u);
}

TEST_F(GraphProgramTest, ALibrarysFunctionIsItsCommandWithItsWords) {
  Kernel();
  GraphLibrary call{0, 1, 42, 3, {1, 2, 3, 4, 5, 6, 7, 8}};
  const GraphNode* node = Add(call);
  Compile();
  ASSERT_EQ(program_.steps.size(), 1u);
  ASSERT_EQ(program_.records.size(), 2u);
  EXPECT_EQ(node->first_record, 1u);
  EXPECT_EQ(program_.device_nodes.back(), node);
  FrameReader reader = FrameReader::OfPayload(program_.records[1], 1);
  const auto record = reader.Next();
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(static_cast<CommandId>(record->command), CommandId::kLibraryCall);
  wire::LibraryCall command;
  ASSERT_EQ(record->body.size(), sizeof(command));
  std::memcpy(&command, record->body.data(), sizeof(command));
  EXPECT_EQ(command.library(), 1u);
  EXPECT_EQ(command.function(), 42u);
  EXPECT_EQ(command.settings(), 3u);
  EXPECT_EQ(Bytes(record->payload.begin(), record->payload.end()), call.arguments);
  // Another function in its place is another record in that one's.
  call.function = 43;
  EXPECT_TRUE(CompileSingle(call, options_).has_value());
}

TEST_F(GraphProgramTest, AStepHoldsWhatOneCommandMayLaunch) {
  for (std::uint32_t i = 0; i <= limits::kGraphLaunchNodesMax; ++i) Kernel();
  Compile();
  ASSERT_EQ(program_.steps.size(), 2u);
  EXPECT_EQ(program_.steps[0].records, limits::kGraphLaunchNodesMax);
  EXPECT_EQ(program_.steps[1].first, limits::kGraphLaunchNodesMax);
}

TEST_F(GraphProgramTest, CopiesWithinTheProgramAreItsOwn) {
  char from[4][8] = {"abcdefg", "hijklmn", "opqrstu", "vwxyzAB"};
  char to[12] = {};
  const GraphCopy copy{{reinterpret_cast<std::uint64_t>(to), 3, 0, false},
                       {reinterpret_cast<std::uint64_t>(from), 8, 0, false},
                       3,
                       4,
                       1};
  Add(copy);
  EXPECT_EQ(Kinds(), (std::vector<Kind>{Kind::kCopyOnHost}));
  CopyOnHost(copy);
  EXPECT_EQ(std::string(to, 12), "abchijopqvwx");
}

}  // namespace
}  // namespace accelmesh
