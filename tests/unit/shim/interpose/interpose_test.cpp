// The whole in this process: its loader is watched, and libraries are opened and closed.
#include "shim/interpose/interpose.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace accelmesh {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

int Ours() { return 7; }
// All functions are the same one here; what they are called with does not matter.
void (*const kOurs)() = reinterpret_cast<void (*)()>(&Ours);
const std::vector<EntryPoint>& Table() {
  static const auto* table = new std::vector<EntryPoint>{{"__cudaLaunchKernel", kOurs},
                                                         {"__cudaPopCallConfiguration", kOurs},
                                                         {"__cudaPushCallConfiguration", kOurs},
                                                         {"__cudaRegisterFatBinary", kOurs},
                                                         {"__cudaRegisterFatBinaryEnd", kOurs},
                                                         {"__cudaRegisterFunction", kOurs},
                                                         {"__cudaUnregisterFatBinary", kOurs},
                                                         {"cudaGetDeviceCount", kOurs},
                                                         {"cudaLaunchKernel", kOurs},
                                                         {"cudaMalloc", kOurs},
                                                         {"cudaMemGetDefaultMemPool", kOurs}};
  return *table;
}

std::mutex g_mu;
std::vector<std::string> g_refused, g_faults;
std::atomic<int> g_changes{0};

int Refuse(const char* name) {
  const std::lock_guard lock(g_mu);
  g_refused.emplace_back(name);
  return 801;
}
void OnFault(bool is_program, const RuntimeFault& fault) {
  const std::lock_guard lock(g_mu);
  g_faults.push_back((is_program ? "program: " : "library: ") + fault.text);
}

class Interpose : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    BeginInterposing({Table(), &Refuse, &OnFault, [] { ++g_changes; }, [] {}});
    EXPECT_THAT(g_faults, ElementsAre());
  }
  void SetUp() override {
    g_refused.clear();
    g_faults.clear();
  }
};

// An open library.
class Library {
 public:
  explicit Library(const char* path) : handle_(::dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle_, nullptr) << ::dlerror();
  }
  ~Library() { EXPECT_EQ(::dlclose(handle_), 0); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  int Call(const char* name) const {
    const auto function = reinterpret_cast<int (*)()>(::dlsym(handle_, name));
    EXPECT_NE(function, nullptr) << name;
    return function != nullptr ? function() : -1;
  }

 private:
  void* handle_;
};

// Those with code: what a sanitizer maps for itself has none.
std::size_t CountMappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find("r-xp") != std::string::npos ? 1 : 0;
  return count;
}

TEST_F(Interpose, ALibraryIsRedirectedBeforeItsConstructors) {
  const int changes = g_changes;
  const Library library(FAKE_RUNTIME);
  EXPECT_GT(g_changes, changes);
  EXPECT_EQ(library.Call("MallocInConstructor"), 7);
  EXPECT_EQ(library.Call("Malloc"), 7);
  EXPECT_EQ(library.Call("OfTheLibrary"), 3) << "the library's own";
  EXPECT_THAT(g_refused, ElementsAre());
  EXPECT_EQ(library.Call("FromTheFuture"), 801);
  EXPECT_THAT(g_refused, ElementsAre("cudaFromTheFuture"));
  EXPECT_THAT(g_faults, ElementsAre());
}

TEST_F(Interpose, AgainAndAgainWithoutLeavingAnything) {
  std::size_t before = 0;
  for (int round = 0; round < 100; ++round) {
    const Library library(FAKE_RUNTIME);
    ASSERT_EQ(library.Call("MallocInConstructor"), 7) << round;
    if (round == 10) before = CountMappings();
    if (round > 10) {
      ASSERT_LE(CountMappings(), before) << round;
    }
  }
}

TEST_F(Interpose, AnotherLibraryInTheSamePlace) {
  for (int round = 0; round < 20; ++round) {
    const Library library(round % 2 == 0 ? FAKE_RUNTIME : FAKE_RUNTIME_COPY);
    ASSERT_EQ(library.Call("MallocInConstructor"), 7) << round;
  }
}

TEST_F(Interpose, FromManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int round = 0; round < 50; ++round) {
        const Library library(t % 2 == 0 ? FAKE_RUNTIME : FAKE_RUNTIME_COPY);
        EXPECT_EQ(library.Call("MallocInConstructor"), 7);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(Interpose, AStrippedOneIsNamedAndOneThatLostNamesToo) {
  const Library library(FAKE_RUNTIME_STRIPPED);
  ASSERT_EQ(g_faults.size(), 1u);
  EXPECT_THAT(g_faults[0], HasSubstr("library: "));
  EXPECT_THAT(g_faults[0], HasSubstr(FAKE_RUNTIME_STRIPPED));
  EXPECT_THAT(g_faults[0], HasSubstr("stripped"));
}

// Not while another thread opens libraries: the child of such a fork hangs in the loader itself.
TEST_F(Interpose, AChildOfForkOpensLibrariesAsWell) {
  const Library library(FAKE_RUNTIME_COPY);
  LockInterposingForFork();
  const pid_t child = ::fork();
  UnlockInterposingAfterFork();
  if (child == 0) {
    ::alarm(20);
    void* handle = ::dlopen(FAKE_RUNTIME, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) ::_exit(1);
    ::_exit(reinterpret_cast<int (*)()>(::dlsym(handle, "MallocInConstructor"))() == 7 ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(library.Call("Malloc"), 7);
}

}  // namespace
}  // namespace accelmesh
