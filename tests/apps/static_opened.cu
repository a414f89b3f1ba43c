// A program that opens a library with a static CUDA runtime, uses it and closes it, again and again; in turns with one
// that has the shared runtime, so that they take each other's places; and from several threads. The libraries lie
// beside the program.
#include <dlfcn.h>

#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace {

std::string folder;

void* Open(const char* name) {
  void* library = dlopen((folder + name).c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT(library != nullptr, "dlopen: %s", dlerror());
  return library;
}
template <typename F>
F* Find(void* library, const char* name) {
  void* found = dlsym(library, name);
  EXPECT(found != nullptr, "dlsym: %s", dlerror());
  return reinterpret_cast<F*>(found);
}
void Close(void* library) { EXPECT(dlclose(library) == 0, "dlclose: %s", dlerror()); }

void UseStatic(int* sum, int round) {
  void* library = Open("libstatic_part.so");
  const int devices = Find<int()>(library, "DevicesAtLoad")();
  EXPECT(devices >= 1, "round %d: the library's constructor saw %d devices", round, devices);
  const auto add = Find<int(int*, cudaStream_t)>(library, "AddThousand");
  // Its variable starts anew with each load.
  EXPECT(add(sum, nullptr) == 1 && add(sum, nullptr) == 2, "round %d: the library's variable kept its value", round);
  Close(library);
}
void UseShared(int* sum) {
  void* library = Open("libclosed_library.so");
  EXPECT(Find<int(int*)>(library, "CountUp")(sum) == 1, "the library's variable kept its value");
  Close(library);
}

}  // namespace

int main(int, char** argv) {
  const std::string self = argv[0];
  folder = self.substr(0, self.rfind('/') + 1);
  int* sum = nullptr;
  int value = 0;
  CHECK(cudaMalloc(&sum, sizeof(int)));
  CHECK(cudaMemset(sum, 0, sizeof(int)));
  constexpr int kRounds = 6;
  for (int round = 0; round < kRounds; ++round) {
    UseStatic(sum, round);
    if (round % 2 == 0) UseShared(sum);
  }
  CHECK(cudaMemcpy(&value, sum, sizeof(value), cudaMemcpyDeviceToHost));
  EXPECT(value == kRounds * 2000 + kRounds / 2 * 100, "%d, not %d", value, kRounds * 2000 + kRounds / 2 * 100);

  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([] {
      int* own = nullptr;
      int last = 0;
      CHECK(cudaMalloc(&own, sizeof(int)));
      CHECK(cudaMemset(own, 0, sizeof(int)));
      for (int round = 0; round < kRounds; ++round) {
        void* library = Open("libstatic_part.so");
        Find<int(int*, cudaStream_t)>(library, "AddThousand")(own, nullptr);
        Close(library);
      }
      CHECK(cudaMemcpy(&last, own, sizeof(last), cudaMemcpyDeviceToHost));
      EXPECT(last == kRounds * 1000, "%d, not %d", last, kRounds * 1000);
      CHECK(cudaFree(own));
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(cudaFree(sum));
  std::printf("static_opened: %d rounds, %d threads\n", kRounds, kThreads);
  return Passed();
}
