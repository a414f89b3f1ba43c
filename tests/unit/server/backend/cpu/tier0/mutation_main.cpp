// Shows that the tests of tier 0 test: every instruction form that some test executes is made wrong in turn
// (machine.h), and a test must fail. Writes, or checks, docs/coverage/ptx.md.
//
//     ptx_mutation [--write] PAGE FORMS
//
// Without arguments it runs the tests as they are. FORMS lists instructions that must be accepted, or refused. Every
// run is a process of its own, so that one that crashes or hangs is just one that was noticed.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "server/backend/cpu/tier0/decoder.h"
#include "tests/unit/server/backend/cpu/tier0/forms.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

constexpr unsigned kSecondsMax = 3;    // of a run
constexpr std::size_t kTriesMax = 60;  // tests for a form
constexpr int kProcesses = 2;
// What the ISA lets do nothing that a program could see.
const std::set<std::string> kHints{"membar",  "fence",   "prefetch",  "prefetchu",    "griddepcontrol",
                                   "discard", "pmevent", "nanosleep", "createpolicy", "applypriority"};

struct Seen {
  std::map<std::string, bool> tests;  // by name; whether the test wrote the instruction itself
  std::string noticed_by;
};
using Forms = std::map<std::string, Seen>;

std::string CurrentTest() {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  return test == nullptr ? std::string() : std::string(test->test_suite_name()) + "." + test->name();
}
std::string OpcodeOf(const std::string& form) { return form.substr(0, form.find('.')); }

// Tests that could notice, the likeliest first: those that wrote the form themselves.
std::vector<std::string> Candidates(const Seen& seen, const std::map<std::string, std::size_t>& sizes) {
  std::vector<std::string> names;
  for (const auto& [name, direct] : seen.tests) names.push_back(name);
  std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    const bool a_direct = seen.tests.at(a), b_direct = seen.tests.at(b);
    return a_direct != b_direct ? a_direct : sizes.at(a) < sizes.at(b);
  });
  if (names.size() > kTriesMax) names.resize(kTriesMax);
  return names;
}

// In a child: the tests with the form made wrong. 0: nobody noticed.
int RunSpoiled(const std::string& form, const std::vector<std::string>& tests) {
  ::alarm(kSecondsMax * static_cast<unsigned>(tests.size()));
  GetMutations().form = form;
  GetMutations().seen = nullptr;
  std::string filter;
  for (const std::string& test : tests) filter += (filter.empty() ? "" : ":") + test;
  GTEST_FLAG_SET(filter, filter);
  return RUN_ALL_TESTS();
}
void TryAll(Forms* forms, const std::map<std::string, std::size_t>& sizes) {
  struct Try {
    std::string form;
    std::vector<std::string> left;
    std::string test;
  };
  std::vector<Try> waiting;
  for (const auto& [form, seen] : *forms) {
    std::vector<std::string> tests = Candidates(seen, sizes);
    std::reverse(tests.begin(), tests.end());
    if (!tests.empty() && kHints.count(OpcodeOf(form)) == 0) waiting.push_back({form, std::move(tests), {}});
  }
  std::map<pid_t, Try> running;
  while (!waiting.empty() || !running.empty()) {
    while (!waiting.empty() && running.size() < kProcesses) {
      Try next = std::move(waiting.back());
      waiting.pop_back();
      next.test = next.left.back();
      next.left.pop_back();
      std::fflush(nullptr);
      const pid_t child = ::fork();
      if (child == 0) ::_exit(RunSpoiled(next.form, {next.test}));
      running.emplace(child, std::move(next));
    }
    int status = 0;
    const pid_t ended = ::wait(&status);
    const auto found = running.find(ended);
    if (found == running.end()) continue;
    Try done = std::move(found->second);
    running.erase(found);
    if (status != 0) {
      (*forms)[done.form].noticed_by = done.test;
    } else if (!done.left.empty()) {
      waiting.push_back(std::move(done));
    }
  }
}

// The page -----------------------------------------------------------------------------------------------------------

bool IsType(const std::string& part) {
  return ptx::ParseType(part) != ptx::Type::kNone || part == "tf32" || part == "e4m3x2" || part == "e5m2x2" ||
         part == "e4m3" || part == "e5m2" || part == "s4" || part == "u4" || part == "b1" || part == "u16x2" ||
         part == "s16x2";
}
// Forms of one opcode, those that differ in types alone together, and then those that have the same types.
std::string Shortened(const std::vector<std::string>& forms) {
  std::map<std::string, std::set<std::string>> types_of;  // modifiers -> types
  for (const std::string& form : forms) {
    std::istringstream parts(form);
    std::string part, modifiers, types;
    std::getline(parts, part, '.');
    while (std::getline(parts, part, '.')) (IsType(part) ? types : modifiers) += "." + part;
    types_of[modifiers].insert(types);
  }
  std::map<std::set<std::string>, std::vector<std::string>> modifiers_of;
  for (const auto& [modifiers, types] : types_of) modifiers_of[types].push_back(modifiers);
  std::string text;
  const auto list = [&text](const auto& names) {
    const bool several = names.size() > 1;
    std::string joined;
    for (const std::string& name : names) joined += (joined.empty() ? "" : " ") + (name.empty() ? "-" : name);
    text += several ? "{" + joined + "}" : joined == "-" ? "" : joined;
  };
  std::vector<std::pair<std::vector<std::string>, std::set<std::string>>> lines;
  for (const auto& [types, modifiers] : modifiers_of) lines.emplace_back(modifiers, types);
  std::sort(lines.begin(), lines.end());
  for (const auto& [modifiers, types] : lines) {
    if (!text.empty()) text += ", ";
    text += "`";
    const std::size_t before = text.size();
    list(modifiers);
    list(types);
    if (text.size() == before) text += "-";
    text += "`";
  }
  return text;
}

std::string Page(const Forms& forms, const std::vector<FormLine>& catalogue, std::vector<std::string>* complaints) {
  std::map<std::string, std::vector<std::string>> tested, accepted;
  std::map<std::string, std::set<std::string>> tests;
  std::size_t noticed = 0;
  for (const auto& [form, seen] : forms) {
    const std::string opcode = OpcodeOf(form);
    (seen.noticed_by.empty() ? accepted : tested)[opcode].push_back(form);
    if (seen.noticed_by.empty()) continue;
    ++noticed;
    tests[opcode].insert(seen.noticed_by);
  }
  std::map<std::string, std::vector<std::string>> refused;
  for (const FormLine& line : catalogue) {
    if (line.refused) {
      refused[OpcodeOf(line.form)].push_back(line.form);
    } else if (forms.count(line.form) == 0) {
      accepted[OpcodeOf(line.form)].push_back(line.form);
    }
  }
  std::set<std::string> opcodes, refused_opcodes;
  for (const auto& [opcode, rule] : RefusedRules()) refused_opcodes.insert(std::string(opcode));
  for (const RuleTable* table : AllRules()) {
    for (const auto& [opcode, rule] : *table) opcodes.insert(std::string(opcode));
  }
  std::ostringstream page;
  page << "# PTX: what the software GPU's interpreter does\n\n"
          "Written by scripts/coverage.sh; the test `ptx_mutation` fails while this page is stale. One row an "
          "opcode.\n\n"
          "*Tested*: forms whose result a test compares with a reference written from the PTX ISA; each was made wrong "
          "in turn and a test failed. *Accepted*: forms that are decoded and run, and that no test tells from wrong "
          "ones. "
          "*Refused*: forms that fail the kernel that has them, at its first launch, by name. A form is an opcode's "
          "modifiers and types; `{a b}` stands for each of them and `-` for none.\n\n";
  page << noticed << " forms of " << opcodes.size() - refused_opcodes.size() << " opcodes are tested.\n\n";
  page << "| Opcode | Tested | Accepted | Refused | Tests |\n| --- | --- | --- | --- | --- |\n";
  for (const std::string& opcode : opcodes) {
    if (refused_opcodes.count(opcode) != 0) {
      page << "| " << opcode << " | | | all | Forms.Refused |\n";
      continue;
    }
    const bool hint = kHints.count(opcode) != 0;
    if (!hint && tested[opcode].empty()) complaints->push_back("no test notices that " + opcode + " is wrong");
    std::string by;
    for (const std::string& test : tests[opcode]) by += (by.empty() ? "" : ", ") + test;
    page << "| " << opcode << " | " << Shortened(tested[opcode]) << " | " << (hint ? "no effect to test: " : "")
         << Shortened(accepted[opcode]) << " | " << Shortened(refused[opcode]) << " | " << by << " |\n";
  }
  return page.str();
}

int Main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc == 1) return RUN_ALL_TESTS();
  const bool write = argc > 1 && std::string_view(argv[1]) == "--write";
  if (argc != (write ? 4 : 3)) {
    std::fprintf(stderr, "usage: ptx_mutation [--write] PAGE FORMS\n");
    return 2;
  }
  const char* page_path = argv[argc - 2];
  Forms forms;
  std::map<std::string, std::size_t> sizes;  // forms of each test
  GetMutations().seen = [&](const std::string& form, bool direct) {
    bool& before = forms[form].tests.try_emplace(CurrentTest(), false).first->second;
    before = before || direct;
  };
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  // The catalogue's own tests load every form and test none.
  GTEST_FLAG_SET(filter, "-Forms.*");
  if (RUN_ALL_TESTS() != 0) {
    std::fprintf(stderr, "tests fail without any change\n");
    return 1;
  }
  for (const auto& [form, seen] : forms) {
    for (const auto& [test, direct] : seen.tests) ++sizes[test];
  }
  TryAll(&forms, sizes);
  std::vector<std::string> complaints;
  const std::string page = Page(forms, ReadForms(argv[argc - 1]), &complaints);
  for (const std::string& complaint : complaints) std::fprintf(stderr, "%s\n", complaint.c_str());
  if (write) {
    std::ofstream(page_path) << page;
  } else {
    std::stringstream committed;
    committed << std::ifstream(page_path).rdbuf();
    if (committed.str() != page) complaints.push_back("stale");
    if (committed.str() != page) std::fprintf(stderr, "%s is stale: run scripts/coverage.sh\n", page_path);
  }
  return complaints.empty() ? 0 : 1;
}

}  // namespace
}  // namespace accelmesh::tier0

int main(int argc, char** argv) { return accelmesh::tier0::Main(argc, argv); }
