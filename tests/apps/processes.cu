// Several processes with a device at the same time, as launchers and data loaders make them: children by fork() before
// the parent has used its device, by fork() and exec(), by posix_spawn() from threads after it has.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

extern char** environ;

__global__ void Scale(int* data, int count, int factor) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] = i * factor;
}

static void Work(int factor) {
  constexpr int kCount = 1 << 16;
  int* data = nullptr;
  CHECK(cudaMalloc(&data, kCount * sizeof(int)));
  std::vector<int> got(kCount);
  for (int round = 1; round <= 5; ++round) {
    Scale<<<kCount / 256, 256>>>(data, kCount, factor * round);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpy(got.data(), data, kCount * sizeof(int), cudaMemcpyDeviceToHost));
    for (int i = 0; i < kCount; ++i) EXPECT(got[i] == i * factor * round, "[%d] = %d", i, got[i]);
  }
  CHECK(cudaFree(data));
}

static void Await(pid_t child, const char* what) {
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s ended with 0x%x",
         what, status);
}

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "child") == 0) {
    Work(std::atoi(argv[2]));
    return 0;
  }
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      Work(10 + i);
      std::_Exit(0);
    }
    children.push_back(child);
  }
  Work(1);
  for (const pid_t child : children) Await(child, "a forked child");

  const pid_t executed = fork();
  if (executed == 0) {
    execl("/proc/self/exe", argv[0], "child", "20", static_cast<char*>(nullptr));
    _exit(127);
  }
  Work(2);
  Await(executed, "a child that ran the program anew");

  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([i, argv] {
      const std::string factor = std::to_string(30 + i);
      char mode[] = "child";
      std::string number = factor;
      char* arguments[] = {argv[0], mode, number.data(), nullptr};
      pid_t child = 0;
      EXPECT(posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments, environ) == 0, "posix_spawn");
      Work(3 + i);
      Await(child, "a spawned child");
    });
  }
  for (std::thread& thread : threads) thread.join();
  return Passed();
}
