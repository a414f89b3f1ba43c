// Operation graphs of cuDNN behind the cuda backend's interface, on a contract libcudnn whose heuristics name an engine
// that never becomes a plan before one that does, and which breaks a rule if the executor waits for it or two threads
// execute one plan.
#include <gmock/gmock.h>

#include <array>
#include <functional>

#include "server/backend/cuda/library_dnn_graph_note.h"
#include "tests/contract/libcudnn/control.h"
#include "tests/unit/protocol/library/plan_words.h"
#include "tests/unit/server/backend/cuda/library_backend.h"

namespace accelmesh {
namespace {

using ::testing::HasSubstr;
using Words = PlanWords::Words;

class CudaDnnGraphTest : public LibraryBackendTest {
 protected:
  static constexpr std::uint64_t kX = kWindow, kY = kWindow + 512, kSpace = kWindow + 2048;
  static constexpr std::int64_t kXId = 11, kYId = 12, kValueId = 13;

  void SetUp() override {
    ::setenv("ACCELMESH_LIBCUDNN", ACCELMESH_CONTRACT_LIBCUDNN, 1);
    LibraryBackendTest::SetUp();
    before_ = Last();
  }
  void TearDown() override {
    LibraryBackendTest::TearDown();
    EXPECT_EQ(Last().handles, 0);
  }
  // y = relu(x * value), of so many elements.
  static Bytes Plan(std::int64_t count = 4) {
    PlanWords plan;
    const std::int64_t x = plan.Row(kXId, count), value = plan.Value(kValueId), product = plan.Virtual(14, count),
                       y = plan.Row(kYId, count);
    const std::int64_t multiply = plan.Pointwise(CUDNN_POINTWISE_MUL, x, value, product);
    return plan.Graph({multiply, plan.Pointwise(CUDNN_POINTWISE_RELU_FWD, product, -1, y)});
  }
  static std::int64_t BitsOf(float value) { return std::bit_cast<std::int32_t>(value); }
  static Words Pairs(float value = 2, std::uint64_t y = kY) {
    return {kXId, static_cast<std::int64_t>(kX), kValueId, BitsOf(value), kYId, static_cast<std::int64_t>(y)};
  }
  static LibraryJob Question(const Bytes& plan) {
    LibraryJob job;
    job.library = kLibraryDnn;
    job.function = kDnnFunction<DnnGraphQuery>;
    job.settings = std::make_shared<const Bytes>();
    job.arguments = PlanWords::Arguments(DnnGraphQuery{}, plan);
    return job;
  }
  static LibraryJob Execution(const std::shared_ptr<const Bytes>& plan, const Words& pairs = Pairs(),
                              std::uint64_t workspace = kSpace) {
    LibraryJob job;
    job.library = kLibraryDnn;
    job.function = kDnnFunction<DnnGraphExecute>;
    job.settings = plan;
    job.arguments = PlanWords::Execution(pairs, workspace);
    return job;
  }
  static std::shared_ptr<const Bytes> Settings(const Bytes& plan) { return std::make_shared<const Bytes>(plan); }
  static contract_dnn_state Last() {
    contract_dnn_state state{};
    Find<decltype(contract_dnn_last)>(ACCELMESH_CONTRACT_LIBCUDNN, "contract_dnn_last")(&state);
    return state;
  }
  long long Plans() const { return Last().plans - before_.plans; }
  std::string Told() {
    const std::vector<Recorder::Failure> failures = sink_.failures();
    return failures.empty() ? std::string() : failures.back().text;
  }

  contract_dnn_state before_{};
};

TEST_F(CudaDnnGraphTest, AQuestionIsAnsweredByThePlanThatTheLibraryMakes) {
  ASSERT_TRUE(Open(kLibraryDnn).ok());
  const LibraryAnswer said = Ask(Question(Plan()));
  ASSERT_EQ(said.status, 0u) << AsText(said.results);
  DnnGraphAnswer answer;
  ASSERT_EQ(said.results.size(), sizeof(answer));
  std::memcpy(&answer, said.results.data(), sizeof(answer));
  EXPECT_EQ(answer.engines, 1);
  EXPECT_EQ(answer.workspace_bytes, CONTRACT_DNN_PLAN_BYTES + 0u);
  EXPECT_EQ(answer.numerical_notes, 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
  EXPECT_EQ(answer.behavior_notes, 1u << CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) << "no client gets native graphs";
  EXPECT_EQ(Plans(), 1);
}

TEST_F(CudaDnnGraphTest, APlanIsMadeOnceForAllThatIsSaidOfTheGraph) {
  ASSERT_TRUE(Open(kLibraryDnn).ok());
  ASSERT_EQ(Ask(Question(Plan())).status, 0u);
  ASSERT_EQ(Ask(Question(Plan())).status, 0u);
  for (const auto& settings : {Settings(Plan()), Settings(Plan())}) {
    for (const std::uint32_t stream : {a_, b_}) {
      Call(stream, Execution(settings));
      ASSERT_TRUE(Finishes(stream));
    }
  }
  EXPECT_EQ(Plans(), 1);
  EXPECT_EQ(Last().workspace, kSpace);
  Call(a_, Execution(Settings(Plan(5))));
  ASSERT_TRUE(Finishes(a_));
  EXPECT_EQ(Plans(), 2) << "a graph that nobody asked about";
  Stop();
  Start();
  ASSERT_TRUE(Open(kLibraryDnn).ok());
  Call(a_, Execution(Settings(Plan())));
  ASSERT_TRUE(Finishes(a_));
  EXPECT_EQ(Plans(), 3) << "what another session knows of it, this one has not asked";
  EXPECT_TRUE(sink_.failures().empty()) << Told();
}

TEST_F(CudaDnnGraphTest, TheExecutorRunsWhatItsHandleHasRun) {
  ASSERT_TRUE(Open(kLibraryDnn).ok());
  CONTRACT(contract_delay_launches)(20000);
  const auto plan = Settings(Plan()), other = Settings(Plan(5));
  EXPECT_TRUE(Stops(a_, Execution(plan))) << "it is made";
  EXPECT_FALSE(Stops(a_, Execution(plan)));
  EXPECT_FALSE(Stops(a_, Execution(plan, Pairs(3)))) << "another value is no other problem";
  EXPECT_FALSE(Stops(a_, Execution(plan, Pairs(2, kY + 256)))) << "nor is another address";
  EXPECT_TRUE(Stops(a_, Execution(plan, Pairs(2, kY + 4)))) << "unless it is aligned otherwise";
  EXPECT_TRUE(Stops(a_, Execution(other)));
  EXPECT_FALSE(Stops(a_, Execution(plan)));
  EXPECT_TRUE(Stops(b_, Execution(plan))) << "another handle may have to load it";
  EXPECT_FALSE(Stops(b_, Execution(plan)));
  EXPECT_EQ(Plans(), 2);
  EXPECT_TRUE(sink_.failures().empty()) << Told();
}

// The contract breaks a rule, which the fixture finds, if both threads are in one plan.
TEST_F(CudaDnnGraphTest, OneThreadExecutesAPlan) {
  ASSERT_TRUE(Open(kLibraryDnn).ok());
  const auto plan = Settings(Plan());
  Call(a_, Execution(plan));
  ASSERT_TRUE(Finishes(a_));
  for (std::uint64_t round = 0; round < 300; ++round) {
    // Each way of lying is unknown to the handle of b_.
    Call(b_, Execution(plan, Pairs(2, kY + 256 + 4 * (round % 4)), kSpace + 4 * (round / 4 % 4)));
    const std::uint64_t last = sequence_;
    for (int i = 0; i < 8; ++i) Call(a_, Execution(plan));
    ASSERT_TRUE(Finishes(a_));
    ASSERT_TRUE(sink_.Await(b_, last));
    if (round % 16 != 15) continue;
    ASSERT_TRUE(backend_->StreamDestroy(b_).ok());
    ASSERT_TRUE(backend_->StreamCreate(b_, 0, kNonBlocking, 0).ok());
  }
  EXPECT_EQ(Plans(), 1);
  EXPECT_TRUE(sink_.failures().empty()) << Told();
}

TEST_F(CudaDnnGraphTest, WhatTheLibraryRefusesIsSaidByName) {
  ASSERT_TRUE(Open(kLibraryDnn).ok());
  const auto refused = [&](const Bytes& plan) {
    const LibraryAnswer said = Ask(Question(plan));
    return std::to_string(said.status) + " " + std::string(AsText(said.results));
  };
  // The software GPU's reason, too, is the library's here.
  PlanWords none;
  const std::int64_t x = none.Row(1, 4);
  const Bytes of_no_mode = none.Graph({none.Pointwise(9999, x, -1, none.Row(2, 4))});
  EXPECT_THAT(refused(of_no_mode), HasSubstr("CUDNN_STATUS_NOT_SUPPORTED"));
  PlanWords twice;
  const std::int64_t row = twice.Row(1, 4, {{CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_INT64, {1}}});
  EXPECT_EQ(refused(twice.Graph({twice.Pointwise(CUDNN_POINTWISE_RELU_FWD, row, -1, row)})),
            std::to_string(static_cast<int>(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE)) +
                " attribute 907 of a descriptor of type 17: CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE (" +
                std::to_string(static_cast<int>(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE)) + ")");
  Call(a_, Execution(Settings(of_no_mode)));
  ASSERT_TRUE(Finishes(a_));
  EXPECT_THAT(Told(), HasSubstr("cudnnBackendExecute: "));
  EXPECT_THAT(Told(), HasSubstr("CUDNN_STATUS_NOT_SUPPORTED"));
  EXPECT_EQ(Plans(), 0);
  Call(a_, Execution(Settings(Plan())));
  ASSERT_TRUE(Finishes(a_));
  EXPECT_EQ(sink_.failures().size(), 1u) << Told();
}

TEST_F(CudaDnnGraphTest, NoPointersOfThisSideAreAClientsToSay) {
  ASSERT_TRUE(Open(kLibraryDnn).ok());
  const auto status_of = [&](const Bytes& plan) { return static_cast<cudnnStatus_t>(Ask(Question(plan)).status); };
  for (const int type : {CUDNN_TYPE_HANDLE, CUDNN_TYPE_VOID_PTR}) {
    PlanWords plan;
    const std::int64_t x = plan.Row(1, 4, {{CUDNN_ATTR_TENSOR_VECTOR_COUNT, type, {0x1000}}});
    EXPECT_EQ(status_of(plan.Graph({plan.Pointwise(CUDNN_POINTWISE_RELU_FWD, x, -1, plan.Row(2, 4))})),
              CUDNN_STATUS_BAD_PARAM);
  }
  for (int type = 0; type < 64; ++type) {
    PlanWords plan;
    plan.Add(type, {});
    EXPECT_NE(status_of(plan.Graph({0})), CUDNN_STATUS_SUCCESS) << type;
  }
  PlanWords pack;
  pack.Add(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, {{CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, {1}}});
  EXPECT_THAT(AsText(Ask(Question(pack.Graph({0}))).results), HasSubstr("type 16 where there must be none"));
  // Words that are no plan, and an engine that nobody named.
  Bytes plan = Plan();
  plan[8] = 1;
  EXPECT_EQ(status_of(plan), CUDNN_STATUS_BAD_PARAM);
  plan = Plan();
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{8}, std::size_t{16}, plan.size() - 8}) {
    EXPECT_EQ(status_of(Bytes(plan.begin(), plan.begin() + static_cast<std::ptrdiff_t>(bytes))),
              CUDNN_STATUS_BAD_PARAM);
  }
  EXPECT_EQ(Plans(), 0);
}

// Sessions ----------------------------------------------------------------------------------------------------------

// What the server keeps for a client.
class Notes final : public PlanKeeper {
 public:
  std::optional<Bytes> Find(ByteView key) override {
    const std::lock_guard lock(mu_);
    const auto found = notes_.find(Bytes(key.begin(), key.end()));
    return found == notes_.end() ? std::nullopt : std::optional(found->second);
  }
  void Keep(ByteView key, ByteView plan) override {
    const std::lock_guard lock(mu_);
    ++kept_;
    notes_[Bytes(key.begin(), key.end())] = Bytes(plan.begin(), plan.end());
  }
  // While no session runs.
  std::map<Bytes, Bytes>& all() { return notes_; }
  int kept() const { return kept_; }

 private:
  std::mutex mu_;
  std::map<Bytes, Bytes> notes_;
  int kept_ = 0;
};

class CudaDnnPlansTest : public CudaDnnGraphTest {
 protected:
  using GraphNote = cuda::GraphNote;
  // What a session made the library do.
  struct Work {
    long long heuristics, tries, plans, from_text;
    bool operator==(const Work&) const = default;
    friend void PrintTo(const Work& work, std::ostream* out) {
      *out << work.heuristics << " heuristics, " << work.tries << " tries, " << work.plans << " plans, "
           << work.from_text << " of text";
    }
  };
  static constexpr Work kAnew{1, 2, 1, 0}, kOfText{0, 1, 1, 1}, kOfEngine{0, 1, 1, 0};

  void SetUp() override {
    keeper_ = notes_;
    CudaDnnGraphTest::SetUp();
    Stop();
  }
  // A session that runs the graph and asks about it.
  Work Session(std::uint32_t device = 0) {
    Start();
    EXPECT_TRUE(Open(kLibraryDnn, device).ok());
    const contract_dnn_state before = Last();
    LibraryJob question = Question(Plan()), execution = Execution(Settings(Plan()));
    question.device = execution.device = device;
    if (device == 0) {  // where there is memory
      Call(a_, execution);
      EXPECT_TRUE(Finishes(a_));
    }
    const LibraryAnswer said = Ask(question);
    EXPECT_EQ(said.status, 0u) << AsText(said.results);
    EXPECT_TRUE(answer_.empty() || answer_ == said.results) << "what a plan needs is what was said of it before";
    answer_ = said.results;
    EXPECT_TRUE(sink_.failures().empty()) << Told();
    const contract_dnn_state after = Last();
    Stop();
    return {after.heuristics - before.heuristics, after.tries - before.tries, after.plans - before.plans,
            after.from_text - before.from_text};
  }
  // The only one.
  GraphNote Note() {
    EXPECT_EQ(notes_->all().size(), 1u);
    return cuda::ReadGraphNote(notes_->all().begin()->second).value_or(GraphNote());
  }
  void Change(const GraphNote& note) { notes_->all().begin()->second = cuda::WriteGraphNote(note); }

  std::shared_ptr<Notes> notes_ = std::make_shared<Notes>();
  Bytes answer_;
};

TEST_F(CudaDnnPlansTest, TheNextSessionAsksNoHeuristicsAndTriesNothingThatFailed) {
  EXPECT_EQ(Session(), kAnew);
  EXPECT_EQ(Session(), kOfText);
  EXPECT_EQ(Session(), kOfText);
  EXPECT_EQ(notes_->kept(), 1) << "what has not changed is not written again";
  EXPECT_EQ(notes_->all().size(), 1u);
}

TEST_F(CudaDnnPlansTest, AnEngineThatTellsNoTextIsChosenAgainWithItsKnobs) {
  EXPECT_EQ(Session(), kAnew);
  const GraphNote first = Note();
  EXPECT_EQ(first.engine, 1);
  ASSERT_EQ(first.knobs.size(), 1u);
  EXPECT_EQ(first.knobs[0].type, static_cast<std::int32_t>(CUDNN_KNOB_TYPE_TILE_SIZE));
  EXPECT_EQ(first.knobs[0].value, CONTRACT_DNN_KNOB_VALUE);
  GraphNote note = first;
  note.text.clear();
  Change(note);
  EXPECT_EQ(Session(), kOfEngine);
  EXPECT_EQ(Note().text, first.text) << "it has told one now";
  note.text = "no plan";
  Change(note);
  EXPECT_EQ(Session(), (Work{0, 2, 1, 0})) << "the text is tried first";
  EXPECT_EQ(Note().text, first.text);
}

TEST_F(CudaDnnPlansTest, WhatANoteDoesNotMakeIsMadeAnew) {
  EXPECT_EQ(Session(), kAnew);
  const GraphNote first = Note();
  for (const auto& change : std::vector<std::function<void(GraphNote&)>>{
           [](GraphNote& note) { note.engine = 0; }, [](GraphNote& note) { note.engine = 99; },
           [](GraphNote& note) { note.engine = -1; }, [](GraphNote& note) { note.knobs.clear(); },
           [](GraphNote& note) { note.knobs[0].value = 8; }, [](GraphNote& note) { note.answer.workspace_bytes = 1; },
           [&first](GraphNote& note) { note.answer.workspace_bytes = 1, note.text = first.text; }}) {
    GraphNote note = first;
    note.text.clear();
    change(note);
    Change(note);
    EXPECT_EQ(Session().heuristics, 1);
    EXPECT_EQ(Note().engine, first.engine);
    EXPECT_EQ(Note().text, first.text) << "it is noted anew";
  }
  for (const Bytes& damaged : {Bytes(), Bytes(8), Bytes(64, 0xff)}) {
    notes_->all().begin()->second = damaged;
    EXPECT_EQ(Session(), kAnew);
    EXPECT_EQ(Note().text, first.text);
  }
}

// Without one of its choices it would be another plan.
TEST_F(CudaDnnPlansTest, AnEngineWhoseKnobsAreNotAllToldIsNotRemembered) {
  const auto choose = Find<decltype(contract_dnn_choose)>(ACCELMESH_CONTRACT_LIBCUDNN, "contract_dnn_choose");
  constexpr int kMost = static_cast<int>(GraphNote::kKnobsMax);
  for (const int knobs : {kMost, kMost + 1, -1}) {
    notes_->all().clear();
    choose(knobs);
    EXPECT_EQ(Session(), kAnew);
    GraphNote note = Note();
    EXPECT_EQ(note.engine, knobs == kMost ? 1 : -1) << knobs;
    EXPECT_EQ(note.knobs.size(), knobs == kMost ? GraphNote::kKnobsMax : 0u) << knobs;
    EXPECT_FALSE(note.text.empty()) << "the plan's own is none the worse";
    note.text.clear();
    Change(note);
    EXPECT_EQ(Session().heuristics, knobs == kMost ? 0 : 1) << knobs;
  }
  choose(1);
}

TEST_F(CudaDnnPlansTest, AnotherLibraryOrKindOfDeviceMakesItsOwn) {
  EXPECT_EQ(Session(), kAnew);
  EXPECT_EQ(Session(1), kOfText) << "two that are alike share";
  ::setenv("CUDNN_FRONTEND_ATTN_DP_WORKSPACE_LIMIT", "1", 1);
  EXPECT_EQ(Session(), kAnew);
  EXPECT_EQ(Session(), kOfText);
  ::unsetenv("CUDNN_FRONTEND_ATTN_DP_WORKSPACE_LIMIT");
  ASSERT_EQ(CONTRACT(contract_configure)("capability=86"), 0);
  EXPECT_EQ(Session(), kAnew);
  ASSERT_EQ(CONTRACT(contract_configure)("capability=80"), 0);
  EXPECT_EQ(Session(), kOfText);
  EXPECT_EQ(notes_->all().size(), 3u);
}

TEST_F(CudaDnnPlansTest, APlanThatFailedIsNotRemembered) {
  PlanWords none;
  const std::int64_t x = none.Row(1, 4);
  const Bytes of_no_mode = none.Graph({none.Pointwise(9999, x, -1, none.Row(2, 4))});
  for (int session = 0; session < 2; ++session) {
    Start();
    ASSERT_TRUE(Open(kLibraryDnn).ok());
    const long long before = Last().heuristics;
    EXPECT_NE(Ask(Question(of_no_mode)).status, 0u);
    EXPECT_GT(Last().heuristics, before);
    EXPECT_EQ(Last().plans, before_.plans);
    Stop();
  }
  EXPECT_EQ(notes_->kept(), 0);
}

TEST_F(CudaDnnGraphTest, AnExecutionThatLacksSomethingFailsAlone) {
  ASSERT_TRUE(Open(kLibraryDnn).ok());
  const auto plan = Settings(Plan());
  std::size_t failures = 0;
  for (const LibraryJob& job : {Execution(plan, {kXId, static_cast<std::int64_t>(kX)}), Execution(plan, {}),
                                Execution(plan, Pairs(), 0), Execution(Settings({}))}) {
    Call(a_, job);
    ASSERT_TRUE(Finishes(a_));
    ASSERT_EQ(sink_.failures().size(), ++failures);
    EXPECT_EQ(sink_.failures().back().status, kDeviceInvalidValue) << Told();
    EXPECT_FALSE(sink_.failures().back().sticky);
    EXPECT_THAT(Told(), HasSubstr("cudnnBackendExecute: ")) << Told();
  }
  Words more = Pairs();
  more.insert(more.end(), {99, 64});
  Call(a_, Execution(plan, more));
  ASSERT_TRUE(Finishes(a_));
  EXPECT_EQ(sink_.failures().size(), failures) << "what the graph does not have is left out";
}

TEST_F(CudaDnnGraphTest, AnOperandOutsideOfMemoryIsTheDevicesToFind) {
  ASSERT_TRUE(Open(kLibraryDnn).ok());
  Call(a_, Execution(Settings(Plan()), Pairs(2, 64)));
  ASSERT_TRUE(Finishes(a_));
  ASSERT_EQ(sink_.failures().size(), 1u);
  EXPECT_EQ(sink_.failures().front().status, kDeviceIllegalAddress);
  EXPECT_TRUE(sink_.failures().front().sticky);
}

}  // namespace
}  // namespace accelmesh
