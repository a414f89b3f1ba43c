// Plans made of words, or as they were remembered.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <iterator>

#include "server/backend/cuda/library_dnn.h"
#include "server/backend/cuda/library_dnn_graph.h"

namespace accelmesh::cuda {
namespace {

// Deprecated attributes, which libraries ask for all the same, by their numbers.
constexpr int kGraphHandle = 800, kPlanHandle = 400;
// What heuristics name is tried one after the other, and each may compile.
constexpr std::size_t kConfigurationsMax = 16;

// What a client may describe. The others are this side's to make, or name its memory.
bool IsDescribed(std::uint32_t type) {
  switch (type) {
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
    case CUDNN_BACKEND_INTERMEDIATE_INFO_DESCRIPTOR:
    case CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR:
    case CUDNN_BACKEND_KNOB_INFO_DESCRIPTOR:
    case CUDNN_BACKEND_LAYOUT_INFO_DESCRIPTOR:
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
    case CUDNN_BACKEND_KERNEL_CACHE_DESCRIPTOR:
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR: return false;
    default: return type <= CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR;
  }
}

// An attribute's elements as the library reads them. Each has room for the widest one, so that a library which takes an
// element for wider than this does reads no further.
class Elements {
 public:
  // CUDNN_STATUS_BAD_PARAM for what only this side may say.
  cudnnStatus_t Take(const DnnPlanAttribute& attribute, std::span<const BackendDescriptor> descriptors) {
    bytes_.assign((attribute.words.size() + 1) * sizeof(std::int64_t), 0);
    count_ = attribute.words.size();
    switch (attribute.type) {
      case CUDNN_TYPE_HANDLE:
      case CUDNN_TYPE_VOID_PTR: return CUDNN_STATUS_BAD_PARAM;
      case CUDNN_TYPE_BACKEND_DESCRIPTOR: {
        for (std::size_t i = 0; i < count_; ++i)
          Put(i, descriptors[static_cast<std::size_t>(attribute.words[i])].get());
        break;
      }
      case CUDNN_TYPE_BOOLEAN: {
        for (std::size_t i = 0; i < count_; ++i) Put(i, attribute.words[i] != 0);
        break;
      }
      case CUDNN_TYPE_CHAR: {
        for (std::size_t i = 0; i < count_; ++i) Put(i, static_cast<char>(attribute.words[i]));
        break;
      }
      case CUDNN_TYPE_INT64:
      case CUDNN_TYPE_DOUBLE: {
        for (std::size_t i = 0; i < count_; ++i) Put(i, attribute.words[i]);
        break;
      }
      case CUDNN_TYPE_FRACTION: {
        if (count_ % 2 != 0) return CUDNN_STATUS_BAD_PARAM;
        for (std::size_t i = 0; i < count_; ++i) Put(i, attribute.words[i]);
        count_ /= 2;
        break;
      }
      case CUDNN_TYPE_FLOAT: {
        for (std::size_t i = 0; i < count_; ++i) Put(i, static_cast<float>(std::bit_cast<double>(attribute.words[i])));
        break;
      }
      default: {  // numbers of 32 bits and enumerators
        for (std::size_t i = 0; i < count_; ++i) Put(i, static_cast<std::int32_t>(attribute.words[i]));
      }
    }
    return CUDNN_STATUS_SUCCESS;
  }
  std::size_t count() const { return count_; }
  const void* data() const { return bytes_.data(); }

 private:
  template <typename T>
  void Put(std::size_t index, T element) {
    std::memcpy(bytes_.data() + index * sizeof(element), &element, sizeof(element));
  }

  std::vector<std::uint8_t> bytes_;
  std::size_t count_ = 0;
};

std::string NameOf(std::uint32_t descriptor) { return "descriptor of type " + std::to_string(descriptor); }

// Enumerators as bits.
std::uint64_t NotesOf(const BackendDescriptor& engine, int name, int type) {
  std::array<std::int32_t, 64> notes{};
  const std::size_t count = engine.Get(name, type, notes.size(), notes.data());
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (notes[i] >= 0 && notes[i] < 64) bits |= std::uint64_t{1} << notes[i];
  }
  return bits;
}

// The configurations that heuristics of a mode name, the best first.
std::vector<BackendDescriptor> Configurations(const DnnLibrary& library, const BackendDescriptor& graph,
                                              cudnnBackendHeurMode_t mode, cudnnStatus_t* status) {
  BackendDescriptor heuristics(library, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.SetOne(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, graph.get());
  heuristics.SetOne(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  heuristics.Finalize();
  *status = heuristics.status();
  std::vector<BackendDescriptor> all;
  std::vector<cudnnBackendDescriptor_t> places;
  while (*status == CUDNN_STATUS_SUCCESS && all.size() < kConfigurationsMax) {
    all.emplace_back(library, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    places.push_back(all.back().get());
    *status = all.back().status();
  }
  if (*status != CUDNN_STATUS_SUCCESS) return {};
  const std::size_t count =
      heuristics.Get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, places.size(), places.data());
  while (all.size() > count) all.pop_back();
  return all;
}

}  // namespace

// Descriptors --------------------------------------------------------------------------------------------------------

BackendDescriptor::BackendDescriptor(const DnnLibrary& library, int type)
    : library_(library),
      status_(library.BackendCreateDescriptor(static_cast<cudnnBackendDescriptorType_t>(type), &descriptor_)) {
  if (status_ != CUDNN_STATUS_SUCCESS) descriptor_ = nullptr;
}
BackendDescriptor::~BackendDescriptor() {
  if (descriptor_ != nullptr) (void)library_.BackendDestroyDescriptor(descriptor_);
}

void BackendDescriptor::Set(int name, int type, std::size_t count, const void* elements) {
  if (status_ != CUDNN_STATUS_SUCCESS) return;
  status_ = library_.BackendSetAttribute(descriptor_, static_cast<cudnnBackendAttributeName_t>(name),
                                         static_cast<cudnnBackendAttributeType_t>(type),
                                         static_cast<std::int64_t>(count), elements);
}

void BackendDescriptor::Finalize() {
  if (status_ == CUDNN_STATUS_SUCCESS) status_ = library_.BackendFinalize(descriptor_);
}

std::size_t BackendDescriptor::Get(int name, int type, std::size_t count, void* elements) const {
  if (status_ != CUDNN_STATUS_SUCCESS) return 0;
  std::int64_t got = 0;
  const cudnnStatus_t status = library_.BackendGetAttribute(descriptor_, static_cast<cudnnBackendAttributeName_t>(name),
                                                            static_cast<cudnnBackendAttributeType_t>(type),
                                                            static_cast<std::int64_t>(count), &got, elements);
  if (status != CUDNN_STATUS_SUCCESS || got < 0) return 0;
  return std::min(count, static_cast<std::size_t>(got));
}

// Plans --------------------------------------------------------------------------------------------------------------

namespace {

// A plan under way.
class Maker {
 public:
  Maker(const DnnLibrary& library, cudnnHandle_t handle, GraphRefusal* refusal)
      : library_(library), handle_(handle), refusal_(refusal) {}

  // The graph's descriptors, that of the graph last; null members for none.
  bool Describe(const DnnPlan& plan) {
    for (std::size_t i = 0; i < plan.descriptors.size(); ++i) {
      const DnnPlanDescriptor& words = plan.descriptors[i];
      const bool is_graph = words.type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR;
      if (is_graph != (i + 1 == plan.descriptors.size()) || !IsDescribed(words.type))
        return Refuse(CUDNN_STATUS_BAD_PARAM, NameOf(words.type) + " where there must be none");
      BackendDescriptor& made = made_.emplace_back(library_, static_cast<int>(words.type));
      for (const DnnPlanAttribute& attribute : words.attributes) {
        Elements elements;
        const cudnnStatus_t taken = elements.Take(attribute, made_);
        if (taken != CUDNN_STATUS_SUCCESS)
          return Refuse(taken, "attribute " + std::to_string(attribute.name) + " is not a client's to say");
        made.Set(static_cast<int>(attribute.name), static_cast<int>(attribute.type), elements.count(), elements.data());
        if (made.status() != CUDNN_STATUS_SUCCESS)
          return Refuse(made.status(), "attribute " + std::to_string(attribute.name) + " of a " + NameOf(words.type));
      }
      if (is_graph) made.SetOne(kGraphHandle, CUDNN_TYPE_HANDLE, handle_);
      made.Finalize();
      if (made.status() != CUDNN_STATUS_SUCCESS) return Refuse(made.status(), "a " + NameOf(words.type));
    }
    return true;
  }

  // The plan of a note's text, which needs none of the graph's descriptors.
  bool Read(const GraphNote& note) {
    if (note.text.empty()) return false;
    BackendDescriptor plan(library_, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.SetOne(kPlanHandle, CUDNN_TYPE_HANDLE, handle_);
    plan.Set(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, note.text.size(), note.text.data());
    plan.Finalize();
    if (plan.status() != CUDNN_STATUS_SUCCESS || WorkspaceOf(plan) > note.answer.workspace_bytes) return false;
    made_.push_back(std::move(plan));
    return true;
  }

  // The plan of the engine that a note names, behind the graph. The note has its text then.
  bool Choose(GraphNote* note) {
    if (note->engine < 0) return false;
    BackendDescriptor engine(library_, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    engine.SetOne(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, made_.back().get());
    engine.SetOne(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, note->engine);
    engine.Finalize();
    if (engine.status() != CUDNN_STATUS_SUCCESS) return false;
    BackendDescriptor configuration(library_, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    configuration.SetOne(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, engine.get());
    std::vector<BackendDescriptor> knobs;
    std::vector<cudnnBackendDescriptor_t> places;
    for (const GraphNote::Knob& knob : note->knobs) {
      BackendDescriptor& choice = knobs.emplace_back(library_, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
      choice.SetOne(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, knob.type);
      choice.SetOne(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, knob.value);
      choice.Finalize();
      if (choice.status() != CUDNN_STATUS_SUCCESS) return false;
      places.push_back(choice.get());
    }
    if (!places.empty())
      configuration.Set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, places.size(), places.data());
    configuration.Finalize();
    if (configuration.status() != CUDNN_STATUS_SUCCESS) return false;
    BackendDescriptor plan = PlanOf(configuration);
    if (plan.status() != CUDNN_STATUS_SUCCESS || WorkspaceOf(plan) > note->answer.workspace_bytes) return false;
    note->text = TextOf(plan);
    made_.push_back(std::move(engine));
    std::move(knobs.begin(), knobs.end(), std::back_inserter(made_));
    made_.push_back(std::move(configuration));
    made_.push_back(std::move(plan));
    return true;
  }

  // The first configuration that becomes a plan, behind the graph.
  bool Plan(GraphNote* note) {
    bool is_refused = false;
    for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
      cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
      std::vector<BackendDescriptor> configurations = Configurations(library_, made_.back(), mode, &status);
      for (BackendDescriptor& configuration : configurations) {
        BackendDescriptor plan = PlanOf(configuration);
        status = plan.status();
        if (status != CUDNN_STATUS_SUCCESS) continue;
        *note = Say(configuration, plan);
        made_.push_back(std::move(configuration));
        made_.push_back(std::move(plan));
        return true;
      }
      // Why the best ones could not be had says more than why the others could not.
      if (status != CUDNN_STATUS_SUCCESS && !std::exchange(is_refused, true))
        (void)Refuse(status, "no engine of the library's runs the graph");
    }
    if (!is_refused) (void)Refuse(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN, "the library's heuristics name no engine");
    return false;
  }
  std::vector<BackendDescriptor>& made() { return made_; }

 private:
  bool Refuse(cudnnStatus_t status, std::string why) {
    *refusal_ = {status, std::move(why) + ": " + library_.StatusName(status)};
    return false;
  }
  BackendDescriptor PlanOf(const BackendDescriptor& configuration) const {
    BackendDescriptor plan(library_, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.SetOne(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, configuration.get());
    plan.SetOne(kPlanHandle, CUDNN_TYPE_HANDLE, handle_);
    plan.Finalize();
    return plan;
  }
  static std::uint64_t WorkspaceOf(const BackendDescriptor& plan) {
    std::int64_t bytes = 0;
    (void)plan.Get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes);
    return static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0));
  }
  // Empty for an engine whose plans the library does not tell, and where there is too much of it.
  std::string TextOf(const BackendDescriptor& plan) const {
    std::int64_t count = 0;
    const cudnnStatus_t asked = library_.BackendGetAttribute(plan.get(), CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                                             CUDNN_TYPE_CHAR, 0, &count, nullptr);
    if (asked != CUDNN_STATUS_SUCCESS || count <= 0 || count > std::int64_t{GraphNote::kTextBytesMax}) return {};
    std::string text(static_cast<std::size_t>(count), '\0');
    const bool is_whole = plan.Get(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, text.size(),
                                   text.data()) == text.size();
    return is_whole ? text : std::string();
  }
  // What a program hears of the plan, and what makes it again.
  GraphNote Say(const BackendDescriptor& configuration, const BackendDescriptor& plan) const {
    GraphNote note;
    note.answer.engines = 1;
    note.answer.workspace_bytes = WorkspaceOf(plan);
    note.text = TextOf(plan);
    const BackendDescriptor engine(library_, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendDescriptor_t place = engine.get();
    if (configuration.Get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &place) == 0) return note;
    note.answer.numerical_notes = NotesOf(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE);
    // Graphs of the library's kernels are not a client's to have (shim/dnn/graph_execute.cpp).
    constexpr std::uint64_t kNativeGraphs = 1 << CUDNN_BEHAVIOR_NOTE_SUPPORTS_CUDA_GRAPH_NATIVE_API;
    note.answer.behavior_notes =
        NotesOf(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE) & ~kNativeGraphs;
    std::int64_t index = -1;
    (void)engine.Get(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index);
    if (ReadKnobs(configuration, &note.knobs)) note.engine = index;
    return note;
  }
  // False if a choice cannot be told, or one may be missing: the engine without it would be another plan.
  bool ReadKnobs(const BackendDescriptor& configuration, std::vector<GraphNote::Knob>* knobs) const {
    std::vector<BackendDescriptor> choices;
    std::array<cudnnBackendDescriptor_t, GraphNote::kKnobsMax + 1> places{};
    for (cudnnBackendDescriptor_t& place : places) {
      place = choices.emplace_back(library_, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR).get();
      if (place == nullptr) return false;
    }
    std::int64_t count = 0;
    const cudnnStatus_t status =
        library_.BackendGetAttribute(configuration.get(), CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, std::ssize(places), &count, places.data());
    if (status != CUDNN_STATUS_SUCCESS || count < 0 || count > std::int64_t{GraphNote::kKnobsMax}) return false;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      GraphNote::Knob knob;
      if (choices[i].Get(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &knob.type) != 1 ||
          choices[i].Get(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &knob.value) != 1)
        return false;
      knobs->push_back(knob);
    }
    return true;
  }

  const DnnLibrary& library_;
  cudnnHandle_t handle_;
  GraphRefusal* refusal_;
  std::vector<BackendDescriptor> made_;
};

}  // namespace

std::shared_ptr<GraphPlan> GraphPlan::Make(const DnnLibrary& library, cudnnHandle_t handle,
                                           std::span<const std::int64_t> words, GraphNote* note,
                                           GraphRefusal* refusal) {
  static std::atomic<std::uint64_t> numbers{0};
  const Result<DnnPlan> plan = ReadDnnPlan(words);
  if (!plan.ok() || plan->engine != 0) {
    *refusal = {CUDNN_STATUS_BAD_PARAM, plan.ok() ? "an engine that there is none of" : plan.status().ToString()};
    return nullptr;
  }
  std::shared_ptr<GraphPlan> made(new GraphPlan(library, ++numbers));
  Maker maker(library, handle, refusal);
  if (!maker.Read(*note)) {
    if (!maker.Describe(*plan)) return nullptr;
    if (!maker.Choose(note) && !maker.Plan(note)) return nullptr;
  }
  made->answer_ = note->answer;
  made->descriptors_ = std::move(maker.made());
  for (const DnnPlanDescriptor& tensor : plan->descriptors) {
    const auto has = [&tensor](int name) {
      const auto said = tensor.Find(name);
      return !said.empty() && said[0] != 0;
    };
    const auto uid = tensor.Find(CUDNN_ATTR_TENSOR_UNIQUE_ID);
    if (tensor.type != CUDNN_BACKEND_TENSOR_DESCRIPTOR || uid.empty() || has(CUDNN_ATTR_TENSOR_IS_VIRTUAL)) continue;
    made->is_value_[uid[0]] = has(CUDNN_ATTR_TENSOR_IS_BY_VALUE);
  }
  return made;
}

cudnnStatus_t GraphPlan::Execute(cudnnHandle_t handle, std::span<const std::int64_t> pairs, std::uint64_t workspace) {
  std::vector<std::int64_t> uids;
  std::vector<void*> pointers;
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
    const auto tensor = is_value_.find(pairs[i]);
    if (tensor == is_value_.end()) continue;
    uids.push_back(pairs[i]);
    // The library reads a value before it returns.
    pointers.push_back(tensor->second ? const_cast<std::int64_t*>(&pairs[i + 1])
                                      : reinterpret_cast<void*>(static_cast<std::uintptr_t>(pairs[i + 1])));
  }
  BackendDescriptor pack(library_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, uids.size(), uids.data());
  pack.Set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers.size(), pointers.data());
  void* const space = reinterpret_cast<void*>(workspace);
  pack.SetOne(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, space);
  pack.Finalize();
  if (pack.status() != CUDNN_STATUS_SUCCESS) return pack.status();
  return library_.BackendExecute(handle, descriptors_.back().get(), pack.get());
}

}  // namespace accelmesh::cuda
