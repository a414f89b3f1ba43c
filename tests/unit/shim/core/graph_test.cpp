// Graphs without a server: topology, copies, orders, updates.
#include "shim/core/graph.h"

#include <gtest/gtest.h>

#include "shim/core/session_inl.h"

namespace accelmesh {
namespace {

GraphPayload Kernel(std::uint32_t index = 0, std::uint8_t argument = 0) {
  GraphKernel kernel;
  kernel.index = index;
  kernel.arguments = {argument};
  return kernel;
}
GraphPayload Call(std::uint32_t function, std::uint8_t argument = 0, std::uint32_t device = 0) {
  GraphLibrary call;
  call.device = device;
  call.library = 1;
  call.function = function;
  call.arguments = {argument};
  return call;
}
GraphPayload Copy(bool to_device, bool from_device) {
  return GraphCopy{{0x1000, 64, 64, to_device}, {0x2000, 64, 64, from_device}, 64, 1, 1};
}

class GraphTest : public ::testing::Test {
 protected:
  GraphNode* Add(Graph& graph, std::vector<GraphNode*> dependencies, GraphPayload payload = GraphEmpty{}) {
    std::vector<GraphLink> links;
    for (GraphNode* node : dependencies) links.push_back({node, {}});
    GraphNode* made = nullptr;
    EXPECT_EQ(graph.Add(std::move(payload), links, &made), 0u);
    return made;
  }
  DeviceResult Edge(Graph& graph, GraphNode* from, GraphNode* to) {
    GraphNode* const a[] = {from};
    GraphNode* const b[] = {to};
    return graph.AddEdges(a, b, {});
  }
  DeviceResult NoEdge(Graph& graph, GraphNode* from, GraphNode* to) {
    GraphNode* const a[] = {from};
    GraphNode* const b[] = {to};
    return graph.RemoveEdges(a, b, {});
  }
  std::vector<GraphNode*> Order(const Graph& graph) {
    std::vector<GraphNode*> order;
    GraphNode* offending = nullptr;
    EXPECT_TRUE(graph.Order(&order, &offending));
    return order;
  }
  Graph graph_;
};

TEST_F(GraphTest, OrderKeepsEdgesAndElseTheOrderOfMaking) {
  GraphNode* a = Add(graph_, {});
  GraphNode* b = Add(graph_, {});
  GraphNode* c = Add(graph_, {});
  ASSERT_EQ(Edge(graph_, c, a), 0u);
  EXPECT_EQ(Order(graph_), (std::vector<GraphNode*>{b, c, a}));
}

TEST_F(GraphTest, ACycleIsNamed) {
  GraphNode* a = Add(graph_, {});
  GraphNode* b = Add(graph_, {a});
  GraphNode* apart = Add(graph_, {});
  ASSERT_EQ(Edge(graph_, b, a), 0u);
  std::vector<GraphNode*> order;
  GraphNode* offending = nullptr;
  EXPECT_FALSE(graph_.Order(&order, &offending));
  EXPECT_NE(offending, nullptr);
  EXPECT_NE(offending, apart);
}

TEST_F(GraphTest, EdgesAreAllMadeOrNone) {
  GraphNode* a = Add(graph_, {});
  GraphNode* b = Add(graph_, {});
  GraphNode* c = Add(graph_, {});
  GraphNode* const from[] = {a, b, b};
  GraphNode* const to[] = {b, c, c};
  EXPECT_EQ(graph_.AddEdges(from, to, {}), kInvalidValue) << "one of them twice";
  EXPECT_TRUE(a->dependents.empty() && b->dependents.empty() && b->dependencies.empty() && c->dependencies.empty());
  EXPECT_EQ(Edge(graph_, a, a), kInvalidValue);
  Graph other;
  EXPECT_EQ(Edge(graph_, a, Add(other, {})), kInvalidValue);
  EXPECT_EQ(Edge(graph_, a, b), 0u);
  EXPECT_EQ(NoEdge(graph_, b, a), kInvalidValue);
  EXPECT_EQ(NoEdge(graph_, a, b), 0u);
  EXPECT_TRUE(a->dependents.empty() && b->dependencies.empty());
}

TEST_F(GraphTest, ANodeTakesItsEdgesAlong) {
  GraphNode* a = Add(graph_, {});
  GraphNode* b = Add(graph_, {a});
  GraphNode* c = Add(graph_, {b});
  ASSERT_EQ(graph_.Remove(b), 0u);
  EXPECT_TRUE(a->dependents.empty() && c->dependencies.empty());
  EXPECT_EQ(graph_.nodes().size(), 2u);
}

TEST_F(GraphTest, ACopyKnowsItsOriginalsAndIsIndependent) {
  Graph inner;
  GraphNode* deep = Add(inner, {}, Kernel(3));
  GraphNode* a = Add(graph_, {}, Kernel(1));
  GraphNode* child = Add(graph_, {a}, GraphChild{inner.Clone()});
  const GraphNode* deep_copy = std::get<GraphChild>(child->payload).graph->FindCopy(*deep);
  ASSERT_NE(deep_copy, nullptr);
  const std::unique_ptr<Graph> clone = graph_.Clone();
  EXPECT_EQ(clone->origin(), graph_.id());
  GraphNode* copy = clone->FindCopy(*a);
  ASSERT_NE(copy, nullptr);
  EXPECT_TRUE(SameWork(copy->payload, a->payload));
  ASSERT_EQ(clone->FindCopy(*child)->dependencies.size(), 1u);
  EXPECT_EQ(clone->FindCopy(*child)->dependencies[0].node, copy);
  EXPECT_NE(clone->FindCopy(*deep_copy), nullptr) << "of a node inside of a child";
  ASSERT_EQ(graph_.Remove(a), 0u);
  EXPECT_EQ(clone->nodes().size(), 2u);
}

TEST_F(GraphTest, ObjectsLiveAsLongAsAnyGraphHoldsThem) {
  int gone = 0;
  auto* object = new UserObject([](void* data) { ++*static_cast<int*>(data); }, &gone, 2);
  auto first = std::make_unique<Graph>();
  first->Retain(object, 2);
  auto clone = first->Clone();
  first.reset();
  EXPECT_EQ(gone, 0);
  EXPECT_EQ(clone->ReleaseObject(object, 3), kInvalidValue);
  EXPECT_EQ(clone->ReleaseObject(object, 1), 0u);
  EXPECT_EQ(gone, 0);
  clone.reset();
  EXPECT_EQ(gone, 1);
}

// Updates ------------------------------------------------------------------------------------------------------------

TEST_F(GraphTest, AnUpdatePairsByEdgesNotByTheOrderOfMaking) {
  GraphNode* a = Add(graph_, {}, Kernel(1));
  Add(graph_, {a}, Kernel(2));
  Graph update;
  GraphNode* second = Add(update, {}, Kernel(2, 9));
  GraphNode* first = Add(update, {}, Kernel(1, 8));
  ASSERT_EQ(Edge(update, first, second), 0u);
  const GraphUpdateCheck check = CheckGraphUpdate(graph_, update);
  ASSERT_EQ(check.result, GraphUpdateResult::kSuccess);
  ASSERT_EQ(check.pairs.size(), 2u);
  for (const auto& [now, next] : check.pairs)
    EXPECT_EQ(std::get<GraphKernel>(now->payload).index, std::get<GraphKernel>(next->payload).index);
}

TEST_F(GraphTest, WhatDoesNotFitIsNamed) {
  GraphNode* a = Add(graph_, {}, Kernel());
  Add(graph_, {a}, Kernel());
  Graph more;
  Add(more, {});
  EXPECT_EQ(CheckGraphUpdate(graph_, more).result, GraphUpdateResult::kTopologyChanged);
  EXPECT_EQ(CheckGraphUpdate(graph_, more).node, nullptr);
  Graph apart;
  Add(apart, {}, Kernel());
  GraphNode* other_end = Add(apart, {}, Kernel());
  EXPECT_EQ(CheckGraphUpdate(graph_, apart).result, GraphUpdateResult::kTopologyChanged);
  EXPECT_EQ(CheckGraphUpdate(graph_, apart).node, other_end) << "one end more than there was";
  Graph kinds;
  GraphNode* first = Add(kinds, {}, Kernel());
  GraphNode* fill = Add(kinds, {first}, GraphFill{});
  EXPECT_EQ(CheckGraphUpdate(graph_, kinds).result, GraphUpdateResult::kNodeTypeChanged);
  EXPECT_EQ(CheckGraphUpdate(graph_, kinds).node, fill);
  EXPECT_TRUE(CheckGraphUpdate(graph_, kinds).pairs.empty());
}

TEST_F(GraphTest, AMismatchedEdgeIsNamedWithBothEnds) {
  // Two ends behind one root, against two ends of which one is behind the other's root.
  GraphNode* a = Add(graph_, {});
  Add(graph_, {a});
  GraphNode* b = Add(graph_, {});
  Add(graph_, {b});
  Graph update;
  GraphNode* root = Add(update, {});
  Add(update, {root});
  GraphNode* last = Add(update, {root});
  Add(update, {});
  const GraphUpdateCheck check = CheckGraphUpdate(graph_, update);
  EXPECT_EQ(check.result, GraphUpdateResult::kTopologyChanged);
  EXPECT_TRUE(check.node == last || check.from == nullptr);
}

TEST_F(GraphTest, WhatANodeMayBecome) {
  EXPECT_EQ(CheckNodeUpdate(Kernel(1), Kernel(2, 5)), GraphUpdateResult::kSuccess);
  GraphKernel elsewhere;
  elsewhere.device = 1;
  EXPECT_EQ(CheckNodeUpdate(Kernel(), GraphPayload(elsewhere)), GraphUpdateResult::kUnsupportedFunctionChange);
  GraphKernel cooperative;
  cooperative.geometry.attributes = 1;
  EXPECT_EQ(CheckNodeUpdate(Kernel(), GraphPayload(cooperative)), GraphUpdateResult::kAttributesChanged);
  EXPECT_EQ(CheckNodeUpdate(Copy(true, false), Copy(true, false)), GraphUpdateResult::kSuccess);
  EXPECT_EQ(CheckNodeUpdate(Copy(true, false), Copy(false, true)), GraphUpdateResult::kParametersChanged);
  const auto fill = [](std::uint64_t width, std::uint64_t height, std::uint32_t value) {
    return GraphPayload(GraphFill{wire::Fill(0x1000, 64, 0, width, height, 1, value, 1, 0, 0)});
  };
  EXPECT_EQ(CheckNodeUpdate(fill(8, 1, 1), fill(9, 1, 2)), GraphUpdateResult::kSuccess);
  EXPECT_EQ(CheckNodeUpdate(fill(8, 2, 1), fill(8, 2, 2)), GraphUpdateResult::kSuccess);
  EXPECT_EQ(CheckNodeUpdate(fill(8, 2, 1), fill(9, 2, 1)), GraphUpdateResult::kParametersChanged);
}

TEST_F(GraphTest, ALibrarysFunctionIsOneOfTheKernels) {
  EXPECT_EQ(KindOf(Call(1)), GraphNodeKind::kLibrary);
  EXPECT_EQ(ToldKind(KindOf(Call(1))), GraphNodeKind::kKernel);
  EXPECT_EQ(ToldKind(KindOf(Copy(true, false))), GraphNodeKind::kCopy);
  EXPECT_TRUE(SameWork(Call(1, 2), Call(1, 2)));
  EXPECT_FALSE(SameWork(Call(1, 2), Call(1, 3)));
  EXPECT_FALSE(SameWork(Call(1, 2), Call(2, 2)));
  EXPECT_FALSE(SameWork(Call(1), Kernel()));
  EXPECT_EQ(CheckNodeUpdate(Call(1, 2), Call(1, 3)), GraphUpdateResult::kSuccess);
  EXPECT_EQ(CheckNodeUpdate(Call(1), Call(2)), GraphUpdateResult::kSuccess);
  EXPECT_EQ(CheckNodeUpdate(Call(1), Kernel()), GraphUpdateResult::kSuccess);
  EXPECT_EQ(CheckNodeUpdate(Kernel(), Call(1)), GraphUpdateResult::kSuccess);
  EXPECT_EQ(CheckNodeUpdate(Call(1), Call(1, 0, 1)), GraphUpdateResult::kUnsupportedFunctionChange);
  EXPECT_EQ(CheckNodeUpdate(Call(1), Copy(true, false)), GraphUpdateResult::kNodeTypeChanged);
  Add(graph_, {}, Call(7, 9));
  const std::unique_ptr<Graph> clone = graph_.Clone();
  EXPECT_TRUE(SameWork(clone->nodes()[0]->payload, Call(7, 9)));
}

TEST_F(GraphTest, MemoryIsFreedOnceAndByOneOfTheTwo) {
  const auto memory = std::make_shared<GraphMemory>();
  GraphNode* node = nullptr;
  ASSERT_EQ(graph_.AddAlloc(memory, {}, &node), 0u);
  EXPECT_TRUE(graph_.HasMemoryNodes());
  Graph other;
  ASSERT_EQ(other.AddFree(memory, {}, &node), 0u);
  EXPECT_EQ(other.AddFree(memory, {}, &node), kInvalidValue);
  EXPECT_EQ(graph_.AddFree(memory, {}, &node), kInvalidValue);
  const auto own = std::make_shared<GraphMemory>();
  ASSERT_EQ(graph_.AddAlloc(own, {}, &node), 0u);
  ASSERT_EQ(graph_.AddFree(own, {}, &node), 0u);
  EXPECT_EQ(other.AddFree(own, {}, &node), kInvalidValue);
}

}  // namespace
}  // namespace accelmesh
