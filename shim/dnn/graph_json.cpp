// Execution plans as text: the words of the plan, which are all that there is of it.
//
//     {"accelmesh_plan":[12884901889,0,17,...]}
//
// A program hands it to another process, or keeps it; whoever reads it checks it as words of a peer's.
#include <charconv>
#include <string>
#include <string_view>

#include "shim/dnn/graph.h"

namespace accelmesh::dnn {
namespace {

constexpr std::string_view kHead = R"({"accelmesh_plan":[)", kTail = "]}";

// What a variant pack must have, of a plan that no descriptors of this process made.
cudnnStatus_t BindingsOf(const DnnPlan& plan, std::vector<GraphState::Binding>* bindings) {
  for (const DnnPlanDescriptor& descriptor : plan.descriptors) {
    if (descriptor.type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
    const auto number = [&descriptor](int name) {
      const auto words = descriptor.Find(name);
      return words.empty() ? 0 : words[0];
    };
    if (const cudnnStatus_t status =
            AddBinding(number(CUDNN_ATTR_TENSOR_UNIQUE_ID), number(CUDNN_ATTR_TENSOR_IS_VIRTUAL) != 0,
                       number(CUDNN_ATTR_TENSOR_IS_BY_VALUE) != 0, number(CUDNN_ATTR_TENSOR_DATA_TYPE), bindings);
        status != CUDNN_STATUS_SUCCESS)
      return status;
  }
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

std::vector<std::int64_t> PlanAsText(const std::vector<std::int64_t>& plan) {
  std::string text(kHead);
  for (std::size_t i = 0; i < plan.size(); ++i) text += (i == 0 ? "" : ",") + std::to_string(plan[i]);
  text += kTail;
  return {text.begin(), text.end()};
}

cudnnStatus_t ReadPlanText(const std::vector<std::int64_t>& characters, GraphState* state) {
  std::string text;
  // Characters of a program's; some end in a zero.
  for (const std::int64_t character : characters) text += static_cast<char>(character);
  while (!text.empty() && text.back() == '\0') text.pop_back();
  if (!text.starts_with(kHead) || !text.ends_with(kTail)) return CUDNN_STATUS_BAD_PARAM;
  const char *at = text.data() + kHead.size(), *const end = text.data() + text.size() - kTail.size();
  std::vector<std::int64_t> words;
  while (at < end) {
    std::int64_t word = 0;
    const auto [behind, error] = std::from_chars(at, end, word);
    if (error != std::errc() || (behind != end && *behind != ',') || words.size() == kDnnPlanWordsMax)
      return CUDNN_STATUS_BAD_PARAM;
    words.push_back(word);
    at = behind == end ? end : behind + 1;
  }
  const Result<DnnPlan> plan = ReadDnnPlan(words);
  if (!plan.ok()) return CUDNN_STATUS_BAD_PARAM;
  state->bindings.clear();
  const cudnnStatus_t status = BindingsOf(*plan, &state->bindings);
  state->plan = std::move(words);
  return status;
}

}  // namespace accelmesh::dnn
