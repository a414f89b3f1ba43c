// Conditional nodes: what their bodies may be, whose conditions they have, and the branches that they become.
#include <gtest/gtest.h>

#include <cstring>

#include "shim/core/capture.h"
#include "shim/core/graph_program.h"
#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

using Kind = GraphConditionalKind;

std::shared_ptr<const GraphCondition> Condition(std::uint64_t handle, bool assigns_initial = false) {
  return std::make_shared<GraphCondition>(GraphCondition{handle, 0, 9, assigns_initial});
}
GraphCopy Down() { return {{0x2000, 64, 64, false}, {0x1000, 64, 64, true}, 64, 1, 1}; }

class GraphConditionalTest : public ::testing::Test {
 protected:
  GraphConditionalTest() {
    options_.find_shared = [](std::uint64_t, std::uint64_t) { return std::optional<wire::Place>(); };
  }
  static GraphNode* Add(Graph& graph, GraphPayload payload) {
    std::vector<GraphLink> links;
    if (!graph.nodes().empty()) links.push_back({graph.nodes().back().get(), {}});
    GraphNode* made = nullptr;
    EXPECT_EQ(graph.Add(std::move(payload), links, &made), 0u);
    return made;
  }
  // A conditional node of its own condition, at the end of the graph.
  GraphNode* AddConditional(Graph& graph, Kind kind, int bodies, std::uint64_t handle, bool assigns_initial = false) {
    auto condition = Condition(handle, assigns_initial);
    graph.AddCondition(condition);
    GraphConditional made{std::move(condition), kind, {}};
    for (int i = 0; i < bodies; ++i) made.bodies.push_back(std::make_unique<Graph>());
    return Add(graph, std::move(made));
  }
  static Graph& Body(GraphNode* node, std::size_t index = 0) {
    return *std::get<GraphConditional>(node->payload).bodies[index];
  }
  DeviceResult Compile() { return CompileGraph(graph_, options_, &program_, &offending_); }
  // The branches among the records, as "at: condition test value -> target".
  std::vector<std::string> Branches() {
    EXPECT_EQ(Compile(), 0u);
    std::vector<std::string> branches;
    for (std::size_t i = 0; i < program_.records.size(); ++i) {
      RecordHeaderValue header;
      std::memcpy(&header, program_.records[i].data(), sizeof(header));
      if (header.command != static_cast<std::uint16_t>(CommandId::kGraphBranch)) continue;
      wire::GraphBranch branch;
      std::memcpy(static_cast<void*>(&branch), program_.records[i].data() + sizeof(header), sizeof(branch));
      std::string text = std::to_string(i) + ": ";
      if (branch.test() != wire::GraphTest::Always) {
        text += std::to_string(branch.condition()) + (branch.test() == wire::GraphTest::Equal ? "==" : "!=") +
                std::to_string(branch.value());
      }
      branches.push_back(text + "->" + std::to_string(branch.target()));
    }
    return branches;
  }
  using Texts = std::vector<std::string>;

  Graph graph_;
  GraphCompileOptions options_;
  GraphProgram program_;
  GraphNode* offending_ = nullptr;
};

TEST_F(GraphConditionalTest, AChoice) {
  Add(graph_, GraphKernel{});
  GraphNode* node = AddConditional(graph_, Kind::kIf, 1, 100);
  GraphNode* inside = Add(Body(node), GraphKernel{});
  Add(graph_, GraphKernel{});
  EXPECT_EQ(Branches(), (Texts{"1: 100==0->3"}));
  EXPECT_EQ(program_.records.size(), 4u);
  EXPECT_EQ(program_.steps.size(), 1u);
  EXPECT_EQ(inside->first_record, 2u) << "an update must find it";
}

TEST_F(GraphConditionalTest, AChoiceOfTwo) {
  GraphNode* node = AddConditional(graph_, Kind::kIf, 2, 100);
  Add(Body(node, 0), GraphKernel{});
  Add(Body(node, 1), GraphKernel{});
  Add(Body(node, 1), GraphKernel{});
  EXPECT_EQ(Branches(), (Texts{"0: 100==0->3", "2: ->5"}));
}

TEST_F(GraphConditionalTest, ALoop) {
  Add(graph_, GraphKernel{});
  GraphNode* node = AddConditional(graph_, Kind::kWhile, 1, 100);
  Add(Body(node), GraphKernel{});
  EXPECT_EQ(Branches(), (Texts{"1: 100==0->4", "3: ->1"}));
}

TEST_F(GraphConditionalTest, ASwitch) {
  GraphNode* node = AddConditional(graph_, Kind::kSwitch, 3, 100);
  Add(Body(node, 0), GraphKernel{});
  Add(Body(node, 2), GraphKernel{});
  EXPECT_EQ(Branches(), (Texts{"0: 100!=0->3", "2: ->8", "3: 100!=1->5", "4: ->8", "5: 100!=2->8", "7: ->8"}));
}

TEST_F(GraphConditionalTest, OneInAnother) {
  GraphNode* outer = AddConditional(graph_, Kind::kWhile, 1, 100);
  Add(Body(outer), GraphKernel{});
  GraphNode* inner = AddConditional(Body(outer), Kind::kWhile, 1, 200);
  Add(Body(inner), GraphKernel{});
  Add(Body(outer), GraphKernel{});
  EXPECT_EQ(Branches(), (Texts{"0: 100==0->7", "2: 200==0->5", "4: ->2", "6: ->0"}));
}

// Before everything else, whatever comes first in the graph, and also for the inner ones: a launch begins once.
TEST_F(GraphConditionalTest, InitialValuesComeFirst) {
  Add(graph_, GraphKernel{});
  GraphNode* outer = AddConditional(graph_, Kind::kWhile, 1, 100, true);
  AddConditional(Body(outer), Kind::kIf, 1, 200, true);
  AddConditional(Body(outer), Kind::kIf, 1, 300, false);
  ASSERT_EQ(Compile(), 0u);
  for (const auto& [at, handle] : {std::pair{0, 100}, std::pair{1, 200}}) {
    wire::Fill fill;
    std::memcpy(static_cast<void*>(&fill), program_.records[at].data() + sizeof(RecordHeaderValue), sizeof(fill));
    EXPECT_EQ(fill.address(), static_cast<std::uint64_t>(handle));
    EXPECT_EQ(fill.value(), 9u);
    EXPECT_EQ(fill.element_bytes() * fill.width(), 4u);
  }
}

TEST_F(GraphConditionalTest, ALoopIsNotDivided) {
  for (std::uint32_t i = 0; i + 1 < limits::kGraphLaunchNodesMax; ++i) Add(graph_, GraphKernel{});
  GraphNode* node = AddConditional(graph_, Kind::kWhile, 1, 100);
  Add(Body(node), GraphKernel{});
  ASSERT_EQ(Compile(), 0u);
  ASSERT_EQ(program_.steps.size(), 2u);
  EXPECT_EQ(program_.steps[1].first, limits::kGraphLaunchNodesMax - 1);
  EXPECT_EQ(program_.steps[1].records, 3u);
}

TEST_F(GraphConditionalTest, WhatABodyTakes) {
  GraphNode* node = AddConditional(graph_, Kind::kIf, 1, 100);
  Graph& body = Body(node);
  GraphNode* made = nullptr;
  EXPECT_EQ(body.Add(GraphHost{}, {}, &made), kUnsupported);
  EXPECT_EQ(body.Add(GraphEventWait{}, {}, &made), kUnsupported);
  EXPECT_EQ(body.Add(GraphEventRecord{}, {}, &made), kUnsupported);
  EXPECT_EQ(body.Add(GraphAlloc{}, {}, &made), kUnsupported);
  GraphChild child{std::make_unique<Graph>()};
  Add(*child.graph, GraphHost{});
  EXPECT_EQ(body.Add(std::move(child), {}, &made), kUnsupported) << "not in a child graph either";
  GraphChild good{std::make_unique<Graph>()};
  Graph* inner = good.graph.get();
  Add(body, std::move(good));
  EXPECT_EQ(inner->Add(GraphHost{}, {}, &made), kUnsupported) << "not later either";
  Add(*inner, GraphKernel{});
  Add(body, GraphEmpty{});
  Add(body, GraphFill{});
  EXPECT_EQ(Compile(), 0u);
  // A copy that would need the program's bytes at each round.
  GraphNode* down = Add(body, Down());
  EXPECT_EQ(Compile(), kUnsupported);
  EXPECT_EQ(offending_, down);
}

TEST_F(GraphConditionalTest, MemoryThatCanBeSharedIsMadeSo) {
  GraphNode* node = AddConditional(graph_, Kind::kIf, 1, 100);
  Add(Body(node), Down());
  std::uint64_t made = 0;
  options_.make_shared = [&made](std::uint64_t address) -> DeviceResult {
    made = address;
    return 0;
  };
  options_.find_shared = [&made](std::uint64_t address, std::uint64_t) {
    return made == address ? std::optional<wire::Place>(wire::Place(1, 0, wire::PlaceKind::Device)) : std::nullopt;
  };
  EXPECT_EQ(Compile(), 0u);
  EXPECT_EQ(made, 0x2000u);
  EXPECT_TRUE(program_.writes_host);
}

TEST_F(GraphConditionalTest, ConditionsAreOfAGraphOrOfWhatItIsIn) {
  GraphNode* node = AddConditional(graph_, Kind::kWhile, 1, 100);
  EXPECT_EQ(graph_.FreeCondition(100), nullptr) << "it has its node";
  graph_.AddCondition(Condition(200));
  EXPECT_FALSE(graph_.AllConditionsUsed());
  ASSERT_NE(Body(node).FreeCondition(200), nullptr);
  Add(Body(node), GraphConditional{Body(node).FreeCondition(200), Kind::kIf, {}});
  EXPECT_EQ(graph_.FreeCondition(200), nullptr);
  EXPECT_TRUE(graph_.AllConditionsUsed());
  Body(node).AddCondition(Condition(300));
  EXPECT_EQ(graph_.FreeCondition(300), nullptr) << "another graph's";
  EXPECT_FALSE(graph_.AllConditionsUsed()) << "also those of bodies";
}

TEST_F(GraphConditionalTest, ACopyHasBodiesOfItsOwn) {
  GraphNode* node = AddConditional(graph_, Kind::kIf, 2, 100);
  GraphNode* inside = Add(Body(node, 1), GraphKernel{});
  const std::unique_ptr<Graph> copy = graph_.Clone();
  EXPECT_TRUE(copy->HasConditionalNodes());
  const GraphNode* found = copy->FindCopy(*inside);
  ASSERT_NE(found, nullptr);
  EXPECT_TRUE(found->graph->IsInBody());
  EXPECT_NE(found->graph, inside->graph);
  EXPECT_EQ(graph_.FindNode(inside->id), inside);
}

TEST_F(GraphConditionalTest, UpdatesKeepKindAndBodies) {
  GraphNode* node = AddConditional(graph_, Kind::kIf, 1, 100);
  Add(Body(node), GraphKernel{});
  const auto check = [this](Kind kind, int bodies, GraphPayload inside) {
    Graph update;
    GraphNode* other = AddConditional(update, kind, bodies, 200);
    Add(Body(other), std::move(inside));
    return CheckGraphUpdate(graph_, update);
  };
  const GraphUpdateCheck good = check(Kind::kIf, 1, GraphKernel{});
  EXPECT_EQ(good.result, GraphUpdateResult::kSuccess);
  EXPECT_EQ(good.pairs.size(), 2u);
  EXPECT_EQ(check(Kind::kWhile, 1, GraphKernel{}).result, GraphUpdateResult::kParametersChanged);
  EXPECT_EQ(check(Kind::kIf, 2, GraphKernel{}).result, GraphUpdateResult::kParametersChanged);
  EXPECT_EQ(check(Kind::kIf, 1, GraphEmpty{}).result, GraphUpdateResult::kNodeTypeChanged);
}

}  // namespace
}  // namespace accelmesh
