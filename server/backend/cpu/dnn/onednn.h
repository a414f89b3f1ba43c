// What oneDNN needs of whoever calls it: its engine, a stream a thread, threads of its own.
#pragma once

#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>

namespace accelmesh::cpu_dnn {

// How many threads a primitive may use. Once, before everything else.
void SetThreads(std::uint32_t threads);
// Makes that so for the calling thread.
void BeginThread();
const dnnl::engine& Engine();
dnnl::stream& Stream();

}  // namespace accelmesh::cpu_dnn
