// A program that starts itself again and talks to that process over two pipes.
//
// Threads: `in` and `out` are set before there are any; each end is read and written by one thread at a time.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include "check.h"

// This process's ends of the talk.
static int in = -1;
static int out = -1;

template <typename T>
static void Tell(const T& what) {
  EXPECT(write(out, &what, sizeof(what)) == static_cast<ssize_t>(sizeof(what)), "the other process is gone");
}
template <typename T>
static T Hear() {
  T what{};
  EXPECT(read(in, &what, sizeof(what)) == static_cast<ssize_t>(sizeof(what)), "the other process is gone");
  return what;
}

// Runs the program with `mode`, `how` and its ends as arguments; `to` and `from` are ours.
static pid_t Start(const char* program, const char* mode, const char* how, int* to, int* from) {
  int to_child[2];
  int from_child[2];
  EXPECT(pipe2(to_child, O_CLOEXEC) == 0 && pipe2(from_child, O_CLOEXEC) == 0, "pipe");
  const pid_t child = fork();
  if (child == 0) {
    char reads[16];
    char writes[16];
    std::snprintf(reads, sizeof(reads), "%d", dup(to_child[0]));
    std::snprintf(writes, sizeof(writes), "%d", dup(from_child[1]));
    execl("/proc/self/exe", program, mode, how, reads, writes, static_cast<char*>(nullptr));
    _exit(127);
  }
  close(to_child[0]);
  close(from_child[1]);
  *to = to_child[1];
  *from = from_child[0];
  return child;
}
// In the process that was started so.
static void Answer(char** argv) {
  in = std::atoi(argv[3]);
  out = std::atoi(argv[4]);
}
