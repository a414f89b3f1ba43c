// printf in a kernel: the text is on standard output after a synchronise. Standard output goes to a file while the
// kernel runs, so the program can read what was printed.
#include <unistd.h>

#include <algorithm>
#include <string>

#include "check.h"

__global__ void Print(int n) {
  if (threadIdx.x < n)
    printf("thread %d of block %d: %.2f %s %c %lld%%\n", threadIdx.x, blockIdx.x, threadIdx.x * 0.25, "text", 'x',
           1ll << 40);
}

__global__ void PrintMany() { printf("block %d thread %d\n", blockIdx.x, threadIdx.x); }

int main() {
  char path[] = "/tmp/device_printf.XXXXXX";
  const int file = mkstemp(path), screen = dup(STDOUT_FILENO);
  EXPECT(file >= 0 && screen >= 0, "no temporary file");
  unlink(path);
  std::fflush(stdout);
  dup2(file, STDOUT_FILENO);
  Print<<<1, 32>>>(3);
  const cudaError_t launched = cudaGetLastError(), first = cudaDeviceSynchronize();
  Print<<<1, 32>>>(1);
  const cudaError_t second = cudaDeviceSynchronize();
  std::fflush(stdout);
  const off_t few = lseek(file, 0, SEEK_CUR);
  // More than anybody reads in one go, and long done when the program asks.
  PrintMany<<<100, 64>>>();
  usleep(300000);
  const cudaError_t third = cudaDeviceSynchronize();
  std::fflush(stdout);
  dup2(screen, STDOUT_FILENO);
  CHECK(launched);
  CHECK(third);
  CHECK(first);
  CHECK(second);

  std::string text(1 << 20, '\0');
  const ssize_t length = pread(file, text.data(), text.size(), 0);
  text.resize(length > 0 ? length : 0);
  const auto lines = std::count(text.begin() + few, text.end(), '\n');
  EXPECT(lines == 100 * 64, "%ld lines of 6400 were printed before the synchronise returned", static_cast<long>(lines));
  text.resize(few);
  const std::string expected =
      "thread 0 of block 0: 0.00 text x 1099511627776%\n"
      "thread 1 of block 0: 0.25 text x 1099511627776%\n"
      "thread 2 of block 0: 0.50 text x 1099511627776%\n"
      "thread 0 of block 0: 0.00 text x 1099511627776%\n";
  EXPECT(text == expected, "the kernel printed:\n%s", text.c_str());
  std::printf("device_printf: 6404 lines\n");
  return Passed();
}
