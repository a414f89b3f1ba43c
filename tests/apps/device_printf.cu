// printf in a kernel: the text is on standard output after a synchronise. Standard output goes to a file while the
// kernel runs, so the program can read what was printed.
#include <unistd.h>

#include <string>

#include "check.h"

__global__ void Print(int n) {
  if (threadIdx.x < n)
    printf("thread %d of block %d: %.2f %s %c %lld%%\n", threadIdx.x, blockIdx.x, threadIdx.x * 0.25, "text", 'x',
           1ll << 40);
}

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
  dup2(screen, STDOUT_FILENO);
  CHECK(launched);
  CHECK(first);
  CHECK(second);

  std::string text(4096, '\0');
  const ssize_t length = pread(file, text.data(), text.size(), 0);
  text.resize(length > 0 ? length : 0);
  const std::string expected =
      "thread 0 of block 0: 0.00 text x 1099511627776%\n"
      "thread 1 of block 0: 0.25 text x 1099511627776%\n"
      "thread 2 of block 0: 0.50 text x 1099511627776%\n"
      "thread 0 of block 0: 0.00 text x 1099511627776%\n";
  EXPECT(text == expected, "the kernel printed:\n%s", text.c_str());
  std::printf("device_printf: 4 lines\n");
  return Passed();
}
