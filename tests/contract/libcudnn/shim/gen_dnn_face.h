// In the place of the generated file of this name: the same declarations with C linkage, so that the shim's bodies are
// the functions that this library exports. What has no body here is not exported.
#pragma once

#include <cudnn.h>

#pragma GCC visibility push(default)
extern "C" {
#include <gen_dnn_face.h>
}
#pragma GCC visibility pop
