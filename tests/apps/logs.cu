// The log of failed calls that CUDA 13 keeps: iterators, dumps to memory and to a file, callbacks.
#include <cstring>
#include <string>
#include <vector>

#include "check.h"

struct Message {
  cudaLogLevel level;
  std::string text;
};
static std::vector<Message> told;

static void Tell(void* data, cudaLogLevel level, char* message, size_t length) {
  EXPECT(std::strlen(message) == length, "a message of %zu characters, said to have %zu", std::strlen(message), length);
  static_cast<std::vector<Message>*>(data)->push_back({level, message});
}

// Something that fails, and of which there is something to say.
static void FailOnce() {
  void* memory = nullptr;
  CHECK_ERROR(cudaMalloc(&memory, size_t(1) << 50), cudaErrorMemoryAllocation);
  cudaGetLastError();
}

static std::string Dump(cudaLogIterator* iterator) {
  std::vector<char> buffer(25600 + 200);
  size_t size = buffer.size();
  CHECK(cudaLogsDumpToMemory(iterator, buffer.data(), &size, 0));
  EXPECT(size < buffer.size(), "%zu bytes of log", size);
  return {buffer.data(), size};
}

static size_t Lines(const std::string& text) {
  size_t lines = 0;
  for (const char c : text) lines += c == '\n';
  return lines;
}

// "[hh:mm:ss.mmm][thread][CUDA][E] text"
static void CheckFormat(const std::string& line) {
  int hours = -1, minutes = -1, seconds = -1, milliseconds = -1;
  unsigned long long thread = 0;
  char level = '?';
  const int read = std::sscanf(line.c_str(), "[%2d:%2d:%2d.%3d][%llu][CUDA][%c] ", &hours, &minutes, &seconds,
                               &milliseconds, &thread, &level);
  EXPECT(read == 6 && (level == 'E' || level == 'W') && hours < 24 && minutes < 60, "not a line of a log: %s",
         line.c_str());
}

static void TestCallbacks() {
  cudaLogsCallbackHandle handle = nullptr;
  cudaLogsCallbackHandle other = nullptr;
  CHECK(cudaLogsRegisterCallback(Tell, &told, &handle));
  CHECK(cudaLogsRegisterCallback(Tell, &told, &other));
  EXPECT(handle != other, "two callbacks with one handle");
  CHECK(cudaLogsUnregisterCallback(other));
  FailOnce();
  EXPECT(!told.empty(), "a failure that nobody is told of");
  const size_t before = told.size();
  for (const Message& message : told) EXPECT(message.level == cudaLogLevelError, "'%s' is none", message.text.c_str());
  CHECK(cudaDeviceSynchronize());  // nothing to say
  EXPECT(told.size() == before, "'%s' of a call that succeeded", told.back().text.c_str());
  CHECK(cudaLogsUnregisterCallback(handle));
  FailOnce();
  EXPECT(told.size() == before, "a callback that is gone was called");
  CHECK_ERROR(cudaLogsUnregisterCallback(nullptr), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLogsRegisterCallback(nullptr, nullptr, &handle), cudaErrorInvalidValue);
}

static void TestIterators() {
  cudaLogIterator begin = 0;
  CHECK(cudaLogsCurrent(&begin, 0));
  CHECK_ERROR(cudaLogsCurrent(nullptr, 0), cudaErrorInvalidValue);
  CHECK(cudaLogsCurrent(&begin, 0));
  cudaLogIterator at = begin;
  EXPECT(Dump(&at).empty() && at == begin, "something is logged already");
  FailOnce();
  const std::string first = Dump(&at);
  EXPECT(Lines(first) == at - begin && at > begin, "%zu lines for %u messages", Lines(first), at - begin);
  CheckFormat(first);
  EXPECT(Dump(&at).empty(), "a message twice");
  FailOnce();
  const std::string second = Dump(&at);
  at = begin;
  EXPECT(Dump(&at) == first + second, "not the two dumps one behind the other");
  const std::string all = Dump(nullptr);
  EXPECT(
      all.size() >= first.size() + second.size() && all.compare(all.size() - second.size(), second.size(), second) == 0,
      "all is less than its parts");

  // To a file.
  char path[] = "/tmp/accelmesh-logs-XXXXXX";
  const int descriptor = mkstemp(path);
  EXPECT(descriptor >= 0, "no temporary file");
  at = begin;
  CHECK(cudaLogsDumpToFile(&at, path, 0));
  std::FILE* file = fdopen(descriptor, "r");
  std::string read(25600, '\0');
  read.resize(std::fread(&read[0], 1, read.size(), file));
  std::fclose(file);
  std::remove(path);
  EXPECT(read == first + second, "the file holds: %s", read.c_str());
  CHECK_ERROR(cudaLogsDumpToFile(&at, nullptr, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLogsDumpToFile(&at, "/nonexistent/folder/file", 0), cudaErrorInvalidValue);
}

// A buffer that is too small gets the newest messages, behind a line that says so.
static void TestSmallBuffers() {
  cudaLogIterator begin = 0;
  CHECK(cudaLogsCurrent(&begin, 0));
  for (int i = 0; i < 4; ++i) FailOnce();
  cudaLogIterator at = begin;
  const std::string all = Dump(&at);
  const std::string last = all.substr(all.rfind('\n', all.size() - 2) + 1);
  char buffer[400];
  size_t size = 93 + last.size() + 20;
  at = begin;
  CHECK(cudaLogsDumpToMemory(&at, buffer, &size, 0));
  const std::string got(buffer, size);
  // CUDA's own does not count the line that says so.
  EXPECT(Lines(got) >= 2 && Lines(got) <= 3 && got.compare(0, 12, "The provided") == 0 &&
             got.compare(got.size() - last.size(), last.size(), last) == 0 && buffer[size] == '\0',
         "in %zu bytes: %s", size, got.c_str());
  at = begin;
  size = 10;
  CHECK_ERROR(cudaLogsDumpToMemory(&at, buffer, &size, 0), cudaErrorInvalidValue);
  EXPECT(size == 0 && at == begin, "%zu bytes in 10", size);
  size = sizeof(buffer);
  CHECK_ERROR(cudaLogsDumpToMemory(&at, nullptr, &size, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaLogsDumpToMemory(&at, buffer, nullptr, 0), cudaErrorInvalidValue);
}

int main() {
  CHECK(cudaFree(nullptr));
  TestCallbacks();
  TestIterators();
  TestSmallBuffers();
  // More than is kept: what is dumped ends with the newest.
  for (int i = 0; i < 1000; ++i) FailOnce();
  EXPECT(Dump(nullptr).size() > 5000, "%zu bytes of 1000 messages", Dump(nullptr).size());
  return Passed();
}
