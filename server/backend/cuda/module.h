// Loads a module into a device's context and reads what the client wants to know of it.
//
// Everything is loaded at once: a kernel that the driver loads at its first launch may make that launch wait for the
// device, and launches are the executor's. Threads: LoadModule() may take long; the service thread of the session.
#pragma once

#include <memory>

#include "server/backend/cuda/stream.h"

namespace accelmesh::cuda {

struct LoadedModule {
  std::shared_ptr<Module> module;
  ModuleDescription description;
  bool prints = false;
};

// kNotFound: nothing in the image runs on the device. kOutOfMemory; else kInvalidArgument with the driver's words.
Result<LoadedModule> LoadModule(const Driver& driver, Device& device, Bytes image, std::uint32_t capability);

}  // namespace accelmesh::cuda
