// What a program hears of calls that failed: the thread's last error, and the callback that it may have set.
//
// Threads: everything from any thread.
#pragma once

#include <cudnn.h>

namespace accelmesh::dnn {

// Logs that `name` is not supported and why, once a name.
void SayRefused(const char* name, const char* why);
// Of an entry point that returns `status`; `name` is a literal.
void NoteError(const char* name, cudnnStatus_t status);

}  // namespace accelmesh::dnn
