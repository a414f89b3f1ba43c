// Links PTX that was compiled to be linked (nvcc -rdc=true) into machine code, by the driver's linker.
//
// Threads: may take long; the service thread of the session.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "server/backend/cuda/driver.h"

namespace accelmesh::cuda {

// What a device of the current context runs, made of texts; lives until the object goes.
class Linked {
 public:
  explicit Linked(const Driver& driver) : driver_(driver) {}
  ~Linked();
  Linked(const Linked&) = delete;
  Linked& operator=(const Linked&) = delete;

  // Once. What the driver has to say of an error is in log().
  CUresult Link(const std::vector<std::string>& texts);
  const void* image() const { return image_; }
  std::string log() const;

 private:
  const Driver& driver_;
  // The driver writes to both as long as the state lives: text up to a zero, and how much of it.
  std::string log_;
  std::array<void*, 2> values_{};
  CUlinkState state_ = nullptr;
  void* image_ = nullptr;
};

// Whether kernels of the texts set conditions of graphs: one calls cudaGraphSetConditional.
bool CallConditions(const std::vector<std::string>& texts);
// Puts our definition of it among texts that call it: a handle is the address of the word that a graph's branches read.
// NVIDIA's own, in a text of its device library, means handles of its driver's graphs, and goes.
void AddConditions(std::vector<std::string>* texts);

}  // namespace accelmesh::cuda
